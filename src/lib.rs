//! updo: hot code upgrades of live Erlang and Elixir nodes, shown before they are done and run as a transaction.
//!
//! This is the library behind the command line. It has three parts:
//!
//! * **An upgrade.** [`Engine`] reads a plan, [`Connection`] is one node, [`Upgrade`] says what would happen to it,
//!   [`Connection::run`] does it: every [`Event`] is passed to a closure, and [`Outcome`] says what the node is
//!   afterwards.
//! * **The language alone.** [`scripting`] parses, checks and evaluates plans, functions and expressions against a
//!   [`Host`](scripting::Host) of your own: no node, no network, no files, within [limits](scripting::Limits).
//! * **Erlang terms.** [`Term`] and [`terms`]: read, printed, compared, encoded.
//!
//! ```no_run
//! use std::path::Path;
//! use updo::{Engine, Settings};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let opened = Engine::open(Path::new("plan.updo"), Settings::from_env());
//! let engine = opened.into_result()?;
//! for node in engine.nodes(None)? {
//!     let connection = engine.connect(&node)?;
//!     let upgrade = connection.prepare()?; // reads only
//!     println!("{}", connection.preview_text(&upgrade));
//!     if upgrade.is_refused() {
//!         continue;
//!     }
//!     let outcome = connection.run(&upgrade, &mut |event| println!("{event:?}"));
//!     if !outcome.is_good() {
//!         return Err(format!("{node} is {}", outcome.state).into());
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Everything that goes wrong is a [`Diagnostic`] with a [`Code`] of a closed list; it is an error that `?` and
//! `Box<dyn Error>` take, and [`render`] shows it with the lines of the plan that it is about.
//!
//! `examples/` has whole programs: `embed.rs` upgrades a node, `ci_gate.rs` decides a build by what an upgrade would
//! do, `approver.rs` approves an upgrade by rules of its own and watches it, `script.rs` uses the language alone.
//!
//! # What is stable
//!
//! What is documented here; `docs/api.txt` in the repository lists it, and a test compares. Enums may get variants and
//! the structs that updo fills in may get fields: both are `#[non_exhaustive]`. The crate's other modules are internal:
//! hidden here, public only for the project's own binary, tests and benches, and different in every version.

// Of the library alone, besides what Cargo.toml has for all: no input ends the program, what is printed goes through
// `ui`, and input and output are where ARCHITECTURE.md says so (clippy.toml has the list). Tests end with a panic.
#![cfg_attr(
    not(test),
    warn(
        clippy::disallowed_methods,
        clippy::expect_used,
        clippy::panic,
        clippy::print_stderr,
        clippy::print_stdout,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

// What pest generates without its `std` feature names this crate.
extern crate alloc;

// Internal modules, public for the crate's own binary, tests, benches and fuzz targets; docs/decisions.md ("What other Rust programs see") has the
// reason for `doc(hidden)`. Nothing in it is stable. ARCHITECTURE.md has the order of these stages.
#[doc(hidden)]
pub mod atomic_file;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod diag;
#[doc(hidden)]
pub mod engine;
#[doc(hidden)]
pub mod eval;
#[doc(hidden)]
pub mod exec;
#[doc(hidden)]
pub mod facts;
#[doc(hidden)]
pub mod graph;
#[doc(hidden)]
pub mod lsp;
#[doc(hidden)]
pub mod mcp;
#[doc(hidden)]
pub mod name;
#[doc(hidden)]
pub mod node;
#[doc(hidden)]
pub mod parallel;
#[doc(hidden)]
pub mod plan;
#[doc(hidden)]
pub mod regular_file;
#[doc(hidden)]
pub mod release;
#[doc(hidden)]
pub mod repl;
#[doc(hidden)]
pub mod report;
#[doc(hidden)]
pub mod rules;
#[doc(hidden)]
pub mod script;
#[doc(hidden)]
pub mod state;
#[doc(hidden)]
pub mod syntax;
#[doc(hidden)]
pub mod term;
#[doc(hidden)]
pub mod twin;
#[doc(hidden)]
pub mod ui;

pub mod scripting;

pub use diag::render::{Style, render};
pub use diag::source::SourcePosition;
pub use diag::{Code, Diagnostic, Diagnostics, Label, Result, Severity, SourceMap, Span};
pub use engine::{Connection, Engine, OpenedPlan, Settings, Upgrade};
pub use exec::{BusyProcess, Event, EventKind, Interrupt, NodeState, Outcome, StepKind};
pub use name::{Module, NodeName};
pub use term::Term;

/// Erlang terms: what a [`Term`] is made of, and the way to text and bytes and back.
///
/// Text is read by `str::parse` ([`Term`] is [`FromStr`](std::str::FromStr)), and printed by `Display` (as `~0tp`),
/// [`write`](terms::write) (`~tw`) and [`pretty`](terms::pretty) (`~tp`), as `io_lib:format/2` of OTP 25 does.
/// Bytes are those of "External Term Format" in the ERTS User's Guide. `==`, `Ord` and [`compare_loose`](terms::compare_loose) are Erlang's
/// `=:=`, the order of map keys, and `<` as "Term Comparisons" in the Erlang Reference Manual has them.
///
/// ```
/// use std::cmp::Ordering;
/// use updo::Term;
/// use updo::terms::{compare_loose, decode, encode, pretty};
///
/// let term: Term = "{shop, #{tax => 0.19, name => <<\"till 1\">>}}".parse()?;
/// assert_eq!(term.to_string(), "{shop,#{name => <<\"till 1\">>,tax => 0.19}}");
/// assert_eq!(pretty(&"[{apple, 30}, {pear, 70}]".parse()?, 16), "[{apple,30},\n {pear,70}]");
/// assert_eq!(decode(&encode(&term))?, term);
/// assert_eq!(compare_loose(&Term::Int(1), &Term::Float(1.0)), Ordering::Equal);
/// assert_ne!(Term::Int(1), Term::Float(1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub mod terms {
    pub use crate::term::etf::{EtfError, MAX_DEPTH, decode, encode};
    pub use crate::term::{
        Atom, BigInt, Closure, Fun, Pid, Port, Record, Reference, compare_loose, pretty, write,
    };
}

/// TLS under the distribution, for [`Settings::tls`]: the other side is a node started with `-proto_dist inet_tls`, as
/// "Using TLS for Erlang Distribution" in the User's Guide of OTP's `ssl` describes.
pub mod tls {
    pub use crate::node::tls::{ExpectedName, OptFile, Pem, TlsOptions};
}
