//! Upgrades of live nodes, end to end: the real binary on one side, real nodes on the other.
//!
//! Whatever happens to a run, the node must end fully new or fully old with all processes running: each test
//! says which, and looks at code, states and processes on the node itself.

#[path = "../support/mod.rs"]
mod support;

mod ahead;
mod attach;
mod bank;
mod behaviour;
mod births;
mod boot_order;
mod budget;
mod children;
mod conversion;
mod copies;
mod corners;
mod dead;
mod effects;
mod elixir;
mod faulty;
mod first_plan;
mod going_back;
mod half_undone;
mod in_place;
mod inferred_children;
mod init_argument;
mod insert;
mod installed;
mod interrupt;
mod killed;
mod kinds;
mod libraries;
mod listed_children;
mod lock;
mod many;
mod new_apps;
mod no_undo;
mod nodes;
mod noise;
mod old_code;
mod old_sources;
mod own_windows;
mod persist;
mod policy;
mod predicted;
mod pushed;
mod random;
mod raw;
mod ready;
mod rehearsal;
mod rehearsal_checks;
mod release_handler;
mod releases;
mod removal;
mod report;
mod restarts;
mod rollback;
mod screen;
mod seed;
mod shop;
mod snapshots;
mod state_shapes;
mod statem;
mod states;
mod survive;
mod suspend;
mod sweep;
mod tls;
mod unloaded;
mod unreadable;
mod unusual;
mod waiting;
mod watch;
mod way_back;
mod windows;
