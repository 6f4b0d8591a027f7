//! What a function may do to the world: compute, read, or act, and where.
//!
//! Takes beams and follows, from one function on, local calls, funs that are made, and calls between the given modules;
//! every other call is looked up in a table of OTP's and Elixir's interfaces (`known.rs`). The answer is an upper bound: what is
//! on no path that really runs counts as well. What cannot be followed (a fun that is handed in, a module that is not
//! given) is [`Doing::Unknown`], never taken for harmless.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use crate::facts::beam::imports;
use crate::facts::chunk::{Atoms, Chunks, LineTable, unpacked};
use crate::facts::cursor::ByteCursor;
use crate::facts::instructions::{BeamInstruction, Operand, ReadStep, Walk};
use crate::facts::opcode as op;
use crate::name::{Mfa, Module};

use super::Function;
use super::known::known;

/// What code does, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Doing {
    /// It computes.
    Pure,
    /// It looks at tables, files, processes or the clock, or prints.
    Reads,
    /// Nobody can tell: a module that is not known, a fun, a module in a variable.
    Unknown,
    /// It writes, sends, starts, links or registers.
    Acts,
}

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
}

/// The functions of one module, as far as they could be read.
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
        let mut walk = Walk::new(chunks.get(b"Code")?)?;
        let mut instruction = BeamInstruction::default();
        let (mut here, mut line, mut entered) = (None, None, false);
        let mut myself = false;
        loop {
            match walk.step(&mut instruction) {
                ReadStep::Instruction => {}
                ReadStep::End => return Some(true),
                ReadStep::Unknown => return Some(false),
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
            let Some(body) = here.as_ref().and_then(|f| self.bodies.get_mut(f)) else {
                continue;
            };
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
                    if let Some(to) = to.and_then(|index| imports.get(index as usize)) {
                        body.remote.push((line, to.clone()));
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
                op::CALL_FUN | op::CALL_FUN2 => does("calls a fun", Doing::Unknown),
                op::APPLY | op::APPLY_LAST => {
                    does("calls a function of a module in a variable", Doing::Unknown);
                }
                _ => {}
            }
        }
    }
}

/// The functions of a module that lead to its calls of `sys:handle_system_msg`, by local calls and funs that they make:
/// a special process that is waiting or working is in one of them. Empty for a module that calls it nowhere.
pub fn loops(beam: &[u8]) -> Vec<(String, u32)> {
    let bodies = Bodies::read(beam);
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
            return found.into_iter().collect();
        }
        found.extend(more);
    }
}

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

/// What `module:name/arity` does, calls between the modules of `world` included.
///
/// A function that the module does not have does nothing.
pub fn verdict<'a>(
    module: &Module,
    name: &str,
    arity: u32,
    world: &dyn Fn(&Module) -> Option<&'a [u8]>,
) -> Effects {
    let mut read: BTreeMap<Module, Option<Bodies>> = BTreeMap::new();
    let mut places = BTreeSet::new();
    let mut seen: BTreeSet<(Module, String, u32)> = BTreeSet::new();
    let mut open = vec![(module.clone(), name.to_owned(), arity)];
    while let Some(at) = open.pop() {
        if !seen.insert(at.clone()) {
            continue;
        }
        let (module, name, arity) = at;
        let bodies = read
            .entry(module.clone())
            .or_insert_with(|| world(&module).map(Bodies::read));
        let Some(bodies) = bodies else { continue };
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
        for (line, to) in &body.remote {
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
    }
}
