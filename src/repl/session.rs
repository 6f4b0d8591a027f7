//! The backend of the REPL: a line in, text out.
//!
//! Expressions are evaluated with the node at hand, statements change a copy of the plan that only this
//! session has, and how that moved the order is shown at once: that is how people find the right override.
//! Nothing on the node is changed but by the calls that an expression makes.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::command::{self, ReplCommand, ScriptView, SyntaxChoice};
use super::files::PlanFile;
use super::view_diff::Views;
use super::{help, notation, show};
use crate::diag::render::{Style, render};
use crate::diag::{Code, Diagnostic, Severity, SourceMap};
use crate::engine::{Engine, Upgrade};
use crate::eval::Bindings;
use crate::graph::draw::{Format, draw};
use crate::name::Module;
use crate::node::Session as Node;
use crate::report::preview;
use crate::syntax::{Input, InputError, is_percent_map, parse_input};
use crate::term::{Notation, Term};

pub use super::show::{why_before, why_here};

/// Something that went wrong, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplError {
    /// What kind of thing; decides the exit code.
    pub code: Code,
    /// The text.
    pub text: String,
}

impl ReplError {
    /// Wrong usage, in a sentence.
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self {
            code: Code::E801,
            text: text.into(),
        }
    }
}

/// What became of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Text to show; may be empty.
    Text(String),
    /// It went wrong.
    Error(ReplError),
    /// The line is the beginning of something longer.
    More,
    /// The screen is to be cleared.
    Clear,
    /// A text is to be edited and handed to [`ReplSession::edited`].
    Edit(String),
    /// An expression is to be evaluated again and again with [`ReplSession::line`], until Ctrl-C.
    Watch {
        /// How long to wait in between.
        every: Duration,
        /// The expression.
        expression: String,
    },
    /// The plan is to be run, as `updo run` does.
    Run,
    /// The end.
    Quit,
}

impl From<Result<String, ReplError>> for Reply {
    fn from(result: Result<String, ReplError>) -> Self {
        match result {
            Ok(text) => Self::Text(text),
            Err(fault) => Self::Error(fault),
        }
    }
}

/// How a session behaves.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// Look of the text.
    pub style: Style,
    /// There is a user at the terminal: long output is cut, bindings and times are shown, calls take as long as they
    /// take.
    pub interactive: bool,
    /// Only functions that change nothing may be called.
    pub read_only: bool,
    /// The notation of values; `None` for that of the node.
    pub notation: Option<Notation>,
    /// Set by whoever presses Ctrl-C; taken back by the call that it ends.
    pub interrupt: Arc<AtomicBool>,
}

/// What a change of the session's rules goes back to.
pub(super) struct History {
    pub statements: Vec<String>,
    pub sets: BTreeMap<String, String>,
}

/// A session on a node, with a plan or without.
pub struct ReplSession {
    pub(super) node: Node,
    /// The notation of the node's language, once asked for.
    pub(super) of_node: OnceCell<Notation>,
    /// The plan with the session's statements in it.
    pub(super) engine: Engine,
    pub(super) file: Option<PlanFile>,
    /// What the plan comes to on this node; `None` until asked for.
    pub(super) upgrade: Option<Upgrade>,
    /// The session's own statements, each with its dot.
    pub(super) statements: Vec<String>,
    pub(super) past: Vec<History>,
    pub(super) variables: Bindings,
    pub(super) sources: SourceMap,
    pub(super) views: Views,
    pub(super) manner: SessionOptions,
    /// What was cut and `:more` shows.
    rest: String,
    /// Lines and columns of the screen.
    pub(super) screen: (usize, usize),
}

impl ReplSession {
    /// A session about the plan of an engine and one node. The text of the plan's file is read again from
    /// memory: what the engine was opened with.
    pub fn new(engine: Engine, node: Node, manner: SessionOptions) -> Self {
        let file = PlanFile::of(&engine.plan);
        Self::with(engine, node, file, manner)
    }

    /// A session on a node that no plan describes; statements can be tried all the same.
    ///
    /// # Errors
    /// E900 when an empty plan has errors.
    pub fn without_plan(
        node: Node,
        settings: crate::engine::Settings,
        manner: SessionOptions,
    ) -> crate::diag::Result<Self> {
        let opened = Engine::open_text("", settings);
        let Some(engine) = opened.engine else {
            let bug = Diagnostic::new(Code::E900, "an empty plan has errors");
            return Err(Box::new(bug));
        };
        Ok(Self::with(engine, node, None, manner))
    }

