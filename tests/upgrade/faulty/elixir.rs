//! Servers in Elixir: their state is a struct of their own or of another module, a map, or a map of structs.

use std::fmt::Write as _;

use crate::support::invented::Dice;

use super::case::Case;

/// Faults that are written in Erlang only.
const ERLANG_ONLY: &[&str] = &[
    "asks a peer that asks it",
    "name of no state",
    "specification",
    "plan's function",
    "update of a missing key",
];

/// Whether a fault is written in Elixir as well.
pub fn writes(fault: &str) -> bool {
    !ERLANG_ONLY.contains(&fault)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `%__MODULE__{}`.
    Own,
    /// A struct of another module.
    Other,
    Map,
    /// `%{carts: %{id => %Cart{}}}`.
    Carts,
    /// `%{carts: [%Cart{}]}`.
    List,
}

use Form::{Carts, List, Map, Other, Own};

/// A server of the seed.
pub fn server(dice: &mut Dice, name: String, fault: Option<&'static str>) -> Case {
    let inner = fault == Some("outer only");
    let form = match fault {
        Some("update of a missing key") => [Own, Other, Map][dice.below(3)],
        Some(
            "field forgotten" | "key renamed" | "no conversion" | "wrong arity" | "not exported"
            | "same state",
        ) => [Own, Own, Other, Map][dice.below(4)],
        Some(_) if inner => [Carts, List][dice.below(2)],
        _ => [Own, Own, Other, Map, Carts, List][dice.below(6)],
    };
    let processes = match fault {
        Some("slow for one" | "fails for one") => [50, 300][dice.below(2)],
        _ => 3 + dice.below(15),
    };
    let chosen = 1 + dice.below(processes);
    let older = fault == Some("missing clause") || fault.is_none() && dice.chance(15);
    let module = name.to_uppercase();
    let text = Writer {
        dice,
        module: &module,
        form,
        older,
    };
    let made = text.conversion(fault, chosen);
    let limit = if matches!(form, Carts | List) { 20 } else { 10 };
    let answer = |version: u32, more: &str| {
        let each = format!("{{{version}, N, [N, N + 1]{more}}}");
        let none = if limit == 20 && !more.is_empty() {
            ", 0"
        } else {
            more
        };
        match older {
            true => format!(
                "[case N rem 3 of 0 -> {{{version}, N, []{none}}}; _ -> {each} end || N <- lists:seq(1, {processes})]"
            ),
            false => format!("[{each} || N <- lists:seq(1, {processes})]"),
        }
    };
    let room = format!("Elixir.{module}.Room");
    Case {
        about: format!(
            "{name}: {processes} x GenServer with {form:?}{}, {}",
            if older { " and older ones" } else { "" },
            made.style
        ),
        fault,
        elixir: true,
        one: vec![(module.clone(), made.one)],
        two: vec![(module.clone(), made.two)],
        start: format!("['{room}':start(N) || N <- lists:seq(1, {processes})]"),
        plan: made.plan,
        ask: "gen_server:call(P, what, 2000)".to_owned(),
        before: answer(1, ""),
        after: match made.unchanged {
            true => answer(2, ""),
            false => answer(2, &format!(", {limit}")),
        },
        heavy: matches!(fault, Some("endless" | "memory" | "slow for one")),
        name,
    }
}

struct Made {
    style: String,
    one: String,
    two: String,
    plan: String,
    unchanged: bool,
}

struct Writer<'d> {
    dice: &'d mut Dice,
    module: &'d str,
    form: Form,
    older: bool,
}

