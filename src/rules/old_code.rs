//! What old versions that are still in use mean for an upgrade and for the way back, as diagnostics.

use super::lints::{NAMED, count};
use super::{Purge, Ruleset};
use crate::diag::{Code, Diagnostic};
use crate::facts::change::ChangeSet;
use crate::facts::node::old_code::{CodeUsers, OldCodeUse};
use crate::name::Module;
use crate::term::{Pid, Term};

/// Everything that there is to report about old code, for the modules that take part.
pub(super) fn advice(changes: &ChangeSet, rules: &Ruleset, out: &mut Vec<Diagnostic>) {
    let old = &changes.old_code;
    let policy = |module: &Module| {
        let decided = rules.modules.get(module);
        decided.map(|decided| decided.pre_purge.value)
    };
    for executing in &old.old {
        if let Some(policy) = policy(&executing.module) {
            out.push(old_in_use(executing, policy));
        }
    }
    held(old, &policy, out);
    kept(old, changes, &policy, out);
    way_back(old, &policy, out);
}

/// W629: processes execute the version that has to go before the new one can be loaded.
fn old_in_use(executing: &CodeUsers, policy: Purge) -> Diagnostic {
    let (module, number) = (&executing.module, executing.count);
    let verb = if number == 1 { "executes" } else { "execute" };
    let diagnostic = Diagnostic::new(
        Code::W629,
        format!(
            "{} still {verb} the version of `{module}` before the running one",
            count(number, "process", "processes")
        ),
    )
    .note(pids(&executing.pids, number));
    match policy {
        Purge::Defer | Purge::Soft => diagnostic
            .note("a node holds two versions of a module: the run is refused (E605) while they execute old code")
            .help(format!(
                "let them end, or write `module {module} #{{purge => brutal}}.` to end them, or `{{wait, 10s}}`"
            )),
        Purge::Wait(_) => diagnostic.note("the run waits for them, and refuses (E605) when they stay"),
        Purge::Brutal => diagnostic.note("`purge => brutal`: the run ends them before anything is loaded"),
    }
}

/// W631: funs of the version that has to go are kept as data.
fn held(old: &OldCodeUse, policy: &dyn Fn(&Module) -> Option<Purge>, out: &mut Vec<Diagnostic>) {
    let mut modules: Vec<&Module> = old.holders.iter().map(|holder| &holder.module).collect();
    modules.dedup();
    for module in modules {
        let Some(policy) = policy(module) else {
            continue;
        };
        let title =
            format!("funs of the version of `{module}` before the running one are kept as data");
        let mut diagnostic = Diagnostic::new(Code::W631, title);
        let holders = old.holders.iter().filter(|holder| holder.module == *module);
        diagnostic.notes = holders
            .take(NAMED)
            .map(|holder| holder.place.clone())
            .collect();
        if old.held > old.holders.len() || diagnostic.notes.len() == NAMED {
            diagnostic
                .notes
                .push(format!("{} in all", count(old.held, "place", "places")));
        }
        out.push(if policy == Purge::Brutal {
            diagnostic.note("`purge => brutal`: they raise `badfun` from then on, whenever they are called")
        } else {
            diagnostic
                .note("old code is purged before the new version is loaded, and its funs would raise `badfun`: the run is refused (E626)")
                .help(format!(
                    "let new code replace them first, or write `module {module} #{{purge => brutal}}.` to give them up"
                ))
        });
    }
    let concerned = old
        .holders
        .iter()
        .any(|holder| policy(&holder.module).is_some());
    if let (true, Some(last)) = (concerned && !old.unsearched.is_empty(), out.last_mut()) {
        last.notes
            .push(format!("not searched: {}", old.unsearched.join(", ")));
    }
}

/// W633: processes that go on calling the version that is replaced, by funs of it that they have at hand.
fn kept(
    old: &OldCodeUse,
    changes: &ChangeSet,
    policy: &dyn Fn(&Module) -> Option<Purge>,
    out: &mut Vec<Diagnostic>,
) {
    let mut modules: Vec<&Module> = old.keepers.iter().map(|holder| &holder.module).collect();
    modules.dedup();
    for module in modules {
        // New modules have no old funs, and those that go are asked about elsewhere.
        let replaced = changes
            .modules
            .get(module)
            .is_some_and(|changed| changed.new.is_some());
        if policy(module).is_none() || !replaced {
            continue;
        }
        let title = format!(
            "processes keep funs of `{module}` and will keep calling the version that is replaced"
        );
        let mut diagnostic = Diagnostic::new(Code::W633, title);
        let holders = old.keepers.iter().filter(|holder| holder.module == *module);
        diagnostic.notes = holders
            .take(NAMED)
            .map(|holder| holder.place.clone())
            .collect();
        if diagnostic.notes.len() == NAMED {
            diagnostic
                .notes
                .push(format!("{} in all", count(old.kept, "place", "places")));
        }
        out.push(diagnostic.note(
            "a fun keeps its version: the process runs it until it gets another fun or restarts",
        ));
    }
}

/// W630: processes that stay in the code that is left, and would be in the way of going back.
fn way_back(
    old: &OldCodeUse,
    policy: &dyn Fn(&Module) -> Option<Purge>,
    out: &mut Vec<Diagnostic>,
) {
    let all: Vec<(&CodeUsers, Purge)> = old
        .current
        .iter()
        .filter_map(|executing| Some((executing, policy(&executing.module)?)))
        .collect();
    let part = |brutal: bool| {
        let those = all
            .iter()
            .filter(move |(_, policy)| (*policy == Purge::Brutal) == brutal);
        those.map(|(executing, _)| *executing).collect::<Vec<_>>()
    };
    let sum = |those: &[&CodeUsers]| those.iter().map(|executing| executing.count).sum::<usize>();
    let notes = |those: &[&CodeUsers]| {
        let note = |executing: &&CodeUsers| {
            format!(
                "in `{}`: {}",
                executing.module,
                pids(&executing.pids, executing.count)
            )
        };
        those.iter().take(NAMED).map(note).collect::<Vec<_>>()
    };
    let ended = part(true);
    if !ended.is_empty() {
        let number = count(sum(&ended), "process", "processes");
        let title = format!("an undo after the switch would end {number}: `purge => brutal`");
        let mut diagnostic = Diagnostic::new(Code::W630, title);
        diagnostic.notes = notes(&ended);
        out.push(
            diagnostic
                .note("they execute the running version now; those that still do so then are ended")
                .help("use `purge => defer`, or give them time: `purge => {wait, 10s}`"),
        );
    }
    let waited = part(false);
    if !waited.is_empty() {
        let number = sum(&waited);
        let verb = if number == 1 { "executes" } else { "execute" };
        let title = format!(
            "{} {verb} code that is replaced",
            count(number, "process", "processes")
        );
        let mut diagnostic = Diagnostic::new(Code::W630, title);
        diagnostic.notes = notes(&waited);
        out.push(diagnostic.note(
            "an undo waits until they have left the old code and ends none of them; if one stays, the node stays new (21)",
        ).help(
            "what waits in a loop of its own, an acceptor, does not leave by itself. To have an undo end it, for its \
             supervisor to start it again: `module M #{purge => {brutal, defer}}`",
        ));
    }
}

/// Some processes, and how many more there are.
pub(super) fn pids(pids: &[Pid], all: usize) -> String {
    let shown: Vec<String> = pids
        .iter()
        .take(NAMED)
        .map(|pid| Term::Pid(pid.clone()).to_string())
        .collect();
    match all.saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
