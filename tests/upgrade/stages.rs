//! What interrupted runs with `persist` have left on the disk: the next run knows what files will be when it has put that in
//! order, and writes all that differs from what runs then. Whatever has happened before, a restart finds all of one version.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use updo::diag::Span;
use updo::facts::change::ChangeSet;
use updo::facts::compare::persist_diff::unwritten;
use updo::facts::node::node_facts;
use updo::facts::node::node_files::Disk;
use updo::facts::node::stages::Fate;
use updo::state::file_cache::Seen;

use crate::bank::{Is, Plan, is, look, nothing_left, pids_of};
use crate::installed::{Installed, differing};
use crate::support::apps::{Deployed, bank, ferry, witness};
use crate::support::desk::Desk;
use crate::support::{Options, TestNode};

const FEE: &str = "erlang:module_loaded(bank_fee)";

fn persisting(mut plan: Plan) -> Plan {
    plan.code = match plan.code.contains("#{") {
        true => plan.code.replacen("#{", "#{persist => true, ", 1),
        false => plan.code.replacen("].", "] #{persist => true}.", 1),
    };
    plan
}

/// All of one version.
#[track_caller]
fn whole(node: &TestNode, what: &str) -> Is {
    let found = look(node);
    let fee = node.eval_text(FEE);
    assert_eq!(fee, (found == Is::New).to_string(), "{what}: bank_fee");
    found
}

/// A release of the bank after an upgrade, and the plan of that.
struct Upgraded {
    srv: Installed,
    desk: Desk,
    path: String,
    run: String,
    node: TestNode,
    before: std::collections::BTreeMap<String, Vec<u8>>,
    new: std::collections::BTreeMap<String, Vec<u8>>,
}

impl Upgraded {
    fn new() -> Option<Self> {
        let mut srv = Installed::bank()?;
        let before = srv.files();
        let node = srv.start();
        let desk = Desk::new();
        let path = persisting(Plan::up("fine")).on(&desk);
        let ran = desk.on(&node, &["run", &path, "--yes"]).run().exits(0);
        Some(Self {
            run: ran.name(),
            new: srv.files(),
            srv,
            desk,
            path,
            node,
            before,
        })
    }

    /// The node goes down at the N-th thing that is done to its disk, and starts again.
    #[track_caller]
    fn crash(&mut self, halt: &str, number: u32, command: &[&str]) -> Is {
        self.node.eval(&format!("witness:{halt}({number})"));
        let ran = self.desk.on(&self.node, command).run();
        assert!(matches!(ran.code, Some(0 | 23)), "{number}: {ran}");
        self.restart(&format!("{command:?} {halt} {number}"))
    }

    #[track_caller]
    fn restart(&mut self, what: &str) -> Is {
        self.node.kill();
        self.node = self.srv.start();
        whole(&self.node, what)
    }

    /// The plan is carried out, whatever is there now; a restart finds the same.
    #[track_caller]
    fn run_again(&mut self, what: &str) {
        let command = ["run", &self.path, "--yes"];
        self.desk.on(&self.node, &command).run().exits(0);
        assert_eq!(whole(&self.node, what), Is::New, "{what}");
        let differ = differing(&self.new, &self.srv.files());
        assert_eq!(differ, Vec::<String>::new(), "{what}");
        assert_eq!(self.restart(what), Is::New, "{what}");
        nothing_left(&self.node);
    }
}

/// When the first file is not in its place yet, the way back is gone again, and not forward by halves.
#[test]
fn an_interrupted_way_back_is_gone_again() {
    for number in [2, 3] {
        let Some(mut bank) = Upgraded::new() else {
            return;
        };
        let run = bank.run.clone();
        let back = ["rollback", &run, "--yes"];
        assert_eq!(bank.crash("halt_at_rename", number, &back), Is::New);
        bank.desk.on(&bank.node, &back).run().exits(0).says(&[
            "W344",
            "interrupted while it wrote",
            "it will be removed",
            "this rollback finishes it",
        ]);
        assert_eq!(whole(&bank.node, "back"), Is::Old);
        let differ = differing(&bank.before, &bank.srv.files());
        assert_eq!(differ, Vec::<String>::new(), "{number}");
        assert_eq!(bank.restart("back"), Is::Old);
    }
}

