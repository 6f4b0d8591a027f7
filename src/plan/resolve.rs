//! From statements to a [`Plan`]: what may stand once, constants and parameters, options and their types.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::load::Located;
use super::options::{constant, duration, known, unsupported, value, wrong};
use super::{Check, CodeFrom, CookieFrom, Hook, Patterns, Plan, Rollback, Rule, Target, When};
use crate::diag::suggest::suggest;
use crate::diag::{Code, Diagnostic, SourceMap, Span};
use crate::eval::Bindings;
use crate::name::NodeName;
use crate::syntax::ast::{
    Expr, ExprKind, Moment, Options, Spanned, Statement, StatementKind, Tail,
};
use crate::term::Term;

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
        old_from: Vec::new(),
        constants: Bindings::new(),
        functions: BTreeMap::new(),
        rules: Vec::new(),
        requires: Vec::new(),
        verifies: Vec::new(),
        hooks: Vec::new(),
        deadline: None,
        rollback: Rollback::default(),
    };
    let mut resolver = Resolver {
        plan,
        said: Vec::new(),
        once: BTreeMap::new(),
    };
    resolver.parameters(&statements, sets);
    resolver.constants(&statements);
    for located in statements {
        resolver.statement(located);
    }
    (resolver.plan, resolver.said)
}

struct Resolver {
    plan: Plan,
    said: Vec<Diagnostic>,
    once: BTreeMap<String, Span>,
}

impl Resolver {
    /// E209 for the second of its kind.
    fn once(&mut self, what: &str, span: Span) {
        if let Some(first) = self.once.get(what) {
            self.said.push(
                Diagnostic::new(Code::E209, format!("`{what}` given twice"))
                    .label(span, "again here")
                    .label(*first, "first here"),
            );
        } else {
            self.once.insert(what.to_owned(), span);
        }
    }

    fn parameters(&mut self, statements: &[Located], sets: &BTreeMap<String, String>) {
        let mut names = Vec::new();
        for Located { statement, .. } in statements {
            let StatementKind::Param {
                name,
                kind,
                default,
                ..
            } = &statement.kind
            else {
                continue;
            };
            names.push(name.value.clone());
            self.once(&format!("param {}", name.value), name.span);
            let found = match sets.get(&name.value) {
                Some(text) => self.given(name, kind.as_ref(), text),
                None => match default {
                    Some(expr) => constant(expr, &self.plan.constants, &mut self.said),
                    None => {
                        let title = format!("parameter `{}` has no value", name.value);
                        let help =
                            format!("pass `--set {0}=VALUE` or set UPDO_SET_{0}", name.value);
                        let told = Diagnostic::new(Code::E207, title);
                        self.said
                            .push(told.label(name.span, "has no default").help(help));
                        None
                    }
                },
            };
            if let Some(term) = found {
                self.plan.constants.set(&name.value, term);
            }
        }
        for set in sets.keys().filter(|set| !names.contains(set)) {
            let mut told = Diagnostic::new(
                Code::E208,
                format!("`--set {set}=…`: the plan has no such parameter"),
            );
            if let Some(close) = suggest(set, names.iter()) {
                told = told.help(format!("did you mean `{close}`?"));
            }
            self.said.push(told);
        }
    }

    /// A value given as text, read by the parameter's type.
    fn given(&mut self, name: &Spanned<String>, kind: Option<&Expr>, text: &str) -> Option<Term> {
        let kind = kind
            .and_then(Expr::as_literal)
            .unwrap_or_else(|| Term::atom("term"));
        let found = typed(&kind, text);
        if found.is_none() {
            let title = format!(
                "`--set {}={text}`: the value is not {}",
                name.value,
                article(&kind)
            );
            self.said.push(
                Diagnostic::new(Code::E208, title).label(name.span, format!("wants `{kind}`")),
            );
        }
        found
    }

    /// Constants may stand in any order: whatever can be computed is, until nothing changes.
    fn constants(&mut self, statements: &[Located]) {
        let mut open: Vec<(&Spanned<String>, &Expr)> = Vec::new();
        for Located { statement, .. } in statements {
            if let StatementKind::Bind { name, value } = &statement.kind {
                self.once(&name.value, name.span);
                open.push((name, value));
            }
        }
        loop {
            let before = open.len();
            open.retain(|(name, expr)| {
                let mut quiet = Vec::new();
                match constant(expr, &self.plan.constants, &mut quiet) {
                    Some(term) => {
                        self.plan.constants.set(&name.value, term);
                        false
                    }
                    None => true,
                }
            });
            if open.is_empty() {
                return;
            }
            if open.len() == before {
                break;
            }
        }
        for (_, expr) in open {
            constant(expr, &self.plan.constants, &mut self.said);
        }
    }

