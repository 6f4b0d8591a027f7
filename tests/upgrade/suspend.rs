//! A server that is busy for too long: the run is called off before anything is touched.

use crate::bank::{Is, Plan, is, pids_of, replaced};
use crate::support::desk::Desk;

#[test]
fn a_busy_server_aborts_the_run() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let third = node.eval_text("whereis(bank_account_3)");
    let plan = Plan::on_disk("fine").account("timeout => 300ms").on(&desk);
    node.eval("bank_account:busy(3, 60000)");
    desk.on(node, &["run", &plan, "--yes"])
        .run()
        .exits(14)
        .says(&[
            "E603",
            "1 process did not suspend",
            &third,
            "bank_account:count_coins/1",
        ]);
    node.eval("bank_account_3 ! enough");
    is(node, Is::Old, &pids);
    // When it is through, so is the upgrade.
    desk.on(node, &["run", &plan, "--yes"]).run().exits(0);
    is(node, Is::New, &pids);
}
