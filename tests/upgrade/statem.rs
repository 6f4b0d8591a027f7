//! gen_statem processes whose callback mode differs between the versions: it is that of the code that runs, whichever
//! way that came to be loaded.

use std::fmt::Write as _;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::corners::{compiled, fixture, node_with};
use crate::support::TestNode;
use crate::support::desk::Desk;

/// A state machine: version 1 has functions for its states, version 2 one for all events.
fn machine(version: u32, change: &str) -> (String, String) {
    let export = if change.is_empty() {
        ""
    } else {
        "-export([code_change/4]).\n"
    };
    let mode = match version {
        1 => {
            "-export([red/3, green/3]).\ncallback_mode() -> state_functions.\n\
             red({call, F}, go, D) -> {next_state, green, D + 1, {reply, F, {one, red, D}}};\n\
             red({call, F}, look, D) -> {keep_state_and_data, {reply, F, {one, red, D}}}.\n\
             green({call, F}, look, D) -> {keep_state_and_data, {reply, F, {one, green, D}}}.\n"
        }
        _ => {
            "-export([handle_event/4]).\ncallback_mode() -> handle_event_function.\n\
             handle_event({call, F}, look, S, D) -> {keep_state_and_data, {reply, F, {two, S, D}}}.\n"
        }
    };
    let text = format!(
        "-module(light).\n-behaviour(gen_statem).\n-vsn(\"{version}\").\n\
         -export([start/1, init/1, callback_mode/0]).\n{export}{mode}\
         start(N) -> {{ok, P}} = gen_statem:start({{local, list_to_atom(\"light_\" ++ integer_to_list(N))}}, ?MODULE, N, []), P.\n\
         init(N) -> {{ok, red, N}}.\n{change}\n"
    );
    ("light".to_owned(), text)
}

/// A server; the conversion of version 2 fails when its state says so.
fn clerk(version: u32) -> (String, String) {
    fixture("clerk", version)
}

/// Five lights, of which three have turned green, and a clerk.
struct Crossing {
    _folder: TempDir,
    node: TestNode,
    desk: Desk,
    plan: PathBuf,
}

impl Crossing {
    fn new(old: &str, new: &str, clerk_state: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let one = compiled(&folder.path().join("one"), &[machine(1, old), clerk(1)]);
        let two = compiled(&folder.path().join("two"), &[machine(2, new), clerk(2)]);
        let (node, desk) = (node_with(&one), Desk::new());
        node.eval(&format!(
            "[light:start(N) || N <- lists:seq(1, 5)], clerk:start({clerk_state}),
             [{{one, red, N}} = gen_statem:call(list_to_atom(\"light_\" ++ integer_to_list(N)), go) || N <- [1, 2, 3]]"
        ));
        let text = format!(
            "plan \"Lights\".\ncode push [{two:?}].\nold from {one:?}.\nclerk depends on light because \"it asks them\".\n"
        );
        let plan = desk.write("p.updo", &text);
        Self {
            _folder: folder,
            node,
            desk,
            plan,
        }
    }

    fn looks(&self) -> String {
        self.node.eval_text(
            "[gen_statem:call(list_to_atom(\"light_\" ++ integer_to_list(N)), look, 5000) || N <- lists:seq(1, 5)]",
        )
    }

    fn run(&self) -> crate::support::desk::Ran {
        let plan = self.plan.display().to_string();
        self.desk.on(&self.node, &["run", &plan, "--yes"]).run()
    }

    /// No process stays suspended, and nothing of updo is left in a process.
    fn clean(&self) {
        assert_eq!(self.node.eval_text("witness:troubled()"), "[]");
        let left = "[K || P <- processes(), {_, D} <- [process_info(P, dictionary)], {K, _} <- D, is_atom(K), lists:prefix(\"$updo\", atom_to_list(K))]";
        assert_eq!(self.node.eval_text(left), "[]");
        let handlers =
            "lists:usort([H || P <- processes(), {_, H} <- [process_info(P, error_handler)]])";
        assert_eq!(self.node.eval_text(handlers), "[error_handler]");
    }
}

fn all(version: &str) -> String {
    let mut text = String::from("[");
    for n in 1..=5 {
        let (state, data) = if n <= 3 { ("green", n + 1) } else { ("red", n) };
        let comma = if n == 1 { "" } else { "," };
        write!(text, "{comma}{{{version},{state},{data}}}").expect("a text");
    }
    text + "]"
}

const SAME: &str = "code_change(_, S, D, _) -> {ok, S, D}.";

#[test]
fn what_is_undone_answers_in_the_old_mode() {
    for (old, new) in [("", SAME), (SAME, SAME), (SAME, ""), ("", "")] {
        let crossing = Crossing::new(old, new, "bad");
        let ran = crossing.run().exits(20);
        let ran = ran.says(&["E604", "clerk"]);
        assert_eq!(ran.stderr.contains("W345"), !old.is_empty(), "{ran}");
        assert_eq!(crossing.looks(), all("one"), "old {old:?}, new {new:?}");
        crossing.clean();
    }
}

#[test]
fn the_way_there_and_a_rollback_later() {
    for (old, new) in [("", SAME), (SAME, ""), ("", "")] {
        let crossing = Crossing::new(old, new, "fine");
        crossing.run().exits(0);
        assert_eq!(crossing.looks(), all("two"), "old {old:?}, new {new:?}");
        crossing.clean();
        // Without a code_change/4 the way down is soft as well.
        crossing
            .desk
            .on(&crossing.node, &["rollback", "--yes"])
            .run()
            .exits(0);
        assert_eq!(crossing.looks(), all("one"), "old {old:?}, new {new:?}");
        crossing.clean();
    }
}

/// An old code_change/4 that does not take the states of its own version: said before, and afterwards by name.
#[test]
fn an_unresponsive_process_is_named() {
    let odd = "code_change(_, S, {older, D}, _) -> {ok, S, D}.";
    let crossing = Crossing::new(odd, SAME, "bad");
    let plan = crossing.plan.display().to_string();
    crossing
        .desk
        .on(&crossing.node, &["preview", &plan])
        .run()
        .exits(0)
        .says(&["W345", "light:code_change/4"]);
    crossing.run().exits(21).says(&[
        "E609",
        "callback mode",
        "function_clause",
        "sys:terminate(c:pid(",
    ]);
    assert_eq!(crossing.node.eval_text("witness:troubled()"), "[]");
    assert_eq!(
        crossing.node.eval_text("gen_server:call(clerk, x)"),
        "{1,bad}"
    );
}
