//! From the plan's statements to [`Manual`] rules on one node: subjects become names, guards are decided.

use super::node_view::NodeView;
use super::plan_rules::{
    Attribute, AttributeRule, CycleRule, EdgeRule, InsertPosition, Inserted, Insertion, Manual,
    Selection, StatementOrigin, StepWord, WindowRule, WindowsRule,
};
use super::{Change, Children, Class, ModuleType, Purge, Timeout};
use crate::diag::suggest::suggest;
use crate::diag::{Code, Diagnostic};
use crate::eval::{Bindings, Evaluator, Functions, Phase};
use crate::name::Module;
use crate::plan::{AppliedCheck, Plan, Rule, attribute, term_duration, wrong_value};
use crate::syntax::ast::{
    self, BreakEdge, Expr, ExprKind, OptionPair, Options, StatementKind, Tail, Verb,
};
use crate::syntax::walk::variables;
use crate::term::{Fun, Term};

/// Decides every rule statement of a plan for one node.
pub fn resolve(plan: &Plan, view: &NodeView<'_>) -> (Manual, Vec<Diagnostic>) {
    let mut resolver = Resolver {
        plan,
        view,
        functions: plan.scripts(),
        manual: Manual {
            warn_unused_everywhere: plan.warn_unused_everywhere,
            ..Manual::default()
        },
        diagnostics: Vec::new(),
    };
    for rule in &plan.rules {
        resolver.rule(rule);
    }
    (resolver.manual, resolver.diagnostics)
}

struct Resolver<'a> {
    plan: &'a Plan,
    view: &'a NodeView<'a>,
    functions: Functions<'a>,
    manual: Manual,
    diagnostics: Vec<Diagnostic>,
}

