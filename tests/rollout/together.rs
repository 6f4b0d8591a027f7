//! `rollout #{together => true}`: all nodes at one instant, or none; whatever is lost on the way.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::Options;
use crate::support::apps::{Deployed, relay};
use crate::support::desk::{Desk, Updo};

/// Nodes whose fronts call the backs of all of them.
struct Relay {
    nodes: Vec<Deployed>,
    desk: Desk,
    ports: Vec<Option<u16>>,
}

impl Relay {
    fn new(size: usize) -> Self {
        Self::with(size, Desk::new())
    }

    fn with(size: usize, desk: Desk) -> Self {
        let start = "{ok, _} = relay_back:start(), {ok, _} = relay_front:start(), {ok, _} = relay_peer:start()";
        let one = || Deployed::new(&relay().one, Options::default(), start);
        let nodes: Vec<Deployed> = thread::scope(|scope| {
            let all: Vec<_> = (0..size).map(|_| scope.spawn(one)).collect();
            all.into_iter()
                .map(|node| node.join().expect("it starts"))
                .collect()
        });
        let all = Self {
            ports: vec![None; nodes.len()],
            nodes,
            desk,
        };
        for at in 0..size {
            all.nodes[at].node.eval(&format!(
                "true = lists:all(fun(N) -> net_kernel:connect_node(N) end, [{}] -- [node()])",
                all.names()
            ));
        }
        all
    }

    fn name(&self, at: usize) -> &str {
        self.nodes[at].node.name()
    }

    fn names(&self) -> String {
        let names: Vec<String> = (0..self.nodes.len())
            .map(|at| format!("'{}'", self.name(at)))
            .collect();
        names.join(", ")
    }

    fn plan(&self, more: &str) {
        let ports = self.ports.iter().enumerate();
        let ways: Vec<String> = ports
            .filter_map(|(at, port)| {
                Some(format!("'{}' => \"127.0.0.1:{}\"", self.name(at), (*port)?))
            })
            .collect();
        let address = match ways.is_empty() {
            true => String::new(),
            false => format!(", address => #{{{}}}", ways.join(", ")),
        };
        let text = format!(
            "plan \"Relay\".\ntarget relay #{{nodes => [{}]{address}}}.\ncode push [{:?}].\nold from {:?}.\n{more}\n",
            self.names(),
            relay().two,
            relay().one
        );
        self.desk.write("plan.updo", &text);
    }

    /// How the conversion goes on one node from now on.
    fn on(&self, at: usize, how: &str) {
        let set = format!("application:set_env(kernel, relay, {how})");
        self.nodes[at].node.eval(&set);
    }

    fn updo(&self, args: &[&str]) -> Updo<'_> {
        let port = self.nodes[0].node.epmd_port().to_string();
        self.desk.updo(args).env("UPDO_EPMD_PORT", &port)
    }

    fn run(&self) -> Updo<'_> {
        self.updo(&["run", "plan.updo", "--yes", "--events", "events.jsonl"])
    }

    fn load(&self) {
        self.load_of("relay_front");
    }

    fn load_of(&self, module: &str) {
        for node in &self.nodes {
            let start = format!("relay_load:start({module}, [{}], 4)", self.names());
            node.node.eval(&start);
        }
    }

    /// Ends the load; gives for each of these nodes how many calls there were and what went wrong.
    fn unload(&self, nodes: &[usize]) -> Vec<(u64, String)> {
        let one = |at: &usize| {
            let text = self.nodes[*at].node.eval_text("relay_load:stop()");
            let inner = text.trim_start_matches('{');
            let (calls, rest) = inner.split_once(',').expect("a number first");
            let wrong = rest.rsplit_once(',').expect("a number last").0;
            (calls.parse().expect("a number"), wrong.to_owned())
        };
        nodes.iter().map(one).collect()
    }

    /// The version of a node, which is wholly of one; whoever is suspended does not answer.
    #[track_caller]
    fn version(&self, at: usize) -> u32 {
        let look = self.nodes[at]
            .node
            .eval_text("{relay_front:look(), relay_back:look(), relay_peer:look()}");
        match &*look {
            "{{1,1},{1,1},{1,1}}" => 1,
            "{{2,2},{2,2},{2,2}}" => 2,
            other => panic!("{} is a mix: {other}", self.name(at)),
        }
    }

    #[track_caller]
    fn versions(&self) -> Vec<u32> {
        (0..self.nodes.len()).map(|at| self.version(at)).collect()
    }

    /// Waits until a node runs by itself again, and gives its version.
    #[track_caller]
    fn settled(&self, at: usize) -> u32 {
        self.nodes[at]
            .node
            .await_true("whereis(updo_run) =:= undefined orelse begin {_, D} = process_info(whereis(updo_run), dictionary), #{state := S} = proplists:get_value(updo_info, D), S =:= kept end");
        self.version(at)
    }

    fn events(&self, kind: &str) -> Vec<serde_json::Value> {
        let text = self.desk.read("events.jsonl");
        let lines = text.lines();
        let lines =
            lines.map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
        lines.filter(|line| line["type"] == kind).collect()
    }
}

