//! What differs: changed, new, deleted, unchanged, and what must be left alone.

use std::fs;

use updo::diag::Code;
use updo::rules::Class;

use crate::support::Options;
use crate::world::{World, build, changed, class, names, one, printed, spec, text};

#[test]
fn changed_new_and_deleted_modules_with_remaining_callers() {
    let world = World::new();
    world.have(&["fx_lib", "fx_user", "fx_gone"]);
    spec(
        &world.path("fx/ebin"),
        "fx",
        "1",
        &["fx_lib", "fx_user", "fx_gone"],
        "",
    );
    world.node.eval(
        "ok = application:start(fx), [{module, M} = code:load_file(M) || M <- [fx_lib, fx_user, fx_gone]]",
    );
    assert_eq!(names(&world.look()), Vec::<&str>::new());

    world.replace(&["fx_lib", "fx_new"]);
    fs::remove_file(world.path("fx/ebin/fx_gone.beam")).expect("is there");
    let upgrade = world.look();
    assert_eq!(names(&upgrade), ["fx_lib", "fx_new"]);
    assert!(!changed(&upgrade, "fx_lib").is_new());
    assert!(changed(&upgrade, "fx_new").is_new());
    let gone = one(&upgrade, Code::W319);
    assert!(
        gone.starts_with("the beam file of `fx_gone` does not exist"),
        "{gone}"
    );
    assert!(
        gone.contains("fx_lib (in its new version) calls fx_gone:value/0"),
        "{gone}"
    );
    assert!(
        gone.contains("fx_user (unchanged) calls fx_gone:value/0"),
        "{gone}"
    );
    let lost = one(&upgrade, Code::W318);
    assert!(
        lost.starts_with("`fx_lib` lost functions that are still called"),
        "{lost}"
    );
    assert!(
        lost.contains("fx_user (unchanged) calls fx_lib:old/0"),
        "{lost}"
    );
}

#[test]
fn a_new_module_of_an_embedded_node_is_loaded_and_so_is_one_that_was_left_out() {
    let options = Options::default().args(&["-mode", "embedded"]);
    let world = World::with(options, &["fx/ebin"]);
    world.have(&["fx_lib", "fx_gone", "fx_plain"]);
    let ebin = world.path("fx/ebin");
    spec(&ebin, "fx", "1", &["fx_lib", "fx_gone", "fx_plain"], "");
    world.node.eval(
        "ok = application:start(fx), [{module, M} = code:load_file(M) || M <- [fx_lib, fx_gone]]",
    );
    world.replace(&["fx_lib", "fx_new"]);
    spec(
        &ebin,
        "fx",
        "2",
        &["fx_lib", "fx_gone", "fx_plain", "fx_new"],
        "",
    );
    let upgrade = world.look();
    assert_eq!(names(&upgrade), ["fx_lib", "fx_new", "fx_plain"]);
    assert!(printed(&upgrade, Code::A338).is_empty());
    // The same from this side: the file is there already, and would never be loaded.
    let upgrade = world.push("fx/ebin");
    assert_eq!(names(&upgrade), ["fx_lib", "fx_new", "fx_plain"]);
    let file = &changed(&upgrade, "fx_new")
        .new
        .as_ref()
        .expect("a beam")
        .file;
    assert_eq!(*file, text(&ebin.join("fx_new.beam")));
}

#[test]
fn modules_that_are_not_loaded_need_nothing_where_code_comes_on_demand() {
    let world = World::new();
    world.have(&["fx_lib", "fx_plain", "fx_gone"]);
    let ebin = world.path("fx/ebin");
    spec(&ebin, "fx", "1", &["fx_lib", "fx_plain", "fx_gone"], "");
    world
        .node
        .eval("ok = application:start(fx), {module, _} = code:load_file(fx_lib)");
    world.replace(&["fx_lib", "fx_plain"]);
    let upgrade = world.look();
    assert_eq!(names(&upgrade), ["fx_lib"]);
    let reported = one(&upgrade, Code::A338);
    assert!(
        reported.starts_with("2 modules of fx are not loaded and need nothing"),
        "{reported}"
    );
    assert!(reported.contains("`fx_gone`, `fx_plain`"), "{reported}");
    assert_eq!(world.node.eval_text("fx_plain:value()"), "two");
}

