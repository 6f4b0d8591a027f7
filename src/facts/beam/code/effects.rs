//! What a function may do to the world: compute, read, or act, and where.
//!
//! Takes beams and follows, from one function on, local calls, funs that are made, and calls between the given modules;
//! every other call is looked up in a table of OTP's and Elixir's interfaces (`known.rs`). The answer is an upper
//! bound: what is on no path that really runs counts as well, and a `fun m:f/1` as a call. What cannot be followed (a fun
//! that is handed in, also to a library function that calls it, a module that is not given) is [`Doing::Unknown`],
//! never taken for harmless. Elixir's `map.field` is a field, although the code of it can call a module as well.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use crate::facts::beam::beam_facts::imports;
use crate::facts::beam::chunk::{Atoms, Chunks, LineTable, Literals, unpacked};
use crate::facts::beam::cursor::ByteCursor;
use crate::facts::beam::instructions::{BeamInstruction, Operand, ReadStep, Walk};
use crate::facts::beam::literal::summary;
use crate::facts::beam::opcode as op;
use crate::facts::beam::registers::{RegisterValue, Registers};
use crate::name::{FunctionArity, Mfa, Module};

pub use super::doing::Doing;
use super::fields::Fields;
use super::fun_callers::calls_a_fun;
use super::known::known;
use super::{Evidence, Function};

/// One thing that is done, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EffectSite {
    /// The module.
    pub module: Module,
    /// The function and line.
    pub function: Function,
    /// What: `ets:insert/2`, `sends a message`.
    pub what: String,
    /// How much that is.
    pub doing: Doing,
}

impl fmt::Display for EffectSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Function { name, arity, line } = &self.function;
        write!(f, "{} in {}:{name}/{arity}", self.what, self.module)?;
        match line {
            Some(line) => write!(f, ", line {line}"),
            None => Ok(()),
        }
    }
}

/// What a function does, with everything that it reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effects {
    /// All of it in one word.
    pub doing: Doing,
    /// What is more than computing; each once, in the order of modules and functions.
    pub places: Vec<EffectSite>,
    /// Where a module of the given ones is named as data: `fun m:f/1`. A copy of this code under another name calls
    /// the module of that name all the same.
    pub by_name: Vec<EffectSite>,
}

impl Effects {
    /// The places that act.
    pub fn acting(&self) -> impl Iterator<Item = &EffectSite> {
        self.places.iter().filter(|p| p.doing == Doing::Acts)
    }
}

/// What one function of a module does by itself, and what it leads to.
#[derive(Debug, Default)]
struct Body {
    does: Vec<(Option<u32>, String, Doing)>,
    /// Functions of the module, by entry label.
    local: BTreeSet<u32>,
    remote: Vec<(Option<u32>, Mfa)>,
    /// `fun m:f/1` as a constant.
    named: Vec<(Option<u32>, Mfa)>,
}

/// The functions of one module, as far as they could be read. Reading them walks over the whole code of a beam, so a
/// beam that is asked about more than once keeps them.
#[derive(Debug, Default)]
pub struct Bodies {
    by_label: HashMap<u32, (String, u32)>,
    bodies: HashMap<(String, u32), Body>,
    whole: bool,
}

impl Bodies {
    /// Reads a beam; one that is damaged is known in part.
    pub fn read(beam: &[u8]) -> Self {
        let mut found = Self::default();
        if let Some(whole) = found.fill(beam) {
            found.whole = whole;
        }
        found
    }

