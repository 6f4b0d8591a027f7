//! `updo watch`: what is rebuilt is upgraded as it comes; what is wrong is said, and the next build is waited for.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::corners::{compiled, node_with};
use crate::rehearsal::till;
use crate::support::apps::{Deployed, kiosk, witness};
use crate::support::desk::{Desk, Ran, Running};
use crate::support::{Options, PATIENCE, TestNode};

const SAME: &str = "code_change(_, S, _) -> {ok, S}.";
const RIGHT: &str = "code_change({down, _}, {till, N, _}, _) -> {ok, {till, N}};\ncode_change(_, {till, N}, _) -> {ok, {till, N, 0}}.";
/// Wrong for one of five.
const WRONG: &str = "code_change(_, {till, 4, _}, _) -> error(torn);\ncode_change(_, {till, N, M}, _) -> {ok, {till, N, M, later}}.";
const MORE: &str = "code_change({down, _}, {till, N, M, _}, _) -> {ok, {till, N, M}};\ncode_change(_, {till, N, M}, _) -> {ok, {till, N, M, more}}.";
const STATES: &str = "[gen_server:call(P, what) || P <- persistent_term:get(tills)]";

fn start(node: &TestNode) {
    node.eval("persistent_term:put(tills, [till:start(N) || N <- lists:seq(1, 5)])");
}

fn states(version: u32, more: &str) -> String {
    let one = |n: u32| format!("{{{version},{{till,{n}{more}}}}}");
    format!("[{}]", (1..=5).map(one).collect::<Vec<_>>().join(","))
}

/// Ctrl-C: it ends in order.
fn interrupted(watch: Running) -> Ran {
    watch.signal("-INT");
    watch.wait().exits(0)
}

/// A build that writes for a while: every file several times, the last time whole.
fn build(place: &Path, version: u32, code_change: &str) {
    for _ in 0..3 {
        compiled(place, &[till(version, code_change)]);
    }
}

/// The whole course of a morning. `said`: what a broken conversion comes to.
fn a_morning(desk: &Desk, said: &[&str]) {
    let folder = TempDir::new().expect("a folder");
    let place = folder.path().join("shop");
    let node = node_with(&compiled(&place, &[till(1, SAME)]));
    start(&node);
    let name = node.name().to_owned();
    let mut watch = desk.on(&node, &["watch", &name]).start();
    watch.await_says("watching");

    build(&place, 2, RIGHT);
    watch.await_says("upgraded till: 5 states converted, ");
    assert_eq!(node.eval_text(STATES), states(2, ",0"));

    build(&place, 3, WRONG);
    for text in said {
        watch.await_says(text);
    }
    assert_eq!(node.eval_text(STATES), states(2, ",0"));

    build(&place, 4, MORE);
    watch.await_says("upgraded till: 5 states converted, ");
    let until = Instant::now() + PATIENCE;
    while node.eval_text(STATES) != states(4, ",0,more") {
        assert!(Instant::now() < until, "{}", node.eval_text(STATES));
        std::thread::sleep(Duration::from_millis(20));
    }
    // The same bytes once more are no upgrade.
    let file = place.join("ebin/till.beam");
    fs::write(&file, fs::read(&file).expect("a beam")).expect("it can be written");
    std::thread::sleep(Duration::from_millis(900));
    let ran = interrupted(watch);
    let lines = ran.stderr.lines();
    let upgraded = lines
        .filter(|line| line.contains("Z upgraded till: "))
        .count();
    assert_eq!(upgraded, 2, "each build once: {ran}");
    assert_eq!(node.eval_text("witness:troubled()"), "[]");
    // Each was a run like any other.
    desk.on(&node, &["rollback", "--yes"]).run().exits(0);
    assert_eq!(node.eval_text(STATES), states(2, ",0"));
}

#[test]
fn a_broken_conversion_is_refused_and_the_next_build_is_upgraded() {
    a_morning(
        &Desk::rehearsing(),
        &["torn", "not upgraded till: nothing was changed"],
    );
}

#[test]
fn a_broken_conversion_is_undone_and_the_next_build_is_upgraded() {
    a_morning(
        &Desk::converting_after_the_switch(),
        &["torn", "undone till: the node is as before"],
    );
}

