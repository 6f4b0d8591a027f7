//! What a plan removes: modules with and without processes, whole applications. Deleted last of all, told when somebody
//! still needs them, and back when the run goes back.

use crate::support::apps::{Deployed, depot};
use crate::support::desk::Desk;
use crate::support::{Options, TestNode};

fn deployed() -> Deployed {
    let start = "{ok, _} = application:ensure_all_started(depot)";
    Deployed::new(&depot().one, Options::default(), start)
}

fn plan(desk: &Desk, rules: &str) -> String {
    let text = format!(
        "plan \"Tidy up\".\ncode on_disk.\nold from {:?}.\n{rules}\n",
        depot().one
    );
    desk.write("tidy.updo", &text).display().to_string()
}

fn loaded(node: &TestNode) -> String {
    node.eval_text(
        "[M || M <- [depot_app, depot_fax, depot_gate, depot_stock, depot_sup], erlang:module_loaded(M)]",
    )
}

const ALL: &str = "[depot_app,depot_fax,depot_gate,depot_stock,depot_sup]";
const REST: &str = "[depot_app,depot_gate,depot_stock,depot_sup]";
const NO_FAX: &str = "module depot_fax #{remove => true} because \"nobody sends faxes\".
module depot_sup #{children => #{stop => [fax]}} because \"nobody sends faxes\".";

#[test]
fn a_server_goes_with_its_module_and_comes_back() {
    let deployed = deployed();
    let (node, desk) = (&deployed.node, Desk::new());
    deployed.replace(&depot().two);
    let stock = node.eval_text("whereis(depot_stock)");

    // A file that is gone removes nothing; the way to do it is said.
    let none = plan(&desk, "");
    desk.on(node, &["preview", &none])
        .run()
        .exits(0)
        .says(&["W319", "module depot_fax #{remove => true}"]);

    // Without stopping the server first, the processes that would be ended are reported.
    let first = NO_FAX.lines().next().expect("a line");
    let stays = "module depot_sup #{children => #{stop => none}} because \"x\".";
    let alone = plan(&desk, &format!("{first}\n{stays}"));
    let reported = desk
        .on(node, &["preview", &alone])
        .run()
        .exits(0)
        .says(&["W346", "`depot_fax` is removed while 1 process runs it"]);
    assert!(!reported.stderr.contains("W319"), "{reported}");

    let path = plan(
        &desk,
        &format!("{NO_FAX}\nexclude depot_gate because \"its loop does not move\"."),
    );
    let shown = desk.on(node, &["preview", &path]).run().exits(0);
    shown.prints(&[
        "3  delete  depot_fax",
        "\"nobody sends faxes\"",
        "stop child fax",
    ]);
    let low = desk.on(node, &["preview", &path, "--low"]).run().exits(0);
    let last = low.stdout.trim_end().trim_end_matches(['.', ']', '}']);
    assert!(
        last.ends_with("{remove,{depot_fax,soft_purge,soft_purge"),
        "{low}"
    );
    assert_eq!(loaded(node), ALL, "a preview changes nothing");

    let ran = desk.on(node, &["run", &path, "--yes"]).run().exits(0);
    assert_eq!(loaded(node), REST);
    assert_eq!(node.eval_text("erlang:check_old_code(depot_fax)"), "false");
    assert_eq!(node.eval_text("whereis(depot_fax)"), "undefined");
    assert_eq!(node.eval_text("depot_stock:state()"), "{stock,7,crates}");
    assert_eq!(node.eval_text("whereis(depot_stock)"), stock);
    assert_eq!(node.eval_text("witness:troubled()"), "[]");

    // Once more: there is nothing left to remove, and that is no mistake.
    let again = desk.on(node, &["run", &path, "--yes"]).run().exits(0);
    again.says(&["W310", "nothing to do"]);

    desk.on(node, &["rollback", &ran.name(), "--yes"])
        .run()
        .exits(0);
    assert_eq!(loaded(node), ALL);
    assert_eq!(node.eval_text("depot_fax:send(page)"), "{sent,1}");
    assert_eq!(node.eval_text("depot_stock:state()"), "{stock,7}");
    assert_eq!(node.eval_text("whereis(depot_stock)"), stock);
}

#[test]
fn undone_when_the_result_is_not_good() {
    let deployed = deployed();
    let (node, desk) = (&deployed.node, Desk::new());
    deployed.replace(&depot().two);
    let before = node.eval_text("{whereis(depot_stock), whereis(depot_gate), depot_stock:state()}");
    for window in ["single", "minimal", "otp"] {
        let path = plan(
            &desk,
            &format!(
                "window {window}.\n{NO_FAX}\nexclude depot_gate because \"its loop does not move\".\nverify \"no\" -> false = erlang:module_loaded(depot_fax), 1 = 2."
            ),
        );
        let ran = desk.on(node, &["run", &path, "--yes"]).run().exits(20);
        ran.says(&["E606", "is as before"]);
        assert_eq!(loaded(node), ALL, "{window}");
        let after =
            node.eval_text("{whereis(depot_stock), whereis(depot_gate), depot_stock:state()}");
        assert_eq!(after, before, "{window}");
        assert_eq!(
            node.eval_text("depot_fax:send(page)"),
            "{sent,1}",
            "{window}"
        );
    }
}

