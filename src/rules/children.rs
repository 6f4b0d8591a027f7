//! What becomes of a supervisor's children: those that only its new `init/1` specifies are started, those that it has no
//! longer are stopped, as a restart would have it; the plan's `children` overrules.
//!
//! Renewing its specifications starts and stops no child (that is OTP's rule). What the new ones are is known for certain in
//! the supervisor only, once it is converted; what the code shows is what the preview has, and nothing is stopped that
//! was not shown.

use super::{Change, Class, ModuleRules, Origin, Ruleset, app_children};
use crate::diag::{Code, Diagnostic};
use crate::facts::beam::children::{Child, Specified, specified};
use crate::facts::change::{ChangeSet, Changed};
use crate::name::Module;
use crate::term::Term;

/// What the plan says about a supervisor's children; `None` where it leaves that to inference.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Children {
    /// Identifiers of children that are started, in this order.
    pub start: Option<Vec<Term>>,
    /// Identifiers of children that are stopped and forgotten before that.
    pub stop: Option<Vec<Term>>,
}

impl Children {
    /// Whether nothing is reported.
    pub fn is_empty(&self) -> bool {
        self.start.is_none() && self.stop.is_none()
    }

    /// The children that the plan starts.
    pub fn started(&self) -> &[Term] {
        self.start.as_deref().unwrap_or_default()
    }

    /// The children that the plan stops.
    pub fn stopped(&self) -> &[Term] {
        self.stop.as_deref().unwrap_or_default()
    }

    /// Reads `#{start => [Id] | none, stop => [Id] | none}`.
    pub fn read(term: &Term) -> Option<Self> {
        let Term::Map(pairs) = term else { return None };
        let known = |key: &Term| key.is_atom("start") || key.is_atom("stop");
        if pairs.is_empty() || !pairs.keys().all(known) {
            return None;
        }
        let list = |key: &str| match term.get(key) {
            None => Some(None),
            Some(word) if word.is_atom("none") => Some(Some(Vec::new())),
            Some(ids) => ids.as_list().map(|ids| Some(ids.to_vec())),
        };
        Some(Self {
            start: list("start")?,
            stop: list("stop")?,
        })
    }
}

/// How the children of a supervisor differ between its versions, as far as the code shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Renewal {
    /// Identifiers that only the new `init/1` has, in the order in which it starts them.
    pub start: Vec<Term>,
    /// Identifiers that the new `init/1` has no longer.
    pub stop: Vec<Term>,
    /// The same identifier for another server: it, and the modules before and after.
    pub restart: Vec<(Term, Module, Module)>,
    /// Those that are started otherwise than the ones that run, which go on.
    pub held: Vec<Term>,
    /// The modules of the children that are started.
    pub begun: Vec<Module>,
    /// The modules of the children that are stopped or started anew.
    pub ended: Vec<Module>,
    /// Whether this is all, whatever the node says.
    pub exact: bool,
    /// Whether everything that the running version specifies is known.
    pub old_exact: bool,
}

impl Default for Renewal {
    fn default() -> Self {
        Self {
            start: Vec::new(),
            stop: Vec::new(),
            restart: Vec::new(),
            held: Vec::new(),
            begun: Vec::new(),
            ended: Vec::new(),
            exact: true,
            old_exact: true,
        }
    }
}

impl Renewal {
    /// Whether there is certainly nothing to do.
    pub fn is_empty(&self) -> bool {
        self.exact && self.start.is_empty() && self.stop.is_empty() && self.restart.is_empty()
    }
}

/// What the plan leaves to inference, of one supervisor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted<'a> {
    /// Whether the children that are new are started: those known before, and those that the node computes.
    pub starts: bool,
    /// Those known before.
    pub start: &'a [Term],
    /// Those that are stopped; `None`: the plan says which.
    pub stop: Option<&'a [Term]>,
    /// Those that are started anew; `None`: the plan says which.
    pub restart: Option<&'a [(Term, Module, Module)]>,
}

impl ModuleRules {
    /// Whether the specifications of its supervisors are renewed.
    pub fn renews(&self) -> bool {
        self.class.value == Class::Supervisor && matches!(self.change.value, Change::Advanced(_))
    }

