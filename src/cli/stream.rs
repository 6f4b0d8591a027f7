//! Where the events of a run go besides the screen: standard output with `--json`, a file with `--events`, and in the
//! end the report of `--report`.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use serde_json::Value;

use super::Context;
use super::args::Run;
use crate::diag::{Code, Diagnostic, Result, SourceMap};
use crate::engine::Engine;
use crate::exec::Event;
use crate::report::{html, json};

pub(super) struct Stream {
    file: Option<File>,
    report: Option<PathBuf>,
    /// All lines, when a report is wanted.
    kept: Vec<Value>,
}

impl Stream {
    /// Begins the stream.
    ///
    /// # Errors
    /// E802 when a file cannot be written: better now than after the run.
    pub fn open(context: &Context<'_>, args: &Run, engine: &Engine) -> Result<Self> {
        let create = |path: &PathBuf| {
            File::create(path).map_err(|why| {
                Diagnostic::new(Code::E802, format!("cannot write `{}`", path.display()))
                    .note(why.to_string())
            })
        };
        if let Some(path) = &args.report {
            create(path)?;
        }
        let mut stream = Self {
            file: args.events.as_ref().map(create).transpose()?,
            report: args.report.clone(),
            kept: Vec::new(),
        };
        let first = json::stream(&engine.plan.path.display().to_string());
        stream.line(context, first);
        Ok(stream)
    }

    /// What stands at the head of a node's events.
    pub fn head(&mut self, context: &Context<'_>, lines: &[Value]) {
        for line in lines {
            self.line(context, line.clone());
        }
    }

    /// One event.
    pub fn write(&mut self, context: &Context<'_>, engine: &Engine, event: &Event) {
        if self.file.is_some() || self.report.is_some() || context.ui.json {
            self.line(context, json::event(event, &engine.plan.sources));
        }
    }

    /// Writes the report of everything so far.
    pub fn report(&self, context: &Context<'_>) {
        let (Some(path), Some(page)) = (&self.report, html::html(&self.kept)) else {
            return;
        };
        match super::report::write(path, &page) {
            Ok(()) => context.ui.status(&format!("report  {}", path.display())),
            Err(told) => context.ui.diagnostics(&[told], &SourceMap::default()),
        }
    }

    fn line(&mut self, context: &Context<'_>, line: Value) {
        if context.ui.json {
            context.ui.data(&format!("{line}\n"));
        }
        if let Some(file) = &mut self.file {
            // A full disk must not stop a run that is on its way.
            let _ = writeln!(file, "{line}");
        }
        if self.report.is_some() {
            self.kept.push(line);
        }
    }
}
