//! The byte stream under a connection, and the deadline over its making.
//!
//! Takes addresses, gives a [`Stream`]: read and written under a [`Deadline`] while the handshake
//! lasts, then split into a reading and a writing half. TCP is here, and the way through a program ([`Forward`]); TLS
//! over both in `tls`; everything above sees the trait. No operation here may outlive its deadline.

#![expect(
    clippy::disallowed_methods,
    reason = "every TCP connection is made here"
)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::forward::{Forward, OnItsWay, Via};

/// How long a write may wait in the kernel before its loop looks whether the session still lives.
const WRITE_SLICE: Duration = Duration::from_secs(1);

/// The moment by which something must be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    /// So long from now; a time too far for the clock is no deadline at all.
    pub(crate) fn after(timeout: Duration) -> Self {
        Self(Instant::now().checked_add(timeout))
    }

    /// The time left: never zero, `TimedOut` when there is none.
    pub(crate) fn left(self) -> io::Result<Duration> {
        let Some(at) = self.0 else {
            return Ok(Duration::from_secs(3600));
        };
        let left = at.saturating_duration_since(Instant::now());
        if left < Duration::from_millis(1) {
            Err(ErrorKind::TimedOut.into())
        } else {
            Ok(left)
        }
    }
}

/// What reads, what writes, and what makes both stop.
pub(crate) struct SplitStream {
    pub(crate) reader: Box<dyn Read + Send>,
    /// Returns `WouldBlock` or `TimedOut` after a while without progress.
    pub(crate) writer: Box<dyn Write + Send>,
    pub(crate) closer: Box<dyn Fn() + Send + Sync>,
}

/// A connected stream.
pub(crate) trait Stream: Send {
    /// Fills the buffer before the deadline.
    fn read_exact(&mut self, bytes: &mut [u8], deadline: Deadline) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.read_some(rest, deadline)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                n => rest = rest.get_mut(n..).unwrap_or_default(),
            }
        }
        Ok(())
    }
    /// Reads what is there, at most the buffer, at least a byte; 0 at the end.
    fn read_some(&mut self, bytes: &mut [u8], deadline: Deadline) -> io::Result<usize>;
    /// Writes all before the deadline.
    fn write_all(&mut self, bytes: &[u8], deadline: Deadline) -> io::Result<()>;
    /// Our own address.
    fn local_ip(&self) -> IpAddr;
    /// Goes over to two threads.
    fn split(self: Box<Self>) -> io::Result<SplitStream>;
}

/// The socket under a connection.
#[derive(Debug)]
pub(crate) enum Socket {
    /// To the node, or to its epmd.
    Tcp(TcpStream),
    /// To a program that passes everything on.
    Program(UnixStream),
}

impl Socket {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_read_timeout(timeout),
            Self::Program(socket) => socket.set_read_timeout(timeout),
        }
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_write_timeout(timeout),
            Self::Program(socket) => socket.set_write_timeout(timeout),
        }
    }

    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(socket) => Self::Tcp(socket.try_clone()?),
            Self::Program(socket) => Self::Program(socket.try_clone()?),
        })
    }

    /// Closes it for both directions; an error means that the other side was faster: closed is closed.
    pub(super) fn close(&self) {
        let _ = match self {
            Self::Tcp(socket) => socket.shutdown(Shutdown::Both),
            Self::Program(socket) => socket.shutdown(Shutdown::Both),
        };
    }
}

impl Read for Socket {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(bytes),
            Self::Program(socket) => socket.read(bytes),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for &Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => (&*socket).write(bytes),
            Socket::Program(socket) => (&*socket).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A connection without TLS. Small messages leave at once (`TCP_NODELAY`): a call waits 44 ms otherwise.
pub(crate) struct Link {
    socket: Socket,
    /// The program that it goes through.
    forward: Option<Arc<Forward>>,
    /// Whether the other end has sent anything: then the program has reached it.
    heard: bool,
    /// Until then it has a place among those that are on their way.
    on_its_way: Option<OnItsWay>,
}

impl Link {
    /// Connects to one address.
    pub(crate) fn connect(address: SocketAddr, deadline: Deadline) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, deadline.left()?)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            socket: Socket::Tcp(stream),
            forward: None,
            heard: false,
            on_its_way: None,
        })
    }

    /// Starts a program that connects. Whether it does is known when something comes, or nothing.
    pub(crate) fn through(
        via: &Via,
        (host, port): (&str, u16),
        deadline: Deadline,
    ) -> io::Result<Self> {
        let (socket, forward, on_its_way) = Forward::start(via, host, port, deadline.left()?)?;
        Ok(Self {
            socket: Socket::Program(socket),
            forward: Some(Arc::new(forward)),
            heard: false,
            on_its_way: Some(on_its_way),
        })
    }

    /// The socket for two threads: reading waits for ever, writing for a moment. What it goes through ends with the
    /// second.
    pub(super) fn for_threads(self) -> io::Result<(Socket, Option<Arc<Forward>>)> {
        self.socket.set_read_timeout(None)?;
        self.socket.set_write_timeout(Some(WRITE_SLICE))?;
        Ok((self.socket, self.forward))
    }

    /// What a program on the way has to say of an end that came before anything else.
    fn explained(&self, error: io::Error) -> io::Error {
        match &self.forward {
            Some(forward) if !self.heard => forward.failure(&error).unwrap_or(error),
            _ => error,
        }
    }
}

