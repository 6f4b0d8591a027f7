//! Where the events of a run go besides the screen: standard output with `--json`, a file with `--events`, and in the
//! end the report of `--report`, the test cases of `--report-junit` and the summary of GitHub Actions.

#![expect(
    clippy::disallowed_methods,
    reason = "GitHub names the file of its summary in the environment"
)]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use serde_json::Value;

use super::args::RunArgs;
use super::context::Context;
use super::exit::Exit;
use crate::atomic_file;
use crate::diag::render::{Style, render};
use crate::diag::{Code, Diagnostic, Result, SourceMap, safe};
use crate::engine::Engine;
use crate::exec::{Event, EventKind};
use crate::name::NodeName;
use crate::report::junit::Junit;
use crate::report::{github, html, json};

pub(super) struct OutputStream {
    file: Option<File>,
    report: Option<PathBuf>,
    /// All lines, when a report is wanted.
    kept: Vec<Value>,
    junit: Option<(PathBuf, Junit)>,
    /// How nodes ended, with the name of the run.
    ends: Vec<(String, Event)>,
    /// The names of the nodes' runs.
    runs: BTreeMap<NodeName, String>,
    /// What a rollout says in the end.
    walked: Option<Value>,
}

impl OutputStream {
    /// Begins the stream.
    ///
    /// # Errors
    /// E802 when a file cannot be written: better now than after the run.
    pub fn open(context: &Context<'_>, args: &RunArgs, engine: &Engine) -> Result<Self> {
        let create = |path: &PathBuf| {
            atomic_file::create_private(path).map_err(|why| {
                Diagnostic::new(Code::E802, format!("cannot write `{}`", path.display()))
                    .note(why.to_string())
            })
        };
        if let Some(path) = &args.report {
            create(path)?;
        }
        if let Some(path) = &args.report_junit {
            create(path)?;
        }
        let mut stream = Self {
            file: args.events.as_ref().map(create).transpose()?,
            report: args.report.clone(),
            kept: Vec::new(),
            junit: args
                .report_junit
                .clone()
                .map(|path| (path, Junit::default())),
            ends: Vec::new(),
            runs: BTreeMap::new(),
            walked: None,
        };
        let first = json::stream(&engine.plan.path.display().to_string());
        stream.line(context, first);
        Ok(stream)
    }

    /// What is at the head of a node's events.
    pub fn head(&mut self, context: &Context<'_>, lines: &[Value]) {
        for line in lines {
            self.line(context, line.clone());
        }
    }

    /// Whether lines go anywhere. Those at the head of a node's events are made of all that is known of its upgrade.
    pub fn is_wanted(&self, context: &Context<'_>) -> bool {
        self.file.is_some() || self.report.is_some() || context.ui.json
    }

    /// One event.
    pub fn write(&mut self, context: &Context<'_>, engine: &Engine, event: &Event) {
        if self.is_wanted(context) {
            self.line(context, json::event(event, &engine.plan.sources));
        }
        match &event.kind {
            EventKind::Started { run, .. } => {
                self.runs.insert(event.node.clone(), run.clone());
            }
            EventKind::Finished { .. } => {
                let run = self.runs.get(&event.node).cloned().unwrap_or_default();
                self.ends.push((run, event.clone()));
            }
            _ => {}
        }
        self.junit(engine, event, false);
    }

    /// One event that is about the whole rollout.
    pub fn rollout_event(
        &mut self,
        context: &Context<'_>,
        engine: &Engine,
        rollout: &str,
        event: &Event,
    ) {
        self.line(
            context,
            json::rollout_event(event, rollout, &engine.plan.sources),
        );
        self.junit(engine, event, true);
    }

    fn junit(&mut self, engine: &Engine, event: &Event, whole: bool) {
        if let Some((_, junit)) = &mut self.junit {
            let text = match &event.kind {
                EventKind::Diagnostic(diagnostic) => {
                    Some(render(diagnostic, &engine.plan.sources, Style::default()))
                }
                _ => None,
            };
            match whole {
                true => junit.rollout_event(event, text.as_deref()),
                false => junit.event(event, text.as_deref()),
            }
        }
    }

    /// What a rollout over several nodes came to: kept for the last line.
    pub fn rollout_ended(&mut self, line: Value) {
        self.walked = Some(line);
    }

    /// What is written when all is over: the last line, the reports, and GitHub's summary.
    pub fn end(&mut self, context: &Context<'_>, title: &str, exit: Exit) {
        let mut last = json::ended(exit as u8, exit.words());
        if let (Some(walked), Some(last)) = (self.walked.take(), last.as_object_mut())
            && let Value::Object(walked) = walked
        {
            last.extend(walked);
        }
        self.line(context, last);
        self.report(context);
        let words = format!("exit {}: {}", exit as i32, exit.words());
        if let Some((path, junit)) = &self.junit {
            let ended = (exit != Exit::Done).then_some(words.as_str());
            if let Err(diagnostic) = super::report::write(path, &junit.document(title, ended)) {
                context.ui.diagnostics(&[diagnostic], &SourceMap::default());
            }
        }
        let summary = std::env::var_os("GITHUB_STEP_SUMMARY");
        if let (true, Some(path)) = (context.ui.github, summary) {
            let text = github::summary(title, &self.ends, &words);
            let file = atomic_file::append_private(path.as_ref());
            if let Err(why) = file.and_then(|mut file| file.write_all(text.as_bytes())) {
                let path = PathBuf::from(path);
                let title = format!("cannot write `{}`", path.display());
                let diagnostic = Diagnostic::new(Code::E802, title).note(why.to_string());
                context.ui.diagnostics(&[diagnostic], &SourceMap::default());
            }
        }
    }

    /// Writes the report of everything so far.
    fn report(&self, context: &Context<'_>) {
        let (Some(path), Some(page)) = (&self.report, html::html(&self.kept)) else {
            return;
        };
        match super::report::write(path, &page) {
            Ok(()) => context.ui.status(&format!("report  {}", path.display())),
            Err(diagnostic) => context.ui.diagnostics(&[diagnostic], &SourceMap::default()),
        }
    }

    /// One line, ready to be written.
    pub fn line(&mut self, context: &Context<'_>, line: Value) {
        if context.ui.json {
            context.ui.json(&format!("{line}\n"));
        }
        if let Some(file) = &mut self.file {
            // A full disk must not stop a run that is on its way.
            let _ = file.write_all(safe::json(&format!("{line}\n")).as_bytes());
        }
        if self.report.is_some() {
            self.kept.push(line);
        }
    }
}
