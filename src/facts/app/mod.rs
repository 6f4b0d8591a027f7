//! Application files: one of this machine ([`AppSpec`]), the text of one of a node ([`app_specs`]), versions; what
//! changes in their text ([`app_text`]) and in boot files ([`boot_file`]).

mod app_file;
pub mod app_specs;
pub mod app_text;
pub mod boot_file;
pub mod versions;

pub use app_file::AppSpec;