    fn statement(&mut self, located: Located) {
        let Located {
            statement,
            folder,
            layer,
        } = located;
        let span = statement.span;
        match &statement.kind {
            StatementKind::Plan { title, options } => {
                self.once("plan", span);
                self.plan.title.clone_from(&title.value);
                for pair in options {
                    if let Some(term) = constant(&pair.value, &self.plan.constants, &mut self.said)
                    {
                        self.plan
                            .metadata
                            .push((pair.key.value.as_str().to_owned(), term));
                    }
                }
            }
            StatementKind::Updo { version } => self.version(version),
            StatementKind::Include { .. }
            | StatementKind::Param { .. }
            | StatementKind::Bind { .. } => {}
            StatementKind::Function { name, clauses } => {
                let arity = clauses.first().map_or(0, |clause| clause.args.len());
                self.once(&format!("{}/{arity}", name.value.as_str()), name.span);
                self.plan
                    .functions
                    .insert((name.value.as_str().to_owned(), arity), clauses.clone());
            }
            StatementKind::Target { name, options } => {
                self.target(name.value.as_str(), options, span, &folder)
            }
            StatementKind::Code {
                push,
                options,
                tail,
            } => {
                self.once("code", span);
                known(options, "code", &["persist", "replace"], &mut self.said);
                for pair in options {
                    self.said.push(unsupported(
                        pair.key.span,
                        &format!("`code … {}`", pair.key.value.as_str()),
                    ));
                }
                self.no_guard(tail, "code");
                if let Some(patterns) = push {
                    self.plan.code = CodeFrom::Push(located_patterns(patterns, folder));
                }
            }
            StatementKind::OldFrom { patterns, tail } => {
                self.no_guard(tail, "old from");
                self.plan.old_from.push(located_patterns(patterns, folder));
            }
            StatementKind::Relation { .. }
            | StatementKind::Cycle { .. }
            | StatementKind::Exclude { .. }
            | StatementKind::Only { .. } => self.rule(statement, layer),
            StatementKind::Module { options, .. } => {
                known(
                    options,
                    "module",
                    &["class", "type", "change", "timeout", "purge"],
                    &mut self.said,
                );
                self.rule(statement, layer);
            }
            StatementKind::Window(word) => {
                self.once("window", span);
                match word.value.as_str() {
                    "single" => {}
                    "minimal" | "otp" => {
                        self.said.push(unsupported(
                            span,
                            &format!("`window {}`", word.value.as_str()),
                        ));
                    }
                    _ => self
                        .said
                        .push(choice("window", word, &["single", "minimal", "otp"])),
                }
            }
            StatementKind::Engine(word) => {
                self.once("engine", span);
                match word.value.as_str() {
                    "updo" => {}
                    "release_handler" => self
                        .said
                        .push(unsupported(span, "`engine release_handler`")),
                    _ => self
                        .said
                        .push(choice("engine", word, &["updo", "release_handler"])),
                }
            }
            StatementKind::Insert { .. } => self.said.push(unsupported(span, "`insert`")),
            StatementKind::Rollout { .. } => self.said.push(unsupported(span, "`rollout`")),
            StatementKind::Hook {
                moment,
                options,
                tail,
                body,
            } => {
                self.hook(moment, options, tail, body, span);
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
            StatementKind::Deadline(expr) => {
                self.once("deadline", span);
                self.plan.deadline =
                    duration("deadline", expr, &self.plan.constants, &mut self.said);
            }
            StatementKind::Rollback {
                policy, options, ..
            } => {
                self.once("rollback", span);
                known(options, "rollback", &["on", "keep_old"], &mut self.said);
                for pair in options {
                    let what = format!("`rollback … {}`", pair.key.value.as_str());
                    self.said.push(unsupported(pair.key.span, &what));
                }
                match policy.value.as_str() {
                    "automatic" => self.plan.rollback = Rollback::Automatic,
                    "manual" => self.plan.rollback = Rollback::Manual,
                    "never" => self.plan.rollback = Rollback::Never,
                    _ => self.said.push(choice(
                        "rollback",
                        policy,
                        &["automatic", "manual", "never"],
                    )),
                }
            }
        }
    }

    /// Keeps a statement that is decided per node; an override without a reason is worth a word.
    fn rule(&mut self, statement: Statement, layer: usize) {
        let (StatementKind::Relation { tail, .. }
        | StatementKind::Cycle { tail, .. }
        | StatementKind::Module { tail, .. }
        | StatementKind::Exclude { tail, .. }
        | StatementKind::Only { tail, .. }) = &statement.kind
        else {
            return;
        };
        if tail.because.is_none() {
            self.said.push(
                Diagnostic::new(Code::A311, "override without a reason")
                    .label(statement.span, "why?")
                    .help("add `because \"…\"`"),
            );
        }
        self.plan.rules.push(Rule { statement, layer });
    }

    fn no_guard(&mut self, tail: &Tail, what: &str) {
        if let Some(first) = tail.when.first() {
            self.said
                .push(unsupported(first.span, &format!("`{what} … when`")));
        }
    }

    fn version(&mut self, wanted: &Spanned<String>) {
        let mine = env!("CARGO_PKG_VERSION");
        match semver::VersionReq::parse(&wanted.value) {
            Err(why) => self.said.push(
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
                    self.said.push(
                        Diagnostic::new(Code::E201, title).label(wanted.span, "does not fit"),
                    );
                }
            }
        }
    }

