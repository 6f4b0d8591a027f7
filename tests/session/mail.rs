//! Messages, monitors and links between a mailbox and processes of the node.

use std::time::Duration;

use updo::node::{Mail, RecvError};
use updo::term::{Pid, Term};

use crate::support::{PATIENCE, TestNode};

fn pid(node: &TestNode, text: &str) -> Pid {
    node.eval(text).as_pid().expect("a pid").clone()
}

/// Starts a process that no process of ours is linked to or waits for.
fn spawn(node: &TestNode, body: &str) -> Pid {
    pid(node, &format!("spawn(fun() -> {body} end)"))
}

#[test]
fn messages_both_ways() {
    let node = TestNode::shared();
    let session = node.connected();
    let mailbox = session.mailbox();
    let echo = spawn(
        &node,
        "receive {From, What} -> From ! {echo, What}, From ! self() end",
    );
    session
        .send(
            &echo,
            Term::tuple([Term::Pid(mailbox.pid()), Term::string("hello")]),
        )
        .expect("sent");
    let expected = Term::tuple([Term::atom("echo"), Term::string("hello")]);
    assert_eq!(mailbox.recv(PATIENCE), Ok(Mail::Message(expected)));
    assert_eq!(mailbox.recv(PATIENCE), Ok(Mail::Message(Term::Pid(echo))));
    assert_eq!(
        mailbox.recv(Duration::from_millis(50)),
        Err(RecvError::Timeout)
    );
}

#[test]
fn a_mailbox_can_call_a_server() {
    let node = TestNode::shared();
    let session = node.connected();
    let mailbox = session.mailbox();
    let tag = mailbox.monitor_name("kernel_sup").expect("monitor");
    let from = Term::tuple([Term::Pid(mailbox.pid()), Term::Reference(tag.clone())]);
    let call = Term::tuple([Term::atom("$gen_call"), from, Term::atom("count_children")]);
    session.send_named("kernel_sup", call).expect("sent");
    let Ok(Mail::Message(Term::Tuple(reply))) = mailbox.recv(PATIENCE) else {
        panic!("no reply")
    };
    assert_eq!(reply[0], Term::Reference(tag.clone()));
    assert!(reply[1].to_string().contains("supervisors"), "{}", reply[1]);
    mailbox.demonitor(&tag);
}

#[test]
fn monitors_report_exits_and_noproc() {
    let node = TestNode::shared();
    let session = node.connected();
    let mailbox = session.mailbox();
    let process = spawn(&node, "receive stop -> exit(because) end");
    let reference = mailbox.monitor(&process).expect("monitor");
    session.send(&process, Term::atom("stop")).expect("sent");
    assert_eq!(
        mailbox.recv(PATIENCE),
        Ok(Mail::Down {
            reference,
            reason: Term::atom("because")
        })
    );
    let reference = mailbox.monitor(&process).expect("monitor");
    assert_eq!(
        mailbox.recv(PATIENCE),
        Ok(Mail::Down {
            reference,
            reason: Term::atom("noproc")
        })
    );
    let reference = mailbox
        .monitor_name("nobody_is_called_so")
        .expect("monitor");
    assert_eq!(
        mailbox.recv(PATIENCE),
        Ok(Mail::Down {
            reference,
            reason: Term::atom("noproc")
        })
    );

    let process = spawn(&node, "receive stop -> exit(because) end");
    let reference = mailbox.monitor(&process).expect("monitor");
    mailbox.demonitor(&reference);
    session.send(&process, Term::atom("stop")).expect("sent");
    assert_eq!(
        mailbox.recv(Duration::from_millis(300)),
        Err(RecvError::Timeout)
    );
}

#[test]
fn the_node_watches_a_mailbox() {
    let node = TestNode::shared();
    let session = node.connected();
    let (ours, observer) = (session.mailbox(), session.mailbox());
    let body = "receive {Observer, Pid} -> monitor(process, Pid), Observer ! watching, receive {'DOWN', _, _, Pid, Why} -> Observer ! Why end end";
    let watch = |watched: Pid| {
        let watcher = spawn(&node, body);
        session
            .send(
                &watcher,
                Term::tuple([Term::Pid(observer.pid()), Term::Pid(watched)]),
            )
            .expect("sent");
        assert_eq!(
            observer.recv(PATIENCE),
            Ok(Mail::Message(Term::atom("watching")))
        );
    };
    let gone = ours.pid();
    watch(ours.pid());
    assert_eq!(
        observer.recv(Duration::from_millis(300)),
        Err(RecvError::Timeout)
    );
    drop(ours);
    assert_eq!(
        observer.recv(PATIENCE),
        Ok(Mail::Message(Term::atom("normal")))
    );
    watch(gone);
    assert_eq!(
        observer.recv(PATIENCE),
        Ok(Mail::Message(Term::atom("noproc")))
    );
}

#[test]
fn the_node_links_to_a_mailbox() {
    let node = TestNode::shared();
    let session = node.connected();
    let (ours, observer) = (session.mailbox(), session.mailbox());
    let body = "process_flag(trap_exit, true), receive {Observer, Pid} -> link(Pid), unlink(Pid), link(Pid), Observer ! linked, receive {'EXIT', Pid, Why} -> Observer ! Why end end";
    let linker = spawn(&node, body);
    session
        .send(
            &linker,
            Term::tuple([Term::Pid(observer.pid()), Term::Pid(ours.pid())]),
        )
        .expect("sent");
    assert_eq!(
        observer.recv(PATIENCE),
        Ok(Mail::Message(Term::atom("linked")))
    );
    drop(ours);
    assert_eq!(
        observer.recv(PATIENCE),
        Ok(Mail::Message(Term::atom("normal")))
    );
}

#[test]
fn requests_to_us_do_not_hang() {
    let node = TestNode::shared();
    let session = node.connected();
    let us = session.local_name();
    let text = format!("catch erpc:call('{us}', erlang, node, [], 5000)");
    assert!(
        node.eval_text(&text).contains("notsup"),
        "{}",
        node.eval_text(&text)
    );
    let text = format!("catch gen_server:call({{nobody, '{us}'}}, hello, 5000)");
    assert!(
        node.eval_text(&text).contains("noproc"),
        "{}",
        node.eval_text(&text)
    );
}

#[test]
fn a_flood_is_bounded() {
    let node = TestNode::shared();
    let session = node.connected();
    let mailbox = session.mailbox();
    let flood = spawn(
        &node,
        "receive Pid -> [Pid ! N || N <- lists:seq(1, 150000)], Pid ! done end",
    );
    let reference = mailbox.monitor(&flood).expect("monitor");
    session
        .send(&flood, Term::Pid(mailbox.pid()))
        .expect("sent");
    // The process ends only when it has sent everything, and we take nothing before.
    node.await_true(&format!(
        "not is_process_alive(list_to_pid(\"<0.{}.{}>\"))",
        flood.id, flood.serial
    ));
    std::thread::sleep(Duration::from_secs(2));
    let mut received = 0;
    let dropped = loop {
        match mailbox.recv(PATIENCE) {
            Ok(_) => received += 1,
            Err(RecvError::Overflow(dropped)) => break dropped,
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(received, 100_000);
    // 150,000 numbers, `done`, and the end of the process.
    assert_eq!(received + dropped, 150_002);
    let reference2 = mailbox.monitor(&flood).expect("monitor");
    assert_ne!(reference, reference2);
    assert!(matches!(mailbox.recv(PATIENCE), Ok(Mail::Down { .. })));
}
