//! What can be reported about an expression when the plan is read: unbound variables (E206), functions that
//! do not exist (E702), calls to the node where the node cannot be asked (E210).
//!
//! It evaluates nothing and never guesses: a variable that only one branch binds counts as bound, and a name
//! that may be a function of the node's `erlang` module is left to the node. One expression may have several
//! errors; all are reported.

use std::collections::{BTreeMap, BTreeSet};

use crate::diag::suggest::suggest;
use crate::diag::{Code, Diagnostic, Span};
use crate::eval::{Phase, builtin_names, is_builtin, needs};
use crate::facts::beam::bifs::bifs;
use crate::syntax::ast::{Clause, Expr, ExprKind, FunClause, MapPair, Qualifier, Segment};
use crate::syntax::print::to_source;
use crate::syntax::walk;
use crate::term::Term;

/// updo's own names with the numbers of arguments they take.
const OWN: &[(&str, &[usize])] = &[
    ("app", &[1]),
    ("behaviour", &[1]),
    ("changed", &[0, 1]),
    ("env", &[1]),
    ("exports", &[3]),
    ("fail", &[1, 2]),
    ("file", &[1]),
    ("glob", &[1]),
    ("info", &[1, 2]),
    ("lib", &[1]),
    ("matches", &[2]),
    ("node", &[0]),
    ("otp", &[0]),
    ("sleep", &[1]),
    ("target", &[0]),
    ("vsn", &[1]),
    ("warn", &[1, 2]),
];

/// Functions of `erlang` that are written in Erlang, and so not in the lists of built-in ones.
const WRITTEN_IN_ERLANG: &[&str] = &[
    "alias",
    "alloc_info",
    "alloc_sizes",
    "check_process_code",
    "convert_time_unit",
    "disconnect_node",
    "fun_info",
    "garbage_collect",
    "get_cookie",
    "halt",
    "is_alive",
    "load_module",
    "max",
    "memory",
    "min",
    "module_info",
    "open_port",
    "port_call",
    "port_close",
    "port_command",
    "port_connect",
    "port_control",
    "port_info",
    "prepare_loading",
    "process_display",
    "purge_module",
    "send_nosuspend",
    "set_cookie",
    "spawn_monitor",
    "spawn_request",
    "suspend_process",
    "trace",
    "trace_pattern",
];

type Functions = BTreeMap<(String, usize), Vec<FunClause>>;

/// The names that a whole plan defines.
#[derive(Default)]
pub(super) struct Names {
    /// Constants and parameters, whether or not their value could be computed.
    globals: BTreeSet<String>,
    /// Plan functions.
    functions: BTreeSet<(String, usize)>,
    /// Those of them that ask the node.
    live: BTreeSet<(String, usize)>,
}

impl Names {
    pub fn new(globals: BTreeSet<String>, functions: &Functions) -> Self {
        let mut names = Self {
            globals,
            functions: functions.keys().cloned().collect(),
            live: BTreeSet::new(),
        };
        // Until nothing changes: a function that calls one that asks, asks.
        loop {
            let before = names.live.len();
            for (function, clauses) in functions {
                let mut asks = false;
                for expr in clauses.iter().flat_map(|clause| &clause.body) {
                    walk::all(expr, &mut |part| asks |= names.asks(part));
                }
                if asks {
                    names.live.insert(function.clone());
                }
            }
            if names.live.len() == before {
                return names;
            }
        }
    }

    /// Whether this very node of a tree needs the live moment.
    fn asks(&self, expr: &Expr) -> bool {
        match &expr.kind {
            ExprKind::Remote { .. } => true,
            ExprKind::Call(name, args) => {
                let name = name.value.as_str();
                let key = (name.to_owned(), args.len());
                if self.functions.contains(&key) {
                    return self.live.contains(&key);
                }
                match needs(name) {
                    Some(moment) => moment == Phase::Live,
                    None => !is_builtin(name, args.len()),
                }
            }
            _ => false,
        }
    }
}

/// Looks at a subject, a guard or an option: the node's facts are known, it cannot be asked.
pub(super) fn facts(names: &Names, expr: &Expr, diagnostics: &mut Vec<Diagnostic>) {
    let mut scope = Scope::new(names, Phase::Facts, diagnostics);
    scope.expr(expr);
}

/// Looks at the body of a check, in which every expression is a condition.
pub(super) fn check(names: &Names, exprs: &[Expr], diagnostics: &mut Vec<Diagnostic>) {
    Scope::new(names, Phase::Live, diagnostics).exprs(exprs);
}

/// Looks at the body of a hook, in which every expression is a condition too; `more` are variables that it is given.
pub(super) fn hook(
    names: &Names,
    exprs: &[Expr],
    more: &[&str],
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut scope = Scope::new(names, Phase::Live, diagnostics);
    scope
        .bound
        .extend(more.iter().map(|name| (*name).to_owned()));
    scope.exprs(exprs);
}

