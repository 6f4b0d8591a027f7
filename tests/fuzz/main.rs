//! The fuzz targets (`fuzz/inputs.rs`) with the stable compiler: kept inputs, and inputs made of them by chance, each within
//! bounds of time and memory.
//!
//! Every target is tried by a process of its own, whose memory is limited; an input is written to a file before it is tried,
//! so that one that ends the process (a stack, an allocation) is known as well. `UPDO_SEED` chooses other inputs,
//! `UPDO_COUNT` how many of each target; `make fuzz` looks for new ones by coverage, with libFuzzer.

mod corpus;
#[path = "../../fuzz/inputs.rs"]
mod inputs;
mod mutate;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mutate::{Mutator, Random};

/// The longest input that is made; kept ones may be longer.
const LONGEST: usize = 4096;

/// The longest time of one input, with a margin for a machine that does other things: libFuzzer has 10 s for a build with
/// optimization.
const TIME: Duration = Duration::from_secs(20);

/// Address space of a process that tries inputs, in KiB: with stacks, of which nothing is used, and the program itself.
const MEMORY: u64 = 2 << 20;

/// What one input may add to the memory in use, in KiB.
const GROWTH: u64 = 256 << 10;

/// The stack, as that of any thread of updo.
const STACK: usize = 2 << 20;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The kept inputs of a target, in the order of their names.
fn kept(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = root().join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut all: Vec<(String, Vec<u8>)> = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let bytes = fs::read(&path).expect("readable");
            (path.display().to_string(), bytes)
        })
        .collect();
    all.sort();
    assert!(all.len() >= 8, "{target}: only {} kept inputs", all.len());
    all
}

/// The most memory that this process has used so far, in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// In the child: tries all inputs, and prints how many, the slowest, and the peak of memory.
fn try_all(target: &str, function: inputs::Target, kept: &[(String, Vec<u8>)], last: &Path) {
    static SINCE: AtomicU64 = AtomicU64::new(0);
    let began = Instant::now();
    let millis = move || u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let most = Duration::from_millis(setting("UPDO_FUZZ_MS", TIME.as_millis() as u64));
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(100));
            let since = SINCE.load(Ordering::Relaxed);
            if millis().saturating_sub(since) > most.as_millis() as u64 {
                eprintln!("this input takes longer than {most:?}");
                std::process::abort();
            }
        }
    });
    let (seed, count) = (setting("UPDO_SEED", 1), setting("UPDO_COUNT", 1500));
    let mut random = Random::new(seed);
    let mutator = Mutator::new(kept);
    let (mut slowest, mut name) = (Duration::ZERO, String::new());
    let (mut tried, mut before) = (0, peak());
    let made = (0..count).map(|number| {
        let bytes = mutator.input(&mut random, LONGEST);
        (format!("number {number} of seed {seed}"), bytes)
    });
    let all = kept.iter().cloned().chain(made);
    for (what, bytes) in all {
        fs::write(last, &bytes).expect("an input can be written");
        SINCE.store(millis(), Ordering::Relaxed);
        let at = Instant::now();
        function(&bytes);
        if at.elapsed() > slowest {
            (slowest, name) = (at.elapsed(), what.clone());
        }
        let now = peak();
        assert!(now < before + GROWTH, "{what} needs {} KiB", now - before);
        before = now;
        tried += 1;
    }
    // Behind the name of the test, which has no line of its own yet.
    println!("\n{target}: {tried} inputs, the slowest {slowest:?} ({name}), {before} KiB");
}

