//! When a node cannot be reached: each reason has its code, and all end with 10.

use crate::support::{TestNode, free_port, write_cookie};
use crate::waiting::{desk, untouched, waiting};

#[test]
fn wrong_cookie() {
    let (deployed, desk) = (waiting(), desk());
    write_cookie(&desk.path().join("other"), "notthecookieofthatnode");
    for command in [
        &["run", "shop.updo", "--yes"][..],
        &["preview", "shop.updo"],
    ] {
        let ran = desk
            .on(&deployed.node, command)
            .arg("--cookie-file")
            .arg("other")
            .run()
            .exits(10);
        assert!(!ran.stderr.contains("notthecookieofthatnode"), "{ran}");
        ran.says(&["E502", deployed.node.name()]);
    }
    untouched(&deployed);
}

#[test]
fn cookie_files_that_are_refused() {
    let (deployed, desk) = (waiting(), desk());
    desk.on(
        &deployed.node,
        &["preview", "shop.updo", "--cookie-file", "missing"],
    )
    .run()
    .exits(10)
    .says(&["E507", "missing"]);
    desk.write("open", crate::support::COOKIE);
    let open = desk.path().join("open");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644))
        .expect("its mode can be set");
    desk.on(
        &deployed.node,
        &["preview", "shop.updo", "--cookie-file", "open"],
    )
    .run()
    .exits(10)
    .says(&["E507"]);
    std::fs::remove_file(&open).expect("it can be removed");
}

#[test]
fn a_cookie_from_the_environment() {
    let (deployed, desk) = (waiting(), desk());
    let preview = || {
        desk.on(&deployed.node, &["preview", "shop.updo"])
            .env("UPDO_COOKIE_FILE", "")
    };
    preview().run().exits(10).says(&["E507"]);
    preview()
        .env("UPDO_COOKIE", crate::support::COOKIE)
        .run()
        .exits(0);
}

#[test]
fn unknown_node() {
    let (deployed, desk) = (waiting(), desk());
    let name = deployed.node.name();
    let (short, host) = name.split_once('@').expect("a full name");
    let typo = format!("{short}x@{host}");
    for command in [
        &["run", "shop.updo", "--yes", "-t", &typo][..],
        &["eval", &typo, "1"],
    ] {
        desk.on(&deployed.node, command).run().exits(10).says(&[
            "E501",
            &format!("`{short}x`"),
            &format!("did you mean {name}?"),
        ]);
    }
}

#[test]
fn no_epmd() {
    let (deployed, desk) = (waiting(), desk());
    let port = free_port().to_string();
    desk.on(&deployed.node, &["run", "shop.updo", "--yes"])
        .env("UPDO_EPMD_PORT", &port)
        .run()
        .exits(10)
        .says(&["E501", "epmd", &port]);
}

#[test]
fn a_node_that_is_down() {
    let (node, desk) = (TestNode::start(), desk());
    node.kill();
    desk.on(&node, &["run", "shop.updo", "--yes"])
        .run()
        .exits(10)
        .says(&["E501", node.short()]);
}

#[test]
fn a_target_that_is_missing_or_ambiguous_is_named() {
    let desk = desk();
    desk.updo(&["preview", "shop.updo"]).run().exits(1).says(&[
        "E211",
        "the plan has no target",
        "-t shop@host",
    ]);
    desk.updo(&["preview", "shop.updo", "-t", "shop"])
        .run()
        .exits(1)
        .says(&["E211", "no target `shop`"]);
    desk.write("two.updo", "plan \"Two\".\ntarget shop #{nodes => [a@localhost]}.\ntarget chat #{nodes => [b@localhost]}.\n");
    desk.updo(&["preview", "two.updo"])
        .run()
        .exits(1)
        .says(&["E211", "-t shop, -t chat"]);
    desk.updo(&["preview", "two.updo", "-t", "shp"])
        .run()
        .exits(1)
        .says(&["did you mean `shop`?"]);
}
