//! Going back later: hooks on the way, what is checked before, which processes are in the way, and what time does to a
//! record.

use std::fs;
use std::path::Path;

use updo::term::{Term, etf};

use crate::bank::{Is, Plan, is, nothing_left, pids_of, replaced};
use crate::support::apps::{Deployed, bank, depot, post, witness};
use crate::support::desk::Desk;
use crate::support::{Options, TestNode};

/// A hook that leaves something behind, as captured funs do.
const MARKS: &str =
    "after load bank_rate -> ok = application:set_env(bank, mark, bank_rate:rate()).\n";
const MARKS_AGAIN: &str =
    "on rollback -> ok = application:set_env(bank, mark, bank_rate:rate()).\n";
const NEVER: &str = "verify \"the rate is three\" -> 3 = bank_rate:rate().\n";

fn mark(node: &TestNode) -> String {
    node.eval_text("application:get_env(bank, mark)")
}

#[test]
fn hooks_run_on_every_way_back() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let run_so = |extra: &str, more: &str, after: &str| {
        let plan = Plan::on_disk(extra)
            .with(MARKS)
            .with(MARKS_AGAIN)
            .with(more);
        desk.on(node, &["run", &plan.on(&desk), "--yes"])
            .env("UPDO_CONVERT_AFTER_SWITCH", after)
            .run()
    };
    let run = |extra: &str, more: &str| run_so(extra, more, "0");
    let marked = |wanted: &str| {
        assert_eq!(mark(node), format!("{{ok,{wanted}}}"));
        node.eval("application:unset_env(bank, mark)");
    };

    // In the window that fails.
    run_so("{fail, 5, error}", "", "1")
        .exits(20)
        .says(&["E604", "on rollback", "is as before"]);
    is(node, Is::Old, &pids);
    marked("1");

    // When the plan is not content with what is new.
    let ran = run("fine", NEVER).exits(20);
    ran.says(&["E606", "on rollback", "is as before"]);
    is(node, Is::Old, &pids);
    marked("1");

    // Nothing was switched: nothing to do.
    let ran = run("{fail, 5, error}", "").exits(20);
    let ran = ran.says(&["E604", "nothing was changed"]);
    assert!(!ran.stderr.contains("\"on rollback\""), "{ran}");
    assert_eq!(mark(node), "undefined");
    let ran = run("fine", "before upgrade -> erlang:error(not_now).\n").exits(14);
    assert!(!ran.stderr.contains("\"on rollback\""), "{ran}");
    assert_eq!(mark(node), "undefined");

    // Later, by the record, whatever the plan's file says by now.
    let ran = run("fine", "").exits(0);
    assert_eq!(mark(node), "{ok,2}");
    Plan::on_disk("fine").on(&desk);
    let back = desk
        .on(node, &["rollback", &ran.name(), "--yes"])
        .run()
        .exits(0);
    let back = back.says(&["on rollback", "it is as before"]);
    assert!(!back.stderr.contains("W621"), "{back}");
    is(node, Is::Old, &pids);
    marked("1");
    nothing_left(node);
}

#[test]
fn effects_without_an_undo_hook_are_reported() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let plan = Plan::on_disk("fine").with(MARKS).on(&desk);
    desk.on(node, &["preview", &plan]).run().exits(0).prints(&[
        "not undone: what hooks do (after load bank_rate); the plan has no `on rollback`",
    ]);
    let ran = desk.on(node, &["run", &plan, "--yes"]).run().exits(0);
    let left = "not undone: what the hook `after load bank_rate` did";
    let back = desk
        .on(node, &["rollback", &ran.name(), "--yes"])
        .run()
        .exits(0);
    let back = back.says(&["W621", "hook `after load bank_rate`", left]);
    assert!(!back.stderr.contains("it is as before"), "{back}");
    assert!(
        back.stderr.find("W621") < back.stderr.find("switched back"),
        "told before anything is asked\n{back}"
    );
    is(node, Is::Old, &pids);
    assert_eq!(mark(node), "{ok,2}");

    // The same when the run itself goes back.
    let plan = Plan::on_disk("fine").with(MARKS).with(NEVER).on(&desk);
    let ran = desk.on(node, &["run", &plan, "--yes"]).run().exits(20);
    let ran = ran.says(&["W621", "old code and states are back", left]);
    assert!(!ran.stderr.contains("is as before"), "{ran}");
    is(node, Is::Old, &pids);

    // A way back that fails is none: a person is needed.
    let plan = Plan::on_disk("fine")
        .with(MARKS)
        .with(NEVER)
        .with("on rollback -> false.\n");
    let ran = desk
        .on(node, &["run", &plan.on(&desk), "--yes"])
        .run()
        .exits(21);
    let ran = ran.says(&["E706", "in a hook `on rollback`", left]);
    assert!(!ran.stderr.contains("is as before"), "{ran}");
    is(node, Is::Old, &pids);
    nothing_left(node);
}