    fn target(&mut self, name: &str, options: &Options, span: Span, folder: &Path) {
        self.once(&format!("target {name}"), span);
        let words = [
            "nodes",
            "seed",
            "match",
            "cookie",
            "tls",
            "name",
            "epmd_port",
            "hidden",
        ];
        known(options, "target", &words, &mut self.said);
        for word in ["seed", "match", "tls", "hidden"] {
            if let Some(expr) = value(options, word) {
                self.said
                    .push(unsupported(expr.span, &format!("`target … {word}`")));
            }
        }
        let mut target = Target {
            name: name.to_owned(),
            nodes: Vec::new(),
            cookie: None,
            local_name: None,
            epmd_port: None,
            span,
        };
        if let Some(expr) = value(options, "nodes") {
            target.nodes = self.nodes(expr);
        }
        if let Some(expr) = value(options, "cookie") {
            target.cookie = self.cookie(expr, folder);
        }
        if let Some(expr) = value(options, "name")
            && let Some(term) = constant(expr, &self.plan.constants, &mut self.said)
        {
            target.local_name = term.to_text();
        }
        if let Some(expr) = value(options, "epmd_port")
            && let Some(term) = constant(expr, &self.plan.constants, &mut self.said)
        {
            target.epmd_port = term.as_i64().and_then(|port| u16::try_from(port).ok());
            if target.epmd_port.is_none() {
                self.said
                    .push(wrong("epmd_port", "a port number", expr, &term));
            }
        }
        self.plan.targets.push(target);
    }

    fn nodes(&mut self, expr: &Expr) -> Vec<NodeName> {
        let Some(term) = constant(expr, &self.plan.constants, &mut self.said) else {
            return Vec::new();
        };
        let name = |term: &Term| {
            let text = term.as_atom()?.as_str();
            let (short, host) = text.split_once('@')?;
            (!short.is_empty() && !host.is_empty()).then(|| NodeName::new(text))
        };
        let nodes: Option<Vec<NodeName>> = term
            .as_list()
            .and_then(|list| list.iter().map(name).collect());
        nodes.unwrap_or_else(|| {
            self.said.push(wrong(
                "nodes",
                "a list of node names such as `['shop@host']`",
                expr,
                &term,
            ));
            Vec::new()
        })
    }

    fn cookie(&mut self, expr: &Expr, folder: &Path) -> Option<CookieFrom> {
        match &expr.kind {
            ExprKind::Call(name, args) => {
                let text = match args.as_slice() {
                    [one] => constant(one, &self.plan.constants, &mut self.said)?.to_text(),
                    _ => None,
                };
                match (name.value.as_str(), text) {
                    ("file", Some(path)) => return Some(CookieFrom::File(folder.join(path))),
                    ("env", Some(variable)) => return Some(CookieFrom::Env(variable)),
                    _ => {}
                }
            }
            ExprKind::Literal(Term::Atom(atom)) if *atom == "prompt" => {
                return Some(CookieFrom::Prompt);
            }
            ExprKind::Literal(_) => {
                // The value is not repeated: it may be a real cookie.
                self.said.push(
                    Diagnostic::new(Code::W212, "cookie written in the plan")
                        .label(
                            expr.span,
                            "readable by everybody who can read the plan; it is not used",
                        )
                        .help("write `cookie => file(\"PATH\")`, `env(\"NAME\")` or `prompt`"),
                );
                return None;
            }
            _ => {}
        }
        self.said.push(
            Diagnostic::new(
                Code::E205,
                "`cookie` wants `file(\"PATH\")`, `env(\"NAME\")` or `prompt`",
            )
            .label(expr.span, "none of these"),
        );
        None
    }

