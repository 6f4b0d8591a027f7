//! What is going on right now, out of the events so far: the block at the bottom of a terminal, the answer to `s`,
//! the heartbeat of a log.
//!
//! Takes events in order and the time since the run began, gives lines of text. It knows no terminal and no clock, and
//! says only what the events said.

use std::time::Duration;

use super::style::{attention, bad, faint, time};
use crate::diag::render::Style;
use crate::exec::{BusyProcess, Event, EventKind, StepKind};
use crate::name::NodeName;

/// After so long without another finished process a step counts as stalled.
pub const STILL: Duration = Duration::from_secs(5);

/// Cells of the bar.
const BAR: usize = 20;

/// The step that is being taken.
#[derive(Clone, Debug)]
pub struct Current {
    /// Its number in the job.
    pub id: u32,
    /// What it is.
    pub step: StepKind,
    /// The modules concerned, in words.
    pub what: String,
    /// When it began, counted from the beginning of the run.
    pub since: Duration,
    /// When it last came further.
    pub moved: Duration,
    /// Processes done, and processes in all, as far as that was reported.
    pub count: Option<(u64, u64)>,
    /// What it waits for.
    pub slowest: Vec<BusyProcess>,
    /// When that was reported.
    pub reported_at: Duration,
    /// Whether it is being undone: a live window that is turned round goes on to say how far it is.
    pub undone: bool,
}

impl Current {
    /// The step, or that it is being undone.
    pub fn word(&self) -> String {
        match self.undone {
            true => "undo".to_owned(),
            false => self.step.to_string(),
        }
    }
}

/// The current state of a run on one node.
#[derive(Clone, Debug)]
pub struct Progress {
    node: NodeName,
    /// Steps in all, where that is known.
    steps: Option<usize>,
    deadline: Option<Duration>,
    begun: usize,
    current: Option<Current>,
    back: bool,
    /// The step that was being taken when the undo began.
    turned: Option<Current>,
    /// Since when processes are suspended.
    suspended_since: Option<Duration>,
    /// How long they were suspended in windows that are over.
    suspended_before: Duration,
    ended: bool,
    /// Whether the run had begun before this client watched: steps have taken longer than it has seen.
    rejoined: bool,
}

impl Progress {
    /// Before the first event. `deadline` counts from the first event.
    pub fn new(node: NodeName, steps: Option<usize>, deadline: Option<Duration>) -> Self {
        Self {
            node,
            steps,
            deadline,
            begun: 0,
            current: None,
            back: false,
            turned: None,
            suspended_since: None,
            suspended_before: Duration::ZERO,
            ended: false,
            rejoined: false,
        }
    }

    /// The run has begun before this: its events are reported again, all of the past at once.
    #[must_use]
    pub fn rejoined(self) -> Self {
        Self {
            rejoined: true,
            ..self
        }
    }

    /// The next event.
    pub fn event(&mut self, event: &Event) {
        match &event.kind {
            EventKind::StepStarted { id, step, what } => {
                self.begun += 1;
                if *step == StepKind::Suspend {
                    self.suspended_since.get_or_insert(event.at);
                }
                self.current = Some(Current {
                    id: *id,
                    step: *step,
                    what: what.clone(),
                    since: event.at,
                    moved: event.at,
                    count: None,
                    slowest: Vec::new(),
                    reported_at: event.at,
                    undone: false,
                });
            }
            EventKind::StepProgress {
                id,
                done,
                total,
                slowest,
            } => {
                let turned = self.turned.take_if(|step| step.id == *id);
                if let (None, Some(step)) = (&self.current, turned) {
                    self.current = Some(step);
                }
                if let Some(current) = self.current.as_mut().filter(|step| step.id == *id) {
                    let now = Some((*done, *total));
                    if current
                        .count
                        .is_none_or(|(before, of)| before != *done || of != *total)
                        && (*done > 0 || current.count.is_some())
                    {
                        current.moved = event.at;
                    }
                    current.count = now;
                    current.slowest.clone_from(slowest);
                    current.reported_at = event.at;
                }
            }
            EventKind::StepPostponed {
                id,
                paused,
                processes,
                waiting,
                slowest,
                ..
            } => {
                if self.suspended_since.take().is_some() {
                    self.suspended_before += *paused;
                }
                if let Some(current) = self.current.as_mut().filter(|step| step.id == *id) {
                    current.count = Some((0, processes + waiting));
                    current.slowest.clone_from(slowest);
                    current.reported_at = event.at;
                }
            }
            EventKind::StepFinished {
                step, attempts, ok, ..
            } => {
                self.turned = self.current.take().filter(|_| !ok);
                if let (StepKind::Suspend, None, Some((_, paused))) =
                    (step, self.suspended_since, attempts)
                {
                    self.suspended_since = Some(event.at.saturating_sub(*paused));
                }
                // A client that rejoins a run learns of its preparation only that it is over.
                self.begun = self.begun.max(1);
                if *step == StepKind::Resume {
                    self.moving(event.at);
                }
            }
            EventKind::RollbackStarted => {
                self.back = true;
                // The step that failed has ended by then: what is undone of it has its number.
                self.turned = self.current.take().or(self.turned.take());
                if let Some(step) = &mut self.turned {
                    (step.since, step.moved, step.count) = (event.at, event.at, None);
                    step.slowest.clear();
                    step.undone = true;
                }
            }
            EventKind::RollbackFinished { .. } => {
                self.current.take_if(|step| step.undone);
                self.turned = None;
                self.moving(event.at);
            }
            EventKind::Finished { .. } => {
                self.moving(event.at);
                self.ended = true;
            }
            _ => {}
        }
    }

