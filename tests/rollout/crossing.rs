//! Nodes of both versions that talk to each other: what is said before really happens, and a right upgrade is silent.

use crate::support::Options;
use crate::support::apps::{Deployed, parley};
use crate::support::desk::{Desk, Updo};

/// Two nodes that know each other, with version 1 of the store on each.
struct Two {
    nodes: [Deployed; 2],
    desk: Desk,
}

impl Two {
    fn new() -> Self {
        let start = "{ok, _} = parley_server:start()";
        let one = || Deployed::new(&parley().one, Options::default(), start);
        let (first, second) = (one(), one());
        let ping = format!("pong = net_adm:ping('{}')", second.node.name());
        first.node.eval(&ping);
        Self {
            nodes: [first, second],
            desk: Desk::converting_after_the_switch(),
        }
    }

    fn name(&self, at: usize) -> &str {
        self.nodes[at].node.name()
    }

    fn plan(&self, more: &str) {
        let text = format!(
            "plan \"Parley\".\ntarget both #{{nodes => ['{}', '{}']}}.\ncode push [{:?}].\nold from {:?}.\n{more}\n",
            self.name(0),
            self.name(1),
            parley().two,
            parley().one
        );
        self.desk.write("plan.updo", &text);
    }

    fn updo(&self, args: &[&str]) -> Updo<'_> {
        let port = self.nodes[0].node.epmd_port().to_string();
        self.desk.updo(args).env("UPDO_EPMD_PORT", &port)
    }

    /// Upgrades one node.
    fn upgrade(&self, at: usize) {
        let args = ["run", "plan.updo", "--yes", "--only-node", self.name(at)];
        self.updo(&args).run().exits(0);
    }

    /// What `parley:put/3` comes to from one node to the other.
    fn put(&self, from: usize) -> String {
        let put = format!("catch parley:put('{}', key, value)", self.name(1 - from));
        self.nodes[from].node.eval_text(&put)
    }

    /// The same of `parley:total/2`.
    fn total(&self, from: usize) -> String {
        let total = format!("catch parley:total('{}', [1, 2])", self.name(1 - from));
        self.nodes[from].node.eval_text(&total)
    }
}

#[test]
fn what_is_said_to_fail_between_the_versions_fails() {
    let two = Two::new();
    two.plan("");
    let seen = two.updo(&["preview", "plan.updo"]).run().exits(0);
    seen.says(&[
        "W660",
        "the new `parley` sends requests to other nodes that the old `parley_server` does not take",
        "call `{put, _, _, _}` to {parley_server, Node}, in parley:put/3, line 6",
        "`only [parley_server] because",
        "W662",
        "in parley:total/2",
    ]);
    two.updo(&["check", "plan.updo", "-t", "both"])
        .run()
        .exits(0)
        .says(&["W660", "W662"]);
    // The whole rollout says it as well, before it asks.
    two.updo(&["run", "plan.updo", "--dry-run"])
        .run()
        .exits(0)
        .says(&["W660"]);
    assert_eq!([two.put(0), two.put(1)], ["ok", "ok"]);
    assert_eq!(two.total(1), "3");
    two.upgrade(0);
    // From new to old: the server of the old node ends.
    let failed = two.put(0);
    assert!(failed.contains("function_clause"), "{failed}");
    let gone = two.nodes[1].node.eval_text("whereis(parley_server)");
    assert_eq!(gone, "undefined");
    let failed = two.total(0);
    assert!(failed.contains("badfun"), "{failed}");
    // From old to new nothing was said, and it works: the old code is still there.
    assert_eq!(two.put(1), "ok");
    assert_eq!(two.total(1), "3");
}

#[test]
fn the_two_runs_that_are_proposed_cross_nothing() {
    let two = Two::new();
    two.plan("only [parley_server] because \"it takes both forms\".");
    let seen = two.updo(&["preview", "plan.updo"]).run().exits(0);
    for code in ["W660", "W661", "W662"] {
        assert!(!seen.stderr.contains(code), "{seen}");
    }
    two.upgrade(0);
    assert_eq!([two.put(0), two.put(1)], ["ok", "ok"]);
    two.upgrade(1);
    assert_eq!([two.put(0), two.put(1)], ["ok", "ok"]);
    two.plan("");
    let seen = two.updo(&["preview", "plan.updo"]).run().exits(0);
    for code in ["W660", "W661"] {
        assert!(!seen.stderr.contains(code), "{seen}");
    }
    two.upgrade(1);
    assert_eq!([two.put(0), two.put(1)], ["ok", "ok"]);
    two.upgrade(0);
    assert_eq!([two.put(0), two.put(1)], ["ok", "ok"]);
}

#[test]
fn one_node_alone_crosses_nothing() {
    let two = Two::new();
    two.plan("");
    let alone = two.name(0).to_owned();
    let seen = two
        .updo(&["preview", "plan.updo", "-t", &alone])
        .run()
        .exits(0);
    assert!(!seen.stderr.contains("W660"), "{seen}");
}
