//! The way to the nodes: over TLS or not, and which they are when a seed knows them.
//!
//! Takes settings and a target, gives what [`Engine::connect`] needs; asks a seed for its cluster. A node is asked with one
//! call of `erlang:nodes/0`: hidden nodes (consoles, other runs) are never among them. For names of the DNS and files:
//! [`seeds`](super::seeds). Of a node that is found only its address is kept between two questions: one that was there a
//! minute ago may have gone.

use std::time::Duration;

use super::environment::{hostname, variable};
use super::{Engine, Settings, dist_optfile};
use crate::diag::{Code, Diagnostic, Result};
use crate::name::NodeName;
use crate::node::Tls;
use crate::node::tls::{ExpectedName, TlsOptions};
use crate::plan::{Seed, SeedFrom, Target};
use crate::term::Term;

/// How long a seed may take for its answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How many nodes are named that did not match.
const SHOWN: usize = 20;

/// TLS for a node, when the plan or the environment wants it. What the environment gives counts more, file by file; where
/// the plan knows no TLS at all, an authority in the environment switches it on.
///
/// # Errors
/// E509 when a file cannot be used, or when the environment has a certificate of our own and no trusted CA.
pub fn tls(settings: &Settings, plan: Option<&TlsOptions>) -> Result<Option<Tls>> {
    let given = &settings.tls;
    let both = match plan {
        None if *given == TlsOptions::default() => return Ok(None),
        None if given.ca.is_none() && given.optfile.is_none() => {
            return Err(Box::new(
                Diagnostic::new(
                    Code::E509,
                    "the environment has settings for TLS and no trusted CA",
                )
                .help("export UPDO_TLS_CA: the file of the authority that signed the nodes' certificates; or unset UPDO_TLS_CERT, UPDO_TLS_KEY and UPDO_TLS_SERVER_NAME"),
            ));
        }
        None => given.clone(),
        Some(plan) => merged(given, plan),
    };
    let both = match &both.optfile {
        Some(file) => dist_optfile::completed(&both, file)?,
        None => both,
    };
    Tls::load(&both, &variable).map(Some)
}

/// The node that the start script of a mix release goes by: `RELEASE_NODE`. A name without a host is on this one, unless
/// `RELEASE_DISTRIBUTION` wants long names: then only the node's own resolver knows it.
pub fn release_node() -> Option<NodeName> {
    let env = |name: &str| variable(name).filter(|value| !value.is_empty());
    let node = env("RELEASE_NODE")?;
    if node.contains('@') {
        return Some(NodeName::new(node));
    }
    if env("RELEASE_DISTRIBUTION").is_some_and(|kind| kind != "sname") {
        return None;
    }
    let host = hostname()?;
    let short = host.split('.').next()?;
    (!short.is_empty()).then(|| NodeName::new(format!("{node}@{short}")))
}

fn merged(given: &TlsOptions, plan: &TlsOptions) -> TlsOptions {
    // A key goes with its certificate.
    let (cert, key) = match (&given.cert, &given.key) {
        (Some(cert), key) => (Some(cert.clone()), key.clone()),
        (None, Some(key)) => (plan.cert.clone(), Some(key.clone())),
        (None, None) => (plan.cert.clone(), plan.key.clone()),
    };
    TlsOptions {
        ca: given.ca.clone().or_else(|| plan.ca.clone()),
        cert,
        key,
        name: match given.name {
            ExpectedName::Host => plan.name.clone(),
            _ => given.name.clone(),
        },
        optfile: given.optfile.clone().or_else(|| plan.optfile.clone()),
    }
}

impl Engine {
    /// The nodes of a target, asked from its seed if it has one.
    pub(super) fn nodes_of(&self, target: &Target) -> Result<Vec<NodeName>> {
        let nodes = match &target.seed {
            Some(seed) => self.found(target, seed)?,
            None => super::each_once(target.nodes.iter().cloned()),
        };
        if nodes.is_empty() {
            let title = format!("the target `{}` has no nodes", target.name);
            return Err(Box::new(
                Diagnostic::new(Code::E211, title)
                    .label(target.span, "names none")
                    .help("add `nodes => ['shop@host']`, or pass `-t shop@host`"),
            ));
        }
        Ok(nodes)
    }

