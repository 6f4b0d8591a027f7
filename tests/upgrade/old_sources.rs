//! Where the beams of the running version come from when neither the node nor updo's store has them: a revision of the
//! repository that is built for it, and the archive of a release.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::bank::{Is, is, look, pids_of, replaced};
use crate::support::apps::{Deployed, bank};
use crate::support::desk::{Desk, Updo};
use crate::support::{PATIENCE, other_root};

/// A repository with the bank: version 1 in the first commit, version 2 in the second. Each build adds a line to a file.
struct Repository {
    desk: Desk,
    builds: PathBuf,
}

impl Repository {
    fn new() -> Self {
        let desk = Desk::new();
        let builds = desk.path().join("builds");
        let this = Self { desk, builds };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/apps/bank");
        fs::create_dir_all(this.path("repo/bank/src")).expect("a folder");
        fs::create_dir(this.path("tmp")).expect("a folder");
        this.git(&["init", "--quiet"]);
        let built = format!(
            "echo once >> {}\nmkdir -p _build/ebin\n",
            this.builds.display()
        );
        for entry in fs::read_dir(&source).expect("the sources are there") {
            let file = entry.expect("an entry").path();
            if file.extension().is_some_and(|end| end == "erl") && !file.ends_with("bank_fee.erl") {
                let name = file.file_name().expect("a name");
                fs::copy(&file, this.path("repo/bank/src").join(name)).expect("copied");
            }
        }
        fs::copy(
            source.join("bank-1.app"),
            this.path("repo/bank/src/bank.app.src"),
        )
        .expect("copied");
        this.desk
            .write("repo/bank/rebar.config", "{erl_opts, [debug_info]}.\n");
        let script = |flags: &str| {
            let erlc = format!("erlc +debug_info {flags} -o _build/ebin src/*.erl\n");
            this.desk
                .write("repo/bank/build.sh", &format!("{built}{erlc}"));
        };
        script("");
        this.commit("one");
        fs::copy(
            source.join("bank_fee.erl"),
            this.path("repo/bank/src/bank_fee.erl"),
        )
        .expect("copied");
        script("-DTWO");
        this.commit("two");
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.desk.path().join(name)
    }

    fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .arg("-C")
            .arg(self.path("repo"))
            .args(["-c", "user.name=anna", "-c", "user.email=anna@example.net"])
            .args(args)
            .env("HOME", self.desk.path())
            .output()
            .expect("git starts");
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn commit(&self, title: &str) {
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "-m", title]);
    }

    /// A plan in the repository that is not committed; what it says of old code.
    fn plan(&self, old: &str) -> String {
        let text = format!(
            "plan \"Bank 2\".\ncode on_disk.\n{old}\nmodule bank_account #{{change => {{advanced, fine}}}} because \"the tests say so\".\nverify \"no\" -> false.\n"
        );
        let path = self.desk.write("repo/bank/bank.updo", &text);
        path.display().to_string()
    }

    fn updo(&self, bank: &Deployed, args: &[&str]) -> Updo<'_> {
        let tmp = self.path("tmp").display().to_string();
        self.desk.on(&bank.node, args).env("TMPDIR", &tmp)
    }

    /// How often something was built.
    fn builds(&self) -> usize {
        fs::read_to_string(&self.builds).map_or(0, |text| text.lines().count())
    }

    /// Nothing of a worktree is left, neither on the disk nor in the repository.
    fn is_clean(&self) {
        let left: Vec<_> = fs::read_dir(self.path("tmp")).expect("a folder").collect();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(self.git(&["worktree", "list"]).lines().count(), 1);
    }
}

const BUILD: &str = "#{build => \"sh build.sh\"}";

