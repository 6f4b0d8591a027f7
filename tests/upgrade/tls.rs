//! The whole way over TLS, as the plan says it or the environment: run, roll back, doctor, expressions; and what is said
//! when it does not work.

use std::fs;
use std::path::Path;

use crate::support::apps::{Deployed, bank};
use crate::support::certs::{Certs, Holds};
use crate::support::desk::{Desk, walk};
use crate::support::{Options, TestNode};

const VERSION: &str = "maps:get(version, bank_account:ask(3))";

fn deployed(certs: &Certs, version: &str) -> Deployed {
    let options: Options = certs.node("node", version, certs.tls());
    let start = "{ok, _} = application:ensure_all_started(bank)";
    let deployed = Deployed::new(&bank().one, options, start);
    deployed.replace(&bank().two);
    deployed
}

/// A desk with the certificates in `tls/` and a plan whose target says `tls`.
fn desk(certs: &Certs, node: &str, tls: &str) -> Desk {
    let desk = Desk::new();
    let folder = desk.path().join("tls");
    fs::create_dir(&folder).expect("a folder");
    for entry in fs::read_dir(certs.folder()).expect("a folder") {
        let from = entry.expect("an entry").path();
        fs::copy(&from, folder.join(from.file_name().expect("a name"))).expect("copied");
    }
    fs::create_dir(desk.path().join("plans")).expect("a folder");
    let plan = format!(
        "plan \"Bank over TLS\".\ntarget bank #{{nodes => ['{node}']{tls}}}.\ncode on_disk.\nold from {:?}.\n",
        bank().one
    );
    desk.write("plans/bank.updo", &plan);
    desk
}

const TLS: &str = ", tls => #{ca => \"../tls/ca.pem\", cert => \"../tls/client.pem\", key => \"../tls/client.key\"}";

/// Nothing that belongs to the key is in what updo has left behind.
fn no_key_in(folder: &Path, certs: &Certs) {
    let key = fs::read_to_string(certs.path("client.key")).expect("PEM");
    let secret = key.lines().nth(1).expect("its text");
    let mut files = Vec::new();
    walk(folder, &mut files);
    assert!(!files.is_empty());
    for file in files {
        let text = fs::read(&file).expect("readable");
        let text = String::from_utf8_lossy(&text);
        assert!(!text.contains(secret), "the key is in {}", file.display());
    }
}

#[test]
fn a_run_and_its_rollback() {
    let certs = Certs::new();
    let deployed = deployed(&certs, "");
    let node = &deployed.node;
    let desk = desk(&certs, node.name(), TLS);
    let updo = |args: &[&str]| {
        desk.updo(args)
            .env("UPDO_EPMD_PORT", &node.epmd_port().to_string())
    };

    updo(&["check", "plans/bank.updo"]).run().exits(0);
    updo(&["preview", "plans/bank.updo"]).run().exits(0);
    updo(&["run", "plans/bank.updo", "--yes"]).run().exits(0);
    assert_eq!(node.eval_text(VERSION), "2");
    let back = deployed.ebin.display().to_string();
    assert!(!back.is_empty());
    updo(&["rollback", "--yes"]).run().exits(0);
    assert_eq!(node.eval_text(VERSION), "1");
    assert_eq!(node.eval_text("witness:left()"), "[]");

    let diagnostic = updo(&["doctor", "plans/bank.updo"]).run().exits(0);
    let diagnostic = diagnostic.prints(&[
        "tls",
        "tls/ca.pem",
        "tls/client.pem",
        "made out for the node's host",
        "TLS 1.",
    ]);
    assert!(!diagnostic.stdout.contains("BEGIN"), "{diagnostic}");
    no_key_in(&desk.path().join("state"), &certs);
}

