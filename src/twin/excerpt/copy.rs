//! The beam of an excerpt: functions of several modules, copied with every index exchanged for one into common tables.

use std::collections::{BTreeSet, HashMap};
use std::io::Write;

use crate::facts::beam::BeamError;
use crate::facts::beam::chunk::ChunkId;
use crate::facts::beam::cursor::Tag;
use crate::facts::beam::opcode as op;

use super::super::chunks::Builder;
use super::super::encode::compact;
use super::super::error::NoTwin;
use super::source::{BS_CREATE_BIN, Function, Index, Reader, Source, index_of, text};
use super::{NAME, Place, World, name};

const BAD_CODE: NoTwin = NoTwin::Beam(BeamError::BadChunk("Code"));

/// The longest atom, in characters.
const MAX_ATOM: usize = 255;

/// The elements of a segment in the list of a `bs_create_bin`: kind, place, unit, flags, value, size.
const SEGMENT: usize = 6;

/// The tables of an excerpt in the making.
pub(super) struct Excerpted<'w, 'a, 'p> {
    world: &'w World<'a, 'p>,
    atoms: Table<String>,
    literals: Table<(usize, u32)>,
    imports: Table<[u32; 3]>,
    /// By source and index there.
    lambdas: Table<(usize, u32)>,
    labels: Table<(usize, u32)>,
    files: Table<String>,
    /// File, by its place in the table, and line.
    lines: Table<(u32, u32)>,
    line_instructions: u32,
    /// Where the strings of a source begin.
    strings: HashMap<usize, usize>,
    string_table: Vec<u8>,
    code: Vec<u8>,
}

/// Things by their index, 0 the first.
struct Table<T> {
    index: HashMap<T, u32>,
    rows: Vec<T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            index: HashMap::new(),
            rows: Vec::new(),
        }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Table<T> {
    fn index(&mut self, row: T) -> Result<u32, NoTwin> {
        if let Some(known) = self.index.get(&row) {
            return Ok(*known);
        }
        let index = u32::try_from(self.rows.len()).map_err(|_| NoTwin::TooBig)?;
        self.rows.push(row.clone());
        self.index.insert(row, index);
        Ok(index)
    }
}

impl<'w, 'a, 'p> Excerpted<'w, 'a, 'p> {
    /// The beam with these functions, and how many funs it makes.
    pub(super) fn of(
        world: &'w World<'a, 'p>,
        taken: &BTreeSet<Place>,
    ) -> Result<(Vec<u8>, usize), NoTwin> {
        let mut new = Self {
            world,
            atoms: Table::default(),
            literals: Table::default(),
            imports: Table::default(),
            lambdas: Table::default(),
            labels: Table::default(),
            files: Table::default(),
            lines: Table::default(),
            line_instructions: 0,
            strings: HashMap::new(),
            string_table: Vec::new(),
            code: Vec::new(),
        };
        new.atom(NAME)?;
        let mut exports = Vec::new();
        let mut opcode_max = 0;
        for place @ (of, function) in taken {
            let source = &world.sources[*of].1;
            let function = &source.functions[*function];
            opcode_max = opcode_max.max(source.opcode_max);
            new.function(*place, source, function)?;
            let name = new.function_name(*of, function.name)?;
            exports.extend([name, function.arity, new.label(*of, function.entry)?]);
        }
        for arity in [0, 1] {
            exports.extend(new.module_info(arity)?);
        }
        new.code.push(op::INT_CODE_END);
        let funs = new.lambdas.rows.len();
        Ok((new.file(taken.len() + 2, opcode_max, &exports)?, funs))
    }

    /// What every module has, as the compiler writes it: whatever looks at all modules of a node calls it. Gives its row of
    /// the exports.
    fn module_info(&mut self, arity: u32) -> Result<[u32; 3], NoTwin> {
        // No source has this place.
        let label = |new: &mut Self, number| new.label(usize::MAX, 1 + 2 * arity + number);
        let (before, entry) = (label(self, 0)?, label(self, 1)?);
        let name = self.atom("module_info")?;
        let asked = [
            self.atom("erlang")?,
            self.atom("get_module_info")?,
            arity + 1,
        ];
        let asked = self.imports.index(asked)?;
        let own = compact(Tag::A, 1);
        let mut code = vec![op::LABEL];
        code.extend(compact(Tag::U, before));
        code.push(op::FUNC_INFO);
        code.extend(&own);
        code.extend(compact(Tag::A, name));
        code.extend(compact(Tag::U, arity));
        code.push(op::LABEL);
        code.extend(compact(Tag::U, entry));
        if arity == 1 {
            code.push(op::MOVE);
            code.extend(compact(Tag::X, 0));
            code.extend(compact(Tag::X, 1));
        }
        code.push(op::MOVE);
        code.extend(&own);
        code.extend(compact(Tag::X, 0));
        code.push(op::CALL_EXT_ONLY);
        code.extend(compact(Tag::U, arity + 1));
        code.extend(compact(Tag::U, asked));
        self.code.extend(code);
        Ok([name, arity, entry])
    }

