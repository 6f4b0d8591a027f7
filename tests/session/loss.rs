//! Connections that end, and connections that must not.

use std::time::{Duration, Instant};

use updo::node::{CallError, RecvError};
use updo::term::Term;

use crate::support::{Options, PATIENCE, TestNode};

#[test]
fn a_node_that_dies_in_the_middle_of_a_call() {
    let node = TestNode::start();
    let session = node.connected();
    let mailbox = session.mailbox();
    let pending = session
        .start_call("timer", "sleep", vec![Term::atom("infinity")])
        .expect("started");
    std::thread::sleep(Duration::from_millis(100));
    let started = Instant::now();
    node.kill();
    let error = pending.wait(PATIENCE).expect_err("lost");
    assert!(
        matches!(&error, CallError::Lost(why) if why.contains("closed the connection")),
        "{error:?}"
    );
    assert_eq!(error.diagnostic("timer:sleep/1").code.as_str(), "E508");
    assert!(matches!(mailbox.recv(PATIENCE), Err(RecvError::Lost(_))));
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    assert!(session.is_lost().is_some());
    assert!(matches!(
        session.call("erlang", "node", vec![], PATIENCE),
        Err(CallError::Lost(_))
    ));
    assert!(matches!(
        session.mailbox().recv(PATIENCE),
        Err(RecvError::Lost(_))
    ));
}

#[test]
fn an_idle_session_survives_a_short_net_ticktime() {
    let node = Options::default()
        .args(&["-kernel", "net_ticktime", "4"])
        .start();
    let session = node.connected();
    assert_eq!(
        session.call("net_kernel", "get_net_ticktime", vec![], PATIENCE),
        Ok(Term::Int(4))
    );
    std::thread::sleep(Duration::from_secs(10));
    assert_eq!(session.is_lost(), None);
    assert_eq!(
        session.call("erlang", "abs", vec![Term::Int(-3)], PATIENCE),
        Ok(Term::Int(3))
    );
}

#[test]
fn a_node_that_talks_all_the_time_hears_from_us() {
    // We have nothing to say to it all the while.
    let node = Options::default()
        .args(&["-kernel", "net_ticktime", "4"])
        .start();
    let session = node.connected();
    let mailbox = session.mailbox();
    let talker = node.eval("spawn(fun() -> receive Pid -> F = fun F() -> Pid ! x, timer:sleep(20), F() end, F() end end)");
    let talker = talker.as_pid().expect("a pid").clone();
    session
        .send(&talker, Term::Pid(mailbox.pid()))
        .expect("sent");
    let until = Instant::now() + Duration::from_secs(9);
    while Instant::now() < until {
        mailbox
            .recv(Duration::from_secs(2))
            .expect("it goes on talking");
    }
    assert_eq!(session.is_lost(), None);
}

#[test]
fn dropping_the_session_closes_it() {
    let node = TestNode::shared();
    let session = node.connected();
    let us = session.local_name().to_owned();
    let present = format!("lists:member('{us}', nodes(hidden))");
    node.await_true(&present);
    let (clone, mailbox) = (session.clone(), session.mailbox());
    drop(session);
    drop(clone);
    assert!(
        node.eval(&present).is_atom("true"),
        "a mailbox keeps it open"
    );
    let started = Instant::now();
    drop(mailbox);
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
    node.await_true(&format!("not {present}"));
}

#[test]
fn a_session_that_the_node_cuts() {
    let node = TestNode::shared();
    let session = node.connected();
    let pending = session
        .start_call("timer", "sleep", vec![Term::atom("infinity")])
        .expect("started");
    // The node takes note of a connection a moment after it has shaken hands.
    node.await_true(&format!(
        "lists:member('{}', nodes(hidden))",
        session.local_name()
    ));
    let cut = node.call(
        "erlang",
        "disconnect_node",
        vec![Term::atom(session.local_name())],
    );
    assert!(cut.is_atom("true"), "{cut}");
    assert!(matches!(pending.wait(PATIENCE), Err(CallError::Lost(_))));
}

#[test]
fn a_stopped_node_is_a_timeout_and_then_goes_on() {
    let node = TestNode::start();
    let session = node.connected();
    node.signal("-STOP");
    let started = Instant::now();
    let answer = session.call("erlang", "node", vec![], Duration::from_millis(300));
    let elapsed = started.elapsed();
    node.signal("-CONT");
    assert_eq!(answer, Err(CallError::Timeout));
    assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
    assert_eq!(
        session.call("erlang", "node", vec![], PATIENCE),
        Ok(Term::atom(node.name()))
    );
}
