//! One module as an excerpt reads it: its tables, where its functions are, and what each of them refers to.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use crate::facts::beam::BeamError;
use crate::facts::beam::chunk::{Atoms, Chunks, Literals, triples};
use crate::facts::beam::cursor::{ByteCursor, Tag};
use crate::facts::beam::opcode as op;

use super::super::chunks::Rows;
use super::super::error::NoTwin;

/// Strings that binaries are made of and compared with: `bs_put_string/2`, `bs_match_string/4`.
pub(super) const BS_PUT_STRING: u8 = 92;
pub(super) const BS_MATCH_STRING: u8 = 132;
/// `bs_create_bin/6`, whose list has six elements for each segment.
pub(super) const BS_CREATE_BIN: u8 = 177;
/// The first instruction for native records (OTP 29), which belong to the module that defines them.
const NATIVE_RECORDS: u8 = 186;

const BAD_CODE: NoTwin = NoTwin::Beam(BeamError::BadChunk("Code"));

/// The tables of a module.
pub(super) struct Source<'a> {
    pub(super) atoms: Atoms<'a>,
    pub(super) imports: Vec<[u32; 3]>,
    pub(super) literals: Literals<'a>,
    /// `FunT`: function, arity, label, index, free variables, old identity.
    pub(super) lambdas: Vec<[u32; 6]>,
    pub(super) strings: &'a [u8],
    pub(super) lines: Lines<'a>,
    pub(super) code: &'a [u8],
    /// The highest opcode, as the compiler states it.
    pub(super) opcode_max: u32,
    pub(super) functions: Vec<Function>,
    by_label: HashMap<u32, usize>,
    /// By name: arities, and the places in `functions`.
    exported: HashMap<Arc<str>, Vec<(u32, usize)>>,
}

/// A function in the code.
pub(super) struct Function {
    /// Its name, as the index of an atom.
    pub(super) name: u32,
    pub(super) arity: u32,
    /// From the label before `func_info` to the next function.
    pub(super) code: Range<usize>,
    /// Where it is entered.
    pub(super) entry: u32,
}

/// What a function refers to: functions of its own module, by their place in [`Source::functions`], and imports.
#[derive(Default)]
pub(super) struct References {
    pub(super) own: BTreeSet<usize>,
    pub(super) imports: BTreeSet<u32>,
}

/// The places in the text that `line` instructions refer to.
#[derive(Default)]
pub(super) struct Lines<'a> {
    /// File and line; file 0 is that of the module.
    items: Vec<(usize, u32)>,
    files: Vec<&'a str>,
}

impl<'a> Lines<'a> {
    /// Lines are a comfort: a missing or damaged table has none.
    fn read(chunk: Option<&'a [u8]>) -> Self {
        chunk.and_then(Self::parse).unwrap_or_default()
    }

    /// As `beam_asm:build_line_table/1` writes it.
    fn parse(chunk: &'a [u8]) -> Option<Self> {
        let mut data = ByteCursor::new(chunk);
        let version = data.u32()?;
        let (_flags, _instructions) = (data.u32()?, data.u32()?);
        let (items, files) = (data.u32()? as usize, data.u32()? as usize);
        if version != 0 || items > data.left() || files > data.left() {
            return None;
        }
        let mut found = Self::default();
        let mut file = 0;
        while found.items.len() < items {
            match data.compact()? {
                (Tag::I, line) => found.items.push((file, u32::try_from(line?).ok()?)),
                (Tag::A, other) => file = usize::try_from(other?).ok()?,
                _ => return None,
            }
        }
        for _ in 0..files {
            let [high, low] = *data.take(2)?.first_chunk()?;
            let text = data.take(usize::from(u16::from_be_bytes([high, low])))?;
            found.files.push(std::str::from_utf8(text).ok()?);
        }
        Some(found)
    }

    /// The file, unless it is that of the module, and the line; index 0 is none.
    pub(super) fn get(&self, index: u32) -> Option<(Option<&'a str>, u32)> {
        let (file, line) = *self.items.get((index as usize).checked_sub(1)?)?;
        match file.checked_sub(1) {
            None => Some((None, line)),
            Some(listed) => Some((Some(self.files.get(listed)?), line)),
        }
    }
}

/// Which tables the plain numbers of an instruction are indices into, by the position of the operand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Index {
    Import,
    Lambda,
    Line,
    /// A number of a label.
    Label,
    /// An offset in the table of strings.
    String,
}

