//! The hosts behind a name of the DNS: addresses (A and AAAA), or services (SRV).
//!
//! Takes a name, gives [`Host`]s or E512. Addresses come from the system's own resolver, with its files and caches. That has
//! no function for SRV: a name that begins with `_` (RFC 2782: `_epmd._tcp.app.internal`) is asked of the servers of
//! /etc/resolv.conf, by UDP, and by TCP what does not fit, with their search list. Messages are read and written by the
//! crate simple-dns. Answers are bounded; nothing waits past the deadline.

#![expect(
    clippy::disallowed_methods,
    reason = "/etc/resolv.conf is a file, and servers of the DNS are asked from here"
)]

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};

use super::cookie::plain;
use super::stream::{Deadline, Link, Stream, system_addresses};
use crate::diag::{Code, Diagnostic, Result};

/// The servers that are asked.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// So much of that file is read.
const MAX_CONF: u64 = 64 << 10;

/// How long one server may take for one question.
const TRY: Duration = Duration::from_secs(2);

/// How often the servers are gone through.
const ROUNDS: u32 = 2;

/// So many servers and domains of a search list count, as in glibc.
const MAX_SERVERS: usize = 3;
const MAX_SEARCH: usize = 6;

/// Longest answer by UDP that is taken.
const MAX_DATAGRAM: usize = 4096;

/// So many hosts of one name.
const MAX_HOSTS: usize = 4096;

/// A host behind a name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Host {
    /// An address, or the name that a service has.
    pub host: String,
    /// The service's port.
    pub port: Option<u16>,
}

/// Whether a name is that of a service.
pub fn is_service(name: &str) -> bool {
    name.starts_with('_')
}

/// Whether a name is that of epmd: the port of such a service is epmd's, any other's is the node's.
pub fn is_epmd(name: &str) -> bool {
    name.split('.')
        .next()
        .is_some_and(|label| label.eq_ignore_ascii_case("_epmd"))
}

/// The hosts behind a name, in an order that is the same each time. `server` is asked for services in place of those of
/// /etc/resolv.conf.
///
/// # Errors
/// E512 when the name has none, or the DNS does not answer.
pub fn hosts(name: &str, server: Option<SocketAddr>, timeout: Duration) -> Result<Vec<Host>> {
    let deadline = Deadline::after(timeout);
    let mut found = match is_service(name) {
        true => services(name, server, deadline)?,
        false => system_addresses(name, deadline)
            .map_err(|error| failed(name, &reason(&error)))?
            .into_iter()
            .map(|ip| Host {
                host: ip.to_string(),
                port: None,
            })
            .collect(),
    };
    found.sort();
    found.dedup();
    found.truncate(MAX_HOSTS);
    match found.is_empty() {
        true => Err(failed(name, "it has no addresses")),
        false => Ok(found),
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "no answer in time".to_owned(),
        _ => plain(error),
    }
}

fn failed(name: &str, why: &str) -> Box<Diagnostic> {
    let text = Diagnostic::new(
        Code::E512,
        format!("the DNS gives no hosts for `{name}`: {why}"),
    );
    Box::new(match is_service(name) {
        true => text.help(format!(
            "look at `dig {name} SRV`; UPDO_DNS names another server than those of {RESOLV_CONF}"
        )),
        false => text.help(format!(
            "look at `getent ahosts {name}`; a name that begins with `_` is a service (SRV): `_epmd._tcp.{name}`"
        )),
    })
}

/// What one server says of one name.
enum Answer {
    Hosts(Vec<Host>),
    /// There is no such name, or it is no service.
    None,
}

fn services(name: &str, server: Option<SocketAddr>, deadline: Deadline) -> Result<Vec<Host>> {
    let (servers, names) = asked(name, server);
    let mut last = None;
    for name in &names {
        match ask_all(name, &servers, deadline) {
            Ok(Answer::Hosts(hosts)) => return Ok(hosts),
            Ok(Answer::None) => {}
            Err(why) => last = Some(why),
        }
    }
    let why = last.unwrap_or_else(|| "there is no such service".to_owned());
    Err(failed(name, &why))
}

