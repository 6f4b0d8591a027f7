//! The evaluator against Erlang: random expressions, as text, evaluated here and by `erl_eval` in one `erl`.
//!
//! Both must give the same value, or raise the same class with the same reason. `UPDO_SEED` chooses the
//! expressions, `UPDO_COUNT` how many (default 2000); a failure prints the seed and the text. Without an
//! `erl` on the path the test fails: it proves nothing then.
//!
//! Left out on purpose: stack traces, unbound variables (updo refuses them, `catch` or not), integers
//! beyond 2^20 bits, and map iteration order.

#[path = "../support/callback.rs"]
mod callback;
mod fixed;
mod generate;

use std::process::Command;
use std::time::Duration;

use updo::eval::{Bindings, Evaluator, FailureKind, Functions, Phase};
use updo::syntax::{Input, parse_input};
use updo::term::Term;

use callback::Callback;

use fixed::FIXED;
use generate::Generator;

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
            after 20000 ->
                exit(Pid, kill),
                gen_tcp:send(Port, term_to_binary({crashed, timeout}))
            end,
            Loop();
        {tcp_closed, Port} -> halt(0)
    end
end,
Loop().
"#;

struct Erlang(Callback);

impl Erlang {
    fn start() -> Self {
        let command = |port: u16| {
            let mut erl = Command::new("erl");
            erl.args(["-noinput", "-kernel", "logger_level", "none", "-eval"])
                .arg(SERVER.replace("PORT", &port.to_string()));
            erl
        };
        Self(Callback::start(command, Duration::from_secs(60)))
    }

    fn ask(&mut self, text: &str) -> Term {
        self.0.ask(text.as_bytes())
    }
}

/// What the evaluator says, in the form of the server's answers.
fn evaluate(text: &str) -> Term {
    let exprs = match parse_input(text, 0) {
        Ok(Input::Expressions(exprs)) => exprs,
        other => {
            return Term::tuple([
                Term::atom("unparsable"),
                Term::string(&format!("{other:?}")),
            ]);
        }
    };
    let functions = Functions::new();
    let mut evaluator = Evaluator::new(Phase::Live, &functions);
    match evaluator.eval(&exprs, &mut Bindings::new()) {
        Ok(value) => Term::tuple([Term::atom("value"), value]),
        Err(failure) if failure.kind == FailureKind::Raised => {
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

#[test]
fn fixed_expressions_mean_what_they_mean_in_erlang() {
    let mut erlang = Erlang::start();
    let wrong: Vec<String> = FIXED
        .iter()
        .filter_map(|text| compare(&mut erlang, text).err())
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        FIXED.len(),
        wrong.join("\n")
    );
}

#[test]
fn random_expressions_mean_what_they_mean_in_erlang() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
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
    assert!(
        wrong.is_empty(),
        "seed {seed}: {} of {count} differ:\n{}",
        wrong.len(),
        shown.join("\n")
    );
    println!("seed {seed}: {count} expressions, {values} of them values");
    assert!(
        values * 4 > count,
        "too few of the expressions have a value: {values} of {count}"
    );
}
