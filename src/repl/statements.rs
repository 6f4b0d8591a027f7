//! The session's own statements: added, dropped, taken back, edited, written.
//!
//! They are behind the last line of the plan's file, where `:write` puts them, and the plan is resolved as if they
//! stood there: every diagnostic that they would cause in the file they cause here. What has errors is not added.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use super::files::{PlanFile, is_there, replace, same_file};
use super::session::{History, ReplError, ReplSession, differ};
use super::show::{moved, order};
use crate::diag::render::render;
use crate::diag::{Code, Diagnostic, SourceMap};
use crate::engine::{Engine, decide};
use crate::name::{Module, NodeName};
use crate::plan::load::read_text;
use crate::syntax::ast::StatementKind;
use crate::syntax::fmt::format_plan;
use crate::syntax::parse_plan;
use crate::syntax::token::{Sort, tokens};

/// How many changes `:undo` can take back.
const MOST_PAST: usize = 100;

impl ReplSession {
    /// Adds a statement.
    pub(super) fn add(&mut self, text: &str) -> Result<String, ReplError> {
        let statement = dotted(text);
        let slow = about(&statement);
        let mut statements = self.statements.clone();
        statements.push(statement);
        let outcome = self
            .change(statements, None, &slow)
            .map_err(|fault| ReplError {
                text: format!("{}\nnot added", fault.text.trim_end()),
                ..fault
            })?;
        let dot = self.dot();
        let keep = if self.file.is_some() {
            "    :write to keep"
        } else {
            ""
        };
        let (moves, warnings) = outcome;
        Ok(format!(
            "added to this session {dot} {moves}{keep}{warnings}"
        ))
    }

