//! `scripts/dist.sh` where it must not go on. Nothing is built: a copy of the script in a folder of its own, with programs
//! that only answer what it asks of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

const TARGET: &str = "x86_64-unknown-linux-musl";

/// A folder with the script, and a binary that an earlier build has left.
struct Sources {
    folder: TempDir,
}

fn executable(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
    fs::write(path, format!("#!/bin/sh\n{text}\n")).expect("a file can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("its mode can be set");
}

impl Sources {
    fn new() -> Self {
        let sources = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/dist.sh");
        fs::create_dir(sources.at("scripts")).expect("a folder");
        fs::copy(script, sources.at("scripts/dist.sh")).expect("the script can be copied");
        fs::write(sources.at("Cargo.toml"), "version = \"0.1.0\"\n").expect("a file");
        for name in [
            "dpkg-deb", "python3", "buildah", "gcc", "apt-get", "cargo", "git",
        ] {
            executable(&sources.at("bin").join(name), "exit 1");
        }
        executable(
            &sources.at("bin/rustc"),
            "echo 'host: x86_64-unknown-linux-gnu'",
        );
        executable(&sources.at("bin/rustup"), &format!("echo {TARGET}"));
        executable(
            &sources.at(&format!("target/dist-build/{TARGET}/debug/updo")),
            &format!("echo started >>{}", sources.at("started").display()),
        );
        sources
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The exit code, and what it says.
    fn dist(&self, more: &[&str]) -> (Option<i32>, String) {
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new("bash")
            .arg(self.at("scripts/dist.sh"))
            .args(["--dev", "--target", TARGET])
            .args(more)
            .env("PATH", format!("{}:{path}", self.at("bin").display()))
            .env("CARGO", self.at("bin/cargo"))
            .env("SOURCE_DATE_EPOCH", "1")
            .output()
            .expect("bash starts");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), text)
    }
}

#[test]
fn a_folder_with_other_files_is_refused_before_anything_is_built() {
    let sources = Sources::new();
    let out = sources.at("papers");
    fs::create_dir(&out).expect("a folder");
    fs::write(out.join("letter"), "dear").expect("a file");
    let named = out.display().to_string();
    let (code, text) = sources.dist(&["--out", &named]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("papers has other files in it"), "{text}");
    assert!(!text.contains("building"), "{text}");
    assert_eq!(fs::read(out.join("letter")).expect("it is there"), b"dear");

    // An earlier release, an empty folder, a new one, and the default are not: these get as far as the build.
    fs::write(out.join("SHA256SUMS"), "").expect("a file");
    let (empty, new) = (sources.at("empty"), sources.at("new"));
    fs::create_dir(&empty).expect("a folder");
    fs::create_dir_all(sources.at("target/dist/half")).expect("a folder");
    let [empty, new] = [empty, new].map(|path| path.display().to_string());
    for more in [
        &["--out", &named][..],
        &["--out", &empty],
        &["--out", &new],
        &[],
    ] {
        let (code, text) = sources.dist(more);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("dist: building for"), "{more:?}: {text}");
    }
}

#[test]
fn after_a_build_that_fails_nothing_is_packed() {
    let sources = Sources::new();
    let out = sources.at("out");
    fs::create_dir(&out).expect("a folder");
    fs::write(out.join("SHA256SUMS"), "of the last release").expect("a file");
    let (code, text) = sources.dist(&["--out", &out.display().to_string()]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains(&format!("cannot build for {TARGET}")),
        "{text}"
    );
    assert!(
        !sources.at("started").exists(),
        "the binary of an earlier build was used: {text}"
    );
    assert!(out.join("SHA256SUMS").exists(), "{text}");
}
