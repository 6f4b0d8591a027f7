//! `systools_rc:translate_scripts/4`: appup scripts to one relup script, up or down.
//!
//! Takes scripts as terms (what is in files may be anything), the applications on both sides, and gives
//! low-level instructions or OTP's error with the instruction it concerns. Where OTP leaves the order of a group
//! open, [`Tie`] decides: its author's order, as OTP's documentation promises it. Cost is linear in the
//! number of instructions; nothing recurses over them.

use std::collections::{BTreeMap, BTreeSet};

use super::error::ScriptError;
use super::instruction::{Call, Instruction, StartType};
use super::{app_term, group, merge, read};
use crate::name::{App, Module};
use crate::rules::Purge;
use crate::term::Term;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To the newer version.
    Up,
    /// To the older version (`dn` to OTP).
    Down,
}

/// What the translation must know of an application.
#[derive(Clone, Debug, PartialEq)]
pub struct Application {
    /// Its name.
    pub name: App,
    /// Its version; OTP takes any list.
    pub vsn: Term,
    /// How the release starts it.
    pub start: StartType,
    /// Its modules, in the order of the `.app` file.
    pub modules: Vec<Module>,
}

/// What decides where OTP's order is open.
#[derive(Clone, Copy, Debug)]
pub enum Tie<'a> {
    /// The order in which the instructions were written.
    Author,
    /// The opposite: where this gives another answer than [`Tie::Author`], OTP's order is open.
    Opposite,
    /// Smaller numbers first (modules without a number last), for comparing with another program's answer.
    Given(&'a BTreeMap<Module, usize>),
}

/// Where an instruction came from: script and element, counted from 0. Nested lists count as one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InstructionPosition {
    /// Which script.
    pub script: usize,
    /// Which element of it.
    pub element: usize,
}

/// An error and the instruction it concerns, where it concerns one.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// What is wrong.
    pub error: ScriptError,
    /// Where.
    pub at: Option<InstructionPosition>,
}

impl From<ScriptError> for Refused {
    fn from(error: ScriptError) -> Self {
        Self { error, at: None }
    }
}

/// Something with its origin; generated instructions have that of the one they stand for.
pub(super) type Sourced<T> = (T, Option<InstructionPosition>);

/// Translates scripts with the author's order where OTP's is open.
///
/// # Errors
/// OTP's, see [`ScriptError`].
pub fn translate(
    mode: Mode,
    scripts: &[Term],
    to: &[Application],
    from: &[Application],
) -> Result<Vec<Instruction>, Refused> {
    translate_with(mode, scripts, to, from, Tie::Author)
}

/// Translates scripts; `to` are the applications of the release one goes to, `from` those one comes from.
///
/// # Errors
/// OTP's, see [`ScriptError`].
pub fn translate_with(
    mode: Mode,
    scripts: &[Term],
    to: &[Application],
    from: &[Application],
    tie: Tie<'_>,
) -> Result<Vec<Instruction>, Refused> {
    let mut before = Vec::new();
    let mut after = Vec::new();
    let mut expanded = Vec::with_capacity(scripts.len());
    for (number, script) in scripts.iter().enumerate() {
        expanded.push(expand(number, script)?);
    }
    for script in expanded {
        let (b, a) = split(script)?;
        before.extend(b);
        after.extend(a);
    }
    let before = parse(before)?;
    let after = parse(after)?;
    consistent(&before, &after)?;
    let after = applications(after, to, from)?;
    let grouped = group::translate(mode, after, to, tie)?;
    let object_code = before
        .into_iter()
        .chain(grouped.object_code)
        .map(|(instruction, _)| instruction);
    let mut low = merge::object_code(object_code.collect())?;
    low.push(Instruction::PointOfNoReturn);
    low.extend(grouped.after);
    let low = merge::restarts(mode, low);
    for instruction in &low {
        // All else was checked when it was read.
        if let Instruction::LoadObjectCode { vsn, .. } = instruction
            && !matches!(vsn, Term::List(_) | Term::Improper(..))
        {
            return Err(ScriptError::BadLibVsn(vsn.clone()).into());
        }
    }
    Ok(low)
}

