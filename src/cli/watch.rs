//! `updo watch`: for development. Whatever is rebuilt is upgraded as it comes, with states converted, until ctrl-c.
//!
//! Looks at sizes and times of files, waits until a burst of writes has settled, then compares by MD5 and runs what
//! differs as `updo run` does, without a question and without looking after it. What fails is said, and the next build
//! is waited for: the node is as before, or the line says what it is.

#![expect(clippy::disallowed_methods, reason = "lines have the time of day")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use super::args::WatchArgs;
use super::context::Context;
use super::exit::Exit;
use super::rehearse;
use super::screen::{Ending, Screen, ScreenHeader};
use super::signals::Signals;
use crate::diag::{Code, Diagnostic, Result};
use crate::engine::rehearsal::FirstPhase;
use crate::engine::watch::{Files, FilesLook};
use crate::engine::{Connection, Engine, Upgrade};
use crate::exec::{NodeState, Outcome, steps};
use crate::facts::node::node_facts;
use crate::name::{Module, NodeName};
use crate::report::{json, log, style};
use crate::state::file_cache::Seen;

/// For how long nothing may be written before a build counts as done.
const SETTLED: Duration = Duration::from_millis(200);

/// How often a look is taken while a build is going on.
const BURST: Duration = Duration::from_millis(50);

/// How long until a node that is locked, or gone, is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// After so long files of another machine are compared once more: their times are whole seconds.
const WHOLE_SECONDS: Duration = Duration::from_secs(2);

/// How many folders a line names.
const NAMED_FOLDERS: usize = 1;

/// After so long a rehearsal says how far it is.
const LONG: Duration = Duration::from_secs(2);

/// How many modules a line names.
const NAMED: usize = 6;

pub(super) fn run(context: &Context<'_>, args: &WatchArgs) -> Exit {
    let mut settings = match context.settings_for(Some(&args.plan), &args.push) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    settings.no_rehearsal = args.no_rehearsal;
    let signals = Signals::listen(&settings.interrupt);
    let Some(mut engine) = context.open(&args.plan, settings) else {
        return Exit::Plan;
    };
    engine.plan.soak = Duration::ZERO;
    let nodes = match engine.nodes(context.global.target.as_deref()) {
        Ok(nodes) => nodes,
        Err(diagnostic) => return context.fail(*diagnostic, &engine.plan.sources),
    };
    let [node] = nodes.as_slice() else {
        return context.usage("one node is watched at a time", "name it: -t NODE");
    };
    let mut connection = match engine.connect(node) {
        Ok(connection) => connection,
        Err(diagnostic) => return context.fail(*diagnostic, &engine.plan.sources),
    };
    // From now on a signal is an end in order.
    signals.begin();
    let mut watch = Watch {
        context,
        engine: &engine,
        node,
        said: BTreeSet::new(),
        exit: Exit::Done,
    };
    watch.line(json::stream(&engine.plan.path.display().to_string()));
    while let Err(lost) = watch.connected(&connection) {
        match watch.again(*lost) {
            Some(fresh) => connection = fresh,
            None => break,
        }
    }
    let exit = watch.exit;
    watch.line(json::ended(exit as u8, exit.words()));
    exit
}

struct Watch<'a> {
    context: &'a Context<'a>,
    engine: &'a Engine,
    node: &'a NodeName,
    /// What was said of the upgrades before: each warning is said once.
    said: BTreeSet<(Code, String)>,
    /// What the last upgrade has left: 0, unless it needs someone.
    exit: Exit,
}

