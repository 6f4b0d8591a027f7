//! `updo::scripting`: programs and expressions against hosts of a test's own. No node runs.

use std::time::{Duration, Instant};

use updo::Term;
use updo::scripting::{
    Checked, ExceptionClass, Host, HostError, Interpreter, Limits, NoHost, Program, ScriptError,
    ScriptErrorKind, evaluate,
};

/// A host that records calls and messages.
#[derive(Default)]
struct Noted {
    calls: Vec<String>,
    said: Vec<String>,
    otp: Option<i64>,
    slow: Option<Duration>,
}

impl Host for Noted {
    fn call(
        &mut self,
        module: &str,
        function: &str,
        args: &[Term],
        timeout: Duration,
    ) -> Result<Term, HostError> {
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        self.calls
            .push(format!("{module}:{function}({})", args.join(",")));
        match (module, function) {
            ("shop", "count") => Ok(Term::Int(3)),
            ("shop", "gone") => Err(HostError::Lost("the till is closed".to_owned())),
            ("shop", "slow") => {
                std::thread::sleep(self.slow.unwrap_or_default().min(timeout));
                Err(HostError::Timeout)
            }
            ("shop", "left") => Ok(Term::Int(
                timeout.as_millis().try_into().unwrap_or(i64::MAX),
            )),
            ("shop", "throws") => Err(HostError::Raised {
                class: ExceptionClass::Throw,
                reason: Term::atom("closed"),
            }),
            ("shop", "args") => Err(HostError::BadArgument),
            _ => Err(HostError::Undefined),
        }
    }

    fn fact(&mut self, name: &str, args: &[Term]) -> Option<Term> {
        match (name, args) {
            ("otp", []) => self.otp.map(Term::Int),
            ("vsn", [app]) if app.is_atom("shop") => Some(Term::string("2.0")),
            ("env", [name]) => Some(Term::string(&format!("${}", name.to_text()?))),
            _ => None,
        }
    }

    fn info(&mut self, text: &str) {
        self.said.push(format!("info {text}"));
    }

    fn warn(&mut self, text: &str) {
        self.said.push(format!("warn {text}"));
    }
}

fn with_host(expression: &str) -> Result<String, ScriptError> {
    let mut host = Noted {
        otp: Some(27),
        ..Noted::default()
    };
    evaluate(expression, &mut host).map(|value| value.to_string())
}

fn failed(expression: &str) -> ScriptError {
    match with_host(expression) {
        Ok(value) => panic!("{expression} is {value}"),
        Err(error) => error,
    }
}

fn invalid(text: &str) -> ScriptError {
    let error = Program::parse(text).expect_err(text);
    assert_eq!(error.kind, ScriptErrorKind::Invalid, "{text}");
    assert!(error.diagnostics.errors().count() > 0, "{text}");
    error
}

#[test]
fn a_host_answers_calls_facts_and_what_is_said() {
    let mut host = Noted {
        otp: Some(27),
        ..Noted::default()
    };
    let text = "info(\"~b carts\", [shop:count()]), warn(\"so\"), {otp(), vsn(shop), env(\"HOME\"), self(), \
                catch shop:count(apple, [1, <<\"x\">>])}";
    // `self/0` is a function of the module erlang, which this host does not have.
    let error = evaluate(text, &mut host).expect_err("no self/0");
    let undefined = ScriptErrorKind::Exception {
        class: ExceptionClass::Error,
        reason: Term::atom("undef"),
    };
    assert_eq!(error.kind, undefined);
    let text = text.replace("self()", "me");
    let value = evaluate(&text, &mut host).expect("a value");
    assert_eq!(value.to_string(), "{27,\"2.0\",\"$HOME\",me,3}");
    assert_eq!(
        host.said,
        ["info 3 carts", "warn so", "info 3 carts", "warn so"]
    );
    assert_eq!(
        host.calls,
        [
            "shop:count()",
            "erlang:self()",
            "shop:count()",
            "shop:count(apple,[1,<<\"x\">>])"
        ]
    );
}

