//! `window S then S`: a conversion that calls a server finds it upgraded and running, because its window came before.

use crate::bank::nothing_left;
use crate::rehearsal::Stage;
use crate::support::apps::mill;
use crate::support::desk::Desk;
use crate::windows::{Is, is, pids_of, replaced};

/// A stock that answers what a sack costs since version 2; its state is `{stock, Version}`. As it exports `callback_mode/0`
/// too, it is not known to be a gen_server, and does not answer conversions while it is suspended.
fn stock(version: u32) -> (String, String) {
    let text = format!(
        "-module(stock).\n-behaviour(gen_server).\n-vsn(\"{version}\").\n\
         -export([start/0, price/0, init/1, callback_mode/0, handle_call/3, handle_cast/2, code_change/3]).\n\
         callback_mode() -> none.\n\
         start() -> {{ok, _}} = gen_server:start({{local, stock}}, ?MODULE, {version}, []).\n\
         price() -> gen_server:call(stock, price, 500).\ninit(V) -> {{ok, {{stock, V}}}}.\n\
         handle_call(price, _, {{stock, {version}}} = S) -> {{reply, {{{version}, price}}, S}};\n\
         handle_call(_, _, S) -> {{reply, {{{version}, S}}, S}}.\nhandle_cast(_, S) -> {{noreply, S}}.\n\
         code_change({{down, _}}, {{stock, 2}}, _) -> {{ok, {{stock, 1}}}};\n\
         code_change(_, {{stock, 1}}, _) -> {{ok, {{stock, 2}}}}.\n"
    );
    ("stock".to_owned(), text)
}

/// A cart whose state gets what the stock answers.
fn cart(version: u32, state: &str) -> (String, String) {
    let text = format!(
        "-module(cart).\n-behaviour(gen_server).\n-vsn(\"{version}\").\n\
         -export([start/0, init/1, handle_call/3, handle_cast/2, code_change/3]).\n\
         start() -> {{ok, _}} = gen_server:start({{local, cart}}, ?MODULE, 7, []).\ninit(N) -> {{ok, N}}.\n\
         handle_call(_, _, S) -> {{reply, {{{version}, S}}, S}}.\nhandle_cast(_, S) -> {{noreply, S}}.\n\
         code_change(_, N, _) -> {{ok, {state}}}.\n"
    );
    ("cart".to_owned(), text)
}

/// A plain module that nothing names.
fn tax(version: u32) -> (String, String) {
    let text = format!("-module(tax).\n-export([rate/0]).\nrate() -> {version}.\n");
    ("tax".to_owned(), text)
}

const START: &str = "stock:start(), cart:start(), tax:rate()";
const STATES: &str = "{gen_server:call(stock, what), gen_server:call(cart, what), tax:rate()}";

fn stage(state: &str, window: &str) -> Stage {
    let (old, new) = (
        [stock(1), cart(1, "N"), tax(1)],
        [stock(2), cart(2, state), tax(2)],
    );
    let stage = Stage::new(&old, &new, START);
    let text = std::fs::read_to_string(&stage.plan).expect("a plan");
    std::fs::write(&stage.plan, format!("{text}{window}\n")).expect("can write");
    stage
}

/// The states, with what is the same in each: no process has ended, none is suspended.
fn states(stage: &Stage) -> String {
    nothing_left(&stage.node);
    stage.node.eval_text(STATES)
}

#[test]
fn what_an_earlier_window_has_upgraded_answers() {
    let stage = stage("{N, stock:price()}", "");
    let plan = stage.plan.display().to_string();
    let desk = &stage.desk;
    let line = "window stock then rest because \"the conversion of cart calls stock\".";
    let preview = desk.on(&stage.node, &["preview", &plan]).run().exits(0);
    preview.says(&["W637", line]);
    // The line as it was printed, with a hook between the windows.
    let text = std::fs::read_to_string(&stage.plan).expect("a plan");
    let more = format!(
        "{line}\nbefore cart because \"it is looked at\" -> ok = persistent_term:put(seen, stock:price()).\n\
         insert {{apply, {{persistent_term, put, [closed, true]}}}} after stock because \"it is looked at\".\n"
    );
    std::fs::write(&stage.plan, text + &more).expect("can write");
    let preview = desk.on(&stage.node, &["preview", &plan]).run().exits(0);
    assert!(!preview.to_string().contains("W637"), "{preview}");
    preview.prints(&[
        "window   own: 2 windows, one after the other; in between processes see a mix",
        "\"the conversion of cart calls stock\"",
        "1 suspend stock (1 process); load stock\n",
        "hook before cart",
        "suspend cart (1 process); load cart, tax\n",
    ]);
    let low = desk
        .on(&stage.node, &["preview", &plan, "--low"])
        .run()
        .exits(0);
    let first = |word: &str| {
        low.stdout
            .find(word)
            .unwrap_or_else(|| panic!("{word}: {low}"))
    };
    assert!(
        first("{resume,[stock]}") < first("{suspend,[cart]}"),
        "{low}"
    );
    assert_eq!(states(&stage), "{{1,{stock,1}},{1,7},1}");
    let ran = desk
        .on(&stage.node, &["run", &plan, "--yes"])
        .run()
        .exits(0);
    ran.says(&["2 processes suspended", "2 states converted"]);
    // What the stock answers is its new version's, before its caller was suspended and while it was converted.
    assert_eq!(states(&stage), "{{2,{stock,2}},{2,{7,{2,price}}},2}");
    assert_eq!(
        stage
            .node
            .eval_text("{persistent_term:get(seen), persistent_term:get(closed)}"),
        "{{2,price},true}"
    );
}