impl Resolver<'_> {
    fn rule(&mut self, rule: &Rule) {
        let span = rule.statement.span;
        let source = |tail: &Tail| StatementOrigin {
            span,
            because: tail.because.as_ref().map(|because| because.value.clone()),
            layer: rule.layer,
        };
        match &rule.statement.kind {
            StatementKind::Relation {
                left,
                verb,
                right,
                tail,
            } => {
                if !self.holds(tail) {
                    return;
                }
                let (Some(left), Some(right)) = (self.subject(left), self.subject(right)) else {
                    return;
                };
                let (from, to) = if verb.value == Verb::LoadsBefore {
                    (right, left)
                } else {
                    (left, right)
                };
                let edge = EdgeRule {
                    from,
                    to,
                    is_order: matches!(verb.value, Verb::LoadsBefore | Verb::LoadsAfter),
                    source: source(tail),
                };
                match verb.value {
                    Verb::DoesNotDependOn => self.manual.remove.push(edge),
                    Verb::DependsOn | Verb::LoadsBefore | Verb::LoadsAfter => {
                        self.manual.add.push(edge)
                    }
                }
            }
            StatementKind::Cycle {
                members,
                breaks,
                tail,
            } => {
                if !self.holds(tail) {
                    return;
                }
                let Some(members) = self.subject(members) else {
                    return;
                };
                let breaks = breaks
                    .as_deref()
                    .unwrap_or_default()
                    .iter()
                    .map(broken_edge)
                    .collect();
                self.manual.cycles.push(CycleRule {
                    members,
                    breaks,
                    source: source(tail),
                });
            }
            StatementKind::Module {
                subject,
                options,
                tail,
            } => {
                if !self.holds(tail) {
                    return;
                }
                let values = self.attributes(options);
                // What is removed may have gone already: a plan that is run again says nothing wrong.
                let goes = |(value, _): &(Attribute, _)| *value == Attribute::Remove(true);
                let modules = match values.iter().any(goes) {
                    true => self.names(subject),
                    false => self.subject(subject),
                };
                let Some(modules) = modules else { return };
                let by_name = names_one_by_one(subject);
                self.manual.attributes.push(AttributeRule {
                    modules,
                    by_name,
                    values,
                    source: source(tail),
                });
            }
            StatementKind::Exclude { subject, tail } => {
                if self.holds(tail)
                    && let Some(modules) = self.subject(subject)
                {
                    self.manual.exclude.push(Selection {
                        modules,
                        source: source(tail),
                    });
                }
            }
            StatementKind::Only { subject, tail } => {
                if self.holds(tail)
                    && let Some(modules) = self.subject(subject)
                {
                    self.manual.only.push(Selection {
                        modules,
                        source: source(tail),
                    });
                }
            }
            StatementKind::StateCheck { subject, tail, .. } => {
                if !self.holds(tail) {
                    return;
                }
                let modules = match subject.as_ref().map(|subject| self.subject(subject)) {
                    Some(None) => return,
                    Some(Some(modules)) => Some(modules),
                    None => None,
                };
                let mut checks = self.plan.state_checks.iter();
                if let Some(number) = checks.position(|check| check.span == span) {
                    let check = AppliedCheck { number, modules };
                    self.manual.state_checks.push((check, source(tail)));
                }
            }
            StatementKind::OwnWindows { windows, tail } => {
                if !self.holds(tail) {
                    return;
                }
                let mut rules = Vec::with_capacity(windows.len());
                for window in windows {
                    let modules = match ast::is_rest(window) {
                        true => None,
                        false => match self.subject(window) {
                            Some(modules) => Some(modules),
                            None => continue,
                        },
                    };
                    rules.push(WindowRule {
                        modules,
                        by_name: names_one_by_one(window),
                        span: window.span,
                    });
                }
                self.manual.windows = Some(WindowsRule {
                    windows: rules,
                    source: source(tail),
                });
            }
            StatementKind::Insert {
                instruction,
                place,
                tail,
            } => {
                if !self.holds(tail) {
                    return;
                }
                let place = self.place(place);
                if let (Some(term), Some(place)) = (self.value(instruction), place) {
                    self.manual.insertions.push(Insertion {
                        what: Inserted::Instruction(term, instruction.span),
                        place,
                        source: source(tail),
                    });
                }
            }
            StatementKind::Hook {
                moment: ast::HookPoint::Before(step) | ast::HookPoint::After(step),
                tail,
                ..
            } => {
                if !self.holds(tail) {
                    return;
                }
                let after = matches!(
                    &rule.statement.kind,
                    StatementKind::Hook {
                        moment: ast::HookPoint::After(_),
                        ..
                    }
                );
                let number = self.plan.hooks.iter().position(|hook| hook.span == span);
                if let (Some(place), Some(number)) = (self.step(after, step), number) {
                    self.manual.insertions.push(Insertion {
                        what: Inserted::Hook(number),
                        place,
                        source: source(tail),
                    });
                }
            }
            _ => {}
        }
    }

    fn place(&mut self, place: &ast::InsertAnchor) -> Option<InsertPosition> {
        match place {
            ast::InsertAnchor::Start => Some(InsertPosition::Start),
            ast::InsertAnchor::End => Some(InsertPosition::End),
            ast::InsertAnchor::Before(step) => self.step(false, step),
            ast::InsertAnchor::After(step) => self.step(true, step),
        }
    }

    fn step(&mut self, after: bool, step: &ast::StepRef) -> Option<InsertPosition> {
        let word = match step.kind.as_ref().map(|kind| kind.value.as_str()) {
            None => StepWord::Whole,
            Some("load") => StepWord::Load,
            Some("suspend") => StepWord::Suspend,
            Some("code_change") => StepWord::CodeChange,
            Some(_) => StepWord::Resume,
        };
        let modules = self.subject(&step.subject)?;
        Some(InsertPosition::Step {
            after,
            word,
            modules,
        })
    }

    /// Evaluates an expression that may use facts.
    fn value(&mut self, expr: &Expr) -> Option<Term> {
        if let Some(term) = expr.as_literal() {
            return Some(term);
        }
        let mut host = self.view.host();
        let mut bindings: Bindings = self.plan.constants.only(variables(expr));
        let mut evaluator = Evaluator::new(Phase::Facts, &self.functions).with_names(&mut host);
        match evaluator.eval(std::slice::from_ref(expr), &mut bindings) {
            Ok(term) => Some(term),
            Err(failure) => {
                let mut diagnostic = *failure.diagnostic;
                if diagnostic.labels.is_empty() {
                    diagnostic = diagnostic.label(expr.span, "asked for here");
                }
                self.diagnostics.push(diagnostic);
                None
            }
        }
    }

    /// Whether a statement's guard holds on this node.
    fn holds(&mut self, tail: &Tail) -> bool {
        let holds = self.view.holds(self.plan, &self.functions, tail);
        holds.unwrap_or_else(|diagnostic| {
            self.diagnostics.push(*diagnostic);
            false
        })
    }

    /// The modules that a subject names, known or not.
    fn names(&mut self, expr: &Expr) -> Option<Vec<Module>> {
        let term = self.value(expr)?;
        let names: Option<Vec<Module>> = match &term {
            Term::Atom(atom) => Some(vec![Module::new(atom.as_str())]),
            Term::List(list) => list
                .iter()
                .map(|element| Some(Module::new(element.as_atom()?.as_str())))
                .collect(),
            _ => None,
        };
        if names.is_none() {
            let title = format!("a subject wants modules, got `{term}`");
            self.diagnostics.push(
                Diagnostic::new(Code::E205, title)
                    .label(expr.span, "not a module or a list of modules"),
            );
        }
        names
    }

    /// The modules of a subject; an unknown name is an error.
    fn subject(&mut self, expr: &Expr) -> Option<Vec<Module>> {
        let names = self.names(expr)?;
        let mut fine = true;
        for name in &names {
            if !self.view.knows(name) {
                fine = false;
                let mut diagnostic =
                    Diagnostic::new(Code::E202, format!("unknown module `{name}`")).label(
                        expr.span,
                        "neither loaded on the node nor among the new beams",
                    );
                if let Some(close) = suggest(name.as_str(), self.view.names()) {
                    diagnostic = diagnostic.help(format!("did you mean `{}`?", Module::new(close)));
                }
                self.diagnostics.push(diagnostic);
            }
        }
        fine.then_some(names)
    }

    fn attributes(&mut self, options: &Options) -> Vec<(Attribute, crate::diag::Span)> {
        options
            .iter()
            .filter_map(|pair| {
                let term = self.option(pair)?;
                let value = match pair.key.value.as_str() {
                    "class" => word(&term, &CLASSES).map(Attribute::Class),
                    "type" => word(&term, &KINDS).map(Attribute::Kind),
                    "change" => change(&term).map(Attribute::Change),
                    "timeout" => timeout(&term).map(Attribute::Timeout),
                    "purge" => purge(&term),
                    "children" => Children::read(&term).map(Attribute::Children),
                    "restart" => Some(Attribute::Restart(term.is_atom("true"))),
                    "remove" => Some(Attribute::Remove(term.is_atom("true"))),
                    "rehearse" => Some(Attribute::Rehearse(term.is_atom("true"))),
                    _ => None, // E204 was reported when the plan was read
                }?;
                Some((value, pair.key.span.to(pair.value.span)))
            })
            .collect()
    }

    /// The value of an option, if it fits.
    fn option(&mut self, pair: &OptionPair) -> Option<Term> {
        let term = self.value(&pair.value)?;
        let word = pair.key.value.as_str();
        match attribute(word, &term) {
            Ok(()) => Some(term),
            Err(wants) => {
                self.diagnostics
                    .push(wrong_value(word, wants, pair.value.span, &term));
                None
            }
        }
    }
}

