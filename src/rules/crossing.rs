//! W660, W661, W662: what nodes of both versions send each other while some are new and the others are not yet.
//!
//! Takes the change set of a node whose neighbours get the same upgrade, gives requests that the code of one version
//! sends to processes of other nodes and that the other version does not take, and functions and funs that the other
//! version does not have. Only what code shows is reported: an address, a request or a callback that cannot be read
//! is taken for right.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::diag::{Code, Diagnostic};
use crate::facts::beam::Function;
use crate::facts::beam::requests::{Receiver, Request, RequestKind, Requests, Taken, Target};
use crate::facts::change::{Beam, ChangeSet, Changed};
use crate::name::{FunctionArity, Mfa, Module};
use crate::parallel::computed;

use super::Ruleset;

/// How many requests are named.
const NAMED: usize = 4;

/// A version of the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Old,
    New,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Old => Self::New,
            Self::New => Self::Old,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Old => "old",
            Self::New => "new",
        })
    }
}

/// Both versions of a module.
#[derive(Clone, Copy, Default)]
pub struct Pair<'c> {
    /// The beam of the old version, where there is a copy of it.
    pub old: Option<&'c Beam>,
    /// What the old version exports; `None` when old nodes do not have the module.
    pub old_exports: Option<&'c BTreeSet<FunctionArity>>,
    /// The new version.
    pub new: Option<&'c Beam>,
}

impl<'c> Pair<'c> {
    fn of(changed: &'c Changed) -> Self {
        let loaded = changed.loaded.as_ref().map(|loaded| &loaded.exports);
        let unloaded = changed.unloaded.as_ref();
        Self {
            old: changed.old.as_ref().or(unloaded),
            old_exports: loaded.or(unloaded.map(|beam| &beam.facts.exports)),
            new: changed.new.as_ref(),
        }
    }

    fn beam(&self, side: Side) -> Option<&'c Beam> {
        match side {
            Side::Old => self.old,
            Side::New => self.new,
        }
    }

    /// What a version exports; `None` when nodes of it do not have the module.
    fn exports(&self, side: Side) -> Option<&'c BTreeSet<FunctionArity>> {
        match side {
            Side::Old => self.old_exports,
            Side::New => self.new.map(|new| &new.facts.exports),
        }
    }

    fn is_in_both(&self) -> bool {
        self.old_exports.is_some() && self.new.is_some()
    }
}

/// Modules with both versions.
pub type Pairs<'c> = BTreeMap<&'c Module, Pair<'c>>;

/// Why the other version does not take a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    /// Its callback has no clause.
    NoClause(FunctionArity),
    /// It is handled like any unknown request.
    Unknown,
    /// There is no such server.
    NoServer,
}

/// A request that the other version does not take.
struct Crossing {
    sender: Module,
    receiver: Module,
    from: Function,
    to: Target,
    kind: RequestKind,
    /// The request as text.
    what: String,
    why: Why,
}

impl Crossing {
    fn is_same(&self, other: &Self) -> bool {
        (
            &self.receiver,
            self.kind,
            &self.what,
            &self.why,
            &self.from.name,
        ) == (
            &other.receiver,
            other.kind,
            &other.what,
            &other.why,
            &other.from.name,
        ) && self.sender == other.sender
    }

    fn note(&self) -> String {
        let kind = match self.kind {
            RequestKind::Call => "call",
            RequestKind::Cast => "cast",
            RequestKind::Message => "message",
        };
        let follows = match (&self.why, self.kind) {
            (Why::NoClause(callback), RequestKind::Call) => {
                format!("no clause of {callback}: the server ends, and the call fails")
            }
            (Why::NoClause(callback), _) => format!("no clause of {callback}: the server ends"),
            (Why::Unknown, _) => "handled like an unknown request".to_owned(),
            (Why::NoServer, RequestKind::Call) => "no such server: the call fails".to_owned(),
            (Why::NoServer, _) => "no such server: it is lost".to_owned(),
        };
        let place = place(&self.sender, &self.from);
        format!("{kind} `{}` to {}, {place}: {follows}", self.what, self.to)
    }
}

fn place(module: &Module, function: &Function) -> String {
    let name = named(function);
    match function.line {
        Some(line) => format!("in {module}:{name}, line {line}"),
        None => format!("in {module}:{name}"),
    }
}

