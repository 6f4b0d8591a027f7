//! The pause that clients feel: updo and OTP's release handler, side by side in one run.
//!
//! K servers of one `simple_one_for_one` supervisor get 5,000 calls a second, each call timed, while M modules are
//! upgraded: the servers' own, whose state is converted, and M - 1 libraries in the same group. For every K and M two
//! fresh nodes do the same upgrade, one by `release_handler_1:eval_script` with the script that `systools_rc` makes of
//! such an appup, one by updo. Prints a table and writes a picture; judges nothing. A second table has one server more, which
//! is busy for two seconds and not called: how long the others wait, with the default `budget` and without one. The
//! third has calls per second after a live upgrade; with `UPDO_BLESS=1` it is written into docs/performance.md.
//!
//! `make bench pause`, or `cargo bench --bench pause -- K…` for some numbers of servers only, `-- settled` for the third
//! table only.

#[path = "../tests/support/mod.rs"]
mod support;

#[path = "pause/code.rs"]
mod code;
#[path = "run/page.rs"]
mod page;
#[path = "pause/picture.rs"]
mod picture;
#[path = "pause/settled.rs"]
mod settled;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use code::{Code, changed, mark};
use support::{Options, TestNode};
use updo::exec::NodeState;
use updo::name::NodeName;

/// Servers.
const SERVERS: [usize; 4] = [100, 1_000, 10_000, 100_000];
/// Changed modules.
const MODULES: [usize; 2] = [2, 20];
/// How long the load runs before the upgrade, and after it.
const AROUND: Duration = Duration::from_millis(1_500);
/// How long one server is busy in the second table, ms.
const BUSY: u32 = 2_000;

/// What clients felt during one upgrade. Microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Felt {
    /// Calls that were under way during the upgrade.
    pub calls: i64,
    /// The longest of them.
    pub worst: i64,
    /// Their mean.
    pub mean: i64,
    /// What one of a thousand exceeded.
    pub permille: i64,
    /// Calls that failed, stayed without an answer or saw two versions at once, of all.
    pub failed: i64,
    /// From the first touch to the end.
    pub took: i64,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Servers.
    pub servers: usize,
    /// Changed modules.
    pub modules: usize,
    /// OTP's release handler.
    pub otp: Felt,
    /// updo, with all servers suspended.
    pub updo: Felt,
    /// updo, with none suspended.
    pub live: Felt,
    /// The same load for as long, with nothing done.
    pub idle: Felt,
}

fn main() {
    // `cargo test` starts benches too; there the point is that this one compiles.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let wanted: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let rounds: usize = std::env::var("ROUNDS")
        .ok()
        .and_then(|r| r.parse().ok())
        .unwrap_or(3);
    let servers = SERVERS
        .into_iter()
        .filter(|k| wanted.is_empty() || wanted.contains(k));
    let code = Code::compiled();
    if std::env::args().any(|arg| arg == "settled") {
        after_settling(&code);
        return;
    }
    println!(
        "worst and mean latency of a call under way during the upgrade, ms; medians of {rounds} rounds"
    );
    println!(
        "{:>8} {:>8} {:>21} {:>21} {:>9} {:>21} {:>9} {:>19} {:>12} {:>20} {:>9}",
        "servers",
        "modules",
        "release_handler_1",
        "updo, suspended",
        "worst",
        "updo, live",
        "worst",
        "none",
        "99.9 % live",
        "whole upgrade",
        "failed"
    );
    let mut rows = Vec::new();
    for count in servers {
        for modules in MODULES {
            let mut otp = Vec::new();
            let mut updo = Vec::new();
            let (mut live, mut idle) = (Vec::new(), Vec::new());
            for _ in 0..rounds {
                otp.push(measure(&code, count, modules, false, &by_release_handler));
                updo.push(measure(&code, count, modules, false, &by_updo("")));
                let one = measure(&code, count, modules, false, &by_updo("window live.\n"));
                let as_long = u64::try_from(one.took).unwrap_or(0);
                let nothing = |_: &Code, node: &TestNode, _: &Path, _: usize| {
                    let since = mark(node);
                    std::thread::sleep(Duration::from_micros(as_long));
                    (since, mark(node))
                };
                live.push(one);
                idle.push(measure(&code, count, modules, false, &nothing));
            }
            let row = Row {
                servers: count,
                modules,
                otp: median(otp),
                updo: median(updo),
                live: median(live),
                idle: median(idle),
            };
            print(&row);
            rows.push(row);
        }
    }
    one_is_busy(&code, &wanted, rounds);
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join("pause.svg");
    fs::write(&file, picture::of(&rows)).expect("the picture can be written");
    println!("\npicture: {}", file.display());
    after_settling(&code);
}

