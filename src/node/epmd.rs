//! epmd, the port mapper: which port a node listens on, and which nodes a host has.
//!
//! Takes a host and a name, gives a port or a diagnostic (E501) that names what epmd does know.
//! Follows "Erlang Distribution Protocol, EPMD Protocol": `PORT_PLEASE2_REQ` and `NAMES_REQ`. Replies
//! are bounded; nothing waits past the deadline.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::cookie::plain;
use super::forward::{self, Via};
use super::name::Address;
use super::stream::{Deadline, Link, Stream, resolve};
use crate::diag::{Code, Diagnostic, Result, suggest::suggest};

/// epmd's own port.
pub const DEFAULT_PORT: u16 = 4369;
/// Longest list of names that is read, in bytes.
const MAX_NAMES: usize = 1 << 20;

const NAMES_REQ: u8 = 110;
const PORT_PLEASE2_REQ: u8 = 122;
const PORT2_RESP: u8 = 119;

/// A node as epmd lists it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registered {
    /// The part before the `@`.
    pub name: String,
    /// The port it listens on.
    pub port: u16,
}

/// Where a node listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Listening {
    /// The port.
    pub(crate) port: u16,
    /// To be tried in this order; the first is where epmd answered. None when another machine is asked to connect.
    pub(crate) addresses: Vec<IpAddr>,
    /// Highest version of the distribution protocol that it speaks.
    pub(crate) highest: u16,
}

/// An epmd: where it is, and how to get there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epmd<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) via: Option<&'a Via>,
}

/// epmd's port by the environment: `UPDO_EPMD_PORT`, then `ERL_EPMD_PORT`, then 4369.
///
/// E501 when a variable is set to something that is no port.
pub fn port_from_env(env: &dyn Fn(&str) -> Option<String>) -> Result<u16> {
    for name in ["UPDO_EPMD_PORT", "ERL_EPMD_PORT"] {
        if let Some(text) = env(name).filter(|text| !text.is_empty()) {
            return match text.trim().parse() {
                Ok(port) if port > 0 => Ok(port),
                _ => Err(Box::new(
                    Diagnostic::new(
                        Code::E501,
                        format!("env {name} is `{}`, which is no port", text.escape_debug()),
                    )
                    .help(format!(
                        "unset {name}, or set it to epmd's port (usually {DEFAULT_PORT})"
                    )),
                )),
            };
        }
    }
    Ok(DEFAULT_PORT)
}

/// The nodes that the epmd of a host knows, sorted by name.
///
/// E501 when epmd cannot be reached or talks nonsense.
pub fn names(host: &str, port: u16, timeout: Duration) -> Result<Vec<Registered>> {
    let via = None;
    Epmd { host, port, via }.names(timeout)
}

impl Epmd<'_> {
    /// The nodes that it knows, sorted by name.
    pub(crate) fn names(self, timeout: Duration) -> Result<Vec<Registered>> {
        let deadline = Deadline::after(timeout);
        let (mut link, ..) = self.reach(deadline)?;
        ask_names(&mut link, deadline).map_err(|error| self.nonsense(&error))
    }

    /// Asks where a node listens.
    pub(crate) fn lookup(self, node: &Address, deadline: Deadline) -> Result<Listening> {
        let (mut link, at, all) = self.reach(deadline)?;
        match ask_port(&mut link, node.name(), deadline) {
            Ok(Some((port, highest))) => {
                let others = all.into_iter().filter(|ip| Some(*ip) != at);
                Ok(Listening {
                    port,
                    addresses: at.into_iter().chain(others).collect(),
                    highest,
                })
            }
            Ok(None) => Err(self.unknown(node, deadline)),
            Err(error) => Err(self.nonsense(&error)),
        }
    }

    /// A connection to the first of a host's addresses where something answers.
    fn reach(self, deadline: Deadline) -> Result<(Link, Option<IpAddr>, Vec<IpAddr>)> {
        let (host, port) = (self.host, self.port);
        if let Some(via) = self.via {
            let link = Link::through(via, (host, port), deadline);
            let link = link.map_err(|error| self.nonsense(&error))?;
            return Ok((link, None, Vec::new()));
        }
        let all = addresses(host, deadline)?;
        let mut last = None;
        for (at, ip) in all.iter().enumerate() {
            let share = deadline
                .left()
                .map(|left| Deadline::after(left / (all.len() - at).max(1) as u32));
            match share.and_then(|share| Link::connect(SocketAddr::new(*ip, port), share)) {
                Ok(link) => return Ok((link, Some(*ip), all)),
                Err(error) => last = Some(error),
            }
        }
        let why = last.map_or_else(|| "no address".to_owned(), |error| reason(&error));
        Err(Box::new(
            Diagnostic::new(Code::E501, format!("epmd cannot be reached at {host}, port {port}: {why}"))
                .note("epmd maps node names to ports; it is started with the first node of a host")
                .note("a node that was started without epmd (`-start_epmd false`) has a fixed port: `port => PORT` on the plan's target, or UPDO_PORT")
                .help(format!("check that a node runs there (`epmd -names` on that host), that port {port} is open from here, and UPDO_EPMD_PORT if epmd has another port")),
        ))
    }

    fn nonsense(self, error: &io::Error) -> Box<Diagnostic> {
        if let Some(why) = forward::cause(error) {
            return why;
        }
        Box::new(
            Diagnostic::new(
                Code::E501,
                format!(
                    "what listens at {}, port {} does not answer as epmd: {}",
                    self.host,
                    self.port,
                    reason(error)
                ),
            )
            .help("check UPDO_EPMD_PORT and ERL_EPMD_PORT: another program may have that port"),
        )
    }

    fn unknown(self, node: &Address, deadline: Deadline) -> Box<Diagnostic> {
        // A second connection: epmd closes each after its answer. Without the list the error is still good.
        let listed = self
            .reach(deadline)
            .and_then(|(mut link, ..)| {
                ask_names(&mut link, deadline).map_err(|error| self.nonsense(&error))
            })
            .unwrap_or_default();
        let host = node.host();
        let mut text = Diagnostic::new(
            Code::E501,
            format!(
                "no node `{}` is registered with epmd at {}",
                node.name(),
                self.host
            ),
        );
        if node.is_dynamic() {
            text = text.note("the name looks like one that a node was given by the node it connected to (`erl -sname undefined`): such a node listens on no port and is in no epmd, so that nothing can connect to it")
                .help("start the node with a name of its own: `-sname NAME` or `-name NAME@HOST`");
        }
        if listed.is_empty() {
            let text = text.note("no node is registered");
            return Box::new(match &text.help {
                Some(_) => text,
                None => text.help("start the node with -sname or -name; one with `-dist_listen false` or `-sname undefined` cannot be connected to"),
            });
        }
        let names: Vec<&str> = listed.iter().map(|entry| entry.name.as_str()).collect();
        let shown = names
            .iter()
            .take(20)
            .copied()
            .collect::<Vec<_>>()
            .join(", ");
        let more = names.len().saturating_sub(20);
        let text = text.note(if more > 0 {
            format!("registered: {shown} and {more} more")
        } else {
            format!("registered: {shown}")
        });
        Box::new(match suggest(node.name(), names.iter().copied()) {
            Some(close) => text.help(format!("did you mean {close}@{host}?")),
            None => text,
        })
    }
}

