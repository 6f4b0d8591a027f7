//! What folders of interrupted runs hold that no run has written: a journal leads nowhere but into its own folders, and
//! costs the node no more than looking.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Instant;

use updo::facts::node::stages::TEXT;

use crate::support::TestNode;

/// What the node makes of the folders below one.
fn found(folder: &Path) -> String {
    let find = TEXT.trim_end().trim_end_matches('.');
    TestNode::shared().eval_text(&format!("begin Folders = [{folder:?}], {find} end"))
}

#[test]
fn a_journal_leads_nowhere_but_into_its_own_folders() {
    let world = tempfile::tempdir().expect("a folder");
    let (ebin, other) = (world.path().join("ebin"), world.path().join("other"));
    let (mine, theirs) = (ebin.join(".updo-0001"), other.join(".updo-0001"));
    for folder in [&mine, &other] {
        fs::create_dir_all(folder).expect("a folder");
    }
    fs::write(mine.join("m.beam"), "new").expect("written");
    for file in [
        ebin.join("gone.beam"),
        other.join("gone.beam"),
        other.join("m.beam"),
    ] {
        fs::write(file, "old").expect("written");
    }
    let journal = |stages: &[&Path], pairs: &[(&Path, &Path)], gone: &[&Path]| {
        let list = |paths: &[&Path]| {
            let all: Vec<String> = paths.iter().map(|path| format!("{path:?}")).collect();
            all.join(",")
        };
        let pairs: Vec<String> = pairs
            .iter()
            .map(|(a, b)| format!("{{{a:?},{b:?}}}"))
            .collect();
        let pairs = pairs.join(",");
        let text = format!(
            "{{updo_persist,[{}],[{{{:?},{:?}}}],[{}],[{pairs}]}}.\n",
            list(stages),
            mine.join("x.boot.meanwhile"),
            other.join("x.boot"),
            list(gone),
        );
        fs::write(mine.join("journal"), text).expect("a journal");
        found(&ebin)
    };
    let here = ebin.join("m.beam");
    let beside = mine.join("m.beam");
    let there = other.join("m.beam");
    let gone = (ebin.join("gone.beam"), other.join("gone.beam"));
    // A file of another folder is not written, and none is deleted there: not one of that is in the answer. It has begun,
    // for one file is in its place.
    let up = mine.join("../../other/m.beam");
    let done = (mine.join("done.beam"), ebin.join("done.beam"));
    let said = journal(
        &[&mine],
        &[
            (&beside, &here),
            (&done.0, &done.1),
            (&beside, &there),
            (&up, &there),
            (&beside, &mine.join("../m.beam")),
        ],
        &[
            &gone.0,
            &gone.1,
            &ebin.join("../other/gone.beam"),
            &ebin.join("sys.config"),
        ],
    );
    assert!(
        said.contains(",finish,") && said.contains("m.beam") && said.contains("gone.beam"),
        "{said}"
    );
    assert!(
        !said.contains("other") && !said.contains("sys.config"),
        "{said}"
    );
    // Another folder counts only when the same run has left a journal there: nothing is done before.
    let named = [&*mine, &*theirs];
    let said = journal(
        &named,
        &[(&beside, &here), (&theirs.join("m.beam"), &there)],
        &[&gone.1],
    );
    assert!(
        said.contains(",drop,") && !said.contains("finish"),
        "{said}"
    );
    // A folder of another run is none of it, whatever a journal says.
    let said = journal(
        &[&mine, &other.join(".updo-0002"), &other],
        &[(&beside, &here)],
        &[],
    );
    assert!(!said.contains("0002") && !said.contains("other"), "{said}");
}

#[test]
fn what_is_no_journal_costs_a_look() {
    let world = tempfile::tempdir().expect("a folder");
    let stage = world.path().join(".updo-0001");
    fs::create_dir_all(&stage).expect("a folder");
    let path = stage.join("journal");
    let large = "{a,b}.\n".repeat(3 << 20);
    let begun = format!("{{updo_persist,{}", "[".repeat(9 << 20));
    for (what, says) in [
        (&large[..], "{unreadable,efbig}"),
        (&begun[..], "{unreadable,efbig}"),
        (&large[..7 << 20], ",none,"),
        ("", ",none,"),
        ("{updo_persist,", ",none,"),
        ("{updo_persist,[a|b],c,1.0e400,\"", ",none,"),
        ("{updo_persist,[[0]],[[]],[x],[{a,b,c}]}.", ",drop,"),
        ("{updo_persist,file:delete(\"x\"),[],[],[]}.", ",none,"),
    ] {
        fs::write(&path, what).expect("written");
        let began = Instant::now();
        let said = found(world.path());
        let took = began.elapsed();
        let head: String = what.chars().take(60).collect();
        assert!(said.contains(says), "{head}: {said}");
        assert!(took.as_secs() < 5, "{head}: {took:?}");
    }
    // A device, or a link to one, is not read at all.
    fs::remove_file(&path).expect("removed");
    symlink("/dev/zero", &path).expect("a link");
    let said = found(world.path());
    assert!(said.contains("{unreadable,eftype}"), "{said}");
}
