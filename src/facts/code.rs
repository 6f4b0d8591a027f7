//! What the code of a module shows beyond its import table.
//!
//! Takes the chunks of a beam and gives [`CodeFacts`]: where imported functions are called, which
//! modules are named as constants where a call or a start will use them, which calls cannot be known,
//! which names are registered and sent to. Everything carries the function and line it was seen in.
//! It must never fail because of code it does not understand: it then says [`Walked::Partly`].

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::beam::imports;
use super::chunk::{Atoms, Chunks, Lines, Literals};
use super::error::BeamError;
use super::flow::{Registers, Tail, Value};
use super::literal::{Summary, summary};
use super::opcode as op;
use super::starts::{Meaning, ModuleArgument, NameForm, meaning};
use super::walk::{Instruction, Operand, Step, Walk};
use crate::name::{Mfa, Module};
use crate::term::Atom;

/// Most entries of each list of [`CodeFacts`]; a module that has more is [`Walked::Partly`] known.
pub const MAX_ENTRIES: usize = 1 << 18;

/// What the code of a module shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CodeFacts {
    /// How much of the code was read.
    pub walked: Walked,
    /// Whether the module has an `-on_load` function.
    pub on_load: bool,
    /// References to other modules that the import table does not show, with evidence.
    ///
    /// [`Evidence::MfaLiteral`] is anything of that form, `{error, badarg, []}` included: whether the
    /// module exists and exports the function is for the reader to ask.
    pub hidden: Vec<HiddenRef>,
    /// Calls to imported functions with their place. Guard BIFs and operators are left out.
    pub call_sites: Vec<CallSite>,
    /// Calls whose module is not known before run time.
    pub dynamic_calls: Vec<DynamicCall>,
    /// Names given to `register`, in `{local, Name}` of start calls, as `name: Name` in Elixir.
    pub registers: BTreeSet<Atom>,
    /// Literal names that `gen_server:call` and the like, `!` or `whereis` are given, with the function.
    pub sends_to: Vec<(Atom, Function)>,
    /// Atoms in code operands and literals (the whole set, to look for names of changed modules).
    pub atoms: BTreeSet<Atom>,
    /// Fields of an Elixir struct defined by the module (`__struct__/0`), if it is one.
    pub struct_fields: Option<Vec<Atom>>,
    /// Whether `code_change` does more than hand the state back while the atom `down` stands nowhere in the module,
    /// so that no clause can be for `{down, Vsn}`. False when the code was not read whole, or when `code_change`
    /// calls another module that may know.
    pub one_way: bool,
}

/// How much of a module's code was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Walked {
    /// Nothing: it was not asked for.
    #[default]
    Not,
    /// Not all: an instruction of a later OTP, damage, or more than `MAX_ENTRIES`. The rest of the
    /// module is known by its import table only.
    Partly,
    /// All of it.
    Whole,
}

/// A function of the module itself and the line where something happens in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Function {
    /// Name.
    pub name: Arc<str>,
    /// Arity.
    pub arity: u32,
    /// Line in the source, when the beam has line information.
    pub line: Option<u32>,
}

/// A call to an imported function, and where it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallSite {
    /// The caller.
    pub from: Function,
    /// The callee.
    pub to: Mfa,
}

/// A reference to another module that the import table does not show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HiddenRef {
    /// Where; `None` when it is in a literal that no function could be found for.
    pub from: Option<Function>,
    /// The module meant.
    pub module: Module,
    /// Function and arity where known.
    pub function: Option<(Arc<str>, Option<u32>)>,
    /// What was seen.
    pub evidence: Evidence,
}

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Evidence {
    /// A literal `fun m:f/a`.
    ExternalFun,
    /// A literal `{m, f, Args | Arity}`, or one built with constant module and function.
    MfaLiteral,
    /// A constant module given to `spawn`, `apply`, `proc_lib`, `gen_*`, `supervisor`, `rpc`, `erpc`.
    StartCall,
    /// An atom in the code.
    AtomInCode,
    /// An atom in a literal.
    AtomInLiteral,
}

/// A call through a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicCall {
    /// Where.
    pub from: Function,
    /// The function, when it is constant: `Mod:price/1`.
    pub function: Option<(Arc<str>, Option<u32>)>,
}

