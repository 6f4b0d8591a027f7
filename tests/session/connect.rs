//! Finding a node, being accepted, and the reason when it refuses.

use std::time::{Duration, Instant};

use updo::diag::Code;
use updo::name::NodeName;
use updo::node::cookie::{Cookie, CookieSource};
use updo::node::{Session, epmd};
use updo::term::Term;

use crate::support::{Options, PATIENCE, TestNode, cookie, free_port};

#[test]
fn a_hidden_node() {
    let node = TestNode::shared();
    let session = node.connected();
    let nodes = |kind: &str| {
        session
            .call("erlang", "nodes", vec![Term::atom(kind)], PATIENCE)
            .expect("nodes")
    };
    let hidden = nodes("hidden");
    assert!(
        hidden
            .as_list()
            .expect("a list")
            .contains(&Term::atom(session.local_name()))
    );
    assert_eq!(nodes("visible"), Term::list([]));
    assert_eq!(session.node().as_str(), node.name());
    assert!(
        session
            .local_name()
            .starts_with(&format!("updo-{}-", std::process::id()))
    );
    assert!(session.local_name().ends_with("@localhost"));
    assert_eq!(session.is_lost(), None);
    let creation = node.call("erts_internal", "get_creation", vec![]);
    assert_eq!(creation, Term::Int(i64::from(session.creation())));
}

#[test]
fn a_wrong_cookie() {
    let node = TestNode::shared();
    let mut connect = node.connect();
    connect.cookie =
        Cookie::new("notthatone", CookieSource::Env("UPDO_COOKIE".to_owned())).expect("cookie");
    let started = Instant::now();
    let error = Session::connect(&connect).expect_err("wrong cookie");
    assert_eq!(error.code, Code::E502);
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(
        error
            .notes
            .iter()
            .any(|note| note == "the cookie came from env UPDO_COOKIE"),
        "{error:?}"
    );
    assert!(!format!("{error:?} {connect:?}").contains("notthatone"));
}

#[test]
fn an_unknown_node() {
    let node = TestNode::shared();
    let mut connect = node.connect();
    let typo = node.short().replacen('n', "m", 1);
    connect.node = NodeName::new(format!("{typo}@localhost"));
    let error = Session::connect(&connect).expect_err("unknown");
    assert_eq!(error.code, Code::E501);
    assert!(
        error.notes.iter().any(|note| note.contains(node.short())),
        "{error:?}"
    );
    assert!(
        error
            .help
            .as_deref()
            .is_some_and(|help| help.starts_with("did you mean")),
        "{error:?}"
    );
    let names = epmd::names("localhost", node.epmd_port(), PATIENCE).expect("names");
    assert!(names.iter().any(|entry| entry.name == node.short()));
}

#[test]
fn no_epmd_and_no_host() {
    let mut connect = TestNode::shared().connect();
    connect.epmd_port = Some(free_port());
    let error = Session::connect(&connect).expect_err("no epmd");
    assert_eq!(error.code, Code::E501);
    assert!(error.title.contains("epmd cannot be reached"), "{error:?}");
    connect.node = NodeName::new("shop@no-such-host.invalid");
    let error = Session::connect(&connect).expect_err("no host");
    assert_eq!(error.code, Code::E501);
    assert!(error.title.contains("no-such-host.invalid"), "{error:?}");
    connect.node = NodeName::new("shop");
    assert_eq!(
        Session::connect(&connect).expect_err("no name").code,
        Code::E501
    );
}

#[test]
fn a_node_that_is_gone_from_its_port() {
    let node = TestNode::shared();
    let mut connect = node.connect();
    connect.port = Some(free_port());
    let error = Session::connect(&connect).expect_err("refused");
    assert_eq!(error.code, Code::E506);
    assert!(
        error.title.contains("cannot be reached at 127.0.0.1"),
        "{error:?}"
    );
}

