//! Whether a function can take an argument of a given shape.
//!
//! Takes the code of one module and runs a function with a *state* of which only the shape is known (a tuple of so
//! many elements, a map with these keys) and with everything else unknown. What decides about an unknown value goes
//! both ways, so a function that returns on no path fails for certain; on a path that raises because of the state
//! it may fail. Where the bounds are reached the state counts as taken: silence is never wrong here.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::machine::{label, moved};
use super::next::Next;
use super::operations;
use super::recording::Recording;
use super::tuples::TupleUses;
use super::unit::{Path, Unit};
use super::value::SymbolicValue;
use crate::facts::beam::instructions::{BeamInstruction, Operand};
use crate::facts::beam::opcode as op;
use crate::name::{FunctionArity, Module};
use crate::term::{Atom, Term};

/// Instructions of one question, all paths and calls together.
const MAX_STEPS: usize = 150_000;

/// Calls inside each other.
const MAX_DEPTH: usize = 10;

/// The same of a recording, where a call at the end of a function is one too.
const MAX_RECORDED_DEPTH: usize = 24;

/// Different registers with which one place of a function is come to.
const MAX_VISITS: usize = 48;

/// Different answers of a function that are distinguished.
const MAX_ANSWERS: usize = 6;

/// Something that code demands of a state and that the state does not have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wanted {
    /// A key of a map.
    Key(Atom),
    /// A tuple: its first element and size, as far as the code says them.
    Tuple(Option<Atom>, Option<u32>),
    /// A map.
    Map,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "a map with the key `{key}`"),
            Self::Tuple(Some(tag), Some(size)) => write!(f, "{{{tag}, …}} of {size} elements"),
            Self::Tuple(None, Some(size)) => write!(f, "a tuple of {size} elements"),
            Self::Tuple(_, None) => f.write_str("a tuple"),
            Self::Map => f.write_str("a map"),
        }
    }
}

/// What becomes of a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// It may return, or go on for ever.
    pub returns: bool,
    /// What it may return; empty when that is not followed.
    pub answers: Vec<SymbolicValue>,
    /// What is demanded of the state on paths that raise for the lack of it.
    pub lacks: BTreeSet<Wanted>,
    /// Whatever was looked for in the state and is not there, also by clauses that others follow.
    pub misses: BTreeSet<Wanted>,
    /// All paths were walked. Otherwise it `returns`, and nothing lacks.
    pub whole: bool,
}

/// What a call inside of a call came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    pub(super) answers: Vec<SymbolicValue>,
    pub(super) lacks: BTreeSet<Wanted>,
    pub(super) misses: BTreeSet<Wanted>,
}

impl Outcome {
    pub(super) fn unknown() -> Self {
        Self {
            answers: vec![SymbolicValue::Unknown],
            ..Self::default()
        }
    }
}

/// One path through a function.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) path: Path,
    /// What the state was last found to lack, in this function.
    pub(super) missed: Option<Wanted>,
    /// Open `try` and `catch`.
    pub(super) guards: u32,
}

/// What a step leads to.
pub(super) enum Step {
    On,
    Jump(u32),
    /// The next instruction, or a label.
    Either(u32),
    /// A label, or the next instruction with this operand set to a value.
    EitherSet(u32, Operand, SymbolicValue),
    Ways(Vec<(u32, Option<(Operand, SymbolicValue)>)>),
    Guarded(u32),
    Many(Vec<SymbolicValue>),
    Answer(Vec<SymbolicValue>),
    Raises,
    GiveUp,
}

type Visits = HashMap<usize, Vec<Way>>;

/// A module whose functions are asked.
pub struct Acceptance {
    unit: Rc<Unit>,
    state: SymbolicValue,
    pub(super) follow_all: bool,
    /// A request that is known whole: calls that get it are followed.
    request: Option<SymbolicValue>,
    /// The instructions that were executed, when they are asked for.
    executed: Option<HashSet<usize>>,
    /// What was sent on the way, when that is what the code is run for.
    pub(super) recording: Option<Box<Recording>>,
    steps: usize,
    gave_up: bool,
    pub(super) open: Vec<(u32, Vec<SymbolicValue>)>,
}

/// Instructions that choose and move: they are executed on the way to a clause, whichever it is.
const CHOOSING: [u8; 10] = [
    op::LABEL,
    op::LINE,
    op::JUMP,
    op::SELECT_VAL,
    op::SELECT_TUPLE_ARITY,
    op::GET_TUPLE_ELEMENT,
    op::GET_LIST,
    op::GET_MAP_ELEMENTS,
    op::MOVE,
    op::FUNC_INFO,
];

