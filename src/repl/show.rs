//! What `:order`, `:why`, `:deps` and their kin say: text from an [`Upgrade`], and nothing else.

use std::fmt::Write;

use crate::diag::render::{Style, render};
use crate::diag::suggest::suggest;
use crate::diag::{Code, SourceMap};
use crate::engine::Upgrade;
use crate::facts::compare::diff::ModuleDiff;
use crate::graph::Edge;
use crate::graph::explain::Link;
use crate::name::Module;
use crate::report::diff;
use crate::rules::conversions::{Converted, converted};

use super::view_diff::Line;

/// Whether a module takes part.
///
/// # Errors
/// The sentence for one that does not.
pub(super) fn known(upgrade: &Upgrade, module: &Module) -> Result<(), String> {
    if upgrade.rules.modules.contains_key(module) {
        return Ok(());
    }
    let names = upgrade.rules.modules.keys().map(Module::as_str);
    Err(match suggest(module.as_str(), names) {
        Some(close) => format!(
            "{module} takes no part in this upgrade; did you mean `{}`?",
            Module::new(close)
        ),
        None => format!("{module} takes no part in this upgrade"),
    })
}

/// The order, one module a line; what identifies a line is its module.
pub(super) fn order(upgrade: &Upgrade) -> Vec<Line> {
    let mut lines = Vec::new();
    for component in &upgrade.rules.order {
        for module in &component.modules {
            let rules = upgrade.rules.modules.get(module);
            let class = rules.map(|r| r.class.value.to_string()).unwrap_or_default();
            let cycle = if component.cyclic { "  in a cycle" } else { "" };
            let number = lines.len() + 1;
            lines.push(Line {
                key: module.to_string(),
                text: format!("{number:>3}  {:<28}  {class}{cycle}", module.to_string()),
            });
        }
    }
    lines
}

/// Lines that are identified by what they say.
pub(super) fn keyed(text: &str) -> Vec<Line> {
    let line = |text: &str| Line {
        // Numbers of steps change for all that follows when one moves.
        key: text
            .trim_start()
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .to_owned(),
        text: text.to_owned(),
    };
    text.trim_end().lines().map(line).collect()
}

/// The modules that differ, those whose names fit a pattern (`shop_*`).
pub(super) fn changed(upgrade: &Upgrade, pattern: Option<&str>) -> String {
    let pattern = pattern.and_then(|pattern| glob::Pattern::new(pattern).ok());
    let mut out = String::new();
    for (module, changed) in &upgrade.changes.modules {
        let name = module.to_string();
        if pattern.as_ref().is_some_and(|p| !p.matches(&name)) {
            continue;
        }
        let word = if changed.is_new() && changed.unloaded.is_none() {
            "new"
        } else if changed.new.is_none() {
            "deleted"
        } else {
            "changed"
        };
        let app = changed
            .app
            .as_ref()
            .map_or(String::new(), |app| format!("  {}", app.as_str()));
        let processes = match changed.processes {
            0 => String::new(),
            1 => "  1 process".to_owned(),
            n => format!("  {n} processes"),
        };
        let _ = writeln!(out, "{word:<8} {name:<28}{app}{processes}");
    }
    if out.is_empty() {
        out.push_str("no module differs\n");
    }
    for (module, why) in &upgrade.changes.untouched {
        if pattern
            .as_ref()
            .is_none_or(|p| p.matches(&module.to_string()))
        {
            let _ = writeln!(out, "{:<8} {module}  ({why:?})", "left");
        }
    }
    out
}

/// What changed inside of one module, or of all.
pub(super) fn diff(upgrade: &Upgrade, module: Option<&Module>, style: Style) -> String {
    let modules = upgrade
        .changes
        .modules
        .iter()
        .filter(|(name, _)| module.is_none_or(|wanted| wanted == *name));
    let shown = diff::DiffReport {
        modules: modules.map(|(m, c)| ModuleDiff::of(m, c)).collect(),
        apps: Vec::new(),
        compared: upgrade.changes.compared,
    };
    diff::text(&shown, module.is_some(), style)
}

/// The cycles, and whether the plan knows them.
pub(super) fn cycles(upgrade: &Upgrade) -> String {
    let mut out = String::new();
    for cycle in &upgrade.rules.cycles {
        let names: Vec<String> = cycle.members.iter().map(ToString::to_string).collect();
        let names = names.join(", ");
        let _ = match cycle.declared {
            Some(_) => writeln!(out, "[{names}]  known to the plan"),
            None => writeln!(
                out,
                "[{names}]  undeclared: cycle [{names}]: together because \"…\""
            ),
        };
    }
    if out.is_empty() {
        out.push_str("no cycles");
    }
    out
}