    fn moving(&mut self, at: Duration) {
        if let Some(since) = self.suspended_since.take() {
            self.suspended_before += at.saturating_sub(since);
        }
    }

    /// The step that is being taken.
    pub fn current(&self) -> Option<&Current> {
        self.current.as_ref()
    }

    /// Whether the run is over.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// How far it is, in percent: of the steps, and of the step's processes. `None` when unknown.
    pub fn percent(&self) -> Option<u32> {
        let steps = self.steps.filter(|steps| *steps > 0 && !self.back)?;
        let begun = self.begun.min(steps);
        let within = match self.current.as_ref().map(|current| current.count) {
            Some(Some((done, total))) if total > 0 => done.min(total) as f64 / total as f64,
            Some(_) => 0.0,
            None => 1.0,
        };
        let before = begun.saturating_sub(1) as f64;
        Some((100.0 * (before + within) / steps as f64).clamp(0.0, 100.0) as u32)
    }

    /// How long the step has not come further, when that is long; `now` since the run began.
    pub fn still(&self, now: Duration) -> Option<(&Current, Duration)> {
        let current = self.current.as_ref()?;
        let still = now.saturating_sub(current.moved);
        (still >= STILL).then_some((current, still))
    }

    /// The block: what is being done, what it waits for, and the state of the run.
    pub fn block(&self, now: Duration, style: Style, keys: bool) -> Vec<String> {
        let mut lines = Vec::new();
        let going = if style.unicode { "▸" } else { ">" };
        match &self.current {
            Some(current) => {
                let took = self.at_least(now.saturating_sub(current.since));
                let mut line = format!(
                    "{:>12}  {going}  {took:<7} {}",
                    current.word(),
                    current.what
                );
                if let Some((done, total)) = current.count {
                    let counted = counted(current, done, total);
                    line += &format!("  {counted}  {}", bar(done, total, style));
                }
                lines.push(line);
                if let Some(slow) = current.slowest.first() {
                    let pad = " ".repeat(25);
                    lines.push(format!("{pad}slowest {}", words(slow, now, current)));
                }
                if let Some((_, still)) = self.still(now) {
                    let text = format!("{:>25}no progress for {}", "", time(still));
                    lines.push(attention(style, &text));
                }
            }
            None if self.back => lines.push(format!("{:>12}  {going}", "undo")),
            None => lines.push(format!("{:>12}  {going}", "checks")),
        }
        let keys = if keys { "s=status  " } else { "" };
        let hint = faint(style, &format!("{keys}Ctrl-C=stop"));
        lines.push(format!(
            "  {}      {hint}",
            self.suspended_words(now, style)
        ));
        lines
    }

    /// What is being done, in a few words.
    pub fn short(&self, now: Duration) -> String {
        match &self.current {
            Some(current) if !self.back || current.undone => {
                let took = time(now.saturating_sub(current.since));
                match (current.count, current.slowest.first()) {
                    (Some((done, total)), Some(slow)) => {
                        format!(
                            "{} {done}/{total}, slowest {}",
                            current.word(),
                            words(slow, now, current)
                        )
                    }
                    (Some((done, total)), None) => {
                        format!("{} {}", current.word(), counted(current, done, total))
                    }
                    (None, _) => format!("{} {took}", current.word()),
                }
            }
            _ if self.back => "undo".to_owned(),
            _ => "checks".to_owned(),
        }
    }

