//! `target Name #{…}`: which nodes, or the source of their names, and where their cookie comes from.
//!
//! It takes the options and gives a [`Target`]; what is wrong with them goes to the resolver's diagnostics. No cookie
//! is read here, and one that is in the plan is neither used nor repeated.

use std::path::Path;

use super::options::{constant, known, value, wrong};
use super::resolve::Resolver;
use super::way::Addresses;
use super::{CookieFrom, Seed, SeedFrom, Target, vocabulary};
use crate::diag::{Code, Diagnostic, Span};
use crate::name::NodeName;
use crate::syntax::ast::{Expr, ExprKind, Options};
use crate::term::Term;

impl Resolver<'_> {
    /// `target Name #{…}`.
    pub(super) fn target(&mut self, name: &str, options: &Options, span: Span, folder: &Path) {
        self.once(&format!("target {name}"), span);
        known(
            options,
            "target",
            &vocabulary::words(vocabulary::TARGET),
            &mut self.diagnostics,
        );
        if let Some(expr) = value(options, "hidden") {
            self.hidden(expr);
        }
        let mut target = Target {
            name: name.to_owned(),
            nodes: Vec::new(),
            seed: self.seed(options, span, folder),
            cookie: None,
            tls: None,
            local_name: None,
            epmd_port: None,
            port: None,
            addresses: Addresses::default(),
            via: None,
            span,
        };
        if let Some(expr) = value(options, "nodes") {
            target.nodes = self.nodes(expr);
        }
        if let Some(expr) = value(options, "cookie") {
            target.cookie = self.cookie(expr, folder);
        }
        if let Some(expr) = value(options, "tls") {
            target.tls = self.tls(expr, folder);
        }
        if let Some(expr) = value(options, "name")
            && let Some(term) = constant(expr, &self.plan.constants, &mut self.diagnostics)
        {
            target.local_name = term.to_text();
        }
        target.epmd_port = self.port("epmd_port", options);
        target.port = self.port("port", options);
        target.addresses = self.address(options, &target.nodes);
        if let Some(expr) = value(options, "via") {
            target.via = self.via(expr);
        }
        self.plan.targets.push(target);
    }

    fn nodes(&mut self, expr: &Expr) -> Vec<NodeName> {
        let Some(term) = constant(expr, &self.plan.constants, &mut self.diagnostics) else {
            return Vec::new();
        };
        let nodes: Option<Vec<NodeName>> = term
            .as_list()
            .and_then(|list| list.iter().map(node_name).collect());
        nodes.unwrap_or_else(|| {
            self.diagnostics.push(wrong(
                "nodes",
                "a list of node names such as `['shop@host']`",
                expr,
                &term,
            ));
            Vec::new()
        })
    }

    /// `seed => N, match => "glob"`: both or none, and not beside `nodes`.
    fn seed(&mut self, options: &Options, span: Span, folder: &Path) -> Option<Seed> {
        let (seed, pattern) = (value(options, "seed"), value(options, "match"));
        if let (Some(expr), Some(nodes)) = (seed.or(pattern), value(options, "nodes")) {
            self.diagnostics.push(
                Diagnostic::new(
                    Code::E205,
                    "a target has `nodes`, or a `seed` that knows them",
                )
                .label(expr.span, "asks a node")
                .label(nodes.span, "names them")
                .help("delete one of them; `-t NODE` runs on single nodes of either"),
            );
            return None;
        }
        let seed = match seed {
            Some(expr) => Some(self.seed_from(expr, folder)?),
            None => None,
        };
        let pattern = match pattern {
            Some(expr) => {
                let term = constant(expr, &self.plan.constants, &mut self.diagnostics)?;
                let text = term.to_text().filter(|text| !text.is_empty());
                let Some(pattern) = text.and_then(|text| glob::Pattern::new(&text).ok()) else {
                    let wants = "a pattern of node names such as `\"shop*@*\"`";
                    self.diagnostics.push(wrong("match", wants, expr, &term));
                    return None;
                };
                Some(pattern)
            }
            None => None,
        };
        match (seed, pattern) {
            (Some(from), Some(pattern)) => Some(Seed { from, pattern }),
            (None, None) => None,
            (Some(from), None) => {
                let short = match &from {
                    SeedFrom::Node(node) => node.as_str().split('@').next().unwrap_or_default(),
                    SeedFrom::Dns(_) | SeedFrom::File(_) => self
                        .plan
                        .path
                        .file_stem()
                        .and_then(|stem| stem.to_str())
                        .unwrap_or("shop"),
                };
                self.diagnostics.push(
                    Diagnostic::new(Code::E205, "a `seed` needs a `match`")
                        .label(span, "which of the nodes that it knows?")
                        .help(format!(
                            "for those of the same name: `match => \"{short}@*\"`"
                        )),
                );
                None
            }
            (None, Some(_)) => {
                self.diagnostics.push(
                    Diagnostic::new(Code::E205, "a `match` needs a `seed`")
                        .label(span, "which node is to be asked for the others?")
                        .help("`seed => 'shop@host'`: a node that is connected with all others"),
                );
                None
            }
        }
    }

    /// A node, `dns("NAME")` or `file("PATH")`.
    fn seed_from(&mut self, expr: &Expr, folder: &Path) -> Option<SeedFrom> {
        let wants = "a node name such as `'shop@host'`, `dns(\"NAME\")` or `file(\"PATH\")`";
        if let ExprKind::Call(name, args) = &expr.kind
            && matches!(name.value.as_str(), "dns" | "file")
        {
            let [one] = args.as_slice() else {
                self.diagnostics.push(
                    Diagnostic::new(Code::E205, format!("`seed` wants {wants}"))
                        .label(expr.span, "none of these"),
                );
                return None;
            };
            let term = constant(one, &self.plan.constants, &mut self.diagnostics)?;
            let bad = |c: char| c.is_whitespace() || c.is_control() || c == '@' || c == ':';
            let is_dns = name.value == "dns";
            let text = term.to_text().filter(|text| {
                !text.is_empty() && (!is_dns || text.len() <= 255 && !text.contains(bad))
            });
            return match text {
                Some(text) if is_dns => Some(SeedFrom::Dns(text)),
                Some(path) => Some(SeedFrom::File(folder.join(path))),
                None => {
                    let wants = match is_dns {
                        true => "a name of the DNS such as `\"shop.internal\"`",
                        false => "a path",
                    };
                    self.diagnostics
                        .push(wrong(name.value.as_str(), wants, one, &term));
                    None
                }
            };
        }
        let term = constant(expr, &self.plan.constants, &mut self.diagnostics)?;
        let node = node_name(&term);
        if node.is_none() {
            self.diagnostics.push(wrong("seed", wants, expr, &term));
        }
        node.map(SeedFrom::Node)
    }

    /// A run is no part of the cluster.
    fn hidden(&mut self, expr: &Expr) {
        let Some(term) = constant(expr, &self.plan.constants, &mut self.diagnostics) else {
            return;
        };
        if term.is_atom("true") {
            return;
        }
        self.diagnostics.push(match term.is_atom("false") {
            false => wrong("hidden", "`true`", expr, &term),
            true => Diagnostic::new(Code::E205, "updo connects as a hidden node only")
                .label(expr.span, "not possible")
                .note("a visible node becomes a member of the cluster: `global` synchronizes with it, all others connect to it as well, and every process that monitors nodes sees it come and go")
                .help("delete `hidden`; a node that restricts connections lets hidden nodes in by the same rules"),
        });
    }

    fn cookie(&mut self, expr: &Expr, folder: &Path) -> Option<CookieFrom> {
        match &expr.kind {
            ExprKind::Call(name, args) => {
                let text = match args.as_slice() {
                    [one] => constant(one, &self.plan.constants, &mut self.diagnostics)?.to_text(),
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
                self.diagnostics.push(
                    Diagnostic::new(Code::W212, "cookie written in the plan")
                        .label(
                            expr.span,
                            "readable by anyone with access to the plan; it is not used",
                        )
                        .help("write `cookie => file(\"PATH\")`, `env(\"NAME\")` or `prompt`"),
                );
                return None;
            }
            _ => {}
        }
        self.diagnostics.push(
            Diagnostic::new(
                Code::E205,
                "`cookie` wants `file(\"PATH\")`, `env(\"NAME\")` or `prompt`",
            )
            .label(expr.span, "none of these"),
        );
        None
    }
}

/// A term that names a node: an atom with a name and a host.
pub(super) fn node_name(term: &Term) -> Option<NodeName> {
    let text = term.as_atom()?.as_str();
    let (short, host) = text.split_once('@')?;
    (!short.is_empty() && !host.is_empty()).then(|| NodeName::new(text))
}
