//! From statements to a [`Plan`]: what may occur once, constants and parameters, options and their types.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::SOAK;
use super::constants::constants;
use super::load::Located;
use super::offline::Offline;
use super::options::{budget, constant, duration, known, unsupported};
use super::rehearse::Rehearse;
use super::scope::{self, Names};
use super::{
    CodeFrom, ExecutionEngine, Patterns, Plan, RollbackPolicy, RollbackTrigger, Rule, WindowPolicy,
    vocabulary,
};
use crate::diag::suggest::suggest;
use crate::diag::{Code, Diagnostic, SourceMap, Span};
use crate::eval::{Bindings, Evaluator, FailureKind, Functions, Phase};
use crate::facts::compare::library_versions::Libraries;
use crate::syntax::WINDOWS;
use crate::syntax::ast::{
    Expr, ExprKind, HookPoint, InsertAnchor, Spanned, Statement, StatementKind, Tail, is_rest,
};
use crate::syntax::walk::{self, variables};
use crate::term::Term;

/// How long processes stay suspended because another one is busy, where the plan does not say.
const BUDGET: Duration = Duration::from_millis(100);

/// Resolves statements; the plan is only to be used when no diagnostic is an error.
pub(super) fn resolve(
    path: &Path,
    statements: Vec<Located>,
    sets: &BTreeMap<String, String>,
    sources: SourceMap,
) -> (Plan, Vec<Diagnostic>) {
    let name = path
        .file_stem()
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default();
    let plan = Plan {
        path: path.to_owned(),
        title: name,
        metadata: Vec::new(),
        sources,
        targets: Vec::new(),
        code: CodeFrom::OnDisk,
        env: false,
        libraries: Libraries::default(),
        persist: false,
        earlier: false,
        old_from: Vec::new(),
        old_git: Vec::new(),
        constants: Bindings::new(),
        functions: BTreeMap::new(),
        rules: Vec::new(),
        requires: Vec::new(),
        verifies: Vec::new(),
        holds: Vec::new(),
        gates: Vec::new(),
        hooks: Vec::new(),
        deadline: None,
        soak: SOAK,
        budget: Some(BUDGET),
        budget_said: false,
        rollback: RollbackPolicy::default(),
        rollback_on: RollbackTrigger::ALL.to_vec(),
        keep_old: Duration::ZERO,
        rehearse: Rehearse::default(),
        state_checks: Vec::new(),
        rollouts: Vec::new(),
        warn_unused_everywhere: false,
        windows: WindowPolicy::default(),
        windows_said: false,
        engine: ExecutionEngine::default(),
    };
    let nothing = Functions::new();
    let mut resolver = Resolver {
        plan,
        diagnostics: Vec::new(),
        once: BTreeMap::new(),
        names: Names::default(),
        scripts: &nothing,
    };
    resolver.names(&statements);
    resolver.plan.constants = constants(&statements, sets, &mut resolver.diagnostics);
    // What the statements may call while they are read; the plan itself is still in the making.
    let functions = std::mem::take(&mut resolver.plan.functions);
    let constants = resolver.plan.constants.clone();
    let scripts = super::scripts(&functions, &constants);
    let mut resolver = Resolver {
        plan: resolver.plan,
        diagnostics: resolver.diagnostics,
        once: resolver.once,
        names: resolver.names,
        scripts: &scripts,
    };
    for located in statements {
        resolver.statement(located);
    }
    resolver.engine_and_window();
    resolver.rollout_targets();
    resolver.all_back();
    let Resolver {
        mut plan,
        diagnostics,
        ..
    } = resolver;
    plan.functions = functions;
    (plan, diagnostics)
}

pub(super) struct Resolver<'a> {
    pub(super) plan: Plan,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) once: BTreeMap<String, Span>,
    pub(super) names: Names,
    scripts: &'a Functions<'a>,
}