impl Writer<'_> {
    /// The struct that grows.
    fn struct_name(&self) -> String {
        match self.form {
            Own => format!("{}.Room", self.module),
            _ => format!("{}.Cart", self.module),
        }
    }

    /// The state of `init(n)`.
    fn made(&self, version: u32) -> String {
        let cart = format!("%{}{{name: x}}", self.struct_name());
        match (self.form, version) {
            (Own | Other, _) => format!("%{}{{owner: n, items: [n, n + 1]}}", self.struct_name()),
            (Map, 1) => "%{owner: n, items: [n, n + 1]}".to_owned(),
            (Map, _) => "%{owner: n, items: [n, n + 1], limit: 10}".to_owned(),
            (Carts, _) => {
                format!("%{{owner: n, items: Map.new([n, n + 1], fn x -> {{x, {cart}}} end)}}")
            }
            (List, _) => format!("%{{owner: n, items: Enum.map([n, n + 1], fn x -> {cart} end)}}"),
        }
    }

    /// What version 2 answers of `s`.
    fn read(&mut self) -> (String, String) {
        let name = self.struct_name();
        match self.form {
            Own | Other if self.dice.chance(40) => (
                format!("%{name}{{owner: o, items: i, limit: l}} = s"),
                "{2, o, i, l}".to_owned(),
            ),
            Map if self.dice.chance(40) => (
                "%{owner: o, items: i, limit: l} = s".to_owned(),
                "{2, o, i, l}".to_owned(),
            ),
            Own | Other | Map => ("s".to_owned(), "{2, s.owner, s.items, s.limit}".to_owned()),
            Carts => (
                "s".to_owned(),
                "{2, s.owner, s.items |> Map.values() |> Enum.map(fn c -> c.name end) |> Enum.sort(), s.items |> Map.values() |> Enum.map(fn c -> c.price end) |> Enum.sum()}"
                    .to_owned(),
            ),
            List => (
                "s".to_owned(),
                "{2, s.owner, Enum.map(s.items, & &1.name), Enum.reduce(s.items, 0, fn c, sum -> sum + c.price end)}".to_owned(),
            ),
        }
    }

    fn answer_one(&self) -> &'static str {
        match self.form {
            Own | Other | Map => "{1, s.owner, s.items}",
            Carts => "{1, s.owner, s.items |> Map.values() |> Enum.map(& &1.name) |> Enum.sort()}",
            List => "{1, s.owner, Enum.map(s.items, & &1.name)}",
        }
    }

    /// Conversions of a state `s` that are right.
    fn upgraded(&mut self) -> (&'static str, String) {
        let name = self.struct_name();
        let cart = [
            format!("Map.merge(%{name}{{}}, c)"),
            format!("%{name}{{name: c.name}}"),
            "Map.put(c, :price, 10)".to_owned(),
            format!("struct({name}, Map.from_struct(c))"),
            format!("struct!({name}, Map.from_struct(c))"),
        ];
        let cart = &cart[self.dice.below(cart.len())];
        match self.form {
            Own | Other => {
                let all = [
                    ("merge", format!("Map.merge(%{name}{{}}, s)")),
                    ("put", "Map.put(s, :limit, 10)".to_owned()),
                    ("put_new", "Map.put_new(s, :limit, 10)".to_owned()),
                    (
                        "fields",
                        format!("%{name}{{owner: s.owner, items: s.items}}"),
                    ),
                    ("struct", format!("struct({name}, Map.from_struct(s))")),
                    ("struct!", format!("struct!({name}, Map.from_struct(s))")),
                    (
                        "update",
                        format!("%{{Map.merge(%{name}{{}}, s) | limit: 10}}"),
                    ),
                    (
                        "from keywords",
                        format!(
                            "struct({name}, s |> Map.from_struct() |> Map.to_list() |> Keyword.put(:limit, 10))"
                        ),
                    ),
                ];
                let at = self.dice.below(all.len());
                all[at].clone()
            }
            Map => {
                let all = [
                    ("merge", "Map.merge(%{limit: 10}, s)"),
                    ("put", "Map.put(s, :limit, 10)"),
                    ("put_new_lazy", "Map.put_new_lazy(s, :limit, fn -> 10 end)"),
                    ("into", "Enum.into([limit: 10], s)"),
                    ("fields", "%{owner: s.owner, items: s.items, limit: 10}"),
                ];
                let (style, text) = all[self.dice.below(all.len())];
                (style, text.to_owned())
            }
            Carts => {
                let all = [
                    (
                        "Map.new",
                        format!(
                            "%{{s | items: Map.new(s.items, fn {{k, c}} -> {{k, {cart}}} end)}}"
                        ),
                    ),
                    (
                        "for",
                        format!(
                            "%{{s | items: for({{k, c}} <- s.items, into: %{{}}, do: {{k, {cart}}})}}"
                        ),
                    ),
                    (
                        "update!",
                        format!(
                            "Map.update!(s, :items, fn i -> Enum.reduce(i, %{{}}, fn {{k, c}}, all -> Map.put(all, k, {cart}) end) end)"
                        ),
                    ),
                ];
                let at = self.dice.below(all.len());
                all[at].clone()
            }
            List => {
                let all = [
                    (
                        "Enum.map",
                        format!("%{{s | items: Enum.map(s.items, fn c -> {cart} end)}}"),
                    ),
                    (
                        "for",
                        format!("Map.put(s, :items, for(c <- s.items, do: {cart}))"),
                    ),
                    (
                        "update_in",
                        format!("update_in(s.items, fn i -> Enum.map(i, fn c -> {cart} end) end)"),
                    ),
                ];
                let at = self.dice.below(all.len());
                all[at].clone()
            }
        }
    }

    fn conversion(mut self, fault: Option<&'static str>, chosen: usize) -> Made {
        let (how, upgraded) = self.upgraded();
        let name = self.struct_name();
        let mut style = fault.map_or_else(|| how.to_owned(), ToOwned::to_owned);
        let (mut more, mut unchanged, mut lazy, mut plan) =
            (String::new(), false, false, String::new());
        let mut helper = (String::new(), String::new());
        let right = format!("  def code_change(_, s, _), do: {{:ok, {upgraded}}}\n");
        let one = |guard: &str, body: &str| {
            format!("  def code_change(_, %{{owner: o}} = s, _){guard} do\n    {body}\n  end\n")
        };
        let whole = |body: &str| one("", body);
        let empty = match self.form {
            Own | Other => format!("%{name}{{owner: o, items: [], limit: 10}}"),
            Map => "%{owner: o, items: [], limit: 10}".to_owned(),
            Carts => "%{owner: o, items: %{}}".to_owned(),
            List => "%{owner: o, items: []}".to_owned(),
        };
        let of_older = match self.older && fault.is_none() {
            true => format!("  def code_change(_, {{:older, o}}, _), do: {{:ok, {empty}}}\n"),
            false => String::new(),
        };
        let change = match fault {
            None => {
                let styles = [
                    "plain",
                    "plain",
                    "plain",
                    "vsn",
                    "helper",
                    "reads",
                    "acts",
                    "unchanged",
                    "soft",
                    "lazy",
                    "thrown",
                    "extra",
                ];
                let chosen = self.dice.pick(&styles);
                style = format!("{chosen}, {style}");
                match chosen {
                    "vsn" => format!("  def code_change(\"1\", s, _), do: {{:ok, {upgraded}}}\n"),
                    "helper" => {
                        helper = (
                            "  def v, do: 1\n".to_owned(),
                            format!("  def v, do: 2\n  def upgraded(s), do: {upgraded}\n"),
                        );
                        format!(
                            "  def code_change(_, s, _), do: {{:ok, {}.Helper.upgraded(s)}}\n",
                            self.module
                        )
                    }
                    "reads" => whole(&format!(
                        "_ = {{Application.get_env(:kernel, :nothing, o), System.monotonic_time(), Process.whereis(:absent)}}\n    {{:ok, {upgraded}}}"
                    )),
                    "acts" => whole(&format!(
                        "send(self(), {{:upgraded, o}})\n    {{:ok, {upgraded}}}"
                    )),
                    "thrown" => whole(&format!("throw({{:ok, {upgraded}}})\n    o")),
                    "extra" => {
                        plan = format!(
                            "module 'Elixir.{}.Room' #{{change => {{advanced, one}}}} because \"so it is\".\n",
                            self.module
                        );
                        format!("  def code_change(_, s, :one), do: {{:ok, {upgraded}}}\n")
                    }
                    "unchanged" => {
                        unchanged = true;
                        "  def code_change(_, s, _), do: {:ok, s}\n".to_owned()
                    }
                    "soft" => {
                        unchanged = true;
                        String::new()
                    }
                    "lazy" if matches!(self.form, Own | Other | Map) => {
                        lazy = true;
                        String::new()
                    }
                    _ => right,
                }
            }
            Some("missing clause") => whole(&format!("_ = o\n    {{:ok, {upgraded}}}")),
            Some("bare state") => whole(&format!("_ = o\n    {upgraded}")),
            Some("three elements") => whole(&format!("_ = o\n    {{:ok, {upgraded}, :extra}}")),
            Some("error returned") => whole(
                self.dice
                    .pick(&["{:error, {:cannot, o, s}}", "_ = {o, s}\n    :ok"]),
            ),
            Some("badmatch") => whole(&format!(
                "{{:ok, _}} = Application.fetch_env(:kernel, :no_such_limit)\n    _ = o\n    {{:ok, {upgraded}}}"
            )),
            Some("field forgotten") => match self.form {
                Map => "  def code_change(_, s, _), do: {:ok, %{owner: s.owner, items: s.items}}\n"
                    .to_owned(),
                _ => format!(
                    "  def code_change(_, s, _), do: {{:ok, %{{__struct__: {name}, owner: s.owner, items: s.items}}}}\n"
                ),
            },
            Some("key renamed") => {
                "  def code_change(_, s, _), do: {:ok, Map.put(s, :limt, 10)}\n".to_owned()
            }
            Some("no conversion") => String::new(),
            Some("wrong arity") => format!("  def code_change(_, s), do: {{:ok, {upgraded}}}\n"),
            Some("not exported") => {
                format!("  def up(s), do: changed(s)\n  defp changed(s), do: {{:ok, {upgraded}}}\n")
            }
            Some("endless") => {
                more = "  defp forever(x), do: forever([x])\n".to_owned();
                whole(&format!("forever(o)\n    {{:ok, {upgraded}}}"))
            }
            Some("memory") => {
                more = "  defp grown(x), do: grown([x, x | Enum.to_list(1..1000)])\n".to_owned();
                whole(&format!("grown(o)\n    {{:ok, {upgraded}}}"))
            }
            Some("slow for one") => {
                one(
                    &format!(" when o == {chosen}"),
                    &format!("Process.sleep(60_000)\n    {{:ok, {upgraded}}}"),
                ) + &right
            }
            Some("fails for one") => {
                one(
                    &format!(" when o == {chosen}"),
                    &format!("raise \"unlucky #{{o}}\"\n    {{:ok, {upgraded}}}"),
                ) + &right
            }
            Some("function gone") => {
                helper = (
                    "  def v, do: 1\n  def limit, do: 10\n".to_owned(),
                    "  def v, do: 2\n".to_owned(),
                );
                whole(&format!(
                    "_ = {{o, {}.Helper.limit()}}\n    {{:ok, {upgraded}}}",
                    self.module
                ))
            }
            Some("throws") => whole("throw({:cannot, o, s})"),
            Some("exits") => whole("exit({:cannot, o, s})"),
            Some("same state" | "outer only") => {
                "  def code_change(_, s, _), do: {:ok, s}\n".to_owned()
            }
            Some("vsn") => format!("  def code_change(1, s, _), do: {{:ok, {upgraded}}}\n"),
            Some("extra") => {
                format!("  def code_change(_, s, :upgrade), do: {{:ok, {upgraded}}}\n")
            }
            Some("badarith") => {
                more = "  defp add(a, b), do: a + b\n".to_owned();
                whole(&format!(
                    "_ = add(o, Map.get(s, :limit))\n    {{:ok, {upgraded}}}"
                ))
            }
            Some("badkey") => whole(&format!(
                "_ = {{o, {}}}\n    {{:ok, {upgraded}}}",
                self.dice.pick(&["Map.fetch!(s, :size)", "s.size"])
            )),
            Some("return of another behaviour") => whole(&format!(
                "_ = o\n    {}",
                ["{:noreply, X}", "{:reply, :ok, X}", "{:ok, :idle, X}"][self.dice.below(3)]
                    .replace('X', &upgraded)
            )),
            Some("update of a missing key") => {
                "  def code_change(_, s, _), do: {:ok, %{s | limit: 10}}\n".to_owned()
            }
            Some(other) => panic!("no such fault: {other}"),
        };
        let (pattern, answer) = self.read();
        let older = |version: u32| match self.older {
            true => format!(
                "  def handle_call(:what, _, {{:older, o}} = s), do: {{:reply, {{{version}, o, []}}, s}}\n"
            ),
            false => String::new(),
        };
        let call_one = format!(
            "{}  def handle_call(:what, _, s), do: {{:reply, {}, s}}\n",
            older(1),
            self.answer_one()
        );
        let call_two = match (unchanged, lazy) {
            (true, _) => call_one.replace("{1,", "{2,"),
            (_, true) => format!(
                "{}  def handle_call(:what, _, s), do: {{:reply, {{2, s.owner, s.items, Map.get(s, :limit, 10)}}, s}}\n",
                older(2).replace("o, []}", "o, [], 10}")
            ),
            _ if self.dice.chance(40) => format!(
                "  def handle_call(:what, _, s), do: {{:reply, answer(s), s}}\n  defp answer({pattern}), do: (_ = s; {answer})\n"
            ),
            _ => format!("  def handle_call(:what, _, {pattern}), do: {{:reply, {answer}, s}}\n"),
        };
        let change = match change.is_empty() || unchanged || lazy {
            true => change,
            false => of_older + &change,
        };
        let change_one = "  def code_change(_, s, _), do: {:ok, s}\n";
        Made {
            style,
            one: self.source(1, call_one, change_one, &helper.0, ""),
            two: self.source(
                if unchanged { 3 } else { 2 },
                call_two,
                &change,
                &helper.1,
                &more,
            ),
            plan,
            unchanged,
        }
    }

    /// All modules of a version; 3 is one whose structs are those of version 1.
    fn source(&self, version: u32, call: String, change: &str, helper: &str, more: &str) -> String {
        let module = self.module;
        let fields = |old: &str, new: &str| match version {
            2 => format!("  defstruct [{old}, {new}]\n"),
            _ => format!("  defstruct [{old}]\n"),
        };
        let mut text = String::new();
        let cart = match self.form {
            Other => fields("owner: 0, items: []", "limit: 10"),
            Carts | List => fields("name: 0", "price: 10"),
            Own | Map => String::new(),
        };
        if !cart.is_empty() {
            let _ = write!(text, "defmodule {module}.Cart do\n{cart}end\n");
        }
        let own = match self.form {
            Own => fields("owner: 0, items: []", "limit: 10"),
            _ => String::new(),
        };
        if !helper.is_empty() {
            // The struct is known to the compiler before it is used.
            if self.form == Own {
                let _ = write!(
                    text,
                    "defmodule {module}.Helper do\n{}end\n",
                    helper.replace(
                        &format!("%{module}.Room{{"),
                        &format!("%{{__struct__: {module}.Room, ")
                    )
                );
            } else {
                let _ = write!(text, "defmodule {module}.Helper do\n{helper}end\n");
            }
        }
        let made = match self.older && version == 1 {
            true => format!(
                "if(rem(n, 3) == 0, do: {{:older, n}}, else: {})",
                self.made(1)
            ),
            false => self.made(if version == 3 { 1 } else { version }),
        };
        let _ = write!(
            text,
            "defmodule {module}.Room do\n  use GenServer\n  @vsn \"{}\"\n{own}\
             \x20 def start(n) do\n    {{:ok, p}} = GenServer.start(__MODULE__, n)\n    p\n  end\n\
             \x20 def init(n), do: {{:ok, {made}}}\n{call}  def handle_info(_, s), do: {{:noreply, s}}\n{change}{more}end\n",
            version.min(2)
        );
        text
    }
}
