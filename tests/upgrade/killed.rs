//! The client dies at the worst moments. The node finishes alone: fully new or fully old, all processes running.

use std::time::{Duration, Instant};

use crate::bank::{Is, Plan, await_standing, look, nothing_left, pids_of};
use crate::support::TestNode;
use crate::support::apps::Deployed;
use crate::support::desk::Desk;

/// Waits until the agent, left alone, is through. It keeps its result for a client to fetch; that holds no lock.
/// Without an agent, waits until none is being brought to life any more.
pub fn await_alone(node: &TestNode) {
    // Compiling the agent has low priority for 15 seconds.
    let until = Instant::now() + Duration::from_secs(40);
    loop {
        // In this order: a call that has ended has brought the agent to life or never will.
        let calls = node.eval_text("witness:calls()");
        match (calls.as_str(), node.eval_text("witness:lock()").as_str()) {
            ("0", "free") => return,
            ("0", "kept") => break,
            _ => assert!(
                Instant::now() < until,
                "the agent does not come to an end: {calls} calls, its processes: {}",
                node.eval_text("[{P, process_info(P, [current_stacktrace, messages, monitored_by]), [D || D = {K, _} <- element(2, process_info(P, dictionary)), lists:member(K, [watchers, phase, updo_info])]} || G <- [whereis(updo_run)], is_pid(G), P <- [G | [M || {process, M} <- element(2, process_info(G, monitors)), is_pid(M), node(M) =:= node()]]]")
            ),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // No process is suspended any more before the agent is asked to go.
    assert_eq!(node.eval_text("witness:troubled()"), "[]");
    node.eval("updo_run ! updo_settle");
    node.await_true("witness:lock() =:= free");
}

#[test]
fn while_processes_are_suspended() {
    let bank = Deployed::bank();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let plan = Plan::up("{slow, 1000}").on(&desk);
    let mut running = desk.on(node, &["run", &plan, "--yes"]).start();
    await_standing(node);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(node.eval_text("witness:lock()"), "running");
    running.kill();
    let began = Instant::now();
    await_alone(node);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(
        look(node),
        Is::New,
        "the conversions went on without the client"
    );
    assert_eq!(pids_of(node), pids);
    nothing_left(node);
}

/// A kept result is not in the way of the next run.
#[test]
fn and_the_next_run_finds_the_way_free() {
    let bank = Deployed::bank();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let plan = Plan::up("{slow, 500}").on(&desk);
    let mut running = desk.on(node, &["run", &plan, "--yes"]).start();
    await_standing(node);
    running.kill();
    node.await_true("witness:lock() =:= kept");
    assert_eq!(look(node), Is::New);
    let plan = Plan::back("fine").on(&desk);
    desk.on(node, &["run", &plan, "--yes"]).run().exits(0);
    assert_eq!((look(node), pids_of(node)), (Is::Old, pids));
    nothing_left(node);
}

/// Moments chosen by a generator with a fixed seed, upwards and back.
#[test]
fn updo_killed_at_any_moment() {
    let bank = Deployed::bank();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let run = |to: Is| {
        let extra = "{slow, 150}";
        let plan = if to == Is::New {
            Plan::up(extra)
        } else {
            Plan::back(extra)
        };
        let plan = plan.on(&desk);
        desk.on(node, &["run", &plan, "--yes"]).start()
    };
    let began = Instant::now();
    run(Is::New).wait().exits(0);
    let whole = began.elapsed();
    assert_eq!(look(node), Is::New);
    let mut state = Is::New;
    let (mut stayed, mut switched) = (0, 0);
    let mut seed: u64 = 0x5eed_0001;
    for number in 0..8_i32 {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let share = (seed >> 40) as f64 / f64::from(1 << 24);
        let goal = if state == Is::Old { Is::New } else { Is::Old };
        let mut running = run(goal);
        // Every second one anywhere, but one in each quarter of a run; the others once the agent is at work.
        let delay = if number % 2 == 0 {
            whole.mul_f64((f64::from(number / 2) + share) / 4.0)
        } else {
            node.await_true("witness:lock() =/= free");
            Duration::from_millis(200).mul_f64(share)
        };
        std::thread::sleep(delay);
        running.kill();
        // What is on its way to the node may still arrive.
        std::thread::sleep(Duration::from_millis(100));
        await_alone(node);
        let found = look(node);
        assert_eq!(pids_of(node), pids, "killed after {delay:?}");
        nothing_left(node);
        if found == state {
            stayed += 1
        } else {
            switched += 1
        }
        state = found;
    }
    println!(
        "killed 8 times in {whole:?}: {stayed} stayed as they were, {switched} went to the end"
    );
    assert!(
        stayed > 0 && switched > 0,
        "too early or too late every time"
    );
}

/// A client that goes away while the agent is still being compiled has begun nothing, and nothing begins later.
#[test]
fn before_anything_was_touched() {
    let bank = Deployed::bank();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let plan = Plan::up("fine").on(&desk);
    let mut early = 0;
    for _ in 0..3 {
        let mut running = desk.on(node, &["run", &plan, "--yes"]).start();
        let until = Instant::now() + Duration::from_secs(20);
        // The compiler at work in a call from outside: that is the agent's text.
        while node.call("witness", "compiling", vec![]).as_i64() == Some(0) && !running.has_ended()
        {
            assert!(Instant::now() < until, "nothing is compiled");
        }
        running.kill();
        std::thread::sleep(Duration::from_millis(100));
        await_alone(node);
        match look(node) {
            Is::Old => early += 1,
            // Killed a moment too late.
            Is::New => {
                let back = Plan::back("fine").on(&desk);
                desk.on(node, &["run", &back, "--yes"]).run().exits(0);
            }
        }
        nothing_left(node);
    }
    assert!(early > 0, "never killed in time");
    assert_eq!(pids_of(node), pids);
}

/// The process that runs the script dies while states are converted: its successor puts everything back, and says so.
#[test]
fn the_executor_dies_while_it_converts() {
    let bank = crate::bank::replaced();
    let node = &bank.node;
    let pids = pids_of(node);
    // Computed before the switch, or converted after it.
    for (desk, step, code) in [
        (Desk::new(), 2, 14),
        (Desk::converting_after_the_switch(), 3, 20),
    ] {
        let plan = Plan::on_disk("{slow, 3000}").on(&desk);
        node.eval(&format!("witness:strike(executor, {step}, 200)"));
        let ran = desk.on(node, &["run", &plan, "--yes"]).run().exits(code);
        ran.says(&["E612", "died on the node", "killed", "is as before"]);
        let struck = node.eval_text("witness:struck()");
        assert_eq!(struck, format!("{{executor,{step}}}"));
        crate::bank::is(node, Is::Old, &pids);
    }
}
