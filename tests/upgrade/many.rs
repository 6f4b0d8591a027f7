//! Several nodes in one run: one after the other, the first failure stops.

use crate::bank::{Is, Plan, is, look, nothing_left, pids_of, replaced};
use crate::support::desk::Desk;

#[test]
fn the_first_failure_stops() {
    let (one, two, three) = (replaced(), replaced(), replaced());
    let banks = [&one.node, &two.node, &three.node];
    let pids = banks.map(pids_of);
    let desk = Desk::new();
    let names = banks.map(|node| format!("'{}'", node.name())).join(", ");
    let plan = Plan::on_disk("fine")
        .account("timeout => 300ms")
        .with(&format!("target banks #{{nodes => [{names}]}}.\n"))
        .on(&desk);
    two.node.eval("bank_account:busy(3, 60000)");
    let run = || {
        desk.on(&one.node, &["run", &plan, "--yes", "-t", "banks"])
            .run()
    };
    let ran = run()
        .exits(22)
        .says(&["3 nodes: ", "E603", "1 process did not suspend"]);
    assert!(
        !ran.stderr
            .contains(&format!("done  Bank 2 · {}", three.node.name()))
    );
    two.node.eval("bank_account_3 ! enough");
    is(&one.node, Is::New, &pids[0]);
    is(&two.node, Is::Old, &pids[1]);
    is(&three.node, Is::Old, &pids[2]);
    // The same command again does what is left to do.
    run().exits(0).says(&["nothing to do"]);
    for node in banks {
        assert_eq!(look(node), Is::New);
        nothing_left(node);
    }
}
