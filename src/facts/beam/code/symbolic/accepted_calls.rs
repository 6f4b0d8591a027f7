//! Calls with a state of which only the shape is known: into the module, and of the functions that take maps and
//! tuples apart.

use std::rc::Rc;

use super::acceptance::{Acceptance, Outcome, Step, Wanted, Way, miss, note};
use super::unit::Unit;
use super::value::SymbolicValue;
use crate::facts::beam::instructions::{BeamInstruction, Operand};
use crate::facts::beam::opcode as op;
use crate::name::Mfa;
use crate::term::Term;

impl Acceptance {
    pub(super) fn called(
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
                if let Some(recording) = &mut self.recording {
                    recording.site = Some(way.path.at - 1);
                }
                if !self.follows(&args) {
                    Outcome::unknown()
                } else if instruction.opcode == op::CALL || self.recording.is_some() {
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
                if self.recording.is_some() {
                    let at = way.path.at - 1;
                    if let Some(answers) = self.observed(&to, &args, at, depth) {
                        return after(answers, instruction);
                    }
                }
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
        after(inner.answers, instruction)
    }

    /// What a function of another module answers; `None` when it raises for certain.
    pub(super) fn remote(
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
            // What `map.field` comes to without the field; it raises what this answers.
            ("elixir_erl_pass", "no_parens_remote", [map, key])
                if map.is_map() == Some(true) || map.tuple().is_some() =>
            {
                match key.term() {
                    Some(key) if matches!(map.get(&key), Ok(None)) => {
                        self.lacking(way, map, &key, None, outcome);
                        None
                    }
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

/// What follows a call.
fn after(answers: Vec<SymbolicValue>, instruction: &BeamInstruction) -> Step {
    let last = matches!(
        instruction.opcode,
        op::CALL_LAST | op::CALL_ONLY | op::CALL_EXT_LAST | op::CALL_EXT_ONLY | op::APPLY_LAST
    );
    match (answers.len(), last) {
        (0, _) => Step::Raises,
        (_, true) => Step::Answer(answers),
        _ => Step::Many(answers),
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