#[test]
fn a_process_that_stays_in_what_is_removed() {
    let deployed = deployed();
    let (node, desk) = (&deployed.node, Desk::new());
    let gate = node.eval_text("whereis(depot_gate)");
    let path = plan(
        &desk,
        "module depot_gate #{remove => true} because \"loaded anew when it is called\".",
    );
    let shown = desk.on(node, &["preview", &path]).run().exits(0);
    shown.says(&["W346", "W347", "its file stays"]);

    // Soft: it lives on in code that nothing else can call any more, and that is reported.
    let ran = desk.on(node, &["run", &path, "--yes"]).run().exits(0);
    ran.says(&["depot_gate"]);
    assert_eq!(node.eval_text("erlang:module_loaded(depot_gate)"), "false");
    assert_eq!(node.eval_text("whereis(depot_gate)"), gate);
    let ask =
        "depot_gate ! {ask, self()}, receive {gate, Version} -> Version after 5000 -> silent end";
    assert_eq!(node.eval_text(ask), "one");

    // Loading it again while the process is there is refused, and nothing happens.
    let push = format!(
        "code push [{:?}].\nonly depot_gate because \"a trial\".",
        depot().two.join("depot_gate.beam")
    );
    let path = desk.write("push.updo", &push).display().to_string();
    let refused = desk.on(node, &["run", &path, "--yes"]).run().exits(14);
    refused.says(&["old", "depot_gate"]);
    assert_eq!(node.eval_text("whereis(depot_gate)"), gate);
}

#[test]
fn purged_with_its_process_and_loaded_on_demand() {
    let deployed = deployed();
    let (node, desk) = (&deployed.node, Desk::new());
    deployed.replace(&depot().two);
    let gate = node.eval_text("whereis(depot_gate)");
    let path = plan(
        &desk,
        "only depot_gate because \"a trial\".\nmodule depot_gate #{remove => true, purge => brutal} because \"loaded anew when it is called\".",
    );
    let shown = desk.on(node, &["preview", &path]).run().exits(0);
    shown.says(&["W406", "brutal purge will kill 1 process"]);
    desk.on(node, &["run", &path, "--yes"]).run().exits(0);
    let fresh = node.eval_text(
        "Wait = fun Wait(0) -> late; Wait(N) -> case whereis(depot_gate) of undefined -> timer:sleep(20), Wait(N - 1); P -> P end end, Wait(100)",
    );
    assert!(fresh.starts_with('<') && fresh != gate, "{gate} {fresh}");
    assert_eq!(
        node.eval_text("depot_gate:ask()"),
        "two",
        "by its supervisor, with the code of the disk"
    );
}

#[test]
fn what_was_never_loaded() {
    let deployed = deployed();
    let (node, desk) = (&deployed.node, Desk::new());
    let path = plan(
        &desk,
        "module [depot_attic, 'Elixir.Depot.Cellar'] #{remove => true} because \"long gone\".",
    );
    let ran = desk.on(node, &["run", &path, "--yes"]).run().exits(0);
    ran.says(&["W310", "nothing to do"]);
    assert_eq!(loaded(node), ALL);
    // What the upgrade would load for the first time is simply not loaded.
    node.eval("true = code:delete(depot_fax), code:purge(depot_fax)");
    let push = format!(
        "code push [{:?}].\nmodule depot_fax #{{remove => true}} because \"not here\".",
        depot().one.join("depot_fax.beam")
    );
    let path = desk.write("push.updo", &push).display().to_string();
    desk.on(node, &["run", &path, "--yes"])
        .run()
        .exits(0)
        .says(&["nothing to do"]);
    assert_eq!(loaded(node), REST);
}

#[test]
fn a_whole_application() {
    let deployed = deployed();
    let (node, desk) = (&deployed.node, Desk::new());
    let path = plan(
        &desk,
        "insert {remove_application, depot} at end because \"sold\".",
    );
    let shown = desk.on(node, &["preview", &path]).run().exits(0);
    shown.prints(&["delete  depot_app", "application,stop", "\"sold\""]);
    let ran = desk.on(node, &["run", &path, "--yes"]).run().exits(0);
    assert_eq!(loaded(node), "[]");
    let known = "{[A || {A, _, _} <- application:which_applications(), A =:= depot], [A || {A, _, _} <- application:loaded_applications(), A =:= depot]}";
    assert_eq!(node.eval_text(known), "{[],[]}");
    assert_eq!(
        node.eval_text("[M || M <- [depot_gate, depot_stock], erlang:check_old_code(M)]"),
        "[]"
    );

    desk.on(node, &["rollback", &ran.name(), "--yes"])
        .run()
        .exits(0);
    assert_eq!(loaded(node), ALL);
    assert_eq!(node.eval_text(known), "{[depot],[depot]}");
    assert_eq!(node.eval_text("depot_stock:state()"), "{stock,7}");
}