    fn dot(&self) -> &'static str {
        if self.manner.style.unicode { "·" } else { "-" }
    }

    /// Makes these the session's statements and parameters; gives what moved, and new warnings.
    fn change(
        &mut self,
        statements: Vec<String>,
        sets: Option<BTreeMap<String, String>>,
        slow: &str,
    ) -> Result<(String, String), ReplError> {
        let upgrade = self.prepared()?;
        let before = upgrade.rules.graph.order_flat();
        let shown = order(upgrade);
        let past = History {
            statements: self.statements.clone(),
            sets: self.engine.settings.sets.clone(),
        };
        let sets = sets.unwrap_or_else(|| past.sets.clone());
        let warnings = self.rebuild(statements, sets)?;
        if self.past.len() >= MOST_PAST {
            self.past.remove(0);
        }
        self.past.push(past);
        self.views.begin("order", || shown);
        let after = self.prepared()?.rules.graph.order_flat();
        Ok((moved(&before, &after, slow, self.manner.style), warnings))
    }

    /// Resolves the plan with other statements and parameters; nothing changes when that has new errors.
    fn rebuild(
        &mut self,
        statements: Vec<String>,
        sets: BTreeMap<String, String>,
    ) -> Result<String, ReplError> {
        let mut settings = self.engine.settings.clone();
        settings.sets = sets;
        let engine = self.opened(&statements, settings)?;
        let Some(old) = &self.upgrade else {
            (self.engine, self.statements) = (engine, statements);
            return Ok(String::new());
        };
        let same_code = engine.plan.code == self.engine.plan.code
            && engine.plan.old_from == self.engine.plan.old_from;
        let new = if same_code {
            let (facts, changes) = (old.facts.clone(), old.changes.clone());
            let connection = engine.with_session(self.node.clone());
            let node = self.node.node();
            decide(
                &engine.plan,
                node,
                connection.target(),
                facts,
                changes,
                &engine.settings,
            )
        } else {
            let prepared = engine.with_session(self.node.clone()).prepare();
            prepared.map_err(|diagnostic| self.fault_in(&diagnostic, &engine.plan.sources))?
        };
        let mut known: Vec<(Code, &str)> = old
            .diagnostics
            .iter()
            .map(|d| (d.code, d.title.as_str()))
            .collect();
        let (mut errors, mut warnings) = (Vec::new(), String::new());
        for diagnostic in &new.diagnostics {
            let same = (diagnostic.code, diagnostic.title.as_str());
            if let Some(at) = known.iter().position(|seen| *seen == same) {
                known.swap_remove(at);
            } else if diagnostic.code == Code::W317 {
                // About the beams at hand, which no rule of a session changes; its names are in the order of the script.
            } else if diagnostic.is_error() {
                errors.push(diagnostic);
            } else if diagnostic.severity() == crate::diag::Severity::Warning {
                let text = render(diagnostic, &engine.plan.sources, self.manner.style);
                let _ = write!(warnings, "\n{}", text.trim_end());
            }
        }
        if let Some(first) = errors.first() {
            return Err(self.faults(first.code, &errors, &engine.plan.sources));
        }
        (self.engine, self.statements) = (engine, statements);
        self.upgrade = Some(new);
        Ok(warnings)
    }

    fn faults(&self, code: Code, diagnostics: &[&Diagnostic], sources: &SourceMap) -> ReplError {
        let style = self.manner.style;
        let text: Vec<String> = diagnostics
            .iter()
            .map(|d| render(d, sources, style))
            .collect();
        let text = text.join("\n");
        ReplError { code, text }
    }

    /// The plan's file with these statements behind it.
    fn opened(
        &self,
        statements: &[String],
        settings: crate::engine::Settings,
    ) -> Result<Engine, ReplError> {
        let (path, text) = match &self.file {
            Some(file) => (file.path.as_path(), file.text.as_str()),
            None => (Path::new("session.updo"), ""),
        };
        let mut whole = text.trim_end().to_owned();
        if !whole.is_empty() {
            whole.push('\n');
        }
        for statement in statements {
            whole += statement;
            whole.push('\n');
        }
        let opened = Engine::open_as(path, &whole, settings);
        opened.engine.ok_or_else(|| {
            let errors: Vec<&Diagnostic> =
                opened.diagnostics.iter().filter(|d| d.is_error()).collect();
            let code = errors.first().map_or(Code::E101, |first| first.code);
            self.faults(code, &errors, &opened.sources)
        })
    }

    /// `:rules`
    pub(super) fn rules(&self) -> String {
        if self.statements.is_empty() {
            return "no statements of this session".to_owned();
        }
        let lines = self.statements.iter().enumerate();
        lines
            .map(|(at, text)| format!("{}  {text}\n", at + 1))
            .collect()
    }

    /// `:drop N`, `:drop all`
    pub(super) fn drop_rule(&mut self, number: Option<usize>) -> Result<String, ReplError> {
        let mut statements = self.statements.clone();
        let gone = match number {
            None => {
                statements.clear();
                "everything".to_owned()
            }
            Some(number) => {
                let at = number.checked_sub(1).filter(|at| *at < statements.len());
                let at = at.ok_or_else(|| {
                    ReplError::usage(format!("there is no rule {number}; `:rules` lists them"))
                })?;
                statements.remove(at)
            }
        };
        let (moves, warnings) = self.change(statements, None, &about(&gone))?;
        let gone = gone.trim_end_matches('.');
        Ok(format!("dropped {gone} {} {moves}{warnings}", self.dot()))
    }

    /// `:undo`
    pub(super) fn undo(&mut self) -> Result<String, ReplError> {
        let Some(past) = self.past.pop() else {
            return Err(ReplError::usage("there is nothing to take back"));
        };
        let before = self.prepared()?.rules.graph.order_flat();
        let names = |all: &[String], other: &[String]| -> Vec<String> {
            let missing = all.iter().filter(|text| !other.contains(text));
            missing
                .map(|t| t.trim_end_matches('.').to_owned())
                .collect()
        };
        let gone = names(&self.statements, &past.statements);
        let back = names(&past.statements, &self.statements);
        let mut parts = Vec::new();
        if !gone.is_empty() {
            parts.push(format!("without {}", gone.join("; ")));
        }
        if !back.is_empty() {
            parts.push(format!("with {}", back.join("; ")));
        }
        if past.sets != self.engine.settings.sets {
            parts.push("parameters as before".to_owned());
        }
        self.rebuild(past.statements, past.sets)?;
        let after = self.prepared()?.rules.graph.order_flat();
        let slow = gone.first().or(back.first()).map(|text| about(text));
        let moves = moved(
            &before,
            &after,
            &slow.unwrap_or_default(),
            self.manner.style,
        );
        Ok(format!("{} {} {moves}", parts.join(", "), self.dot()))
    }

    /// `:set Name = V`
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<String, ReplError> {
        // `--set` takes the text of a string; here it may be in its quotes.
        let quoted = value.starts_with('"').then(|| {
            let term = crate::syntax::parse_term(value).ok()?;
            term.to_text()
        });
        let value = quoted.flatten().unwrap_or_else(|| value.to_owned());
        let mut sets = self.engine.settings.sets.clone();
        sets.insert(name.to_owned(), value);
        let (moves, warnings) = self.change(self.statements.clone(), Some(sets), "")?;
        let shown = self.engine.plan.constants.get(name);
        let shown = shown.map_or_else(String::new, |value| format!("{name} = {value}"));
        Ok(format!("{shown} {} {moves}{warnings}", self.dot()))
    }

    /// `:params`
    pub(super) fn params(&self) -> String {
        let mut out = String::new();
        for param in self.parameters() {
            let value = self.engine.plan.constants.get(&param.0);
            let value = value.map_or_else(|| "no value".to_owned(), ToString::to_string);
            let from = match self.engine.settings.sets.get(&param.0) {
                Some(_) => "set",
                None => "default",
            };
            let _ = write!(out, "{:<16} {value}  ({from})", param.0);
            if let Some(because) = &param.1 {
                let _ = write!(out, "  {because}");
            }
            out.push('\n');
        }
        if out.is_empty() {
            out.push_str("the plan has no parameters");
        }
        out
    }

    /// The plan's parameters, each with its reason.
    pub(super) fn parameters(&self) -> Vec<(String, Option<String>)> {
        let sources = self.engine.plan.sources.sources().iter();
        let statements = sources.flat_map(|source| parse_plan(&source.text, 0).statements);
        statements
            .filter_map(|statement| match statement.kind {
                StatementKind::Param { name, tail, .. } => {
                    Some((name.value, tail.because.map(|because| because.value)))
                }
                _ => None,
            })
            .collect()
    }

    /// `:load F`
    pub(super) fn load(&mut self, path: &Path) -> Result<String, ReplError> {
        self.nothing_unwritten("reading another plan")?;
        let text = read_text(path).map_err(|why| {
            let diagnostic =
                Diagnostic::new(Code::E109, format!("cannot read `{}`", path.display())).note(why);
            self.fault(&diagnostic)
        })?;
        let before = self.file.replace(PlanFile {
            path: path.to_owned(),
            text,
        });
        match self.opened(&[], self.engine.settings.clone()) {
            Ok(engine) => self.engine = engine,
            Err(fault) => {
                self.file = before;
                return Err(fault);
            }
        }
        self.upgrade = None;
        self.past.clear();
        self.views.clear();
        let upgrade = self.prepared()?;
        let differ = differ(upgrade);
        Ok(format!(
            "plan {} {} {differ}",
            self.engine.plan.title,
            self.dot()
        ))
    }

    fn nothing_unwritten(&self, what: &str) -> Result<(), ReplError> {
        let number = self.statements.len();
        if number == 0 {
            return Ok(());
        }
        let statements = if number == 1 {
            "1 statement is"
        } else {
            &format!("{number} statements are")
        };
        Err(ReplError::usage(format!(
            "{statements} in this session only: `:write` or `:drop all` before {what}"
        )))
    }

    /// Whether `:run` may leave: what is run is the plan's file, which the run's record keeps.
    pub(super) fn may_run(&self) -> Result<(), ReplError> {
        if self.manner.read_only {
            return Err(ReplError::usage("the session is read-only"));
        }
        if self.file.is_none() {
            return Err(ReplError::usage("there is no plan to run: updo repl PLAN"));
        }
        self.nothing_unwritten("running")
    }

    /// `:connect NODE`
    pub(super) fn connect(&mut self, name: &NodeName) -> Result<String, ReplError> {
        let sources = self.engine.plan.sources.clone();
        let nodes = self.engine.nodes(Some(name.as_str()));
        let nodes = nodes.map_err(|diagnostic| self.fault_in(&diagnostic, &sources))?;
        let Some(node) = nodes.first() else {
            return Err(ReplError::usage(format!(
                "the target {name:?} has no nodes"
            )));
        };
        let connected = self.engine.connect(node).map(|made| made.session);
        self.node = connected.map_err(|diagnostic| {
            // The old connection may be lost as well; what counts is the new one.
            let text = render(&diagnostic, &sources, self.manner.style);
            ReplError {
                code: diagnostic.code,
                text,
            }
        })?;
        self.of_node = std::cell::OnceCell::new();
        self.upgrade = None;
        self.views.clear();
        let mut out = format!("connected to {}", self.node.node().as_str());
        if self.file.is_some() {
            let differ = differ(self.prepared()?);
            let _ = write!(out, " {} {differ}", self.dot());
        }
        Ok(out)
    }

    /// The session's statements as `:edit` shows them.
    pub(super) fn edit_text(&self) -> String {
        let head =
            "% Statements of this session. The content at the end of the edit is what counts.\n\n";
        format!("{head}{}", self.formatted())
    }

    fn formatted(&self) -> String {
        let text: String = self.statements.iter().map(|s| s.clone() + "\n").collect();
        format_plan(&text, 0).unwrap_or(text)
    }

    /// Takes over what was edited; the statements stay as they were when it has errors.
    pub fn edited(&mut self, text: &str) -> super::session::Reply {
        let parsed = parse_plan(text, 0);
        let errors: Vec<&Diagnostic> = parsed.diagnostics.iter().filter(|d| d.is_error()).collect();
        if let Some(first) = errors.first() {
            let mut sources = SourceMap::default();
            sources.add("edited", text);
            let fault = self.faults(first.code, &errors, &sources);
            return super::session::Reply::Error(kept(fault));
        }
        let statements: Vec<String> = parsed
            .statements
            .iter()
            .map(|s| text[s.span.start..s.span.end].to_owned() + ".")
            .collect();
        if statements == self.statements {
            return super::session::Reply::Text("nothing changed".to_owned());
        }
        let number = statements.len();
        self.change(statements, None, "")
            .map(|(moves, warnings)| {
                let statements = if number == 1 {
                    "statement"
                } else {
                    "statements"
                };
                format!("{number} {statements} {} {moves}{warnings}", self.dot())
            })
            .map_err(kept)
            .into()
    }

    /// `:write [F]`
    pub(super) fn write(&mut self, to: Option<&Path>) -> Result<String, ReplError> {
        if self.statements.is_empty() {
            return Ok("nothing to write: no statements of this session".to_owned());
        }
        let own = self.file.as_ref().map(|file| file.path.clone());
        let Some(path) = to.map(Path::to_owned).or_else(|| own.clone()) else {
            return Err(ReplError::usage(
                "there is no plan: name a file, `:write F`",
            ));
        };
        let is_own = own.is_some_and(|own| same_file(&own, &path));
        let cannot = |session: &Self, why: String| {
            let diagnostic =
                Diagnostic::new(Code::E802, format!("cannot write `{}`", path.display())).note(why);
            session.fault(&diagnostic)
        };
        let mut text = String::new();
        if is_there(&path) {
            text = read_text(&path).map_err(|why| cannot(self, why))?;
            if parse_plan(&text, 0)
                .diagnostics
                .iter()
                .any(Diagnostic::is_error)
            {
                return Err(cannot(self, "it is there, and it is no plan".to_owned()));
            }
        }
        let mut whole = text.trim_end().to_owned();
        if !whole.is_empty() {
            whole += "\n\n";
        }
        whole += self.formatted().trim_end();
        whole.push('\n');
        if is_own {
            // The file may have changed meanwhile.
            let opened = Engine::open_as(&path, &whole, self.engine.settings.clone());
            if opened.engine.is_none() {
                let errors: Vec<&Diagnostic> =
                    opened.diagnostics.iter().filter(|d| d.is_error()).collect();
                let code = errors.first().map_or(Code::E101, |first| first.code);
                return Err(self.faults(code, &errors, &opened.sources));
            }
        }
        replace(&path, &whole).map_err(|why| cannot(self, why))?;
        let number = self.statements.len();
        if is_own {
            self.file = Some(PlanFile {
                path: path.clone(),
                text: whole,
            });
            self.past.clear();
            self.rebuild(Vec::new(), self.engine.settings.sets.clone())?;
        }
        let statements = if number == 1 {
            "statement"
        } else {
            "statements"
        };
        Ok(format!("wrote {number} {statements} to {}", path.display()))
    }
}

fn kept(fault: ReplError) -> ReplError {
    ReplError {
        text: format!(
            "{}\nthe statements stay as they were",
            fault.text.trim_end()
        ),
        ..fault
    }
}

/// The module that a relation is about: its first word.
fn about(statement: &str) -> String {
    let first = statement.split_whitespace().next().unwrap_or_default();
    Module::typed(first).as_str().to_owned()
}

/// The text of a statement with its dot, however it was typed.
fn dotted(text: &str) -> String {
    let all = tokens(text);
    let last = all.iter().rfind(|token| token.sort != Sort::Comment);
    match last {
        Some(token) if token.sort == Sort::Dot => text.trim().to_owned(),
        Some(token) => {
            let (head, tail) = text.split_at(token.range.end);
            format!("{}.{tail}", head.trim_start())
                .trim_end()
                .to_owned()
        }
        None => text.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::dotted;

    #[test]
    fn the_dot_comes_where_it_belongs() {
        assert_eq!(dotted(" a depends on b "), "a depends on b.");
        assert_eq!(dotted("a depends on b."), "a depends on b.");
        assert_eq!(dotted("a depends on b % why"), "a depends on b. % why");
    }
}
