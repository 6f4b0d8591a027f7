//! Modules that take part and are not loaded, on a node that loads on demand: they are not new, for the node has a file
//! of them.

use tempfile::TempDir;

use crate::corners::compiled;
use crate::support::Options;
use crate::support::desk::Desk;

/// A caller that is loaded and a library that is not; both versions of the library call something optional.
fn version(number: u32) -> Vec<(String, String)> {
    let (more, call) = match number {
        1 => ("", "un_lib:g()"),
        _ => (", h/0", "{un_lib:g(), un_lib:h()}"),
    };
    let lib = format!(
        "-module(un_lib).\n-export([g/0, optional/0{more}]).\ng() -> {number}.\n\
         optional() -> un_absent:call().\n{}",
        if number == 1 { "" } else { "h() -> more.\n" }
    );
    let caller =
        format!("-module(un_caller).\n-export([f/0, v/0]).\nv() -> {number}.\nf() -> {call}.\n");
    let same = "-module(un_same).\n-export([v/0]).\nv() -> same.\n";
    vec![
        ("un_caller".to_owned(), caller),
        ("un_lib".to_owned(), lib),
        ("un_same".to_owned(), same.to_owned()),
    ]
}

#[test]
fn a_module_that_is_not_loaded_yet_is_not_new() {
    let folder = TempDir::new().expect("a folder");
    let [one, two] =
        [1, 2].map(|number| compiled(&folder.path().join(number.to_string()), &version(number)));
    let node = Options::default().path(&one).start();
    node.eval("1 = un_caller:v(), false = code:is_loaded(un_lib), ok");
    let desk = Desk::new();
    let text = format!(
        "plan \"Unloaded\".\ncode push [{:?}].\nold from {:?}.\n",
        two.display().to_string(),
        one.display().to_string()
    );
    let plan = desk.write("p.updo", &text).display().to_string();
    let shown = desk.on(&node, &["preview", &plan]).run().exits(0);
    // Two functions are called, and one of them only the new version has.
    let shown = shown.prints(&[
        "2 of 3 modules changed",
        "not loaded yet, and its file differs: md5 ",
        "un_lib:h/0, which only the new un_lib has",
    ]);
    for wrong in ["un_lib:g/0, which only", "new: not loaded yet"] {
        assert!(!shown.stdout.contains(wrong), "{shown}");
    }
    // What the file calls as well is called already.
    assert!(!shown.stderr.contains("W324"), "{shown}");
    let diff = desk.on(&node, &["diff", &plan]).run().exits(0);
    let diff = diff.prints(&["+h/0"]);
    assert!(!diff.stdout.contains("+g/0"), "{diff}");
    desk.on(&node, &["run", &plan, "--yes"]).run().exits(0);
    assert_eq!(node.eval_text("un_caller:f()"), "{2,more}");
    desk.on(&node, &["rollback", "--yes"]).run().exits(0);
    assert_eq!(
        node.eval_text("{code:is_loaded(un_lib), un_caller:f()}"),
        "{false,1}"
    );
}

/// The same where the files on the node's disk are the new version: the former one is in `old from`.
#[test]
fn old_from_says_what_a_replaced_file_was() {
    let folder = TempDir::new().expect("a folder");
    let [one, two] =
        [1, 2].map(|number| compiled(&folder.path().join(number.to_string()), &version(number)));
    let live = compiled(&folder.path().join("live"), &version(1));
    let app = |modules: &str| {
        let text = format!("{{application, un, [{{vsn, \"1\"}}, {{modules, [{modules}]}}]}}.\n");
        std::fs::write(live.join("un.app"), text).expect("can write");
    };
    app("un_caller");
    let node = Options::default().path(&live).start();
    node.eval("ok = application:load(un), 1 = un_caller:v(), ok");
    for module in ["un_caller", "un_lib"] {
        let name = format!("{module}.beam");
        std::fs::copy(two.join(&name), live.join(&name)).expect("can copy");
    }
    app("un_caller, un_lib");
    let desk = Desk::new();
    let text = format!(
        "plan \"Unloaded\".\ncode on_disk.\nold from {:?}.\n",
        one.display().to_string()
    );
    let plan = desk.write("p.updo", &text).display().to_string();
    let shown = desk.on(&node, &["preview", &plan]).run().exits(0);
    let shown = shown.prints(&["un_lib", "un_lib:h/0, which only the new un_lib has"]);
    assert!(!shown.stdout.contains("un_lib:g/0, which only"), "{shown}");
}

/// Decided for a module that is not loaded: nothing to convert. Then its server starts, in the old version.
#[test]
fn a_module_that_is_loaded_between_comparison_and_run_is_compared_again() {
    let folder = TempDir::new().expect("a folder");
    let server = |number: u32| {
        let text = format!(
            "-module(un_late).\n-behaviour(gen_server).\n-export([start/0, init/1, handle_call/3, handle_cast/2, code_change/3]).\n\
             start() -> gen_server:start({{local, un_late}}, un_late, [], []).\ninit(_) -> {{ok, {number}}}.\n\
             handle_call(_, _, S) -> {{reply, {{{number}, S}}, S}}.\nhandle_cast(_, S) -> {{noreply, S}}.\n\
             code_change({{down, _}}, _, _) -> {{ok, 1}};\ncode_change(_, _, _) -> {{ok, {number}}}.\n"
        );
        vec![("un_late".to_owned(), text)]
    };
    let [one, two] =
        [1, 2].map(|number| compiled(&folder.path().join(number.to_string()), &server(number)));
    let node = Options::default().path(&one).start();
    let desk = Desk::new();
    let text = format!(
        "plan \"Late\".\ncode push [{:?}].\nold from {:?}.\n",
        two.display().to_string(),
        one.display().to_string()
    );
    let starts = format!("{text}require \"it starts\" -> {{ok, _}} = un_late:start().\n");
    let plan = desk.write("late.updo", &starts).display().to_string();
    desk.on(&node, &["run", &plan, "--yes"])
        .run()
        .exits(12)
        .says(&["E602", "un_late", "nothing was changed", "run it again"])
        .says(&["no module was switched"]);
    assert_eq!(node.eval_text("gen_server:call(un_late, state)"), "{1,1}");
    // Compared again, its state is converted.
    let plan = desk.write("late.updo", &text).display().to_string();
    desk.on(&node, &["run", &plan, "--yes"]).run().exits(0);
    assert_eq!(node.eval_text("gen_server:call(un_late, state)"), "{2,2}");
    desk.on(&node, &["rollback", "--yes"]).run().exits(0);
    assert_eq!(node.eval_text("gen_server:call(un_late, state)"), "{1,1}");
}
