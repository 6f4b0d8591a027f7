//! Nodes that do not run what the last run has left: seen by `status`, brought there by `reconcile`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::fleet::Fleet;
use crate::support::Options;
use crate::support::apps::{Deployed, fleet as beams};
use crate::support::desk::walk;

/// Another life of a node, from its old files.
pub fn restart(fleet: &mut Fleet, at: usize) {
    let name = fleet.name(at).to_owned();
    fleet.nodes[at].node.kill();
    fleet.nodes[at] = ship(Some(name));
}

fn ship(name: Option<String>) -> Deployed {
    let options = Options {
        name,
        ..Options::default()
    };
    Deployed::new(&beams().one, options, "{ok, _} = fleet_ship:start()")
}

/// Loads a `fleet_rate` that is in no file.
fn load_by_hand(fleet: &Fleet, at: usize) {
    fleet.nodes[at].node.eval(
        "begin
            Forms = [{attribute, 1, module, fleet_rate}, {attribute, 2, export, [{version, 0}, {rate, 0}]},
                {function, 3, version, 0, [{clause, 3, [], [], [{integer, 3, 1}]}]},
                {function, 4, rate, 0, [{clause, 4, [], [], [{integer, 4, 99}]}]}],
            {ok, fleet_rate, Beam} = compile:forms(Forms),
            code:purge(fleet_rate),
            {module, _} = code:load_binary(fleet_rate, \"/tmp/hotfix/fleet_rate.beam\", Beam)
        end",
    );
}

/// A run that upgrades the rate alone, by a plan that is afterwards what it was; its rollout.
fn run_rate_alone(fleet: &Fleet) -> String {
    let whole = fleet.desk.read("plan.updo");
    let two = beams().two.to_str().expect("UTF-8");
    fleet.desk.write(
        "plan.updo",
        &whole.replace(two, &format!("{two}/fleet_rate.beam")),
    );
    fleet.run(&[]).run().exits(0);
    let first = fleet.rollout();
    fleet.desk.write("plan.updo", &whole);
    first
}

/// Files of the state folder whose path has this in it.
fn kept(fleet: &Fleet, part: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(&fleet.desk.path().join("state"), &mut found);
    found.retain(|path| path.to_str().is_some_and(|path| path.contains(part)));
    found
}

const ONE_BY_ONE: &str = "rollout #{batch => 1, parallel => 1}.";

#[test]
fn a_node_restarted_from_old_files_is_seen_and_brought_back() {
    let mut fleet = Fleet::new(3);
    fleet.plan(ONE_BY_ONE);
    // Before any run, and without one, nodes are compared with each other.
    let before = fleet.updo(&["status", "plan.updo"]).run().exits(0);
    before.prints(&["3 nodes run the same (no whole record of a run through all of them)"]);
    let no_run = fleet
        .updo(&["reconcile", "plan.updo", "--yes"])
        .run()
        .exits(11);
    no_run.says(&["E649", "no run of this plan has gone through"]);
    fleet.run(&[]).run().exits(0);
    let rollout = fleet.rollout();
    fleet
        .updo(&["status", "plan.updo"])
        .run()
        .exits(0)
        .prints(&[&format!("3 nodes run the version of rollout {rollout}")]);
    fleet
        .updo(&["reconcile", "plan.updo", "--yes"])
        .run()
        .exits(0)
        .says(&[&format!(
            "nothing to do: 3 nodes run the version of rollout {rollout}"
        )]);
    restart(&mut fleet, 1);
    assert_eq!(fleet.versions(), [2, 1, 2]);
    let line = format!(
        "behind        {}  fleet_rate, fleet_ship since rollout {rollout}",
        fleet.name(1)
    );
    let status = fleet.updo(&["status", "plan.updo"]).run().exits(0);
    let status = status.prints(&["2 of 3 nodes run ", "1 does not", &line, "same"]);
    let place = |text: &str| status.stdout.find(text).expect("said");
    assert!(
        place("behind") < place("same"),
        "the unusual comes first: {status}"
    );
    let json = fleet
        .updo(&["status", "plan.updo", "--json"])
        .run()
        .exits(0)
        .json();
    assert_eq!(json[1]["version"]["is"], "behind", "{json:#}");
    assert_eq!(json[1]["version"]["since"], rollout.as_str());
    assert_eq!(
        json[1]["version"]["modules"],
        serde_json::json!(["fleet_rate", "fleet_ship"])
    );
    assert_eq!(json[0]["version"]["is"], "same");
    // Of one node too, and without a plan: by the records alone.
    let one = fleet.updo(&["status", fleet.name(1)]).run().exits(0);
    one.prints(&["version  behind", &format!("since rollout {rollout}")]);
    // A plan whose build is gone can be compared with no new code, and the records say what they say.
    let whole = fleet.desk.read("plan.updo");
    let gone = whole.replace(beams().two.to_str().expect("UTF-8"), "/gone/ebin");
    fleet.desk.write("plan.updo", &gone);
    let status = fleet.updo(&["status", "plan.updo"]).run().exits(1);
    status
        .prints(&["2 of 3 nodes run ", "1 does not", &line])
        .says(&["E213"]);
    fleet.desk.write("plan.updo", &whole);
    // What would be done changes nothing.
    fleet
        .updo(&["reconcile", "plan.updo", "--dry-run"])
        .run()
        .exits(3)
        .says(&[&line]);
    assert_eq!(fleet.versions(), [2, 1, 2]);
    // The build is gone, or another one by now: kept beams are what counts.
    fleet.desk.write("plan.updo", &gone);
    let ran = fleet
        .updo(&["reconcile", "plan.updo", "--yes"])
        .run()
        .exits(0);
    ran.says(&[&line, "W655", "by the plan as it was then"]);
    assert_eq!(fleet.versions(), [2, 2, 2]);
    fleet.desk.write("plan.updo", &whole);
    fleet
        .updo(&["status", "plan.updo"])
        .run()
        .exits(0)
        .prints(&["3 nodes run the version of rollout"]);
    // One command takes all of it back, the restarted node as well, and nothing is left to take back.
    fleet.updo(&["rollback", &rollout, "--yes"]).run().exits(0);
    assert_eq!(fleet.versions(), [1, 1, 1]);
    let again = fleet.updo(&["rollback", &rollout, "--yes"]).run();
    assert_eq!(again.code, Some(2), "{again}");
    fleet
        .updo(&["reconcile", "plan.updo", "--yes"])
        .run()
        .exits(11)
        .says(&["E649", "was rolled back"]);
}

/// The rollback of what `reconcile` has done on one node; then that node is left as it is.
#[test]
fn a_reconciled_node_goes_back_alone_and_stays_so() {
    let mut fleet = Fleet::new(2);
    fleet.plan(ONE_BY_ONE);
    fleet.run(&[]).run().exits(0);
    restart(&mut fleet, 0);
    fleet
        .updo(&["reconcile", "plan.updo", "--yes"])
        .run()
        .exits(0);
    assert_eq!(fleet.versions(), [2, 2]);
    // The newest run is that one.
    fleet.updo(&["rollback", "--yes"]).run().exits(0);
    assert_eq!(fleet.versions(), [1, 2]);
    let left = fleet
        .updo(&["reconcile", "plan.updo", "--yes"])
        .run()
        .exits(0);
    left.says(&[
        "rolled back",
        "fleet_rate, fleet_ship by run",
        "1 node is left as meant",
    ]);
    assert_eq!(fleet.versions(), [1, 2]);
    // Another life of it: nothing is meant there any more.
    restart(&mut fleet, 0);
    fleet
        .updo(&["reconcile", "plan.updo", "--yes"])
        .run()
        .exits(0);
    assert_eq!(fleet.versions(), [2, 2]);
}

#[test]
fn a_node_that_joins_is_upgraded_while_it_is_watched() {
    let mut fleet = Fleet::new(2);
    let list = |fleet: &Fleet, count: usize| {
        let names: Vec<&str> = (0..count).map(|at| fleet.name(at)).collect();
        fleet.desk.write("nodes.txt", &(names.join("\n") + "\n"));
    };
    list(&fleet, 2);
    let text = format!(
        "plan \"Fleet\".\ntarget fleet #{{seed => file(\"nodes.txt\"), match => \"*@*\"}}.\ncode push [{:?}].\n",
        beams().two
    );
    fleet.desk.write("plan.updo", &text);
    fleet.run(&[]).run().exits(0);
    let watch = [
        "reconcile",
        "plan.updo",
        "--watch",
        "--every",
        "200ms",
        "--yes",
    ];
    let mut running = fleet.updo(&watch).start();
    running.await_says("nodes run the version of");
    fleet.nodes.push(ship(None));
    list(&fleet, 3);
    running.await_says(&format!("behind        {}", fleet.nodes[2].node.name()));
    fleet.nodes[2]
        .node
        .await_true("fleet_ship:look() =:= {2,2,12}");
    running.await_says("same");
    // One that was there, restarted while it is watched.
    restart(&mut fleet, 0);
    fleet.nodes[0]
        .node
        .await_true("fleet_ship:look() =:= {2,2,12}");
    running.await_says("3 nodes watched");
    // A conversion that fails is tried once in a life of the node, and keeps no other from coming.
    fleet.nodes.push(ship(None));
    fleet.on(3, "fail");
    list(&fleet, 4);
    running.await_says("E604");
    running.await_says("4 nodes watched");
    std::thread::sleep(std::time::Duration::from_millis(600));
    running.signal("-INT");
    let ran = running.wait().exits(22);
    let ran = ran.says(&["2 nodes were brought to the version, 1 node was not"]);
    assert_eq!(ran.stderr.matches("error[E604]").count(), 1, "{ran}");
    assert_eq!(fleet.versions(), [2, 2, 2, 1]);
    // With nothing to be sorry for, the end that was asked for is a good one.
    fleet.on(3, "fine");
    fleet
        .updo(&["reconcile", "plan.updo", "--yes"])
        .run()
        .exits(0);
    let mut running = fleet.updo(&watch).start();
    running.await_says("nodes run the version of");
    running.signal("-INT");
    running.wait().exits(0).says(&["ended: no node was behind"]);
}

#[test]
fn code_that_no_run_explains_is_left_alone() {
    let fleet = Fleet::new(3);
    fleet.plan(ONE_BY_ONE);
    fleet.run(&[]).run().exits(0);
    load_by_hand(&fleet, 2);
    let unknown = format!(
        "unknown       {}  fleet_rate: no recorded run explains it",
        fleet.name(2)
    );
    fleet
        .updo(&["status", "plan.updo"])
        .run()
        .exits(0)
        .prints(&[&unknown]);
    let left = fleet
        .updo(&["reconcile", "plan.updo", "--yes"])
        .run()
        .exits(3);
    left.says(&[&unknown, "W654", "--include-unknown"]);
    assert_eq!(fleet.look(2), "{2,2,99}");
    fleet
        .updo(&["reconcile", "plan.updo", "--yes", "--include-unknown"])
        .run()
        .exits(0);
    assert_eq!(fleet.versions(), [2, 2, 2]);
}

/// Two that are behind, one of which cannot be upgraded: the other is.
#[test]
fn a_conversion_that_fails_hurts_no_other_node() {
    let mut fleet = Fleet::new(4);
    fleet.plan("rollout #{batch => 4, on_failure => all_back}.");
    fleet.run(&[]).run().exits(0);
    for at in [0, 2] {
        restart(&mut fleet, at);
    }
    fleet.on(0, "fail");
    let ran = fleet
        .updo(&["reconcile", "plan.updo", "--yes"])
        .run()
        .exits(22);
    ran.says(&["E604", "1 of 2 nodes new"]);
    assert_eq!(fleet.versions(), [1, 2, 2, 2]);
    // Alone it is what a run of it would be.
    fleet
        .updo(&["reconcile", "plan.updo", "--yes"])
        .run()
        .exits(20);
    assert_eq!(fleet.versions(), [1, 2, 2, 2]);
    // Where conversions are rehearsed, it does not begin.
    restart(&mut fleet, 3);
    let port = fleet.nodes[0].node.epmd_port().to_string();
    let rehearsing = fleet
        .desk
        .updo(&["reconcile", "plan.updo", "--yes"])
        .env("UPDO_EPMD_PORT", &port)
        .env("UPDO_NO_REHEARSAL", "")
        .run()
        .exits(22);
    rehearsing.says(&["E634", "1 node is not touched, the others go on"]);
    assert_eq!(fleet.versions(), [1, 2, 2, 2]);
    let alone = fleet
        .desk
        .updo(&["reconcile", "plan.updo", "--yes"])
        .env("UPDO_EPMD_PORT", &port)
        .env("UPDO_NO_REHEARSAL", "")
        .run()
        .exits(15);
    alone.says(&["nothing was changed"]);
}

/// First the rate alone, on all nodes; then the rest on a canary.
#[test]
fn a_canary_with_something_newer_is_excepted() {
    let mut fleet = Fleet::new(3);
    fleet.plan("rollout #{canary => 1, batch => 1}.");
    let first = run_rate_alone(&fleet);
    fleet.run(&["--canary-only"]).run().exits(0);
    assert_eq!(fleet.look(0), "{2,2,12}");
    restart(&mut fleet, 2);
    assert_eq!(fleet.look(2), "{1,1,10}");
    let ran = fleet
        .updo(&["reconcile", "plan.updo", "--yes"])
        .run()
        .exits(0);
    ran.says(&[
        &format!("ahead         {}  fleet_ship of run", fleet.name(0)),
        "as a canary",
        &format!(
            "behind        {}  fleet_rate since rollout {first}",
            fleet.name(2)
        ),
        "W655",
    ]);
    let looks = |fleet: &Fleet| -> Vec<String> { (0..3).map(|at| fleet.look(at)).collect() };
    assert_eq!(looks(&fleet), ["{2,2,12}", "{1,1,12}", "{1,1,12}"]);
    // What the canary runs can be meant, by name; and nothing else that has been rolled back can.
    let log = fleet.updo(&["log", "--json"]).run().exits(0).json();
    let of_canary = log
        .as_array()
        .expect("runs")
        .iter()
        .find(|run| run["node"] == fleet.name(0));
    let run = of_canary.expect("it is recorded")["run"]
        .as_str()
        .expect("a name");
    fleet
        .updo(&["reconcile", "plan.updo", "--to", run, "--yes"])
        .run()
        .exits(0);
    assert_eq!(fleet.versions(), [2, 2, 2]);
    let none = fleet
        .updo(&["reconcile", "plan.updo", "--to", "zzzz", "--yes"])
        .run()
        .exits(2);
    none.says(&["there is no run zzzz"]);
}

/// A node that lacks two runs goes over both, as the others have: so the rollback of the second leaves it as them.
#[test]
fn a_node_that_lacks_several_runs_goes_over_each() {
    let mut fleet = Fleet::new(3);
    fleet.plan("rollout #{batch => 3}.");
    let first = run_rate_alone(&fleet);
    fleet.run(&[]).run().exits(0);
    let second = fleet.rollout();
    restart(&mut fleet, 1);
    let line = format!("fleet_rate, fleet_ship since rollout {first}");
    let as_well = format!("1 node lacks rollout {first} as well");
    fleet
        .updo(&["reconcile", "plan.updo", "--dry-run"])
        .run()
        .exits(3)
        .says(&[
            &line,
            &as_well,
            &format!("then on to what these have left: rollout {second}"),
        ]);
    assert_eq!(fleet.look(1), "{1,1,10}");
    let ran = fleet
        .updo(&["reconcile", "plan.updo", "--yes"])
        .run()
        .exits(0);
    ran.says(&[&line, &as_well]);
    assert_eq!(fleet.versions(), [2, 2, 2]);
    fleet.updo(&["rollback", &second, "--yes"]).run().exits(0);
    let looks: Vec<String> = (0..3).map(|at| fleet.look(at)).collect();
    assert_eq!(looks, ["{1,1,12}"; 3]);
    fleet
        .updo(&["reconcile", "plan.updo", "--yes"])
        .run()
        .exits(0)
        .says(&[&format!("3 nodes run the version of rollout {first}")]);
    // A step whose beams are gone is left out: the version itself can be come to without it.
    fleet.run(&[]).run().exits(0);
    restart(&mut fleet, 1);
    let rate = fs::read(beams().two.join("fleet_rate.beam")).expect("a beam");
    let of_rate = |path: &PathBuf| fs::read(path).expect("readable") == rate;
    let place = kept(&fleet, "state/beams/").into_iter().find(of_rate);
    fs::remove_file(place.expect("it is kept")).expect("can remove");
    let ran = fleet
        .updo(&["reconcile", "plan.updo", "--yes"])
        .run()
        .exits(11);
    ran.says(&[&format!("not over rollout {first}"), "E650"]);
    assert_eq!(fleet.look(1), "{1,1,10}");
}

/// What has gone through on one target is no version for another.
#[test]
fn the_version_of_another_target_is_not_meant() {
    let fleet = Fleet::new(2);
    let text = format!(
        "plan \"Fleet\".\ntarget north #{{nodes => ['{}']}}.\ntarget south #{{nodes => ['{}']}}.\ncode push [{:?}].\n",
        fleet.name(0),
        fleet.name(1),
        beams().two
    );
    fleet.desk.write("plan.updo", &text);
    fleet.run(&["-t", "north"]).run().exits(0);
    let run = ["reconcile", "plan.updo", "--yes", "-t"];
    let south = fleet.updo(&[&run[..], &["south"]].concat()).run().exits(11);
    south.says(&["E649", "no run of this plan has gone through"]);
    assert_eq!(fleet.versions(), [2, 1]);
    let north = fleet.updo(&[&run[..], &["north"]].concat()).run().exits(0);
    north.says(&["nothing to do: 1 node runs the version of run"]);
}

/// A rollout that was ended half way is no version for others; nor is one of another plan, unless it is named.
#[test]
fn what_has_not_gone_through_is_not_meant() {
    let fleet = Fleet::new(3);
    fleet.plan("rollout #{batch => 1}.");
    fleet.on(1, "fail");
    fleet.run(&[]).run().exits(22);
    assert_eq!(fleet.versions(), [2, 1, 1]);
    let status = fleet.updo(&["status", "plan.updo"]).run().exits(0);
    status.prints(&[
        "ahead",
        "which has not gone through everywhere",
        "2 of 3 nodes run ",
        "1 does not",
    ]);
    let rollout = fleet.rollout();
    let ran = fleet
        .updo(&["reconcile", "plan.updo", "--yes"])
        .run()
        .exits(11);
    ran.says(&[
        "E649",
        &format!("rollout {rollout}, on some nodes only"),
        &format!("--to {rollout}"),
    ]);
    fleet.on(1, "fine");
    fleet.run(&[]).run().exits(0);
    // The last two were brought there by the same command again: now all of them are.
    fleet
        .updo(&["reconcile", "plan.updo", "--yes"])
        .run()
        .exits(0);
    fleet
        .desk
        .write("other.updo", &fleet.desk.read("plan.updo"));
    let other = fleet
        .updo(&["reconcile", "other.updo", "--yes"])
        .run()
        .exits(11);
    other.says(&[
        "E649",
        "no run of this plan",
        "upgraded by another plan",
        "updo reconcile ",
    ]);
}

/// What is kept is checked before it is loaded anywhere.
#[test]
fn kept_beams_that_were_altered_are_not_loaded() {
    let mut fleet = Fleet::new(2);
    fleet.plan("rollout #{batch => 2}.\nverify \"v\" -> 2 = fleet_rate:version().");
    fleet.run(&[]).run().exits(0);
    restart(&mut fleet, 1);
    let reconcile = |fleet: &Fleet| fleet.updo(&["reconcile", "plan.updo", "--yes"]).run();
    let whole: Vec<(PathBuf, Vec<u8>)> = kept(&fleet, "state/beams/")
        .into_iter()
        .map(|path| {
            let bytes = fs::read(&path).expect("readable");
            (path, bytes)
        })
        .collect();
    assert!(whole.len() >= 4, "{whole:?}");
    // The beams of version 1 under the names of version 2, and the other way round: whole, and not what they should be.
    let of = |folder: &Path, module: &str| {
        fs::read(folder.join(format!("{module}.beam"))).expect("a beam")
    };
    let old = of(&beams().one, "fleet_rate");
    let new = of(&beams().two, "fleet_rate");
    let place = whole
        .iter()
        .find(|(_, bytes)| *bytes == new)
        .expect("it is kept")
        .0
        .clone();
    fs::write(&place, &old).expect("can write");
    reconcile(&fleet).exits(11).says(&["E650", "fleet_rate"]);
    fs::remove_file(&place).expect("can remove");
    reconcile(&fleet).exits(11).says(&["E650", "fleet_rate"]);
    assert_eq!(fleet.versions(), [2, 1]);
    fs::write(&place, &new).expect("can write");
    // What nodes ran then: another digest than the name says.
    for path in kept(&fleet, "state/versions/") {
        let mut bytes = fs::read(&path).expect("readable");
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&path, bytes).expect("can write");
    }
    reconcile(&fleet).exits(11).says(&["E649", "is not known"]);
    let status = fleet.updo(&["status", "plan.updo"]).run().exits(0);
    status.prints(&["no whole record of a run through all of them"]);
    assert_eq!(fleet.versions(), [2, 1]);
    // Without any records nothing is done.
    fs::remove_dir_all(fleet.desk.path().join("state/runs")).expect("can remove");
    reconcile(&fleet)
        .exits(11)
        .says(&["E649", "no run of this plan"]);
    assert_eq!(fleet.versions(), [2, 1]);
}

