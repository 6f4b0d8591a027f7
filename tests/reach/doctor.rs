//! `updo doctor`: each step that can fail is the one that is said to have failed, with what to set; what comes after it is not
//! tried.

use crate::support::certs::Certs;
use crate::support::desk::Desk;
use crate::support::{TestNode, free_port, write_cookie};

#[test]
fn each_step_that_fails_is_named() {
    let node = TestNode::start();
    let desk = Desk::new();
    write_cookie(&desk.path().join("other"), "notthecookieofthatnode");
    let closed = free_port().to_string();
    let at = format!("127.0.0.1:{closed}");
    let fails = |env: &[(&str, &str)], line: &str, says: &[&str], next: &str| {
        let doctor = desk.on(&node, &["doctor", node.name()]);
        let doctor = env
            .iter()
            .fold(doctor, |doctor, (name, value)| doctor.env(name, value));
        let ran = doctor.run().exits(10);
        assert!(!ran.stdout.contains(next), "{ran}");
        ran.says(says).prints(&[line]);
    };
    fails(
        &[("UPDO_PORT", "nine")],
        "way  ✗  E501",
        &["UPDO_PORT"],
        "  host  ",
    );
    fails(
        &[("UPDO_ADDRESS", "no-such-host.invalid")],
        "host  ✗  E501",
        &["no-such-host.invalid", "UPDO_ADDRESS"],
        "  epmd  ",
    );
    fails(
        &[("UPDO_EPMD_PORT", &closed)],
        "epmd  ✗  E501",
        &["UPDO_PORT", "UPDO_EPMD_PORT"],
        "  port  ",
    );
    fails(
        &[("UPDO_ADDRESS", &at)],
        "port  ✗  E506",
        &["UPDO_ADDRESS"],
        "  cookie  ",
    );
    fails(
        &[("UPDO_COOKIE_FILE", "nowhere")],
        "cookie  ✗  E507",
        &["nowhere"],
        "  handshake  ",
    );
    fails(
        &[("UPDO_TLS_CA", "nowhere.pem")],
        "tls files  ✗  E509",
        &["nowhere.pem"],
        "  handshake  ",
    );
    let certs = Certs::new();
    let ca = certs.path("ca.pem").display().to_string();
    // It was not started with TLS.
    fails(
        &[("UPDO_TLS_CA", &ca)],
        "tls  ✗  E503",
        &["UPDO_TLS_CA"],
        "  handshake  ",
    );
    fails(
        &[("UPDO_COOKIE_FILE", "other")],
        "handshake  ✗  E502",
        &["--cookie-file"],
        "  erpc  ",
    );
    let secured = certs.node("node", "", certs.tls()).start();
    let doctor = desk.on(&secured, &["doctor", secured.name()]);
    let doctor = doctor
        .env("UPDO_TLS_CA", &ca)
        .env("UPDO_TLS_SERVER_NAME", "other.example.net")
        .run()
        .exits(10);
    doctor
        .says(&["E503", "server_name"])
        .prints(&["tls  ✗  E503"]);
    // The name of a run is taken.
    node.eval("register(updo_run, spawn(fun() -> put(updo_info, #{rum => 1}), receive stop -> ok end end))");
    let doctor = desk.on(&node, &["doctor", node.name()]).run();
    assert!(doctor.code != Some(0), "{doctor}");
    doctor.prints(&["permits  ✓", "lock  ✗  E5"]);
}
