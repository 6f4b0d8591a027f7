//! Every way to a node, and how each of them fails: ports without epmd, addresses that are not the node's name, IPv6, `ssh`,
//! seeds in the DNS and in files, options of TLS from the node's own file, names that nodes are given.
//!
//! Nodes and sshd are real ones on this machine; updo is the binary, on a desk of its own.

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod dns_server;
mod doctor;
mod inside;
mod ports;
mod proxy;
mod seeds;
mod sshd;
mod through_ssh;
mod tls_optfile;
