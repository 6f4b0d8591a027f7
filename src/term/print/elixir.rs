//! Terms as Elixir's `inspect/2` writes them: `%Shop.Cart{id: 1}`, `"text"`, `:atom`, `nil`, `[a: 1]`, `~c"abc"`.
//!
//! Takes a term and a width in columns, gives its lines, broken by the rules of `Inspect.Algebra`.
//!
//! Known differences. Which structs a node has is not asked: whatever has a module under `__struct__` and only atoms as
//! keys is written as a struct, with its fields in the order of the keys, where Elixir has that of the definition.
//! Structs with an implementation of `Inspect` of their own are written field by field, but for `Range`, `MapSet`,
//! `Date`, `Time`, `NaiveDateTime` and a `DateTime` in UTC. Lists of characters are `~c"…"` also where an Elixir
//! before 1.15 writes `'…'`. A closure has no function (`#Function<0.1/1 in Mod>`). Which atoms need quotes is decided
//! by letters and digits; Elixir's rules on scripts and normalised forms are not applied. Lines are as long as their
//! characters; Elixir counts the bytes of atoms, and breaks lines earlier where they are not ASCII. A container that is the key of a
//! map may be broken one item later.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::elixir_text::{
    escaped, is_alias, is_charlist, key, literal, module_of_fun, printable, remote,
};
use super::sink::{Count, Limited, Sink, Whole};
use super::{CUT, line, text};
use crate::term::{Atom, Fun, Term};

/// How lists of characters are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charlists {
    /// `~c"abc"`, which every Elixir reads.
    Sigil,
    /// `'abc'`, as before Elixir 1.15.
    Quotes,
}

/// A term in lines of at most `width` columns, as `inspect(term, limit: :infinity, pretty: true)` breaks them.
#[expect(clippy::expect_used, reason = "a string takes everything")]
pub fn elixir(term: &Term, width: usize, charlists: Charlists) -> String {
    let mut out = String::new();
    page(&mut Whole(&mut out), term, width, charlists).expect("a string takes everything");
    out
}

/// The same, but no more than `limit` bytes of text are made; then it ends in [`CUT`]. Says whether it is whole.
pub fn elixir_within(term: &Term, width: usize, limit: usize) -> (String, bool) {
    let mut text = String::new();
    let mut out = Limited::new(&mut text, limit);
    let _ = page(&mut out, term, width, Charlists::Sigil);
    let whole = !out.is_full();
    if !whole {
        text.push_str(CUT);
    }
    (text, whole)
}

fn page(out: &mut impl Sink, term: &Term, width: usize, charlists: Charlists) -> fmt::Result {
    let mut page = Page {
        out,
        column: 0,
        width,
        charlists,
    };
    page.term(term, 0, 0)
}

/// What a container is written as.
struct Container<'a> {
    open: String,
    items: Vec<Item<'a>>,
    close: &'static str,
    lines: Lines,
}

/// How the items of a container that does not fit are broken into lines.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lines {
    /// One item on each line.
    Each,
    /// As many on a line as fit.
    Filled,
    /// Filled where no item has parts of its own.
    FilledIfSimple,
}

/// One item of a container.
enum Item<'a> {
    /// A value.
    Value(&'a Term),
    /// `key: value`.
    Keyed(&'a Atom, &'a Term),
    /// `key => value`.
    Pair(&'a Term, &'a Term),
    /// What is behind the `|` of a list that is not proper.
    Tail(&'a Term),
    /// One byte, or the bits of the last one.
    Segment(u8, u8),
}

impl Item<'_> {
    /// Whether it has no parts of its own.
    fn is_simple(&self) -> bool {
        match self {
            Self::Value(term) | Self::Tail(term) | Self::Keyed(_, term) => !has_parts(term),
            Self::Pair(key, term) => !has_parts(key) && !has_parts(term),
            Self::Segment(..) => true,
        }
    }
}

