//! Shims: a version of a module whose callbacks convert the state of a process when it first comes by.
//!
//! Takes the beam of a version, and gives the same beam under the same name with a few functions more. The exports of the
//! callbacks that are given the state point to these: each asks the process dictionary whether its process is through,
//! has the agent convert the state when it is not, and goes on in the real function. Calls within the module stay as they
//! are. So all modules can be switched with no process suspended, and a process converts at its next callback.
//!
//! It is made from the file alone: no compiler, no debug information, no node. The loader checks how many labels and
//! functions there are, but not that an export leads to the entry of a function; that is the duty of this module. Once all
//! processes are through, the plain version takes the shim's place.

use std::fmt;
use std::io::Write;

use crate::facts::beam::BeamError;
use crate::facts::beam::chunk::{Atoms, Chunks, Literals, triples, unpacked};
use crate::facts::beam::cursor::Tag;
use crate::facts::beam::opcode as op;
use crate::term::Term;
use crate::term::etf;

use super::atoms::Table;
use super::chunks::{Builder, Rows};
use super::encode::compact;
use super::error::NoTwin;

/// A callback: name, arity, and which argument is, or has, the state.
type Callback = (&'static str, u32, u32);

/// The callbacks of a gen_server that concern its state (OTP: gen_server(3)). `init/1` is not given one: what comes there is
/// a process that the shim's version has made.
const SERVER: [Callback; 9] = [
    ("init", 1, 0),
    ("handle_call", 3, 2),
    ("handle_cast", 2, 1),
    ("handle_info", 2, 1),
    ("handle_continue", 2, 1),
    ("terminate", 2, 1),
    ("format_status", 1, 0),
    ("format_status", 2, 1),
    ("code_change", 3, 1),
];

/// Those of a gen_statem that concern its data (OTP: gen_statem(3)). Besides them every function of three arguments may be a
/// state: the agent looks who calls it.
const STATEM: [Callback; 6] = [
    ("init", 1, 0),
    ("handle_event", 4, 3),
    ("terminate", 3, 2),
    ("format_status", 1, 0),
    ("format_status", 2, 1),
    ("code_change", 4, 2),
];

/// What a state's own function is given: the type of the event, its content, the data.
const STATE_FUNCTION: (u32, u32) = (3, 2);

/// The function of the agent that a shim calls.
const AGENT_FUNCTION: &str = "live";

/// The attribute that a shim has besides those of its module.
const ATTRIBUTE: &str = "updo_shim";

/// Another, with the key of the shim: which of the two of a module it is.
const KEY: &str = "updo_shim_key";

/// The first operand of an extended one: a literal.
const LITERAL: u32 = 4;

/// What a shim knows beside its module.
#[derive(Clone, Debug)]
pub struct ShimFor<'a> {
    /// The agent's module.
    pub agent: &'a str,
    /// The key in a process dictionary that is `true` once the process is through.
    pub key: &'a str,
    /// What the agent is given as the last argument.
    pub about: Term,
}

/// Why a module has no shim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoShim {
    /// The bytes are no usable beam, or too big.
    Beam(NoTwin),
    /// It has no callback of a gen_server or gen_statem.
    NoCallbacks,
    /// It calls a callback of its own by the module's name: that call would be taken for one of the behaviour.
    CallsItself(String, u32),
    /// It empties its process dictionary, where it is kept whether a process is through.
    Erases,
}

impl From<NoTwin> for NoShim {
    fn from(error: NoTwin) -> Self {
        Self::Beam(error)
    }
}

impl From<BeamError> for NoShim {
    fn from(error: BeamError) -> Self {
        Self::Beam(NoTwin::Beam(error))
    }
}

impl std::error::Error for NoShim {}

impl fmt::Display for NoShim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beam(why) => write!(f, "{why}"),
            Self::NoCallbacks => f.write_str("it has no callbacks of a gen_server or gen_statem"),
            Self::CallsItself(function, arity) => {
                write!(
                    f,
                    "it calls its own `{function}/{arity}` by the module's name"
                )
            }
            Self::Erases => f.write_str("it calls `erase/0`, which empties the process dictionary"),
        }
    }
}

