//! The language server as an editor meets it: the real binary, over pipes.

mod support;

#[path = "lsp/asked.rs"]
mod asked;
#[path = "lsp/client.rs"]
mod client;
#[path = "lsp/hostile.rs"]
mod hostile;
#[path = "lsp/life.rs"]
mod life;
#[path = "lsp/node.rs"]
mod node;
#[path = "lsp/sync.rs"]
mod sync;
#[path = "cli/waiting.rs"]
mod waiting;