/// An upgrade that was interrupted while it wrote, behind the boot files, on the node as it was started again.
struct Begun {
    srv: Installed,
    before: BTreeMap<String, Vec<u8>>,
    node: TestNode,
    desk: Desk,
    run: String,
}

impl Begun {
    /// At so many renamings; `None` without rebar3.
    fn at(number: u32) -> Option<Self> {
        let mut srv = Installed::bank()?;
        let before = srv.files();
        let node = srv.start();
        let desk = Desk::new();
        let path = persisting(Plan::up("fine")).on(&desk);
        node.eval(&format!("witness:halt_at_rename({number})"));
        let ran = desk.on(&node, &["run", &path, "--yes"]).run().exits(23);
        node.kill();
        let node = srv.start();
        assert_eq!(whole(&node, "begun"), Is::New);
        Some(Self {
            srv,
            before,
            node,
            desk,
            run: ran.name(),
        })
    }
}

/// A way there that was interrupted behind the first file is undone as any other, from its record.
#[test]
fn an_interrupted_way_there_is_rolled_back() {
    let Some(begun) = Begun::at(6) else {
        return;
    };
    let Begun {
        mut srv,
        before,
        node,
        desk,
        run,
    } = begun;
    desk.on(&node, &["rollback", &run, "--yes"])
        .run()
        .exits(0)
        .says(&["W344", "will be finished"]);
    assert_eq!(whole(&node, "back"), Is::Old);
    let differ = differing(&before, &srv.files());
    assert_eq!(differ, Vec::<String>::new());
    node.kill();
    assert_eq!(whole(&srv.start(), "restarted"), Is::Old);
}

/// The node goes down again while that is put in order.
#[test]
fn what_was_interrupted_twice_is_put_in_order_all_the_same() {
    let mut seen = Vec::new();
    // Before the first file is in its place, and behind.
    for (first, again) in [
        (3, ("halt_at_write", &[1, 2, 3, 40][..])),
        (5, ("halt_at_rename", &[1, 2, 5, 6, 10])),
    ] {
        for number in again.1 {
            let Some(mut bank) = Upgraded::new() else {
                return;
            };
            let (run, path) = (bank.run.clone(), bank.path.clone());
            let is = bank.crash("halt_at_rename", first, &["rollback", &run, "--yes"]);
            seen.push(is);
            let once = bank.crash(again.0, *number, &["run", &path, "--yes"]);
            assert!(once == is || *number > 8, "{first} {number}");
            bank.run_again(&format!("{first} {again:?} {number}"));
        }
    }
    println!("what starts after the first crash: {seen:?}");
    assert!(
        seen.contains(&Is::Old) && seen.contains(&Is::New),
        "{seen:?}"
    );
}

/// While journals are taken away at the end.
#[test]
fn journals_may_go_one_by_one() {
    for number in [30, 32] {
        let Some(mut bank) = Upgraded::new() else {
            return;
        };
        let run = bank.run.clone();
        let is = bank.crash("halt_at_write", number, &["rollback", &run, "--yes"]);
        assert_eq!(is, Is::Old, "{number}");
        bank.run_again(&format!("journals {number}"));
    }
}

