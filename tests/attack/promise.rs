//! The preview says that undo is exact, the run fails behind the switch, and everything is compared with what was
//! there before: dictionaries, links, monitors, queues, timers, tables, options of `sys`, states, children, code.

use crate::harbour::{Course, Harbour};
use crate::support::desk::Desk;
use crate::support::invented::Dice;
use crate::trial::deploy;

/// Harbours whose upgrade fails behind the switch by itself, in one window, with no process in the code that is
/// replaced.
fn failing(seed: u64, course: Course) -> Harbour {
    let mut seed = seed * 1000;
    loop {
        let harbour = Harbour::new(&mut Dice::new(seed));
        if harbour.course == course && harbour.single && !harbour.renew {
            return harbour;
        }
        seed += 1;
    }
}

#[test]
fn a_failed_run_promised_exact_leaves_everything_as_before() {
    let deployed = deploy(false);
    let node = &deployed.node;
    let courses = [
        Course::Fails("error"),
        Course::Fails("bad"),
        Course::Fails("exit"),
        Course::Fails("throw"),
    ];
    let count: u64 = std::env::var("UPDO_COUNT")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(40);
    let mut compared = 0;
    for at in 0..(count / 10).max(1) {
        let course = courses[at as usize % courses.len()];
        let harbour = failing(at + 1, course);
        let desk = Desk::new();
        // Lamps and pilots are in their old code when it has to come back, but leave it when they have to.
        let wanted = harbour.wanted.replace("lamps => 1", "lamps => 0");
        node.eval(&format!(
            "ok = harbour_check:reset({:?}), harbour_yard:open({wanted}), harbour_yard:set(turn, {}), harbour_check:dress()",
            deployed.ebin, harbour.turn
        ));
        desk.write("harbour.updo", &harbour.plan);
        let preview = desk.on(node, &["preview", "harbour.updo"]).run().exits(0);
        let text = format!("{}{}", preview.stdout, preview.stderr);
        assert!(text.contains("exact"), "{}: {preview}", harbour.about);

        // What moves without an upgrade cannot be compared.
        node.eval("harbour_yard:set(one, harbour_check:snapshot())");
        let moved =
            "harbour_check:differences(harbour_yard:setting(one, none), harbour_check:snapshot())";
        assert_eq!(node.eval_text(moved), "[]", "{}", harbour.about);
        let ran = desk
            .on(node, &["run", "harbour.updo", "--yes"])
            .env("UPDO_SOAK", "0s")
            .run();
        assert_eq!(ran.code, Some(20), "{}: {ran}", harbour.about);
        assert_eq!(node.eval_text("harbour_check:left(10000)"), "[]");
        let found = node.eval(moved);
        let found: Vec<String> = found
            .as_list()
            .expect("a list")
            .iter()
            .filter_map(|text| Some(String::from_utf8_lossy(text.as_bytes()?).into_owned()))
            .collect();
        assert!(
            found.is_empty(),
            "{}\n{ran}\n{}",
            harbour.about,
            found.join("\n")
        );
        let facts = node.eval("length(harbour_yard:setting(one, none))");
        compared += facts.as_i64().unwrap_or(0);
    }
    println!(
        "{} upgrades undone, {compared} facts compared, none differs",
        (count / 10).max(1)
    );
    assert!(compared > 1000, "{compared}");
}
