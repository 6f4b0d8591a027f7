//! What a node still has of versions that an upgrade has to let go: processes and funs.
//!
//! A node has place for two versions of a module. Before a third is loaded, the oldest goes, and on the way back so does
//! the version that was left: processes that execute it would be ended, and funs of it that are kept as data (in a
//! state, a dictionary, a table) would raise `badfun`. Both are looked for before anything is touched, by one expression
//! on the node that sends no message to any process (`old_code.erlexpr`); the agent evaluates the same text.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use super::ask::{TIMEOUT, call_failed, unexpected_reply};
use crate::diag::Result;
use crate::name::{Md5, Module};
use crate::node::agent::protocol::{Codec, FunPlace};
use crate::node::{Parsed, Session, evaluate_parsed};
use crate::term::{Atom, Pid, Term};

/// The expressions that are evaluated on the node, by a preview and by the agent.
pub const TEXT: &str = include_str!("old_code.erlexpr");

/// The same, parsed.
static PARSED: LazyLock<Option<Parsed>> =
    LazyLock::new(|| Parsed::of(include_bytes!("old_code.etf")));

/// How long funs are searched for on behalf of a preview.
const SEARCH: Duration = Duration::from_secs(1);

/// How many processes and holders are named, of each kind.
const NAMED: i64 = 20;

/// Processes that execute a version of a module.
#[derive(Clone, Debug, PartialEq)]
pub struct CodeUsers {
    /// The module.
    pub module: Module,
    /// How many processes.
    pub count: usize,
    /// Some of them, at most twenty.
    pub pids: Vec<Pid>,
}

/// Something that keeps a fun of an old version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunHolder {
    /// The module of the fun.
    pub module: Module,
    /// Where it is kept, in words: `the state of <0.84.0>`.
    pub place: String,
}

/// What of old versions is in use.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OldCodeUse {
    /// Processes that execute the version before the running one.
    pub old: Vec<CodeUsers>,
    /// Processes that execute the running version, outside of callbacks of servers that are suspended for the switch: as
    /// long as they do so after the switch, there is no way back.
    pub current: Vec<CodeUsers>,
    /// What keeps funs of the version before the running one; at most twenty.
    pub holders: Vec<FunHolder>,
    /// How many such places were found.
    pub held: usize,
    /// Processes that have funs of the running version on their stacks: in the arguments of their loops, in states. They
    /// go on calling that version after the switch. At most twenty.
    pub keepers: Vec<FunHolder>,
    /// How many such processes were found.
    pub kept: usize,
    /// What was not searched for funs, in words.
    pub unsearched: Vec<String>,
}

/// What is asked about.
#[derive(Debug, Default)]
pub(in crate::facts) struct OldCodeQuery<'a> {
    /// The modules that run, each with the MD5 of the versions that stay.
    pub(in crate::facts) loaded: BTreeMap<&'a Module, Vec<Md5>>,
    /// Those that have servers: their processes are suspended for the switch.
    pub(in crate::facts) servers: BTreeSet<&'a Module>,
    /// Those whose running version makes funs.
    pub(in crate::facts) with_funs: BTreeSet<&'a Module>,
    /// Processes that are a module's by the loop in which they are.
    pub(in crate::facts) by_loop: Vec<&'a Pid>,
}

/// Looks for processes and funs of old versions of modules.
///
/// # Errors
/// E508 when the node does not answer, E506 when it answers something else than the expression would.
pub(in crate::facts) fn inspect(session: &Session, query: &OldCodeQuery<'_>) -> Result<OldCodeUse> {
    if query.loaded.is_empty() {
        return Ok(OldCodeUse::default());
    }
    let name = |module: &Module| Term::atom(module.as_str());
    let loaded = query.loaded.iter().map(|(module, kept)| {
        let kept = kept.iter().map(Term::binary);
        (name(module), Term::list(kept))
    });
    let purged = Term::list(query.loaded.keys().map(|module| name(module)));
    let servers = query.servers.iter();
    let servers = servers.map(|module| (name(module), Term::boolean(true)));
    let running = Term::list(query.with_funs.iter().map(|module| name(module)));
    let by_loop = query.by_loop.iter();
    let by_loop = by_loop.map(|pid| (Term::Pid((*pid).clone()), Term::boolean(true)));
    let bindings = vec![
        ("Ask", Term::boolean(false)),
        ("Changed", Term::map(loaded)),
        ("ByLoop", Term::map(by_loop)),
        ("Most", Term::Int(NAMED)),
        ("Purged", purged),
        ("Running", running),
        ("Servers", Term::map(servers)),
        ("Skip", Term::list([])),
        (
            "Within",
            Term::Int(i64::try_from(SEARCH.as_millis()).unwrap_or(i64::MAX)),
        ),
    ];
    let answer = evaluate_parsed(session, PARSED.as_ref(), bindings, TIMEOUT)
        .map_err(|error| call_failed("looking for old code in use", error))?;
    read(&answer).ok_or_else(|| unexpected_reply("looking for old code in use", &answer))
}

