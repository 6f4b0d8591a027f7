//! `updo eval`: one expression; its value as a term on standard output, and nothing else.

use crate::support::desk::Desk;
use crate::support::{Options, TestNode};

#[test]
fn values_and_errors() {
    let (node, desk) = (TestNode::shared(), Desk::new());
    for (expression, value) in [
        ("1 + 2 * 3", "7"),
        ("node()", node.name()),
        ("erlang:node()", node.name()),
        ("lists:seq(1, 3)", "[1,2,3]"),
        ("{ok, X} = {ok, [a, \"b\"]}, X", "[a,\"b\"]"),
        (
            "maps:from_list([{N, N * N} || N <- lists:seq(1, 2)])",
            "#{1 => 1,2 => 4}",
        ),
        ("catch erlang:error(boom)", "{'EXIT',{boom,"),
        ("<<\"héllo\"/utf8>>", "<<\"héllo\"/utf8>>"),
        ("2.50", "2.5"),
        ("matches(node(), \"x*@localhost\")", "true"),
    ] {
        let ran = desk.eval(&node, expression).run().exits(0);
        let printed = ran.stdout.trim_end().trim_matches('\'');
        assert!(printed.starts_with(value), "{expression}: {ran}");
        assert!(ran.stderr.is_empty(), "{ran}");
    }
    for (expression, code, says) in [
        ("{ok, 1} = {error, 1}", "E701", "{error,1}"),
        ("lists:sqe(1, 3)", "E702", "lists:sqe/2"),
        ("erlang:atom_to_list(1)", "E703", "badarg"),
        (
            "erlang:binary_to_term(iolist_to_binary([131, lists:duplicate(600, [108, 0, 0, 0, 1]), lists:duplicate(601, 106)]))",
            "E348",
            "deeper than 512",
        ),
        ("1 + a", "E704", "+"),
        ("Unbound", "E206", "Unbound"),
        ("vsn(kernel)", "E210", "`vsn` needs a plan"),
        ("fail(sorry)", "E703", "sorry"),
        ("1 + ", "E801", "not complete"),
        ("1 + ]", "E101", "unexpected"),
        ("foo bar", "E101", "unexpected `bar`"),
    ] {
        let ran = desk.eval(&node, expression).run();
        assert!(matches!(ran.code, Some(1 | 2)), "{expression}: {ran}");
        assert_eq!(ran.stdout, "");
        let ran = ran.says(&[code, says]);
        // A question for a value is not answered with how statements are written.
        assert!(!ran.stderr.contains("depends on"), "{ran}");
    }
}

#[test]
fn from_standard_input() {
    let (node, desk) = (TestNode::shared(), Desk::new());
    let ran = desk
        .eval(&node, "-")
        .input("X = 20,\nX + 22.\n")
        .run()
        .exits(0);
    assert_eq!(ran.stdout, "42\n");
    desk.eval(&node, "-")
        .input("a depends on b.\n")
        .run()
        .exits(2)
        .says(&["this is a statement"]);
}

/// A call that is given up does not go on, unseen, on the node.
#[test]
fn a_call_that_takes_too_long_ends_on_the_node_too() {
    let node = TestNode::start();
    let desk = Desk::new();
    let sleepers = "[P || P <- processes(), {current_function, {timer, sleep, 1}} =:= process_info(P, current_function)]";
    let diagnostic = desk.eval(&node, "timer:sleep(infinity)").run();
    assert_ne!(diagnostic.code, Some(0));
    diagnostic.says(&["E705"]);
    node.await_true(&format!("[] =:= {sleepers}"));
}

/// Calls inside each other are carried out on the node in one process: what cannot leave it never does. What is raised is
/// reported of the call that raised it.
#[test]
fn calls_inside_each_other_stay_on_the_node() {
    let (node, desk) = (TestNode::shared(), Desk::new());
    for (expression, value) in [
        ("counters:get(counters:new(3, []), 1)", "0"),
        ("lists:nth(2, [x, ets:info(ets:new(t, []), size)])", "0"),
        (
            "lists:sort(maps:to_list(#{a => lists:seq(1, 2), lists:max([b]) => {lists:sum([1 + 1, 3])}}))",
            "[{a,[1,2]},{b,{5}}]",
        ),
        ("lists:seq(1, 1 + lists:max([1, 2]))", "[1,2,3]"),
        (
            "X = [1, 2], lists:append([lists:reverse(X) | lists:map(fun lists:reverse/1, [X])])",
            "[2,1,2,1]",
        ),
        ("catch lists:last(lists:nthtail(1, [x]))", "{'EXIT',"),
    ] {
        let ran = desk.eval(&node, expression).run().exits(0);
        assert!(ran.stdout.trim().starts_with(value), "{expression}: {ran}");
    }
    for (expression, texts) in [
        (
            "lists:append([lists:seq(1, 2), lists:nth(9, lists:seq(1, 3))])",
            ["E703", "`lists:nth/2` raised"],
        ),
        (
            "lists:no_such(lists:seq(1, 3))",
            ["E702", "`lists:no_such/1` is undefined"],
        ),
        (
            "lists:sum(erlang:throw(lists:max([no])))",
            ["E703", "`erlang:throw/1` raised `throw:no`"],
        ),
    ] {
        let ran = desk.eval(&node, expression).run();
        assert_ne!(ran.code, Some(0), "{ran}");
        let ran = ran.says(&texts);
        assert!(!ran.stderr.contains("erl_eval"), "{ran}");
    }
}

