//! Nodes that are found elsewhere than their names say (a forwarded port, NAT), over IPv4 and IPv6.

use updo::node::DialAddress;

use crate::proxy;
use crate::support::desk::Desk;
use crate::support::{Options, TestNode, free_port};

/// A node whose host nothing can look up, and its port on 127.0.0.1.
fn far_away() -> (TestNode, u16) {
    let port = free_port();
    let options = Options {
        long: true,
        name: Some(format!("far{}n{port}@shop.invalid", std::process::id())),
        port: Some(port),
        address: DialAddress::parse("127.0.0.1"),
        ..Options::default()
    };
    (options.start(), port)
}

#[test]
fn an_address_that_is_not_its_name() {
    let (node, port) = far_away();
    let forwarded = proxy::to(port);
    let desk = Desk::new();
    let name = node.name();
    for address in [
        format!("\"127.0.0.1:{forwarded}\""),
        format!("#{{'{name}' => \"localhost:{forwarded}\"}}"),
        format!("\"127.0.0.1\", port => {forwarded}"),
    ] {
        let text =
            format!("plan \"Far\".\ntarget t #{{nodes => ['{name}'], address => {address}}}.\n");
        desk.write("p.updo", &text);
        let status = desk.updo(&["status", "p.updo"]).run().exits(0);
        status.prints(&[name]);
    }
    let doctor = desk.updo(&["doctor", "p.updo"]).run().exits(0);
    doctor.prints(&["at 127.0.0.1 (plan)", "127.0.0.1 is 127.0.0.1"]);
    let eval = desk
        .updo(&["eval", name, "node()"])
        .env("UPDO_ADDRESS", &format!("127.0.0.1:{forwarded}"));
    eval.run().exits(0).prints(&[name]);
}

#[test]
fn an_address_whose_epmd_is_asked() {
    let node = Options {
        long: true,
        name: Some(format!("far{}@shop.invalid", std::process::id())),
        address: DialAddress::parse("127.0.0.1"),
        ..Options::default()
    }
    .start();
    let desk = Desk::new();
    let eval = desk.eval(&node, "node()").env("UPDO_ADDRESS", "localhost");
    eval.run().exits(0).prints(&[node.name()]);
}

#[test]
fn addresses_that_lead_nowhere() {
    let (node, _) = far_away();
    let desk = Desk::new();
    let eval = || desk.updo(&["eval", node.name(), "node()"]);
    // The name's own host.
    let without = eval().run().exits(10);
    without.says(&["E501", "shop.invalid", "UPDO_ADDRESS"]);
    let doctor = desk.updo(&["doctor", node.name()]).run().exits(10);
    doctor.prints(&["host  ✗"]);
    let closed = format!("127.0.0.1:{}", free_port());
    let wrong = eval().env("UPDO_ADDRESS", &closed).run().exits(10);
    wrong.says(&["E506", &closed]);
    for bad in ["127.0.0.1:", "a b", "x@y", ":1", "[::1"] {
        let ran = eval().env("UPDO_ADDRESS", bad).run().exits(10);
        ran.says(&["E501", "UPDO_ADDRESS"]);
    }
    for (options, says) in [
        ("address => 7", "`address` wants"),
        ("address => \"h:x\"", "`address` wants"),
        ("address => #{web => \"h:1\"}", "`address` wants"),
        ("address => \"h:1\", port => 2", "has a port already"),
    ] {
        desk.write(
            "p.updo",
            &format!("plan \"x\".\ntarget t #{{nodes => ['a@h'], {options}}}.\n"),
        );
        let ran = desk.updo(&["check", "p.updo"]).run().exits(1);
        ran.says(&["E205", says]);
    }
    desk.write(
        "p.updo",
        "plan \"x\".\ntarget t #{nodes => ['a@h', 'b@h'], address => \"h:1\"}.\n",
    );
    let ran = desk.updo(&["check", "p.updo"]).run().exits(1);
    ran.says(&["E205", "that of 2 nodes", "a@h => \"HOST:PORT\""]);
}

/// As on Fly: `-proto_dist inet6_tcp`, the host is an address of IPv6.
#[test]
fn nodes_of_ipv6() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("this machine has no IPv6");
        return;
    }
    let options = || Options {
        ipv6: true,
        ..Options::default()
    };
    let desk = Desk::new();
    // By epmd.
    let node = options().start();
    assert!(node.name().ends_with("@::1"), "{}", node.name());
    desk.eval(&node, "node()")
        .run()
        .exits(0)
        .prints(&[node.name()]);
    let doctor = desk.on(&node, &["doctor", node.name()]).run().exits(0);
    doctor.prints(&["::1, long names", "::1 is ::1", "[::1]:"]);
    // By a port, and by another name of the machine.
    let port = free_port();
    let node = Options {
        port: Some(port),
        ..options()
    }
    .start();
    let eval = || desk.updo(&["eval", node.name(), "node()"]);
    let port = port.to_string();
    eval().env("UPDO_PORT", &port).run().exits(0);
    let at = format!("[::1]:{port}");
    let there = eval().env("UPDO_ADDRESS", &at).run().exits(0);
    there.prints(&[node.name()]);
    // It listens on IPv6 only.
    let four = format!("127.0.0.1:{port}");
    let wrong = eval().env("UPDO_ADDRESS", &four).run().exits(10);
    wrong.says(&["E506", &four]);
}

/// A node that was given its name by the one it connected to listens on no port: that is what is said of it.
#[test]
fn a_node_with_a_dynamic_name() {
    let host = TestNode::start();
    let code = format!(
        "true = net_kernel:connect_node('{}'), timer:sleep(infinity)",
        host.name()
    );
    let port = host.epmd_port().to_string();
    let cookie = crate::support::COOKIE;
    let log = host.home().join("dynamic.log");
    let _guest = crate::support::Guarded::start(
        &[
            "erl",
            "-noinput",
            "-sname",
            "undefined",
            "-setcookie",
            cookie,
            "-eval",
            &code,
        ],
        &log,
        &[
            ("ERL_EPMD_PORT", &port),
            ("HOME", host.home().to_str().expect("UTF-8")),
        ],
    );
    let guests = "[N || N <- nodes(hidden), not lists:prefix(\"updo-\", atom_to_list(N))]";
    host.await_true(&format!("{guests} =/= []"));
    let name = host.eval_text(&format!("hd({guests})"));
    let name = name.trim_matches('\'').to_owned();
    let desk = Desk::new();
    let ran = desk
        .updo(&["eval", &name, "node()"])
        .env("UPDO_EPMD_PORT", &port)
        .env("UPDO_ADDRESS", "127.0.0.1")
        .run()
        .exits(10);
    ran.says(&["E501", "-sname undefined", "listens on no port"]);
}

/// A node that lets in some only says no in the handshake, and the doctor says what to do.
#[test]
fn a_node_that_lets_in_some_only() {
    let node = TestNode::start();
    let desk = Desk::new();
    let own = node.session().local_name().to_owned();
    node.eval(&format!("net_kernel:allow(['{own}', 'chosen@localhost'])"));
    let doctor = || desk.on(&node, &["doctor", node.name()]);
    let refused = doctor().run().exits(10);
    refused.says(&[
        "E506",
        "does not allow a connection",
        "net_kernel:allow/1",
        "--name",
    ]);
    doctor()
        .run()
        .exits(10)
        .prints(&["port  ✓", "handshake  ✗  E506"]);
    let chosen = doctor()
        .arg("--name")
        .arg("chosen@localhost")
        .run()
        .exits(0);
    chosen.prints(&["connections of 2 names (net_kernel:allow/1)"]);
}