#[test]
fn a_hand_written_vsn_hides_nothing() {
    let world = World::new();
    build("fx_srv", &["HAND"], &world.path("fx/ebin"));
    world.node.eval("{module, _} = code:load_file(fx_srv)");
    let vsn = "proplists:get_value(vsn, fx_srv:module_info(attributes))";
    assert_eq!(world.node.eval_text(vsn), "\"1.0\"");
    build("fx_srv", &["HAND", "V2"], &world.path("fx/ebin"));
    let upgrade = world.look();
    assert_eq!(names(&upgrade), ["fx_srv"]);
    let loaded = changed(&upgrade, "fx_srv")
        .loaded
        .as_ref()
        .expect("it runs");
    assert_eq!(
        loaded.vsn.as_ref().map(ToString::to_string).as_deref(),
        Some("\"1.0\"")
    );
}

#[test]
fn a_module_outside_of_every_application_takes_part() {
    let world = World::new();
    world.have(&["fx_plain"]);
    world.node.eval("{module, _} = code:load_file(fx_plain)");
    world.replace(&["fx_plain"]);
    let upgrade = world.look();
    assert_eq!(names(&upgrade), ["fx_plain"]);
    assert_eq!(changed(&upgrade, "fx_plain").app, None);
    assert_eq!(class(&upgrade, "fx_plain").0, Class::Library);
    assert!(!upgrade.is_refused(), "{:?}", upgrade.diagnostics);
}

#[test]
fn sticky_preloaded_and_cover_compiled_modules_are_named_and_left_alone() {
    let world = World::new();
    world.have(&["fx_plain", "fx_lib", "fx_srv"]);
    world
        .node
        .eval("[{module, M} = code:load_file(M) || M <- [fx_plain, fx_lib, fx_srv]]");
    let ebin = text(&world.path("fx/ebin"));
    world.node.eval(&format!(
        "{{ok, fx_srv}} = cover:compile_beam(fx_srv), ok = code:stick_dir({ebin:?})"
    ));
    world.replace(&["fx_plain", "fx_lib", "fx_srv"]);
    let upgrade = world.look();
    assert_eq!(names(&upgrade), Vec::<&str>::new());
    let reported = printed(&upgrade, Code::W320);
    assert_eq!(reported.len(), 3, "{reported:?}");
    assert!(
        reported
            .iter()
            .any(|t| t.starts_with("`fx_plain`") && t.contains("sticky"))
    );
    assert!(
        reported
            .iter()
            .any(|t| t.starts_with("`fx_srv`") && t.contains("cover compiled"))
    );

    // A preloaded module can only be pushed: fx_plain under the name of one.
    let source = world.path("prim_zip.erl");
    fs::write(
        &source,
        "-module(prim_zip).\n-export([value/0]).\nvalue() -> 1.\n",
    )
    .expect("written");
    let out = std::process::Command::new("erlc")
        .args([
            "-o",
            &text(&world.path("")),
            "+no_auto_import_types",
            &text(&source),
        ])
        .output()
        .expect("erlc starts");
    assert!(out.status.success(), "{out:?}");
    let upgrade = world.push("prim_zip.beam");
    assert_eq!(names(&upgrade), Vec::<&str>::new());
    assert!(one(&upgrade, Code::W320).contains("preloaded"));
}

