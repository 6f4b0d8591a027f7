//! Distribution over TLS: what works over TCP works here, and what does not fit is reported with its reason.
//!
//! The nodes are real ones with `-proto_dist inet_tls`; certificates are made for each test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use updo::diag::{Code, Diagnostic};
use updo::node::tls::{ExpectedName, Pem, TlsOptions};
use updo::node::{CallError, Session, Tls};
use updo::term::Term;

use crate::support::certs::{Certs, Holds, load};
use crate::support::{PATIENCE, TestNode};

const VERSIONS: [(&str, &str); 2] = [
    ("{versions,['tlsv1.2']}", "TLS 1.2, TLS_ECDHE_ECDSA_WITH_"),
    (
        "{versions,['tlsv1.3']}",
        "TLS 1.3, TLS13_AES_256_GCM_SHA384",
    ),
];

fn big(length: u32) -> Term {
    let bytes: Vec<u8> = (0..length).map(|n| (n ^ (n >> 11)) as u8).collect();
    Term::binary(&bytes)
}

/// The error of connecting with other options than the test's own.
fn refused(node: &TestNode, tls: Option<Tls>) -> Diagnostic {
    let mut connect = node.connect();
    connect.tls = tls;
    let started = Instant::now();
    let reported = Session::connect(&connect).expect_err("it must not connect");
    assert!(started.elapsed() < Duration::from_secs(9), "{reported:?}");
    *reported
}

#[track_caller]
pub fn says(diagnostic: &Diagnostic, code: Code, words: &[&str]) {
    let text = format!(
        "{} {:?} {:?}",
        diagnostic.title, diagnostic.notes, diagnostic.help
    );
    assert_eq!(diagnostic.code, code, "{text}");
    for word in words {
        assert!(text.contains(word), "no `{word}` in {text}");
    }
}

#[test]
fn calls_over_both_versions() {
    let certs = Certs::new();
    for (version, terms) in VERSIONS {
        let node = certs.node("node", version, certs.tls()).start();
        let session = node.connected();
        let spoken = session.tls().expect("over TLS");
        assert!(spoken.starts_with(terms), "{spoken}");

        let pending: Vec<_> = (0..100)
            .map(|n| {
                session
                    .start_call("erlang", "-", vec![Term::Int(n)])
                    .expect("started")
            })
            .collect();
        for (n, pending) in pending.into_iter().enumerate().rev() {
            assert_eq!(pending.wait(PATIENCE), Ok(Term::Int(-(n as i64))));
        }

        let data = big(20 << 20);
        let args = vec![Term::tuple([data.clone()])];
        let back = session.call("erlang", "tuple_to_list", args, PATIENCE);
        assert!(back == Ok(Term::list([data])), "20 MB came back otherwise");

        let hidden = node.eval_text(&format!(
            "lists:member('{}', nodes(hidden))",
            session.local_name()
        ));
        assert_eq!(hidden, "true");
    }
}

#[test]
fn large_calls_both_ways_at_once_do_not_block_each_other() {
    let certs = Certs::new();
    let node = certs.node("node", "", certs.tls()).start();
    let session = node.connected();
    std::thread::scope(|scope| {
        for n in 0..6u32 {
            let session = session.clone();
            scope.spawn(move || {
                for round in 0..3 {
                    let data = big((3 << 20) + n * 7 + round);
                    let args = vec![Term::tuple([data.clone()])];
                    let back = session.call("erlang", "tuple_to_list", args, PATIENCE);
                    assert!(back == Ok(Term::list([data])), "{n} {round}");
                }
            });
        }
    });
}

#[test]
fn long_names_and_an_idle_session() {
    let certs = Certs::new();
    let mut options = certs.node("node", "", certs.tls());
    options.long = true;
    let node = options.args(&["-kernel", "net_ticktime", "4"]).start();
    let session = node.connected();
    std::thread::sleep(Duration::from_secs(9));
    assert_eq!(session.is_lost(), None);
    let name = session.call("erlang", "node", vec![], PATIENCE);
    assert_eq!(name, Ok(Term::atom(node.name())));
}

#[test]
fn over_ipv6() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("this machine has no IPv6");
        return;
    }
    let certs = Certs::new();
    certs.issue("six", &["::1"], Holds::Now);
    let mut options = certs.node("six", "", certs.tls());
    options.ipv6 = true;
    for arg in &mut options.args {
        *arg = arg.replace("inet_tls", "inet6_tls");
    }
    let node = options.start();
    let session = node.connected();
    assert!(session.tls().is_some());
    let name = session.call("erlang", "node", vec![], PATIENCE);
    assert_eq!(name, Ok(Term::atom(node.name())));
}