/// What a hook says in its last expression counts, unless the plan says that it does not.
#[test]
fn a_hook_that_returns_false_fails() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    for body in ["false", "2 =:= bank_rate:rate()", "false, ok = ok"] {
        let plan = Plan::on_disk("fine").with(&format!("before upgrade -> {body}.\n"));
        desk.on(node, &["run", &plan.on(&desk), "--yes"])
            .run()
            .exits(14)
            .says(&["E706", "this is false", "in a hook `before upgrade`"]);
        is(node, Is::Old, &pids);
    }
    let plan = Plan::on_disk("fine").with("before upgrade -> _ = false.\n");
    desk.on(node, &["run", &plan.on(&desk), "--yes"])
        .run()
        .exits(0);
    is(node, Is::New, &pids);
}

#[test]
fn all_nodes_are_inspected_before_a_rollback() {
    let start = "{ok, _} = application:ensure_all_started(post)";
    let office = Deployed::new(&post().one, Options::default(), start);
    let (node, desk) = (&office.node, Desk::new());
    office.replace(&post().two);
    let text = format!(
        "plan \"Parcels\".\ncode on_disk.\nold from {:?}.\n\
         module post_floor #{{children => #{{start => [parcels], stop => [fax]}}}} because \"no faxes\".\n",
        post().one
    );
    let path = desk.write("post.updo", &text).display().to_string();
    let run = desk
        .on(node, &["run", &path, "--yes"])
        .run()
        .exits(0)
        .name();
    let code = "[{M, M:module_info(md5)} || M <- [post_floor, post_sup, post_desk]]";
    let before = node.eval_text(code);
    let refused = |texts: &[&str]| {
        let ran = desk.on(node, &["rollback", &run, "--yes"]).run().exits(11);
        ran.says(&["E627", "nothing was changed"]).says(texts);
        assert_eq!(node.eval_text(code), before);
        assert_eq!(node.eval_text("witness:troubled()"), "[]");
    };

    // A copy in the record is damaged.
    let file = desk.path().join(format!("state/runs/{run}/back.etf"));
    let whole = fs::read(&file).expect("the way back is recorded");
    let mut record = etf::decode(&whole).expect("a term");
    let modules = inside(inside(&mut record, "job"), "modules");
    let Term::List(modules) = modules else {
        panic!("{modules}");
    };
    let named = |module: &&mut Term| {
        module
            .get("name")
            .is_some_and(|name| name.is_atom("post_floor"))
    };
    let floor = modules.iter_mut().find(named).expect("it takes part");
    *inside(floor, "new") = Term::binary("no beam at all");
    fs::write(&file, etf::encode(&record)).expect("it can be written");
    refused(&["post_floor: the recorded old beam"]);
    fs::write(&file, &whole).expect("it can be written");

    // No process runs the supervisor whose children come and go.
    node.eval("[ok = supervisor:terminate_child(post_sup, F) || F <- [ground, upper]]");
    refused(&["children of post_floor: no process runs this supervisor"]);
    node.eval("[{ok, _} = supervisor:restart_child(post_sup, F) || F <- [ground, upper]]");
    desk.on(node, &["rollback", &run, "--yes"]).run().exits(0);
}

/// A part of a map.
fn inside<'t>(term: &'t mut Term, key: &str) -> &'t mut Term {
    match term {
        Term::Map(pairs) => pairs.get_mut(&Term::atom(key)).expect("the key is there"),
        other => panic!("{other} is no map"),
    }
}