    /// The answer to `s`.
    pub fn status(&self, now: Duration, style: Style) -> Vec<String> {
        let mut lines = vec![format!(
            "{:>12}     {}",
            "status",
            self.suspended_words(now, style)
        )];
        let mut more = |text: String| lines.push(format!("{:>17}{text}", ""));
        match &self.current {
            Some(current) => {
                let count = match current.count {
                    Some(_) if current.step == StepKind::Soak => String::new(),
                    Some((done, total)) => format!(": {done} of {total} processes done"),
                    None => String::new(),
                };
                let took = self.at_least(now.saturating_sub(current.since));
                more(format!(
                    "{} {} for {took}{count}",
                    current.word(),
                    current.what
                ));
                for slow in &current.slowest {
                    more(words(slow, now, current));
                }
                if let Some((_, still)) = self.still(now) {
                    more(format!("no progress for {}", time(still)));
                }
            }
            None if self.back => more("undoing the upgrade".to_owned()),
            None => more("between the steps: checks and hooks of the plan".to_owned()),
        }
        lines
    }

    /// What is reported once when a step makes no progress.
    pub fn still_words(&self, now: Duration) -> Option<(u32, String)> {
        let (current, still) = self.still(now)?;
        let slowest = match current.slowest.first() {
            Some(slow) => format!(", slowest {}", words(slow, now, current)),
            None => String::new(),
        };
        let text = format!(
            "{:>12}     no progress for {}: {}{slowest}",
            current.word(),
            time(still),
            current.what
        );
        Some((current.id, text))
    }

    fn at_least(&self, duration: Duration) -> String {
        let more = if self.rejoined { ">" } else { "" };
        format!("{more}{}", time(duration))
    }

    fn suspended_words(&self, now: Duration, style: Style) -> String {
        let dot = if style.unicode { "·" } else { "-" };
        let mut text = self.node.to_string();
        match self.steps {
            _ if self.back => text += "  undoing",
            Some(steps) if self.begun > 0 && self.begun <= steps => {
                text += &format!("  step {}/{steps}", self.begun);
            }
            _ if self.begun > 0 => text += &format!("  step {}", self.begun),
            _ => text += &format!("  for {}", time(now)),
        }
        let suspended = self.suspended_since.map(|since| now.saturating_sub(since));
        let total = self.suspended_before + suspended.unwrap_or_default();
        if !total.is_zero() {
            text += &format!(" {dot} suspended {}", self.at_least(total));
        }
        if let Some(deadline) = self.deadline.filter(|_| !self.back) {
            let left = deadline.saturating_sub(now);
            text += &if left.is_zero() {
                format!(" {dot} {}", bad(style, "deadline over"))
            } else {
                format!(" {dot} deadline {}", time(left))
            };
        }
        text
    }
}

/// How far a step is: processes, or of a soak the time.
fn counted(current: &Current, done: u64, total: u64) -> String {
    match current.step {
        StepKind::Soak => {
            let [done, total] = [done, total].map(|ms| time(Duration::from_millis(ms)));
            format!("{done}/{total}")
        }
        _ => format!("{done}/{total}"),
    }
}

/// `<0.812.0> 1.7s in shop_cart_db:migrate/2`: as old as it was when that was reported, and older by now.
fn words(slow: &BusyProcess, now: Duration, current: &Current) -> String {
    slowest(slow, now.saturating_sub(current.reported_at))
}

/// The same, so long after it was reported.
pub(super) fn slowest(slow: &BusyProcess, since: Duration) -> String {
    let took = slow.took.saturating_add(since);
    format!("{} {} in {}", slow.pid, time(took), slow.at)
}

