//! `updo explain`: a code, a module, one before another.

use crate::support::desk::Desk;
use crate::waiting::{desk, waiting};

#[test]
fn explain_prints_the_page_of_a_code() {
    let desk = Desk::new();
    desk.updo(&["explain", "E306"])
        .run()
        .exits(0)
        .prints(&["E306", "cycle"]);
    desk.updo(&["explain", "e604"])
        .run()
        .exits(0)
        .prints(&["E604", "code_change"]);
    desk.updo(&["explain", "E60"])
        .run()
        .exits(2)
        .says(&["no diagnostic code `E60`", "did you mean E60"]);
    desk.updo(&["explain", "what"])
        .run()
        .exits(2)
        .says(&["updo explain PLAN MODULE"]);
}

#[test]
fn explain_gives_the_reasons_for_a_module() {
    let (deployed, desk) = (waiting(), desk());
    let explain = |what: &[&str]| {
        let mut command = desk.on(&deployed.node, &["explain", "shop.updo"]);
        for word in what {
            command = command.arg(word);
        }
        command.run()
    };
    explain(&["shop_cart_server"]).exits(0).prints(&[
        "{update,shop_cart_server,",
        "12 processes run it",
        "before shop_checkout",
    ]);
    explain(&["shop_round", "before", "shop_tax"])
        .exits(0)
        .prints(&["shop_tax:tax/2", "shop_round:divide/3"]);
    // A chain of evidence, not only a neighbour.
    explain(&["shop_round", "before", "shop_cart_server"])
        .exits(0)
        .prints(&[
            "shop_round:divide/3",
            "the tax module is chosen at run time",
        ]);
    explain(&["shop_gate", "before", "shop_stock"])
        .exits(0)
        .prints(&[
            "neither depends on the other, not even through other modules: their order is by name",
        ]);
    explain(&["shop_crat_server"])
        .exits(2)
        .says(&["takes no part", "did you mean `shop_cart_server`?"]);
}
