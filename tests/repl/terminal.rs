//! Sessions at a terminal: what a person types and sees.

use crate::support::TestNode;
use crate::support::desk::Desk;
use crate::support::terminal::{CTRL_C, CTRL_D, ENTER, TAB, Terminal, UP};
use crate::waiting::{desk, untouched, waiting};

#[test]
fn tab_completes_from_the_live_node() {
    let (deployed, desk) = (waiting(), desk());
    let mut terminal = Terminal::repl(&desk, &deployed.node, &["shop.updo"]);
    let mut tab = |typed: &str, then: &str| {
        terminal.keys(typed);
        terminal.await_text(typed);
        terminal.keys(TAB);
        let screen = terminal.await_text(then);
        terminal.interrupt();
        terminal.clear();
        screen
    };
    tab(":scr", "> :script ");
    tab("shop_pri", "> shop_price");
    // Exports as they run, and those that only the new version has.
    let exports = tab("shop_price:t", "threshold/1 (new)");
    assert!(exports.contains("total/1"), "{exports}");
    // A module of OTP that is on no list of ours.
    tab("gen_server:cal", "> gen_server:call(");
    tab("module shop_gate #{pu", "purge => ");
    tab("shop_gate dep", "> shop_gate depends on ");
    tab(":load sh", "> :load shop.updo");
    tab(":why shop_rou", "> :why shop_round");
    untouched(&deployed);
}

#[test]
fn hints_show_arities_and_variables_complete() {
    let (deployed, desk) = (waiting(), desk());
    let mut terminal = Terminal::repl(&desk, &deployed.node, &["shop.updo"]);
    terminal.keys("shop_price:total");
    terminal.await_text("shop_price:total/1");
    terminal.keys("(");
    terminal.await_text("shop_price:total(  total/1");
    terminal.interrupt();
    terminal.line("Threshold = 41", "41");
    terminal.clear();
    terminal.keys("1 + Thres");
    terminal.keys(TAB);
    terminal.await_text("1 + Threshold");
    terminal.line("", "42");
}

#[test]
fn enter_ends_what_is_complete() {
    let (node, desk) = (TestNode::shared(), Desk::new());
    let mut terminal = Terminal::repl(&desk, &node, &[]);
    terminal.line("case 1 of", "case 1 of");
    terminal.line("    1 -> {found, one}", "{found, one}");
    terminal.line("end", "\n{found,one}");
    // With a dot it is the same, and a string may go on in the next line.
    terminal.line("{dotted}.", "\n{dotted}");
    terminal.line("length(\"ab", "length(\"ab");
    terminal.line("c\")", "\n4");
    // Something unfinished is given up with a lone dot.
    terminal.clear();
    terminal.line("{1,", "{1,");
    // The new prompt: what is typed before it is lost.
    let name = node.name().split('@').next().expect("a name");
    terminal.line(".", &format!("\n.\n{name}>"));
    terminal.line("given_up", "\ngiven_up");
    // Something wrong is said at once, however many brackets are open.
    terminal.line("{1 2", "E101");
    terminal.line("still_here", "\nstill_here");
}

#[test]
fn a_rule_moves_the_order_at_once() {
    let (deployed, desk) = (waiting(), desk());
    let mut terminal = Terminal::repl(&desk, &deployed.node, &["shop.updo"]);
    terminal.await_text("9 modules of");
    terminal.line(":order", "9  shop_sup");
    let rule = "shop_round loads after shop_stock because \"trying\"";
    let screen = terminal.line(rule, ":write to keep");
    assert!(
        screen.contains("added to this session · 1 step moved: shop_round 3 → 4    :write to keep"),
        "{screen}"
    );
    terminal.clear();
    // The second look shows what has moved since the first.
    let screen = terminal.line(":order", "9  shop_sup");
    assert!(screen.contains("-   3  shop_round"), "{screen}");
    assert!(screen.contains("+   4  shop_round"), "{screen}");
    let screen = terminal.line(":why shop_stock before shop_round", "the plan: \"trying\"");
    assert!(
        screen.contains("shop_stock is 3 of 9, shop_round is 4"),
        "{screen}"
    );
    terminal.line(":undo", "1 step moved: shop_round 4 → 3");
    terminal.line(":write", "nothing to write");
    // What contradicts the rest is refused, with the reason.
    terminal.clear();
    terminal.line("shop_tax depends on shop_cart_server", "not added");
    untouched(&deployed);
}

#[test]
fn ctrl_c_ends_the_call_and_not_the_session() {
    let (node, desk) = (TestNode::start(), Desk::new());
    let mut terminal = Terminal::repl(&desk, &node, &[]);
    terminal.line("Kept = {kept, 1}", "{kept,1}");
    terminal.keys("timer:sleep(600000)");
    terminal.keys(ENTER);
    let sleeping = "length([P || P <- erlang:processes(), erlang:process_info(P, current_function) =:= {current_function, {timer, sleep, 1}}])";
    node.await_true(&format!("{sleeping} =:= 1"));
    terminal.interrupt();
    terminal.await_text("cancelled: what it called on the node was killed");
    // The process on the node is gone, the session is not.
    node.await_true(&format!("{sleeping} =:= 0"));
    terminal.clear();
    terminal.line("Kept", "{kept,1}");
    // `catch` does not catch it, and a sleep of ours ends as well.
    terminal.keys("catch timer:sleep(600000)");
    terminal.keys(ENTER);
    node.await_true(&format!("{sleeping} =:= 1"));
    terminal.interrupt();
    terminal.await_text("cancelled");
    // While a line is typed, it clears the line.
    terminal.clear();
    terminal.keys("erlang:halt(");
    terminal.await_text("halt(");
    terminal.interrupt();
    terminal.line("alive", "\nalive");
    // Before the prompt is there, the terminal itself takes Ctrl-D.
    terminal.await_prompt();
    terminal.keys(CTRL_D);
    let status = terminal.end();
    assert!(
        status.contains("Exited") && status.contains(", 0"),
        "{status}"
    );
}