#[test]
fn a_revision_is_built_once_and_leads_back() {
    let repository = Repository::new();
    let bank_1 = replaced();
    let pids = pids_of(&bank_1.node);
    let path = repository.plan(&format!("old from git \"HEAD~1\" {BUILD}."));
    // Without a node nothing is built.
    repository.desk.updo(&["check", &path]).run().exits(0);
    assert_eq!(repository.builds(), 0);
    let ran = repository.updo(&bank_1, &["preview", &path]).run().exits(0);
    ran.says(&["building HEAD~1 (", "sh build.sh"])
        .prints(&["undo     exact: old code and old states of every process"]);
    assert_eq!(repository.builds(), 1);
    repository.is_clean();
    // It fails its check, and goes back.
    let ran = repository
        .updo(&bank_1, &["run", &path, "--yes"])
        .run()
        .exits(20);
    assert!(
        !ran.stderr.contains("W317") && !ran.stderr.contains("building"),
        "{ran}"
    );
    is(&bank_1.node, Is::Old, &pids);
    assert_eq!(repository.builds(), 1);

    // Copies that the store has lost are built again, others of the same commit are not.
    fs::remove_dir_all(repository.path("state/beams")).expect("removed");
    repository.git(&["tag", "v1", "HEAD~1"]);
    let path = repository.plan(&format!("old from git \"v1\" {BUILD}."));
    repository
        .updo(&bank_1, &["preview", &path])
        .run()
        .exits(0)
        .says(&["building v1 ("]);
    assert_eq!(repository.builds(), 2);
    let path = repository.plan(&format!("old from git \"HEAD~1\" {BUILD}."));
    repository.updo(&bank_1, &["preview", &path]).run().exits(0);
    assert_eq!(repository.builds(), 2);
    repository.is_clean();
}

/// The build tool that the documents name.
#[test]
fn rebar3_builds_a_revision() {
    if let Some(root) = other_root() {
        println!("no rebar3 in {}", root.display());
        return;
    }
    let repository = Repository::new();
    let bank_1 = replaced();
    let pids = pids_of(&bank_1.node);
    let path = repository.plan("old from git \"HEAD~1\" #{build => \"rebar3 compile\"}.");
    let ran = repository
        .updo(&bank_1, &["run", &path, "--yes"])
        .run()
        .exits(20);
    assert!(!ran.stderr.contains("W317"), "{ran}");
    is(&bank_1.node, Is::Old, &pids);
    repository.is_clean();
}

/// A node whose copies are all there needs no build.
#[test]
fn nothing_is_built_for_what_is_known() {
    let repository = Repository::new();
    let bank_1 = Deployed::bank();
    // Disk and node agree: copies are kept.
    let path = repository.plan("");
    repository.updo(&bank_1, &["preview", &path]).run().exits(0);
    bank_1.replace(&bank().two);
    let path = repository.plan("old from git \"HEAD~1\" #{build => \"exit 1\"}.");
    let ran = repository.updo(&bank_1, &["preview", &path]).run().exits(0);
    ran.prints(&["undo     exact"]);
}

#[test]
fn another_version_is_ignored_and_that_is_said() {
    let repository = Repository::new();
    let bank_1 = replaced();
    let path = repository.plan(&format!("old from git \"HEAD\" {BUILD}."));
    let preview = || repository.updo(&bank_1, &["preview", &path]).run().exits(0);
    preview().says(&[
        "W641",
        "the build of `HEAD` has no copy of what runs of 2 modules",
        "`bank_rate`: ",
        " runs, the build gives ",
        "W317",
    ]);
    // What it gives is known, and is not built for every look.
    preview().says(&["W641", "W317"]);
    assert_eq!(repository.builds(), 1);
    repository.is_clean();
}

/// What a build prints is shown when it fails: no cookie can be in it.
#[test]
fn a_build_gets_no_cookie() {
    let repository = Repository::new();
    let bank_1 = replaced();
    let path = repository.plan("old from git \"HEAD~1\" #{build => \"env; exit 3\"}.");
    let ran = repository
        .updo(&bank_1, &["run", &path, "--yes"])
        .env("RELEASE_COOKIE", "sesame17")
        .env("ERL_FLAGS", "-setcookie sesame18")
        .env("LESS", "-R")
        .run()
        .exits(1);
    let ran = ran.says(&["E806", "exit code 3", "LESS=-R"]);
    assert!(!ran.to_string().contains("sesame"), "{ran}");
}

