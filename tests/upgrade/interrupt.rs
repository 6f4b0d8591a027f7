//! Ctrl-C: before the point of no return all processes are resumed; later the node finishes; twice detaches.

use updo::twin::excerpt;

use crate::bank::{Is, Plan, await_computing, await_standing, is, pids_of, replaced};
use crate::support::desk::{Desk, UPDO, Updo};

/// After a signal before anything is switched the node is as it was.
#[test]
fn before_the_switch_the_run_is_aborted() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let plan = Plan::on_disk("fine")
        .account("timeout => 30s")
        .with("budget infinity.\n")
        .on(&desk);
    for signal in ["-INT", "-TERM"] {
        node.eval("bank_account:busy(3, 60000)");
        let mut running = desk.on(node, &["run", &plan, "--yes"]).start();
        await_standing(node);
        running.signal(signal);
        running.await_says("aborting");
        running
            .wait()
            .exits(14)
            .says(&["E611", "all processes were resumed", "is as before"]);
        node.eval("bank_account_3 ! enough");
        is(node, Is::Old, &pids);
    }
    // While a precondition is waited for: nothing was begun.
    let text = "require \"soon\" #{within => 60s, every => 100ms} -> 2 = bank_rate:rate().\n";
    let plan = Plan::on_disk("fine").with(text).on(&desk);
    let mut running = desk.on(node, &["run", &plan, "--yes"]).start();
    running.await_says("(--yes)");
    std::thread::sleep(std::time::Duration::from_millis(300));
    running.signal("-INT");
    running.wait().exits(14).says(&["E611", "is as before"]);
    is(node, Is::Old, &pids);
}

/// States are computed by the new version and nothing is switched: the conversions on copies end, all processes go on.
#[test]
fn while_states_are_computed_the_run_is_aborted() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let plan = Plan::on_disk("{slow, 60000}")
        .account("timeout => 90s")
        .on(&desk);
    for signal in ["-INT", "-TERM"] {
        let running = desk.on(node, &["run", &plan, "--yes"]).start();
        await_computing(node);
        running.signal(signal);
        running
            .wait()
            .exits(14)
            .says(&["E611", "all processes were resumed", "is as before"]);
        is(node, Is::Old, &pids);
        assert_eq!(
            node.eval_text(&format!("erlang:module_loaded({})", excerpt::NAME)),
            "false"
        );
    }
}

#[test]
fn behind_the_switch_the_node_finishes() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::converting_after_the_switch(), pids_of(node));
    let plan = Plan::on_disk("{slow, 1500}").on(&desk);
    let mut running = desk.on(node, &["run", &plan, "--yes"]).start();
    node.await_true("erlang:module_loaded(bank_fee)");
    running.await_says("load");
    running.signal("-INT");
    running.await_says("modules are switched already");
    running.wait().exits(0).says(&["done"]);
    is(node, Is::New, &pids);
}

#[test]
fn a_second_interrupt_leaves_the_run_to_the_node() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::converting_after_the_switch(), pids_of(node));
    let plan = Plan::on_disk("{slow, 2000}").on(&desk);
    let mut running = desk.on(node, &["run", &plan, "--yes"]).start();
    node.await_true("erlang:module_loaded(bank_fee)");
    running.signal("-INT");
    running.await_says("once more");
    running.signal("-INT");
    let ran = running.wait().exits(23);
    let run = ran.name();
    ran.says(&["E608", "detached", &format!("updo attach {run}")]);
    desk.on(node, &["attach", &run]).run().exits(0);
    is(node, Is::New, &pids);
}

/// The new code runs and is being looked at: the first request is answered, the second leaves it at that.
#[test]
fn an_interrupt_during_verify() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let text = "verify \"some day\" #{within => 60s, every => 100ms} -> 3 = bank_rate:rate().\n";
    let plan = Plan::on_disk("fine").with(text).on(&desk);
    let mut running = desk.on(node, &["run", &plan, "--yes"]).start();
    running.await_says("resume");
    running.signal("-INT");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(!running.has_ended());
    running.signal("-INT");
    running.wait().exits(23).says(&["E608", "updo attach"]);
    node.await_true("witness:lock() =:= kept");
    node.eval("updo_run ! updo_settle");
    is(node, Is::New, &pids);
}

/// At the question, on a pseudo-terminal where the key itself is typed.
#[test]
fn an_interrupt_at_the_question_changes_nothing() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let plan = Plan::on_disk("fine").on(&desk);
    let script = format!(
        "touch screen; (until grep -q 'Type yes' screen; do sleep 0.05; done; printf '\\003'; sleep 1) \
         | script -qec \"exec {UPDO} run {plan} -t {}\" /dev/null > screen; code=$?; cat screen; exit $code",
        node.name()
    );
    let mut command = desk.command("bash");
    command
        .args(["-c", &format!("set -o pipefail; {script}")])
        .env("UPDO_EPMD_PORT", node.epmd_port().to_string())
        .env("TERM", "dumb");
    Updo::of(&desk, command)
        .run()
        .exits(14)
        .prints(&["nothing was changed"]);
    is(node, Is::Old, &pids);
}
