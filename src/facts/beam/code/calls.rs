//! What a call shows: the processes it reaches by name, starts, registers, or sends to.
//!
//! The second half of the reader: it is handed calls and built tuples, looks at the registers, and notes what follows.

use std::sync::Arc;

use crate::facts::beam::instructions::{BeamInstruction, Operand};
use crate::facts::beam::known_calls::{ModuleArgument, NameForm};
use crate::facts::beam::opcode as op;
use crate::facts::beam::registers::{ListTail, RegisterValue};
use crate::name::Module;
use crate::term::Atom;

use super::reader::CodeReader;
use super::{CallSite, DynamicCall, Evidence, MAX_ENTRIES};

impl CodeReader<'_> {
    pub(super) fn external_call(&mut self, instruction: &BeamInstruction) {
        let Some(index) = instruction.number(1).map(|index| index as usize) else {
            return;
        };
        let (Some(to), Some(meaning)) = (
            self.imports.get(index).cloned(),
            self.meanings.get(index).copied(),
        ) else {
            return;
        };
        if self.facts.call_sites.len() < MAX_ENTRIES {
            self.facts.call_sites.push(CallSite {
                from: self.here(),
                to,
            });
        } else {
            self.full = true;
        }
        if meaning.waits && instruction.opcode == op::CALL_EXT {
            let here = self.here();
            let known = self.facts.waits.last();
            if !known.is_some_and(|one| one.name == here.name && one.arity == here.arity)
                && self.facts.waits.len() < MAX_ENTRIES
            {
                self.facts.waits.push(here);
            }
        }
        if let Some(argument) = meaning.module {
            self.module_argument(argument);
        }
        if let Some(position) = meaning.sends {
            let to = self.registers.x(position).clone();
            self.send(&to);
        }
        if let Some((position, form)) = meaning.registers {
            let name = self.registered(&self.registers.x(position).clone(), form);
            self.facts.registers.extend(name);
        }
    }

    /// A call that takes a module as an argument.
    fn module_argument(&mut self, argument: ModuleArgument) {
        let (position, arity) = match argument {
            ModuleArgument::Callback(position) => {
                if let Some(module) = self.atom(self.registers.x(position)) {
                    self.hide(
                        Some(self.here()),
                        Module::from(module),
                        None,
                        Evidence::StartCall,
                    );
                }
                return;
            }
            ModuleArgument::MfaEither => {
                let at_zero = [0, 1]
                    .iter()
                    .all(|at| self.atom(self.registers.x(*at)).is_some());
                let position = usize::from(!at_zero);
                (position, self.length(self.registers.x(position + 2)))
            }
            ModuleArgument::Mfa(position) => {
                (position, self.length(self.registers.x(position + 2)))
            }
            ModuleArgument::Mfarity(position) => match self.registers.x(position + 2) {
                RegisterValue::Integer(arity) => (position, u32::try_from(*arity).ok()),
                _ => (position, None),
            },
        };
        self.called(position, arity);
    }

    /// Module and function of a call are in X registers `position` and `position + 1`.
    fn called(&mut self, position: usize, arity: Option<u32>) {
        let function = self
            .atom(self.registers.x(position + 1))
            .map(|function| (function, arity));
        match self.registers.x(position) {
            RegisterValue::Atom(module) => {
                let Some(module) = self.atoms.get(*module).cloned() else {
                    return;
                };
                self.hide(
                    Some(self.here()),
                    Module::from(module),
                    function,
                    Evidence::StartCall,
                );
            }
            RegisterValue::Unknown if self.facts.dynamic_calls.len() < MAX_ENTRIES => {
                let from = self.here();
                self.facts.dynamic_calls.push(DynamicCall {
                    from,
                    function,
                    or_field: false,
                });
            }
            RegisterValue::Unknown => self.full = true,
            _ => {}
        }
    }

    /// `Mod:Fun(Args)`: module and function follow the arguments.
    pub(super) fn apply(&mut self, instruction: &BeamInstruction) {
        let Some(arity) = instruction.number(0).filter(|arity| *arity <= 255) else {
            return;
        };
        let known = self.facts.dynamic_calls.len();
        self.called(arity as usize, Some(arity));
        if let (0, RegisterValue::Atom(function)) = (arity, self.registers.x(1))
            && self.facts.dynamic_calls.len() > known
        {
            self.fields.call(*function, known);
        }
    }

    pub(super) fn send(&mut self, to: &RegisterValue) {
        let name = match to {
            RegisterValue::Atom(_) => self.atom(to),
            // `{Name, Node}`
            RegisterValue::Tuple(elements, _) if elements.len() == 2 => self.atom(&elements[0]),
            RegisterValue::Literal(literal) => self
                .literals
                .get(*literal as usize)
                .and_then(|literal| literal.tuple.as_ref())
                .map(|(name, _)| Arc::from(name.as_str())),
            _ => None,
        };
        let Some(name) = name.filter(|name| !matches!(&**name, "global" | "via")) else {
            return;
        };
        if self.facts.sends_to.len() < MAX_ENTRIES {
            let from = self.here();
            self.facts.sends_to.push((Atom::from(name), from));
        } else {
            self.full = true;
        }
    }

    fn registered(&self, value: &RegisterValue, form: NameForm) -> Option<Atom> {
        let pair = |key: &str, value: &RegisterValue| -> Option<Atom> {
            match value {
                RegisterValue::Tuple(elements, _)
                    if elements.len() == 2 && *self.atom(&elements[0])? == *key =>
                {
                    self.atom(&elements[1]).map(Atom::from)
                }
                RegisterValue::Literal(index) => match &self.literals.get(*index as usize)?.tuple {
                    Some((first, Some(second))) if first == key => Some(second.clone()),
                    _ => None,
                },
                _ => None,
            }
        };
        let name = match form {
            NameForm::Plain => self.atom(value).map(Atom::from),
            NameForm::Local => pair("local", value),
            NameForm::Keyword => match value {
                RegisterValue::Literal(index) => {
                    self.literals.get(*index as usize)?.keyword_name.clone()
                }
                RegisterValue::List(cells, tail, _) => cells
                    .iter()
                    .find_map(|cell| pair("name", cell))
                    .or_else(|| {
                        let ListTail::Literal(index) = tail else {
                            return None;
                        };
                        self.literals.get(*index as usize)?.keyword_name.clone()
                    }),
                _ => None,
            },
        };
        name.filter(|name| name != "nil" && name != "undefined")
    }

    /// A tuple `{m, f, Args}` whose module and function are constants.
    pub(super) fn built_tuple(&mut self, elements: &[Operand]) {
        let [module, function, last] = elements else {
            return;
        };
        let (module, function) = (
            self.registers.value(*module),
            self.registers.value(*function),
        );
        let (Some(module), Some(function)) = (self.atom(&module), self.atom(&function)) else {
            return;
        };
        let arity = match self.registers.value(*last) {
            RegisterValue::Integer(arity) => {
                u32::try_from(arity).ok().filter(|arity| *arity <= 255)
            }
            list => self.length(&list),
        };
        // Without a list or an arity it is more likely `{reply, ok, State}` than a function.
        if arity.is_none() {
            return;
        }
        self.hide(
            Some(self.here()),
            Module::from(module),
            Some((function, arity)),
            Evidence::MfaLiteral,
        );
    }

    fn atom(&self, value: &RegisterValue) -> Option<Arc<str>> {
        match value {
            RegisterValue::Atom(index) => self.atoms.get(*index).cloned(),
            _ => None,
        }
    }

    /// The length of a list.
    fn length(&self, value: &RegisterValue) -> Option<u32> {
        let literal = |index: &u32| self.literals.get(*index as usize)?.length;
        match value {
            RegisterValue::Nil => Some(0),
            RegisterValue::Literal(index) => literal(index),
            RegisterValue::List(cells, ListTail::Nil, _) => u32::try_from(cells.len()).ok(),
            RegisterValue::List(cells, ListTail::Literal(index), _) => {
                literal(index)?.checked_add(u32::try_from(cells.len()).ok()?)
            }
            _ => None,
        }
    }
}
