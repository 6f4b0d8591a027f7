//! `target Name #{…}`: which nodes, and where their cookie comes from.
//!
//! It takes the options and gives a [`Target`]; what is wrong with them goes to the resolver's diagnostics. No cookie
//! is read here, and one that stands in the plan is neither used nor repeated.

use std::path::Path;

use super::options::{constant, known, unsupported, value, wrong};
use super::resolve::Resolver;
use super::{CookieFrom, Target};
use crate::diag::{Code, Diagnostic, Span};
use crate::name::NodeName;
use crate::syntax::ast::{Expr, ExprKind, Options};
use crate::term::Term;

impl Resolver<'_> {
    /// `target Name #{…}`.
    pub(super) fn target(&mut self, name: &str, options: &Options, span: Span, folder: &Path) {
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
        let nodes: Option<Vec<NodeName>> = term
            .as_list()
            .and_then(|list| list.iter().map(node_name).collect());
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
}

/// A term that names a node: an atom with a name and a host.
pub(super) fn node_name(term: &Term) -> Option<NodeName> {
    let text = term.as_atom()?.as_str();
    let (short, host) = text.split_once('@')?;
    (!short.is_empty() && !host.is_empty()).then(|| NodeName::new(text))
}
