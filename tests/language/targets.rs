//! What a `target` may say, and what is said of the rest: without a node.

use std::collections::BTreeMap;
use std::path::Path;

use updo::diag::Code;
use updo::name::NodeName;
use updo::node::tls::{ExpectedName, Pem, TlsOptions};
use updo::plan::{Plan, load_text};

fn load(options: &str) -> (Option<Plan>, Vec<updo::diag::Diagnostic>) {
    let text = format!(
        "param Seed :: node = 'shop_a@h'.\nFolder = \"tls/\".\ntarget shop #{{{options}}}.\n"
    );
    let loaded = load_text(Path::new("/plans/shop.updo"), &text, &BTreeMap::new());
    (loaded.plan, loaded.diagnostics)
}

fn target(options: &str) -> updo::plan::Target {
    match load(options) {
        (Some(mut plan), printed) if printed.is_empty() => plan.targets.remove(0),
        (_, printed) => panic!("{options}: {printed:#?}"),
    }
}

#[test]
fn what_tls_means() {
    let file = |name: &str| Some(Pem::File(Path::new("/plans").join(name)));
    let tls = |value: &str| target(&format!("nodes => ['a@h'], tls => {value}")).tls;
    assert_eq!(tls("false"), None);
    assert_eq!(
        tls("#{ca => Folder ++ \"ca.pem\", cert => file(\"updo.pem\"), key => env(\"UPDO_KEY\")}"),
        Some(TlsOptions {
            ca: file("tls/ca.pem"),
            cert: file("updo.pem"),
            key: Some(Pem::Env("UPDO_KEY".to_owned())),
            name: ExpectedName::Host,
            optfile: None,
        })
    );
    let named = |name: &str| {
        let value =
            format!("#{{ca => \"/etc/ca.pem\", verify => verify_peer, server_name => {name}}}");
        let options = tls(&value).expect("TLS");
        assert_eq!(options.ca, file("/etc/ca.pem"));
        assert_eq!((options.cert, options.key), (None, None));
        options.name
    };
    assert_eq!(
        named("\"shop.example.net\""),
        ExpectedName::Other("shop.example.net".to_owned())
    );
    assert_eq!(named("disable"), ExpectedName::Any);
}

#[test]
fn what_tls_refuses() {
    let cases = [
        ("true", Code::E205, "do not sign the certificates of nodes"),
        ("\"ca.pem\"", Code::E205, "`tls` must be a map"),
        ("#{}", Code::E205, "no trusted CA"),
        (
            "#{cert => \"a.pem\", key => \"a.key\"}",
            Code::E205,
            "no `ca`",
        ),
        (
            "#{ca => \"ca.pem\", key => \"a.key\"}",
            Code::E205,
            "no `cert`",
        ),
        (
            "#{ca => \"ca.pem\", keyfile => \"a.key\"}",
            Code::E204,
            "write `key`",
        ),
        (
            "#{ca => \"ca.pem\", crt => \"a.pem\"}",
            Code::E204,
            "did you mean `cert`?",
        ),
        (
            "#{ca => \"ca.pem\", \"key\" => \"a.key\"}",
            Code::E204,
            "an atom",
        ),
        ("#{ca => \"a\", ca => Folder}", Code::W111, "appears twice"),
        ("#{ca => 7}", Code::E205, "`ca` wants a path"),
        ("#{ca => \"\"}", Code::E205, "`ca` wants a path"),
        ("#{ca => Nobody}", Code::E206, "Nobody"),
        (
            "#{ca => \"ca.pem\", verify => yes}",
            Code::E205,
            "`verify_peer` or `verify_none`",
        ),
        (
            "#{ca => \"ca.pem\", server_name => 4}",
            Code::E205,
            "`disable`",
        ),
        (
            "#{verify => verify_none}",
            Code::W216,
            "any server that answers",
        ),
        (
            "#{ca => \"ca.pem\", cert => \"c.pem\", key => \"-----BEGIN PRIVATE KEY-----\\nSeCrEt\"}",
            Code::W212,
            "it is not used",
        ),
    ];
    for (value, code, words) in cases {
        let (_, printed) = load(&format!("nodes => ['a@h'], tls => {value}"));
        let text = format!("{printed:#?}");
        let codes: Vec<Code> = printed.iter().map(|diagnostic| diagnostic.code).collect();
        assert!(
            codes.contains(&code) && text.contains(words),
            "{value}: {text}"
        );
        assert!(!text.contains("SeCrEt"), "{value}: {text}");
        // A mistake is reported once.
        assert_eq!(codes.len(), 1, "{value}: {text}");
    }
}

#[test]
fn a_seed_selects_nodes_by_pattern() {
    let shops = target("seed => Seed, match => \"shop*@*\", hidden => true");
    assert!(shops.nodes.is_empty());
    for (node, inside) in [
        ("shop_a@h", true),
        ("shop7@x.example.net", true),
        ("till@h", false),
        ("myshop@h", false),
    ] {
        assert_eq!(shops.has(&NodeName::new(node)), inside, "{node}");
    }
    // The seed itself is reached as the target says, matching or not.
    let others = target("seed => 'gate@h', match => \"shop*\"");
    assert!(others.has(&NodeName::new("gate@h")));

    for (options, code, words) in [
        (
            "seed => 'shop_a@h'",
            Code::E205,
            "match => \\\"shop_a@*\\\"",
        ),
        (
            "match => \"shop*@*\"",
            Code::E205,
            "a `match` needs a `seed`",
        ),
        (
            "seed => 'a@h', match => \"*\", nodes => ['a@h']",
            Code::E205,
            "delete one of them",
        ),
        (
            "match => \"*\", nodes => ['a@h']",
            Code::E205,
            "delete one of them",
        ),
        (
            "seed => shop, match => \"*\"",
            Code::E205,
            "a node name such as",
        ),
        (
            "seed => 'a@h', match => 7",
            Code::E205,
            "a pattern of node names",
        ),
        (
            "seed => 'a@h', match => \"[\"",
            Code::E205,
            "a pattern of node names",
        ),
        (
            "nodes => ['a@h'], hidden => false",
            Code::E205,
            "`global` synchronizes",
        ),
        (
            "nodes => ['a@h'], hidden => maybe",
            Code::E205,
            "`hidden` wants `true`",
        ),
    ] {
        let (_, printed) = load(options);
        let text = format!("{printed:#?}");
        assert_eq!(printed.len(), 1, "{options}: {text}");
        assert!(
            printed[0].code == code && text.contains(words),
            "{options}: {text}"
        );
    }
}

/// A value that is far too long is not printed whole.
#[test]
fn a_long_wrong_value_is_cut() {
    let stars = "*".repeat(100_000);
    let text = format!("target t #{{nodes => \"{stars}\"}}.");
    let loaded = load_text(Path::new("plan.updo"), &text, &Default::default());
    let diagnostic = &loaded.diagnostics[0];
    assert_eq!(diagnostic.code, Code::E205);
    assert!(
        diagnostic.title.contains("***…") && diagnostic.title.len() < 400,
        "{}",
        diagnostic.title.len()
    );
}
