//! `updo repl` from a pipe: expressions, statements, commands; it stops at the first error.

use crate::support::TestNode;
use crate::support::desk::Desk;
use crate::waiting::{desk, untouched, waiting};

#[test]
fn a_session_with_a_plan() {
    let (deployed, desk) = (waiting(), desk());
    let input = "\
shop_price:version().
{ok, #{level := L}} = shop_stock:level(apple)
L + 1
case L of
  1000 -> full;
  _ -> used
end.
:order
shop_stock depends on shop_gate because \"trying\"
:order
:why shop_gate before shop_stock
:rules
:drop 1
:why shop_gate before shop_stock
:cycles
:changed
:script low
";
    let ran = desk
        .on(&deployed.node, &["repl", "shop.updo"])
        .input(input)
        .run()
        .exits(0);
    let ran = ran.prints(&[
        "1\n{ok,#{",
        "\n1001\nfull\n",
        "added to this session",
        "moved: ",
        "trying",
        "1  shop_stock depends on shop_gate because \"trying\"",
        "dropped shop_stock depends on shop_gate",
        "nothing makes shop_stock wait for shop_gate",
        "[shop_price, shop_promo]  known to the plan",
        "new      shop_round",
        "point_of_no_return",
    ]);
    // The rule has moved shop_gate in front of shop_stock.
    let places = |name: &str| -> Vec<usize> {
        let lines = ran
            .stdout
            .lines()
            // The second time with marks: `-` is where it was.
            .map(|line| line.trim_start_matches(['+', ' ']))
            .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
        lines
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                let number = words.next()?.parse().ok()?;
                (words.next()? == name && words.next()? != "depends").then_some(number)
            })
            .collect()
    };
    let (gate, stock) = (places("shop_gate"), places("shop_stock"));
    assert!(
        gate[0] > stock[0] && gate[1] < stock[1],
        "{gate:?} {stock:?}: {ran}"
    );
    untouched(&deployed);
}

#[test]
fn an_error_stops_it() {
    let (deployed, desk) = (waiting(), desk());
    let repl = |input: &str| {
        desk.on(&deployed.node, &["repl", "shop.updo"])
            .input(input)
            .run()
    };
    let ran = repl("1 + 1\n{ok, X} = nothing\n3 + 3\n")
        .exits(1)
        .says(&["E701"]);
    assert_eq!(ran.stdout, "2\n");
    repl(":ordr\n").exits(2).says(&["did you mean `:order`?"]);
    repl("shop_prise depends on shop_tax.\n").exits(1).says(&[
        "E202",
        "did you mean `shop_price`",
        "not added",
    ]);
    repl("{1,\n2\n").exits(1).says(&["ends in the middle"]);
    repl(":quit\n1 + a\n").exits(0);
}

#[test]
fn without_a_plan() {
    let (node, desk) = (TestNode::shared(), Desk::new());
    let ran = desk
        .on(&node, &["repl", "-t", node.name()])
        .input("X = erlang:node().\nX\n:info\n")
        .run()
        .exits(0);
    ran.prints(&[node.short(), "OTP "]);
    desk.updo(&["repl"])
        .run()
        .exits(2)
        .says(&["repl wants a plan or a node"]);
}
