//! Tests of what the oracle cannot see: moments, the node, updo's own names, checks, limits, what is reported.

mod checks;
mod diagnostics;
mod limits;

use std::time::Duration;

use super::{Bindings, Evaluator, ExceptionClass, Failure, Functions, Phase, Remote, RemoteError};
use super::{NameError, OwnNames};
use crate::diag::Span;
use crate::syntax::ast::{Expr, FunClause, StatementKind};
use crate::syntax::{Input, parse_input, parse_plan};
use crate::term::{Atom, Reference, Term};

/// The expressions of a line.
fn exprs(text: &str) -> Vec<Expr> {
    match parse_input(text, 0) {
        Ok(Input::Expressions(exprs)) => exprs,
        other => panic!("{text}: {other:?}"),
    }
}

/// The functions of a plan.
fn functions(text: &str) -> Vec<(Atom, Vec<FunClause>)> {
    let parsed = parse_plan(text, 0);
    assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
    let statements = parsed.statements.into_iter();
    let functions = statements.filter_map(|statement| match statement.kind {
        StatementKind::Function { name, clauses } => Some((name.value, clauses)),
        _ => None,
    });
    functions.collect()
}

fn table(functions: &[(Atom, Vec<FunClause>)]) -> Functions<'_> {
    let mut table = Functions::new();
    for (name, clauses) in functions {
        table.insert(name.as_str(), clauses);
    }
    table
}

/// A reference as nodes make them; `mark` is in its second word.
fn reference(mark: u32) -> Term {
    Term::Reference(Reference {
        node: Atom::new("shop@h"),
        creation: 1,
        words: vec![7, mark | 3, 9],
    })
}

/// A node that knows a few functions, and remembers what it was asked.
#[derive(Default)]
struct Node {
    asked: Vec<String>,
}

impl Remote for Node {
    fn call(
        &mut self,
        module: &Atom,
        function: &Atom,
        args: Vec<Term>,
        timeout: Duration,
    ) -> Result<Term, RemoteError> {
        assert!(timeout <= Duration::from_secs(5));
        self.asked
            .push(format!("{module}:{function}/{}", args.len()));
        let raise = |class: &str, reason: Term, first: Term| RemoteError::Raised {
            class: Atom::new(class),
            reason,
            stack: Term::list([first]),
        };
        let frame = |module: &str, function: &str, arity: i64| {
            let place = [
                Term::tuple([Term::atom("file"), Term::string("shop.erl")]),
                Term::tuple([Term::atom("line"), Term::Int(7)]),
            ];
            let name = [Term::atom(module), Term::atom(function), Term::Int(arity)];
            Term::tuple(name.into_iter().chain([Term::list(place)]))
        };
        match (module.as_str(), function.as_str()) {
            ("shop", "echo") => Ok(Term::List(args)),
            ("shop", "counter") => Ok(reference(1 << 17)),
            ("shop", "timer") => Ok(reference(0)),
            ("net_adm", "ping") => Ok(Term::atom("pong")),
            ("shop", "throw") => Err(raise("throw", Term::atom("no"), frame("shop", "throw", 0))),
            ("shop", "fail") => Err(raise(
                "error",
                Term::atom("badarg"),
                frame("shop", "fail", 0),
            )),
            ("shop", "inner") => Err(raise(
                "error",
                Term::atom("undef"),
                frame("cart", "gone", 2),
            )),
            ("shop", "slow") => Err(RemoteError::Timeout),
            ("shop", "huge") => Err(RemoteError::Unreadable("it is huge".to_owned())),
            ("shop", "lost") => Err(RemoteError::Lost("closed".to_owned())),
            ("erlang", "self") => Ok(Term::atom("self")),
            (module, function) => {
                let first = frame(module, function, args.len() as i64);
                Err(raise("error", Term::atom("undef"), first))
            }
        }
    }
}

/// A host with a few facts.
struct Facts;

impl OwnNames for Facts {
    fn call(&mut self, name: &str, args: &[Term], _: Span) -> Option<Result<Term, NameError>> {
        Some(match (name, args) {
            ("otp", []) => Ok(Term::Int(25)),
            ("app", [Term::Atom(app)]) if app == "shop" => Ok(Term::list([Term::atom("cart")])),
            ("app", [_]) => Err(NameError::BadArgument),
            ("vsn", [_]) => Err(NameError::Unknown("no node is connected".to_owned())),
            ("fail", [reason]) => Err(NameError::Raised(ExceptionClass::Error, reason.clone())),
            ("sleep", [_]) => Ok(Term::atom("ok")),
            ("env", [_]) => Ok(Term::string("x")),
            _ => return None,
        })
    }
}

/// Evaluates with the node and the host above.
fn run(moment: Phase, plan: &str, text: &str) -> Result<Term, Failure> {
    let functions = functions(plan);
    let table = table(&functions);
    let (mut node, mut host) = (Node::default(), Facts);
    Evaluator::new(moment, &table)
        .with_names(&mut host)
        .with_remote(&mut node)
        .eval(&exprs(text), &mut Bindings::new())
}