    fn file(
        mut self,
        functions: usize,
        opcode_max: u32,
        exports: &[u32],
    ) -> Result<Vec<u8>, NoTwin> {
        let number = |n: usize| u32::try_from(n).map_err(|_| NoTwin::TooBig);
        let mut lambdas = Vec::new();
        for (index, (of, row)) in self.lambdas.rows.clone().into_iter().enumerate() {
            let rows = &self.world.sources[of].1.lambdas;
            let [function, arity, label, _, free, identity] = rows[row as usize];
            let (name, label) = (self.function_name(of, function)?, self.label(of, label)?);
            lambdas.extend([name, arity, label, number(index)?, free, identity]);
        }
        let mut code = Vec::new();
        let labels = number(self.labels.rows.len() + 1)?;
        for field in [16, 0, opcode_max, labels, number(functions)?] {
            code.extend(field.to_be_bytes());
        }
        code.extend(&self.code);
        let imports: Vec<u32> = self.imports.rows.iter().flatten().copied().collect();

        let mut built = Builder::default();
        let mut atoms = number(self.atoms.rows.len())?.to_be_bytes().to_vec();
        for text in &self.atoms.rows {
            // As long as all are short, every release reads a byte for each length.
            atoms.push(u8::try_from(text.len()).map_err(|_| NoTwin::LongName)?);
            atoms.extend(text.as_bytes());
        }
        built.chunk(b"AtU8", &atoms)?;
        built.chunk(b"Code", &code)?;
        built.chunk(b"StrT", &self.string_table)?;
        built.chunk(b"ImpT", &rows(&imports, 3))?;
        built.chunk(b"ExpT", &rows(exports, 3))?;
        if !lambdas.is_empty() {
            built.chunk(b"FunT", &rows(&lambdas, 6))?;
        }
        if !self.literals.rows.is_empty() {
            built.chunk(b"LitT", &self.literal_table()?)?;
        }
        built.chunk(b"Line", &self.line_table()?)?;
        // No attributes, no information on the compiler: `[]`.
        for id in [b"Attr", b"CInf"] as [&ChunkId; 2] {
            built.chunk(id, &[131, 106])?;
        }
        built.file()
    }

    fn literal_table(&self) -> Result<Vec<u8>, NoTwin> {
        let count = u32::try_from(self.literals.rows.len()).map_err(|_| NoTwin::TooBig)?;
        let mut plain = count.to_be_bytes().to_vec();
        for (of, literal) in &self.literals.rows {
            let literals = &self.world.sources[*of].1.literals;
            let bytes = literals.get(*literal as usize).ok_or(BAD_CODE)?;
            let size = u32::try_from(bytes.len()).map_err(|_| NoTwin::TooBig)?;
            plain.extend(size.to_be_bytes());
            plain.extend(bytes);
        }
        let size = u32::try_from(plain.len()).map_err(|_| NoTwin::TooBig)?;
        let packed = size.to_be_bytes().to_vec();
        let mut packed = flate2::write::ZlibEncoder::new(packed, flate2::Compression::fast());
        let written = packed.write_all(&plain).and_then(|()| packed.finish());
        written.map_err(|_| NoTwin::TooBig)
    }

    /// As `beam_asm:build_line_table/1` writes it.
    fn line_table(&self) -> Result<Vec<u8>, NoTwin> {
        let number = |n: usize| u32::try_from(n).map_err(|_| NoTwin::TooBig);
        let (lines, files) = (
            number(self.lines.rows.len())?,
            number(self.files.rows.len())?,
        );
        let mut chunk = Vec::new();
        for field in [0, 0, self.line_instructions, lines, files] {
            chunk.extend(field.to_be_bytes());
        }
        let mut current = None;
        for (file, line) in &self.lines.rows {
            if current != Some(*file) {
                // 0 would be the file of the module.
                chunk.extend(compact(Tag::A, file + 1));
                current = Some(*file);
            }
            chunk.extend(compact(Tag::I, *line));
        }
        for file in &self.files.rows {
            let size = u16::try_from(file.len()).map_err(|_| NoTwin::TooBig)?;
            chunk.extend(size.to_be_bytes());
            chunk.extend(file.as_bytes());
        }
        Ok(chunk)
    }

