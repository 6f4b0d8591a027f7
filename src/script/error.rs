//! What is wrong with a script, in OTP's words.
//!
//! Each [`ScriptError`] is one error term of `systools_rc` ([`ScriptError::to_term`]); its text is what
//! `systools_rc:format_error/1` prints. Where OTP itself falls over (`function_clause` and the like) there
//! is [`ScriptError::Crash`], which says in words what it stumbles on.

use std::fmt;

use super::module_term;
use crate::name::{App, Module};
use crate::term::{Term, pretty_from, write};

/// An error of the translation.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "named as OTP names them; the texts are below")]
pub enum ScriptError {
    BadInstruction(Term),
    NotYetImplemented(Term),
    BadModule(Term),
    BadModType(Term),
    BadTimeout(Term),
    BadChange(Term),
    BadPurgeMethod(Term),
    BadList(Term),
    BadApplication(Term),
    BadFunc(Term),
    BadNode(Term),
    BadLib(Term),
    BadStartType(Term),
    BadMode(Term),
    BadLibVsn(Term),
    BadArgsList(Term),
    BadCodeChange(Term),
    BadOpBeforePointOfNoReturn(Term),
    TooManyPointOfNoReturn,
    NoObjectCode(Module),
    SuspendedNotResumed(Vec<Module>),
    ResumedNotSuspended(Vec<Module>),
    StartNotStop(Vec<Module>),
    StopNotStart(Vec<Module>),
    NoSuchApplication(App),
    RemovedApplicationPresent(App),
    MuldefModule(Module),
    UndefModule(Module),
    NoSuchModule(Module),
    /// The library, its first version, and the last one that differs.
    ConflictingVersions(App, Box<(Term, Term)>),
    /// OTP raises an exception here; the text says at what.
    Crash(&'static str),
}

impl ScriptError {
    /// OTP's word for it, and what it concerns; `None` for a crash.
    fn parts(&self) -> Option<(&'static str, Vec<Term>)> {
        let modules = |list: &[Module]| Term::List(list.iter().map(module_term).collect());
        let app = |app: &App| Term::atom(app.as_str());
        let (word, of) = match self {
            Self::BadInstruction(x) => ("bad_instruction", x.clone()),
            Self::NotYetImplemented(x) => ("not_yet_implemented", x.clone()),
            Self::BadModule(x) => ("bad_module", x.clone()),
            Self::BadModType(x) => ("bad_mod_type", x.clone()),
            Self::BadTimeout(x) => ("bad_timeout", x.clone()),
            Self::BadChange(x) => ("bad_change", x.clone()),
            Self::BadPurgeMethod(x) => ("bad_purge_method", x.clone()),
            Self::BadList(x) => ("bad_list", x.clone()),
            Self::BadApplication(x) => ("bad_application", x.clone()),
            Self::BadFunc(x) => ("bad_func", x.clone()),
            Self::BadNode(x) => ("bad_node", x.clone()),
            Self::BadLib(x) => ("bad_lib", x.clone()),
            Self::BadStartType(x) => ("bad_start_type", x.clone()),
            Self::BadMode(x) => ("bad_mode", x.clone()),
            Self::BadLibVsn(x) => ("bad_lib_vsn", x.clone()),
            Self::BadArgsList(x) => ("bad_args_list", x.clone()),
            Self::BadCodeChange(x) => ("bad_code_change", x.clone()),
            Self::BadOpBeforePointOfNoReturn(x) => ("bad_op_before_point_of_no_return", x.clone()),
            Self::TooManyPointOfNoReturn => return Some(("too_many_point_of_no_return", vec![])),
            Self::NoObjectCode(m) => ("no_object_code", module_term(m)),
            Self::SuspendedNotResumed(ms) => ("suspended_not_resumed", modules(ms)),
            Self::ResumedNotSuspended(ms) => ("resumed_not_suspended", modules(ms)),
            Self::StartNotStop(ms) => ("start_not_stop", modules(ms)),
            Self::StopNotStart(ms) => ("stop_not_start", modules(ms)),
            Self::NoSuchApplication(a) => ("no_such_application", app(a)),
            Self::RemovedApplicationPresent(a) => ("removed_application_present", app(a)),
            Self::MuldefModule(m) => ("muldef_module", module_term(m)),
            Self::UndefModule(m) => ("undef_module", module_term(m)),
            Self::NoSuchModule(m) => ("no_such_module", module_term(m)),
            Self::ConflictingVersions(lib, versions) => {
                let of = vec![app(lib), versions.0.clone(), versions.1.clone()];
                return Some(("conflicting_versions", of));
            }
            Self::Crash(_) => return None,
        };
        Some((word, vec![of]))
    }

