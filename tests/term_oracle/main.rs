//! Terms against a real `erl`: the external format, the two orders, and how terms are printed.
//!
//! One node is started for each test and asked over a local socket about thousands of random terms.
//! `UPDO_SEED` chooses other terms, `UPDO_COUNT` more of them; a failure prints both and the term.

#[path = "../support/callback.rs"]
mod callback;
mod elixir;
mod generate;
mod neighbour;
mod records;

use std::process::Command;
use std::time::Duration;

use callback::Callback;
use generate::Generator;
use updo::term::{Term, compare_loose, etf, pretty, write};

/// What the node runs: answers `{term, Binary, Width}`, `{pair, BinaryA, BinaryB}`, and for Elixir `{elixir, Text}` and
/// `{inspect, Binary, Width, Pretty}`.
const SERVER: &str = r##"
    {ok, [[Number]]} = init:get_argument(oracle),
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, list_to_integer(Number),
        [binary, {packet, 4}, {nodelay, true}, {active, false}]),
    Text = fun(Format, Args) ->
        try unicode:characters_to_binary(io_lib:format(Format, Args))
        catch C:R -> term_to_binary({C, R}) end
    end,
    Answer = fun
        ({term, Binary, Width}) ->
            T = binary_to_term(Binary),
            {term_to_binary(T, [{minor_version, 2}]), term_to_binary(T, [compressed]),
             Text("~tw", [T]), Text("~0tp", [T]), Text("~tp", [T]), Text("~*tp", [Width, T])};
        ({inspect, Binary, Width, Pretty}) ->
            T = binary_to_term(Binary),
            {'Elixir.Kernel':inspect(T, [{limit, infinity}, {printable_limit, infinity},
                {custom_options, []}, {structs, true}, {width, Width}, {pretty, Pretty}])};
        ({elixir, Text}) ->
            {ok, _} = application:ensure_all_started(elixir),
            {element(1, 'Elixir.Code':eval_string(Text))};
        ({pair, BinaryA, BinaryB}) ->
            A = binary_to_term(BinaryA),
            B = binary_to_term(BinaryB),
            {A < B, A == B, A =:= B, erts_internal:cmp_term(A, B)}
    end,
    Loop = fun Self() ->
        case gen_tcp:recv(Socket, 0) of
            {ok, Data} ->
                Reply = try {ok, Answer(binary_to_term(Data))} catch C:R:S -> {C, R, S} end,
                ok = gen_tcp:send(Socket, term_to_binary(Reply, [{minor_version, 2}])),
                Self();
            _ -> halt()
        end
    end,
    Loop().
"##;

/// Longest wait for anything the node does.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node that answers questions.
struct Oracle(Callback);

impl Oracle {
    fn start() -> Self {
        Self::of(&["erl"])
    }

    /// The same with other words that start an `erl`.
    fn of(words: &[&str]) -> Self {
        let command = |port: u16| {
            let mut erl = Command::new(words[0]);
            erl.args(&words[1..])
                .args(["-noinput", "-noshell", "-oracle", &port.to_string()])
                .args(["-eval", SERVER]);
            erl
        };
        Self(Callback::start(command, PATIENCE))
    }