/// Short forms replaced, nested lists spliced in (their members are not expanded).
fn expand(number: usize, script: &Term) -> Result<Vec<Sourced<Term>>, Refused> {
    let Term::List(elements) = script else {
        return Err(ScriptError::Crash("a script is a list of instructions").into());
    };
    let mut out = Vec::with_capacity(elements.len());
    for (element, term) in elements.iter().enumerate() {
        let at = Some(InstructionPosition {
            script: number,
            element,
        });
        match term {
            Term::List(nested) => out.extend(nested.iter().map(|term| (term.clone(), at))),
            Term::Improper(..) => {
                let error = ScriptError::Crash("a list without a proper end");
                return Err(Refused { error, at });
            }
            term => out.push((read::expand(term).unwrap_or_else(|| term.clone()), at)),
        }
    }
    Ok(out)
}

/// What comes before the point of no return and what behind; all object code comes before.
type Split = (Vec<Sourced<Term>>, Vec<Sourced<Term>>);

fn split(script: Vec<Sourced<Term>>) -> Result<Split, Refused> {
    let is_point = |(term, _): &Sourced<Term>| term.is_atom("point_of_no_return");
    let is = |term: &Term, word: &str| matches!(term, Term::Tuple(pair) if pair.len() == 2 && pair[0].is_atom(word));
    let mut before = Vec::new();
    let mut rest = script;
    if let Some(point) = rest.iter().position(is_point) {
        let behind = rest.split_off(point + 1);
        rest.pop();
        if let Some((_, at)) = behind.iter().find(|x| is_point(x)) {
            let error = ScriptError::TooManyPointOfNoReturn;
            return Err(Refused { error, at: *at });
        }
        let bad = rest
            .iter()
            .find(|(term, _)| !is(term, "load_object_code") && !is(term, "apply"));
        if let Some((term, at)) = bad {
            let error = ScriptError::BadOpBeforePointOfNoReturn(term.clone());
            return Err(Refused { error, at: *at });
        }
        before = std::mem::replace(&mut rest, behind);
    }
    let (found, rest): (Vec<_>, Vec<_>) = rest
        .into_iter()
        .partition(|(term, _)| is(term, "load_object_code"));
    before.extend(found);
    Ok((before, rest))
}

fn parse(terms: Vec<Sourced<Term>>) -> Result<Vec<Sourced<Instruction>>, Refused> {
    terms
        .into_iter()
        .map(|(term, at)| match read::instruction(&term) {
            Ok(instruction) => Ok((instruction, at)),
            Err(error) => Err(Refused { error, at }),
        })
        .collect()
}

/// What hand-written low-level instructions owe each other.
fn consistent(
    before: &[Sourced<Instruction>],
    after: &[Sourced<Instruction>],
) -> Result<(), Refused> {
    let mut code: BTreeSet<&Module> = BTreeSet::new();
    for (instruction, _) in before {
        if let Instruction::LoadObjectCode { modules, .. } = instruction {
            code.extend(modules);
        }
    }
    for (instruction, at) in after {
        if let Instruction::Load { module, .. } = instruction
            && !code.contains(module)
        {
            let error = ScriptError::NoObjectCode(module.clone());
            return Err(Refused { error, at: *at });
        }
    }
    let (mut suspended, mut resumed, mut started, mut stopped) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (instruction, at) in after {
        let all = |into: &mut Vec<_>, modules: &[Module]| {
            into.extend(modules.iter().map(|module| (module.clone(), *at)));
        };
        match instruction {
            Instruction::Suspend(modules) => {
                suspended.extend(modules.iter().map(|(module, _)| (module.clone(), *at)));
            }
            Instruction::Resume(modules) => all(&mut resumed, modules),
            Instruction::Start(modules) => all(&mut started, modules),
            Instruction::Stop(modules) => all(&mut stopped, modules),
            _ => {}
        }
    }
    balanced(&suspended, &resumed, ScriptError::SuspendedNotResumed)?;
    balanced(&resumed, &suspended, ScriptError::ResumedNotSuspended)?;
    balanced(&started, &stopped, ScriptError::StartNotStop)?;
    balanced(&stopped, &started, ScriptError::StopNotStart)
}