    /// The index of a line, 1 the first; 0 is no line.
    fn line(&mut self, of: usize, line: u32) -> Result<u32, NoTwin> {
        let (module, source) = &self.world.sources[of];
        // The loader takes room for all of them.
        self.line_instructions += 1;
        let Some((file, line)) = source.lines.get(line) else {
            return Ok(0);
        };
        let file = file.map_or_else(|| format!("{}.erl", module.as_str()), ToOwned::to_owned);
        let file = self.files.index(file)?;
        Ok(self.lines.index((file, line))? + 1)
    }

    /// The index of an atom, 1 the first.
    fn atom(&mut self, text: &str) -> Result<u32, NoTwin> {
        if text.chars().count() > MAX_ATOM {
            return Err(NoTwin::LongName);
        }
        Ok(self.atoms.index(text.to_owned())? + 1)
    }

    fn function_name(&mut self, of: usize, function: u32) -> Result<u32, NoTwin> {
        let (module, source) = &self.world.sources[of];
        let name = name(module.as_str(), &text(source, function)?);
        self.atom(&name)
    }

    /// 0 is no label in every module.
    fn label(&mut self, of: usize, label: u32) -> Result<u32, NoTwin> {
        match label {
            0 => Ok(0),
            label => Ok(self.labels.index((of, label))? + 1),
        }
    }

    /// An import: to the excerpt itself, where the call is to a function of the upgrade.
    fn import(&mut self, of: usize, import: u32) -> Result<u32, NoTwin> {
        let source = &self.world.sources[of].1;
        let [owner, function, arity] = *source.imports.get(import as usize).ok_or(BAD_CODE)?;
        let (owner, function) = (text(source, owner)?, text(source, function)?);
        let row = match self.world.called(&owner, &function, arity) {
            Some((to, place)) => {
                let name = self.world.sources[to].1.functions[place].name;
                [1, self.function_name(to, name)?, arity]
            }
            None => [self.atom(&owner)?, self.atom(&function)?, arity],
        };
        self.imports.index(row)
    }

    fn string(&mut self, of: usize, offset: u32) -> Result<u32, NoTwin> {
        let source = &self.world.sources[of].1;
        let start = *self.strings.entry(of).or_insert_with(|| {
            let start = self.string_table.len();
            self.string_table
                .extend(source.string(0).unwrap_or_default());
            start
        });
        let start = u32::try_from(start).map_err(|_| NoTwin::TooBig)?;
        start.checked_add(offset).ok_or(NoTwin::TooBig)
    }

    /// The index in the excerpt of what a number of an instruction means.
    fn index(&mut self, of: usize, what: Index, number: u32) -> Result<u32, NoTwin> {
        match what {
            Index::Import => self.import(of, number),
            Index::Lambda => self.lambdas.index((of, number)),
            Index::Label => self.label(of, number),
            Index::String => self.string(of, number),
            Index::Line => self.line(of, number),
        }
    }

    fn function(
        &mut self,
        (of, _): Place,
        source: &Source<'_>,
        function: &Function,
    ) -> Result<(), NoTwin> {
        let mut reader = Reader::within(source.code, &function.code);
        while reader.at() < function.code.end {
            let opcode = reader.cursor.u8().ok_or(BAD_CODE)?;
            self.code.push(opcode);
            let arity = op::arity(opcode).ok_or(NoTwin::Unknown)?;
            if opcode == op::FUNC_INFO {
                for _ in 0..2 {
                    reader.operand(&mut |_, _| {}).ok_or(BAD_CODE)?;
                }
                let name = self.function_name(of, function.name)?;
                self.code.extend(compact(Tag::A, 1));
                self.code.extend(compact(Tag::A, name));
                self.operand(of, &mut reader, None, false)?;
                continue;
            }
            let index = index_of(opcode);
            for at in 0..arity {
                let what = index
                    .filter(|(place, _)| *place == at)
                    .map(|(_, what)| what);
                self.operand(of, &mut reader, what, opcode == BS_CREATE_BIN)?;
            }
        }
        Ok(())
    }

