//! The evaluator against Erlang: random expressions, as text, evaluated here and by `erl_eval` in one `erl`.
//!
//! Both must give the same value, or raise the same class with the same reason. `UPDO_SEED` chooses the
//! expressions, `UPDO_COUNT` how many (default 2000); a failure prints the seed and the text. Without an
//! `erl` on the path the test fails: it proves nothing then.
//!
//! Left out on purpose: stack traces, unbound variables (updo refuses them, `catch` or not), integers
//! beyond 2^20 bits, and map iteration order.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use updo::eval::{Bindings, Evaluator, Functions, Kind, Moment};
use updo::syntax::{Input, parse_input};
use updo::term::{Term, etf};

/// Evaluates a frame of text, answers with a frame of the external format. Each in a process of its own.
const SERVER: &str = r#"
{ok, Port} = gen_tcp:connect({127, 0, 0, 1}, PORT, [binary, {packet, 4}, {active, true}]),
Run = fun(Text) ->
    case erl_scan:string(Text ++ ".") of
        {ok, Tokens, _} ->
            case erl_parse:parse_exprs(Tokens) of
                {ok, Exprs} ->
                    try erl_eval:exprs(Exprs, erl_eval:new_bindings()) of
                        {value, Value, _} -> {value, Value}
                    catch Class:Reason -> {Class, Reason}
                    end;
                {error, Why} -> {unparsable, lists:flatten(io_lib:format("~p", [Why]))}
            end;
        Other -> {unparsable, lists:flatten(io_lib:format("~p", [Other]))}
    end
end,
Loop = fun Loop() ->
    receive
        {tcp, Port, Bytes} ->
            Text = unicode:characters_to_list(Bytes),
            {Pid, Ref} = spawn_monitor(fun() -> exit({answer, Run(Text)}) end),
            receive
                {'DOWN', Ref, process, Pid, {answer, Answer}} ->
                    gen_tcp:send(Port, term_to_binary(Answer));
                {'DOWN', Ref, process, Pid, Why} ->
                    gen_tcp:send(Port, term_to_binary({crashed, Why}))
            end,
            Loop();
        {tcp_closed, Port} -> halt(0)
    end
end,
Loop().
"#;

struct Erlang {
    child: Child,
    socket: TcpStream,
}

