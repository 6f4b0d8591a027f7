//! `:check`, `:require`, `:verify`: what the plan says about itself, and its checks asked now.
//!
//! A check is asked as a run would ask it, with its patience, but it can be cancelled, and nothing follows from it.

use std::fmt::Write;
use std::time::Instant;

use super::evaluate::{Stop, rest};
use super::session::{ReplError, ReplSession};
use crate::diag::render::render;
use crate::diag::{Code, Diagnostic, Severity};
use crate::eval::{CheckResult, Evaluator, Limits, Phase};
use crate::exec::condition::{CheckContext, CheckVerdict, not_held};
use crate::plan::Check;
use crate::report::style;

/// How one check ended.
enum Asked {
    Held(CheckVerdict),
    Failed(CheckVerdict, Box<Diagnostic>),
    Stopped(Stop),
}

impl ReplSession {
    /// Everything there is to say about the plan on this node.
    pub(super) fn check(&mut self) -> Result<String, ReplError> {
        let upgrade = self.prepared()?;
        let mut all = upgrade.diagnostics.clone();
        let node = self.node.node().clone();
        let plan = &self.engine.plan;
        // What can be reported without a node was reported of the text as it is now.
        let text = plan.sources.sources().first().map_or("", |s| &s.text);
        let opened = crate::engine::Engine::open_as(&plan.path, text, self.engine.settings.clone());
        all.extend(opened.diagnostics);
        let count = |severity| all.iter().filter(|d| d.severity() == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        let style = self.manner.style;
        let mut out = String::new();
        for diagnostic in &all {
            let _ = writeln!(
                out,
                "{}",
                render(diagnostic, &plan.sources, style).trim_end()
            );
        }
        let _ = write!(
            out,
            "{node}: {}, {}, {} of advice",
            style::count(errors, "error", "errors"),
            style::count(warnings, "warning", "warnings"),
            style::count(count(Severity::Advice), "word", "words"),
        );
        match all.iter().find(|diagnostic| diagnostic.is_error()) {
            Some(first) => Err(ReplError {
                code: first.code,
                text: out,
            }),
            None => Ok(out),
        }
    }

    /// Asks the plan's `verify` or `require` checks whose names contain a text.
    pub(super) fn checks(&mut self, verify: bool, name: Option<&str>) -> Result<String, ReplError> {
        self.prepared()?;
        let plan = &self.engine.plan;
        let all = if verify {
            &plan.verifies
        } else {
            &plan.requires
        };
        let word = if verify { "verify" } else { "require" };
        let wanted: Vec<&Check> = all
            .iter()
            .filter(|check| name.is_none_or(|name| check.name.contains(name)))
            .collect();
        if wanted.is_empty() {
            let names: Vec<&str> = all.iter().map(|check| check.name.as_str()).collect();
            return match (name, names.is_empty()) {
                (Some(name), false) => Err(ReplError::usage(format!(
                    "no `{word}` has `{name}` in its name; there are: {}",
                    names.join(", ")
                ))),
                _ => Ok(format!("the plan has no `{word}`")),
            };
        }
        let (mut out, mut failed) = (String::new(), false);
        let style = self.manner.style;
        for check in wanted {
            let Some(asked) = self.asked(check)? else {
                let _ = writeln!(
                    out,
                    "-          {}  does not apply to this node",
                    check.name
                );
                continue;
            };
            let (ok, verdict) = match &asked {
                Asked::Held(verdict) => (true, verdict),
                Asked::Failed(verdict, _) => (false, verdict),
                Asked::Stopped(stop) => return Err(self.stopped(stop.clone())),
            };
            let mark = style::mark(style, ok);
            let seconds = verdict.took.as_secs_f64();
            let _ = writeln!(out, "{mark}  {seconds:.3}s  {}", check.name);
            if let Asked::Failed(verdict, cause) = &asked {
                failed = true;
                let diagnostic = not_held(verify, check, verdict, cause);
                let _ = writeln!(
                    out,
                    "{}",
                    render(&diagnostic, &plan.sources, style).trim_end()
                );
            }
        }
        if !failed {
            return Ok(out);
        }
        // Whatever it was: nothing was changed.
        Err(ReplError {
            code: Code::E601,
            text: out.trim_end().to_owned(),
        })
    }

    /// One check with its patience; `None` when its guard does not hold here.
    fn asked(&self, check: &Check) -> Result<Option<Asked>, ReplError> {
        let Some(upgrade) = &self.upgrade else {
            return Ok(None);
        };
        let plan = &self.engine.plan;
        let connection = self.engine.with_session(self.node.clone());
        let view = connection.view(upgrade);
        let holds = CheckContext::new(plan, &self.node, view).holds(&check.tail);
        if !holds.map_err(|diagnostic| self.fault_in(&diagnostic, &plan.sources))? {
            return Ok(None);
        }
        let functions = plan.scripts();
        let interrupt = &*self.manner.interrupt;
        let began = Instant::now();
        let mut tries = 0;
        rest(check.after, interrupt);
        loop {
            tries += 1;
            let mut host = view.host();
            let mut live = self.live();
            let mut bindings = plan.constants.clone();
            let result = Evaluator::new(Phase::Live, &functions)
                .with_names(&mut host)
                .with_remote(&mut live)
                .with_limits(Limits::default())
                .check(&check.body, &mut bindings);
            if let Some(stop) = live.stop {
                return Ok(Some(Asked::Stopped(stop)));
            }
            let verdict = CheckVerdict {
                tries,
                took: began.elapsed(),
                failure: None,
                log: host.log,
            };
            let CheckResult::Failed(cause) = result else {
                return Ok(Some(Asked::Held(verdict)));
            };
            let over = began.elapsed() + check.every > check.within + check.after;
            if over || self.node.is_lost().is_some() {
                return Ok(Some(Asked::Failed(verdict, cause)));
            }
            if !rest(check.every, interrupt) {
                interrupt.store(false, std::sync::atomic::Ordering::SeqCst);
                return Ok(Some(Asked::Stopped(Stop::Cancelled)));
            }
        }
    }
}