#[test]
fn closing_and_being_cut() {
    let certs = Certs::new();
    for (version, _) in VERSIONS {
        let node = certs.node("node", version, certs.tls()).start();
        let session = node.connected();
        // The node takes note of a connection a moment after it has shaken hands.
        let present =
            |session: &Session| format!("lists:member('{}', nodes(hidden))", session.local_name());
        let first = present(&session);
        node.await_true(&first);
        let started = Instant::now();
        drop(session);
        assert!(
            started.elapsed() < Duration::from_secs(1),
            "{:?}",
            started.elapsed()
        );
        node.await_true(&format!("not {first}"));

        let session = node.connected();
        let pending = session
            .start_call("timer", "sleep", vec![Term::atom("infinity")])
            .expect("started");
        node.await_true(&present(&session));
        let cut = node.call(
            "erlang",
            "disconnect_node",
            vec![Term::atom(session.local_name())],
        );
        assert!(cut.is_atom("true"), "{cut}");
        assert!(matches!(pending.wait(PATIENCE), Err(CallError::Lost(_))));

        let session = node.connected();
        let slow = session.call(
            "timer",
            "sleep",
            vec![Term::Int(1500)],
            Duration::from_millis(200),
        );
        assert_eq!(slow, Err(CallError::Timeout));
        let pending = session
            .start_call("timer", "sleep", vec![Term::atom("infinity")])
            .expect("started");
        let started = Instant::now();
        node.kill();
        assert!(matches!(pending.wait(PATIENCE), Err(CallError::Lost(_))));
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{:?}",
            started.elapsed()
        );
        // Nothing that TLS itself complains about was logged on either way.
        let log = node.log();
        assert!(
            !log.contains("bad_record_mac") && !log.contains("Alert"),
            "{log}"
        );
    }
}

#[test]
fn a_node_that_takes_no_data_for_a_while() {
    let certs = Certs::new();
    let node = certs.node("node", "", certs.tls()).start();
    let session = node.connected();
    node.signal("-STOP");
    let writer = std::thread::spawn({
        let session = session.clone();
        move || session.call("erlang", "byte_size", vec![big(64 << 20)], PATIENCE)
    });
    std::thread::sleep(Duration::from_secs(3));
    assert!(!writer.is_finished());
    // What was encrypted and not taken is not lost.
    node.signal("-CONT");
    let answer = writer.join().expect("it does not panic");
    assert_eq!(answer, Ok(Term::Int(64 << 20)));
    // And a client that gives up in the middle is not held up.
    node.signal("-STOP");
    let writer = std::thread::spawn({
        let session = session.clone();
        move || session.call("erlang", "byte_size", vec![big(64 << 20)], PATIENCE)
    });
    std::thread::sleep(Duration::from_millis(500));
    node.kill();
    assert!(matches!(
        writer.join().expect("it does not panic"),
        Err(CallError::Lost(_))
    ));
}

#[test]
fn a_wrong_cookie_is_still_that() {
    let certs = Certs::new();
    for (version, _) in VERSIONS {
        let node = certs.node("node", version, certs.tls()).start();
        let mut connect = node.connect();
        connect.cookie = crate::support::cookie("notthatone");
        let reported = Session::connect(&connect).expect_err("wrong cookie");
        says(&reported, Code::E502, &["refused the cookie"]);
    }
}

