//! Steps about the children of supervisors, as terms and back.

use super::values::{all, boolean, list, map, module, module_term, terms};
use crate::exec::step::{
    ChildAction, ChildStep, KnownChildren, ListEntry, ListedChildren, RenewedChildren,
};
use crate::term::Term;

/// `{What, Supervisor, ChildId or Known}`.
pub(super) fn child_term(step: &ChildStep) -> Term {
    let (word, what) = match &step.action {
        ChildAction::Start(id) => ("start", id.clone()),
        ChildAction::Stop(id) => ("stop", id.clone()),
        ChildAction::Halt(id) => ("halt", id.clone()),
        ChildAction::Forget(id) => ("forget", id.clone()),
        ChildAction::Added(id) => ("added", id.clone()),
        ChildAction::Renewed(renewed) => ("renewed", renewed_term(renewed)),
        ChildAction::Revoked(known) => ("revoked", known_term(known)),
        ChildAction::Reinstated(known) => ("reinstated", known_term(known)),
        ChildAction::Listed(listed) => ("listed", listed_term(listed)),
        ChildAction::Unlisted(listed) => ("unlisted", listed_term(listed)),
        ChildAction::Relisted(listed) => ("relisted", listed_term(listed)),
    };
    Term::tuple([Term::atom(word), module_term(&step.supervisor), what])
}

pub(super) fn child(term: &Term) -> Option<ChildStep> {
    let [word, supervisor, what] = term.as_tuple()? else {
        return None;
    };
    let action = match word.as_atom()?.as_str() {
        "start" => ChildAction::Start(what.clone()),
        "stop" => ChildAction::Stop(what.clone()),
        "halt" => ChildAction::Halt(what.clone()),
        "forget" => ChildAction::Forget(what.clone()),
        "added" => ChildAction::Added(what.clone()),
        "renewed" => ChildAction::Renewed(renewed(what)?),
        "revoked" => ChildAction::Revoked(known(what)?),
        "reinstated" => ChildAction::Reinstated(known(what)?),
        "listed" => ChildAction::Listed(listed(what)?),
        "unlisted" => ChildAction::Unlisted(listed(what)?),
        "relisted" => ChildAction::Relisted(listed(what)?),
        _ => return None,
    };
    let supervisor = module(supervisor)?;
    Some(ChildStep { supervisor, action })
}

/// `#{start => all | none, stop => [Id] | none, restart => [Id] | none, tell => boolean}`.
fn renewed_term(renewed: &RenewedChildren) -> Term {
    let ids = |ids: &Option<Vec<Term>>| ids.clone().map_or_else(|| Term::atom("none"), Term::List);
    map([
        (
            "start",
            Term::atom(if renewed.start { "all" } else { "none" }),
        ),
        ("stop", ids(&renewed.stop)),
        ("restart", ids(&renewed.restart)),
        ("tell", Term::boolean(renewed.tell)),
    ])
}

fn renewed(term: &Term) -> Option<RenewedChildren> {
    let ids = |key| match term.get(key)? {
        none if none.is_atom("none") => Some(None),
        ids => terms(ids).map(Some),
    };
    Some(RenewedChildren {
        start: match term.get("start")?.as_atom()?.as_str() {
            "all" => true,
            "none" => false,
            _ => return None,
        },
        stop: ids("stop")?,
        restart: ids("restart")?,
        tell: boolean(term.get("tell")?)?,
    })
}

/// `#{start => [Id], stop => [Id], restart => [Id]}`.
fn known_term(known: &KnownChildren) -> Term {
    map([
        ("start", Term::List(known.start.clone())),
        ("stop", Term::List(known.stop.clone())),
        ("restart", Term::List(known.restart.clone())),
    ])
}

fn known(term: &Term) -> Option<KnownChildren> {
    Some(KnownChildren {
        start: terms(term.get("start")?)?,
        stop: terms(term.get("stop")?)?,
        restart: terms(term.get("restart")?)?,
    })
}

/// `#{names => [Name], start => [Entry], stop => [Entry], order => [Entry], strict => boolean}`.
fn listed_term(listed: &ListedChildren) -> Term {
    map([
        ("names", Term::List(listed.names.clone())),
        ("start", list(&listed.start, entry_term)),
        ("stop", list(&listed.stop, entry_term)),
        ("order", list(&listed.order, entry_term)),
        ("strict", Term::boolean(listed.strict)),
    ])
}

fn listed(term: &Term) -> Option<ListedChildren> {
    Some(ListedChildren {
        names: terms(term.get("names")?)?,
        start: all(term.get("start")?, entry)?,
        stop: all(term.get("stop")?, entry)?,
        order: all(term.get("order")?, entry)?,
        strict: boolean(term.get("strict")?)?,
    })
}

/// `{exact | like, Id, [Item]}`.
fn entry_term(entry: &ListEntry) -> Term {
    Term::tuple([
        Term::atom(if entry.like { "like" } else { "exact" }),
        entry.id.clone(),
        Term::list(entry.item.iter().cloned()),
    ])
}

fn entry(term: &Term) -> Option<ListEntry> {
    let [word, id, item] = term.as_tuple()? else {
        return None;
    };
    Some(ListEntry {
        like: match word.as_atom()?.as_str() {
            "like" => true,
            "exact" => false,
            _ => return None,
        },
        id: id.clone(),
        item: match item.as_list()? {
            [] => None,
            [item] => Some(item.clone()),
            _ => return None,
        },
    })
}