/// Calls that updo cannot resolve.
pub(super) fn gaps(upgrade: &Upgrade, sources: &SourceMap, style: Style) -> String {
    let gaps = upgrade.diagnostics.iter().filter(|d| d.code == Code::W315);
    let texts: Vec<String> = gaps.map(|d| render(d, sources, style)).collect();
    if texts.is_empty() {
        "no gaps: every call of the changed modules can be resolved".to_owned()
    } else {
        texts.join("\n")
    }
}

fn reasons(out: &mut String, other: &Module, edge: &Edge, from: &Module, to: &Module) {
    let kind = if edge.is_hard() { "must" } else { "should" };
    let _ = writeln!(out, "{kind:<6} {other}");
    for reason in edge.reasons.iter().take(5) {
        let _ = writeln!(out, "         {}", reason.sentence(from, to));
    }
    if edge.reasons.len() > 5 {
        let _ = writeln!(out, "         and {} more", edge.reasons.len() - 5);
    }
}

/// What a module waits for.
pub(super) fn deps(upgrade: &Upgrade, module: &Module) -> String {
    let mut out = String::new();
    for (to, edge) in upgrade.rules.graph.dependencies(module) {
        reasons(&mut out, to, edge, module, to);
    }
    for gone in &upgrade.rules.graph.removed {
        if gone.from == *module {
            let _ = writeln!(out, "gone   {}  taken away by the plan", gone.to);
        }
    }
    if out.is_empty() {
        out = format!("{module} depends on no module");
    }
    out
}

/// What waits for a module.
pub(super) fn rdeps(upgrade: &Upgrade, module: &Module) -> String {
    let mut out = String::new();
    for (from, to, edge) in upgrade
        .rules
        .graph
        .edges()
        .filter(|(_, to, _)| *to == module)
    {
        reasons(&mut out, from, edge, from, to);
    }
    if out.is_empty() {
        out = format!("no module depends on {module}");
    }
    out
}

/// So many places of a conversion are named.
const PLACES: usize = 50;

/// What the conversion of a module does, and where.
pub(super) fn conversion(upgrade: &Upgrade, module: &Module) -> String {
    let Some(converted) = converted(&upgrade.changes, &upgrade.rules, module) else {
        return String::new();
    };
    let mut out = format!("conversion of {module}");
    if let Converted::Code { entry, .. } = &converted {
        let _ = write!(out, " ({entry} of the new version)");
    }
    let places = converted.places();
    if places.is_empty() {
        let _ = write!(out, ": {converted}");
        return out;
    }
    let _ = write!(out, ": {}{}", converted.word(), converted.tried_in_words());
    for place in places.iter().take(PLACES) {
        let _ = write!(out, "\n    {place}");
    }
    if places.len() > PLACES {
        let _ = write!(out, "\n    and {} more", places.len() - PLACES);
    }
    out
}

/// Everything about one module.
pub fn why_here(upgrade: &Upgrade, module: &Module) -> String {
    let mut out = String::new();
    if let Some(step) = upgrade
        .script
        .high
        .iter()
        .find(|step| step.module == *module)
    {
        let _ = writeln!(out, "{}", step.instruction);
        for why in &step.why {
            let _ = writeln!(out, "    {}", why.text);
        }
    }
    if let Some(changed) = upgrade.changes.modules.get(module) {
        let old = changed
            .loaded
            .as_ref()
            .map_or("not loaded".to_owned(), |l| l.md5.short());
        let new = changed
            .new
            .as_ref()
            .map_or("deleted".to_owned(), |n| n.facts.md5.short());
        let _ = writeln!(
            out,
            "    md5 {old} -> {new}, {} processes run it",
            changed.processes
        );
    }
    if let Some(converted) = converted(&upgrade.changes, &upgrade.rules, module) {
        let _ = writeln!(out, "    conversion: {converted}");
    }
    let waiting: Vec<String> = upgrade
        .rules
        .graph
        .edges()
        .filter(|(_, to, _)| *to == module)
        .map(|(from, _, _)| from.to_string())
        .collect();
    if !waiting.is_empty() {
        let _ = writeln!(out, "    before {}", waiting.join(", "));
    }
    out
}

