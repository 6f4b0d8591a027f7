//! `updo reconcile --watch`: nodes are brought to the version as they come.

#![expect(clippy::disallowed_methods, reason = "lines have the time of day")]

use std::collections::{BTreeMap, BTreeSet};

use super::drift;
use super::exit::Exit;
use super::reconcile_pass::{Judged, Pass, Reconcile, judge};
use crate::diag::Result;
use crate::engine::Connection;
use crate::engine::drift::History;
use crate::engine::reconcile::LookedAt;
use crate::name::NodeName;
use crate::report::log;
use crate::report::style::count;
use crate::state::runs::RecordedRun;

/// After so many looks a node that needs nothing is asked again what it runs; until then it is enough that it is there.
const DEEP: u32 = 12;

/// A node that is watched.
struct Known<'a> {
    connection: Connection<'a>,
    /// Whether nothing is to be done there.
    settled: bool,
    /// How often it was found to be there since it was asked what it runs.
    looks: u32,
}

impl<'a> Reconcile<'a> {
    /// Stays, and looks again and again.
    pub(super) fn watch(&mut self) -> Exit {
        let interrupt = self.engine.settings.interrupt.clone();
        if !self.args.yes {
            let question = "Nodes that are behind are upgraded as they come, without further questions. Go on?";
            match self.context.ui.confirm(question) {
                Some(true) => {}
                Some(false) => {
                    self.context
                        .ui
                        .status("only the word yes goes on; nothing was changed");
                    return Exit::Aborted;
                }
                None => {
                    return self
                        .context
                        .usage("standard input is not a terminal", "add --yes");
                }
            }
        }
        // From now on a signal is an end in order.
        self.signals.begin_several();
        let mut known: BTreeMap<NodeName, Known<'a>> = BTreeMap::new();
        let mut failed: BTreeMap<NodeName, Exit> = BTreeMap::new();
        // In which life of a node what was tried: not again before it is another one.
        let mut tried: BTreeSet<(NodeName, u32, String)> = BTreeSet::new();
        let mut records: Option<(Vec<RecordedRun>, Vec<NodeName>, History)> = None;
        let mut shown: BTreeMap<NodeName, (String, String)> = BTreeMap::new();
        let mut brought = 0;
        loop {
            match self.look(&mut known, &mut records) {
                Err(diagnostic) => {
                    // Before anything was looked at it is no use to wait for a version.
                    if shown.is_empty() && Exit::of(diagnostic.code) != Exit::Connect {
                        return self.context.fail(*diagnostic, &self.engine.plan.sources);
                    }
                    self.say(vec![*diagnostic]);
                }
                Ok(judged) => {
                    let Some((_, nodes, history)) = records.take() else {
                        continue;
                    };
                    let meant = history.meant().map_or_else(String::new, |one| one.words());
                    let mut lines = Vec::new();
                    for one in &judged {
                        let line =
                            drift::shown(&one.node, &one.verdict, &history, &one.looked.facts);
                        let words = (line.word.clone(), line.why.clone());
                        if shown.insert(one.node.clone(), words.clone()) != Some(words) {
                            lines.push(line);
                        }
                    }
                    if !lines.is_empty() {
                        self.line("looked at");
                        self.summary(&history, &lines);
                    }
                    self.unknown(&judged);
                    let key = |one: &Judged| (one.node.clone(), one.looked.creation, meant.clone());
                    let due: Vec<&Judged> = judged
                        .iter()
                        .filter(|one| self.is_due(one) && !tried.contains(&key(one)))
                        .collect();
                    let pass = self.pass(&history, &due, false);
                    for one in &due {
                        let is_new = pass.brought.contains(&one.node);
                        let exit = pass.failed.get(&one.node).copied().unwrap_or(Exit::Done);
                        // What is in the way for a while is tried again.
                        if matches!(exit, Exit::Locked | Exit::Connect | Exit::Changed) {
                            known.remove(&one.node);
                            continue;
                        }
                        tried.insert(key(one));
                        match exit {
                            Exit::Done => {
                                brought += usize::from(is_new);
                                failed.remove(&one.node);
                            }
                            exit => _ = failed.insert(one.node.clone(), exit),
                        }
                        // What it runs now is looked at once more.
                        if let Some(known) = known.get_mut(&one.node) {
                            known.settled = false;
                        }
                    }
                    if !due.is_empty() && interrupt.count() == 0 {
                        let nodes = count(nodes.len(), "node", "nodes");
                        self.line(&format!("{nodes} watched; ctrl-c ends"));
                    }
                    records = Some((self.engine.settings.records().all(), nodes, history));
                }
            }
            if interrupt.sleep(self.args.every, 1) {
                break;
            }
        }
        let end = match brought {
            0 => "ended: no node was behind".to_owned(),
            some => format!(
                "ended: {} to the version",
                count(some, "node was brought", "nodes were brought")
            ),
        };
        match failed.len() {
            0 => self.line(&end),
            some => self.line(&format!(
                "{end}, {} not",
                count(some, "node was", "nodes were")
            )),
        }
        let all = Pass {
            failed,
            ..Pass::default()
        };
        match (all.exit(), brought) {
            (Exit::Broken, _) => Exit::Broken,
            (exit, 0) | (exit @ Exit::Done, _) => exit,
            _ => Exit::Partly,
        }
    }

    /// Looks at the nodes of which it is not known what they are; the records are read anew when there are others.
    fn look(
        &mut self,
        known: &mut BTreeMap<NodeName, Known<'a>>,
        records: &mut Option<(Vec<RecordedRun>, Vec<NodeName>, History)>,
    ) -> Result<Vec<Judged>> {
        let nodes = self.engine.nodes(self.context.global.target.as_deref())?;
        let now = self.engine.settings.records().all();
        let is_same = |(before, names, _): &(Vec<RecordedRun>, Vec<NodeName>, History)| {
            *before == now && *names == nodes
        };
        if !records.as_ref().is_some_and(is_same) {
            let history = self.history(&nodes)?;
            known.values_mut().for_each(|one| one.settled = false);
            *records = Some((now, nodes.clone(), history));
        }
        known
            .retain(|node, one| nodes.contains(node) && one.connection.session.is_lost().is_none());
        let mut judged = Vec::new();
        let Some((_, _, history)) = records else {
            return Ok(judged);
        };
        for node in &nodes {
            if self.engine.settings.interrupt.count() > 0 {
                break;
            }
            let one = match known.get_mut(node) {
                Some(one) => one,
                // One that is not there yet is waited for.
                None => match self.engine.connect(node) {
                    Ok(connection) => known.entry(node.clone()).or_insert(Known {
                        connection,
                        settled: false,
                        looks: 0,
                    }),
                    Err(_) => continue,
                },
            };
            one.looks += 1;
            if one.settled && one.looks < DEEP {
                continue;
            }
            let Ok(looked) = LookedAt::of(&one.connection) else {
                known.remove(node);
                continue;
            };
            let this = judge(history, node, looked);
            (one.settled, one.looks) = (true, 0);
            judged.push(this);
        }
        Ok(judged)
    }

    /// A line with the time of day.
    fn line(&self, line: &str) {
        let clock = log::clock(std::time::SystemTime::now());
        self.context.ui.status(&format!("{clock} {line}"));
    }
}
