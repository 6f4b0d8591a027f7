//! A rollout as people see it: a line per node, what goes on right now, and the last lines.
//!
//! Takes what the walk says and gives lines of text. It knows no terminal. What a line of a log begins with never
//! changes, so that it can be searched for.

use std::time::{Duration, Instant};

use super::progress::Progress;
use super::style::{attention, bad, count, faint, good, hint, mark, name, time};
use crate::diag::render::Style;
use crate::diag::safe;
use crate::exec::rollout_checks::RolloutOutcome;
use crate::exec::{Event, EventKind, NodeState, Outcome};
use crate::name::NodeName;
use crate::plan::Rollout;
use crate::plan::rollout::{Pause, Stage};

/// Most running nodes of the block.
const MOST: usize = 12;

/// The nodes of a rollout, and the state of each.
#[derive(Debug)]
pub struct RolloutScreen {
    rows: Vec<Row>,
    stages: Vec<Stage>,
    /// What goes on between two stages: what, its next stage, until when.
    pause: Option<(Pause, usize, Instant)>,
    /// What has to hold after a stage.
    holds: Vec<HoldLine>,
    /// The command of a gate that runs: its name, its next stage, since when, and how long it may take.
    gate: Option<(String, usize, Instant, Duration)>,
    back: bool,
    /// How many of the nodes that switch at one instant have come how far.
    together: String,
    /// The column of node names.
    wide: usize,
}

/// What has to hold on the nodes of a stage, and for how long it has.
#[derive(Clone, Debug)]
pub struct HoldLine {
    /// Its name in the plan.
    pub name: String,
    /// How long it has held.
    pub held: Duration,
    /// How long it has to.
    pub goal: Duration,
    /// On how many nodes.
    pub nodes: usize,
}

impl HoldLine {
    /// `error rate: held 1m20s of 5m00s on 3 nodes`
    pub fn words(&self) -> String {
        format!(
            "{}: held {} of {} on {}",
            safe::line(&self.name),
            time(self.held),
            time(self.goal),
            count(self.nodes, "node", "nodes")
        )
    }
}

#[derive(Debug)]
struct Row {
    node: NodeName,
    stage: usize,
    state: Place,
    /// The name of its run.
    run: String,
    verified: bool,
}

#[derive(Debug)]
enum Place {
    Waiting,
    Running(Box<Progress>, Instant),
    Over { good: bool },
}

impl RolloutScreen {
    /// Before anything begins.
    pub fn new(nodes: &[NodeName], stages: &[Stage]) -> Self {
        let stage = |at| stages.iter().position(|stage| stage.nodes.contains(&at));
        let row = |(at, node): (usize, &NodeName)| Row {
            node: node.clone(),
            stage: stage(at).unwrap_or(0),
            state: Place::Waiting,
            run: String::new(),
            verified: false,
        };
        Self {
            rows: nodes.iter().enumerate().map(row).collect(),
            stages: stages.to_vec(),
            pause: None,
            holds: Vec::new(),
            gate: None,
            back: false,
            together: String::new(),
            wide: nodes
                .iter()
                .map(|n| n.as_str().chars().count())
                .max()
                .unwrap_or(0),
        }
    }

    /// A stage begins.
    pub fn stage(&mut self) {
        self.pause = None;
        self.gate = None;
    }

    /// All go back.
    pub fn rolling_back(&mut self) {
        self.back = true;
    }

    /// Another node has come as far as these words say.
    pub fn together(&mut self, words: &str) {
        words.clone_into(&mut self.together);
    }

    /// How far what has to hold has come; nothing when it is over.
    pub fn holds(&mut self, holds: Vec<HoldLine>) {
        self.holds = holds;
    }

    /// The command of a gate begins, or is over.
    pub fn gate(&mut self, gate: Option<(String, usize, Duration)>, now: Instant) {
        self.pause = None;
        self.gate = gate.map(|(name, next, within)| (name, next, now, within));
    }

    /// A pause begins before a stage.
    pub fn pause(&mut self, pause: Pause, next: usize, now: Instant) {
        let until = match pause {
            Pause::For(time) => now.checked_add(time).unwrap_or(now),
            _ => now,
        };
        self.pause = Some((pause, next, until));
    }