#[test]
fn processes_on_old_code_are_named_and_killed_on_request() {
    let start = "{ok, _} = application:ensure_all_started(depot)";
    let depot_1 = Deployed::new(&depot().one, Options::default(), start);
    let (node, desk) = (&depot_1.node, Desk::new());
    depot_1.replace(&depot().two);
    let text = format!(
        "plan \"Move\".\ncode on_disk.\nold from {:?}.\nonly [depot_gate, depot_stock] because \"these\".\n",
        depot().one
    );
    let path = desk.write("move.updo", &text).display().to_string();
    let run = desk
        .on(node, &["run", &path, "--yes"])
        .run()
        .exits(0)
        .name();
    // Its loop does not leave the code that it was started in.
    let gate = node.eval_text("whereis(depot_gate)");
    let rollback = |more: &[&str]| {
        let args = [&["rollback", &run, "--yes"], more].concat();
        desk.on(node, &args).run()
    };
    for purge in [&["--purge", "soft"][..], &["--purge", "300ms"]] {
        let ran = rollback(purge).exits(14);
        ran.says(&[
            "E605",
            &format!("depot_gate: [{gate}]"),
            &format!("updo rollback {run} --purge brutal"),
            "nothing was changed",
        ]);
        assert_eq!(node.eval_text("depot_stock:state()"), "{stock,7,crates}");
        assert_eq!(node.eval_text("whereis(depot_gate)"), gate);
    }
    rollback(&["--purge", "hard"]).exits(2).says(&["brutal"]);

    // stdin is no terminal, and the processes that would be ended are named all the same.
    let listed = format!("depot_gate {gate} in old depot_gate, started in depot_gate:init/1");
    desk.on(node, &["rollback", &run, "--purge", "brutal"])
        .run()
        .exits(2)
        .says(&["--purge brutal will end 1 process", &listed]);
    assert_eq!(node.eval_text("whereis(depot_gate)"), gate);

    rollback(&["--purge", "brutal"]).exits(0).says(&[&listed]);
    assert_eq!(node.eval_text("depot_stock:state()"), "{stock,7}");
    node.await_true("is_pid(whereis(depot_gate)) andalso depot_gate:ask() =:= one");
    nothing_left(node);
}

/// Up is not the way back: the conversion down is another.
#[test]
fn an_earlier_version_is_no_upgrade() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let plan = Plan::on_disk("fine").on(&desk);
    let run = desk
        .on(node, &["run", &plan, "--yes"])
        .run()
        .exits(0)
        .name();
    bank.replace(&crate::support::apps::bank().one);
    let rollback = format!("updo rollback {run}");
    for command in [&["preview", &plan][..], &["run", &plan, "--yes"]] {
        let ran = desk.on(node, command).run().exits(1);
        ran.says(&["E628", "bank_account", "earlier version", &rollback]);
        is(node, Is::New, &pids);
    }
    // Nothing is converted for a module without processes.
    let text = "plan \"Rate\".\ncode on_disk.\nonly bank_rate because \"the rate was better\".\n";
    let only = desk.write("rate.updo", text).display().to_string();
    let ran = desk.on(node, &["preview", &only]).run().exits(0);
    let ran = ran.says(&["W622", "bank_rate", &rollback]);
    assert!(!ran.stderr.contains("E628"), "{ran}");

    desk.on(node, &["rollback", &run, "--yes"]).run().exits(0);
    is(node, Is::Old, &pids);
    // A run that is undone has replaced nothing.
    bank.replace(&crate::support::apps::bank().two);
    desk.on(node, &["run", &plan, "--yes"]).run().exits(0);
    is(node, Is::New, &pids);
}