/// The way there was interrupted, and since then the node runs the version before, without its disk: what comes with the
/// interrupted run must not be found by a restart.
#[test]
fn what_the_node_has_gone_back_from_does_not_come_with_a_restart() {
    let Some(begun) = Begun::at(7) else {
        return;
    };
    let Begun {
        mut srv,
        before,
        node,
        desk,
        run: _,
    } = begun;
    let back = Plan::back("fine").on(&desk);
    desk.on(&node, &["run", &back, "--yes"]).run().exits(0);
    node.eval("code:delete(bank_fee), code:purge(bank_fee)");
    assert_eq!(whole(&node, "back"), Is::Old);
    let back = persisting(Plan::back("fine")).on(&desk);
    desk.on(&node, &["run", &back, "--yes"])
        .run()
        .exits(0)
        .says(&[
            "W344",
            "will be finished",
            "bank_fee.beam: the node does not run it, it will be deleted",
        ]);
    let boot = srv.files()["releases/1/start.script"].clone();
    let boot = String::from_utf8(boot).expect("a text");
    assert!(
        boot.contains("bank_rate") && !boot.contains("bank_fee"),
        "{boot}"
    );
    let spec = srv.files()["lib/bank-1.0.0/ebin/bank.app"].clone();
    assert!(spec == before["lib/bank-1.0.0/ebin/bank.app"]);
    assert!(
        !srv.files()
            .contains_key("lib/bank-1.0.0/ebin/bank_fee.beam")
    );
    node.kill();
    let node = srv.start();
    assert_eq!(whole(&node, "restarted"), Is::Old);
}

/// An Elixir release, with a protocol that goes again.
#[test]
fn an_interrupted_way_back_of_a_release_of_mix_is_put_in_order() {
    let mut seen = Vec::new();
    for number in [5, 6, 9] {
        let mut srv = Installed::new(&ferry().one);
        let node = srv.start();
        let desk = Desk::new();
        let plan = format!(
            "plan \"Ferry\".\ncode push [\"{0}/ferry-0.2.0/ebin\", \"{0}/rope-0.2.0/ebin\", \"{1}/consolidated\"] #{{persist => true}}.\n",
            ferry().two.join("lib").display(),
            ferry().two.join("releases/0.2.0").display()
        );
        desk.write("ferry.updo", &plan);
        let run = ["run", "ferry.updo", "--yes"];
        let name = desk.on(&node, &run).run().exits(0).name();
        let new = srv.files();
        let version = |node: &TestNode| {
            node.eval_text(
                "{element(1, gen_server:call('Elixir.Ferry.Deck', version)), 'Elixir.Rope':vsn(),
                  catch 'Elixir.Ferry.Weight':'of'(x), catch 'Elixir.Ferry.Length':'of'(7)}",
            )
        };
        let two = version(&node);
        node.eval(&format!("witness:halt_at_rename({number})"));
        desk.on(&node, &["rollback", &name, "--yes"])
            .run()
            .exits(23);
        node.kill();
        let node = srv.start();
        let found = version(&node);
        assert!(
            found == two || found.starts_with(r#"{<<"0.1.0">>,<<"0.1.0">>,{'EXIT'"#),
            "{number}: {found}"
        );
        seen.push(found == two);
        desk.on(&node, &run).run().exits(0);
        assert_eq!(version(&node), two, "{number}");
        let differ = differing(&new, &srv.files());
        assert_eq!(differ, Vec::<String>::new(), "{number}");
        node.kill();
        assert_eq!(version(&srv.start()), two, "{number}");
    }
    println!("new after a crash of the way back: {seen:?}");
    assert!(seen.contains(&true) && seen.contains(&false), "{seen:?}");
}

/// What an interrupted run has left, with a journal of these pairs and deletions for these folders.
fn left(run: &str, folders: &[&Path], files: &[(&str, &Path)], gone: &[&str]) {
    let ebin = folders[0];
    let stages: Vec<_> = folders
        .iter()
        .map(|folder| folder.join(format!(".updo-{run}")))
        .collect();
    let stage = &stages[0];
    fs::create_dir_all(stage).expect("a folder");
    let mut pairs = Vec::new();
    for (name, from) in files {
        if from.exists() {
            fs::copy(from, stage.join(name)).expect("copied");
        }
        pairs.push(format!("{{{:?},{:?}}}", stage.join(name), ebin.join(name)));
    }
    let gone: Vec<String> = gone
        .iter()
        .map(|name| format!("{:?}", ebin.join(name)))
        .collect();
    let stages: Vec<String> = stages.iter().map(|stage| format!("{stage:?}")).collect();
    let journal = format!(
        "{{updo_persist,[{}],[],[{}],[{}]}}.\n",
        stages.join(","),
        gone.join(","),
        pairs.join(",")
    );
    fs::write(stage.join("journal"), journal).expect("a journal");
}

