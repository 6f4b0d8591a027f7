//! Writing what a node runs already to its disk: a run without steps, under the same lock and by the same agent, that
//! only settles. It has no record: there is nothing to undo in what runs.

use std::collections::BTreeSet;

use super::agent_monitor::{Outcome, Watch};
use super::agent_reason;
use super::event::{EventKind, NodeState};
use super::job::{self, Persist};
use super::run::RunRequest;
use crate::facts::compare::persist_diff::ModuleToWrite;
use crate::node::agent::protocol::Reason;
use crate::term::Term;

/// Modules that take part in the writing and in nothing else, as the agent's maps. Should they run in another version by
/// then, nothing is begun: what would be written is not what a restart has to find.
pub fn also(modules: &[ModuleToWrite]) -> Vec<Term> {
    let key = |name: &str, value: Term| (Term::atom(name), value);
    let one = |this: &ModuleToWrite| {
        let new = this.beam.as_ref();
        let was = new.filter(|_| this.is_loaded);
        Term::map([
            key("name", Term::atom(this.module.as_str())),
            key("file", Term::string(&this.file)),
            key("new", job::beam_term(new)),
            key(
                "was",
                was.map_or(Term::atom("none"), |beam| {
                    Term::binary(beam.facts.md5.as_bytes())
                }),
            ),
            key("loaded", Term::boolean(this.is_loaded)),
            key("purge", Term::atom("keep")),
        ])
    };
    modules.iter().map(one).collect()
}

/// Writes, and nothing else. Every event goes to `sink`.
pub fn only(what: &RunRequest<'_>, sink: &mut dyn FnMut(&super::Event)) -> Outcome {
    let explain = |reason: &Reason| agent_reason::diagnostic(reason, what.rules, what.plan);
    let mut watch = Watch::new(what.session, what.run, what.interrupt, &explain, sink);
    watch.tell(EventKind::Started {
        run: what.run.to_owned(),
        title: what.plan.title.clone(),
    });
    if let Some(stale) = &what.stale {
        watch.fail(stale.clone());
        watch.finished(0);
        return watch.outcome;
    }
    let mailbox = what.session.mailbox();
    let terms = job::Terms {
        run: what.run,
        owner: what.owner,
        watcher: Some(mailbox.pid()),
        deadline: what.plan.deadline,
        budget: what.plan.budget,
        pause: None,
        persist: Persist::Asked,
        also: what.also.clone(),
        restart: what.restart,
        together: None,
    };
    let job = job::job(
        &terms,
        what.view.changes,
        what.rules,
        &[],
        &[],
        &BTreeSet::new(),
    );
    if let Some(agent) = watch.start(&mailbox, &job) {
        watch.outcome.state = watch.until_finished(&mailbox, &[]);
        if watch.outcome.state != NodeState::Unknown {
            let good = watch.outcome.errors.is_empty();
            watch.settle(&agent, &mailbox, good);
        }
    }
    watch.finished(0);
    watch.outcome
}
