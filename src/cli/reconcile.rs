//! `updo reconcile`: nodes that joined later, or were restarted from old files, are brought to the version that the plan's
//! last run has left on all others; with `--watch` as they come.

use std::collections::{BTreeMap, BTreeSet};

use super::args::{ReconcileArgs, RunArgs};
use super::context::Context;
use super::drift;
use super::event_sinks::OutputStream;
use super::exit::Exit;
use super::reconcile_pass::{Judged, Reconcile, is_meant_so, judge};
use super::signals::Signals;
use crate::engine::drift::{History, Standing};
use crate::report::style::count;

pub(super) fn run(context: &Context<'_>, args: &ReconcileArgs) -> Exit {
    let mut settings = context.settings();
    settings.no_verify = args.without.no_verify;
    settings.no_rehearsal = args.without.no_rehearsal;
    settings.message.clone_from(&args.message);
    let signals = Signals::listen(&settings.interrupt);
    let Some(engine) = context.open(&args.plan, settings) else {
        return Exit::Plan;
    };
    if context.ui.no_input && !args.yes && !args.dry_run {
        return context.usage(
            "standard input is not a terminal: the question cannot be answered",
            "see what would be done with --dry-run, then add --yes",
        );
    }
    let run_args = RunArgs {
        plan: args.plan.clone(),
        // While it stays, the question was answered when it began.
        yes: args.yes || args.watch,
        dry_run: args.dry_run,
        without: args.without,
        message: args.message.clone(),
        events: args.events.clone(),
        ..RunArgs::default()
    };
    let stream = match OutputStream::open(context, &run_args, &engine) {
        Ok(stream) => stream,
        Err(diagnostic) => return context.fail(*diagnostic, &engine.plan.sources),
    };
    let mut reconcile = Reconcile {
        context,
        args,
        run_args,
        engine: &engine,
        signals: &signals,
        stream,
        said: BTreeSet::new(),
    };
    let exit = match args.watch {
        true => reconcile.watch(),
        false => reconcile.once(),
    };
    reconcile.stream.end(context, &engine.plan.title, exit);
    exit
}

impl Reconcile<'_> {
    fn once(&mut self) -> Exit {
        let sources = &self.engine.plan.sources;
        let nodes = match self.engine.nodes(self.context.global.target.as_deref()) {
            Ok(nodes) => nodes,
            Err(diagnostic) => return self.context.fail(*diagnostic, sources),
        };
        let history = match self.history(&nodes) {
            Ok(history) => history,
            Err(diagnostic) => return self.context.fail(*diagnostic, sources),
        };
        let looks = self.engine.look_at_all(&nodes);
        let (mut judged, mut lines, mut unreached) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (node, looked) in nodes.iter().zip(looks) {
            match looked {
                Ok(looked) => {
                    let one = judge(&history, node, looked);
                    lines.push(drift::shown(
                        node,
                        &one.verdict,
                        &history,
                        &one.looked.facts,
                    ));
                    judged.push(one);
                }
                Err(diagnostic) => {
                    lines.push(drift::unreached(node, &diagnostic));
                    unreached.insert(node.clone(), Exit::of(diagnostic.code));
                    self.context.ui.diagnostics(&[*diagnostic], sources);
                }
            }
        }
        self.summary(&history, &lines);
        let unknown = self.unknown(&judged);
        let due: Vec<&Judged> = judged.iter().filter(|one| self.is_due(one)).collect();
        let is_other = |one: &&Judged| one.verdict.standing == Standing::OtherOtp;
        let unknown = unknown + judged.iter().filter(is_other).count();
        let others = unknown + unreached.len();
        let others = others
            + judged
                .iter()
                .filter(|one| is_meant_so(&one.verdict))
                .count();
        let mut pass = self.pass(&history, &due, others == 0);
        pass.failed.extend(unreached);
        let exit = pass.exit();
        if exit == Exit::Done && pass.brought.is_empty() && unknown == 0 && !self.args.dry_run {
            self.nothing(&history, &judged);
        }
        let is_left = unknown > 0 || (self.args.dry_run && due.len() > pass.same);
        match exit {
            Exit::Done if is_left => Exit::Pending,
            exit => exit,
        }
    }

    /// Says that all nodes are as they should be.
    fn nothing(&self, history: &History, judged: &[Judged]) {
        let meant = history.meant().map_or_else(String::new, |one| one.words());
        let excepted = judged
            .iter()
            .filter(|one| is_meant_so(&one.verdict))
            .count();
        let same = judged.len() - excepted;
        let mut line = format!(
            "nothing to do: {} the version of {meant}",
            match same {
                1 => "1 node runs".to_owned(),
                many => format!("{many} nodes run"),
            }
        );
        if excepted > 0 {
            line += &format!(
                ", {} left as meant",
                count(excepted, "node is", "nodes are")
            );
        }
        self.context.ui.status(&line);
    }
}