#[test]
fn the_rest_may_come_first() {
    let stage = stage(
        "{N, stock:price()}",
        "window rest then cart because \"all before it\".",
    );
    let plan = stage.plan.display().to_string();
    stage
        .desk
        .on(&stage.node, &["run", &plan, "--yes"])
        .run()
        .exits(0);
    assert_eq!(states(&stage), "{{2,{stock,2}},{2,{7,{2,price}}},2}");
}

#[test]
fn a_failure_in_the_second_window_undoes_the_first() {
    let failing =
        "begin {2, price} = stock:price(), persistent_term:put(asked, true), error({no, N}) end";
    let stage = stage(failing, "window stock then cart because \"it asks\".");
    let plan = stage.plan.display().to_string();
    let pids = "{whereis(stock), whereis(cart)}";
    let before = stage.node.eval_text(pids);
    let ran = stage.desk.on(&stage.node, &["run", &plan, "--yes"]).run();
    ran.exits(20)
        .says(&["E604", "cart", "undo ok", "is as before"]);
    // The new stock had answered; then its state was converted back.
    assert_eq!(stage.node.eval_text("persistent_term:get(asked)"), "true");
    assert_eq!(states(&stage), "{{1,{stock,1}},{1,7},1}");
    assert_eq!(stage.node.eval_text(pids), before);
}

/// The line names what is there: without the rest where there is none, and none where no order is right.
#[test]
fn the_statement_to_paste() {
    let calling =
        |(name, text): (String, String)| (name, text.replace("{2, price}", "{cart:new(), price}"));
    let new_cart = |state: &str| {
        let (name, text) = cart(2, state);
        (
            name,
            text.replace("start/0", "start/0, new/0") + "new() -> 2.\n",
        )
    };
    let preview = |new: &[(String, String)]| {
        let stage = Stage::new(&[stock(1), cart(1, "N"), tax(1)], new, START);
        let plan = stage.plan.display().to_string();
        let ran = stage
            .desk
            .on(&stage.node, &["preview", &plan])
            .run()
            .exits(0);
        ran.says(&["W637"]).to_string()
    };
    let said = preview(&[stock(2), cart(2, "{N, stock:price()}")]);
    let line = "window stock then cart because \"the conversion of cart calls stock\".";
    assert!(said.contains(line), "{said}");
    let said = preview(&[calling(stock(2)), new_cart("{N, stock:price()}")]);
    assert!(
        said.contains("let the conversion do without the call"),
        "{said}"
    );
    assert!(!said.contains("window stock"), "{said}");
}

/// The plan of the documentation.
#[test]
fn the_documented_plan() {
    let deployed = replaced();
    let node = &deployed.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let text = include_str!("../../plans/windows.updo");
    let kept = text.replace("\"../mill-1/ebin\"", &format!("{:?}", mill().one));
    assert_ne!(text, kept, "the plan keeps version 1");
    desk.write("mill.updo", &kept);
    let preview = desk.on(node, &["preview", "mill.updo"]).run().exits(0);
    preview.prints(&[
        "window   own: 2 windows",
        "\"the new front is opened to a stone that is seen to turn\"",
        "1 suspend mill_stone (1 process); load mill_rate, mill_stone\n",
    ]);
    let run = ["run", "mill.updo", "--yes", "--events", "events.jsonl"];
    let ran = desk.on(node, &run).run().exits(0);
    ran.says(&["worn by 100", "2 processes suspended", "2 states converted"]);
    is(node, Is::New, 2, &pids);
    desk.on(node, &["rollback", "--yes"]).run().exits(0);
    is(node, Is::Old, 3, &pids);
}

#[test]
fn windows_in_the_wrong_order_are_refused() {
    let stage = stage("{N, stock:cost()}", "window cart then stock because \"x\".");
    let plan = stage.plan.display().to_string();
    // The same call of a function that only the new stock has.
    let (name, text) = stock(2);
    let text = text.replace("price/0", "price/0, cost/0") + "cost() -> price().\n";
    let new = crate::corners::compiled(
        &stage.desk.path().join("three"),
        &[(name, text), cart(2, "{N, stock:cost()}"), tax(2)],
    );
    let plan_text = std::fs::read_to_string(&stage.plan).expect("a plan");
    let old = plan_text
        .split("code push [")
        .nth(1)
        .and_then(|rest| rest.split(']').next());
    let text = plan_text.replace(old.expect("a folder"), &format!("{new:?}"));
    std::fs::write(&stage.plan, &text).expect("can write");
    let run = || stage.desk.on(&stage.node, &["run", &plan, "--yes"]).run();
    let refused = run().exits(1);
    refused.says(&[
        "E354",
        "`cart` needs the new `stock`, which a later window switches",
        "cart:code_change/3",
        "calls stock:cost/0, which only the new stock has",
    ]);
    assert_eq!(states(&stage), "{{1,{stock,1}},{1,7},1}");
    std::fs::write(
        &stage.plan,
        text.replace("cart then stock", "stock then cart"),
    )
    .expect("can write");
    run().exits(0);
    assert_eq!(states(&stage), "{{2,{stock,2}},{2,{7,{2,price}}},2}");
}
