//! The book (`docs/`, made by mdBook): its pages are executed as a reader would execute them.
//!
//! Each page has a home and an epmd of its own. A block that begins with a comment which is a path is written
//! to that file; a `console` block is typed into a terminal, line by line, and what the screen shows is compared with
//! the page. Times, pids, names of runs and the like may differ (`normal.rs`). `UPDO_BLESS=1` writes into the pages
//! what differs. How a page is read: `page.rs`; how it is executed: `play.rs`.

#[path = "../support/mod.rs"]
mod support;

mod normal;
mod page;
mod play;
mod structure;

use std::path::{Path, PathBuf};

/// The folder of the book.
fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

/// One test for each page, so that they run side by side and can be run alone.
macro_rules! pages {
    ($($name:ident => $page:literal,)*) => {
        /// The pages that are executed.
        const PAGES: &[&str] = &[$($page),*];
        $(
            #[test]
            fn $name() {
                play::page($page);
            }
        )*
    };
}

pages! {
    a_first_upgrade_in_plain_erl => "start/erl.md",
    a_first_upgrade_with_rebar3 => "start/rebar3.md",
    a_first_upgrade_with_iex_and_mix => "start/iex.md",
    a_first_upgrade_of_a_mix_release => "start/release.md",
    what_holds_for_modules_of_gleam => "start/gleam.md",
    every_day_with_watch => "start/watch.md",
    the_first_failure => "start/failure.md",
    states_and_shapes => "guides/states.md",
    rehearsing => "guides/rehearsing.md",
    supervisors => "guides/supervisors.md",
    gaps_and_cycles => "guides/gaps.md",
    what_holds_for_liveview_and_phoenix => "guides/phoenix.md",
    clusters_and_rollouts => "guides/clusters.md",
    nodes_that_are_hard_to_reach => "guides/reaching.md",
    a_gate_in_ci => "guides/ci.md",
    rollback => "guides/rollback.md",
    when_not_to_upgrade_hot => "guides/not-hot.md",
    compared_with_other_tools => "guides/compared.md",
    security => "guides/security.md",
}
