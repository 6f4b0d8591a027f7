//! Going back needs the old beams: without them nothing is begun that may need them, with kept copies all is well.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::bank::{Is, Plan, is, pids_of};
use crate::support::apps::{Deployed, bank};
use crate::support::desk::{Desk, walk};

#[test]
fn no_way_back_until_copies_are_kept() {
    let deployed = Deployed::bank();
    let node = &deployed.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let plan = Plan {
        code: "code on_disk.".to_owned(),
        ..Plan::on_disk("{fail, 5, error}")
    }
    .on(&desk);
    // What can fail behind the switch: the conversions are computed before it.
    let text = fs::read_to_string(&plan).expect("a plan");
    let text = format!("{text}\nafter load bank_account -> true.\n");
    fs::write(&plan, text).expect("can be written");

    deployed.replace(&bank().two);
    for (command, code, exit) in [
        (&["run", &plan, "--yes"][..], "E317", 11),
        (&["preview", &plan], "W317", 0),
    ] {
        desk.on(node, command).run().exits(exit).says(&[
            code,
            "`bank_account`",
            "the hook `after load bank_account`",
            "old from",
            "updo status PLAN --save",
        ]);
    }
    is(node, Is::Old, &pids);

    // Copies from long ago, more than are kept.
    let long_ago = SystemTime::now() - Duration::from_secs(100 * 24 * 3600);
    for number in 0..5_020_u32 {
        let folder = desk
            .path()
            .join(format!("state/beams/{:02x}", number % 256));
        fs::create_dir_all(&folder).expect("a folder");
        let copy = fs::File::create(folder.join(format!("{number:032x}.beam")));
        let copy = copy.expect("a file can be written");
        copy.set_modified(long_ago).expect("its time can be set");
    }

    // The deployment is taken back, copies are kept, the deployment is made again.
    deployed.replace(&bank().one);
    desk.on(node, &["status", &plan, "--save"])
        .run()
        .exits(0)
        .prints(&["kept 2 of 2 beams, 3 more were kept before"]);
    let mut files = Vec::new();
    walk(&desk.path().join("state"), &mut files);
    let agents = desk.agents();
    let is_copy = |file: &&PathBuf| {
        file.extension().is_some_and(|e| e == "beam") && !file.starts_with(&agents)
    };
    let copies: Vec<&PathBuf> = files.iter().filter(is_copy).collect();
    assert_eq!(copies.len(), 5_000, "the oldest are forgotten");
    // What a node has sent that does not count as one on this machine is kept as well: its new beams.
    let content = |file: &&PathBuf| fs::read(file).expect("a copy");
    let new = |bytes: &Vec<u8>| is_in(&bank().two, bytes) && !is_in(&bank().one, bytes);
    // Two modules are the same in both versions, compiled with other options: the previews have kept those of the new one.
    let whole = copies.iter().map(content).filter(|it| !it.is_empty());
    assert_eq!(
        whole.filter(|it| !new(it)).count(),
        3,
        "the modules that differ, and the witness"
    );
    deployed.replace(&bank().two);
    desk.on(node, &["run", &plan, "--yes"])
        .run()
        .exits(20)
        .says(&["E604"]);
    is(node, Is::Old, &pids);
}

/// Whether a file of a folder has this content.
fn is_in(folder: &Path, content: &[u8]) -> bool {
    let mut files = Vec::new();
    walk(folder, &mut files);
    files
        .iter()
        .any(|file| fs::read(file).is_ok_and(|bytes| bytes == content))
}
