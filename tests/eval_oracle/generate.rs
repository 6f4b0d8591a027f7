//! Random programs as text: mostly of fitting types, sometimes not, so that errors are compared too.
//! The same seed gives the same program.

#[path = "control.rs"]
mod control;

/// What an expression should probably be.
#[derive(Clone, Copy, PartialEq)]
enum Want {
    Int,
    Float,
    Bool,
    Atom,
    List,
    Tuple,
    Map,
    Binary,
    Any,
}

const WANTS: [Want; 8] = [
    Want::Int,
    Want::Float,
    Want::Bool,
    Want::Atom,
    Want::List,
    Want::Tuple,
    Want::Map,
    Want::Binary,
];

/// Writes random programs: several matches, then an expression that uses what they bound.
pub struct Generator {
    state: u64,
    fresh: u32,
    vars: Vec<(String, Want)>,
}

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self {
            state: seed ^ 0x9e37_79b9_7f4a_7c15,
            fresh: 0,
            vars: Vec::new(),
        }
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn pick<'p>(&mut self, from: &[&'p str]) -> &'p str {
        from[self.below(from.len())]
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn program(&mut self) -> String {
        let mut parts = Vec::new();
        for _ in 0..self.below(4) {
            let want = WANTS[self.below(8)];
            let value = self.expr(want, 3);
            if self.chance(88) {
                let name = self.name();
                parts.push(format!("{name} = {value}"));
                self.vars.push((name, want));
            } else {
                let (pattern, vars) = self.pattern(want, 2);
                parts.push(format!("{pattern} = {value}"));
                self.vars.extend(vars);
            }
        }
        parts.push(self.expr(Want::Any, 4));
        parts.join(", ")
    }

    fn name(&mut self) -> String {
        self.fresh += 1;
        format!("V{}", self.fresh)
    }

    fn expr(&mut self, want: Want, depth: usize) -> String {
        let want = match want {
            Want::Any => WANTS[self.below(8)],
            _ if self.chance(1) => WANTS[self.below(8)],
            want => want,
        };
        if self.chance(25) {
            let known: Vec<String> = self
                .vars
                .iter()
                .filter(|(_, kind)| *kind == want)
                .map(|(name, _)| name.clone())
                .collect();
            if !known.is_empty() {
                return known[self.below(known.len())].clone();
            }
        }
        if depth == 0 {
            return self.leaf(want);
        }
        if self.chance(12) {
            return self.control(want, depth - 1);
        }
        let d = depth - 1;
        match want {
            Want::Int => self.int(d),
            Want::Float => self.float(d),
            Want::Bool => self.bool(d),
            Want::Atom => self.atom(d),
            Want::List => self.list(d),
            Want::Tuple => self.tuple(d),
            Want::Map => self.map(d),
            _ => self.binary(d),
        }
    }

    fn leaf(&mut self, want: Want) -> String {
        match want {
            Want::Int => match self.below(8) {
                0 => self
                    .pick(&[
                        "9223372036854775807",
                        "-9223372036854775808",
                        "1152921504606846976",
                        "16#ffffffffffffffff1",
                        "-100000000000000000000",
                    ])
                    .to_owned(),
                1 => self
                    .pick(&["255", "256", "-1", "0", "65535", "-129"])
                    .to_owned(),
                _ => (self.below(20) as i64 - 4).to_string(),
            },
            Want::Float => self
                .pick(&[
                    "1.0", "0.0", "-2.5", "3.25", "1.0e10", "-1.0e-5", "1.0e300", "0.1", "2.0",
                ])
                .to_owned(),
            Want::Bool => self.pick(&["true", "false"]).to_owned(),
            Want::Atom => self
                .pick(&[
                    "a",
                    "b",
                    "ok",
                    "error",
                    "true",
                    "'hello world'",
                    "'Abc'",
                    "utf8",
                    "''",
                ])
                .to_owned(),
            Want::List => self
                .pick(&[
                    "[]",
                    "\"abc\"",
                    "[1, 2, 3]",
                    "[a, 1, 2.0]",
                    "\"12\"",
                    "[1 | 2]",
                    "[{a, 1}, {b, 2}]",
                    "\"1.5\"",
                    "[<<1>>, \"x\"]",
                ])
                .to_owned(),
            Want::Tuple => self
                .pick(&["{}", "{a}", "{1, 2}", "{ok, \"abc\"}", "{a, {b, 1.0}}"])
                .to_owned(),
            Want::Map => self
                .pick(&[
                    "#{}",
                    "#{a => 1}",
                    "#{1 => a, 1.0 => b}",
                    "#{a => 1, b => #{c => 2}}",
                ])
                .to_owned(),
            _ => self
                .pick(&[
                    "<<>>",
                    "<<1, 2, 3>>",
                    "<<\"abc\">>",
                    "<<5:3>>",
                    "<<1, 2:4>>",
                    "<<\"1.5\">>",
                    "<<\"17\">>",
                    "<<\"é\"/utf8>>",
                ])
                .to_owned(),
        }
    }

    fn int(&mut self, d: usize) -> String {
        match self.below(16) {
            0..5 => {
                let op = self.pick(&["+", "-", "*", "div", "rem", "band", "bor", "bxor"]);
                format!(
                    "({} {op} {})",
                    self.expr(Want::Int, d),
                    self.expr(Want::Int, d)
                )
            }
            5 => {
                let op = self.pick(&["bsl", "bsr"]);
                format!(
                    "({} {op} {})",
                    self.expr(Want::Int, d),
                    self.below(90) as i64 - 9
                )
            }
            6 => format!(
                "({} {})",
                self.pick(&["-", "+", "bnot"]),
                self.expr(Want::Int, d)
            ),
            7 => format!(
                "{}({})",
                self.pick(&["round", "trunc", "ceil", "floor"]),
                self.expr(Want::Float, d)
            ),
            8 => format!("length({})", self.expr(Want::List, d)),
            9 => format!(
                "{}({})",
                self.pick(&["byte_size", "bit_size", "size"]),
                self.expr(Want::Binary, d)
            ),
            10 => format!(
                "{}({})",
                self.pick(&["tuple_size", "size"]),
                self.expr(Want::Tuple, d)
            ),
            11 => format!("map_size({})", self.expr(Want::Map, d)),
            12 => format!("abs({})", self.expr(Want::Int, d)),
            13 => format!(
                "list_to_integer(integer_to_list({}, {b}), {b})",
                self.expr(Want::Int, d),
                b = self.below(35) + 2
            ),
            14 => format!(
                "{}({}, {})",
                self.pick(&["max", "min"]),
                self.expr(Want::Int, d),
                self.expr(Want::Any, d)
            ),
            _ => format!("iolist_size({})", self.expr(Want::List, d)),
        }
    }

    fn float(&mut self, d: usize) -> String {
        match self.below(5) {
            0 => format!("float({})", self.expr(Want::Int, d)),
            1 => format!(
                "({} / {})",
                self.expr(Want::Int, d),
                self.expr(Want::Int, d)
            ),
            2 => format!("abs({})", self.expr(Want::Float, d)),
            3 => format!(
                "list_to_float(float_to_list({}))",
                self.expr(Want::Float, d)
            ),
            _ => {
                let op = self.pick(&["+", "-", "*", "/"]);
                format!(
                    "({} {op} {})",
                    self.expr(Want::Float, d),
                    self.expr(Want::Float, d)
                )
            }
        }
    }

    fn bool(&mut self, d: usize) -> String {
        match self.below(8) {
            0..3 => {
                let op = self.pick(&["==", "/=", "=:=", "=/=", "<", ">", "=<", ">="]);
                let want = if self.chance(50) {
                    WANTS[self.below(8)]
                } else {
                    Want::Any
                };
                format!("({} {op} {})", self.expr(want, d), self.expr(want, d))
            }
            3 => {
                let op = self.pick(&["andalso", "orelse", "and", "or", "xor"]);
                format!(
                    "({} {op} {})",
                    self.expr(Want::Bool, d),
                    self.expr(Want::Bool, d)
                )
            }
            4 => format!("(not {})", self.expr(Want::Bool, d)),
            5 => format!(
                "is_map_key({}, {})",
                self.expr(Want::Atom, d),
                self.expr(Want::Map, d)
            ),
            6 => format!(
                "is_record({}, {}, 2)",
                self.expr(Want::Tuple, d),
                self.leaf(Want::Atom)
            ),
            _ => {
                let test = self.pick(&[
                    "is_atom",
                    "is_binary",
                    "is_bitstring",
                    "is_boolean",
                    "is_float",
                    "is_function",
                    "is_integer",
                    "is_list",
                    "is_map",
                    "is_number",
                    "is_pid",
                    "is_tuple",
                    "is_reference",
                    "is_port",
                ]);
                format!("{test}({})", self.expr(Want::Any, d))
            }
        }
    }

    fn atom(&mut self, d: usize) -> String {
        match self.below(4) {
            0 => format!("list_to_atom({})", self.expr(Want::List, d)),
            1 => format!(
                "binary_to_atom({}, {})",
                self.expr(Want::Binary, d),
                self.pick(&["utf8", "latin1"])
            ),
            2 => format!(
                "hd([{} | {}])",
                self.expr(Want::Atom, d),
                self.expr(Want::List, d)
            ),
            _ => self.leaf(Want::Atom),
        }
    }

    fn several(&mut self, d: usize) -> String {
        let count = self.below(4);
        let parts: Vec<String> = (0..count).map(|_| self.expr(Want::Any, d)).collect();
        parts.join(", ")
    }

    fn list(&mut self, d: usize) -> String {
        match self.below(13) {
            0..2 => format!("[{}]", self.several(d)),
            2 => format!(
                "[{} | {}]",
                self.expr(Want::Any, d),
                self.expr(Want::List, d)
            ),
            3 => format!(
                "({} ++ {})",
                self.expr(Want::List, d),
                self.expr(Want::List, d)
            ),
            4 => format!(
                "({} -- {})",
                self.expr(Want::List, d),
                self.expr(Want::List, d)
            ),
            5 => format!("tl({})", self.expr(Want::List, d)),
            6 => format!(
                "{}({})",
                self.pick(&["binary_to_list", "bitstring_to_list"]),
                self.expr(Want::Binary, d)
            ),
            7 => format!("integer_to_list({})", self.expr(Want::Int, d)),
            8 => format!("atom_to_list({})", self.expr(Want::Atom, d)),
            9 => format!("tuple_to_list({})", self.expr(Want::Tuple, d)),
            10 => {
                let options = self.pick(&[
                    "[{decimals, 3}]",
                    "[{decimals, 4}, compact]",
                    "[{scientific, 5}]",
                    "[short]",
                    "[]",
                ]);
                format!("float_to_list({}, {options})", self.expr(Want::Float, d))
            }
            _ => {
                let comprehension = self.comprehension(Want::Any, d);
                format!("[{comprehension}]")
            }
        }
    }

    /// `Body || Qualifiers`; what the qualifiers bind is forgotten afterwards.
    fn comprehension(&mut self, body: Want, d: usize) -> String {
        let before = self.vars.len();
        let mut qualifiers = Vec::new();
        for _ in 0..=self.below(2) {
            if self.chance(65) {
                let source = self.expr(Want::List, d);
                let (pattern, vars) = if self.chance(60) {
                    let name = self.name();
                    (name.clone(), vec![(name, Want::Int)])
                } else {
                    self.pattern(Want::Any, 1)
                };
                qualifiers.push(format!("{pattern} <- {source}"));
                self.vars.extend(vars);
            } else {
                let source = self.expr(Want::Binary, d);
                let (segments, vars) = self.segments(false);
                qualifiers.push(format!("<<{segments}>> <= {source}"));
                self.vars.extend(vars);
            }
            if self.chance(40) {
                qualifiers.push(self.expr(Want::Bool, d.min(2)));
            }
        }
        let body = if body == Want::Binary {
            format!("({})", self.expr(Want::Binary, d))
        } else {
            self.expr(body, d)
        };
        self.vars.truncate(before);
        format!("{body} || {}", qualifiers.join(", "))
    }

    fn tuple(&mut self, d: usize) -> String {
        match self.below(6) {
            0..4 => format!("{{{}}}", self.several(d)),
            4 => format!("list_to_tuple({})", self.expr(Want::List, d)),
            _ => format!(
                "setelement({}, {}, {})",
                self.below(4),
                self.expr(Want::Tuple, d),
                self.expr(Want::Any, d)
            ),
        }
    }

    fn map(&mut self, d: usize) -> String {
        let count = self.below(4);
        let update = self.chance(30);
        let mut pairs = Vec::new();
        for _ in 0..count {
            let key = if self.chance(70) {
                self.leaf(Want::Atom)
            } else {
                self.expr(Want::Any, d)
            };
            let arrow = if update && self.chance(40) {
                ":="
            } else {
                "=>"
            };
            pairs.push(format!("{key} {arrow} {}", self.expr(Want::Any, d)));
        }
        if update {
            format!("({})#{{{}}}", self.expr(Want::Map, d), pairs.join(", "))
        } else {
            format!("#{{{}}}", pairs.join(", "))
        }
    }

    fn binary(&mut self, d: usize) -> String {
        match self.below(10) {
            0..5 => {
                let count = self.below(4);
                let parts: Vec<String> = (0..count).map(|_| self.built_segment(d)).collect();
                format!("<<{}>>", parts.join(", "))
            }
            5 => format!("<<{}>>", self.comprehension(Want::Binary, d)),
            6 => format!(
                "{}({})",
                self.pick(&["list_to_binary", "iolist_to_binary", "list_to_bitstring"]),
                self.expr(Want::List, d)
            ),
            7 => format!("integer_to_binary({})", self.expr(Want::Int, d)),
            8 => format!("atom_to_binary({}, utf8)", self.expr(Want::Atom, d)),
            _ => format!(
                "binary_part({}, {}, {})",
                self.expr(Want::Binary, d),
                self.below(4),
                self.below(5) as i64 - 1
            ),
        }
    }

    fn built_segment(&mut self, d: usize) -> String {
        let (sign, endian) = (
            self.pick(&["signed", "unsigned"]),
            self.pick(&["big", "little", "native"]),
        );
        // A constant list as a segment is a string to updo, however it was written: keep it from being one.
        match self.below(8) {
            0..3 => format!(
                "(begin {} end):{}/{sign}-{endian}",
                self.expr(Want::Int, d),
                self.below(75)
            ),
            3 => format!("(begin {} end)", self.expr(Want::Int, d)),
            4 => format!(
                "(begin {} end):{}/float-{endian}",
                self.expr(Want::Float, d),
                self.pick(&["16", "32", "64", "24"])
            ),
            5 => format!(
                "(begin {} end)/{}",
                self.expr(Want::Binary, d),
                self.pick(&["binary", "bitstring", "bits", "bytes"])
            ),
            6 => format!(
                "(begin {} end):{}/{}",
                self.expr(Want::Binary, d),
                self.below(4),
                self.pick(&["binary", "bits", "binary-unit:4", "binary-unit:3"])
            ),
            _ => format!(
                "(begin {} end)/{}-{endian}",
                self.expr(Want::Int, d),
                self.pick(&["utf8", "utf16", "utf32"])
            ),
        }
    }
}
