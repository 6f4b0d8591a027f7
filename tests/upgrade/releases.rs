//! Releases as `mix release` makes them, with a run-time system of their own: everything lies below `code:lib_dir()`,
//! nothing is loaded by being called, and the configuration belongs to the release.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::TestNode;
use crate::support::apps::{copy_whole, ferry, ferry_without_erts, unpacked};
use crate::support::desk::Desk;

/// A node that runs version 1 of the ferry from a folder of its own.
struct Sailing {
    node: TestNode,
    root: PathBuf,
    _folder: TempDir,
}

fn sailing(release: &Path) -> Sailing {
    let (folder, root, options) = unpacked(release);
    Sailing {
        node: options.start(),
        root,
        _folder: folder,
    }
}

impl Sailing {
    /// Installs version 2 beside version 1, as `tar` would.
    fn install(&self) {
        for part in ["lib", "releases"] {
            copy_whole(&ferry().two.join(part), &self.root.join(part));
        }
    }

    /// Overwrites the beams of version 1 by those of version 2.
    fn overwrite(&self) {
        for app in ["ferry", "rope"] {
            let from = ferry().two.join(format!("lib/{app}-0.2.0/ebin"));
            let to = self.root.join(format!("lib/{app}-0.1.0/ebin"));
            for entry in fs::read_dir(from).expect("beams") {
                let file = entry.expect("an entry").path();
                if file.extension().is_some_and(|end| end == "beam") {
                    let name = file.file_name().expect("a name");
                    fs::copy(&file, to.join(name)).expect("a beam can be copied");
                }
            }
        }
    }

    fn version(&self) -> String {
        self.node
            .eval_text("element(1, gen_server:call('Elixir.Ferry.Deck', version))")
    }
}

const OLD: &str = r#"<<"0.1.0">>"#;
const NEW: &str = r#"<<"0.2.0">>"#;

#[test]
fn the_beams_of_a_release_are_kept_and_lead_back() {
    let sailing = sailing(&ferry().one);
    let lib = sailing.node.eval_text("code:lib_dir()");
    // Its script looks for where it really lies.
    let whole = |path: &Path| fs::canonicalize(path).expect("a folder");
    assert_eq!(
        whole(Path::new(lib.trim_matches('"'))),
        whole(&sailing.root.join("lib")),
        "it has its own run-time system"
    );
    let desk = Desk::rehearsing();
    desk.write("ferry.updo", "plan \"Ferry\".\ncode on_disk.\n");
    let status = || desk.on(&sailing.node, &["status", "ferry.updo", "--save"]);
    let kept = status().run().exits(0);
    // Elixir's own and those of both applications: far more than ten, and none is missing.
    let line = kept.stdout.lines().find(|line| line.starts_with("kept "));
    let line = line.expect("it says how many").to_owned();
    let numbers: Vec<usize> = line
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    assert!(numbers[0] > 10 && numbers[0] == numbers[1], "{line}");
    assert!(!kept.stderr.contains("W322"), "{kept}");
    let again = format!("kept 0 of 0 beams, {} more were kept before", numbers[0]);
    status().run().exits(0).prints(&[&again]);

    sailing.overwrite();
    desk.write(
        "wrong.updo",
        "plan \"Ferry\".\ncode on_disk.\nverify \"no\" -> false.\n",
    );
    let ran = desk
        .on(&sailing.node, &["run", "wrong.updo", "--yes"])
        .run()
        .exits(20);
    assert!(!ran.stderr.contains("E317"), "{ran}");
    assert_eq!(sailing.version(), OLD);
    desk.on(&sailing.node, &["run", "ferry.updo", "--yes"])
        .run()
        .exits(0);
    assert_eq!(sailing.version(), NEW);
    assert_eq!(sailing.node.eval_text("'Elixir.Rope':vsn()"), NEW);
}

#[test]
fn beams_that_are_overwritten_already_cannot_be_kept() {
    let sailing = sailing(&ferry().one);
    sailing.overwrite();
    let desk = Desk::rehearsing();
    desk.write(
        "ferry.updo",
        "plan \"Ferry\".\ncode on_disk.\nverify \"v\" -> true.\n",
    );
    desk.on(&sailing.node, &["status", "ferry.updo", "--save"])
        .run()
        .exits(0)
        .says(&["W322", "cannot be kept", "`Ferry.Deck`", "old from"]);
    // The help for a missing way back is one that helps.
    desk.on(&sailing.node, &["preview", "ferry.updo"])
        .run()
        .exits(0)
        .says(&["W317", "the next time", "old from"]);
}

