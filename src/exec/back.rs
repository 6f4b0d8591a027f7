//! The way back of an earlier run: its recorded steps, under a lock of their own.
//!
//! Only when the node still runs exactly what that run left: otherwise somebody has upgraded it since,
//! and going back would undo more than was asked.

use std::time::Instant;

use super::event::{Event, Kind, State};
use super::failure;
use super::interrupt::Interrupt;
use super::job;
use super::steps::{Step, read_steps};
use super::watch::{Outcome, Watch};
use crate::diag::{Code, Diagnostic};
use crate::facts::store::hex;
use crate::name::Module;
use crate::node::Session;
use crate::term::Term;

/// A recorded way back.
#[derive(Clone, Debug)]
pub struct WayBack {
    /// The job, without what is new at every run.
    pub job: Term,
    /// What is recorded when it begins.
    pub begun: Term,
    /// Its steps, and those that lead forward again should it fail in a later window.
    pub steps: Vec<Step>,
    /// How many of them are taken when all goes well.
    pub taken: usize,
    /// The modules, and the MD5 that each must have now (`None`: not loaded).
    pub expected: Vec<(Module, Option<[u8; 16]>)>,
}

impl WayBack {
    /// Reads what [`job::Back::record`] wrote; `None` when it is something else.
    pub fn read(record: &Term) -> Option<Self> {
        let job = record.get("job")?.clone();
        let mut steps = read_steps(job.get("steps")?)?;
        let taken = steps.len();
        // Should the way back fail in a later window; not in the records of older versions.
        let forward = job.get("back").and_then(Term::as_list).unwrap_or_default();
        for window in forward.iter().filter(|window| window.as_list().is_some()) {
            steps.extend(read_steps(window)?);
        }
        let expected = record.get("expected")?.as_list()?.iter().map(|pair| {
            let [module, md5] = pair.as_tuple()? else {
                return None;
            };
            let md5 = md5.as_bytes().and_then(|bytes| bytes.try_into().ok());
            Some((Module::new(module.as_atom()?.as_str()), md5))
        });
        Some(Self {
            expected: expected.collect::<Option<_>>()?,
            begun: record.get("begun")?.clone(),
            job,
            steps,
            taken,
        })
    }

    /// The modules that are not what the run left, with what they are now.
    pub fn differing(&self, now: &dyn Fn(&Module) -> Option<[u8; 16]>) -> Vec<String> {
        let shown =
            |md5: Option<[u8; 16]>| md5.map_or("not loaded".to_owned(), |md5| hex(&md5[..4]));
        self.expected
            .iter()
            .filter(|(module, md5)| now(module) != *md5)
            .map(|(module, md5)| {
                format!(
                    "{module}: left as {}, is {}",
                    shown(*md5),
                    shown(now(module))
                )
            })
            .collect()
    }
}

/// Goes back on a node. The outcome's state is `Old` after a success.
pub fn back(
    session: &Session,
    run: &str,
    owner: &str,
    way: &WayBack,
    interrupt: &Interrupt,
    sink: &mut dyn FnMut(&Event),
) -> Outcome {
    let explain = |reason: &Term| failure::of(reason);
    let mut watch = Watch::new(session, run, interrupt, &explain, sink);
    let title = "going back".to_owned();
    watch.tell(Kind::Started {
        run: run.to_owned(),
        title,
    });
    let mailbox = session.mailbox();
    let job = job::begun(&way.job, run, owner, Some(mailbox.pid()));
    watch.outcome.state = State::New;
    if let Some(agent) = watch.start(&mailbox, &job) {
        let began = Instant::now();
        watch.outcome.state = watch.until_finished(&mailbox, &way.steps);
        if watch.outcome.state == State::New && watch.outcome.errors.is_empty() {
            let told = Diagnostic::new(Code::E609, "the node stayed as it was");
            watch.fail(told.note(format!("after {:?}", began.elapsed())));
        }
        if watch.outcome.state != State::Unknown {
            let wanted = way
                .job
                .get("persist")
                .is_some_and(|word| word.is_atom("asked"));
            let persist = wanted && watch.outcome.errors.is_empty();
            watch.settle(&agent, &mailbox, persist);
        }
    }
    watch.finished(way.expected.len());
    watch.outcome
}
