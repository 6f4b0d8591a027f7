//! Children that the `start/2` of an application lists for its supervisor, as every Elixir application does: those that only
//! the new list has are started, those that it has no longer are stopped, as a restart would have it; the plan's
//! `children` overrules.
//!
//! The supervisor keeps what it was given when the application started, so the two lists are all that tells how it differs.
//! Where they cannot be read whole from the code, nothing is inferred (W424).

use std::collections::BTreeSet;

use super::children::{another, goes_on, is_held, list, stopped, unsettled};
use super::{Children, Class, ModuleRules, Origin, Renewal, Ruleset};
use crate::diag::{Code, Diagnostic};
use crate::facts::beam::children::{Child, Listed, ListedChild, listed};
use crate::facts::change::{Beam, ChangeSet, Changed};
use crate::name::Module;
use crate::term::Term;

/// How the lists of two versions differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// Names that the supervisor may have: of the list that it was started with, and of the new one.
    pub names: Vec<Term>,
    /// The list that it was started with.
    pub old: Vec<ListedChild>,
    /// The new list.
    pub new: Vec<ListedChild>,
    /// What a restart would come to, as far as it can be done.
    pub renewal: Renewal,
    /// Children that only the new list has and whose entry the code does not show.
    unseen: Vec<Term>,
    /// Children that the new list has no longer, as far as the lists tell.
    gone: Vec<Term>,
    /// Whether anything is inferred.
    inferred: bool,
    /// Whether all of the new list is known.
    new_exact: bool,
}

/// What is done with the children of a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Enlisted {
    /// Those that are started, in the order of the new list, or of the plan.
    pub start: Vec<ListedChild>,
    /// Those that are stopped before that.
    pub stop: Vec<ListedChild>,
    /// Whether the plan names some of them.
    pub named: bool,
}

impl Enlisted {
    /// Those that are stopped and started again.
    pub fn restarts(&self, id: &Term) -> bool {
        let is = |one: &ListedChild| one.child.id == *id;
        self.start.iter().any(is) && self.stop.iter().any(is)
    }
}

impl ModuleRules {
    /// How the children differ that it lists; `None` for a supervisor, which is renewed by its own `init/1`.
    pub fn lists(&self) -> Option<&Listing> {
        self.listing.as_ref().filter(|_| !self.renews())
    }

    /// What is done with the children that it lists; `None` when that is nothing.
    pub fn listed_children(&self) -> Option<Enlisted> {
        let (listing, plan) = (self.lists()?, &self.children.value);
        let (starts, stops) = (plan.start.is_none(), plan.stop.is_none());
        let of = |all: &[ListedChild], ids: &[Term]| -> Vec<ListedChild> {
            let named = ids.iter().filter_map(|id| find(all, id));
            named.cloned().collect()
        };
        let renewal = &listing.renewal;
        let restarted: Vec<Term> = match starts && stops {
            true => renewal.restart.iter().map(|(id, ..)| id.clone()).collect(),
            false => Vec::new(),
        };
        let mut found = Enlisted {
            named: !plan.started().is_empty() || !plan.stopped().is_empty(),
            ..Enlisted::default()
        };
        match &plan.start {
            Some(ids) => found.start = of(&listing.new, ids),
            None if listing.inferred => {
                let starts = |one: &&ListedChild| {
                    renewal.start.contains(&one.child.id) || restarted.contains(&one.child.id)
                };
                found.start = listing.new.iter().filter(starts).cloned().collect();
            }
            None => {}
        }
        found.start.retain(|one| one.item.is_some());
        match &plan.stop {
            // One that was started by hand is in no list.
            Some(ids) => {
                let known = |id: &Term| find(&listing.old, id).cloned();
                let stop = ids.iter().map(|id| known(id).unwrap_or_else(|| bare(id)));
                found.stop = stop.collect();
            }
            None if listing.inferred => {
                let stops = |one: &&ListedChild| {
                    renewal.stop.contains(&one.child.id) || restarted.contains(&one.child.id)
                };
                found.stop = listing.old.iter().filter(stops).cloned().collect();
            }
            None => {}
        }
        (!found.start.is_empty() || !found.stop.is_empty()).then_some(found)
    }
}