impl Acceptance {
    /// Reads a beam; `None` when its code cannot be read whole.
    pub fn read(module: &Module, beam: &[u8]) -> Option<Self> {
        Some(Self {
            unit: Rc::new(Unit::read(module, beam)?),
            state: SymbolicValue::Unknown,
            follow_all: false,
            request: None,
            executed: None,
            recording: None,
            steps: 0,
            gave_up: false,
            open: Vec::new(),
        })
    }

    /// The tagged tuples in the code.
    pub fn tuple_uses(&self) -> TupleUses {
        TupleUses::of(&self.unit)
    }

    /// Whether the module has a function.
    pub fn has(&self, name: &str, arity: u32) -> bool {
        self.label(name, arity).is_some()
    }

    /// All functions of the module, in order.
    pub fn functions(&self) -> Vec<FunctionArity> {
        let all = self.unit.functions.keys();
        let mut all: Vec<FunctionArity> = all
            .map(|(name, arity)| FunctionArity::new(&**name, *arity))
            .collect();
        all.sort();
        all
    }

    fn label(&self, name: &str, arity: u32) -> Option<u32> {
        self.unit.functions.get(&(Arc::from(name), arity)).copied()
    }

    /// Calls a function with `state` among the arguments; `None` when there is no such function.
    pub fn takes(
        &mut self,
        name: &str,
        args: Vec<SymbolicValue>,
        state: &SymbolicValue,
    ) -> Option<Verdict> {
        self.follow_all = false;
        self.ask(name, args, state)
    }

    /// The same, with calls followed that do not get the state: for what it returns.
    pub fn returns(
        &mut self,
        name: &str,
        args: Vec<SymbolicValue>,
        state: &SymbolicValue,
    ) -> Option<Verdict> {
        self.follow_all = true;
        self.ask(name, args, state)
    }

    /// Calls a callback with a request among its arguments; `None` when there is no such function. Also the instructions
    /// that were executed on all paths and do more than choose one: two requests of different clauses differ in them.
    pub fn handles(
        &mut self,
        name: &str,
        args: Vec<SymbolicValue>,
        request: &SymbolicValue,
    ) -> Option<(Verdict, BTreeSet<usize>)> {
        self.follow_all = false;
        self.request = Some(request.clone());
        self.executed = Some(HashSet::new());
        let verdict = self.ask(name, args, request);
        self.request = None;
        let executed = self.executed.take().unwrap_or_default();
        let acts = |at: &usize| {
            let instruction = self.unit.code.get(*at);
            instruction.is_some_and(|instruction| {
                let opcode = instruction.opcode;
                !CHOOSING.contains(&opcode) && !is_test(opcode)
            })
        };
        Some((verdict?, executed.into_iter().filter(acts).collect()))
    }

    /// Executes a function with nothing known of its arguments, for what it sends on the way.
    pub(super) fn record(&mut self, label: u32, arity: u32) {
        self.follow_all = true;
        self.state = SymbolicValue::Unknown;
        (self.steps, self.gave_up) = (0, false);
        self.open.clear();
        if let Some(recording) = &mut self.recording {
            recording.sites.clear();
        }
        self.run(label, vec![SymbolicValue::Unknown; arity as usize], 0);
    }

    /// How many instructions the last question took.
    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    pub(super) fn unit(&self) -> &Rc<Unit> {
        &self.unit
    }

    /// Whether a call is followed for its arguments.
    pub(super) fn follows(&self, args: &[SymbolicValue]) -> bool {
        let is_request = |arg: &SymbolicValue| self.request.as_ref() == Some(arg);
        self.follow_all || args.iter().any(|arg| is_shaped(arg) || is_request(arg))
    }

    fn ask(
        &mut self,
        name: &str,
        args: Vec<SymbolicValue>,
        state: &SymbolicValue,
    ) -> Option<Verdict> {
        let label = self.label(name, u32::try_from(args.len()).ok()?)?;
        self.state = state.clone();
        (self.steps, self.gave_up) = (0, false);
        self.open.clear();
        let outcome = self.run(label, args, 0);
        Some(match self.gave_up {
            true => Verdict {
                returns: true,
                ..Verdict::default()
            },
            false => Verdict {
                returns: !outcome.answers.is_empty(),
                answers: outcome.answers,
                lacks: outcome.lacks,
                misses: outcome.misses,
                whole: true,
            },
        })
    }