/// The addresses of a host; E501 when it has none.
pub(crate) fn addresses(host: &str, deadline: Deadline) -> Result<Vec<IpAddr>> {
    resolve(host, deadline).map_err(|error| {
        let title = format!("the host `{host}` cannot be found: {}", reason(&error));
        Box::new(
            Diagnostic::new(Code::E501, title)
                .note("where the host has another name or address from here: `address => \"HOST\"` on the plan's target, or UPDO_ADDRESS")
                .help("use the host part exactly as `node().` prints it on the node, and make this machine resolve it"),
        )
    })
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "no answer in time".to_owned(),
        ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
        _ => plain(error),
    }
}

fn ask_port(
    stream: &mut dyn Stream,
    name: &str,
    deadline: Deadline,
) -> io::Result<Option<(u16, u16)>> {
    let length = u16::try_from(name.len() + 1).map_err(|_| ErrorKind::InvalidInput)?;
    let mut request = length.to_be_bytes().to_vec();
    request.push(PORT_PLEASE2_REQ);
    request.extend_from_slice(name.as_bytes());
    stream.write_all(&request, deadline)?;
    let mut head = [0; 2];
    stream.read_exact(&mut head, deadline)?;
    if head[0] != PORT2_RESP {
        return Err(io::Error::other("not a PORT2_RESP"));
    }
    if head[1] != 0 {
        return Ok(None);
    }
    // Port, node type, protocol, highest and lowest version; the name and extra that follow add nothing.
    let mut body = [0; 8];
    stream.read_exact(&mut body, deadline)?;
    match (
        u16::from_be_bytes([body[0], body[1]]),
        u16::from_be_bytes([body[4], body[5]]),
    ) {
        (0, _) => Err(io::Error::other("it says that the node listens on port 0")),
        found => Ok(Some(found)),
    }
}

fn ask_names(stream: &mut dyn Stream, deadline: Deadline) -> io::Result<Vec<Registered>> {
    stream.write_all(&[0, 1, NAMES_REQ], deadline)?;
    stream.read_exact(&mut [0; 4], deadline)?;
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match stream.read_some(&mut chunk, deadline)? {
            0 => break,
            n => text.extend_from_slice(chunk.get(..n).unwrap_or_default()),
        }
        if text.len() > MAX_NAMES {
            return Err(io::Error::other("the list of names does not end"));
        }
    }
    let mut found: Vec<Registered> = String::from_utf8_lossy(&text)
        .lines()
        .filter_map(parse_line)
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// `name shop at port 40001`
fn parse_line(line: &str) -> Option<Registered> {
    let (name, port) = line.strip_prefix("name ")?.rsplit_once(" at port ")?;
    if name.is_empty() || name.chars().any(char::is_control) {
        return None;
    }
    Some(Registered {
        name: name.to_owned(),
        port: port.trim().parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_by_environment() {
        assert_eq!(port_from_env(&|_| None).expect("default"), 4369);
        let erl = |name: &str| (name == "ERL_EPMD_PORT").then(|| "14369".to_owned());
        assert_eq!(port_from_env(&erl).expect("erl"), 14369);
        let both = |name: &str| Some(if name == "UPDO_EPMD_PORT" { "1" } else { "2" }.to_owned());
        assert_eq!(port_from_env(&both).expect("ours first"), 1);
        for bad in ["0", "70000", "x", "-1"] {
            assert_eq!(
                port_from_env(&|_| Some(bad.to_owned()))
                    .expect_err(bad)
                    .code,
                Code::E501
            );
        }
    }

    #[test]
    fn lines_of_the_list() {
        let entry = parse_line("name shop at port 40001").expect("line");
        assert_eq!((entry.name.as_str(), entry.port), ("shop", 40001));
        for bad in [
            "",
            "name  at port 1",
            "name x at port 99999",
            "x at port 1",
            "name \u{1b}[2J at port 1",
        ] {
            assert_eq!(parse_line(bad), None, "{bad:?}");
        }
    }
}
