//! A person's own settings count less than flags, environment and plan, and more than nothing.

use crate::support::{COOKIE, write_cookie};
use crate::waiting::{desk, untouched, waiting};

#[test]
fn own_settings_are_heard_last() {
    let (deployed, desk) = (waiting(), desk());
    let node = &deployed.node;
    std::fs::create_dir(desk.path().join("own")).expect("a folder");
    write_cookie(&desk.path().join("own/cookie"), COOKIE);
    write_cookie(&desk.path().join("other"), "notthecookieofthatnode");
    std::fs::create_dir_all(desk.path().join(".config/updo")).expect("a folder");
    let mine = "color = \"always\"\nunicode = false\nruns = 3\nhistory = 10\ncookie_file = \"~/own/cookie\"\n";
    desk.write(".config/updo/config.toml", mine);
    let on = |args: &[&str]| desk.on(node, args).env("UPDO_COOKIE_FILE", "");
    let doctor = on(&["doctor", node.name()]).run().exits(0).prints(&[
        "/own/cookie",
        ".config/updo/config.toml: color, cookie_file, history, runs, unicode",
    ]);
    assert!(
        doctor.stdout.is_ascii() && doctor.stdout.contains("\x1b["),
        "{doctor}"
    );
    // Flag, environment and plan come first.
    let flag = on(&[
        "doctor",
        node.name(),
        "--color",
        "never",
        "--cookie-file",
        "cookie",
    ]);
    let flag = flag.run().exits(0).prints(&["from cookie"]);
    assert!(!flag.stdout.contains("\x1b["), "{flag}");
    desk.write(".config/updo/config.toml", "cookie_file = \"~/other\"\n");
    on(&["doctor", node.name()]).run().exits(10);
    let eval = ["eval", node.name(), "1 + 1."];
    on(&eval).run().exits(10);
    on(&eval)
        .env("UPDO_COOKIE_FILE", "own/cookie")
        .run()
        .exits(0);
    let plan = desk.read("shop.updo");
    let target = format!(
        "target shop #{{nodes => ['{}'], cookie => file(\"own/cookie\")}}.\n",
        node.name()
    );
    desk.write("own.updo", &format!("{plan}\n{target}"));
    on(&["preview", "own.updo"]).run().exits(0);
    // Another file, or none.
    let config = |name: &str| on(&eval).env("UPDO_CONFIG", name);
    desk.write("mine.toml", "cookie_file = \"own/cookie\"\n");
    config("mine.toml").run().exits(0);
    config("missing.toml")
        .run()
        .exits(2)
        .says(&["E802", "missing.toml"]);
    untouched(&deployed);
}

#[test]
fn an_unknown_setting_is_reported() {
    let desk = desk();
    for (text, printed) in [
        ("colour = \"never\"", "did you mean `color`?"),
        ("color = 3", "`color` wants"),
        ("width = 10", "a number from 40 to 400"),
        ("color = \"auto", "line 1"),
        ("\u{0}", "line 1"),
    ] {
        desk.write("own.toml", text);
        let log = desk.updo(&["log"]).env("UPDO_CONFIG", "own.toml");
        log.run().exits(2).says(&["E802", "own.toml", printed]);
    }
    desk.write("own.toml", &"# long\n".repeat(20_000));
    let log = desk.updo(&["log"]).env("UPDO_CONFIG", "own.toml");
    log.run().exits(2).says(&["larger than 64 KiB"]);
    let log = desk.updo(&["log"]).env("UPDO_CONFIG", "/dev/zero");
    log.run().exits(2).says(&["not a regular file"]);
}
