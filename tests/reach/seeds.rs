//! Targets whose nodes are known to the DNS, or to a file.

use std::time::{Duration, Instant};

use updo::node::DialAddress;
use updo::{Engine, NodeName, Settings};

use crate::dns_server::{self, Reply};
use crate::support::desk::{Desk, Updo};
use crate::support::{Options, TestNode, free_port};

/// A node whose name begins so; `far` ones are on a host that nothing can look up.
fn named(prefix: &str, far: bool) -> TestNode {
    let host = if far { "shop.invalid" } else { "127.0.0.1" };
    Options {
        long: true,
        name: Some(format!("{prefix}{}@{host}", std::process::id())),
        address: DialAddress::parse("127.0.0.1"),
        ..Options::default()
    }
    .start()
}

fn plan(desk: &Desk, seed: &str, pattern: &str, more: &str) {
    desk.write(
        "p.updo",
        &format!("plan \"Seeds\".\ntarget t #{{seed => {seed}, match => \"{pattern}\"{more}}}.\n"),
    );
}

fn on<'d>(desk: &'d Desk, node: &TestNode, command: &str) -> Updo<'d> {
    desk.updo(&[command, "p.updo"])
        .env("UPDO_EPMD_PORT", &node.epmd_port().to_string())
}

/// Nodes are found by their hosts, and go by the names that they give themselves.
#[test]
fn the_nodes_behind_a_name() {
    let (near, far) = (named("dnsa", false), named("dnsb", true));
    let other = named("till", false);
    let hidden = Options {
        long: true,
        name: Some(format!("dnsh{}@127.0.0.1", std::process::id())),
        ..Options::default()
    }
    .args(&["-hidden"])
    .start();
    let desk = Desk::new();
    plan(&desk, "dns(\"localhost\")", "dns*@*", "");
    // Without a network nothing is asked.
    desk.updo(&["check", "p.updo", "--offline"]).run().exits(0);
    let status = on(&desk, &near, "status").run().exits(0);
    for absent in [&other, &hidden] {
        assert!(!status.stdout.contains(absent.name()), "{status}");
    }
    let places: Vec<_> = [&near, &far]
        .map(|node| status.stdout.find(node.name()))
        .into();
    assert!(places[0] < places[1] && places[0].is_some(), "{status}");
    // Where it was found is where it is connected to, also when it is named alone.
    let doctor = on(&desk, &far, "doctor").arg("-t").arg(far.name());
    doctor.run().exits(0).prints(&["(dns localhost)"]);
    // The first half of a handshake is nothing that a node reports.
    for node in [&near, &far] {
        let log = node.log();
        assert!(!log.contains("onnection attempt"), "{log}");
    }
    plan(&desk, "dns(\"localhost\")", "shop*@*", "");
    let none = on(&desk, &near, "status").run().exits(1);
    none.says(&["E217", "no node on the hosts of localhost matches shop*@*"]);
    // A node that does not answer is not left out.
    plan(&desk, "dns(\"localhost\")", "dns*@*", "");
    far.signal("-STOP");
    let began = Instant::now();
    let frozen = on(&desk, &near, "status").run().exits(10);
    frozen.says(&["E512", "hosts of localhost cannot be asked", "E508"]);
    assert!(began.elapsed() < Duration::from_secs(20));
    far.signal("-CONT");
    // No epmd at all.
    let closed = free_port().to_string();
    let ran = on(&desk, &near, "status").env("UPDO_EPMD_PORT", &closed);
    ran.run()
        .exits(10)
        .says(&["E512", "E501", "epmd cannot be reached"]);
    plan(&desk, "dns(\"no-such-name.invalid\")", "*@*", "");
    let ran = on(&desk, &near, "status").run().exits(10);
    ran.says(&["E512", "no-such-name.invalid", "getent ahosts"]);
}

