//! `target … #{port => …, address => …, via => …}`: the way to nodes that epmd and their own host do not lead to.
//!
//! Takes the values, gives ports, [`DialAddress`]es and a [`Via`]; what is wrong goes to the resolver's diagnostics. Nothing
//! is looked up here.

use super::options::{constant, value, wrong};
use super::resolve::Resolver;
use super::target::node_name;
use crate::diag::{Code, Diagnostic};
use crate::name::NodeName;
use crate::node::{DialAddress, Via};
use crate::syntax::ast::{Expr, ExprKind, Options};
use crate::term::Term;

/// Where the nodes of a target are dialled, when that is not the host of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Addresses {
    /// At the host of their names.
    #[default]
    ByName,
    /// All of them there.
    All(DialAddress),
    /// Some of them there.
    Each(Vec<(NodeName, DialAddress)>),
}

impl Addresses {
    /// Where a node is dialled.
    pub fn of(&self, node: &NodeName) -> Option<&DialAddress> {
        match self {
            Self::ByName => None,
            Self::All(address) => Some(address),
            Self::Each(all) => {
                let mut all = all.iter();
                all.find(|(name, _)| name == node).map(|(_, at)| at)
            }
        }
    }

    fn any_port(&self) -> bool {
        match self {
            Self::ByName => false,
            Self::All(address) => address.port.is_some(),
            Self::Each(all) => all.iter().any(|(_, address)| address.port.is_some()),
        }
    }
}

/// What an address is.
const ADDRESS: &str =
    "`\"HOST:PORT\"` or `\"HOST\"`, or a map of them: `#{'shop@web1' => \"127.0.0.1:9100\"}`";

/// What a way through another machine is.
const VIA: &str = "`ssh(\"USER@HOST\")`";

impl Resolver<'_> {
    /// The value of `port` or `epmd_port`.
    pub(super) fn port(&mut self, word: &str, options: &Options) -> Option<u16> {
        let expr = value(options, word)?;
        let term = constant(expr, &self.plan.constants, &mut self.diagnostics)?;
        let port = term.as_i64().and_then(|port| u16::try_from(port).ok());
        let port = port.filter(|port| *port > 0);
        if port.is_none() {
            self.diagnostics
                .push(wrong(word, "a port number", expr, &term));
        }
        port
    }

    /// The value of `address`; `nodes` are those that the target names.
    pub(super) fn address(&mut self, options: &Options, nodes: &[NodeName]) -> Addresses {
        let Some(expr) = value(options, "address") else {
            return Addresses::ByName;
        };
        let Some(term) = constant(expr, &self.plan.constants, &mut self.diagnostics) else {
            return Addresses::ByName;
        };
        let parse = |term: &Term| DialAddress::parse(&term.to_text()?);
        let read = match &term {
            Term::Map(pairs) => {
                let each = |(node, at): (&Term, &Term)| Some((node_name(node)?, parse(at)?));
                let all: Option<Vec<_>> = pairs.iter().map(|(k, v)| each((k, v))).collect();
                all.map(Addresses::Each)
            }
            other => parse(other).map(Addresses::All),
        };
        let Some(read) = read else {
            self.diagnostics
                .push(wrong("address", ADDRESS, expr, &term));
            return Addresses::ByName;
        };
        if let (Addresses::All(DialAddress { port: Some(_), .. }), 2..) = (&read, nodes.len()) {
            let title = format!(
                "one `address` with a port cannot be that of {} nodes",
                nodes.len()
            );
            self.diagnostics.push(
                Diagnostic::new(Code::E205, title)
                    .label(expr.span, "one node listens there")
                    .help(format!(
                        "give each its own: `address => #{{{} => \"HOST:PORT\", …}}`",
                        Term::atom(nodes[0].as_str())
                    )),
            );
        }
        if let (true, Some(port)) = (read.any_port(), value(options, "port")) {
            self.diagnostics.push(
                Diagnostic::new(Code::E205, "`address` has a port already")
                    .label(port.span, "which of both?")
                    .label(expr.span, "has one")
                    .help("delete `port`, or the port in `address`"),
            );
        }
        read
    }

    /// The value of `via`.
    pub(super) fn via(&mut self, expr: &Expr) -> Option<Via> {
        let call = match &expr.kind {
            ExprKind::Call(name, args) if name.value == "ssh" => args.as_slice(),
            _ => &[],
        };
        let [destination] = call else {
            self.diagnostics.push(
                Diagnostic::new(Code::E205, format!("`via` wants {VIA}"))
                    .label(expr.span, "not that")
                    .help(
                        "updo starts the `ssh` of this machine, with its configuration and agent",
                    ),
            );
            return None;
        };
        let term = constant(destination, &self.plan.constants, &mut self.diagnostics)?;
        let via = term.to_text().and_then(|text| Via::ssh(&text));
        if via.is_none() {
            let wants = "a destination of ssh such as `\"deploy@bastion\"`";
            self.diagnostics
                .push(wrong("ssh", wants, destination, &term));
        }
        via
    }
}
