//! A server of the DNS for services, by UDP and TCP on one port of 127.0.0.1; its messages are put together by hand.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::thread;

/// What it answers to a name.
#[derive(Clone)]
pub enum Reply {
    /// These hosts and ports.
    Services(Vec<(String, u16)>),
    /// The same, by TCP only: an answer by UDP is cut off.
    LongServices(Vec<(String, u16)>),
    /// A code, 2 for "server failure".
    Code(u8),
    /// Bytes that are no answer.
    Noise,
    /// Nothing.
    Silence,
}

/// Starts one; it runs until the test process ends. Names that it does not know do not exist (code 3).
pub fn start(names: Vec<(&str, Reply)>) -> u16 {
    let names: Vec<(String, Reply)> = names
        .into_iter()
        .map(|(name, reply)| (name.to_owned(), reply))
        .collect();
    // The same port of both.
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let at = udp.local_addr().expect("its address");
        if let Ok(tcp) = TcpListener::bind(at) {
            break (udp, tcp);
        }
    };
    let port = udp.local_addr().expect("its address").port();
    let known = names.clone();
    thread::spawn(move || {
        let mut bytes = [0; 512];
        while let Ok((n, from)) = udp.recv_from(&mut bytes) {
            if let Some(answer) = answer(&bytes[..n], &known, false) {
                let _ = udp.send_to(&answer, from);
            }
        }
    });
    thread::spawn(move || {
        for mut stream in tcp.incoming().flatten() {
            let mut head = [0; 2];
            if stream.read_exact(&mut head).is_err() {
                continue;
            }
            let mut question = vec![0; usize::from(u16::from_be_bytes(head))];
            if stream.read_exact(&mut question).is_ok()
                && let Some(answer) = answer(&question, &names, true)
            {
                let length = u16::try_from(answer.len()).expect("it is short");
                let _ = stream.write_all(&[&length.to_be_bytes(), &answer[..]].concat());
            }
        }
    });
    port
}

fn labels(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).expect("a label is short"));
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes
}

fn answer(question: &[u8], names: &[(String, Reply)], by_tcp: bool) -> Option<Vec<u8>> {
    let name = question.get(12..question.len() - 4)?;
    let reply = names.iter().find(|(known, _)| labels(known) == name);
    let reply = reply.map_or(Reply::Code(3), |(_, reply)| reply.clone());
    let (code, cut, services) = match reply {
        Reply::Services(services) => (0, false, services),
        Reply::LongServices(services) if by_tcp => (0, false, services),
        Reply::LongServices(_) => (0, true, Vec::new()),
        Reply::Code(code) => (code, false, Vec::new()),
        Reply::Noise => return Some([&question[..2], &[0xff; 40]].concat()),
        Reply::Silence => return None,
    };
    let mut bytes = question[..2].to_vec();
    bytes.extend([0x81 | if cut { 0x02 } else { 0 }, 0x80 | code, 0, 1, 0]);
    bytes.push(u8::try_from(services.len()).expect("they are few"));
    bytes.extend([0; 4]);
    bytes.extend(&question[12..]);
    for (host, port) in services {
        let host = labels(&host);
        bytes.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 9]);
        let length = u16::try_from(6 + host.len()).expect("it is short");
        bytes.extend(length.to_be_bytes());
        bytes.extend([0, 0, 0, 0]);
        bytes.extend(port.to_be_bytes());
        bytes.extend(host);
    }
    Some(bytes)
}
