//! `code on_disk` and `code push […]`: where the new code comes from, and what goes with it.

use std::path::PathBuf;
use std::time::Duration;

use super::options::{constant, known, term_duration, unsupported, wrong};
use super::resolve::{Resolver, located_patterns};
use super::vocabulary;
use super::{CodeFrom, GitBuild};
use crate::diag::{Code, Diagnostic, Span};
use crate::facts::compare::library_versions::Which;
use crate::name::App;
use crate::syntax::ast::{OptionPair, Options, Spanned, Tail};
use crate::term::Term;

/// How long a build may take when the plan does not say.
const BUILD_TIME: Duration = Duration::from_secs(600);

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

    /// `old from git "REVISION" #{build => "…"}`.
    pub(super) fn old_from_git(
        &mut self,
        revision: &Spanned<String>,
        options: &Options,
        folder: PathBuf,
        span: Span,
    ) {
        let words = vocabulary::words(vocabulary::OLD);
        known(options, "old from git", &words, &mut self.diagnostics);
        let mut source = GitBuild {
            revision: revision.value.clone(),
            build: String::new(),
            within: BUILD_TIME,
            base: folder,
            span,
        };
        for pair in options {
            let word = pair.key.value.as_str();
            let Some(value) = constant(&pair.value, &self.plan.constants, &mut self.diagnostics)
            else {
                return;
            };
            let wants = match word {
                "build" => {
                    let text = value.to_text().filter(|_| value.as_atom().is_none());
                    source.build = text.unwrap_or_default();
                    let good = !source.build.trim().is_empty();
                    (!good).then_some("the command that builds it, in quotes")
                }
                "within" => {
                    let within = term_duration(&value).filter(|time| !time.is_zero());
                    source.within = within.unwrap_or(BUILD_TIME);
                    within.is_none().then_some("a duration such as `10m`")
                }
                // E204 was reported.
                _ => None,
            };
            if let Some(wants) = wants {
                let wrong = wrong(word, wants, &pair.value, &value);
                self.diagnostics.push(wrong);
                return;
            }
        }
        if source.build.is_empty() {
            let title = "`old from git` needs the command that builds the revision";
            let diagnostic = Diagnostic::new(Code::E205, title).label(span, "no `build`");
            let help = format!(
                "old from git {:?} #{{build => \"rebar3 compile\"}}.",
                source.revision
            );
            self.diagnostics.push(diagnostic.help(help));
            return;
        }
        self.plan.old_git.push(source);
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
