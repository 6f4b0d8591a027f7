//! Random terms, the same for the same seed.
//!
//! Gives terms that a node accepts, with a taste for what is special: limits of encodings, characters
//! that need escapes, numbers that are equal and not the same. Maps stay below 33 keys, from where a
//! node's order is that of its hashes.

use std::sync::Arc;

use updo::term::{Atom, BigInt, Closure, Fun, Pid, Port, Reference, Term};

const ATOMS: [&str; 26] = [
    "a",
    "ok",
    "error",
    "true",
    "undefined",
    "end",
    "maybe",
    "and",
    "Elixir.Enum",
    "gen_server",
    "a b",
    "",
    "it's",
    "back\\slash",
    "é",
    "É",
    "a÷b",
    "日本",
    "new\nline",
    "\u{7f}",
    "x@y",
    "_x",
    "aB_9@",
    "\u{1b}",
    "a_rather_long_atom_that_takes_much_of_a_line",
    "9",
];

const TEXTS: [&str; 10] = [
    "hello",
    "a \"quoted\" word",
    "tab\tand\nline",
    "å",
    "naïve café",
    "日本語",
    "\u{1b}[0m",
    "\u{7f}",
    "~p\\",
    "the quick brown fox jumps over the lazy dog and then it comes back again, slowly",
];

const FLOATS: [f64; 22] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    2.0,
    0.1,
    1.5,
    100.0,
    1000.0,
    1e10,
    1e22,
    1e-5,
    0.0001,
    5e-324,
    1e308,
    9_007_199_254_740_991.0,
    9_007_199_254_740_992.0,
    9_007_199_254_740_994.0,
    9_223_372_036_854_775_808.0,
    -9_223_372_036_854_775_808.0,
    18_446_744_073_709_551_616.0,
    123_456_789.125,
];

const INTS: [i64; 18] = [
    0,
    1,
    -1,
    2,
    127,
    128,
    255,
    256,
    65_535,
    1 << 27,
    i32::MAX as i64,
    i32::MIN as i64,
    1 << 31,
    (1 << 53) - 1,
    1 << 53,
    (1 << 53) + 1,
    i64::MAX,
    i64::MIN,
];

/// What represents the MD5 of a module in the old format, of 27 bits; each version has its own.
pub const OLD_UNIQS: [i32; 4] = [0, 255, 300, (1 << 27) - 1];

/// Makes terms.
pub struct Generator {
    state: u64,
    foreign: bool,
}

impl Generator {
    /// With `foreign`, also terms whose text depends on the node: pids of other nodes, and names in
    /// funs that are not ASCII.
    pub fn new(seed: u64, foreign: bool) -> Self {
        let state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { state, foreign }
    }