fn find<'a>(all: &'a [ListedChild], id: &Term) -> Option<&'a ListedChild> {
    all.iter().find(|one| one.child.id == *id)
}

fn bare(id: &Term) -> ListedChild {
    ListedChild {
        child: Child {
            id: id.clone(),
            start: None,
            module: None,
            modules: None,
        },
        item: None,
        guessed: false,
    }
}

/// How the lists of a module's versions differ, should it be the module of an application that runs.
pub(super) fn listing(
    changes: &ChangeSet,
    module: &Module,
    changed: &Changed,
    class: Class,
) -> Option<Listing> {
    let (Some(old), Some(new), Some(_)) = (&changed.old, &changed.new, &changed.loaded) else {
        return None;
    };
    let sleeps = |app| changes.not_started.contains(app);
    if !is_application(old) || !is_application(new) || changed.app.as_ref().is_some_and(sleeps) {
        return None;
    }
    let beams = |module: &Module| changes.modules.get(module);
    let old = listed(module, &|module| {
        beams(module)?.old.as_ref().map(|beam| &*beam.bytes)
    })?;
    let new = listed(module, &|module| {
        beams(module)?.new.as_ref().map(|beam| &*beam.bytes)
    })?;
    Some(difference(old, new, class))
}

fn is_application(beam: &Beam) -> bool {
    let mut behaviours = beam.facts.behaviours.iter();
    behaviours.any(|b| matches!(b.as_str(), "application" | "Elixir.Application"))
}