/// The servers, and the names that a name may stand for.
fn asked(name: &str, server: Option<SocketAddr>) -> (Vec<SocketAddr>, Vec<String>) {
    let mut text = Vec::new();
    // Without the file this machine is its own server, as for every other program.
    if let Ok(file) = File::open(RESOLV_CONF) {
        let _ = file.take(MAX_CONF).read_to_end(&mut text);
    }
    let (config, _) = resolv_conf::Config::parse_with_errors(&text);
    let mut servers: Vec<SocketAddr> = config
        .nameservers
        .iter()
        .take(MAX_SERVERS)
        .map(|ip| SocketAddr::new(IpAddr::from(ip.clone()), 53))
        .collect();
    if servers.is_empty() {
        servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, 53)));
    }
    let search = config.get_last_search_or_domain().take(MAX_SEARCH);
    let search: Vec<&str> = search.map(String::as_str).collect();
    let servers = server.map_or(servers, |server| vec![server]);
    (servers, candidates(name, config.ndots, &search))
}

/// A name as it is and with each domain of the search list: as it is first when it has enough dots.
fn candidates(name: &str, ndots: u32, search: &[&str]) -> Vec<String> {
    if let Some(whole) = name.strip_suffix('.') {
        return vec![whole.to_owned()];
    }
    let dots = name.chars().filter(|c| *c == '.').count();
    let domains = search.iter().map(|domain| domain.trim_matches('.'));
    let with = domains
        .filter(|domain| !domain.is_empty())
        .map(|domain| format!("{name}.{domain}"));
    let itself = std::iter::once(name.to_owned());
    match u32::try_from(dots).is_ok_and(|dots| dots >= ndots) {
        true => itself.chain(with).collect(),
        false => with.chain(itself).collect(),
    }
}

fn ask_all(
    name: &str,
    servers: &[SocketAddr],
    deadline: Deadline,
) -> std::result::Result<Answer, String> {
    let mut last = "no server is known".to_owned();
    for _ in 0..ROUNDS {
        for server in servers {
            let Ok(left) = deadline.left() else {
                return Err(last);
            };
            match ask(name, *server, Deadline::after(left.min(TRY))) {
                Ok(answer) => return Ok(answer),
                Err(why) => last = format!("{server}: {}", reason(&why)),
            }
        }
    }
    Err(last)
}

fn other(why: &str) -> io::Error {
    io::Error::other(why.to_owned())
}

/// Asks one server.
fn ask(name: &str, server: SocketAddr, deadline: Deadline) -> io::Result<Answer> {
    let number = getrandom::u32().map_err(|_| other("the system gives no random numbers"))?;
    let id = (number & 0xffff) as u16;
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let asked = Name::new(name).map_err(|_| other("it is no name of the DNS"))?;
    packet.questions.push(Question::new(
        asked.clone(),
        TYPE::SRV.into(),
        CLASS::IN.into(),
        false,
    ));
    let question = packet
        .build_bytes_vec()
        .map_err(|_| other("it is no name of the DNS"))?;
    let bytes = by_udp(&question, id, server, deadline)?;
    let answer = read(&bytes, id, &asked)?;
    match answer {
        Some(answer) => Ok(answer),
        None => {
            let bytes = by_tcp(&question, server, deadline)?;
            read(&bytes, id, &asked)?.ok_or_else(|| other("its answer is cut off"))
        }
    }
}

