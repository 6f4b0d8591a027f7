//! The part of the generator that writes patterns, guards, and expressions with clauses.

use super::{Generator, WANTS, Want};

impl Generator {
    /// Segments of a pattern and the variables they bind.
    pub(super) fn segments(&mut self, rest: bool) -> (String, Vec<(String, Want)>) {
        let mut parts = Vec::new();
        let mut vars = Vec::new();
        for _ in 0..=self.below(3) {
            let name = self.name();
            let endian = self.pick(&["big", "little"]);
            let sign = self.pick(&["signed", "unsigned"]);
            match self.below(9) {
                0..4 => {
                    parts.push(format!("{name}:{}/{sign}-{endian}", self.below(20) + 1));
                    vars.push((name, Want::Int));
                }
                4 => parts.push(self.below(4).to_string()),
                5 => parts.push(format!("_:{}", self.below(10) + 1)),
                6 => {
                    parts.push(format!(
                        "{name}/{}-{endian}",
                        self.pick(&["utf8", "utf16", "utf32"])
                    ));
                    vars.push((name, Want::Int));
                }
                7 => {
                    let size = self.name();
                    parts.push(format!(
                        "{size}:2, {name}:{size}/{}",
                        self.pick(&["binary", "bits"])
                    ));
                    vars.push((size, Want::Int));
                    vars.push((name, Want::Binary));
                }
                _ => {
                    parts.push(format!(
                        "{name}:{}/float-{endian}",
                        self.pick(&["16", "32"])
                    ));
                    vars.push((name, Want::Float));
                }
            }
        }
        if rest {
            let name = self.name();
            parts.push(format!("{name}/{}", self.pick(&["binary", "bitstring"])));
            vars.push((name, Want::Binary));
        }
        (parts.join(", "), vars)
    }

    /// A pattern and the variables it binds.
    pub(super) fn pattern(&mut self, want: Want, depth: usize) -> (String, Vec<(String, Want)>) {
        if depth == 0 || self.chance(30) {
            if self.chance(20) {
                return ("_".to_owned(), Vec::new());
            }
            if self.chance(25) {
                let leaf = self.leaf(want);
                // A map with elements is no pattern.
                return if leaf.contains("=>") {
                    ("#{}".to_owned(), Vec::new())
                } else {
                    (leaf, Vec::new())
                };
            }
            let name = self.name();
            let kind = if want == Want::Any { Want::Int } else { want };
            return (name.clone(), vec![(name, kind)]);
        }
        match want {
            Want::List => {
                let (head, mut vars) = self.pattern(Want::Any, depth - 1);
                let (tail, more) = self.pattern(Want::List, depth - 1);
                vars.extend(more);
                (format!("[{head} | {tail}]"), vars)
            }
            Want::Tuple => {
                let mut vars = Vec::new();
                let mut parts = Vec::new();
                for _ in 0..self.below(4) {
                    let (part, more) = self.pattern(Want::Any, depth - 1);
                    parts.push(part);
                    vars.extend(more);
                }
                (format!("{{{}}}", parts.join(", ")), vars)
            }
            Want::Map => {
                let key = self.leaf(Want::Atom);
                let (value, vars) = self.pattern(Want::Any, depth - 1);
                (format!("#{{{key} := {value}}}"), vars)
            }
            Want::Binary => {
                let rest = self.chance(80);
                let (segments, vars) = self.segments(rest);
                (format!("<<{segments}>>"), vars)
            }
            _ => {
                let (left, mut vars) = self.pattern(want, 0);
                let name = self.name();
                let kind = if want == Want::Any { Want::Int } else { want };
                vars.push((name.clone(), kind));
                (format!("({left} = {name})"), vars)
            }
        }
    }

    pub(super) fn control(&mut self, want: Want, d: usize) -> String {
        match self.below(7) {
            0..3 => self.case(want, d),
            3 => {
                let (first, second) = (self.guard(), self.guard());
                let value = self.expr(want, d);
                let guard = if self.chance(50) {
                    format!("{first}, {second}")
                } else {
                    format!("{first}; {second}")
                };
                format!("if {guard} -> {value}; true -> {} end", self.expr(want, d))
            }
            4 => {
                let (a, b) = (self.name(), self.name());
                let body = self.expr(want, d);
                format!(
                    "case catch ({body}) of {{'EXIT', {{{a}, _}}}} -> {{caught, {a}}}; {b} -> {b} end"
                )
            }
            5 => {
                let raise = self.pick(&["throw", "error", "exit"]);
                let condition = self.expr(Want::Bool, d);
                let value = self.expr(Want::Any, d.min(1));
                format!(
                    "case {condition} of false -> {raise}({value}); _ -> {} end",
                    self.expr(want, d)
                )
            }
            _ => {
                let before = self.vars.len();
                let name = self.name();
                let kind = WANTS[self.below(8)];
                let value = self.expr(kind, d);
                self.vars.push((name.clone(), kind));
                let last = self.expr(want, d);
                self.vars.truncate(before);
                format!("begin {name} = {value}, {last} end")
            }
        }
    }

    fn case(&mut self, want: Want, d: usize) -> String {
        let kind = WANTS[self.below(8)];
        let subject = self.expr(kind, d);
        let mut clauses = Vec::new();
        for _ in 0..=self.below(2) {
            let before = self.vars.len();
            let (pattern, vars) = self.pattern(kind, 2);
            self.vars.extend(vars);
            let guard = match self.below(3) {
                0 => format!(" when {}", self.guard()),
                1 => format!(" when {}; {}", self.guard(), self.guard()),
                _ => String::new(),
            };
            clauses.push(format!("{pattern}{guard} -> {}", self.expr(want, d)));
            self.vars.truncate(before);
        }
        if self.chance(80) {
            clauses.push(format!("_ -> {}", self.expr(want, d)));
        }
        format!("case {subject} of {} end", clauses.join("; "))
    }

    /// A guard expression: no comprehension, no match, no function that guards may not call.
    pub(super) fn guard(&mut self) -> String {
        let names: Vec<String> = self.vars.iter().map(|(name, _)| name.clone()).collect();
        let mut operand = || match names.len() {
            0 => self.leaf(Want::Int),
            n if self.chance(70) => names[self.below(n)].clone(),
            _ => {
                let want = WANTS[self.below(8)];
                self.leaf(want)
            }
        };
        let (a, b) = (operand(), operand());
        match self.below(6) {
            0 => format!("{a} > {b}"),
            1 => format!("{a} + {b} =< 10"),
            2 => format!(
                "{}({a})",
                self.pick(&[
                    "is_integer",
                    "is_list",
                    "is_atom",
                    "hd",
                    "length",
                    "is_binary"
                ])
            ),
            3 => format!(
                "{}({a}) =/= {b}",
                self.pick(&["hd", "length", "tuple_size", "byte_size", "abs", "map_size"])
            ),
            4 => format!("is_tuple({a}) orelse element(1, {a}) == {b}"),
            _ => format!("not is_float({a}), {b} =:= {b}"),
        }
    }
}
