//! `updo eval`: one expression; its value as a term on standard output, and nothing else.

use crate::support::TestNode;
use crate::support::desk::Desk;

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
        // Who asks for a value is not told how statements are written.
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
    let told = desk.eval(&node, "timer:sleep(infinity)").run();
    assert_ne!(told.code, Some(0));
    told.says(&["E705"]);
    node.await_true(&format!("[] =:= {sleepers}"));
}
