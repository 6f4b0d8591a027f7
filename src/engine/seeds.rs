//! Nodes of a seed that is no node: a name of the DNS, or a file.
//!
//! The DNS knows hosts, not nodes. On each of them epmd is asked for the nodes there, or the fixed port is taken; then each is
//! asked for its name with the first half of a handshake, which needs no cookie and says whether it is hidden (consoles are
//! left out, as a node that is a seed leaves them out). So it does not matter whether nodes are
//! named after the address, the host or something else, and a node behind two addresses is one. Where it was found is where
//! it is connected to later. A host that does not answer ends the search (E512): a target that silently has fewer nodes
//! than it should would leave some of them old. One exception: addresses of the other kind, where every host of IPv4 (or of
//! IPv6) has answered; a host of both often listens on one only.
//!
//! A file has a node name a line, then its address where that is not the host of the name; a word that begins with `#` or `%` begins a comment.

#![expect(clippy::disallowed_methods, reason = "a list of nodes is a file")]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

use super::environment::variable;
use super::way::{self, Way};
use super::{Engine, Settings, discovery};
use crate::diag::{Code, Diagnostic, Result};
use crate::name::NodeName;
use crate::node::dns::{self, Host};
use crate::node::session::name_at;
use crate::node::{Address, Dial, DialAddress, Tls};
use crate::parallel::in_parallel;
use crate::plan::{Seed, SeedFrom, Target};
use crate::regular_file;

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// So many hosts are asked at a time.
const AT_A_TIME: usize = 16;

/// Largest file of nodes, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// So many hosts that do not answer are named.
const NAMED: usize = 5;

/// Nodes, with where they were found when that is not the host of their names.
type Nodes = Vec<(NodeName, Option<Place>)>;

/// Where a node was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// Its host there, and its own port when that is known.
    address: DialAddress,
    /// The port of epmd there, when the DNS says it.
    epmd_port: Option<u16>,
    /// `dns NAME`, or the file.
    by: String,
}

impl Place {
    /// Makes a way lead there, where settings and plan say nothing else.
    pub(super) fn apply(self, way: &mut Way) {
        if way.address.is_some() {
            return;
        }
        if let (Some(port), None) = (self.address.port, &way.port) {
            way.port = Some((port, self.by.clone()));
        }
        if let (Some(port), "default") = (self.epmd_port, way.epmd_port.1.as_str()) {
            way.epmd_port = (port, self.by.clone());
        }
        way.address = Some((self.address, self.by));
    }
}

impl Engine {
    /// The nodes that a name of the DNS or a file leads to, matching or not; where they are is kept.
    pub(super) fn located(&self, target: &Target, seed: &Seed) -> Result<Vec<NodeName>> {
        let found = match &seed.from {
            SeedFrom::Node(_) => Vec::new(),
            SeedFrom::Dns(name) => self.behind(target, name, seed)?,
            SeedFrom::File(path) => in_file(path)?,
        };
        let mut places = BTreeMap::new();
        let mut names = Vec::new();
        for (name, place) in found {
            if let Some(place) = place {
                // The first of several addresses: the order is the same each time.
                places.entry(name.clone()).or_insert(place);
            }
            names.push(name);
        }
        let mut located = self.located.lock().unwrap_or_else(PoisonError::into_inner);
        located.extend(places);
        Ok(names)
    }

    /// Forgets where a node was found: it could not be reached there, and may have come back elsewhere.
    pub(super) fn forget_place(&self, node: &NodeName) {
        let mut located = self.located.lock().unwrap_or_else(PoisonError::into_inner);
        located.remove(node);
    }

    /// Where a node was found that a seed knows. One that was named by hand is looked for; when that fails, its name says
    /// where it is.
    pub(super) fn place(&self, target: &Target, node: &NodeName) -> Option<Place> {
        let known = |engine: &Self| {
            let located = engine
                .located
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            located.get(node).cloned()
        };
        let seed = target.seed.as_ref().filter(|_| target.has(node))?;
        match &seed.from {
            SeedFrom::Node(_) => None,
            _ => known(self).or_else(|| {
                self.located(target, seed).ok()?;
                known(self)
            }),
        }
    }

    /// The nodes on the hosts behind a name.
    fn behind(&self, target: &Target, name: &str, seed: &Seed) -> Result<Nodes> {
        let hosts = dns::hosts(name, server()?, self.patience())?;
        let tls = discovery::tls(&self.settings, target.tls.as_ref())?;
        let ask = |(): &mut (), host: &Host| self.on_host(target, seed, (name, host), tls.as_ref());
        let answers = in_parallel(&hosts, AT_A_TIME, || (), ask);
        let answers: Vec<(Host, Result<Nodes>)> = hosts.into_iter().zip(answers).collect();
        let family = |host: &Host| host.host.parse::<IpAddr>().ok().map(|ip| ip.is_ipv4());
        let good: Vec<_> = answers
            .iter()
            .filter(|(_, answer)| answer.as_ref().is_ok_and(|nodes| !nodes.is_empty()))
            .map(|(host, _)| family(host))
            .collect();
        let silent: Vec<_> = answers
            .iter()
            .filter_map(|(host, answer)| Some((host, answer.as_ref().err()?)))
            .collect();
        let is_other = |host: &Host| {
            let kind = family(host);
            kind.is_some() && !good.is_empty() && good.iter().all(|of| of.is_some() && *of != kind)
        };
        if silent.iter().any(|(host, _)| !is_other(host)) {
            let title = format!(
                "{} of {} hosts of {name} cannot be asked for their nodes",
                silent.len(),
                answers.len()
            );
            let shown = silent.iter().take(NAMED);
            let text = shown.fold(Diagnostic::new(Code::E512, title), |text, (host, why)| {
                text.note(format!("{}: {}: {}", host.host, why.code, why.title))
            });
            let first = silent.first().and_then(|(_, why)| why.help.clone());
            return Err(Box::new(match first {
                Some(help) => text.help(help),
                None => text,
            }));
        }
        let nodes = answers.into_iter().filter_map(|(_, answer)| answer.ok());
        Ok(nodes.flatten().collect())
    }

