//! Node names: taking `name@host` apart, and the name we give ourselves.
//!
//! Takes a [`NodeName`], gives an [`Address`] or a diagnostic. Short and long names are distinguished as
//! Erlang does: a host with a dot (or an IPv6 address) is long. Never asks the network for a name:
//! a slow resolver must not be between a user and an error message.

#![expect(
    clippy::disallowed_methods,
    reason = "the name of a connection has the machine's name in it"
)]

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::diag::{Code, Diagnostic, Result};
use crate::name::NodeName;

/// Longest node name: an atom's 255 characters.
const MAX_NAME: usize = 255;

/// A node name in its two parts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    name: String,
    host: String,
}

impl Address {
    /// Takes a node name apart.
    ///
    /// E501 when it is not `name@host`: an empty part, a second `@`, blanks or control characters,
    /// more than 255 characters.
    pub fn parse(node: &NodeName) -> Result<Self> {
        let text = node.as_str();
        let bad = |why: &str| {
            let shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
            Err(Box::new(
                Diagnostic::new(Code::E501, format!("`{shown}` is not a node name: {why}"))
                    .help("write it as name@host, the way `node().` prints it on the node"),
            ))
        };
        let Some((name, host)) = text.split_once('@') else {
            return bad("the host is missing");
        };
        if name.is_empty() || host.is_empty() {
            return bad("there must be something on both sides of the @");
        }
        if host.contains('@') {
            return bad("it has more than one @");
        }
        if text.chars().count() > MAX_NAME {
            return bad("it is longer than 255 characters");
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return bad("it contains blanks or control characters");
        }
        Ok(Self {
            name: name.to_owned(),
            host: host.to_owned(),
        })
    }

    /// The part before the `@`, as epmd knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The part after the `@`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether this is a long name (`-name`), not a short one (`-sname`).
    pub fn is_long(&self) -> bool {
        self.host.contains(['.', ':'])
    }

    /// Whether the name looks like one that a node without a name of its own was given (`erl -sname undefined`): what
    /// `erts_internal` makes of two random numbers in base 36, in upper case.
    pub fn is_dynamic(&self) -> bool {
        (9..=16).contains(&self.name.len())
            && self.name.contains(|c: char| c.is_ascii_digit())
            && self
                .name
                .chars()
                .all(|c| c.is_ascii_digit() || c.is_ascii_uppercase())
    }

    /// Whether the host is this machine by its very spelling.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.host)
    }
}

/// Where a node is dialled, when that is not the host of its name: a host, and the node's port when it is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DialAddress {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port of the node itself; without it epmd is asked at that host.
    pub port: Option<u16>,
}

impl DialAddress {
    /// Takes `HOST`, `HOST:PORT`, `::1` or `[::1]:PORT` apart; `None` when it is none of these.
    pub fn parse(text: &str) -> Option<Self> {
        let port = |text: &str| text.parse().ok().filter(|port| *port > 0);
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, behind) = rest.split_once(']')?;
                host.parse::<Ipv6Addr>().ok()?;
                match behind {
                    "" => (host, None),
                    _ => (host, Some(port(behind.strip_prefix(':')?)?)),
                }
            }
            None if text.parse::<Ipv6Addr>().is_ok() => (text, None),
            None => match text.split_once(':') {
                Some((host, behind)) => (host, Some(port(behind)?)),
                None => (text, None),
            },
        };
        let bad = |c: char| c.is_whitespace() || c.is_control() || "@/[]".contains(c);
        let fits = !host.is_empty() && host.len() <= MAX_NAME && !host.contains(bad);
        fits.then(|| Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for DialAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.port, self.host.contains(':')) {
            (None, _) => f.write_str(&self.host),
            (Some(port), false) => write!(f, "{}:{port}", self.host),
            (Some(port), true) => write!(f, "[{}]:{port}", self.host),
        }
    }
}

