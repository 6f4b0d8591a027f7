//! Low-level instructions: what a relup says (OTP: relup(4)).

use std::fmt;

use super::{app_term, high, module_term};
use crate::name::{App, Module};
use crate::rules::{Change, Purge, Timeout};
use crate::term::{Atom, Term};

/// One relup instruction.
#[derive(Clone, Debug, PartialEq)]
pub enum Low {
    /// Object code is read before anything is touched.
    LoadObjectCode {
        /// The application, `undefined` for modules outside of all.
        app: App,
        /// Its version.
        vsn: String,
        /// The modules.
        modules: Vec<Module>,
    },
    /// From here on there is no way back but undoing.
    PointOfNoReturn,
    /// The processes of these modules stand still.
    Suspend(Vec<(Module, Timeout)>),
    /// The new version becomes current.
    Load {
        /// The module.
        module: Module,
        /// Purge before.
        pre: Purge,
        /// Purge after.
        post: Purge,
    },
    /// The current version becomes old, and nothing current.
    Remove {
        /// The module.
        module: Module,
        /// Purge before.
        pre: Purge,
        /// Purge after.
        post: Purge,
    },
    /// Old code goes.
    Purge(Vec<Module>),
    /// States are converted.
    CodeChange {
        /// Towards the older version.
        down: bool,
        /// The modules with their conversions.
        modules: Vec<(Module, Change)>,
    },
    /// The processes go on.
    Resume(Vec<Module>),
    /// A function is called.
    Apply {
        /// Module.
        module: Atom,
        /// Function.
        function: Atom,
        /// Arguments.
        args: Vec<Term>,
    },
    /// A hook of the plan: the run waits for it. OTP has no such instruction.
    Hook {
        /// Its number among the plan's hooks at steps.
        number: usize,
        /// Where it stands, in the plan's words.
        name: String,
    },
}

impl Low {
    /// The instruction as OTP's term.
    pub fn to_term(&self) -> Term {
        let modules = |list: &[Module]| Term::List(list.iter().map(module_term).collect());
        let triple = |word: &str, module: &Module, pre: Purge, post: Purge| {
            Term::tuple([
                Term::atom(word),
                Term::tuple([
                    module_term(module),
                    high::purge_term(pre),
                    high::purge_term(post),
                ]),
            ])
        };
        match self {
            Self::LoadObjectCode {
                app,
                vsn,
                modules: list,
            } => Term::tuple([
                Term::atom("load_object_code"),
                Term::tuple([app_term(app), Term::string(vsn), modules(list)]),
            ]),
            Self::PointOfNoReturn => Term::atom("point_of_no_return"),
            Self::Suspend(list) => Term::tuple([
                Term::atom("suspend"),
                Term::list(list.iter().map(|(module, timeout)| match timeout {
                    Timeout::Default => module_term(module),
                    other => Term::tuple([module_term(module), high::timeout_term(other)]),
                })),
            ]),
            Self::Load { module, pre, post } => triple("load", module, *pre, *post),
            Self::Remove { module, pre, post } => triple("remove", module, *pre, *post),
            Self::Purge(list) => Term::tuple([Term::atom("purge"), modules(list)]),
            Self::CodeChange { down, modules } => Term::tuple([
                Term::atom("code_change"),
                Term::atom(if *down { "down" } else { "up" }),
                Term::list(modules.iter().map(|(module, change)| {
                    let extra = match change {
                        Change::Advanced(extra) => extra.clone(),
                        other => high::change_term(other),
                    };
                    Term::tuple([module_term(module), extra])
                })),
            ]),
            Self::Resume(list) => Term::tuple([Term::atom("resume"), modules(list)]),
            Self::Apply {
                module,
                function,
                args,
            } => Term::tuple([
                Term::atom("apply"),
                Term::tuple([
                    Term::Atom(module.clone()),
                    Term::Atom(function.clone()),
                    Term::List(args.clone()),
                ]),
            ]),
            Self::Hook { name, .. } => Term::tuple([Term::atom("hook"), Term::string(name)]),
        }
    }

    /// The instruction's word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::LoadObjectCode { .. } => "load_object_code",
            Self::PointOfNoReturn => "point_of_no_return",
            Self::Suspend(_) => "suspend",
            Self::Load { .. } => "load",
            Self::Remove { .. } => "remove",
            Self::Purge(_) => "purge",
            Self::CodeChange { .. } => "code_change",
            Self::Resume(_) => "resume",
            Self::Apply { .. } => "apply",
            Self::Hook { .. } => "hook",
        }
    }
}

impl fmt::Display for Low {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_term().fmt(f)
    }
}
