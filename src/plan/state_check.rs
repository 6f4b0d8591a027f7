//! `rehearse S "text" -> fun (Old, New) -> … end`: what must hold of a state and what it is converted to.
//!
//! The states never leave the node, so the fun goes there: as text, with the plan's constants that it names as
//! bindings. What has no meaning there (functions of the plan and of updo, durations) is refused while the plan is read.

use super::resolve::Resolver;
use super::{Plan, scope};
use crate::diag::{Code, Diagnostic, Span};
use crate::eval::is_builtin;
use crate::name::Module;
use crate::syntax::ast::{Clause, Expr, ExprKind, Spanned, Tail};
use crate::syntax::print::to_source;
use crate::syntax::walk;
use crate::term::Term;

/// What a clause gives for a state that it does not concern.
const OTHER: &str = "'$updo_other'";

/// A check on states.
#[derive(Clone, Debug)]
pub struct StateCheck {
    /// What it checks, in words.
    pub name: String,
    /// The modules, when it says so.
    pub subject: Option<Expr>,
    /// When it applies.
    pub tail: Tail,
    /// The clauses; each pattern is the tuple of both arguments.
    pub clauses: Vec<Clause>,
    /// The statement.
    pub span: Span,
}

impl StateCheck {
    /// The fun as Erlang. What no clause takes gives an atom of its own.
    pub fn text(&self) -> String {
        let clauses = self.clauses.iter().map(|clause| {
            let case = ExprKind::Case(
                Box::new(Expr::literal(Term::atom("x"), self.span)),
                vec![clause.clone()],
            );
            let text = to_source(&Expr {
                kind: case,
                span: self.span,
            });
            let clause = text.strip_prefix("case x of ").unwrap_or(&text);
            clause.strip_suffix(" end").unwrap_or(clause).to_owned()
        });
        let clauses: Vec<String> = clauses.chain([format!("_ -> {OTHER}")]).collect();
        format!(
            "fun(Updo@1, Updo@2) -> case {{Updo@1, Updo@2}} of {} end end.",
            clauses.join("; ")
        )
    }

    /// The constants of the plan that it names. A clause's own variables hide them.
    pub fn bindings(&self, plan: &Plan) -> Vec<(String, Term)> {
        let hidden = self.hidden();
        let constants = plan.constants.iter();
        let named = constants.filter(|(name, _)| !hidden.contains(name) && self.names(name));
        let pair = |(name, value): (&str, &Term)| (name.to_owned(), value.clone());
        named.map(|(name, value)| pair((name, value))).collect()
    }

    fn hidden(&self) -> Vec<&str> {
        let mut names = Vec::new();
        let patterns = self.clauses.iter().filter_map(|c| c.pattern.as_ref());
        patterns.for_each(|pattern| bound(pattern, &mut names));
        names
    }

    fn names(&self, name: &str) -> bool {
        let parts = self.clauses.iter().flat_map(|c| {
            c.pattern
                .iter()
                .chain(c.guard.iter().flatten())
                .chain(&c.body)
        });
        parts
            .into_iter()
            .any(|e| walk::variables(e).contains(&name))
    }
}

/// The variables that a pattern binds; keys of maps and sizes are values.
fn bound<'e>(pattern: &'e Expr, names: &mut Vec<&'e str>) {
    match &pattern.kind {
        ExprKind::Var(name) => names.push(name),
        ExprKind::Map(_, pairs) => pairs.iter().for_each(|pair| bound(&pair.value, names)),
        ExprKind::Binary(all) => all.iter().for_each(|segment| bound(&segment.value, names)),
        _ => walk::parts(pattern, &mut |part| bound(part, names)),
    }
}

/// A check on states, on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedCheck {
    /// Its number among the plan's.
    pub number: usize,
    /// The modules; `None`: all that are converted.
    pub modules: Option<Vec<Module>>,
}

