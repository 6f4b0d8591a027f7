//! What becomes of children, as lines of a preview: of those of a supervisor, and of those that an application lists.

use std::fmt::Write;

use super::super::style::{count, faint};
use crate::diag::render::Style;
use crate::rules::ModuleRules;

/// How many children of a supervisor are named in a preview, of those that are stopped, restarted and started.
const CHILDREN: usize = 12;

/// What becomes of a supervisor's children.
pub(super) fn children(out: &mut String, rules: &ModuleRules, style: Style) {
    if rules.lists().is_some() {
        return of_list(out, rules, style);
    }
    let plan = &rules.children.value;
    let mut line = |word: &str, id: &dyn std::fmt::Display, why: &str| {
        let why = match why {
            "" => String::new(),
            why => format!("  {}", faint(style, why)),
        };
        let _ = writeln!(
            out,
            "       {word} child {id} before those that call it are resumed{why}"
        );
    };
    for id in plan.stopped() {
        let again = plan.started().contains(id);
        line(if again { "restart" } else { "stop" }, id, "");
    }
    for id in plan.started() {
        if !plan.stopped().contains(id) {
            line("start", id, "");
        }
    }
    let Some(wanted) = rules.inferred_children() else {
        return;
    };
    let (stop, restart) = (
        wanted.stop.unwrap_or_default(),
        wanted.restart.unwrap_or_default(),
    );
    for id in stop.iter().take(CHILDREN) {
        line("stop", id, "its new init/1 no longer has it");
    }
    for (id, was, is) in restart.iter().take(CHILDREN) {
        line(
            "restart",
            id,
            &format!("a server of {is}, no longer of {was}"),
        );
    }
    for id in wanted.start.iter().take(CHILDREN) {
        line("start", id, "only its new init/1 has it");
    }
    for (word, all) in [
        ("stop", stop.len()),
        ("restart", restart.len()),
        ("start", wanted.start.len()),
    ] {
        if all > CHILDREN {
            let more = count(all - CHILDREN, "more child", "more children");
            let _ = writeln!(out, "       {word} {more}, {all} in all");
        }
    }
    if wanted.starts && !rules.renewal.exact {
        let why = "its init/1 computes them, which the node does when it is renewed";
        let _ = writeln!(
            out,
            "       start what else is new among its children  {}",
            faint(style, why)
        );
    }
}

/// What becomes of the children that an application lists for its supervisor.
fn of_list(out: &mut String, rules: &ModuleRules, style: Style) {
    let (Some(listing), Some(children)) = (rules.lists(), rules.listed_children()) else {
        return;
    };
    let plan = &rules.children.value;
    let (mut stops, mut restarts, mut starts) = (Vec::new(), Vec::new(), Vec::new());
    for id in children.stop.iter().map(|one| &one.child.id) {
        if !children.restarts(id) {
            let named = plan.stop.is_some();
            stops.push((
                id,
                if named {
                    String::new()
                } else {
                    "its new start/2 no longer lists it".to_owned()
                },
            ));
            continue;
        }
        let other = listing
            .renewal
            .restart
            .iter()
            .find(|(other, ..)| other == id);
        let other = other.filter(|_| plan.stop.is_none());
        restarts.push((
            id,
            other.map_or(String::new(), |(_, was, is)| {
                format!("of {is}, no longer of {was}")
            }),
        ));
    }
    for id in children.start.iter().map(|one| &one.child.id) {
        if !children.restarts(id) {
            let named = plan.start.is_some();
            starts.push((
                id,
                if named {
                    String::new()
                } else {
                    "only its new start/2 lists it".to_owned()
                },
            ));
        }
    }
    for (word, all) in [("stop", stops), ("restart", restarts), ("start", starts)] {
        for (id, why) in all.iter().take(CHILDREN) {
            let why = match why.as_str() {
                "" => String::new(),
                why => format!("  {}", faint(style, why)),
            };
            let _ = writeln!(
                out,
                "       {word} child {id} before those that call it are resumed{why}"
            );
        }
        if all.len() > CHILDREN {
            let more = count(all.len() - CHILDREN, "more child", "more children");
            let _ = writeln!(out, "       {word} {more}, {} in all", all.len());
        }
    }
}
