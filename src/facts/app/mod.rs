//! Application files: one of this machine ([`AppSpec`]), the text of one of a node ([`app_specs`]), versions.

mod app_file;
pub mod app_specs;
pub mod versions;

pub use app_file::AppSpec;
