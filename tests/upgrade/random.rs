//! Upgrades of applications that a seed has made up, under load: afterwards the MD5 of every module and the state of
//! every process are as they should be, after the way back as well, and no call was lost. Where OTP's release handler
//! can do the same upgrade, it ends the same.
//!
//! `UPDO_SEED` is the first seed, `UPDO_COUNT` how many: `make sweep`.

use crate::support::apps::Deployed;
use crate::support::desk::Desk;
use crate::support::invented::{Invented, root};
use crate::support::{Options, TestNode};
use crate::sweep::number;

const START: &str = "{ok, _} = application:ensure_all_started(r)";

/// `[{Version, Calls}]` of all targets.
fn reported(node: &TestNode, app: &Invented) -> String {
    node.eval_text(&format!("[witness:told(T) || T <- {}]", app.targets))
}

/// The MD5 of modules on the node, and of the beams of a version.
#[track_caller]
fn code_is(node: &TestNode, app: &Invented, ebin: &std::path::Path) {
    let wanted = node.eval_text(&format!(
        "[{{M, case beam_lib:md5({ebin:?} ++ \"/\" ++ atom_to_list(M)) of {{ok, {{_, Md5}}}} -> Md5; _ -> none end}} || M <- {}]",
        app.changed
    ));
    let found = node.eval_text(&format!("witness:md5s({})", app.changed));
    assert_eq!(found, wanted, "{}", app.about);
}

/// Ends the load: no call failed, and every state has counted every call.
fn counted(node: &TestNode, app: &Invented, versions: &[u32]) -> u64 {
    let text = format!(
        "Load = witness:unload(),
         [] = [bad || {{_, _, Failed}} <- Load, Failed =/= []],
         {{lists:sum([N || {{_, N, _}} <- Load]),
           [{{V, N}} || T <- {}, {{_, N, _}} <- [lists:keyfind(T, 1, Load)], {{V, M}} <- [witness:told(T)], M =:= N]}}",
        app.targets
    );
    let reported = node.eval(&text);
    let fields = reported.as_tuple().expect("a pair");
    let pairs = fields[1].as_list().expect("a list");
    let found: Vec<i64> = pairs
        .iter()
        .filter_map(|pair| pair.as_tuple()?.first()?.as_i64())
        .collect();
    let wanted: Vec<i64> = versions.iter().map(|v| i64::from(*v)).collect();
    assert_eq!(
        found, wanted,
        "a call is lost, or a state is wrong: {}",
        app.about
    );
    fields[0]
        .as_i64()
        .and_then(|n| u64::try_from(n).ok())
        .expect("a number")
}

/// What an upgrade by updo came to.
enum Came {
    /// So many calls were answered meanwhile.
    Calls(u64),
    /// No process could go live.
    NoneLive,
}

/// Up and back under load, on a node of its own.
fn by_updo(app: &Invented, window: &str, low: Option<&Desk>) -> Came {
    let ours = Deployed::new(&app.one, Options::default(), START);
    let node = &ours.node;
    let desk = Desk::rehearsing();
    let about = format!("{} window {window}", app.about);
    let gone = app.gone.map_or_else(String::new, |module| {
        format!("module {module} #{{remove => true}} because \"no module calls it any more\".\n")
    });
    let text = format!(
        "plan \"Made up\".\ncode push [{:?}].\nold from {:?}.\nwindow {window}.\n{gone}",
        app.two, app.one
    );
    desk.write("r.updo", &text);
    if let Some(low) = low {
        let shown = desk.on(node, &["preview", "r.updo", "--low"]).run();
        low.write("low", &shown.exits(0).stdout);
    }
    node.eval(&format!("witness:load({})", app.targets));
    std::thread::sleep(std::time::Duration::from_millis(100));
    let ran = desk.on(node, &["run", "r.updo", "--yes"]).run();
    if window == "live" && ran.code == Some(1) && ran.stderr.contains("E425") {
        code_is(node, app, &app.one);
        return Came::NoneLive;
    }
    assert_eq!(ran.code, Some(0), "{about}: {ran}");
    code_is(node, app, &app.two);
    let run = ran.name();
    let calls = counted(node, app, &app.versions);

    // Counting goes on from where it is: each is asked as often as it was.
    let before = reported(node, app);
    let ran = desk.on(node, &["rollback", &run, "--yes"]).run();
    assert_eq!(ran.code, Some(0), "{about}: {ran}");
    code_is(node, app, &app.one);
    let after = reported(node, app);
    assert_eq!(after, before.replace("{2,", "{1,"), "{about}");
    assert_eq!(node.eval_text("witness:troubled()"), "[]", "{about}");
    assert_eq!(node.eval_text("witness:left_to(3000)"), "[]", "{about}");
    Came::Calls(calls)
}

#[test]
fn applications_made_up_by_a_seed() {
    let first = number("UPDO_SEED").unwrap_or(1);
    let count = number("UPDO_COUNT").map_or(3, |count| (count / 10).max(1));
    let (mut calls, mut same, mut refused, mut live, mut none) = (0, 0, 0, 0, 0);
    for seed in first..first + count {
        let app = Invented::new(seed);
        let low = Desk::new();
        if let Came::Calls(number) = by_updo(&app, "single", Some(&low)) {
            calls += number;
        }
        match by_updo(&app, "live", None) {
            Came::Calls(number) => {
                live += 1;
                calls += number;
            }
            Came::NoneLive => none += 1,
        }

        // The same script by OTP.
        let theirs = Deployed::new(&app.one, Options::default(), START);
        let node = &theirs.node;
        node.eval(&format!("[witness:bump(T) || T <- {}]", app.targets));
        let done = node.eval_text(&format!(
            "(catch witness:eval_script({:?}, r, {{\"1.0.0\", {:?}}}))",
            low.path().join("low"),
            root(&app)
        ));
        if done.starts_with("{ok,") {
            code_is(node, &app, &app.two);
            let wanted: Vec<String> = app.versions.iter().map(|v| format!("{{{v},1}}")).collect();
            assert_eq!(
                reported(node, &app),
                format!("[{}]", wanted.join(",")),
                "{}",
                app.about
            );
            same += 1;
        } else {
            println!("{}: the release handler: {done}", app.about);
            refused += 1;
        }
        println!("{}", app.about);
    }
    println!(
        "{count} applications, {calls} calls under load, none lost; live: {live}, nothing to go live in {none}; the release handler \
         ended the same {same} times, failed {refused} times"
    );
    assert!(calls > 0 && same > 0);
    assert!(count < 3 || live > 0, "none went live");
}