impl CodeFacts {
    /// Walks the code. A damaged literal or import table is an error; damaged code is not.
    pub(super) fn read(
        chunks: &Chunks<'_>,
        atoms: &Atoms<'_>,
        wanted: &BTreeSet<Module>,
    ) -> Result<Self, BeamError> {
        let imports = imports(chunks, atoms)?;
        let literals = Literals::read(chunks)?;
        let mut facts = Self::default();
        let is_wanted =
            |name: &str| wanted.contains(name) && atoms.text(1).is_none_or(|own| own != name);
        let literals: Vec<Summary> = (0..literals.len())
            .filter_map(|index| literals.get(index))
            .map(|encoded| summary(encoded, &is_wanted, &mut facts.atoms))
            .collect();
        facts.registers.extend(
            literals
                .iter()
                .flat_map(|literal| literal.children.iter().cloned()),
        );
        let mut reader = Reader {
            meanings: imports
                .iter()
                .map(|f| meaning(f.module.as_str(), &f.function, f.arity))
                .collect(),
            wanted: atoms.texts().map(is_wanted).collect(),
            named: vec![false; atoms.len()],
            used: vec![false; literals.len()],
            seen: HashSet::new(),
            lines: Lines::read(chunks),
            registers: Registers::default(),
            function: None,
            conversion: Conversion::default(),
            ordinal: 0,
            line: None,
            full: false,
            atoms,
            imports,
            literals: &literals,
            facts,
        };
        reader.walk(chunks.get(b"Code"));
        Ok(reader.finish())
    }
}

/// The walk through one module.
struct Reader<'a> {
    atoms: &'a Atoms<'a>,
    imports: Vec<Mfa>,
    meanings: Vec<Meaning>,
    literals: &'a [Summary],
    lines: Lines,
    /// By atom index: whether it is looked for, and whether it stands in code.
    wanted: Vec<bool>,
    named: Vec<bool>,
    /// By literal index: whether any function uses it.
    used: Vec<bool>,
    /// Function ordinal, kind and index of what was already noted in this function.
    seen: HashSet<(u32, bool, u32)>,
    registers: Registers,
    function: Option<(Arc<str>, u32)>,
    conversion: Conversion,
    ordinal: u32,
    line: Option<u32>,
    full: bool,
    facts: CodeFacts,
}

/// What is seen of `code_change`.
#[derive(Default)]
struct Conversion {
    /// Whether the walk is inside of it.
    here: bool,
    /// Tuples it builds: `{ok, State}` is one.
    tuples: usize,
    /// Whether it tests, takes apart, computes or calls.
    works: bool,
    /// Whether it calls a module that may look at the version.
    hands_on: bool,
}

/// Modules of OTP and Elixir that a conversion uses and that know nothing of versions.
const LIBRARY: &[&str] = &[
    "array",
    "binary",
    "dict",
    "erlang",
    "ets",
    "gb_sets",
    "gb_trees",
    "lists",
    "maps",
    "ordsets",
    "orddict",
    "proplists",
    "queue",
    "sets",
    "string",
    "Elixir.Enum",
    "Elixir.Keyword",
    "Elixir.Map",
    "Elixir.MapSet",
];