/// A run has its record before its agent is on the node.
#[test]
fn a_run_that_has_only_begun_is_waited_for() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    node.eval("application:unset_env(bank, go)");
    let plan = Plan::on_disk("fine")
        .with("require \"go\" #{within => 30s, every => 100ms} -> {ok, true} = application:get_env(bank, go).\n")
        .on(&desk);
    let first = desk.on(node, &["run", &plan, "--yes"]).start();
    let runs = desk.path().join("state/runs");
    let run = awaited(&runs);
    // No run holds the lock yet, and no other run may come between.
    desk.on(node, &["rollback", &run, "--yes"])
        .run()
        .exits(13)
        .says(&["E505", "still going on", &format!("updo attach {run}")]);
    let mut attached = desk.on(node, &["attach", &run]).start();
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert!(!attached.has_ended(), "it waits");
    node.eval("application:set_env(bank, go, true)");
    first.wait().exits(0);
    attached.wait().exits(0);
    is(node, Is::New, &pids);

    // One that ends before it has an agent is reported as its record says.
    desk.on(node, &["rollback", &run, "--yes"]).run().exits(0);
    let plan = Plan::on_disk("fine")
        .with("require \"stop\" #{within => 2s, every => 100ms} -> {ok, true} = application:get_env(bank, stop).\n")
        .on(&desk);
    let first = desk.on(node, &["run", &plan, "--yes"]).start();
    let before: Vec<String> = names(&runs);
    let second = loop {
        let fresh = names(&runs).into_iter().find(|name| !before.contains(name));
        match fresh.filter(|name| runs.join(name).join("meta.json").exists()) {
            Some(name) => break name,
            None => std::thread::sleep(std::time::Duration::from_millis(20)),
        }
    };
    let attached = desk.on(node, &["attach", &second]).run().exits(20);
    attached.says(&["has ended", "is as before"]);
    first.wait().exits(11).says(&["E601"]);
    is(node, Is::Old, &pids);
    nothing_left(node);
}

fn names(runs: &Path) -> Vec<String> {
    let entries = fs::read_dir(runs).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// The name of the only run, as soon as it can be found.
fn awaited(runs: &Path) -> String {
    for _ in 0..500 {
        let all = names(runs);
        if let [one] = all.as_slice()
            && runs.join(one).join("meta.json").exists()
        {
            return one.clone();
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("no run has begun: {:?}", names(runs));
}

/// A node that was restarted loads what a run has left when it is called, and has other processes.
#[test]
fn a_run_is_undone_after_a_restart() {
    let bank_1 = Deployed::bank();
    let desk = Desk::new();
    let mut plan = Plan::up("fine");
    plan.code = plan.code.replacen("].", "] #{persist => true}.", 1);
    let plan = plan.on(&desk);
    let node = &bank_1.node;
    let run = desk
        .on(node, &["run", &plan, "--yes"])
        .run()
        .exits(0)
        .name();
    let name = node.name().to_owned();
    node.kill();
    let options = Options {
        name: Some(name),
        ..Options::default()
    };
    let node = &options.path(&bank_1.ebin).path(witness()).start();
    // Not even loaded yet.
    assert_eq!(node.eval_text("code:is_loaded(bank_account)"), "false");
    let files = |version: &Path| {
        let text = format!(
            "[element(2, beam_lib:md5(filename:join(D, M))) || D <- [{:?}, {version:?}], M <- [\"bank_account\", \"bank_rate\"]]",
            bank_1.ebin
        );
        let text = node.eval_text(&format!("{{A, B}} = lists:split(2, {text}), A =:= B"));
        assert_eq!(text, "true", "the files of {}", version.display());
    };
    files(&bank().two);
    desk.on(node, &["rollback", &run, "--yes"])
        .run()
        .exits(0)
        .says(&["it is as before"]);
    files(&bank().one);
    node.eval("{ok, _} = application:ensure_all_started(bank)");
    is(node, Is::Old, &pids_of(node));
    nothing_left(node);

    // With processes that have begun in what the run left.
    desk.on(node, &["run", &plan, "--yes"]).run().exits(0);
    let name = node.name().to_owned();
    node.kill();
    let options = Options {
        name: Some(name),
        ..Options::default()
    };
    let node = &options.path(&bank_1.ebin).path(witness()).start();
    node.eval("{ok, _} = application:ensure_all_started(bank)");
    let pids = pids_of(node);
    is(node, Is::New, &pids);
    desk.on(node, &["rollback", "--yes"]).run().exits(0);
    is(node, Is::Old, &pids);
    nothing_left(node);
}