/// Why one module comes before another: the chain of evidence, that of the opposite, or that there is neither.
pub fn why_before(upgrade: &Upgrade, first: &Module, then: &Module) -> String {
    let order = upgrade.rules.graph.order_flat();
    let at = |module: &Module| {
        order
            .iter()
            .position(|m| m == module)
            .map_or(0, |at| at + 1)
    };
    let mut out = format!(
        "{first} is {} of {}, {then} is {}\n",
        at(first),
        order.len(),
        at(then)
    );
    let graph = &upgrade.rules.graph;
    let list = |out: &mut String, links: &[Link<'_>]| {
        for link in links {
            let _ = writeln!(out, "    {link}");
        }
    };
    match (graph.why_before(first, then), graph.why_before(then, first)) {
        (Some(links), Some(back)) => {
            list(&mut out, &links);
            let _ = writeln!(
                out,
                "and the other way round, {then} before {first}: a cycle"
            );
            list(&mut out, &back);
        }
        (Some(links), None) => list(&mut out, &links),
        (None, Some(back)) => {
            let _ = writeln!(out, "it is the other way round: {then} is before {first}");
            list(&mut out, &back);
        }
        (None, None) => {
            let _ = writeln!(
                out,
                "    neither depends on the other, not even through other modules: their order is by name",
            );
        }
    }
    out
}

/// `1 step moved: shop_audit 3 → 4`. `slow` is the module that a statement is about: where two have changed
/// places, it is the one that moved.
pub(super) fn moved(before: &[Module], after: &[Module], slow: &str, style: Style) -> String {
    const MOST: usize = 6;
    let place = |order: &[Module], module: &Module| order.iter().position(|m| m == module);
    let kept: Vec<(usize, u32)> = after
        .iter()
        .filter_map(|m| Some((place(before, m)?, if m.as_str() == slow { 1 } else { 2 })))
        .collect();
    let stay: Vec<&Module> = heaviest_rise(&kept)
        .into_iter()
        .map(|at| &before[at])
        .collect();
    let arrow = if style.unicode { "→" } else { "->" };
    let mut moves: Vec<String> = after
        .iter()
        .enumerate()
        .filter(|(_, module)| !stay.contains(module))
        .map(|(to, module)| match place(before, module) {
            Some(from) => format!("{module} {} {arrow} {}", from + 1, to + 1),
            None => format!("{module} joins at {}", to + 1),
        })
        .collect();
    let leaving = before.iter().filter(|m| !after.contains(m));
    moves.extend(leaving.map(|m| format!("{m} leaves")));
    let number = moves.len();
    if number > MOST {
        moves.truncate(MOST);
        moves.push(format!("and {} more", number - MOST));
    }
    match number {
        0 => "the order stays".to_owned(),
        1 => format!("1 step moved: {}", moves[0]),
        n => format!("{n} steps moved: {}", moves.join(", ")),
    }
}

/// The heaviest subsequence whose numbers rise: its numbers. Quadratic; a plan has hundreds of modules.
fn heaviest_rise(items: &[(usize, u32)]) -> Vec<usize> {
    // Best weight of a subsequence that ends at each item, and the item before it.
    let mut best: Vec<(u32, Option<usize>)> = Vec::with_capacity(items.len());
    for (at, (number, weight)) in items.iter().enumerate() {
        let before = (0..at)
            .filter(|i| items[*i].0 < *number)
            .max_by_key(|i| best[*i].0);
        let carried = before.map_or(0, |i| best[i].0);
        best.push((carried + weight, before));
    }
    let mut at = (0..items.len()).max_by_key(|i| best[*i].0);
    let mut found = Vec::new();
    while let Some(i) = at {
        found.push(items[i].0);
        at = best[i].1;
    }
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved_text(before: &str, after: &str, slow: &str) -> String {
        let order = |text: &str| -> Vec<Module> { text.split(' ').map(Module::new).collect() };
        moved(&order(before), &order(after), slow, Style::default())
    }

    #[test]
    fn only_moved_steps_are_listed() {
        assert_eq!(moved_text("a b c d", "a b c d", "a"), "the order stays");
        // Two neighbours change places: the one that the statement is about has moved.
        assert_eq!(
            moved_text("a b c d", "a c b d", "b"),
            "1 step moved: b 2 → 3"
        );
        assert_eq!(
            moved_text("a b c d", "a c b d", "c"),
            "1 step moved: c 3 → 2"
        );
        // Everything behind it has another number now, and none of that has moved.
        assert_eq!(
            moved_text("a b c d", "d a b c", "d"),
            "1 step moved: d 4 → 1"
        );
        assert_eq!(
            moved_text("a b c", "c x a", "b"),
            "3 steps moved: c 3 → 1, x joins at 2, b leaves"
        );
    }
}