const TOGETHER: &str = "rollout #{together => true}.";

/// Fronts ask backs of all nodes in another form than before: no back is asked in the form of the other version.
#[test]
fn no_call_meets_the_other_version() {
    let relay = Relay::new(3);
    relay.plan(TOGETHER);
    relay.load();
    thread::sleep(Duration::from_millis(300));
    let ran = relay.run().run().exits(0);
    ran.says(&["done  Relay · 3 of 3 nodes"]);
    thread::sleep(Duration::from_millis(300));
    assert_eq!(relay.versions(), [2; 3]);
    for (calls, wrong) in relay.unload(&[0, 1, 2]) {
        println!("{calls} calls, {wrong}");
        assert!(calls > 50, "{calls}");
        assert_eq!(wrong, "[]");
    }
    for phase in ["prepared", "suspended", "switched"] {
        let progress = relay.events("together.progress");
        let of_phase = |one: &&serde_json::Value| one["phase"] == phase && one["nodes"] == 3;
        let ready = progress.iter().filter(of_phase).map(|one| &one["ready"]);
        let ready: Vec<_> = ready.take(3).collect();
        assert_eq!(ready, [1, 2, 3], "{phase}");
    }
    // And back, at one instant as well.
    relay.load();
    let ran = relay.updo(&["rollback", "--yes"]).run().exits(0);
    assert_eq!(ran.stderr.matches("was rolled back").count(), 3, "{ran}");
    assert_eq!(relay.versions(), [1; 3]);
    nothing_wrong(&relay, &[0, 1, 2]);
}

/// What cannot go back on one node goes back on none.
#[test]
fn a_rollback_of_it_is_of_all_nodes_or_of_none() {
    let relay = Relay::new(3);
    relay.plan(TOGETHER);
    relay.run().run().exits(0);
    relay.on(1, "no_way_down");
    let ran = relay.updo(&["rollback", "--yes"]).run();
    assert_ne!(ran.code, Some(0), "{ran}");
    ran.says(&["E604", "E658"]);
    assert_eq!(relay.versions(), [2; 3]);
    relay.on(1, "fine");
    relay.updo(&["rollback", "--yes"]).run().exits(0);
    assert_eq!(relay.versions(), [1; 3]);
}

/// Servers that ask each other on other nodes: the ones that are suspended first answer those that wait for them, and what they
/// have answered stays in their states, also where the switch is called off.
#[test]
fn peers_that_ask_each_other_are_suspended_all_the_same() {
    let relay = Relay::with(3, Desk::converting_after_the_switch());
    relay.plan(TOGETHER);
    let is_counted = || {
        let sum = |of: usize| -> u64 {
            let one = |node: &Deployed| {
                let text = node
                    .node
                    .eval_text(&format!("element({of}, relay_peer:counts())"));
                text.parse::<u64>().expect("a number")
            };
            relay.nodes.iter().map(one).sum()
        };
        let (got, given) = (sum(1), sum(2));
        println!("{got} answers got, {given} given");
        assert_eq!(got, given);
        assert!(got > 100);
    };
    for (how, code, version) in [("fail", 20, 1), ("fine", 0, 2)] {
        relay.on(1, how);
        relay.load_of("relay_peer");
        thread::sleep(Duration::from_millis(300));
        relay.run().run().exits(code);
        nothing_wrong(&relay, &[0, 1, 2]);
        // The last calls end by themselves.
        thread::sleep(Duration::from_millis(500));
        assert_eq!(relay.versions(), [version; 3]);
        is_counted();
    }
}