#[test]
fn a_module_without_a_file_is_left_alone() {
    let world = World::new();
    build("fx_plain", &[], &world.path("old"));
    build("fx_plain", &["V2"], &world.path("new"));
    let beam = text(&world.path("old/fx_plain.beam"));
    world.node.eval(&format!(
        "{{ok, B}} = file:read_file({beam:?}), {{module, _}} = code:load_binary(fx_plain, \"\", B)"
    ));
    assert_eq!(names(&world.look()), Vec::<&str>::new());
    let upgrade = world.push("new");
    assert_eq!(names(&upgrade), Vec::<&str>::new());
    assert!(one(&upgrade, Code::W320).contains("loaded from memory"));
}

#[test]
fn same_code_with_other_lines_is_reported_and_not_loaded() {
    let world = World::new();
    world.have(&["fx_plain"]);
    world.node.eval("{module, _} = code:load_file(fx_plain)");
    let first = world.look();
    assert!(printed(&first, Code::A339).is_empty());
    build("fx_plain", &["SHIFT"], &world.path("fx/ebin"));
    let upgrade = world.look();
    assert_eq!(names(&upgrade), Vec::<&str>::new());
    assert!(one(&upgrade, Code::A339).starts_with("only line numbers changed in `fx_plain`"));
    let upgrade = world.push("fx/ebin");
    assert_eq!(names(&upgrade), Vec::<&str>::new());
    assert!(one(&upgrade, Code::A339).contains("stack traces"));
}

#[test]
fn nif_modules_are_refused_until_the_plan_allows_them() {
    let world = World::new();
    world.have(&["fx_nif", "fx_onload"]);
    world
        .node
        .eval("[{module, M} = code:load_file(M) || M <- [fx_nif, fx_onload]]");
    world.replace(&["fx_nif", "fx_onload"]);
    let upgrade = world.look();
    assert!(upgrade.is_refused());
    let reported = one(&upgrade, Code::E330);
    assert!(
        reported.starts_with("`fx_nif` loads a NIF library"),
        "{reported}"
    );
    assert!(
        one(&upgrade, Code::A340).starts_with("`fx_onload` has an on_load function"),
        "{:?}",
        upgrade.diagnostics
    );

    let allowed = world
        .prepare(
            "code on_disk. rollback never. module fx_nif #{class => plain} because \"it has an upgrade callback\".",
        )
        .expect("facts");
    assert!(
        printed(&allowed, Code::E330).is_empty(),
        "{:?}",
        allowed.diagnostics
    );
    assert!(!allowed.is_refused(), "{:?}", allowed.diagnostics);
    let excluded = world
        .prepare("code on_disk. rollback never. exclude fx_nif because \"not today\".")
        .expect("facts");
    assert!(!excluded.is_refused(), "{:?}", excluded.diagnostics);
}

/// What runs as pushed is written as long as it runs: the disk must not get a version that the node has gone back from.
#[test]
fn what_does_not_run_any_more_is_not_written() {
    let world = World::new();
    world.have(&["fx_lib"]);
    world.node.eval("{module, _} = code:load_file(fx_lib)");
    build("fx_lib", &["V2"], &world.path("new"));
    let push = format!("code push [{:?}]", text(&world.path("new")));
    let new = updo::exec::NodeState::New;
    assert_eq!(world.run(&format!("{push}.")).state, new);
    let file = world.path("fx/ebin/fx_lib.beam");
    let before = std::fs::read(&file).expect("a file");
    let persist = format!("{push} #{{persist => true}}.");
    let back = "code:purge(fx_lib), {module, _} = code:load_file(fx_lib)";
    let outcome = world.run_after(&persist, back);
    let codes: Vec<Code> = outcome.errors.iter().map(|error| error.code).collect();
    assert_eq!(codes, [Code::E602], "{:?}", outcome.errors);
    assert_eq!(std::fs::read(&file).expect("a file"), before);
    // Upgraded again, and nothing between: it is written.
    assert_eq!(world.run(&format!("{push}.")).state, new);
    assert!(world.run(&persist).errors.is_empty());
    assert_ne!(std::fs::read(&file).expect("a file"), before);
}