/// A node that is not there: the others are looked at, and the exit code says it.
#[test]
fn a_node_out_of_reach_is_named() {
    let mut fleet = Fleet::new(3);
    fleet.plan("rollout #{batch => 3}.");
    fleet.run(&[]).run().exits(0);
    fleet.nodes[0].node.kill();
    let status = fleet.updo(&["status", "plan.updo"]).run().exits(10);
    status.prints(&[
        "2 of 3 nodes run ",
        "1 does not",
        &format!("not reached   {}", fleet.name(0)),
    ]);
    fleet
        .updo(&["reconcile", "plan.updo", "--yes"])
        .run()
        .exits(10);
    restart(&mut fleet, 2);
    let ran = fleet
        .updo(&["reconcile", "plan.updo", "--yes"])
        .run()
        .exits(22);
    ran.says(&["E50", "not reached"]);
    assert_eq!(fleet.look(2), "{2,2,12}");
}

/// On a node that loads code when it is called, what is not loaded yet would be the old version from its disk.
#[test]
fn what_is_not_loaded_yet_is_compared_with_the_disk() {
    let mut fleet = Fleet::new(2);
    fleet.plan("rollout #{batch => 2}.");
    fleet.run(&[]).run().exits(0);
    let name = fleet.name(1).to_owned();
    fleet.nodes[1].node.kill();
    let idle = Options {
        name: Some(name),
        paths: vec![beams().one.clone()],
        ..Options::default()
    };
    fleet.nodes[1].node = idle.start();
    let status = fleet.updo(&["status", "plan.updo"]).run().exits(0);
    status.prints(&[&format!("{}  not all of it is loaded yet", fleet.name(1))]);
    fleet
        .updo(&["reconcile", "plan.updo", "--yes"])
        .run()
        .exits(0);
    fleet.nodes[1].node.eval("{ok, _} = fleet_ship:start()");
    assert_eq!(fleet.look(1), "{2,2,12}");
    // Loaded it is what it should be.
    fleet
        .updo(&["reconcile", "plan.updo", "--yes"])
        .run()
        .exits(0)
        .says(&["nothing to do: 2 nodes run"]);
}

/// `env => true` reads files that are not kept: it is said.
#[test]
fn the_environment_is_not_part_of_a_version() {
    let mut fleet = Fleet::new(2);
    fleet.plan("rollout #{batch => 2}.");
    let plan = fleet.desk.read("plan.updo");
    let two = format!("[{:?}]", beams().two);
    fleet.desk.write(
        "plan.updo",
        &plan.replace(&two, &format!("{two} #{{env => true}}")),
    );
    fleet.run(&[]).run().exits(0);
    restart(&mut fleet, 0);
    let ran = fleet
        .updo(&["reconcile", "plan.updo", "--yes"])
        .run()
        .exits(0);
    ran.says(&["W656"]);
    assert_eq!(fleet.versions(), [2, 2]);
}