#[test]
fn watch_repeats_until_ctrl_c() {
    let (node, desk) = (TestNode::shared(), Desk::new());
    let mut terminal = Terminal::repl(&desk, &node, &[]);
    terminal.keys(":watch 100ms {tick, node()}");
    terminal.keys(ENTER);
    terminal.await_screen("third tick", |screen| {
        screen.matches("{tick,x").count() >= 3
    });
    terminal.interrupt();
    terminal.line("stopped", "\nstopped");
}

#[test]
fn long_values_are_cut_and_more_shows_the_rest() {
    let (node, desk) = (TestNode::shared(), Desk::new());
    let mut terminal = Terminal::repl(&desk, &node, &[]);
    let screen = terminal.line("[{number, N} || N <- lists:seq(1, 400)]", "    :more");
    assert!(
        screen.contains("… ") && !screen.contains("{number,400}"),
        "{screen}"
    );
    while !terminal.text().contains("{number,400}]") {
        terminal.keys(":more");
        terminal.keys(ENTER);
        terminal.await_prompt();
    }
}

#[test]
fn the_prompt_is_red_where_it_is_dangerous() {
    let (deployed, desk) = (waiting(), desk());
    let calm = Terminal::repl(&desk, &deployed.node, &["shop.updo"]);
    assert_eq!(calm.prompt_colour(), vt100::Color::Default);
    let text = desk.read("shop.updo");
    desk.write(
        "risky.updo",
        &text.replace("owner =>", "risk => high, owner =>"),
    );
    let risky = Terminal::repl(&desk, &deployed.node, &["risky.updo"]);
    assert_eq!(risky.prompt_colour(), vt100::Color::Idx(1));
}

#[test]
fn history_is_kept_in_the_state_folder() {
    let (node, desk) = (TestNode::shared(), Desk::new());
    let mut terminal = Terminal::repl(&desk, &node, &[]);
    terminal.line("{remember, this}", "\n{remember,this}");
    terminal.line(":quit", "");
    terminal.end();
    assert!(desk.read("state/history").contains("{remember, this}"));
    let mut terminal = Terminal::repl(&desk, &node, &[]);
    terminal.keys(UP);
    terminal.keys(UP);
    terminal.await_text("> {remember, this}");
}

#[test]
fn statements_are_edited_in_the_editor() {
    let (deployed, desk) = (waiting(), desk());
    // An editor that keeps a copy of what it was given and adds a line.
    let editor = desk.write(
        "editor",
        "#!/bin/sh\ncp \"$1\" given\necho 'exclude shop_gate because \"edited\".' >> \"$1\"\n",
    );
    let mut command = desk.command(crate::support::desk::UPDO);
    command
        .args(["repl", "shop.updo"])
        .env("UPDO_EPMD_PORT", deployed.node.epmd_port().to_string())
        .env("UPDO_TARGET", deployed.node.name())
        .env("EDITOR", format!("sh {}", editor.display()));
    let mut terminal = Terminal::start(command, &deployed.node);
    terminal.line(
        "module shop_tax #{purge => brutal} because \"typed\"",
        "added",
    );
    let screen = terminal.line(":edit", "shop_gate leaves");
    assert!(screen.contains("2 statements · 1 step moved"), "{screen}");
    assert!(
        desk.read("given")
            .contains("module shop_tax #{purge => brutal}")
    );
    terminal.line(":rules", "2  exclude shop_gate");
    untouched(&deployed);
}

#[test]
fn run_leaves_to_the_preview_and_the_question() {
    let (deployed, desk) = (waiting(), desk());
    let mut terminal = Terminal::repl(&desk, &deployed.node, &["shop.updo"]);
    terminal.line("exclude shop_gate because \"trying\"", "added");
    terminal.line(":run", "1 statement is in this session only");
    terminal.line(":drop all", "shop_gate joins");
    terminal.line(":run", "Type yes:");
    terminal.line("no", "not run");
    let status = terminal.end();
    assert!(
        status.contains("Exited") && status.contains(", 14"),
        "{status}"
    );
    // There Ctrl-C is what it is in every program: nothing of the session holds it.
    let mut terminal = Terminal::repl(&desk, &deployed.node, &["shop.updo"]);
    terminal.line(":run", "Type yes:");
    terminal.keys(CTRL_C);
    terminal.end();
    untouched(&deployed);
}

#[test]
fn a_node_that_hangs_is_left_with_two_ctrl_c() {
    let (node, desk) = (TestNode::start(), Desk::new());
    let mut terminal = Terminal::repl(&desk, &node, &[]);
    node.signal("-STOP");
    // A call ends at the first one, although there is no answer.
    terminal.keys("erlang:nodes()");
    terminal.keys(ENTER);
    // Longer than hints and what is asked for them may take: before that, Ctrl-C is a key of the line.
    let moment = std::time::Duration::from_millis(1500);
    std::thread::sleep(moment);
    terminal.interrupt();
    terminal.await_text("cancelled");
    // A comparison cannot be taken back halfway.
    terminal.keys(":refresh");
    terminal.keys(ENTER);
    std::thread::sleep(moment);
    terminal.keys(CTRL_C);
    std::thread::sleep(moment);
    terminal.keys(CTRL_C);
    let status = terminal.end();
    node.signal("-CONT");
    assert!(
        status.contains("Exited") && status.contains(", 14"),
        "{status}"
    );
}
