//! A program of Erlang that calls back and answers questions: frames with four bytes of length, terms as answers. It
//! lives until it is dropped.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use updo::term::{Term, etf};

/// A running `erl`, and the connection that it has made.
pub struct Callback {
    erl: Child,
    socket: TcpStream,
}

impl Callback {
    /// Starts what `command` makes of the port to connect to, and waits for the connection; answers take at most
    /// `patience`.
    pub fn start(command: impl FnOnce(u16) -> Command, patience: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let mut erl = command(port)
            .stdin(Stdio::null())
            .spawn()
            .expect("these tests need `erl` on the path");
        listener.set_nonblocking(true).expect("a socket option");
        let start = Instant::now();
        let socket = loop {
            match listener.accept() {
                Ok((socket, _)) => break socket,
                Err(_) if start.elapsed() < patience => sleep(Duration::from_millis(10)),
                Err(error) => {
                    let _ = erl.kill();
                    panic!("erl does not call back: {error}");
                }
            }
        };
        socket.set_nonblocking(false).expect("a socket option");
        socket.set_nodelay(true).expect("a socket option");
        socket
            .set_read_timeout(Some(patience))
            .expect("a socket option");
        Self { erl, socket }
    }

    /// Asks, and waits for the answer.
    pub fn ask(&mut self, question: &[u8]) -> Term {
        let length = u32::try_from(question.len()).expect("short").to_be_bytes();
        let frame = [&length[..], question].concat();
        self.socket.write_all(&frame).expect("erl listens");
        let mut length = [0; 4];
        self.socket.read_exact(&mut length).expect("erl answers");
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        self.socket
            .read_exact(&mut answer)
            .expect("the whole answer comes");
        etf::decode(&answer).expect("the answer is a term")
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        let _ = self.erl.kill();
        let _ = self.erl.wait();
    }
}