    /// What is inferred about children and not overruled; `None` when there is nothing to do.
    pub fn inferred_children(&self) -> Option<Wanted<'_>> {
        let (renewal, plan) = (&self.renewal, &self.children.value);
        if !self.renews() || renewal.is_empty() {
            return None;
        }
        let (starts, stops) = (plan.start.is_none(), plan.stop.is_none());
        let wanted = Wanted {
            starts,
            start: if starts { &renewal.start } else { &[] },
            stop: stops.then_some(&renewal.stop[..]),
            restart: (starts && stops).then_some(&renewal.restart[..]),
        };
        let open = !renewal.exact && (starts || stops);
        let known = !wanted.start.is_empty()
            || wanted.stop.is_some_and(|ids| !ids.is_empty())
            || wanted.restart.is_some_and(|ids| !ids.is_empty());
        (open || known).then_some(wanted)
    }
}

/// How the children of a module differ, should it be a supervisor.
pub(super) fn renewal(changes: &ChangeSet, module: &Module, changed: &Changed) -> Renewal {
    let (Some(_), Some(_)) = (&changed.loaded, &changed.new) else {
        return Renewal::default();
    };
    let changed = |module: &Module| changes.modules.get(module);
    let new = specified(module, &|module| {
        changed(module)?.new.as_ref().map(|beam| &*beam.bytes)
    });
    let old = specified(module, &|module| {
        changed(module)?.old.as_ref().map(|beam| &*beam.bytes)
    });
    if changes.modules[module].old.is_none() {
        // What runs is not known: only the node can tell what is new.
        return Renewal {
            exact: false,
            old_exact: false,
            ..Renewal::default()
        };
    }
    difference(&old, &new)
}

/// How two versions differ.
pub(crate) fn difference(old: &Specified, new: &Specified) -> Renewal {
    let mut found = Renewal {
        // A supervisor that is started again might answer `ignore`; one that runs keeps what it has then.
        exact: old.exact && new.exact && !new.ignores,
        old_exact: old.exact,
        ..Renewal::default()
    };
    for child in &new.children {
        match old.get(&child.id) {
            None => {
                found.start.push(child.id.clone());
                let modules = child.module.iter().chain(child.modules.iter().flatten());
                found.begun.extend(modules.cloned());
            }
            Some(before) => match another(before, child) {
                Some((was, is)) => found.restart.push((child.id.clone(), was, is)),
                None if is_held(before, child) => found.held.push(child.id.clone()),
                None => {}
            },
        }
    }
    if !new.ignores {
        let gone = old
            .children
            .iter()
            .filter(|child| new.get(&child.id).is_none());
        found.stop = gone.map(|child| child.id.clone()).collect();
    }
    let ended = |child: &&Child| {
        let restarted = found.restart.iter().any(|(id, ..)| *id == child.id);
        restarted || found.stop.contains(&child.id)
    };
    let ended = old.children.iter().filter(ended);
    let modules = ended.flat_map(|child| child.module.iter().chain(child.modules.iter().flatten()));
    found.ended = modules.cloned().collect();
    found
}

/// The modules of two servers under one identifier: what starts them differs, and what they run.
pub(super) fn another(old: &Child, new: &Child) -> Option<(Module, Module)> {
    let (was, is) = (old.module.as_ref()?, new.module.as_ref()?);
    let (before, after) = (old.modules.as_ref()?, new.modules.as_ref()?);
    let shared = before.iter().any(|module| after.contains(module));
    (was != is && !shared).then(|| (was.clone(), is.clone()))
}

/// Whether the one that runs was started otherwise than it would be now.
pub(super) fn is_held(old: &Child, new: &Child) -> bool {
    matches!((&old.start, &new.start), (Some(old), Some(new)) if old != new)
}

/// What is to be reported about the children of the supervisors of an upgrade.
pub fn advice(changes: &ChangeSet, rules: &Ruleset) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    for (module, decided) in &rules.modules {
        let children = &decided.children;
        if decided.class.value != Class::Supervisor {
            if !children.value.is_empty() && decided.listing.is_none() {
                diagnostics.push(misplaced(module, &children.origin));
            }
            continue;
        }
        if !decided.renews() && !children.value.is_empty() {
            let diagnostic = misplaced(module, &children.origin)
                .note("with `change => soft` its specifications are not renewed");
            diagnostics.push(diagnostic);
            continue;
        }
        let running = changes
            .modules
            .get(module)
            .is_some_and(|changed| changed.processes > 0);
        if decided.renews() && running {
            of_supervisor(module, decided, &mut diagnostics);
        }
    }
    app_children::advice(rules, &mut diagnostics);
    diagnostics
}

