//! Native records against OTP 29, when it is there (`scripts/otp.sh build 29`).

use std::path::PathBuf;

use updo::term::{Atom, Record, Term, compare_loose, etf, pretty, write};

use super::{Oracle, bytes_of, same, seed_and_count};

/// An `erl` of OTP 29.
fn erl() -> Option<String> {
    let set = std::env::var_os("UPDO_OTP_DIR").map(PathBuf::from);
    let usual = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/updo/releases"));
    let erl = set.or_else(usual)?.join("29/opt/updo/erl");
    erl.exists().then(|| erl.display().to_string())
}

/// Random terms with many native records.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % limit) as usize
    }

    fn atom(&mut self) -> Atom {
        const ATOMS: [&str; 8] = [
            "a",
            "b",
            "count",
            "odd name",
            "é",
            "a_rather_long_name",
            "st",
            "Q",
        ];
        Atom::new(ATOMS[self.below(8)])
    }

    fn term(&mut self, depth: usize) -> Term {
        if depth == 0 {
            return match self.below(5) {
                0 => Term::Int(self.below(5) as i64),
                1 => Term::Float(self.below(3) as f64),
                2 => Term::string("a text of some length"),
                3 => Term::binary("binary"),
                _ => Term::Atom(self.atom()),
            };
        }
        match self.below(8) {
            0 => Term::list((0..self.below(40)).map(|n| Term::Int(1000 + n as i64))),
            1 => Term::list((0..self.below(4)).map(|_| self.term(depth - 1))),
            2 => Term::tuple(
                (0..self.below(4))
                    .map(|_| self.term(depth - 1))
                    .collect::<Vec<_>>(),
            ),
            3 => Term::map((0..self.below(3)).map(|n| (Term::Int(n as i64), self.term(depth - 1)))),
            4 => self.term(depth - 1),
            _ => self.record(depth),
        }
    }

    fn record(&mut self, depth: usize) -> Term {
        let mut fields: Vec<(Atom, Term)> = Vec::new();
        for _ in 0..self.below(6) {
            let name = self.atom();
            if !fields.iter().any(|(known, _)| *known == name) {
                fields.push((name, self.term(depth - 1)));
            }
        }
        Term::Record(Box::new(Record {
            module: Atom::new(["m", "Elixir.M"][self.below(2)]),
            name: self.atom(),
            exported: self.below(2) == 1,
            fields,
        }))
    }
}

#[test]
fn native_records_are_those_of_otp_29() {
    let Some(erl) = erl() else {
        return println!("no OTP 29 here");
    };
    let (seed, count) = seed_and_count();
    let (mut oracle, mut random) = (Oracle::of(&[&erl]), Random(seed));
    for round in 0..count {
        let term = random.record(1 + round as usize % 4);
        let width = [20, 40, 60, 79, 100][round as usize % 5];
        let context = format!("seed {seed} round {round} width {width}: {term:?}");
        let bytes = etf::encode(&term);
        assert_eq!(etf::decode(&bytes).as_ref(), Ok(&term), "{context}");
        let question = [Term::atom("term"), Term::binary(&bytes), Term::Int(width)];
        let answer = oracle.ask(&Term::tuple(question));
        assert_eq!(bytes_of(&answer[0]), bytes, "{context}");
        same(&write(&term), &answer[2], "~tw", &context);
        same(&term.to_string(), &answer[3], "~0tp", &context);
        same(&pretty(&term, 80), &answer[4], "~tp", &context);
        same(&pretty(&term, width as usize), &answer[5], "~*tp", &context);
    }
    for round in 0..count {
        let (a, b) = (random.term(2), random.record(1));
        let context = format!("seed {seed} round {round}: {a:?} and {b:?}");
        let pair = [&a, &b].map(|term| Term::binary(etf::encode(term)));
        let [a_bytes, b_bytes] = pair;
        let answer = oracle.ask(&Term::tuple([Term::atom("pair"), a_bytes, b_bytes]));
        let loose = compare_loose(&a, &b);
        assert_eq!(answer[0], Term::boolean(loose.is_lt()), "<, {context}");
        assert_eq!(answer[1], Term::boolean(loose.is_eq()), "==, {context}");
        assert_eq!(answer[2], Term::boolean(a == b), "=:=, {context}");
        let exact = answer[3].as_i64().expect("an integer").cmp(&0);
        assert_eq!(a.cmp(&b), exact, "cmp_term, {context}");
    }
}
