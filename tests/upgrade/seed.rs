//! `target … #{seed => N, match => "glob"}`: the nodes are those that the seed knows.

use std::path::Path;

use crate::support::apps::{Deployed, bank};
use crate::support::certs::Certs;
use crate::support::desk::{Desk, Updo};
use crate::support::{Options, TestNode};

const VERSION: &str = "maps:get(version, bank_account:ask(3))";

fn member(prefix: &str, options: Options) -> Deployed {
    let options = Options {
        prefix: Some(prefix.to_owned()),
        ..options
    };
    let start = "{ok, _} = application:ensure_all_started(bank)";
    let deployed = Deployed::new(&bank().one, options, start);
    deployed.replace(&bank().two);
    deployed
}

fn meet(a: &TestNode, b: &TestNode) {
    let met = a.eval_text(&format!("net_kernel:connect_node('{}')", b.name()));
    assert_eq!(met, "true", "{}", a.log());
}

fn plan(seed: &str, pattern: &str, more: &str) -> String {
    format!(
        "plan \"Banks\".\nparam Seed :: node = '{seed}'.\n\
         target banks #{{seed => Seed, match => \"{pattern}\"{more}}}.\n\
         code on_disk.\nold from {:?}.\n",
        bank().one
    )
}

fn on<'d>(desk: &'d Desk, node: &TestNode, args: &[&str]) -> Updo<'d> {
    desk.updo(args)
        .env("UPDO_EPMD_PORT", &node.epmd_port().to_string())
}

#[test]
fn the_nodes_that_a_seed_knows() {
    let a = member("banka", Options::default());
    let b = member("bankb", Options::default());
    let hidden = member("bankh", Options::default().args(&["-hidden"]));
    let till = TestNode::start_with(&Options {
        prefix: Some("till".to_owned()),
        ..Options::default()
    });
    for other in [&b.node, &hidden.node, &till] {
        meet(&a.node, other);
    }
    let desk = Desk::new();
    // Asked through the one whose name comes last: the order is that of the names.
    desk.write("banks.updo", &plan(b.node.name(), "bank*@localhost", ""));
    b.node
        .await_true(&format!("lists:member('{}', nodes())", a.node.name()));

    // Without a network nothing is asked.
    desk.updo(&["check", "banks.updo"]).run().exits(0);
    desk.updo(&["check", "banks.updo", "--offline", "-t", "banks"])
        .run()
        .exits(0);

    let seen = on(&desk, &a.node, &["preview", "banks.updo", "--json"])
        .run()
        .exits(0);
    let first = seen.stdout.find(a.node.name()).expect("the first is there");
    let second = seen
        .stdout
        .find(b.node.name())
        .expect("the second is there");
    assert!(first < second, "{seen}");
    for other in [&hidden.node, &till] {
        assert!(!seen.stdout.contains(other.name()), "{seen}");
    }
    on(&desk, &a.node, &["doctor", "banks.updo"])
        .run()
        .exits(0)
        .prints(&[a.node.name(), b.node.name()]);

    on(&desk, &a.node, &["run", "banks.updo", "--yes"])
        .run()
        .exits(0);
    for (deployed, version) in [(&a, "2"), (&b, "2"), (&hidden, "1")] {
        assert_eq!(
            deployed.node.eval_text(VERSION),
            version,
            "{}",
            deployed.node.name()
        );
    }
    // Those who were looked at see nobody of us afterwards, the test's own questions aside.
    let ours = format!("updo-{}-", std::process::id());
    a.node.await_true(&format!("[] =:= [N || N <- nodes(hidden), \"updo-\" ++ _ <- [atom_to_list(N)], not lists:prefix({ours:?}, atom_to_list(N))]"));

    // One of them alone, by its name, with what the target says.
    on(
        &desk,
        &a.node,
        &["preview", "banks.updo", "-t", b.node.name()],
    )
    .run()
    .exits(0);
}

#[test]
fn a_seed_without_match_or_answer() {
    let a = member("banka", Options::default());
    let desk = Desk::new();
    desk.write("banks.updo", &plan(a.node.name(), "bnak*@*", ""));
    for command in [
        &["run", "banks.updo", "--yes"][..],
        &["preview", "banks.updo"],
        &["status", "banks.updo"],
        &["graph", "banks.updo"],
        &["diff", "banks.updo"],
    ] {
        on(&desk, &a.node, command).run().exits(1).says(&[
            "E217",
            "bnak*@*",
            &format!("connected to it: {}", a.node.name()),
        ]);
    }
    let gone = format!("no{}", a.node.name());
    on(
        &desk,
        &a.node,
        &[
            "run",
            "banks.updo",
            "--yes",
            "--set",
            &format!("Seed={gone}"),
        ],
    )
    .run()
    .exits(10)
    .says(&["E501"]);
    assert_eq!(a.node.eval_text(VERSION), "1");
}

#[test]
fn a_cluster_over_tls() {
    let certs = Certs::new();
    let tls = || certs.node("node", "", certs.tls());
    let (a, b) = (member("banka", tls()), member("bankb", tls()));
    meet(&a.node, &b.node);
    let desk = Desk::new();
    let file = |name: &str| certs.path(name).display().to_string();
    let more = format!(
        ", tls => #{{ca => \"{}\", cert => \"{}\", key => file(\"{}\")}}",
        file("ca.pem"),
        file("client.pem"),
        file("client.key")
    );
    assert!(Path::new(&file("ca.pem")).is_absolute());
    desk.write(
        "banks.updo",
        &format!(
            "{}rollout banks #{{canary => 1}}.\n",
            plan(a.node.name(), "bank*", &more)
        ),
    );
    on(&desk, &a.node, &["run", "banks.updo", "--yes"])
        .run()
        .exits(0);
    for deployed in [&a, &b] {
        assert_eq!(deployed.node.eval_text(VERSION), "2");
    }
}