/// Without epmd: the port is the plan's, or the service's.
#[test]
fn the_nodes_behind_a_name_without_epmd() {
    let port = free_port();
    let node = Options {
        port: Some(port),
        ..Options::default()
    }
    .start();
    let desk = Desk::new();
    plan(
        &desk,
        "dns(\"localhost\")",
        "x*@localhost",
        &format!(", port => {port}"),
    );
    let status = desk.updo(&["status", "p.updo"]).run().exits(0);
    status.prints(&[node.name()]);
    let service = |reply| vec![("_dist._tcp.app.internal", reply)];
    let here = vec![("localhost".to_owned(), port)];
    plan(
        &desk,
        "dns(\"_dist._tcp.app.internal\")",
        "x*@localhost",
        "",
    );
    for reply in [Reply::Services(here.clone()), Reply::LongServices(here)] {
        let dns = format!("127.0.0.1:{}", dns_server::start(service(reply)));
        let status = desk.updo(&["status", "p.updo"]).env("UPDO_DNS", &dns);
        status.run().exits(0).prints(&[node.name()]);
        let doctor = desk.updo(&["doctor", "p.updo"]).env("UPDO_DNS", &dns);
        let by = format!("port {port} (dns _dist._tcp.app.internal)");
        doctor.run().exits(0).prints(&[&by]);
    }
}

/// `_epmd`: the port of the service is epmd's.
#[test]
fn services_of_epmd() {
    let node = named("srva", true);
    let desk = Desk::new();
    let services = vec![("localhost".to_owned(), node.epmd_port())];
    let dns = dns_server::start(vec![
        ("_epmd._tcp.app.internal", Reply::Services(services)),
        ("_epmd._tcp.broken.internal", Reply::Code(2)),
        ("_epmd._tcp.noise.internal", Reply::Noise),
        ("_epmd._tcp.silent.internal", Reply::Silence),
        ("_epmd._tcp.empty.internal", Reply::Services(Vec::new())),
        (
            "_epmd._tcp.gone.internal",
            Reply::Services(vec![("no-such-host.invalid".to_owned(), 4369)]),
        ),
    ]);
    let dns = format!("127.0.0.1:{dns}");
    let status = |name: &str| {
        plan(&desk, &format!("dns(\"{name}\")"), "srv*@*", "");
        desk.updo(&["status", "p.updo"]).env("UPDO_DNS", &dns)
    };
    let found = status("_epmd._tcp.app.internal").run().exits(0);
    found.prints(&[node.name()]);
    for (name, why) in [
        ("broken", "ServerFailure"),
        ("noise", "no answer"),
        ("silent", "no answer in time"),
        ("empty", "no such service"),
        ("unknown", "no such service"),
    ] {
        let began = Instant::now();
        let ran = status(&format!("_epmd._tcp.{name}.internal"))
            .run()
            .exits(10);
        ran.says(&["E512", "dig _epmd._tcp.", why]);
        assert!(began.elapsed() < Duration::from_secs(20), "{name}");
    }
    // What UPDO_ADDRESS says is of a node that is connected to, and of no host that is asked.
    let elsewhere = status("_epmd._tcp.app.internal")
        .env("UPDO_ADDRESS", &format!("127.0.0.1:{}", free_port()))
        .run();
    assert!(!elsewhere.stderr.contains("E512"), "{elsewhere}");
    // A node that permits some names is found by the one that is given.
    let own = node.session().local_name().to_owned();
    node.eval(&format!("net_kernel:allow(['{own}', 'ops@127.0.0.1'])"));
    let refused = status("_epmd._tcp.app.internal").run().exits(10);
    refused.says(&["E512", "does not allow a connection"]);
    let named = status("_epmd._tcp.app.internal").env("UPDO_NAME", "ops@127.0.0.1");
    named.run().exits(0).prints(&[node.name()]);
    let gone = status("_epmd._tcp.gone.internal").run().exits(10);
    gone.says(&["E512", "no-such-host.invalid: E501"]);
    let ran = status("_epmd._tcp.app.internal").env("UPDO_DNS", "nowhere");
    ran.run()
        .exits(10)
        .says(&["E512", "UPDO_DNS", "which is no server"]);
}