    /// Whether a value is the state itself, or a part of it whose shape is known; not a copy.
    pub(super) fn is_state(&self, value: &SymbolicValue) -> bool {
        if is_same(value, &self.state) {
            return true;
        }
        let is_part = |part: &SymbolicValue| match part {
            SymbolicValue::Tuple(..) | SymbolicValue::Map(..) => is_same(value, part),
            _ => false,
        };
        match &self.state {
            SymbolicValue::Tuple(parts, _) => parts.iter().any(is_part),
            SymbolicValue::Map(pairs, ..) => pairs.iter().any(|(_, part)| is_part(part)),
            _ => false,
        }
    }

    pub(super) fn run(&mut self, label: u32, args: Vec<SymbolicValue>, depth: usize) -> Outcome {
        let unit = Rc::clone(&self.unit);
        let entry = unit.labels.get(&label).copied();
        let key = (label, args);
        if let Some(answers) = self.known(label, &key.1) {
            return Outcome {
                answers,
                ..Outcome::default()
            };
        }
        let deepest = match self.recording {
            Some(_) => MAX_RECORDED_DEPTH,
            None => MAX_DEPTH,
        };
        let Some(at) = entry.filter(|_| depth < deepest && !self.open.contains(&key)) else {
            return Outcome::unknown();
        };
        let way = Way {
            path: Path {
                at,
                x: key.1.clone(),
                y: Vec::new(),
            },
            missed: None,
            guards: 0,
        };
        self.open.push(key);
        if let Some(recording) = &mut self.recording {
            let site = recording.site.take();
            recording.sites.push(site);
        }
        let mut outcome = Outcome::default();
        let (mut ways, mut visits) = (vec![way], Visits::new());
        while let Some(way) = ways.pop() {
            if !self.walk(&unit, way, &mut ways, &mut visits, &mut outcome, depth) {
                // What was sent so far was sent; the rest of this way is not known.
                match self.recording.is_some() && self.steps <= MAX_STEPS {
                    true => outcome.answers = vec![SymbolicValue::Unknown],
                    false => self.gave_up = true,
                }
            }
            if self.gave_up {
                break;
            }
        }
        let key = self.open.pop();
        if let Some(recording) = &mut self.recording {
            recording.sites.pop();
        }
        if self.gave_up {
            return Outcome::unknown();
        }
        if let (Some(recording), Some((label, args))) = (&mut self.recording, key) {
            recording.remember(label, args, &outcome.answers);
        }
        outcome
    }

    /// What a function has answered to the same arguments, of a recording; it is entered otherwise.
    fn known(&mut self, label: u32, args: &[SymbolicValue]) -> Option<Vec<SymbolicValue>> {
        let recording = self.recording.as_mut()?;
        recording.entered.insert(label);
        recording.answers(label, args)
    }

    /// One path to its end; `false` where the bounds are reached.
    fn walk(
        &mut self,
        unit: &Rc<Unit>,
        mut way: Way,
        ways: &mut Vec<Way>,
        visits: &mut Visits,
        outcome: &mut Outcome,
        depth: usize,
    ) -> bool {
        loop {
            self.steps += 1;
            let Some(instruction) = unit.code.get(way.path.at) else {
                return false;
            };
            if self.steps > MAX_STEPS {
                return false;
            }
            if instruction.opcode == op::LABEL {
                let known = visits.entry(way.path.at).or_default();
                if known.iter().any(|other| same(other, &way)) {
                    return true;
                }
                if known.len() >= MAX_VISITS {
                    return false;
                }
                known.push(way.clone());
            }
            if let Some(executed) = &mut self.executed {
                executed.insert(way.path.at);
            }
            way.path.at += 1;
            let step = self.step(unit, &mut way, instruction, outcome, depth);
            let to = |label: u32| unit.labels.get(&label).copied();
            match step {
                Step::On => {}
                Step::Jump(label) => match to(label) {
                    Some(at) => way.path.at = at,
                    None => return false,
                },
                Step::Either(label) | Step::Guarded(label) => {
                    let Some(at) = to(label) else { return false };
                    let mut other = way.clone();
                    other.path.at = at;
                    if matches!(step, Step::Guarded(_)) {
                        other.path.x.clear();
                        way.guards += 1;
                    }
                    ways.push(other);
                }
                Step::EitherSet(label, operand, value) => {
                    let Some(at) = to(label) else { return false };
                    let mut other = way.clone();
                    other.path.at = at;
                    ways.push(other);
                    way.path.set(operand, value);
                }
                Step::Ways(labels) => {
                    for (label, set) in labels {
                        let Some(at) = to(label) else { return false };
                        let mut other = way.clone();
                        other.path.at = at;
                        if let Some((operand, value)) = set {
                            other.path.set(operand, value);
                        }
                        ways.push(other);
                    }
                    return true;
                }
                Step::Many(values) => {
                    for value in values {
                        let mut other = way.clone();
                        other.path.answered(value);
                        ways.push(other);
                    }
                    return true;
                }
                Step::Answer(values) => {
                    for value in values {
                        if !outcome.answers.contains(&value) {
                            outcome.answers.push(value);
                        }
                    }
                    if outcome.answers.len() > MAX_ANSWERS {
                        outcome.answers = vec![SymbolicValue::Unknown];
                    }
                    return true;
                }
                Step::Raises => return true,
                Step::GiveUp => return false,
            }
        }
    }

