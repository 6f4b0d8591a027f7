//! Nothing that is typed may break the parser: no panic, no stack overflow, no long wait.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use updo::diag::render::{Style, render, to_json};
use updo::diag::{Code, SourceMap};
use updo::syntax::{InputError, parse_expression, parse_input, parse_plan, parse_term};

/// Every plan of the fixtures, good and broken.
fn plans() -> Vec<String> {
    let mut plans = Vec::new();
    for folder in ["tests/fixtures/plans", "tests/fixtures/broken"] {
        for entry in std::fs::read_dir(folder).expect("the folder of plans") {
            let path = entry.expect("a readable folder").path();
            plans.push(std::fs::read_to_string(path).expect("a readable plan"));
        }
    }
    plans.sort();
    plans
}

/// Runs everything that takes text; the spans that come out must lie within the text.
fn exercise(text: &str) {
    let mut sources = SourceMap::default();
    sources.add("before", "some text");
    let base = sources.add("plan", text);
    let parsed = parse_plan(text, base);
    let inside = base..=base + text.len();
    for statement in &parsed.statements {
        assert!(inside.contains(&statement.span.start) && inside.contains(&statement.span.end));
    }
    for diagnostic in &parsed.diagnostics {
        assert!(diagnostic.code != Code::E900, "{diagnostic:?} in {text:?}");
        for label in &diagnostic.labels {
            assert!(inside.contains(&label.span.start) && inside.contains(&label.span.end));
            assert!(
                label.span.start <= label.span.end,
                "{diagnostic:?} in {text:?}"
            );
        }
        render(diagnostic, &sources, Style::default());
        to_json(diagnostic, &sources);
    }
    // Input is cut off anywhere while it is being typed.
    if let Err(InputError::Wrong(diagnostic)) = parse_input(text, base) {
        assert!(diagnostic.code != Code::E900, "{diagnostic:?} in {text:?}");
    }
    let _ = parse_term(text);
}

#[test]
fn two_hundred_brackets_are_fast_in_every_form() {
    let forms: &[(&str, &str, &str)] = &[
        ("[", "", "]"),
        ("{", "", "}"),
        ("(", "1", ")"),
        ("#{a => ", "1", "}"),
        ("[a | ", "[]", "]"),
        ("<<", "1", ">>"),
        ("f(", "", ")"),
        ("m:f(", "", ")"),
        ("X = [", "", "]"),
        ("begin ", "1", " end"),
        ("- ", "1", ""),
        ("not ", "X", ""),
        ("[X || X <- ", "[]", "]"),
        ("{(", "1", ")}"),
    ];
    for (open, middle, close) in forms {
        let levels = if open.len() > 6 || *open == "X = [" || *open == "{(" || *open == "m:f(" {
            100
        } else {
            200
        };
        let text = format!("{}{middle}{}", open.repeat(levels), close.repeat(levels));
        let begin = Instant::now();
        let parsed = parse_expression(&text, 0);
        assert!(parsed.is_ok(), "{open}: {:?}", parsed.map_err(|d| d.title));
        assert!(
            begin.elapsed() < Duration::from_secs(2),
            "{open} took {:?}",
            begin.elapsed()
        );
        // A mistake in the middle must not take longer.
        let begin = Instant::now();
        assert!(parse_expression(&format!("{}) ] . {middle}", open.repeat(levels)), 0).is_err());
        assert!(
            begin.elapsed() < Duration::from_secs(2),
            "{open} took {:?}",
            begin.elapsed()
        );
    }
}

#[test]
fn the_deepest_allowed_nesting_fits_any_stack() {
    let run = || {
        let text = format!("X = {}{}.", "[".repeat(256), "]".repeat(256));
        let parsed = parse_plan(&text, 0);
        assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
        let copy = parsed.clone();
        assert_eq!(format!("{parsed:?}"), format!("{copy:?}"));
    };
    let thread = std::thread::Builder::new()
        .stack_size(2 * 1024 * 1024)
        .spawn(run);
    thread.expect("a thread").join().expect("no overflow");
}

