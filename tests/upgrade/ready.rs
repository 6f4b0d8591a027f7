//! The agent is compiled by the first node that needs it; later runs send the beam.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use sha2::{Digest, Sha256};

use crate::bank::{Is, Plan, look, nothing_left, pids_of, replaced};
use crate::rehearsal::Stage;
use crate::support::desk::Desk;

/// Reductions of the node so far.
const WORK: &str = "element(1, erlang:statistics(exact_reductions))";

#[test]
fn a_compiled_agent_is_reused_only_when_complete() {
    let bank_1 = replaced();
    let (node, desk) = (&bank_1.node, Desk::new());
    let pids = pids_of(node);
    // Not where the agents of other tests are put.
    let own = desk.path().join("own");
    let agents = own.join("agents");
    let own = own.display().to_string();
    let (up, back) = (Plan::up("fine"), Plan::back("fine"));
    let work = || node.eval_text(WORK).parse::<u64>().expect("a number");
    let run = |plan: Plan, state| {
        let plan = plan.on(&desk);
        let before = work();
        desk.on(node, &["run", &plan, "--yes"])
            .env("UPDO_STATE_DIR", &own)
            .run()
            .exits(0);
        assert_eq!((look(node), pids_of(node)), (state, pids.clone()));
        nothing_left(node);
        work() - before
    };
    let cold = run(up, Is::New);
    let mut kept: Vec<_> = fs::read_dir(&agents)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    // Beside it the question for processes, which has the digest of its text in its name.
    kept.retain(|file| {
        !file
            .file_name()
            .is_some_and(|name| name.to_string_lossy().contains('-'))
    });
    let [agent] = kept.as_slice() else {
        panic!("{kept:?}");
    };
    let mode = fs::metadata(agent).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Sent as a beam it costs the node a fraction.
    let warm = run(back, Is::Old);
    assert!(warm * 4 < cold, "{cold} reductions, then {warm}");
    // Torn, or no beam that the node would load though its digest is right: compiled again, and kept again.
    let whole = fs::read(agent).expect("a file");
    let length = whole.len() - 32;
    let mut foreign = whole[..length].to_vec();
    foreign.truncate(length / 2);
    let digest = Sha256::digest(&foreign);
    let foreign = [&foreign[..], &digest[..]].concat();
    for (bad, plan, state) in [
        (&whole[..length / 2], Plan::up("fine"), Is::New),
        (&foreign[..], Plan::back("fine"), Is::Old),
    ] {
        fs::write(agent, bad).expect("written");
        run(plan, state);
        assert_eq!(fs::read(agent).expect("a file").len(), whole.len());
    }
}

/// A rehearsal leaves the module of its agent to the run after it, and no longer than that.
#[test]
fn one_agent_rehearses_and_upgrades() {
    let stage = Stage::tills("code_change(_, {till, N}, _) -> {ok, {till, N, 0}}.");
    let plan = stage.plan.display().to_string();
    // How often something as large as the agent was sent.
    let sent = |ran: &str| {
        let log = stage.desk.read(ran);
        let calls = log.lines().filter_map(|line| {
            let (_, size) = line.split_once("call    lists:foldl/3, ")?;
            size.strip_suffix(" bytes")?.parse::<u64>().ok()
        });
        calls.filter(|size| *size > 200_000).count()
    };
    let run = |log: &str| {
        let args = ["run", &plan, "--yes", "--log-file", log];
        stage.desk.on(&stage.node, &args).run()
    };
    // The plan asks for more than can be: refused after the rehearsal.
    let text = fs::read_to_string(&stage.plan).expect("a plan");
    fs::write(&stage.plan, format!("{text}budget 1ms.\n")).expect("written");
    run("first.log").exits(15);
    stage.is_clean();
    fs::write(&stage.plan, text).expect("written");
    run("second.log").exits(0);
    assert_eq!(sent("second.log"), 1);
    stage.is_clean();
}
