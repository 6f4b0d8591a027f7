//! The backend of the REPL: a line in, text out.
//!
//! Expressions are evaluated with the node at hand, statements change a copy of the plan that only this
//! session has, and how that moved the order is shown at once: that is how people find the right override.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::command::{self, Command, WORDS};
use crate::diag::render::{Style, render};
use crate::diag::{Code, Diagnostic, SourceMap};
use crate::engine::{Connection, Upgrade, decide};
use crate::eval::{Bindings, Evaluator, Functions, Moment};
use crate::exec::check::OnNode;
use crate::graph::draw::{Format, draw};
use crate::name::Module;
use crate::node::Session as Node;
use crate::plan::{Plan, Rule};
use crate::report::preview;
use crate::rules::view::NoFacts;
use crate::syntax::ast::{Expr, Statement, StatementKind};
use crate::syntax::{Input, InputError, parse_input};
use crate::term::{self, Term};

/// What became of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Text to show; may be empty.
    Text(String),
    /// Text to show about something that went wrong.
    Error(String),
    /// The line is the beginning of something longer.
    More,
    /// The end.
    Quit,
}

/// A session on a node, with a plan or without.
pub struct Session<'a> {
    node: Node,
    plan: Option<Planned<'a>>,
    bindings: Bindings,
    sources: SourceMap,
    style: Style,
}

/// The plan of a session, and what it amounts to.
struct Planned<'a> {
    connection: &'a Connection<'a>,
    plan: Plan,
    upgrade: Upgrade,
    /// How many rules of the plan are the file's; the rest are the session's.
    from_file: usize,
    /// Text of the session's statements.
    added: Vec<String>,
}

impl<'a> Session<'a> {
    /// A session without a plan: expressions only.
    pub fn new(node: Node, style: Style) -> Self {
        Self {
            node,
            plan: None,
            bindings: Bindings::new(),
            sources: SourceMap::default(),
            style,
        }
    }

    /// A session about a plan's upgrade of one node.
    pub fn with_plan(
        connection: &'a Connection<'a>,
        plan: &Plan,
        upgrade: Upgrade,
        style: Style,
    ) -> Self {
        let mut session = Self::new(connection.session.clone(), style);
        session.sources = plan.sources.clone();
        session.bindings = plan.constants.clone();
        let from_file = plan.rules.len();
        let plan = plan.clone();
        session.plan = Some(Planned {
            connection,
            plan,
            upgrade,
            from_file,
            added: Vec::new(),
        });
        session
    }

    /// The prompt.
    pub fn prompt(&self) -> String {
        let name = self.node.node().as_str();
        format!(
            "{}> ",
            name.split_once('@').map_or(name, |(short, _)| short)
        )
    }

    /// The lines a session begins with.
    pub fn banner(&self) -> String {
        let plan = self
            .plan
            .as_ref()
            .map(|p| format!(" · plan {}", p.plan.title))
            .unwrap_or_default();
        format!(
            "updo {}{plan} · {} · :help",
            env!("CARGO_PKG_VERSION"),
            self.node.node()
        )
    }

    /// Names worth completing: commands, and modules that take part.
    pub fn words(&self) -> BTreeSet<String> {
        let mut words: BTreeSet<String> =
            WORDS.iter().map(|(word, _)| format!(":{word}")).collect();
        if let Some(planned) = &self.plan {
            words.extend(
                planned
                    .upgrade
                    .rules
                    .modules
                    .keys()
                    .map(ToString::to_string),
            );
        }
        words.extend(self.bindings.iter().map(|(name, _)| name.to_owned()));
        words
    }

    /// One line (or several that belong together).
    pub fn line(&mut self, text: &str) -> Reply {
        let trimmed = text.trim();
        if trimmed.is_empty() || trimmed.starts_with('%') {
            return Reply::Text(String::new());
        }
        if trimmed.starts_with(':') {
            return match command::parse(trimmed) {
                Ok(command) => self.command(&command),
                Err(sentence) => Reply::Error(sentence),
            };
        }
        let base = self.sources.add("input", text);
        match parse_input(text, base) {
            Err(InputError::Incomplete) => Reply::More,
            Err(InputError::Wrong(diagnostic)) => self.error(&diagnostic),
            Ok(Input::Expressions(body)) => self.evaluate(&body),
            Ok(Input::Statement(statement)) => self.statement(statement, trimmed),
        }
    }

