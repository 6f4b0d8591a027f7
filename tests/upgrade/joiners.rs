//! A release that is started from its old image, as a container is: brought to the version of the last run, with its files.

use std::fs;

use crate::bank::{Is, Plan, is, look, pids_of};
use crate::installed::{Installed, differing};
use crate::support::apps::copy_whole;
use crate::support::desk::Desk;

#[test]
fn a_release_from_its_old_image_is_brought_to_the_version_of_the_last_run() {
    let Some(mut srv) = Installed::bank() else {
        return;
    };
    let image = tempfile::tempdir().expect("a folder");
    copy_whole(&srv.root, image.path());
    let node = srv.start();
    let (desk, pids) = (Desk::new(), pids_of(&node));
    let mut plan = Plan::up("fine").with("verify \"two\" -> 2 = bank_rate:rate().");
    plan.code = plan.code.replacen("].", "] #{persist => true}.", 1);
    let path = plan.on(&desk);
    let ran = desk.on(&node, &["run", &path, "--yes"]).run().exits(0);
    let first = ran.name();
    is(&node, Is::New, &pids);
    let new = srv.files();
    // Another container of the old image, in place of this one.
    node.kill();
    fs::remove_dir_all(&srv.root).expect("can remove");
    fs::create_dir(&srv.root).expect("a folder");
    copy_whole(image.path(), &srv.root);
    let old = srv.files();
    assert!(!differing(&old, &new).is_empty());
    let node = srv.start();
    assert_eq!(look(&node), Is::Old);
    // In embedded mode what the boot file does not list is lacking: the new module as well.
    let since = format!("bank_account, bank_fee, bank_rate since run {first}");
    desk.on(&node, &["status", &path])
        .run()
        .exits(0)
        .prints(&["version  behind", &since]);
    let pids = pids_of(&node);
    let ran = desk
        .on(&node, &["reconcile", &path, "--yes"])
        .run()
        .exits(0);
    ran.says(&[&since, "3 beams written"]);
    is(&node, Is::New, &pids);
    // What it has written is what the run had: each beam in the folder of its application, and in the boot files.
    assert_eq!(differing(&new, &srv.files()), Vec::<String>::new());
    desk.on(&node, &["status", &path])
        .run()
        .exits(0)
        .prints(&[&format!("version  run {first}"), "bank 1.0.0"]);
    desk.on(&node, &["rollback", "--yes"]).run().exits(0);
    is(&node, Is::Old, &pids);
    assert_eq!(differing(&old, &srv.files()), Vec::<String>::new());
}
