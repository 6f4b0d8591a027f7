//! The screen of a rollout over several nodes: a line per node that stays, and in a terminal a block below with those
//! at work, what waits, and the pause.
//!
//! Takes what the walk says and passes every event on to the [`OutputStream`]. It decides one thing: whether a pause is over.

#![expect(
    clippy::disallowed_methods,
    reason = "lines of a log have the time of day"
)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::context::Context;
use super::event_sinks::OutputStream;
use super::keys::{self, Keys};
use super::live_region::Block;
use super::ticker::{Ticker, lock};
use crate::diag::render::{Style, render};
use crate::engine::Engine;
use crate::engine::rollout::{HoldProgress, PreparedNode, RolloutEvent, Watcher};
use crate::exec::{Event, EventKind, Interrupt};
use crate::plan::rollout::{Pause, Stage};
use crate::report::rollout::{HoldLine, RolloutScreen};
use crate::report::{github, json, log, style, terminal};
use crate::ui::DisplayMode;

/// How often the block is drawn.
const TICK: Duration = Duration::from_millis(100);

/// How often a log and the stream say how far a hold has come: so many times in all, and not more often than each second.
const HOLD_REPORTS: u32 = 20;

/// The screen of one rollout.
pub(super) struct Walking<'a> {
    context: &'a Context<'a>,
    engine: &'a Engine,
    stream: &'a mut OutputStream,
    interrupt: Interrupt,
    /// Its name.
    rollout: String,
    /// The stages, as the stream has them.
    stages: Value,
    /// What is at the head of each node's events.
    heads: Vec<Vec<Value>>,
    shared: Arc<Mutex<Inner>>,
    ticker: Option<Ticker>,
    /// When how far a hold has come is reported next.
    hold_due: Option<Instant>,
}

struct Inner {
    board: RolloutScreen,
    block: Block,
    display: DisplayMode,
    style: Style,
    width: Option<usize>,
    keys: bool,
}

impl Inner {
    fn above(&mut self, text: Option<&str>) {
        if self.display != DisplayMode::Live {
            return self.block.write(text, &[], 0);
        }
        let lines = self.board.block(Instant::now(), self.style, self.keys);
        let width = self.width.or_else(crate::ui::columns);
        self.block
            .write(text, &lines, width.unwrap_or(self.style.width));
    }
}

