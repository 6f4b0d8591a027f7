//! A forwarded port of the tests: every connection to it is passed on.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

/// Listens on 127.0.0.1 and passes on to a port of 127.0.0.1; until the test process ends.
pub fn to(port: u16) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let at = listener.local_addr().expect("its address").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let there = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let Ok(other) = TcpStream::connect(there) else {
                continue;
            };
            let pass = |from: &TcpStream, to: &TcpStream| {
                let (mut from, mut to) = (
                    from.try_clone().expect("a socket can be shared"),
                    to.try_clone().expect("a socket can be shared"),
                );
                thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            };
            pass(&stream, &other);
            pass(&other, &stream);
        }
    });
    at
}

/// Listens and says nothing, ever.
pub fn silent() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let at = listener.local_addr().expect("its address").port();
    thread::spawn(move || {
        let mut all = Vec::new();
        all.extend(listener.incoming().flatten());
    });
    at
}