    fn ask(&mut self, question: &Term) -> Vec<Term> {
        let answer = self.0.ask(&etf::encode(question));
        match answer.as_tuple() {
            Some([ok, Term::Tuple(values)]) if ok.is_atom("ok") => values.clone(),
            _ => panic!("{question} was answered by {answer}"),
        }
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(default, |text| text.parse().expect("a number"))
}

fn seed_and_count() -> (u64, u64) {
    (setting("UPDO_SEED", 1), setting("UPDO_COUNT", 2000))
}

fn bytes_of(term: &Term) -> Vec<u8> {
    term.as_bytes().expect("a binary").to_vec()
}

fn text_of(term: &Term) -> String {
    String::from_utf8(bytes_of(term)).expect("text")
}

#[test]
fn bytes_are_those_of_erl() {
    let (seed, count) = seed_and_count();
    let mut oracle = Oracle::start();
    let mut generator = Generator::new(seed, true);
    for round in 0..count {
        let term = generator.term(4);
        let bytes = etf::encode(&term);
        let context = format!("seed {seed} round {round}: {term:?}");
        assert_eq!(etf::decode(&bytes).as_ref(), Ok(&term), "{context}");
        let question = Term::tuple([Term::atom("term"), Term::binary(&bytes), Term::Int(80)]);
        let answer = oracle.ask(&question);
        assert_eq!(bytes_of(&answer[0]), bytes, "{context}");
        let compressed = etf::decode(&bytes_of(&answer[1]));
        assert_eq!(compressed.as_ref(), Ok(&term), "{context}");
    }
}

#[test]
fn texts_are_those_of_erl() {
    let (seed, count) = seed_and_count();
    let mut oracle = Oracle::start();
    let mut generator = Generator::new(seed, false);
    for round in 0..count {
        let term = generator.term(2 + round as usize % 5);
        let width = [1, 10, 20, 30, 40, 60, 79, 100, 132][round as usize % 9];
        let context = format!("seed {seed} round {round} width {width}: {term:?}");
        let question = Term::tuple([
            Term::atom("term"),
            Term::binary(etf::encode(&term)),
            Term::Int(width),
        ]);
        let answer = oracle.ask(&question);
        same(&write(&term), &answer[2], "~tw", &context);
        same(&term.to_string(), &answer[3], "~0tp", &context);
        same(&pretty(&term, 80), &answer[4], "~tp", &context);
        same(&pretty(&term, width as usize), &answer[5], "~*tp", &context);
    }
}

/// Fails with the place where two texts part.
fn same(ours: &str, answer: &Term, what: &str, context: &str) {
    let theirs = text_of(answer);
    if ours == theirs {
        return;
    }
    let parting = ours
        .char_indices()
        .zip(theirs.chars())
        .find(|((_, x), y)| x != y)
        .map_or(0, |((at, _), _)| at);
    let around = |text: &str| -> String {
        let before = text.get(..parting).unwrap_or_default().chars().rev();
        let before: Vec<char> = before.take(80).collect();
        let after = text.get(parting..).unwrap_or_default().chars().take(80);
        before.into_iter().rev().chain(after).collect()
    };
    panic!(
        "{what}\nours: {:?}\nerl:  {:?}\n{context}",
        around(ours),
        around(&theirs)
    );
}

#[test]
fn floats_are_those_of_erl() {
    let (seed, count) = seed_and_count();
    let mut oracle = Oracle::start();
    let mut generator = Generator::new(seed, false);
    for round in 0..count / 100 {
        let floats = Term::list((0..1000).map(|_| Term::Float(generator.float())));
        let question = Term::tuple([
            Term::atom("term"),
            Term::binary(etf::encode(&floats)),
            Term::Int(80),
        ]);
        let answer = oracle.ask(&question);
        let context = format!("seed {seed} round {round}");
        same(&write(&floats), &answer[2], "~tw", &context);
    }
}

#[test]
fn orders_are_those_of_erl() {
    let (seed, count) = seed_and_count();
    let mut oracle = Oracle::start();
    let mut generator = Generator::new(seed, true);
    for round in 0..count * 2 {
        // The small ones first, so that what fails first is easy to read.
        let a = generator.term((round * 2 / count) as usize);
        let b = match round % 4 {
            0 => generator.term(3),
            _ => generator.neighbour(&a),
        };
        let context = format!("seed {seed} round {round}: {a:?} and {b:?}");
        let question = Term::tuple([
            Term::atom("pair"),
            Term::binary(etf::encode(&a)),
            Term::binary(etf::encode(&b)),
        ]);
        let answer = oracle.ask(&question);
        let loose = compare_loose(&a, &b);
        assert_eq!(answer[0], Term::boolean(loose.is_lt()), "<, {context}");
        assert_eq!(answer[1], Term::boolean(loose.is_eq()), "==, {context}");
        assert_eq!(answer[2], Term::boolean(a == b), "=:=, {context}");
        let exact = answer[3].as_i64().expect("an integer").cmp(&0);
        assert_eq!(a.cmp(&b), exact, "cmp_term, {context}");
        assert_eq!(b.cmp(&a), exact.reverse(), "{context}");
        assert_eq!(compare_loose(&b, &a), loose.reverse(), "{context}");
    }
}