/// Looks at a function of the plan, which sees its arguments and the constants.
pub(super) fn function(names: &Names, clauses: &[FunClause], diagnostics: &mut Vec<Diagnostic>) {
    for clause in clauses {
        let mut scope = Scope::new(names, Phase::Live, diagnostics);
        clause.args.iter().for_each(|arg| scope.pattern(arg));
        scope.exprs(&clause.when);
        scope.sequence(&clause.body);
    }
}

struct Scope<'a> {
    names: &'a Names,
    moment: Phase,
    bound: Vec<String>,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl<'a> Scope<'a> {
    fn new(names: &'a Names, moment: Phase, diagnostics: &'a mut Vec<Diagnostic>) -> Self {
        Self {
            names,
            moment,
            bound: Vec::new(),
            diagnostics,
        }
    }

    fn exprs(&mut self, exprs: &[Expr]) {
        exprs.iter().for_each(|expr| self.expr(expr));
    }

    /// A body whose value is its last expression: a comparison before that is lost.
    fn sequence(&mut self, exprs: &[Expr]) {
        if let Some((_, before)) = exprs.split_last() {
            for expr in before {
                if matches!(
                    expr.kind,
                    ExprKind::Binop("==" | "/=" | "=<" | "<" | ">=" | ">" | "=:=" | "=/=", ..)
                ) {
                    let title = "the result of this comparison is not used";
                    self.diagnostics.push(
                        Diagnostic::new(Code::W707, title)
                            .label(expr.span, "true or false, nothing follows from it")
                            .help("join the conditions with `andalso`, or match: `true = …`"),
                    );
                }
            }
        }
        self.exprs(exprs);
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Var(name) => self.variable(name, expr.span),
            ExprKind::Match(pattern, value) => {
                self.expr(value);
                self.pattern(pattern);
            }
            ExprKind::Block(body) => self.sequence(body),
            ExprKind::Case(subject, clauses) => {
                self.expr(subject);
                self.clauses(clauses);
            }
            ExprKind::If(clauses) => self.clauses(clauses),
            ExprKind::ListComp(body, qualifiers) | ExprKind::BinComp(body, qualifiers) => {
                let mark = self.bound.len();
                self.qualifiers(qualifiers);
                self.expr(body);
                self.bound.truncate(mark);
            }
            ExprKind::MapComp(pair, qualifiers) => {
                let mark = self.bound.len();
                self.qualifiers(qualifiers);
                self.expr(&pair.key);
                self.expr(&pair.value);
                self.bound.truncate(mark);
            }
            ExprKind::Call(name, args) => {
                self.exprs(args);
                self.call(name.value.as_str(), args.len(), expr.span, name.span);
            }
            ExprKind::Remote { .. } => {
                walk::parts(expr, &mut |part| self.expr(part));
                self.remote(expr);
            }
            _ => walk::parts(expr, &mut |part| self.expr(part)),
        }
    }

    /// What one branch binds counts as bound behind all of them.
    fn clauses(&mut self, clauses: &[Clause]) {
        let mark = self.bound.len();
        let mut after = Vec::new();
        for clause in clauses {
            clause.pattern.iter().for_each(|p| self.pattern(p));
            clause.guard.iter().for_each(|all| self.exprs(all));
            self.sequence(&clause.body);
            after.extend(self.bound.drain(mark..));
        }
        self.bound.extend(after);
    }

    fn qualifiers(&mut self, qualifiers: &[Qualifier]) {
        for qualifier in qualifiers {
            match qualifier {
                Qualifier::Filter(condition) => self.expr(condition),
                Qualifier::List(pattern, source) | Qualifier::Binary(pattern, source) => {
                    self.expr(source);
                    self.pattern(pattern);
                }
                Qualifier::Map(key, value, source) => {
                    self.expr(source);
                    self.pattern(key);
                    self.pattern(value);
                }
            }
        }
    }

    /// Binds the variables of a pattern; its sizes and map keys are expressions.
    fn pattern(&mut self, pattern: &Expr) {
        match &pattern.kind {
            ExprKind::Var(name) => self.bound.push(name.clone()),
            ExprKind::Map(_, pairs) => {
                for MapPair { key, value, .. } in pairs {
                    self.expr(key);
                    self.pattern(value);
                }
            }
            ExprKind::Binary(segments) => {
                for Segment { value, size, .. } in segments {
                    size.iter().for_each(|size| self.expr(size));
                    self.pattern(value);
                }
            }
            // Arithmetic on constants, and what is no pattern at all: reported when it is matched.
            ExprKind::Call(..) | ExprKind::Remote { .. } => {}
            _ => walk::parts(pattern, &mut |part| self.pattern(part)),
        }
    }

    fn variable(&mut self, name: &str, span: Span) {
        if self.names.globals.contains(name) || self.bound.iter().any(|bound| bound == name) {
            return;
        }
        let mut diagnostic = Diagnostic::new(Code::E206, format!("variable `{name}` is unbound"))
            .label(span, "has no value here");
        let known = self.bound.iter().chain(&self.names.globals);
        let near = suggest(name, known.filter(|known| *known != name && *known != "_"));
        diagnostic = match near {
            _ if name == "_" => diagnostic.help("`_` matches everything and has no value"),
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None if name.starts_with('_') => diagnostic,
            None => diagnostic.help(format!("for the Elixir module write `Elixir.{name}`")),
        };
        self.diagnostics.push(diagnostic);
    }

    fn remote(&mut self, expr: &Expr) {
        if self.moment < Phase::Live {
            let title = format!(
                "`{}` asks the node, and the plan is only read here",
                short(expr)
            );
            self.diagnostics.push(
                Diagnostic::new(Code::E210, title)
                    .label(expr.span, "runs in the node")
                    .help("subjects and guards cannot ask the node; use `require`"),
            );
        }
    }

    fn call(&mut self, name: &str, arity: usize, span: Span, at: Span) {
        let key = (name.to_owned(), arity);
        if self.names.functions.contains(&key) {
            if self.moment < Phase::Live && self.names.live.contains(&key) {
                let title =
                    format!("`{name}/{arity}` asks the node, and the plan is only read here");
                self.diagnostics.push(
                    Diagnostic::new(Code::E210, title)
                        .label(span, "this function calls the node")
                        .help("subjects and guards cannot ask the node; use `require`"),
                );
            }
            return;
        }
        if is_builtin(name, arity) {
            return;
        }
        let own = OWN
            .iter()
            .find(|(known, _)| *known == name && name != "file");
        if own.is_some_and(|(_, arities)| arities.contains(&arity)) {
            if needs(name).is_some_and(|needed| needed > self.moment) {
                let title = format!("`{name}/{arity}` is for checks and hooks");
                self.diagnostics.push(
                    Diagnostic::new(Code::E210, title)
                        .label(span, "nothing happens while the plan is read"),
                );
            }
            return;
        }
        if name == "file" && arity == 1 {
            self.diagnostics.push(
                Diagnostic::new(
                    Code::E702,
                    "`file/1` is allowed in `cookie => file(…)` only",
                )
                .label(at, "reads no files here")
                .help("pass the text as a parameter: `--set Name=\"$(cat FILE)\"`"),
            );
            return;
        }
        if own.is_none() && is_erlang(name, arity) {
            if self.moment < Phase::Live {
                let title = format!(
                    "`erlang:{name}/{arity}` runs in the node, and the plan is only read here"
                );
                self.diagnostics.push(
                    Diagnostic::new(Code::E210, title)
                        .label(span, "runs in the node")
                        .help("subjects and guards cannot ask the node; use `require`"),
                );
            }
            return;
        }
        let arities = self.arities(name, own.map(|(_, arities)| *arities));
        let diagnostic = self.unknown_function(name, arity, at, &arities);
        self.diagnostics.push(diagnostic);
    }

    /// The numbers of arguments with which a name exists.
    fn arities(&self, name: &str, own: Option<&[usize]>) -> Vec<usize> {
        let plan = self.names.functions.iter();
        let plan = plan.filter(|(known, _)| known == name).map(|(_, n)| *n);
        let pure = (0..=4).filter(|n| is_builtin(name, *n));
        let mut all: Vec<usize> = own
            .unwrap_or_default()
            .iter()
            .copied()
            .chain(plan)
            .chain(pure)
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn unknown_function(
        &self,
        name: &str,
        arity: usize,
        span: Span,
        arities: &[usize],
    ) -> Diagnostic {
        let shown = Term::atom(name);
        let diagnostic = Diagnostic::new(
            Code::E702,
            format!("there is no function `{shown}/{arity}`"),
        )
        .label(span, "unknown");
        if !arities.is_empty() {
            let with: Vec<String> = arities.iter().map(|n| format!("`{shown}/{n}`")).collect();
            return diagnostic.help(format!("there is {}", with.join(" and ")));
        }
        let mut known: Vec<&str> = builtin_names().collect();
        known.extend(OWN.iter().map(|(name, _)| *name));
        known.extend(self.names.functions.iter().map(|(name, _)| name.as_str()));
        match suggest(name, known) {
            Some(close) => diagnostic.help(format!("did you mean `{close}`?")),
            None => diagnostic.help(format!(
                "write a function `{shown}` in the plan, or `m:{shown}(…)` to call one in the node"
            )),
        }
    }
}

/// Whether some release has this function in `erlang`.
fn is_erlang(name: &str, arity: usize) -> bool {
    let arity = u32::try_from(arity).unwrap_or(u32::MAX);
    WRITTEN_IN_ERLANG.contains(&name)
        || [23, 25, 27, 29].iter().any(|otp| {
            let functions = bifs(*otp).of_module("erlang");
            functions.is_some_and(|functions| functions.contains(&(name, arity)))
        })
}

/// An expression on one line, cut where it gets long.
fn short(expr: &Expr) -> String {
    let text = to_source(expr);
    if text.chars().count() <= 40 {
        return text;
    }
    text.chars().take(39).chain(['…']).collect()
}