    fn fill(&mut self, beam: &[u8]) -> Option<bool> {
        let plain = unpacked(beam).ok()?;
        let chunks = Chunks::parse(&plain).ok()?;
        let atoms = Atoms::read(&chunks).ok()?;
        let imports = imports(&chunks, &atoms).ok()?;
        let (funs, lines) = (funs(chunks.get(b"FunT")), LineTable::read(&chunks));
        let constants = constant_funs(&chunks)?;
        let mut walk = Walk::new(chunks.get(b"Code")?)?;
        let mut registers = Registers::default();
        let mut instruction = BeamInstruction::default();
        let (mut here, mut line, mut entered) = (None, None, false);
        let mut myself = false;
        // Calls that may be a field of a map: where each is noted.
        let (mut fields, mut fieldlike) = (Fields::default(), Vec::new());
        let whole = loop {
            match walk.step(&mut instruction) {
                ReadStep::Instruction => {}
                ReadStep::End => break true,
                ReadStep::Unknown => break false,
            }
            match instruction.opcode {
                op::FUNC_INFO => {
                    here = match (instruction.operand(1), instruction.number(2)) {
                        (Operand::Atom(name), Some(arity)) => {
                            atoms.text(name).map(|name| (name.to_owned(), arity))
                        }
                        _ => None,
                    };
                    entered = false;
                }
                op::LABEL if !entered => {
                    if let (Some(function), Some(label)) = (&here, instruction.number(0)) {
                        self.by_label.insert(label, function.clone());
                        self.bodies.entry(function.clone()).or_default();
                        entered = true;
                    }
                }
                op::LINE => {
                    let index = instruction.number(0);
                    line = index.and_then(|index| lines.get(index as usize)).or(line);
                }
                _ => {}
            }
            let is = |name: &str, index: Option<u32>| {
                let import = index.and_then(|index| imports.get(index as usize));
                import.is_some_and(|f| f.module.as_str() == "erlang" && &*f.function == name)
            };
            // Whether `x0` holds `self()`: `exit(self(), Reason)` reaches no other process.
            let (opcode, to) = (instruction.opcode, instruction.operands.last().copied());
            let was_myself = myself;
            myself = match opcode {
                op::BIF0 if to == Some(Operand::X(0)) => is("self", instruction.number(0)),
                op::MOVE if to == Some(Operand::X(0)) => false,
                op::MOVE | op::LINE | op::ALLOCATE | op::DEALLOCATE | op::TEST_HEAP => myself,
                _ => false,
            };
            // What registers hold before the instruction.
            let is_fun = |value: &RegisterValue| match value {
                RegisterValue::Fun => true,
                RegisterValue::Literal(index) => constants
                    .get(*index as usize)
                    .is_some_and(|literal| literal.is_fun),
                _ => false,
            };
            let given = |arity: u32| (0..arity).map(|x| registers.x(x as usize));
            let calls_known_fun = match instruction.opcode {
                op::CALL_FUN => {
                    let at = instruction.number(0).unwrap_or(u32::MAX);
                    is_fun(registers.x(at as usize))
                }
                op::CALL_FUN2 => is_fun(&registers.value(instruction.operand(2))),
                _ => false,
            };
            let hands_on = |to: &Mfa| {
                // Elixir's sorting takes an atom as well.
                let sorts = |value: &RegisterValue| {
                    &*to.function == "sort" && matches!(value, RegisterValue::Atom(_))
                };
                calls_a_fun(to.module.as_str(), &to.function, to.arity)
                    && !given(to.arity.min(255)).any(|value| is_fun(value) || sorts(value))
            };
            let handed_on = match instruction.opcode {
                op::CALL_EXT | op::CALL_EXT_LAST | op::CALL_EXT_ONLY => {
                    let to = instruction.number(1);
                    let to = to.and_then(|index| imports.get(index as usize));
                    to.filter(|to| hands_on(to))
                }
                _ => None,
            };
            if matches!(instruction.opcode, op::APPLY | op::APPLY_LAST)
                && instruction.number(0) == Some(0)
                && let (Some(function), RegisterValue::Atom(name)) = (&here, registers.x(1))
                && let Some(body) = self.bodies.get(function)
            {
                fields.call(*name, fieldlike.len());
                fieldlike.push((function.clone(), body.does.len()));
            }
            fields.step(&instruction, &atoms);
            registers.step(&instruction);
            let Some(body) = here.as_ref().and_then(|f| self.bodies.get_mut(f)) else {
                continue;
            };
            for operand in instruction.all() {
                if let Operand::Literal(index) = operand
                    && let Some(literal) = constants.get(index as usize)
                {
                    let funs = literal.funs.iter().map(|to| (line, to.clone()));
                    body.named.extend(funs);
                }
            }
            let mut does = |what: &str, doing| body.does.push((line, what.to_owned(), doing));
            match instruction.opcode {
                op::CALL..=op::CALL_ONLY => {
                    if let Operand::Label(label) = instruction.operand(1) {
                        body.local.insert(label);
                    }
                }
                op::CALL_EXT | op::CALL_EXT_LAST | op::CALL_EXT_ONLY => {
                    let to = instruction.number(1);
                    if was_myself && is("exit", to) {
                        continue;
                    }
                    if let Some(to) = handed_on {
                        let what = format!("calls a fun that it is given, by {to}");
                        body.does.push((line, what, Doing::Unknown));
                    }
                    if let Some(to) = to.and_then(|index| imports.get(index as usize)) {
                        body.remote.push((line, to.clone()));
                    }
                }
                op::BIF0
                | op::BIF1
                | op::BIF2
                | op::BIF3
                | op::GC_BIF1
                | op::GC_BIF2
                | op::GC_BIF3 => {
                    let at = match instruction.opcode {
                        op::BIF0 => 0,
                        op::BIF1 | op::BIF2 | op::BIF3 => 1,
                        _ => 2,
                    };
                    let to = instruction.number(at);
                    if let Some(to) = to.and_then(|index| imports.get(index as usize)) {
                        let doing = known(to.module.as_str(), &to.function, to.arity);
                        if doing != Doing::Pure {
                            body.does.push((line, to.to_string(), doing));
                        }
                    }
                }
                op::MAKE_FUN2 | op::MAKE_FUN3 => {
                    let made = instruction.number(0);
                    match made.and_then(|index| funs.get(index as usize)) {
                        Some(label) => {
                            body.local.insert(*label);
                        }
                        None => does("makes a fun that is not known", Doing::Unknown),
                    }
                }
                op::SEND => does("sends a message", Doing::Acts),
                op::REMOVE_MESSAGE => does("receives a message", Doing::Acts),
                op::CALL_FUN | op::CALL_FUN2 if calls_known_fun => {}
                op::CALL_FUN | op::CALL_FUN2 => does("calls a fun", Doing::Unknown),
                op::APPLY | op::APPLY_LAST => {
                    does("calls a function of a module in a variable", Doing::Unknown);
                }
                _ => {}
            }
        };
        // From the back, so that the places of the others stay what they are.
        for number in fields.finish().0.into_iter().rev() {
            let (function, at) = &fieldlike[number];
            if let Some(body) = self.bodies.get_mut(function) {
                body.does.remove(*at);
            }
        }
        Some(whole)
    }
}

