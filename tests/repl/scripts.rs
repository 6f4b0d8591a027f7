//! `updo repl` from a pipe: expressions, statements, commands; it stops at the first error.

use updo::repl::command::WORDS;
use updo::syntax::{InputError, parse_input};

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
        "neither depends on the other",
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
fn windows_of_a_session() {
    let (deployed, desk) = (waiting(), desk());
    let input = "window shop_stock then rest because \"trying\"\n:script low\n:rules\n";
    let session = desk.on(&deployed.node, &["repl", "shop.updo"]);
    let ran = session.input(input).run().exits(0).prints(&["trying"]);
    let at = |text: &str| {
        let found = ran.stdout.find(text);
        found.unwrap_or_else(|| panic!("{text}: {ran}"))
    };
    assert!(
        at("{suspend,[shop_stock") < at("{resume,[shop_stock"),
        "{ran}"
    );
    let second = &ran.stdout[at("{resume,[shop_stock")..];
    assert!(second.contains("{suspend,["), "{ran}");
    untouched(&deployed);
}

#[test]
fn the_first_error_of_a_script_decides_the_exit_code() {
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
fn why_before_says_when_it_is_the_other_way_round() {
    let (deployed, desk) = (waiting(), desk());
    let input = ":why shop_tax before shop_round\n:why shop_stock before shop_sup\n:why shop_price before shop_promo\n";
    let ran = desk
        .on(&deployed.node, &["repl", "shop.updo"])
        .input(input)
        .run()
        .exits(0);
    ran.prints(&[
        "it is the other way round: shop_round is before shop_tax\n",
        "shop_tax:tax/2 (line 15) calls shop_round:divide/3",
        "and the other way round, shop_promo before shop_price: a cycle\n",
    ]);
    let ran = desk
        .on(&deployed.node, &["repl", "shop.updo"])
        .input(":why shop_round before shop_stock\n")
        .run()
        .exits(0);
    ran.prints(&[
        "neither depends on the other, not even through other modules: their order is by name\n",
    ]);
}

#[test]
fn help_and_quit_need_no_colon() {
    let (deployed, desk) = (waiting(), desk());
    let repl = |input: &str| {
        desk.on(&deployed.node, &["repl", "shop.updo"])
            .input(input)
            .run()
            .exits(0)
    };
    for leave in ["quit", "exit", "quit.", "q().", "exit()"] {
        let ran = repl(&format!("1 + 1\n{leave}\n1 = 2\n"));
        assert_eq!(ran.stdout, "2\n", "{leave}");
    }
    let list = repl(":help\n").stdout;
    for help in ["help", "?", "help()", "h()."] {
        assert_eq!(repl(&format!("{help}\n")).stdout, list, "{help}");
    }
    assert_eq!(repl("help why\n").stdout, repl(":help why\n").stdout);
    // The atom is written in quotes, and a function of the plan is the plan's.
    assert_eq!(repl("'help'\n{quit}\n").stdout, "help\n{quit}\n");
    let ran = repl("q() -> 17.\nq()\n");
    assert!(ran.stdout.ends_with("17\n"), "{ran}");
}

#[test]
fn a_session_needs_a_plan_or_a_node() {
    let (node, desk) = (TestNode::shared(), Desk::new());
    let ran = desk
        .on(&node, &["repl", "-t", node.name()])
        .input("X = erlang:node().\nX\n:info\n:order\n:sup kernel\n")
        .run()
        .exits(0);
    ran.prints(&[
        node.short(),
        "OTP ",
        "nothing differs (",
        "  kernel_sup <",
        "file_server_2",
    ]);
    desk.updo(&["repl"])
        .run()
        .exits(2)
        .says(&["repl needs a plan or a node"]);
}

/// Inputs and what they print, from the first `console` block of docs/repl.md. Lines behind a prompt belong to its
/// input as long as that is incomplete.
fn documented() -> (String, String) {
    let text = include_str!("../../docs/repl.md");
    let (_, block) = text.split_once("```console\n").expect("a session");
    let (block, _) = block.split_once("```").expect("its end");
    let (mut input, mut output, mut open) = (String::new(), String::new(), String::new());
    for line in block.lines() {
        if let Some(typed) = line.strip_prefix("shop> ") {
            open = typed.to_owned();
        } else if !open.is_empty() {
            open += &format!("\n{line}");
        } else {
            output += &format!("{line}\n");
            continue;
        }
        let is_command = open.starts_with(':');
        if is_command || !matches!(parse_input(&open, 0), Err(InputError::Incomplete)) {
            input += &format!("{open}\n");
            open.clear();
        }
    }
    (input, output)
}

#[test]
fn the_documented_session_is_what_happens() {
    let (deployed, desk) = (waiting(), desk());
    let (input, output) = documented();
    assert!(input.lines().count() > 20, "{input}");
    let ran = desk
        .on(&deployed.node, &["repl", "shop.updo"])
        .input(&input);
    let ran = ran.run().exits(0);
    assert_eq!(ran.stdout, output, "{ran}");
    // What was written is a plan, formatted, and the statements are in it.
    let plan = desk.read("shop.updo");
    assert!(plan.ends_with("part(N, By) -> N div By.\n"), "{plan}");
    desk.updo(&["check", "shop.updo"]).run().exits(0);
    untouched(&deployed);
}

#[test]
fn every_command_is_documented() {
    let text = include_str!("../../docs/repl.md");
    for word in WORDS {
        for name in word.short.iter().chain([&word.name]) {
            let shown = [format!("`:{name}`"), format!("`:{name} ")];
            let found = shown.iter().any(|shown| text.contains(shown.as_str()));
            assert!(found || *name == "exit", "`:{name}` is not in docs/repl.md");
        }
    }
}

#[test]
fn every_command_answers() {
    let (deployed, desk) = (waiting(), desk());
    let node = deployed.node.name();
    let input = format!(
        ":info\n:nodes\n:procs shop_cart_server\n:app shop\n:sup shop\n:diff shop_price\n:script\n\
         :graph shop_tax\n:graph\n:why shop_tax\n:rdeps shop_round\n:gaps\n:check\n:time lists:seq(1, 3)\n\
         :require apples\n:params\n:more\n:connect {node}\n:load shop.updo\n:refresh\n:help write\n:clear\n:q\n"
    );
    let ran = desk
        .on(&deployed.node, &["repl", "shop.updo"])
        .input(&input);
    let node_line = format!("node       {node} · OTP ");
    let ran = ran.run().exits(0).prints(&[
        &node_line,
        "cookie     ",
        "latency    ",
        "shop 1.0.0, ",
        &format!("  * {node}"),
        "12 processes: 12 started in init",
        "shop_cart_1  gen_server:loop/",
        "shop 1.0.0  running",
        "needs    kernel, stdlib",
        "shop_sup <",
        "    shop_cart_sup <",
        "-threshold/0  +threshold/1",
        "require the shop sells",
        "18 processes are suspended",
        "must   shop_tax",
        "[1,2,3]\n",
        "there are apples",
        "0 errors",
        &format!("connected to {node} · 9 modules of"),
        "plan Shop 2: taxes are rounded fairly · 9 modules of",
        ":write [F]",
    ]);
    assert!(ran.stderr.is_empty(), "{ran}");
    untouched(&deployed);
}

#[test]
fn exit_codes_name_the_kind_of_error() {
    let (deployed, desk) = (waiting(), desk());
    let repl = |input: &str| {
        let updo = desk.on(&deployed.node, &["repl", "shop.updo"]);
        updo.input(input).run()
    };
    // Nothing has been bought: the precondition does not hold.
    repl(":require the shop sells\n1 + 1\n").exits(11).says(&[
        "E601",
        "nothing was changed",
        "stopped at input:1",
    ]);
    repl(":verify nobody knows\n")
        .exits(2)
        .says(&["no `verify` has `nobody knows` in its name"]);
    repl("\n% two\nerlang:error(made_up)\n").exits(1).says(&[
        "E703",
        "made_up",
        "stopped at input:3",
    ]);
    // A mistake in a function is shown in the function.
    repl("part(N, By) -> N div By.\npart(1, 0)\n")
        .exits(1)
        .says(&["shop.updo:", "part(N, By) -> N div By."]);
    repl("it\n").exits(2).says(&["there is no last value yet"]);
    repl(":connect nobody@localhost\n")
        .exits(10)
        .says(&["E501"]);
    repl(":watch 1 + 1\n").exits(2).says(&["needs a terminal"]);
    repl(":why shop_pric\n")
        .exits(2)
        .says(&["did you mean `shop_price`?"]);
    repl(":undo\n").exits(2).says(&["nothing to take back"]);
    repl(":set Nothing = 1\n").exits(1).says(&["E208"]);
    repl("exclude shop_gate.\n:run\n")
        .exits(2)
        .says(&["in this session only"]);
    repl("exclude shop_gate.\n:load shop.updo\n")
        .exits(2)
        .says(&["in this session only"]);
    // What is run is what `updo run` would be: there is no terminal here.
    repl(":run\n")
        .exits(2)
        .says(&["standard input is not a terminal"]);
    desk.write("lines", "1 + 1\n{\n  2\n}\n");
    let file = desk.on(&deployed.node, &["repl", "shop.updo", "--file", "lines"]);
    assert_eq!(file.run().exits(0).stdout, "2\n{2}\n");
    let none = desk.on(&deployed.node, &["repl", "shop.updo", "--file", "none"]);
    none.run().exits(2).says(&["cannot be read"]);
    untouched(&deployed);
}

#[test]
fn a_lost_node_is_reported_as_lost() {
    let (node, desk) = (TestNode::start(), Desk::new());
    let ran = desk
        .on(&node, &["repl"])
        .input("1 + 1\nerlang:halt()\n3 + 3\n")
        .run();
    let again = format!("try `:connect {}`", node.name());
    let ran = ran.exits(10).says(&[&again]);
    assert_eq!(ran.stdout, "2\n");
}

#[test]
fn values_are_remembered_and_forgotten() {
    let (node, desk) = (TestNode::shared(), Desk::new());
    let input = "X = lists:seq(1, 3)\nlists:sum(it)\nv() * 2\n{it, 'it', #{it => 1}}\nf(X)\nX = new\nY = 2\nb()\nf()\nX = newer\nio:format(\"told~n\")\n";
    let ran = desk.on(&node, &["repl"]).input(input).run().exits(0);
    assert_eq!(
        ran.stdout,
        "[1,2,3]\n6\n12\n{12,it,#{it => 1}}\nok\nnew\n2\nIt = 2\nX = new\nY = 2\nok\nnewer\ntold\nok\n"
    );
    // A variable is bound once, as in Erlang.
    let twice = desk.on(&node, &["repl"]).input("X = 1\nX = 2\n").run();
    twice.exits(1).says(&["E701"]);
}

#[test]
fn without_a_plan_rules_can_be_tried_and_written() {
    let (deployed, desk) = (waiting(), desk());
    let input = "shop_round loads after shop_stock because \"trying\"\n:order\n:write\n";
    let ran = desk.on(&deployed.node, &["repl"]).input(input).run();
    let ran = ran.exits(2).says(&["name a file"]);
    assert!(ran.stdout.contains("1 step moved: shop_round"), "{ran}");
    // No command had shown it before: what the rule has moved is marked all the same.
    assert!(ran.stdout.contains("+   7  shop_round"), "{ran}");
    let input = "shop_round loads after shop_stock because \"trying\"\n:write rules.updo\n:rules\n";
    let ran = desk
        .on(&deployed.node, &["repl"])
        .input(input)
        .run()
        .exits(0);
    // In another file they are not yet the plan's: they stay in the session.
    ran.prints(&[
        "wrote 1 statement to rules.updo",
        "1  shop_round loads after",
    ]);
    assert_eq!(
        desk.read("rules.updo"),
        "shop_round loads after shop_stock\n    because \"trying\".\n"
    );
    // Something that is no plan is left alone.
    desk.write("letter", "Dear shop,\n");
    let input = "exclude shop_gate because \"trying\"\n:write letter\n";
    let ran = desk.on(&deployed.node, &["repl"]).input(input).run();
    ran.exits(2).says(&["E802", "it is no plan"]);
    assert_eq!(desk.read("letter"), "Dear shop,\n");
    untouched(&deployed);
}

#[test]
fn read_only_refuses_what_could_change_something() {
    let (deployed, desk) = (waiting(), desk());
    let repl = |input: &str| {
        let updo = desk.on(&deployed.node, &["repl", "shop.updo", "--read-only"]);
        updo.input(input).run()
    };
    let ran = repl("lists:sum([1, 2])\nis_list(erlang:processes())\n:order\n:procs shop_stock\n");
    ran.exits(0)
        .prints(&["3\ntrue\n", "shop_stock  gen_server:loop/"]);
    for refused in [
        "shop_stock:take(apple, 1)",
        "catch erlang:halt()",
        "lists:foreach(fun erlang:halt/1, [0])",
        "halt()",
        "os:cmd(\"id\")",
        "erlang:get_cookie()",
    ] {
        let ran = repl(&format!("{refused}\n"));
        ran.exits(2).says(&["--read-only allows"]);
    }
    // A check's calls are calls too.
    repl(":require apples\n")
        .exits(2)
        .says(&["shop_stock:level/1"]);
    repl(":run\n").exits(2).says(&["the session is read-only"]);
    untouched(&deployed);
}