    /// The name of a stage.
    pub fn stage_name(&self, stage: usize) -> &str {
        self.stages.get(stage).map_or("", |stage| &stage.name)
    }

    /// How many nodes a stage has.
    pub fn stage_size(&self, stage: usize) -> usize {
        self.stages.get(stage).map_or(0, |stage| stage.nodes.len())
    }

    /// The next event of a node.
    pub fn event(&mut self, at: usize, event: &Event, now: Instant) {
        let Some(row) = self.rows.get_mut(at) else {
            return;
        };
        match &event.kind {
            EventKind::Started { run, .. } => {
                row.run.clone_from(run);
                row.verified = false;
                let progress = Progress::new(row.node.clone(), None, None);
                row.state = Place::Running(Box::new(progress), now);
            }
            EventKind::Check {
                verify: true, ok, ..
            } => row.verified = *ok,
            _ => {}
        }
        if let Place::Running(progress, _) = &mut row.state {
            progress.event(event);
        }
    }

    /// A node's turn is over: the line that stays.
    pub fn ended(&mut self, at: usize, outcome: &Outcome, now: Instant, style: Style) -> String {
        let (wide, back) = (self.wide, self.back);
        let Some(row) = self.rows.get_mut(at) else {
            return String::new();
        };
        let took = row.took(now);
        let stage = match back {
            true => "back",
            false => self.stages.get(row.stage).map_or("", |stage| &stage.name),
        };
        let wished = match back {
            true => outcome.state == NodeState::Old,
            false => outcome.state == NodeState::New && outcome.errors.is_empty(),
        };
        let dot = if style.unicode { "·" } else { "-" };
        let words = match outcome.state {
            _ if back && wished => match outcome.acted.words() {
                None => "as before".to_owned(),
                Some(left) => format!("old code and states are back {dot} {left}"),
            },
            NodeState::New if wished => {
                let verified = if row.verified {
                    format!(" {dot} verified")
                } else {
                    String::new()
                };
                match outcome.suspended {
                    Some(stood) => format!("suspended {}{verified}", time(stood)),
                    None => format!("new{verified}"),
                }
            }
            _ => meaning(outcome, &row.run),
        };
        let line = format!(
            "{stage:>10}  {:<wide$}  {} {:<7} {words}",
            row.node.to_string(),
            mark(style, wished),
            time(took),
        );
        row.state = Place::Over {
            good: wished && !back,
        };
        line
    }

    /// The same for a log.
    pub fn ended_plain(
        &mut self,
        at: usize,
        outcome: &Outcome,
        now: Instant,
        clock: &str,
    ) -> String {
        let took = self
            .rows
            .get(at)
            .map_or(Duration::ZERO, |row| row.took(now));
        // For what it does to the row.
        self.ended(at, outcome, now, Style::default());
        let Some(row) = self.rows.get(at) else {
            return String::new();
        };
        let ok = if outcome.errors.is_empty() {
            "ok"
        } else {
            "FAIL"
        };
        format!(
            "{clock} {} {} {ok} {:.3}s{} run={}",
            row.node,
            outcome.state,
            took.as_secs_f64(),
            outcome.suspended.map_or(String::new(), |stood| {
                format!(" suspended={:.3}s", stood.as_secs_f64())
            }),
            row.run
        )
    }