    fn error(&self, diagnostic: &Diagnostic) -> Reply {
        Reply::Error(render(diagnostic, &self.sources, self.style))
    }

    fn evaluate(&mut self, body: &[Expr]) -> Reply {
        let planned = self.plan.as_ref();
        let functions = planned.map_or_else(Functions::new, |planned| planned.plan.scripts());
        let mut remote = OnNode(&self.node);
        let known: BTreeSet<String> = self
            .bindings
            .iter()
            .map(|(name, _)| name.to_owned())
            .collect();
        let mut bindings = self.bindings.clone();
        let result = match &self.plan {
            Some(planned) => {
                let mut world = planned.connection.view(&planned.upgrade).world();
                Evaluator::new(Moment::Live, &functions)
                    .with_world(&mut world)
                    .with_remote(&mut remote)
                    .eval(body, &mut bindings)
            }
            None => Evaluator::new(Moment::Live, &functions)
                .with_world(&mut NoFacts(self.node.node()))
                .with_remote(&mut remote)
                .eval(body, &mut bindings),
        };
        match result {
            Ok(value) => {
                let mut out = shortened(&value);
                for (name, value) in bindings.iter().filter(|(name, _)| !known.contains(*name)) {
                    let _ = write!(out, "\n{name} = {value}");
                }
                bindings.set("It", value);
                self.bindings = bindings;
                Reply::Text(out)
            }
            Err(failure) => self.error(&failure.diagnostic),
        }
    }

    fn statement(&mut self, statement: Statement, text: &str) -> Reply {
        let sources = self.sources.clone();
        let Some(planned) = &mut self.plan else {
            return Reply::Error("a statement needs a plan: updo repl PLAN".to_owned());
        };
        if !matches!(
            statement.kind,
            StatementKind::Relation { .. }
                | StatementKind::Cycle { .. }
                | StatementKind::Module { .. }
                | StatementKind::Exclude { .. }
                | StatementKind::Only { .. }
        ) {
            return Reply::Error(
                "only rules can be tried here: dependencies, cycles, modules, only, exclude"
                    .to_owned(),
            );
        }
        planned.plan.sources = sources;
        planned.plan.rules.push(Rule {
            statement,
            layer: 0,
        });
        planned
            .added
            .push(text.trim_end_matches('.').to_owned() + ".");
        let before = planned.upgrade.rules.graph.order_flat();
        planned.decide();
        let said = errors(&planned.upgrade, &planned.plan, self.style);
        if !said.is_empty() {
            planned.plan.rules.pop();
            planned.added.pop();
            planned.decide();
            return Reply::Error(format!("{said}\nnot added"));
        }
        let moved = moved(&before, &planned.upgrade.rules.graph.order_flat());
        Reply::Text(format!("added to this session{moved}"))
    }

    fn command(&mut self, command: &Command) -> Reply {
        match command {
            Command::Help => {
                let mut out = String::from(
                    "an expression is evaluated on the node, a statement changes the session's rules",
                );
                for (word, what) in WORDS {
                    let _ = write!(out, "\n  :{word:<8} {what}");
                }
                return Reply::Text(out);
            }
            Command::Quit => return Reply::Quit,
            Command::Info => {
                let otp = self.node.call(
                    "erlang",
                    "system_info",
                    vec![Term::atom("otp_release")],
                    std::time::Duration::from_secs(5),
                );
                let otp = otp
                    .ok()
                    .and_then(|term| term.to_text())
                    .unwrap_or_else(|| "?".to_owned());
                return Reply::Text(format!(
                    "{}, OTP {otp}, as {}",
                    self.node.node(),
                    self.node.local_name()
                ));
            }
            _ => {}
        }
        let Some(planned) = &mut self.plan else {
            return Reply::Error("this needs a plan: updo repl PLAN".to_owned());
        };
        planned.command(command, self.style)
    }
}

