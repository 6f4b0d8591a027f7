//! Conversions in Erlang that are wrong, each in one way.

use super::erlang::{Conversion, Writer};
use super::forms::{Form, Head};
use super::forms::{
    Handler, ListOf, Machine, MapOf, Nested, Record, Server, Special, States, Tuple,
};

impl Writer<'_> {
    pub(super) fn faulty(&mut self, fault: &'static str, chosen: usize) -> Conversion {
        let (behaviour, form) = (self.behaviour, self.form);
        let (name, was, built) = (self.name.clone(), form.was(), form.built());
        let ok = behaviour.ok(built);
        let plain = |body: &str| behaviour.clause(&Head::of(was), body);
        let right = plain(&format!("L = 10, {ok}"));
        let one = |body: &str| {
            let head = Head {
                guard: format!(" when O =:= {chosen}"),
                ..Head::of(was)
            };
            behaviour.clause(&head, body)
        };
        let mut made = Conversion {
            style: fault.to_owned(),
            ..Conversion::default()
        };
        let identity = behaviour.clause(&Head::of("S"), &behaviour.ok("S"));
        made.clauses = match fault {
            "bare state" => vec![plain(&format!("L = 10, {built}"))],
            "three elements" => {
                let longer = ok.strip_suffix('}').unwrap_or(&ok);
                vec![plain(&format!("L = 10, {longer}, extra}}"))]
            }
            "error returned" => vec![plain(self.dice.pick(&[
                "{error, not_supported}",
                "ok",
                "{stop, bad_state}",
            ]))],
            "missing clause" => vec![right],
            "badmatch" => {
                let fails = self.dice.pick(&[
                    "{ok, L} = application:get_env(kernel, no_such_limit)",
                    "[L] = [X || X <- [O], X < 0]",
                    "#{limit := L} = #{owner => O}",
                ]);
                vec![plain(&format!("{fails}, {ok}"))]
            }
            "field forgotten" | "outer only" => {
                let made = match form {
                    Record => "{st, O, I}",
                    Form::Map | MapOf => "#{owner => O, items => I}",
                    Tuple => "{O, I}",
                    Nested => "{st, {O, I}, M}",
                    ListOf => "#st{owner = O, items = lists:reverse(lists:reverse(I))}",
                };
                vec![plain(&behaviour.ok(made))]
            }
            "key renamed" => vec![plain(
                &behaviour.ok("#{owner => O, items => I, limt => 10}"),
            )],
            "no conversion" => {
                made.exports = Some(String::new());
                Vec::new()
            }
            "wrong arity" => {
                let (short, arity) = match behaviour {
                    Server | Handler => (
                        format!("code_change({was}, _) -> L = 10, {ok}"),
                        "code_change/2",
                    ),
                    Machine | States => (
                        format!("code_change(_, {was}, _) -> L = 10, {{ok, {built}}}"),
                        "code_change/3",
                    ),
                    Special => (
                        format!("system_code_change({was}, _, _) -> L = 10, {ok}"),
                        "system_code_change/3",
                    ),
                };
                made.exports = Some(arity.to_owned());
                vec![short]
            }
            "not exported" => {
                made.exports = Some(String::new());
                vec![right]
            }
            "endless" => {
                made.more = "forever(X) -> forever([X | []]).\n".to_owned();
                vec![plain(&format!("L = 10, forever(O), {ok}"))]
            }
            "memory" => {
                made.more = "grown(X) -> grown([X, X | lists:seq(1, 1000)]).\n".to_owned();
                vec![plain(&format!("L = 10, grown(O), {ok}"))]
            }
            "slow for one" => {
                made.more = "slow(0) -> ok;\nslow(N) -> slow(N - 1).\n".to_owned();
                let slow = self
                    .dice
                    .pick(&["timer:sleep(60000)", "slow(200000000000)"]);
                vec![one(&format!("{slow}, L = 10, {ok}")), right]
            }
            "fails for one" => {
                let fails = self.dice.pick(&[
                    "error(unlucky)",
                    "L0 = none, L = L0 + O",
                    "exit(unlucky)",
                    "L = hd(tl([O]))",
                ]);
                let body = if fails.contains("L = ") {
                    format!("{fails}, {ok}")
                } else {
                    fails.to_owned()
                };
                vec![one(&body), right]
            }
            "function gone" => {
                if self.dice.chance(60) {
                    made.library = Some((
                        format!(
                            "-module({name}_lib).\n-export([v/0, limit/0]).\nv() -> 1.\nlimit() -> 10.\n"
                        ),
                        format!("-module({name}_lib).\n-export([v/0]).\nv() -> 2.\n"),
                    ));
                    vec![plain(&format!("L = {name}_lib:limit(), {ok}"))]
                } else {
                    let gone = self.dice.pick(&[
                        "maps:mergee(#{}, #{})",
                        "lists:fold(O, I)",
                        "string:limit(O)",
                    ]);
                    vec![plain(&format!("L = {gone}, {ok}"))]
                }
            }
            "throws" => vec![plain("throw(cannot_convert)")],
            "exits" => vec![plain("exit({cannot_convert, O})")],
            "same state" if form.has_items() => vec![identity],
            "same state" => vec![identity],
            "vsn" => {
                let vsn = self.dice.pick(&["1", "\"0\"", "\"2\"", "{down, _}"]);
                let head = Head {
                    vsn: vsn.to_owned(),
                    ..Head::of(was)
                };
                vec![behaviour.clause(&head, &format!("L = 10, {ok}"))]
            }
            "extra" => {
                let extra = self.dice.pick(&["upgrade", "[upgrade]", "{from, one}"]);
                let head = Head {
                    extra: extra.to_owned(),
                    ..Head::of(was)
                };
                vec![behaviour.clause(&head, &format!("L = 10, {ok}"))]
            }
            "badarith" => vec![plain(&format!("L = limit(O), {ok}"))],
            "badkey" => vec![behaviour.clause(
                &Head::of("S"),
                &behaviour.ok("S#{limit => maps:get(size, S)}"),
            )],
            "return of another behaviour" => {
                let returned = match behaviour {
                    Machine | States => format!("{{ok, {built}}}"),
                    _ => ["{ok, idle, X}", "{noreply, X}", "{reply, ok, X}"][self.dice.below(3)]
                        .replace('X', built),
                };
                vec![plain(&format!("L = 10, {returned}"))]
            }
            "name of no state" => {
                made.renamed = true;
                vec![right]
            }
            "plan's function" => {
                made.exports = Some(String::new());
                let records = form.records(2);
                let body = match self.dice.below(4) {
                    0 => "error(cannot_convert)".to_owned(),
                    1 => format!("L = 10 + length(O), {built}"),
                    2 => format!("L = 10, {{ok, {built}}}"),
                    _ => format!("#{{limit := L}} = #{{owner => O}}, {built}"),
                };
                made.fresh = Some(format!(
                    "-module({name}_up).\n-export([state/1]).\n{records}state({was}) -> {body}.\n"
                ));
                made.plan = format!(
                    "module {name} #{{change => {{convert, fun {name}_up:state/1}}}} because \"it has no code_change\".\n"
                );
                Vec::new()
            }
            other => panic!("no such fault: {other}"),
        };
        if fault == "badarith" {
            made.more = "limit(O) -> case O of _ when O < 0 -> 0; _ -> 10 + limits(O) end.\nlimits(_) -> undefined.\n".to_owned();
        }
        made
    }
}
