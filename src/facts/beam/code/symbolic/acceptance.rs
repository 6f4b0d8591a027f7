//! Whether a function can take an argument of a given shape.
//!
//! Takes the code of one module and runs a function with a *state* of which only the shape is known (a tuple of so many
//! elements, a map with these keys) and with everything else unknown. What decides about an unknown value goes both ways, so a
//! function that returns on no path fails for certain; on a path that raises because of the state it may fail. Where the
//! bounds are reached the state counts as taken: silence is never wrong here.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::machine::{label, moved};
use super::next::Next;
use super::operations;
use super::unit::{Path, Unit};
use super::value::{SymbolicValue, ValueKind};
use crate::facts::beam::instructions::{BeamInstruction, Operand};
use crate::facts::beam::opcode as op;
use crate::name::{FunctionArity, Mfa, Module};
use crate::term::{Atom, Term};

/// Instructions of one question, all paths and calls together.
const MAX_STEPS: usize = 150_000;

/// Calls inside each other.
const MAX_DEPTH: usize = 10;

/// Different registers with which one place of a function is come to.
const MAX_VISITS: usize = 48;

/// Different answers of a function that are told apart.
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
struct Outcome {
    answers: Vec<SymbolicValue>,
    lacks: BTreeSet<Wanted>,
    misses: BTreeSet<Wanted>,
}

impl Outcome {
    fn unknown() -> Self {
        Self {
            answers: vec![SymbolicValue::Unknown],
            ..Self::default()
        }
    }
}

/// One path through a function.
#[derive(Clone)]
struct Way {
    path: Path,
    /// What the state was last found to lack, in this function.
    missed: Option<Wanted>,
    /// Open `try` and `catch`.
    guards: u32,
}

/// What a step leads to.
enum Step {
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
    follow_all: bool,
    steps: usize,
    gave_up: bool,
    open: Vec<(u32, Vec<SymbolicValue>)>,
}

