//! Terms as `inspect/2` of a real Elixir prints them.

use std::process::Command;

use updo::term::elixir::{Charlists, elixir, elixir_within};
use updo::term::{Atom, Fun, Term, etf};

use crate::generate::Generator;
use crate::{Oracle, same, seed_and_count, text_of};

/// A node with Elixir and a struct, and how it writes lists of characters.
fn start() -> (Oracle, Charlists) {
    let asked = Command::new("elixir")
        .args([
            "-e",
            "IO.write [:code.lib_dir(:elixir), ?\\n, System.version()]",
        ])
        .output()
        .expect("elixir is installed");
    let text = String::from_utf8(asked.stdout).expect("text");
    let (folder, version) = text.split_once('\n').expect("two lines");
    let mut oracle = Oracle::of(&["erl", "-pa", &format!("{folder}/ebin")]);
    let define = "defmodule Shop.Cart do defstruct [:id, :items] end; nil";
    let question = Term::tuple([Term::atom("elixir"), Term::binary(define)]);
    assert!(oracle.ask(&question)[0].is_atom("nil"));
    let mut numbers = version.split('.').map(|number| number.parse::<u32>());
    let (major, minor) = (numbers.next(), numbers.next());
    let charlists = match (major, minor) {
        (Some(Ok(1)), Some(Ok(minor))) if minor < 15 => Charlists::Quotes,
        _ => Charlists::Sigil,
    };
    println!("Elixir {version}, {charlists:?}");
    (oracle, charlists)
}

fn inspected(oracle: &mut Oracle, term: &Term, width: Option<i64>) -> Term {
    let question = Term::tuple([
        Term::atom("inspect"),
        Term::binary(etf::encode(term)),
        width.map_or_else(|| Term::atom("infinity"), Term::Int),
        Term::boolean(width.is_some()),
    ]);
    oracle.ask(&question).swap_remove(0)
}

/// Every third one has a struct around it, every third a list of pairs.
fn term(generator: &mut Generator, round: u64) -> Term {
    let depth = 2 + round as usize % 5;
    let (first, second) = (generator.term(depth), generator.term(depth));
    match round % 3 {
        0 => Term::map([
            (Term::atom("__struct__"), Term::atom("Elixir.Shop.Cart")),
            (Term::atom("id"), first),
            (Term::atom("items"), second),
        ]),
        1 => Term::list([
            Term::tuple([Term::atom("first"), first]),
            Term::tuple([Term::atom("Second?"), second]),
        ]),
        _ => Term::tuple([first, second]),
    }
}

#[test]
fn texts_are_those_of_elixir() {
    let (seed, count) = seed_and_count();
    let (mut oracle, charlists) = start();
    let mut generator = Generator::new(seed, false);
    for round in 0..count {
        let term = term(&mut generator, round);
        let context = format!("seed {seed} round {round}: {term:?}");
        let theirs = inspected(&mut oracle, &term, None);
        let ours = elixir(&term, usize::MAX / 2, charlists);
        same(&ours, &theirs, "inspect/2 on one line", &context);
    }
}

#[test]
fn lines_are_those_of_elixir() {
    let (seed, count) = seed_and_count();
    let (mut oracle, charlists) = start();
    let mut generator = Generator::new(seed, false);
    let (mut compared, mut equal) = (0, 0);
    for round in 0..count {
        let term = term(&mut generator, round);
        let width = [20, 40, 60, 80, 98, 120][round as usize % 6];
        let context = format!("seed {seed} round {round} width {width}: {term:?}");
        let theirs = inspected(&mut oracle, &term, Some(width));
        let ours = elixir(&term, width as usize, charlists);
        // Elixir counts the bytes of atoms.
        if !ours.is_ascii() {
            continue;
        }
        compared += 1;
        if Some(ours.as_bytes()) == theirs.as_bytes() {
            equal += 1;
        } else {
            println!("{context}\nours:\n{ours}\nElixir:\n{theirs}");
        }
        // The same text in any case: only the ends of lines may differ.
        let words = |text: &str| text.split_whitespace().collect::<String>();
        assert_eq!(words(&ours), words(&text_of(&theirs)), "{context}");
    }
    println!("{equal} of {compared} terms have the lines of Elixir");
    assert!(
        compared * 4 > count && equal * 100 >= compared * 98,
        "{equal} of {compared} terms, {count} in all"
    );
}

