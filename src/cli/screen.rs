//! The screen of a run: events become lines that stay, and in a terminal a block below them that is drawn anew.
//!
//! Takes the events of one run on one node and writes to standard error only. Four looks: a terminal; a terminal that
//! cannot go back (`TERM=dumb`): lines only; no terminal: lines of a log with a heartbeat; `--quiet`: what went wrong
//! and the last line. Nothing here decides anything about the run; a screen that cannot be written is not an error.

#![expect(
    clippy::disallowed_methods,
    reason = "lines of a log have the time of day"
)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use super::keys::{self, Keys};
use super::live_region::Block;
use super::ticker::{Stop, Ticker, lock};
use crate::diag::SourceMap;
use crate::diag::render::{Style, render};
use crate::exec::{Event, EventKind, NodeState};
use crate::name::NodeName;
use crate::report::progress::Progress;
use crate::report::style::hint;
use crate::report::terminal::RunSummary;
use crate::report::{github, log, terminal};
use crate::ui::{DisplayMode, Ui};

/// How often the block is drawn.
const TICK: Duration = Duration::from_millis(100);

/// Which words a run ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// New was the goal.
    Run,
    /// Old was the goal.
    Back,
    /// Another part of the program says it.
    None,
}

/// What there is to know before the first event.
pub(super) struct ScreenHeader<'a> {
    pub node: &'a NodeName,
    pub title: &'a str,
    pub steps: Option<usize>,
    pub deadline: Option<Duration>,
    pub ending: Ending,
    /// Whether the run had begun before.
    pub rejoined: bool,
    /// Whether the run can be undone when it is over.
    pub undo: bool,
    /// Whether nothing stays of it but what went wrong.
    pub is_brief: bool,
}

/// The screen of one run.
pub(super) struct Screen<'a> {
    ui: &'a Ui,
    title: String,
    ending: Ending,
    course: RunSummary,
    /// Whether there is a way back to report.
    undo: bool,
    is_brief: bool,
    shared: Arc<Mutex<Inner>>,
    ticker: Option<Ticker>,
    keys: Option<Keys>,
}

/// What both the run and the ticker write.
struct Inner {
    progress: Progress,
    node: String,
    display: DisplayMode,
    style: Style,
    width: Option<usize>,
    keys: bool,
    /// Time of the last event: since the run began, and by our clock.
    last: (Duration, Instant),
    block: Block,
    /// The step reported as making no progress.
    still: Option<u32>,
    /// The step that has a heartbeat, and how many beats there were.
    beats: (u32, u64),
}

impl<'a> Screen<'a> {
    pub(super) fn open(ui: &'a Ui, head: &ScreenHeader<'_>) -> Self {
        let live = ui.display == DisplayMode::Live;
        let keys = if live { Keys::open() } else { None };
        let progress = Progress::new(head.node.clone(), head.steps, head.deadline);
        let shared = Arc::new(Mutex::new(Inner {
            progress: if head.rejoined {
                progress.rejoined()
            } else {
                progress
            },
            node: head.node.to_string(),
            display: ui.display,
            style: ui.style,
            width: ui.given_width,
            keys: keys.is_some(),
            last: (Duration::ZERO, Instant::now()),
            block: Block::default(),
            still: None,
            beats: (u32::MAX, 0),
        }));
        let ticks = matches!(ui.display, DisplayMode::Live | DisplayMode::Log);
        let (drawn, with_keys) = (Arc::clone(&shared), keys.is_some());
        let ticker = ticks.then(|| Ticker::start(move |stop| tick(&drawn, with_keys, stop)));
        Self {
            ui,
            title: head.title.to_owned(),
            ending: head.ending,
            course: RunSummary {
                one_way: matches!(head.ending, Ending::Run) && !head.undo,
                ..RunSummary::default()
            },
            undo: head.undo,
            is_brief: head.is_brief,
            shared,
            ticker,
            keys,
        }
    }

    /// The next event.
    pub(super) fn event(&mut self, event: &Event, sources: &SourceMap) {
        self.course.event(event);
        let text = self.text(event, sources);
        let mut inner = lock(&self.shared);
        inner.progress.event(event);
        inner.last = (event.at, Instant::now());
        inner.above(text.as_deref());
    }