/// How two lists differ.
fn difference(old: Listed, new: Listed, class: Class) -> Listing {
    let pairs = paired(&old.children, &new.children);
    let mut renewal = Renewal::default();
    let (mut unseen, mut gone) = (Vec::new(), Vec::new());
    let modules = |child: &Child| -> Vec<Module> {
        let modules = child.module.iter().chain(child.modules.iter().flatten());
        modules.cloned().collect()
    };
    for (at, one) in new.children.iter().enumerate() {
        let id = &one.child.id;
        let before = pairs.iter().find(|(_, new)| *new == at);
        match before.map(|(old_at, _)| &old.children[*old_at].child) {
            None if one.item.is_none() => unseen.push(id.clone()),
            None => {
                renewal.start.push(id.clone());
                renewal.begun.extend(modules(&one.child));
            }
            Some(before) => match another(before, &one.child) {
                Some((was, is)) if one.item.is_some() => {
                    renewal.restart.push((id.clone(), was, is));
                    renewal.begun.extend(modules(&one.child));
                    renewal.ended.extend(modules(before));
                }
                Some(_) => renewal.held.push(id.clone()),
                None if is_held(before, &one.child) => renewal.held.push(id.clone()),
                None => {}
            },
        }
    }
    for (at, one) in old.children.iter().enumerate() {
        if !pairs.iter().any(|(old, _)| *old == at) {
            gone.push(one.child.id.clone());
            renewal.ended.extend(modules(&one.child));
        }
    }
    renewal.stop.clone_from(&gone);
    (renewal.exact, renewal.old_exact) = (new.exact, old.exact);
    let mut names: Vec<Term> = Vec::new();
    for name in [&old.name, &new.name].into_iter().flatten() {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    Listing {
        names,
        // A supervisor with an init/1 of its own is renewed by that.
        inferred: old.exact && new.exact && class != Class::Supervisor,
        new_exact: new.exact,
        old: old.children,
        new: new.children,
        renewal,
        unseen,
        gone,
    }
}

/// Whether an entry of the old list may be one of the new list.
type Fits<'a> = dyn Fn(&ListedChild, &ListedChild) -> bool + 'a;

/// Which entry of the old list is which of the new one. Where identifiers are guesses two entries of one module may have the
/// same: those that are equal belong together, then those of one name, then those without.
fn paired(old: &[ListedChild], new: &[ListedChild]) -> Vec<(usize, usize)> {
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    let name = |one: &ListedChild| {
        let options = one.item.as_ref().and_then(Term::as_tuple)?.get(1)?;
        let mut options = options.as_list()?.iter().filter_map(Term::as_tuple);
        options.find_map(|pair| match pair {
            [key, name] if key.is_atom("name") => Some(name.clone()),
            _ => None,
        })
    };
    let sure = |one: &ListedChild, other: &ListedChild| !one.guessed && !other.guessed;
    let equal = |one: &ListedChild, other: &ListedChild| {
        sure(one, other) || one.item.is_some() && one.item == other.item
    };
    let named =
        |one: &ListedChild, other: &ListedChild| name(one).is_some() && name(one) == name(other);
    let open =
        |one: &ListedChild, other: &ListedChild| name(one).is_none() || name(other).is_none();
    let rules: [&Fits<'_>; 3] = [&equal, &named, &open];
    for fits in rules {
        for (at, one) in old.iter().enumerate() {
            let taken = |now: usize| pairs.iter().any(|(_, new)| *new == now);
            if pairs.iter().any(|(old, _)| *old == at) {
                continue;
            }
            let mut candidates = new.iter().enumerate();
            let found = candidates.find(|(now, other)| {
                !taken(*now) && one.child.id == other.child.id && fits(one, other)
            });
            if let Some((now, _)) = found {
                pairs.push((at, now));
            }
        }
    }
    pairs
}

/// What is to be reported about the lists of applications.
pub(super) fn advice(rules: &Ruleset, diagnostics: &mut Vec<Diagnostic>) {
    for (module, decided) in &rules.modules {
        let Some(listing) = &decided.listing else {
            continue;
        };
        let plan = &decided.children.value;
        diagnostics.extend(
            decided
                .lists()
                .and_then(|listing| unlisted(module, decided, listing)),
        );
        diagnostics.extend(listing.unread(module, plan));
        if !listing.inferred || decided.renews() {
            continue;
        }
        let renewal = &listing.renewal;
        let unnamed = |ids: &[Term], named: Option<&Vec<Term>>| -> Vec<Term> {
            let named = named.filter(|named| !named.is_empty());
            let left = |named: &Vec<Term>| {
                ids.iter()
                    .filter(|id| !named.contains(id))
                    .cloned()
                    .collect()
            };
            named.map(left).unwrap_or_default()
        };
        let (added, removed) = (
            unnamed(&renewal.start, plan.start.as_ref()),
            unnamed(&renewal.stop, plan.stop.as_ref()),
        );
        if !added.is_empty() || !removed.is_empty() {
            diagnostics.push(unsettled(module, &added, &removed));
        }
        if plan.stop.is_none() {
            let restart = if plan.start.is_none() {
                &renewal.restart[..]
            } else {
                &[]
            };
            if !renewal.stop.is_empty() || !restart.is_empty() {
                diagnostics.push(stopped(module, "start/2", &renewal.stop, restart));
            }
        }
        let again = |id: &&Term| plan.started().contains(id) && plan.stopped().contains(id);
        let held: Vec<&Term> = renewal.held.iter().filter(|id| !again(id)).collect();
        if !held.is_empty() {
            let seen = |id: &&&Term| find(&listing.new, id).is_some_and(|one| one.item.is_some());
            let diagnostic = goes_on(module, &held);
            let seen = list(held.iter().filter(seen).copied());
            diagnostics.push(match seen.as_str() {
                "" => diagnostic,
                ids => diagnostic
                    .note("to restart them in the upgrade, write in the plan")
                    .help(format!(
                        "module {module} #{{children => #{{start => [{ids}], stop => [{ids}]}}}} because \"…\"."
                    )),
            });
        }
    }
}

/// E629: the plan starts what the code does not show.
fn unlisted(module: &Module, decided: &ModuleRules, listing: &Listing) -> Option<Diagnostic> {
    let started = decided.children.value.started().iter();
    let unknown = |id: &&Term| find(&listing.new, id).is_none_or(|one| one.item.is_none());
    let unknown: Vec<&Term> = started.filter(unknown).collect();
    if unknown.is_empty() {
        return None;
    }
    let title = format!(
        "children that the plan starts are not seen in the list of `{module}`: {}",
        list(unknown)
    );
    let known: BTreeSet<String> = listing
        .new
        .iter()
        .filter(|one| one.item.is_some())
        .map(|one| one.child.id.to_string())
        .collect();
    let mut diagnostic = Diagnostic::new(Code::E629, title)
        .note("what a child of an application is started with comes from the list in its start/2");
    if !known.is_empty() {
        let known: Vec<String> = known.into_iter().collect();
        diagnostic = diagnostic.note(format!("seen there: {}", known.join(", ")));
    }
    if let Origin::Plan { span, .. } = decided.children.origin {
        diagnostic = diagnostic.label(span, "in this statement");
    }
    let name = listing
        .names
        .last()
        .map_or("SUP".to_owned(), Term::to_string);
    Some(diagnostic.help(format!(
        "insert {{apply, {{'Elixir.Supervisor', start_child, [{name}, …]}}}} at end because \"…\"."
    )))
}

impl Listing {
    /// W424: what of the lists cannot be read, or done by what they show.
    pub fn unread(&self, module: &Module, plan: &Children) -> Option<Diagnostic> {
        let (mut added, mut dropped) = (self.unseen.clone(), Vec::new());
        if !self.inferred {
            let new = self.new.iter().map(|one| &one.child.id);
            let starts = |id: &&Term| self.renewal.start.contains(id) || self.unseen.contains(id);
            added = new.filter(starts).cloned().collect();
            if self.new_exact {
                dropped.clone_from(&self.gone);
            }
        }
        if plan.start.is_some() {
            added.clear();
        }
        if plan.stop.is_some() {
            dropped.clear();
        }
        if added.is_empty() && dropped.is_empty() {
            return None;
        }
        let title = match self.inferred {
            true => format!("children that `{module}` starts are new, and not started"),
            false => {
                format!(
                    "the children that `{module}` starts differ, and none is started or stopped"
                )
            }
        };
        let mut diagnostic = Diagnostic::new(Code::W424, title);
        if !added.is_empty() {
            diagnostic = diagnostic.note(format!("new: {}", list(&added)));
        }
        if !dropped.is_empty() {
            diagnostic = diagnostic.note(format!("gone: {}", list(&dropped)));
        }
        diagnostic = diagnostic
        .note("its start/2 computes what its code does not show; its supervisor keeps what it was given when the application started");
        let Some(name) = self.names.last() else {
            return Some(
                diagnostic
                    .help("start and stop them by supervisor:start_child/2 and terminate_child/2"),
            );
        };
        let mut lines: Vec<String> = Vec::new();
        let call = |module: &str, function: &str, argument: &str| {
            format!(
                "insert {{apply, {{{module}, {function}, [{name}, {argument}]}}}} at end because \"…\"."
            )
        };
        for id in dropped.iter().map(ToString::to_string) {
            lines.push(call("supervisor", "terminate_child", &id));
            lines.push(call("supervisor", "delete_child", &id));
        }
        for id in &added {
            let seen = find(&self.new, id).and_then(|one| one.item.as_ref());
            let item = seen.map_or("…".to_owned(), Term::to_string);
            lines.push(call("'Elixir.Supervisor'", "start_child", &item));
        }
        Some(diagnostic.help(lines.join("\n")))
    }
}