    fn step(
        &mut self,
        unit: &Rc<Unit>,
        way: &mut Way,
        instruction: &BeamInstruction,
        outcome: &mut Outcome,
        depth: usize,
    ) -> Step {
        let operand = |at| instruction.operand(at);
        let path = &mut way.path;
        match instruction.opcode {
            op::LABEL | op::LINE | op::TEST_HEAP | op::EXECUTABLE_LINE | op::DEBUG_LINE => Step::On,
            op::INIT_YREGS => Step::On,
            op::ALLOCATE..=op::ALLOCATE_HEAP_ZERO | op::DEALLOCATE => {
                path.y.clear();
                Step::On
            }
            op::TRIM => {
                let gone = instruction.number(0).map_or(usize::MAX, |n| n as usize);
                path.y.drain(..gone.min(path.y.len()));
                Step::On
            }
            op::RETURN => Step::Answer(vec![path.x(0)]),
            // A process that waits for a message goes on; one that has got it works with its state.
            op::LOOP_REC => {
                if !outcome.answers.contains(&SymbolicValue::Unknown) {
                    outcome.answers.push(SymbolicValue::Unknown);
                }
                path.set(operand(1), SymbolicValue::Unknown);
                Step::On
            }
            op::WAIT | op::WAIT_TIMEOUT => Step::Answer(vec![SymbolicValue::Unknown]),
            op::FUNC_INFO => {
                let arity = instruction.number(2).unwrap_or(0);
                let args = path.args(arity);
                if args.iter().any(|arg| self.is_state(arg)) {
                    note(outcome, way);
                }
                Step::Raises
            }
            op::BADMATCH | op::CASE_END | op::BADRECORD => {
                if self.is_state(&path.value(unit, operand(0))) {
                    note(outcome, way);
                }
                Step::Raises
            }
            op::BADMATCH..=op::CASE_END | op::RAISE | op::TRY_CASE_END | op::RAW_RAISE => {
                Step::Raises
            }
            op::CALL..=op::CALL_ONLY
            | op::CALL_EXT
            | op::CALL_EXT_LAST
            | op::CALL_EXT_ONLY
            | op::CALL_FUN
            | op::CALL_FUN2
            | op::APPLY
            | op::APPLY_LAST => self.called(unit, way, instruction, outcome, depth),
            op::SEND if self.recording.is_some() => {
                let (to, message) = (path.x(0), path.x(1));
                let at = path.at - 1;
                self.message(&to, &message, at);
                way.path.answered(message);
                Step::On
            }
            op::JUMP => label(instruction, 0).map_or(Step::GiveUp, Step::Jump),
            opcode if is_test(opcode) => self.tested(unit, way, instruction, outcome),
            op::SELECT_VAL | op::SELECT_TUPLE_ARITY => {
                self.selected(unit, way, instruction, outcome)
            }
            op::PUT_MAP_EXACT => {
                let source = path.value(unit, operand(1));
                let keys = instruction.list(4).chunks_exact(2);
                let lacking = keys.filter_map(|pair| path.value(unit, pair[0]).term());
                let lacking: Vec<Term> = lacking
                    .filter(|key| matches!(source.get(key), Ok(None)))
                    .collect();
                if let Some(key) = lacking.first() {
                    return self.lacking(way, &source, key, label(instruction, 0), outcome);
                }
                let map = operations::put_map(unit, path, instruction);
                path.set(operand(2), map);
                Step::On
            }
            op::GET_MAP_ELEMENTS => {
                let map = path.value(unit, operand(1));
                let keys = instruction.list(2).chunks_exact(2);
                let keys = keys.filter_map(|pair| path.value(unit, pair[0]).term());
                let lacking = keys
                    .into_iter()
                    .find(|key| matches!(map.get(key), Ok(None)));
                if let (Some(key), Some(label)) = (lacking, label(instruction, 0)) {
                    if self.is_state(&map) {
                        miss(outcome, way, wanted_key(&map, &key));
                    }
                    return Step::Jump(label);
                }
                if self.is_state(&map) {
                    way.missed = None;
                }
                from_next(moved(unit, &mut way.path, instruction))
            }
            op::MOVE
            | op::SWAP
            | op::GET_LIST
            | op::GET_HD
            | op::GET_TL
            | op::GET_TUPLE_ELEMENT
            | op::PUT_LIST
            | op::PUT_TUPLE2
            | op::PUT_MAP_ASSOC
            | op::MAKE_FUN2
            | op::MAKE_FUN3 => from_next(moved(unit, path, instruction)),
            op::CATCH | op::TRY => match operand(1) {
                Operand::Label(label) => Step::Guarded(label),
                _ => Step::GiveUp,
            },
            op::TRY_END | op::CATCH_END => {
                way.guards = way.guards.saturating_sub(1);
                // What was caught is in `x0`, or the value of what was tried.
                if instruction.opcode == op::CATCH_END {
                    path.x.clear();
                }
                Step::On
            }
            op::TRY_CASE => Step::On,
            op::BIF0..=op::BIF2 | op::GC_BIF1 | op::GC_BIF2 | op::GC_BIF3 | op::BIF3 => {
                self.built_in(unit, way, instruction, outcome)
            }
            _ => other(path, instruction),
        }
    }
}