/// Whether [`container`] gives items for a term; looks no deeper than that.
fn has_parts(term: &Term) -> bool {
    match term {
        Term::Tuple(elements) => !elements.is_empty(),
        Term::List(elements) => !elements.is_empty() && !is_charlist(elements),
        Term::Improper(..) | Term::Bits(..) => true,
        Term::Map(pairs) => match pairs.get(&Term::atom("__struct__")) {
            None => !pairs.is_empty(),
            Some(_) => container(term).is_some_and(|found| !found.items.is_empty()),
        },
        Term::Binary(bytes) => printable(bytes).is_none(),
        _ => false,
    }
}

/// The parts of a term that has parts; `None` for one that is written in one piece.
fn container(term: &Term) -> Option<Container<'_>> {
    let of = |open: &str, items, close, lines| {
        Some(Container {
            open: open.to_owned(),
            items,
            close,
            lines,
        })
    };
    match term {
        Term::Tuple(elements) => of(
            "{",
            elements.iter().map(Item::Value).collect(),
            "}",
            Lines::Filled,
        ),
        Term::List(elements) if is_charlist(elements) => None,
        Term::List(elements) => match keyword(elements) {
            Some(items) if !items.is_empty() => of("[", items, "]", Lines::Each),
            _ => list("[", elements.iter().collect(), None, "]"),
        },
        Term::Improper(elements, tail) => list("[", elements.iter().collect(), Some(tail), "]"),
        Term::Map(pairs) => {
            if special(pairs).is_some() {
                return None;
            }
            if let Some(elements) = map_set(pairs) {
                return list("MapSet.new([", elements, None, "])");
            }
            map(pairs)
        }
        Term::Binary(bytes) if printable(bytes).is_none() => {
            let items = bytes.iter().map(|byte| Item::Segment(*byte, 8)).collect();
            of("<<", items, ">>", Lines::Filled)
        }
        Term::Bits(bytes, used) => {
            let last = bytes.len().saturating_sub(1);
            let unused = 8 - u32::from((*used).min(8));
            let items = bytes.iter().enumerate().map(|(at, byte)| match at == last {
                true => Item::Segment(byte.checked_shr(unused).unwrap_or(0), *used),
                false => Item::Segment(*byte, 8),
            });
            of("<<", items.collect(), ">>", Lines::Filled)
        }
        _ => None,
    }
}

/// Filled into lines if it has no containers in it, else one element a line.
fn list<'a>(
    open: &str,
    elements: Vec<&'a Term>,
    tail: Option<&'a Term>,
    close: &'static str,
) -> Option<Container<'a>> {
    let mut items: Vec<Item<'a>> = elements.into_iter().map(Item::Value).collect();
    items.extend(tail.map(Item::Tail));
    Some(Container {
        open: open.to_owned(),
        items,
        close,
        lines: Lines::FilledIfSimple,
    })
}

/// Pairs whose keys are atoms, and no modules.
fn keyword(elements: &[Term]) -> Option<Vec<Item<'_>>> {
    elements.iter().map(keyed).collect()
}

fn keyed(element: &Term) -> Option<Item<'_>> {
    match element.as_tuple()? {
        [Term::Atom(key), value] if !key.as_str().starts_with("Elixir.") => {
            Some(Item::Keyed(key, value))
        }
        _ => None,
    }
}

fn map(pairs: &BTreeMap<Term, Term>) -> Option<Container<'_>> {
    let module = pairs
        .get(&Term::atom("__struct__"))
        .and_then(Term::as_atom)
        .filter(|module| is_alias(module.as_str()));
    let keys: Option<Vec<(&Atom, &Term)>> = pairs
        .iter()
        .map(|(key, value)| {
            let key = key.as_atom()?;
            (!key.as_str().starts_with("Elixir.")).then_some((key, value))
        })
        .collect();
    let (open, items) = match (keys, module) {
        (Some(keys), Some(module)) => {
            let fields = keys
                .into_iter()
                .filter(|(key, _)| **key != "__struct__" && **key != "__exception__");
            let fields = fields.map(|(key, value)| Item::Keyed(key, value)).collect();
            (format!("%{}{{", literal(module.as_str())), fields)
        }
        (Some(keys), None) => {
            let items = keys.into_iter().map(|(key, value)| Item::Keyed(key, value));
            ("%{".to_owned(), items.collect())
        }
        (None, _) => {
            let items = pairs.iter().map(|(key, value)| Item::Pair(key, value));
            ("%{".to_owned(), items.collect())
        }
    };
    Some(Container {
        open,
        items,
        close: "}",
        lines: Lines::Each,
    })
}

