//! Every flag has a twin in the environment, which counts less than a flag; `doctor` says which one counts.

use crate::waiting::{desk, untouched, waiting};

#[test]
fn the_environment_sets_the_same() {
    let (deployed, desk) = (waiting(), desk());
    let on = |args: &[&str], env: &[(&str, &str)]| {
        let ran = desk.on(&deployed.node, args);
        env.iter()
            .fold(ran, |ran, (name, value)| ran.env(name, value))
            .run()
    };
    let preview = ["preview", "shop.updo"];
    let full = on(&preview, &[("UPDO_FULL", "1")]).exits(0);
    full.prints(&["  same     ", "  undo     "]);
    let no = on(&preview, &[("UPDO_FULL", "0"), ("UPDO_JSON", "")]).exits(0);
    assert!(!no.stdout.contains("  same     "), "{no}");
    let json = on(&preview, &[("UPDO_JSON", "true")]).exits(0).json();
    assert_eq!(json["schema"], "updo.preview/1.0");
    // Verbs that are counted, values, and a flag without a long name.
    on(&preview, &[("UPDO_VERBOSE", "2")])
        .exits(0)
        .says(&["trace  call"]);
    on(&["preview", "shop.updo"], &[("UPDO_DIRECTORY", "nowhere")]).exits(2);
    on(&["log"], &[("UPDO_LAST", "many")])
        .exits(2)
        .says(&["--last"]);
    // What is typed counts more, also when the two exclude each other.
    on(&["run", "shop.updo", "--dry-run"], &[("UPDO_YES", "1")]).exits(0);
    let terms = ["preview", "shop.updo", "--terms"];
    let terms = on(&terms, &[("UPDO_LOW", "1")]).exits(0);
    assert!(terms.stdout.contains("{add_module,shop_round}"), "{terms}");
    // Which of two variables was meant is unknown.
    on(&preview, &[("UPDO_LOW", "1"), ("UPDO_TERMS", "1")]).exits(2);
    // One that needs another flag waits for it.
    on(
        &["graph", "shop.updo"],
        &[("UPDO_DEPTH", "3"), ("UPDO_OTP", "27")],
    )
    .exits(0);
    on(&["graph", "shop.updo", "--depth", "3"], &[]).exits(2);
    untouched(&deployed);
}

#[test]
fn the_doctor_names_the_source_of_each_setting() {
    let (deployed, desk) = (waiting(), desk());
    desk.write(
        "own.toml",
        "width = 77\npager = \"most\"\nruns = 9\ncolor = \"never\"\n",
    );
    let node = deployed.node.name();
    let reported = |args: &[&str], env: &[(&str, &str)]| {
        let args = [&["doctor", node], args].concat();
        let ran = desk
            .on(&deployed.node, &args)
            .env("UPDO_CONFIG", "own.toml");
        env.iter()
            .fold(ran, |ran, (name, value)| ran.env(name, value))
            .run()
            .exits(0)
    };
    let bare = [("COLUMNS", ""), ("UPDO_SET_RATE", "secret")];
    let ran = reported(&[], &bare).prints(&[
        "color never (own settings)",
        "width 77 (own settings)",
        "pager most (own settings)",
        "recorded runs kept 9 (own settings: runs)",
        "our name made up for each run (default)",
        "parameter RATE (env UPDO_SET_RATE)",
        "(env UPDO_STATE_DIR)",
        "(env UPDO_EPMD_PORT), for its port",
        &format!("target {node} (env UPDO_TARGET)"),
    ]);
    assert!(!ran.stdout.contains("secret"), "{ran}");
    // Without a plan there are no parameters: that is said.
    let set = desk.on(&deployed.node, &["doctor", node, "--set", "Rate=1"]);
    set.run().exits(1).says(&["Rate"]);
    let env = [
        ("UPDO_COLOR", "auto"),
        ("COLUMNS", "88"),
        ("PAGER", "cat"),
        ("UPDO_NAME", "me@127.0.0.1"),
    ];
    reported(&[], &env).prints(&[
        "color auto (env UPDO_COLOR)",
        "width 88 (env COLUMNS)",
        "pager none (env PAGER)",
        "our name me@127.0.0.1 (env UPDO_NAME)",
    ]);
    let flags = [
        "--color",
        "never",
        "--width",
        "99",
        "--no-pager",
        "--no-unicode",
    ];
    reported(&flags, &[("UPDO_WIDTH", "98"), ("UPDO_COLOR", "auto")]).prints(&[
        "color never (flag)",
        "width 99 (flag)",
        "pager none (flag)",
        "unicode no (flag)",
    ]);
    reported(&[], &[("UPDO_WIDTH", "98")]).prints(&["width 98 (env UPDO_WIDTH)"]);
}
