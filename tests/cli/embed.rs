//! `examples/embed.rs`: the library does all this without the command line.

use std::path::PathBuf;
use std::process::Command;

use crate::support::apps::{Deployed, bank};
use crate::support::desk::{Desk, Updo};

/// The example beside this test's own program. `cargo test` builds it; `cargo test --test cli` does not.
fn example() -> PathBuf {
    let deps = std::env::current_exe().expect("this program has a path");
    let folder = deps
        .parent()
        .and_then(|deps| deps.parent())
        .expect("it lies in target/PROFILE/deps");
    let path = folder.join("examples/embed");
    if !path.exists() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["build", "--quiet", "--example", "embed"])
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

#[test]
fn the_example_upgrades_a_node() {
    let deployed = Deployed::bank();
    let desk = Desk::new();
    let text = format!(
        "plan \"Bank 2\".\ncode push [{:?}]. old from {:?}.\n\
         module bank_account #{{change => {{advanced, fine}}}} because \"it must be\".\n",
        bank().two,
        bank().one
    );
    let plan = desk.write("bank.updo", &text);
    let run = |more: &[&str]| {
        let mut command = desk.command(example().to_str().expect("UTF-8"));
        command
            .arg(&plan)
            .args(more)
            .env("UPDO_EPMD_PORT", deployed.node.epmd_port().to_string());
        Updo::of(&desk, command).run()
    };
    let name = deployed.node.name();
    run(&[name]).exits(0).prints(&[
        "3 modules: bank_fee, bank_rate, bank_account",
        "convert 8 processes",
        &format!("{name} is new"),
    ]);
    assert_eq!(
        deployed
            .node
            .eval_text("maps:get(version, bank_account:ask(3))"),
        "2"
    );
    run(&[name]).exits(0).prints(&["nothing to do"]);
    run(&[&format!("x{name}")]).exits(1).says(&["E501"]);
    run(&[]).exits(2).says(&["usage"]);
}