    /// The block: which nodes are at work, which wait, and how many of each there are.
    pub fn block(&self, now: Instant, style: Style, keys: bool) -> Vec<String> {
        let going = if style.unicode { "▸" } else { ">" };
        let dot = if style.unicode { "·" } else { "-" };
        let mut lines = Vec::new();
        let mut last = usize::MAX;
        let running = self
            .rows
            .iter()
            .filter(|row| matches!(row.state, Place::Running(..)));
        let many = running.clone().count();
        for row in running.take(MOST) {
            let Place::Running(progress, began) = &row.state else {
                continue;
            };
            let stage = match (self.back, last == row.stage) {
                (true, _) => "back",
                (false, true) => "",
                (false, false) => self.stage_name(row.stage),
            };
            last = row.stage;
            let doing = progress.short(now.saturating_duration_since(*began));
            lines.push(format!(
                "{stage:>10}  {:<wide$}  {going} {doing}",
                row.node.to_string(),
                wide = self.wide
            ));
        }
        if many > MOST {
            lines.push(format!("{:>12}{} more at work", "", many - MOST));
        }
        if many > 0 && !self.together.is_empty() {
            lines.push(format!("{:>10}  {}", "together", self.together));
        }
        if let Some((pause, next, until)) = &self.pause {
            let stop = if keys {
                "p=proceed  Ctrl-C=stop here"
            } else {
                "Ctrl-C=stop here"
            };
            if let Pause::For(whole) = pause {
                lines.push(format!(
                    "{:>10}  {} of {} left before {}      {}",
                    "pause",
                    time(until.saturating_duration_since(now)),
                    time(*whole),
                    self.stage_name(*next),
                    faint(style, stop)
                ));
            }
        }
        let stop_here = faint(style, "Ctrl-C=stop here");
        for (at, hold) in self.holds.iter().enumerate() {
            let word = if at == 0 { "hold" } else { "" };
            let stop = if at == 0 { &stop_here } else { "" };
            lines.push(format!("{word:>10}  {}      {stop}", hold.words()));
        }
        if let Some((name, next, began, within)) = &self.gate {
            lines.push(format!(
                "{:>10}  {}: {} of {}, before {}      {stop_here}",
                "gate",
                safe::line(name),
                time(now.saturating_duration_since(*began)),
                time(*within),
                self.stage_name(*next),
            ));
        }
        for (number, stage) in self.stages.iter().enumerate().filter(|_| !self.back) {
            let waiting = stage
                .nodes
                .iter()
                .filter(|at| matches!(self.rows[**at].state, Place::Waiting));
            let waiting = waiting.count();
            if waiting > 0 && waiting == stage.nodes.len() && (number > 0 || many > 0) {
                let nodes = count(waiting, "node waits", "nodes wait");
                lines.push(faint(style, &format!("{:>10}  {nodes}", stage.name)));
                // Those after it wait too.
                break;
            }
        }
        let of = |is: fn(&Place) -> bool| self.rows.iter().filter(|row| is(&row.state)).count();
        let waits = self.pause.is_some() || self.gate.is_some() || !self.holds.is_empty();
        let stop = if !waits {
            faint(style, "      Ctrl-C=stop")
        } else {
            String::new()
        };
        lines.push(format!(
            "  {} done {dot} {many} running {dot} {} waiting {dot} {} failed{stop}",
            of(|state| matches!(state, Place::Over { good: true })),
            of(|state| matches!(state, Place::Waiting)),
            of(|state| matches!(state, Place::Over { good: false })),
        ));
        lines
    }
}

impl Row {
    fn took(&self, now: Instant) -> Duration {
        match &self.state {
            Place::Running(_, began) => now.saturating_duration_since(*began),
            _ => Duration::ZERO,
        }
    }
}

/// What a node that is not as wished is now.
fn meaning(outcome: &Outcome, run: &str) -> String {
    match outcome.state {
        NodeState::New if outcome.one_way => "new, but with errors: the new code stays".to_owned(),
        NodeState::New => format!("new, but with errors: updo rollback {run}"),
        NodeState::Old if outcome.lost => {
            "undone: old code and states, some processes ended".to_owned()
        }
        NodeState::Old if outcome.touched => match outcome.acted.words() {
            None => "undone, as before".to_owned(),
            Some(left) => format!("undone; {left}"),
        },
        NodeState::Old => "not upgraded, as before".to_owned(),
        NodeState::Mixed => "needs manual repair".to_owned(),
        NodeState::Unknown => format!("the run continues on the node: updo attach {run}"),
    }
}