impl Erlang {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let port = listener.local_addr().expect("an address").port();
        let mut child = Command::new("erl")
            .args(["-noinput", "-kernel", "logger_level", "none", "-eval"])
            .arg(SERVER.replace("PORT", &port.to_string()))
            .stdin(Stdio::null())
            .spawn()
            .expect("this test needs `erl` on the path");
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(30) {
            if let Ok((socket, _)) = listener.accept() {
                socket.set_nonblocking(false).expect("a socket");
                socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
                return Self { child, socket };
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        panic!("erl did not connect");
    }

    fn ask(&mut self, text: &str) -> Term {
        let length = u32::try_from(text.len()).expect("short text").to_be_bytes();
        self.socket.write_all(&[&length, text.as_bytes()].concat()).expect("erl listens");
        let mut length = [0; 4];
        self.socket.read_exact(&mut length).expect("erl answers");
        let mut bytes = vec![0; u32::from_be_bytes(length) as usize];
        self.socket.read_exact(&mut bytes).expect("erl answers");
        etf::decode(&bytes).expect("erl answers with a term")
    }
}

impl Drop for Erlang {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the evaluator says, in the form of the server's answers.
fn evaluate(text: &str) -> Term {
    let exprs = match parse_input(text, 0) {
        Ok(Input::Expressions(exprs)) => exprs,
        other => return Term::tuple([Term::atom("unparsable"), Term::string(&format!("{other:?}"))]),
    };
    let functions = Functions::new();
    let mut evaluator = Evaluator::new(Moment::Live, &functions);
    match evaluator.eval(&exprs, &mut Bindings::new()) {
        Ok(value) => Term::tuple([Term::atom("value"), value]),
        Err(failure) if failure.kind == Kind::Raised => {
            Term::tuple([Term::atom(failure.class.as_str()), failure.reason])
        }
        Err(failure) => Term::tuple([Term::atom("refused"), Term::string(&failure.to_string())]),
    }
}

fn compare(erlang: &mut Erlang, text: &str) -> Result<Term, String> {
    let (wanted, got) = (erlang.ask(text), evaluate(text));
    if wanted == got {
        return Ok(wanted);
    }
    Err(format!("{text}\n  erlang: {wanted}\n  updo:   {got}"))
}

/// Cases that chance does not find, or that were wrong once.
const FIXED: &[&str] = &[
    "1 + 2 * 3 - -4",
    "9223372036854775807 + 1",
    "-9223372036854775808 div -1",
    "-(-9223372036854775808)",
    "(1 bsl 64) bsr 60",
    "-1 bsr 100",
    "1 bsl -1",
    "0 bsl (1 bsl 70)",
    "1 bsr (1 bsl 70)",
    "-1 bsr (1 bsl 70)",
    "1 bsl (-1 bsl 70)",
    "-7 div 2",
    "-7 rem 2",
    "7 rem -2",
    "-7 band 3",
    "bnot 5",
    "bnot (1 bsl 80)",
    "1 / 0",
    "1 div 0",
    "1.0 / 0.0",
    "1.0e308 * 10",
    "(1 bsl 2000) / 1.0",
    "(1 bsl 100) / (1 bsl 98)",
    "1 == 1.0",
    "1 =:= 1.0",
    "{1, 2} < {1.0, 2.5}",
    "#{1 => a} == #{1.0 => a}",
    "#{a => 1} == #{a => 1.0}",
    "[1 | 2] < [1, 2]",
    "a < b andalso foo",
    "foo andalso true",
    "1 orelse true",
    "true and 1",
    "not 1",
    "true xor true",
    "[1, 2, 3, 2] -- [2, 5]",
    "[1, 2.0] -- [2]",
    "[] ++ a",
    "[1] ++ a",
    "a ++ [1]",
    "[1 | 2] ++ [3]",
    "[1] -- a",
    "max(1, 1.0)",
    "max(1.0, 1)",
    "min(1, 1.0)",
    "min(1.0, 1)",
    "round(2.5)",
    "round(-2.5)",
    "round(1.0e20)",
    "trunc(-1.9)",
    "ceil(-0.5)",
    "floor(-0.5)",
    "abs(-9223372036854775808)",
    "float(1 bsl 70)",
    "float(1 bsl 2000)",
    "float(a)",
    "integer_to_list(-255, 16)",
    "integer_to_binary(1 bsl 70)",
    "list_to_integer(\"+12\")",
    "list_to_integer(\"-ff\", 16)",
    "list_to_integer(\"\")",
    "list_to_integer(\"1a\")",
    "list_to_integer(\"1\", 37)",
    "binary_to_integer(<<\"-\">>)",
    "float_to_list(3.14)",
    "float_to_list(-1.0e-200)",
    "float_to_list(0.0)",
    "float_to_list(3.14159, [{decimals, 2}])",
    "float_to_list(0.125, [{decimals, 2}])",
    "float_to_list(2.5, [{decimals, 0}])",
    "float_to_list(3.0, [{decimals, 5}, compact])",
    "float_to_list(1.0e22, [{decimals, 3}])",
    "float_to_list(3.14159, [{scientific, 3}])",
    "float_to_list(0.1, [short])",
    "float_to_list(1.0e100, [short])",
    "float_to_list(0.1, foo)",
    "float_to_list(0.1, [{decimals, -1}])",
    "float_to_binary(-0.004, [{decimals, 2}])",
    "list_to_float(\"1.5e3\")",
    "list_to_float(\"1\")",
    "list_to_float(\"1.0e400\")",
    "binary_to_float(<<\"-0.25\">>)",
    "atom_to_list('hello world')",
    "list_to_atom(\"\")",
    "list_to_atom([1 | 2])",
    "binary_to_atom(<<255>>, latin1)",
    "binary_to_atom(<<255>>, utf8)",
    "atom_to_binary(a, latin1)",
    "iolist_to_binary([1, [<<2, 3>>, \"ab\"] | <<4>>])",
    "iolist_to_binary([1 | 2])",
    "iolist_to_binary(a)",
    "iolist_to_binary([256])",
    "iolist_size([<<1, 2>>, 3, []])",
    "iolist_size(<<1:3>>)",
    "list_to_binary(<<1>>)",
    "list_to_binary([<<1:1>>])",
    "list_to_bitstring([1, <<1:1>>])",
    "bitstring_to_list(<<1, 2, 5:4>>)",
    "binary_to_list(<<1, 2, 3>>, 2, 3)",
    "binary_to_list(<<1, 2, 3>>, 0, 3)",
    "binary_part(<<1, 2, 3>>, 3, -2)",
    "binary_part(<<1, 2, 3>>, {1, 5})",
    "split_binary(<<1, 2, 3>>, 1)",
    "split_binary(<<1, 2, 3>>, 4)",
    "byte_size(<<1:9>>)",
    "size(<<1:9>>)",
    "size([])",
    "tuple_size(a)",
    "length([1 | 2])",
    "length(a)",
    "hd([])",
    "tl([1 | 2])",
    "element(0, {a})",
    "element(2, {a})",
    "setelement(1, {a, b}, c)",
    "setelement(3, {a, b}, c)",
    "map_get(a, #{})",
    "map_get(a, b)",
    "map_size(b)",
    "is_map_key(a, b)",
    "is_function(fun lists:map/2)",
    "is_function(fun lists:map/2, 2)",
    "is_function(a, -1)",
    "is_record({a, 1}, a, 3)",
    "is_record({a, 1}, 1)",
    "#{a => 1, a => 2}",
    "(#{a => 1})#{a := 2, b => 3}",
    "(#{a => 1})#{c := 2}",
    "(foo)#{c => 2}",
    "#{a := {X, _}, b := X} = #{a => {1, 2}, b => 1}, X",
    "#{a := X} = #{b => 1}",
    "#{} = #{b => 1}",
    "{a, #{}} = {a, #{b => 1}}",
    "{X, X} = {1, 1}, X",
    "{X, X} = {1, 2}",
    "{X, X} = {1, 1.0}",
    "[X, Y | Z] = [1, 2, 3 | 4], {X, Y, Z}",
    "[X | Y] = []",
    "\"ab\" ++ T = \"abc\", T",
    "\"ab\" ++ T = \"xbc\"",
    "\"\" ++ T = foo, T",
    "{A, B} = C = {1, 2}, {A, B, C}",
    "{A, 2} = {1, B} = {1, 2}, {A, B}",
    "case {1, {2, 3}} of {A, {_, B} = C} -> {A, B, C} end",
    "1 + 1 = 2",
    "-1 = 1 - 2",
    "{X = 1, Y = 2}, X + Y",
    "{X = 1, X = 1}",
    "(X = 2) + (X = 3)",
    "(X = true) andalso X",
    "begin X = 1, Y = X + 1, Y * 2 end",
    "case 5 of X when X > 6 -> a; X when X > 4, X < 6 -> b end",
    "case 5 of X when X > 6; X =:= 5 -> b end",
    "case 5 of X when hd(X) -> a; _ -> b end",
    "case 5 of X when hd(X); X =:= 5 -> a; _ -> b end",
    "case 5 of X when foo -> a; _ -> b end",
    "case 5 of X when 1 + X -> a; _ -> b end",
    "case {ok, 3} of {error, _} -> a end",
    "if 1 > 2 -> a; true -> b end",
    "if 1 > 2 -> a end",
    "if hd([]) =:= 1 -> a; true -> b end",
    "catch throw(x)",
    "catch exit(x)",
    "throw({a, 1})",
    "exit(normal)",
    "error(foo)",
    "error({badmatch, 3})",
    "error(foo, [a])",
    "(catch throw(5)) + 1",
    "[X * 2 || X <- [1, 2, 3], X > 1]",
    "[{X, Y} || X <- [1, 2], Y <- [a, b]]",
    "[X || {ok, X} <- [{ok, 1}, error, {ok, 2}]]",
    "X = 5, [X || X <- [1, 2]]",
    "X = 5, [X + Y || Y <- [1, 2]]",
    "[X || X <- [1, a], X + 1 > 0]",
    "[X || X <- [1, 2], foo]",
    "[X || X <- [1, 2], atom_to_list(a)]",
    "[X || X <- [1, 2], list_to_atom(\"true\")]",
    "[X || X <- foo]",
    "[X || X <- [1 | 2]]",
    "[X || <<X>> <= foo]",
    "[X || <<X:4>> <= <<16#12, 16#34>>]",
    "[X || <<X:3>> <= <<16#12, 16#34>>]",
    "[X || <<1, X>> <= <<1, 2, 2, 3, 1, 4>>]",
    "[X || <<N, X:N/binary>> <= <<1, 2, 2, 3, 1, 4>>]",
    "<< <<X:4>> || X <- [1, 2, 3] >>",
    "<< <<X>> || <<X>> <= <<1, 2, 3>>, X =/= 2 >>",
    "<< (X) || X <- [<<1>>, foo] >>",
    "<<1, 2, 300>>",
    "<<-1>>",
    "<<5:3>>",
    "<<16#1234:16/little>>",
    "<<16#123:12/little>>",
    "<<16#12345:20/little, 7:4>>",
    "<<-2:12/signed-little>>",
    "<<1.5/float>>",
    "<<1.5:32/float>>",
    "<<1.5:16/float>>",
    "<<65520:16/float>>",
    "<<65519:16/float>>",
    "<<5.9e-8:16/float>>",
    "<<2.0e-8:16/float>>",
    "<<1.0e-4:16/float-little>>",
    "<<1.0e40:32/float>>",
    "<<1:24/float>>",
    "<<a/float>>",
    "<<1/float>>",
    "<<\"abc\">>",
    "<<\"abc\":16>>",
    "<<\"aé€😀\"/utf8>>",
    "<<\"aé€😀\"/utf16>>",
    "<<\"aé€😀\"/utf16-little>>",
    "<<\"aé€😀\"/utf32>>",
    "<<\"é\">>",
    "<<16#d800/utf8>>",
    "<<16#110000/utf8>>",
    "<<(<<1, 2, 3>>)/binary, 4>>",
    "<<(<<1, 2, 3>>):2/binary>>",
    "<<(<<1, 2, 3>>):4/binary>>",
    "<<(<<1:3>>)/binary>>",
    "<<(<<1:3>>)/bitstring>>",
    "<<(<<5:3>>)/bitstring, 1:5>>",
    "<<(<<1, 2, 3>>):1/binary-unit:16>>",
    "<<1:(-1)>>",
    "<<a>>",
    "<<a/binary>>",
    "<<3:2/unit:4>>",
    "<<A:4, B:4, C/binary>> = <<16#ab, 1, 2>>, {A, B, C}",
    "<<A:3, B/bitstring>> = <<16#ab, 1>>, {A, B}",
    "<<A:16/little-signed, _/binary>> = <<254, 255, 1>>, A",
    "<<A:12/little, B:4>> = <<16#12, 16#34>>, {A, B}",
    "<<A:12/little-signed, B:4>> = <<16#12, 16#f4>>, {A, B}",
    "<<A:12/signed, B:4>> = <<16#f2, 16#f4>>, {A, B}",
    "<<N, S:N/binary, R/binary>> = <<2, 1, 2, 3>>, {N, S, R}",
    "<<N, S:N/binary>> = <<2, 1, 2, 3>>",
    "<<X/float>> = <<1.5/float>>, X",
    "<<X:32/float-little>> = <<1.5:32/float-little>>, X",
    "<<X:16/float>> = <<1.5:16/float>>, X",
    "<<X/float>> = <<255, 255, 255, 255, 255, 255, 255, 255>>",
    "<<1/float>> = <<1.0/float>>",
    "<<X/utf8, Y/binary>> = <<\"é!\"/utf8>>, {X, Y}",
    "<<X/utf8>> = <<255>>",
    "<<X/utf16, _/binary>> = <<\"😀a\"/utf16>>, X",
    "<<X/utf16-little>> = <<\"😀\"/utf16-little>>, X",
    "<<X/utf32>> = <<0, 0, 16#d8, 0>>",
    "<<\"ab\", R/binary>> = <<\"abc\">>, R",
    "<<1, 2>> = <<1, 2>>",
    "<<1, 2>> = <<1, 3>>",
    "<<X:8, X:8>> = <<1, 1>>, X",
    "<<X:8, X:8>> = <<1, 2>>",
    "<<X>> = foo",
    "<<_:4>> = <<1:4>>",
    "N = 4, <<X:N, _/bitstring>> = <<255>>, X",
    "<<X:0>> = <<>>, X",
    "<<X:72>> = <<1, 2, 3, 4, 5, 6, 7, 8, 9>>, X",
    "<<X:72/signed>> = <<255, 2, 3, 4, 5, 6, 7, 8, 9>>, X",
    "$a + 1",
    "\"a\" \"b\"",
    "16#ff + 2#101 + 1_000",
    "[1, 2 | [3 | 4]]",
    "{}",
    "[[] | []]",
];

#[test]
fn fixed_expressions_mean_what_they_mean_in_erlang() {
    let mut erlang = Erlang::start();
    let wrong: Vec<String> = FIXED.iter().filter_map(|text| compare(&mut erlang, text).err()).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), FIXED.len(), wrong.join("\n"));
}