/// What is left of a live window when it is over: nothing that costs.
fn after_settling(code: &Code) {
    println!("\ncalls per second after a live upgrade, paired, in turns");
    let titles = [
        "calls of",
        "calls per second",
        "ratio, median",
        "with 95 % confidence",
    ];
    let rows = settled::rows(code, &by_updo("window live.\n"));
    page::table("settled", &titles, &rows);
}

/// The others of a window in which one server is busy.
fn one_is_busy(code: &Code, wanted: &[usize], rounds: usize) {
    println!(
        "\nthe same with one server busy for {BUSY} ms: worst and mean latency of calls to the others, ms"
    );
    println!(
        "{:>8} {:>21} {:>21}",
        "servers", "budget 100ms", "budget infinity"
    );
    let servers = SERVERS.into_iter().filter(|k| *k <= 10_000);
    for count in servers.filter(|k| wanted.is_empty() || wanted.contains(k)) {
        let of = |budget: &str| {
            let plan = format!("budget {budget}.\n");
            let upgrade = by_updo(&plan);
            median(
                (0..rounds)
                    .map(|_| measure(code, count, 2, true, &upgrade))
                    .collect(),
            )
        };
        println!(
            "{count:>8} {} {}",
            pair(&of("100ms")),
            pair(&of("infinity"))
        );
    }
}

/// Worst and mean.
fn pair(felt: &Felt) -> String {
    let ms = |us: i64| format!("{:.1}", us as f64 / 1000.0);
    format!("{:>11} {:>9}", ms(felt.worst), ms(felt.mean))
}

/// The round with the median of the worst latencies; failures of all rounds.
fn median(mut rounds: Vec<Felt>) -> Felt {
    rounds.sort_by_key(|felt| felt.worst);
    let failed = rounds.iter().map(|felt| felt.failed).sum();
    Felt {
        failed,
        ..rounds[rounds.len() / 2]
    }
}

fn print(row: &Row) {
    let times = |felt: &Felt| format!("{:.0}", felt.took as f64 / 1000.0);
    println!(
        "{:>8} {:>8} {} {} {:>9} {} {:>9} {} {:>12} {:>20} {:>9}",
        row.servers,
        row.modules,
        pair(&row.otp),
        pair(&row.updo),
        format!("1/{:.1}", row.otp.worst as f64 / row.updo.worst as f64),
        pair(&row.live),
        format!("1/{:.1}", row.otp.worst as f64 / row.live.worst as f64),
        pair(&row.idle),
        format!(
            "{:.2} / {:.2}",
            row.live.permille as f64 / 1000.0,
            row.idle.permille as f64 / 1000.0
        ),
        format!(
            "{} / {} / {}",
            times(&row.otp),
            times(&row.updo),
            times(&row.live)
        ),
        format!(
            "{} / {} / {}",
            row.otp.failed, row.updo.failed, row.live.failed
        ),
    );
}

/// Upgrades a node whose folder has the new version: the marks before and after.
type Upgrade<'a> = dyn Fn(&Code, &TestNode, &Path, usize) -> (i64, i64) + 'a;

