//! What the plan says about before, after, and failure.

use crate::bank::{Is, Plan, is, look, nothing_left, pids_of, replaced};
use crate::support::TestNode;
use crate::support::desk::Desk;

/// Hooks that leave a mark on the node.
const HOOKS: &str = "
before upgrade -> application:set_env(bank, before, bank_rate:rate()).
after upgrade -> application:set_env(bank, 'after', bank_rate:rate()).
on failure -> application:set_env(bank, failed, Reason).
";

fn marks(node: &TestNode) -> String {
    let text = node.eval_text(
        "[{K, V} || K <- [before, 'after', failed], {ok, V} <- [application:get_env(bank, K)]]",
    );
    node.eval("[application:unset_env(bank, K) || K <- [before, 'after', failed]]");
    text
}

const NEVER_TRUE: &str =
    "verify \"the rate is three\" #{within => 300ms, every => 100ms} -> 3 = bank_rate:rate().\n";

#[test]
fn statements_of_the_plan_are_applied() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let run = |plan: Plan| {
        let plan = plan.with(HOOKS).on(&desk);
        desk.on(node, &["run", &plan, "--yes"]).run()
    };

    // A precondition that does not hold: nothing is touched, no hook runs.
    let ran =
        run(Plan::on_disk("fine").with("require \"the rate is two\" -> 2 = bank_rate:rate().\n"))
            .exits(11);
    ran.says(&[
        "E601",
        "precondition failed: the rate is two",
        "E701",
        "nothing was changed",
        "is as before",
    ]);
    assert_eq!(marks(node), "[]");
    is(node, Is::Old, &pids);

    // A postcondition that does not come true: back, by code_change({down, _}, …).
    let ran = run(Plan::on_disk("fine")
        .with(NEVER_TRUE)
        .with("rollback automatic.\n"))
    .exits(20);
    let ran = ran.says(&[
        "E606",
        "verification failed after 3 tries: the rate is three",
        "undo ok",
        "old code and states are back",
        "not undone: what the hooks `before upgrade`, `after upgrade` did",
    ]);
    assert!(!ran.stderr.contains("E609"), "{ran}");
    let text = marks(node);
    assert!(
        text.starts_with("[{before,1},{'after',2},{failed,\"verification failed after 3 tries"),
        "{text}"
    );
    is(node, Is::Old, &pids);

    // A conversion that fails: `on failure` runs, `after upgrade` does not.
    run(Plan::on_disk("{fail, 2, error}"))
        .exits(20)
        .says(&["E604"]);
    let text = marks(node);
    assert!(
        text.starts_with("[{before,1},{failed,\"code_change of bank_account failed in <"),
        "{text}"
    );
    is(node, Is::Old, &pids);

    // Skipped on request.
    run(Plan::on_disk("fine").with(NEVER_TRUE)).exits(20);
    is(node, Is::Old, &pids);
    marks(node);

    // Not back, because the plan says so: new, and a person is needed.
    run(Plan::on_disk("fine")
        .with(NEVER_TRUE)
        .with("rollback never.\n"))
    .exits(21)
    .says(&["E606"]);
    assert!(marks(node).starts_with("[{before,1},{'after',2},{failed,"));
    is(node, Is::New, &pids);
}

#[test]
fn manual_rollback_and_no_verify() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let plan = Plan::on_disk("fine")
        .with(NEVER_TRUE)
        .with("rollback manual.\n")
        .on(&desk);
    desk.on(node, &["run", &plan, "--yes"])
        .run()
        .exits(21)
        .says(&["E606"]);
    is(node, Is::New, &pids);
    let plan = Plan::back("fine").with(NEVER_TRUE).on(&desk);
    let ran = desk
        .on(node, &["run", &plan, "--yes", "--no-verify"])
        .run()
        .exits(0);
    assert!(!ran.stderr.contains("E606"), "{ran}");
    assert_eq!((look(node), pids_of(node)), (Is::Old, pids));
    nothing_left(node);
}

#[test]
fn deadlines_and_hooks_that_fail() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let run = |plan: Plan| {
        let plan = plan.on(&desk);
        desk.on(node, &["run", &plan, "--yes"]).run()
    };

    // Behind the switch, and while states are computed before it.
    for (after, code) in [("1", 20), ("0", 14)] {
        let plan = Plan::on_disk("{slow, 1500}")
            .with("deadline 500ms.\n")
            .on(&desk);
        desk.on(node, &["run", &plan, "--yes"])
            .env("UPDO_CONVERT_AFTER_SWITCH", after)
            .run()
            .exits(code)
            .says(&["E607", "is as before"]);
        is(node, Is::Old, &pids);
    }

    let ran =
        run(Plan::on_disk("fine").with("before upgrade -> erlang:error(not_now).\n")).exits(14);
    ran.says(&["E703", "not_now", "before upgrade", "is as before"]);
    is(node, Is::Old, &pids);

    let ran = run(Plan::on_disk("fine").with("after upgrade -> bank_rate:no_such_function().\n"))
        .exits(20);
    ran.says(&[
        "E702",
        "old code and states are back",
        "what the hook `after upgrade` did",
    ]);
    is(node, Is::Old, &pids);

    // A failing `on failure` does not keep the node from going back.
    let ran = run(Plan::on_disk("fine")
        .with(NEVER_TRUE)
        .with("on failure -> erlang:error(and_this_too).\n"))
    .exits(20);
    ran.says(&["E606", "and_this_too", "is as before"]);
    is(node, Is::Old, &pids);

    // A `require` that raises, and one that asks for what is not there.
    run(Plan::on_disk("fine").with("require \"it is\" -> erlang:error(broken).\n"))
        .exits(11)
        .says(&["E601", "broken"]);
    run(Plan::on_disk("fine").with("require \"it is\" -> bank_rate:rat() =:= 1.\n"))
        .exits(11)
        .says(&["E601", "E702"]);
    is(node, Is::Old, &pids);
}

/// A process that something else resumes in the window is not converted. It is named, and its code_change is not blamed.
#[test]
fn a_process_that_something_else_resumes() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let resume = "before load bank_account -> lists:foreach(fun sys:resume/1, [P || P <- erlang:processes(), \
                  {initial_call, {bank_account, init, 1}} =:= {initial_call, proc_lib:translate_initial_call(P)}]).\n";
    let plan = Plan::on_disk("fine").with(resume).on(&desk);
    for (after, end) in [
        ("1", "old code and states are back"),
        ("0", "nothing was changed"),
    ] {
        let ran = desk
            .on(node, &["run", &plan, "--yes"])
            .env("UPDO_CONVERT_AFTER_SWITCH", after)
            .run()
            .exits(20);
        let ran = ran.says(&[
            "E604",
            "of bank_account was not converted: something else resumed it during the run",
            "sys:resume/1",
            end,
        ]);
        assert!(!ran.stderr.contains("correct code_change"), "{ran}");
        is(node, Is::Old, &pids);
        nothing_left(node);
    }
}
