//! A real `erl` that answers questions about `systools` (see `oracle.erl` beside this file).

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use updo::term::{Term, etf};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/relup/oracle.erl");

/// Longest wait for anything that it does.
const PATIENCE: Duration = Duration::from_secs(120);

/// A node that answers until it is dropped.
pub struct Oracle {
    node: Child,
    socket: TcpStream,
}

impl Oracle {
    pub fn start() -> Self {
        Self::start_in(std::env::temp_dir().as_path())
    }

    /// Starts it in a folder.
    pub fn start_in(folder: &std::path::Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let eval = format!(
            "{{ok, M, B}} = compile:file(\"{SOURCE}\", [binary]), \
             {{module, M}} = code:load_binary(M, \"oracle\", B), M:main()"
        );
        let mut node = Command::new("erl")
            .args(["-noinput", "-noshell", "-oracle", &port.to_string()])
            .args(["-eval", &eval])
            .current_dir(folder)
            .stdin(Stdio::null())
            .spawn()
            .expect("these tests need `erl` on the path");
        listener.set_nonblocking(true).expect("a socket option");
        let start = Instant::now();
        let socket = loop {
            match listener.accept() {
                Ok((socket, _)) => break socket,
                Err(_) if start.elapsed() < PATIENCE => sleep(Duration::from_millis(10)),
                Err(error) => {
                    let _ = node.kill();
                    panic!("the node does not call back: {error}");
                }
            }
        };
        socket.set_nonblocking(false).expect("a socket option");
        socket.set_nodelay(true).expect("a socket option");
        socket
            .set_read_timeout(Some(PATIENCE))
            .expect("a socket option");
        Self { node, socket }
    }

    pub fn ask(&mut self, question: &Term) -> Term {
        let bytes = etf::encode(question);
        let frame = [&(bytes.len() as u32).to_be_bytes()[..], &bytes].concat();
        self.socket.write_all(&frame).expect("the node listens");
        let mut length = [0; 4];
        self.socket
            .read_exact(&mut length)
            .expect("the node answers");
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        self.socket
            .read_exact(&mut answer)
            .expect("the whole answer comes");
        let answer = etf::decode(&answer).expect("the answer is a term");
        if let Some([tag, ..]) = answer.as_tuple()
            && tag.is_atom("oracle_failed")
        {
            panic!("{question} made the oracle fail: {answer}");
        }
        answer
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.node.kill();
        let _ = self.node.wait();
    }
}