fn measure(code: &Code, servers: usize, modules: usize, busy: bool, upgrade: &Upgrade<'_>) -> Felt {
    let folder = code.deployed();
    let ebin = folder.path().join("ebin");
    let node = Options::default()
        .path(&ebin)
        .args(&["+P", "2000000"])
        .start();
    node.eval(
        "ok = application:start(sasl), ok = application:start(pause), {ok, Ms} = application:get_key(pause, modules), \
         ok = code:ensure_modules_loaded([release_handler_1, pause_load | Ms])",
    );
    // The busy one is not called, so that every call is one to the others.
    node.eval(&format!(
        "[One | Load] = pause_sup:many({servers} + 1), true = register(pause_one, One), pause_load:start(Load), garbage_collect()"
    ));
    for module in changed(modules) {
        code.copy("2", &module, &ebin);
    }
    std::thread::sleep(AROUND);
    if busy {
        node.eval(&format!("gen_server:cast(pause_one, {{busy, {BUSY}}})"));
    }
    let (since, until) = upgrade(code, &node, folder.path(), modules);
    std::thread::sleep(AROUND);
    let felt = node.eval(&format!("pause_load:stop({since}, {until})"));
    let number = |at: usize| {
        felt.as_tuple()
            .and_then(|fields| fields.get(at)?.as_i64())
            .expect("six numbers")
    };
    let versions = node.eval_text(
        "lists:usort([case sys:get_state(P) of #{version := 2} -> 2; _ -> 1 end || {_, P, _, _} <- supervisor:which_children(pause_sup)])",
    );
    // Where nothing is done none is.
    let expected = ["[2]", "[1]"];
    assert!(expected.contains(&versions.as_str()), "{versions}");
    Felt {
        calls: number(0),
        worst: number(1),
        mean: number(2),
        failed: number(3),
        permille: number(5),
        took: until - since,
    }
}

/// As the 2012 original ends: the script that `systools_rc` makes of an appup with these modules in one group (the
/// server depends on the libraries), carried out by the release handler.
fn by_release_handler(_: &Code, node: &TestNode, folder: &Path, modules: usize) -> (i64, i64) {
    let changed = changed(modules);
    let names = changed.join(", ");
    let loads: Vec<String> = changed
        .iter()
        .rev()
        .map(|module| format!("{{load, {{{module}, soft_purge, soft_purge}}}}"))
        .collect();
    let answer = node.eval(&format!(
        "pause_load:eval_script([{{load_object_code, {{pause, \"1\", [{names}]}}}}, point_of_no_return, {{suspend, [pause_srv]}}, {}, \
         {{code_change, up, [{{pause_srv, []}}]}}, {{resume, [pause_srv]}}], pause, \"1\", {folder:?})",
        loads.join(", ")
    ));
    let marks = answer.as_tuple().expect("two marks");
    let mark = |at: usize| marks[at].as_i64().expect("a time");
    (mark(0), mark(1))
}

/// By updo, with more in the plan.
fn by_updo(more: &str) -> impl Fn(&Code, &TestNode, &Path, usize) -> (i64, i64) {
    move |code, node, folder, _| with_plan(code, node, folder, more)
}

fn with_plan(code: &Code, node: &TestNode, folder: &Path, more: &str) -> (i64, i64) {
    let engine = code.engine(node, folder, more);
    let since = mark(node);
    let connection = engine
        .connect(&NodeName::new(node.name()))
        .expect("a connection");
    let mut upgrade = connection.prepare().expect("facts");
    assert!(!upgrade.is_refused(), "{:?}", upgrade.diagnostics);
    // As `updo run` does: what is rehearsed is not tried again in the window.
    let rehearsed = connection.rehearse_first(&upgrade, &mut |_, _, _| ());
    if let Some(done) = rehearsed.expect("a rehearsal") {
        assert_eq!(done.failed(), 0);
        assert_eq!(upgrade.rehearsed(&done), None);
    }
    let outcome = connection.run(&upgrade, &mut |_| ());
    assert_eq!(outcome.state, NodeState::New, "{:?}", outcome.errors);
    (since, mark(node))
}
