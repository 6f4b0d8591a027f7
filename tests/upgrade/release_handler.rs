//! OTP's release handler: the same upgrade comes to the same end, and `engine release_handler` has it run by OTP itself,
//! with what that means when something fails.

use crate::bank::{Is, Plan, is, look, nothing_left, pids_of, replaced};
use crate::shop::{CARTS, CHANGED, md5s_of, plan};
use crate::support::apps::{Deployed, bank, shop};
use crate::support::desk::Desk;

#[test]
fn release_handler_comes_to_the_same_end() {
    let ours = Deployed::shop(CARTS);
    let theirs = Deployed::shop(CARTS);
    ours.replace(&shop().two);
    let desk = Desk::new();
    desk.write("shop.updo", &plan("code on_disk."));
    for shop_1 in [&ours, &theirs] {
        // Something to convert: carts with goods, a customer in the middle of a sale.
        shop_1.node.eval("[shop_cart_server:add(I, pear, I) || I <- lists:seq(1, 20)], {ok, _} = shop_checkout:scan(shop_till_2, 7)");
    }
    let low = desk
        .on(&ours.node, &["preview", "shop.updo", "--low"])
        .run()
        .exits(0);
    desk.write("low", &low.stdout);
    desk.on(&ours.node, &["run", "shop.updo", "--yes"])
        .run()
        .exits(0);

    let root = shop()
        .two
        .parent()
        .expect("ebin lies in a folder")
        .to_owned();
    let done = theirs.node.eval_text(&format!(
        "witness:eval_script({:?}, shop, {{\"2.0.0\", {root:?}}})",
        desk.path().join("low")
    ));
    assert!(done.starts_with("{ok,"), "{done}");

    let ends = |shop_2: &Deployed| {
        let node = &shop_2.node;
        assert_eq!(
            node.eval_text(&format!("witness:md5s({CHANGED})")),
            md5s_of(node, &shop().two)
        );
        assert_eq!(node.eval_text("witness:troubled()"), "[]");
        let states = node.eval("[S || {N, _} = S <- witness:states(\"shop_\"), N =/= shop_load, N =/= shop_sup, N =/= shop_cart_sup]");
        let specs = node.eval("[element(2, supervisor:get_childspec(shop_sup, C)) || C <- [shop_stock, shop_cart_sup, shop_till_1, shop_gate, shop_load]]");
        assert_eq!(states.as_list().map(<[_]>::len), Some(CARTS as usize + 5));
        (states, specs)
    };
    assert_eq!(ends(&ours), ends(&theirs));
}

/// The shop by updo's engine and by `engine release_handler`: the same end. The run is one like any other: lock, record,
/// events, the way back.
#[test]
fn the_engine_of_otp_comes_to_the_same_end() {
    let ours = Deployed::shop(CARTS);
    let theirs = Deployed::shop(CARTS);
    let desk = Desk::new();
    let old = format!("code on_disk. old from {:?}.", shop().one);
    desk.write("ours.updo", &plan(&old));
    desk.write(
        "theirs.updo",
        &plan(&format!("{old} engine release_handler.")),
    );
    let mut ends = Vec::new();
    for (shop_1, plan) in [(&ours, "ours.updo"), (&theirs, "theirs.updo")] {
        let node = &shop_1.node;
        shop_1.replace(&shop().two);
        node.eval("[shop_cart_server:add(I, pear, I) || I <- lists:seq(1, 20)], {ok, _} = shop_checkout:scan(shop_till_2, 7)");
        desk.on(node, &["run", plan, "--yes"]).run().exits(0);
        assert_eq!(
            node.eval_text(&format!("witness:md5s({CHANGED})")),
            md5s_of(node, &shop().two)
        );
        nothing_left(node);
        ends.push(node.eval("[S || {N, _} = S <- witness:states(\"shop_\"), N =/= shop_load, N =/= shop_sup, N =/= shop_cart_sup]"));
    }
    assert_eq!(ends[0], ends[1]);
    assert_eq!(ends[0].as_list().map(<[_]>::len), Some(CARTS as usize + 5));
    // Nothing is left to do, by either.
    desk.on(&theirs.node, &["run", "ours.updo", "--yes"])
        .run()
        .exits(0)
        .says(&["nothing to do"]);
}