/// References into the node's memory are distinguished from all others, on this node as it is.
#[test]
fn a_value_that_cannot_leave_the_node_is_refused() {
    let (node, desk) = (TestNode::shared(), Desk::new());
    for resource in [
        "counters:new(1, [])",
        "counters:new(1, [write_concurrency])",
        "atomics:new(1, [])",
        "ets:new(t, [])",
        "zlib:open()",
    ] {
        let text = format!("R = {resource}, erlang:phash2(R)");
        let ran = desk.eval(&node, &text).run();
        assert_ne!(ran.code, Some(0), "{ran}");
        ran.says(&["E707", "`erlang:phash2/1`", "inside each other"]);
        let text = format!("erlang:is_integer(erlang:phash2({resource}))");
        desk.eval(&node, &text).run().exits(0).prints(&["true"]);
    }
    for ordinary in [
        "erlang:make_ref()",
        "erlang:send_after(100000, whereis, x)",
        "erlang:monitor(process, init)",
        "[erlang:make_ref() || _ <- lists:seq(1, 50)]",
    ] {
        let text = format!("R = {ordinary}, is_integer(erlang:phash2(R))");
        desk.eval(&node, &text).run().exits(0).prints(&["true"]);
    }
}

#[test]
fn values_of_an_elixir_node_are_written_as_elixir_does() {
    let node = Options {
        elixir: true,
        ..Options::default()
    }
    .start();
    let desk = Desk::new();
    let cart = "#{'__struct__' => Shop.Cart, id => 1, items => [{apple, 2}], note => nil, by => <<\"text\">>}";
    let theirs = "%Shop.Cart{by: \"text\", id: 1, items: [apple: 2], note: nil}\n";
    let printed = |flags: &[&str], env: &[(&str, &str)], expression: &str| {
        let args = [&["eval", node.name(), expression], flags].concat();
        let mut run = desk.on(&node, &args);
        for (name, value) in env {
            run = run.env(name, value);
        }
        run.run().exits(0).stdout
    };
    assert_eq!(printed(&[], &[], cart), theirs);
    assert_eq!(printed(&[], &[], "\"abc\""), "~c\"abc\"\n");
    assert_eq!(
        printed(&[], &[], "Elixir.Version:'parse!'(<<\"1.2.3\">>)"),
        "%Version{build: nil, major: 1, minor: 2, patch: 3, pre: []}\n"
    );
    let erlang = printed(&["--syntax", "erlang"], &[], cart);
    assert!(
        erlang.contains("'__struct__' => 'Elixir.Shop.Cart'"),
        "{erlang}"
    );
    assert_eq!(printed(&[], &[("UPDO_SYNTAX", "erlang")], cart), erlang);
    // The flag takes precedence, and a node of Erlang has Erlang's.
    assert_eq!(
        printed(&["--syntax", "elixir"], &[("UPDO_SYNTAX", "erlang")], cart),
        theirs
    );
    let plain = TestNode::shared();
    let there = |flags: &[&str]| {
        let args = [&["eval", plain.name(), cart], flags].concat();
        desk.on(&plain, &args).run().exits(0).stdout
    };
    assert_eq!(there(&[]), erlang);
    assert_eq!(there(&["--syntax", "elixir"]), theirs);
    // The REPL: by the node, or as the session says.
    let input = ":syntax\nX = {nil, <<\"a\">>}\nb()\n:syntax erlang\nX\n:syntax node\nX\n";
    let ran = desk
        .on(&node, &["repl", "-t", node.name()])
        .input(input)
        .run()
        .exits(0);
    assert_eq!(
        ran.stdout,
        "values are printed as elixir, the language of the node\n{nil, \"a\"}\nX = {nil, \"a\"}\nIt = {nil, \"a\"}\n\
         values are printed as erlang\n{nil,<<\"a\">>}\n\
         values are printed as elixir, the language of the node\n{nil, \"a\"}\n"
    );
}

