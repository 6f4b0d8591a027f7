//! Applications whose new version lies in another folder of the node: the code path goes there with the upgrade and
//! comes back with it; and their configuration, of which they are told.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::apps::{depot, witness};
use crate::support::desk::Desk;
use crate::support::{Options, TestNode};

struct Site {
    node: TestNode,
    dir: TempDir,
}

impl Site {
    /// A node on `lib/depot-1`.
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let one = install(dir.path(), "lib/depot-1", &depot().one, "1");
        let mut options = Options::default();
        options.paths.extend([one, witness().to_owned()]);
        let node = options.start();
        let site = Self { node, dir };
        site.node.eval(
            "{ok, _} = application:ensure_all_started(depot),
             [{module, _} = code:ensure_loaded(M) || M <- [depot_app, depot_fax, depot_gate, depot_stock, depot_sup]]",
        );
        site
    }

    fn install(&self, folder: &str, beams: &Path, vsn: &str) {
        install(self.dir.path(), folder, beams, vsn);
    }

    fn lib(&self, folder: &str) -> String {
        self.dir.path().join(folder).display().to_string()
    }

    fn plan(&self, desk: &Desk, options: &str, rules: &str) -> String {
        let text = format!(
            "plan \"Move\".\ncode on_disk #{{{options}}}.\nexclude [depot_gate, depot_fax] because \"not now\".\n{rules}\n"
        );
        desk.write("move.updo", &text).display().to_string()
    }

    fn at(&self) -> String {
        self.node
            .eval_text("{code:lib_dir(depot), code:priv_dir(depot)}")
    }

    fn is_in(&self, folder: &str) {
        let lib = self.lib(folder);
        assert_eq!(self.at(), format!("{{{lib:?},\"{lib}/priv\"}}"));
    }

    fn state(&self) -> String {
        self.node.eval_text("depot_stock:state()")
    }
}

/// Lays out an application as a release does; `vsn` goes into its specification.
fn install(root: &Path, folder: &str, beams: &Path, vsn: &str) -> PathBuf {
    let ebin = root.join(folder).join("ebin");
    fs::create_dir_all(&ebin).expect("a folder");
    fs::create_dir_all(root.join(folder).join("priv")).expect("a folder");
    for file in fs::read_dir(beams).expect("it is there") {
        let file = file.expect("an entry").path();
        let to = ebin.join(file.file_name().expect("a name"));
        fs::copy(&file, &to).expect("it can be copied");
        if to.extension().is_some_and(|found| found == "app") {
            let text = fs::read_to_string(&file).expect("it is text");
            let old = if text.contains("{vsn, \"1\"}") {
                "1"
            } else {
                "2"
            };
            let text = text.replace(
                &format!("{{vsn, \"{old}\"}}"),
                &format!("{{vsn, \"{vsn}\"}}"),
            );
            fs::write(&to, text).expect("it can be written");
        }
    }
    ebin
}

/// The modules that run, and whether a version before them is still there.
const LOADED: &str = "[{M, proplists:get_value(md5, M:module_info()), code:which(M), erlang:check_old_code(M)} || M <- [depot_app, depot_gate, depot_stock, depot_sup]]";
/// The same without that: the version that was left stays until the next upgrade.
const RUNNING: &str = "[{M, proplists:get_value(md5, M:module_info()), code:which(M)} || M <- [depot_app, depot_gate, depot_stock, depot_sup]]";