impl<'a> Watch<'a> {
    /// Watches over one connection, until the end was requested.
    ///
    /// # Errors
    /// When the connection is lost.
    fn connected(&mut self, connection: &Connection<'_>) -> Result<()> {
        let interrupt = self.engine.settings.interrupt.clone();
        let facts = node_facts::gather(&connection.session)?;
        // Before anything is replaced. What cannot be kept is said with the upgrade that would need it.
        let _ = connection.keep_copies(&facts, None);
        let mut seen = Seen::nothing();
        let mut files = Files::new(connection, &facts, &mut seen);
        let mut look = files.look()?;
        let words = format!("watching {} for {}; ctrl-c ends", files.words(), self.node);
        self.context.ui.status(&words);
        self.far(&files);
        // What differs already comes first.
        let mut again = self.upgrade(connection, &mut files)?;
        loop {
            if interrupt.sleep(files.interval(), 1) {
                return Ok(());
            }
            if let Some(why) = connection.session.is_lost() {
                let title = format!("the connection to {} is lost", self.node);
                return Err(Box::new(Diagnostic::new(Code::E508, title).note(why)));
            }
            let is_moved = files.path_is_another()?;
            let now = files.look()?;
            let is_due = again.is_some_and(|at| at <= Instant::now());
            if now == look && !is_due && !is_moved {
                continue;
            }
            match self.settled(&mut files, now)? {
                Some(last) => look = last,
                None => return Ok(()),
            }
            again = self.upgrade(connection, &mut files)?;
        }
    }

    /// Says that a build on this machine is not seen, where the node's files are those of another one.
    fn far(&self, files: &Files<'_>) {
        let folders: Vec<&str> = files.far().take(NAMED_FOLDERS + 1).collect();
        let Some(first) = folders.first() else { return };
        let more = if folders.len() > 1 { " and others" } else { "" };
        let style = self.context.ui.style;
        let text = format!(
            "{first}{more} cannot be read here: {} is asked what is there, and a build on this machine is not seen",
            self.node
        );
        self.context.ui.status(&style::attention(style, &text));
        let command = format!(
            "updo watch {} --push '_build/default/lib/*/ebin/*.beam'",
            self.node
        );
        self.context.ui.status(&format!(
            "      what is built here: {}",
            style::hint(style, &command)
        ));
    }

    /// Waits until nothing is written any more; `None` when the end was requested.
    fn settled(&self, files: &mut Files<'_>, first: FilesLook) -> Result<Option<FilesLook>> {
        let (mut last, mut since) = (first, Instant::now());
        loop {
            if self.engine.settings.interrupt.sleep(BURST, 1) {
                return Ok(None);
            }
            let now = files.look()?;
            if now != last {
                (last, since) = (now, Instant::now());
            } else if since.elapsed() >= SETTLED {
                return Ok(Some(last));
            }
        }
    }