/// Beams of this machine, and what a machine reads.
#[test]
fn beams_beside_are_pushed_as_they_are_built() {
    let folder = TempDir::new().expect("a folder");
    let node = node_with(&compiled(&folder.path().join("old"), &[till(1, SAME)]));
    start(&node);
    let desk = Desk::rehearsing();
    let name = node.name().to_owned();
    let args = ["watch", &name, "--push", "new/ebin/*.beam", "--json"];
    // Nothing is there yet.
    let mut watch = desk.on(&node, &args).start();
    watch.await_says("watching");
    build(&desk.path().join("new"), 2, RIGHT);
    watch.await_says("upgraded till: 5 states converted, ");
    assert_eq!(node.eval_text(STATES), states(2, ",0"));
    // A file that is no beam is said, and the right one is upgraded.
    let file = desk.path().join("new/ebin/till.beam");
    fs::write(&file, "FOR1 nothing").expect("it can be written");
    watch.await_says("E214");
    build(&desk.path().join("new"), 4, MORE);
    let until = Instant::now() + PATIENCE;
    while node.eval_text(STATES) != states(4, ",0,more") {
        assert!(Instant::now() < until, "{}", node.eval_text(STATES));
        std::thread::sleep(Duration::from_millis(20));
    }
    watch.await_says("upgraded till");
    std::thread::sleep(Duration::from_millis(200));
    let ran = interrupted(watch);
    crate::support::events::valid(&ran.stdout, Path::new("standard output"));
    let lines: Vec<serde_json::Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).count();
    assert_eq!(
        (of("stream"), of("node.finished"), of("run.finished")),
        (1, 2, 1)
    );
    let watched: Vec<_> = lines
        .iter()
        .filter(|line| line["type"] == "watch")
        .collect();
    assert_eq!(watched.len(), 2, "{ran}");
    for line in watched {
        assert_eq!(line["state"], "upgraded");
        assert_eq!(line["modules"], serde_json::json!(["till"]));
        assert_eq!(line["converted"], 5);
        assert!(line["took_ms"].as_f64().is_some_and(|ms| ms > 0.0));
    }
}

/// A plan says more than a node's name: here what the conversion needs.
#[test]
fn a_genserver_of_elixir_is_upgraded_as_it_is_compiled() {
    let options = Options {
        elixir: true,
        ..Options::default()
    };
    let deployed = Deployed::new(&kiosk().one, options, "'Elixir.Kiosk.Sup':start()");
    let node = &deployed.node;
    node.eval_text("'Elixir.Kiosk.Till':sell(5)");
    let desk = Desk::rehearsing();
    desk.write(
        "kiosk.updo",
        "plan \"Kiosk\".\ncode on_disk.\n\
         module Kiosk.Till #{change => {advanced, 41}} because \"receipts are numbered\".\n",
    );
    let mut watch = desk.on(node, &["watch", "kiosk.updo"]).start();
    watch.await_says("watching");
    deployed.replace(&kiosk().two);
    watch.await_says("Kiosk.Till: 1 state converted");
    assert_eq!(
        node.eval_text("sys:get_state('Elixir.Kiosk.Till') =:= #{sum => 5, sold => 41}"),
        "true"
    );
    interrupted(watch);
}

/// The first phase is that of a run: a `budget` of the plan counts, and warnings are said, each once.
#[test]
fn a_budget_of_the_plan_and_the_warnings_of_a_rehearsal_count() {
    const SLOW: &str = "code_change({down, _}, {till, N, _}, _) -> {ok, {till, N}};\n\
        code_change(_, {till, N}, _) -> compute(erlang:monotonic_time(millisecond) + 400), {ok, {till, N, 0}}.\n\
        compute(Until) -> case erlang:monotonic_time(millisecond) >= Until of true -> ok; false -> compute(Until) end.";
    const LOSES: &str = "code_change({down, _}, {till, N, _}, _) -> {ok, {till, -N}};\n\
        code_change(_, {till, N}, _) -> {ok, {till, N, 0}}.";
    const LOSES_AGAIN: &str = "code_change({down, _}, {till, N, M, _}, _) -> {ok, {till, -N, M}};\n\
        code_change(_, {till, N, M}, _) -> {ok, {till, N, M, more}}.";
    let folder = TempDir::new().expect("a folder");
    let place = folder.path().join("shop");
    let node = node_with(&compiled(&place, &[till(1, SAME)]));
    start(&node);
    let desk = Desk::rehearsing();
    desk.write(
        "tills.updo",
        "plan \"Tills\".\ncode on_disk.\nbudget 300ms.\n",
    );
    let mut watch = desk.on(&node, &["watch", "tills.updo"]).start();
    watch.await_says("watching");
    build(&place, 2, SLOW);
    watch.await_says("E638");
    watch.await_says("not upgraded till: nothing was changed");
    assert_eq!(node.eval_text(STATES), states(1, ""));

    build(&place, 3, LOSES);
    watch.await_says("W651");
    watch.await_says("upgraded till: 5 states converted, ");
    assert_eq!(node.eval_text(STATES), states(3, ",0"));
    build(&place, 4, LOSES_AGAIN);
    watch.await_says("upgraded till: 5 states converted, ");
    let until = Instant::now() + PATIENCE;
    while node.eval_text(STATES) != states(4, ",0,more") {
        assert!(Instant::now() < until, "{}", node.eval_text(STATES));
        std::thread::sleep(Duration::from_millis(20));
    }
    let ran = interrupted(watch);
    let said = ran.stderr.matches("a rollback would not give back 5 of 5");
    assert_eq!(said.count(), 1, "{ran}");
}