/// Each of the one side is on the other.
fn balanced(
    these: &[Sourced<Module>],
    those: &[Sourced<Module>],
    error: impl Fn(Vec<Module>) -> ScriptError,
) -> Result<(), Refused> {
    let there: BTreeSet<&Module> = those.iter().map(|(module, _)| module).collect();
    let missing: Vec<_> = these.iter().filter(|(m, _)| !there.contains(m)).collect();
    match missing.first() {
        None => Ok(()),
        Some((_, at)) => Err(Refused {
            error: error(missing.iter().map(|(module, _)| module.clone()).collect()),
            at: *at,
        }),
    }
}

/// Application instructions become those about modules, and calls to `application`.
fn applications(
    script: Vec<Sourced<Instruction>>,
    to: &[Application],
    from: &[Application],
) -> Result<Vec<Sourced<Instruction>>, Refused> {
    let find = |of: &[Application], name: &App| of.iter().position(|a| a.name == *name);
    let mut out = Vec::with_capacity(script.len());
    for (instruction, at) in script {
        let unknown = |app: &App| Refused {
            error: ScriptError::NoSuchApplication(app.clone()),
            at,
        };
        match &instruction {
            Instruction::AddApplication { app, start } => {
                let new = find(to, app).ok_or_else(|| unknown(app))?;
                added(&mut out, &to[new].modules, at);
                started(&mut out, app, *start, at);
            }
            Instruction::RemoveApplication(app) => {
                if find(to, app).is_some() {
                    let error = ScriptError::RemovedApplicationPresent(app.clone());
                    return Err(Refused { error, at });
                }
                let old = find(from, app).ok_or_else(|| unknown(app))?;
                removed(&mut out, app, &from[old].modules, at);
                out.push((application("unload", vec![app_term(app)]), at));
            }
            Instruction::RestartApplication(app) => {
                let old = find(from, app).ok_or_else(|| unknown(app))?;
                let new = find(to, app).ok_or_else(|| unknown(app))?;
                removed(&mut out, app, &from[old].modules, at);
                added(&mut out, &to[new].modules, at);
                started(&mut out, app, to[new].start, at);
            }
            _ => out.push((instruction, at)),
        }
    }
    Ok(out)
}

fn application(function: &str, args: Vec<Term>) -> Instruction {
    Instruction::Apply(Call::application(function, args))
}

fn added(out: &mut Vec<Sourced<Instruction>>, modules: &[Module], at: Option<InstructionPosition>) {
    out.extend(modules.iter().map(|module| {
        let module = module.clone();
        let deps = Vec::new();
        (Instruction::AddModule { module, deps }, at)
    }));
}

fn started(
    out: &mut Vec<Sourced<Instruction>>,
    app: &App,
    start: StartType,
    at: Option<InstructionPosition>,
) {
    match start {
        StartType::None => {}
        StartType::Load => out.push((application("load", vec![app_term(app)]), at)),
        start => {
            let args = vec![app_term(app), start.to_term()];
            out.push((application("start", args), at));
        }
    }
}

fn removed(
    out: &mut Vec<Sourced<Instruction>>,
    app: &App,
    modules: &[Module],
    at: Option<InstructionPosition>,
) {
    out.push((application("stop", vec![app_term(app)]), at));
    out.extend(modules.iter().map(|module| {
        let remove = Instruction::Remove {
            module: module.clone(),
            pre: Purge::Brutal,
            post: Purge::Brutal,
        };
        (remove, at)
    }));
    out.push((Instruction::Purge(modules.to_vec()), at));
}
