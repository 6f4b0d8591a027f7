//! A report of an upgrade of hundreds of modules.

use serde_json::{Value, json};

use crate::support::desk::Desk;

const NODE: &str = "shop@sea";

/// The events of a run of 500 modules: most of them are alone, some call each other, few must wait for another.
fn events() -> String {
    let name = |at: usize| format!("shop_part_{at:03}");
    let modules: Vec<String> = (0..500).map(name).collect();
    let edge = |from: usize, to: usize, kind: &str| {
        let hard = kind != "calls";
        json!({ "from": name(from), "to": name(to), "kind": kind, "hard": hard, "reasons": [] })
    };
    let mut edges: Vec<Value> = (0..90).map(|at| edge(at, 90 + at % 12, "calls")).collect();
    edges.extend([
        edge(300, 301, "needs"),
        edge(301, 302, "plan"),
        edge(410, 411, "calls"),
        edge(411, 410, "calls"),
    ]);
    let fact = |(at, module): (usize, &String)| {
        let application = ["shop", "till", "stock"][at % 3];
        json!({
            "module": module,
            "kind": "changed",
            "application": application,
            "md5": { "old": "0102030405", "new": "0504030201" },
            "exports": { "added": [], "removed": [] },
            "processes": 0,
            "undo": "exact",
        })
    };
    let facts: Vec<Value> = modules.iter().enumerate().map(fact).collect();
    let lines = [
        json!({
            "type": "plan", "node": NODE, "title": "Many modules", "file": "many.updo", "sha256": "0".repeat(64),
            "metadata": {}, "source": "plan \"Many modules\".\n", "owner": "anna@sea", "message": "the plan",
        }),
        json!({ "type": "facts", "node": NODE, "otp": 27, "compared": 500, "modules": facts, "message": "500 differ" }),
        json!({
            "type": "graph", "node": NODE, "modules": modules, "order": modules, "cycles": [], "edges": edges,
            "removed": [], "message": "the graph",
        }),
        json!({ "type": "node.started", "seq": 1, "node": NODE, "t": 0.0, "run": "7f2a", "title": "Many modules", "message": "it begins" }),
        json!({
            "type": "node.finished", "seq": 2, "node": NODE, "t": 1.0, "state": "new", "suspended_ms": 12.0,
            "predicted_ms": null, "processes": 9, "converted": 9, "modules": 500, "live": 9, "watched": 9,
            "message": "it is new",
        }),
    ];
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// What decides nothing is left out of the picture, and how many that are is said.
#[test]
fn a_graph_of_500_modules_is_reduced_to_what_is_unusual_or_connected() {
    let desk = Desk::new();
    desk.write("events.jsonl", &events());
    desk.updo(&["report", "events.jsonl", "-o", "report.html"])
        .run()
        .exits(0);
    let report = desk.read("report.html");
    if let Some(folder) = std::env::var_os("UPDO_KEEP_REPORT") {
        std::fs::write(std::path::Path::new(&folder).join("large.html"), &report).expect("kept");
    }
    let picture = report
        .split_once("<h2>Dependencies</h2>")
        .expect("a chapter")
        .1
        .split_once("</section>")
        .expect("its end")
        .0;
    for part in [
        "60 of 500 modules are drawn",
        "Left out: 440 (393 have no dependency among what changes; 47 have ordinary calls only",
        "updo graph PLAN --format svg",
    ] {
        assert!(picture.contains(part), "{part}: {}", &picture[..600]);
    }
    for drawn in [300, 301, 302, 410, 411] {
        assert!(picture.contains(&format!("shop_part_{drawn}")), "{drawn}");
    }
    for left_out in [200, 450] {
        assert!(
            !picture.contains(&format!("shop_part_{left_out}")),
            "{left_out}"
        );
    }
}
