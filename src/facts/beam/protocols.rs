//! Elixir protocols, consolidated and not.
//!
//! A release keeps each protocol twice: as compiled, in the application's ebin, looking implementations up at every
//! call; and consolidated, knowing all of them. Taking the first for the second breaks dispatch for whatever was
//! implemented elsewhere. This file distinguishes the two by the bytes of a beam alone.

use std::collections::BTreeMap;

use super::beam_facts::BeamFacts;
use super::chunk::{Atoms, Chunks, unpacked};
use super::instructions::{BeamInstruction, Operand, ReadStep, Walk};
use super::opcode as op;
use crate::name::Module;
use crate::term::Term;

/// Whether a module is a protocol: `__protocol__/1` is exported, and the attribute of that name is there.
pub fn is_protocol(facts: &BeamFacts) -> bool {
    facts.exports("__protocol__", 1) && facts.attributes.iter().any(|(k, _)| k == "__protocol__")
}

/// The protocol that a module implements, by its `__impl__` attribute.
pub fn implements(facts: &BeamFacts) -> Option<Module> {
    let (_, value) = facts
        .attributes
        .iter()
        .find(|(key, value)| key == "__impl__" && is_pair(value, "protocol"))?;
    match value.as_tuple()? {
        [_, Term::Atom(protocol)] => Some(Module::new(protocol.as_str())),
        _ => None,
    }
}

fn is_pair(value: &Term, key: &str) -> bool {
    matches!(value.as_tuple(), Some([first, _]) if first.is_atom(key))
}

/// What `P.__protocol__(:consolidated?)` would answer; `None` when the beam is no protocol or is written in a way
/// that this reader does not know.
pub fn is_consolidated(bytes: &[u8]) -> Option<bool> {
    let plain = unpacked(bytes).ok()?;
    let chunks = Chunks::parse(&plain).ok()?;
    let atoms = Atoms::read(&chunks).ok()?;
    let mut walk = Walk::new(chunks.get(b"Code")?)?;
    let mut instruction = BeamInstruction::default();
    let text = |operand: Operand| match operand {
        Operand::Atom(index) => atoms.text(index),
        _ => None,
    };
    let mut inside = false;
    let mut wanted = None;
    let mut label = None;
    let mut answers: BTreeMap<u32, bool> = BTreeMap::new();
    while walk.step(&mut instruction) == ReadStep::Instruction {
        match instruction.opcode {
            op::FUNC_INFO if inside => break,
            op::FUNC_INFO => {
                inside = text(instruction.operand(1)) == Some("__protocol__")
                    && instruction.number(2) == Some(1);
            }
            op::LABEL => label = instruction.number(0),
            op::SELECT_VAL if inside => {
                let branches = instruction.list(2).as_chunks::<2>().0;
                for [value, target] in branches {
                    if let (Some("consolidated?"), Operand::Label(at)) = (text(*value), *target) {
                        wanted = Some(at);
                    }
                }
            }
            op::MOVE if inside => {
                let answer = text(instruction.operand(0)).and_then(|atom| atom.parse().ok());
                if let (Some(label), Some(answer)) = (label, answer) {
                    answers.entry(label).or_insert(answer);
                }
            }
            _ => {}
        }
    }
    answers.get(&wanted?).copied()
}