#[test]
fn an_installed_release_is_used_entirely_and_its_configuration_reported() {
    let sailing = sailing(&ferry().one);
    sailing.install();
    let desk = Desk::rehearsing();
    // Nothing of it is compared, and that is said of both applications: one runs, one is loaded only.
    desk.write("here.updo", "plan \"Ferry\".\ncode on_disk.\n");
    let here = desk
        .on(&sailing.node, &["preview", "here.updo"])
        .run()
        .exits(0);
    assert!(!here.stdout.contains("runs the new code already"), "{here}");
    here.prints(&["nothing to do on", "W331"]).says(&[
        "ferry 0.2.0 is installed next to 0.1.0",
        "rope 0.2.0 is installed next to 0.1.0",
    ]);

    let plan = "plan \"Ferry\".\ncode on_disk #{newest => all}.\n";
    desk.write("ferry.updo", plan);
    desk.on(&sailing.node, &["preview", "ferry.updo"])
        .run()
        .exits(0)
        .says(&[
            "W325",
            "the new ferry was compiled for another configuration than the node has",
            "ferry: `codec` has another value on the node",
            "W326",
            "the configuration of the release 0.2.0 differs from what runs",
            "sys.config: ferry: `codec`, `fresh`",
            "application:set_env(ferry, codec, …)",
        ]);
    desk.on(&sailing.node, &["run", "ferry.updo", "--yes"])
        .run()
        .exits(0);
    assert_eq!(sailing.version(), NEW);
    assert_eq!(sailing.node.eval_text("'Elixir.Rope':vsn()"), NEW);
    let priv_dir = sailing.node.eval_text("code:lib_dir(rope)");
    assert!(priv_dir.contains("rope-0.2.0"), "{priv_dir}");
}

#[test]
fn a_release_whose_configuration_is_the_nodes_is_not_reported() {
    let sailing = sailing(&ferry().one);
    sailing.install();
    // As it would be after the hooks that the help of W326 names.
    sailing.node.eval(
        "ok = application:set_env(ferry, codec, packed), ok = application:set_env(ferry, fresh, true)",
    );
    let script = sailing.root.join("releases/0.2.0/runtime.exs");
    let desk = Desk::rehearsing();
    desk.write(
        "ferry.updo",
        "plan \"Ferry\".\ncode on_disk #{newest => all}.\n",
    );
    let preview = || {
        desk.on(&sailing.node, &["preview", "ferry.updo"])
            .run()
            .exits(0)
    };
    let ran = preview();
    for code in ["W325", "W326", "W328"] {
        assert!(!ran.stderr.contains(code), "{ran}");
    }
    fs::write(
        &script,
        "import Config\nconfig :ferry, harbour: \"south\", key: \"geheim\"\n",
    )
    .expect("a file can be written");
    let ran = preview().says(&["W326", "runtime.exs differs: ferry: harbour"]);
    assert!(!ran.stderr.contains("geheim"), "{ran}");
}

#[test]
fn a_release_that_is_pushed_is_compared_with_what_runs() {
    let sailing = sailing(&ferry().one);
    let desk = Desk::rehearsing();
    let lib = ferry().two.join("lib");
    let plan = format!(
        "plan \"Ferry\".\ncode push [\"{0}/ferry-0.2.0/ebin\", \"{0}/rope-0.2.0/ebin\", \"{1}/consolidated\"].\n",
        lib.display(),
        ferry().two.join("releases/0.2.0").display()
    );
    desk.write("ferry.updo", &plan);
    desk.on(&sailing.node, &["run", "ferry.updo", "--yes"])
        .run()
        .exits(0)
        .says(&["W326", "sys.config: ferry: `codec`, `fresh`", "W325"]);
    assert_eq!(sailing.version(), NEW);
    // The protocol knows its new implementation: the consolidated beam was taken.
    assert_eq!(
        sailing.node.eval_text("'Elixir.Ferry.Weight':'of'(x)"),
        "light"
    );
}

