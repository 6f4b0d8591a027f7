//! A link between the client and a node that can be stalled and cut: an epmd that names our port, and a relay.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{TestNode, read_message, server};

/// The link.
pub struct Link {
    /// The port of its epmd.
    pub epmd_port: u16,
    stalled: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Link {
    /// To a node.
    pub fn to(node: &TestNode) -> Self {
        let text = format!(
            "begin {{port, P, _}} = erl_epmd:port_please({:?}, {{127,0,0,1}}), P end",
            node.short()
        );
        let port = node.eval(&text).as_i64().expect("a port") as u16;
        let stalled = Arc::new(AtomicBool::new(false));
        let streams = Arc::new(Mutex::new(Vec::new()));
        let (stall, all) = (Arc::clone(&stalled), Arc::clone(&streams));
        let relay = server(move |stream| {
            let there = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let Ok(far) = TcpStream::connect(there) else {
                return;
            };
            let clone = |stream: &TcpStream| stream.try_clone().expect("a stream can be cloned");
            all.lock()
                .expect("no thread panics with it")
                .extend([clone(stream), clone(&far)]);
            let (mut near_in, mut far_out) = (clone(stream), clone(&far));
            let stall_up = Arc::clone(&stall);
            std::thread::spawn(move || relay(&mut near_in, &mut far_out, &stall_up));
            let mut far = far;
            relay(&mut far, stream, &stall);
        });
        let name = node.short().to_owned();
        let epmd_port = server(move |stream| {
            let request = read_message(stream, 2);
            if request.first() == Some(&b'z') {
                let mut answer = vec![119, 0];
                answer.extend(relay.to_be_bytes());
                answer.extend([77, 0, 0, 6, 0, 5]);
                answer.extend((name.len() as u16).to_be_bytes());
                answer.extend(name.as_bytes());
                answer.extend([0, 0]);
                let _ = stream.write_all(&answer);
            }
        });
        Self {
            epmd_port,
            stalled,
            streams,
        }
    }

    /// Nothing goes through any more, or again.
    pub fn stall(&self, on: bool) {
        self.stalled.store(on, Ordering::Relaxed);
    }

    /// All connections end.
    pub fn cut(&self) {
        for stream in self
            .streams
            .lock()
            .expect("no thread panics with it")
            .drain(..)
        {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn relay(from: &mut TcpStream, to: &mut TcpStream, stalled: &AtomicBool) {
    let mut bytes = [0; 65536];
    while let Ok(count) = from.read(&mut bytes) {
        while stalled.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if count == 0 || to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