    /// The next connection to a node that was lost; `None` when the end was requested.
    fn again(&mut self, lost: Diagnostic) -> Option<Connection<'a>> {
        self.context
            .ui
            .diagnostics(&[lost], &self.engine.plan.sources);
        self.say("waiting", &[], None, &format!("waiting for {}", self.node));
        while !self.engine.settings.interrupt.sleep(AGAIN, 1) {
            if let Ok(connection) = self.engine.connect(self.node) {
                self.said.clear();
                return Some(connection);
            }
        }
        None
    }

    /// Upgrades what differs. When to compare again, though no file has changed.
    ///
    /// # Errors
    /// When the connection is lost. All else is said.
    fn upgrade(
        &mut self,
        connection: &Connection<'_>,
        files: &mut Files<'_>,
    ) -> Result<Option<Instant>> {
        let again = files.are_far().then(|| Instant::now() + WHOLE_SECONDS);
        let began = Instant::now();
        if let Err(diagnostic) = connection.ensure_unlocked() {
            self.failed(diagnostic)?;
            return Ok(Some(Instant::now() + AGAIN));
        }
        let mut upgrade = match connection.prepare() {
            Ok(upgrade) => upgrade,
            Err(diagnostic) => {
                self.failed(diagnostic)?;
                return Ok(again);
            }
        };
        files.of(&upgrade.facts);
        if upgrade.is_empty() {
            if !upgrade.left_alone().is_empty() {
                self.diagnostics(&upgrade.diagnostics);
            }
            return Ok(again);
        }
        for line in connection.head(&upgrade) {
            self.line(line);
        }
        self.diagnostics(&upgrade.diagnostics);
        let words = Words::of(&upgrade);
        let no_undo = upgrade.no_undo.as_ref();
        if let Some(found) = no_undo.filter(|found| found.wants_answer()) {
            self.context
                .ui
                .diagnostics(&[found.refusal()], &self.engine.plan.sources);
        } else if !upgrade.is_refused() {
            let Ok(rehearsed) = self.rehearsed(connection, &mut upgrade)? else {
                self.untouched(&words);
                return Ok(again);
            };
            let outcome = self.run(connection, &upgrade, rehearsed.as_ref());
            self.ended(&words, &outcome, began);
            if outcome.state == NodeState::Unknown {
                let title = format!("{} does not answer any more", self.node);
                return Err(Box::new(Diagnostic::new(Code::E508, title)));
            }
            // It has changed between the comparison and the run, or another run was there first.
            let is_stale = outcome.locked || outcome.errors.iter().any(|e| e.code == Code::E602);
            return Ok(match is_stale {
                true => Some(Instant::now() + AGAIN),
                false => again,
            });
        }
        self.untouched(&words);
        Ok(again)
    }

    /// The line of what was refused before anything was touched.
    fn untouched(&self, words: &Words) {
        let line = format!("not upgraded {}: nothing was changed", words.all());
        self.say("refused", &words.modules, None, &line);
    }

    /// Tries the conversions, as a run does first. `Err(())`: some would fail, which is said.
    fn rehearsed(
        &mut self,
        connection: &Connection<'_>,
        upgrade: &mut Upgrade,
    ) -> Result<std::result::Result<Option<FirstPhase>, ()>> {
        let ui = &self.context.ui;
        let plan = &self.engine.plan;
        let began = Instant::now();
        let mut progress = |module: &Module, done: u64, all: u64| {
            if began.elapsed() >= LONG {
                ui.status(&format!("rehearsal of {module}: {done} of {all} states"));
            }
        };
        let done = match connection.rehearse_first(upgrade, &mut progress) {
            Ok(Some(done)) => done,
            Ok(None) => return Ok(Ok(None)),
            Err(diagnostic) if is_connection(&diagnostic) => return Err(diagnostic),
            Err(diagnostic) => {
                ui.diagnostics(&[*diagnostic], &plan.sources);
                return Ok(Err(()));
            }
        };
        let looked = rehearse::judged(plan, self.node, upgrade, &done, "");
        self.line(looked.phase.event.clone());
        if let Some(window) = &looked.window {
            ui.status(window);
        }
        self.diagnostics(&looked.found);
        Ok(match looked.fails {
            true => Err(()),
            false => Ok(Some(looked.phase)),
        })
    }

    fn run(
        &self,
        connection: &Connection<'_>,
        upgrade: &Upgrade,
        rehearsed: Option<&FirstPhase>,
    ) -> Outcome {
        let sources = &self.engine.plan.sources;
        // One line says how it ended; until then a screen shows what goes on, and a log what takes long.
        let plan = &self.engine.plan;
        let taken = steps::soaked(&upgrade.script, &upgrade.rules, plan.soak);
        let mut screen = Screen::open(
            &self.context.ui,
            &ScreenHeader {
                node: self.node,
                title: &plan.title,
                steps: Some(taken.len() + 1),
                deadline: plan.deadline,
                ending: Ending::None,
                rejoined: false,
                undo: false,
                is_brief: true,
            },
        );
        connection.run_rehearsed(upgrade, rehearsed, &mut |event| {
            self.line(json::event(event, sources));
            screen.event(event, sources);
        })
    }

    /// The line of an upgrade that was run.
    fn ended(&mut self, words: &Words, outcome: &Outcome, began: Instant) {
        let took = style::time(began.elapsed());
        let (is, line) = match outcome.state {
            NodeState::New if outcome.errors.is_empty() => {
                let converted = match outcome.converted {
                    0 => String::new(),
                    some => {
                        let some = usize::try_from(some).unwrap_or(usize::MAX);
                        format!("{} converted, ", style::count(some, "state", "states"))
                    }
                };
                ("upgraded", format!("{}: {converted}{took}", words.done()))
            }
            NodeState::Old if outcome.touched => {
                let line = format!("undone {}: the node is as before", words.all());
                ("undone", line)
            }
            NodeState::Old => {
                let line = format!("not upgraded {}: nothing was changed", words.all());
                ("refused", line)
            }
            NodeState::Unknown => ("unknown", format!("lost in the upgrade of {}", words.all())),
            NodeState::New | NodeState::Mixed => {
                let line = format!("{} need manual repair, see above", words.all());
                ("broken", line)
            }
        };
        self.exit = match is {
            "broken" => Exit::Broken,
            "unknown" => Exit::Lost,
            _ => Exit::Done,
        };
        self.say(is, &words.modules, Some((outcome, began)), &line);
    }

    /// One line about what has happened, with the time of day.
    fn say(&self, is: &str, modules: &[Module], run: Option<(&Outcome, Instant)>, line: &str) {
        let clock = log::clock(SystemTime::now());
        self.context.ui.error_line(&format!("{clock} {line}"));
        let converted = run.map_or(0, |(outcome, _)| outcome.converted);
        let took = run.map(|(_, began)| began.elapsed());
        self.line(json::watched(self.node, is, modules, converted, took, line));
    }

    /// What keeps an upgrade from being prepared. It is said, unless the connection is the reason.
    fn failed(&mut self, diagnostic: Box<Diagnostic>) -> Result<()> {
        match is_connection(&diagnostic) {
            true => Err(diagnostic),
            false => {
                self.diagnostics(std::slice::from_ref(&*diagnostic));
                Ok(())
            }
        }
    }

    /// Diagnostics: errors always, the others when they are new.
    fn diagnostics(&mut self, all: &[Diagnostic]) {
        let said = &mut self.said;
        let mut is_new = |one: &Diagnostic| {
            said.insert((one.code, one.title.clone())) || (one.is_error() && one.code != Code::E505)
        };
        let new: Vec<Diagnostic> = all.iter().filter(|one| is_new(one)).cloned().collect();
        self.context.ui.diagnostics(&new, &self.engine.plan.sources);
    }

    /// One line of the stream.
    fn line(&self, line: Value) {
        if self.context.ui.json {
            self.context.ui.json(&format!("{line}\n"));
        }
    }
}