/// What a node is built on is not removed, whatever a plan says.
#[test]
fn core_applications_are_never_removed() {
    let deployed = deployed();
    let (node, desk) = (&deployed.node, Desk::new());
    let path = plan(
        &desk,
        "module [lists, erlang, gen_server, application] #{remove => true} because \"a slip\".",
    );
    let ran = desk.on(node, &["run", &path, "--yes"]).run().exits(0);
    ran.says(&["W320", "`lists`", "nothing to do"]);
    assert_eq!(
        node.eval_text(
            "lists:all(fun erlang:module_loaded/1, [lists, erlang, gen_server, application])"
        ),
        "true"
    );
    let path = plan(
        &desk,
        "insert {remove_application, kernel} at end because \"a slip\".",
    );
    let ran = desk.on(node, &["run", &path, "--yes"]).run();
    assert_eq!(ran.code, Some(1), "{ran}");
    assert_eq!(
        node.eval_text("[A || {kernel = A, _, _} <- application:which_applications()]"),
        "[kernel]"
    );
}

/// Adds the specification of an application beside the depot.
fn annex(deployed: &Deployed, more: &str) {
    let text = format!(
        "{{application, annex, [{{description, \"\"}}, {{vsn, \"1\"}}, {{modules, []}}, {{registered, []}}, {{applications, [kernel, stdlib]}}{more}]}}.\n"
    );
    std::fs::write(deployed.ebin.join("annex.app"), text).expect("it can be written");
}

#[test]
fn an_application_that_starts_and_one_that_does_not() {
    let deployed = deployed();
    let (node, desk) = (&deployed.node, Desk::new());
    deployed.replace(&depot().two);
    let path = plan(
        &desk,
        "exclude depot_gate because \"its loop does not move\".\ninsert {add_application, annex} at end because \"we grow\".",
    );
    let known = "{[A || {annex = A, _, _} <- application:which_applications()], [A || {annex = A, _, _} <- application:loaded_applications()]}";
    // OTP's own runs would go on without it.
    annex(&deployed, ", {mod, {annex_app, []}}");
    let failed = desk.on(node, &["run", &path, "--yes"]).run().exits(20);
    failed.says(&["application:start/2", "is as before"]);
    assert_eq!(node.eval_text("depot_stock:state()"), "{stock,7}");
    assert_eq!(
        node.eval_text("[A || {annex = A, _, _} <- application:which_applications()]"),
        "[]"
    );

    annex(&deployed, "");
    node.eval("application:unload(annex)");
    let ran = desk.on(node, &["run", &path, "--yes"]).run().exits(0);
    assert_eq!(node.eval_text(known), "{[annex],[annex]}");
    assert_eq!(node.eval_text("depot_stock:state()"), "{stock,7,crates}");
    desk.on(node, &["rollback", &ran.name(), "--yes"])
        .run()
        .exits(0);
    assert_eq!(node.eval_text(known), "{[],[]}");
    assert_eq!(node.eval_text("depot_stock:state()"), "{stock,7}");
}

/// Pushed and kept: the file goes with the module, and is there again after a rollback.
#[test]
fn the_file_goes_too_when_the_plan_writes_the_disk() {
    let deployed = deployed();
    let (node, desk) = (&deployed.node, Desk::new());
    let text = format!(
        "code push [{:?}] #{{persist => true}}.\nexclude depot_gate because \"its loop does not move\".\n{NO_FAX}\n",
        depot().two
    );
    let path = desk.write("push.updo", &text).display().to_string();
    let file = deployed.ebin.join("depot_fax.beam");
    let before = std::fs::read(&file).expect("it is there");
    let shown = desk.on(node, &["preview", &path]).run().exits(0);
    assert!(!shown.stderr.contains("W347"), "{shown}");
    shown.prints(&[
        "3  delete  depot_fax",
        "the file of depot_fax will be deleted",
    ]);
    let document = desk.on(node, &["preview", &path, "--json"]).run().json();
    let expected = serde_json::json!({
        "folders": [deployed.ebin],
        "lists": [deployed.ebin.join("depot.app")],
        "deleted": ["depot_fax"],
    });
    assert_eq!(document["persist"], expected);
    let ran = desk.on(node, &["run", &path, "--yes"]).run().exits(0);
    assert_eq!(loaded(node), REST);
    assert!(!file.exists());
    assert_eq!(
        node.eval_text("code:load_file(depot_fax)"),
        "{error,nofile}"
    );
    desk.on(node, &["rollback", &ran.name(), "--yes"])
        .run()
        .exits(0);
    assert_eq!(std::fs::read(&file).expect("it is there again"), before);
    assert_eq!(node.eval_text("depot_fax:send(page)"), "{sent,1}");
}