#[test]
fn names_and_known_structs_are_those_of_elixir() {
    let (mut oracle, charlists) = start();
    for name in [
        "nil",
        "true",
        "a",
        "a b",
        "Foo",
        "Elixir",
        "Elixir.Elixir",
        "Elixir.Elixir.A",
        "Elixir.Foo.Bar",
        "Elixir.foo",
        "Elixir.Foo.",
        "Elixir.Fo@o",
        "",
        "é",
        "É",
        "日本",
        "a÷b",
        "x@y",
        "_x",
        "_",
        "9",
        "a?",
        "a?b",
        "a!",
        "A?",
        "@a",
        "+",
        "::",
        "..",
        "..//",
        "...",
        "=>",
        "->",
        "and",
        "not in",
        "<<>>",
        "{}",
        "%{}",
        "[]",
        "|>",
        "\n",
        "\0",
        "\u{1}",
        "\u{7f}",
        "it's",
        "q\"q",
        "#{x",
        "back\\",
        "&",
        "&1",
        "^^^",
        "~~~",
        "!",
        "@",
        ".",
        ",",
        "%",
        ";",
        "#",
        "//",
        "**",
        "+++",
        "<-",
        "\\\\",
        "|",
        "x²",
        "µ",
        "~>>",
        "<|>",
    ] {
        let atom = Term::atom(name);
        let function = |module: &str, name: &str| {
            Term::Fun(Fun::External {
                module: Atom::new(module),
                name: Atom::new(name),
                arity: 1,
            })
        };
        for term in [
            atom.clone(),
            Term::list([Term::tuple([atom.clone(), Term::Int(1)])]),
            Term::map([(atom.clone(), Term::Int(1))]),
            function("lists", name),
            function(name, "f"),
        ] {
            let theirs = inspected(&mut oracle, &term, None);
            same(
                &elixir(&term, 1 << 30, charlists),
                &theirs,
                "inspect/2",
                name,
            );
        }
    }
    for source in [
        "1..3",
        "1..3//2",
        "3..1//-1",
        "MapSet.new([1, :a])",
        "~D[2024-01-02]",
        "~D[-0001-01-01]",
        "~T[01:02:03.004]",
        "~T[01:02:03]",
        "~N[2024-01-02 03:04:05.678900]",
        "~U[2024-01-02 03:04:05Z]",
        "%ArgumentError{message: \"x\"}",
        "%{__struct__: :foo, a: 1}",
        "%{__struct__: 1}",
        "\"\\0\"",
        "\"\\uFEFF\"",
        "\"\\u00a0\\e\\a\"",
        "<<1::3>>",
        "<<255, 3::4>>",
        r##""a\#{b}""##,
        "[97 | 98]",
        "[{:a, 1} | 2]",
        "%{}",
        "{}",
        "1.0e15",
        "1.0e16",
        "123456789.125",
        "-0.0",
        "'a\"b'",
        "[127]",
        "[7]",
        "%{nil => 1, Foo => 2}",
    ] {
        let question = Term::tuple([Term::atom("elixir"), Term::binary(source)]);
        let term = oracle.ask(&question).swap_remove(0);
        let theirs = inspected(&mut oracle, &term, None);
        same(
            &elixir(&term, 1 << 30, charlists),
            &theirs,
            "inspect/2",
            source,
        );
    }
}

#[test]
fn lists_of_characters_have_their_sigil_and_long_texts_end() {
    let shown = |term: &Term| elixir(term, 80, Charlists::Sigil);
    assert_eq!(shown(&Term::string("it's \"so\"")), r#"~c"it's \"so\"""#);
    // A struct that this node of Elixir does not have is written as one all the same.
    let cart = Term::map([
        (Term::atom("__struct__"), Term::atom("Elixir.Till")),
        (Term::atom("id"), Term::Int(1)),
    ]);
    assert_eq!(shown(&cart), "%Till{id: 1}");
    let long = Term::list((0..100_000).map(Term::Int));
    let (text, whole) = elixir_within(&long, 80, 1_000);
    assert!(
        !whole && text.len() == 1_003 && text.ends_with("..."),
        "{text}"
    );
    let (text, whole) = elixir_within(&Term::binary([255; 100]), 80, 1_000);
    assert!(
        whole && text.starts_with("<<255, 255") && text.contains("\n  255"),
        "{text}"
    );
}
