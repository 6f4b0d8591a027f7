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

/// The line of a preview that says how long processes would be suspended.
fn pause_of(stage: &Stage, more: &[&str]) -> String {
    let plan = stage.plan.display().to_string();
    let args = [&["preview", &plan], more].concat();
    let shown = stage.desk.on(&stage.node, &args).run().exits(0).stdout;
    let mut lines = shown.lines();
    let line = lines.find_map(|line| line.trim_start().strip_prefix("pause "));
    line.unwrap_or_else(|| panic!("no pause: {shown}"))
        .trim()
        .to_owned()
}

/// As JSON.
fn pause_json(stage: &Stage) -> Value {
    let plan = stage.plan.display().to_string();
    let args = ["preview", &plan, "--json"];
    let shown = stage.desk.on(&stage.node, &args).run().exits(0).stdout;
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    shown["pause"].clone()
}

#[test]
fn a_preview_says_what_the_last_rehearsal_has_measured() {
    let stage = slow();
    let plan = stage.plan.display().to_string();
    // Before any: with what it is measured, as it is typed.
    let line = pause_of(&stage, &[]);
    let (of, command) = line.split_once("; `updo ").expect("a command");
    assert_eq!(of, "not known yet for 20 processes");
    let command = command.strip_suffix("` measures it").expect("a command");
    assert_eq!(command, format!("rehearse {plan} -t {}", stage.node.name()));
    assert_eq!(pause_json(&stage), Value::Null);
    let command: Vec<&str> = command.split(' ').collect();
    stage.desk.on(&stage.node, &command).run().exits(0);

    let line = pause_of(&stage, &[]);
    assert!(line.starts_with("about "), "{line}");
    assert!(line.contains("ms (rehearsed "), "{line}");
    assert!(line.contains(": 20 states, slowest "), "{line}");
    assert!(line.ends_with("ms)"), "{line}");
    let known = pause_json(&stage);
    let predicted = known["predicted_ms"].as_f64().expect("a number");
    assert!(predicted >= 50.0, "{known}");
    assert_eq!(
        (&known["states"], &known["suspended_then"]),
        (&20.into(), &20.into())
    );
    // Ten steps of the millisecond clock, of which the first is not a whole one.
    assert!(known["slowest_ms"].as_f64() >= Some(9.0), "{known}");
    assert!(known["rehearsed_s_ago"].as_u64() < Some(600), "{known}");

    // For the processes of now.
    stage
        .node
        .eval("persistent_term:put(more, [till:start(N) || N <- lists:seq(21, 60)])");
    let line = pause_of(&stage, &[]);
    assert!(
        line.ends_with("; for 60 instead of 20 processes)"),
        "{line}"
    );
    let scaled = pause_json(&stage)["predicted_ms"]
        .as_f64()
        .expect("a number");
    assert!(scaled > 2.0 * predicted, "{scaled} {predicted}");

    // A plan that does something else is another upgrade, and so is other code.
    let text = std::fs::read_to_string(&stage.plan).expect("a plan");
    let other = format!("{text}module till #{{timeout => 7s}}.\n");
    std::fs::write(&stage.plan, &other).expect("written");
    assert!(pause_of(&stage, &[]).starts_with("not known yet for 60 processes; "));
    std::fs::write(&stage.plan, &text).expect("written");
    assert!(pause_of(&stage, &[]).starts_with("about "));

    // The question has the same form; its own rehearsal is what it says.
    let run = stage
        .desk
        .on(&stage.node, &["run", &plan, "--yes"])
        .run()
        .exits(0)
        .says(&[
            "60 processes suspended for about",
            "ms (rehearsed: 60 states, slowest ",
        ])
        .to_string();
    assert!(!run.contains("measures it"), "{run}");
}

#[test]
fn a_run_that_is_not_confirmed_leaves_its_figures_for_the_preview() {
    let stage = Stage::tills("code_change(_, {till, N}, _) -> {ok, {till, N, 0}}.");
    let plan = stage.plan.display().to_string();
    // Refused by its budget, after its rehearsal.
    let text = std::fs::read_to_string(&stage.plan).expect("a plan");
    std::fs::write(&stage.plan, format!("{text}budget 1ms.\n")).expect("written");
    stage
        .desk
        .on(&stage.node, &["run", &plan, "--yes"])
        .run()
        .exits(15)
        .says(&["E638"]);
    let known = pause_of(&stage, &[]);
    assert!(known.contains(": 20 states, slowest "), "{known}");
    // The files hold numbers and names of modules.
    let mut files = Vec::new();
    walk(stage.desk.path(), &mut files);
    let mut figures = files
        .iter()
        .filter(|file| file.extension().is_some_and(|e| e == "figures"));
    let file = figures.next().expect("kept");
    assert_eq!(figures.next(), None);
    // What is not whole is as good as nothing.
    let bytes = std::fs::read(file).expect("readable");
    std::fs::write(file, &bytes[..bytes.len() / 2]).expect("written");
    assert!(pause_of(&stage, &[]).starts_with("not known yet for 20 processes; "));
}

#[test]
fn what_a_rehearsal_cannot_measure_a_preview_does_not_promise() {
    let stage = Stage::tills(
        "code_change(_, {till, N}, _) -> persistent_term:put({till, N}, 1), {ok, {till, N, 0}}.",
    );
    assert!(pause_of(&stage, &[]).contains("measures it"));
    stage.rehearse(&[]).exits(0);
    let line = pause_of(&stage, &[]);
    assert!(line.starts_with("not known (rehearsed "), "{line}");
    assert!(line.ends_with(": no state was tried)"), "{line}");
    assert_eq!(pause_json(&stage)["predicted_ms"], Value::Null);
}