impl Stream for Link {
    fn read_some(&mut self, bytes: &mut [u8], deadline: Deadline) -> io::Result<usize> {
        let read = loop {
            let left = match deadline.left() {
                Ok(left) => left,
                Err(late) => return Err(self.explained(late)),
            };
            self.socket.set_read_timeout(Some(left))?;
            match self.socket.read(bytes) {
                Err(e) if is_pause(&e) => {}
                other => break other,
            }
        };
        match read {
            Ok(0) if self.forward.is_some() => {
                match self.explained(ErrorKind::UnexpectedEof.into()) {
                    end if end.kind() == ErrorKind::UnexpectedEof => Ok(0),
                    why => Err(why),
                }
            }
            Ok(n) => {
                self.heard = true;
                self.on_its_way = None;
                Ok(n)
            }
            Err(error) => Err(self.explained(error)),
        }
    }

    fn write_all(&mut self, mut bytes: &[u8], deadline: Deadline) -> io::Result<()> {
        while !bytes.is_empty() {
            self.socket.set_write_timeout(Some(deadline.left()?))?;
            match self.socket.write(bytes) {
                Ok(0) => return Err(self.explained(ErrorKind::WriteZero.into())),
                Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
                Err(e) if is_pause(&e) => {}
                Err(e) => return Err(self.explained(e)),
            }
        }
        Ok(())
    }

    fn local_ip(&self) -> IpAddr {
        let local = match &self.socket {
            Socket::Tcp(socket) => socket.local_addr().ok(),
            Socket::Program(_) => None,
        };
        local.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
    }

    fn split(self: Box<Self>) -> io::Result<SplitStream> {
        let (socket, forward) = self.for_threads()?;
        let writer = socket.try_clone()?;
        let closing = socket.try_clone()?;
        let reader: Box<dyn Read + Send> = match &forward {
            None => Box::new(socket),
            Some(forward) => Box::new(Explaining(socket, Arc::clone(forward))),
        };
        Ok(SplitStream {
            reader,
            writer: Box::new(writer),
            closer: Box::new(move || {
                closing.close();
                if let Some(forward) = &forward {
                    forward.end();
                }
            }),
        })
    }
}

/// A reading half that says why a program on the way has ended.
pub(super) struct Explaining(pub(super) Socket, pub(super) Arc<Forward>);

impl Read for Explaining {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(bytes);
        let ended = match &read {
            Ok(n) => *n == 0 && !bytes.is_empty(),
            Err(error) => !is_pause(error),
        };
        match ended.then(|| self.1.lost()).flatten() {
            Some(why) => Err(io::Error::other(why)),
            None => read,
        }
    }
}

/// Whether an error only says "nothing yet".
pub(crate) fn is_pause(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

/// What the resolver of the system says of a host, within the deadline.
///
/// It cannot be interrupted, so it runs on a thread that is left behind when it is slow.
pub(crate) fn system_addresses(host: &str, deadline: Deadline) -> io::Result<Vec<IpAddr>> {
    let (sender, receiver) = mpsc::channel();
    let name = host.to_owned();
    std::thread::Builder::new()
        .name("updo-resolve".to_owned())
        .spawn(move || {
            let found = (name.as_str(), 0u16).to_socket_addrs();
            // There is no receiver any more when we were too slow.
            let _ = sender.send(found.map(|all| all.map(|a| a.ip()).collect::<Vec<_>>()));
        })?;
    match receiver.recv_timeout(deadline.left()?) {
        Ok(found) => found,
        Err(_) => Err(ErrorKind::TimedOut.into()),
    }
}

/// The addresses of a host, within the deadline.
///
/// This machine's own name always has the loopback addresses too: a node in a container often goes by a name that
/// cannot be resolved.
pub(crate) fn resolve(host: &str, deadline: Deadline) -> io::Result<Vec<IpAddr>> {
    if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(vec![ip]);
    }
    let found = system_addresses(host, deadline);
    let mut addresses = Vec::new();
    let own = super::name::hostname();
    let is_own = host == "localhost" || host == own || Some(host) == own.split('.').next();
    let loopback = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    let extra = if is_own { &loopback[..] } else { &[] };
    for ip in found
        .as_ref()
        .map_or(&[][..], Vec::as_slice)
        .iter()
        .chain(extra)
    {
        if !addresses.contains(ip) {
            addresses.push(*ip);
        }
    }
    match found {
        Err(error) if addresses.is_empty() => Err(error),
        _ => Ok(addresses),
    }
}
