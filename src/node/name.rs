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
use std::net::IpAddr;

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
