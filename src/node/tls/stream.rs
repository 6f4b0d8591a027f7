//! A connection over TLS as a [`Stream`]: handshake under a deadline, then a half for each of two threads.
//!
//! The reader waits for the network without holding the lock on the TLS state, and takes it only to decrypt. The writer
//! encrypts a piece under the lock and sends it without: a node that takes no data does not block the reading of what
//! it says. Only the writer sends, so what TLS itself wants to answer goes out with the next frame (the keeper
//! ticks).

use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use super::{ExpectedName, Tls, error};
use crate::diag::{Diagnostic, Result};
use crate::node::name::Address;
use crate::node::state::lock;
use crate::node::stream::{Deadline, Explaining, Link, Socket, SplitStream, Stream};

/// How much is read from the network at once.
const PIECE: usize = 32 << 10;

/// How much is encrypted at once.
const PLAIN: usize = 32 << 10;

/// Patience for a word of farewell in a handshake that has failed.
const FAREWELL: Duration = Duration::from_millis(200);

/// TLS over TCP, before it is split.
pub(crate) struct TlsStream {
    link: Link,
    connection: ClientConnection,
}

impl TlsStream {
    /// Goes through the TLS handshake.
    ///
    /// # Errors
    /// E503 with what is wrong, on which side.
    pub(crate) fn connect(
        link: Link,
        tls: &Tls,
        target: &Address,
        deadline: Deadline,
    ) -> Result<Self> {
        let name = name(tls, target)?;
        let config = Arc::clone(&tls.config);
        let connection = ClientConnection::new(config, name)
            .map_err(|error| error::refused(target, tls, &error))?;
        let mut made = Self { link, connection };
        match made.shake(deadline) {
            Ok(()) => Ok(made),
            Err((error, heard)) => Err(match error::cause(&error) {
                Some(cause) => error::refused(target, tls, cause),
                None => error::silent(target, &error, heard),
            }),
        }
    }

    /// Until both sides are ready; an error comes with whether anything was heard.
    fn shake(&mut self, deadline: Deadline) -> std::result::Result<(), (io::Error, bool)> {
        let mut heard = false;
        while self.connection.is_handshaking() {
            let turn = self.flush(deadline).and_then(|()| self.hear(deadline));
            match turn {
                Ok(0) => return Err((ErrorKind::UnexpectedEof.into(), heard)),
                Ok(_) => heard = true,
                Err(error) => {
                    // It should know why; whether it still listens does not matter.
                    let _ = self.flush(Deadline::after(FAREWELL));
                    return Err((error, heard));
                }
            }
        }
        self.flush(deadline).map_err(|error| (error, heard))
    }

    /// Which version, which cipher.
    pub(crate) fn terms(&self) -> String {
        let version = match self.connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
            _ => "TLS",
        };
        let cipher = self.connection.negotiated_cipher_suite();
        let cipher = cipher
            .and_then(|suite| suite.suite().as_str())
            .unwrap_or_default();
        format!("{version}, {cipher}")
            .trim_end_matches(", ")
            .to_owned()
    }

    /// Takes in what comes; how many bytes there were, 0 at the end.
    fn hear(&mut self, deadline: Deadline) -> io::Result<usize> {
        let mut piece = [0; 4096];
        let n = self.link.read_some(&mut piece, deadline)?;
        let mut bytes = piece.get(..n).unwrap_or_default();
        while !bytes.is_empty() {
            self.connection.read_tls(&mut bytes)?;
            self.connection.process_new_packets().map_err(invalid)?;
        }
        Ok(n)
    }

    fn flush(&mut self, deadline: Deadline) -> io::Result<()> {
        let mut bytes = Vec::new();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut bytes)?;
        }
        self.link.write_all(&bytes, deadline)
    }

    /// A write has failed: perhaps the other side has said why.
    fn why(&mut self, error: io::Error) -> io::Error {
        let deadline = Deadline::after(FAREWELL);
        loop {
            match self.hear(deadline) {
                Ok(1..) => {}
                Err(cause) if error::cause(&cause).is_some() => return cause,
                _ => return error,
            }
        }
    }
}