#[test]
fn random_expressions_mean_what_they_mean_in_erlang() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("UPDO_SEED").unwrap_or(1);
    let count = number("UPDO_COUNT").unwrap_or(2000);
    let mut erlang = Erlang::start();
    let (mut wrong, mut values) = (Vec::new(), 0);
    for index in 0..count {
        let text = Generator::new(seed.wrapping_mul(1_000_003).wrapping_add(index)).program();
        match compare(&mut erlang, &text) {
            Ok(Term::Tuple(answer)) if answer[0].is_atom("value") => values += 1,
            Ok(_) => {}
            Err(report) => wrong.push(format!("[{index}] {report}")),
        }
    }
    let shown: Vec<&str> = wrong.iter().take(20).map(String::as_str).collect();
    assert!(wrong.is_empty(), "seed {seed}: {} of {count} differ:\n{}", wrong.len(), shown.join("\n"));
    println!("seed {seed}: {count} expressions, {values} of them values");
    assert!(values * 4 > count, "too few of the expressions have a value: {values} of {count}");
}

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

const WANTS: [Want; 8] =
    [Want::Int, Want::Float, Want::Bool, Want::Atom, Want::List, Want::Tuple, Want::Map, Want::Binary];

/// Writes random programs: several matches, then an expression that uses what they bound.
struct Generator {
    state: u64,
    fresh: u32,
    vars: Vec<(String, Want)>,
}

