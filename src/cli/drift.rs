//! What `status` and `reconcile` say of nodes beside the version that is meant.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::time::time;
use crate::diag::{Code, Diagnostic};
use crate::engine::drift::{self, History, Standing, Verdict};
use crate::facts::node::node_facts::NodeFacts;
use crate::name::{Module, NodeName};
use crate::report::drift::{DriftNode, Weight, modules};

/// The version that nodes are compared with, in words.
pub(super) fn meant(history: &History) -> String {
    match history.meant() {
        Some(meant) => format!(
            "the version of {} of {}, {}",
            meant.words(),
            time(meant.began()),
            meant.title()
        ),
        None => "the same (no whole record of a run through all of them)".to_owned(),
    }
}

/// One node that was looked at.
pub(super) fn shown(
    node: &NodeName,
    verdict: &Verdict,
    history: &History,
    facts: &NodeFacts,
) -> DriftNode {
    let differs = modules(&verdict.differs);
    let words = &verdict.words;
    let (weight, why) = match verdict.standing {
        Standing::Unknown => {
            let unknown = modules(&verdict.unknown);
            (
                Weight::Bad,
                format!("{unknown}: no recorded run explains it"),
            )
        }
        Standing::Behind => (Weight::Differs, format!("{differs} since {words}")),
        Standing::RolledBack => (Weight::Meant, format!("{differs} by {words}")),
        Standing::Ahead => (Weight::Meant, format!("{differs} of {words}")),
        Standing::OtherOtp => {
            let why = format!(
                "OTP {} counts digests in another way than the nodes of that run",
                facts.otp
            );
            (Weight::Bad, why)
        }
        Standing::Same => {
            let changed: BTreeSet<&Module> = history.changed();
            let apps = drift::apps(facts, &changed);
            let apps = apps.iter().map(|(app, vsn)| format!("{app} {vsn}"));
            let unloaded = verdict
                .unloaded
                .then(|| "not all of it is loaded yet".to_owned());
            let why: Vec<String> = apps.chain(unloaded).collect();
            (Weight::Same, why.join(", "))
        }
    };
    DriftNode {
        node: node.clone(),
        word: verdict.standing.word().to_owned(),
        why,
        weight,
    }
}

/// One that could not be.
pub(super) fn unreached(node: &NodeName, why: &Diagnostic) -> DriftNode {
    DriftNode {
        node: node.clone(),
        word: "not reached".to_owned(),
        why: why.code.to_string(),
        weight: Weight::Bad,
    }
}

/// The same for machines.
pub(super) fn document(verdict: &Verdict, history: &History) -> Value {
    let names = |modules: &[Module]| -> Vec<String> {
        modules
            .iter()
            .map(|module| module.as_str().to_owned())
            .collect()
    };
    json!({
        "run": history.meant().map(|meant| meant.name().to_owned()),
        "is": verdict.standing.word().replace(' ', "_"),
        "since": verdict.since,
        "modules": names(&verdict.differs),
        "unknown": names(&verdict.unknown),
    })
}

/// W654.
pub(super) fn unknown(node: &NodeName, verdict: &Verdict, help: &str) -> Diagnostic {
    let title = format!("{node} runs code that no recorded run explains");
    Diagnostic::new(Code::W654, title)
        .note(modules(&verdict.unknown))
        .note("it was loaded by hand, by a newer installation, or by a run that is recorded elsewhere")
        .help(help)
}