#[test]
fn what_is_wrong_with_the_nodes_certificate() {
    let certs = Certs::new();
    let strangers = Certs::new();
    certs.issue("expired", &["localhost"], Holds::Expired);
    certs.issue("later", &["localhost"], Holds::Later);
    certs.issue("other", &["shop.example.net", "10.0.0.7"], Holds::Now);
    certs.issue("nameless", &[], Holds::Now);
    let anybody = load(&TlsOptions {
        ca: None,
        ..certs.options()
    });
    let ours = || Some(certs.tls());
    let named = |name: ExpectedName| {
        Some(load(&TlsOptions {
            name,
            ..certs.options()
        }))
    };
    let node = |name: &str| certs.node(name, "", anybody.clone()).start();

    let expired = node("expired");
    says(
        &refused(&expired, ours()),
        Code::E503,
        &["has expired on 2020-06-30", "clock"],
    );
    says(
        &refused(&expired, named(ExpectedName::Any)),
        Code::E503,
        &["has expired"],
    );
    says(
        &refused(&node("later"), ours()),
        Code::E503,
        &["does not hold before 2090-01-01"],
    );

    let other = node("other");
    let reported = refused(&other, ours());
    says(
        &reported,
        Code::E503,
        &[
            "is not made out for localhost",
            "shop.example.net",
            "10.0.0.7",
            "server_name",
        ],
    );
    let mut connect = other.connect();
    for name in [
        ExpectedName::Other("shop.example.net".to_owned()),
        ExpectedName::Other("10.0.0.7".to_owned()),
        ExpectedName::Any,
    ] {
        connect.tls = named(name);
        Session::connect(&connect).expect("its name is the wanted one");
    }
    says(
        &refused(
            &other,
            named(ExpectedName::Other("pub.example.net".to_owned())),
        ),
        Code::E503,
        &["is not made out for pub.example.net"],
    );
    says(
        &refused(&node("nameless"), ours()),
        Code::E503,
        &["no name at all"],
    );

    let foreign = load(&TlsOptions {
        ca: Some(Pem::File(strangers.path("ca.pem"))),
        ..certs.options()
    });
    let reported = refused(&node("node"), Some(foreign));
    let file = strangers.path("ca.pem").display().to_string();
    says(
        &reported,
        Code::E503,
        &["was signed by no authority in", &file],
    );
}

#[test]
fn a_certificate_that_the_node_has_signed_itself() {
    let certs = Certs::new();
    certs.issue_alone("alone", &["localhost"], Holds::Now);
    certs.issue_alone("stale", &["localhost"], Holds::Expired);
    certs.issue_alone("elsewhere", &["shop.example.net"], Holds::Now);
    let believing = |name: &str| {
        load(&TlsOptions {
            ca: Some(Pem::File(certs.path(&format!("{name}.pem")))),
            ..certs.options()
        })
    };
    let anybody = load(&TlsOptions {
        ca: None,
        ..certs.options()
    });
    let node = |name: &str| certs.node(name, "", anybody.clone()).start();
    let alone = node("alone");
    let mut connect = alone.connect();
    connect.tls = Some(believing("alone"));
    Session::connect(&connect).expect("it is believed as it stands");
    says(
        &refused(&alone, Some(certs.tls())),
        Code::E503,
        &["its certificate"],
    );
    says(
        &refused(&alone, Some(believing("stale"))),
        Code::E503,
        &["its certificate"],
    );
    says(
        &refused(&node("stale"), Some(believing("stale"))),
        Code::E503,
        &["has expired on 2020-06-30"],
    );
    says(
        &refused(&node("elsewhere"), Some(believing("elsewhere"))),
        Code::E503,
        &["is not made out for localhost"],
    );
}

#[test]
fn what_the_node_has_against_our_certificate() {
    let certs = Certs::new();
    let strangers = Certs::new();
    certs.issue("stale", &["updo"], Holds::Expired);
    let shown = |from: &Certs, name: &str| {
        Some(load(&TlsOptions {
            cert: Some(Pem::File(from.path(&format!("{name}.pem")))),
            key: Some(Pem::File(from.path(&format!("{name}.key")))),
            ..certs.options()
        }))
    };
    for (version, _) in VERSIONS {
        let node = certs.node("node", version, certs.tls()).start();
        let none = load(&TlsOptions {
            cert: None,
            key: None,
            ..certs.options()
        });
        says(
            &refused(&node, Some(none)),
            Code::E503,
            &["wants to see a certificate of ours", "`tls`"],
        );
        let reported = refused(&node, shown(&strangers, "client"));
        says(
            &reported,
            Code::E503,
            &["does not take our certificate", "client.pem", "cacertfile"],
        );
        let reported = refused(&node, shown(&certs, "stale"));
        says(
            &reported,
            Code::E503,
            &["does not take our certificate", "stale.pem"],
        );
        node.connected();
    }
}

#[test]
fn one_side_speaks_tls_and_the_other_does_not() {
    let certs = Certs::new();
    let plain = TestNode::start();
    let reported = refused(&plain, Some(certs.tls()));
    says(
        &reported,
        Code::E503,
        &[
            "closed the connection",
            "sent nothing at all",
            "take `tls` out",
        ],
    );
    for (version, _) in VERSIONS {
        let node = certs.node("node", version, certs.tls()).start();
        let reported = refused(&node, None);
        says(&reported, Code::E503, &["uses TLS", "add `tls => "]);
    }
}

