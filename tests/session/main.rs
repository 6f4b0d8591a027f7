//! Sessions on real nodes, and on servers that only pretend to be some.

#[path = "../support/mod.rs"]
mod support;

mod calls;
mod connect;
mod hostile;
mod loss;
mod mail;
mod tls;
mod tls_hostile;