/// Whether it is the way to the node that has failed.
fn is_connection(diagnostic: &Diagnostic) -> bool {
    Exit::of(diagnostic.code) == Exit::Connect
}

/// The modules of an upgrade.
struct Words {
    modules: Vec<Module>,
    upgraded: Vec<Module>,
    loaded: Vec<Module>,
    deleted: Vec<Module>,
}

impl Words {
    fn of(upgrade: &Upgrade) -> Self {
        let mut words = Self {
            modules: Vec::new(),
            upgraded: Vec::new(),
            loaded: Vec::new(),
            deleted: Vec::new(),
        };
        for (module, changed) in &upgrade.changes.modules {
            if !upgrade.rules.modules.contains_key(module) {
                continue;
            }
            words.modules.push(module.clone());
            let list = if changed.new.is_none() {
                &mut words.deleted
            } else if changed.is_new() {
                &mut words.loaded
            } else {
                &mut words.upgraded
            };
            list.push(module.clone());
        }
        words
    }

    fn all(&self) -> String {
        names(&self.modules)
    }

    /// `upgraded shop_cart, shop_till; loaded shop_fee`.
    fn done(&self) -> String {
        let parts = [
            ("upgraded", &self.upgraded),
            ("loaded", &self.loaded),
            ("deleted", &self.deleted),
        ];
        let parts = parts.iter().filter(|(_, modules)| !modules.is_empty());
        let parts: Vec<String> = parts
            .map(|(word, modules)| format!("{word} {}", names(modules)))
            .collect();
        match parts.is_empty() {
            true => "upgraded".to_owned(),
            false => parts.join("; "),
        }
    }
}

fn names(modules: &[Module]) -> String {
    let shown: Vec<String> = modules
        .iter()
        .take(NAMED)
        .map(ToString::to_string)
        .collect();
    let shown = shown.join(", ");
    match modules.len().checked_sub(NAMED).filter(|more| *more > 0) {
        Some(more) => format!("{shown} and {more} more"),
        None => shown,
    }
}
