//! Servers that pretend to be epmd or a node: always a diagnostic, in time, never a panic.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use updo::diag::{Code, Diagnostic};
use updo::name::NodeName;
use updo::node::{CallError, Connect, Session, epmd};
use updo::term::{Pid, Term, etf};

use crate::support::{cookie, read_message, server, write_message};

const SHORT: Duration = Duration::from_millis(700);
const MARGIN: Duration = Duration::from_secs(3);

fn connect(change: impl Fn(&mut Connect)) -> Result<Session, Box<Diagnostic>> {
    let mut connect = Connect::new(NodeName::new("fake@localhost"), cookie("abc"));
    connect.timeout = SHORT;
    change(&mut connect);
    let started = Instant::now();
    let result = Session::connect(&connect);
    assert!(
        started.elapsed() < SHORT + MARGIN,
        "{:?}",
        started.elapsed()
    );
    result
}

/// Bytes that look random and are the same every time.
fn noise(mut seed: u32, length: usize) -> Vec<u8> {
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        seed as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Waits until the peer closes, so that it sees silence and not an end.
fn linger(stream: &mut TcpStream) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
    while !matches!(stream.read(&mut [0; 1024]), Ok(0) | Err(_)) {}
}

#[test]
fn an_epmd_that_talks_nonsense() {
    let mut answers: Vec<Vec<u8>> = (1..40).map(|seed| noise(seed, 300)).collect();
    answers.extend([
        vec![],
        vec![119],
        vec![119, 0],
        vec![119, 0, 0, 0, 77, 0, 0, 6, 0, 5, 0xff, 0xff],
        vec![119, 0, 0x9c, 0x41, 77],
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
    ]);
    for answer in answers {
        let bytes = answer.clone();
        let port = server(move |stream| {
            let _ = read_message(stream, 2);
            let _ = stream.write_all(&bytes);
        });
        let error = connect(|c| c.epmd_port = Some(port)).expect_err("nonsense");
        assert!(
            [Code::E501, Code::E506].contains(&error.code),
            "{answer:?}: {error:?}"
        );
        let _ = epmd::names("127.0.0.1", port, SHORT);
    }
}

