//! A saved script: what a preview has shown, as a file that another person can read, review and run.
//!
//! It is one Erlang term: the plan with the digest of its text, the parameters, and per node the instructions, the
//! versions of the modules before and after, and a fingerprint of all of it. The file is bound to its own content by
//! a digest: `updo run FILE.script` does what it says, or nothing (E602).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Upgrade;
use crate::diag::{Code, Diagnostic, Result};
use crate::exec::step_term::steps_term;
use crate::exec::steps;
use crate::name::{Md5, NodeName};
use crate::plan::Plan;
use crate::release::consult::consult;
use crate::state::beams::hex;
use crate::term::{Term, etf, pretty};

/// The version of the format.
const VERSION: i64 = 1;

/// The extension that marks a script on the command line.
pub const EXTENSION: &str = "script";

/// A script that was saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The plan's file, absolute.
    pub plan: PathBuf,
    /// The digest of the plan's text, included files too.
    pub digest: String,
    /// Parameters that were given: `Name`, or `UPDO_SET_NAME`.
    pub sets: BTreeMap<String, String>,
    /// The patterns of `--push`, absolute, where the plan is a node.
    pub push: Vec<String>,
    /// The nodes, with the fingerprint of what is to happen there.
    pub nodes: Vec<(NodeName, String)>,
}

impl Saved {
    /// Whether a file is meant to be one.
    pub fn is(path: &Path) -> bool {
        path.extension().is_some_and(|end| end == EXTENSION)
    }

    /// The digest of all text that a plan is made of.
    pub fn digest(plan: &Plan) -> String {
        let mut all = Sha256::new();
        for source in plan.sources.sources() {
            all.update(source.text.len().to_be_bytes());
            all.update(&source.text);
        }
        hex(&all.finalize())
    }

    /// What is to happen on a node, in a word: the versions before and after, and the steps.
    pub fn fingerprint(upgrade: &Upgrade) -> String {
        hex(&Sha256::digest(etf::encode(&upgrade.content())))
    }

    /// The file. `upgrades`: what is to happen on the nodes, in their order.
    pub fn text(&self, upgrades: &[&Upgrade]) -> String {
        let node = |((name, print), upgrade): (&(NodeName, String), &&Upgrade)| {
            let high = upgrade.script.high.iter();
            let modules = high.clone().filter_map(|step| {
                let module = &step.module;
                let changed = upgrade.changes.modules.get(module)?;
                let md5 =
                    |md5: Option<Md5>| md5.map_or(Term::atom("none"), |md5| text(&md5.to_string()));
                Some(Term::tuple([
                    Term::atom(module.as_str()),
                    md5(changed.loaded.as_ref().map(|was| was.md5)),
                    md5(changed.new.as_ref().map(|will| will.facts.md5)),
                ]))
            });
            Term::tuple([
                Term::atom(name.as_str()),
                pair("fingerprint", text(print)),
                pair("modules", Term::list(modules)),
                pair(
                    "instructions",
                    Term::list(high.map(|step| step.instruction.to_term())),
                ),
                pair(
                    "steps",
                    steps_term(&steps::steps(&upgrade.script, &upgrade.rules)),
                ),
            ])
        };
        let sets = self
            .sets
            .iter()
            .map(|(name, value)| Term::tuple([text(name), text(value)]));
        let body = Term::list([
            pair("plan", text(&self.plan.display().to_string())),
            pair("digest", text(&self.digest)),
            pair("sets", Term::list(sets)),
            pair("push", Term::list(self.push.iter().map(|glob| text(glob)))),
            pair(
                "nodes",
                Term::list(self.nodes.iter().zip(upgrades).map(node)),
            ),
        ]);
        let seal = seal(&body);
        let whole = Term::tuple([Term::atom("updo_script"), Term::Int(VERSION), body, seal]);
        format!(
            "%% coding: utf-8\n%% What `updo run` does with this file, and nothing else. Not to be edited.\n{}.\n",
            pretty(&whole, 100)
        )
    }