#[test]
fn it_reports_what_it_does_not_do() {
    let bank_1 = replaced();
    let (desk, pids) = (Desk::new(), pids_of(&bank_1.node));
    let plan = Plan::on_disk("fine")
        .with("engine release_handler.")
        .on(&desk);
    desk.on(&bank_1.node, &["preview", &plan])
        .run()
        .exits(0)
        .prints(&["engine   release_handler", "undo     none"])
        .says(&[
            "W419",
            "code_change gets the version of the file on the disk",
        ]);
    is(&bank_1.node, Is::Old, &pids);
    desk.on(
        &bank_1.node,
        &["run", &plan, "--yes", "--events", "e.jsonl"],
    )
    .run()
    .exits(0)
    .says(&["8 processes suspended", "8 states converted"]);
    assert!(desk.read("e.jsonl").contains("\"step\":\"otp\""));
    is(&bank_1.node, Is::New, &pids);
    // Back by updo's own engine, from the record.
    desk.on(&bank_1.node, &["rollback", "--yes"]).run().exits(0);
    is(&bank_1.node, Is::Old, &pids);
}

/// A conversion fails behind the point of no return: half of everything, reported as such, with what to type.
#[test]
fn a_failing_conversion_is_left_and_reported() {
    let bank_1 = replaced();
    let node = &bank_1.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let fifth = node.eval_text("whereis(bank_account_5)");
    let plan = Plan::on_disk("{fail, 5, error}")
        .with("engine release_handler.")
        .on(&desk);
    let ran = desk
        .on(node, &["run", &plan, "--yes", "--events", "events.jsonl"])
        .run()
        .exits(21)
        .says(&[
            "E615",
            "E609",
            &fifth,
            "cannot_convert",
            "undoes nothing",
            "bank_account",
        ]);
    let stay = node.eval("[P || {P, _} <- [{whereis(bank_account:name(I)), I} || I <- lists:seq(1, 8)], {_, {sys, _, _}} <- [process_info(P, current_function)]]");
    let stay: Vec<String> = stay
        .as_list()
        .expect("a list")
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(stay.len(), 8, "OTP leaves the whole group suspended");
    for pid in &stay {
        let pid = pid.trim_matches(['<', '>']).replace('.', ",");
        assert!(
            ran.stderr.contains(&format!("sys:resume(c:pid({pid})).")),
            "{ran}"
        );
    }
    assert!(desk.read("events.jsonl").contains("\"code\":\"E615\""));
    // The lock is free, and the advice is good: all processes go on, and the next run without this engine finishes it.
    node.await_true("witness:lock() =:= free");
    node.eval("[sys:resume(bank_account:name(I)) || I <- lists:seq(1, 8)]");
    assert_eq!(node.eval_text("witness:troubled()"), "[]");
    assert_eq!(pids_of(node), pids);
}

/// Killing the executor does not kill the release handler: its successor waits for the end.
#[test]
fn the_executor_dies_meanwhile() {
    let bank_1 = replaced();
    let node = &bank_1.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let plan = Plan::on_disk("{slow, 100}")
        .with("engine release_handler.")
        .on(&desk);
    for victim in ["executor", "guardian"] {
        node.eval(&format!("witness:strike({victim}, 1, 300)"));
        desk.on(node, &["run", &plan, "--yes"]).run().exits(0);
        assert_eq!(
            node.eval_text("witness:struck()"),
            format!("{{{victim},1}}")
        );
        is(node, Is::New, &pids);
        desk.on(node, &["rollback", "--yes"]).run().exits(0);
        is(node, Is::Old, &pids);
        bank_1.replace(&bank().two);
    }
}

#[test]
fn impossible_positions_are_refused() {
    let bank_1 = replaced();
    let node = &bank_1.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let engine = "engine release_handler.\n";
    // The disk has other beams than those that are pushed.
    bank_1.replace(&bank().one);
    let plan = Plan::up("fine").with(engine).on(&desk);
    desk.on(node, &["run", &plan, "--yes"])
        .run()
        .exits(1)
        .says(&["E418", "bank_account", "code on_disk"]);
    // With the beams there, pushing them is as good.
    bank_1.replace(&bank().two);
    desk.on(node, &["preview", &plan]).run().exits(0);
    // No hook, no other window.
    let hook = Plan::on_disk("fine")
        .with(engine)
        .with("before load bank_account -> info(\"now\").");
    desk.on(node, &["run", &hook.on(&desk), "--yes"])
        .run()
        .exits(1)
        .says(&["E418", "hook"]);
    let window = Plan::on_disk("fine").with(engine).with("window minimal.");
    desk.on(node, &["run", &window.on(&desk), "--yes"])
        .run()
        .exits(1)
        .says(&["E205", "window otp"]);
    // No SASL.
    node.eval("code:del_path(sasl)");
    let plan = Plan::on_disk("fine").with(engine).on(&desk);
    desk.on(node, &["run", &plan, "--yes"])
        .run()
        .exits(1)
        .says(&["E418", "SASL"]);
    is(node, Is::Old, &pids);
    assert_eq!(look(node), Is::Old);
}