/// The shim of a version.
///
/// # Errors
/// When it can have none ([`NoShim`]). Damaged and hostile bytes are refused, or give a beam that the loader judges.
pub fn shim(beam: &[u8], what: &ShimFor<'_>) -> Result<Vec<u8>, NoShim> {
    let plain = unpacked(beam)?;
    let chunks = Chunks::parse(&plain)?;
    let atoms = Atoms::read(&chunks)?;
    let exported = triples(&chunks, "ExpT")?;
    let is_statem = exported
        .iter()
        .any(|[name, arity, _]| atoms.text(*name) == Some("callback_mode") && *arity == 0);
    let mut new = Making {
        is_statem,
        atoms: MoreAtoms::of(&chunks, &atoms)?,
        imports: Rows::read(&chunks, "ImpT", 12)?,
        literal: 0,
        labels: 0,
        code: Vec::new(),
    };
    new.is_fit(&atoms)?;
    let literals = Literals::read(&chunks)?;
    new.literal = u32::try_from(literals.len()).map_err(|_| NoTwin::TooBig)?;
    let literals = with_literal(&literals, &etf::encode(&what.about))?;

    const BAD: NoShim = NoShim::Beam(NoTwin::Beam(BeamError::BadChunk("Code")));
    let code = chunks.get(b"Code").ok_or(BeamError::MissingChunk("Code"))?;
    let header = CodeHeader::read(code).ok_or(BAD)?;
    let (end, body) = header.body.split_last().ok_or(BAD)?;
    if *end != op::INT_CODE_END {
        return Err(BAD);
    }
    new.labels = header.labels;
    let get = new.import("erlang", "get", 1)?;
    let mut made = 0;
    let mut exports = Rows::read(&chunks, "ExpT", 12)?;
    exports.each(|row| {
        let name = atoms.text(row[0]).unwrap_or_default();
        if let Some(state) = new.state_of(name, row[1]) {
            made += 1;
            row[2] = new.callback(row[0], row[1], state, row[2], get, what)?;
        }
        Ok(())
    })?;
    if made == 0 {
        return Err(NoShim::NoCallbacks);
    }
    let mut code = header.with(new.labels, made)?;
    code.extend(body);
    code.extend(&new.code);
    code.push(op::INT_CODE_END);

    let mut built = Builder::default();
    built.chunk(new.atoms.table.id(), &new.atoms.encoded()?)?;
    built.chunk(b"Code", &code)?;
    built.chunk(b"LitT", &literals)?;
    // As in a twin: what is needed to run.
    for id in [
        b"StrT", b"FunT", b"Line", b"Type", b"Meta", b"CInf", b"DbgB", b"Recs",
    ] {
        if let Some(data) = chunks.get(id) {
            built.chunk(id, data)?;
        }
    }
    built.chunk(
        b"Attr",
        &attributes(chunks.get(b"Attr"), what.agent, what.key),
    )?;
    for rows in [new.imports, exports] {
        built.chunk(rows.id(), &rows.encoded())?;
    }
    Ok(built.file()?)
}

/// The tables of a shim while it is made.
struct Making<'a> {
    is_statem: bool,
    atoms: MoreAtoms<'a>,
    imports: Rows<'a>,
    /// The index of the literal that the agent is given.
    literal: u32,
    /// One more than the highest label.
    labels: u32,
    /// The functions that are added.
    code: Vec<u8>,
}