#[test]
fn a_new_version_without_changed_modules() {
    let site = Site::new();
    let (node, desk) = (&site.node, Desk::rehearsing());
    let (before, path) = (node.eval_text(LOADED), node.eval_text("code:get_path()"));
    site.install("lib/depot-1.1", &depot().one, "1.1");
    // Told with the way to it, and not done unasked.
    let none = site.plan(&desk, "", "");
    let reported = desk.on(node, &["run", &none, "--yes"]).run().exits(0);
    reported.says(&["W331", "#{newest => [depot]}", "nothing to do"]);
    site.is_in("lib/depot-1");

    for options in ["newest => [depot]", "newest => all"] {
        let plan = site.plan(&desk, options, "");
        let shown = desk.on(node, &["preview", &plan]).run().exits(0);
        let line = format!(
            "paths    depot: {}/ebin → {}/ebin",
            site.lib("lib/depot-1"),
            site.lib("lib/depot-1.1")
        );
        let shown = shown.prints(&[&line]);
        assert!(!shown.stderr.contains("W331"), "{shown}");
        site.is_in("lib/depot-1");
        let ran = desk.on(node, &["run", &plan, "--yes"]).run().exits(0);
        site.is_in("lib/depot-1.1");
        assert_eq!(node.eval_text(LOADED), before, "no module is loaded again");
        desk.on(node, &["rollback", &ran.name(), "--yes"])
            .run()
            .exits(0);
        site.is_in("lib/depot-1");
        assert_eq!(node.eval_text("code:get_path()"), path);
    }
}

/// Modules that were not loaded again come from a folder that the code path has left: what counts is where it leads.
#[test]
fn a_change_behind_a_move() {
    let site = Site::new();
    let (node, desk) = (&site.node, Desk::rehearsing());
    site.install("lib/depot-1.1", &depot().one, "1.1");
    let plan = site.plan(&desk, "newest => all", "");
    desk.on(node, &["run", &plan, "--yes"]).run().exits(0);
    for file in ["depot_stock.beam", "depot_sup.beam"] {
        let to = site.dir.path().join("lib/depot-1.1/ebin").join(file);
        fs::copy(depot().two.join(file), to).expect("it can be copied");
    }
    let plan = site.plan(&desk, "", "");
    let ran = desk.on(node, &["run", &plan, "--yes"]).run().exits(0);
    assert_eq!(site.state(), "{stock,7,crates}");
    let file = format!("{}/ebin/depot_stock.beam", site.lib("lib/depot-1.1"));
    assert_eq!(
        node.eval_text("code:which(depot_stock)"),
        format!("{file:?}")
    );
    desk.on(node, &["rollback", &ran.name(), "--yes"])
        .run()
        .exits(0);
    assert_eq!(site.state(), "{stock,7}");
}

#[test]
fn a_new_version_with_its_modules_and_back() {
    let site = Site::new();
    let (node, desk) = (&site.node, Desk::rehearsing());
    let path = node.eval_text("code:get_path()");
    site.install("lib/depot-1.9", &depot().one, "1.9");
    site.install("lib/depot-1.10", &depot().two, "1.10");
    let which = "filename:basename(filename:dirname(filename:dirname(code:which(depot_stock))))";

    let bad = site.plan(
        &desk,
        "newest => all",
        "verify \"no\" -> \"2\" = filename:basename(code:lib_dir(depot)).",
    );
    desk.on(node, &["run", &bad, "--yes"])
        .run()
        .exits(20)
        .says(&["is as before"]);
    assert_eq!(node.eval_text("code:get_path()"), path);
    assert_eq!(
        (site.state().as_str(), node.eval_text(which).as_str()),
        ("{stock,7}", "\"depot-1\"")
    );
    // Before the switch as well: an instruction that raises behind the step that switches the path.
    let bad = site.plan(
        &desk,
        "newest => all",
        "insert {apply, {erlang, error, [no]}} before load depot_stock because \"a trial\".",
    );
    desk.on(node, &["run", &bad, "--yes"]).run().exits(14);
    assert_eq!(node.eval_text("code:get_path()"), path);

    let plan = site.plan(&desk, "newest => all", "");
    let ran = desk.on(node, &["run", &plan, "--yes"]).run().exits(0);
    site.is_in("lib/depot-1.10");
    assert_eq!(site.state(), "{stock,7,crates}");
    assert_eq!(node.eval_text(which), "\"depot-1.10\"");
    // The old version is still on the disk: nothing had to be kept for the way back.
    desk.on(node, &["rollback", &ran.name(), "--yes"])
        .run()
        .exits(0);
    assert_eq!(site.state(), "{stock,7}");
    assert_eq!(node.eval_text(which), "\"depot-1\"");
    assert_eq!(node.eval_text("code:get_path()"), path);
    // Once more forward, and then there is nothing left to do.
    desk.on(node, &["run", &plan, "--yes"]).run().exits(0);
    let again = desk.on(node, &["run", &plan, "--yes"]).run().exits(0);
    again.says(&["nothing to do"]);
}

