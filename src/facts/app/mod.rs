//! Application files: read from this machine ([`AppSpec`]), and compared with what runs ([`app_specs`]).

mod app_file;
pub mod app_specs;

pub use app_file::AppSpec;