/// The elements of a `MapSet`.
fn map_set(pairs: &BTreeMap<Term, Term>) -> Option<Vec<&Term>> {
    let is_one = pairs
        .get(&Term::atom("__struct__"))?
        .is_atom("Elixir.MapSet");
    let map = pairs.get(&Term::atom("map"))?.as_map()?;
    is_one.then(|| map.keys().collect())
}

/// `1..3`, `~D[2026-01-31]` and their like.
fn special(pairs: &BTreeMap<Term, Term>) -> Option<String> {
    let get = |key: &str| pairs.get(&Term::atom(key));
    let number = |key: &str, from: i64, to: i64| {
        let value = get(key)?.as_i64()?;
        (from..=to).contains(&value).then_some(value)
    };
    let module = get("__struct__")?.as_atom()?.as_str();
    if module == "Elixir.Range" {
        let (first, last, step) = (get("first")?, get("last")?, get("step")?.as_i64()?);
        let whole = |term: &Term| matches!(term, Term::Int(_) | Term::Big(_));
        return (whole(first) && whole(last) && pairs.len() == 4).then(|| match step {
            1 => format!("{first}..{last}"),
            step => format!("{first}..{last}//{step}"),
        });
    }
    if !get("calendar")?.is_atom("Elixir.Calendar.ISO") {
        return None;
    }
    let date = || {
        let year = number("year", -9999, 9999)?;
        let sign = if year < 0 { "-" } else { "" };
        let (month, day) = (number("month", 1, 12)?, number("day", 1, 31)?);
        Some(format!("{sign}{:04}-{month:02}-{day:02}", year.abs()))
    };
    let time = || {
        let clock = (
            number("hour", 0, 23)?,
            number("minute", 0, 59)?,
            number("second", 0, 59)?,
        );
        let [Term::Int(micros), Term::Int(digits)] = get("microsecond")?.as_tuple()? else {
            return None;
        };
        let ok = (0..1_000_000).contains(micros) && (0..=6).contains(digits);
        let fraction = format!("{micros:06}");
        let fraction = fraction.get(..usize::try_from(*digits).ok()?)?;
        let dot = if fraction.is_empty() { "" } else { "." };
        let (hour, minute, second) = clock;
        ok.then(|| format!("{hour:02}:{minute:02}:{second:02}{dot}{fraction}"))
    };
    Some(match (module, pairs.len()) {
        ("Elixir.Date", 5) => format!("~D[{}]", date()?),
        ("Elixir.Time", 6) => format!("~T[{}]", time()?),
        ("Elixir.NaiveDateTime", 9) => format!("~N[{} {}]", date()?, time()?),
        ("Elixir.DateTime", 13) => {
            let zone = get("time_zone")?.as_bytes()?;
            let utc = zone == b"Etc/UTC" && get("utc_offset")?.as_i64() == Some(0);
            utc.then_some(())?;
            format!("~U[{} {}Z]", date()?, time()?)
        }
        _ => return None,
    })
}

/// A page that is being written.
struct Page<'a, S> {
    out: &'a mut S,
    column: usize,
    width: usize,
    charlists: Charlists,
}

