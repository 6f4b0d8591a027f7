//! The code of a twin: every operand that is the module's own name as data becomes an atom at the end of the table.
//!
//! Labels are numbers and not offsets, so the code may grow. Instructions are copied as they are; what is looked at are
//! their operands, compact terms of different lengths. Something unknown is a refusal, never a guess.

use std::collections::BTreeMap;

use crate::facts::beam::BeamError;
use crate::facts::beam::chunk::Atoms;
use crate::facts::beam::cursor::{ByteCursor, Tag};
use crate::facts::beam::opcode as op;

use super::encode::compact;
use super::error::NoTwin;

/// What is to be renamed in one module.
pub(super) struct Renaming<'a> {
    pub(super) atoms: &'a Atoms<'a>,
    /// The index of the real name.
    pub(super) own: u32,
    /// Functions that are built into the emulator (name as index, arity), with the import that is the real one.
    pub(super) stubs: &'a BTreeMap<(u32, u32), u32>,
}

impl Renaming<'_> {
    /// A `Code` chunk for the twin.
    pub(super) fn code(&self, chunk: &[u8]) -> Result<Vec<u8>, NoTwin> {
        const BAD: NoTwin = NoTwin::Beam(BeamError::BadChunk("Code"));
        let mut header = ByteCursor::new(chunk);
        let size = header.u32().ok_or(BAD)?;
        let fields = usize::try_from(size)
            .ok()
            .and_then(|size| header.take(size));
        let instruction_set = fields.and_then(|fields| ByteCursor::new(fields).u32());
        if instruction_set.ok_or(BAD)? != 0 {
            return Err(NoTwin::Unknown);
        }
        let mut copy = Copy::new(chunk, header, self.own);
        // In `module_info` the name is no data: the function answers for the module that it is in.
        let mut replaces = true;
        let mut stub = None;
        loop {
            match copy.opcode().ok_or(BAD)? {
                op::INT_CODE_END => return Ok(copy.finish()),
                op::ON_LOAD => return Err(NoTwin::OnLoad),
                op::NIF_START => return Err(NoTwin::Nif),
                op::FUNC_INFO => {
                    copy.operand(false).ok_or(BAD)?;
                    let name = copy.operand(true).ok_or(BAD)?;
                    let arity = copy.operand(true).ok_or(BAD)?;
                    let (Operand::Atom(name), Operand::Number(arity)) = (name, arity) else {
                        return Err(BAD);
                    };
                    let is_info = self.atoms.text(name) == Some("module_info") && arity < 2;
                    replaces = !is_info;
                    stub = self
                        .stubs
                        .get(&(name, arity))
                        .map(|import| (arity, *import));
                }
                opcode => {
                    let arity = op::arity(opcode).ok_or(NoTwin::Unknown)?;
                    for _ in 0..arity {
                        copy.operand(replaces).ok_or(NoTwin::Unknown)?;
                    }
                    if let (op::LABEL, Some((arity, import))) = (opcode, stub) {
                        copy.insert(&[op::CALL_EXT_ONLY]);
                        copy.insert(&compact(Tag::U, arity));
                        copy.insert(&compact(Tag::U, import));
                        stub = None;
                    }
                }
            }
        }
    }

    /// A `Recs` chunk (OTP 29 and later): definitions of records, written as instructions.
    pub(super) fn records(&self, chunk: &[u8]) -> Result<Vec<u8>, NoTwin> {
        const BAD: NoTwin = NoTwin::Beam(BeamError::BadChunk("Recs"));
        let mut header = ByteCursor::new(chunk);
        let version = header.u32().ok_or(BAD)?;
        let (count, _fields) = (header.u32().ok_or(BAD)?, header.u32().ok_or(BAD)?);
        if version != 0 {
            return Err(NoTwin::Unknown);
        }
        let mut copy = Copy::new(chunk, header, self.own);
        for _ in 0..count {
            let opcode = copy.opcode().ok_or(BAD)?;
            for _ in 0..op::arity(opcode).ok_or(NoTwin::Unknown)? {
                copy.operand(true).ok_or(BAD)?;
            }
        }
        Ok(copy.finish())
    }
}

/// What an operand is, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operand {
    Atom(u32),
    Number(u32),
    Other,
}

/// Bytes that are copied with atoms exchanged.
struct Copy<'a> {
    bytes: &'a [u8],
    cursor: ByteCursor<'a>,
    /// Up to where the bytes are copied.
    copied: usize,
    copy: Vec<u8>,
    own: Vec<u8>,
}

impl<'a> Copy<'a> {
    /// `cursor` is in `bytes`: what is before it is copied as it is.
    fn new(bytes: &'a [u8], cursor: ByteCursor<'a>, own: u32) -> Self {
        Self {
            bytes,
            cursor,
            copied: 0,
            copy: Vec::with_capacity(bytes.len() + bytes.len() / 16),
            own: compact(Tag::A, own),
        }
    }

    fn at(&self) -> usize {
        self.bytes.len() - self.cursor.left()
    }

    fn opcode(&mut self) -> Option<u8> {
        self.cursor.u8()
    }

    /// Copies what has been read.
    fn flush(&mut self, until: usize) {
        self.copy.extend(&self.bytes[self.copied..until]);
        self.copied = until;
    }

    fn insert(&mut self, bytes: &[u8]) {
        self.flush(self.at());
        self.copy.extend(bytes);
    }

    fn finish(mut self) -> Vec<u8> {
        self.flush(self.bytes.len());
        self.copy
    }

    /// An operand; with `replaces` the module's own name becomes data.
    fn operand(&mut self, replaces: bool) -> Option<Operand> {
        match self.plain(replaces)? {
            (Tag::Z, Some(1)) => {
                for _ in 0..self.cursor.list_size()? {
                    match self.plain(replaces)? {
                        (Tag::Z, Some(1)) => return None,
                        (Tag::Z, kind) => self.cursor.pass_extended(kind?)?,
                        _ => {}
                    }
                }
                Some(Operand::Other)
            }
            (Tag::Z, kind) => {
                self.cursor.pass_extended(kind?)?;
                Some(Operand::Other)
            }
            (tag, value) => {
                let number = value.and_then(|value| u32::try_from(value).ok());
                Some(match (tag, number) {
                    (Tag::A, number) => Operand::Atom(number?),
                    (Tag::U, Some(number)) => Operand::Number(number),
                    _ => Operand::Other,
                })
            }
        }
    }

    /// A compact term.
    fn plain(&mut self, replaces: bool) -> Option<(Tag, Option<i64>)> {
        let start = self.at();
        let found = self.cursor.compact()?;
        if found == (Tag::A, Some(1)) && replaces {
            self.flush(start);
            self.copy.extend(&self.own);
            self.copied = self.at();
        }
        Some(found)
    }
}