    /// The last line, and below it what can be done next.
    fn last(&self, event: &Event) -> Option<String> {
        let style = self.ui.style;
        let last = terminal::last(event, &self.title, &self.course, style)?;
        let EventKind::Finished { state, .. } = &event.kind else {
            return Some(last);
        };
        if self.ui.quiet || *state != NodeState::New || self.course.wrong {
            return Some(last);
        }
        let run = &self.course.run;
        let undo = match self.undo {
            true => format!(
                "roll back: {}     ",
                hint(style, &format!("updo rollback {run}"))
            ),
            false => String::new(),
        };
        let report = hint(style, &format!("updo report {run} -o report.html"));
        Some(format!("{last}\n      {undo}report: {report}"))
    }

    /// What stays on the screen of an event.
    fn text(&self, event: &Event, sources: &SourceMap) -> Option<String> {
        let (style, log) = (self.ui.style, self.ui.display == DisplayMode::Log);
        let last = match self.ending {
            Ending::Run => self.last(event),
            Ending::Back => terminal::last_back(event, &self.course.run, style),
            Ending::None => None,
        };
        let group = |text: &str| (log && self.ui.github).then(|| text.to_owned());
        match &event.kind {
            EventKind::Finished { .. } | EventKind::Started { .. } if self.is_brief => None,
            EventKind::Finished { .. } => {
                let last = last.map(|last| format!("\n{last}"));
                match (group(github::ENDGROUP), last) {
                    (Some(end), Some(last)) => Some(format!("{end}{last}")),
                    (end, last) => end.or(last),
                }
            }
            EventKind::Started { .. } => group(&github::group(event.node.as_str())),
            EventKind::Diagnostic(diagnostic) => {
                let mut text = format!("\n{}", render(diagnostic, sources, style));
                if self.ui.github {
                    for line in github::annotations(diagnostic, sources) {
                        text += &format!("\n{line}");
                    }
                }
                Some(text)
            }
            _ if self.is_brief => None,
            kind if self.ui.quiet && !matches!(kind, EventKind::Interrupt { .. }) => None,
            _ if log => log::line(event, &log::clock(SystemTime::now())),
            _ => terminal::line(event, sources, style),
        }
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        self.ticker = None;
        lock(&self.shared).block.close();
        self.keys = None;
    }
}

fn tick(inner: &Mutex<Inner>, mut keys: bool, stop: &Stop) {
    while !stop.is_asked() {
        let mut asked = false;
        if keys {
            match keys::next(TICK, Some(stop)) {
                Ok(typed) => asked = typed.iter().any(|key| matches!(key, b's' | b'S')),
                Err(_) => keys = false,
            }
        } else {
            stop.wait(TICK);
        }
        if stop.is_asked() {
            return;
        }
        lock(inner).tick(asked);
    }
}

impl Inner {
    fn now(&self) -> Duration {
        self.last.0 + self.last.1.elapsed()
    }

    /// Time goes by.
    fn tick(&mut self, asked: bool) {
        let now = self.now();
        match self.display {
            DisplayMode::Live if asked => {
                let text = self.progress.status(now, self.style).join("\n");
                self.above(Some(&text));
            }
            DisplayMode::Live => match self.progress.still_words(now) {
                Some((step, words)) if self.still != Some(step) => {
                    self.still = Some(step);
                    self.above(Some(&words));
                }
                _ => self.above(None),
            },
            DisplayMode::Log => self.beat(now),
            DisplayMode::Lines | DisplayMode::Quiet => {}
        }
    }

    fn beat(&mut self, now: Duration) {
        // Nothing is reported behind the last line, though a step whose connection was lost never ended.
        let Some(current) = self.progress.current().filter(|_| !self.progress.ended()) else {
            return;
        };
        let beats = now.saturating_sub(current.since).as_secs() / log::HEARTBEAT.as_secs();
        if (current.id, beats) == self.beats || beats == 0 {
            return;
        }
        self.beats = (current.id, beats);
        let clock = log::clock(SystemTime::now());
        let line = log::running(&self.node, &self.progress, now, &clock);
        self.above(line.as_deref());
    }

    /// Writes what stays, and the block below it, at one go.
    fn above(&mut self, text: Option<&str>) {
        if self.display != DisplayMode::Live || self.progress.ended() {
            return self.block.write(text, &[], 0);
        }
        let width = self.width.or_else(crate::ui::columns);
        let width = width.unwrap_or(self.style.width);
        let lines = self.progress.block(self.now(), self.style, self.keys);
        self.block.write(text, &lines, width);
        self.block.taskbar(self.progress.percent());
    }
}
