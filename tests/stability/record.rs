//! Making what is kept of a version: one upgrade of a server whose state grows a field, there and back.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use updo::diag::Code;

use crate::support::desk::{Desk, Updo, walk};
use crate::support::{Options, TestNode};
use crate::{blessing, own, words};

/// The name is part of the records.
pub const NODE: &str = "steeple@localhost";

const PLAN: &str = "\
plan \"Steeple\" #{ticket => \"T-1\"}.
target tower #{nodes => ['steeple@localhost']}.
code push [\"two\"].
old from \"one\".
param Tone :: atom = deep.
module steeple #{change => {advanced, Tone}} because \"the state grew a tone\".
require \"it is there\" -> is_pid(whereis(steeple)).
before upgrade -> info(\"before\").
after upgrade -> warn(\"after\").
verify \"it rings\" -> {steeple, _, deep} = sys:get_state(steeple).
";

/// The folder whose path is part of a saved script. One test at a time, of one process at a time.
pub struct Place {
    pub folder: PathBuf,
    _lock: File,
}

/// A node with the server in a version.
pub struct Bell {
    pub node: TestNode,
}

impl Bell {
    /// updo, which finds the node by what a plan, a script or a record says.
    pub fn updo<'d>(&self, desk: &'d Desk, args: &[&str]) -> Updo<'d> {
        let port = self.node.epmd_port().to_string();
        desk.updo(args).env("UPDO_EPMD_PORT", &port)
    }

    pub fn state(&self) -> String {
        self.node.eval_text("sys:get_state(steeple)")
    }
}

/// What one upgrade writes.
pub struct Recorded {
    pub events: String,
    pub documents: Vec<(&'static str, String)>,
    pub script: String,
    pub desk: Desk,
}

impl Place {
    /// With the beams and the plan of a version.
    pub fn new(version: &Path) -> Self {
        let folder = PathBuf::from("/tmp/updo-stability");
        let lock = File::create(folder.with_extension("lock")).expect("ours");
        lock.lock().expect("it becomes free");
        let _ = fs::remove_dir_all(&folder);
        for name in ["one", "two"] {
            let to = folder.join(name);
            fs::create_dir_all(&to).expect("a folder");
            fs::copy(
                version.join(name).join("steeple.beam"),
                to.join("steeple.beam"),
            )
            .expect("copied");
        }
        fs::copy(version.join("steeple.updo"), folder.join("steeple.updo")).expect("copied");
        Self {
            folder,
            _lock: lock,
        }
    }

    /// A node that runs one of them, rung three times.
    pub fn node(&self, which: &str) -> Bell {
        let options = Options {
            name: Some(NODE.to_owned()),
            ..Options::default()
        };
        let node = options.path(self.folder.join(which)).start();
        node.eval(
            "begin {ok, P} = steeple:start(), unlink(P), [steeple:ring() || _ <- [1, 2, 3]] end",
        );
        Bell { node }
    }

    /// One upgrade, and one back.
    pub fn recorded(&self) -> Recorded {
        let (desk, bell) = (Desk::rehearsing(), self.node("one"));
        let plan = self.folder.join("steeple.updo").display().to_string();
        let script = desk.path().join("saved.script").display().to_string();
        let json = |args: &[&str]| {
            let ran = bell.updo(&desk, args).arg("--json").run();
            assert!(matches!(ran.code, Some(0 | 3)), "{ran}");
            ran.stdout
        };
        let preview = json(&["preview", &plan]);
        bell.updo(&desk, &["preview", &plan, "-o", &script])
            .run()
            .exits(0);
        let rehearsal = json(&["rehearse", &plan]);
        let status = json(&["status", &plan]);
        let run = [
            "run",
            &script,
            "--yes",
            "--message",
            "a note",
            "--events",
            "events.jsonl",
        ];
        bell.updo(&desk, &run).run().exits(0);
        let events = desk.read("events.jsonl");
        bell.updo(&desk, &["rollback", "--yes"]).run().exits(0);
        assert_eq!(bell.state(), "{steeple,3}");
        // And once more, so that the newest can be rolled back.
        bell.updo(&desk, &["run", &script, "--yes"]).run().exits(0);
        let log = json(&["log"]);
        Recorded {
            events,
            documents: vec![
                ("preview.json", preview),
                ("rehearsal.json", rehearsal),
                ("status.json", status),
                ("log.json", log),
            ],
            script: desk.read("saved.script"),
            desk,
        }
    }
}

/// Writes the folder of the version that is built.
pub fn bless() {
    static ONCE: Once = Once::new();
    if blessing() {
        ONCE.call_once(write);
    }
}

fn write() {
    let own = own();
    let put = |name: &str, content: &[u8]| {
        let path = own.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, content).expect("written");
    };
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/modules/steeple.erl");
    for (name, version) in [("one", 1), ("two", 2)] {
        let folder = own.join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let ran = Command::new("erlc")
            .args(["+deterministic", "+no_debug_info"])
            .args([format!("-DVERSION={version}"), format!("-DVSN={version}")])
            .arg("-o")
            .args([&folder, &source])
            .output()
            .expect("erlc");
        assert!(
            ran.status.success(),
            "{}",
            String::from_utf8_lossy(&ran.stdout)
        );
    }
    put("steeple.updo", PLAN.as_bytes());
    let release = TestNode::shared().eval_text("erlang:system_info(otp_release)");
    put("otp", format!("{}\n", release.trim_matches('"')).as_bytes());
    let place = Place::new(&own);
    let recorded = place.recorded();
    put("events.jsonl", recorded.events.as_bytes());
    put("saved.script", recorded.script.as_bytes());
    for (name, document) in &recorded.documents {
        put(name, document.as_bytes());
    }
    // One file of two is in its place.
    let journal = "{updo_persist,[\"EBIN/.updo-0a1b\"],[],[],\
        [{\"EBIN/.updo-0a1b/belfry.beam\",\"EBIN/belfry.beam\"},\
        {\"EBIN/.updo-0a1b/steeple.beam\",\"EBIN/steeple.beam\"}]}.\n";
    put("journal", journal.as_bytes());
    let schema = include_bytes!("../../docs/schema/events-1.0.json");
    put("events-schema.json", schema);
    put("words.txt", words::all().join("\n").as_bytes());
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    put("codes.txt", codes.join("\n").as_bytes());
    let _ = fs::remove_dir_all(own.join("state"));
    let state = recorded.desk.path().join("state/runs");
    let mut files = Vec::new();
    walk(&state, &mut files);
    for file in files {
        let below = file
            .strip_prefix(&state)
            .expect("below")
            .display()
            .to_string();
        put(
            &format!("state/runs/{below}"),
            &fs::read(&file).expect("readable"),
        );
    }
}
