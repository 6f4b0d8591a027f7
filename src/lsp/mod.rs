//! The language server for plan files: what `updo lsp` speaks with an editor.
//!
//! Takes messages of the Language Server Protocol (version 3.17) from a stream and answers them on another; [`serve`] is
//! all there is to call. Everything that it knows of plans it has from the stages before it: `syntax`, `plan`, `engine`,
//! and from `repl` what is known while a user types.
//!
//! The parts: `wire` cuts the stream into messages, `server` holds the conversation, `documents` what is open in the
//! editor, `text` the places in it, `workspace` what plans and their files say together; `facts` what a node says about
//! it; the others answer questions. It must never change a file or a
//! node, and no message may make it panic, wait for ever or grow without bound.

mod complete;
mod convert;
mod cursor;
mod diagnostics;
mod documents;
mod facts;
mod fixes;
mod formatting;
mod hover;
mod lens;
mod names;
mod navigation;
mod node_queries;
mod requests;
mod server;
mod symbols;
mod text;
mod uri;
mod wire;
mod workspace;

pub use server::{ServerOptions, serve};
