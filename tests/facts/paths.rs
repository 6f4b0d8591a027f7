//! Several files of a module, and applications installed beside their running version.

use updo::diag::Code;

use crate::support::Options;
use crate::world::{World, build, names, one, printed, spec, text};

#[test]
fn a_module_from_elsewhere_is_not_compared_with_the_wrong_file() {
    let world = World::new();
    world.have(&["fx_plain"]);
    build("fx_plain", &["V2"], &world.path("patches"));
    let patch = text(&world.path("patches/fx_plain"));
    world
        .node
        .eval(&format!("{{module, _}} = code:load_abs({patch:?})"));
    let upgrade = world.look();
    assert_eq!(names(&upgrade), Vec::<&str>::new());
    let reported = one(&upgrade, Code::W320);
    assert!(reported.contains(&format!("{patch}.beam")), "{reported}");
    assert!(
        reported.contains(&text(&world.path("fx/ebin/fx_plain.beam"))),
        "{reported}"
    );
    // The same code in both places is no matter.
    world.replace(&["fx_plain"]);
    let upgrade = world.look();
    assert_eq!(names(&upgrade), Vec::<&str>::new());
    assert!(
        printed(&upgrade, Code::W320).is_empty(),
        "{:?}",
        upgrade.diagnostics
    );
}

/// `erl -pa ebin`: `code:ensure_modules_loaded/1` notes the names of files as the code path has them.
#[test]
fn files_with_relative_names_are_compared() {
    let world = World::with(Options::default(), &[]);
    world.have(&["fx_plain", "fx_srv"]);
    spec(
        &world.path("fx/ebin"),
        "fx",
        "1",
        &["fx_plain", "fx_srv"],
        "",
    );
    let here = text(&world.path("fx"));
    world.node.eval(&format!(
        "ok = file:set_cwd({here:?}), true = code:add_patha(\"./ebin\"), ok = application:start(fx), \
         ok = code:ensure_modules_loaded([fx_plain, fx_srv])"
    ));
    let loaded = world.node.eval_text("code:which(fx_plain)");
    if loaded.starts_with("\"/") {
        let release = "list_to_integer(erlang:system_info(otp_release)) > 25";
        assert_eq!(world.node.eval_text(release), "true", "{loaded}");
        println!("not tried: this release of OTP has no relative names: {loaded}");
        return;
    }
    assert!(names(&world.look()).is_empty());
    world.replace(&["fx_plain"]);
    let upgrade = world.look();
    assert_eq!(names(&upgrade), ["fx_plain"]);
    assert!(printed(&upgrade, Code::W320).is_empty());
    // Where the name leads nowhere, nothing is said about the file, and nothing is taken for removed.
    world.node.eval("ok = file:set_cwd(\"/\")");
    let upgrade = world.look();
    assert_eq!(names(&upgrade), Vec::<&str>::new());
    let reported = printed(&upgrade, Code::W320);
    assert_eq!(reported.len(), 2, "{reported:?}");
    assert!(
        reported
            .iter()
            .all(|one| one.contains("cannot be compared") && one.contains("ebin/fx_")),
        "{reported:?}"
    );
}

#[test]
fn several_files_in_the_code_path_are_reported() {
    let world = World::with(Options::default(), &["one", "two"]);
    build("fx_plain", &[], &world.path("one"));
    build("fx_plain", &[], &world.path("two"));
    world.node.eval("{module, _} = code:load_file(fx_plain)");
    let first = world.node.eval_text("code:which(fx_plain)");
    let (first, second) = if first.contains("/one/") {
        ("one", "two")
    } else {
        ("two", "one")
    };
    assert!(printed(&world.look(), Code::W333).is_empty());
    build("fx_plain", &["V2"], &world.path(first));
    let upgrade = world.look();
    assert_eq!(names(&upgrade), ["fx_plain"]);
    let reported = one(&upgrade, Code::W333);
    let taken = format!("taken: {}", text(&world.path(first)));
    assert!(reported.contains(&taken), "{reported}");
    let hidden = format!("hidden behind it: {}", text(&world.path(second)));
    assert!(reported.contains(&hidden), "{reported}");
}

#[test]
fn an_installed_newer_version_is_reported_with_how_to_use_it() {
    let world = World::with(Options::default(), &["lib/fx-1.9/ebin"]);
    let old = world.path("lib/fx-1.9/ebin");
    build("fx_plain", &[], &old);
    spec(&old, "fx", "1.9", &["fx_plain"], "");
    world
        .node
        .eval("ok = application:start(fx), {module, _} = code:load_file(fx_plain)");
    for vsn in ["1.8", "1.10"] {
        let folder = world.path(&format!("lib/fx-{vsn}/ebin"));
        build("fx_plain", &["V2"], &folder);
        spec(&folder, "fx", vsn, &["fx_plain"], "");
    }
    let upgrade = world.look();
    assert_eq!(names(&upgrade), Vec::<&str>::new());
    let reported = one(&upgrade, Code::W331);
    assert!(
        reported.starts_with("fx 1.10 is installed next to 1.9, which runs"),
        "{reported}"
    );
    let newer = text(&world.path("lib/fx-1.10/ebin"));
    assert!(
        reported.contains(&format!("it is in {newer}")),
        "{reported}"
    );
    assert!(
        reported.contains("`code on_disk #{newest => [fx]}.`"),
        "{reported}"
    );
    // What it says works; so does sending it.
    let upgrade = world
        .prepare("code on_disk #{newest => [fx]}.")
        .expect("facts");
    assert_eq!(names(&upgrade), ["fx_plain"]);
    assert!(printed(&upgrade, Code::W331).is_empty());
    let upgrade = world.push("lib/fx-1.10/ebin");
    assert_eq!(names(&upgrade), ["fx_plain"]);
}
