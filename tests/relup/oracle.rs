//! A real `erl` that answers questions about `systools` (see `oracle.erl` beside this file); with `UPDO_ORACLE_ROOT` the
//! one of another OTP in that folder, which needs root (`scripts/matrix.sh`).

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use updo::term::{Term, etf};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/relup/oracle.erl");

/// Longest wait for anything that it does.
const PATIENCE: Duration = Duration::from_secs(600);

/// A node that answers until it is dropped.
pub struct Oracle {
    node: Child,
    socket: TcpStream,
}

impl Oracle {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        // Another OTP in a folder of its own sees its own files only: for questions that need none.
        let other = std::env::var("UPDO_ORACLE_ROOT").ok();
        let (mut erl, source) = match &other {
            None => (Command::new("erl"), SOURCE.to_owned()),
            Some(root) => {
                let name = format!("/tmp/oracle{}.erl", std::process::id());
                std::fs::copy(SOURCE, format!("{root}{name}")).expect("the folder can be written");
                let mut erl = Command::new("chroot");
                erl.args([root, "erl"]);
                (erl, name)
            }
        };
        let eval = format!(
            "{{ok, M, B}} = compile:file(\"{source}\", [binary]), \
             {{module, M}} = code:load_binary(M, \"oracle\", B), M:main()"
        );
        let mut node = erl
            .args(["-noinput", "-noshell", "-oracle", &port.to_string()])
            .args(["-eval", &eval])
            .current_dir(std::env::temp_dir())
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
        if let Some(root) = other {
            let _ = std::fs::remove_file(format!("{root}{source}"));
        }
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
