//! `target … #{tls => #{…}}`: where certificates and keys are, and what is checked.
//!
//! Takes the option's value, gives [`tls::TlsOptions`](crate::node::tls::Options); what is wrong goes to the resolver's
//! diagnostics. No file is opened here, and a key that is in the plan is neither used nor repeated.

use std::path::{Path, PathBuf};

use super::options::{constant, known, value, wrong};
use super::resolve::Resolver;
use super::vocabulary;
use crate::diag::{Code, Diagnostic, Span};
use crate::node::tls::{ExpectedName, OptFile, Pem, TlsOptions};
use crate::syntax::ast::{Expr, ExprKind, OptionPair, Spanned};
use crate::term::Term;

/// What a whole one looks like.
const EXAMPLE: &str = "tls => #{ca => \"ca.pem\", cert => \"updo.pem\", key => \"updo.key\"}";

impl Resolver<'_> {
    /// The value of `tls`; `None` for `false` and for what is wrong.
    pub(super) fn tls(&mut self, expr: &Expr, folder: &Path) -> Option<TlsOptions> {
        let options = self.pairs(expr)?;
        known(
            &options,
            "tls",
            &vocabulary::words(vocabulary::TLS),
            &mut self.diagnostics,
        );
        let before = self.diagnostics.len();
        let mut pem = |word: &str| {
            let expr = value(&options, word)?;
            self.pem(word, expr, folder)
        };
        let (ca, cert, key) = (pem("ca"), pem("cert"), pem("key"));
        let optfile = value(&options, "optfile").and_then(|expr| self.optfile(expr, folder));
        let name = match value(&options, "server_name") {
            Some(expr) => self.server_name(expr),
            None => ExpectedName::Host,
        };
        let checked = match value(&options, "verify") {
            Some(expr) => self.verify(expr),
            None => true,
        };
        if self.diagnostics.len() == before {
            let missing = |title: &str, label: &str| {
                Diagnostic::new(Code::E205, title)
                    .label(expr.span, label)
                    .help(format!("`{EXAMPLE}`"))
            };
            if checked && ca.is_none() && optfile.is_none() {
                self.diagnostics.push(
                    missing("`tls` has no trusted CA configured", "no `ca`").note(
                        "`ca` is the file of the authority that signed the node's certificate, or that very certificate; without a check, `verify => verify_none`",
                    ),
                );
            }
            if key.is_some() && cert.is_none() && optfile.is_none() {
                self.diagnostics.push(missing(
                    "a `key` is of no use without its `cert`",
                    "no `cert`",
                ));
            }
        }
        Some(TlsOptions {
            ca: ca.filter(|_| checked),
            cert,
            key,
            name,
            optfile: optfile.map(|path| OptFile { path, checked }),
        })
    }

    /// The options of the map, when it is one. One that is known without computing anything has no places inside.
    fn pairs(&mut self, expr: &Expr) -> Option<Vec<OptionPair>> {
        let pairs: Vec<(Option<Term>, Expr)> = match &expr.kind {
            ExprKind::Map(None, pairs) => pairs
                .iter()
                .map(|pair| (pair.key.as_literal(), pair.value.clone()))
                .collect(),
            _ => {
                let term = constant(expr, &self.plan.constants, &mut self.diagnostics)?;
                let Term::Map(pairs) = term else {
                    self.diagnostics.extend(no_map(&term, expr.span));
                    return None;
                };
                let value = |term| Expr {
                    kind: ExprKind::Literal(term),
                    span: expr.span,
                };
                pairs
                    .into_iter()
                    .map(|(key, term)| (Some(key), value(term)))
                    .collect()
            }
        };
        let mut options = Vec::new();
        for (key, value) in pairs {
            let span = value.span;
            let Some(Term::Atom(key)) = key else {
                self.diagnostics.push(
                    Diagnostic::new(Code::E204, "an option of `tls` is an atom")
                        .label(span, "has none")
                        .help(format!(
                            "options: {}",
                            vocabulary::words(vocabulary::TLS).join(", ")
                        )),
                );
                continue;
            };
            if let Some(ours) = known_to_ssl(key.as_str()) {
                let title = format!("unknown option `{}` for `tls`", key.as_str());
                self.diagnostics.push(
                    Diagnostic::new(Code::E204, title)
                        .label(span, "ssl's name for it")
                        .help(format!("write `{ours}`")),
                );
                continue;
            }
            // The last of two counts, as in every map; W111 has reported.
            options.retain(|pair: &OptionPair| pair.key.value != key);
            options.push(OptionPair {
                key: Spanned { value: key, span },
                value,
            });
        }
        Some(options)
    }

    /// `"FILE"`, `file("FILE")` or `env("NAME")`.
    fn pem(&mut self, word: &str, expr: &Expr, folder: &Path) -> Option<Pem> {
        let is_pem = |text: &str| text.trim_start().starts_with("-----BEGIN");
        if let ExprKind::Call(name, args) = &expr.kind
            && let ("file" | "env", [one]) = (name.value.as_str(), args.as_slice())
            && let Some(text) =
                constant(one, &self.plan.constants, &mut self.diagnostics)?.to_text()
        {
            return Some(match name.value.as_str() {
                "file" => Pem::File(folder.join(text)),
                _ => Pem::Env(text),
            });
        }
        let term = constant(expr, &self.plan.constants, &mut self.diagnostics)?;
        // An empty list is an empty text as well.
        match term.to_text().filter(|text| !text.is_empty()) {
            Some(text) if is_pem(&text) => {
                self.diagnostics.push(secret(word, expr.span));
                None
            }
            Some(path) => Some(Pem::File(folder.join(path))),
            None => {
                let wants = "a path, `file(\"PATH\")` or `env(\"NAME\")`";
                self.diagnostics.push(wrong(word, wants, expr, &term));
                None
            }
        }
    }

    /// `"FILE"` or `file("FILE")`.
    fn optfile(&mut self, expr: &Expr, folder: &Path) -> Option<PathBuf> {
        let path = match &expr.kind {
            ExprKind::Call(name, args) if name.value == "file" && args.len() == 1 => &args[0],
            _ => expr,
        };
        let term = constant(path, &self.plan.constants, &mut self.diagnostics)?;
        let text = term.to_text().filter(|text| !text.is_empty());
        if text.is_none() {
            let wants = "the path of the node's `-ssl_dist_optfile`";
            self.diagnostics.push(wrong("optfile", wants, expr, &term));
        }
        text.map(|text| folder.join(text))
    }

    fn server_name(&mut self, expr: &Expr) -> ExpectedName {
        let Some(term) = constant(expr, &self.plan.constants, &mut self.diagnostics) else {
            return ExpectedName::Host;
        };
        if term.is_atom("disable") {
            return ExpectedName::Any;
        }
        match term.to_text().filter(|text| !text.is_empty()) {
            Some(name) => ExpectedName::Other(name),
            None => {
                let wants = "a host's name such as `\"shop.example.net\"`, or `disable`";
                self.diagnostics
                    .push(wrong("server_name", wants, expr, &term));
                ExpectedName::Host
            }
        }
    }

    /// Whether the node's certificate is checked.
    fn verify(&mut self, expr: &Expr) -> bool {
        let Some(term) = constant(expr, &self.plan.constants, &mut self.diagnostics) else {
            return true;
        };
        if term.is_atom("verify_none") {
            self.diagnostics.push(
                Diagnostic::new(Code::W216, "the node's certificate is not checked")
                    .label(expr.span, "any server that answers at its address is taken for the node")
                    .help("`ca => \"FILE\"` may name the node's own certificate when no authority has signed it"),
            );
            return false;
        }
        if !term.is_atom("verify_peer") {
            let wants = "`verify_peer` or `verify_none`";
            self.diagnostics.push(wrong("verify", wants, expr, &term));
        }
        true
    }
}