/// A node that is started again is found again, and what was built meanwhile is no difference any more.
#[test]
fn a_node_that_is_restarted_is_watched_on() {
    let folder = TempDir::new().expect("a folder");
    let place = folder.path().join("shop");
    let ebin = compiled(&place, &[till(1, SAME)]);
    let node = node_with(&ebin);
    let name = node.name().to_owned();
    let desk = Desk::rehearsing();
    let mut watch = desk.on(&node, &["watch", &name]).start();
    watch.await_says("watching");
    node.kill();
    watch.await_says(&format!("waiting for {name}"));
    compiled(&place, &[till(2, RIGHT)]);
    let options = Options {
        name: Some(name.clone()),
        ..Options::default()
    };
    let again = options.path(&ebin).path(witness()).start();
    again.eval("{module, till} = code:load_file(till)");
    start(&again);
    compiled(&place, &[till(4, RIGHT)]);
    watch.await_says("upgraded till: 5 states converted, ");
    assert_eq!(again.eval_text(STATES), states(4, ",0"));
    let ran = interrupted(watch);
    assert_eq!(ran.stderr.matches("Z upgraded till").count(), 1, "{ran}");
}

/// Before anything is begun an error is one as everywhere.
#[test]
fn a_node_that_is_not_there_is_no_endless_wait() {
    let desk = Desk::new();
    let node = node_with(&TempDir::new().expect("a folder").path().join("none"));
    let port = node.epmd_port().to_string();
    let watch = desk.updo(&["watch", "nowhere@localhost"]);
    watch.env("UPDO_EPMD_PORT", &port).run().exits(10);
    let several = format!("{0},{0}x", node.name());
    let watch = desk.updo(&["watch", &several]);
    watch
        .env("UPDO_EPMD_PORT", &port)
        .run()
        .exits(2)
        .says(&["one node"]);
}

/// A folder that the node adds to its code path while it is watched, with a server that nothing knew of.
#[test]
fn a_folder_that_comes_onto_the_code_path_later_is_followed() {
    let folder = TempDir::new().expect("a folder");
    let first = compiled(
        &folder.path().join("first"),
        &[("other".to_owned(), "-module(other).\n".to_owned())],
    );
    let node = node_with(&first);
    let desk = Desk::rehearsing();
    let mut watch = desk.on(&node, &["watch", node.name()]).start();
    watch.await_says("watching");
    let place = folder.path().join("later");
    let later = compiled(&place, &[till(1, SAME)]);
    node.eval(&format!("code:add_pathz({later:?})"));
    start(&node);
    // Only from now on can anything of it be known: the path is asked for once a second.
    std::thread::sleep(Duration::from_millis(2500));
    build(&place, 2, RIGHT);
    watch.await_says("upgraded till: 5 states converted, ");
    assert_eq!(node.eval_text(STATES), states(2, ",0"));
    interrupted(watch);
}