/// `put/3`; of a fun or a list comprehension the function that it is in.
fn named(Function { name, arity, .. }: &Function) -> String {
    let inner = name.strip_prefix('-');
    let outer = inner.and_then(|inner| Some(inner.split_once("/")?.0));
    let outer_arity = inner.and_then(|inner| inner.split_once("/")?.1.split('-').next());
    match (outer, outer_arity) {
        (Some(outer), Some(arity)) => format!("{outer}/{arity}"),
        _ => format!("{name}/{arity}"),
    }
}

/// What is known of both versions.
struct Both<'c> {
    /// The modules that take part.
    modules: Pairs<'c>,
    requests: BTreeMap<(Side, &'c Module), Requests>,
    receivers: BTreeMap<(Side, &'c Module), Option<Receiver>>,
}

/// Warnings about what crosses versions between two nodes that get this upgrade one after the other.
pub fn crossing(changes: &ChangeSet, rules: &Ruleset) -> Vec<Diagnostic> {
    let modules = changes.modules.iter();
    let modules = modules.filter(|(module, _)| rules.modules.contains_key(*module));
    between(
        modules
            .map(|(module, changed)| (module, Pair::of(changed)))
            .collect(),
    )
}

/// The same between two versions.
pub fn between(modules: Pairs<'_>) -> Vec<Diagnostic> {
    let mut both = Both::read(modules);
    let directions = [Side::New, Side::Old];
    let found = directions.map(|from| (from, both.crossings(from)));
    let mut diagnostics = Vec::new();
    for (from, crossings) in &found {
        let all: Vec<&Crossing> = found.iter().flat_map(|(_, all)| all).collect();
        let mut receivers: Vec<&Module> = crossings.iter().map(|one| &one.receiver).collect();
        receivers.sort();
        receivers.dedup();
        for receiver in receivers {
            let of = crossings.iter().filter(|one| one.receiver == *receiver);
            let of: Vec<&Crossing> = of.collect();
            diagnostics.push(reported(*from, receiver, &of, &all, &both.modules));
        }
    }
    diagnostics.extend(
        directions
            .into_iter()
            .filter_map(|from| both.functions(from)),
    );
    diagnostics.extend(both.funs());
    diagnostics
}

impl<'c> Both<'c> {
    fn read(modules: Pairs<'c>) -> Self {
        let mut versions = Vec::new();
        for (&module, pair) in &modules {
            for side in [Side::Old, Side::New] {
                versions.extend(pair.beam(side).map(|beam| (side, module, beam)));
            }
        }
        let read = computed(&versions, |(_, module, beam)| {
            Requests::read(module, &beam.bytes, &beam.facts.exports)
        });
        let keys = versions.iter().map(|(side, module, _)| (*side, *module));
        Self {
            modules,
            requests: keys.zip(read).collect(),
            receivers: BTreeMap::new(),
        }
    }

    fn taking_part(&self, module: &Module) -> Option<&'c Module> {
        let (module, _) = self.modules.get_key_value(module)?;
        Some(*module)
    }

    /// The callback modules of the processes with a name, in a version.
    fn registered(&self, side: Side, target: &Target) -> BTreeSet<&'c Module> {
        let mut found = BTreeSet::new();
        for ((of, module), requests) in &self.requests {
            let names = requests.names.iter().filter(|_| *of == side);
            for (_, callback) in names.filter(|(name, _)| name.may_be(target)) {
                let callback = callback.as_ref().unwrap_or(module);
                found.extend(self.taking_part(callback));
            }
        }
        found
    }

    /// The same, where a version does not show it as the other one does, or by the name of a module.
    fn resolved(&self, side: Side, target: &Target) -> BTreeSet<&'c Module> {
        let found = self.registered(side, target);
        if !found.is_empty() {
            return found;
        }
        let found = self.registered(side.other(), target);
        match target {
            Target::Named(name) if found.is_empty() => {
                let same = self.taking_part(&Module::new(name.as_str()));
                same.into_iter().collect()
            }
            _ => found,
        }
    }

    fn takes(&mut self, side: Side, module: &'c Module, request: &Request) -> Taken {
        let pair = self.modules.get(module).copied();
        let read = || {
            let beam = pair?.beam(side)?;
            Receiver::read(module, &beam.bytes, &beam.facts.behaviours)
        };
        let receiver = self.receivers.entry((side, module)).or_insert_with(read);
        receiver.as_mut().map_or(Taken::Unseen, |receiver| {
            receiver.takes(request.kind, &request.what)
        })
    }

    /// Requests that a version sends and that the other one does not take.
    fn crossings(&mut self, from: Side) -> Vec<Crossing> {
        let sent: Vec<(&'c Module, Request)> = (self.requests.iter())
            .filter(|((side, _), _)| *side == from)
            .flat_map(|((_, module), all)| all.sent.iter().map(|one| (*module, one.clone())))
            .collect();
        let mut found: Vec<Crossing> = Vec::new();
        for (sender, request) in sent {
            let pairs: Vec<(&'c Module, &'c Module)> = match request.to {
                // Whoever has a clause of its own for it may be meant.
                Target::AnyName | Target::Members => {
                    self.modules.keys().map(|one| (*one, *one)).collect()
                }
                _ => {
                    let own = self.resolved(from, &request.to);
                    let other = self.resolved(from.other(), &request.to);
                    let (Some(own), 1) = (own.first(), own.len()) else {
                        continue;
                    };
                    other.into_iter().map(|other| (*own, other)).collect()
                }
            };
            for (own, other) in pairs {
                if let Some(why) = self.refused(from, own, other, &request) {
                    let crossing = Crossing {
                        sender: sender.clone(),
                        receiver: other.clone(),
                        from: request.from.clone(),
                        to: request.to.clone(),
                        kind: request.kind,
                        what: request.what.to_string(),
                        why,
                    };
                    if !found.iter().any(|one| one.is_same(&crossing)) {
                        found.push(crossing);
                    }
                }
            }
        }
        found
    }

    /// Why a process of the other version does not take a request that one of the sender's version does.
    fn refused(
        &mut self,
        from: Side,
        own: &'c Module,
        other: &'c Module,
        request: &Request,
    ) -> Option<Why> {
        let is_meant = |target: &Target| !matches!(target, Target::AnyName | Target::Members);
        let here = self.takes(from, own, request);
        if !matches!(here, Taken::Returns(_)) || !is_meant(&request.to) && !here.is_clause() {
            return None;
        }
        if self.modules.get(other)?.exports(from.other()).is_none() {
            return is_meant(&request.to).then_some(Why::NoServer);
        }
        match self.takes(from.other(), other, request) {
            Taken::Fails(callbacks) => callbacks.into_iter().next().map(Why::NoClause),
            there if there.is_blind(&here) => Some(Why::Unknown),
            _ => None,
        }
    }

    /// W662: functions that one version calls on another node, which only that version has.
    fn functions(&self, from: Side) -> Option<Diagnostic> {
        let has = |side: Side, function: &Mfa| {
            let exports = self.modules.get(&function.module)?.exports(side);
            let name = function.function_arity();
            Some(exports.is_some_and(|exports| exports.contains(&name)))
        };
        let mut notes = Vec::new();
        for ((_, module), requests) in self.requests_of(from) {
            for (function, at) in &requests.calls {
                if has(from, function) == Some(true) && has(from.other(), function) == Some(false) {
                    notes.push(format!("`{function}`, {}", place(module, at)));
                }
            }
        }
        if notes.is_empty() {
            return None;
        }
        let title = format!(
            "the {from} code calls functions on other nodes that the {} code does not have",
            from.other()
        );
        let help = match from {
            Side::New => {
                "two runs: first a version that has the functions and does not call them there yet"
            }
            Side::Old => {
                "keep the functions for one more version, and remove them when all nodes are new"
            }
        };
        Some(noted(Diagnostic::new(Code::W662, title), notes).help(format!("{help}{TOGETHER}")))
    }

    /// W662: funs of modules that differ, which the new version has executed on other nodes. Those of the old version can
    /// be called on new nodes too, as long as the old code is there.
    fn funs(&self) -> Option<Diagnostic> {
        let mut notes = Vec::new();
        let differs = |module: &Module| {
            let pair = self.modules.get(module);
            pair.is_some_and(Pair::is_in_both)
        };
        for ((_, module), requests) in self.requests_of(Side::New) {
            let executed = requests.funs.iter().map(|(of, at)| (of, at));
            let carried = (requests.sent.iter())
                .flat_map(|sent| sent.what.funs().into_iter().map(|of| (of, &sent.from)));
            for (_, at) in executed.chain(carried).filter(|(of, _)| differs(of)) {
                let note = place(module, at);
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
        if notes.is_empty() {
            return None;
        }
        let title = "the new code sends funs to other nodes, and old nodes cannot call them";
        let help = format!(
            "call an exported function there instead: `erpc:call(Node, Module, Function, Args)`{TOGETHER}"
        );
        let note = "a fun belongs to one version of its module, and fails with `badfun` where that is not loaded";
        Some(
            noted(Diagnostic::new(Code::W662, title), notes)
                .note(note)
                .help(help),
        )
    }

    /// What modules of one version send.
    fn requests_of(&self, side: Side) -> impl Iterator<Item = (&(Side, &'c Module), &Requests)> {
        let all = self.requests.iter();
        all.filter(move |((of, _), _)| *of == side)
    }
}

/// What goes for all of them.
const TOGETHER: &str = "; or switch all nodes at one instant: `rollout #{together => true}`";

fn noted(mut diagnostic: Diagnostic, notes: Vec<String>) -> Diagnostic {
    let more = notes.len().saturating_sub(NAMED);
    diagnostic.notes.extend(notes.into_iter().take(NAMED));
    match more {
        0 => diagnostic,
        more => diagnostic.note(format!("and {more} more")),
    }
}

/// W660 or W661 about one receiver.
fn reported(
    from: Side,
    receiver: &Module,
    of: &[&Crossing],
    all: &[&Crossing],
    modules: &Pairs<'_>,
) -> Diagnostic {
    let mut senders: Vec<String> = of.iter().map(|one| format!("`{}`", one.sender)).collect();
    senders.sort();
    senders.dedup();
    if senders.len() > NAMED {
        let more = senders.len() - NAMED + 1;
        senders.truncate(NAMED - 1);
        senders.push(format!("{more} more modules"));
    }
    let send = if senders.len() == 1 { "sends" } else { "send" };
    let senders = senders.join(", ");
    let (code, title) = match from {
        Side::New => (
            Code::W660,
            format!(
                "the new {senders} {send} requests to other nodes that the old `{receiver}` does not take"
            ),
        ),
        Side::Old => (
            Code::W661,
            format!(
                "the old {senders} {send} requests to other nodes that the new `{receiver}` does not take"
            ),
        ),
    };
    let notes = of.iter().map(|one| one.note()).collect();
    let mut help = steps(from, of, all, modules);
    if of.iter().all(|one| matches!(one.to, Target::Global(_))) {
        let place = match from {
            Side::New => "first",
            Side::Old => "last",
        };
        help = format!(
            "take the node with the process {place}, `rollout #{{order => […]}}`; or {help}"
        );
    }
    noted(Diagnostic::new(code, title), notes).help(format!("{help}{TOGETHER}"))
}

/// The two steps in which nothing crosses.
fn steps(from: Side, of: &[&Crossing], all: &[&Crossing], modules: &Pairs<'_>) -> String {
    let senders: BTreeSet<&Module> = of.iter().map(|one| &one.sender).collect();
    let receivers: BTreeSet<&Module> = of.iter().map(|one| &one.receiver).collect();
    // What goes first, alone: nothing of the other direction may begin with it.
    let first = match from {
        Side::New => &receivers,
        Side::Old => &senders,
    };
    let starts_another = all.iter().any(|one| {
        let is_of = of.iter().any(|other| std::ptr::eq(*other, *one));
        !is_of && (first.contains(&one.sender) || first.contains(&one.receiver))
    });
    let both_known = first.iter().all(|module| {
        let pair = modules.get(*module);
        pair.is_some_and(Pair::is_in_both)
    });
    if senders.is_disjoint(&receivers) && !starts_another && both_known {
        let names: Vec<String> = first.iter().map(ToString::to_string).collect();
        let names = names.join(", ");
        return format!(
            "two runs: `only [{names}] because \"…\".` in the plan on all nodes first, then without it"
        );
    }
    let receivers: Vec<String> = receivers.iter().map(|one| format!("`{one}`")).collect();
    let receivers = receivers.join(", ");
    match from {
        Side::New => format!(
            "two runs: first a version in which {receivers} takes the new requests and the old ones are sent"
        ),
        Side::Old => format!(
            "let {receivers} take these requests for one more version, and remove them when all nodes are new"
        ),
    }
}
