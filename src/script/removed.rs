//! The order in which applications are stopped: one that others need, last.
//!
//! OTP's `remove_application` stops an application at its place in the script, whatever still runs above it.

use std::collections::BTreeSet;

use super::instruction::Instruction;
use super::lower::Script;
use crate::diag::{Code, Diagnostic};
use crate::facts::node::node_facts::NodeFacts;
use crate::name::App;
use crate::rules::Origin;

/// Of applications in the order in which they are stopped: those that are stopped while a later one needs them, and that
/// one. `needs` has what an application needs itself.
pub fn misordered(stopped: &[App], needs: &dyn Fn(&App) -> Vec<App>) -> Vec<(App, App)> {
    let mut found = Vec::new();
    for (at, needed) in stopped.iter().enumerate() {
        let later = stopped[at + 1..].iter();
        let mut needing = later.filter(|app| *app != needed && reaches(app, needed, needs));
        if let Some(needing) = needing.next() {
            found.push((needed.clone(), needing.clone()));
        }
    }
    found
}

/// Whether an application needs another, perhaps through others.
fn reaches(from: &App, to: &App, needs: &dyn Fn(&App) -> Vec<App>) -> bool {
    let mut seen: BTreeSet<App> = BTreeSet::new();
    let mut open = vec![from.clone()];
    while let Some(app) = open.pop() {
        for needed in needs(&app) {
            if needed == *to {
                return true;
            }
            if seen.insert(needed.clone()) {
                open.push(needed);
            }
        }
    }
    false
}

/// W416: said of one that is stopped too early.
pub fn too_early(needed: &App, needing: &App) -> Diagnostic {
    let title = format!("`{needed}` is stopped while `{needing}`, which needs it, still runs");
    Diagnostic::new(Code::W416, title)
        .note("`remove_application` stops an application at that point: applications that need it run without it")
}

/// What there is to say about the applications that a plan stops.
pub fn advice(script: &Script, facts: &NodeFacts) -> Vec<Diagnostic> {
    let mut stopped: Vec<(App, &Origin)> = Vec::new();
    for (low, origin) in &script.inserted {
        if let Instruction::Apply(call) = low
            && let Some(app) = call.stopped()
        {
            stopped.push((app, origin));
        }
    }
    let apps: Vec<App> = stopped.iter().map(|(app, _)| app.clone()).collect();
    let needs = |app: &App| {
        let running = facts.apps.get(app);
        running.map_or_else(Vec::new, |running| running.needs.clone())
    };
    let wrong = misordered(&apps, &needs);
    let diagnostic = wrong.iter().map(|(needed, needing)| {
        let mut diagnostic = too_early(needed, needing).help(format!(
            "remove `{needing}` first: its statement before the one of `{needed}`"
        ));
        for (app, text) in [(needed, "stopped first"), (needing, "stopped behind it")] {
            let place = stopped.iter().find(|(one, _)| one == app);
            if let Some((_, Origin::Plan { span, .. })) = place {
                diagnostic = diagnostic.label(*span, text);
            }
        }
        diagnostic
    });
    diagnostic.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needed_ones_last_whatever_lies_between() {
        let app = |name: &str| App::new(name);
        let needs = |one: &App| match one.as_str() {
            "roof" => vec![app("wall")],
            "wall" => vec![app("floor"), app("wall")],
            _ => Vec::new(),
        };
        let wrong = |order: &[&str]| {
            let order: Vec<App> = order.iter().map(|name| app(name)).collect();
            let found = misordered(&order, &needs);
            found
                .iter()
                .map(|(a, b)| format!("{a} {b}"))
                .collect::<Vec<_>>()
        };
        assert!(wrong(&["roof", "wall", "floor"]).is_empty());
        assert_eq!(wrong(&["floor", "roof"]), ["floor roof"]);
        assert_eq!(
            wrong(&["wall", "floor", "roof"]),
            ["wall roof", "floor roof"]
        );
        assert!(wrong(&["wall", "wall"]).is_empty());
    }
}