fn by_udp(question: &[u8], id: u16, server: SocketAddr, deadline: Deadline) -> io::Result<Vec<u8>> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    // Then only what comes from that server is received.
    socket.connect(server)?;
    socket.set_write_timeout(Some(deadline.left()?))?;
    socket.send(question)?;
    let mut bytes = vec![0; MAX_DATAGRAM];
    loop {
        socket.set_read_timeout(Some(deadline.left()?))?;
        match socket.recv(&mut bytes) {
            Ok(n) => {
                let answer = bytes.get(..n).unwrap_or_default();
                // Else of a question that was asked before, or forged.
                if answer.starts_with(&id.to_be_bytes()) {
                    return Ok(answer.to_vec());
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn by_tcp(question: &[u8], server: SocketAddr, deadline: Deadline) -> io::Result<Vec<u8>> {
    let mut link = Link::connect(server, deadline)?;
    let length = u16::try_from(question.len()).map_err(|_| other("the name is too long"))?;
    link.write_all(&[&length.to_be_bytes(), question].concat(), deadline)?;
    let mut head = [0; 2];
    link.read_exact(&mut head, deadline)?;
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(head))];
    link.read_exact(&mut bytes, deadline)?;
    Ok(bytes)
}

/// Reads an answer; `None` when it is cut off.
fn read(bytes: &[u8], id: u16, asked: &Name<'_>) -> io::Result<Option<Answer>> {
    let packet = Packet::parse(bytes).map_err(|_| other("what it sends is no answer"))?;
    let same = |name: &Name<'_>| name.to_string().eq_ignore_ascii_case(&asked.to_string());
    let about = packet.questions.first().map(|question| &question.qname);
    if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) || !about.is_none_or(same) {
        return Err(other("its answer is about something else"));
    }
    if packet.has_flags(PacketFlag::TRUNCATION) {
        return Ok(None);
    }
    match packet.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => return Ok(Some(Answer::None)),
        code => return Err(other(&format!("it answers {code:?}"))),
    }
    // What a name is an alias of has another name: all services of the answer are meant.
    let found: Vec<Host> = packet
        .answers
        .iter()
        .filter_map(|record| match &record.rdata {
            RData::SRV(service) => Some((service.target.to_string(), service.port)),
            _ => None,
        })
        // A target `.` says that there is none.
        .filter(|(host, port)| !host.trim_matches('.').is_empty() && *port > 0)
        .take(MAX_HOSTS)
        .map(|(host, port)| Host {
            host: host.trim_end_matches('.').to_owned(),
            port: Some(port),
        })
        .filter(|found| found.host.chars().all(|c| c.is_ascii_graphic() && c != '@'))
        .collect();
    Ok(Some(match found.is_empty() {
        true => Answer::None,
        false => Answer::Hosts(found),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_search_list() {
        let search = ["shop.svc.cluster.local", "svc.cluster.local."];
        assert_eq!(
            candidates("_epmd._tcp.app", 5, &search),
            [
                "_epmd._tcp.app.shop.svc.cluster.local",
                "_epmd._tcp.app.svc.cluster.local",
                "_epmd._tcp.app"
            ]
        );
        assert_eq!(candidates("_a._tcp.app", 1, &search)[0], "_a._tcp.app");
        assert_eq!(candidates("_a._tcp.app.", 5, &search), ["_a._tcp.app"]);
        assert!(is_epmd("_EPMD._tcp.x") && !is_epmd("_dist._tcp.x"));
        assert!(is_service("_dist._tcp.x") && !is_service("app.internal"));
    }

    /// `_epmd._tcp.app`: two services.
    fn answer() -> Vec<u8> {
        let mut bytes = vec![0, 7, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0];
        bytes.extend(b"\x05_epmd\x04_tcp\x03app\x00\x00\x21\x00\x01");
        for (port, host) in [(4369u16, b"\x03web\x00"), (4370, b"\x03sea\x00")] {
            bytes.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 9, 0, 11, 0, 0, 0, 0]);
            bytes.extend(port.to_be_bytes());
            bytes.extend(host);
        }
        bytes
    }

    fn read_it(bytes: &[u8]) -> Option<Vec<Host>> {
        let asked = Name::new("_epmd._tcp.app").expect("a name");
        match read(bytes, 7, &asked) {
            Ok(Some(Answer::Hosts(hosts))) => Some(hosts),
            _ => None,
        }
    }

    #[test]
    fn an_answer_is_read() {
        let hosts = read_it(&answer()).expect("hosts");
        let shown: Vec<String> = hosts
            .iter()
            .map(|host| format!("{}:{}", host.host, host.port.unwrap_or(0)))
            .collect();
        assert_eq!(shown, ["web:4369", "sea:4370"]);
        let mut other = answer();
        other[1] = 8;
        assert_eq!(read_it(&other), None);
    }

    proptest::proptest! {
        /// Whatever a server sends: hosts or nothing, and no panic.
        #[test]
        fn any_bytes(bytes: Vec<u8>, at: usize, flip: u8, cut: usize) {
            let _ = read_it(&bytes);
            let mut bytes = answer();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            let _ = read_it(&bytes);
            bytes.truncate(cut % bytes.len());
            let _ = read_it(&bytes);
        }
    }
}
