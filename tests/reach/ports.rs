//! Nodes without epmd: their port comes from the plan, from updo's environment, or from what OTP itself obeys.

use crate::support::desk::Desk;
use crate::support::{Options, TestNode, free_port};

/// A node without epmd, and its port.
fn without_epmd() -> (TestNode, u16) {
    let port = free_port();
    let options = Options {
        port: Some(port),
        ..Options::default()
    };
    (options.start(), port)
}

/// A plan for a node.
fn plan(desk: &Desk, node: &str, more: &str) {
    let text = format!("plan \"Ways\".\ntarget t #{{nodes => ['{node}']{more}}}.\n");
    desk.write("p.updo", &text);
}

#[test]
fn a_port_of_the_plan() {
    let (node, port) = without_epmd();
    let desk = Desk::new();
    let closed = free_port().to_string();
    plan(&desk, node.name(), &format!(", port => {port}"));
    let status = desk.updo(&["status", "p.updo"]);
    let ran = status.env("UPDO_EPMD_PORT", &closed).run().exits(0);
    ran.prints(&[node.name(), "lock     free"]);
    let doctor = desk.updo(&["doctor", "p.updo"]).run().exits(0);
    assert!(!doctor.stdout.contains("  epmd  "), "{doctor}");
    doctor.prints(&[
        &format!("port {port} (plan), epmd is not asked"),
        &format!("127.0.0.1:{port} (plan) answers"),
        "executes calls of ours",
    ]);
    // A node that nothing names takes the way of the plan's only target.
    let eval = desk.updo(&["status", "p.updo", "-t", node.name()]);
    eval.run().exits(0);
}

#[test]
fn a_port_of_the_environment() {
    let (node, port) = without_epmd();
    let desk = Desk::new();
    let port = port.to_string();
    let eval = || desk.updo(&["eval", node.name(), "node()"]);
    let flags = format!("+K true -erl_epmd_port {port}");
    for (name, value) in [
        ("UPDO_PORT", &port),
        ("ERL_DIST_PORT", &port),
        ("ERL_ZFLAGS", &flags),
    ] {
        let ran = eval().env(name, value).run().exits(0);
        ran.prints(&[node.name()]);
        let doctor = desk.updo(&["doctor", node.name()]).env(name, value);
        let by = format!("port {port} (env {name}), epmd is not asked");
        doctor.run().exits(0).prints(&[&by]);
    }
    // updo's own variable counts more, and so does a port of epmd that was given for updo.
    let both = eval()
        .env("UPDO_PORT", &port)
        .env("ERL_DIST_PORT", &free_port().to_string());
    both.run().exits(0);
    let epmd = eval()
        .env("ERL_DIST_PORT", &port)
        .env("UPDO_EPMD_PORT", &free_port().to_string());
    epmd.run()
        .exits(10)
        .says(&["E501", "epmd cannot be reached"]);
    // And more than the plan.
    plan(&desk, node.name(), &format!(", port => {}", free_port()));
    let status = desk.updo(&["status", "p.updo"]).env("UPDO_PORT", &port);
    status.run().exits(0);
}

#[test]
fn ports_that_lead_nowhere() {
    let (node, port) = without_epmd();
    let desk = Desk::new();
    let closed = free_port().to_string();
    // Without a port, its help says that there are nodes without epmd.
    let eval = || desk.updo(&["eval", node.name(), "node()"]);
    let asked = eval().env("UPDO_EPMD_PORT", &closed).run().exits(10);
    asked.says(&["E501", "`port => PORT` on the plan's target, or UPDO_PORT"]);
    // Nothing listens there.
    let wrong = eval().env("UPDO_PORT", &closed).run().exits(10);
    wrong.says(&["E506", "epmd was not asked", &closed]);
    let doctor = desk
        .updo(&["doctor", node.name()])
        .env("UPDO_PORT", &closed);
    let doctor = doctor.run().exits(10);
    doctor.prints(&["port  ✗", "host  ✓"]);
    // Something else listens there: another node, a program that says nothing.
    let (other, its_port) = without_epmd();
    let crossed = eval().env("UPDO_PORT", &its_port.to_string());
    crossed.run().exits(10).says(&["E504", other.name()]);
    let began = std::time::Instant::now();
    let silent = eval().env("UPDO_PORT", &crate::proxy::silent().to_string());
    silent.run().exits(10).says(&["E508", "in time"]);
    assert!(began.elapsed() < std::time::Duration::from_secs(20));
    for bad in ["0", "70000", "nine", "-1"] {
        let ran = eval().env("UPDO_PORT", bad).run().exits(10);
        ran.says(&["E501", "UPDO_PORT", bad]);
        let ran = eval().env("ERL_DIST_PORT", bad).run().exits(10);
        ran.says(&["E501", "ERL_DIST_PORT", bad]);
        let text = if bad == "nine" { "\"nine\"" } else { bad };
        plan(&desk, node.name(), &format!(", port => {text}"));
        let ran = desk.updo(&["check", "p.updo"]).run().exits(1);
        ran.says(&["E205", "`port` wants a port number"]);
    }
    // A node that goes away while it is talked to.
    plan(&desk, node.name(), &format!(", port => {port}"));
    node.kill();
    let gone = desk.updo(&["status", "p.updo"]).run().exits(10);
    gone.says(&["E506", "fixed one"]);
}