#[test]
fn what_a_host_refuses_ends_as_its_error_says() {
    let kind = |expression: &str| failed(expression).kind;
    let exception = |class, reason: &str| ScriptErrorKind::Exception {
        class,
        reason: Term::atom(reason),
    };
    assert_eq!(
        kind("shop:none()"),
        exception(ExceptionClass::Error, "undef")
    );
    assert_eq!(
        kind("shop:args()"),
        exception(ExceptionClass::Error, "badarg")
    );
    assert_eq!(
        kind("shop:throws()"),
        exception(ExceptionClass::Throw, "closed")
    );
    assert_eq!(kind("shop:slow()"), ScriptErrorKind::Limit);
    assert_eq!(kind("shop:gone()"), ScriptErrorKind::Lost);
    assert!(
        failed("shop:gone()")
            .to_string()
            .contains("the till is closed")
    );
    assert_eq!(kind("vsn(chat)"), ScriptErrorKind::Unknown);
    // Exceptions are caught; what is no exception is not.
    assert_eq!(with_host("catch shop:throws()").expect("caught"), "closed");
    assert_eq!(kind("catch shop:gone()"), ScriptErrorKind::Lost);
    assert_eq!(kind("catch vsn(chat)"), ScriptErrorKind::Unknown);
    assert_eq!(kind("X + 1"), ScriptErrorKind::Refused);
    // Without anything to ask, functions are not there and facts are not known.
    let error = evaluate("shop:count()", &mut NoHost).expect_err("nothing is there");
    assert_eq!(error.kind, exception(ExceptionClass::Error, "undef"));
    let error = evaluate("otp()", &mut NoHost).expect_err("nothing is known");
    assert_eq!(error.kind, ScriptErrorKind::Unknown);
}

#[test]
fn text_that_is_no_program_says_where() {
    for (text, code, place) in [
        ("a(X) -> X", "E103", "1:"),
        ("a(X) -> {X.", "E104", "1:9"),
        ("a(X) -> Y.", "E206", "1:9"),
        ("a(X) -> b(X).", "E702", "1:9"),
        ("X = 1 div 0.", "E704", "1:5"),
        ("X = Y. Y = X.", "E206", "1:"),
        ("include \"/etc/passwd\".", "E109", "1:9"),
        ("X = env(\"HOME\").", "E210", "1:5"),
        ("f() -> [env(N) || N <- [\"HOME\"]].", "E210", "1:9"),
        ("require \"x\" -> env(\"HOME\") =:= 1.", "E210", "1:16"),
        ("param N :: integer.", "E207", "1:7"),
        ("m depends on 5.", "E101", "1:14"),
    ] {
        let shown = invalid(text).to_string();
        assert!(shown.contains(code), "{text}: {shown}");
        assert!(
            shown.contains(&format!("program:{place}")),
            "{text}: {shown}"
        );
        assert!(!shown.contains("root:"), "{text}: {shown}");
    }
    let error =
        Program::parse_with("param N :: integer.", [("N", "many")]).expect_err("no integer");
    assert!(error.to_string().contains("E208"), "{error}");
}

#[test]
fn expressions_point_into_their_own_text_beside_the_program() {
    let program = Program::parse("half(X) -> X div 2.\nTen = 10.").expect("a program");
    let mut host = NoHost;
    let mut interpreter = Interpreter::new(&program, &mut host);
    let error = interpreter
        .eval("half(Ten) + half(a)")
        .expect_err("no number");
    let shown = error.to_string();
    assert!(shown.contains("program:1:"), "{shown}");
    let error = interpreter.eval("half(1) + a").expect_err("no number");
    assert!(error.to_string().contains("expression:1:"), "{error}");
    for (text, says) in [
        ("half(", "not complete"),
        ("half(1)) ", "expression:1:8"),
        ("Five = 5. Six = 6.", "E101"),
        ("", "E101"),
        ("a depends on b.", "not an expression"),
    ] {
        let error = interpreter.eval(text).expect_err(text);
        assert_eq!(error.kind, ScriptErrorKind::Invalid, "{text}");
        assert!(error.to_string().contains(says), "{text}: {error}");
    }
    let error = interpreter.call("half", []).expect_err("half/1");
    assert_eq!(error.kind, ScriptErrorKind::Invalid);
    assert!(error.to_string().contains("it has half/1"), "{error}");
}