impl<S: Sink> Page<'_, S> {
    fn put(&mut self, text: &str) -> fmt::Result {
        self.column += text.chars().count();
        self.out.write_str(text)
    }

    fn new_line(&mut self, indent: usize) -> fmt::Result {
        self.column = indent;
        self.out.write_char('\n')?;
        (0..indent).try_for_each(|_| self.out.write_char(' '))
    }

    /// How many columns are left when `tail` characters follow.
    fn left(&self, tail: usize) -> usize {
        self.width.saturating_sub(self.column.saturating_add(tail))
    }

    /// How many columns a term takes up to where its line may end, and what follows a term without such a place.
    fn unbroken(&self, term: &Term, tail: usize) -> usize {
        let found = if has_parts(term) {
            container(term)
        } else {
            None
        };
        let Some(container) = found else {
            let mut count = Count {
                seen: 0,
                bound: self.width.saturating_add(1),
            };
            // Beyond the width it does not matter by how much.
            let _ = flat(&mut count, term, self.charlists);
            return count.seen.saturating_add(tail);
        };
        let filled = match container.lines {
            Lines::Each => false,
            Lines::Filled => true,
            Lines::FilledIfSimple => container.items.iter().all(Item::is_simple),
        };
        let open = container.open.len();
        match container.items.first() {
            Some(Item::Value(first)) if filled => {
                let follows = match container.items.len() {
                    1 => container.close.len().saturating_add(tail),
                    _ => 1,
                };
                open.saturating_add(self.unbroken(first, follows))
            }
            _ => open,
        }
    }

    fn fits(&self, item: &Item<'_>, blank: usize, tail: usize) -> bool {
        let bound = self.left(tail).saturating_add(1);
        let mut count = Count {
            seen: blank.min(bound),
            bound,
        };
        blank < bound && flat_item(&mut count, item, self.charlists).is_ok()
    }

    /// A term that begins here; `indent` is that of what surrounds it, and `tail` characters follow on its last line.
    fn term(&mut self, term: &Term, indent: usize, tail: usize) -> fmt::Result {
        // What follows counts between the items of a filled container, not for a container itself.
        if !has_parts(term) || self.fits(&Item::Value(term), 0, 0) {
            return self.flat(&Item::Value(term));
        }
        let Some(container) = container(term) else {
            return self.flat(&Item::Value(term));
        };
        let filled = match container.lines {
            Lines::Each => false,
            Lines::Filled => true,
            Lines::FilledIfSimple => container.items.iter().all(Item::is_simple),
        };
        self.put(&container.open)?;
        let step = if filled { container.open.len() } else { 2 };
        let inner = indent + step;
        for (at, item) in container.items.iter().enumerate() {
            // What follows the item on its line: a comma, or what closes the containers around it.
            let follows = match container.items.get(at + 1) {
                Some(Item::Tail(_)) => 2,
                Some(_) => 1,
                None if filled => container.close.len() + tail,
                None => 0,
            };
            match (filled, at) {
                (true, 0) => {}
                (true, _) if self.fits(item, 1, follows) => self.put(" ")?,
                _ => self.new_line(inner)?,
            }
            self.item(item, inner, follows)?;
            match container.items.get(at + 1) {
                Some(Item::Tail(_)) => self.put(" |")?,
                Some(_) => self.put(",")?,
                None => {}
            }
        }
        if !filled {
            self.new_line(indent)?;
        }
        self.put(container.close)
    }

    fn item(&mut self, item: &Item<'_>, indent: usize, tail: usize) -> fmt::Result {
        match item {
            Item::Value(term) | Item::Tail(term) => self.term(term, indent, tail),
            Item::Keyed(name, term) => {
                let mut text = String::new();
                key(&mut text, name.as_str())?;
                self.put(&text)?;
                self.put(" ")?;
                self.term(term, indent, tail)
            }
            Item::Pair(name, term) => {
                let follows = 4 + self.unbroken(term, tail);
                self.term(name, indent, follows)?;
                self.put(" => ")?;
                self.term(term, indent, tail)
            }
            Item::Segment(..) => self.flat(item),
        }
    }

    fn flat(&mut self, item: &Item<'_>) -> fmt::Result {
        let mut columns = Columns {
            out: &mut *self.out,
            seen: 0,
        };
        let made = flat_item(&mut columns, item, self.charlists);
        self.column += columns.seen;
        made
    }
}

