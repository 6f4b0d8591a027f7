//! Where nothing but `kubectl exec` or `fly ssh` gets to: updo beside the node, in a root that has updo and nothing else, with
//! an empty environment, no home and no terminal.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::apps::{Deployed, bank};
use crate::support::desk::UPDO;
use crate::support::{COOKIE, Options, free_port, write_cookie};

const VERSION: &str = "maps:get(version, bank_account:ask(3))";

/// A root with updo and the libraries that its debug build needs; the one that is shipped needs none.
fn root() -> TempDir {
    let root = tempfile::tempdir().expect("a temporary folder");
    fs::copy(UPDO, root.path().join("updo")).expect("it can be copied");
    let libraries = Command::new("ldd").arg(UPDO).output().expect("ldd starts");
    let text = String::from_utf8_lossy(&libraries.stdout).into_owned();
    for library in text
        .split_whitespace()
        .filter(|word| word.starts_with('/') && Path::new(word).is_file())
    {
        let there = root.path().join(library.trim_start_matches('/'));
        fs::create_dir_all(there.parent().expect("a folder")).expect("it can be made");
        fs::copy(library, there).expect("it can be copied");
    }
    root
}

/// Runs a command line in it: what it printed, on both streams, and its exit code.
fn inside(root: &TempDir, env: &[(&str, &str)], args: &[&str]) -> (String, Option<i32>) {
    let us = Command::new("id").arg("-u").output().expect("id starts");
    let mut command = match us.stdout.starts_with(b"0\n") {
        true => Command::new("chroot"),
        false => {
            let mut command = Command::new("unshare");
            command.args(["-r", "chroot"]);
            command
        }
    };
    command.arg(root.path()).arg("/updo").args(args);
    // The path is for `chroot` itself.
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.envs(env.iter().copied()).stdin(Stdio::null());
    let out = command.output().expect("it starts");
    let text = [out.stdout, out.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(!text.contains(COOKIE), "{text}");
    (text, out.status.code())
}

#[test]
fn an_upgrade_from_a_root_with_nothing_else() {
    let root = root();
    let (text, code) = inside(&root, &[], &["version"]);
    if code != Some(0) {
        eprintln!("no user of this machine may change the root: {text}");
        return;
    }
    let port = free_port();
    let options = Options {
        port: Some(port),
        ..Options::default()
    };
    let start = "{ok, _} = application:ensure_all_started(bank)";
    let bank_node = Deployed::new(&bank().one, options, start);
    let name = bank_node.node.name();
    write_cookie(&root.path().join("cookie"), COOKIE);
    let ebin = root.path().join("ebin");
    fs::create_dir(&ebin).expect("it can be made");
    for beam in fs::read_dir(&bank().two).expect("a folder").flatten() {
        fs::copy(beam.path(), ebin.join(beam.file_name())).expect("it can be copied");
    }
    // What the container has anyway.
    let port = port.to_string();
    let env = [("ERL_DIST_PORT", port.as_str())];
    let by_file = ["--cookie-file", "/cookie"];
    let (text, code) = inside(&root, &env, &[&["doctor", name][..], &by_file].concat());
    assert_eq!(code, Some(0), "{text}");
    let state = "state folder /tmp/updo-0 (default)";
    assert!(text.contains(state), "{text}");
    assert!(text.contains("(env ERL_DIST_PORT)"), "{text}");
    // No cookie is named, and there is no home.
    let (text, code) = inside(&root, &env, &["status", name]);
    assert_eq!(code, Some(10), "{text}");
    assert!(
        text.contains("E507") && text.contains("HOME is not set"),
        "{text}"
    );
    // The cookie as releases have it.
    let own = [env[0], ("RELEASE_COOKIE", COOKIE), ("RELEASE_NODE", name)];
    let (text, code) = inside(&root, &own, &["status", name]);
    assert_eq!(code, Some(0), "{text}");
    let run = [&["run", name, "--push", "/ebin", "--yes"][..], &by_file].concat();
    // Nowhere to keep a record: that costs the way back later, not the run.
    let nowhere = [env[0], ("UPDO_STATE_DIR", "/updo/nowhere")];
    let (text, code) = inside(&root, &nowhere, &run);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("W615"), "{text}");
    assert_eq!(bank_node.node.eval_text(VERSION), "2");
    let (text, code) = inside(&root, &env, &[&["status", name][..], &by_file].concat());
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("lock     free"), "{text}");
}