    /// Reads a file.
    ///
    /// # Errors
    /// E802 when it is no script, not whole, or changed since it was written.
    pub fn read(path: &Path) -> Result<Self> {
        let wrong = |why: &str| {
            let title = format!("`{}` is not a script that updo has saved", path.display());
            Box::new(
                Diagnostic::new(Code::E802, title)
                    .note(why.to_owned())
                    .help(format!(
                        "make it again: updo preview PLAN -o {}",
                        path.display()
                    )),
            )
        };
        let document = consult(path).map_err(|failure| wrong(&failure.what))?;
        let Some([tag, version, body, found]) = document.term.as_tuple() else {
            return Err(wrong("it is another term"));
        };
        if !tag.is_atom("updo_script") {
            return Err(wrong("it is another term"));
        }
        if version.as_i64() != Some(VERSION) {
            return Err(wrong("another version of updo has written it"));
        }
        if *found != seal(body) {
            return Err(wrong("it was changed after it was written"));
        }
        Self::of(body).ok_or_else(|| wrong("something is missing in it"))
    }

    fn of(body: &Term) -> Option<Self> {
        let pairs = body.as_list()?;
        let field = |name: &str| {
            pairs.iter().find_map(|pair| match pair.as_tuple()? {
                [key, value] if key.is_atom(name) => Some(value),
                _ => None,
            })
        };
        let set = |pair: &Term| match pair.as_tuple()? {
            [name, value] => Some((name.to_text()?, value.to_text()?)),
            _ => None,
        };
        let node = |node: &Term| {
            let (name, print) = match node.as_tuple()? {
                [name, print, ..] => (name.as_atom()?, print.as_tuple()?.get(1)?.to_text()?),
                _ => return None,
            };
            Some((NodeName::new(name.as_str()), print))
        };
        Some(Self {
            plan: PathBuf::from(field("plan")?.to_text()?),
            digest: field("digest")?.to_text()?,
            sets: field("sets")?
                .as_list()?
                .iter()
                .map(set)
                .collect::<Option<_>>()?,
            // Scripts of before there was `--push` have none.
            push: match field("push") {
                Some(globs) => globs
                    .as_list()?
                    .iter()
                    .map(Term::to_text)
                    .collect::<Option<_>>()?,
                None => Vec::new(),
            },
            nodes: field("nodes")?
                .as_list()?
                .iter()
                .map(node)
                .collect::<Option<_>>()?,
        })
    }

    /// Whether the plan still is the one that was shown.
    ///
    /// # Errors
    /// E602 when it is not.
    pub fn same_plan(&self, plan: &Plan) -> Result<()> {
        match Self::digest(plan) == self.digest {
            true => Ok(()),
            false => Err(Box::new(
                Diagnostic::new(
                    Code::E602,
                    "the plan has changed since the script was saved",
                )
                .note(format!("{}", self.plan.display()))
                .help("preview it again with -o"),
            )),
        }
    }

    /// Whether on a node the same would happen as was shown. A node where nothing is left to do is as it should be.
    ///
    /// # Errors
    /// E602 when it would not.
    pub fn same_node(&self, node: &NodeName, upgrade: &Upgrade) -> Result<()> {
        let shown = self.nodes.iter().find(|(name, _)| name == node);
        if upgrade.is_empty()
            || shown.is_some_and(|(_, print)| *print == Self::fingerprint(upgrade))
        {
            return Ok(());
        }
        let title = format!("{node} is not what it was when the script was saved");
        Err(Box::new(
            Diagnostic::new(Code::E602, title)
                .note("its code, or the new code, has changed, so something else would happen than was shown")
                .note("nothing was changed")
                .help("preview it again with -o"),
        ))
    }
}

fn text(text: &str) -> Term {
    Term::string(text)
}

fn pair(key: &str, value: Term) -> Term {
    Term::tuple([Term::atom(key), value])
}

/// The digest of the file's content.
fn seal(body: &Term) -> Term {
    text(&hex(&Sha256::digest(etf::encode(body))))
}