    fn with(engine: Engine, node: Node, file: Option<PlanFile>, manner: SessionOptions) -> Self {
        Self {
            node,
            of_node: OnceCell::new(),
            engine,
            file,
            upgrade: None,
            statements: Vec::new(),
            past: Vec::new(),
            variables: Bindings::new(),
            sources: SourceMap::default(),
            views: Views::default(),
            screen: (24, manner.style.width),
            manner,
            rest: String::new(),
        }
    }

    /// The node.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The plan as it is now, and how the node is reached.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The path of the plan's file.
    pub fn plan_file(&self) -> Option<&std::path::Path> {
        self.file.as_ref().map(|file| file.path.as_path())
    }

    /// Lines and columns of the screen, which decide how much is shown at once.
    pub fn resize(&mut self, lines: usize, columns: usize) {
        self.screen = (lines.max(5), columns.clamp(20, 400));
        self.manner.style.width = self.screen.1;
    }

    /// The prompt: the node's name up to its host.
    pub fn prompt(&self) -> String {
        let name = self.node.node().as_str();
        format!(
            "{}> ",
            name.split_once('@').map_or(name, |(short, _)| short)
        )
    }

    /// Whether the plan says `risk => high`.
    pub fn is_risky(&self) -> bool {
        let risk = self.engine.plan.metadata.iter().find(|(k, _)| k == "risk");
        risk.is_some_and(|(_, value)| value.to_text().is_some_and(|text| text == "high"))
    }

    /// The line a session begins with.
    pub fn banner(&self) -> String {
        let dot = if self.manner.style.unicode { "·" } else { "-" };
        let mut out = format!("updo {}", env!("CARGO_PKG_VERSION"));
        if self.file.is_some() {
            out += &format!(" {dot} plan {}", self.engine.plan.title);
        }
        out += &format!(" {dot} {}", self.node.node());
        if let Some(otp) = self.otp() {
            out += &format!(" (OTP {otp})");
        }
        if self.manner.read_only {
            out += &format!(" {dot} read-only");
        }
        out + &format!(" {dot} :help")
    }

    pub(super) fn otp(&self) -> Option<String> {
        if let Some(upgrade) = &self.upgrade {
            return Some(upgrade.facts.otp.to_string());
        }
        let args = vec![Term::atom("otp_release")];
        self.ask("erlang", "system_info", args).ok()?.to_text()
    }

    /// Compares the node: how many modules differ, and how serious what there is to say is.
    ///
    /// # Errors
    /// When the node cannot be compared.
    pub fn refresh(&mut self) -> Result<(String, Vec<Severity>), ReplError> {
        let upgrade = self.prepared()?;
        let severities = upgrade.diagnostics.iter().map(Diagnostic::severity);
        Ok((differ(upgrade), severities.collect()))
    }

    /// One line (or several that belong together).
    pub fn line(&mut self, text: &str) -> Reply {
        let trimmed = text.trim();
        let comment = trimmed.starts_with('%') && !trimmed.contains('\n');
        if trimmed.is_empty() || comment && !is_percent_map(trimmed) {
            return Reply::Text(String::new());
        }
        let bare = command::bare(trimmed).filter(|_| !self.is_plans_function(trimmed));
        let reply = if bare.is_some() || trimmed.starts_with(':') {
            match command::parse(bare.as_deref().unwrap_or(trimmed)) {
                Ok(command) => self.command(command),
                Err(sentence) => Reply::Error(ReplError::usage(sentence)),
            }
        } else {
            self.input(text)
        };
        match reply {
            Reply::Text(text) => Reply::Text(self.page(text)),
            other => other,
        }
    }

    /// How values are printed.
    pub(super) fn notation(&self) -> Notation {
        let of_node = || *self.of_node.get_or_init(|| notation::of(&self.node));
        self.manner.notation.unwrap_or_else(of_node)
    }

    /// `:syntax`
    fn syntax(&mut self, wanted: SyntaxChoice) -> String {
        match wanted {
            SyntaxChoice::Show => {}
            SyntaxChoice::Node => self.manner.notation = None,
            SyntaxChoice::Fixed(notation) => self.manner.notation = Some(notation),
        }
        let name = match self.notation() {
            Notation::Erlang => "erlang",
            Notation::Elixir => "elixir",
        };
        match self.manner.notation {
            Some(_) => format!("values are printed as {name}"),
            None => format!("values are printed as {name}, the language of the node"),
        }
    }

