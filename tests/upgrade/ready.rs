//! The agent is compiled by the first node that needs it; later runs send the beam.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use sha2::{Digest, Sha256};

use crate::bank::{Is, Plan, look, nothing_left, pids_of, replaced};
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
    let kept: Vec<_> = fs::read_dir(&agents)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
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
