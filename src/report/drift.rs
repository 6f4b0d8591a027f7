//! Which node of a target runs which version, in few lines: nodes of which the same is to be said are one line, the
//! unusual first.
//!
//! Takes plain values and gives text; the same for machines is made by the caller.

use super::style::{attention, bad, count, faint, good};
use crate::diag::render::Style;
use crate::name::{Module, NodeName};

/// How many nodes a line names.
const NAMED_NODES: usize = 3;

/// How many modules a line names.
const NAMED_MODULES: usize = 6;

/// The column of the words.
const WIDE: usize = 12;

/// How much a line calls for a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Something is to be looked at.
    Bad,
    /// It differs, and that is known.
    Differs,
    /// It is meant so.
    Meant,
    /// It is as it should be.
    Same,
}

/// One node.
#[derive(Clone, Debug)]
pub struct DriftNode {
    /// Its name.
    pub node: NodeName,
    /// What it is, in a word: `behind`.
    pub word: String,
    /// Why.
    pub why: String,
    /// How much that matters.
    pub weight: Weight,
}

/// Names of modules, a few of them.
pub fn modules(modules: &[Module]) -> String {
    let shown = modules.iter().take(NAMED_MODULES).map(Module::to_string);
    with_rest(shown.collect(), modules.len())
}

/// Names of nodes, a few of them, and how many there are when that is not all.
pub fn nodes(nodes: &[&NodeName]) -> String {
    // One more takes no more room than saying so.
    let most = NAMED_NODES + usize::from(nodes.len() == NAMED_NODES + 1);
    let shown = nodes.iter().take(most).map(|node| node.to_string());
    let names = with_rest(shown.collect(), nodes.len());
    match nodes.len() {
        many if many > most => format!("{many} nodes: {names}"),
        _ => names,
    }
}

fn with_rest(shown: Vec<String>, all: usize) -> String {
    let rest = all - shown.len();
    match rest {
        0 => shown.join(", "),
        rest => format!("{} and {rest} more", shown.join(", ")),
    }
}

/// The lines: how many are what, then what they are. `meant`: the version that they are compared with.
pub fn text(meant: &str, all: &[DriftNode], style: Style) -> String {
    let same = all.iter().filter(|one| one.weight == Weight::Same).count();
    let number = count(all.len(), "node", "nodes");
    let mut text = match (same, all.len()) {
        (1, 1) => format!("1 node runs {meant}\n"),
        (0, 1) => format!("1 node does not run {meant}\n"),
        (0, _) => format!("none of {number} runs {meant}\n"),
        (same, whole) if same == whole => format!("{number} run {meant}\n"),
        (same, whole) => format!(
            "{same} of {number} {} {meant}; {} not\n",
            if same == 1 { "runs" } else { "run" },
            match whole - same {
                1 => "1 does".to_owned(),
                others => format!("{others} do"),
            }
        ),
    };
    for (first, names) in groups(all) {
        let word = format!("{:<WIDE$}", first.word);
        let word = match first.weight {
            Weight::Bad => bad(style, &word),
            Weight::Differs => attention(style, &word),
            Weight::Meant => faint(style, &word),
            Weight::Same => good(style, &word),
        };
        let names = nodes(&names);
        let why = match first.why.as_str() {
            "" => String::new(),
            why => format!("  {why}"),
        };
        text += &format!("  {word}  {names}{why}\n");
    }
    text
}

/// Nodes of which the same is said, the unusual first: what matters more, then what fewer are.
fn groups(all: &[DriftNode]) -> Vec<(&DriftNode, Vec<&NodeName>)> {
    let mut groups: Vec<(&DriftNode, Vec<&NodeName>)> = Vec::new();
    for one in all {
        let same = |(first, _): &&mut (&DriftNode, Vec<&NodeName>)| {
            (&first.word, &first.why, first.weight) == (&one.word, &one.why, one.weight)
        };
        match groups.iter_mut().find(same) {
            Some((_, names)) => names.push(&one.node),
            None => groups.push((one, vec![&one.node])),
        }
    }
    groups.sort_by_key(|(first, names)| (first.weight, names.len()));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, word: &str, why: &str, weight: Weight) -> DriftNode {
        DriftNode {
            node: NodeName::new(name),
            word: word.to_owned(),
            why: why.to_owned(),
            weight,
        }
    }

    #[test]
    fn a_hundred_nodes_are_few_lines() {
        let mut all: Vec<DriftNode> = (0..97)
            .map(|number| node(&format!("n{number}@h"), "same", "shop 1.2.0", Weight::Same))
            .collect();
        all.push(node(
            "a@h",
            "ahead",
            "cart of run 77aa, as a canary",
            Weight::Meant,
        ));
        for name in ["y@h", "z@h"] {
            all.push(node(name, "behind", "cart since run 2db6", Weight::Differs));
        }
        let text = text("the version of run 2db6", &all, Style::default());
        assert_eq!(
            text,
            "97 of 100 nodes run the version of run 2db6; 3 do not\n  \
               behind        y@h, z@h  cart since run 2db6\n  \
               ahead         a@h  cart of run 77aa, as a canary\n  \
               same          97 nodes: n0@h, n1@h, n2@h and 94 more  shop 1.2.0\n"
        );
    }

    #[test]
    fn modules_are_counted_when_they_are_many() {
        let all: Vec<Module> = (0..9).map(|n| Module::new(format!("m{n}"))).collect();
        assert_eq!(modules(&all), "m0, m1, m2, m3, m4, m5 and 3 more");
        assert_eq!(modules(&all[..2]), "m0, m1");
    }
}
