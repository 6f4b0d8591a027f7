//! What plans are made of, form by form: that it is accepted, and what it becomes.

use updo::diag::{Code, Span};
use updo::syntax::ast::{
    Endian, Expr, ExprKind, HookPoint, InsertAnchor, Qualifier, SegmentKind, Statement,
    StatementKind, Verb, is_rest,
};
use updo::syntax::{Input, InputError, parse_expression, parse_input, parse_plan, parse_term};
use updo::term::{BigInt, Fun, Term};

/// The only statement of a text.
fn statement(text: &str) -> StatementKind {
    let mut parsed = parse_plan(text, 0);
    assert!(
        parsed.diagnostics.is_empty(),
        "{text}: {:?}",
        parsed.diagnostics
    );
    assert_eq!(parsed.statements.len(), 1, "{text}");
    parsed.statements.remove(0).kind
}

fn expr(text: &str) -> Expr {
    parse_expression(text, 0).unwrap_or_else(|d| panic!("{text}: {d:?}"))
}

fn term(text: &str) -> Term {
    parse_term(text).unwrap_or_else(|d| panic!("{text}: {d:?}"))
}

/// An expression with a bracket around every operator.
fn shape(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Literal(Term::Int(n)) => n.to_string(),
        ExprKind::Literal(Term::Atom(a)) => a.as_str().to_owned(),
        ExprKind::Var(name) => name.clone(),
        ExprKind::Unary(op, a) => format!("({op} {})", shape(a)),
        ExprKind::Binop(op, a, b) => format!("({} {op} {})", shape(a), shape(b)),
        ExprKind::Match(a, b) => format!("({} = {})", shape(a), shape(b)),
        ExprKind::Catch(a) => format!("(catch {})", shape(a)),
        ExprKind::Call(name, args) => {
            format!(
                "{}({})",
                name.value.as_str(),
                args.iter().map(shape).collect::<Vec<_>>().join(",")
            )
        }
        ExprKind::Remote {
            module,
            function,
            args,
        } => {
            format!(
                "{}:{}({})",
                shape(module),
                shape(function),
                args.iter().map(shape).collect::<Vec<_>>().join(",")
            )
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn the_example_plans_are_read_completely() {
    let counts = [("1_small", 9), ("2_cycle", 17), ("3_cluster", 18)];
    for (name, count) in counts {
        let text =
            std::fs::read_to_string(format!("tests/fixtures/plans/{name}.updo")).expect("readable");
        let parsed = parse_plan(&text, 0);
        assert!(
            parsed.diagnostics.is_empty(),
            "{name}: {:?}",
            parsed.diagnostics
        );
        assert_eq!(parsed.statements.len(), count, "{name}");
        for statement in &parsed.statements {
            let span = &text[statement.span.start..statement.span.end];
            assert_eq!(span.trim(), span, "a span begins and ends with a word");
            assert_eq!(
                &text[statement.span.end..=statement.span.end],
                ".",
                "{span}"
            );
        }
    }
}

#[test]
fn operators_bind_as_in_erlang() {
    let cases = [
        ("1 + 2 * 3", "(1 + (2 * 3))"),
        ("1 - 2 - 3", "((1 - 2) - 3)"),
        ("A ++ B ++ C", "(A ++ (B ++ C))"),
        ("A -- B ++ C", "(A -- (B ++ C))"),
        ("A + B ++ C", "((A + B) ++ C)"),
        (
            "N >= Min andalso Lag < 250",
            "((N >= Min) andalso (Lag < 250))",
        ),
        ("A orelse B andalso C", "(A orelse (B andalso C))"),
        ("A orelse B orelse C", "(A orelse (B orelse C))"),
        ("not A == B", "((not A) == B)"),
        ("- A * B", "((- A) * B)"),
        ("N < -5", "(N < -5)"),
        ("N<-X", "?"),
        ("1 - -1", "(1 - -1)"),
        ("a-1", "(a - 1)"),
        ("A = B = f(C)", "(A = (B = f(C)))"),
        ("A = B orelse C", "(A = (B orelse C))"),
        ("catch X = m:f()", "(catch (X = m:f()))"),
        ("X = catch m:f()", "(X = (catch m:f()))"),
        ("1 bsl 2 bor 3", "((1 bsl 2) bor 3)"),
        ("7 div 2 rem 2 band 1", "(((7 div 2) rem 2) band 1)"),
        ("(1 < 2) == true", "((1 < 2) == true)"),
        ("A =:= B", "(A =:= B)"),
        ("A=/=B", "(A =/= B)"),
        ("M:F(1)", "M:F(1)"),
        ("Chat.Room:count()", "Elixir.Chat.Room:count()"),
    ];
    for (text, expected) in cases {
        match parse_expression(text, 0) {
            Ok(expr) => assert_eq!(shape(&expr), expected, "{text}"),
            Err(_) => assert_eq!(expected, "?", "{text}"),
        }
    }
}

#[test]
fn constants_become_terms() {
    let cases = [
        ("5000.", Term::Int(5000)),
        ("1_000", Term::Int(1000)),
        ("-16#ff", Term::Int(-255)),
        ("5.0e-1", Term::Float(0.5)),
        ("30s", Term::Int(30_000)),
        ("$a", Term::Int(97)),
        ("$\\n", Term::Int(10)),
        ("$.", Term::Int(46)),
        ("'Quoted atom'", Term::atom("Quoted atom")),
        ("Chat.Room", Term::atom("Elixir.Chat.Room")),
        ("Elixir.Chat", Term::atom("Elixir.Chat")),
        ("Elixir.Chat.Room", Term::atom("Elixir.Chat.Room")),
        ("\"ab\" \"c\"", Term::string("abc")),
        ("~\"b\u{e4}\"", Term::binary("b\u{e4}")),
        ("<<\"abc\", 1, 300>>", Term::binary([97, 98, 99, 1, 44])),
        ("<<\"\u{e4}\"/utf8>>", Term::binary("\u{e4}")),
        (
            "{wait, 5s,}",
            Term::tuple([Term::atom("wait"), Term::Int(5000)]),
        ),
        ("[1, 2,]", Term::list([Term::Int(1), Term::Int(2)])),
        ("[1 | [2]]", Term::list([Term::Int(1), Term::Int(2)])),
        (
            "[a | b]",
            Term::cons(vec![Term::atom("a")], Term::atom("b")),
        ),
        (
            "#{a => 1, b => [],}",
            Term::map([
                (Term::atom("a"), Term::Int(1)),
                (Term::atom("b"), Term::list([])),
            ]),
        ),
        (
            "\"\"\"\n  two\n  lines\n  \"\"\"",
            Term::string("two\nlines"),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(
            format!("{:?}", term(text)),
            format!("{expected:?}"),
            "{text}"
        );
    }
    let external = Fun::External {
        module: "m".into(),
        name: "f".into(),
        arity: 1,
    };
    assert!(matches!(term("fun m:f/1"), Term::Fun(fun) if fun == external));
    let big = "123456789012345678901234567890";
    assert!(
        matches!(term(&format!("-{big}")), Term::Big(n) if *n == -big.parse::<BigInt>().unwrap_or_default())
    );
    assert_eq!(
        parse_term("f(x)").map_err(|d| d.code).err(),
        Some(Code::E101)
    );
    assert_eq!(parse_term("").map_err(|d| d.code).err(), Some(Code::E101));
}

#[test]
fn a_duration_is_distinguished_from_a_number() {
    assert_eq!(expr("30s").kind, ExprKind::Duration(30_000));
    assert_eq!(expr("500ms").kind, ExprKind::Duration(500));
    assert_eq!(expr("1h").kind, ExprKind::Duration(3_600_000));
}

#[test]
fn control_flow_and_guards() {
    let ExprKind::Case(_, clauses) =
        expr("case X of {ok, N} when N > 1, N < 9; N == 0 -> a, b; _ -> c end").kind
    else {
        panic!("a case");
    };
    assert_eq!(clauses.len(), 2);
    assert_eq!(
        clauses[0].guard.iter().map(Vec::len).collect::<Vec<_>>(),
        [2, 1]
    );
    assert_eq!(clauses[0].body.len(), 2);
    let ExprKind::If(clauses) = expr("if A, B; C -> 1; true -> 2 end").kind else {
        panic!("an if")
    };
    assert_eq!(
        clauses[0].guard.iter().map(Vec::len).collect::<Vec<_>>(),
        [2, 1]
    );
    assert!(clauses[0].pattern.is_none());
    assert!(matches!(expr("begin A, B end").kind, ExprKind::Block(body) if body.len() == 2));
}

#[test]
fn comprehensions_have_all_kinds_of_qualifiers() {
    let ExprKind::ListComp(_, qualifiers) =
        expr("[{X, Y} || X <- L, <<Y>> <= B, K := V <- M, X > 1]").kind
    else {
        panic!("a list comprehension");
    };
    assert!(matches!(
        qualifiers[..],
        [
            Qualifier::List(..),
            Qualifier::Binary(..),
            Qualifier::Map(..),
            Qualifier::Filter(_)
        ]
    ));
    assert!(matches!(expr("<< <<X>> || X <- L >>").kind, ExprKind::BinComp(_, q) if q.len() == 1));
    assert!(
        matches!(expr("#{K => V || {K, V} <- L}").kind, ExprKind::MapComp(pair, _) if !pair.exact)
    );
}

#[test]
fn binaries_and_maps() {
    let ExprKind::Binary(segments) =
        expr("<<A:16/little-signed-integer-unit:8, B:N/binary, Rest/bits>>").kind
    else {
        panic!("a binary");
    };
    let first = &segments[0];
    assert_eq!(
        (first.kind, first.endian, first.signed, first.unit),
        (Some(SegmentKind::Integer), Endian::Little, true, Some(8))
    );
    assert_eq!(segments[1].kind, Some(SegmentKind::Binary));
    assert!(matches!(&segments[1].size, Some(Expr { kind: ExprKind::Var(n), .. }) if n == "N"));
    assert_eq!(segments[2].kind, Some(SegmentKind::Bitstring));
    let ExprKind::Map(Some(_), pairs) = expr("M#{a := 1, b => X}").kind else {
        panic!("a map update")
    };
    assert_eq!(
        pairs.iter().map(|p| p.exact).collect::<Vec<_>>(),
        [true, false]
    );
    // A pattern is no constant.
    assert!(matches!(expr("#{a := 1}").kind, ExprKind::Map(None, _)));
}

#[test]
fn statements_the_examples_do_not_have() {
    for word in ["single", "minimal", "otp"] {
        assert!(
            matches!(statement(&format!("window {word}.")), StatementKind::Window(w) if w.value.as_str() == word)
        );
    }
    let StatementKind::OwnWindows { windows, tail } =
        statement("window a then [b, c] then rest when otp() > 25 because \"x\".")
    else {
        panic!("own windows");
    };
    let rest: Vec<bool> = windows.iter().map(is_rest).collect();
    assert_eq!(rest, [false, false, true]);
    assert_eq!(tail.when.len(), 1);
    assert_eq!(tail.because.expect("a reason").value, "x");
    // The words are words in their place only.
    assert!(matches!(
        statement("window single then minimal."),
        StatementKind::OwnWindows { .. }
    ));
    assert!(matches!(
        statement("then depends on window."),
        StatementKind::Relation { .. }
    ));
    for word in ["updo", "release_handler"] {
        assert!(
            matches!(statement(&format!("engine {word}.")), StatementKind::Engine(w) if w.value.as_str() == word)
        );
    }
    let StatementKind::OldFromGit {
        revision,
        options,
        tail,
    } = statement("old from git \"HEAD~1\" #{build => \"make\", within => 5m} because \"x\".")
    else {
        panic!("old from git");
    };
    assert_eq!(revision.value, "HEAD~1");
    let keys: Vec<&str> = options.iter().map(|o| o.key.value.as_str()).collect();
    assert_eq!(keys, ["build", "within"]);
    assert_eq!(tail.because.expect("a reason").value, "x");
    // The word is a word in its place only.
    assert!(matches!(
        statement("git depends on old."),
        StatementKind::Relation { .. }
    ));
    let StatementKind::OldFrom { patterns, tail } =
        statement("old from \"a/*\", \"b\" \"c\" when otp() > 25 because \"x\".")
    else {
        panic!("old from");
    };
    assert_eq!(
        patterns
            .iter()
            .map(|p| p.value.as_str())
            .collect::<Vec<_>>(),
        ["a/*", "bc"]
    );
    assert_eq!(
        (tail.when.len(), tail.because.map(|b| b.value)),
        (1, Some("x".into()))
    );
    let StatementKind::Param {
        kind: Some(kind),
        default: None,
        ..
    } = statement("param Hosts :: [string].")
    else {
        panic!("a param");
    };
    assert_eq!(
        format!("{:?}", kind.as_literal()),
        format!("{:?}", Some(Term::list([Term::atom("string")])))
    );
    assert!(matches!(statement("X = 1."), StatementKind::Bind { name, .. } if name.value == "X"));
    assert!(
        matches!(statement("exclude a:b()."), StatementKind::Exclude { subject, .. } if matches!(subject.kind, ExprKind::Remote { .. }))
    );
    assert!(matches!(
        statement("rollout #{batch => [1, 3, \"50%\"]}."),
        StatementKind::Rollout { target: None, .. }
    ));
    let StatementKind::Gate { name, command, .. } =
        statement("gate \"p\" \"99\" #{within => 5s} because \"x\" -> cmd \"a \" \"$b\".")
    else {
        panic!("a gate");
    };
    assert_eq!((&*name.value, &*command.value), ("p99", "a $b"));
    let StatementKind::Hold { body, tail, .. } =
        statement("hold \"h\" #{for => 5m} when otp() > 24 -> ok = m:f(), true.")
    else {
        panic!("a hold");
    };
    assert_eq!((body.len(), tail.when.len()), (2, 1));
    // Outside of their place they are names like any other.
    assert!(matches!(
        statement("hold depends on [gate, cmd]."),
        StatementKind::Relation { .. }
    ));
    assert!(matches!(
        statement("gate(X) -> hold(X)."),
        StatementKind::Function { .. }
    ));
    let StatementKind::StateCheck {
        subject: Some(_),
        name,
        clauses,
        ..
    } = statement("rehearse [a] \"t\" when true -> fun (X, Y) when X; Y -> X, Y; (_, _) -> 1 end.")
    else {
        panic!("a check on states");
    };
    assert_eq!((name.value.as_str(), clauses.len()), ("t", 2));
    assert_eq!((clauses[0].guard.len(), clauses[0].body.len()), (2, 2));
    // `never` is a word before a reason or the end, and a module before a title.
    assert!(matches!(
        statement("rehearse never."),
        StatementKind::Rehearse { word: Some(_), .. }
    ));
    assert!(matches!(
        statement("rehearse never \"t\" -> fun (X, X) -> true end."),
        StatementKind::StateCheck {
            subject: Some(_),
            ..
        }
    ));
    assert!(
        matches!(statement("code on_disk when node() =:= a."), StatementKind::Code { push: None, tail, .. } if tail.when.len() == 1)
    );
}

#[test]
fn relations_places_and_moments() {
    let verbs = [
        ("depends on", Verb::DependsOn),
        ("does not depend on", Verb::DoesNotDependOn),
        ("loads before", Verb::LoadsBefore),
        ("loads after", Verb::LoadsAfter),
    ];
    for (text, verb) in verbs {
        let StatementKind::Relation {
            verb: found, right, ..
        } = statement(&format!("a {text} [b] ++ app(c) -- [d]."))
        else {
            panic!("a relation");
        };
        assert_eq!(found.value, verb);
        assert!(matches!(right.kind, ExprKind::Binop("++", ..)));
    }
    let place = |text: &str| match statement(&format!("insert {{apply, {{m, f, []}}}} {text}.")) {
        StatementKind::Insert { place, .. } => place,
        other => panic!("{other:?}"),
    };
    assert_eq!(place("at start"), InsertAnchor::Start);
    assert_eq!(place("at end"), InsertAnchor::End);
    assert!(
        matches!(place("before load a"), InsertAnchor::Before(step) if step.kind.as_ref().is_some_and(|k| k.value.as_str() == "load"))
    );
    assert!(matches!(place("after load"), InsertAnchor::After(step) if step.kind.is_none()));
    let moment = |text: &str| match statement(&format!("{text} -> ok.")) {
        StatementKind::Hook { moment, .. } => moment,
        other => panic!("{other:?}"),
    };
    assert_eq!(moment("before upgrade"), HookPoint::BeforeUpgrade);
    assert_eq!(
        moment("after rollout #{timeout => 5s} when true because \"x\""),
        HookPoint::AfterRollout
    );
    assert_eq!(moment("on failure"), HookPoint::OnFailure);
    assert_eq!(moment("on rollback"), HookPoint::OnRollback);
    assert!(
        matches!(moment("after code_change [a, b]"), HookPoint::After(step) if step.kind.is_some())
    );
}

#[test]
fn statement_words_are_contextual() {
    for text in [
        "plan(X) -> X.",
        "exclude(X) when X > 1 -> X; exclude(_) -> on.",
        "module(a) -> b.",
    ] {
        assert!(
            matches!(statement(text), StatementKind::Function { .. }),
            "{text}"
        );
    }
    assert!(matches!(
        statement("'exclude' depends on module."),
        StatementKind::Relation { .. }
    ));
    assert!(matches!(
        statement("insert point_of_no_return before load load."),
        StatementKind::Insert { .. }
    ));
    assert!(matches!(
        statement("exclude [load, at, start, plan]."),
        StatementKind::Exclude { .. }
    ));
}

#[test]
fn spans_are_moved_by_the_base_and_comments_are_kept() {
    let text = "% one\nX = foo:bar(Y). % two\n";
    let parsed = parse_plan(text, 100);
    let Statement {
        kind: StatementKind::Bind { value, .. },
        span,
    } = &parsed.statements[0]
    else {
        panic!("a constant")
    };
    assert_eq!(
        (*span, value.span),
        (Span::new(106, 120), Span::new(110, 120))
    );
    assert_eq!(parsed.comments, [Span::new(100, 105), Span::new(122, 127)]);
    let blank = expr(" { a , X } ");
    assert_eq!(blank.span, Span::new(1, 10));
}

#[test]
fn a_line_is_complete_incomplete_or_wrong() {
    let complete = [
        "1 + 1",
        "1 + 1.",
        "X = 1, Y = 2",
        "shop_cart",
        "shop_cart:total()",
        "exclude a",
        "a depends on b.",
        "f(X) -> X.",
        "% only\n1",
    ];
    for text in complete {
        assert!(
            parse_input(text, 0).is_ok(),
            "{text}: {:?}",
            parse_input(text, 0)
        );
    }
    let incomplete = [
        "",
        "  ",
        "% comment",
        "1 +",
        "f(",
        "[1,",
        "[1, 2",
        "\"abc",
        "'abc",
        "case X of",
        "case X of 1 -> 2",
        "X =",
        "m:",
        "<<1",
        "a depends",
        "a depends on",
        "verify \"x\" ->",
        "#{a =>",
        "\"\"\"\nabc",
        "~b(abc",
        "begin 1",
        "1 + % comment",
    ];
    for text in incomplete {
        assert_eq!(parse_input(text, 0), Err(InputError::Incomplete), "{text}");
    }
    for text in [
        "1 2",
        "f(]",
        "a dependz on b",
        "X = receive",
        "1 + .",
        ")",
        "[1, 2}",
        "foo bar",
        "12abc",
        "$ ",
    ] {
        assert!(
            matches!(parse_input(text, 0), Err(InputError::Wrong(_))),
            "{text}: {:?}",
            parse_input(text, 0)
        );
    }
    assert!(matches!(parse_input("X = 1, Y = 2.", 0), Ok(Input::Expressions(e)) if e.len() == 2));
    assert!(
        matches!(parse_input("a depends on b", 5), Ok(Input::Statement(s)) if s.span == Span::new(5, 19))
    );
}