/// The first request to stop calls the switch off on all nodes, until it is decided.
#[test]
fn ctrl_c_calls_the_switch_off() {
    let relay = Relay::with(3, Desk::new());
    relay.plan("rollout #{together => true, wait => 20s}.\nmodule relay_back #{timeout => 30s}.");
    relay.on(2, "{slow, 2000}");
    let mut running = relay.run().start();
    for at in [0, 1] {
        running.await_says(&format!("{} suspend ok", relay.name(at)));
    }
    thread::sleep(Duration::from_millis(300));
    running.signal("-INT");
    let ran = running.wait().exits(14);
    ran.says(&[
        "aborting: suspended processes are resumed",
        "0 of 3 nodes new",
    ]);
    assert_eq!(relay.versions(), [1; 3]);
}

/// Callers wait for a node no longer than `wait`, and the one that is late is named.
#[test]
fn a_node_that_is_late_is_named() {
    let relay = Relay::new(3);
    relay.plan("rollout #{together => true, wait => 500ms}.\nmodule relay_back #{timeout => 30s}.\nmodule relay_peer #{timeout => 30s}.\nbudget infinity.");
    let hang = "spawn(fun() -> sys:replace_state(relay_back, fun(S) -> receive go_on -> S after 20000 -> S end end, infinity) end)";
    relay.nodes[1].node.eval(hang);
    let ran = relay.run().run().exits(14);
    ran.says(&[
        "E659",
        "has waited for the others for 500ms",
        &format!("not ready in time: {}", relay.name(1)),
        "E658",
        "this one was not ready in time",
        "0 of 3 nodes new",
    ]);
    relay.nodes[1].node.eval("relay_back ! go_on");
    assert_eq!(relay.versions(), [1; 3]);
    relay.run().run().exits(0);
    assert_eq!(relay.versions(), [2; 3]);
}

/// What it is for: without it, nodes of both versions ask each other what the other one does not understand.
#[test]
fn without_it_calls_meet_the_other_version() {
    let relay = Relay::new(3);
    relay.plan("rollout #{batch => 1, pause => 300ms}.");
    relay.load();
    relay.run().run().exits(0);
    assert_eq!(relay.versions(), [2; 3]);
    let wrong = relay.unload(&[0, 1, 2]);
    assert!(
        wrong
            .iter()
            .any(|(_, wrong)| wrong.contains("not_understood")),
        "{wrong:?}"
    );
}

#[track_caller]
fn nothing_wrong(relay: &Relay, nodes: &[usize]) {
    for (calls, wrong) in relay.unload(nodes) {
        assert!(calls > 0);
        assert_eq!(wrong, "[]");
    }
}

/// Before the switch and behind it: no node is switched, or all are switched back before any process has run on.
#[test]
fn a_conversion_that_fails_on_one_node_leaves_all_as_they_were() {
    for (desk, is_touched) in [
        (Desk::new(), false),
        (Desk::converting_after_the_switch(), true),
    ] {
        let relay = Relay::with(3, desk);
        relay.plan(TOGETHER);
        relay.on(1, "fail");
        relay.load();
        let ran = relay.run().run().exits(20);
        let ran = ran.says(&[
            "E604",
            "E658",
            &format!(
                "called off: all nodes switch together, and {} does not",
                relay.name(1)
            ),
            "0 of 3 nodes new",
        ]);
        assert_eq!(ran.stderr.matches("error[E604]").count(), 1, "{ran}");
        assert_eq!(ran.stderr.contains("load ok"), is_touched, "{ran}");
        assert_eq!(relay.versions(), [1; 3]);
        nothing_wrong(&relay, &[0, 1, 2]);
        // It is put right, and the same command goes through.
        relay.on(1, "fine");
        relay.run().run().exits(0);
        assert_eq!(relay.versions(), [2; 3]);
    }
}

/// All nodes are new, and one is not as the plan wants it: all go back, and that at one instant as well.
#[test]
fn a_verify_that_fails_on_one_node_takes_all_back() {
    let relay = Relay::new(3);
    relay.plan(&format!(
        "{TOGETHER}\nverify \"healthy\" -> true = application:get_env(kernel, sick, false) =:= false."
    ));
    relay.nodes[2]
        .node
        .eval("application:set_env(kernel, sick, true)");
    relay.load();
    let ran = relay.run().run().exits(20);
    ran.says(&[
        "E606",
        "E658",
        &format!("goes back with the others: {}", relay.name(2)),
        "0 of 3 nodes new · 3 undone",
    ]);
    assert_eq!(relay.versions(), [1; 3]);
    nothing_wrong(&relay, &[0, 1, 2]);
}

