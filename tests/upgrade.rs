//! Upgrades of live nodes, end to end: the real binary on one side, real nodes on the other.
//!
//! Whatever happens to a run, the node must end fully new or fully old with everybody running: each test
//! says which, and looks at code, states and processes on the node itself.

mod support;

#[path = "upgrade/attach.rs"]
mod attach;
#[path = "upgrade/bank.rs"]
mod bank;
#[path = "upgrade/behaviour.rs"]
mod behaviour;
#[path = "upgrade/births.rs"]
mod births;
#[path = "upgrade/budget.rs"]
mod budget;
#[path = "upgrade/children.rs"]
mod children;
#[path = "upgrade/conversion.rs"]
mod conversion;
#[path = "upgrade/corners.rs"]
mod corners;
#[path = "upgrade/dead.rs"]
mod dead;
#[path = "upgrade/effects.rs"]
mod effects;
#[path = "upgrade/elixir.rs"]
mod elixir;
#[path = "upgrade/going_back.rs"]
mod going_back;
#[path = "upgrade/half_undone.rs"]
mod half_undone;
#[path = "upgrade/inferred_children.rs"]
mod inferred_children;
#[path = "upgrade/init_argument.rs"]
mod init_argument;
#[path = "upgrade/insert.rs"]
mod insert;
#[path = "upgrade/interrupt.rs"]
mod interrupt;
#[path = "upgrade/killed.rs"]
mod killed;
#[path = "upgrade/kinds.rs"]
mod kinds;
#[path = "upgrade/libraries.rs"]
mod libraries;
#[path = "upgrade/listed_children.rs"]
mod listed_children;
#[path = "upgrade/lock.rs"]
mod lock;
#[path = "upgrade/many.rs"]
mod many;
#[path = "upgrade/nodes.rs"]
mod nodes;
#[path = "upgrade/noise.rs"]
mod noise;
#[path = "upgrade/old_code.rs"]
mod old_code;
#[path = "upgrade/persist.rs"]
mod persist;
#[path = "upgrade/policy.rs"]
mod policy;
#[path = "upgrade/random.rs"]
mod random;
#[path = "upgrade/raw.rs"]
mod raw;
#[path = "upgrade/ready.rs"]
mod ready;
#[path = "upgrade/release_handler.rs"]
mod release_handler;
#[path = "upgrade/releases.rs"]
mod releases;
#[path = "upgrade/removal.rs"]
mod removal;
#[path = "upgrade/report.rs"]
mod report;
#[path = "upgrade/rollback.rs"]
mod rollback;
#[path = "upgrade/screen.rs"]
mod screen;
#[path = "upgrade/seed.rs"]
mod seed;
#[path = "upgrade/shop.rs"]
mod shop;
#[path = "upgrade/snapshots.rs"]
mod snapshots;
#[path = "upgrade/statem.rs"]
mod statem;
#[path = "upgrade/survive.rs"]
mod survive;
#[path = "upgrade/suspend.rs"]
mod suspend;
#[path = "upgrade/sweep.rs"]
mod sweep;
#[path = "upgrade/tls.rs"]
mod tls;
#[path = "upgrade/unloaded.rs"]
mod unloaded;
#[path = "upgrade/unusual.rs"]
mod unusual;
#[path = "upgrade/way_back.rs"]
mod way_back;
#[path = "upgrade/windows.rs"]
mod windows;