impl Planned<'_> {
    fn decide(&mut self) {
        let (facts, changes) = (self.upgrade.facts.clone(), self.upgrade.changes.clone());
        let node = self.connection.session.node();
        self.upgrade = decide(
            &self.plan,
            node,
            self.connection.target(),
            facts,
            changes,
            false,
        );
    }

    fn command(&mut self, command: &Command, style: Style) -> Reply {
        let upgrade = &self.upgrade;
        let shown = preview::Shown {
            node: self.connection.session.node(),
            otp: upgrade.facts.otp,
            plan: &self.plan,
            changes: &upgrade.changes,
            inferred: &upgrade.inferred,
            rules: &upgrade.rules,
            script: &upgrade.script,
            diagnostics: &upgrade.diagnostics,
        };
        Reply::Text(match command {
            Command::Order => order(upgrade),
            Command::Script { low: true } => preview::low(&shown),
            Command::Script { low: false } => preview::text(&shown, style),
            Command::Why(module, None) => {
                known(upgrade, &[module]).unwrap_or_else(|| why_here(upgrade, module))
            }
            Command::Why(first, Some(then)) => {
                known(upgrade, &[first, then]).unwrap_or_else(|| why_before(upgrade, first, then))
            }
            Command::Graph => draw(&upgrade.rules.graph, Format::Text),
            Command::Cycles => cycles(upgrade),
            Command::Gaps => gaps(upgrade, &self.plan, style),
            Command::Changed => changed(upgrade),
            Command::Rules => self
                .added
                .iter()
                .enumerate()
                .map(|(at, text)| format!("{}  {text}\n", at + 1))
                .collect(),
            Command::Drop(number) => return self.drop_rule(*number),
            Command::Refresh => match self.connection.prepare() {
                Ok(upgrade) => {
                    self.upgrade = upgrade;
                    self.decide();
                    format!("{} modules differ", self.upgrade.changes.modules.len())
                }
                Err(diagnostic) => {
                    return Reply::Error(render(&diagnostic, &self.plan.sources, style));
                }
            },
            Command::Help | Command::Info | Command::Quit => String::new(),
        })
    }

    fn drop_rule(&mut self, number: usize) -> Reply {
        if number == 0 || number > self.added.len() {
            return Reply::Error(format!("there is no rule {number}; `:rules` lists them"));
        }
        let text = self.added.remove(number - 1);
        self.plan.rules.remove(self.from_file + number - 1);
        let before = self.upgrade.rules.graph.order_flat();
        self.decide();
        let moved = moved(&before, &self.upgrade.rules.graph.order_flat());
        Reply::Text(format!("dropped {text}{moved}"))
    }
}

/// A sentence when a module takes no part.
fn known(upgrade: &Upgrade, modules: &[&Module]) -> Option<String> {
    let stranger = modules
        .iter()
        .find(|module| !upgrade.rules.modules.contains_key(**module))?;
    Some(format!("{stranger} takes no part in this upgrade"))
}

fn errors(upgrade: &Upgrade, plan: &Plan, style: Style) -> String {
    let errors = upgrade
        .diagnostics
        .iter()
        .filter(|d| d.is_error() && d.code != Code::E317);
    errors
        .map(|d| render(d, &plan.sources, style))
        .collect::<Vec<_>>()
        .join("\n")
}

/// ` · 1 step moved: shop_audit 3 -> 4`
fn moved(before: &[Module], after: &[Module]) -> String {
    let place =
        |order: &[Module], module: &Module| order.iter().position(|m| m == module).map(|at| at + 1);
    let moves: Vec<String> = after
        .iter()
        .filter_map(
            |module| match (place(before, module), place(after, module)) {
                (Some(from), Some(to)) if from != to => Some(format!("{module} {from} -> {to}")),
                (None, Some(to)) => Some(format!("{module} joins at {to}")),
                _ => None,
            },
        )
        .chain(
            before
                .iter()
                .filter(|m| !after.contains(m))
                .map(|m| format!("{m} leaves")),
        )
        .collect();
    match moves.len() {
        0 => ", the order stays".to_owned(),
        1 => format!(", 1 step moved: {}", moves[0]),
        n => format!(", {n} steps moved: {}", moves.join(", ")),
    }
}