impl Reader<'_> {
    fn walk(&mut self, code: Option<&[u8]>) {
        self.facts.walked = Walked::Partly;
        let Some(mut walk) = code.and_then(Walk::new) else {
            return;
        };
        let mut instruction = Instruction::default();
        loop {
            match walk.step(&mut instruction) {
                Step::Instruction => self.instruction(&instruction),
                Step::End => break,
                Step::Unknown => return,
            }
        }
        if !self.full {
            self.facts.walked = Walked::Whole;
        }
    }

    fn finish(mut self) -> CodeFacts {
        for (index, literal) in self.literals.iter().enumerate() {
            if !self.used[index] {
                self.literal(literal, None);
            }
        }
        let named = self
            .atoms
            .texts()
            .zip(&self.named)
            .filter(|(_, named)| **named);
        self.facts
            .atoms
            .extend(named.map(|(atom, _)| Atom::new(atom)));
        if self.full {
            self.facts.walked = Walked::Partly;
        }
        let Conversion {
            tuples,
            works,
            hands_on,
            ..
        } = self.conversion;
        self.facts.one_way = (works || tuples > 1)
            && !hands_on
            && self.facts.walked == Walked::Whole
            && !self.facts.atoms.contains(&Atom::new("down"));
        self.facts
    }

    /// Notes what an instruction of `code_change` does.
    fn converts(&mut self, instruction: &Instruction) {
        match instruction.opcode {
            op::LABEL | op::LINE | op::EXECUTABLE_LINE | op::DEBUG_LINE | op::RETURN => {}
            op::ALLOCATE..=op::DEALLOCATE | op::MOVE | op::SWAP | op::TRIM | op::FUNC_INFO => {}
            op::PUT_TUPLE2 => self.conversion.tuples += 1,
            op::CALL_EXT | op::CALL_EXT_LAST | op::CALL_EXT_ONLY => {
                let callee = instruction.number(1);
                let callee = callee.and_then(|index| self.imports.get(index as usize));
                let known = callee.is_some_and(|f| LIBRARY.contains(&f.module.as_str()));
                self.conversion.works = true;
                self.conversion.hands_on |= !known;
            }
            _ => self.conversion.works = true,
        }
    }

    fn instruction(&mut self, instruction: &Instruction) {
        match instruction.opcode {
            op::FUNC_INFO => self.enter(instruction),
            op::LINE => {
                self.line = instruction
                    .number(0)
                    .and_then(|index| self.lines.get(index as usize));
            }
            op::ON_LOAD => self.facts.on_load = true,
            op::CALL_EXT | op::CALL_EXT_LAST | op::CALL_EXT_ONLY => self.external_call(instruction),
            op::APPLY | op::APPLY_LAST => self.apply(instruction),
            op::SEND => {
                let to = self.registers.x(0).clone();
                self.send(&to);
            }
            op::PUT_TUPLE2 => self.built_tuple(instruction.list(1)),
            _ => {}
        }
        if self.conversion.here {
            self.converts(instruction);
        }
        if instruction.opcode != op::FUNC_INFO {
            for operand in instruction.all() {
                self.constant(operand);
            }
        }
        self.registers.step(instruction);
    }

    fn enter(&mut self, instruction: &Instruction) {
        self.function = match (instruction.operand(1), instruction.number(2)) {
            (Operand::Atom(name), Some(arity)) => {
                self.atoms.get(name).map(|name| (name.clone(), arity))
            }
            _ => None,
        };
        // `code_change/3`; of a `gen_statem`, with data and state, /4.
        let function = self.function.as_ref();
        self.conversion.here = function
            .is_some_and(|(name, arity)| &**name == "code_change" && matches!(arity, 3 | 4));
        self.ordinal = self.ordinal.saturating_add(1);
        self.seen.clear();
    }

    /// The function and line of the current instruction; a nameless function if the code has none.
    fn here(&self) -> Function {
        let (name, arity) = self.function.clone().unwrap_or_else(|| (Arc::from(""), 0));
        Function {
            name,
            arity,
            line: self.line,
        }
    }

    /// Notes an atom or literal operand, once for each function.
    fn constant(&mut self, operand: Operand) {
        let (is_atom, index) = match operand {
            Operand::Atom(index) => (true, index),
            Operand::Literal(index) => (false, index),
            _ => return,
        };
        if is_atom {
            let Some(named) = self.named.get_mut((index as usize).wrapping_sub(1)) else {
                return;
            };
            *named = true;
            if !self.wanted[index as usize - 1] || !self.seen.insert((self.ordinal, true, index)) {
                return;
            }
            let Some(atom) = self.atoms.get(index).cloned() else {
                return;
            };
            self.hide(
                Some(self.here()),
                Module::from(atom),
                None,
                Evidence::AtomInCode,
            );
        } else {
            let literals = self.literals;
            let Some(literal) = literals.get(index as usize) else {
                return;
            };
            self.used[index as usize] = true;
            if self.seen.insert((self.ordinal, false, index)) {
                self.literal(literal, Some(self.here()));
                let of_struct = self
                    .function
                    .as_ref()
                    .is_some_and(|(name, arity)| &**name == "__struct__" && *arity == 0);
                if of_struct && literal.struct_fields.is_some() {
                    self.facts.struct_fields.clone_from(&literal.struct_fields);
                }
            }
        }
    }

    fn literal(&mut self, literal: &Summary, from: Option<Function>) {
        for found in &literal.references {
            let function = Some((found.function.clone(), found.arity));
            self.hide(
                from.clone(),
                Module::new(found.module.as_str()),
                function,
                found.evidence,
            );
        }
        for atom in &literal.wanted {
            self.hide(
                from.clone(),
                Module::new(atom.as_str()),
                None,
                Evidence::AtomInLiteral,
            );
        }
    }

    fn hide(
        &mut self,
        from: Option<Function>,
        module: Module,
        function: Option<(Arc<str>, Option<u32>)>,
        evidence: Evidence,
    ) {
        if self.atoms.text(1) == Some(module.as_str()) {
            return;
        }
        if self.facts.hidden.len() >= MAX_ENTRIES {
            self.full = true;
            return;
        }
        self.facts.hidden.push(HiddenRef {
            from,
            module,
            function,
            evidence,
        });
    }

    fn external_call(&mut self, instruction: &Instruction) {
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
                Value::Integer(arity) => (position, u32::try_from(*arity).ok()),
                _ => (position, None),
            },
        };
        self.called(position, arity);
    }

    /// Module and function of a call stand in X registers `position` and `position + 1`.
    fn called(&mut self, position: usize, arity: Option<u32>) {
        let function = self
            .atom(self.registers.x(position + 1))
            .map(|function| (function, arity));
        match self.registers.x(position) {
            Value::Atom(module) => {
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
            Value::Unknown if self.facts.dynamic_calls.len() < MAX_ENTRIES => {
                let from = self.here();
                self.facts
                    .dynamic_calls
                    .push(DynamicCall { from, function });
            }
            Value::Unknown => self.full = true,
            _ => {}
        }
    }

    /// `Mod:Fun(Args)`: module and function follow the arguments.
    fn apply(&mut self, instruction: &Instruction) {
        if let Some(arity) = instruction.number(0).filter(|arity| *arity <= 255) {
            self.called(arity as usize, Some(arity));
        }
    }

    fn send(&mut self, to: &Value) {
        let name = match to {
            Value::Atom(_) => self.atom(to),
            // `{Name, Node}`
            Value::Tuple(elements, _) if elements.len() == 2 => self.atom(&elements[0]),
            Value::Literal(literal) => self
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

    fn registered(&self, value: &Value, form: NameForm) -> Option<Atom> {
        let pair = |key: &str, value: &Value| -> Option<Atom> {
            match value {
                Value::Tuple(elements, _)
                    if elements.len() == 2 && *self.atom(&elements[0])? == *key =>
                {
                    self.atom(&elements[1]).map(Atom::from)
                }
                Value::Literal(index) => match &self.literals.get(*index as usize)?.tuple {
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
                Value::Literal(index) => self.literals.get(*index as usize)?.keyword_name.clone(),
                Value::List(cells, tail, _) => cells
                    .iter()
                    .find_map(|cell| pair("name", cell))
                    .or_else(|| {
                        let Tail::Literal(index) = tail else {
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
    fn built_tuple(&mut self, elements: &[Operand]) {
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
            Value::Integer(arity) => u32::try_from(arity).ok().filter(|arity| *arity <= 255),
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

    fn atom(&self, value: &Value) -> Option<Arc<str>> {
        match value {
            Value::Atom(index) => self.atoms.get(*index).cloned(),
            _ => None,
        }
    }

    /// The length of a list.
    fn length(&self, value: &Value) -> Option<u32> {
        let literal = |index: &u32| self.literals.get(*index as usize)?.length;
        match value {
            Value::Nil => Some(0),
            Value::Literal(index) => literal(index),
            Value::List(cells, Tail::Nil, _) => u32::try_from(cells.len()).ok(),
            Value::List(cells, Tail::Literal(index), _) => {
                literal(index)?.checked_add(u32::try_from(cells.len()).ok()?)
            }
            _ => None,
        }
    }
}
