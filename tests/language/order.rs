//! The order of statements never changes the result.

use std::collections::BTreeSet;

use proptest::prelude::*;
use updo::engine::Upgrade;

use super::synthetic::{World, calls, read};

/// Modules of the generated plans and their calls.
fn world() -> World {
    World(vec![
        calls("m1", &["m2", "m3"]),
        calls("m2", &["m3"]),
        calls("m3", &["m4"]),
        calls("m4", &["m5"]),
        calls("m5", &["m4"]),
        calls("m6", &[]),
    ])
}

fn module() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["m1", "m2", "m3", "m4", "m5", "m6", "shop_same"])
        .prop_map(str::to_owned)
}

fn subject() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => module(),
        2 => (module(), module()).prop_map(|(a, b)| format!("[{a}, {b}]")),
        1 => module().prop_map(|m| format!("app(shop) -- [{m}]")),
        1 => Just("glob(\"m[12]\")".to_owned()),
        1 => module().prop_map(|m| format!("Mine ++ [{m}]")),
    ]
}

fn tail() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "",
        " because \"why\"",
        " when otp() > 24",
        " when otp() < 24, true",
        " when changed(m1) because \"so\"",
        " when limit(N)",
    ])
    .prop_map(str::to_owned)
}

/// One statement without its dot.
fn statement() -> impl Strategy<Value = String> {
    let verb = prop::sample::select(vec![
        "depends on",
        "does not depend on",
        "loads before",
        "loads after",
    ]);
    let option = prop::sample::select(vec![
        "timeout => 1s",
        "timeout => infinity",
        "class => server",
        "class => plain",
        "change => soft",
        "purge => {soft, brutal}",
        "type => static",
    ]);
    prop_oneof![
        4 => (subject(), verb, subject(), tail()).prop_map(|(a, v, b, t)| format!("{a} {v} {b}{t}")),
        3 => (subject(), option, tail()).prop_map(|(a, o, t)| format!("module {a} #{{{o}}}{t}")),
        1 => (subject(), tail()).prop_map(|(a, t)| format!("exclude {a}{t}")),
        1 => (subject(), tail()).prop_map(|(a, t)| format!("only {a}{t}")),
        1 => Just("cycle [m4, m5]: together".to_owned()),
        1 => Just("cycle [m5, m4]: break m5 -> m4 because \"log only\"".to_owned()),
        1 => Just("require \"r\" -> m1:f(N) =:= 1, {ok, X} = m2:f(), X > 2".to_owned()),
        1 => Just("verify \"v\" #{within => 1s} -> ok = m1:f()".to_owned()),
    ]
}

fn statements() -> impl Strategy<Value = Vec<String>> {
    let fixed = [
        "N = 25",
        "Mine = [m1, m6]",
        "limit(X) -> otp() >= X",
        "plan \"generated\"",
    ];
    prop::collection::vec(statement(), 0..8).prop_map(move |mut some| {
        some.extend(fixed.iter().map(|text| (*text).to_owned()));
        some
    })
}

/// A plan as if written in a hurry: comments, blanks and line ends anywhere.
pub fn plan_text() -> impl Strategy<Value = String> {
    let gap = prop::sample::select(vec![
        " ",
        " ",
        " ",
        " ",
        " ",
        "\n",
        "  ",
        " % c\n",
        "\n% own\n",
        "\n\n",
        "\t",
    ]);
    let gaps = prop::collection::vec(gap, 1..40);
    (statements(), gaps).prop_map(|(statements, gaps)| {
        let mut gaps = gaps.iter().cycle();
        let mut next = || gaps.next().copied().unwrap_or(" ");
        let mut out = String::new();
        for statement in statements {
            for (index, word) in words(&statement).enumerate() {
                if index > 0 {
                    out.push_str(next());
                }
                out.push_str(word);
            }
            out.push('.');
            out.push_str(next());
        }
        out
    })
}

/// Splits at blanks; the strings of these plans have none.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ')
}

/// Everything decided, without the places of the statements.
fn result(upgrade: &Upgrade) -> (BTreeSet<String>, Vec<String>) {
    let reported = upgrade
        .diagnostics
        .iter()
        .map(|d| format!("{} {}", d.code, d.title))
        .collect();
    let rules = &upgrade.rules;
    let mut lines: Vec<String> = Vec::new();
    for (module, r) in &rules.modules {
        lines.push(format!(
            "{module}: {:?} {:?} {:?} {:?} {:?} {:?}",
            r.class.value,
            r.kind.value,
            r.change.value,
            r.timeout.value,
            r.pre_purge.value,
            r.post_purge.value
        ));
    }
    for (from, to, edge) in rules.graph.edges() {
        lines.push(format!("{from} -> {to} {}", edge.is_hard()));
    }
    for component in &rules.order {
        lines.push(format!("{component:?}"));
    }
    for cycle in &rules.cycles {
        lines.push(format!("{:?} {}", cycle.members, cycle.declared.is_some()));
    }
    lines.extend(
        rules
            .left_out
            .iter()
            .map(|(module, _)| format!("without {module}")),
    );
    if !upgrade.is_refused() {
        for step in &upgrade.script.high {
            lines.push(format!("{:?}", step.instruction));
        }
    }
    (reported, lines)
}

fn shuffled() -> impl Strategy<Value = (Vec<String>, Vec<String>)> {
    statements().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))
}

fn join(statements: &[String]) -> String {
    statements.iter().map(|s| format!("{s}.\n")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn moving_lines_changes_nothing((one, other) in shuffled()) {
        let world = world();
        let (first, _) = read(&join(&one));
        let (second, _) = read(&join(&other));
        let (first, second) = (world.decide(&first), world.decide(&second));
        let (reported, lines) = result(&first);
        let (told_other, lines_other) = result(&second);
        prop_assert_eq!(reported, told_other);
        if !first.is_refused() {
            prop_assert_eq!(lines, lines_other);
        }
    }
}

/// More than two that disagree are reported once, whichever comes first; what a stronger one overrides is not reported.
#[test]
fn three_rules_that_disagree() {
    let lines = [
        "module Mine ++ [m2] #{class => server} when changed(m1)",
        "module [m5, m2] #{class => plain} when otp() > 24",
        "module app(shop) -- [m3] #{class => plain} when changed(m1)",
        "module glob(\"m[12]\") #{class => supervisor}",
        "module m1 #{class => plain}",
    ];
    let mut reported = BTreeSet::new();
    for first in 0..lines.len() {
        for second in (0..lines.len()).filter(|at| *at != first) {
            let rest = (0..lines.len()).filter(|at| ![first, second].contains(at));
            let order = [first, second].into_iter().chain(rest);
            let mut plan: Vec<String> = order.map(|at| lines[at].to_owned()).collect();
            plan.push("Mine = [m1, m6]".to_owned());
            plan.push("plan \"three\"".to_owned());
            let (plan, _) = read(&join(&plan));
            let upgrade = world().decide(&plan);
            reported.insert(result(&upgrade).0);
        }
    }
    assert_eq!(reported.len(), 1, "{reported:?}");
}
