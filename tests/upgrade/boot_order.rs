//! Conversions go in the order in which the application starts: its supervisor first, children in their order.

use serde_json::Value;

use crate::bank::nothing_left;
use crate::rehearsal::Stage;
use crate::support::desk::Ran;

/// A server that notes when it is converted; with what else `code_change` does.
fn server(name: &str, version: u32, more: &str) -> (String, String) {
    let text = format!(
        "-module({name}).\n-behaviour(gen_server).\n-vsn(\"{version}\").\n\
         -export([start_link/0, f{version}/0, init/1, handle_call/3, handle_cast/2, code_change/3]).\n\
         start_link() -> gen_server:start_link({{local, ?MODULE}}, ?MODULE, [], []).\n\
         f{version}() -> {version}.\ninit(_) -> {{ok, 0}}.\nhandle_call(_, _, S) -> {{reply, {version}, S}}.\n\
         handle_cast(_, S) -> {{noreply, S}}.\n\
         code_change(_, S, _) -> persistent_term:put(seen, persistent_term:get(seen, []) ++ [?MODULE]), {more}, {{ok, S}}.\n"
    );
    (name.to_owned(), text)
}

/// A supervisor that starts these, whose new `init/1` notes itself.
fn top(name: &str, version: u32, flags: &str, children: &str) -> (String, String) {
    let note = match version {
        1 => "ok",
        _ => "persistent_term:put(seen, persistent_term:get(seen, []) ++ [?MODULE])",
    };
    let text = format!(
        "-module({name}).\n-behaviour(supervisor).\n-vsn(\"{version}\").\n-export([start_link/0, init/1]).\n\
         start_link() -> supervisor:start_link({{local, ?MODULE}}, ?MODULE, []).\n\
         init(_) -> {note}, {{ok, {{#{{{flags}}}, [{children}]}}}}.\n"
    );
    (name.to_owned(), text)
}

fn child(name: &str) -> String {
    format!("#{{id => {name}, start => {{{name}, start_link, []}}}}")
}

fn children(names: &[&str]) -> String {
    let all: Vec<String> = names.iter().map(|name| child(name)).collect();
    all.join(", ")
}

/// Starts a supervisor that outlives who started it.
const START: &str = "spawn(fun() -> {ok, _} = z_top:start_link(), timer:sleep(infinity) end), \
    (fun Wait() -> case whereis(b_last) of undefined -> timer:sleep(5), Wait(); _ -> ok end end)()";

fn stage(old: &[(String, String)], new: &[(String, String)], more: &str) -> Stage {
    let stage = Stage::new(old, new, START);
    let text = std::fs::read_to_string(&stage.plan).expect("a plan");
    std::fs::write(&stage.plan, format!("{text}{more}\n")).expect("can write");
    stage
}

fn run(stage: &Stage) -> Ran {
    let plan = stage.plan.display().to_string();
    let ran = stage.desk.on(&stage.node, &["run", &plan, "--yes"]).run();
    let ran = ran.exits(0);
    nothing_left(&stage.node);
    ran
}

fn seen(stage: &Stage) -> String {
    stage.node.eval_text("persistent_term:get(seen)")
}

/// What a preview says of a module.
fn reasons(stage: &Stage, module: &str) -> String {
    let plan = stage.plan.display().to_string();
    let preview = stage.desk.on(&stage.node, &["preview", &plan, "--json"]);
    let ran = preview.run().exits(0);
    let document: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let mut modules = document["modules"].as_array().into_iter().flatten();
    let found = modules.find(|one| one["module"] == module);
    found.unwrap_or_else(|| panic!("{module}: {ran}"))["why"].to_string()
}

const ORDER: [&str; 3] = ["m_first", "a_second", "b_last"];

fn version(number: u32, more: &str, children: &str) -> Vec<(String, String)> {
    let mut all = vec![top("z_top", number, "", children)];
    all.extend(ORDER.map(|name| server(name, number, if name == "m_first" { more } else { "ok" })));
    all
}

