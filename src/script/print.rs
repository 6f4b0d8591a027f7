//! An instruction as a term: the one printer, of appups, relups, previews and diagnostics (OTP: appup(4), relup(4)).
//!
//! [`Instruction::to_term`] prints everything, for people: an `update` in full, the nearest word for a patient purge, and
//! what only updo has as plans write it. [`Instruction::to_appup`] and [`Instruction::to_relup`] print for OTP, in the
//! shortest form, and refuse what it has no word for ([`Inexpressible`]); [`super::otp`] has the nearest that it has.
//! [`super::read`] is the way back.

use std::fmt;
use std::time::Duration;

use super::instruction::{Call, Direction, Instruction, Nodes, StartType};
use super::{app_term, module_term};
use crate::name::Module;
use crate::rules::{Change, ModuleType, Purge, Timeout};
use crate::term::{Atom, BigInt, Fun, Term};

/// What is in an instruction and has no word in OTP's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inexpressible {
    /// A purge that waits, or leaves old code where it is.
    Purge(Purge),
    /// A limit of less than a millisecond.
    Timeout(Duration),
    /// A conversion by a function of another module.
    Convert {
        /// The module.
        module: Module,
        /// The function.
        function: Atom,
    },
    /// A `code_change` without `Extra`, of this module.
    NoExtra(Module),
    /// A hook of the plan, by its place.
    Hook(String),
    /// A relup has low-level instructions only; the word.
    HighLevel(&'static str),
}

impl fmt::Display for Inexpressible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Purge(Purge::Wait(_)) => f.write_str("a purge that waits"),
            Self::Purge(_) => f.write_str("a deferred purge"),
            Self::Timeout(_) => f.write_str("a timeout below a millisecond"),
            Self::Convert { module, function } => {
                write!(f, "a conversion by {module}:{}/1", function.as_str())
            }
            Self::NoExtra(module) => write!(f, "a code_change of {module} without Extra"),
            Self::Hook(place) => write!(f, "the hook {place}"),
            Self::HighLevel(word) => write!(f, "`{word}` in a relup"),
        }
    }
}

impl std::error::Error for Inexpressible {}

/// How an `update` is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// With all its elements; only that of a supervisor is short.
    Full,
    /// As short as it means the same to OTP.
    Shortest,
}

impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_term().fmt(f)
    }
}

impl Instruction {
    /// The instruction for people, also what OTP has no word for.
    pub fn to_term(&self) -> Term {
        self.print(Form::Full)
    }

    /// The instruction as an appup has it, in its shortest form.
    ///
    /// # Errors
    /// What OTP has no word for.
    pub fn to_appup(&self) -> Result<Term, Inexpressible> {
        self.expressible()?;
        Ok(self.print(Form::Shortest))
    }

    /// The instruction as a relup has it.
    ///
    /// # Errors
    /// What OTP has no word for, and every high-level instruction.
    pub fn to_relup(&self) -> Result<Term, Inexpressible> {
        if self.is_high_level() {
            return Err(Inexpressible::HighLevel(self.word()));
        }
        self.to_appup()
    }

    fn expressible(&self) -> Result<(), Inexpressible> {
        let purge = |purge: Purge| match purge {
            Purge::Soft | Purge::Brutal => Ok(()),
            Purge::Defer | Purge::Wait(_) => Err(Inexpressible::Purge(purge)),
        };
        let limit = |timeout: &Timeout| match timeout {
            Timeout::After(time) if time.as_millis() == 0 => Err(Inexpressible::Timeout(*time)),
            _ => Ok(()),
        };
        let convert = |change: &Change| match change {
            Change::Convert { module, function } => Err(Inexpressible::Convert {
                module: module.clone(),
                function: function.clone(),
            }),
            Change::Soft | Change::Advanced(_) => Ok(()),
        };
        match self {
            Self::Update {
                timeout,
                change,
                pre,
                post,
                ..
            } => {
                purge(*pre)?;
                purge(*post)?;
                limit(timeout)?;
                convert(change)
            }
            Self::LoadModule { pre, post, .. }
            | Self::Load { pre, post, .. }
            | Self::Remove { pre, post, .. } => {
                purge(*pre)?;
                purge(*post)
            }
            Self::Suspend(modules) => modules
                .iter()
                .filter_map(|(_, t)| t.as_ref())
                .try_for_each(limit),
            Self::CodeChange { modules, .. } => {
                modules
                    .iter()
                    .try_for_each(|(module, change)| match change {
                        Change::Soft => Err(Inexpressible::NoExtra(module.clone())),
                        change => convert(change),
                    })
            }
            Self::Hook { name, .. } => Err(Inexpressible::Hook(name.clone())),
            _ => Ok(()),
        }
    }

