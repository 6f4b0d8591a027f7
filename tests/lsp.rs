//! The language server as an editor meets it: the real binary, over pipes.

mod support;

#[path = "lsp/client.rs"]
mod client;
#[path = "lsp/hostile.rs"]
mod hostile;
#[path = "lsp/lifecycle.rs"]
mod lifecycle;
#[path = "lsp/node.rs"]
mod node;
#[path = "lsp/requests.rs"]
mod requests;
#[path = "lsp/sync.rs"]
mod sync;
#[path = "cli/waiting.rs"]
mod waiting;