#[test]
fn variables_stay_and_functions_see_constants_only() {
    let program = Program::parse("Ten = 10. ten() -> Ten.").expect("a program");
    let mut host = NoHost;
    let mut interpreter = Interpreter::new(&program, &mut host);
    assert_eq!(
        interpreter.eval("A = Ten, B = A + 1").expect("bound"),
        Term::Int(11)
    );
    assert_eq!(interpreter.eval("A + B").expect("kept"), Term::Int(21));
    interpreter.set("Ten", Term::Int(3));
    assert_eq!(
        interpreter.eval("{Ten, ten()}").expect("both").to_string(),
        "{3,10}"
    );
    assert_eq!(interpreter.variable("B"), Some(&Term::Int(11)));
    let error = interpreter.eval("C = 1, D = C + x").expect_err("no number");
    assert!(
        matches!(error.kind, ScriptErrorKind::Exception { .. }),
        "{error}"
    );
    assert_eq!(interpreter.variable("C"), Some(&Term::Int(1)));
    assert_eq!(interpreter.variable("D"), None);
}

#[test]
fn checks_hold_fail_or_are_for_others() {
    let text = "plan \"Checks\".\n\
                Most = 3.\n\
                require \"few carts\" -> N = shop:count(), N =< Most.\n\
                require \"one cart\" -> 1 = shop:count().\n\
                verify \"new only\" when otp() >= 28 -> shop:none().\n\
                verify \"of some application\" when vsn(chat) =:= \"1\" -> true.\n";
    let program = Program::parse(text).expect("a program");
    assert_eq!(program.checks().count(), 4);
    let mut host = Noted {
        otp: Some(27),
        ..Noted::default()
    };
    let mut interpreter = Interpreter::new(&program, &mut host);
    let checked = interpreter.check("few carts");
    assert_eq!(checked.expect("it holds"), Checked::Holds);
    assert_eq!(
        interpreter.variable("N"),
        None,
        "what a check binds is its own"
    );
    let error = interpreter.check("one cart").expect_err("three carts");
    let ScriptErrorKind::Exception { reason, .. } = &error.kind else {
        panic!("{error}");
    };
    assert_eq!(reason.to_string(), "{badmatch,3}");
    let checked = interpreter.check("new only");
    assert_eq!(
        checked.expect("it is not for this host"),
        Checked::NotApplicable
    );
    let error = interpreter
        .check("of some application")
        .expect_err("not known");
    assert_eq!(error.kind, ScriptErrorKind::Unknown);
    let error = interpreter.check("many carts").expect_err("no such check");
    assert_eq!(error.kind, ScriptErrorKind::Invalid);
    assert!(error.to_string().contains("\"few carts\""), "{error}");
}