/// Two journals, one that does not count because a folder lacks it, one that is none, and a folder without; looked at
/// from the node's own machine and from afar.
#[test]
fn several_interrupted_runs_are_put_in_order_in_one_way() {
    let bank_1 = Deployed::bank();
    let node = &bank_1.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let path = persisting(Plan::up("fine")).on(&desk);
    desk.on(node, &["run", &path, "--yes"]).run().exits(0);
    let ebin = &bank_1.ebin;
    let content = || {
        let entries = fs::read_dir(ebin).expect("a folder");
        let names = entries.map(|entry| entry.expect("an entry").path());
        let mut all: Vec<_> = names
            .map(|path| (path.clone(), fs::read(&path).ok()))
            .collect();
        all.sort();
        all
    };
    let new = content();
    let one = |name: &str| bank().one.join(name);
    let elsewhere = desk.path().join("elsewhere");
    let (rate, account) = (one("bank_rate.beam"), one("bank_account.beam"));
    // Some file of each is in its place already.
    left(
        "aaaa",
        &[ebin],
        &[("x", Path::new("x")), ("bank_rate.beam", &rate)],
        &[],
    );
    left(
        "bbbb",
        &[ebin],
        &[("x", Path::new("x")), ("bank_account.beam", &account)],
        &["bank_fee.beam", "../../no.beam", "bank.app"],
    );
    left(
        "cccc",
        &[ebin, &elsewhere],
        &[("x", Path::new("x")), ("bank_sup.beam", &rate)],
        &["bank_app.beam"],
    );
    left("dddd", &[ebin], &[("bank_sup.beam", &rate)], &[]);
    let journal = ebin.join(".updo-dddd/journal");
    fs::write(&journal, "{updo_persist,[a|b],x,[],[[]]}.").expect("no journal");
    fs::create_dir(ebin.join(".updo-eeee")).expect("a folder");

    let session = node.connected();
    let facts = node_facts::gather(&session).expect("facts");
    let look_at = |far: bool| {
        let mut seen = Seen::nothing();
        let mut disk = Disk::new(&session, facts.otp, &mut seen);
        if far {
            disk.assume_remote();
        }
        let nothing = (&ChangeSet::default(), &Default::default(), false);
        let from = [(bank().two.display().to_string(), Span::default())];
        let found = unwritten(
            &session,
            &facts,
            nothing,
            Vec::new(),
            &from,
            Path::new("/"),
            disk,
        )
        .expect("an answer");
        let modules = found.modules.iter().map(|m| m.module.to_string());
        let modules: Vec<String> = modules.collect();
        let fates = found.restart.stages.folders().iter();
        let fates: Vec<Fate> = fates.map(|(_, fate)| *fate).collect();
        (modules, fates, found.unknown)
    };
    let found = look_at(false);
    assert_eq!(found.0, ["bank_account", "bank_fee", "bank_rate"]);
    use Fate::{Finished, Removed};
    assert_eq!(found.1, [Finished, Finished, Removed, Removed, Removed]);
    assert!(found.2.is_empty(), "{:?}", found.2);
    assert_eq!(look_at(true), found);

    desk.on(node, &["run", &path, "--yes"])
        .run()
        .exits(0)
        .says(&["W344", ".updo-bbbb: will be finished", "3 beams written"]);
    assert!(content() == new, "the disk is as it was");
    is(node, Is::New, &pids);
    let again = Options::default().path(ebin).path(witness()).start();
    again.eval("{ok, _} = application:ensure_all_started(bank)");
    assert_eq!(look(&again), Is::New);
}

