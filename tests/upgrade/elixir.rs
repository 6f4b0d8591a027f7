//! A GenServer in Elixir, on an Elixir node.

use crate::bank::nothing_left;
use crate::support::Options;
use crate::support::apps::{Deployed, kiosk};
use crate::support::desk::Desk;

#[test]
fn a_genserver_in_elixir() {
    let options = Options {
        elixir: true,
        ..Options::default()
    };
    let deployed = Deployed::new(&kiosk().one, options, "'Elixir.Kiosk.Sup':start()");
    let node = &deployed.node;
    assert_eq!(
        node.eval_text("'Elixir.Kiosk.Till':sell(5)"),
        "{1,<<\"paid 5\">>}"
    );
    let pid = node.eval_text("whereis('Elixir.Kiosk.Till')");
    let desk = Desk::new();
    let plan = format!(
        "plan \"Kiosk\".\ncode push [{:?}].\n\
         module Kiosk.Till #{{change => {{advanced, 41}}}} because \"receipts are numbered\".\n\
         verify \"it sells\" -> {{2, <<\"paid 7, receipt 42\">>}} = Kiosk.Till:sell(7).\n",
        kiosk().two
    );
    desk.write("kiosk.updo", &plan);
    desk.on(node, &["preview", "kiosk.updo"])
        .run()
        .exits(0)
        .prints(&[
            "Kiosk.Till",
            "Kiosk.Receipt",
            "convert states with {advanced, 41}",
        ]);
    desk.on(node, &["run", "kiosk.updo", "--yes"])
        .run()
        .exits(0)
        .says(&["done", "2 modules", "1 state converted"]);
    assert_eq!(
        node.eval_text("sys:get_state('Elixir.Kiosk.Till') =:= #{sum => 12, sold => 42}"),
        "true"
    );
    assert_eq!(node.eval_text("whereis('Elixir.Kiosk.Till')"), pid);
    nothing_left(node);
}
