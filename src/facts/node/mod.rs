//! What a running node says: its files, applications, processes. Each question takes plain values, is one round trip,
//! and changes nothing on the node, but for what [`leftovers`] mends.

mod ask;
pub mod behaviours;
pub(in crate::facts) mod code_path;
pub mod convert_again;
pub(in crate::facts) mod disturbed;
pub mod folders;
pub mod leftovers;
pub mod node_facts;
pub mod node_files;
pub mod old_code;
mod otp_folders;
pub(in crate::facts) mod parents;
pub mod processes;
pub mod queries;
pub mod requery;
pub mod restart_files;
pub mod stages;
pub(in crate::facts) mod started_with;
