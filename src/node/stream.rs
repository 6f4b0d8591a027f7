//! The byte stream under a connection, and the deadline over its making.
//!
//! Takes addresses, gives a [`Stream`]: read and written under a [`Deadline`] while the handshake
//! lasts, then split into a reading and a writing half. TCP is here, TLS over it in `tls`; everything above
//! sees the trait. No operation here may outlive its deadline.

#![expect(
    clippy::disallowed_methods,
    reason = "every TCP connection is made here"
)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::time::{Duration, Instant};

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
        let mut done = 0;
        while done < bytes.len() {
            match self.read_some(&mut bytes[done..], deadline)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                n => done += n,
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

/// A TCP connection. Small messages leave at once (`TCP_NODELAY`): a call waits 44 ms otherwise.
pub(crate) struct Tcp(TcpStream);

impl Tcp {
    /// Connects to one address.
    pub(crate) fn connect(address: SocketAddr, deadline: Deadline) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, deadline.left()?)?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// The socket for two threads: reading waits for ever, writing for a moment.
    pub(super) fn for_threads(self) -> io::Result<TcpStream> {
        self.0.set_read_timeout(None)?;
        self.0.set_write_timeout(Some(WRITE_SLICE))?;
        Ok(self.0)
    }
}

impl Stream for Tcp {
    fn read_some(&mut self, bytes: &mut [u8], deadline: Deadline) -> io::Result<usize> {
        loop {
            self.0.set_read_timeout(Some(deadline.left()?))?;
            match self.0.read(bytes) {
                Err(e) if is_pause(&e) => {}
                other => return other,
            }
        }
    }

    fn write_all(&mut self, mut bytes: &[u8], deadline: Deadline) -> io::Result<()> {
        while !bytes.is_empty() {
            self.0.set_write_timeout(Some(deadline.left()?))?;
            match self.0.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => bytes = &bytes[n..],
                Err(e) if is_pause(&e) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn local_ip(&self) -> IpAddr {
        self.0
            .local_addr()
            .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
    }

    fn split(self: Box<Self>) -> io::Result<SplitStream> {
        let stream = self.for_threads()?;
        let writer = stream.try_clone()?;
        let closing = stream.try_clone()?;
        Ok(SplitStream {
            reader: Box::new(stream),
            writer: Box::new(writer),
            // An error means that the other side was faster: closed is closed.
            closer: Box::new(move || drop(closing.shutdown(Shutdown::Both))),
        })
    }
}

/// Whether an error only says "nothing yet".
pub(crate) fn is_pause(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

/// The addresses of a host, within the deadline.
///
/// The resolver of the system cannot be interrupted, so it runs on a thread that is left behind when
/// it is slow. This machine's own name always has the loopback addresses too: a node in a container
/// often goes by a name that cannot be resolved.
pub(crate) fn resolve(host: &str, deadline: Deadline) -> io::Result<Vec<IpAddr>> {
    if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(vec![ip]);
    }
    let (sender, receiver) = mpsc::channel();
    let name = host.to_owned();
    std::thread::Builder::new()
        .name("updo-resolve".to_owned())
        .spawn(move || {
            let found = (name.as_str(), 0u16).to_socket_addrs();
            // There is no receiver any more when we were too slow.
            let _ = sender.send(found.map(|all| all.map(|a| a.ip()).collect::<Vec<_>>()));
        })?;
    let found = match receiver.recv_timeout(deadline.left()?) {
        Ok(found) => found,
        Err(_) => Err(ErrorKind::TimedOut.into()),
    };
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
