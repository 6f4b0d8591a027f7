//! Sessions on real nodes, and on servers that only pretend to be some.

mod support;

#[path = "session/calls.rs"]
mod calls;
#[path = "session/connect.rs"]
mod connect;
#[path = "session/hostile.rs"]
mod hostile;
#[path = "session/loss.rs"]
mod loss;
#[path = "session/mail.rs"]
mod mail;
#[path = "session/tls.rs"]
mod tls;
#[path = "session/tls_hostile.rs"]
mod tls_hostile;