    fn print(&self, form: Form) -> Term {
        let word = Term::atom(self.word());
        match self {
            Self::Update { .. } => self.update_term(form),
            Self::LoadModule {
                module,
                pre: Purge::Brutal,
                post: Purge::Brutal,
                deps,
            }
            | Self::AddModule { module, deps }
            | Self::DeleteModule { module, deps } => short(word, module, deps),
            Self::LoadModule {
                module,
                pre,
                post,
                deps,
            } => Term::tuple([
                word,
                module_term(module),
                purge_term(*pre),
                purge_term(*post),
                modules_term(deps),
            ]),
            Self::AddApplication {
                app,
                start: StartType::Permanent,
            } => Term::tuple([word, app_term(app)]),
            Self::AddApplication { app, start } => {
                Term::tuple([word, app_term(app), start.to_term()])
            }
            Self::RemoveApplication(app) | Self::RestartApplication(app) => {
                Term::tuple([word, app_term(app)])
            }
            Self::LoadObjectCode { lib, vsn, modules } => Term::tuple([
                word,
                Term::tuple([app_term(lib), vsn.clone(), modules_term(modules)]),
            ]),
            Self::Load { module, pre, post } | Self::Remove { module, pre, post } => Term::tuple([
                word,
                Term::tuple([module_term(module), purge_term(*pre), purge_term(*post)]),
            ]),
            Self::Purge(modules)
            | Self::Resume(modules)
            | Self::Stop(modules)
            | Self::Start(modules) => Term::tuple([word, modules_term(modules)]),
            Self::Suspend(modules) => {
                let list = modules.iter().map(|(module, timeout)| match timeout {
                    None => module_term(module),
                    Some(timeout) => Term::tuple([module_term(module), timeout_term(timeout)]),
                });
                Term::tuple([word, Term::list(list)])
            }
            Self::CodeChange { direction, modules } => {
                let list = modules.iter().map(|(module, change)| {
                    let extra = match change {
                        Change::Advanced(extra) => extra.clone(),
                        other => change_term(other),
                    };
                    Term::tuple([module_term(module), extra])
                });
                let direction = direction.map(Direction::to_term);
                Term::tuple(
                    std::iter::once(word)
                        .chain(direction)
                        .chain([Term::list(list)]),
                )
            }
            Self::SyncNodes { id, nodes } => {
                let nodes = match nodes {
                    Nodes::List(nodes) => Term::list(nodes.iter().cloned().map(Term::Atom)),
                    Nodes::Call(call) => call.to_term(),
                };
                Term::tuple([word, id.clone(), nodes])
            }
            Self::Apply(call) => Term::tuple([word, call.to_term()]),
            Self::Hook { name, .. } => Term::tuple([word, Term::string(name)]),
            Self::PointOfNoReturn
            | Self::RestartNewEmulator
            | Self::RestartEmulator
            | Self::Restart
            | Self::Reboot => word,
        }
    }

    fn update_term(&self, form: Form) -> Term {
        let word = Term::atom(self.word());
        let Self::Update {
            module,
            kind,
            timeout,
            change,
            pre,
            post,
            deps,
            supervisor,
        } = self
        else {
            return word;
        };
        let of_supervisor = || {
            Term::tuple([
                Term::atom("update"),
                module_term(module),
                Term::atom("supervisor"),
            ])
        };
        // What the short form says, which has no place for dependencies.
        let (kind, pre, post) = match supervisor {
            true if form == Form::Full && deps.is_empty() => return of_supervisor(),
            true => (ModuleType::Static, Purge::Brutal, Purge::Brutal),
            false => (*kind, *pre, *post),
        };
        let brutal = pre == Purge::Brutal && post == Purge::Brutal;
        let usual = *timeout == Timeout::Default;
        let nothing = Change::Advanced(Term::List(Vec::new()));
        let first = [word.clone(), module_term(module)].into_iter();
        match (form, kind) {
            (Form::Shortest, ModuleType::Dynamic) if usual && brutal && *change == Change::Soft => {
                short(word, module, deps)
            }
            (Form::Shortest, ModuleType::Dynamic) if usual && brutal => {
                let deps = (!deps.is_empty()).then(|| modules_term(deps));
                Term::tuple(first.chain([change_term(change)]).chain(deps))
            }
            (Form::Shortest, ModuleType::Static)
                if usual && brutal && deps.is_empty() && *change == nothing =>
            {
                of_supervisor()
            }
            (form, kind) => {
                let dynamic = form == Form::Shortest && kind == ModuleType::Dynamic;
                let kind = (!dynamic).then(|| kind_term(kind));
                let timeout = (!dynamic || !usual).then(|| timeout_term(timeout));
                let rest = [
                    change_term(change),
                    purge_term(pre),
                    purge_term(post),
                    modules_term(deps),
                ];
                Term::tuple(first.chain(kind).chain(timeout).chain(rest))
            }
        }
    }
}

fn modules_term(modules: &[Module]) -> Term {
    Term::List(modules.iter().map(module_term).collect())
}

/// `{Word, Module}` or `{Word, Module, Deps}`.
fn short(word: Term, module: &Module, deps: &[Module]) -> Term {
    let deps = (!deps.is_empty()).then(|| modules_term(deps));
    Term::tuple([word, module_term(module)].into_iter().chain(deps))
}

