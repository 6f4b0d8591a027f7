//! High-level instructions: what an `.appup` says (OTP: appup(4)).

use std::fmt;

use super::{Why, module_term};
use crate::facts::change::{ChangeSet, Changed};
use crate::graph::Edge;
use crate::name::Module;
use crate::rules::{Change, Class, ModuleType, Purge, Ruleset, Timeout};
use crate::term::{BigInt, Term};

/// One appup instruction about a module.
#[derive(Clone, Debug, PartialEq)]
pub enum High {
    /// A module whose processes are suspended, converted, resumed.
    Update {
        /// The module.
        module: Module,
        /// `static` or `dynamic`.
        kind: ModuleType,
        /// Patience when suspending.
        timeout: Timeout,
        /// The conversion: `soft` or `{advanced, Extra}`.
        change: Change,
        /// Purge before the switch.
        pre: Purge,
        /// Purge after the switch.
        post: Purge,
        /// Those it waits for.
        deps: Vec<Module>,
        /// Whether it is a supervisor (the short form).
        supervisor: bool,
    },
    /// A module that is replaced.
    LoadModule {
        /// The module.
        module: Module,
        /// Purge before the switch.
        pre: Purge,
        /// Purge after the switch.
        post: Purge,
        /// Those it waits for.
        deps: Vec<Module>,
    },
    /// A module that is new.
    AddModule {
        /// The module.
        module: Module,
        /// Those it waits for.
        deps: Vec<Module>,
    },
    /// A module that goes.
    DeleteModule {
        /// The module.
        module: Module,
        /// Those it waits for.
        deps: Vec<Module>,
    },
}

/// An instruction and its reasons.
#[derive(Clone, Debug, PartialEq)]
pub struct HighStep {
    /// The instruction.
    pub instruction: High,
    /// Why it is there, why it is as it is, why it is here.
    pub why: Vec<Why>,
}

impl High {
    /// The module concerned.
    pub fn module(&self) -> &Module {
        match self {
            Self::Update { module, .. }
            | Self::LoadModule { module, .. }
            | Self::AddModule { module, .. }
            | Self::DeleteModule { module, .. } => module,
        }
    }

    /// The instruction as OTP's term, in its shortest form.
    pub fn to_term(&self) -> Term {
        let list = |deps: &[Module]| Term::List(deps.iter().map(module_term).collect());
        let with = |word: &str, module: &Module, deps: &[Module]| {
            let mut elements = vec![Term::atom(word), module_term(module)];
            if !deps.is_empty() {
                elements.push(list(deps));
            }
            Term::Tuple(elements)
        };
        match self {
            Self::AddModule { module, deps } => with("add_module", module, deps),
            Self::DeleteModule { module, deps } => with("delete_module", module, deps),
            Self::LoadModule {
                module,
                pre: Purge::Brutal,
                post: Purge::Brutal,
                deps,
            } => with("load_module", module, deps),
            Self::LoadModule {
                module,
                pre,
                post,
                deps,
            } => Term::tuple([
                Term::atom("load_module"),
                module_term(module),
                purge_term(*pre),
                purge_term(*post),
                list(deps),
            ]),
            Self::Update {
                module,
                supervisor: true,
                deps,
                ..
            } if deps.is_empty() => Term::tuple([
                Term::atom("update"),
                module_term(module),
                Term::atom("supervisor"),
            ]),
            Self::Update {
                module,
                kind,
                timeout,
                change,
                pre,
                post,
                deps,
                supervisor,
            } => {
                // The same as the short form, which has no place for dependencies.
                let (kind, pre, post) = match supervisor {
                    true => (ModuleType::Static, Purge::Brutal, Purge::Brutal),
                    false => (*kind, *pre, *post),
                };
                Term::tuple([
                    Term::atom("update"),
                    module_term(module),
                    Term::atom(if kind == ModuleType::Static {
                        "static"
                    } else {
                        "dynamic"
                    }),
                    timeout_term(timeout),
                    change_term(change),
                    purge_term(pre),
                    purge_term(post),
                    list(deps),
                ])
            }
        }
    }
}

impl fmt::Display for High {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_term().fmt(f)
    }
}

/// `soft_purge` or `brutal_purge`; a patient purge is soft to OTP.
pub(super) fn purge_term(purge: Purge) -> Term {
    Term::atom(match purge {
        Purge::Defer | Purge::Soft | Purge::Wait(_) => "soft_purge",
        Purge::Brutal => "brutal_purge",
    })
}

pub(super) fn timeout_term(timeout: &Timeout) -> Term {
    match timeout {
        Timeout::Default => Term::atom("default"),
        Timeout::Infinity => Term::atom("infinity"),
        Timeout::After(time) => Term::integer(BigInt::from(time.as_millis())),
        Timeout::Beyond(time) => Term::integer(time.clone()),
    }
}

