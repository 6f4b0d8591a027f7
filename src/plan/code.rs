//! `code on_disk` and `code push […]`: where the new code comes from, and what goes with it.

use std::path::PathBuf;

use super::CodeFrom;
use super::options::{constant, known, unsupported, wrong};
use super::resolve::{Resolver, located_patterns};
use super::vocabulary;
use crate::diag::{Code, Diagnostic, Span};
use crate::facts::compare::library_versions::Which;
use crate::name::App;
use crate::syntax::ast::{OptionPair, Options, Spanned, Tail};
use crate::term::Term;

impl Resolver<'_> {
    /// `code on_disk` and `code push […]`: where the new code comes from.
    pub(super) fn code(
        &mut self,
        push: Option<&[Spanned<String>]>,
        options: &Options,
        tail: &Tail,
        folder: PathBuf,
        span: Span,
    ) {
        self.once("code", span);
        known(
            options,
            "code",
            &vocabulary::words(vocabulary::CODE),
            &mut self.diagnostics,
        );
        for pair in options {
            match pair.key.value.as_str() {
                "earlier" => self.plan.earlier = self.switch("earlier", pair),
                "env" => self.plan.env = self.switch("env", pair),
                "newest" | "from" | "update_paths" if push.is_none() => self.libraries(pair),
                "persist" if push.is_some() => self.plan.persist = self.switch("persist", pair),
                word @ ("newest" | "from" | "update_paths") => {
                    let title =
                        format!("`{word}` is about the node's own disk, not about pushed beams");
                    let diagnostic = Diagnostic::new(Code::E205, title)
                        .label(pair.key.span, "does not go with `push`");
                    self.diagnostics
                        .push(diagnostic.help(format!("`code on_disk #{{{word} => …}}.`")));
                }
                word @ ("persist" | "replace") => {
                    let what = format!("`code … {word}`");
                    self.diagnostics.push(unsupported(pair.key.span, &what));
                }
                // E204 was reported.
                _ => {}
            }
        }
        self.no_guard(tail, "code");
        if let Some(patterns) = push {
            self.plan.code = CodeFrom::Push(located_patterns(patterns, folder));
        }
    }

    /// Where on the node's disk the new code is, if not in the folders of the running one.
    fn libraries(&mut self, pair: &OptionPair) {
        let word = pair.key.value.as_str();
        if word == "update_paths" {
            self.plan.libraries.update_paths = self.switch(word, pair);
            return;
        }
        let Some(value) = constant(&pair.value, &self.plan.constants, &mut self.diagnostics) else {
            return;
        };
        let span = pair.key.span.to(pair.value.span);
        let app = |term: &Term| Some(App::new(term.as_atom()?.as_str()));
        let wants = match word {
            "newest" => {
                let apps = value
                    .as_list()
                    .map(|list| list.iter().map(app).collect::<Option<Vec<App>>>());
                self.plan.libraries.newest = match apps {
                    Some(Some(apps)) if !apps.is_empty() => Some(Which::Apps(apps, span)),
                    None if value.is_atom("all") => Some(Which::All),
                    _ => None,
                };
                self.plan
                    .libraries
                    .newest
                    .is_none()
                    .then_some("`all` or a list of applications")
            }
            _ => {
                let folder = value.to_text().filter(|folder| folder.starts_with('/'));
                self.plan.libraries.from = folder.map(|folder| (folder, span));
                self.plan
                    .libraries
                    .from
                    .is_none()
                    .then_some("an absolute folder of the node, in quotes")
            }
        };
        if let Some(wants) = wants {
            self.diagnostics
                .push(wrong(word, wants, &pair.value, &value));
        }
        if let (Some((_, from)), Some(_)) = (&self.plan.libraries.from, &self.plan.libraries.newest)
        {
            let title =
                "`newest` and `from` exclude each other: each says where the new version is";
            let diagnostic = Diagnostic::new(Code::E205, title).label(span, "one of them");
            self.diagnostics.push(if *from == span {
                diagnostic
            } else {
                diagnostic.label(*from, "and the other")
            });
        }
    }

    /// An option that is `true` or `false`.
    fn switch(&mut self, name: &str, pair: &OptionPair) -> bool {
        let value = constant(&pair.value, &self.plan.constants, &mut self.diagnostics);
        let Some(value) = value else { return false };
        if !value.is_atom("true") && !value.is_atom("false") {
            self.diagnostics
                .push(wrong(name, "`true` or `false`", &pair.value, &value));
        }
        value.is_atom("true")
    }
}