impl AppliedCheck {
    /// Whether it is about a module.
    pub fn concerns(&self, module: &Module) -> bool {
        self.modules
            .as_ref()
            .is_none_or(|modules| modules.contains(module))
    }
}

impl Resolver<'_> {
    /// `rehearse S "text" -> fun (Old, New) -> … end`
    pub(super) fn state_check(
        &mut self,
        subject: Option<&Expr>,
        name: &Spanned<String>,
        tail: &Tail,
        clauses: &[Clause],
        span: Span,
    ) {
        for clause in clauses {
            let Some(pattern) = &clause.pattern else {
                continue;
            };
            if let ExprKind::Tuple(args) = &pattern.kind
                && args.len() != 2
            {
                let title = format!(
                    "a check on states is a `fun (Old, New)`, this one takes {}",
                    match args.len() {
                        1 => "1 argument".to_owned(),
                        n => format!("{n} arguments"),
                    }
                );
                let diagnostic = Diagnostic::new(Code::E205, title)
                    .label(pattern.span, "the state, and what it is converted to");
                self.diagnostics.push(diagnostic);
            }
        }
        scope::state_check(&self.names, clauses, &mut self.diagnostics);
        for expr in clauses
            .iter()
            .flat_map(|c| c.guard.iter().flatten().chain(&c.body))
        {
            walk::all(expr, &mut |part| self.for_the_node(part));
        }
        self.plan.state_checks.push(StateCheck {
            name: name.value.clone(),
            subject: subject.cloned(),
            tail: tail.clone(),
            clauses: clauses.to_vec(),
            span,
        });
    }

    /// What has no meaning on the node.
    fn for_the_node(&mut self, part: &Expr) {
        let refused = match &part.kind {
            ExprKind::Duration(ms) => Some((
                "a check on states has no durations".to_owned(),
                "evaluated by the node",
                format!("write the milliseconds: `{ms}`"),
            )),
            ExprKind::Call(name, args) => {
                let (word, arity) = (name.value.as_str(), args.len());
                let planned = self.names.defines(word, arity);
                let own = scope::is_own(word, arity) && !is_builtin(word, arity) && word != "node";
                (planned || own).then(|| {
                    let of = if planned { "the plan" } else { "updo" };
                    (
                        format!("`{word}/{arity}` is a function of {of}, and checks on states are evaluated by the node"),
                        "unknown there",
                        "write it out, or call a function of a module on the node: `m:f(…)`".to_owned(),
                    )
                })
            }
            _ => None,
        };
        if let Some((title, label, help)) = refused {
            let diagnostic = Diagnostic::new(Code::E210, title).label(part.span, label);
            self.diagnostics.push(diagnostic.help(help));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use crate::plan::load::load_text;
    use crate::plan::{AppliedCheck, Plan};

    fn plan(text: &str) -> Plan {
        let loaded = load_text(Path::new("p.updo"), text, &BTreeMap::new());
        loaded
            .plan
            .unwrap_or_else(|| panic!("{:?}", loaded.diagnostics))
    }

    #[test]
    fn a_check_becomes_text_of_erlang() {
        let plan = plan(
            "Least = 3. Other = 4. Key = total. N = 1.\n\
             rehearse \"t\" -> fun ({a, N}, #{Key := N}) when N > Least, true -> N; (_, <<_:Least>>) -> 'Shop.Cart':x(\"e\") end.",
        );
        let check = &plan.state_checks[0];
        assert_eq!(
            check.text(),
            "fun(Updo@1, Updo@2) -> case {Updo@1, Updo@2} of {{a, N}, #{Key := N}} when N > Least, true -> N; \
             {_, <<_:Least>>} -> 'Shop.Cart':x(\"e\"); _ -> '$updo_other' end end."
        );
        let names: Vec<String> = check.bindings(&plan).into_iter().map(|(n, _)| n).collect();
        assert_eq!(names, ["Key", "Least"]);
        let all = AppliedCheck {
            number: 0,
            modules: None,
        };
        assert!(all.concerns(&crate::name::Module::new("m")));
    }
}