/// W212 as an error to come: without it there is no identity.
fn secret(word: &str, span: Span) -> Diagnostic {
    Diagnostic::new(Code::W212, format!("`{word}` is written in the plan"))
        .label(
            span,
            "readable by anyone with access to the plan; it is not used",
        )
        .help(format!(
            "write `{word} => \"PATH\"` or `{word} => env(\"NAME\")`"
        ))
}

/// What an option of OTP's ssl is called here.
fn known_to_ssl(option: &str) -> Option<&'static str> {
    match option {
        "cacertfile" | "cacerts" => Some("ca"),
        "certfile" => Some("cert"),
        "keyfile" => Some("key"),
        "server_name_indication" => Some("server_name"),
        _ => None,
    }
}

/// The error for a value where a map should be; nothing for `false`. The value is not repeated: it may be a key.
fn no_map(term: &Term, span: Span) -> Option<Diagnostic> {
    if term.is_atom("false") {
        return None;
    }
    let diagnostic = Diagnostic::new(Code::E205, "`tls` must be a map or `false`")
        .label(span, "neither")
        .help(format!("name the trusted CA: `{EXAMPLE}`"));
    Some(match term.is_atom("true") {
        true => diagnostic
            .note("the authorities that a system knows do not sign the certificates of nodes"),
        false => diagnostic,
    })
}
