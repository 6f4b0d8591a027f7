//! Going back needs the old beams: without them nothing is begun, with kept copies all is well.

use crate::bank::{Is, Plan, is, who};
use crate::support::apps::{Deployed, bank};
use crate::support::desk::{Desk, walk};

#[test]
fn no_way_back_until_copies_are_kept() {
    let deployed = Deployed::bank();
    let node = &deployed.node;
    let (desk, pids) = (Desk::new(), who(node));
    let plan = Plan {
        code: "code on_disk.".to_owned(),
        ..Plan::on_disk("{fail, 5, error}")
    }
    .on(&desk);

    deployed.replace(&bank().two);
    for command in [&["run", &plan, "--yes"][..], &["preview", &plan]] {
        let ran = desk.on(node, command).run().exits(1);
        ran.says(&[
            "E317",
            "`bank_account`",
            "old from",
            "updo status PLAN --save",
        ]);
    }
    is(node, Is::Old, &pids);

    // The deployment is taken back, copies are kept, the deployment is made again.
    deployed.replace(&bank().one);
    desk.on(node, &["status", &plan, "--save"])
        .run()
        .exits(0)
        .prints(&["kept 5 of 5 beams"]);
    let mut files = Vec::new();
    walk(&desk.path().join("state"), &mut files);
    assert!(
        files
            .iter()
            .filter(|file| file.extension().is_some_and(|e| e == "beam"))
            .count()
            >= 4,
        "{files:?}"
    );
    deployed.replace(&bank().two);
    desk.on(node, &["run", &plan, "--yes"])
        .run()
        .exits(20)
        .says(&["E604"]);
    is(node, Is::Old, &pids);
}