#[test]
fn a_revision_that_cannot_be_had_or_built_is_an_error() {
    let repository = Repository::new();
    let bank_1 = replaced();
    let refused = |old: &str, says: &[&str]| {
        let path = repository.plan(old);
        repository
            .updo(&bank_1, &["run", &path, "--yes"])
            .run()
            .exits(1)
            .says(says);
        assert_eq!(look(&bank_1.node), Is::Old);
        repository.is_clean();
    };
    refused(
        &format!("old from git \"v9\" {BUILD}."),
        &[
            "E805",
            "`v9` cannot be had from git",
            "Needed a single revision",
        ],
    );
    refused(
        "old from git \"HEAD~1\" #{build => \"echo the compiler says no; exit 3\"}.",
        &[
            "E806",
            "exit code 3",
            "the compiler says no",
            "nothing was changed",
        ],
    );
    // Whatever it has started ends with it.
    let mark = repository.path("alive").display().to_string();
    refused(
        &format!(
            "old from git \"HEAD~1\" #{{build => \"(sleep 4; touch {mark}) & echo begun; sleep 60\", within => 1s}}."
        ),
        &["E806", "took too long", "begun"],
    );
    std::thread::sleep(Duration::from_secs(4));
    assert!(
        !Path::new(&mark).exists(),
        "a process of the build was left"
    );

    // No repository.
    let text = format!("plan \"Bank 2\".\ncode on_disk.\nold from git \"HEAD\" {BUILD}.\n");
    let path = repository
        .desk
        .write("outside.updo", &text)
        .display()
        .to_string();
    let ran = repository.updo(&bank_1, &["preview", &path]);
    // Should the temporary folder of this machine be in a repository.
    let ceiling = repository.desk.path().display().to_string();
    ran.env("GIT_CEILING_DIRECTORIES", &ceiling)
        .run()
        .exits(1)
        .says(&["E805", "not a git repository"]);
}

/// `watch` keeps its plan open: a build that fails for what passes, the network for instance, is tried at the next look.
#[test]
fn a_build_that_has_failed_is_tried_again_at_the_next_look() {
    let repository = Repository::new();
    let bank_1 = replaced();
    let ready = repository.path("ready");
    let path = repository.plan(&format!(
        "old from git \"HEAD~1\" #{{build => \"test -e {} && sh build.sh\"}}.",
        ready.display()
    ));
    let mut watch = repository.updo(&bank_1, &["watch", &path]).start();
    watch.await_says("E806");
    assert_eq!(repository.builds(), 0);
    fs::write(&ready, "").expect("written");
    bank_1.replace(&bank().two);
    let until = Instant::now() + PATIENCE;
    while repository.builds() == 0 {
        assert!(Instant::now() < until, "it is not built again");
        std::thread::sleep(Duration::from_millis(10));
    }
    // The check of the plan fails: with copies of the running version it goes back.
    watch.await_says("is as before");
    watch.signal("-INT");
    watch.wait();
    repository.is_clean();
}

