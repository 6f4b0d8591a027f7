//! `examples/`: the library does all this without the command line.

use std::path::PathBuf;
use std::process::Command;

use crate::support::apps::{Deployed, bank};
use crate::support::desk::{Desk, Ran, Updo};

/// An example beside this test's own program. `cargo test` builds it; `cargo test --test cli` does not.
fn example(name: &str) -> PathBuf {
    let deps = std::env::current_exe().expect("this program has a path");
    let folder = deps
        .parent()
        .and_then(|deps| deps.parent())
        .expect("it lies in target/PROFILE/deps");
    let path = folder.join("examples").join(name);
    if !path.exists() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["build", "--quiet", "--example", name])
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        if folder.ends_with("release") {
            cargo.arg("--release");
        }
        let status = cargo.status().expect("cargo starts");
        assert!(
            status.success() && path.exists(),
            "{} cannot be built",
            path.display()
        );
    }
    path
}

/// Runs an example as its users do; the node's epmd is a test's own.
fn run(desk: &Desk, name: &str, arguments: &[&str], deployed: Option<&Deployed>) -> Ran {
    let mut command = desk.command(example(name).to_str().expect("UTF-8"));
    command.args(arguments);
    if let Some(deployed) = deployed {
        command.env("UPDO_EPMD_PORT", deployed.node.epmd_port().to_string());
    }
    Updo::of(desk, command).run()
}

/// A plan for the bank's second version; `reason` says why its conversion is overridden.
fn plan(desk: &Desk, reason: &str, more: &str) -> String {
    let text = format!(
        "plan \"Bank 2\".\ncode push [{:?}]. old from {:?}.\n\
         module bank_account #{{change => {{advanced, fine}}}}{reason}.\n{more}",
        bank().two,
        bank().one
    );
    let path = desk.write("bank.updo", &text);
    path.to_str().expect("UTF-8").to_owned()
}

fn version(deployed: &Deployed) -> String {
    let question = "maps:get(version, bank_account:ask(3), 1)";
    deployed.node.eval_text(question)
}

#[test]
fn the_example_upgrades_a_node() {
    let deployed = Deployed::bank();
    let desk = Desk::new();
    let plan = plan(&desk, " because \"it must be\"", "");
    let run = |more: &[&str]| {
        let arguments = [&[plan.as_str()], more].concat();
        run(&desk, "embed", &arguments, Some(&deployed))
    };
    let name = deployed.node.name();
    run(&[name]).exits(0).prints(&[
        "3 modules: bank_fee, bank_rate, bank_account",
        "convert 8 processes",
        &format!("{name} is new"),
    ]);
    assert_eq!(version(&deployed), "2");
    run(&[name]).exits(0).prints(&["nothing to do"]);
    run(&[&format!("x{name}")]).exits(1).says(&["E501"]);
    run(&[]).exits(2).says(&["usage"]);
}

#[test]
fn the_gate_objects_to_plans_and_upgrades_and_changes_nothing() {
    let deployed = Deployed::bank();
    let desk = Desk::new();
    let name = deployed.node.name();
    let gate = |plan: &str, node: &[&str]| {
        let arguments = [&[plan], node].concat();
        run(&desk, "ci_gate", &arguments, Some(&deployed))
    };
    let careless = plan(&desk, "", "");
    gate(&careless, &[])
        .exits(1)
        .says(&["E205", "with --strict every override needs a reason"]);

    let sound = plan(&desk, " because \"it must be\"", "");
    gate(&sound, &[])
        .exits(0)
        .prints(&["Bank 2: the plan is sound"]);
    gate(&sound, &[name])
        .exits(0)
        .prints(&["bank_account", "suspend"]);
    gate(&sound, &[&format!("x{name}")])
        .exits(2)
        .says(&["E501", "help: "]);
    gate(&sound, &[name, name]).exits(2).says(&["usage"]);

    // The plan is sound by itself; the node has no such module.
    let text = format!(
        "plan \"Bank 2\".\ncode push [{:?}].\nbank_rate depends on bank_nothing because \"a slip\".\n",
        bank().two
    );
    let hasty = desk.write("hasty.updo", &text);
    gate(hasty.to_str().expect("UTF-8"), &[name])
        .exits(1)
        .says(&["objection: E202"]);
    assert_eq!(version(&deployed), "1");
}

#[test]
fn the_approver_decides_before_and_during_a_run() {
    let deployed = Deployed::bank();
    let desk = Desk::new();
    let name = deployed.node.name();
    let plan = plan(&desk, " because \"it must be\"", "");
    let approver = |most: &str| run(&desk, "approver", &[&plan, name, most], Some(&deployed));

    approver("2")
        .exits(3)
        .prints(&["not approved: 3 modules, at most 2"]);
    assert_eq!(version(&deployed), "1");

    // A process that does not answer: the suspension is tried again and again, until the approver has had enough.
    deployed.node.eval("bank_account:busy(3, 60000)");
    approver("3").exits(4).prints(&[
        "approved: 3 modules",
        "attempt 1: busy in bank_account",
        "too busy, stopping",
        "aborting: suspended processes are resumed",
        "E611",
        &format!("{name} is old"),
    ]);
    deployed.node.eval("bank_account_3 ! enough");
    assert_eq!(version(&deployed), "1");

    approver("3")
        .exits(0)
        .prints(&["convert took", &format!("{name} is new")]);
    assert_eq!(version(&deployed), "2");
    approver("some").exits(2).says(&["usage"]);
}

#[test]
fn the_script_asks_a_host_in_memory() {
    let desk = Desk::new();
    let script = |arguments: &[&str]| run(&desk, "script", arguments, None);
    script(&[]).exits(0).prints(&[
        "a customer is known: holds",
        "ada buys for 20: 3 %\nada buys for 200: 13 %\nbob buys for 200: 15 %\n",
        "rules: eve is new\neve buys for 200: 0 %\n",
    ]);
    script(&["discount(<<\"ada\">>, 200) * 2"])
        .exits(0)
        .prints(&["26\n"]);
    script(&["discount(ada"])
        .exits(1)
        .says(&["E1", "discount(ada"]);
    script(&["shop:close()"])
        .exits(1)
        .says(&["E702", "shop:close"]);
    script(&["length([X || X <- lists(20), _ <- lists(20)])"])
        .exits(1)
        .says(&["E702"]);
    let steps = "length([X || X <- [1,2,3,4,5,6,7,8,9,0], _ <- [1,2,3,4,5,6,7,8,9,0], _ <- [1,2,3,4,5,6,7,8,9,0], \
                 _ <- [1,2,3,4,5,6,7,8,9,0]])";
    script(&[steps]).exits(3).says(&["E705", "10000 steps"]);
}
