//! Servers, state machines, handlers of events and special processes in Erlang, and the ways in which their states
//! change.

use std::fmt::Write as _;

use crate::support::invented::Dice;

use super::case::Case;
use super::forms::{Behaviour, Form, Head, Source};
use super::forms::{
    Handler, LIMIT, ListOf, Machine, MapOf, Nested, Record, Server, Special, States, Tuple,
};

/// A server of the seed.
pub fn server(dice: &mut Dice, name: String, fault: Option<&'static str>) -> Case {
    let behaviour = match fault {
        Some("name of no state") => States,
        Some("return of another behaviour") => [Server, Machine, States][dice.below(3)],
        Some("plan's function") => Server,
        _ => [Server, Server, Server, Machine, States, Handler, Special][dice.below(7)],
    };
    let form = match fault {
        Some("outer only") => [ListOf, MapOf][dice.below(2)],
        Some("key renamed" | "badkey") => Form::Map,
        // Of a tuple without a tag the older state is one as well.
        Some("missing clause") => [Record, Form::Map, Nested, ListOf, MapOf][dice.below(5)],
        Some(
            "field forgotten" | "no conversion" | "wrong arity" | "not exported" | "same state",
        ) => [Record, Record, Form::Map, Tuple, Nested][dice.below(5)],
        _ => [
            Record,
            Record,
            Form::Map,
            Form::Map,
            Tuple,
            Nested,
            ListOf,
            MapOf,
        ][dice.below(8)],
    };
    Writer {
        dice,
        name,
        behaviour,
        form,
        fault,
    }
    .case()
}

pub(super) struct Writer<'d> {
    pub(super) dice: &'d mut Dice,
    pub(super) name: String,
    pub(super) behaviour: Behaviour,
    pub(super) form: Form,
    pub(super) fault: Option<&'static str>,
}

/// What is written of a conversion.
#[derive(Default)]
pub(super) struct Conversion {
    pub(super) style: String,
    pub(super) clauses: Vec<String>,
    /// Other functions of the module.
    pub(super) more: String,
    /// What is exported for it; the conversion when empty.
    pub(super) exports: Option<String>,
    /// Another module in both versions.
    pub(super) library: Option<(String, String)>,
    /// A module that is new.
    pub(super) fresh: Option<String>,
    pub(super) plan: String,
    pub(super) limit: Option<u32>,
    pub(super) lazy: bool,
    pub(super) unchanged: bool,
    /// What the state becomes.
    pub(super) target: Option<Form>,
    pub(super) setup: String,
    pub(super) renamed: bool,
}