    pub fn bits(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        ((self.bits() >> 33) as usize) % bound
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// A term nested at most `depth` deep.
    pub fn term(&mut self, depth: usize) -> Term {
        let kinds = if depth == 0 { 12 } else { 20 };
        match self.below(kinds) {
            0 => Term::Int(self.pick(&INTS)),
            1 => self.number(),
            2 => Term::Float(self.float()),
            3 | 4 => Term::atom(self.pick(&ATOMS)),
            5 => self.string(),
            6 => self.binary(),
            7 => self.bitstring(),
            8 => Term::Pid(self.pid()),
            9 => self.reference_or_port(),
            10 => self.fun(depth),
            11 => Term::list([]),
            12 | 13 => Term::Tuple(self.terms(depth)),
            14 => self.tagged(depth),
            15..=17 => self.list(depth),
            _ => self.map(depth),
        }
    }

    fn terms(&mut self, depth: usize) -> Vec<Term> {
        let count = match self.below(12) {
            0 => 0,
            1 => self.below(30),
            _ => 1 + self.below(5),
        };
        (0..count).map(|_| self.term(depth - 1)).collect()
    }

    fn tagged(&mut self, depth: usize) -> Term {
        let tag = Term::atom(self.pick(&ATOMS));
        Term::tuple(std::iter::once(tag).chain(self.terms(depth)))
    }

    fn list(&mut self, depth: usize) -> Term {
        let elements = self.terms(depth);
        match self.below(4) {
            0 => {
                let tail = self.term(depth - 1);
                Term::cons(elements, tail)
            }
            1 => {
                let key = Term::atom(self.pick(&ATOMS));
                Term::list(elements.into_iter().map(|e| Term::tuple([key.clone(), e])))
            }
            _ => Term::List(elements),
        }
    }

    fn map(&mut self, depth: usize) -> Term {
        let values = self.terms(depth);
        let pairs: Vec<(Term, Term)> = values
            .into_iter()
            .map(|value| {
                let key = match self.below(3) {
                    0 => self.term(depth - 1),
                    1 => self.number(),
                    _ => Term::atom(self.pick(&ATOMS)),
                };
                (key, value)
            })
            .collect();
        Term::map(pairs)
    }

    pub fn number(&mut self) -> Term {
        match self.below(6) {
            0 => Term::Int(self.bits() as i64),
            1 => Term::Int(self.bits() as i64 >> self.below(64)),
            2 => {
                let shift = self.below(3000);
                let value = BigInt::from(self.bits() as i64) << shift;
                Term::integer(value + self.below(3))
            }
            3 => Term::integer(BigInt::from(self.pick(&INTS)) * 2 + self.below(2)),
            4 => Term::Float(self.pick(&FLOATS)),
            _ => Term::Int(self.below(4) as i64),
        }
    }

    /// A finite float: a special one, a plain one, or any.
    pub fn float(&mut self) -> f64 {
        let value = match self.below(4) {
            0 => self.pick(&FLOATS),
            1 => self.below(100_000) as f64 / self.pick(&[1.0, 10.0, 1000.0, 1e9]),
            2 => self.below(100) as f64 * 10f64.powi(self.below(40) as i32 - 20),
            _ => f64::from_bits(self.bits()),
        };
        if value.is_finite() { value } else { 0.5 }
    }

    fn text(&mut self) -> String {
        let count = 1 + self.below(3);
        (0..count).map(|_| self.pick(&TEXTS)).collect()
    }

    fn string(&mut self) -> Term {
        match self.below(4) {
            0 => {
                let count = self.below(60);
                Term::list((0..count).map(|_| Term::Int(self.below(300) as i64 - 5)))
            }
            1 => {
                let count = self.below(60);
                Term::list((0..count).map(|_| Term::Int(self.below(256) as i64)))
            }
            _ => Term::string(&self.text()),
        }
    }

    fn some_bytes(&mut self) -> Vec<u8> {
        let count = 1 + self.below(50);
        (0..count).map(|_| self.below(256) as u8).collect()
    }

    fn binary(&mut self) -> Term {
        match self.below(4) {
            0 => Term::binary(self.some_bytes()),
            1 => {
                let text = self.text();
                Term::binary(text.chars().map(|c| c as u8).collect::<Vec<u8>>())
            }
            2 => Term::binary([]),
            _ => Term::binary(self.text()),
        }
    }

    fn bitstring(&mut self) -> Term {
        let used = 1 + self.below(7) as u8;
        let mut bytes = self.some_bytes();
        if let Some(last) = bytes.last_mut() {
            *last &= 0xff << (8 - used);
        }
        Term::Bits(Arc::from(bytes), used)
    }

    fn node(&mut self) -> (Atom, u32) {
        if self.foreign && self.below(2) == 0 {
            let node = self.pick(&["x@y", "y@x", "é@host"]);
            (Atom::new(node), 1 + self.below(2) as u32)
        } else {
            (Atom::new("nonode@nohost"), 0)
        }
    }

    pub fn pid(&mut self) -> Pid {
        let (node, creation) = self.node();
        let id = self.pick(&[0, 1, 2, 77, 0x7fff]);
        let serial = self.pick(&[0, 0, 1, 2]);
        Pid {
            node,
            id,
            serial,
            creation,
        }
    }

    pub fn reference_or_port(&mut self) -> Term {
        let (node, creation) = self.node();
        if self.below(2) == 0 {
            let id = self.pick(&[1, 2, 77, (1 << 28) - 1]);
            return Term::Port(Port { node, id, creation });
        }
        let count = if creation == 0 { 3 } else { 1 + self.below(5) };
        let mut words: Vec<u32> = (0..count)
            .map(|_| self.pick(&[0, 1, 2, u32::MAX]))
            .collect();
        words[0] &= 0x3ffff;
        Term::Reference(Reference {
            node,
            creation,
            words,
        })
    }

    fn name(&mut self) -> Atom {
        let name = self.pick(&ATOMS);
        if self.foreign || name.is_ascii() {
            Atom::new(name)
        } else {
            Atom::new("plain")
        }
    }

    pub fn fun(&mut self, depth: usize) -> Term {
        let (module, name) = (self.name(), self.name());
        let arity = self.pick(&[0, 1, 2, 255]);
        if self.below(2) == 0 {
            return Term::Fun(Fun::External {
                module,
                name,
                arity,
            });
        }
        let free = if depth == 0 {
            Vec::new()
        } else {
            self.terms(depth)
        };
        let index = self.below(3);
        let version = self.below(4);
        Term::Fun(Fun::Closure(Arc::new(Closure {
            module,
            arity: self.below(3) as u8,
            uniq: [version as u8; 16],
            index: index as u32,
            old_index: index as i32,
            old_uniq: OLD_UNIQS[version],
            pid: self.pid(),
            free,
        })))
    }
}
