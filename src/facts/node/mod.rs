//! What a running node says. Each question is one round trip and takes plain values; nothing on the node is changed,
//! but by [`leftovers`].

pub mod behaviours;
pub(in crate::facts) mod code_path;
pub(in crate::facts) mod disturbed;
pub mod leftovers;
pub mod node_facts;
pub mod node_files;
pub mod old_code;
mod otp;
pub mod processes;
pub mod requery;
pub(in crate::facts) mod started_with;