/// Tries a function in a process of its own, which is this program again with the test that calls this: what it says of all
/// its inputs, or what it has said before it ended at the one that is in the file.
fn apart(
    test: &str,
    name: &str,
    function: inputs::Target,
    kept: Vec<(String, Vec<u8>)>,
) -> Result<String, (PathBuf, String)> {
    let last = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}"));
    match std::env::var("UPDO_FUZZ_CHILD") {
        Ok(wanted) if wanted == name => {
            let name = name.to_owned();
            let child = std::thread::Builder::new().stack_size(STACK);
            let child = child.spawn(move || try_all(&name, function, &kept, &last));
            if let Err(why) = child.expect("a thread").join() {
                panic::resume_unwind(why);
            }
            return Ok(String::new());
        }
        // Another function of the same test is tried.
        Ok(_) => return Ok(String::new()),
        Err(_) => {}
    }
    let program = std::env::current_exe().expect("this program");
    let ran = Command::new("sh")
        .args(["-c", "ulimit -v \"$0\" && exec \"$@\"", &MEMORY.to_string()])
        .arg(program)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("UPDO_FUZZ_CHILD", name)
        .env("RUST_BACKTRACE", "0")
        .envs((name == "stumble-time").then_some(("UPDO_FUZZ_MS", "300")))
        .stdin(Stdio::null())
        .output()
        .expect("sh");
    let said = String::from_utf8_lossy(&ran.stdout);
    let errors = String::from_utf8_lossy(&ran.stderr);
    let begins = format!("{name}: ");
    let line = said.lines().find(|line| line.starts_with(&begins));
    match (ran.status.success(), line) {
        (true, Some(line)) => Ok(line.to_owned()),
        (status, _) => Err((last, format!("{status}\n{said}\n{errors}"))),
    }
}

/// Tries a target.
fn target(name: &str) {
    let (_, function) = inputs::TARGETS
        .into_iter()
        .find(|(known, _)| *known == name)
        .expect("a target");
    match apart(name, name, function, kept(name)) {
        Ok(line) => println!("{line}"),
        Err((last, said)) => {
            let found = root().join("target/fuzz-found");
            fs::create_dir_all(&found).expect("a folder");
            let found = found.join(name);
            fs::copy(&last, &found).expect("the input");
            panic!("{}: {said}", found.display());
        }
    }
}

/// A function that is wrong in each way that a target could be, for one input.
fn stumble(bytes: &[u8]) {
    fn deeper(level: u64) -> u64 {
        match std::hint::black_box(level) {
            0 => 0,
            level => 1 + deeper(level + 1),
        }
    }
    match bytes {
        b"panic" => panic!("a panic"),
        b"stack" => assert_ne!(deeper(1), 0),
        b"memory" => drop(std::hint::black_box(vec![7_u8; 400 << 20])),
        b"room" => drop(std::hint::black_box(Vec::<u8>::with_capacity(6 << 30))),
        b"time" => std::thread::sleep(Duration::from_secs(60)),
        _ => {}
    }
}

#[test]
fn what_goes_wrong_is_found_with_its_input() {
    const TEST: &str = "what_goes_wrong_is_found_with_its_input";
    let child = std::env::var_os("UPDO_FUZZ_CHILD").is_some();
    for (input, says) in [
        ("panic", "a panic"),
        ("stack", "overflowed its stack"),
        ("memory", "needs 4"),
        ("room", "memory allocation of"),
        ("time", "takes longer than"),
    ] {
        let name = format!("stumble-{input}");
        let all = ["a good one", input, "another"];
        let all = all.map(|text| (text.to_owned(), text.as_bytes().to_vec()));
        match apart(TEST, &name, stumble, all.to_vec()) {
            Ok(line) => assert!(child, "{input}: {line}"),
            Err((last, said)) => {
                assert!(said.contains(says), "{input}: {said}");
                assert_eq!(fs::read(last).expect("the input"), input.as_bytes());
            }
        }
    }
}

macro_rules! targets {
    ($($name:ident),*) => { $(
        #[test]
        fn $name() {
            target(stringify!($name));
        }
    )* };
}

targets!(plan, term, etf, beam, handshake, frames, records);

#[test]
fn every_target_is_tried_here_and_under_libfuzzer() {
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).expect("readable");
    let own = fs::read_to_string(root().join("tests/fuzz/main.rs")).expect("readable");
    let script = fs::read_to_string(root().join("fuzz/run.sh")).expect("readable");
    let line = own.lines().find(|line| line.starts_with("targets!("));
    let names: Vec<&str> = inputs::TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(line, Some(&*format!("targets!({});", names.join(", "))));
    assert!(script.contains(&format!("for target in {};", names.join(" "))));
    for name in names {
        assert!(
            manifest.contains(&format!("path = \"targets/{name}.rs\"")),
            "{name}"
        );
    }
    // Kept in the repository: small enough for a checkout.
    let total: usize = inputs::TARGETS
        .iter()
        .flat_map(|(name, _)| kept(name))
        .map(|(name, bytes)| {
            assert!(bytes.len() <= 20 << 10, "{name} has {} bytes", bytes.len());
            bytes.len()
        })
        .sum();
    assert!(total < 512 << 10, "{total} bytes");
}
