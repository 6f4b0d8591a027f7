//! `updo graph`: the same graph in five forms.

use crate::waiting::{desk, waiting};

#[test]
fn the_graph_in_all_five_formats() {
    let (deployed, desk) = (waiting(), desk());
    let graph = |format: &str| {
        desk.on(&deployed.node, &["graph", "shop.updo", "--format", format])
            .run()
            .exits(0)
    };

    let edges = graph("edges").stdout;
    let lines: Vec<&str> = edges.lines().collect();
    let mut sorted = lines.clone();
    sorted.sort_unstable();
    assert_eq!(lines, sorted);
    for edge in [
        "shop_cart_server -> shop_price",
        "shop_cart_server -> shop_tax",
        "shop_price -> shop_promo",
        "shop_promo -> shop_price",
        "shop_tax -> shop_round",
    ] {
        assert!(lines.contains(&edge), "{edge} is not in {edges}");
    }

    graph("text").prints(&[
        "shop_cart_server",
        "calls shop_price: ",
        "after shop_tax: ",
        "cycle shop_price",
    ]);
    let dot = graph("dot");
    assert!(
        dot.stdout.starts_with("digraph ") && dot.stdout.trim_end().ends_with('}'),
        "{dot}"
    );
    assert_eq!(dot.stdout.matches(" -> ").count(), lines.len(), "{dot}");
    let mermaid = graph("mermaid");
    assert!(mermaid.stdout.starts_with("graph LR\n"), "{mermaid}");
    let json = graph("json").json();
    assert_eq!(
        json["edges"].as_array().map(Vec::len),
        Some(lines.len()),
        "{json}"
    );
    assert_eq!(
        desk.on(&deployed.node, &["graph", "shop.updo", "--json"])
            .run()
            .exits(0)
            .json(),
        json
    );
    desk.on(&deployed.node, &["graph", "shop.updo", "--format", "poem"])
        .run()
        .exits(2)
        .says(&["mermaid"]);
}
