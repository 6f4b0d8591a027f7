//! Nodes of other kinds: without a compiler, in embedded mode, with a long name.

use crate::bank::{Is, Plan, is, pids_of};
use crate::support::Options;
use crate::support::apps::{Deployed, bank};
use crate::support::desk::Desk;

const START: &str = "{ok, _} = application:ensure_all_started(bank)";

/// The agent is interpreted, and does the same: there and back, and gone.
#[test]
fn without_a_compiler() {
    let bank_1 = Deployed::bank();
    let node = &bank_1.node;
    node.eval("code:del_path(compiler), [begin code:purge(M), code:delete(M) end || {M, F} <- code:all_loaded(), is_list(F), string:find(F, \"/compiler-\") =/= nomatch]");
    assert!(
        node.eval_text("(catch compile:forms([], []))")
            .contains("undef")
    );
    let (desk, pids) = (Desk::new(), pids_of(node));
    let run = |plan: &Plan| {
        let plan = plan.on(&desk);
        desk.on(node, &["run", &plan, "--yes"]).run()
    };
    run(&Plan::up("{fail, 5, error}"))
        .exits(20)
        .says(&["E604", "cannot_convert"]);
    is(node, Is::Old, &pids);
    run(&Plan::up("fine").with("verify \"no\" -> 3 = bank_rate:rate()."))
        .exits(20)
        .says(&["E606"]);
    is(node, Is::Old, &pids);
    run(&Plan::up("fine")).exits(0);
    is(node, Is::New, &pids);
}

#[test]
fn embedded_and_with_a_long_name() {
    let options = Options {
        long: true,
        ..Options::default()
    };
    let bank_1 = Deployed::new(&bank().one, options.args(&["-mode", "embedded"]), START);
    let node = &bank_1.node;
    assert!(node.name().ends_with("@127.0.0.1"));
    let (desk, pids) = (Desk::rehearsing(), pids_of(node));
    let plan = Plan::up("fine").on(&desk);
    desk.on(node, &["run", &plan, "--yes"]).run().exits(0);
    is(node, Is::New, &pids);
}
