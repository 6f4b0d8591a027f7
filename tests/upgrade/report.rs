//! What a record can be turned into: the report, the replay; and the schema that every event fits.

use crate::shop::plan;
use crate::support::apps::{Deployed, shop};
use crate::support::desk::Desk;
use crate::support::events;

#[test]
fn a_run_is_reported_and_replayed_from_its_events() {
    let deployed = Deployed::shop(10);
    deployed.replace(&shop().two);
    let desk = Desk::new();
    let text = plan("code on_disk.").replace("plan \"", "plan \"</script><b>&amp; ");
    desk.write("shop.updo", &text);
    let args = [
        "run",
        "shop.updo",
        "--yes",
        "--events",
        "e.jsonl",
        "--report",
        "r.html",
    ];
    let ran = desk.on(&deployed.node, &args).run().exits(0);

    let page = desk.read("r.html");
    let title = "&lt;/script&gt;&lt;b&gt;&amp;amp; ";
    for part in [
        title,
        "runs the new version",
        "<svg class=\"time\"",
        "processes suspended",
        "<h2>Dependencies</h2>",
        "shop_cart_server",
        "id=\"L1\"",
        "<dt>exit</dt><dd>0</dd>",
        "after shop_tax because “",
        "application/json",
        "prefers-color-scheme: dark",
        "@media print",
    ] {
        assert!(page.contains(part), "{part}");
    }
    // Nothing of the title is markup, and the data cannot end the element that it is in.
    assert_eq!(page.matches("</script>").count(), 1);
    // It needs no other file.
    assert!(!page.contains("src=") && !page.contains("<link") && !page.contains("url("));
    let (shown, data) = page.split_once("id=\"events\">").expect("the events");
    assert!(!shown.contains("<b>&amp; "));
    let (data, _) = data.split_once("</script>").expect("they end");
    let data: serde_json::Value = serde_json::from_str(data).expect("JSON");
    assert!(
        data.as_array().is_some_and(|lines| lines.len() > 12),
        "{data}"
    );

    // The record gives the same as the file, by the run's name and without.
    let run = ran
        .stderr
        .lines()
        .find_map(|line| line.split(" · run ").nth(1));
    let run = run.expect("the last line names the run").trim();
    desk.updo(&["report", run, "-o", "again.html"])
        .run()
        .exits(0);
    assert!(desk.read("again.html").contains("runs the new version"));
    let replayed = desk.updo(&["replay"]).run().exits(0);
    // The same steps in the same order, each in its own form: a log has clock and node, a replay has marks.
    let of_log = |line: &str| {
        let mut words = line.split(' ').skip(2);
        let (word, mark) = (words.next()?, words.next()?);
        (mark == "ok").then(|| word.to_owned())
    };
    let of_replay = |line: &str| {
        let (word, _) = line.split_once('✓')?;
        Some(word.trim().to_owned())
    };
    let logged: Vec<String> = ran.stderr.lines().filter_map(of_log).collect();
    let shown: Vec<String> = replayed.stdout.lines().filter_map(of_replay).collect();
    assert_eq!(shown, logged);
    assert!(logged.len() >= 5, "{}", ran.stderr);
    let last = |text: &str| {
        text.lines()
            .find(|l| l.starts_with("done"))
            .map(str::to_owned)
    };
    assert_eq!(last(&replayed.stdout), last(&ran.stderr));
    desk.updo(&["replay", "ffffff"])
        .run()
        .exits(2)
        .says(&["no recorded run", "updo log"]);

    // The schema is the one that the desk holds every line against, and it can say no.
    let schema = desk.updo(&["schema", "events"]).run().exits(0);
    assert!(schema.stdout.contains("updo.events/1.0"));
    let good = serde_json::json!({"type": "rollback.started", "seq": 3, "node": "a@b", "t": 0.1, "message": "x"});
    assert!(events::is_valid(&good));
    for (key, wrong) in [
        ("seq", serde_json::json!(0)),
        ("t", "soon".into()),
        ("type", "rolled".into()),
    ] {
        let mut bad = good.clone();
        bad[key] = wrong;
        assert!(!events::is_valid(&bad), "{bad}");
    }
}

/// The cause first, then when it happened, then what depends on what; terms are for later.
#[test]
fn the_report_of_a_failed_check_begins_with_the_cause() {
    let deployed = Deployed::shop(4);
    deployed.replace(&shop().two);
    let desk = Desk::new();
    let failing = "verify \"sums are right\" -> never = shop_price:version().";
    desk.write(
        "shop.updo",
        &format!("{}\n{failing}\n", plan("code on_disk.")),
    );
    let args = ["run", "shop.updo", "--yes", "--report", "r.html"];
    desk.on(&deployed.node, &args).run().exits(20);
    let page = desk.read("r.html");
    let at = |part: &str| {
        page.find(part)
            .unwrap_or_else(|| panic!("{part} is not in the report"))
    };
    let order = [
        "class=\"verdict bad\"",
        "href=\"#wrong\"",
        "runs the old version",
        "id=\"wrong\"",
        "<h2>Time</h2>",
        "verify ✗",
        "sums are right</tspan>",
        "<h2>Dependencies</h2>",
        "<h2>Instructions</h2>",
        "<h2>Modules</h2>",
    ];
    let places: Vec<usize> = order.iter().map(|part| at(part)).collect();
    assert!(places.is_sorted(), "{places:?}");
    let (headline, _) = page[places[0]..].split_once("</p>").expect("it ends");
    assert!(headline.contains("sums are right"), "{headline}");
}