#[test]
fn an_epmd_that_is_silent_or_endless() {
    let silent = server(linger);
    let error = connect(|c| c.epmd_port = Some(silent)).expect_err("silent");
    assert_eq!(error.code, Code::E501);
    assert!(error.title.contains("no answer in time"), "{error:?}");

    let drip = server(|stream| {
        while stream.write_all(&[119]).is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    assert_eq!(
        connect(|c| c.epmd_port = Some(drip))
            .expect_err("drip")
            .code,
        Code::E501
    );

    let endless = server(|stream| while stream.write_all(&[b'x'; 65536]).is_ok() {});
    let error = epmd::names("127.0.0.1", endless, Duration::from_secs(5)).expect_err("endless");
    assert!(error.title.contains("does not end"), "{error:?}");
}

#[test]
fn an_old_epmd_entry() {
    let port = server(|stream| {
        let _ = read_message(stream, 2);
        let _ = stream.write_all(&[
            119, 0, 0x9c, 0x41, 77, 0, 0, 5, 0, 5, 0, 4, b'f', b'a', b'k', b'e', 0, 0,
        ]);
    });
    let error = connect(|c| c.epmd_port = Some(port)).expect_err("old");
    assert_eq!(error.code, Code::E506);
    assert!(error.title.contains("older than OTP 23"), "{error:?}");
}

#[test]
fn a_node_that_talks_nonsense() {
    let mut answers: Vec<Vec<u8>> = (1..60).map(|seed| noise(seed, 2000)).collect();
    let framed = |message: &[u8]| {
        let mut bytes = (message.len() as u16).to_be_bytes().to_vec();
        bytes.extend_from_slice(message);
        bytes
    };
    for status in [
        &b""[..],
        b"s",
        b"sok",
        b"smaybe",
        b"snok",
        b"snot_allowed",
        b"salive",
        b"snamed:\0\x05ab",
        b"x",
    ] {
        answers.push(framed(status));
        for challenge in [
            &b""[..],
            b"N",
            b"n\0\x05",
            &[b'N'; 19],
            &[b'N'; 300],
            &[0xff; 40],
        ] {
            answers.push([framed(status), framed(challenge)].concat());
        }
    }
    answers.push(vec![0xff, 0xff, 1]);
    for answer in answers {
        let bytes = answer.clone();
        let port = server(move |stream| {
            let _ = read_message(stream, 2);
            let _ = stream.write_all(&bytes);
        });
        let error = connect(|c| c.port = Some(port)).expect_err("nonsense");
        let fine = [Code::E502, Code::E504, Code::E506, Code::E508];
        assert!(fine.contains(&error.code), "{answer:?}: {error:?}");
    }
}

#[test]
fn a_silent_node() {
    let port = server(linger);
    let error = connect(|c| c.port = Some(port)).expect_err("silent");
    assert_eq!(error.code, Code::E508);
    assert!(error.title.contains("in time"), "{error:?}");
}

/// Goes through the handshake as a node that knows the cookie, then does what it is told.
fn node(after: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> u16 {
    node_with(|challenge| md5(format!("abc{challenge}").as_bytes()), after)
}

fn md5(bytes: &[u8]) -> [u8; 16] {
    use md5::{Digest, Md5};
    Md5::digest(bytes).into()
}

fn node_with(
    digest: impl Fn(u32) -> [u8; 16] + Send + Sync + 'static,
    after: impl Fn(&mut TcpStream) + Send + Sync + 'static,
) -> u16 {
    server(move |stream| {
        let name = read_message(stream, 2);
        if name.len() < 9 {
            return;
        }
        write_message(stream, 2, b"sok");
        let mut challenge = vec![b'N'];
        challenge.extend_from_slice(&name[1..9]);
        challenge.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 9, 0, 14]);
        challenge.extend_from_slice(b"fake@localhost");
        write_message(stream, 2, &challenge);
        let reply = read_message(stream, 2);
        if reply.len() != 21 {
            return;
        }
        let theirs = u32::from_be_bytes([reply[1], reply[2], reply[3], reply[4]]);
        write_message(stream, 2, &[&b"a"[..], &digest(theirs)].concat());
        after(stream);
    })
}

/// What the session answers to a control message about the pid that its calls come from.
fn answer_to(question: impl Fn(Term) -> Term + Send + Sync + 'static) -> Term {
    let (sender, receiver) = mpsc::channel();
    let port = node(move |stream| {
        // The call tells which pid it comes from.
        let call = read_message(stream, 4);
        let (control, _) = etf::decode_prefix(&call[1..]).expect("a control message");
        let us = control.as_tuple().expect("a tuple")[2].clone();
        write_message(stream, 4, &[vec![112], etf::encode(&question(us))].concat());
        let answer = loop {
            match read_message(stream, 4) {
                tick if tick.is_empty() => {}
                answer => break answer,
            }
        };
        let answer = etf::decode_prefix(&answer[1..])
            .expect("a control message")
            .0;
        sender.send(answer).expect("the test waits");
    });
    let session = connect(|c| c.port = Some(port)).expect("connected");
    let _call = session.start_call("erlang", "node", vec![]).expect("sent");
    receiver.recv_timeout(MARGIN).expect("an answer")
}

#[test]
fn unlinking_is_acknowledged() {
    let them = Term::Pid(Pid {
        node: "fake@localhost".into(),
        id: 5,
        serial: 0,
        creation: 9,
    });
    let from = them.clone();
    let answer = answer_to(move |us| Term::tuple([Term::Int(35), Term::Int(77), from.clone(), us]));
    let fields = answer.as_tuple().expect("a tuple");
    assert_eq!(fields[..2], [Term::Int(36), Term::Int(77)]);
    assert_eq!(fields[3], them);
    assert!(
        fields[2]
            .as_pid()
            .is_some_and(|us| us.node.as_str().starts_with("updo-"))
    );
}

#[test]
fn a_dangling_link_is_broken() {
    let them = Term::Pid(Pid {
        node: "fake@localhost".into(),
        id: 5,
        serial: 0,
        creation: 9,
    });
    let from = them.clone();
    let answer = answer_to(move |us| {
        let nobody = Pid {
            id: 0x7ffe,
            ..us.as_pid().expect("a pid").clone()
        };
        Term::tuple([Term::Int(1), from.clone(), Term::Pid(nobody)])
    });
    let fields = answer.as_tuple().expect("a tuple");
    assert_eq!((&fields[0], &fields[2]), (&Term::Int(24), &them));
}

#[test]
fn a_node_that_does_not_know_the_cookie() {
    let port = node_with(|_| [7; 16], linger);
    let error = connect(|c| c.port = Some(port)).expect_err("impostor");
    assert_eq!(error.code, Code::E502);
    assert!(error.title.contains("did not prove its own"), "{error:?}");
}

/// The frames must end the session, with everybody told.
fn must_lose(bytes: Vec<u8>) {
    let shown = bytes.clone();
    let port = node(move |stream| {
        // The call is on its way before the answer.
        let _ = read_message(stream, 4);
        let _ = stream.write_all(&bytes);
        linger(stream);
    });
    let session = connect(|c| c.port = Some(port)).expect("connected");
    let started = Instant::now();
    let answer = session.call("erlang", "node", vec![], Duration::from_secs(20));
    let shown = &shown[..shown.len().min(40)];
    assert!(
        matches!(answer, Err(CallError::Lost(_))),
        "{shown:?}: {answer:?}"
    );
    assert!(started.elapsed() < MARGIN, "{shown:?}");
    let started = Instant::now();
    drop(session);
    assert!(started.elapsed() < MARGIN, "{shown:?}");
}

#[test]
fn frames_that_cannot_be_trusted() {
    must_lose(vec![0xff; 64]);
    must_lose(vec![0, 0, 0, 1, 131]);
    must_lose(vec![0, 0, 0, 5, 131, 68, 0, 131, 104]);
    must_lose(vec![0, 0, 0, 1, 112]);
    // A list of four milliards, and a tuple of as many.
    must_lose(vec![0, 0, 0, 7, 112, 131, 108, 0xff, 0xff, 0xff, 0xff]);
    must_lose(vec![0, 0, 0, 7, 112, 131, 105, 0xff, 0xff, 0xff, 0xff]);
    // Ten thousand tuples in one another.
    let deep = [vec![112, 131], [104, 1].repeat(10_000)].concat();
    must_lose([(deep.len() as u32).to_be_bytes().to_vec(), deep].concat());
    for control in [
        Term::Int(1),
        Term::tuple([]),
        Term::tuple([Term::Int(28)]),
        Term::tuple([Term::Int(2), Term::Int(2), Term::Int(2)]),
    ] {
        let frame = [vec![112], etf::encode(&control)].concat();
        must_lose([(frame.len() as u32).to_be_bytes().to_vec(), frame].concat());
    }
}

#[test]
fn frames_of_noise() {
    for seed in 1..40 {
        let frame = [vec![112, 131], noise(seed, 200)].concat();
        must_lose([(frame.len() as u32).to_be_bytes().to_vec(), frame].concat());
    }
}

#[test]
fn a_frame_that_is_announced_and_never_comes() {
    let port = node(|stream| {
        // 200 MiB announced, three bytes sent.
        let _ = stream.write_all(&[0x0c, 0x80, 0, 0, 112, 131, 104]);
        linger(stream);
    });
    let session = connect(|c| c.port = Some(port)).expect("connected");
    let answer = session.call("erlang", "node", vec![], Duration::from_millis(300));
    assert_eq!(answer, Err(CallError::Timeout));
    let started = Instant::now();
    drop(session);
    assert!(started.elapsed() < MARGIN);
}

#[test]
fn a_peer_that_never_reads() {
    let port = node(|stream| {
        let _ = stream.write_all(&[0; 4]);
        std::thread::sleep(Duration::from_secs(5));
    });
    let session = connect(|c| c.port = Some(port)).expect("connected");
    let writing = {
        let session = session.clone();
        std::thread::spawn(move || {
            session.call("m", "f", vec![Term::binary(vec![0; 100 << 20])], MARGIN)
        })
    };
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(session.is_lost(), None);
    drop(session);
    // The writer gives up when the peer goes away at the latest.
    let answer = writing.join().expect("no panic");
    assert!(
        matches!(answer, Err(CallError::Lost(_) | CallError::Timeout)),
        "{answer:?}"
    );
}
