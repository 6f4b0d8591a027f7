//! For how long processes will be suspended: said before, held against what the plan allows and against what happened.

use std::path::PathBuf;

use serde_json::Value;

use crate::rehearsal::{Stage, till};
use crate::support::desk::walk;

/// Twenty tills whose conversion takes 10 ms of computing.
fn slow() -> Stage {
    Stage::tills(
        "code_change(_, {till, N}, _) -> compute(erlang:monotonic_time(millisecond) + 10), {ok, {till, N, 0}}.\n\
         compute(Until) -> case erlang:monotonic_time(millisecond) >= Until of true -> ok; false -> compute(Until) end.",
    )
}

#[test]
fn a_run_predicts_its_pause_and_keeps_the_prediction() {
    let stage = slow();
    let plan = stage.plan.display().to_string();
    stage
        .rehearse(&[])
        .exits(0)
        .prints(&["processes would be suspended for about"]);
    let run = stage
        .desk
        .on(
            &stage.node,
            &[
                "run", &plan, "--yes", "--events", "e.jsonl", "--report", "r.html",
            ],
        )
        .run()
        .exits(0);
    run.says(&[
        "20 states tried on copies, all convert",
        "processes will be suspended for about",
        "20 processes suspended for about",
        "(predicted ",
    ]);
    // The record has both, for `updo report`, as the stream has.
    let mut files = Vec::new();
    walk(stage.desk.path(), &mut files);
    let is_record = |file: &PathBuf| file.ends_with("events.jsonl");
    let record = files.into_iter().find(is_record).expect("a record");
    let record = std::fs::read_to_string(record).expect("readable");
    let streamed = stage.desk.read("e.jsonl");
    let lines = |text: &str| -> Vec<Value> {
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    };
    for text in [&record, &streamed] {
        let kinds = lines(text);
        let kinds = kinds.iter().filter(|line| line["type"] == "rehearsal");
        assert_eq!(kinds.count(), 1, "{text}");
    }
    assert!(stage.desk.read("r.html").contains("(predicted "));
    let recorded = lines(&record);
    let line = |kind: &str| -> Value {
        let found = recorded.iter().find(|line| line["type"] == kind);
        found
            .unwrap_or_else(|| panic!("no {kind}: {recorded:?}"))
            .clone()
    };
    let predicted = line("rehearsal")["predicted_ms"]
        .as_f64()
        .expect("a number");
    assert_eq!(
        line("node.finished")["predicted_ms"].as_f64(),
        Some(predicted)
    );
    // 200 ms of computing, shared by the schedulers of the node.
    let schedulers = stage
        .node
        .eval_text("erlang:system_info(schedulers_online)");
    let schedulers: f64 = schedulers.parse().expect("a number");
    assert!(predicted >= 200.0 / schedulers, "{predicted}");
}

#[test]
fn a_pause_over_the_budget_is_refused_before_anything_is_touched() {
    let stage = slow();
    let text = std::fs::read_to_string(&stage.plan).expect("a plan");
    let plan = stage
        .desk
        .write("short.updo", &format!("{text}budget 5ms.\n"));
    let plan = plan.display().to_string();
    stage
        .desk
        .on(&stage.node, &["run", &plan, "--yes"])
        .run()
        .exits(15)
        .says(&["E638", "`budget` is 5ms", "nothing was changed"]);
    assert_eq!(
        stage
            .node
            .eval_text("till:module_info(md5) =:= persistent_term:get(md5)"),
        "true"
    );
    // Without a budget in the plan, and with one that is long enough, it runs.
    stage
        .desk
        .on(&stage.node, &["run", &plan, "--yes", "--budget", "20s"])
        .run()
        .exits(0)
        .says(&["20 states converted"]);
}

/// Without a rehearsal it is known in the window only.
#[test]
fn a_pause_over_the_budget_is_called_off_before_the_switch() {
    let stage = slow();
    let plan = stage.plan.display().to_string();
    let args = ["run", &plan, "--yes", "--no-rehearsal", "--budget", "40ms"];
    let states = "[gen_server:call(P, what) || P <- persistent_term:get(tills)]";
    let before = stage.node.eval_text(states);
    let ran = stage.desk.on(&stage.node, &args).run().exits(14);
    ran.says(&["E639", "`budget` is 40ms", "nothing was changed"]);
    let code = "till:module_info(md5) =:= persistent_term:get(md5)";
    assert_eq!(stage.node.eval_text(code), "true");
    assert_eq!(stage.node.eval_text(states), before);
    // In time.
    let args = ["run", &plan, "--yes", "--no-rehearsal", "--budget", "20s"];
    let ran = stage.desk.on(&stage.node, &args).run();
    ran.exits(0).says(&["20 states converted"]);
}

#[test]
fn a_run_names_the_conversions_that_it_does_not_try() {
    let acts =
        "code_change(_, {till, N}, _) -> persistent_term:put({till, N}, 1), {ok, {till, N, 0}}.";
    let stage = Stage::tills(acts);
    let plan = stage.plan.display().to_string();
    stage
        .desk
        .on(&stage.node, &["run", &plan, "--yes"])
        .run()
        .exits(0)
        .says(&[
            "rehearsal: no state was tried",
            "not tried: `till`: its conversion has side effects: ",
            "till:code_change/3, line ",
        ]);
    // What has no process is not worth a line.
    let none = Stage::new(
        &[till(1, "code_change(_, S, _) -> {ok, S}.")],
        &[till(2, acts)],
        "till:module_info()",
    );
    let plan = none.plan.display().to_string();
    let ran = none
        .desk
        .on(&none.node, &["run", &plan, "--yes"])
        .run()
        .exits(0);
    assert!(!ran.to_string().contains("not tried: "), "{ran}");
}
