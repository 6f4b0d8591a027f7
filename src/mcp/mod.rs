//! Tools for assistants: what `updo mcp` speaks with one, over the Model Context Protocol.
//!
//! Takes messages from a stream (one line of JSON each) and answers them on another; [`serve`] is all there is to call.
//! It has no state of its own and knows no plan and no node: each tool is a command of updo that changes nothing, started
//! as a program of its own with `--json`, so what an assistant gets is what a person would, and a failure of one call is
//! the end of that call only.
//!
//! The parts: `protocol` says which answer a message gets, `tools` what the tools are and which arguments of updo a call
//! becomes, `call` runs one within bounds, `server` holds the conversation. No message may make it panic, wait for ever or grow
//! without bound, and none may become a flag.

mod call;
mod protocol;
mod server;
mod tools;

pub use server::{ServerOptions, serve};