#[test]
fn children_in_the_order_of_their_start() {
    let list = children(&ORDER);
    let stage = stage(&version(1, "ok", &list), &version(2, "ok", &list), "");
    assert!(
        reasons(&stage, "a_second")
            .contains("converted after m_first: their supervisor starts it later"),
        "{}",
        reasons(&stage, "a_second")
    );
    assert!(!reasons(&stage, "b_last").contains("converted after"));
    // A child that was started anew is where it was.
    stage.node.eval(
        "P = whereis(m_first), exit(P, kill), \
         (fun Wait() -> case whereis(m_first) of Q when is_pid(Q), Q =/= P -> ok; _ -> timer:sleep(5), Wait() end end)()",
    );
    run(&stage);
    assert_eq!(seen(&stage), "[z_top,m_first,a_second,b_last]");
    // Down again in the opposite order, the supervisor's specifications last.
    stage.node.eval("persistent_term:put(seen, [])");
    stage
        .desk
        .on(&stage.node, &["rollback", "--yes"])
        .run()
        .exits(0);
    assert_eq!(seen(&stage), "[b_last,a_second,m_first]");
}

#[test]
fn a_hard_edge_is_obeyed() {
    // The first one calls a function that only the new last one has.
    let list = children(&ORDER);
    let stage = stage(
        &version(1, "ok", &list),
        &version(2, "b_last:f2()", &list),
        "",
    );
    run(&stage);
    assert_eq!(seen(&stage), "[z_top,a_second,b_last,m_first]");
}

#[test]
fn what_the_plan_says_is_obeyed() {
    let list = children(&ORDER);
    let more = "m_first loads after a_second because \"x\". z_top depends on b_last because \"x\".";
    let stage = stage(&version(1, "ok", &list), &version(2, "ok", &list), more);
    run(&stage);
    assert_eq!(
        seen(&stage),
        "[b_last,z_top,a_second,m_first]",
        "a supervisor before its other children"
    );
}

/// A supervisor among its siblings, and children that have no order.
#[test]
fn a_tree_of_two_levels() {
    let dynamic = "strategy => simple_one_for_one";
    let all = |number: u32| {
        let upper = children(&["m_first", "a_group", "b_last"]);
        let upper = upper.replace(
            "a_group, start_link, []}",
            "a_group, start_link, []}, type => supervisor",
        );
        vec![
            top("z_top", number, "", &upper),
            top(
                "a_group",
                number,
                dynamic,
                &child("c_item").replace("start_link", "start_one"),
            ),
            server("m_first", number, "ok"),
            server("b_last", number, "ok"),
            {
                let (name, text) = server("c_item", number, "ok");
                let text = text.replace("start_link/0", "start_one/0");
                (
                    name,
                    text.replace(
                        "start_link() -> gen_server:start_link({local, ?MODULE}, ",
                        "start_one() -> gen_server:start_link(",
                    ),
                )
            },
        ]
    };
    let stage = stage(&all(1), &all(2), "");
    stage
        .node
        .eval("[{ok, _} = supervisor:start_child(a_group, []) || _ <- [1, 2, 3]]");
    run(&stage);
    // Three items, converted at one time.
    assert_eq!(
        stage
            .node
            .eval_text("[M || M <- persistent_term:get(seen), M =/= c_item]"),
        "[z_top,m_first,a_group,b_last]"
    );
    let seen = seen(&stage);
    let at = |name: &str| seen.find(name).unwrap_or_else(|| panic!("{name}: {seen}"));
    assert!(
        at("a_group") < at("c_item") && at("c_item") < at("b_last"),
        "{seen}"
    );
}

/// Two applications: the one that was started first, whatever they are called.
#[test]
fn applications_in_the_order_of_their_start() {
    let application = |app: &str, child_name: &str, number: u32| {
        let (name, text) = top(&format!("{app}_sup"), number, "", &child(child_name));
        let callback = format!(
            "-module({app}).\n-behaviour(application).\n-export([start/2, stop/1]).\n\
             start(_, _) -> {app}_sup:start_link().\nstop(_) -> ok.\n"
        );
        let modules = [
            (name, text),
            (app.to_owned(), callback),
            server(child_name, number, "ok"),
        ];
        modules.to_vec()
    };
    let all = |number: u32| {
        [
            application("z_app", "m_till", number),
            application("a_app", "b_last", number),
        ]
        .concat()
    };
    let start = "[begin ok = application:load({application, A, [{vsn, \"1\"}, {modules, []}, {registered, []}, \
         {applications, [kernel, stdlib]}, {mod, {A, []}}]}), ok = application:start(A) end || A <- [z_app, a_app]]";
    let stage = Stage::new(&all(1), &all(2), start);
    run(&stage);
    assert_eq!(seen(&stage), "[z_app_sup,m_till,a_app_sup,b_last]");
}