/// The index among the operands of an instruction.
pub(super) fn index_of(opcode: u8) -> Option<(usize, Index)> {
    Some(match opcode {
        op::LABEL => (0, Index::Label),
        op::BIF0 => (0, Index::Import),
        op::CALL_EXT | op::CALL_EXT_LAST | op::CALL_EXT_ONLY | op::BIF1 | op::BIF2 | op::BIF3 => {
            (1, Index::Import)
        }
        op::GC_BIF1 | op::GC_BIF2 | op::GC_BIF3 => (2, Index::Import),
        // A call of a fun that the compiler knows has its index there, any other an atom.
        op::MAKE_FUN2 | op::MAKE_FUN3 | op::CALL_FUN2 => (0, Index::Lambda),
        op::LINE => (0, Index::Line),
        BS_PUT_STRING => (1, Index::String),
        BS_MATCH_STRING => (3, Index::String),
        _ => return None,
    })
}

impl<'a> Source<'a> {
    /// Reads the tables; finds the functions.
    ///
    /// # Errors
    /// When nothing can be taken from it, by [`NoTwin`] as of a twin.
    pub(super) fn read(plain: &'a [u8]) -> Result<Self, NoTwin> {
        let chunks = Chunks::parse(plain)?;
        let atoms = Atoms::read(&chunks)?;
        let code = chunks.get(b"Code").ok_or(BeamError::MissingChunk("Code"))?;
        let lambdas = Rows::read(&chunks, "FunT", 24)?;
        let lambdas = lambdas.rows().filter_map(|row| row.try_into().ok());
        let mut source = Self {
            atoms,
            imports: triples(&chunks, "ImpT")?,
            literals: Literals::read(&chunks)?,
            lambdas: lambdas.collect(),
            strings: chunks.get(b"StrT").unwrap_or_default(),
            lines: Lines::read(chunks.get(b"Line")),
            code,
            opcode_max: 0,
            functions: Vec::new(),
            by_label: HashMap::new(),
            exported: HashMap::new(),
        };
        if source.loads_nifs()? {
            return Err(NoTwin::Nif);
        }
        source.find_functions()?;
        source.find_exported(&chunks)?;
        Ok(source)
    }

    fn find_functions(&mut self) -> Result<(), NoTwin> {
        let mut header = ByteCursor::new(self.code);
        let size = header.u32().and_then(|size| usize::try_from(size).ok());
        let mut fields = ByteCursor::new(size.and_then(|s| header.take(s)).ok_or(BAD_CODE)?);
        let (set, most) = (fields.u32(), fields.u32());
        if set.ok_or(BAD_CODE)? != 0 {
            return Err(NoTwin::Unknown);
        }
        self.opcode_max = most.ok_or(BAD_CODE)?;
        let mut reader = Reader {
            cursor: header,
            size: self.code.len(),
        };
        // The label of a function comes right before its `func_info`, but for a line.
        let (mut last_label, mut entering) = (None, false);
        loop {
            let start = reader.at();
            let opcode = reader.cursor.u8().ok_or(BAD_CODE)?;
            if opcode == op::INT_CODE_END {
                self.function_ends(start);
                return Ok(());
            }
            match opcode {
                op::ON_LOAD => return Err(NoTwin::OnLoad),
                op::NIF_START => return Err(NoTwin::Nif),
                _ => {}
            }
            let arity = op::arity(opcode).ok_or(NoTwin::Unknown)?;
            let mut operands = [None; 3];
            for at in 0..arity {
                let found = reader.operand(&mut |_, _| {}).ok_or(NoTwin::Unknown)?;
                if let Some(slot) = operands.get_mut(at) {
                    *slot = found;
                }
            }
            match (opcode, operands) {
                (op::LABEL, [Some((Tag::U, label)), ..]) => {
                    if entering {
                        self.functions.last_mut().ok_or(BAD_CODE)?.entry = label;
                        entering = false;
                    }
                    if let Some(known) = self.functions.len().checked_sub(1) {
                        self.by_label.insert(label, known);
                    }
                    last_label = Some((label, start));
                }
                (op::FUNC_INFO, [_, Some((Tag::A, name)), Some((Tag::U, arity))]) => {
                    let (label, from) = last_label.take().ok_or(BAD_CODE)?;
                    self.function_ends(from);
                    self.by_label.insert(label, self.functions.len());
                    self.functions.push(Function {
                        name,
                        arity,
                        code: from..from,
                        entry: 0,
                    });
                    entering = true;
                }
                (op::LABEL | op::FUNC_INFO, _) => return Err(BAD_CODE),
                _ => {}
            }
        }
    }

    fn function_ends(&mut self, at: usize) {
        if let Some(last) = self.functions.last_mut() {
            last.code.end = at;
        }
    }

    fn find_exported(&mut self, chunks: &Chunks<'a>) -> Result<(), NoTwin> {
        for [name, arity, label] in triples(chunks, "ExpT")? {
            let function = self.labelled(label).ok_or(BAD_CODE)?;
            let of = &self.functions[function];
            if (of.name, of.arity, of.entry) != (name, arity, label) {
                return Err(BAD_CODE);
            }
            let name = self.atoms.get(name).ok_or(BAD_CODE)?.clone();
            self.exported
                .entry(name)
                .or_default()
                .push((arity, function));
        }
        Ok(())
    }

