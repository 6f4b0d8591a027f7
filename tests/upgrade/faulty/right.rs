//! Conversions in Erlang that are right, in many styles.

use super::erlang::{Conversion, Writer};
use super::forms::{Form, Head};
use super::forms::{Handler, ListOf, Machine, MapOf, Nested, Record, Server, States, Tuple};

impl Writer<'_> {
    /// A clause for states of an older form.
    pub(super) fn of_older(&self) -> String {
        let form = self.form;
        let built = match form {
            MapOf => "#{owner => O, items => #{}}".to_owned(),
            ListOf => "#st{owner = O, items = []}".to_owned(),
            _ => form
                .built()
                .replace("I", "[]")
                .replace("L", "10")
                .replace("M}", "#{}}"),
        };
        self.behaviour
            .clause(&Head::of("{older, O}"), &self.behaviour.ok(&built))
    }

    pub(super) fn right(&mut self, vsn: bool) -> Conversion {
        let (behaviour, form) = (self.behaviour, self.form);
        let (name, was, built) = (self.name.clone(), form.was(), form.built());
        let mut styles = vec![
            "pattern",
            "pattern",
            "vsn",
            "function",
            "library",
            "reads",
            "acts",
            "unchanged",
            "soft",
            "thrown",
            "caught",
            "extra",
            "fun",
        ];
        if !form.has_items() {
            styles.extend(["generic", "lazy"]);
        }
        if behaviour == Server {
            styles.push("plan");
        }
        if matches!(form, Record | Tuple | Form::Map) {
            styles.extend(["another form", "another form"]);
        }
        if matches!(behaviour, Machine | States) {
            styles.push("name");
        }
        let style = self.dice.pick(&styles);
        let set = |limit: &str, result: &str| format!("L = {limit}, {result}");
        let plain = |body: String| behaviour.clause(&Head::of(was), &body);
        let mut made = Conversion {
            style: style.to_owned(),
            ..Conversion::default()
        };
        let ok = behaviour.ok(built);
        let mut clauses = vec![self.of_older()];
        match style {
            "vsn" if vsn => {
                let up = Head {
                    vsn: "\"1\"".to_owned(),
                    ..Head::of(was)
                };
                let down = Head {
                    vsn: "{down, _}".to_owned(),
                    ..Head::of("S")
                };
                clauses.push(behaviour.clause(&up, &set("10", &ok)));
                clauses.push(behaviour.clause(&down, &behaviour.ok("S")));
            }
            "function" => {
                clauses.push(behaviour.clause(&Head::of("S"), &behaviour.ok("upgraded(S)")));
                made.more = format!("upgraded({was}) -> L = 10, {built}.\n");
            }
            "library" => {
                clauses.push(behaviour.clause(
                    &Head::of("S"),
                    &behaviour.ok(&format!("{name}_lib:upgraded(S)")),
                ));
                let records = form.records(2);
                made.library = Some((
                    format!("-module({name}_lib).\n-export([v/0]).\nv() -> 1.\n"),
                    format!(
                        "-module({name}_lib).\n-export([v/0, upgraded/1]).\n{records}v() -> 2.\nupgraded({was}) -> L = limit(), {built}.\nlimit() -> 5 + 5.\n"
                    ),
                ));
            }
            "reads" => {
                let (setup, read) = match self.dice.below(4) {
                    0 => (
                        format!("persistent_term:put({name}, 77), "),
                        format!("persistent_term:get({name})"),
                    ),
                    1 => (
                        format!("application:set_env(kernel, {name}, 77), "),
                        format!("application:get_env(kernel, {name}, 0)"),
                    ),
                    2 => (
                        format!(
                            "spawn(fun() -> ets:new({name}, [named_table, public]), receive stop -> ok end end), timer:sleep(20), ets:insert({name}, {{limit, 77}}), "
                        ),
                        format!("ets:lookup_element({name}, limit, 2)"),
                    ),
                    _ => (
                        String::new(),
                        "(is_pid(self()) andalso erlang:system_time() > 0 andalso 77)".to_owned(),
                    ),
                };
                made.setup = setup;
                made.limit = Some(77);
                clauses[0] = clauses[0].replace("10", "77");
                clauses.push(plain(set(&read, &ok)));
            }
            "acts" => {
                let acts = self.dice.pick(&[
                    "put(upgraded, true), ",
                    "self() ! tick, ",
                    "erlang:send_after(5, self(), tick), ",
                    "spawn(fun() -> ok end), ",
                    "ets:new(own, [private]), ",
                ]);
                clauses.push(plain(set("10", &format!("{acts}{ok}"))));
            }
            "thrown" if behaviour != Handler => {
                clauses.push(plain(set("10", &format!("throw({ok})"))));
            }
            "another form" => {
                let target = match form {
                    Record => [Form::Map, Tuple],
                    Form::Map => [Record, Tuple],
                    _ => [Form::Map, Record],
                }[self.dice.below(2)];
                self.form = target;
                clauses = vec![self.of_older()];
                self.form = form;
                made.target = Some(target);
                clauses.push(plain(set("10", &behaviour.ok(target.built()))));
            }
            "caught" => {
                clauses.push(behaviour.clause(
                    &Head::of("S"),
                    &format!("try error(S) catch error:{was} -> L = 10, {ok} end"),
                ));
            }
            "extra" => {
                let head = Head {
                    extra: "{from, one}".to_owned(),
                    ..Head::of(was)
                };
                clauses.push(behaviour.clause(&head, &set("10", &ok)));
                clauses[0] = clauses[0].replace(", _) ->", ", {from, one}) ->");
                made.plan = format!(
                    "module {name} #{{change => {{advanced, {{from, one}}}}}} because \"so it is\".\n"
                );
            }
            "fun" => {
                clauses.push(plain(format!(
                    "F = fun(L) -> {ok} end, hd(lists:map(F, [10]))"
                )));
            }
            "unchanged" | "soft" => {
                made.unchanged = true;
                clauses = vec![behaviour.clause(&Head::of("S"), &behaviour.ok("S"))];
                if style == "soft" {
                    clauses.clear();
                    made.exports = Some(String::new());
                }
            }
            "generic" => {
                let state = match form {
                    Form::Map => [
                        "maps:merge(#{limit => 10}, S)",
                        "S#{limit => 10}",
                        "maps:put(limit, 10, S)",
                    ][self.dice.below(3)],
                    Nested => "setelement(2, S, erlang:append_element(element(2, S), 10))",
                    _ => [
                        "erlang:append_element(S, 10)",
                        "list_to_tuple(tuple_to_list(S) ++ [10])",
                    ][self.dice.below(2)],
                };
                clauses.push(behaviour.clause(&Head::of("S"), &behaviour.ok(state)));
            }
            "lazy" => {
                made.lazy = true;
                clauses = vec![behaviour.clause(&Head::of("S"), &behaviour.ok("S"))];
            }
            "plan" => {
                clauses.clear();
                made.exports = Some(String::new());
                let records = form.records(2);
                let older = self.of_older();
                let older = older
                    .rsplit_once("{ok, ")
                    .map_or("S", |(_, state)| &state[..state.len() - 1]);
                made.fresh = Some(format!(
                    "-module({name}_up).\n-export([state/1]).\n{records}state({{older, O}}) -> {older};\nstate({was}) -> L = 10, {built}.\n"
                ));
                made.plan = format!(
                    "module {name} #{{change => {{convert, fun {name}_up:state/1}}}} because \"it has no code_change\".\n"
                );
            }
            "name" => {
                made.renamed = true;
                clauses = clauses
                    .iter()
                    .map(|clause| clause.replace("{ok, Name, ", "{ok, ready, "))
                    .collect();
                clauses.push(plain(set("10", &ok)).replace("{ok, Name, ", "{ok, ready, "));
            }
            _ => clauses.push(plain(set("10", &ok))),
        }
        made.clauses = clauses;
        made
    }
}