    /// Copies an operand. `segments`: a list is that of a `bs_create_bin`.
    fn operand(
        &mut self,
        of: usize,
        reader: &mut Reader<'_>,
        what: Option<Index>,
        segments: bool,
    ) -> Result<(), NoTwin> {
        let before = reader.cursor.clone();
        match reader.cursor.compact().ok_or(BAD_CODE)? {
            (Tag::Z, Some(1)) => {
                let size = reader.cursor.list_size().ok_or(BAD_CODE)?;
                self.code.extend(compact(Tag::Z, 1));
                self.number(size)?;
                let mut is_string = false;
                for at in 0..size {
                    let (segment, part) = (segments && size % SEGMENT == 0, at % SEGMENT);
                    let mut peeked = reader.cursor.clone();
                    if segment && part == 0 {
                        is_string = matches!(peeked.compact(), Some((Tag::A, Some(kind)))
                            if u32::try_from(kind).ok().and_then(|kind| {
                                self.world.sources[of].1.atoms.text(kind)
                            }) == Some("string"));
                    }
                    let what = (segment && part == 4 && is_string).then_some(Index::String);
                    self.simple(of, reader, what)?;
                }
                Ok(())
            }
            _ => {
                reader.cursor = before;
                self.simple(of, reader, what)
            }
        }
    }

    /// Copies what is no list.
    fn simple(
        &mut self,
        of: usize,
        reader: &mut Reader<'_>,
        what: Option<Index>,
    ) -> Result<(), NoTwin> {
        let before = reader.cursor.rest();
        let (tag, value) = reader.cursor.compact().ok_or(BAD_CODE)?;
        let raw = &before[..before.len() - reader.cursor.left()];
        let number = value.and_then(|value| u32::try_from(value).ok());
        match (tag, number) {
            (Tag::A, Some(atom)) if atom != 0 => {
                let text = text(&self.world.sources[of].1, atom)?.into_owned();
                let atom = self.atom(&text)?;
                self.code.extend(compact(Tag::A, atom));
            }
            (Tag::F, Some(label)) => {
                let label = self.label(of, label)?;
                self.code.extend(compact(Tag::F, label));
            }
            (Tag::U, Some(number)) => {
                let number = match what {
                    Some(what) => self.index(of, what, number)?,
                    None => number,
                };
                self.code.extend(compact(Tag::U, number));
            }
            (Tag::Z, Some(kind)) => return self.extended(of, reader, kind, raw),
            _ => self.code.extend(raw),
        }
        Ok(())
    }

    fn extended(
        &mut self,
        of: usize,
        reader: &mut Reader<'_>,
        kind: u32,
        head: &[u8],
    ) -> Result<(), NoTwin> {
        match kind {
            // A floating point register.
            2 => {
                self.code.extend(head);
                let register = reader.cursor.number().ok_or(BAD_CODE)?;
                self.number(register)
            }
            // An allocation list.
            3 => {
                let size = reader.cursor.list_size().ok_or(BAD_CODE)?;
                self.code.extend(head);
                self.number(size)?;
                for _ in 0..2 * size {
                    let number = reader.cursor.number().ok_or(BAD_CODE)?;
                    self.number(number)?;
                }
                Ok(())
            }
            4 => {
                let literal = reader.cursor.number().ok_or(BAD_CODE)?;
                let literal = u32::try_from(literal).map_err(|_| BAD_CODE)?;
                self.code.extend(head);
                let literal = self.literals.index((of, literal))?;
                self.number(literal as usize)
            }
            // What is known of the type of a register is in a table of the module: the register will do.
            5 => {
                let (tag, register) = reader.cursor.compact().ok_or(BAD_CODE)?;
                reader.cursor.number().ok_or(BAD_CODE)?;
                let register = register
                    .and_then(|r| u32::try_from(r).ok())
                    .ok_or(BAD_CODE)?;
                self.code.extend(compact(tag, register));
                Ok(())
            }
            _ => Err(NoTwin::Unknown),
        }
    }

    fn number(&mut self, number: usize) -> Result<(), NoTwin> {
        let number = u32::try_from(number).map_err(|_| NoTwin::TooBig)?;
        self.code.extend(compact(Tag::U, number));
        Ok(())
    }
}

/// A chunk that is a count and rows of so many cells.
fn rows(cells: &[u32], width: usize) -> Vec<u8> {
    let count = u32::try_from(cells.len() / width).unwrap_or(u32::MAX);
    let mut chunk = count.to_be_bytes().to_vec();
    chunk.extend(cells.iter().flat_map(|cell| cell.to_be_bytes()));
    chunk
}