/// Each bound is met on its own, soon, and by its error; nothing panics, whatever the bound is.
#[test]
fn every_limit_is_an_error_and_none_is_a_panic() {
    let text = "forever(N) -> forever(N + 1).\n\
                deep(N) -> 1 + deep(N).\n\
                nested(X) -> nested([X]).\n\
                double(Xs) -> double(Xs ++ Xs).\n\
                binary(B) -> binary(<<B/binary, B/binary>>).\n\
                power(N) -> power(N * N).";
    let program = Program::parse(text).expect("a program");
    let default = Limits::default();
    let began = Instant::now();
    let cells = |cells| Limits { cells, ..default };
    let depth = Limits {
        depth: 2_000,
        inside: usize::MAX,
        ..default
    };
    let time = |body| Limits {
        steps: u64::MAX,
        body,
        ..default
    };
    for (call, limits) in [
        ("forever(0)", default),
        ("forever(0)", time(Duration::from_millis(200))),
        ("1 + 1", time(Duration::ZERO)),
        (
            "1 + 1",
            Limits {
                steps: 0,
                ..default
            },
        ),
        ("deep(0)", default),
        ("deep(0)", depth),
        ("nested(0)", default),
        (
            "nested(0)",
            Limits {
                nesting: usize::MAX,
                ..default
            },
        ),
        ("double([1])", cells(1_000)),
        ("binary(<<1>>)", cells(1_000)),
        ("power(3)", cells(100)),
        ("sleep(100000)", default),
    ] {
        let mut host = NoHost;
        let mut interpreter = Interpreter::new(&program, &mut host).with_limits(limits);
        let error = interpreter.eval(call).expect_err(call);
        assert_eq!(
            error.kind,
            ScriptErrorKind::Limit,
            "{call} {limits:?}: {error}"
        );
        assert!(error.to_string().contains("E705"), "{call}: {error}");
    }
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
    // As much time as there is: longer than the clock can count.
    let unlimited = Limits {
        steps: u64::MAX,
        body: Duration::MAX,
        call: Duration::MAX,
        ..default
    };
    let mut host = Noted::default();
    let mut interpreter = Interpreter::new(&program, &mut host).with_limits(unlimited);
    assert_eq!(interpreter.eval("1 + 1").expect("a value"), Term::Int(2));
    let left = interpreter.eval("shop:left()").expect("a value");
    assert!(left > Term::Int(1_000_000_000), "{left}");
}

/// The host gets the time that is left, and a new evaluation begins anew.
#[test]
fn a_host_gets_the_time_that_is_left() {
    let program = Program::parse("").expect("a program");
    let mut host = Noted {
        slow: Some(Duration::from_secs(60)),
        ..Noted::default()
    };
    let limits = Limits {
        body: Duration::from_secs(1),
        ..Limits::default()
    };
    let mut interpreter = Interpreter::new(&program, &mut host).with_limits(limits);
    let began = Instant::now();
    let error = interpreter.eval("shop:slow()").expect_err("too slow");
    assert_eq!(error.kind, ScriptErrorKind::Limit);
    assert!(began.elapsed() < Duration::from_secs(30));
    let left = interpreter.eval("shop:left()").expect("a value");
    assert!(left > Term::Int(0) && left <= Term::Int(1_000), "{left}");
    let left = interpreter
        .eval("sleep(200), shop:left()")
        .expect("a value");
    assert!(left <= Term::Int(800), "{left}");
}

/// What is said is bounded, and formatted as `io_lib:format/2` would.
#[test]
fn what_a_program_says_is_bounded() {
    let text = "long(0) -> \"x\"; long(N) -> L = long(N - 1), L ++ L.";
    let program = Program::parse(text).expect("a program");
    let mut host = Noted::default();
    let limits = Limits {
        body: Duration::from_secs(60),
        ..Limits::default()
    };
    let mut interpreter = Interpreter::new(&program, &mut host).with_limits(limits);
    let error = interpreter
        .eval("L = long(17), [info(L) || _ <- [1,2,3,4,5,6,7,8,9]]")
        .expect_err("more than 1 MiB");
    assert!(error.to_string().contains("E705"), "{error}");
    let error = interpreter
        .eval("info(\"~q\", [])")
        .expect_err("no such directive");
    assert!(error.to_string().contains("E704"), "{error}");
    assert_eq!(host.said.len(), 8);
}

#[test]
fn terms_are_read_as_erlang_writes_them() {
    for text in [
        "{shop,#{2.5 => [x|y],a => 1},<<1,2>>,'odd name',fun lists:map/2,-170141183460469231731687303715884105728}",
        "[\"text\",[],<<\"bytes\">>,{}]",
    ] {
        let term: Term = text.parse().expect(text);
        assert_eq!(term.to_string(), text);
    }
    for text in ["{a", "X", "f()", "", "1 + 1", "<0.1.0>", "<<3:4>>"] {
        let error = text.parse::<Term>().expect_err(text);
        assert!(error.code.as_str().starts_with("E1"), "{text}: {error}");
    }
}