#[test]
fn without_a_plan_the_environment_decides() {
    let certs = Certs::new();
    let deployed = deployed(&certs, "{versions,['tlsv1.2']}");
    let node = &deployed.node;
    let desk = desk(&certs, node.name(), "");
    let key = fs::read_to_string(certs.path("client.key")).expect("PEM");
    let with = |args: &[&str]| {
        desk.updo(args)
            .env("UPDO_EPMD_PORT", &node.epmd_port().to_string())
            .env("UPDO_TLS_CA", "tls/ca.pem")
            .env("UPDO_TLS_CERT", "tls/client.pem")
    };
    for command in [
        &["eval", node.name(), "node()"][..],
        &["doctor", node.name()],
        &["preview", "plans/bank.updo"],
    ] {
        with(command)
            .env("UPDO_TLS_KEY", "tls/client.key")
            .run()
            .exits(0);
        // The variable may hold the key itself.
        let ran = with(command).env("UPDO_TLS_KEY", &key).run().exits(0);
        assert!(
            !ran.stdout.contains("PRIVATE") && !ran.stderr.contains("PRIVATE"),
            "{ran}"
        );
    }
    // A plan made so says so.
    with(&["new", node.name(), "-o", "new.updo"])
        .env("UPDO_TLS_KEY", "tls/client.key")
        .run()
        .exits(0);
    let text = desk.read("new.updo");
    assert!(text.contains("key => env(\"UPDO_TLS_KEY\")"), "{text}");
    with(&["doctor", "new.updo"])
        .env("UPDO_TLS_KEY", "tls/client.key")
        .run()
        .exits(0);
    with(&["eval", node.name(), "1"])
        .run()
        .exits(10)
        .says(&["E509", "no private key in env UPDO_TLS_CERT"]);
    with(&["eval", node.name(), "1"])
        .env("UPDO_TLS_CA", "")
        .env("UPDO_TLS_KEY", "tls/client.key")
        .run()
        .exits(10)
        .says(&["E509", "UPDO_TLS_CA"]);
    desk.updo(&["eval", node.name(), "1"])
        .env("UPDO_EPMD_PORT", &node.epmd_port().to_string())
        .run()
        .exits(10)
        .says(match says_that_it_uses_tls(node) {
            true => &["E503", "uses TLS", "UPDO_TLS_CA"],
            false => &["E506", "closed the connection", "inet_tls"],
        });
}

/// OTP 23 closes a connection that does not begin with TLS; later releases send an alert before.
fn says_that_it_uses_tls(node: &TestNode) -> bool {
    let releases = "list_to_integer(erlang:system_info(otp_release)) > 23";
    node.eval_text(releases) == "true"
}

#[test]
fn what_does_not_fit_ends_with_10_and_changes_nothing() {
    let certs = Certs::new();
    certs.issue("stale", &["updo"], Holds::Expired);
    let deployed = deployed(&certs, "");
    let node = &deployed.node;
    let plain = match says_that_it_uses_tls(node) {
        true => ("", "E503", "uses TLS"),
        false => ("", "E506", "inet_tls"),
    };
    let cases = [
        plain,
        (
            ", tls => #{ca => \"../tls/ca.pem\"}",
            "E503",
            "wants to see a certificate",
        ),
        (
            ", tls => #{ca => \"../tls/ca.pem\", cert => \"../tls/stale.pem\", key => \"../tls/stale.key\"}",
            "E503",
            "does not take our certificate",
        ),
        (
            ", tls => #{ca => \"../tls/client.pem\", cert => \"../tls/client.pem\", key => \"../tls/client.key\"}",
            "E503",
            "was signed by no authority",
        ),
        (
            ", tls => #{ca => \"../tls/ca.pem\", cert => \"../tls/client.pem\", key => \"../tls/client.key\", server_name => \"bank.example.net\"}",
            "E503",
            "is not made out for bank.example.net",
        ),
        (
            ", tls => #{ca => \"../tls/ca.pem\", cert => \"../tls/client.pem\", key => env(\"NO_SUCH_KEY\")}",
            "E509",
            "env NO_SUCH_KEY",
        ),
    ];
    for (tls, code, words) in cases {
        let desk = desk(&certs, node.name(), tls);
        for command in [
            &["run", "plans/bank.updo", "--yes"][..],
            &["doctor", "plans/bank.updo"],
        ] {
            desk.updo(command)
                .env("UPDO_EPMD_PORT", &node.epmd_port().to_string())
                .run()
                .exits(10)
                .says(&[code, words]);
        }
    }
    let desk = desk(&certs, node.name(), TLS);
    use std::os::unix::fs::PermissionsExt;
    let key = desk.path().join("tls/client.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("chmod");
    desk.updo(&["run", "plans/bank.updo", "--yes"])
        .env("UPDO_EPMD_PORT", &node.epmd_port().to_string())
        .run()
        .exits(10)
        .says(&["E509", "open to others", "chmod 400"]);
    assert_eq!(node.eval_text(VERSION), "1");

    // Not checked at all is possible, and warned of.
    fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).expect("chmod");
    let blind = ", tls => #{verify => verify_none, cert => \"../tls/client.pem\", key => \"../tls/client.key\"}";
    let plan = desk.read("plans/bank.updo").replace(TLS, blind);
    desk.write("plans/bank.updo", &plan);
    desk.updo(&["preview", "plans/bank.updo"])
        .env("UPDO_EPMD_PORT", &node.epmd_port().to_string())
        .run()
        .exits(0)
        .says(&["W216", "not checked"]);
}