fn kind_term(kind: ModuleType) -> Term {
    Term::atom(match kind {
        ModuleType::Static => "static",
        ModuleType::Dynamic => "dynamic",
    })
}

/// `soft_purge` or `brutal_purge`; to OTP a patient purge is nearest to a soft one.
fn purge_term(purge: Purge) -> Term {
    Term::atom(match purge {
        Purge::Defer | Purge::Soft | Purge::Wait(_) => "soft_purge",
        Purge::Brutal => "brutal_purge",
    })
}

fn timeout_term(timeout: &Timeout) -> Term {
    match timeout {
        Timeout::Default => Term::atom("default"),
        Timeout::Infinity => Term::atom("infinity"),
        Timeout::After(time) => Term::integer(BigInt::from(time.as_millis())),
        Timeout::Beyond(time) => Term::integer(time.clone()),
    }
}

/// `soft`, `{advanced, Extra}`, and as plans write it `{convert, F}`.
fn change_term(change: &Change) -> Term {
    match change {
        Change::Soft => Term::atom("soft"),
        Change::Advanced(extra) => Term::tuple([Term::atom("advanced"), extra.clone()]),
        Change::Convert { module, function } => Term::tuple([
            Term::atom("convert"),
            Term::Fun(Fun::External {
                module: module.as_str().into(),
                name: function.clone(),
                arity: 1,
            }),
        ]),
    }
}

impl Direction {
    /// `up` or `down`.
    pub fn to_term(self) -> Term {
        Term::atom(match self {
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

impl StartType {
    /// OTP's atom.
    pub fn to_term(self) -> Term {
        Term::atom(match self {
            Self::Permanent => "permanent",
            Self::Transient => "transient",
            Self::Temporary => "temporary",
            Self::Load => "load",
            Self::None => "none",
        })
    }
}

impl Call {
    /// `{M, F, Args}`.
    pub fn to_term(&self) -> Term {
        Term::tuple([
            Term::Atom(self.module.clone()),
            Term::Atom(self.function.clone()),
            self.args.clone(),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(change: Change, pre: Purge, supervisor: bool) -> Instruction {
        Instruction::Update {
            module: Module::new("m"),
            kind: ModuleType::Dynamic,
            timeout: Timeout::After(Duration::ZERO),
            change,
            pre,
            post: Purge::Brutal,
            deps: Vec::new(),
            supervisor,
        }
    }

    #[test]
    fn otp_gets_only_what_it_has_words_for() {
        let advanced = || Change::Advanced(Term::Int(1));
        let wait = Purge::Wait(Duration::from_secs(1));
        for patient in [Purge::Defer, wait] {
            let given = update(advanced(), patient, false);
            assert_eq!(given.to_appup(), Err(Inexpressible::Purge(patient)));
            let nearest = given
                .nearest_in_otp()
                .to_appup()
                .map(|term| term.to_string());
            let expected = "{update,m,1,{advanced,1},soft_purge,brutal_purge,[]}";
            assert_eq!(nearest.as_deref(), Ok(expected));
        }
        let zero = update(advanced(), Purge::Soft, false).to_appup();
        assert_eq!(zero, Err(Inexpressible::Timeout(Duration::ZERO)));
        let by_function = || Change::Convert {
            module: Module::new("other"),
            function: Atom::new("up"),
        };
        let refused = update(by_function(), Purge::Soft, false)
            .nearest_in_otp()
            .to_appup();
        let said = refused.expect_err("no word").to_string();
        assert_eq!(said, "a conversion by other:up/1");
        let code_change = |change| Instruction::CodeChange {
            direction: Some(Direction::Up),
            modules: vec![(Module::new("m"), change)],
        };
        assert!(code_change(advanced()).to_relup().is_ok());
        assert!(matches!(
            code_change(by_function()).to_relup(),
            Err(Inexpressible::Convert { .. })
        ));
        let without = code_change(Change::Soft).to_relup();
        assert_eq!(without, Err(Inexpressible::NoExtra(Module::new("m"))));
        let hook = Instruction::Hook {
            number: 0,
            name: "after load of m".to_owned(),
        };
        assert!(matches!(hook.to_relup(), Err(Inexpressible::Hook(_))));
        let high = update(advanced(), Purge::Brutal, false).nearest_in_otp();
        assert_eq!(high.to_relup(), Err(Inexpressible::HighLevel("update")));
    }

    #[test]
    fn people_see_an_update_in_full_and_a_supervisor_in_short() {
        let plain = update(Change::Soft, Purge::Defer, false);
        let expected = "{update,m,dynamic,0,soft,soft_purge,brutal_purge,[]}";
        assert_eq!(plain.to_string(), expected);
        let supervisor = update(Change::Soft, Purge::Defer, true);
        assert_eq!(supervisor.to_string(), "{update,m,supervisor}");
        let with_deps = supervisor.with_deps(vec![Module::new("n")]);
        let expected = "{update,m,static,0,soft,brutal_purge,brutal_purge,[n]}";
        assert_eq!(with_deps.to_string(), expected);
    }
}