    /// Whether `q()` and the like are functions of the plan, which take precedence over the command.
    fn is_plans_function(&self, text: &str) -> bool {
        let name = text.trim_end_matches('.').strip_suffix("()");
        let functions = &self.engine.plan.functions;
        name.is_some_and(|name| functions.contains_key(&(name.to_owned(), 0)))
    }

    fn input(&mut self, text: &str) -> Reply {
        if let Some(reply) = self.forget(text) {
            return reply;
        }
        let base = self.typed(text);
        match parse_input(text, base) {
            Err(InputError::Incomplete) => Reply::More,
            Err(InputError::Wrong(diagnostic)) => Reply::Error(self.fault(&diagnostic)),
            Ok(Input::Expressions(_)) => self.expression(text, base).into(),
            Ok(Input::Statement(_)) => self.add(text).into(),
        }
    }

    /// Where a typed text begins among the sources: behind the plan's, whose functions it may call.
    pub(super) fn typed(&mut self, text: &str) -> usize {
        self.sources = self.engine.plan.sources.clone();
        self.sources.add("input", text)
    }

    /// A diagnostic as it is shown.
    pub(super) fn fault(&self, diagnostic: &Diagnostic) -> ReplError {
        self.fault_in(diagnostic, &self.sources)
    }

    pub(super) fn fault_in(&self, diagnostic: &Diagnostic, sources: &SourceMap) -> ReplError {
        let mut text = render(diagnostic, sources, self.manner.style);
        if self.node.is_lost().is_some() {
            text += &format!("\nnot connected; try `:connect {}`", self.node.node());
            let code = Code::E508;
            return ReplError { code, text };
        }
        ReplError {
            code: diagnostic.code,
            text,
        }
    }

    /// What fits on the screen; the rest waits for `:more`.
    fn page(&mut self, text: String) -> String {
        self.rest.clear();
        let most = self.screen.0.saturating_sub(3);
        let Some((at, _)) = text
            .trim_end()
            .match_indices('\n')
            .nth(most)
            .filter(|_| self.manner.interactive)
        else {
            return text;
        };
        self.rest = text[at + 1..].trim_end().to_owned();
        let left = self.rest.lines().count();
        let mark = if self.manner.style.unicode {
            "…"
        } else {
            "..."
        };
        let lines = if left == 1 { "line" } else { "lines" };
        format!("{}\n{mark} {left} more {lines}    :more", &text[..at])
    }

    /// The upgrade, prepared at the first request.
    pub(super) fn prepared(&mut self) -> Result<&Upgrade, ReplError> {
        if self.upgrade.is_none() {
            let upgrade = self.prepare()?;
            self.upgrade = Some(upgrade);
        }
        self.upgrade
            .as_ref()
            .ok_or_else(|| ReplError::usage("the node was not compared"))
    }

    pub(super) fn prepare(&self) -> Result<Upgrade, ReplError> {
        self.engine
            .with_session(self.node.clone())
            .prepare()
            .map_err(|diagnostic| self.fault_in(&diagnostic, &self.engine.plan.sources))
    }

    fn command(&mut self, command: ReplCommand) -> Reply {
        match command {
            ReplCommand::Quit => Reply::Quit,
            ReplCommand::Clear => Reply::Clear,
            ReplCommand::More => Reply::Text(std::mem::take(&mut self.rest)),
            ReplCommand::Watch { every, expression } => self.watch(every, expression),
            ReplCommand::Run => match self.may_run() {
                Ok(()) => Reply::Run,
                Err(fault) => Reply::Error(fault),
            },
            ReplCommand::Edit if self.manner.interactive => Reply::Edit(self.edit_text()),
            ReplCommand::Edit => Reply::Error(ReplError::usage("`:edit` needs a terminal")),
            other => self.answer(other).into(),
        }
    }

    fn watch(&self, every: Duration, expression: String) -> Reply {
        if !self.manner.interactive {
            let why = "`:watch` runs until Ctrl-C: it needs a terminal";
            return Reply::Error(ReplError::usage(why));
        }
        if expression.starts_with(':') {
            return Reply::Error(ReplError::usage(
                "`:watch` repeats expressions, not commands",
            ));
        }
        Reply::Watch { every, expression }
    }

