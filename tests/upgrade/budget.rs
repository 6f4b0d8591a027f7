//! The pause budget: a busy server does not keep the others of its window suspended.

use tempfile::TempDir;

use crate::corners::{compiled, fixture, node_with};
use crate::support::TestNode;
use crate::support::desk::Desk;

/// The budget of these plans, ms.
const BUDGET: i64 = 100;

/// Fifty servers that answer at once, one that can be kept busy, and a process that calls each of the fifty all the
/// time; beside them one that only sleeps for a moment, to know how long this machine makes anything wait.
struct Office {
    _folder: TempDir,
    node: TestNode,
    desk: Desk,
    plan: String,
}

impl Office {
    fn open(more: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let [one, two] =
            [1, 2].map(|version| [fixture("desk", version), fixture("desk_load", version)]);
        let old = compiled(&folder.path().join("one"), &one);
        let new = compiled(&folder.path().join("two"), &two);
        let (node, desk) = (node_with(&old), Desk::new());
        node.eval("desk:open(), desk_load:start()");
        let text = format!("plan \"Desks\".\ncode push [{new:?}].\nold from {old:?}.\n{more}");
        let plan = desk.write("desks.updo", &text).display().to_string();
        Self {
            _folder: folder,
            node,
            desk,
            plan,
        }
    }

    /// For so long from when the others are suspended: how long a run needs until then differs from machine to machine.
    fn busy(&self, ms: u32) {
        self.node
            .eval(&format!("gen_server:cast(busy, {{busy, {ms}}})"));
    }

    /// The longest call to one of the others, and what this machine has made anything wait; ms.
    fn felt(&self) -> (i64, i64) {
        let felt = self.node.eval("desk_load:stop()");
        let times = felt.as_tuple().expect("two times");
        let ms = |at: usize| times[at].as_i64().expect("a time") / 1000;
        (ms(0), ms(1))
    }

    /// Twice the budget. The switch itself and what the machine makes anything wait come on top: with nothing busy a
    /// call waits for them as well.
    fn nothing_else_waited(&self) {
        let (longest, delay) = self.felt();
        assert!(
            longest <= 2 * BUDGET + 100 + 2 * delay,
            "a call took {longest} ms (delays of {delay} ms)"
        );
    }

    fn states(&self) -> String {
        self.node
            .eval_text("lists:usort([gen_server:call(N, get) || N <- [busy | desk_load:names()]])")
    }
}

/// Everything is in: the attempts in the events, on the screen, in the report.
#[test]
fn a_busy_server_does_not_keep_the_others_waiting() {
    let office = Office::open("");
    let busy = office.node.eval_text("whereis(busy)");
    office.busy(3_000);
    let (events, report) = ("events.jsonl", "report.html");
    let args = [
        "run",
        &office.plan,
        "--yes",
        "--events",
        events,
        "--report",
        report,
    ];
    let ran = office.desk.on(&office.node, &args).run().exits(0);
    office.nothing_else_waited();
    let ran = ran.says(&["called off after", &busy, "in desk:wait/1", "attempts"]);
    assert_eq!(office.states(), "[#{two => 0}]", "{ran}");

    let lines: Vec<serde_json::Value> = office
        .desk
        .read(events)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let of = |kind: &str| {
        lines
            .iter()
            .filter(|line| line["type"] == kind)
            .collect::<Vec<_>>()
    };
    let postponed = of("step.postponed");
    let first = postponed.first().expect("it was postponed");
    assert_eq!(
        (&first["attempt"], &first["waiting"]),
        (&1.into(), &1.into())
    );
    assert_eq!(first["processes"], 50);
    assert_eq!(first["slowest"][0]["pid"], busy.as_str());
    let finished = of("step.finished");
    let suspended = finished.iter().find(|line| line["step"] == "suspend");
    let suspended = suspended.expect("a suspension");
    assert!(suspended["attempts"].as_u64() > Some(1), "{suspended}");
    // It is named while it is waited for, and the pause is no three seconds.
    let named = |line: &&serde_json::Value| line["slowest"][0]["pid"] == busy.as_str();
    assert!(of("step.progress").into_iter().any(|line| named(&line)));
    let last = of("node.finished");
    let paused = last[0]["suspended_ms"].as_f64().expect("a time");
    assert!((100.0..2_000.0).contains(&paused), "{paused}");
    let html = office.desk.read(report);
    assert!(html.contains("attempts; between them all processes were resumed"));
    assert!(html.contains("suspend waited for"), "{html}");
}

#[test]
fn a_server_that_is_never_free_is_named_and_nothing_else_waits() {
    let office = Office::open("module desk #{timeout => 2s} because \"short\".\n");
    let busy = office.node.eval_text("whereis(busy)");
    office.busy(120_000);
    let ran = office
        .desk
        .on(&office.node, &["run", &office.plan, "--yes"])
        .run()
        .exits(14);
    office.nothing_else_waited();
    ran.says(&[
        "E603",
        "1 process did not suspend",
        &busy,
        "desk:wait/1",
        "budget",
    ]);
    office.node.eval("busy ! enough");
    assert_eq!(office.states(), "[{one,0}]");
    assert_eq!(
        office
            .node
            .eval_text("element(1, element(2, process_info(whereis(busy), current_function)))"),
        "gen_server",
        "its request is withdrawn"
    );
}

/// The way back suspends too: a failed `verify`, and `updo rollback` later.
#[test]
fn going_back_obeys_the_budget() {
    let text = "verify \"never\" -> ok = gen_server:cast(busy, {busy, 2500}), none = gen_server:call(desk_1, get).\n";
    let office = Office::open(text);
    let ran = office
        .desk
        .on(&office.node, &["run", &office.plan, "--yes"])
        .run()
        .exits(20);
    office.nothing_else_waited();
    ran.says(&["called off after"]);
    assert_eq!(office.states(), "[{one,0}]");

    office
        .desk
        .on(&office.node, &["run", &office.plan, "--yes", "--no-verify"])
        .run()
        .exits(0);
    office.node.eval("desk_load:start()");
    office.busy(2_500);
    let ran = office
        .desk
        .on(&office.node, &["rollback", "--yes"])
        .run()
        .exits(0);
    office.nothing_else_waited();
    ran.says(&["called off after"]);
    assert_eq!(office.states(), "[{one,0}]");
}

/// Without a budget everything waits for the busy one: from the plan, from the flag, and the flag counts more.
#[test]
fn the_budget_can_be_given() {
    let office = Office::open("budget infinity.\n");
    office.busy(1_200);
    let ran = office
        .desk
        .on(&office.node, &["run", &office.plan, "--yes"])
        .run()
        .exits(0);
    assert!(!ran.stderr.contains("called off"), "{ran}");
    let (longest, _) = office.felt();
    assert!(longest > 500, "{longest}");

    let office = Office::open("budget infinity.\n");
    office.busy(2_000);
    office
        .desk
        .on(&office.node, &["run", &office.plan, "--yes"])
        .env("UPDO_BUDGET", "80ms")
        .run()
        .exits(0)
        .says(&["called off after"]);
    office.nothing_else_waited();
}