/// Under which name the node must show itself; where any will do, the host is what we say we look for.
fn name(tls: &Tls, target: &Address) -> Result<ServerName<'static>> {
    let wanted = match &tls.options.name {
        ExpectedName::Other(name) => name.as_str(),
        ExpectedName::Host | ExpectedName::Any => target.host(),
    };
    let checked = tls.options.ca.is_some() && tls.options.name != ExpectedName::Any;
    let bare = wanted.trim_matches(['[', ']']).to_owned();
    match ServerName::try_from(bare) {
        Ok(name) => Ok(name),
        Err(_) if !checked => Ok(ServerName::from(IpAddr::from([127, 0, 0, 1]))),
        Err(_) => Err(Box::new(
            Diagnostic::new(
                crate::diag::Code::E503,
                format!("`{wanted}` is no name that a certificate can be made out for"),
            )
            .help("say which name the node's certificate has: `server_name => \"NAME\"`"),
        )),
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

impl Stream for TlsStream {
    fn read_some(&mut self, bytes: &mut [u8], deadline: Deadline) -> io::Result<usize> {
        loop {
            match self.connection.reader().read(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => return other,
            }
            if self.hear(deadline)? == 0 {
                return Ok(0);
            }
        }
    }

    fn write_all(&mut self, bytes: &[u8], deadline: Deadline) -> io::Result<()> {
        let sent = (|| {
            for piece in bytes.chunks(PLAIN) {
                self.connection.writer().write_all(piece)?;
                self.flush(deadline)?;
            }
            Ok(())
        })();
        sent.map_err(|error| self.why(error))
    }

    fn local_ip(&self) -> IpAddr {
        self.link.local_ip()
    }

    fn split(self: Box<Self>) -> io::Result<SplitStream> {
        let (socket, forward) = self.link.for_threads()?;
        let connection = Arc::new(Mutex::new(self.connection));
        let outgoing = Arc::new(Mutex::new(Outgoing::default()));
        let from: Box<dyn Read + Send> = match &forward {
            None => Box::new(socket.try_clone()?),
            Some(forward) => Box::new(Explaining(socket.try_clone()?, Arc::clone(forward))),
        };
        let reader = Reading {
            socket: from,
            connection: Arc::clone(&connection),
            piece: vec![0; PIECE],
            from: 0,
            until: 0,
        };
        let writer = Writing {
            socket: socket.try_clone()?,
            connection: Arc::clone(&connection),
            outgoing: Arc::clone(&outgoing),
        };
        Ok(SplitStream {
            reader: Box::new(reader),
            writer: Box::new(writer),
            closer: Box::new(move || {
                close(&socket, &connection, &outgoing);
                if let Some(forward) = &forward {
                    forward.end();
                }
            }),
        })
    }
}

/// The reading half.
struct Reading {
    socket: Box<dyn Read + Send>,
    connection: Arc<Mutex<ClientConnection>>,
    /// What has come; from here until there it is not decrypted yet.
    piece: Vec<u8>,
    from: usize,
    until: usize,
}

impl Read for Reading {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        loop {
            {
                let mut connection = lock(&self.connection);
                // All that is decrypted goes out before more comes in: so TLS holds one record at most.
                match connection.reader().read(bytes) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    other => return other,
                }
                if self.from < self.until {
                    let rest = self.piece.get(self.from..self.until);
                    let mut rest = rest.unwrap_or_default();
                    self.from += connection.read_tls(&mut rest)?;
                    connection.process_new_packets().map_err(invalid)?;
                    continue;
                }
            }
            self.from = 0;
            self.until = match self.socket.read(&mut self.piece) {
                Ok(0) => return Ok(0),
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::Interrupted => 0,
                Err(error) => return Err(error),
            };
        }
    }
}

/// What is encrypted and not sent yet.
#[derive(Default)]
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    /// How many bytes of the writer's this is.
    plain: usize,
}

/// The writing half. Its `write` wants the same bytes again after `WouldBlock`, as they are encrypted already.
struct Writing {
    socket: Socket,
    connection: Arc<Mutex<ClientConnection>>,
    outgoing: Arc<Mutex<Outgoing>>,
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut outgoing = lock(&self.outgoing);
        if outgoing.plain == 0 {
            let mut connection = lock(&self.connection);
            let piece = bytes.get(..PLAIN).unwrap_or(bytes);
            outgoing.plain = connection.writer().write(piece)?;
            while connection.wants_write() {
                connection.write_tls(&mut outgoing.bytes)?;
            }
        }
        while outgoing.sent < outgoing.bytes.len() {
            let rest = outgoing.bytes.get(outgoing.sent..).unwrap_or_default();
            match self.socket.write(rest)? {
                0 => return Err(ErrorKind::WriteZero.into()),
                n => outgoing.sent += n,
            }
        }
        outgoing.bytes.clear();
        outgoing.sent = 0;
        Ok(std::mem::take(&mut outgoing.plain))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends the closing alert without waiting for the peer, and closes.
fn close(socket: &Socket, connection: &Mutex<ClientConnection>, outgoing: &Mutex<Outgoing>) {
    if let (Ok(outgoing), Ok(mut connection)) = (outgoing.try_lock(), connection.try_lock())
        && outgoing.bytes.is_empty()
    {
        connection.send_close_notify();
        // It is a courtesy.
        let _ = connection.write_tls(&mut &*socket);
    }
    socket.close();
}
