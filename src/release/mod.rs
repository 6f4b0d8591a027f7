//! Releases as files: `.rel`, `.app` and `.appup`, and what `systools:make_relup` makes of them.
//!
//! [`consult`] reads one term with its places, [`rel`] and [`app`] are what two kinds of files say, [`order`] checks
//! a release and sorts its applications, [`appup`] finds the script for a version, [`relup`] puts it all
//! together; [`infer`] goes the other way and writes an appup from two versions of an application. No node.

pub mod app;
pub mod appup;
mod children;
pub mod consult;
pub mod error;
pub mod infer;
pub mod order;
pub mod path;
pub mod regexp;
pub mod rel;
pub mod relup;
mod scan;
mod wrapped;

pub use error::{Refusal, ReleaseError};