impl Generator {
    fn new(seed: u64) -> Self {
        Self { state: seed ^ 0x9e37_79b9_7f4a_7c15, fresh: 0, vars: Vec::new() }
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

    fn program(&mut self) -> String {
        let mut parts = Vec::new();
        for _ in 0..self.below(4) {
            let want = WANTS[self.below(8)];
            let value = self.expr(want, 3);
            if self.chance(60) {
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
            _ if self.chance(4) => WANTS[self.below(8)],
            want => want,
        };
        if self.chance(25) {
            let known: Vec<String> =
                self.vars.iter().filter(|(_, kind)| *kind == want).map(|(name, _)| name.clone()).collect();
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
                0 => self.pick(&["9223372036854775807", "-9223372036854775808", "1152921504606846976", "16#ffffffffffffffff1", "-100000000000000000000"]).to_owned(),
                1 => self.pick(&["255", "256", "-1", "0", "65535", "-129"]).to_owned(),
                _ => (self.below(20) as i64 - 4).to_string(),
            },
            Want::Float => self.pick(&["1.0", "0.0", "-2.5", "3.25", "1.0e10", "-1.0e-5", "1.0e300", "0.1", "2.0"]).to_owned(),
            Want::Bool => self.pick(&["true", "false"]).to_owned(),
            Want::Atom => self.pick(&["a", "b", "ok", "error", "true", "'hello world'", "'Abc'", "utf8", "''"]).to_owned(),
            Want::List => self.pick(&["[]", "\"abc\"", "[1, 2, 3]", "[a, 1, 2.0]", "\"12\"", "[1 | 2]", "[{a, 1}, {b, 2}]", "\"1.5\"", "[<<1>>, \"x\"]"]).to_owned(),
            Want::Tuple => self.pick(&["{}", "{a}", "{1, 2}", "{ok, \"abc\"}", "{a, {b, 1.0}}"]).to_owned(),
            Want::Map => self.pick(&["#{}", "#{a => 1}", "#{1 => a, 1.0 => b}", "#{a => 1, b => #{c => 2}}"]).to_owned(),
            _ => self.pick(&["<<>>", "<<1, 2, 3>>", "<<\"abc\">>", "<<5:3>>", "<<1, 2:4>>", "<<\"1.5\">>", "<<\"17\">>", "<<\"é\"/utf8>>"]).to_owned(),
        }
    }

    fn int(&mut self, d: usize) -> String {
        match self.below(16) {
            0..5 => {
                let op = self.pick(&["+", "-", "*", "div", "rem", "band", "bor", "bxor"]);
                format!("({} {op} {})", self.expr(Want::Int, d), self.expr(Want::Int, d))
            }
            5 => {
                let op = self.pick(&["bsl", "bsr"]);
                format!("({} {op} {})", self.expr(Want::Int, d), self.below(90) as i64 - 9)
            }
            6 => format!("({} {})", self.pick(&["-", "+", "bnot"]), self.expr(Want::Int, d)),
            7 => format!("{}({})", self.pick(&["round", "trunc", "ceil", "floor"]), self.expr(Want::Float, d)),
            8 => format!("length({})", self.expr(Want::List, d)),
            9 => format!("{}({})", self.pick(&["byte_size", "bit_size", "size"]), self.expr(Want::Binary, d)),
            10 => format!("{}({})", self.pick(&["tuple_size", "size"]), self.expr(Want::Tuple, d)),
            11 => format!("map_size({})", self.expr(Want::Map, d)),
            12 => format!("abs({})", self.expr(Want::Int, d)),
            13 => format!("list_to_integer(integer_to_list({}, {b}), {b})", self.expr(Want::Int, d), b = self.below(35) + 2),
            14 => format!("{}({}, {})", self.pick(&["max", "min"]), self.expr(Want::Int, d), self.expr(Want::Any, d)),
            _ => format!("iolist_size({})", self.expr(Want::List, d)),
        }
    }

    fn float(&mut self, d: usize) -> String {
        match self.below(5) {
            0 => format!("float({})", self.expr(Want::Int, d)),
            1 => format!("({} / {})", self.expr(Want::Int, d), self.expr(Want::Int, d)),
            2 => format!("abs({})", self.expr(Want::Float, d)),
            3 => format!("list_to_float(float_to_list({}))", self.expr(Want::Float, d)),
            _ => {
                let op = self.pick(&["+", "-", "*", "/"]);
                format!("({} {op} {})", self.expr(Want::Float, d), self.expr(Want::Float, d))
            }
        }
    }

    fn bool(&mut self, d: usize) -> String {
        match self.below(8) {
            0..3 => {
                let op = self.pick(&["==", "/=", "=:=", "=/=", "<", ">", "=<", ">="]);
                let want = if self.chance(50) { WANTS[self.below(8)] } else { Want::Any };
                format!("({} {op} {})", self.expr(want, d), self.expr(want, d))
            }
            3 => {
                let op = self.pick(&["andalso", "orelse", "and", "or", "xor"]);
                format!("({} {op} {})", self.expr(Want::Bool, d), self.expr(Want::Bool, d))
            }
            4 => format!("(not {})", self.expr(Want::Bool, d)),
            5 => format!("is_map_key({}, {})", self.expr(Want::Atom, d), self.expr(Want::Map, d)),
            6 => format!("is_record({}, {}, 2)", self.expr(Want::Tuple, d), self.leaf(Want::Atom)),
            _ => {
                let test = self.pick(&["is_atom", "is_binary", "is_bitstring", "is_boolean", "is_float", "is_function", "is_integer", "is_list", "is_map", "is_number", "is_pid", "is_tuple", "is_reference", "is_port"]);
                format!("{test}({})", self.expr(Want::Any, d))
            }
        }
    }

    fn atom(&mut self, d: usize) -> String {
        match self.below(4) {
            0 => format!("list_to_atom({})", self.expr(Want::List, d)),
            1 => format!("binary_to_atom({}, {})", self.expr(Want::Binary, d), self.pick(&["utf8", "latin1"])),
            2 => format!("hd([{} | {}])", self.expr(Want::Atom, d), self.expr(Want::List, d)),
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
            2 => format!("[{} | {}]", self.expr(Want::Any, d), self.expr(Want::List, d)),
            3 => format!("({} ++ {})", self.expr(Want::List, d), self.expr(Want::List, d)),
            4 => format!("({} -- {})", self.expr(Want::List, d), self.expr(Want::List, d)),
            5 => format!("tl({})", self.expr(Want::List, d)),
            6 => format!("{}({})", self.pick(&["binary_to_list", "bitstring_to_list"]), self.expr(Want::Binary, d)),
            7 => format!("integer_to_list({})", self.expr(Want::Int, d)),
            8 => format!("atom_to_list({})", self.expr(Want::Atom, d)),
            9 => format!("tuple_to_list({})", self.expr(Want::Tuple, d)),
            10 => {
                let options = self.pick(&["[{decimals, 3}]", "[{decimals, 4}, compact]", "[{scientific, 5}]", "[short]", "[]"]);
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
            _ => format!("setelement({}, {}, {})", self.below(4), self.expr(Want::Tuple, d), self.expr(Want::Any, d)),
        }
    }

    fn map(&mut self, d: usize) -> String {
        let count = self.below(4);
        let update = self.chance(30);
        let mut pairs = Vec::new();
        for _ in 0..count {
            let key = if self.chance(70) { self.leaf(Want::Atom) } else { self.expr(Want::Any, d) };
            let arrow = if update && self.chance(40) { ":=" } else { "=>" };
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
            6 => format!("{}({})", self.pick(&["list_to_binary", "iolist_to_binary", "list_to_bitstring"]), self.expr(Want::List, d)),
            7 => format!("integer_to_binary({})", self.expr(Want::Int, d)),
            8 => format!("atom_to_binary({}, utf8)", self.expr(Want::Atom, d)),
            _ => format!("binary_part({}, {}, {})", self.expr(Want::Binary, d), self.below(4), self.below(5) as i64 - 1),
        }
    }

    fn built_segment(&mut self, d: usize) -> String {
        let (sign, endian) = (self.pick(&["signed", "unsigned"]), self.pick(&["big", "little", "native"]));
        match self.below(8) {
            0..3 => format!("({}):{}/{sign}-{endian}", self.expr(Want::Int, d), self.below(75)),
            3 => format!("({})", self.expr(Want::Int, d)),
            4 => format!("({}):{}/float-{endian}", self.expr(Want::Float, d), self.pick(&["16", "32", "64", "24"])),
            5 => format!("({})/{}", self.expr(Want::Binary, d), self.pick(&["binary", "bitstring", "bits", "bytes"])),
            6 => format!("({}):{}/{}", self.expr(Want::Binary, d), self.below(4), self.pick(&["binary", "bits", "binary-unit:4", "bits-unit:3"])),
            _ => format!("({})/{}-{endian}", self.expr(Want::Int, d), self.pick(&["utf8", "utf16", "utf32"])),
        }
    }

    /// Segments of a pattern and the variables they bind.
    fn segments(&mut self, rest: bool) -> (String, Vec<(String, Want)>) {
        let mut parts = Vec::new();
        let mut vars = Vec::new();
        for _ in 0..=self.below(3) {
            let name = self.name();
            let endian = self.pick(&["big", "little"]);
            let sign = self.pick(&["signed", "unsigned"]);
            match self.below(9) {
                0..4 => {
                    parts.push(format!("{name}:{}/{sign}-{endian}", self.below(20)));
                    vars.push((name, Want::Int));
                }
                4 => parts.push(self.below(4).to_string()),
                5 => parts.push(format!("_:{}", self.below(10))),
                6 => {
                    parts.push(format!("{name}/{}-{endian}", self.pick(&["utf8", "utf16", "utf32"])));
                    vars.push((name, Want::Int));
                }
                7 => {
                    let size = self.name();
                    parts.push(format!("{size}:2, {name}:{size}/{}", self.pick(&["binary", "bits"])));
                    vars.push((size, Want::Int));
                    vars.push((name, Want::Binary));
                }
                _ => {
                    parts.push(format!("{name}:{}/float-{endian}", self.pick(&["16", "32"])));
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
    fn pattern(&mut self, want: Want, depth: usize) -> (String, Vec<(String, Want)>) {
        if depth == 0 || self.chance(30) {
            if self.chance(20) {
                return ("_".to_owned(), Vec::new());
            }
            if self.chance(25) {
                let leaf = self.leaf(want);
                // A map with elements is no pattern.
                return if leaf.contains("=>") { ("#{}".to_owned(), Vec::new()) } else { (leaf, Vec::new()) };
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
                let (right, more) = self.pattern(want, 0);
                vars.extend(more);
                (format!("({left} = {right})"), vars)
            }
        }
    }

    fn control(&mut self, want: Want, d: usize) -> String {
        match self.below(7) {
            0..3 => self.case(want, d),
            3 => {
                let (first, second) = (self.expr(Want::Bool, d.min(1)), self.expr(Want::Bool, d.min(1)));
                let value = self.expr(want, d);
                let guard = if self.chance(50) { format!("{first}, {second}") } else { format!("{first}; {second}") };
                format!("if {guard} -> {value}; true -> {} end", self.expr(want, d))
            }
            4 => {
                let (a, b) = (self.name(), self.name());
                let body = self.expr(want, d);
                format!("case catch ({body}) of {{'EXIT', {{{a}, _}}}} -> {{caught, {a}}}; {b} -> {b} end")
            }
            5 => {
                let raise = self.pick(&["throw", "error", "exit"]);
                let condition = self.expr(Want::Bool, d);
                let value = self.expr(Want::Any, d.min(1));
                format!("case {condition} of false -> {raise}({value}); _ -> {} end", self.expr(want, d))
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
    fn guard(&mut self) -> String {
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
            2 => format!("{}({a})", self.pick(&["is_integer", "is_list", "is_atom", "hd", "length", "is_binary"])),
            3 => format!("{}({a}) =/= {b}", self.pick(&["hd", "length", "tuple_size", "byte_size", "abs", "map_size"])),
            4 => format!("is_tuple({a}) orelse element(1, {a}) == {b}"),
            _ => format!("not is_float({a}), {b} =:= {b}"),
        }
    }
}