impl Making<'_> {
    /// Which argument of a function is, or has, the state; none of one that is no callback.
    fn state_of(&self, name: &str, arity: u32) -> Option<u32> {
        let callbacks: &[Callback] = match self.is_statem {
            true => &STATEM,
            false => &SERVER,
        };
        let mut callbacks = callbacks.iter();
        let known = callbacks.find(|(known, its, _)| *known == name && *its == arity);
        let known = known.map(|(_, _, state)| *state);
        known.or_else(|| (self.is_statem && arity == STATE_FUNCTION.0).then_some(STATE_FUNCTION.1))
    }

    /// Whether a shim can be made of the module.
    fn is_fit(&self, atoms: &Atoms<'_>) -> Result<(), NoShim> {
        for row in self.imports.rows() {
            let (owner, function) = (atoms.text(row[0]), atoms.text(row[1]));
            let function = function.unwrap_or_default();
            let own = owner == atoms.text(1);
            match (owner, self.state_of(function, row[2])) {
                (_, Some(_)) if own => {
                    return Err(NoShim::CallsItself(function.to_owned(), row[2]));
                }
                (Some("erlang"), _) if function == "erase" && row[2] == 0 => {
                    return Err(NoShim::Erases);
                }
                (Some("erlang"), _) if function == "load_nif" => {
                    return Err(NoTwin::Nif.into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn import(&mut self, owner: &str, function: &str, arity: u32) -> Result<u32, NoTwin> {
        let row = [self.atoms.index(owner)?, self.atoms.index(function)?, arity];
        let known = self.imports.rows().position(|known| known == row);
        match known {
            Some(known) => u32::try_from(known).map_err(|_| NoTwin::TooBig),
            None => self.imports.push(row),
        }
    }

    fn label(&mut self) -> Result<u32, NoTwin> {
        let label = self.labels;
        self.labels = label.checked_add(1).ok_or(NoTwin::TooBig)?;
        Ok(label)
    }

    /// Adds the function that comes before a callback and gives its entry:
    ///
    /// ```erlang
    /// handle_call(Request, From, State) ->
    ///     case get(Key) of
    ///         true -> real(Request, From, State);
    ///         _ -> real(Request, From, Agent:live(Request, From, State, handle_call, About))
    ///     end.
    /// ```
    fn callback(
        &mut self,
        atom: u32,
        arity: u32,
        state: u32,
        real: u32,
        get: u32,
        what: &ShimFor<'_>,
    ) -> Result<u32, NoTwin> {
        let (before, entry, slow) = (self.label()?, self.label()?, self.label()?);
        let agent = self.import(what.agent, AGENT_FUNCTION, arity + 2)?;
        let key = self.atoms.index(what.key)?;
        let yes = self.atoms.index("true")?;
        let code = &mut self.code;
        put(code, op::LABEL, &[(Tag::U, before)]);
        put(
            code,
            op::FUNC_INFO,
            &[(Tag::A, 1), (Tag::A, atom), (Tag::U, arity)],
        );
        put(code, op::LABEL, &[(Tag::U, entry)]);
        put(code, op::ALLOCATE, &[(Tag::U, arity), (Tag::U, arity)]);
        for argument in 0..arity {
            put(code, op::MOVE, &[(Tag::X, argument), (Tag::Y, argument)]);
        }
        put(code, op::MOVE, &[(Tag::A, key), (Tag::X, 0)]);
        put(code, op::CALL_EXT, &[(Tag::U, 1), (Tag::U, get)]);
        put(
            code,
            op::IS_EQ_EXACT,
            &[(Tag::F, slow), (Tag::X, 0), (Tag::A, yes)],
        );
        let real_call = [(Tag::U, arity), (Tag::F, real), (Tag::U, arity)];
        for argument in 0..arity {
            put(code, op::MOVE, &[(Tag::Y, argument), (Tag::X, argument)]);
        }
        put(code, op::CALL_LAST, &real_call);
        put(code, op::LABEL, &[(Tag::U, slow)]);
        for argument in 0..arity {
            put(code, op::MOVE, &[(Tag::Y, argument), (Tag::X, argument)]);
        }
        put(code, op::MOVE, &[(Tag::A, atom), (Tag::X, arity)]);
        code.push(op::MOVE);
        code.extend(compact(Tag::Z, LITERAL));
        code.extend(compact(Tag::U, self.literal));
        code.extend(compact(Tag::X, arity + 1));
        put(code, op::CALL_EXT, &[(Tag::U, arity + 2), (Tag::U, agent)]);
        if state != 0 {
            put(code, op::MOVE, &[(Tag::X, 0), (Tag::X, state)]);
        }
        for argument in (0..arity).filter(|argument| *argument != state) {
            put(code, op::MOVE, &[(Tag::Y, argument), (Tag::X, argument)]);
        }
        put(code, op::CALL_LAST, &real_call);
        Ok(entry)
    }
}

/// Writes an instruction.
fn put(code: &mut Vec<u8>, opcode: u8, operands: &[(Tag, u32)]) {
    code.push(opcode);
    for (tag, number) in operands {
        code.extend(compact(*tag, *number));
    }
}

/// The numbers before the instructions.
struct CodeHeader<'a> {
    /// Everything up to the number of labels, with the size of the header.
    start: &'a [u8],
    labels: u32,
    functions: u32,
    /// What is behind the number of functions, in the header.
    tail: &'a [u8],
    body: &'a [u8],
}

impl<'a> CodeHeader<'a> {
    fn read(chunk: &'a [u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_be_bytes(*chunk.get(at..)?.first_chunk()?));
        let size = usize::try_from(word(0)?).ok()?;
        let (header, body) = chunk.split_at_checked(size.checked_add(4)?)?;
        // Instruction set 0, highest opcode, labels, functions.
        (word(4)? == 0 && size >= 16).then_some(())?;
        Some(Self {
            start: header.get(..12)?,
            labels: word(12)?,
            functions: word(16)?,
            tail: header.get(20..)?,
            body,
        })
    }

    fn with(&self, labels: u32, more_functions: u32) -> Result<Vec<u8>, NoTwin> {
        let functions = self.functions.checked_add(more_functions);
        let mut code = self.start.to_vec();
        code.extend(labels.to_be_bytes());
        code.extend(functions.ok_or(NoTwin::TooBig)?.to_be_bytes());
        code.extend(self.tail);
        Ok(code)
    }
}

/// A table of atoms with some more at its end.
struct MoreAtoms<'a> {
    table: Table,
    /// The table as it is, without its count.
    rest: &'a [u8],
    known: &'a Atoms<'a>,
    added: Vec<String>,
}

impl<'a> MoreAtoms<'a> {
    fn of(chunks: &Chunks<'a>, known: &'a Atoms<'a>) -> Result<Self, NoTwin> {
        let table = Table::of(chunks)?;
        // The names that are added are in ASCII: each table can have them.
        let chunk = chunks.get(table.id());
        let rest = chunk.and_then(|chunk| chunk.get(4..));
        Ok(Self {
            table,
            rest: rest.ok_or(BeamError::BadChunk("AtU8"))?,
            known,
            added: Vec::new(),
        })
    }

    /// The index of an atom, 1 the first.
    fn index(&mut self, text: &str) -> Result<u32, NoTwin> {
        let old = self.known.texts().position(|known| known == text);
        let at = old.or_else(|| {
            let added = self.added.iter().position(|known| known == text)?;
            Some(self.known.len() + added)
        });
        let at = at.unwrap_or_else(|| {
            self.added.push(text.to_owned());
            self.known.len() + self.added.len() - 1
        });
        u32::try_from(at + 1).map_err(|_| NoTwin::TooBig)
    }

    fn encoded(&self) -> Result<Vec<u8>, NoTwin> {
        let count = self.known.len() + self.added.len();
        let count = i32::try_from(count).map_err(|_| NoTwin::TooBig)?;
        let count = match self.table {
            Table::LongUtf8 => -count,
            Table::Latin1 | Table::Utf8 => count,
        };
        let mut chunk = count.to_be_bytes().to_vec();
        chunk.extend(self.rest);
        for text in &self.added {
            match self.table {
                Table::LongUtf8 => {
                    let size = u32::try_from(text.len()).map_err(|_| NoTwin::TooBig)?;
                    chunk.extend(compact(Tag::U, size));
                }
                Table::Latin1 | Table::Utf8 => {
                    chunk.push(u8::try_from(text.len()).map_err(|_| NoTwin::LongName)?);
                }
            }
            chunk.extend(text.as_bytes());
        }
        Ok(chunk)
    }
}

/// The attributes, and that it is a shim, with the agent that it calls (what looks for leftovers of a run must not take that
/// away) and its key (a process that waits for another version sees by it which is loaded). The MD5 of a module does not depend on them.
fn attributes(chunk: Option<&[u8]>, agent: &str, key: &str) -> Vec<u8> {
    let known = chunk.and_then(|chunk| etf::decode(chunk).ok());
    let mut all = match known {
        Some(Term::List(all)) => all,
        _ => Vec::new(),
    };
    for (name, value) in [(ATTRIBUTE, agent), (KEY, key)] {
        all.push(Term::tuple([
            Term::atom(name),
            Term::list([Term::atom(value)]),
        ]));
    }
    etf::encode(&Term::List(all))
}

/// A table of literals with one more at its end.
fn with_literal(old: &Literals<'_>, more: &[u8]) -> Result<Vec<u8>, NoTwin> {
    let number = |n: usize| u32::try_from(n).map_err(|_| NoTwin::TooBig);
    let mut plain = number(old.len() + 1)?.to_be_bytes().to_vec();
    let known = (0..old.len()).filter_map(|at| old.get(at));
    for literal in known.chain([more]) {
        plain.extend(number(literal.len())?.to_be_bytes());
        plain.extend(literal);
    }
    let packed = number(plain.len())?.to_be_bytes().to_vec();
    let mut packed = flate2::write::ZlibEncoder::new(packed, flate2::Compression::fast());
    let written = packed.write_all(&plain).and_then(|()| packed.finish());
    written.map_err(|_| NoTwin::TooBig)
}