/// How the nodes will be walked through: for the preview.
pub fn stages(rollout: &Rollout, stages: &[Stage], nodes: &[NodeName], style: Style) -> String {
    /// Names of one stage that are written out.
    const NAMED: usize = 4;
    /// Stages that are written out when there are more than twice as many.
    const STAGES: usize = 4;
    let mut text = String::new();
    let left_out = match stages.len() > 2 * STAGES {
        true => STAGES..stages.len() - 1,
        false => 0..0,
    };
    for (number, stage) in stages.iter().enumerate() {
        if left_out.contains(&number) {
            if number == left_out.start {
                let nodes: usize = stages[left_out.clone()].iter().map(|s| s.nodes.len()).sum();
                let nodes = count(nodes, "node", "nodes");
                text += &format!("  {:<8} and {} more stages, {nodes}\n", "", left_out.len());
            }
            continue;
        }
        let word = if number == 0 { "rollout" } else { "" };
        let named: Vec<&str> = stage
            .nodes
            .iter()
            .take(NAMED)
            .map(|at| nodes[*at].as_str())
            .collect();
        let more = stage.nodes.len() - named.len();
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        text += &format!("  {word:<8} {:<9} {}{more}\n", stage.name, named.join(", "));
    }
    if let Some(wait) = rollout.together {
        let words = [
            "all nodes are suspended, switched and resumed at one instant, or none is".to_owned(),
            format!("each waits for the others for {} at most", time(wait)),
        ];
        let line = |words: &String| faint(style, &format!("  {:<8} {words}", ""));
        return text + &words.iter().map(line).collect::<Vec<_>>().join("\n");
    }
    let mut words = Vec::new();
    match rollout.pause {
        Pause::For(pause) if stages.len() > 1 => {
            words.push(format!("a pause of {} between stages", time(pause)))
        }
        Pause::Confirm if stages.len() > 1 => words.push("asks between stages".to_owned()),
        _ => {}
    }
    words.push(match rollout.parallel {
        Some(1) => "one node at a time".to_owned(),
        Some(many) => format!("up to {many} nodes at a time"),
        None => "all nodes of a stage at a time".to_owned(),
    });
    let failed = count(rollout.abort_after, "failed node", "failed nodes");
    words.push(match rollout.all_back {
        true => format!("after {failed} all that are new go back"),
        false => format!("ends after {failed}"),
    });
    text + &faint(style, &format!("  {:<8} {}", "", words.join(", ")))
}

/// The last lines of a rollout; `modules`: how many were switched.
pub fn last(
    walked: &RolloutOutcome,
    title: &str,
    modules: usize,
    took: Duration,
    style: Style,
) -> String {
    let dot = if style.unicode { "·" } else { "-" };
    let all = walked.ends.len();
    let new = walked.done();
    let mut stood: Vec<Duration> = walked
        .ends
        .iter()
        .flatten()
        .filter_map(|end| end.suspended)
        .collect();
    stood.sort();
    let median = stood.get(stood.len() / 2).copied().unwrap_or_default();
    let most = stood.last().copied().unwrap_or_default();
    let title = name(style, title);
    let end = format!("{} {dot} rollout {}", time(took), walked.rollout);
    if new == all && walked.errors.is_empty() {
        let back = match walked.count(|end| end.one_way) {
            0 => format!(
                "\n      roll back: {}",
                hint(style, &format!("updo rollback {}", walked.rollout))
            ),
            _ => String::new(),
        };
        return format!(
            "{}  {title} {dot} {new} of {all} nodes {dot} {} {dot} suspended {} median, {} max {dot} {end}{back}",
            good(style, "done"),
            count(modules, "module", "modules"),
            time(median),
            time(most),
        );
    }
    let grave = walked.count(|end| matches!(end.state, NodeState::Mixed | NodeState::Unknown)) > 0;
    let word = match (grave, new == all) {
        (true, _) => bad(style, "stopped"),
        (false, true) => attention(style, "not verified"),
        (false, false) => attention(style, "stopped"),
    };
    format!("{word}  {title} {dot} {} {dot} {end}", numbers(walked, dot))
}

/// `3 of 7 nodes new · 1 rolled rolling_back · 3 not touched`
pub fn numbers(walked: &RolloutOutcome, dot: &str) -> String {
    let mut text = format!("{} of {} nodes new", walked.done(), walked.ends.len());
    let mut more = |number: usize, words: &str| {
        if number > 0 {
            text += &format!(" {dot} {number} {words}");
        }
    };
    let bad_new = walked.count(|end| end.state == NodeState::New && !end.errors.is_empty());
    more(bad_new, "new with errors");
    more(
        walked.count(|end| end.state == NodeState::Old && end.touched),
        "undone",
    );
    more(
        walked.count(|end| end.state == NodeState::Old && !end.touched),
        "not upgraded",
    );
    more(
        walked.count(|end| end.state == NodeState::Mixed),
        "in need of manual repair",
    );
    more(
        walked.count(|end| end.state == NodeState::Unknown),
        "out of sight",
    );
    more(walked.untouched(), "not touched");
    text
}