#[test]
fn what_is_nested_too_deep_is_refused_at_once() {
    let ends = [
        ("[", "]"),
        ("(", ")"),
        ("- ", "1"),
        ("f(", ")"),
        ("case ", " end"),
        ("1 + ", "1"),
        ("A = ", "1"),
        ("#{a=>", "}"),
    ];
    for (open, close) in ends {
        let text = format!(
            "exclude a.\nverify \"v\" -> {}{}.\nexclude b.\n",
            open.repeat(100_000),
            close.repeat(100_000)
        );
        let begin = Instant::now();
        let parsed = parse_plan(&text, 0);
        assert!(
            parsed.diagnostics.iter().any(|d| d.code == Code::E105),
            "{open}: {:?}",
            parsed.diagnostics
        );
        assert_eq!(
            parsed.statements.len(),
            2,
            "{open}: the statements around it are read"
        );
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "{open} took {:?}",
            begin.elapsed()
        );
        let term = parse_term(&open.repeat(100_000));
        assert_eq!(term.map_err(|d| d.code), Err(Code::E105), "{open}");
    }
}

#[test]
fn long_calls_of_calls_are_counted_as_nesting() {
    for part in ["()", "#{a => 1}", ":f()"] {
        let parsed = parse_expression(&format!("m{}", part.repeat(100_000)), 0);
        assert_eq!(parsed.map_err(|d| d.code).err(), Some(Code::E105), "{part}");
    }
}

/// So many statements of every usual kind, one a line.
fn statements(number: usize) -> Vec<String> {
    let statement = |n: usize| match n % 8 {
        0 => format!("shop_{n} depends on shop_{} because \"reason {n}\".", n + 1),
        1 => format!(
            "module shop_{n} #{{timeout => 30s, change => {{advanced, []}}}} because \"slow\"."
        ),
        2 => format!(
            "exclude [shop_{n}, shop_{}] when otp() >= 25 because \"no\".",
            n + 1
        ),
        3 => format!(
            "verify \"cart {n}\" #{{within => 10s}} -> {{ok, #{{total := T}}}} = shop_cart:quote({n}), T > 0."
        ),
        4 => format!("V{n} = [{{a, {n}}}, {{b, \"text\"}} | [X || X <- [1, 2, 3], X > 2]]."),
        5 => format!("f{n}(X, Y) when X > 1 -> case X of {{ok, Z}} -> Z + Y * 2; _ -> X - 1 end."),
        6 => format!("shop_{n} loads before shop_{}.", n + 1),
        _ => {
            format!("require \"r {n}\" -> pong = net_adm:ping(node()), lists:member(a, [a, b, c]).")
        }
    };
    (0..number).map(statement).collect()
}

/// `make bench` measures the time; here only what would be wrong by far is wrong.
#[test]
fn five_thousand_statements_are_fast() {
    let text = statements(5_000).join("\n");
    let begin = Instant::now();
    let parsed = parse_plan(&text, 0);
    assert_eq!(
        (parsed.statements.len(), parsed.diagnostics.len()),
        (5_000, 0)
    );
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "took {:?}",
        begin.elapsed()
    );
}

/// A large plan is read by several threads: what comes out must be what comes out line by line.
#[test]
fn a_large_plan_is_read_as_its_parts_are() {
    let mut lines = statements(2_000);
    lines[3] = "shop_a dependz on shop_b.".to_owned();
    lines[700] = "exclude [.".to_owned();
    lines[1_200] = "exclude a exclude b.".to_owned();
    lines[1_201] = format!("X = {}1{}.", "[".repeat(100), "]".repeat(100));
    lines[1_202] = format!("X = {}1{}.", "[".repeat(300), "]".repeat(300));
    let whole = parse_plan(&lines.join("\n"), 10);
    let (mut statements, mut reported) = (Vec::new(), Vec::new());
    let mut base = 10;
    for line in &lines {
        let parsed = parse_plan(line, base);
        statements.extend(parsed.statements);
        reported.extend(parsed.diagnostics);
        base += line.len() + 1;
    }
    assert!(whole.statements == statements, "other statements");
    assert_eq!(whole.diagnostics, reported);
    assert_eq!(reported.len(), 4, "{reported:?}");
}

