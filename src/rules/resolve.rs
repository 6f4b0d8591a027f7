//! From the plan's statements to [`Manual`] rules on one node: subjects become names, guards are decided.

use super::manual::{Attribute, AttributeRule, CycleRule, EdgeRule, Manual, Selection, Source};
use super::view::View;
use super::{Change, Class, Kind, Purge, Timeout};
use crate::diag::suggest::suggest;
use crate::diag::{Code, Diagnostic};
use crate::eval::{Bindings, Evaluator, Functions, Moment};
use crate::name::Module;
use crate::plan::{Plan, Rule, duration, term_duration};
use crate::syntax::ast::{
    BreakEdge, Expr, ExprKind, OptionPair, Options, StatementKind, Tail, Verb,
};
use crate::term::{Fun, Term};

/// Decides every rule statement of a plan for one node.
pub fn resolve(plan: &Plan, view: &View<'_>) -> (Manual, Vec<Diagnostic>) {
    let mut resolver = Resolver {
        plan,
        view,
        manual: Manual::default(),
        said: Vec::new(),
    };
    for rule in &plan.rules {
        resolver.rule(rule);
    }
    (resolver.manual, resolver.said)
}

struct Resolver<'a> {
    plan: &'a Plan,
    view: &'a View<'a>,
    manual: Manual,
    said: Vec<Diagnostic>,
}

impl Resolver<'_> {
    fn rule(&mut self, rule: &Rule) {
        let span = rule.statement.span;
        let source = |tail: &Tail| Source {
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
                let Some(modules) = self.subject(subject) else {
                    return;
                };
                let values = self.attributes(options);
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
            _ => {}
        }
    }

    /// Evaluates an expression that may use facts.
    fn value(&mut self, expr: &Expr) -> Option<Term> {
        if let Some(term) = expr.as_literal() {
            return Some(term);
        }
        let mut world = self.view.world();
        let functions = Functions::new();
        let mut bindings: Bindings = self.plan.constants.clone();
        let mut evaluator = Evaluator::new(Moment::Facts, &functions).with_world(&mut world);
        match evaluator.eval(std::slice::from_ref(expr), &mut bindings) {
            Ok(term) => Some(term),
            Err(failure) => {
                self.said.push(*failure.diagnostic);
                None
            }
        }
    }

    /// Whether a statement's guard holds on this node.
    fn holds(&mut self, tail: &Tail) -> bool {
        tail.when.iter().all(|condition| {
            self.value(condition)
                .is_some_and(|value| value.is_atom("true"))
        })
    }

    /// The modules of a subject; a name that nobody knows is an error.
    fn subject(&mut self, expr: &Expr) -> Option<Vec<Module>> {
        let term = self.value(expr)?;
        let names: Option<Vec<Module>> = match &term {
            Term::Atom(atom) => Some(vec![Module::new(atom.as_str())]),
            Term::List(list) => list
                .iter()
                .map(|element| Some(Module::new(element.as_atom()?.as_str())))
                .collect(),
            _ => None,
        };
        let Some(names) = names else {
            let title = format!("a subject wants modules, got `{term}`");
            self.said.push(
                Diagnostic::new(Code::E205, title)
                    .label(expr.span, "not a module or a list of modules"),
            );
            return None;
        };
        let mut fine = true;
        for name in &names {
            if !self.view.knows(name) {
                fine = false;
                let mut told = Diagnostic::new(Code::E202, format!("unknown module `{name}`"))
                    .label(
                        expr.span,
                        "neither loaded on the node nor among the new beams",
                    );
                if let Some(close) = suggest(name.as_str(), self.view.names()) {
                    told = told.help(format!("did you mean `{}`?", Module::new(close)));
                }
                self.said.push(told);
            }
        }
        fine.then_some(names)
    }

    fn attributes(&mut self, options: &Options) -> Vec<(Attribute, crate::diag::Span)> {
        options
            .iter()
            .filter_map(|pair| {
                let value = match pair.key.value.as_str() {
                    "class" => self.word(pair, &CLASSES).map(Attribute::Class),
                    "type" => self.word(pair, &KINDS).map(Attribute::Kind),
                    "change" => self.change(pair),
                    "timeout" => self.timeout(pair),
                    "purge" => self.purge(pair),
                    _ => None, // E204 was told when the plan was read
                }?;
                Some((value, pair.key.span.to(pair.value.span)))
            })
            .collect()
    }

    fn word<T: Copy>(&mut self, pair: &OptionPair, words: &[(&str, T)]) -> Option<T> {
        let term = self.value(&pair.value)?;
        let found = words
            .iter()
            .find(|(word, _)| term.is_atom(word))
            .map(|(_, value)| *value);
        if found.is_none() {
            let wanted: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(pair, &wanted.join(", "), &term);
        }
        found
    }

    fn wrong(&mut self, pair: &OptionPair, wants: &str, got: &Term) {
        let title = format!("`{}` wants {wants}, got `{got}`", pair.key.value.as_str());
        self.said
            .push(Diagnostic::new(Code::E205, title).label(pair.value.span, "does not fit"));
    }

    fn change(&mut self, pair: &OptionPair) -> Option<Attribute> {
        let term = self.value(&pair.value)?;
        let change = match &term {
            Term::Atom(atom) if *atom == "soft" => Some(Change::Soft),
            Term::Tuple(parts) => match parts.as_slice() {
                [word, extra] if word.is_atom("advanced") => Some(Change::Advanced(extra.clone())),
                [
                    word,
                    Term::Fun(Fun::External {
                        module,
                        name,
                        arity: 1,
                    }),
                ] if word.is_atom("convert") => Some(Change::Convert {
                    module: Module::new(module.as_str()),
                    function: name.clone(),
                }),
                _ => None,
            },
            _ => None,
        };
        if change.is_none() {
            self.wrong(
                pair,
                "`soft`, `{advanced, Extra}` or `{convert, fun m:f/1}`",
                &term,
            );
        }
        change.map(Attribute::Change)
    }

    fn timeout(&mut self, pair: &OptionPair) -> Option<Attribute> {
        if let ExprKind::Literal(Term::Atom(atom)) = &pair.value.kind {
            match atom.as_str() {
                "infinity" => return Some(Attribute::Timeout(Timeout::Infinity)),
                "default" => return Some(Attribute::Timeout(Timeout::Default)),
                _ => {}
            }
        }
        let time = duration("timeout", &pair.value, &self.plan.constants, &mut self.said)?;
        Some(Attribute::Timeout(Timeout::After(time)))
    }

    fn purge(&mut self, pair: &OptionPair) -> Option<Attribute> {
        let term = self.value(&pair.value)?;
        let both = one_purge(&term).map(|purge| (purge, purge));
        let found = both.or_else(|| match term.as_tuple() {
            Some([pre, post]) => Some((one_purge(pre)?, one_purge(post)?)),
            _ => None,
        });
        if found.is_none() {
            self.wrong(
                pair,
                "`soft`, `brutal`, `{wait, 2s}` or a pair of these",
                &term,
            );
        }
        found.map(|(pre, post)| Attribute::Purge(pre, post))
    }
}

const CLASSES: [(&str, Class); 3] = [
    ("supervisor", Class::Supervisor),
    ("server", Class::Server),
    ("plain", Class::Plain),
];
const KINDS: [(&str, Kind); 2] = [("static", Kind::Static), ("dynamic", Kind::Dynamic)];

fn one_purge(term: &Term) -> Option<Purge> {
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