/// Killed in the middle, as by a signal: what it has started does not go on, and no worktree is left.
#[test]
fn a_build_does_not_outlive_who_wanted_it() {
    let repository = Repository::new();
    let bank_1 = replaced();
    let mark = |name: &str| repository.path(name);
    let (begun, alive) = (mark("begun"), mark("alive"));
    let path = repository.plan(&format!(
        "old from git \"HEAD~1\" #{{build => \"touch {}; sleep 3; touch {}\"}}.",
        begun.display(),
        alive.display()
    ));
    let mut running = repository.updo(&bank_1, &["preview", &path]).start();
    let until = Instant::now() + PATIENCE;
    while !begun.exists() {
        assert!(Instant::now() < until, "the build does not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
    running.kill();
    let is_left = || fs::read_dir(mark("tmp")).expect("a folder").count() > 0;
    while is_left() {
        assert!(Instant::now() < until, "the worktree is left");
        std::thread::sleep(Duration::from_millis(10));
    }
    repository.is_clean();
    std::thread::sleep(Duration::from_secs(3));
    assert!(!alive.exists(), "the build has gone on");
}

/// What is wrong in the plan itself is found without a node and without git.
#[test]
fn the_statement_is_checked_by_itself() {
    let desk = Desk::new();
    for (old, says) in [
        (
            "old from git \"HEAD~1\".",
            &["E205", "needs the command", "rebar3 compile"][..],
        ),
        (
            "old from git \"HEAD~1\" #{build => make}.",
            &["E205", "the command that builds it, in quotes"],
        ),
        (
            "old from git \"HEAD~1\" #{build => \"make\", within => soon}.",
            &["E205", "a duration such as"],
        ),
        (
            "old from git \"HEAD~1\" #{bild => \"make\"}.",
            &["E204", "did you mean `build`"],
        ),
        ("old from git HEAD.", &["E101"]),
    ] {
        desk.write("x.updo", &format!("plan \"X\".\n{old}\n"));
        let ran = desk.updo(&["check", "x.updo"]).run();
        assert_eq!(ran.code, Some(1), "{old}");
        ran.says(says);
    }
}

/// The archive of a release, as `mix release` and relx make them.
fn archive(desk: &Desk, version: &Path, name: &str) -> PathBuf {
    let root = desk.path().join("root");
    let ebin = root.join("lib/bank-1.0.0/ebin");
    fs::create_dir_all(&ebin).expect("a folder");
    for entry in fs::read_dir(version).expect("beams") {
        let file = entry.expect("an entry").path();
        fs::copy(&file, ebin.join(file.file_name().expect("a name"))).expect("copied");
    }
    let archive = desk.path().join(name);
    let done = Command::new("tar")
        .arg("-czf")
        .arg(&archive)
        .arg("-C")
        .arg(&root)
        .arg("lib")
        .status();
    assert!(done.is_ok_and(|done| done.success()), "tar");
    fs::remove_dir_all(&root).expect("removed");
    archive
}

#[test]
fn the_archive_of_a_release_leads_back() {
    let bank_1 = replaced();
    let (node, pids) = (&bank_1.node, pids_of(&bank_1.node));
    let desk = Desk::new();
    archive(&desk, &bank().one, "bank-1.tar.gz");
    for old in ["bank-1.tar.gz", "bank-1.tar.gz/lib/bank-*/ebin", "*.tar.gz"] {
        let text = format!(
            "plan \"Bank 2\".\ncode on_disk.\nold from {old:?}.\nmodule bank_account #{{change => {{advanced, fine}}}} because \"the tests say so\".\nverify \"no\" -> false.\n"
        );
        desk.write("bank.updo", &text);
        desk.on(node, &["run", "bank.updo", "--yes"])
            .run()
            .exits(20);
        is(node, Is::Old, &pids);
        // A run keeps copies: the next one shall need the archive again.
        fs::remove_dir_all(desk.path().join("state")).expect("removed");
    }
    for (old, says) in [
        ("bank-1.tar.gz/lib/shop-*/ebin", "no beam file matches"),
        ("broken.tar.gz", "the archive is damaged"),
    ] {
        desk.write("broken.tar.gz", "no archive");
        desk.write(
            "bank.updo",
            &format!("plan \"Bank 2\".\ncode on_disk.\nold from {old:?}.\n"),
        );
        desk.on(node, &["preview", "bank.updo"])
            .run()
            .exits(1)
            .says(&["E213", says]);
    }
}

/// New code comes from an archive as well: from the application file in it is known which modules are gone.
#[test]
fn the_archive_of_a_release_is_pushed() {
    let bank_1 = Deployed::bank();
    let (node, pids) = (&bank_1.node, pids_of(&bank_1.node));
    let desk = Desk::new();
    archive(&desk, &bank().two, "bank-2.tgz");
    let text = "plan \"Bank 2\".\ncode push \"bank-2.tgz\".\nmodule bank_account #{change => {advanced, fine}} because \"the tests say so\".\n";
    desk.write("bank.updo", text);
    let ran = desk.on(node, &["run", "bank.updo", "--yes"]).run().exits(0);
    ran.says(&[
        "bank-2.tgz/lib/bank-1.0.0/ebin/bank.app",
        "the file has 2.0.0",
    ]);
    is(node, Is::New, &pids);
}