#[test]
fn another_library_folder_only_when_asked() {
    let site = Site::new();
    let (node, desk) = (&site.node, Desk::rehearsing());
    // The same application, unchanged, in another place.
    site.install("next/lib/depot-1", &depot().one, "1");
    let from = format!("from => {:?}", site.lib("next/lib"));
    let plan = site.plan(&desk, &from, "");
    desk.on(node, &["run", &plan, "--yes"])
        .run()
        .exits(0)
        .says(&["nothing to do"]);
    site.is_in("lib/depot-1");
    let plan = site.plan(&desk, &format!("{from}, update_paths => true"), "");
    desk.on(node, &["run", &plan, "--yes"]).run().exits(0);
    site.is_in("next/lib/depot-1");

    // Changed: with its path.
    site.install("third/depot", &depot().two, "2");
    let plan = site.plan(&desk, &format!("from => {:?}", site.lib("third")), "");
    desk.on(node, &["run", &plan, "--yes"]).run().exits(0);
    site.is_in("third/depot");
    assert_eq!(site.state(), "{stock,7,crates}");

    for (options, says) in [
        (
            format!("from => {:?}", site.lib("nowhere")),
            "has none of the applications that run",
        ),
        ("newest => [dpot]".to_owned(), "no application `dpot` runs"),
    ] {
        let plan = site.plan(&desk, &options, "");
        desk.on(node, &["preview", &plan])
            .run()
            .exits(1)
            .says(&["E213", says]);
    }
    for (options, says) in [
        ("from => \"lib\"", "an absolute folder of the node"),
        ("newest => depot", "`all` or a list of applications"),
        ("newest => all, from => \"/lib\"", "exclude each other"),
        ("update_paths => 1", "`true` or `false`"),
    ] {
        let plan = site.plan(&desk, options, "");
        desk.updo(&["check", &plan])
            .run()
            .exits(1)
            .says(&["E205", says]);
    }
}

const ENV: &str = "lists:sort(application:get_all_env(depot))";
const TOLD: &str = "depot_app:told()";

#[test]
fn config_change_is_called_once_per_application() {
    let site = Site::new();
    let (node, desk) = (&site.node, Desk::rehearsing());
    let before = node.eval_text(ENV);
    site.install("lib/depot-2", &depot().two, "2");
    let quiet = site.plan(&desk, "newest => all", "");
    desk.on(node, &["preview", &quiet]).run().exits(0).says(&[
        "W332",
        "the default of `limit` is 20 now; new code reads 10",
        "`shelves` is new (default 3); new code reads `undefined`",
        "`doors` is removed; it stays set",
        "`code on_disk #{env => true}.`",
    ]);
    let plan = site.plan(&desk, "newest => all, env => true", "");
    let shown = desk.on(node, &["preview", &plan]).run().exits(0);
    shown.prints(&["env      depot: doors goes, limit = 10 → 20, shelves = 3 (new)"]);
    assert_eq!(node.eval_text(TOLD), "[]");

    let ran = desk.on(node, &["run", &plan, "--yes"]).run().exits(0);
    assert_eq!(node.eval_text(ENV), "[{colour,red},{limit,20},{shelves,3}]");
    assert_eq!(
        node.eval_text(TOLD),
        "[{[{limit,20}],[{shelves,3}],[doors]}]"
    );
    desk.on(node, &["rollback", &ran.name(), "--yes"])
        .run()
        .exits(0);
    assert_eq!(node.eval_text(ENV), before);
    assert_eq!(
        node.eval_text(TOLD),
        "[{[{limit,20}],[{shelves,3}],[doors]},{[{limit,10}],[{doors,2}],[shelves]}]"
    );
    assert_eq!(site.state(), "{stock,7}");

    // What somebody has set stays set.
    node.eval("persistent_term:erase(depot_app), application:set_env(depot, limit, 99)");
    desk.on(node, &["run", &plan, "--yes"]).run().exits(0);
    assert_eq!(node.eval_text(ENV), "[{colour,red},{limit,99},{shelves,3}]");
    assert_eq!(node.eval_text(TOLD), "[{[],[{shelves,3}],[doors]}]");
}