#[test]
fn consolidated_protocols_are_compared_where_the_release_keeps_them() {
    for release in [ferry().one.clone(), ferry_without_erts()] {
        let sailing = sailing(&release);
        let which = sailing.node.eval_text("code:which('Elixir.Ferry.Weight')");
        assert!(which.contains("/releases/0.1.0/consolidated/"), "{which}");
        let desk = Desk::rehearsing();
        desk.write("ferry.updo", "plan \"Ferry\".\ncode on_disk.\n");
        let preview = || {
            desk.on(&sailing.node, &["preview", "ferry.updo"])
                .run()
                .exits(0)
        };
        let ran = preview().prints(&["runs the new code already"]);
        assert!(!ran.stderr.contains("W320"), "{ran}");
        let weight = "Elixir.Ferry.Weight.beam";
        let new = ferry().two.join("releases/0.2.0/consolidated").join(weight);
        fs::copy(
            new,
            sailing
                .root
                .join("releases/0.1.0/consolidated")
                .join(weight),
        )
        .expect("a beam can be copied");
        let atom = "Elixir.Ferry.Weight.Atom.beam";
        let ebin = "lib/ferry-0.1.0/ebin";
        fs::copy(
            ferry().two.join("lib/ferry-0.2.0/ebin").join(atom),
            sailing.root.join(ebin).join(atom),
        )
        .expect("a beam can be copied");
        desk.on(&sailing.node, &["run", "ferry.updo", "--yes"])
            .run()
            .exits(0);
        // In the new implementation only the protocol calls: it is listed by no specification that the node has read.
        assert_eq!(
            sailing.node.eval_text("'Elixir.Ferry.Weight':'of'(x)"),
            "light"
        );
    }
}

#[test]
fn the_cookie_and_the_node_of_a_release_are_heard() {
    let sailing = sailing(&ferry().one);
    let desk = Desk::rehearsing();
    desk.write("ferry.updo", "plan \"Ferry\".\ncode on_disk.\n");
    let preview = |cookie: &str| {
        desk.updo(&["preview", "ferry.updo"])
            .env("UPDO_EPMD_PORT", &sailing.node.epmd_port().to_string())
            .env("UPDO_COOKIE_FILE", cookie)
            .env("RELEASE_NODE", sailing.node.name())
    };
    preview("").run().exits(10).says(&["E507"]);
    preview("")
        .env("RELEASE_COOKIE", crate::support::COOKIE)
        .run()
        .exits(0)
        .prints(&["nothing to do"]);
    // The node was started with another cookie than that of the file; mix has made the file open to all.
    let file = sailing.root.join("releases/COOKIE");
    fs::write(&file, crate::support::COOKIE).expect("a file can be written");
    let ran = preview(file.to_str().expect("UTF-8")).run().exits(0);
    ran.says(&["W329", "releases/COOKIE is open to others"]);
}

/// The archive of a whole release, as `mix release` makes it, with Erlang and Elixir in it.
#[test]
fn the_archive_of_a_release_is_pushed_and_leads_back() {
    let sailing = sailing(&ferry().one);
    let desk = Desk::rehearsing();
    for (name, root) in [("old.tar.gz", &ferry().one), ("new.tar.gz", &ferry().two)] {
        let done = Command::new("tar")
            .arg("-czf")
            .arg(desk.path().join(name))
            .arg("-C")
            .arg(root)
            .args(["bin", "lib", "releases"])
            .status();
        assert!(done.is_ok_and(|done| done.success()), "tar");
    }
    desk.write("ferry.updo", "plan \"Ferry\".\ncode push \"new.tar.gz\".\n");
    let ran = desk
        .on(&sailing.node, &["run", "ferry.updo", "--yes"])
        .run()
        .exits(0);
    ran.says(&["the new ferry was compiled for another configuration"]);
    assert_eq!(sailing.version(), NEW);
    let weight = "'Elixir.Ferry.Weight':'of'(x)";
    assert_eq!(sailing.node.eval_text(weight), "light", "consolidated");

    // What is overwritten on the disk leads back from the archive.
    let again = self::sailing(&ferry().one);
    again.overwrite();
    desk.write(
        "wrong.updo",
        "plan \"Ferry\".\ncode on_disk.\nold from \"old.tar.gz\".\nverify \"no\" -> false.\n",
    );
    fs::remove_dir_all(desk.path().join("state/beams")).expect("copies are removed");
    let ran = desk
        .on(&again.node, &["run", "wrong.updo", "--yes"])
        .run()
        .exits(20);
    assert!(!ran.stderr.contains("W317"), "{ran}");
    assert_eq!(again.version(), OLD);
}
