//! Something is sent in the name of the run's processes that they do not send: it is neither believed nor passed over.

use std::time::{Duration, Instant};

use crate::bank::{Is, Plan, await_standing, is, look, pids_of};
use crate::support::apps::Deployed;
use crate::support::desk::Desk;

/// An end of the run with a misspelt key, while processes are suspended. The client leaves the run to itself, does not
/// hang and does not say what it cannot know; the node goes on, and the next client learns how it ended.
#[test]
fn an_event_with_a_misspelt_key() {
    let bank = Deployed::bank();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let plan = Plan::up("{slow, 2000}").on(&desk);
    let running = desk.on(node, &["run", &plan, "--yes"]).start();
    await_standing(node);
    node.eval(
        "Guardian = whereis(updo_run),
         {_, Dictionary} = process_info(Guardian, dictionary),
         {_, #{run := Run}} = lists:keyfind(updo_info, 1, Dictionary),
         {_, Monitors} = process_info(Guardian, monitors),
         End = {finished, new, #{suspended_us => 0, called_of => 0}},
         [_ | _] = [W ! {updo, Run, 1 bsl 40, End} || {process, W} <- Monitors, is_pid(W), node(W) =/= node()]",
    );
    let began = Instant::now();
    let ran = running.wait().exits(23).says(&[
        "E510",
        "`finished`, info: keys of run(): `called_off` is missing, `called_of` is unknown",
        "updo attach",
    ]);
    assert!(began.elapsed() < Duration::from_secs(20), "it hangs");
    let (_, run) = ran
        .stderr
        .rsplit_once("updo attach ")
        .expect("it says how to attach");
    let attach = desk.on(node, &["attach", &run[..4]]).run();
    attach.exits(0).says(&["done"]);
    is(node, Is::New, &pids);
}

/// A holder of the lock that says of itself what no run says: nothing is begun.
#[test]
fn a_holder_of_the_lock_with_a_misspelt_key() {
    let bank = Deployed::bank();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let plan = Plan::up("fine").on(&desk);
    node.eval(
        "Info = #{rum => <<\"1a2b\">>, owner => undefined, since => 0, state => running},
         spawn(fun() -> put(updo_info, Info), register(updo_run, self()), receive stop -> ok end end),
         (fun Wait() -> is_pid(whereis(updo_run)) orelse Wait() end)()",
    );
    let words = ["E510", "`run` is missing, `rum` is unknown"];
    let ran = desk.on(node, &["run", &plan, "--yes"]).run();
    ran.exits(10).says(&words);
    assert_eq!((look(node), pids_of(node)), (Is::Old, pids));
    node.eval("updo_run ! stop");
}