fn value(text: &str) -> String {
    run(Phase::Live, "", text).expect(text).to_string()
}

fn failure(text: &str) -> Failure {
    run(Phase::Live, "", text).expect_err(text)
}

#[test]
fn remote_calls_reach_the_node_with_evaluated_arguments() {
    assert_eq!(value("shop:echo(1 + 1, [a])"), "[2,[a]]");
    assert_eq!(value("M = shop, M:echo(x)"), "[x]");
    assert_eq!(value("self()"), "self");
    assert_eq!(failure("3:f()").reason, Term::atom("badarg"));
}

#[test]
fn exceptions_of_the_node_are_exceptions_here() {
    assert_eq!(value("catch shop:throw()"), "no");
    let caught = value("catch shop:fail()");
    assert!(
        caught.starts_with("{'EXIT',{badarg,[{shop,fail,0,"),
        "{caught}"
    );
    assert_eq!(failure("shop:throw()").class, ExceptionClass::Throw);
}

#[test]
fn moments_are_not_mixed() {
    for (moment, text) in [
        (Phase::Static, "otp()"),
        (Phase::Static, "shop:echo(1)"),
        (Phase::Facts, "shop:echo(1)"),
        (Phase::Facts, "sleep(1)"),
        (Phase::Facts, "self()"),
        (Phase::Static, "catch shop:echo(1)"),
    ] {
        let failure = run(moment, "", text).expect_err(text);
        assert_eq!(failure.diagnostic.code.as_str(), "E210", "{text}");
    }
    assert_eq!(
        run(Phase::Facts, "", "otp()").expect("a fact"),
        Term::Int(25)
    );
    assert_eq!(
        run(Phase::Static, "", "length(env(\"X\"))").expect("static"),
        Term::Int(1)
    );
}

#[test]
fn names_go_to_the_plan_first_then_to_erlang_then_to_updo() {
    let plan = "length(_) -> mine. otp(N) -> otp() + N.";
    assert_eq!(
        run(Phase::Live, plan, "length([])").expect("plan"),
        Term::atom("mine")
    );
    assert_eq!(
        run(Phase::Live, plan, "otp(1)").expect("plan"),
        Term::Int(26)
    );
    assert_eq!(value("app(shop) ++ [x]"), "[cart,x]");
    assert_eq!(failure("app(1)").reason, Term::atom("badarg"));
    assert_eq!(failure("fail(because)").reason, Term::atom("because"));
}

#[test]
fn functions_have_clauses_guards_and_recursion() {
    let plan = "fact(0) -> 1; fact(N) when N > 0 -> N * fact(N - 1).
                sum([], S) -> S; sum([H | T], S) -> sum(T, S + H).
                same(X, X) -> yes; same(_, _) -> no.";
    let of = |text: &str| run(Phase::Live, plan, text).expect(text).to_string();
    assert_eq!(of("fact(20)"), "2432902008176640000");
    assert_eq!(of("fact(25)"), "15511210043330985984000000");
    assert_eq!(of("sum([1, 2, 3], 0)"), "6");
    assert_eq!(of("{same(1, 1), same(1, 1.0)}"), "{yes,no}");
    let failure = run(Phase::Live, plan, "fact(-1)").expect_err("no clause");
    assert_eq!(failure.reason, Term::atom("function_clause"));
}

#[test]
fn bindings_outlive_the_line_and_a_failure_binds_nothing() {
    let mut bindings = Bindings::new();
    let mut line = |text: &str| {
        Evaluator::pure(Phase::Static)
            .eval(&exprs(text), &mut bindings)
            .map(|value| value.to_string())
    };
    assert_eq!(line("{A, B} = {1, 2}").expect("match"), "{1,2}");
    assert!(line("{C, 3} = {1, 2}").is_err());
    assert!(line("C").is_err());
    assert_eq!(line("[A || A <- [7]] ++ [A + B]").expect("list"), "[7,3]");
    assert_eq!(
        bindings.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        ["A", "B"]
    );
    assert_eq!(bindings.remove("A"), Some(Term::Int(1)));
}

#[test]
fn comprehensions_over_maps() {
    assert_eq!(
        value("[{K, V} || K := V <- #{a => 1, b => 2}]"),
        "[{a,1},{b,2}]"
    );
    assert_eq!(
        value("#{V => K || K := V <- #{a => 1, b => 2}, V > 1}"),
        "#{2 => b}"
    );
    assert_eq!(
        failure("[K || K := _ <- []]").reason.to_string(),
        "{bad_generator,[]}"
    );
}

#[test]
fn updo_accepts_what_erlang_26_and_its_compiler_accept() {
    assert_eq!(
        value("<<\"ab\":16, R/binary>> = <<0, 97, 0, 98, 3>>, R"),
        "<<3>>"
    );
    assert_eq!(
        value("[B || <<X, B/binary>> <= <<1, 2, 3>>, X > 0]"),
        "[<<2,3>>]"
    );
    assert_eq!(value("is_record({a, 1}, a)"), "true");
    assert_eq!(value("5s + 1"), "5001");
}