/// `████▌···` or `[####....]`
fn bar(done: u64, total: u64, style: Style) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let total = total.max(1);
    let eighths = u128::from(done.min(total)) * (BAR as u128 * 8) / u128::from(total);
    let (full, part) = ((eighths / 8) as usize, (eighths % 8) as usize);
    if style.unicode {
        let part = EIGHTHS[part];
        let rest = BAR - full - usize::from(!part.is_empty());
        format!("{}{part}{}", "█".repeat(full), "·".repeat(rest))
    } else {
        format!("[{}{}]", "#".repeat(full), ".".repeat(BAR - full))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASCII: Style = Style {
        color: false,
        unicode: false,
        width: 80,
    };

    fn at(progress: &mut Progress, ms: u64, kind: EventKind) {
        progress.event(&Event {
            seq: 1,
            node: NodeName::new("shop@h"),
            at: Duration::from_millis(ms),
            kind,
        });
    }

    fn started(id: u32, step: StepKind) -> EventKind {
        let what = "shop".to_owned();
        EventKind::StepStarted { id, step, what }
    }

    fn step_event(id: u32, done: u64, took: u64) -> EventKind {
        EventKind::StepProgress {
            id,
            done,
            total: 400,
            slowest: vec![BusyProcess {
                pid: "<0.8.0>".into(),
                at: "shop_db:migrate/2".into(),
                took: Duration::from_millis(took),
            }],
        }
    }

    #[test]
    fn the_live_region_shows_the_current_step() {
        let node = NodeName::new("shop@h");
        let mut progress = Progress::new(node, Some(5), Some(Duration::from_secs(120)));
        assert!(progress.block(Duration::from_secs(1), ASCII, true)[0].contains("checks"));
        at(&mut progress, 1000, started(1, StepKind::Suspend));
        at(&mut progress, 1000, started(2, StepKind::Convert));
        at(&mut progress, 2000, step_event(2, 100, 1000));
        let block = progress.block(Duration::from_secs(3), ASCII, true);
        assert_eq!(
            block,
            [
                "     convert  >  2.0s    shop  100/400  [#####...............]",
                "                         slowest <0.8.0> 2.0s in shop_db:migrate/2",
                "  shop@h  step 2/5 - suspended 2.0s - deadline 1m57s      s=status  Ctrl-C=stop",
            ]
        );
        assert_eq!(progress.percent(), Some(25));
        assert!(progress.still_words(Duration::from_secs(3)).is_none());
        // The same count again is no progress.
        at(&mut progress, 6000, step_event(2, 100, 5000));
        let (id, words) = progress.still_words(Duration::from_secs(8)).expect("still");
        assert_eq!(id, 2);
        assert!(
            words.contains("no progress for 6.0s: shop, slowest <0.8.0> 7.0s in shop_db:migrate/2"),
            "{words}"
        );
        let status = progress.status(Duration::from_secs(8), ASCII).join("\n");
        for part in ["suspended 7.0s", "100 of 400", "<0.8.0>", "no progress"] {
            assert!(status.contains(part), "{part}: {status}");
        }
        at(&mut progress, 9000, EventKind::RollbackStarted);
        let block = progress
            .block(Duration::from_secs(10), ASCII, false)
            .join("\n");
        assert!(
            block.contains("undo") && block.contains("undoing"),
            "{block}"
        );
        assert_eq!(progress.percent(), None);
    }

    /// Who is left, on the way back as well.
    #[test]
    fn a_live_window_that_is_turned_round_says_how_far_it_is() {
        for failed in [false, true] {
            let mut progress = Progress::new(NodeName::new("shop@h"), Some(3), None);
            at(&mut progress, 1000, started(2, StepKind::Live));
            at(&mut progress, 2000, step_event(2, 100, 500));
            if failed {
                let what = "shop".to_owned();
                let ended = EventKind::StepFinished {
                    id: 2,
                    step: StepKind::Live,
                    ok: false,
                    took: Duration::ZERO,
                    what,
                    processes: None,
                    attempts: None,
                };
                at(&mut progress, 2500, ended);
            }
            at(&mut progress, 3000, EventKind::RollbackStarted);
            let block = progress.block(Duration::from_secs(4), ASCII, true);
            assert_eq!(block[0], "        undo  >");
            at(&mut progress, 5000, step_event(2, 300, 1500));
            let block = progress.block(Duration::from_secs(6), ASCII, true);
            assert_eq!(
                block,
                [
                    "        undo  >  3.0s    shop  300/400  [###############.....]",
                    "                         slowest <0.8.0> 2.5s in shop_db:migrate/2",
                    "  shop@h  undoing      s=status  Ctrl-C=stop",
                ]
            );
            let short = progress.short(Duration::from_secs(6));
            assert_eq!(
                short,
                "undo 300/400, slowest <0.8.0> 2.5s in shop_db:migrate/2"
            );
            let status = progress.status(Duration::from_secs(6), ASCII).join("\n");
            assert!(
                status.contains("undo shop for 3.0s: 300 of 400"),
                "{status}"
            );
        }
    }

    #[test]
    fn bars_are_as_long_as_they_should_be() {
        let unicode = Style {
            unicode: true,
            ..ASCII
        };
        for (done, total) in [
            (0, 0),
            (0, 1),
            (1, 3),
            (399, 400),
            (400, 400),
            (9, 4),
            (u64::MAX, u64::MAX),
        ] {
            assert_eq!(bar(done, total, unicode).chars().count(), BAR);
            assert_eq!(bar(done, total, ASCII).chars().count(), BAR + 2);
        }
        assert!(bar(1, 2, unicode).starts_with("██████████·"));
    }
}
