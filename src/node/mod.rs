//! The connection to a live node: epmd, handshake, frames, calls. The only stage that opens a socket.
//!
//! Takes a node's name and a cookie, gives a [`Session`]: calls with answers, mailboxes with messages
//! and monitors. Blocking, on threads, without Erlang on this side. To the node it is a hidden node
//! (`nodes(hidden)`), and nothing is registered anywhere. It must never panic or hang on what a peer
//! sends, never allocate by a peer's word alone, and never show a cookie.

// What is read here others have written: nothing is cut at a place that was computed.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::string_slice))]

pub mod agent;
pub mod compiled;
mod control;
pub mod cookie;
pub mod dial;
pub mod dns;
pub mod epmd;
mod evaluate;
mod flags;
pub mod forward;
mod handshake;
mod heartbeat;
mod ids;
mod io;
pub mod mailbox;
pub mod name;
mod reader;
pub mod rpc;
mod secret_file;
pub mod session;
mod state;
mod stream;
pub mod tls;
pub mod trace;
#[doc(hidden)]
pub mod untrusted;
mod wire;

pub use cookie::Cookie;
pub use dial::Dial;
pub use evaluate::evaluate;
pub(crate) use evaluate::{Parsed, evaluate_forms, evaluate_once, evaluate_parsed};
pub use forward::Via;
pub use mailbox::{Mail, Mailbox, RecvError};
pub use name::{Address, DialAddress};
pub use rpc::{CallError, Pending};
pub use session::{Connect, Session};
pub use tls::Tls;