#[test]
fn files_that_cannot_be_used() {
    let certs = Certs::new();
    certs.issue("second", &["updo"], Holds::Now);
    let both = fs::read_to_string(certs.path("client.pem")).expect("PEM")
        + &fs::read_to_string(certs.path("client.key")).expect("PEM");
    certs.write("both.pem", &both);
    certs.write(
        "junk.pem",
        "-----BEGIN CERTIFICATE-----\nTheseAreSecretWords\n-----END CERTIFICATE-----\n",
    );
    certs.write(
        "junk.key",
        "-----BEGIN PRIVATE KEY-----\nTheseAreSecretWords\n-----END PRIVATE KEY-----\n",
    );
    certs.write(
        "locked.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nQUJD\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    certs.write("empty", "");
    certs.write("huge", &"x".repeat(2 << 20));
    let file = |name: &str| Some(Pem::File(certs.path(name)));
    let variable = |name: &str| Some(Pem::Env(name.to_owned()));
    let key = fs::read_to_string(certs.path("client.key")).expect("PEM");
    let env = |name: &str| match name {
        "KEY" => Some(key.clone()),
        "PATH_OF_KEY" => Some(certs.path("client.key").display().to_string()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    let tell = |options: TlsOptions| Tls::load(&options, &env).map(|tls| format!("{tls:?}"));
    let with_key = |key: Option<Pem>| TlsOptions {
        key,
        ..certs.options()
    };
    let with_cert = |cert: Option<Pem>| TlsOptions {
        cert,
        ..certs.options()
    };
    let with_ca = |ca: Option<Pem>| TlsOptions {
        ca,
        ..certs.options()
    };

    for good in [
        certs.options(),
        with_key(variable("KEY")),
        with_key(variable("PATH_OF_KEY")),
        TlsOptions {
            cert: file("both.pem"),
            key: None,
            ..certs.options()
        },
    ] {
        let shown = tell(good).expect("good");
        assert!(!shown.contains("BEGIN"), "{shown}");
    }

    let bad = |options: TlsOptions, words: &[&str]| {
        let reported = tell(options).expect_err("it must be refused");
        says(&reported, Code::E509, words);
        assert!(
            !format!("{reported:?}").contains("SecretWords"),
            "{reported:?}"
        );
    };
    bad(
        with_ca(file("missing.pem")),
        &["missing.pem", "no such file"],
    );
    bad(
        with_ca(file("empty")),
        &["there is no certificate in", "empty"],
    );
    bad(with_ca(file("junk.pem")), &["junk.pem"]);
    bad(
        with_ca(Some(Pem::File(certs.folder().to_owned()))),
        &["not a regular file"],
    );
    bad(with_ca(file("huge")), &["too large"]);
    bad(
        with_cert(file("client.key")),
        &["there is no certificate in", "client.key"],
    );
    bad(with_cert(file("junk.pem")), &["junk.pem"]);
    bad(
        with_key(file("client.pem")),
        &["there is no private key in", "client.pem"],
    );
    bad(
        with_key(None),
        &["there is no private key in", "client.pem"],
    );
    bad(with_key(file("junk.key")), &["junk.key"]);
    bad(
        with_key(file("locked.key")),
        &["is encrypted", "openssl pkey"],
    );
    bad(
        with_key(file("second.key")),
        &["does not go with the key", "second.key"],
    );
    bad(
        with_key(variable("NOT_SET")),
        &["env NOT_SET, which is not set"],
    );
    bad(
        with_key(variable("EMPTY")),
        &["env EMPTY, which is not set"],
    );
    for (mode, good) in [(0o400, true), (0o600, true), (0o640, false), (0o604, false)] {
        let path = certs.path("client.key");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
        match good {
            true => drop(tell(certs.options()).expect("only for its owner")),
            false => bad(
                certs.options(),
                &["open to others", &format!("chmod 400 {}", path.display())],
            ),
        }
    }
    // A file with certificate and key is a key.
    fs::set_permissions(certs.path("both.pem"), fs::Permissions::from_mode(0o644)).expect("chmod");
    bad(
        TlsOptions {
            cert: file("both.pem"),
            key: None,
            ..certs.options()
        },
        &["open to others"],
    );
}