/// The functions of a module that lead to its calls of `sys:handle_system_msg`, by local calls and funs that they make:
/// a special process that is waiting or working is in one of them. Empty for a module that calls it nowhere.
pub fn loops(bodies: &Bodies) -> Vec<FunctionArity> {
    let handles = |to: &Mfa| to.module.as_str() == "sys" && &*to.function == "handle_system_msg";
    let mut found: BTreeSet<(String, u32)> = bodies
        .bodies
        .iter()
        .filter(|(_, body)| body.remote.iter().any(|(_, to)| handles(to)))
        .map(|(function, _)| function.clone())
        .collect();
    loop {
        let calls = |label: &u32| {
            bodies
                .by_label
                .get(label)
                .is_some_and(|f| found.contains(f))
        };
        let more = bodies
            .bodies
            .iter()
            .filter(|(function, body)| !found.contains(*function) && body.local.iter().any(calls));
        let more: Vec<_> = more.map(|(function, _)| function.clone()).collect();
        if more.is_empty() {
            return found
                .into_iter()
                .map(|(name, arity)| FunctionArity::new(name, arity))
                .collect();
        }
        found.extend(more);
    }
}

/// The functions that a literal names as funs, and whether it is one itself.
struct Constant {
    is_fun: bool,
    funs: Vec<Mfa>,
}