/// Hands text on and counts its characters.
struct Columns<'a, S> {
    out: &'a mut S,
    seen: usize,
}

impl<S: Sink> Write for Columns<'_, S> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.seen += text.chars().count();
        self.out.write_str(text)
    }
}

impl<S: Sink> Sink for Columns<'_, S> {
    fn room(&self) -> usize {
        self.out.room()
    }
}

fn flat_item(f: &mut impl Sink, item: &Item<'_>, charlists: Charlists) -> fmt::Result {
    match item {
        Item::Value(term) | Item::Tail(term) => flat(f, term, charlists),
        Item::Keyed(name, term) => {
            key(f, name.as_str())?;
            f.write_char(' ')?;
            flat(f, term, charlists)
        }
        Item::Pair(name, term) => {
            flat(f, name, charlists)?;
            f.write_str(" => ")?;
            flat(f, term, charlists)
        }
        Item::Segment(byte, 8) => write!(f, "{byte}"),
        Item::Segment(byte, used) => write!(f, "{byte}::size({used})"),
    }
}

/// A term on one line.
fn flat(f: &mut impl Sink, term: &Term, charlists: Charlists) -> fmt::Result {
    // Where there is no room for all of it, nothing is collected.
    if let Term::Binary(bytes) = term
        && printable(bytes).is_none()
    {
        f.write_str("<<")?;
        for (at, byte) in bytes.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{byte}")?;
        }
        return f.write_str(">>");
    }
    if let Some(container) = container(term) {
        f.write_str(&container.open)?;
        for (at, item) in container.items.iter().enumerate() {
            match item {
                _ if at == 0 => {}
                Item::Tail(_) => f.write_str(" | ")?,
                _ => f.write_str(", ")?,
            }
            flat_item(f, item, charlists)?;
        }
        return f.write_str(container.close);
    }
    match term {
        Term::Atom(atom) => f.write_str(&literal(atom.as_str())),
        Term::Binary(bytes) => {
            f.write_char('"')?;
            escaped(f, printable(bytes).unwrap_or_default(), '"')?;
            f.write_char('"')
        }
        Term::List(elements) => {
            let quote = match charlists {
                Charlists::Sigil => '"',
                Charlists::Quotes => '\'',
            };
            if charlists == Charlists::Sigil {
                f.write_str("~c")?;
            }
            f.write_char(quote)?;
            let characters = elements
                .iter()
                .filter_map(|e| u8::try_from(e.as_i64()?).ok());
            let text: String = characters.map(char::from).collect();
            escaped(f, &text, quote)?;
            f.write_char(quote)
        }
        Term::Map(pairs) => f.write_str(&special(pairs).unwrap_or_default()),
        Term::Float(value) => {
            // Whole numbers have all their digits for longer than Erlang gives them.
            if (1.0..1e16).contains(&value.abs()) && value.fract() == 0.0 {
                return write!(f, "{value:.1}");
            }
            f.write_str(&text::float(*value))
        }
        Term::Pid(value) => write!(f, "#PID<0.{}.{}>", value.id, value.serial),
        Term::Reference(value) => {
            f.write_str("#Reference<0")?;
            for word in value.words.iter().rev() {
                write!(f, ".{word}")?;
            }
            f.write_char('>')
        }
        Term::Fun(Fun::External {
            module,
            name,
            arity,
        }) => {
            write!(f, "&{}.", module_of_fun(module))?;
            match name.as_str() {
                "undefined" => f.write_str("nil")?,
                name => remote(f, name)?,
            }
            write!(f, "/{arity}")
        }
        Term::Fun(Fun::Closure(closure)) => write!(
            f,
            "#Function<{}.{}/{} in {}>",
            closure.index,
            closure.old_uniq,
            closure.arity,
            module_of_fun(&closure.module)
        ),
        // Integers and ports; Elixir has no notation for native records.
        _ => line(f, term, true),
    }
}