/// What is asked of the whole when all nodes are new: they go back at one instant, too.
#[test]
fn a_check_of_the_whole_takes_all_back() {
    let relay = Relay::new(3);
    relay.plan(&format!(
        "{TOGETHER}\nverify \"whole\" #{{each => rollout}} -> false = lists:member(node(), [node()])."
    ));
    relay.load();
    let ran = relay.run().run().exits(20);
    ran.says(&[
        "E606",
        "the nodes that are new go back",
        "0 of 3 nodes new · 3 undone",
    ]);
    assert_eq!(relay.versions(), [1; 3]);
    nothing_wrong(&relay, &[0, 1, 2]);
}

/// No process is suspended, so the switch is decided before it begins; what is not good on one node takes all back.
#[test]
fn live_windows_begin_together() {
    let relay = Relay::new(3);
    relay.plan(&format!(
        "{TOGETHER}\nwindow live.\nverify \"healthy\" -> true = application:get_env(kernel, sick, false) =:= false."
    ));
    let sick = |sick: bool| {
        let set = format!("application:set_env(kernel, sick, {sick})");
        relay.nodes[1].node.eval(&set);
    };
    sick(true);
    let ran = relay.run().run().exits(20);
    ran.says(&[
        "E606",
        "E658",
        "goes back with the others",
        "0 of 3 nodes new",
    ]);
    assert_eq!(relay.versions(), [1; 3]);
    sick(false);
    let ran = relay.run().run().exits(0);
    let place = |words: &str| ran.stderr.find(words).expect("said");
    let decided = place("all nodes are switched and converted");
    for at in [0, 1, 2] {
        assert!(
            place(&format!("{} live ok", relay.name(at))) > decided,
            "{ran}"
        );
    }
    assert_eq!(relay.versions(), [2; 3]);
}

/// The client is killed while nodes wait for each other: each goes back by itself, at once.
#[test]
fn nodes_go_back_by_themselves_when_their_client_is_killed() {
    for desk in [Desk::new(), Desk::converting_after_the_switch()] {
        let relay = Relay::with(3, desk);
        relay.plan(
            "rollout #{together => true, wait => 20s}.\nmodule relay_back #{timeout => 30s}.",
        );
        relay.on(2, "{slow, 3000}");
        let mut running = relay.run().start();
        for at in [0, 1] {
            running.await_says(&format!("{} suspend ok", relay.name(at)));
        }
        // They have come to where they wait for the third one.
        thread::sleep(Duration::from_millis(500));
        running.kill();
        for at in [0, 1, 2] {
            assert_eq!(relay.settled(at), 1, "{}", relay.name(at));
        }
        // What has become of them is kept on each node, for the client that comes next. A node that asks another one calls
        // it off there.
        let mut alone = 0;
        for started in relay.events("node.started") {
            let run = started["run"].as_str().expect("a name");
            let ran = relay.updo(&["attach", run]).run();
            let is_alone = ran.stderr.contains("error[E659]: the client has left");
            assert!(is_alone || ran.stderr.contains("error[E658]"), "{ran}");
            alone += u32::from(is_alone);
        }
        assert!(alone > 0);
    }
}

/// A node dies while the others wait for it, before the switch and behind it; the second one is that which keeps the decision.
#[test]
fn a_node_that_dies_leaves_the_others_as_they_were() {
    for (desk, victim) in [(Desk::new(), 1), (Desk::converting_after_the_switch(), 0)] {
        let relay = Relay::with(3, desk);
        relay.plan(
            "rollout #{together => true, wait => 20s}.\nmodule relay_back #{timeout => 30s}.",
        );
        relay.on(2, "{slow, 3000}");
        let mut running = relay.run().start();
        for at in [0, 1] {
            running.await_says(&format!("{} suspend ok", relay.name(at)));
        }
        thread::sleep(Duration::from_millis(500));
        relay.nodes[victim].node.kill();
        let ran = running.wait().exits(23);
        ran.says(&["E608", "E658", "0 of 3 nodes new", "updo attach "]);
        for at in [0, 1, 2].into_iter().filter(|at| *at != victim) {
            assert_eq!(relay.settled(at), 1);
        }
    }
}