impl Resolver<'_> {
    /// E209 for the second of its kind.
    pub(super) fn once(&mut self, what: &str, span: Span) {
        if let Some(first) = self.once.get(what) {
            self.diagnostics.push(
                Diagnostic::new(Code::E209, format!("`{what}` given twice"))
                    .label(span, "again here")
                    .label(*first, "first here"),
            );
        } else {
            self.once.insert(what.to_owned(), span);
        }
    }

    /// The release handler knows OTP's windows only.
    fn engine_and_window(&mut self) {
        let ExecutionEngine::ReleaseHandler(engine) = self.plan.engine else {
            return;
        };
        if let Some(window) = self
            .once
            .get("window")
            .filter(|_| self.plan.windows != WindowPolicy::Otp)
        {
            let title = format!(
                "`engine release_handler` runs `window otp`, not `{}`",
                self.plan.windows
            );
            let diagnostic = Diagnostic::new(Code::E205, title).label(*window, "does not go with");
            self.diagnostics
                .push(diagnostic.label(engine, "this engine"));
        }
    }

    /// The names that the plan defines; each may be defined once.
    fn names(&mut self, statements: &[Located]) {
        let mut globals = BTreeSet::new();
        for Located { statement, .. } in statements {
            match &statement.kind {
                StatementKind::Bind { name, .. } | StatementKind::Param { name, .. } => {
                    self.once(&name.value, name.span);
                    globals.insert(name.value.clone());
                }
                StatementKind::Function { name, clauses } => {
                    let arity = clauses.first().map_or(0, |clause| clause.args.len());
                    self.once(&format!("{}/{arity}", name.value.as_str()), name.span);
                    let key = (name.value.as_str().to_owned(), arity);
                    self.plan
                        .functions
                        .entry(key)
                        .or_insert_with(|| clauses.clone());
                }
                _ => {}
            }
        }
        self.names = Names::new(globals, &self.plan.functions);
    }

    fn statement(&mut self, located: Located) {
        let Located {
            mut statement,
            folder,
            layer,
            when,
        } = located;
        let span = statement.span;
        self.doubles(&statement);
        if let Some(condition) = when
            && !self.applies(&mut statement, condition)
        {
            return;
        }
        match &statement.kind {
            StatementKind::Plan { title, options } => {
                self.once("plan", span);
                self.plan.title.clone_from(&title.value);
                for pair in options {
                    if let Some(term) =
                        constant(&pair.value, &self.plan.constants, &mut self.diagnostics)
                    {
                        self.plan
                            .metadata
                            .push((pair.key.value.as_str().to_owned(), term));
                    }
                }
            }
            StatementKind::Updo { version } => self.version(version),
            StatementKind::Include { tail, .. } => self.guard(tail),
            StatementKind::Param { .. } | StatementKind::Bind { .. } => {}
            StatementKind::Function { clauses, .. } => {
                scope::function(&self.names, clauses, &mut self.diagnostics);
            }
            StatementKind::Target { name, options } => {
                self.target(name.value.as_str(), options, span, &folder)
            }
            StatementKind::Code {
                push,
                options,
                tail,
            } => {
                self.code(push.as_deref(), options, tail, folder, span);
            }
            StatementKind::OldFrom { patterns, tail } => {
                self.no_guard(tail, "old from");
                self.plan.old_from.push(located_patterns(patterns, folder));
            }
            StatementKind::OldFromGit {
                revision,
                options,
                tail,
            } => {
                self.no_guard(tail, "old from");
                self.old_from_git(revision, options, folder, span);
            }
            StatementKind::Relation {
                left, right, tail, ..
            } => {
                self.subject(left);
                self.subject(right);
                self.guard(tail);
                self.rule(statement, layer);
            }
            StatementKind::Cycle { members, tail, .. } => {
                self.subject(members);
                self.guard(tail);
                self.rule(statement, layer);
            }
            StatementKind::Exclude { subject, tail } | StatementKind::Only { subject, tail } => {
                self.subject(subject);
                self.guard(tail);
                self.rule(statement, layer);
            }
            StatementKind::Module {
                subject,
                options,
                tail,
            } => {
                self.subject(subject);
                known(
                    options,
                    "module",
                    &vocabulary::words(vocabulary::MODULE),
                    &mut self.diagnostics,
                );
                for pair in options {
                    self.attribute(pair);
                }
                self.guard(tail);
                self.rule(statement, layer);
            }
            StatementKind::Window(word) => {
                self.once("window", span);
                self.plan.windows_said = true;
                match word.value.as_str() {
                    "single" => self.plan.windows = WindowPolicy::Single,
                    "minimal" => self.plan.windows = WindowPolicy::Minimal,
                    "otp" => self.plan.windows = WindowPolicy::Otp,
                    "live" => self.plan.windows = WindowPolicy::Live,
                    "auto" => self.plan.windows = WindowPolicy::Auto,
                    _ => self.diagnostics.push(choice("window", word, WINDOWS)),
                }
            }
            StatementKind::OwnWindows { windows, tail } => {
                self.once("window", span);
                self.plan.windows = WindowPolicy::Own;
                self.plan.windows_said = true;
                for window in windows {
                    match is_rest(window) {
                        true => self.once("rest", window.span),
                        false => self.subject(window),
                    }
                }
                self.guard(tail);
                self.rule(statement, layer);
            }
            StatementKind::Engine(word) => {
                self.once("engine", span);
                match word.value.as_str() {
                    "updo" => {}
                    "release_handler" => self.plan.engine = ExecutionEngine::ReleaseHandler(span),
                    _ => {
                        self.diagnostics
                            .push(choice("engine", word, &["updo", "release_handler"]))
                    }
                }
            }
            StatementKind::Insert {
                instruction,
                place,
                tail,
            } => {
                self.early(instruction);
                if let InsertAnchor::Before(step) | InsertAnchor::After(step) = place {
                    self.subject(&step.subject);
                }
                self.guard(tail);
                self.rule(statement, layer);
            }
            StatementKind::StateCheck {
                subject,
                name,
                tail,
                clauses,
            } => {
                if let Some(subject) = subject {
                    self.subject(subject);
                }
                self.guard(tail);
                self.state_check(subject.as_ref(), name, tail, clauses, span);
                self.plan.rules.push(Rule { statement, layer });
            }
            StatementKind::Rehearse { word, options, .. } => {
                self.rehearse(word.is_some(), options, span);
            }
            StatementKind::Rollout {
                target, options, ..
            } => {
                let target = target.as_ref().map(|target| target.value.as_str());
                self.rollout(target, options, span);
            }
            StatementKind::Hook {
                moment,
                options,
                tail,
                body,
            } => {
                self.hook(moment, options, tail, body, span);
                if let HookPoint::Before(step) | HookPoint::After(step) = moment {
                    self.subject(&step.subject);
                    self.rule(statement, layer);
                }
            }
            StatementKind::Check {
                verify,
                name,
                options,
                tail,
                body,
            } => {
                self.check(*verify, name, options, tail, body, span);
            }
            StatementKind::Hold {
                name,
                options,
                tail,
                body,
            } => self.hold(name, options, tail, body, span),
            StatementKind::Gate {
                name,
                options,
                command,
                ..
            } => self.gate(name, options, command, folder, span),
            StatementKind::Deadline(expr) => {
                self.once("deadline", span);
                self.plan.deadline = duration(
                    "deadline",
                    expr,
                    &self.plan.constants,
                    &mut self.diagnostics,
                );
            }
            StatementKind::Soak(expr) => {
                self.once("soak", span);
                let soak = duration("soak", expr, &self.plan.constants, &mut self.diagnostics);
                self.plan.soak = soak.unwrap_or(self.plan.soak);
            }
            StatementKind::Budget(expr) => {
                self.once("budget", span);
                let budget = budget(expr, &self.plan.constants, &mut self.diagnostics);
                self.plan.budget = budget.unwrap_or(self.plan.budget);
                self.plan.budget_said = true;
            }
            StatementKind::Rollback {
                policy, options, ..
            } => {
                self.once("rollback", span);
                self.rollback(policy, options);
            }
        }
    }

    /// W111: maps that give a key twice.
    fn doubles(&mut self, statement: &Statement) {
        let diagnostics = &mut self.diagnostics;
        walk::statement(&statement.kind, &mut |expr| {
            walk::all(expr, &mut |part| {
                let ExprKind::Map(_, pairs) = &part.kind else {
                    return;
                };
                let mut seen: BTreeMap<Term, Span> = BTreeMap::new();
                for pair in pairs {
                    let Some(key) = pair.key.as_literal() else {
                        continue;
                    };
                    let title = format!("`{key}` appears twice in this map");
                    if let Some(first) = seen.insert(key, pair.key.span) {
                        diagnostics.push(
                            Diagnostic::new(Code::W111, title)
                                .label(pair.key.span, "this value counts")
                                .label(first, "this one is lost"),
                        );
                    }
                }
            });
        });
    }

    /// What an expression of the facts moment is worth already now. What is wrong for every node is reported; what
    /// needs a node is not.
    pub(super) fn early(&mut self, expr: &Expr) -> Option<Term> {
        if let Some(term) = expr.as_literal() {
            return Some(term);
        }
        let before = self.diagnostics.len();
        scope::facts(&self.names, expr, &mut self.diagnostics);
        let used = variables(expr);
        let mut bindings = self.plan.constants.only(used.iter().copied());
        // A constant without a value was reported where it is defined.
        if self.diagnostics.len() > before || bindings.len() < used.len() {
            return None;
        }
        let outcome = Evaluator::new(Phase::Facts, self.scripts)
            .with_names(&mut Offline)
            .eval(std::slice::from_ref(expr), &mut bindings);
        match outcome {
            Ok(term) => Some(term),
            Err(failure) if failure.kind == FailureKind::Unknown => None,
            Err(failure) => {
                self.diagnostics.push(*failure.diagnostic);
                None
            }
        }
    }

    pub(super) fn no_guard(&mut self, tail: &Tail, what: &str) {
        if let Some(first) = tail.when.first() {
            self.diagnostics
                .push(unsupported(first.span, &format!("`{what} … when`")));
        }
    }

    fn version(&mut self, wanted: &Spanned<String>) {
        let mine = env!("CARGO_PKG_VERSION");
        match semver::VersionReq::parse(&wanted.value) {
            Err(why) => self.diagnostics.push(
                Diagnostic::new(
                    Code::E205,
                    format!("`updo` wants a version range, got `{}`", wanted.value),
                )
                .label(wanted.span, why.to_string())
                .help("for example `updo \">= 0.1, < 2.0\".`"),
            ),
            Ok(range) => {
                if !semver::Version::parse(mine).is_ok_and(|version| range.matches(&version)) {
                    let title = format!("this plan needs updo `{}`, this is {mine}", wanted.value);
                    self.diagnostics.push(
                        Diagnostic::new(Code::E201, title).label(wanted.span, "does not fit"),
                    );
                }
            }
        }
    }
}

pub(super) fn located_patterns(patterns: &[Spanned<String>], base: PathBuf) -> Patterns {
    Patterns {
        patterns: patterns.iter().map(|p| (p.value.clone(), p.span)).collect(),
        base,
    }
}

/// E205 for a word that is none of a few.
pub(super) fn choice(
    statement: &str,
    word: &Spanned<crate::term::Atom>,
    words: &[&str],
) -> Diagnostic {
    let got = word.value.as_str();
    let mut diagnostic = Diagnostic::new(
        Code::E205,
        format!("`{statement}` wants {}, got `{got}`", words.join(" or ")),
    )
    .label(word.span, "none of these");
    if let Some(close) = suggest(got, words.iter().copied()) {
        diagnostic = diagnostic.help(format!("did you mean `{close}`?"));
    }
    diagnostic
}