fn constant_funs(chunks: &Chunks<'_>) -> Option<Vec<Constant>> {
    let literals = Literals::read(chunks).ok()?;
    let mut atoms = BTreeSet::new();
    let constant = |encoded: &[u8]| {
        // Version, then the tag of `fun m:f/a`; anything that holds one is looked into.
        if !encoded.contains(&EXPORT_EXT) {
            return Constant {
                is_fun: false,
                funs: Vec::new(),
            };
        }
        let found = summary(encoded, &|_| false, &mut atoms);
        let funs = found.references.into_iter();
        let funs = funs.filter(|found| found.evidence == Evidence::ExternalFun);
        Constant {
            is_fun: encoded.get(1) == Some(&EXPORT_EXT),
            funs: funs
                .map(|found| Mfa {
                    module: Module::new(found.module.as_str()),
                    function: found.function,
                    arity: found.arity.unwrap_or(0),
                })
                .collect(),
        }
    };
    let all = (0..literals.len()).filter_map(|index| literals.get(index));
    Some(all.map(constant).collect())
}

/// The tag of `fun m:f/a` in the external term format.
const EXPORT_EXT: u8 = 113;

/// The entry labels of the funs of a module.
fn funs(chunk: Option<&[u8]>) -> Vec<u32> {
    let mut found = Vec::new();
    let Some(chunk) = chunk else { return found };
    let mut cursor = ByteCursor::new(chunk);
    let Some(count) = cursor.u32() else {
        return found;
    };
    for _ in 0..count {
        let row: Option<[u32; 6]> = (|| {
            let mut row = [0; 6];
            for field in &mut row {
                *field = cursor.u32()?;
            }
            Some(row)
        })();
        let Some([_, _, label, ..]) = row else { break };
        found.push(label);
    }
    found
}

/// What these functions of a module do, calls between the modules of `world` included.
///
/// A function that the module does not have does nothing.
pub fn verdict<'a>(
    module: &Module,
    entries: &[(&str, u32)],
    world: &dyn Fn(&Module) -> Option<&'a Bodies>,
) -> Effects {
    let (mut places, mut by_name) = (BTreeSet::new(), BTreeSet::new());
    let mut seen: BTreeSet<(Module, String, u32)> = BTreeSet::new();
    let entry = |(name, arity): &(&str, u32)| (module.clone(), (*name).to_owned(), *arity);
    let mut open: Vec<_> = entries.iter().map(entry).collect();
    while let Some(at) = open.pop() {
        if !seen.insert(at.clone()) {
            continue;
        }
        let (module, name, arity) = at;
        let Some(bodies) = world(&module) else {
            continue;
        };
        let place = |line, what: String, doing| EffectSite {
            module: module.clone(),
            function: Function {
                name: name.as_str().into(),
                arity,
                line,
            },
            what,
            doing,
        };
        if !bodies.whole {
            let what = "an instruction that is not known".to_owned();
            places.insert(place(None, what, Doing::Unknown));
        }
        let Some(body) = bodies.bodies.get(&(name.clone(), arity)) else {
            continue;
        };
        for (line, what, doing) in &body.does {
            places.insert(place(*line, what.clone(), *doing));
        }
        for label in &body.local {
            if let Some((name, arity)) = bodies.by_label.get(label) {
                open.push((module.clone(), name.clone(), *arity));
            }
        }
        for (line, to) in &body.named {
            if world(&to.module).is_some() {
                let what = format!("fun {to}");
                by_name.insert(place(*line, what, Doing::Unknown));
            }
        }
        for (line, to) in body.remote.iter().chain(&body.named) {
            let known = known(to.module.as_str(), &to.function, to.arity);
            if known == Doing::Pure {
                continue;
            }
            if known == Doing::Unknown && world(&to.module).is_some() {
                open.push((to.module.clone(), to.function.to_string(), to.arity));
                continue;
            }
            places.insert(place(*line, to.to_string(), known));
        }
    }
    let places: Vec<EffectSite> = places.into_iter().collect();
    Effects {
        doing: places.iter().map(|p| p.doing).max().unwrap_or(Doing::Pure),
        places,
        by_name: by_name.into_iter().collect(),
    }
}