    fn hook(&mut self, moment: &Moment, options: &Options, tail: &Tail, body: &[Expr], span: Span) {
        known(options, "before", &[], &mut self.said);
        let when = match moment {
            Moment::BeforeUpgrade => When::Before,
            Moment::AfterUpgrade => When::After,
            Moment::OnFailure => When::Failure,
            Moment::BeforeRollout | Moment::AfterRollout => {
                return self.said.push(unsupported(span, "a hook around `rollout`"));
            }
            Moment::Before(_) | Moment::After(_) => {
                return self.said.push(unsupported(span, "a hook at a step"));
            }
        };
        self.plan.hooks.push(Hook {
            when,
            body: body.to_vec(),
            tail: tail.clone(),
            span,
        });
    }

    fn check(
        &mut self,
        verify: bool,
        name: &Spanned<String>,
        options: &Options,
        tail: &Tail,
        body: &[Expr],
        span: Span,
    ) {
        let word = if verify { "verify" } else { "require" };
        known(
            options,
            word,
            &["within", "every", "each", "after"],
            &mut self.said,
        );
        if let Some(expr) = value(options, "each") {
            match constant(expr, &self.plan.constants, &mut self.said) {
                Some(term) if term.is_atom("node") => {}
                Some(term) if term.is_atom("rollout") => {
                    self.said.push(unsupported(expr.span, "`each => rollout`"));
                }
                Some(term) => self
                    .said
                    .push(wrong("each", "`node` or `rollout`", expr, &term)),
                None => {}
            }
        }
        let mut time = |word: &str, default| match value(options, word) {
            Some(expr) => {
                duration(word, expr, &self.plan.constants, &mut self.said).unwrap_or(default)
            }
            None => default,
        };
        let check = Check {
            name: name.value.clone(),
            body: body.to_vec(),
            tail: tail.clone(),
            within: time("within", Duration::ZERO),
            every: time("every", Duration::from_millis(500)),
            after: time("after", Duration::ZERO),
            span,
        };
        if verify {
            self.plan.verifies.push(check)
        } else {
            self.plan.requires.push(check)
        }
    }
}

fn located_patterns(patterns: &[Spanned<String>], base: PathBuf) -> Patterns {
    Patterns {
        patterns: patterns.iter().map(|p| (p.value.clone(), p.span)).collect(),
        base,
    }
}

/// E205 for a word that is none of a few.
fn choice(statement: &str, word: &Spanned<crate::term::Atom>, words: &[&str]) -> Diagnostic {
    let got = word.value.as_str();
    let mut told = Diagnostic::new(
        Code::E205,
        format!("`{statement}` wants {}, got `{got}`", words.join(" or ")),
    )
    .label(word.span, "none of these");
    if let Some(close) = suggest(got, words.iter().copied()) {
        told = told.help(format!("did you mean `{close}`?"));
    }
    told
}

fn article(kind: &Term) -> String {
    let text = kind.to_string();
    if text.starts_with(['a', 'e', 'i', 'o', 'u']) {
        format!("an {text}")
    } else {
        format!("a {text}")
    }
}

/// Reads a parameter's text by its type.
fn typed(kind: &Term, text: &str) -> Option<Term> {
    if let Some([element]) = kind.as_list() {
        if text.is_empty() {
            return Some(Term::List(Vec::new()));
        }
        return text
            .split(',')
            .map(|part| typed(element, part.trim()))
            .collect::<Option<Vec<_>>>()
            .map(Term::List);
    }
    let parsed = || crate::syntax::parse_expression(text, 0).ok();
    match kind.as_atom()?.as_str() {
        "string" => Some(Term::string(text)),
        "atom" => Some(Term::atom(text)),
        "node" => text.contains('@').then(|| Term::atom(text)),
        "integer" => text.parse().ok().map(Term::Int),
        "float" => text
            .parse()
            .ok()
            .filter(|f: &f64| f.is_finite())
            .map(Term::Float),
        "boolean" => text.parse().ok().map(Term::boolean),
        "duration" => match parsed()?.kind {
            ExprKind::Duration(ms) => i64::try_from(ms).ok().map(Term::Int),
            _ => None,
        },
        "term" => parsed()?.as_literal(),
        _ => None,
    }
}