    /// A function that other modules may call.
    pub(super) fn exported(&self, name: &str, arity: u32) -> Option<usize> {
        let arities = self.exported.get(name)?;
        let found = arities.iter().find(|(of, _)| *of == arity);
        found.map(|(_, function)| *function)
    }

    /// Whether it says by its imports that it has NIFs (see [`NoTwin`]).
    fn loads_nifs(&self) -> Result<bool, NoTwin> {
        for [owner, function, _] in &self.imports {
            if text(self, *owner)? == "erlang" && text(self, *function)? == "load_nif" {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The function that a label is in.
    pub(super) fn labelled(&self, label: u32) -> Option<usize> {
        self.by_label.get(&label).copied()
    }

    pub(super) fn string(&self, from: usize) -> Option<&'a [u8]> {
        self.strings.get(from..)
    }

    /// What a function refers to.
    ///
    /// # Errors
    /// When it has an instruction that belongs to its module only.
    pub(super) fn references(&self, function: &Function) -> Result<References, NoTwin> {
        let mut found = References::default();
        let mut reader = Reader::within(self.code, &function.code);
        while reader.at() < function.code.end {
            let opcode = reader.cursor.u8().ok_or(BAD_CODE)?;
            if let op::EXECUTABLE_LINE | op::DEBUG_LINE | NATIVE_RECORDS.. = opcode {
                return Err(NoTwin::Unknown);
            }
            let index = index_of(opcode);
            for at in 0..op::arity(opcode).ok_or(NoTwin::Unknown)? {
                let mut labels = Vec::new();
                let operand = reader.operand(&mut |tag, value| {
                    if tag == Tag::F {
                        labels.push(value);
                    }
                });
                let operand = operand.ok_or(NoTwin::Unknown)?;
                for label in labels.into_iter().filter(|label| *label != 0) {
                    found.own.insert(self.labelled(label).ok_or(BAD_CODE)?);
                }
                match (index, operand) {
                    (Some((place, Index::Import)), Some((Tag::U, import))) if place == at => {
                        found.imports.insert(import);
                    }
                    (Some((place, Index::Lambda)), Some((Tag::U, lambda))) if place == at => {
                        let row = usize::try_from(lambda).ok();
                        let row = row.and_then(|row| self.lambdas.get(row)).ok_or(BAD_CODE)?;
                        found.own.insert(self.labelled(row[2]).ok_or(BAD_CODE)?);
                    }
                    _ => {}
                }
            }
        }
        Ok(found)
    }
}

/// The text of the atom that is the name of a module, or a function in one: borrowed from its table.
pub(super) fn text<'s>(source: &'s Source<'_>, atom: u32) -> Result<Cow<'s, str>, NoTwin> {
    let text = source.atoms.text(atom);
    text.map(Cow::Borrowed).ok_or(BAD_CODE)
}

/// A position in the code, with operands that are read and not kept.
pub(super) struct Reader<'a> {
    pub(super) cursor: ByteCursor<'a>,
    /// Bytes of the whole chunk.
    size: usize,
}

impl<'a> Reader<'a> {
    /// At the beginning of a function.
    pub(super) fn within(code: &'a [u8], function: &Range<usize>) -> Self {
        let cursor = ByteCursor::new(code.get(function.start..).unwrap_or_default());
        Self {
            cursor,
            size: code.len(),
        }
    }

    pub(super) fn at(&self) -> usize {
        self.size - self.cursor.left()
    }

    /// Passes an operand. `each` sees atoms, labels and numbers, those in lists included; the value is that of an operand
    /// that is one of these itself.
    pub(super) fn operand(&mut self, each: &mut dyn FnMut(Tag, u32)) -> Option<Option<(Tag, u32)>> {
        match self.cursor.compact()? {
            (Tag::Z, Some(1)) => {
                for _ in 0..self.cursor.list_size()? {
                    match self.cursor.compact()? {
                        (Tag::Z, Some(1)) => return None,
                        (Tag::Z, kind) => self.cursor.pass_extended(kind?)?,
                        (tag, value) => see(tag, value, each),
                    }
                }
                Some(None)
            }
            (Tag::Z, kind) => {
                self.cursor.pass_extended(kind?)?;
                Some(None)
            }
            (tag, value) => {
                see(tag, value, each);
                Some(
                    value
                        .and_then(|value| u32::try_from(value).ok())
                        .map(|value| (tag, value)),
                )
            }
        }
    }
}

fn see(tag: Tag, value: Option<i64>, each: &mut dyn FnMut(Tag, u32)) {
    if let Some(value) = value.and_then(|value| u32::try_from(value).ok()) {
        each(tag, value);
    }
}