/// A number of a mebibyte in every notation, and the longest that is read. Its digits are never all printed.
#[test]
fn huge_numbers_are_answered_at_once() {
    let digits = "1".repeat(1 << 20);
    for (number, fits) in [
        (digits.clone(), false),
        (format!("-{digits}"), false),
        (format!("2#{digits}"), true),
        (format!("16#{digits}"), false),
        (format!("36#{digits}"), false),
        (format!("1.{digits}"), true),
        (format!("{digits}.0"), false),
        (format!("1.0e{digits}"), false),
        (format!("{digits}s"), false),
        (digits[..315_000].to_owned(), true),
    ] {
        let begin = Instant::now();
        let plan = parse_plan(&format!("X = {number}.\n"), 0);
        let term = parse_term(&number);
        let _ = term.as_ref().map(ToString::to_string);
        let took = begin.elapsed();
        let start = &number[..12];
        assert_eq!(term.is_ok(), fits, "{start}");
        let diagnostic = plan
            .diagnostics
            .iter()
            .any(|diagnostic| diagnostic.code == Code::E106);
        assert_eq!(
            diagnostic,
            !fits,
            "{start}: {:?}",
            plan.diagnostics.first().map(|d| &d.title)
        );
        for diagnostic in &plan.diagnostics {
            let mut texts = vec![&diagnostic.title];
            texts.extend(diagnostic.labels.iter().map(|label| &label.text));
            texts.extend(diagnostic.notes.iter().chain(&diagnostic.help));
            assert!(texts.iter().all(|text| text.len() < 500), "{start}");
        }
        assert!(took < Duration::from_secs(8), "{start}: {took:?}");
    }
}

#[test]
fn a_long_file_of_errors_ends_soon() {
    for line in [
        "shop_a depends on shop_b\n",
        "plan \"x.\n",
        "X = [1.\n",
        "# x's\n",
        "]\n",
        "\"\n",
        "'",
        "%{\n",
        "a. ",
        "\"\"\"\n",
    ] {
        let text = line.repeat(20_000);
        let begin = Instant::now();
        let parsed = parse_plan(&text, 0);
        assert!(!parsed.diagnostics.is_empty() || line == "%{\n", "{line:?}");
        assert!(
            parsed.diagnostics.len() <= 250,
            "{line:?}: {}",
            parsed.diagnostics.len()
        );
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "{line:?} took {:?}",
            begin.elapsed()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(7), ..ProptestConfig::default() })]

    /// A plan with a few pieces cut out, doubled, moved or replaced.
    #[test]
    fn mutated_plans(which in 0_usize..1000, edits in prop::collection::vec((0_usize..100_000, 0_usize..30, "\\PC{0,4}|[\\[\\](){}<>\"'.,;:=#%$~\\\\|&! \n-]{0,4}"), 1..6)) {
        let plans = plans();
        let mut text: Vec<char> = plans[which % plans.len()].chars().collect();
        for (at, cut, insert) in edits {
            let at = at % (text.len() + 1);
            let end = (at + cut).min(text.len());
            text.splice(at..end, insert.chars());
        }
        exercise(&text.iter().collect::<String>());
    }

    /// A plan that is cut off.
    #[test]
    fn cut_plans(which in 0_usize..1000, from in 0_usize..4000, len in 0_usize..4000) {
        let plans = plans();
        let text: Vec<char> = plans[which % plans.len()].chars().collect();
        let from = from % (text.len() + 1);
        exercise(&text.iter().skip(from).take(len).collect::<String>());
    }

    /// Words and signs of the language in any order.
    #[test]
    fn shuffled_words(words in prop::collection::vec(prop::sample::select(vec![
        "plan", "module", "depends", "on", "does", "not", "depend", "case", "of", "end", "when", "because", "->", "=>", ":=",
        "=", "==", "<", "<-", "<=", "||", "|", ",", ";", ".", "\n", ". ", "(", ")", "[", "]", "{", "#{", "}", "<<", ">>", "fun",
        "m:f", "/1", "1", "30s", "16#ff", "1.5", "\"s\"", "'a'", "X", "_", "Chat.Room", "$a", "~b\"x\"", "\"\"\"", "\n\"\"\"",
        "begin", "if", "catch", "receive", "+", "-", "!", "?", "&", "%", "#", "$", "~", "\\", "\"", "'", "insert", "before", "load",
    ]), 0..40), glue in prop::bool::ANY) {
        exercise(&words.join(if glue { "" } else { " " }));
    }

    /// Bytes that are no text at all, as an editor or a terminal may deliver them.
    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        exercise(&String::from_utf8_lossy(&bytes));
    }
}