fn word<T: Copy>(term: &Term, words: &[(&str, T)]) -> Option<T> {
    words
        .iter()
        .find(|(word, _)| term.is_atom(word))
        .map(|(_, value)| *value)
}

fn change(term: &Term) -> Option<Change> {
    match term.as_tuple() {
        None => term.is_atom("soft").then_some(Change::Soft),
        Some([word, extra]) if word.is_atom("advanced") => Some(Change::Advanced(extra.clone())),
        Some([_, Term::Fun(Fun::External { module, name, .. })]) => Some(Change::Convert {
            module: Module::new(module.as_str()),
            function: name.clone(),
        }),
        Some(_) => None,
    }
}

fn timeout(term: &Term) -> Option<Timeout> {
    match term.as_atom().map(|atom| atom.as_str()) {
        Some("infinity") => Some(Timeout::Infinity),
        Some("default") => Some(Timeout::Default),
        _ => term_duration(term).map(Timeout::After),
    }
}

fn purge(term: &Term) -> Option<Attribute> {
    if let Some(purge) = one_purge(term) {
        return Some(Attribute::Purge(purge, purge));
    }
    match term.as_tuple() {
        Some([pre, post]) => Some(Attribute::Purge(one_purge(pre)?, one_purge(post)?)),
        _ => None,
    }
}

const CLASSES: [(&str, Class); 3] = [
    ("supervisor", Class::Supervisor),
    ("server", Class::Server),
    ("plain", Class::Library),
];
const KINDS: [(&str, ModuleType); 2] = [
    ("static", ModuleType::Static),
    ("dynamic", ModuleType::Dynamic),
];

fn one_purge(term: &Term) -> Option<Purge> {
    if term.is_atom("defer") {
        return Some(Purge::Defer);
    }
    if term.is_atom("soft") {
        return Some(Purge::Soft);
    }
    if term.is_atom("brutal") {
        return Some(Purge::Brutal);
    }
    match term.as_tuple() {
        Some([word, time]) if word.is_atom("wait") => term_duration(time).map(Purge::Wait),
        _ => None,
    }
}

fn broken_edge(edge: &BreakEdge) -> (Module, Module, crate::diag::Span) {
    let module = |atom: &crate::term::Atom| Module::new(atom.as_str());
    (
        module(&edge.from.value),
        module(&edge.to.value),
        edge.from.span.to(edge.to.span),
    )
}

/// `a` and `[a, b]` name modules; `app(shop)`, `glob("…")`, `a ++ b` stand for sets.
fn names_one_by_one(subject: &Expr) -> bool {
    matches!(subject.kind, ExprKind::Literal(_))
}
