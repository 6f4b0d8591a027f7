//! W315: calls that only a plan rule can account for, in one diagnostic, counted by module.

use super::Ruleset;
use super::lints::{NAMED, count};
use crate::diag::{Code, Diagnostic};
use crate::facts::beam::code::DynamicCall;
use crate::facts::change::ChangeSet;
use crate::graph::Reason;
use crate::name::Module;

/// What there is to say about calls whose module is not known before run time.
pub(super) fn advice(changes: &ChangeSet, rules: &Ruleset, out: &mut Vec<Diagnostic>) {
    let mut found: Vec<(&Module, Vec<&DynamicCall>)> = Vec::new();
    for module in rules.modules.keys() {
        let Some(new) = changes.modules.get(module).and_then(|c| c.new.as_ref()) else {
            continue;
        };
        let calls = changes.unresolved(&new.facts);
        let covered = rules.graph.dependencies(module).any(|(_, edge)| {
            let mut reasons = edge.reasons.iter();
            reasons.any(|r| matches!(r, Reason::Plan { .. }))
        });
        if !calls.is_empty() && !covered {
            found.push((module, calls));
        }
    }
    let number: usize = found.iter().map(|(_, calls)| calls.len()).sum();
    let number = count(number, "call", "calls");
    let (owner, subject) = match found.as_slice() {
        [] => return,
        [(module, _)] => (format!("of `{module}`"), module.to_string()),
        many => (format!("in {} modules", many.len()), "M".to_owned()),
    };
    let mut diagnostic =
        Diagnostic::new(Code::W315, format!("{number} {owner} cannot be resolved")).help(format!(
            "if one calls a changed module X: `{subject} depends on X because \"…\".`"
        ));
    match found.as_slice() {
        [(module, calls)] => {
            for call in calls.iter().take(NAMED) {
                diagnostic = diagnostic.note(site(module, call));
            }
        }
        many => {
            // Those with most calls first: there a rule covers most.
            let mut many = many.to_vec();
            many.sort_by_key(|(_, calls)| std::cmp::Reverse(calls.len()));
            for (module, calls) in many.iter().take(NAMED) {
                let first = calls.first().map(|call| site(module, call));
                let first = first.unwrap_or_default();
                diagnostic = diagnostic.note(match calls.len() {
                    1 => first,
                    more => format!("{more} of `{module}`, the first in {first}"),
                });
            }
            if many.len() > NAMED {
                diagnostic = diagnostic.note(format!("and {} more modules", many.len() - NAMED));
            }
        }
    }
    out.push(diagnostic);
}

/// `shop_cart:total/2 line 31: Mod:tax/1`
fn site(module: &Module, call: &DynamicCall) -> String {
    let line = call.from.line.map(|line| format!(" line {line}"));
    let line = line.unwrap_or_default();
    let what = match &call.function {
        Some((name, Some(arity))) => format!("Mod:{name}/{arity}"),
        Some((name, None)) => format!("Mod:{name}"),
        None => "a function known at run time only".to_owned(),
    };
    format!(
        "{module}:{}/{}{line}: {what}",
        call.from.name, call.from.arity
    )
}