impl Writer<'_> {
    fn case(mut self) -> Case {
        let one_in_many = matches!(self.fault, Some("slow for one" | "fails for one"));
        let processes = match one_in_many {
            true => [50, 200, 400, 1000][self.dice.below(4)],
            false => 3 + self.dice.below(23),
        };
        let chosen = 1 + self.dice.below(processes);
        let vsn = self.dice.chance(60) || self.fault == Some("vsn");
        let older = self.fault == Some("missing clause") || self.dice.chance(20);
        let older = older && self.fault.is_none_or(|f| f == "missing clause");
        let conversion = match self.fault {
            Some(fault) => self.faulty(fault, chosen),
            None => self.right(vsn),
        };
        let (behaviour, form, name) = (self.behaviour, self.form, self.name.clone());
        // States of an older form, which version 1 still takes.
        let make_one = match older {
            true => format!(
                "(case N rem 3 of 0 -> {{older, N}}; _ -> {} end)",
                form.made(1)
            ),
            false => form.made(1),
        };
        let mut answers = form.answer().to_owned();
        if older {
            answers = format!("answer({{older, O}}) -> {{1, O, []}};\n{answers}");
        }
        let ping = self.dice.chance(40);
        let one = Source {
            module: &name,
            behaviour,
            version: 1,
            vsn,
            records: form.records(1),
            made: &make_one,
            what: ("_", "answer(S)"),
            ping,
            name: "idle",
            exports: behaviour.change(),
            more: &format!(
                "{answers}.\n{}.\n",
                behaviour.clause(&Head::of("S"), &behaviour.ok("S"))
            ),
        }
        .text();
        let two = self.two(&conversion, vsn, older, ping);
        let limit = match form.has_items() {
            true => 2 * conversion.limit.unwrap_or(LIMIT),
            false => conversion.limit.unwrap_or(LIMIT),
        };
        let answer = |version: u32, more: &str| {
            let each = format!("{{{version}, N, [N, N + 1]{more}}}");
            match older {
                true => {
                    let none = if more.is_empty() || !form.has_items() {
                        more
                    } else {
                        ", 0"
                    };
                    format!(
                        "[case N rem 3 of 0 -> {{{version}, N, []{none}}}; _ -> {each} end || N <- lists:seq(1, {processes})]"
                    )
                }
                false => format!("[{each} || N <- lists:seq(1, {processes})]"),
            }
        };
        let after = match conversion.unchanged {
            true => answer(2, ""),
            false => answer(2, &format!(", {limit}")),
        };
        let mut modules = (vec![(name.clone(), one)], vec![(name.clone(), two)]);
        if let Some((one, two)) = &conversion.library {
            modules.0.push((format!("{name}_lib"), one.clone()));
            modules.1.push((format!("{name}_lib"), two.clone()));
        }
        if let Some(fresh) = &conversion.fresh {
            modules.1.push((format!("{name}_up"), fresh.clone()));
        }
        let setup = &conversion.setup;
        Case {
            about: format!(
                "{name}: {processes} x {behaviour:?} with {form:?}{}, {}",
                if older { " and older ones" } else { "" },
                conversion.style
            ),
            fault: self.fault,
            elixir: false,
            one: modules.0,
            two: modules.1,
            start: format!("{setup}[{name}:start(N) || N <- lists:seq(1, {processes})]"),
            plan: conversion.plan,
            ask: behaviour.ask(&name),
            before: answer(1, ""),
            after,
            heavy: matches!(self.fault, Some("endless" | "memory" | "slow for one")),
            name,
        }
    }

    /// The module of version 2.
    fn two(&mut self, conversion: &Conversion, vsn: bool, older: bool, ping: bool) -> String {
        let (behaviour, name) = (self.behaviour, self.name.clone());
        let form = conversion.target.unwrap_or(self.form);
        let (pattern, answer) = form.read(self.dice);
        let mut more = String::new();
        let fields = form.fields().filter(|_| self.dice.chance(30));
        let what = match (conversion.unchanged, conversion.lazy, fields) {
            (true, _, _) => {
                let answer = form.answer().replace("{1,", "{2,");
                let older = match older {
                    true => "answer({older, O}) -> {2, O, []};\n",
                    false => "",
                };
                let _ = writeln!(more, "{older}{answer}.");
                ("_", "answer(S)")
            }
            // Both forms are taken.
            (_, true, _) => {
                let old = if older {
                    "answer({older, O}) -> {2, O, [], 10};\n"
                } else {
                    ""
                };
                let was = form.was().replace(", M}", ", _}");
                let _ = match form {
                    Form::Map => writeln!(
                        more,
                        "{old}answer(#{{owner := O, items := I}} = S) -> {{2, O, I, maps:get(limit, S, 10)}}."
                    ),
                    _ => writeln!(
                        more,
                        "{old}answer({was}) -> {{2, O, I, 10}};\nanswer({pattern}) -> {answer}."
                    ),
                };
                ("_", "answer(S)")
            }
            (_, _, Some(fields)) => ("_", fields),
            _ if self.dice.chance(50) => {
                let _ = writeln!(more, "answer({pattern}) -> {answer}.");
                ("_", "answer(S)")
            }
            _ => (pattern, answer),
        };
        for clauses in [&conversion.clauses] {
            if !clauses.is_empty() {
                let _ = writeln!(more, "{}.", clauses.join(";\n"));
            }
        }
        more += &conversion.more;
        let unchanged = conversion.unchanged;
        Source {
            module: &name,
            behaviour,
            version: 2,
            vsn,
            records: form.records(if unchanged { 1 } else { 2 }),
            made: &form.made(if unchanged { 1 } else { 2 }),
            what,
            ping,
            name: if conversion.renamed { "ready" } else { "idle" },
            exports: match &conversion.exports {
                Some(exports) => exports,
                None => behaviour.change(),
            },
            more: &more,
        }
        .text()
    }
}