#[test]
fn without_epmd() {
    let node = TestNode::shared();
    let names = epmd::names("127.0.0.1", node.epmd_port(), PATIENCE).expect("names");
    let port = names
        .iter()
        .find(|entry| entry.name == node.short())
        .expect("listed")
        .port;
    let mut connect = node.connect();
    connect.epmd_port = Some(free_port());
    connect.port = Some(port);
    let session = Session::connect(&connect).expect("connected without epmd");
    assert_eq!(
        session.call("erlang", "node", vec![], PATIENCE),
        Ok(Term::atom(node.name()))
    );
}

#[test]
fn long_names_and_the_wrong_style() {
    let node = Options {
        long: true,
        ..Options::default()
    }
    .start();
    let session = node.connected();
    assert!(session.local_name().ends_with("@127.0.0.1"));
    assert_eq!(
        session.call("erlang", "node", vec![], PATIENCE),
        Ok(Term::atom(node.name()))
    );

    let mut connect = node.connect();
    connect.node = NodeName::new(format!("{}@localhost", node.short()));
    let error = Session::connect(&connect).expect_err("short for long");
    assert_eq!(error.code, Code::E504);
    assert!(
        error
            .title
            .contains(&format!("calls itself {}", node.name())),
        "{error:?}"
    );
    assert_eq!(error.help, Some(format!("connect to {}", node.name())));
    assert!(error.notes[0].contains("long (-name)"), "{error:?}");
}

#[test]
fn a_long_name_for_a_short_node() {
    let node = TestNode::shared();
    let mut connect = node.connect();
    connect.node = NodeName::new(format!("{}@127.0.0.1", node.short()));
    assert_eq!(
        Session::connect(&connect).expect_err("long for short").code,
        Code::E504
    );
}

#[test]
fn over_ipv6() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("this machine has no IPv6");
        return;
    }
    let node = Options {
        ipv6: true,
        ..Options::default()
    }
    .start();
    let session = node.connected();
    assert!(
        session.local_name().ends_with("@::1"),
        "{}",
        session.local_name()
    );
    assert_eq!(
        session.call("erlang", "node", vec![], PATIENCE),
        Ok(Term::atom(node.name()))
    );
}

#[test]
fn an_elixir_node() {
    let node = Options {
        elixir: true,
        ..Options::default()
    }
    .start();
    let version = node.call("Elixir.System", "version", vec![]);
    assert!(
        version.to_text().expect("text").starts_with("1."),
        "{version}"
    );
}

#[test]
fn a_name_in_use() {
    let node = TestNode::shared();
    let mut connect = node.connect();
    connect.local_name = Some(format!("mine{}", std::process::id()));
    let first = Session::connect(&connect).expect("first");
    assert_eq!(
        first.local_name(),
        format!("mine{}@localhost", std::process::id())
    );
    let started = Instant::now();
    let error = Session::connect(&connect).expect_err("second");
    assert_eq!(error.code, Code::E506);
    assert!(
        error.title.contains("still has a connection to mine"),
        "{error:?}"
    );
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(
        first.call("erlang", "abs", vec![Term::Int(-1)], PATIENCE),
        Ok(Term::Int(1))
    );
}

#[test]
fn a_node_that_allows_only_others_refuses() {
    let node = TestNode::start();
    let session = node.connected();
    session
        .call(
            "net_kernel",
            "allow",
            vec![Term::list([Term::atom("friend@localhost")])],
            PATIENCE,
        )
        .expect("allow");
    let error = Session::connect(&node.connect()).expect_err("not allowed");
    assert_eq!(error.code, Code::E506);
    assert!(error.title.contains("does not allow"), "{error:?}");
    let mut connect = node.connect();
    connect.local_name = Some("friend@localhost".to_owned());
    Session::connect(&connect).expect("a friend is allowed");
}

#[test]
fn cookie_from_the_nodes_own_file() {
    let node = TestNode::shared();
    let mut connect = node.connect();
    connect.cookie =
        Cookie::from_file(node.home().join(".erlang.cookie")).expect("the node's file");
    Session::connect(&connect).expect("connected");
    assert_ne!(connect.cookie, cookie("other"));
}
