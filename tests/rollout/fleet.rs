//! Several nodes with a ship on each, a desk, and plans for them.

use std::path::Path;

use crate::support::Options;
use crate::support::apps::{Deployed, fleet};
use crate::support::desk::{Desk, Updo};

/// Nodes, in the order of the plan's target.
pub struct Fleet {
    pub nodes: Vec<Deployed>,
    pub desk: Desk,
}

impl Fleet {
    /// So many nodes with version 1.
    pub fn new(size: usize) -> Self {
        let start = "{ok, _} = fleet_ship:start()";
        let one = || Deployed::new(&fleet().one, Options::default(), start);
        let nodes = std::thread::scope(|scope| {
            let all: Vec<_> = (0..size).map(|_| scope.spawn(one)).collect();
            all.into_iter()
                .map(|node| node.join().expect("it starts"))
                .collect()
        });
        Self {
            nodes,
            desk: Desk::converting_after_the_switch(),
        }
    }

    /// The name of a node.
    pub fn name(&self, at: usize) -> &str {
        self.nodes[at].node.name()
    }

    /// Writes a plan for all nodes with more statements.
    pub fn plan(&self, more: &str) {
        let names: Vec<String> = (0..self.nodes.len())
            .map(|at| format!("'{}'", self.name(at)))
            .collect();
        let text = format!(
            "plan \"Fleet\".\ntarget fleet #{{nodes => [{}]}}.\ncode push [{:?}].\nold from {:?}.\n{more}\n",
            names.join(", "),
            fleet().two,
            fleet().one
        );
        self.desk.write("plan.updo", &text);
    }

    /// How the conversion goes on every node from now on.
    pub fn everywhere(&self, how: &str) {
        for at in 0..self.nodes.len() {
            self.on(at, how);
        }
    }

    /// How the conversion goes on one node from now on.
    pub fn on(&self, at: usize, how: &str) {
        let set = format!("application:set_env(kernel, fleet, {how})");
        self.nodes[at].node.eval(&set);
    }

    /// What a condition of a plan may look at: whether something is wrong with a node.
    pub fn on_sick(&self, at: usize, sick: bool) {
        let set = format!("application:set_env(kernel, sick, {sick})");
        self.nodes[at].node.eval(&set);
    }

    /// The cookie of the nodes.
    pub fn cookie(&self) -> String {
        let cookie = self.nodes[0].node.eval_text("erlang:get_cookie()");
        cookie.trim_matches('\'').to_owned()
    }

    /// Another operator loads a version of `fleet_rate` on a node.
    pub fn load_rate(&self, at: usize, version: &Path) {
        let file = version.join("fleet_rate");
        let load = format!("code:purge(fleet_rate), {{module, _}} = code:load_abs({file:?})");
        self.nodes[at].node.eval(&load);
    }

    /// What the ship on a node is.
    pub fn look(&self, at: usize) -> String {
        self.nodes[at].node.eval_text("fleet_ship:look()")
    }

    /// updo, with this plan's nodes in reach.
    pub fn updo(&self, args: &[&str]) -> Updo<'_> {
        let port = self.nodes[0].node.epmd_port().to_string();
        self.desk.updo(args).env("UPDO_EPMD_PORT", &port)
    }

    /// `run plan.updo --yes`, its events in a file.
    pub fn run(&self, more: &[&str]) -> Updo<'_> {
        let args = ["run", "plan.updo", "--yes", "--events", "events.jsonl"];
        self.updo(&[&args[..], more].concat())
    }

    /// The versions of the nodes, each wholly of one: its state, its code and what it calls.
    #[track_caller]
    pub fn versions(&self) -> Vec<u32> {
        let version = |node: &Deployed| match &*node.node.eval_text("fleet_ship:look()") {
            "{1,1,10}" => 1,
            "{2,2,12}" => 2,
            other => panic!("{} is a mix: {other}", node.node.name()),
        };
        let versions = self.nodes.iter().map(version).collect();
        for node in &self.nodes {
            let standing =
                "[P || P <- processes(), {status, suspended} =:= process_info(P, status)]";
            assert_eq!(node.node.eval_text(standing), "[]", "{}", node.node.name());
        }
        versions
    }

    /// The events of the last run, those of a type.
    pub fn events(&self, kinds: &[&str]) -> Vec<serde_json::Value> {
        self.desk
            .read("events.jsonl")
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
            .filter(|line| kinds.iter().any(|kind| line["type"] == *kind))
            .collect()
    }

    /// The name of the last rollout.
    pub fn rollout(&self) -> String {
        let finished = &self.events(&["run.finished"])[0];
        finished["rollout"].as_str().expect("a name").to_owned()
    }

    /// The report of the last run's stream (`report.html`), and the one made of its records, with their names.
    pub fn reports(&self) -> [(&'static str, String); 2] {
        self.updo(&["report", &self.rollout(), "-o", "whole.html"])
            .run()
            .exits(0);
        ["report.html", "whole.html"].map(|name| (name, self.desk.read(name)))
    }
}