/// Folders below the patterns of `--push`, made by a build while it is watched: removed and made anew, and another one.
#[test]
fn folders_below_the_globs_that_come_later_are_pushed() {
    let folder = TempDir::new().expect("a folder");
    let node = node_with(&compiled(&folder.path().join("old"), &[till(1, SAME)]));
    start(&node);
    let desk = Desk::rehearsing();
    let args = ["watch", node.name(), "--push", "_build/*/lib/*/ebin/*.beam"];
    let mut watch = desk.on(&node, &args).start();
    watch.await_says("watching");
    let place = desk.path().join("_build/dev/lib/shop");
    fs::create_dir_all(&place).expect("a folder");
    build(&place, 2, RIGHT);
    watch.await_says("upgraded till: 5 states converted, ");
    assert_eq!(node.eval_text(STATES), states(2, ",0"));
    fs::remove_dir_all(desk.path().join("_build")).expect("it can be removed");
    std::thread::sleep(Duration::from_millis(500));
    let place = desk.path().join("_build/prod/lib/till");
    fs::create_dir_all(&place).expect("a folder");
    build(&place, 4, MORE);
    let until = Instant::now() + PATIENCE;
    while node.eval_text(STATES) != states(4, ",0,more") {
        assert!(Instant::now() < until, "{}", node.eval_text(STATES));
        std::thread::sleep(Duration::from_millis(20));
    }
    let ran = interrupted(watch);
    assert!(!ran.stderr.contains("E508"), "{ran}");
}

/// On a terminal: what goes on, as long as it does; the line that stays is one.
#[test]
fn the_progress_of_a_long_upgrade_is_seen() {
    const SLOW: &str = "code_change({down, _}, {till, N, _}, _) -> {ok, {till, N}};\ncode_change(_, {till, N}, _) -> timer:sleep(2500), {ok, {till, N, 0}}.";
    let folder = TempDir::new().expect("a folder");
    let place = folder.path().join("shop");
    let node = node_with(&compiled(&place, &[till(1, SAME)]));
    start(&node);
    let desk = Desk::converting_after_the_switch();
    let mut command = desk.command(crate::support::desk::UPDO);
    command
        .args(["watch", node.name()])
        .env("UPDO_EPMD_PORT", node.epmd_port().to_string());
    let mut screen = crate::support::terminal::Terminal::watch(command, "xterm-256color");
    screen.await_text("ctrl-c ends");
    build(&place, 2, SLOW);
    screen.await_text("convert");
    let text = screen.await_text("upgraded till: 5 states converted, ");
    assert!(
        !text.contains("convert  "),
        "the block is still there: {text}"
    );
    assert!(!text.contains("suspend"), "more than one line: {text}");
    assert_eq!(node.eval_text(STATES), states(2, ",0"));
    screen.keys(crate::support::terminal::CTRL_C);
    screen.end();
}

/// As far as one machine allows: updo has another kernel by its `boot_id`, and does not see the node's folders.
#[test]
fn a_node_of_another_machine_is_asked_and_the_way_to_push_is_said() {
    let folder = TempDir::new().expect("a folder");
    let place = folder.path().join("there/shop");
    fs::create_dir_all(&place).expect("a folder");
    let node = node_with(&compiled(&place, &[till(1, SAME)]));
    start(&node);
    let desk = Desk::rehearsing();
    let boot = desk.write("boot_id", "another machine\n");
    let hidden = folder.path().join("there");
    let hides = format!(
        "mount --bind {} /proc/sys/kernel/random/boot_id && mount -t tmpfs none {}",
        boot.display(),
        hidden.display()
    );
    let may = std::process::Command::new("unshare")
        .args(["-rm", "sh", "-c", &hides])
        .output();
    if !may.is_ok_and(|out| out.status.success()) {
        println!("no namespaces for mounts here: nothing was tested");
        return;
    }
    let elsewhere = |more: &str| {
        let updo = crate::support::desk::UPDO;
        let script = format!("{hides} && exec {updo} watch {} {more}", node.name());
        let mut command = desk.command("unshare");
        command
            .args(["-rm", "sh", "-c", &script])
            .env("UPDO_EPMD_PORT", node.epmd_port().to_string());
        crate::support::desk::Updo::of(&desk, command)
    };
    let mut watch = elsewhere("").start();
    watch.await_says(&format!("cannot be read here: {} is asked", node.name()));
    watch.await_says(&format!("updo watch {} --push ", node.name()));
    // What changes there is seen all the same.
    build(&place, 2, RIGHT);
    watch.await_says("upgraded till: 5 states converted, ");
    assert_eq!(node.eval_text(STATES), states(2, ",0"));
    interrupted(watch);
    // And what is built here is pushed.
    let mut watch = elsewhere("--push 'new/ebin/*.beam'").start();
    watch.await_says("watching");
    build(&desk.path().join("new"), 4, MORE);
    watch.await_says("upgraded till: 5 states converted, ");
    assert_eq!(node.eval_text(STATES), states(4, ",0,more"));
    let ran = interrupted(watch);
    assert!(!ran.stderr.contains("cannot be read here"), "{ran}");
}
