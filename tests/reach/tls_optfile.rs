//! TLS with the options that the node itself was started with: its `-ssl_dist_optfile`.

use crate::support::certs::Certs;
use crate::support::desk::{Desk, Updo};
use crate::support::{Options, TestNode};

fn with(desk: &Desk, node: &TestNode, tls: &str) {
    let name = node.name();
    desk.write(
        "p.updo",
        &format!("plan \"TLS\".\ntarget t #{{nodes => ['{name}'], tls => #{{{tls}}}}}.\n"),
    );
}

fn on<'d>(desk: &'d Desk, node: &TestNode, args: &[&str]) -> Updo<'d> {
    desk.updo(args)
        .env("UPDO_EPMD_PORT", &node.epmd_port().to_string())
}

#[test]
fn the_file_of_the_node_itself() {
    let certs = Certs::new();
    let Options { args, .. } = certs.node("node", "", certs.tls());
    let file = args.last().expect("its path").clone();
    let node = Options {
        args,
        tls: Some(certs.tls()),
        ..Options::default()
    }
    .start();
    let desk = Desk::new();
    with(&desk, &node, &format!("optfile => {file:?}"));
    let status = on(&desk, &node, &["status", "p.updo"]).run().exits(0);
    status.prints(&[node.name()]);
    let doctor = on(&desk, &node, &["doctor", "p.updo"]).run().exits(0);
    let ca = certs.path("ca.pem").display().to_string();
    doctor.prints(&[&format!("authorities from {ca}"), "TLS 1."]);
    // Without a plan.
    let eval = on(&desk, &node, &["eval", node.name(), "node()"]);
    let eval = eval.env("UPDO_TLS_OPTFILE", &file).run().exits(0);
    eval.prints(&[node.name()]);
    // What the plan says counts more: a name that the certificate does not have.
    with(
        &desk,
        &node,
        &format!("optfile => file({file:?}), server_name => \"other.example.net\""),
    );
    let named = on(&desk, &node, &["status", "p.updo"]).run().exits(10);
    named.says(&["E503", "not made out for other.example.net"]);
    // Paths relative to the file.
    let own = "[{client, [{cacertfile, \"ca.pem\"}, {certfile, \"client.pem\"}, {keyfile, \"client.key\"}]}].";
    let near = certs.write("near.config", own).display().to_string();
    with(&desk, &node, &format!("optfile => {near:?}"));
    on(&desk, &node, &["status", "p.updo"]).run().exits(0);
}

#[test]
fn files_that_do_not_do() {
    let certs = Certs::new();
    let node = certs.node("node", "", certs.tls()).start();
    let desk = Desk::new();
    let ca = certs.path("ca.pem").display().to_string();
    let fails = |name: &str, text: &str, says: &[&str]| {
        let path = certs.write(name, text).display().to_string();
        with(&desk, &node, &format!("optfile => {path:?}"));
        on(&desk, &node, &["doctor", "p.updo"])
            .run()
            .exits(10)
            .says(says);
    };
    // No certificate of ours, which this node wants to see; none of the authority; no term.
    fails(
        "a.config",
        &format!("[{{client, [{{cacertfile, {ca:?}}}]}}]."),
        &["E503", "certificate of ours"],
    );
    fails("b.config", "[{client, []}].", &["E509", "no `cacertfile`"]);
    fails("c.config", "[{client, [}].", &["E509", "cannot be read"]);
    fails(
        "d.config",
        "[{client, [{cacertfile, \"no.pem\"}]}].",
        &["E509", "no.pem"],
    );
    with(&desk, &node, "optfile => \"nowhere.config\"");
    on(&desk, &node, &["status", "p.updo"])
        .run()
        .exits(10)
        .says(&["E509", "nowhere.config"]);
    with(&desk, &node, "optfile => 7");
    desk.updo(&["check", "p.updo"])
        .run()
        .exits(1)
        .says(&["E205", "`optfile` wants"]);
    // Not checked at all: only when the plan says so, and it is warned of.
    let client = "[{client, [{certfile, \"client.pem\"}, {keyfile, \"client.key\"}]}].";
    let path = certs.write("e.config", client).display().to_string();
    with(
        &desk,
        &node,
        &format!("optfile => {path:?}, verify => verify_none"),
    );
    on(&desk, &node, &["status", "p.updo"])
        .run()
        .exits(0)
        .says(&["W216"]);
}