impl<'a> Walking<'a> {
    pub(super) fn open(
        context: &'a Context<'a>,
        engine: &'a Engine,
        stream: &'a mut OutputStream,
        prepared_nodes: &[PreparedNode<'_>],
        stages: &[Stage],
    ) -> Self {
        let ui = &context.ui;
        let nodes: Vec<_> = prepared_nodes
            .iter()
            .map(|prepared| prepared.connection.session.node().clone())
            .collect();
        let is_wanted = stream.is_wanted(context);
        let heads = prepared_nodes.iter().map(move |prepared| match is_wanted {
            true => prepared.connection.head(&prepared.upgrade),
            false => Vec::new(),
        });
        let stages_told = stages.iter().map(|stage| {
            let nodes: Vec<&str> = stage.nodes.iter().map(|at| nodes[*at].as_str()).collect();
            json!({ "name": stage.name, "nodes": nodes })
        });
        let shared = Arc::new(Mutex::new(Inner {
            board: RolloutScreen::new(&nodes, stages),
            block: Block::default(),
            display: ui.display,
            style: ui.style,
            width: ui.given_width,
            keys: false,
        }));
        let drawn = Arc::clone(&shared);
        let ticker = (ui.display == DisplayMode::Live).then(|| {
            Ticker::start(move |stop| {
                while !stop.is_asked() {
                    stop.wait(TICK);
                    if !stop.is_asked() {
                        lock(&drawn).above(None);
                    }
                }
            })
        });
        Self {
            context,
            engine,
            stream,
            interrupt: engine.settings.interrupt.clone(),
            rollout: String::new(),
            stages: stages_told.collect(),
            heads: heads.collect(),
            shared,
            ticker,
            hold_due: None,
        }
    }

    /// A line of the stream about the whole.
    fn emit(&mut self, kind: &str, message: &str, fields: Value) {
        let line = json::rollout(kind, &self.rollout, message, fields);
        self.stream.line(self.context, line);
    }

    fn log(&self) -> bool {
        self.context.ui.display == DisplayMode::Log
    }

    fn above(&self, text: &str) {
        lock(&self.shared).above(Some(text));
    }

    /// A line about the whole.
    fn rollout_event(&self, text: &str, words: &str) {
        if self.context.ui.quiet {
            return;
        }
        let line = match self.log() {
            true => format!("{} rollout {words}", log::clock(SystemTime::now())),
            false => text.to_owned(),
        };
        self.above(&line);
    }

    /// How far what has to hold has come: always on the screen, now and then in the stream and a log.
    fn holding(&mut self, progress: &[HoldProgress], now: Instant) {
        let lines: Vec<HoldLine> = progress
            .iter()
            .map(|hold| HoldLine {
                name: hold.name.clone(),
                held: hold.held,
                goal: hold.goal,
                nodes: hold.nodes,
            })
            .collect();
        if self.hold_due.is_none_or(|due| now >= due) {
            let longest = progress.iter().map(|hold| hold.goal).max();
            let rest = longest.unwrap_or_default() / HOLD_REPORTS;
            self.hold_due = now.checked_add(rest.max(Duration::from_secs(1)));
            let words: Vec<String> = lines.iter().map(HoldLine::words).collect();
            let holds: Vec<Value> = progress
                .iter()
                .map(|hold| {
                    json!({
                        "name": hold.name,
                        "held_ms": json::ms(hold.held),
                        "for_ms": json::ms(hold.goal),
                        "nodes": hold.nodes,
                        "tries": hold.tries,
                    })
                })
                .collect();
            let words = words.join("; ");
            self.emit("hold.progress", &words, json!({ "holds": holds }));
            if self.log() && !words.is_empty() {
                self.rollout_event("", &format!("hold running {words}"));
            }
        }
        lock(&self.shared).board.holds(lines);
    }

    /// What stays on the screen of an event.
    fn text(&self, event: &Event, whole: bool) -> Option<String> {
        let (ui, sources) = (&self.context.ui, &self.engine.plan.sources);
        match &event.kind {
            EventKind::Diagnostic(diagnostic) => {
                let mut text = format!(
                    "\n{}\n{}",
                    event.node,
                    render(diagnostic, sources, ui.style)
                );
                if ui.github {
                    for line in github::annotations(diagnostic, sources) {
                        text += &format!("\n{line}");
                    }
                }
                Some(text)
            }
            _ if ui.quiet => None,
            _ if self.log() => log::line(event, &log::clock(SystemTime::now())),
            // On a screen a node has a line of its own; what it says is reported with its name.
            EventKind::Log { text, .. } if !whole => {
                Some(format!("{:>10}  {}: {text}", "", event.node))
            }
            EventKind::Log { .. } => terminal::line(event, sources, ui.style),
            EventKind::Interrupt { text } => {
                Some(format!("{:>10}  {}: {text}", "stop", event.node))
            }
            EventKind::Check { .. } | EventKind::Hook { .. } | EventKind::Gate { .. } if whole => {
                terminal::line(event, sources, ui.style)
            }
            // Of those that held there is one line for all nodes.
            EventKind::Hold { ok: false, .. } => terminal::line(event, sources, ui.style)
                .map(|line| format!("{line} on {}", event.node)),
            EventKind::Lingering { .. } => terminal::line(event, sources, ui.style),
            _ => None,
        }
    }

    /// Waits for the end of a pause; `false` when the end of the rollout was requested.
    fn wait(&self, time: Duration) -> bool {
        let keys = match self.context.ui.display {
            DisplayMode::Live => Keys::open(),
            _ => None,
        };
        lock(&self.shared).keys = keys.is_some();
        let began = Instant::now();
        let on = loop {
            let left = time.saturating_sub(began.elapsed());
            if self.interrupt.count() > 0 {
                break false;
            }
            if left.is_zero() {
                break true;
            }
            let slice = left.min(TICK);
            let typed = match &keys {
                Some(_) => keys::next(slice, None).unwrap_or_default(),
                None => {
                    std::thread::sleep(slice);
                    Vec::new()
                }
            };
            if typed.iter().any(|key| matches!(key, b'p' | b'P')) {
                break true;
            }
        };
        lock(&self.shared).keys = false;
        on
    }

    /// Asks the user.
    fn ask(&self, next: &str, nodes: usize) -> bool {
        let question = format!(
            "go on with {next}, {}?",
            style::count(nodes, "node", "nodes")
        );
        // The block must not be drawn over the question.
        let mut inner = lock(&self.shared);
        inner.block.close();
        let ui = &self.context.ui;
        if ui.no_input {
            return false;
        }
        keys::forget();
        ui.question(&question);
        loop {
            if self.interrupt.count() > 0 {
                ui.error_line("");
                return false;
            }
            match keys::ready(TICK) {
                Ok(false) => {}
                Ok(true) => return ui.answer() == Some(true),
                Err(_) => return false,
            }
        }
    }
}

impl Watcher for Walking<'_> {
    fn on_event(&mut self, rollout_event: RolloutEvent<'_>) {
        let now = Instant::now();
        let style = self.context.ui.style;
        match rollout_event {
            RolloutEvent::Began(rollout) => {
                rollout.clone_into(&mut self.rollout);
                let fields = json!({ "stages": self.stages });
                self.emit("rollout.started", "the rollout begins", fields);
            }
            RolloutEvent::StageStarted { stage } => {
                let (name, size) = {
                    let mut inner = lock(&self.shared);
                    inner.board.stage();
                    let board = &inner.board;
                    (board.stage_name(stage).to_owned(), board.stage_size(stage))
                };
                self.emit(
                    "batch.started",
                    &format!("{name} begins"),
                    json!({ "name": name }),
                );
                if self.log() {
                    self.rollout_event("", &format!("{name} begins nodes={size}"));
                }
            }
            RolloutEvent::Turn(at) => {
                let head = std::mem::take(&mut self.heads[at]);
                self.stream.head(self.context, &head);
            }
            RolloutEvent::Node { at, event } => {
                self.stream.write(self.context, self.engine, event);
                lock(&self.shared).board.event(at, event, now);
                if let Some(text) = self.text(event, false) {
                    self.above(&text);
                }
            }
            RolloutEvent::Whole(event) => {
                if matches!(event.kind, EventKind::Gate { .. }) {
                    lock(&self.shared).board.gate(None, now);
                }
                self.stream
                    .rollout_event(self.context, self.engine, &self.rollout, event);
                if let Some(text) = self.text(event, true) {
                    self.above(&text);
                }
            }
            RolloutEvent::Ended { at, outcome } => {
                let log = self.log();
                let mut inner = lock(&self.shared);
                let line = match log {
                    true => {
                        let clock = log::clock(SystemTime::now());
                        inner.board.ended_plain(at, outcome, now, &clock)
                    }
                    false => inner.board.ended(at, outcome, now, style),
                };
                if !self.context.ui.quiet || !outcome.errors.is_empty() {
                    inner.above(Some(&line));
                }
            }
            RolloutEvent::StageFinished { stage, took } => {
                let name = lock(&self.shared).board.stage_name(stage).to_owned();
                let fields = json!({ "name": name, "took_ms": json::ms(took) });
                self.emit("batch.finished", &format!("{name} is over"), fields);
            }
            RolloutEvent::Together {
                phase,
                words,
                ready,
                nodes,
            } => {
                let text = format!("{ready} of {nodes} nodes are {words}");
                lock(&self.shared).board.together(&text);
                let fields = json!({ "phase": phase, "ready": ready, "nodes": nodes });
                self.emit("together.progress", &text, fields);
                if ready == nodes {
                    let mark = style::mark(style, true);
                    let text = format!("all nodes are {words}");
                    self.rollout_event(
                        &format!("{:>10}  {mark} {text}", "together"),
                        &format!("together ok {text}"),
                    );
                }
            }
            RolloutEvent::Stopping(text) => {
                self.emit("rollout.stopping", &text, json!({}));
                let line = style::attention(style, &text);
                self.rollout_event(&format!("{:>10}  {line}", "stop"), &format!("stop {text}"));
            }
            RolloutEvent::Holding(progress) => self.holding(progress, now),
            RolloutEvent::HoldOver => {
                self.hold_due = None;
                lock(&self.shared).board.holds(Vec::new());
            }
            RolloutEvent::Held { name, goal, nodes } => {
                let nodes = style::count(nodes, "node", "nodes");
                let mark = style::mark(style, true);
                let name = crate::diag::safe::line(name);
                let text = format!("{name}: held {} on {nodes}", style::time(goal));
                self.rollout_event(
                    &format!("{:>10}  {mark} {text}", "hold"),
                    &format!("hold ok {text}"),
                );
            }
            RolloutEvent::Gate { name, within, next } => {
                let before = {
                    let mut inner = lock(&self.shared);
                    let gate = Some((name.to_owned(), next, within));
                    inner.board.gate(gate, now);
                    inner.board.stage_name(next).to_owned()
                };
                let fields = json!({
                    "name": name,
                    "before": before,
                    "within_ms": json::ms(within),
                });
                let message = format!("the gate {name} is asked before {before}");
                self.emit("gate.started", &message, fields);
                if self.log() {
                    self.rollout_event("", &format!("gate {message}"));
                }
            }
            RolloutEvent::Back(why) => {
                lock(&self.shared).board.rolling_back();
                let text = &format!("{why}: the nodes that are new go back, the last one first");
                self.emit("rollout.back", text, json!({}));
                self.rollout_event(&format!("{:>10}  {text}", "back"), &format!("back {text}"));
            }
        }
    }

    fn pause(&mut self, pause: Pause, next: usize) -> bool {
        let (name, size) = {
            let mut inner = lock(&self.shared);
            inner.board.pause(pause, next, Instant::now());
            (
                inner.board.stage_name(next).to_owned(),
                inner.board.stage_size(next),
            )
        };
        let time = match pause {
            Pause::For(time) => Some(json::ms(time)),
            _ => None,
        };
        let message = format!("a pause before {name}");
        self.emit("pause", &message, json!({ "before": name, "for_ms": time }));
        match pause {
            Pause::None => true,
            Pause::For(time) => {
                let words = format!("pause {} before {name}", style::time(time));
                let line = format!("{:>10}  {} before {name}", "pause", style::time(time));
                if self.context.ui.display != DisplayMode::Live {
                    self.rollout_event(&line, &words);
                }
                self.wait(time)
            }
            Pause::Confirm => self.ask(&name, size),
        }
    }
}

impl Drop for Walking<'_> {
    fn drop(&mut self) {
        self.ticker = None;
        lock(&self.shared).block.close();
    }
}