fn of_supervisor(module: &Module, decided: &ModuleRules, diagnostics: &mut Vec<Diagnostic>) {
    let (renewal, plan) = (&decided.renewal, &decided.children.value);
    let unsaid = |ids: &[Term], diagnostics: Option<&Vec<Term>>| -> Vec<Term> {
        // `none` says it of all.
        let Some(named) = diagnostics.filter(|named| !named.is_empty()) else {
            return Vec::new();
        };
        let others = ids.iter().filter(|id| !named.contains(id));
        others.cloned().collect()
    };
    let added = unsaid(&renewal.start, plan.start.as_ref());
    let removed = unsaid(&renewal.stop, plan.stop.as_ref());
    if !added.is_empty() || !removed.is_empty() {
        diagnostics.push(unsettled(module, &added, &removed));
    }
    let wanted = decided.inferred_children().unwrap_or_default();
    let (stop, restart) = (
        wanted.stop.unwrap_or_default(),
        wanted.restart.unwrap_or_default(),
    );
    if !stop.is_empty() || !restart.is_empty() {
        diagnostics.push(stopped(module, "init/1", stop, restart));
    }
    let named = |id: &&Term| plan.started().contains(id) && plan.stopped().contains(id);
    let held: Vec<&Term> = renewal.held.iter().filter(|id| !named(id)).collect();
    if !held.is_empty() {
        let ids = list(held.iter().copied());
        let help = format!(
            "module {module} #{{children => #{{start => [{ids}], stop => [{ids}]}}}} because \"…\"."
        );
        let diagnostic = goes_on(module, &held);
        diagnostics.push(
            diagnostic
                .note("to restart them in the upgrade, write in the plan")
                .help(help),
        );
    }
}

fn misplaced(module: &Module, origin: &Origin) -> Diagnostic {
    let title = format!(
        "`children` is for supervisors whose specifications are renewed, not for `{module}`"
    );
    let diagnostic = Diagnostic::new(Code::E205, title);
    match origin {
        Origin::Plan { span, .. } => diagnostic.label(*span, "in this statement"),
        _ => diagnostic,
    }
}

/// Identifiers with commas between them.
pub fn list<'a>(ids: impl IntoIterator<Item = &'a Term>) -> String {
    let ids: Vec<String> = ids.into_iter().map(ToString::to_string).collect();
    ids.join(", ")
}

/// W343: the plan names some of them.
pub(super) fn unsettled(module: &Module, added: &[Term], removed: &[Term]) -> Diagnostic {
    let title = format!("the plan leaves out children of `{module}`");
    let mut diagnostic = Diagnostic::new(Code::W343, title);
    if !added.is_empty() {
        diagnostic = diagnostic.note(format!("new, would not be started: {}", list(added)));
    }
    if !removed.is_empty() {
        diagnostic = diagnostic.note(format!("removed, would keep running: {}", list(removed)));
    }
    diagnostic.help(
        "name them too, or leave `start` or `stop` out of `children`: then it is inferred; `none` says that it is meant",
    )
}

/// W420: what ends.
pub(super) fn stopped(
    module: &Module,
    by: &str,
    stop: &[Term],
    restart: &[(Term, Module, Module)],
) -> Diagnostic {
    let title = format!("children of `{module}` are stopped");
    let mut diagnostic = Diagnostic::new(Code::W420, title);
    if !stop.is_empty() {
        let text = format!("its new {by} no longer has {}", list(stop));
        diagnostic = diagnostic.note(text);
    }
    for (id, was, is) in restart {
        let text = format!("{id} was a server of {was}, and is one of {is} now: it is restarted");
        diagnostic = diagnostic.note(text);
    }
    diagnostic
        .note("a restart would come to the same; the states of these children are lost")
        .note("to let them go on, the plan says so")
        .help(format!(
            "module {module} #{{children => #{{stop => none}}}} because \"…\"."
        ))
}

/// W421: what holds later.
pub(crate) fn goes_on(module: &Module, held: &[&Term]) -> Diagnostic {
    let ids = list(held.iter().copied());
    let title = format!("children of `{module}` keep running with their old arguments: {ids}");
    Diagnostic::new(Code::W421, title)
        .note("the new start function or arguments hold from their next start")
}