/// The order, one module a line.
pub fn order(upgrade: &Upgrade) -> String {
    let mut out = String::new();
    let mut number = 0;
    for component in &upgrade.rules.order {
        for module in &component.modules {
            number += 1;
            let class = upgrade
                .rules
                .modules
                .get(module)
                .map(|r| r.class.value.to_string())
                .unwrap_or_default();
            let cycle = if component.cyclic { "  in a cycle" } else { "" };
            let _ = writeln!(
                out,
                "{number:>3}  {:<28}  {class}{cycle}",
                module.to_string()
            );
        }
    }
    out
}

fn changed(upgrade: &Upgrade) -> String {
    upgrade
        .changes
        .modules
        .iter()
        .fold(String::new(), |mut out, (module, changed)| {
            let word = if changed.is_new() { "new" } else { "changed" };
            let _ = writeln!(out, "{word:<8} {module}");
            out
        })
}

fn cycles(upgrade: &Upgrade) -> String {
    if upgrade.rules.cycles.is_empty() {
        return "no cycles".to_owned();
    }
    upgrade
        .rules
        .cycles
        .iter()
        .fold(String::new(), |mut out, cycle| {
            let names: Vec<String> = cycle.members.iter().map(ToString::to_string).collect();
            let known = if cycle.declared.is_some() {
                "known to the plan"
            } else {
                "undeclared"
            };
            let _ = writeln!(out, "[{}]  {known}", names.join(", "));
            out
        })
}

fn gaps(upgrade: &Upgrade, plan: &Plan, style: Style) -> String {
    let gaps = upgrade.diagnostics.iter().filter(|d| d.code == Code::W315);
    let told: Vec<String> = gaps.map(|d| render(d, &plan.sources, style)).collect();
    if told.is_empty() {
        "no gaps".to_owned()
    } else {
        told.join("\n")
    }
}

/// Everything about one module.
pub fn why_here(upgrade: &Upgrade, module: &Module) -> String {
    let mut out = String::new();
    if let Some(step) = upgrade
        .script
        .high
        .iter()
        .find(|step| step.instruction.module() == module)
    {
        let _ = writeln!(out, "{}", step.instruction);
        for why in &step.why {
            let _ = writeln!(out, "    {}", why.text);
        }
    }
    if let Some(changed) = upgrade.changes.modules.get(module) {
        use crate::facts::compare::short;
        let old = changed
            .loaded
            .as_ref()
            .map_or("not loaded".to_owned(), |l| short(&l.md5));
        let new = changed
            .new
            .as_ref()
            .map_or("deleted".to_owned(), |n| short(&n.facts.md5));
        let _ = writeln!(
            out,
            "    md5 {old} -> {new}, {} processes run it",
            changed.processes
        );
    }
    let waiting: Vec<String> = upgrade
        .rules
        .graph
        .edges()
        .filter(|(_, to, _)| *to == module)
        .map(|(from, _, _)| from.to_string())
        .collect();
    if !waiting.is_empty() {
        let _ = writeln!(out, "    before {}", waiting.join(", "));
    }
    out
}

/// Why one module comes before another: the chain of evidence, or that nothing forces it.
pub fn why_before(upgrade: &Upgrade, first: &Module, then: &Module) -> String {
    let order = upgrade.rules.graph.order_flat();
    let at = |module: &Module| {
        order
            .iter()
            .position(|m| m == module)
            .map_or(0, |at| at + 1)
    };
    let mut out = format!(
        "{first} is {} of {}, {then} is {}\n",
        at(first),
        order.len(),
        at(then)
    );
    match upgrade.rules.graph.why_before(first, then) {
        Some(links) => {
            for link in links {
                let _ = writeln!(out, "    {link}");
            }
        }
        None => {
            let _ = writeln!(
                out,
                "    nothing makes {then} wait for {first}; their order is by name"
            );
        }
    }
    out
}

/// A value as the Erlang shell prints it, cut where it becomes unreadable.
fn shortened(value: &Term) -> String {
    const MOST: usize = 8_000;
    let text = term::pretty(value, 80);
    match text.char_indices().nth(MOST) {
        None => text,
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}