    /// The reason as OTP gives it in `{error, systools_rc, Reason}`; `None` for a crash.
    pub fn to_term(&self) -> Option<Term> {
        let (word, of) = self.parts()?;
        if of.is_empty() {
            return Some(Term::atom(word));
        }
        Some(Term::tuple(std::iter::once(Term::atom(word)).chain(of)))
    }

    /// What is before and behind the term in OTP's text, and whether it is written with `~tp`.
    fn frame(&self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::BadInstruction(_) => ("Bad instruction: ", ""),
            Self::BadModule(_) => ("Bad module: ", "(should be atom())"),
            Self::BadModType(_) => ("Bad module type: ", "(should be static | dynamic)"),
            Self::BadTimeout(_) => ("Bad timeout: ", "(should be infinity | int() > 0)"),
            Self::BadChange(_) => ("Bad change spec: ", "(should be soft | {advanced, E})"),
            Self::BadPurgeMethod(_) => (
                "Bad purge method: ",
                "(should be soft_purge | brutal_purge)",
            ),
            Self::BadList(_) => ("Bad list: ", ""),
            Self::BadApplication(_) => ("Bad application: ", "(should be atom())"),
            Self::BadFunc(_) => ("Bad function: ", "(should be atom())"),
            Self::BadNode(_) => ("Bad node: ", "(should be atom())"),
            Self::BadLib(_) => ("Bad library: ", "(should be atom())"),
            Self::BadLibVsn(_) => ("Bad library version: ", "(should be string())"),
            Self::BadArgsList(_) => ("Bad argument list: ", ""),
            Self::BadCodeChange(_) => ("Bad code_change: ", "(should be {Mod, Extra})"),
            Self::BadOpBeforePointOfNoReturn(_) => {
                ("Bad instruction ", "\nbefore point_of_no_return")
            }
            Self::SuspendedNotResumed(_) => ("Suspended but not resumed: ", ""),
            Self::ResumedNotSuspended(_) => ("Resumed but not suspended: ", ""),
            Self::StartNotStop(_) => ("Started but not stopped: ", ""),
            Self::StopNotStart(_) => ("Stopped but not started: ", ""),
            Self::MuldefModule(_) => ("Multiply defined module: ", ""),
            Self::UndefModule(_) => ("Undefined module: ", ""),
            _ => return None,
        })
    }
}

impl fmt::Display for ScriptError {
    /// The text of `systools_rc:format_error/1` without the newline at its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Crash(what) = self {
            return write!(f, "OTP cannot read this: {what}");
        }
        let (word, of) = self.parts().unwrap_or(("crash", Vec::new()));
        match self {
            Self::TooManyPointOfNoReturn => return f.write_str("Too many point_of_no_return"),
            Self::NoObjectCode(_) => {
                return write!(f, "No load_object_code found for module: {}", write(&of[0]));
            }
            Self::NoSuchApplication(_) => {
                return write!(f, "Started undefined application: {}", write(&of[0]));
            }
            Self::RemovedApplicationPresent(_) => {
                return write!(f, "Removed application present: {}", write(&of[0]));
            }
            Self::NoSuchModule(_) => return write!(f, "No such module: {}", write(&of[0])),
            Self::ConflictingVersions(..) => {
                let text = |vsn: &Term| vsn.to_text().unwrap_or_else(|| vsn.to_string());
                return write!(
                    f,
                    "Conflicting versions for {}, {} and {}",
                    write(&of[0]),
                    text(&of[1]),
                    text(&of[2])
                );
            }
            _ => {}
        }
        match self.frame() {
            Some((before, behind)) => {
                let shown = pretty_from(&of[0], 80, before.len());
                write!(f, "{before}{shown}{behind}")
            }
            None => {
                let whole = Term::tuple(std::iter::once(Term::atom(word)).chain(of));
                f.write_str(&pretty_from(&whole, 80, 0))
            }
        }
    }
}

impl std::error::Error for ScriptError {}