/// A way to a node that can be cut.
struct Proxy {
    port: u16,
    mode: Arc<AtomicU8>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

/// What is sent gets through; is swallowed.
const THROUGH: u8 = 0;
const SILENT: u8 = 1;

impl Proxy {
    /// To a node on this machine, which is known by its port.
    fn to(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let mode = Arc::new(AtomicU8::new(THROUGH));
        let streams = Arc::new(Mutex::new(Vec::new()));
        let (shared, all) = (Arc::clone(&mode), Arc::clone(&streams));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(node) = TcpStream::connect(("127.0.0.1", target)) else {
                    continue;
                };
                for (from, to) in [(&client, &node), (&node, &client)] {
                    let (from, to) = (from.try_clone().expect("one"), to.try_clone().expect("one"));
                    let mode = Arc::clone(&shared);
                    thread::spawn(move || copy(from, to, &mode));
                }
                all.lock().expect("no panic").extend([client, node]);
            }
        });
        Self {
            port,
            mode,
            streams,
        }
    }

    /// Nothing gets through any more, and the connections stay.
    fn silence(&self) {
        self.mode.store(SILENT, Ordering::SeqCst);
    }

    /// All connections end.
    fn cut(&self) {
        self.silence();
        for stream in self.streams.lock().expect("no panic").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, mode: &AtomicU8) {
    let mut bytes = [0; 65536];
    loop {
        match from.read(&mut bytes) {
            Ok(0) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
            Ok(_) if mode.load(Ordering::SeqCst) == SILENT => {}
            Ok(size) => {
                if to.write_all(&bytes[..size]).is_err() {
                    break;
                }
            }
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

impl Relay {
    /// The way to a node goes through a proxy from now on.
    fn through_proxy(&mut self, at: usize) -> Proxy {
        let port = self.nodes[at]
            .node
            .eval_text("begin {ok, P} = erl_epmd:names(\"localhost\"), element(2, lists:keyfind(hd(string:split(atom_to_list(node()), \"@\")), 1, P)) end");
        let proxy = Proxy::to(port.parse().expect("a port"));
        self.ports[at] = Some(proxy.port);
        proxy
    }
}

/// The connection to a node that waits for the others is cut: all go back.
#[test]
fn a_link_that_is_cut_in_the_hold_takes_all_back() {
    for desk in [Desk::new(), Desk::converting_after_the_switch()] {
        let mut relay = Relay::with(3, desk);
        let proxy = relay.through_proxy(1);
        relay.plan(
            "rollout #{together => true, wait => 20s}.\nmodule relay_back #{timeout => 30s}.",
        );
        relay.on(2, "{slow, 3000}");
        let mut running = relay.run().start();
        for at in [0, 1] {
            running.await_says(&format!("{} suspend ok", relay.name(at)));
        }
        thread::sleep(Duration::from_millis(500));
        proxy.cut();
        let ran = running.wait().exits(23);
        ran.says(&["E608", "E658", "0 of 3 nodes new", "updo attach "]);
        for at in [0, 1, 2] {
            assert_eq!(relay.settled(at), 1, "{}", relay.name(at));
        }
    }
}

/// A node does not hear the client any more when the switch is decided: it asks the node that has decided, and follows.
#[test]
fn a_node_that_is_cut_off_at_the_decision_follows_the_others() {
    let mut relay = Relay::with(3, Desk::converting_after_the_switch());
    let proxy = relay.through_proxy(1);
    relay.plan("rollout #{together => true, wait => 6s}.\nmodule relay_back #{timeout => 30s}.");
    relay.on(2, "{slow, 3000}");
    let mut running = relay.run().start();
    running.await_says(&format!("{} convert ok", relay.name(1)));
    thread::sleep(Duration::from_millis(300));
    proxy.silence();
    running.await_says(&format!("{} convert ok", relay.name(2)));
    for at in [0, 1, 2] {
        assert_eq!(relay.settled(at), 2, "{}", relay.name(at));
    }
    let ran = running.wait().exits(23);
    ran.says(&["E608", "2 of 3 nodes new", "updo attach "]);
}

/// Cut off from the client and from all other nodes at the decision: what cannot be known there is said here, with what
/// mends it.
#[test]
fn a_node_that_is_cut_off_from_all_is_named() {
    let mut relay = Relay::with(3, Desk::converting_after_the_switch());
    let proxy = relay.through_proxy(1);
    relay.plan("rollout #{together => true, wait => 4s}.\nmodule relay_back #{timeout => 30s}.");
    relay.on(2, "{slow, 3000}");
    let mut running = relay.run().start();
    running.await_says(&format!("{} convert ok", relay.name(1)));
    thread::sleep(Duration::from_millis(300));
    proxy.silence();
    let others = format!("'{}', '{}'", relay.name(0), relay.name(2));
    relay.nodes[1].node.eval(&format!(
        "[begin erlang:set_cookie(N, another), erlang:disconnect_node(N) end || N <- [{others}]]"
    ));
    let ran = running.wait().exits(23);
    ran.says(&[
        "E608",
        "E620",
        "2 of 3 nodes new",
        "updo attach ",
        "updo rollback ",
    ]);
    assert_eq!(relay.settled(1), 1);
    assert_eq!((relay.version(0), relay.version(2)), (2, 2));
    // When it can be reached again.
    relay.ports = vec![None; 3];
    relay.plan(TOGETHER);
    let status = relay.updo(&["status", "plan.updo"]).run();
    assert!(status.stdout.contains(relay.name(1)), "{status}");
    relay.run().run().exits(0).says(&["done  Relay"]);
    assert_eq!(relay.versions(), [2; 3]);
}

/// The first of the nodes keeps the decision. It waits, and the client falls silent: no process stays suspended for it.
#[test]
fn nodes_that_hear_nothing_ask_each_other_and_go_back() {
    let mut relay = Relay::with(3, Desk::converting_after_the_switch());
    let proxies: Vec<Proxy> = (0..3).map(|at| relay.through_proxy(at)).collect();
    relay.plan("rollout #{together => true, wait => 2s}.\nmodule relay_back #{timeout => 30s}.");
    relay.on(2, "{slow, 1000}");
    let mut running = relay.run().start();
    for at in [0, 1] {
        running.await_says(&format!("{} convert ok", relay.name(at)));
    }
    for proxy in &proxies {
        proxy.silence();
    }
    for at in [0, 1, 2] {
        relay.nodes[at]
            .node
            .await_true("{1,1} =:= relay_back:look()");
        assert_eq!(relay.version(at), 1, "{}", relay.name(at));
    }
    running.kill();
}

/// `sync_nodes` of OTP's scripts: no node goes on before all have come there.
#[test]
fn nodes_wait_for_each_other_at_sync_nodes() {
    let relay = Relay::new(3);
    let names = relay.names();
    relay.plan(&format!(
        "{TOGETHER}\ninsert {{sync_nodes, halfway, [{names}]}} at end."
    ));
    let ran = relay.run().run().exits(0);
    ran.says(&["rollout together ok all nodes are at sync_nodes halfway"]);
    assert_eq!(relay.versions(), [2; 3]);
    // One after the other no node could ever be there with the others.
    relay.plan(&format!(
        "rollout #{{batch => 1}}.\ninsert {{sync_nodes, halfway, [{names}]}} at end."
    ));
    let ran = relay.updo(&["preview", "plan.updo"]).run();
    assert_ne!(ran.code, Some(0));
    ran.says(&[
        "E401",
        "does not carry out `sync_nodes`",
        "rollout #{together => true}",
    ]);
}

#[test]
fn what_cannot_switch_at_one_instant_is_refused() {
    let relay = Relay::new(2);
    relay.plan("rollout #{together => true}.\nwindow minimal.");
    let ran = relay.run().run().exits(11);
    ran.says(&["E657", "window single."]);
    relay.plan(TOGETHER);
    for flag in [["--batch", "1"], ["--pause", "1s"]] {
        let ran = relay.updo(&["run", "plan.updo", "--yes", flag[0], flag[1]]);
        ran.run().exits(2).says(&["switch at one instant", flag[0]]);
    }
    let ran = relay.updo(&["run", "plan.updo", "--yes", "--canary-only"]);
    ran.run().exits(2).says(&["no canary"]);
    relay
        .updo(&["preview", "plan.updo"])
        .run()
        .exits(0)
        .prints(&["switched and resumed at one instant, or none is"]);
    assert_eq!(relay.versions(), [1; 2]);
}