    /// Those that match, of the nodes that a seed knows; in the order of their names.
    fn found(&self, target: &Target, seed: &Seed) -> Result<Vec<NodeName>> {
        let mut known = match &seed.from {
            SeedFrom::Node(node) => self.connected_to(node)?,
            SeedFrom::Dns(_) | SeedFrom::File(_) => self.located(target, seed)?,
        };
        known.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        known.dedup();
        let matching = |node: &&NodeName| seed.pattern.matches(node.as_str());
        let found: Vec<NodeName> = known.iter().filter(matching).cloned().collect();
        if found.is_empty() {
            let names: Vec<&str> = known.iter().map(NodeName::as_str).collect();
            let more = names.len().saturating_sub(SHOWN);
            let mut list = names[..names.len() - more].join(", ");
            if more > 0 {
                list.push_str(&format!(" and {more} more"));
            }
            let pattern = &seed.pattern;
            if list.is_empty() {
                list = format!("none of a name like {pattern}");
            }
            let (title, what) = match &seed.from {
                SeedFrom::Node(node) => (
                    format!("neither {node} nor a node connected to it matches {pattern}"),
                    "connected to it",
                ),
                SeedFrom::Dns(name) => (
                    format!("no node on the hosts of {name} matches {pattern}"),
                    "nodes there",
                ),
                SeedFrom::File(path) => (
                    format!("no node in {} matches {pattern}", path.display()),
                    "nodes in it",
                ),
            };
            return Err(Box::new(
                Diagnostic::new(Code::E217, title)
                    .note(format!("{what}: {list}"))
                    .help("correct `match`: a pattern of whole node names, `\"shop*@*\"`"),
            ));
        }
        Ok(found)
    }

    /// A node and those that it is connected with.
    fn connected_to(&self, node: &NodeName) -> Result<Vec<NodeName>> {
        let connection = self.connect(node)?;
        let answer = connection.session.call("erlang", "nodes", vec![], TIMEOUT);
        let answer = answer.map_err(|error| error.diagnostic("erlang:nodes/0"))?;
        let others = answer.as_list().unwrap_or_default().iter();
        Ok(others
            .filter_map(Term::as_atom)
            .map(|name| NodeName::new(name.as_str()))
            .chain([node.clone()])
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::tls::Pem;

    fn file(name: &str) -> Option<Pem> {
        Some(Pem::File(name.into()))
    }

    #[test]
    fn the_environment_counts_more_and_a_key_goes_with_its_certificate() {
        let plan = TlsOptions {
            ca: file("ca"),
            cert: file("cert"),
            key: file("key"),
            name: ExpectedName::Other("shop".to_owned()),
            optfile: None,
        };
        assert_eq!(merged(&TlsOptions::default(), &plan), plan);
        let cert = TlsOptions {
            cert: file("mine"),
            ..TlsOptions::default()
        };
        let both = merged(&cert, &plan);
        assert_eq!(
            (both.ca, both.cert, both.key),
            (file("ca"), file("mine"), None)
        );
        let key = TlsOptions {
            key: file("mine"),
            name: ExpectedName::Any,
            ..TlsOptions::default()
        };
        let both = merged(&key, &plan);
        assert_eq!((both.cert, both.key), (file("cert"), file("mine")));
        assert_eq!(both.name, ExpectedName::Any);
    }

    #[test]
    fn a_certificate_alone_is_refused() {
        let mut settings = Settings::default();
        assert!(tls(&settings, None).expect("no TLS").is_none());
        settings.tls.cert = file("cert");
        let diagnostic = tls(&settings, None).expect_err("no trusted CA");
        assert_eq!(diagnostic.code, Code::E509);
        assert!(
            diagnostic
                .help
                .is_some_and(|help| help.contains("UPDO_TLS_CA"))
        );
    }
}