/// `soft` or `{advanced, Extra}`. OTP has no word for `{convert, F}`: it prints as plans write it.
pub(super) fn change_term(change: &Change) -> Term {
    match change {
        Change::Soft => Term::atom("soft"),
        Change::Advanced(extra) => Term::tuple([Term::atom("advanced"), extra.clone()]),
        Change::Convert { module, function } => Term::tuple([
            Term::atom("convert"),
            Term::Fun(crate::term::Fun::External {
                module: module.as_str().into(),
                name: function.clone(),
                arity: 1,
            }),
        ]),
    }
}

/// The appup instructions of a ruleset, dependencies first; what goes comes last.
pub fn high(changes: &ChangeSet, rules: &Ruleset) -> Vec<HighStep> {
    let mut steps = Vec::with_capacity(rules.modules.len());
    for module in rules.order.iter().flat_map(|component| &component.modules) {
        let (Some(decided), Some(changed)) =
            (rules.modules.get(module), changes.modules.get(module))
        else {
            continue;
        };
        let deps: Vec<Module> = rules
            .graph
            .dependencies(module)
            .filter(|(_, edge)| edge.is_hard())
            .map(|(to, _)| to.clone())
            .collect();
        let (pre, post) = (decided.pre_purge.value, decided.post_purge.value);
        let module = module.clone();
        let class = decided.class.value;
        let instruction = if changed.new.is_none() {
            High::DeleteModule {
                module: module.clone(),
                deps,
            }
        } else if changed.is_new() {
            High::AddModule {
                module: module.clone(),
                deps,
            }
        } else if class == Class::Library {
            High::LoadModule {
                module: module.clone(),
                pre,
                post,
                deps,
            }
        } else {
            High::Update {
                module: module.clone(),
                kind: decided.kind.value,
                timeout: decided.timeout.value.clone(),
                change: decided.change.value.clone(),
                pre,
                post,
                deps,
                supervisor: class == Class::Supervisor,
            }
        };
        steps.push(HighStep {
            instruction,
            why: why(changes, rules, &module),
        });
    }
    steps.sort_by_key(|step| matches!(step.instruction, High::DeleteModule { .. }));
    steps
}

/// Reasons of one module: what changed, its values that are not built in, and the edges it waits for.
fn why(changes: &ChangeSet, rules: &Ruleset, module: &Module) -> Vec<Why> {
    let decided = &rules.modules[module];
    let mut why = Vec::new();
    if let Some(text) = changes.modules.get(module).map(what_changed) {
        let origin = crate::rules::Origin::Inferred(text.clone());
        why.push(Why { text, origin });
    }
    if let Some(caller) = changes.called.get(module) {
        let text = format!("`{caller}` calls it or names it, and no specification lists it");
        let origin = crate::rules::Origin::Inferred(text.clone());
        why.push(Why { text, origin });
    }
    let mut say = |word: &str, origin: &crate::rules::Origin| {
        use crate::rules::Origin;
        let text = match origin {
            Origin::Default => return,
            Origin::Inferred(how) => how.clone(),
            Origin::Plan {
                because: Some(because),
                ..
            } => format!("\"{because}\""),
            Origin::Plan { because: None, .. } => format!("{word} given by the plan"),
        };
        if !why.iter().any(|w: &Why| w.text == text) {
            why.push(Why {
                text,
                origin: origin.clone(),
            });
        }
    };
    let is_plain = decided.class.value == Class::Library;
    if !is_plain || matches!(decided.class.origin, crate::rules::Origin::Plan { .. }) {
        say("class", &decided.class.origin);
    }
    say("change", &decided.change.origin);
    say("type", &decided.kind.origin);
    say("timeout", &decided.timeout.origin);
    say("purge", &decided.pre_purge.origin);
    for (to, edge) in rules.graph.dependencies(module) {
        why.push(edge_why(module, to, edge));
    }
    why
}

/// Why the module takes part at all.
fn what_changed(changed: &Changed) -> String {
    use crate::facts::compare::short;
    match (&changed.loaded, &changed.new) {
        (None, Some(new)) => match &changed.unloaded {
            Some(known) => format!(
                "not loaded yet, and its file differs: md5 {} -> {}",
                short(&known.facts.md5),
                short(&new.facts.md5)
            ),
            None => "new: not loaded yet".to_owned(),
        },
        (Some(old), Some(new)) => {
            format!(
                "code differs: md5 {} -> {}",
                short(&old.md5),
                short(&new.facts.md5)
            )
        }
        (_, None) => "goes: the plan removes it".to_owned(),
    }
}

fn edge_why(from: &Module, to: &Module, edge: &Edge) -> Why {
    use crate::graph::Reason;
    use crate::rules::Origin;
    let Some(reason) = edge.reasons.first() else {
        return Why {
            text: format!("after {to}"),
            origin: Origin::Default,
        };
    };
    let sentence = reason.sentence(from, to);
    let origin = match reason {
        Reason::Plan { span, because } => Origin::Plan {
            span: *span,
            because: because.clone(),
        },
        _ => Origin::Inferred(sentence.clone()),
    };
    Why {
        text: format!("after {to}: {sentence}"),
        origin,
    }
}