/// Whether anything of its shape is known: only then a call is followed.
fn is_shaped(value: &SymbolicValue) -> bool {
    matches!(
        value,
        SymbolicValue::Map(..) | SymbolicValue::Tuple(..) | SymbolicValue::Typed(_)
    )
}

fn is_test(opcode: u8) -> bool {
    matches!(
        opcode,
        op::IS_LT
            ..=op::TEST_ARITY
                | op::IS_FUNCTION
                | op::IS_BOOLEAN
                | op::IS_FUNCTION2
                | op::IS_BITSTR
                | op::IS_MAP
                | op::HAS_MAP_FIELDS
                | op::IS_TAGGED_TUPLE
    )
}

fn is_same(value: &SymbolicValue, other: &SymbolicValue) -> bool {
    match (value, other) {
        (SymbolicValue::Map(one, ..), SymbolicValue::Map(other, ..)) => Rc::ptr_eq(one, other),
        (SymbolicValue::Tuple(one, _), SymbolicValue::Tuple(other, _)) => Rc::ptr_eq(one, other),
        (SymbolicValue::Typed(one), SymbolicValue::Typed(other)) => one == other,
        _ => false,
    }
}

fn same(one: &Way, other: &Way) -> bool {
    one.guards == other.guards
        && one.missed == other.missed
        && one.path.x == other.path.x
        && one.path.y == other.path.y
}

/// Notes what a state lacks where it raises for that.
pub(super) fn note(outcome: &mut Outcome, way: &Way) {
    if way.guards == 0
        && let Some(wanted) = &way.missed
    {
        outcome.lacks.insert(wanted.clone());
    }
}

pub(super) fn miss(outcome: &mut Outcome, way: &mut Way, wanted: Option<Wanted>) {
    // A test that names nothing (`is_atom` behind the lack of a key) leaves what was missed before.
    if let Some(wanted) = wanted {
        outcome.misses.insert(wanted.clone());
        way.missed = Some(wanted);
    }
}

/// The lack of a key: of something that is no map, a map is wanted.
pub(super) fn wanted_key(map: &SymbolicValue, key: &Term) -> Option<Wanted> {
    match map.is_map() {
        Some(false) => Some(Wanted::Map),
        _ => key.as_atom().cloned().map(Wanted::Key),
    }
}

/// An instruction that is not known here: what it touches is unknown, and it may go where it can.
fn other(path: &mut Path, instruction: &BeamInstruction) -> Step {
    match path.forget(instruction).as_slice() {
        [] => Step::On,
        [label] => Step::Either(*label),
        _ => Step::GiveUp,
    }
}

fn from_next(next: Next) -> Step {
    match next {
        Next::On => Step::On,
        Next::Jump(label) => Step::Jump(label),
        Next::Either(label) => Step::Either(label),
        _ => Step::GiveUp,
    }
}
