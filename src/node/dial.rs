//! From a node's name to a connection: its host, its port, and the first address that answers.
//!
//! Takes a [`Dial`], gives a `Link` or a diagnostic; `updo doctor` takes the same steps one by one. The port is a fixed
//! one, or epmd's answer; the host is that of the node's name, or another address of it; the connection is made here, or by
//! another machine ([`Via`]).

#![expect(
    clippy::disallowed_methods,
    reason = "ERL_EPMD_PORT is what every other Erlang program obeys"
)]

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::cookie::plain;
use super::epmd::{self, Epmd, Registered};
use super::forward::{self, Via};
use super::name::{Address, DialAddress};
use super::stream::{Deadline, Link};
use super::trace;
use crate::diag::{Code, Diagnostic, Result};

/// Where a node is, and how to get there.
#[derive(Clone, Debug)]
pub struct Dial {
    /// The node.
    pub node: Address,
    /// In place of the host of its name.
    pub address: Option<DialAddress>,
    /// Its port.
    pub port: Option<u16>,
    /// epmd's port; by the environment if there is none.
    pub epmd_port: Option<u16>,
    /// The machine that connects for us.
    pub via: Option<Via>,
}

/// What a node can be reached at.
struct Found {
    port: u16,
    addresses: Vec<IpAddr>,
    /// Where the port is from, for the help when nothing answers there.
    by_epmd: bool,
}

impl Dial {
    /// The host to be dialled.
    pub fn host(&self) -> &str {
        match &self.address {
            Some(address) => &address.host,
            None => self.node.host(),
        }
    }

    /// The port of the node, when epmd is not to be asked.
    pub fn fixed_port(&self) -> Option<u16> {
        let address = self.address.as_ref().and_then(|address| address.port);
        address.or(self.port)
    }

    /// The addresses of the host. None when another machine connects: it looks the host up.
    ///
    /// # Errors
    /// E501 when it has none.
    pub fn addresses(&self, timeout: Duration) -> Result<Vec<IpAddr>> {
        match &self.via {
            Some(_) => Ok(Vec::new()),
            None => epmd::addresses(self.host(), Deadline::after(timeout)),
        }
    }

    /// The nodes that epmd knows there.
    ///
    /// # Errors
    /// E501 when it cannot be reached, E511 when the machine in between cannot.
    pub fn registered(&self, timeout: Duration) -> Result<Vec<Registered>> {
        self.epmd()?.names(timeout)
    }

    /// Connects to a port of the node and closes the connection again: where that was. `None` when another machine
    /// connects: whether it does is known with the first answer.
    ///
    /// # Errors
    /// E506 when nothing answers.
    pub fn tried(&self, port: u16, timeout: Duration) -> Result<Option<SocketAddr>> {
        if self.via.is_some() {
            return Ok(None);
        }
        let found = Found {
            port,
            addresses: self.addresses(timeout)?,
            by_epmd: self.fixed_port().is_none(),
        };
        let (_, address) = first(&self.node, &found, Deadline::after(timeout))?;
        Ok(Some(address))
    }

    fn epmd(&self) -> Result<Epmd<'_>> {
        let port = match self.epmd_port {
            Some(port) => port,
            None => epmd::port_from_env(&|name| std::env::var(name).ok())?,
        };
        Ok(Epmd {
            host: self.host(),
            port,
            via: self.via.as_ref(),
        })
    }

    /// A connection to the node.
    pub(crate) fn open(&self, deadline: Deadline) -> Result<Link> {
        let found = self.found(deadline)?;
        let Some(via) = &self.via else {
            return first(&self.node, &found, deadline).map(|(link, _)| link);
        };
        Link::through(via, (self.host(), found.port), deadline).map_err(|error| {
            forward::cause(&error).unwrap_or_else(|| {
                let title = format!("no way through {via}: {}", plain(&error));
                Box::new(Diagnostic::new(Code::E511, title))
            })
        })
    }

    fn found(&self, deadline: Deadline) -> Result<Found> {
        let node = &self.node;
        if let Some(port) = self.fixed_port() {
            return Ok(Found {
                port,
                addresses: match &self.via {
                    Some(_) => Vec::new(),
                    None => epmd::addresses(self.host(), deadline)?,
                },
                by_epmd: false,
            });
        }
        let found = self.epmd()?.lookup(node, deadline);
        let found = found.inspect_err(|diagnostic| {
            trace::tell(|| format!("epmd    {node}: {}", diagnostic.code));
        })?;
        let (port, addresses) = (found.port, found.addresses);
        trace::tell(|| format!("epmd    {node} at {addresses:?}, port {port}"));
        if found.highest < 6 {
            return Err(Box::new(
                Diagnostic::new(Code::E506, format!("{node} is older than OTP 23"))
                    .help("updo needs OTP 23 or newer on the node"),
            ));
        }
        Ok(Found {
            port,
            addresses,
            by_epmd: true,
        })
    }
}

/// A connection to the first address that answers.
fn first(target: &Address, found: &Found, deadline: Deadline) -> Result<(Link, SocketAddr)> {
    let mut last = None;
    for (at, ip) in found.addresses.iter().enumerate() {
        let rest = u32::try_from(found.addresses.len() - at).unwrap_or(u32::MAX);
        let share = deadline.left().map(|left| Deadline::after(left / rest));
        let address = SocketAddr::new(*ip, found.port);
        match share.and_then(|share| Link::connect(address, share)) {
            Ok(stream) => return Ok((stream, address)),
            // The first address is where epmd answered: its error says most.
            Err(error) => last = last.or(Some((address, error))),
        }
    }
    let (address, error) =
        last.unwrap_or_else(|| (([0, 0, 0, 0], 0).into(), ErrorKind::AddrNotAvailable.into()));
    let late = matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock);
    let why = match late {
        true => "no answer in time".to_owned(),
        false => plain(&error),
    };
    let title = format!("{target} cannot be reached at {address}: {why}");
    Err(Box::new(Diagnostic::new(Code::E506, title).help(match found.by_epmd {
        true => "epmd knows the node, but its own port does not answer: look for a firewall, or for `inet_dist_use_interface` on the node",
        false => "the port is a fixed one (`port` or `address` of the target, UPDO_PORT, UPDO_ADDRESS, ERL_DIST_PORT), and epmd was not asked: check that the node runs and listens there (`-erl_epmd_port`, `inet_dist_listen_min`), and that the port is open from here",
    })))
}
