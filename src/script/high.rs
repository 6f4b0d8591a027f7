//! The high-level script: what an `.appup` says of the modules that change, with reasons (OTP: appup(4)).

use super::Why;
use super::instruction::Instruction;
use crate::facts::change::{ChangeSet, Changed};
use crate::graph::Edge;
use crate::name::Module;
use crate::rules::{Class, Ruleset};

/// An instruction about a module, and its reasons.
#[derive(Clone, Debug, PartialEq)]
pub struct HighStep {
    /// The module.
    pub module: Module,
    /// The instruction, one of those that have dependencies.
    pub instruction: Instruction,
    /// Why it is there, why it is as it is, why it is here.
    pub why: Vec<Why>,
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
            Instruction::DeleteModule {
                module: module.clone(),
                deps,
            }
        } else if changed.is_new() {
            Instruction::AddModule {
                module: module.clone(),
                deps,
            }
        } else if class == Class::Library {
            Instruction::LoadModule {
                module: module.clone(),
                pre,
                post,
                deps,
            }
        } else {
            Instruction::Update {
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
            module,
        });
    }
    steps.sort_by_key(|step| matches!(step.instruction, Instruction::DeleteModule { .. }));
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
    match (&changed.loaded, &changed.new) {
        (None, Some(new)) => match &changed.unloaded {
            Some(known) => format!(
                "not loaded yet, and its file differs: md5 {} -> {}",
                known.facts.md5.short(),
                new.facts.md5.short()
            ),
            None => "new: not loaded yet".to_owned(),
        },
        (Some(old), Some(new)) => {
            format!(
                "code differs: md5 {} -> {}",
                old.md5.short(),
                new.facts.md5.short()
            )
        }
        (_, None) => "removed by the plan".to_owned(),
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