#[test]
fn elixir_gets_the_line_to_write_instead() {
    let node = Options {
        elixir: true,
        ..Options::default()
    }
    .start();
    let desk = Desk::new();
    for (typed, code, place, help) in [
        (
            "fun Integer:to_string/1",
            "E108",
            "1:5",
            "write `fun Elixir.Integer:to_string/1`",
        ),
        (
            "lists:map(&Integer.to_string/1, [1])",
            "E108",
            "1:11",
            "write `fun Elixir.Integer:to_string/1`",
        ),
        ("ready?()", "E108", "1:1", "write `'ready?'()`"),
        ("m:ready?(1)", "E108", "1:3", "write `m:'ready?'(1)`"),
        ("m:load!(1)", "E108", "1:3", "write `m:'load!'(1)`"),
        (
            "Shop.Cart.ready?(1)",
            "E108",
            "1:1",
            "write `Shop.Cart:'ready?'(1)`",
        ),
        ("%{a: 1}", "E108", "1:1", "write `#{a => 1}`"),
        (
            "maps:size(%{\"a\" => :b})",
            "E108",
            "1:11",
            "write `#{<<\"a\">> => b}`",
        ),
        (
            "%Shop.Cart{id: 1}",
            "E108",
            "1:1",
            "write `#{'__struct__' => Shop.Cart, id => 1}`",
        ),
        (
            "%Shop.Cart{id: id}",
            "E108",
            "1:1",
            "write `#{'__struct__' => Shop.Cart, key => value}`",
        ),
        (
            "Enum.map([1], &Integer.to_string/1)",
            "E108",
            "1:1",
            "write `Elixir.Enum:map([1], fun Elixir.Integer:to_string/1)`",
        ),
        (
            "Enum.map([1], &(&1 + 1))",
            "E108",
            "1:1",
            "write `Elixir.Enum:map`",
        ),
        (
            "Enum:map([1], fun erlang:abs/1)",
            "E206",
            "1:1",
            "for the Elixir module write `Elixir.Enum`",
        ),
        (":atom", "E108", "1:1", "write `atom`"),
        ("{:ok, 1}", "E108", "1:2", "write `ok`"),
        (":lists.sum([1])", "E108", "1:1", "write `lists:sum([1])`"),
        ("[a: 1]", "E108", "1:2", "write `[{a, 1}]`"),
        ("#{a: 1}", "E108", "1:3", "write `#{a => 1}`"),
        (
            "[1, 2] |> Enum.sum()",
            "E108",
            "1:8",
            "write `Elixir.Enum:sum([1, 2])`",
        ),
        (
            "{1, [1] |> lists:sum()}",
            "E108",
            "1:9",
            "write `lists:sum([1])`",
        ),
        (
            "if true do 1 end",
            "E108",
            "1:9",
            "write `case Condition of true",
        ),
        (
            "case 1 do 1 -> 2 end",
            "E108",
            "1:8",
            "write `case Value of Pattern",
        ),
        ("~c\"abc\"", "E108", "1:1", "write `\"abc\"`"),
        (
            "inspect(1)",
            "E702",
            "1:1",
            "write `Elixir.Kernel:inspect(X)`",
        ),
        (
            "Elixir.String:upcase(\"text\")",
            "E703",
            "1:1",
            "write `<<\"text\">>`",
        ),
        (
            "Elixir.Integer:parse(\"12\")",
            "E703",
            "1:1",
            "write `<<\"12\">>`",
        ),
    ] {
        let ran = desk.eval(&node, typed).run().says(&[code, help]);
        assert!(
            ran.stderr.contains(&format!("expression:{place}]")),
            "{typed} {place}: {ran}"
        );
        // What is proposed works, where it is a whole line.
        let whole = help
            .strip_prefix("write `")
            .and_then(|rest| rest.strip_suffix('`'));
        if let Some(line) =
            whole.filter(|line| !line.contains("key") && typed.starts_with("Enum.map([1], &I"))
        {
            assert_eq!(desk.eval(&node, line).run().exits(0).stdout, "[\"1\"]\n");
        }
    }
    // `nil` is the atom that it is in Elixir; a comment stays a comment.
    assert_eq!(
        desk.eval(&node, "{nil, 1} % {note}").run().exits(0).stdout,
        "{nil, 1}\n"
    );
    desk.on(&node, &["repl", "-t", node.name()])
        .input("% a note\n%{a: 1}\n")
        .run()
        .exits(1)
        .says(&["E108", "write `#{a => 1}`"]);
}
