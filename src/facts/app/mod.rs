//! Application files: one of this machine ([`AppSpec`]), the text of one of a node ([`app_specs`]), versions; lists of
//! modules in them ([`module_list`]) and in boot files ([`boot_file`]).

mod app_file;
pub mod app_specs;
pub mod boot_file;
pub mod module_list;
pub mod versions;

pub use app_file::AppSpec;
