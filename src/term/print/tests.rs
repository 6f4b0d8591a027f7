//! What each rule of printing looks like; exactness is checked against a real `erl` in
//! `tests/term_oracle/main.rs`.

use super::*;
use crate::term::etf::MAX_DEPTH;

#[test]
fn floats_as_short_as_possible() {
    for (value, text) in [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.0, "1.0"),
        (100.0, "100.0"),
        (1000.0, "1.0e3"),
        (0.1, "0.1"),
        (0.0001, "0.0001"),
        (0.00001, "1.0e-5"),
        (123_456.789, "123456.789"),
        (4_503_599_627_370_496.0, "4503599627370496.0"),
        (9_007_199_254_740_992.0, "9.007199254740992e15"),
        (5e-324, "5.0e-324"),
        (7_368_814_587_527_625.0 / 4.0, "1842203646881906.2"),
        (7_368_814_587_527_627.0 / 4.0, "1842203646881906.8"),
        (f64::MAX, "1.7976931348623157e308"),
    ] {
        assert_eq!(Term::Float(value).to_string(), text);
    }
}

#[test]
fn atoms_are_quoted_when_erl_would() {
    for (atom, text) in [
        ("abc_D@9", "abc_D@9"),
        ("maybe", "maybe"),
        ("else", "else"),
        ("end", "'end'"),
        ("", "''"),
        ("Abc", "'Abc'"),
        ("é", "é"),
        ("a÷", "'a÷'"),
        ("Elixir.Foo", "'Elixir.Foo'"),
        ("it's", "'it\\'s'"),
        ("\0\n\u{7f}", "'\\000\\n\\d'"),
        ("日", "'日'"),
    ] {
        assert_eq!(format!("{:?}", Atom::new(atom)), text);
        assert_eq!(Term::atom(atom).to_string(), text);
    }
}

#[test]
fn text_is_recognised() {
    let utf8 = Term::binary("aå");
    assert_eq!(utf8.to_string(), "<<\"aå\"/utf8>>");
    assert_eq!(write(&utf8), "<<97,195,165>>");
    assert_eq!(Term::binary([b'a', 0xe5]).to_string(), "<<\"aå\">>");
    assert_eq!(Term::binary("日").to_string(), "<<230,151,165>>");
    assert_eq!(Term::string("a\"\n").to_string(), "\"a\\\"\\n\"");
    assert_eq!(write(&Term::string("ab")), "[97,98]");
    assert_eq!(Term::string("").to_string(), "[]");
    assert_eq!(Term::Bits([1, 0xa0].into(), 3).to_string(), "<<1,5:3>>");
}

#[test]
fn deep_terms_print_on_a_small_stack() {
    let deep = (0..MAX_DEPTH).fold(Term::Int(1), |inner, _| {
        Term::tuple([Term::atom("a"), inner])
    });
    let line = deep.to_string();
    assert_eq!(line.len(), MAX_DEPTH * 4 + 1);
    let lines = pretty(&deep, 80);
    assert_eq!(lines.replace(['\n', ' '], ""), line);
    assert_eq!(deep, deep.clone());
}

#[test]
fn funs_show_their_old_index() {
    let pid = crate::term::Pid {
        node: "n@h".into(),
        id: 9,
        serial: 1,
        creation: 7,
    };
    let closure = Fun::Closure(std::sync::Arc::new(crate::term::Closure {
        module: "Elixir.A".into(),
        arity: 1,
        uniq: [3; 16],
        index: 1,
        old_index: 2,
        old_uniq: 5,
        pid: pid.clone(),
        free: vec![],
    }));
    assert_eq!(Term::Fun(closure).to_string(), "#Fun<Elixir.A.2.5>");
    assert_eq!(Term::Pid(pid).to_string(), "<0.9.1>");
    let external = |module: &str, name: &str| {
        let (module, name) = (module.into(), name.into());
        let arity = 2;
        Fun::External {
            module,
            name,
            arity,
        }
        .to_string()
    };
    assert_eq!(external("m", "end"), "fun m:end/2");
    assert_eq!(external("Elixir.A", "b@c"), "fun 'Elixir.A':'b@c'/2");
}

/// What is made ends where the limit is, in the middle of whatever it may be, and is the beginning of the whole.
#[test]
fn text_is_made_up_to_its_limit() {
    let deep = (0..200).fold(Term::Int(7), |inner, n| {
        Term::tuple([Term::atom("tag"), Term::Int(n), inner])
    });
    let terms = [
        Term::binary(vec![200; 5_000]),
        Term::binary("å".repeat(3_000)),
        Term::string(&"text ".repeat(800)),
        Term::list((0..2_000).map(Term::Int)),
        Term::map((0..900).map(|n| {
            (
                Term::Int(n),
                Term::list([Term::atom("a"), Term::Float(0.5)]),
            )
        })),
        deep,
    ];
    for term in terms {
        let whole = pretty(&term, 80);
        assert_eq!(pretty_within(&term, 80, whole.len()), (whole.clone(), true));
        for limit in [0, 1, 17, 500, whole.len() - 1] {
            let (text, is_whole) = pretty_within(&term, 80, limit);
            let made = text.strip_suffix(CUT).expect("it says that it is cut");
            assert!(!is_whole && made.len() <= limit && made.len() + 2 > limit);
            assert!(whole.starts_with(made), "{limit}: {text}");
        }
        let line = term.to_string();
        assert_eq!(line_within(&term, line.len()), line);
        let made = line_within(&term, 300);
        assert!(made.len() <= 303 && line.starts_with(made.trim_end_matches(CUT)));
    }
    let huge = Term::binary(vec![1; 5 << 20]);
    assert_eq!(huge.to_string().len(), MAX_PRINTED + CUT.len());
    assert!(
        write(&huge).ends_with(",1>>"),
        "what must be whole is whole"
    );
}
