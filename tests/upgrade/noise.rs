//! What a preview does not say, because nothing can come of it, and what it says once.

use tempfile::TempDir;

use crate::corners::{compiled, node_with};
use crate::support::desk::{Desk, Ran};

/// Previews of version 2 of modules, given as name, exports and code; `V` in the code is the version.
fn preview(modules: &[(&str, &str, &str)]) -> Ran {
    let folder = TempDir::new().expect("a folder");
    let [one, two] = [1, 2].map(|number| {
        let source = |(name, exports, code): &(&str, &str, &str)| {
            let text = format!(
                "-module({name}).\n-export([v/0, {}]).\nv() -> {number}.\n{}\n",
                exports.replace('V', &number.to_string()),
                code.replace('V', &number.to_string())
            );
            ((*name).to_owned(), text)
        };
        let sources: Vec<(String, String)> = modules.iter().map(source).collect();
        compiled(&folder.path().join(number.to_string()), &sources)
    });
    let node = node_with(&one);
    let desk = Desk::new();
    let text = format!(
        "plan \"Noise\".\ncode push [{:?}].\nold from {:?}.\n",
        two.display().to_string(),
        one.display().to_string()
    );
    let plan = desk.write("p.updo", &text).display().to_string();
    desk.on(&node, &["preview", &plan]).run().exits(0)
}

/// A call of a function that is known matters when a module that takes part has such a function: the caller itself is none.
#[test]
fn a_call_that_can_go_to_no_changed_module_is_not_reported() {
    let caller = (
        "nz_caller",
        "run/1, tick/1",
        "run(M) -> M:tick(V).\ntick(X) -> X.",
    );
    let shown = preview(&[caller, ("nz_other", "tick/2", "tick(X, Y) -> {X, Y}.")]);
    assert!(!shown.stderr.contains("W315"), "{shown}");
    let shown = preview(&[caller, ("nz_other", "tick/1", "tick(X) -> {X, V}.")]);
    shown.says(&["W315", "nz_caller:run/1", "Mod:tick/1"]);
    // One whose function is known at run time only may go anywhere.
    let open = ("nz_open", "run/2", "run(M, F) -> M:F(V).");
    let shown = preview(&[open, ("nz_other", "tick/2", "tick(X, Y) -> {X, Y}.")]);
    shown.says(&["W315", "nz_open:run/2"]);
}

/// Every module answers `module_info` in every version: nothing waits for that, and no ring is made of it.
#[test]
fn what_every_module_has_is_no_dependency() {
    let shown = preview(&[
        (
            "nz_p",
            "f/0, g/1",
            "f() -> nz_q:f().\ng(M) -> M:module_info(md5), V.",
        ),
        ("nz_q", "f/0", "f() -> nz_p:module_info(attributes)."),
    ]);
    for code in ["W307", "W315"] {
        assert!(!shown.stderr.contains(code), "{shown}");
    }
    shown.prints(&["1 edge inferred"]);
}

/// A function that a module has lost is one that a call may still go to.
#[test]
fn a_call_that_may_go_to_a_lost_function_is_reported() {
    let shown = preview(&[
        ("nz_caller", "run/1", "run(M) -> M:tickV0(V), M:tick10(V)."),
        ("nz_other", "tickV0/1", "tickV0(X) -> X."),
    ]);
    shown.says(&["W315", "Mod:tick10/1"]);
}

#[test]
fn cycles_are_reported_together() {
    let shown = preview(&[
        ("nz_p", "f/0, g/0", "f() -> nz_q:f().\ng() -> V."),
        ("nz_q", "f/0", "f() -> nz_p:g()."),
        ("nz_r", "f/0, g/0", "f() -> nz_s:f().\ng() -> V."),
        ("nz_s", "f/0", "f() -> nz_r:g()."),
    ]);
    assert_eq!(shown.stderr.matches("W307").count(), 1, "{shown}");
    shown.says(&[
        "2 undeclared cycles",
        "nz_p, nz_q: nz_p:f/0",
        "`cycle [nz_p, nz_q]: together.`",
        "`cycle [nz_r, nz_s]: together.`",
    ]);
}
