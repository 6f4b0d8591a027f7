//! Looks at nodes, in the background.
//!
//! Takes questions about plans, lets each be answered on a thread of its own, keeps the last answer. One look at a plan is
//! under way at a time; a question that comes meanwhile is asked again afterwards. A look that takes too long is given
//! up: its answer is not waited for and not taken, and how many may be left behind so is bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use super::facts::{FactsQuery, NodeFindings, query};
use super::server::ServerEvent;
use crate::diag::{Code, Diagnostic};

/// How long a look may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// So many looks are under way, given up or not.
const AT_ONCE: usize = 4;

/// The looks at the nodes of all plans.
pub(super) struct NodeQueries {
    send: SyncSender<ServerEvent>,
    deadline: Duration,
    /// The number of the look, and when it began, by the URI of the plan.
    running: BTreeMap<String, (u64, Instant)>,
    /// Threads that have not come back.
    threads: usize,
    /// Plans that want another look.
    wanted: BTreeSet<String>,
    /// The last answers.
    known: BTreeMap<String, NodeFindings>,
    next: u64,
}

impl NodeQueries {
    /// Nothing was looked at yet; answers come by `send`.
    pub fn new(send: SyncSender<ServerEvent>, deadline: Option<Duration>) -> Self {
        Self {
            send,
            deadline: deadline.unwrap_or(DEADLINE),
            running: BTreeMap::new(),
            threads: 0,
            wanted: BTreeSet::new(),
            known: BTreeMap::new(),
            next: 0,
        }
    }

    /// A plan is to be looked at.
    pub fn want(&mut self, uri: &str) {
        self.wanted.insert(uri.to_owned());
    }

    /// A plan that can be looked at now.
    pub fn due(&self) -> Option<String> {
        if self.threads >= AT_ONCE {
            return None;
        }
        let mut wanted = self.wanted.iter();
        wanted.find(|uri| !self.running.contains_key(*uri)).cloned()
    }

    /// A plan is not to be looked at after all.
    pub fn drop_wish(&mut self, uri: &str) {
        self.wanted.remove(uri);
    }

    /// Begins a look.
    pub fn begin(&mut self, uri: &str, mut question: FactsQuery) {
        self.wanted.remove(uri);
        if let Some(known) = self.known.get(uri) {
            question.sessions.clone_from(&known.sessions);
        }
        self.next += 1;
        let (number, send, name) = (self.next, self.send.clone(), uri.to_owned());
        let begun = std::thread::Builder::new()
            .name("updo-look".to_owned())
            // Plans are read there, and what reads them recurses with their nesting.
            .stack_size(8 << 20)
            .spawn(move || {
                // What a thread that panics leaves behind is an answer without anything in it.
                let answer =
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| query(question)));
                let _ = send.send(ServerEvent::Looked(
                    name,
                    number,
                    answer.unwrap_or(None).map(Box::new),
                ));
            });
        if begun.is_ok() {
            self.threads += 1;
            self.running
                .insert(uri.to_owned(), (number, Instant::now()));
        }
    }

    /// A thread has come back; whether its answer was still waited for.
    pub fn take(&mut self, uri: &str, number: u64, findings: Option<Box<NodeFindings>>) -> bool {
        self.threads = self.threads.saturating_sub(1);
        if self
            .running
            .get(uri)
            .is_none_or(|(running, _)| *running != number)
        {
            return false;
        }
        self.running.remove(uri);
        if let Some(findings) = findings {
            self.known.insert(uri.to_owned(), *findings);
        }
        true
    }

    /// Gives up what takes too long; whether anything did.
    pub fn give_up(&mut self) -> bool {
        let deadline = self.deadline;
        let late: Vec<String> = self
            .running
            .iter()
            .filter(|(_, (_, began))| began.elapsed() >= deadline)
            .map(|(uri, _)| uri.clone())
            .collect();
        for uri in &late {
            self.running.remove(uri);
            let seconds = deadline.as_secs();
            let diagnostic = Diagnostic::new(Code::E508, format!("no facts within {seconds} s")).help(
                "save the plan to look again; `updo doctor` goes the way to the node step by step",
            );
            let mut findings = NodeFindings::default();
            findings.add(diagnostic);
            self.known.insert(uri.clone(), findings);
        }
        !late.is_empty()
    }

    /// How long until something is given up.
    pub fn timeout(&self) -> Option<Duration> {
        let began = self.running.values().map(|(_, began)| began).min()?;
        Some(self.deadline.saturating_sub(began.elapsed()))
    }

    /// The last answer about a plan.
    pub fn of(&self, uri: &str) -> Option<&NodeFindings> {
        self.known.get(uri)
    }

    /// Forgets plans that are not open any more.
    pub fn keep(&mut self, open: impl Fn(&str) -> bool) {
        self.known.retain(|uri, _| open(uri));
        self.wanted.retain(|uri| open(uri));
    }
}