/// The name to go by when the user gives none: `updo-<pid>-<random>@host`, short or long as the target's.
///
/// `local_ip` is our end of the connection: it makes a good long name on a machine that has none of
/// its own. Random, because a node refuses a name that it still holds a connection of.
pub fn default_local(target: &Address, local_ip: IpAddr, random: u32) -> String {
    let host = if target.is_loopback() {
        target.host.clone()
    } else {
        let own = hostname();
        match (target.is_long(), own.contains('.')) {
            (true, true) => own,
            (true, false) => local_ip.to_string(),
            (false, _) => own.split('.').next().unwrap_or("localhost").to_owned(),
        }
    };
    format!("updo-{}-{random:08x}@{host}", std::process::id())
}

/// This machine's name, `localhost` if the system does not know it.
pub(crate) fn hostname() -> String {
    ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .chain(std::env::var("HOSTNAME").ok())
        .map(|text| text.trim().to_owned())
        .find(|text| !text.is_empty() && !text.contains(|c: char| c == '@' || c.is_whitespace()))
        .unwrap_or_else(|| "localhost".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Address> {
        Address::parse(&NodeName::new(text))
    }

    #[test]
    fn short_long_and_ipv6() {
        let short = parse("shop@web1").expect("short");
        assert_eq!(
            (short.name(), short.host(), short.is_long()),
            ("shop", "web1", false)
        );
        assert!(parse("shop@web1.example.com").expect("long").is_long());
        let six = parse("shop@::1").expect("ipv6");
        assert!(six.is_long() && six.is_loopback());
        assert!(!parse("shop@10.0.0.1").expect("ip").is_loopback());
        assert_eq!(six.to_string(), "shop@::1");
    }

    #[test]
    fn refuses_what_is_no_name() {
        let long = "x".repeat(300) + "@h";
        for text in [
            "", "shop", "@host", "shop@", "a@b@c", "a b@c", "a@b\n", &long,
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.code, Code::E501, "{text:?}");
            assert!(!error.title.contains('\n'));
        }
    }

    #[test]
    fn addresses_to_dial() {
        for (text, host, port) in [
            ("127.0.0.1:9100", "127.0.0.1", Some(9100)),
            ("web1", "web1", None),
            ("web1.example.com:9100", "web1.example.com", Some(9100)),
            ("::1", "::1", None),
            ("[fdaa::3]:9100", "fdaa::3", Some(9100)),
            ("[::1]", "::1", None),
        ] {
            let read = DialAddress::parse(text).expect(text);
            assert_eq!((read.host.as_str(), read.port), (host, port), "{text}");
            let shown = DialAddress::parse(&read.to_string());
            assert_eq!(shown, Some(read), "{text}");
        }
        for text in [
            "",
            ":1",
            "a:0",
            "a:65536",
            "a:",
            "a:b",
            "[::1",
            "[x]:1",
            "a b",
            "shop@web1",
            "a:1:2",
            "[::1]x",
        ] {
            assert_eq!(DialAddress::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn names_that_nodes_are_given() {
        for (name, given) in [
            ("2G2YLP0JLOYP2@h", true),
            ("3KKYBF9KDPRT@h", true),
            ("shop@h", false),
            ("SHOP@h", false),
            ("SHOPFRONTDESK@h", false),
        ] {
            assert_eq!(parse(name).expect(name).is_dynamic(), given, "{name}");
        }
    }

    #[test]
    fn own_name_follows_the_style_of_the_target() {
        let ip: IpAddr = "192.0.2.7".parse().expect("ip");
        for target in [
            "x@web1",
            "x@web1.example.com",
            "x@127.0.0.1",
            "x@localhost",
            "x@::1",
        ] {
            let target = parse(target).expect("target");
            let own = parse(&default_local(&target, ip, 7)).expect("own name");
            assert_eq!(own.is_long(), target.is_long(), "{own}");
            assert!(own.name().starts_with("updo-") && own.name().ends_with("-00000007"));
        }
    }
}