    fn patience(&self) -> Duration {
        match self.settings.connect_timeout {
            Duration::ZERO => TIMEOUT,
            given => given.min(TIMEOUT),
        }
    }

    /// The nodes on one host, each with the name that it gives itself.
    fn on_host(
        &self,
        target: &Target,
        seed: &Seed,
        (name, host): (&str, &Host),
        tls: Option<&Tls>,
    ) -> Result<Nodes> {
        let by = format!("dns {name}");
        // What every node there has in common.
        let asker = NodeName::new(format!("updo@{}", host.host));
        // The DNS says where: an `address` of the plan or the environment is one of a single node, and so is its port.
        let settings = Settings {
            address: None,
            ..self.settings.clone()
        };
        let target = Target {
            addresses: Default::default(),
            ..target.clone()
        };
        let mut way = way::way(&settings, Some(&target), &asker)?;
        let is_epmd = dns::is_epmd(name);
        let service = host.port.filter(|_| !is_epmd);
        let place = |port: Option<u16>| Place {
            address: DialAddress {
                host: host.host.clone(),
                port,
            },
            epmd_port: host.port.filter(|_| is_epmd),
            by: by.clone(),
        };
        let fixed = match &way.port {
            Some((port, _)) => Some(*port),
            None => service,
        };
        place(fixed).apply(&mut way);
        let address = Address::parse(&asker)?;
        let dial = way.dial(address);
        let patience = self.patience();
        let own = settings
            .local_name
            .as_deref()
            .or(target.local_name.as_deref());
        let name_at = |dial: &Dial| match name_at(dial, tls, None, patience) {
            // Only some names are permitted, perhaps. Ours is not the first: two questions by one name would be in each
            // other's way at a node with two addresses.
            Err(why) if why.code == Code::E506 && own.is_some() => {
                name_at(dial, tls, own, patience)
            }
            answer => answer,
        };
        if let Some(port) = fixed {
            let (node, _) = name_at(&dial)?;
            return Ok(vec![(
                NodeName::new(node.to_string()),
                Some(place(Some(port))),
            )]);
        }
        // What epmd knows there and the pattern cannot mean is not asked: consoles, other applications.
        let short = seed.pattern.as_str().split('@').next().unwrap_or("*");
        let short = glob::Pattern::new(short).unwrap_or_default();
        let mut found = Vec::new();
        for registered in dial.registered(patience)? {
            if !short.matches(&registered.name) {
                continue;
            }
            let mut dial = dial.clone();
            dial.port = Some(registered.port);
            let (node, is_hidden) = name_at(&dial)?;
            if is_hidden {
                continue;
            }
            // epmd is asked again when it is connected to: a node that was restarted has another port.
            found.push((NodeName::new(node.to_string()), Some(place(None))));
        }
        Ok(found)
    }
}

/// The server that is asked for services: UPDO_DNS.
fn server() -> Result<Option<SocketAddr>> {
    let Some(text) = variable("UPDO_DNS").filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let with = |ip: IpAddr| SocketAddr::new(ip, 53);
    let server = text.parse().or_else(|_| text.parse().map(with));
    server.map(Some).map_err(|_| {
        let title = format!("env UPDO_DNS is `{}`, which is no server", text.escape_debug());
        Box::new(
            Diagnostic::new(Code::E512, title)
                .help("unset UPDO_DNS, or set it to the address of a server of the DNS: IP, IP:PORT or [IP]:PORT"),
        )
    })
}

/// The nodes of a file.
fn in_file(path: &Path) -> Result<Nodes> {
    let shown = path.display();
    let failed = |why: &str| {
        let title = format!("the nodes in {shown} cannot be read: {why}");
        Box::new(
            Diagnostic::new(Code::E512, title)
                .help("a node name a line, then, where that is not the host of its name, its address: `shop@web1 127.0.0.1:9100`; the path is relative to the plan"),
        )
    };
    let plain = |error: std::io::Error| {
        let text = error.to_string();
        failed(text.split(" (os error").next().unwrap_or_default())
    };
    let text = regular_file::read_text(path, MAX_FILE).map_err(plain)?;
    let mut nodes = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let is_comment = |word: &&str| word.starts_with(['#', '%']);
        let mut words = line.split_whitespace().take_while(|word| !is_comment(word));
        let Some(name) = words.next() else {
            continue;
        };
        let line = |why: &str| failed(&format!("line {}: {why}", number + 1));
        let name = NodeName::new(name.trim_matches('\''));
        Address::parse(&name).map_err(|why| line(&why.title))?;
        let place = match words.next() {
            None => None,
            Some(address) => Some(Place {
                address: DialAddress::parse(address)
                    .ok_or_else(|| line("the second word is no address"))?,
                epmd_port: None,
                by: format!("file {shown}"),
            }),
        };
        if words.next().is_some() {
            return Err(line("there are more than two words"));
        }
        nodes.push((name, place));
    }
    match nodes.is_empty() {
        true => Err(failed("it names none")),
        false => Ok(nodes),
    }
}