#[test]
fn an_application_that_does_not_take_its_configuration() {
    let site = Site::new();
    let (node, desk) = (&site.node, Desk::rehearsing());
    node.eval("application:set_env(depot, refuse, true)");
    let before = node.eval_text(&format!("{{{ENV}, code:get_path(), depot_stock:state()}}"));
    site.install("lib/depot-2", &depot().two, "2");
    let plan = site.plan(&desk, "newest => all, env => true", "");
    let failed = desk.on(node, &["run", &plan, "--yes"]).run().exits(20);
    failed.says(&["depot_app:config_change/3", "refused", "is as before"]);
    let after = node.eval_text(&format!("{{{ENV}, code:get_path(), depot_stock:state()}}"));
    assert_eq!(after, before);
    assert_eq!(node.eval_text("witness:troubled()"), "[]");
}

/// The plan of the documentation, up and back.
#[test]
fn the_documented_release() {
    let site = Site::new();
    let (node, desk) = (&site.node, Desk::rehearsing());
    let before = node.eval_text(&format!("{{{ENV}, code:get_path(), {RUNNING}}}"));
    site.install("lib/depot-2", &depot().two, "2");
    desk.write("release.updo", include_str!("../../plans/release.updo"));
    let shown = desk.on(node, &["preview", "release.updo"]).run().exits(0);
    shown.prints(&["delete  depot_fax", "paths    depot", "env      depot"]);
    let ran = desk
        .on(node, &["run", "release.updo", "--yes"])
        .run()
        .exits(0);
    site.is_in("lib/depot-2");
    assert_eq!(node.eval_text("whereis(depot_fax)"), "undefined");
    assert_eq!(node.eval_text("erlang:module_loaded(depot_fax)"), "false");
    desk.on(node, &["rollback", &ran.name(), "--yes"])
        .run()
        .exits(0);
    let after = node.eval_text(&format!("{{{ENV}, code:get_path(), {RUNNING}}}"));
    assert_eq!(after, before);
    assert_eq!(node.eval_text("depot_fax:send(page)"), "{sent,1}");
    assert_eq!(node.eval_text("witness:troubled()"), "[]");
}

/// A folder that is gone cannot come back: told before anything is touched.
#[test]
fn a_rollback_wants_its_folder() {
    let site = Site::new();
    let (node, desk) = (&site.node, Desk::rehearsing());
    site.install("lib/depot-2", &depot().two, "2");
    let plan = site.plan(
        &desk,
        "newest => all",
        "module depot_sup #{children => #{stop => [fax]}} because \"nobody sends faxes\".",
    );
    let run = desk
        .on(node, &["run", &plan, "--yes"])
        .run()
        .exits(0)
        .name();
    site.is_in("lib/depot-2");
    let (one, aside) = (
        site.dir.path().join("lib/depot-1"),
        site.dir.path().join("aside"),
    );
    fs::rename(&one, &aside).expect("it can be moved");
    let before = node.eval_text(LOADED);
    let gone = format!("the code path: {}/ebin is not a folder", one.display());
    desk.on(node, &["rollback", &run, "--yes"])
        .run()
        .exits(11)
        .says(&["E627", &gone, "nothing was changed"]);
    assert_eq!(node.eval_text(LOADED), before);
    assert_eq!(site.state(), "{stock,7,crates}");
    fs::rename(&aside, &one).expect("it can be moved back");
    desk.on(node, &["rollback", &run, "--yes"]).run().exits(0);
    site.is_in("lib/depot-1");
    assert_eq!(site.state(), "{stock,7}");
}