impl Acceptance {
    /// Reads a beam; `None` when its code cannot be read whole.
    pub fn read(module: &Module, beam: &[u8]) -> Option<Self> {
        Some(Self {
            unit: Rc::new(Unit::read(module, beam)?),
            state: SymbolicValue::Unknown,
            follow_all: false,
            steps: 0,
            gave_up: false,
            open: Vec::new(),
        })
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

    /// Whether a value is the state itself, not a part or a copy of it.
    fn is_state(&self, value: &SymbolicValue) -> bool {
        match (value, &self.state) {
            (SymbolicValue::Map(one, ..), SymbolicValue::Map(other, ..)) => Rc::ptr_eq(one, other),
            (SymbolicValue::Tuple(one, _), SymbolicValue::Tuple(other, _)) => {
                Rc::ptr_eq(one, other)
            }
            (SymbolicValue::Typed(one), SymbolicValue::Typed(other)) => one == other,
            _ => false,
        }
    }

    fn run(&mut self, label: u32, args: Vec<SymbolicValue>, depth: usize) -> Outcome {
        let unit = Rc::clone(&self.unit);
        let entry = unit.labels.get(&label).copied();
        let key = (label, args);
        let Some(at) = entry.filter(|_| depth < MAX_DEPTH && !self.open.contains(&key)) else {
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
        let mut outcome = Outcome::default();
        let (mut ways, mut visits) = (vec![way], Visits::new());
        while let Some(way) = ways.pop() {
            if !self.walk(&unit, way, &mut ways, &mut visits, &mut outcome, depth) {
                self.gave_up = true;
            }
            if self.gave_up {
                break;
            }
        }
        self.open.pop();
        match self.gave_up {
            true => Outcome::unknown(),
            false => outcome,
        }
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
            // A process that waits for a message goes on.
            op::LOOP_REC | op::WAIT | op::WAIT_TIMEOUT => {
                Step::Answer(vec![SymbolicValue::Unknown])
            }
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
            op::JUMP => label(instruction, 0).map_or(Step::GiveUp, Step::Jump),
            op::IS_LT..=op::TEST_ARITY
            | op::IS_FUNCTION
            | op::IS_BOOLEAN
            | op::IS_FUNCTION2
            | op::IS_BITSTR
            | op::IS_MAP
            | op::HAS_MAP_FIELDS
            | op::IS_TAGGED_TUPLE => self.tested(unit, way, instruction, outcome),
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
                from_next(moved(unit, path, instruction))
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

    /// A key that a map does not have, or something that should be a map and is none.
    fn lacking(
        &self,
        way: &mut Way,
        map: &SymbolicValue,
        key: &Term,
        fails: Option<u32>,
        outcome: &mut Outcome,
    ) -> Step {
        if self.is_state(map) {
            miss(outcome, way, wanted_key(map, key));
        }
        match fails {
            Some(label) => Step::Jump(label),
            None => {
                if self.is_state(map) {
                    note(outcome, way);
                }
                Step::Raises
            }
        }
    }

    fn tested(
        &self,
        unit: &Unit,
        way: &mut Way,
        instruction: &BeamInstruction,
        outcome: &mut Outcome,
    ) -> Step {
        let Some(fails) = label(instruction, 0) else {
            return Step::GiveUp;
        };
        let (left, right) = (instruction.operand(1), instruction.operand(2));
        let first = way.path.value(unit, left);
        let result = match (&first, way.path.value(unit, right)) {
            (SymbolicValue::Typed(kind), second) => typed(*kind, &second, instruction.opcode),
            (_, SymbolicValue::Typed(_)) if is_comparison(instruction.opcode) => None,
            _ => operations::test(unit, &way.path, instruction),
        };
        if self.is_state(&first) && !is_comparison(instruction.opcode) {
            match result {
                Some(true) => way.missed = None,
                Some(false) => {
                    let wanted = match instruction.opcode {
                        op::IS_TAGGED_TUPLE => {
                            let tag = way.path.value(unit, instruction.operand(3)).as_atom();
                            Some(Wanted::Tuple(tag, instruction.number(2)))
                        }
                        op::TEST_ARITY => Some(Wanted::Tuple(None, instruction.number(2))),
                        op::IS_TUPLE => Some(Wanted::Tuple(None, None)),
                        op::IS_MAP => Some(Wanted::Map),
                        op::HAS_MAP_FIELDS => {
                            let mut keys = instruction.list(2).iter();
                            keys.find_map(|key| {
                                let key = way.path.value(unit, *key).term()?;
                                let lacks = matches!(first.get(&key), Ok(None));
                                lacks.then(|| wanted_key(&first, &key)).flatten()
                            })
                        }
                        _ => None,
                    };
                    miss(outcome, way, wanted);
                }
                None => {}
            }
        }
        match result {
            Some(true) => Step::On,
            Some(false) => Step::Jump(fails),
            None => {
                // From here on it is what it was compared with.
                let second = way.path.value(unit, right);
                if instruction.opcode == op::IS_EQ_EXACT {
                    match (&first, &second) {
                        (SymbolicValue::Unknown, SymbolicValue::Known(_)) => {
                            return Step::EitherSet(fails, left, second);
                        }
                        (SymbolicValue::Known(_), SymbolicValue::Unknown) => {
                            return Step::EitherSet(fails, right, first);
                        }
                        _ => {}
                    }
                }
                Step::Either(fails)
            }
        }
    }

    fn selected(
        &self,
        unit: &Unit,
        way: &mut Way,
        instruction: &BeamInstruction,
        outcome: &mut Outcome,
    ) -> Step {
        let operand = instruction.operand(0);
        let value = way.path.value(unit, operand);
        let Operand::Label(fails) = instruction.operand(1) else {
            return Step::GiveUp;
        };
        match operations::select(unit, &way.path, instruction) {
            Next::Jump(label) => {
                if label == fails
                    && self.is_state(&value)
                    && instruction.opcode == op::SELECT_TUPLE_ARITY
                {
                    miss(outcome, way, Some(Wanted::Tuple(None, None)));
                }
                Step::Jump(label)
            }
            Next::Ways(_) if instruction.opcode == op::SELECT_VAL => {
                let pairs: Vec<&[Operand]> = instruction.list(2).chunks_exact(2).collect();
                let is_unknown = matches!(value, SymbolicValue::Unknown);
                let ways = pairs.iter().filter_map(|pair| match pair[1] {
                    Operand::Label(label) => {
                        let shared = pairs.iter().filter(|other| other[1] == pair[1]).count() > 1;
                        let set = (operand, way.path.value(unit, pair[0]));
                        Some((label, (is_unknown && !shared).then_some(set)))
                    }
                    _ => None,
                });
                Step::Ways(ways.chain([(fails, None)]).collect())
            }
            Next::Ways(labels) => {
                Step::Ways(labels.into_iter().map(|label| (label, None)).collect())
            }
            _ => Step::GiveUp,
        }
    }

    fn built_in(
        &self,
        unit: &Unit,
        way: &mut Way,
        instruction: &BeamInstruction,
        outcome: &mut Outcome,
    ) -> Step {
        let (index, args): (usize, &[usize]) = match instruction.opcode {
            op::BIF1 => (1, &[2]),
            op::BIF2 => (1, &[2, 3]),
            op::GC_BIF1 => (2, &[3]),
            op::GC_BIF2 => (2, &[3, 4]),
            _ => (0, &[]),
        };
        let fails = label(instruction, 0).filter(|_| instruction.opcode != op::BIF0);
        let value = |way: &Way, at: usize| way.path.value(unit, instruction.operand(args[at]));
        let function = unit.import(instruction.number(index));
        let name = function.map_or("", |f| &*f.function);
        let mut answer = None;
        match (name, args.len()) {
            ("map_get" | "is_map_key", 2) => {
                let (key, map) = (value(way, 0), value(way, 1));
                let found = key.term().map(|key| (map.get(&key), key));
                match (found, map.is_map(), name) {
                    (Some((Ok(None), key)), Some(_), "map_get") => {
                        return self.lacking(way, &map, &key, fails, outcome);
                    }
                    (Some((Ok(found), _)), Some(true), "is_map_key") => {
                        let found = if found.is_some() { "true" } else { "false" };
                        answer = Some(SymbolicValue::atom(found));
                    }
                    (_, Some(false), "is_map_key") => {
                        return fails.map_or(Step::Raises, Step::Jump);
                    }
                    (Some((Ok(Some(found)), _)), ..) => answer = Some(found),
                    _ => {}
                }
            }
            ("element", 2) => {
                let (at, tuple) = (value(way, 0).term(), value(way, 1));
                let at = at.and_then(|at| at.as_i64());
                let size = tuple.tuple().map(|parts| parts.len());
                let is_other = !matches!(tuple, SymbolicValue::Unknown) && size.is_none();
                let beyond = matches!((at, size), (Some(at), Some(size))
                    if at < 1 || usize::try_from(at).is_ok_and(|at| at > size));
                if is_other || beyond {
                    if self.is_state(&tuple) {
                        let size = at.and_then(|at| u32::try_from(at).ok());
                        miss(outcome, way, Some(Wanted::Tuple(None, size)));
                        if fails.is_none() {
                            note(outcome, way);
                        }
                    }
                    return fails.map_or(Step::Raises, Step::Jump);
                }
                answer = operations::bif(unit, &way.path, instruction);
            }
            ("tuple_size" | "map_size", 1) => {
                let whole = value(way, 0);
                let size = match (name, &whole) {
                    ("map_size", SymbolicValue::Map(pairs, true, _)) => Some(pairs.len()),
                    ("tuple_size", _) => whole.tuple().map(|parts| parts.len()),
                    _ => None,
                };
                let size = size.and_then(|size| i64::try_from(size).ok());
                answer = size.map(|size| SymbolicValue::Known(Rc::new(Term::Int(size))));
            }
            _ => answer = operations::bif(unit, &way.path, instruction),
        }
        if let Some(to) = instruction.operands.last() {
            let answer = answer.clone().unwrap_or(SymbolicValue::Unknown);
            way.path.set(*to, answer);
        }
        match (answer, fails) {
            (None, Some(label)) => Step::Either(label),
            _ => Step::On,
        }
    }

    fn called(
        &mut self,
        unit: &Rc<Unit>,
        way: &mut Way,
        instruction: &BeamInstruction,
        outcome: &mut Outcome,
        depth: usize,
    ) -> Step {
        let inner = match instruction.opcode {
            op::CALL | op::CALL_LAST | op::CALL_ONLY => {
                let (Some(arity), Operand::Label(label)) =
                    (instruction.number(0), instruction.operand(1))
                else {
                    return Step::GiveUp;
                };
                let args = way.path.args(arity);
                if !self.follow_all && !args.iter().any(is_shaped) {
                    Outcome::unknown()
                } else if instruction.opcode == op::CALL {
                    self.run(label, args, depth + 1)
                } else {
                    way.path.x = args;
                    way.path.y.clear();
                    way.missed = None;
                    return Step::Jump(label);
                }
            }
            op::CALL_EXT | op::CALL_EXT_LAST | op::CALL_EXT_ONLY => {
                let Some(to) = unit.import(instruction.number(1)).cloned() else {
                    return Step::GiveUp;
                };
                let args = way.path.args(to.arity);
                match self.remote(unit, way, &to, &args, outcome) {
                    Some(answers) => Outcome {
                        answers,
                        ..Outcome::default()
                    },
                    None => return Step::Raises,
                }
            }
            op::CALL_FUN | op::CALL_FUN2 => {
                let at = usize::from(instruction.opcode == op::CALL_FUN2);
                let Some(arity) = instruction.number(at) else {
                    return Step::GiveUp;
                };
                let fun = match instruction.opcode {
                    op::CALL_FUN => way.path.x(arity as usize),
                    _ => way.path.value(unit, instruction.operand(2)),
                };
                let args = way.path.args(arity);
                match fun {
                    SymbolicValue::Fun(_, label, free, _) => {
                        let args = args.into_iter().chain(free.iter().cloned()).collect();
                        self.run(label, args, depth + 1)
                    }
                    _ => Outcome::unknown(),
                }
            }
            _ => Outcome::unknown(),
        };
        if way.guards == 0 {
            outcome.lacks.extend(inner.lacks);
            outcome.misses.extend(inner.misses);
        }
        let last = matches!(
            instruction.opcode,
            op::CALL_LAST | op::CALL_ONLY | op::CALL_EXT_LAST | op::CALL_EXT_ONLY | op::APPLY_LAST
        );
        match (inner.answers.len(), last) {
            (0, _) => Step::Raises,
            (_, true) => Step::Answer(inner.answers),
            _ => Step::Many(inner.answers),
        }
    }

    /// What a function of another module answers; `None` when it raises for certain.
    fn remote(
        &self,
        unit: &Unit,
        way: &mut Way,
        to: &Mfa,
        args: &[SymbolicValue],
        outcome: &mut Outcome,
    ) -> Option<Vec<SymbolicValue>> {
        let unknown = Some(vec![SymbolicValue::Unknown]);
        match (to.module.as_str(), &*to.function, args) {
            ("erlang", "error", [reason, ..]) => {
                // {badkey, Key, Map}, {badmap, Term}, {badrecord, Term}, {badmatch, Term}
                let parts = reason.tuple().unwrap_or_default();
                if parts.iter().any(|part| self.is_state(part)) {
                    note(outcome, way);
                }
                None
            }
            ("erlang", "raise" | "nif_error", _) => None,
            // A callback may return by a throw, and an exit is meant.
            ("erlang", "throw" | "exit", _) => unknown,
            ("maps", "get", [key, map])
            | ("maps", "update", [key, _, map])
            | ("Elixir.Map", "fetch!", [map, key])
            | ("Elixir.Map", "update!" | "replace!", [map, key, _]) => {
                match key.term().map(|key| (map.get(&key), key)) {
                    Some((Ok(None), key)) if map.is_map().is_some() => {
                        self.lacking(way, map, &key, None, outcome);
                        None
                    }
                    Some((Ok(Some(value)), _)) if &*to.function == "get" => Some(vec![value]),
                    _ => unknown,
                }
            }
            ("maps", "is_key", [key, map]) | ("Elixir.Map", "has_key?", [map, key]) => {
                let found = key.term().map(|key| map.get(&key));
                match (found, map.is_map()) {
                    (_, Some(false)) => None,
                    (Some(Ok(found)), Some(true)) => {
                        let found = if found.is_some() { "true" } else { "false" };
                        Some(vec![SymbolicValue::atom(found)])
                    }
                    _ => unknown,
                }
            }
            ("maps", "put", [key, value, map]) | ("Elixir.Map", "put", [map, key, value]) => {
                match (key.term(), map.is_map()) {
                    (_, Some(false)) => None,
                    (Some(key), Some(true)) => Some(vec![map.with(vec![(key, value.clone())])]),
                    _ => unknown,
                }
            }
            ("maps" | "Elixir.Map", "merge", [one, other]) => match (one, pairs(other)) {
                (SymbolicValue::Map(..) | SymbolicValue::Known(_), Some(pairs))
                    if one.is_map() == Some(true) =>
                {
                    Some(vec![one.with(pairs)])
                }
                _ => unknown,
            },
            ("erlang", "setelement", [at, tuple, value]) => {
                let at = at.term().and_then(|at| at.as_i64());
                match (at, tuple.tuple()) {
                    (Some(at), Some(mut parts)) => {
                        let place = usize::try_from(at - 1).ok();
                        match place.and_then(|place| parts.get_mut(place)) {
                            Some(part) => {
                                *part = value.clone();
                                Some(vec![SymbolicValue::tuple_of(parts)])
                            }
                            None => {
                                if self.is_state(tuple) {
                                    let size = u32::try_from(at).ok();
                                    miss(outcome, way, Some(Wanted::Tuple(None, size)));
                                    note(outcome, way);
                                }
                                None
                            }
                        }
                    }
                    _ => unknown,
                }
            }
            // The defaults of a struct of this module.
            (module, "__struct__", []) if module == unit.module.as_str() => unknown,
            _ => unknown,
        }
    }
}

/// The pairs of a map, when these are all.
fn pairs(map: &SymbolicValue) -> Option<Vec<(Term, SymbolicValue)>> {
    match map {
        SymbolicValue::Map(pairs, true, _) => Some(pairs.to_vec()),
        SymbolicValue::Known(term) => {
            let known = |value: &Term| SymbolicValue::Known(Rc::new(value.clone()));
            let pairs = term.as_map()?.iter();
            Some(pairs.map(|(k, v)| (k.clone(), known(v))).collect())
        }
        _ => None,
    }
}

/// Whether anything of its shape is known: only then a call is followed.
fn is_shaped(value: &SymbolicValue) -> bool {
    matches!(
        value,
        SymbolicValue::Map(..) | SymbolicValue::Tuple(..) | SymbolicValue::Typed(_)
    )
}

fn same(one: &Way, other: &Way) -> bool {
    one.guards == other.guards
        && one.missed == other.missed
        && one.path.x == other.path.x
        && one.path.y == other.path.y
}

/// Notes what a state lacks where it raises for that.
fn note(outcome: &mut Outcome, way: &Way) {
    if way.guards == 0
        && let Some(wanted) = &way.missed
    {
        outcome.lacks.insert(wanted.clone());
    }
}

fn miss(outcome: &mut Outcome, way: &mut Way, wanted: Option<Wanted>) {
    if let Some(wanted) = &wanted {
        outcome.misses.insert(wanted.clone());
    }
    way.missed = wanted;
}

/// The lack of a key: of something that is no map, a map is wanted.
fn wanted_key(map: &SymbolicValue, key: &Term) -> Option<Wanted> {
    match map.is_map() {
        Some(false) => Some(Wanted::Map),
        _ => key.as_atom().cloned().map(Wanted::Key),
    }
}

fn is_comparison(opcode: u8) -> bool {
    matches!(opcode, op::IS_LT..=op::IS_NE_EXACT)
}

/// What a test says of a value of which only the kind is known.
fn typed(kind: ValueKind, second: &SymbolicValue, opcode: u8) -> Option<bool> {
    match opcode {
        op::IS_EQ_EXACT | op::IS_NE_EXACT => {
            let differs = match second {
                SymbolicValue::Known(term) => match kind {
                    ValueKind::Atom => term.as_atom().is_none(),
                    _ => term.as_atom().is_some(),
                },
                SymbolicValue::Map(..) | SymbolicValue::Tuple(..) => true,
                _ => false,
            };
            differs.then_some(opcode == op::IS_NE_EXACT)
        }
        op::IS_TUPLE | op::TEST_ARITY | op::IS_TAGGED_TUPLE | op::IS_MAP | op::HAS_MAP_FIELDS => {
            Some(false)
        }
        op::IS_ATOM => Some(kind == ValueKind::Atom),
        op::IS_LIST => Some(kind == ValueKind::List),
        op::IS_NIL | op::IS_NONEMPTY_LIST if kind != ValueKind::List => Some(false),
        _ => None,
    }
}

/// An instruction that is not known here: what it touches is unknown, and it may go where it can.
fn other(path: &mut Path, instruction: &BeamInstruction) -> Step {
    let labels = instruction.all().filter_map(|operand| match operand {
        Operand::Label(label) if label != 0 => Some(label),
        _ => None,
    });
    let labels: Vec<u32> = labels.collect();
    for operand in instruction.all() {
        path.set(operand, SymbolicValue::Unknown);
    }
    match labels.as_slice() {
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