#[test]
fn the_nodes_of_a_file() {
    let (near, far) = (named("fila", false), named("filb", true));
    let desk = Desk::new();
    plan(&desk, "file(\"nodes.txt\")", "fil*@*", "");
    desk.write(
        "nodes.txt",
        &format!(
            "# written by the deployment\n{}   127.0.0.1\n\n'{}' % near\ntill@h\n",
            far.name(),
            near.name()
        ),
    );
    let status = on(&desk, &near, "status").run().exits(0);
    let places: Vec<_> = [&near, &far]
        .map(|node| status.stdout.find(node.name()))
        .into();
    assert!(places[0] < places[1] && places[0].is_some(), "{status}");
    assert!(!status.stdout.contains("till"), "{status}");
    // A node of it that is named alone.
    let alone = on(&desk, &far, "status").arg("-t").arg(far.name());
    alone.run().exits(0).prints(&[far.name()]);
    // A rollout takes them as any others.
    let preview = on(&desk, &near, "preview").run().exits(0);
    preview.prints(&["nothing to do"]);
    for (text, why) in [
        ("", "it names none"),
        ("# nothing\n", "it names none"),
        ("shop\n", "line 1: `shop` is not a node name"),
        ("\nshop@h h:x\n", "line 2: the second word is no address"),
        ("shop@h h:1 more\n", "line 1: there are more than two words"),
        // No comment, but an address that only this machine could use.
        (
            "shop@h fe80::1%eth0\n",
            "line 1: the second word is no address",
        ),
    ] {
        desk.write("nodes.txt", text);
        let ran = on(&desk, &near, "status").run().exits(10);
        ran.says(&["E512", why]);
    }
    desk.write("nodes.txt", "other@h\n");
    let ran = on(&desk, &near, "status").run().exits(1);
    ran.says(&["E217", "matches fil*@*", "nodes in it: other@h"]);
    std::fs::write(desk.path().join("nodes.txt"), [0xff, 0xfe]).expect("it can be written");
    on(&desk, &near, "status")
        .run()
        .exits(10)
        .says(&["E512", "not UTF-8 at byte"]);
    std::fs::remove_file(desk.path().join("nodes.txt")).expect("it can be removed");
    on(&desk, &near, "status")
        .run()
        .exits(10)
        .says(&["E512", "No such file"]);
    std::fs::create_dir(desk.path().join("nodes.txt")).expect("it can be made");
    on(&desk, &near, "status")
        .run()
        .exits(10)
        .says(&["E512", "not a regular file"]);
}

#[test]
fn seeds_that_are_none() {
    let desk = Desk::new();
    for (seed, says) in [
        ("dns(\"\")", "`dns` wants a name of the DNS"),
        ("dns(\"a b\")", "`dns` wants a name of the DNS"),
        ("dns('shop@h')", "`dns` wants a name of the DNS"),
        ("file(7)", "`file` wants a path"),
        ("dns()", "`seed` wants a node name"),
        ("7", "`seed` wants a node name"),
    ] {
        plan(&desk, seed, "*@*", "");
        let ran = desk.updo(&["check", "p.updo"]).run().exits(1);
        ran.says(&[says]);
    }
    desk.write("p.updo", "plan \"x\".\ntarget t #{seed => dns(\"app\")}.\n");
    let ran = desk.updo(&["check", "p.updo"]).run().exits(1);
    ran.says(&["E205", "a `seed` needs a `match`"]);
}

/// What has come back at another place is looked for again, as a command that goes on for days has to.
#[test]
fn a_node_that_has_moved_is_found_again() {
    let node = named("moved", true);
    let desk = Desk::new();
    plan(&desk, "file(\"nodes.txt\")", "moved*@*", "");
    let at = |host: &str| desk.write("nodes.txt", &format!("{} {host}\n", node.name()));
    at(&format!("127.0.0.1:{}", free_port()));
    let settings = Settings {
        state_dir: desk.path().join("state"),
        cookie_file: Some(desk.path().join("cookie")),
        epmd_port: Some(node.epmd_port()),
        ..Settings::default()
    };
    let engine = Engine::open(&desk.path().join("p.updo"), settings).into_result();
    let engine = engine.expect("the plan is sound");
    let name = NodeName::new(node.name());
    assert!(engine.connect(&name).is_err());
    at("127.0.0.1");
    let connection = engine.connect(&name).expect("it is there");
    assert_eq!(connection.session.node(), &name);
}