/// What comes between the comparison and the run: that run does not know what files will be.
#[test]
fn what_is_left_meanwhile_refuses_the_run() {
    let bank_1 = Deployed::bank();
    let node = &bank_1.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let stage = bank_1.ebin.join(".updo-ffff");
    // It comes, another one comes, it goes.
    let makes = format!("before upgrade -> ok = file:make_dir({stage:?}).\n");
    let writes = format!(
        "before upgrade -> ok = file:write_file(\"{}/journal\", \"x\").\n",
        stage.display()
    );
    let goes = format!(
        "before upgrade -> [ok = file:delete(\"{0}/journal\"), ok = file:del_dir(\"{0}\")].\n",
        stage.display()
    );
    for hook in [makes, writes, goes] {
        let path = persisting(Plan::up("fine")).with(&hook).on(&desk);
        desk.on(node, &["run", &path, "--yes"])
            .run()
            .exits(14)
            .says(&[
                "E614",
                ".updo-ffff: it has been written since the node was compared",
            ]);
        is(node, Is::Old, &pids);
    }
    // One that cannot be read.
    fs::create_dir_all(stage.join("journal")).expect("a folder");
    let path = persisting(Plan::up("fine")).on(&desk);
    desk.on(node, &["run", &path, "--yes"])
        .run()
        .exits(14)
        .says(&[
            ".updo-ffff: its journal cannot be read",
            "E614",
            ".updo-ffff: eftype",
        ]);
    is(node, Is::Old, &pids);
    fs::remove_dir_all(&stage).expect("removed");
    desk.on(node, &["run", &path, "--yes"]).run().exits(0);
    is(node, Is::New, &pids);
}

/// A run of some modules writes those; others run in a version that is nowhere on the disk.
#[test]
fn modules_that_a_plan_does_not_push_are_named_when_the_disk_has_another_version() {
    let bank_1 = Deployed::bank();
    let node = &bank_1.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let unsaved = Plan::up("fine").on(&desk);
    desk.on(node, &["run", &unsaved, "--yes"]).run().exits(0);
    let some = desk.path().join("some");
    fs::create_dir(&some).expect("a folder");
    fs::copy(
        bank().two.join("bank_rate.beam"),
        some.join("bank_rate.beam"),
    )
    .expect("copied");
    let narrow = format!("plan \"Some\".\ncode push [{some:?}] #{{persist => true}}.\n");
    desk.write("some.updo", &narrow);
    let says = [
        "W344",
        "neither pushed nor on its disk",
        "bank_account.beam",
        "bank_fee.beam",
    ];
    desk.on(node, &["run", "some.updo", "--yes"])
        .run()
        .exits(0)
        .says(&says)
        .says(&["1 beam written"]);
    desk.on(node, &["status", "some.updo"])
        .run()
        .exits(0)
        .says(&says);
    let path = persisting(Plan::up("fine")).on(&desk);
    let ran = desk.on(node, &["run", &path, "--yes"]).run().exits(0);
    assert!(!ran.stderr.contains("neither pushed"), "{ran}");
    let ran = desk.on(node, &["status", "some.updo"]).run().exits(0);
    assert!(!ran.stderr.contains("W344"), "{ran}");
    is(node, Is::New, &pids);
}

/// The same on the way back: what a run of some modules puts back belongs to others that were never written.
#[test]
fn modules_that_a_way_back_does_not_write_are_named_as_well() {
    let bank_1 = Deployed::bank();
    let node = &bank_1.node;
    let desk = Desk::new();
    for (folder, modules) in [
        ("first", &["bank_fee", "bank_sup"][..]),
        ("then", &["bank_rate", "bank_account"]),
    ] {
        let folder = desk.path().join(folder);
        fs::create_dir(&folder).expect("a folder");
        for module in modules {
            let name = format!("{module}.beam");
            fs::copy(bank().two.join(&name), folder.join(&name)).expect("copied");
        }
    }
    desk.write("first.updo", "plan \"First\".\ncode push [\"first\"].\n");
    desk.on(node, &["run", "first.updo", "--yes"])
        .run()
        .exits(0);
    let path = persisting(Plan::push(&desk.path().join("then"), &bank().one, "fine")).on(&desk);
    let says = ["W344", "neither pushed nor on its disk", "bank_fee.beam"];
    let ran = desk.on(node, &["run", &path, "--yes"]).run().exits(0);
    let run = ran.name();
    ran.says(&says);
    desk.on(node, &["rollback", &run, "--yes"])
        .run()
        .exits(0)
        .says(&says);
    assert_eq!(look(node), Is::Old);
}
