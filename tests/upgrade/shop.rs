//! The demonstration's shop, upgraded under load: from the node's disk, and from beams that are pushed.

use crate::bank::nothing_left;
use crate::support::TestNode;
use crate::support::apps::{Deployed, shop};
use crate::support::desk::Desk;

/// Carts of the shop: fewer than in the demonstration.
pub const CARTS: u32 = 60;

/// The modules that change, and the new one.
pub const CHANGED: &str = "[shop_cart_server, shop_checkout, shop_gate, shop_price, shop_promo, shop_stock, shop_sup, shop_tax, shop_round]";

/// The plan of the demonstration, with other words for where the code is.
pub fn plan(code: &str) -> String {
    let text = include_str!("../../plans/demo.updo");
    let (head, tail) = text
        .split_once("target demo #{")
        .expect("the plan has a target");
    let (_, tail) = tail
        .split_once("old from \"../shop-1/ebin\".")
        .expect("the plan keeps version 1");
    let (tail, _) = tail
        .split_once("require \"the shop sells\"")
        .expect("the plan has preconditions");
    format!("{head}{code} old from {:?}.{tail}", shop().one)
}

/// The MD5 of the changed modules as they are in a folder.
pub fn md5s_of(node: &TestNode, ebin: &std::path::Path) -> String {
    node.eval_text(&format!(
        "[{{M, element(2, element(2, beam_lib:md5({ebin:?} ++ \"/\" ++ atom_to_list(M))))}} || M <- {CHANGED}]"
    ))
}

fn upgraded_under_load(code: &str, on_disk: bool) {
    let shop_1 = Deployed::shop(CARTS);
    let node = &shop_1.node;
    if on_disk {
        shop_1.replace(&shop().two);
    }
    let desk = Desk::rehearsing();
    let plan = format!(
        "{}\nverify \"carts answer\" -> {{ok, #{{version := 2}}}} = shop_cart_server:quote(17).",
        plan(code)
    );
    desk.write("shop.updo", &plan);
    node.eval("shop_load:start(6)");
    node.await_true("maps:get(calls, shop_load:read()) > 100");
    node.eval("shop_load:reset()");
    let pids = node.eval_text("witness:who(\"shop_\")");

    let mut command = desk.on(
        node,
        &["run", "shop.updo", "--yes", "--events", "events.jsonl"],
    );
    if !on_disk {
        command = command.arg("--json");
    }
    let ran = command.run().exits(0).says(&[
        "done",
        "9 modules",
        "66 processes suspended",
        "65 states converted",
    ]);
    // Nothing but data goes to standard output: the stream of events, when it is wanted.
    let data = if on_disk {
        String::new()
    } else {
        desk.read("events.jsonl")
    };
    assert_eq!(ran.stdout, data);

    node.await_true("maps:get(calls, shop_load:read()) > 200");
    assert_eq!(
        node.eval_text("maps:with([failed, failures], shop_load:read())"),
        "#{failed => 0,failures => []}"
    );
    assert_eq!(
        node.eval_text("witness:who(\"shop_\")"),
        pids,
        "the same processes"
    );
    assert_eq!(
        node.eval_text(&format!("witness:md5s({CHANGED})")),
        md5s_of(node, &shop().two)
    );
    let converted = format!(
        "lists:all(fun(I) -> case shop_cart_server:info(I) of #{{version := 2, rounding := half_even}} -> true; _ -> false end end,
                   lists:seq(1, {CARTS}))"
    );
    assert_eq!(node.eval_text(&converted), "true");
    assert_eq!(node.eval_text("[V || T <- [shop_till_1, shop_till_2, shop_till_3, shop_till_4], #{version := V, paid := _} <- [shop_checkout:info(T)]]"), "[2,2,2,2]");
    let child = node.eval_text("element(2, supervisor:get_childspec(shop_sup, shop_stock))");
    assert!(child.contains("shutdown => 10000"), "{child}");
    nothing_left(node);
    events(&desk.read("events.jsonl"));

    // A second run finds nothing to do, and says so.
    desk.on(node, &["run", "shop.updo", "--yes"])
        .run()
        .exits(0)
        .says(&["nothing to do"]);
}

/// The stream of events is whole: a head, numbers without gaps, an end.
fn events(text: &str) {
    let mut lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let end = lines.pop().expect("an end");
    assert_eq!(
        (&end["type"], &end["exit"]),
        (&"run.finished".into(), &0.into())
    );
    assert_eq!(lines[0]["type"], "stream");
    let head = lines.iter().filter(|line| line.get("seq").is_none());
    let head = head.count();
    for kind in ["plan", "facts", "script", "graph"] {
        assert!(
            lines[..head].iter().any(|line| line["type"] == kind),
            "{kind}"
        );
    }
    for (at, line) in lines.iter().enumerate().skip(1) {
        if at >= head {
            assert_eq!(line["seq"], at - head + 1, "{line}");
        }
        assert!(
            line["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{line}"
        );
    }
    let steps: Vec<&str> = lines
        .iter()
        .filter(|line| line["type"] == "step.finished" && line["ok"] == true)
        .filter_map(|line| line["step"].as_str())
        .collect();
    assert_eq!(
        steps,
        ["prepare", "suspend", "compute", "load", "convert", "resume"]
    );
    let last = lines.last().expect("an end");
    assert_eq!(
        (&last["type"], &last["state"]),
        (&"node.finished".into(), &"new".into())
    );
    assert!(
        last["suspended_ms"].as_f64().is_some_and(|ms| ms > 0.0),
        "{last}"
    );
}

#[test]
fn from_the_nodes_disk() {
    upgraded_under_load("code on_disk.", true);
}

#[test]
fn pushed_code_is_upgraded_under_load() {
    upgraded_under_load(&format!("code push [{:?}].", shop().two), false);
}