fn read(answer: &Term) -> Option<OldCodeUse> {
    let [old, current, held, running, unsearched] = answer.as_tuple()? else {
        return None;
    };
    let ([count, holders], [running, keepers]) = (held.as_tuple()?, running.as_tuple()?) else {
        return None;
    };
    Some(OldCodeUse {
        old: executing(old)?,
        current: executing(current)?,
        holders: holders_of(&Vec::decode(holders).ok()?),
        held: usize::try_from(count.as_i64()?).ok()?,
        keepers: holders_of(&Vec::decode(keepers).ok()?),
        kept: usize::try_from(running.as_i64()?).ok()?,
        unsearched: not_searched(&Vec::decode(unsearched).ok()?),
    })
}

fn executing(list: &Term) -> Option<Vec<CodeUsers>> {
    let one = |entry: &Term| {
        let [module, count, pids] = entry.as_tuple()? else {
            return None;
        };
        let pids = pids.as_list()?.iter().map(|pid| match pid {
            Term::Pid(pid) => Some(pid.clone()),
            _ => None,
        });
        Some(CodeUsers {
            module: Module::new(module.as_atom()?.as_str()),
            count: usize::try_from(count.as_i64()?).ok()?,
            pids: pids.collect::<Option<_>>()?,
        })
    };
    list.as_list()?.iter().map(one).collect()
}

/// Holders of funs as the expression lists them.
pub(crate) fn holders_of(list: &[(Atom, FunPlace)]) -> Vec<FunHolder> {
    let one = |(module, kept): &(Atom, FunPlace)| FunHolder {
        module: Module::new(module.as_str()),
        place: place(kept),
    };
    list.iter().map(one).collect()
}

/// Where a fun is kept, in words.
pub(crate) fn place(kept: &FunPlace) -> String {
    let whole = kept.place.to_string();
    let mut shown: String = whole.chars().take(80).collect();
    if shown.len() < whole.len() {
        shown.push('…');
    }
    match kept.what.as_str() {
        "state" => format!("the state of {shown}"),
        "dictionary" => format!("the dictionary of {shown}"),
        "messages" => format!("the mailbox of {shown}"),
        "ets" => format!("the ETS table {shown}"),
        "persistent_term" => format!("the persistent term {shown}"),
        "env" => format!("the environment of application {shown}"),
        other => format!("{other} {shown}"),
    }
}

/// What was not searched and how many of that, in words.
pub(crate) fn not_searched(list: &[(Atom, u64)]) -> Vec<String> {
    let words = |(what, number): &(Atom, u64)| {
        let of = |one: &str, many: &str| match number {
            1 => format!("1 {one}"),
            number => format!("{number} {many}"),
        };
        let states = |kind: &str| match number {
            1 => format!("the state of 1 {kind}process"),
            number => format!("the states of {number} {kind}processes"),
        };
        match what.as_str() {
            "processes" => of("process", "processes") + " (not enough time)",
            "large" => of("process with a large heap", "processes with large heaps"),
            "queues" => of("mailbox", "mailboxes") + " of more than 1,000 messages",
            "hidden" => states("") + " (hibernating, large, or funs in funs)",
            "silent" => states("busy "),
            "private" => of("private ETS table", "private ETS tables"),
            "late" => of("ETS table", "ETS tables") + " (not enough time)",
            _ => "anything".to_owned(),
        }
    };
    list.iter().map(words).collect()
}