    fn answer(&mut self, command: ReplCommand) -> Result<String, ReplError> {
        match command {
            ReplCommand::Help(topic) => help::help(topic.as_deref(), self.manner.style),
            ReplCommand::Connect(node) => self.connect(&node),
            ReplCommand::Nodes => self.nodes(),
            ReplCommand::Info => self.info(),
            ReplCommand::Procs(module) => self.procs(&module),
            ReplCommand::App(app) => self.app(&app),
            ReplCommand::Sup(app) => self.sup(app.as_ref()),
            ReplCommand::Rules => Ok(self.rules()),
            ReplCommand::Drop(number) => self.drop_rule(number),
            ReplCommand::Undo => self.undo(),
            ReplCommand::Set { name, value } => self.set(&name, &value),
            ReplCommand::Params => Ok(self.params()),
            ReplCommand::Syntax(wanted) => Ok(self.syntax(wanted)),
            ReplCommand::Load(path) => self.load(&path),
            ReplCommand::Write(path) => self.write(path.as_deref()),
            ReplCommand::Check => self.check(),
            ReplCommand::Verify(name) => self.checks(true, name.as_deref()),
            ReplCommand::Require(name) => self.checks(false, name.as_deref()),
            ReplCommand::Time(expression) => self.time(&expression),
            ReplCommand::Refresh => {
                self.upgrade = None;
                let upgrade = self.prepared()?;
                Ok(differ(upgrade))
            }
            other => self.of_upgrade(&other),
        }
    }

    /// Commands about the upgrade.
    fn of_upgrade(&mut self, command: &ReplCommand) -> Result<String, ReplError> {
        self.prepared()?;
        let Some(upgrade) = &self.upgrade else {
            return Ok(String::new());
        };
        let whole = matches!(
            command,
            ReplCommand::Order | ReplCommand::Script(_) | ReplCommand::Graph(None)
        );
        if whole && upgrade.rules.modules.is_empty() {
            return Ok(differ(upgrade));
        }
        let style = self.manner.style;
        let known = |module: &Module| show::known(upgrade, module).map_err(ReplError::usage);
        Ok(match command {
            ReplCommand::Order => self.views.marked("order", &show::order(upgrade), style),
            ReplCommand::Script(view) => {
                let connection = self.engine.with_session(self.node.clone());
                let mut shown = connection.preview(upgrade);
                shown.full = ":script full";
                let text = |detail| show::keyed(&preview::text(&shown, style, detail));
                match view {
                    ScriptView::Low => {
                        let low = show::keyed(&preview::low(&shown));
                        self.views.marked("low", &low, style)
                    }
                    ScriptView::Usual => {
                        let text = text(preview::Detail::Usual);
                        self.views.marked("script", &text, style)
                    }
                    ScriptView::Full => {
                        let text = text(preview::Detail::Full);
                        self.views.marked("full", &text, style)
                    }
                }
            }
            ReplCommand::Graph(None) => {
                let text = draw(&upgrade.rules.graph, Format::Text);
                self.views.marked("graph", &show::keyed(&text), style)
            }
            ReplCommand::Graph(Some(module)) => {
                known(module)?;
                let near = upgrade.rules.graph.around(module, 1);
                near.map_or_else(String::new, |near| draw(&near, Format::Text))
            }
            ReplCommand::Why(module, None) => {
                known(module)?;
                why_here(upgrade, module)
            }
            ReplCommand::Why(first, Some(then)) => {
                known(first)?;
                known(then)?;
                why_before(upgrade, first, then)
            }
            ReplCommand::Conversion(module) => {
                known(module)?;
                show::conversion(upgrade, module)
            }
            ReplCommand::Deps(module) => {
                known(module)?;
                show::deps(upgrade, module)
            }
            ReplCommand::Rdeps(module) => {
                known(module)?;
                show::rdeps(upgrade, module)
            }
            ReplCommand::Changed(glob) => show::changed(upgrade, glob.as_deref()),
            ReplCommand::Diff(module) => {
                if let Some(module) = module {
                    known(module)?;
                }
                show::diff(upgrade, module.as_ref(), style)
            }
            ReplCommand::Cycles => show::cycles(upgrade),
            ReplCommand::Gaps => show::gaps(upgrade, &self.engine.plan.sources, style),
            _ => String::new(),
        })
    }
}

/// `14 modules differ`
pub(super) fn differ(upgrade: &Upgrade) -> String {
    match upgrade.changes.modules.len() {
        0 => format!(
            "nothing differs ({} modules compared)",
            upgrade.changes.compared
        ),
        1 => format!("1 module of {} differs", upgrade.changes.compared),
        n => format!("{n} modules of {} differ", upgrade.changes.compared),
    }
}
