//! An upgrade that brings a new application, with `persist`: what a restart would not start or load is said before anything
//! is touched.

use std::fs;
use std::path::{Path, PathBuf};

use crate::bank::{Is, Plan, is, look, pids_of};
use crate::corners::compiled;
use crate::installed::{Installed, differing};
use crate::support::apps::{Deployed, bank};
use crate::support::desk::Desk;

/// An application of one module, in a folder of its own.
fn annex(folder: &Path) -> PathBuf {
    let text = "-module(annex).\n-export([open/0]).\nopen() -> true.\n";
    let ebin = compiled(folder, &[("annex".to_owned(), text.to_owned())]);
    specify(&ebin);
    ebin
}

fn specify(ebin: &Path) {
    let text = "{application, annex, [{description, \"\"}, {vsn, \"1\"}, {modules, []}, {registered, []}, {applications, [kernel, stdlib]}]}.\n";
    fs::write(ebin.join("annex.app"), text).expect("a file can be written");
}

/// The bank's version 2, and more beams; written to the disk or not.
fn plan(persist: bool, beams: &[&Path], more: &str) -> Plan {
    let mut plan = Plan::up("fine").with(more);
    let all: Vec<String> = beams.iter().map(|ebin| format!("{ebin:?}")).collect();
    let end = if persist { " #{persist => true}." } else { "." };
    plan.code = format!("code push [{}]{end}", all.join(", "));
    plan
}

const ADD: &str = "insert {add_application, annex} at end because \"we grow\".";

/// A release starts what its boot file says, and loads what it lists.
#[test]
fn a_release_that_would_not_start_it_again_is_not_upgraded() {
    let Some(mut srv) = Installed::bank() else {
        return;
    };
    let before = srv.files();
    let node = srv.start();
    let (desk, pids) = (Desk::new(), pids_of(&node));
    let refused = |plan: &Plan, says: &[&str]| {
        let path = plan.on(&desk);
        for command in [&["preview", &path][..], &["run", &path, "--yes"]] {
            let ran = desk.on(&node, command).run().exits(1);
            ran.says(says);
        }
        is(&node, Is::Old, &pids);
    };
    // In a folder of its own nothing loads it.
    let ebin = annex(&desk.path().join("annex"));
    refused(
        &plan(true, &[&bank().two, &ebin], ADD),
        &[
            "E640",
            "would lack modules",
            "`annex`: no boot file of the node loads from ",
        ],
    );
    // In a folder that is loaded from nothing starts it.
    specify(&srv.root.join("lib/bank-1.0.0/ebin"));
    refused(
        &plan(true, &[&bank().two], ADD),
        &[
            "E640",
            "after a restart ",
            " would not start `annex`",
            "releases/1/start.boot does not start it",
            "nothing was changed",
        ],
    );
    fs::remove_file(srv.root.join("lib/bank-1.0.0/ebin/annex.app")).expect("it is there");
    assert_eq!(differing(&before, &srv.files()), Vec::<String>::new());

    // What runs alone is upgraded, and a restart starts the old version.
    specify(&srv.root.join("lib/bank-1.0.0/ebin"));
    let path = plan(false, &[&bank().two], ADD).on(&desk);
    desk.on(&node, &["run", &path, "--yes"]).run().exits(0);
    is(&node, Is::New, &pids);
    let runs = "lists:keymember(annex, 1, application:which_applications())";
    assert_eq!(node.eval_text(runs), "true");
    node.kill();
    let node = srv.start();
    assert_eq!(look(&node), Is::Old);
    assert_eq!(node.eval_text(runs), "false");
}

/// A node that loads code on demand finds it only in its code path.
#[test]
fn a_folder_that_is_not_on_the_code_path_is_not_found_after_a_restart() {
    let deployed = Deployed::bank();
    let node = &deployed.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let ebin = annex(&desk.path().join("annex"));
    let path = plan(true, &[&bank().two, &ebin], "").on(&desk);
    let ran = desk.on(node, &["run", &path, "--yes"]).run().exits(1);
    ran.says(&[
        "E640",
        "would lack modules",
        "`annex`: ",
        "annex/ebin is not on the node's code path",
        "nothing was changed",
    ]);
    is(node, Is::Old, &pids);
    // On the path it will be found.
    node.eval(&format!("code:add_pathz({:?})", ebin.display().to_string()));
    let ran = desk.on(node, &["run", &path, "--yes"]).run().exits(0);
    ran.says(&["beams written"]);
    is(node, Is::New, &pids);
}
