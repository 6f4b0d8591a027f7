//! The way back from [`to_json`](super::to_json): a graph to be drawn again, from a record.

use serde_json::Value;

use crate::diag::Span;
use crate::graph::{Graph, Reason};
use crate::name::{Mfa, Module};

/// The graph of a document, with edges of the same kinds; the evidence of each edge is not kept. `None` when it is
/// some other document.
pub fn from_json(document: &Value) -> Option<Graph> {
    let name = |value: &Value, key: &str| Some(Module::new(value.get(key)?.as_str()?));
    let modules = document.get("modules")?.as_array()?.iter();
    let mut graph = Graph::new(modules.filter_map(|name| Some(Module::new(name.as_str()?))));
    for edge in document.get("edges")?.as_array()? {
        let (from, to) = (name(edge, "from")?, name(edge, "to")?);
        let reason = reason(edge.get("kind").and_then(Value::as_str)?, &to);
        graph.add(&from, &to, reason);
    }
    for gone in document.get("removed")?.as_array()? {
        let (from, to) = (name(gone, "from")?, name(gone, "to")?);
        let because = gone.get("because").and_then(Value::as_str);
        graph.add(&from, &to, reason("calls", &to));
        graph.remove(&from, &to, Span::new(0, 0), because.map(str::to_owned));
    }
    Some(graph)
}

fn reason(kind: &str, to: &Module) -> Reason {
    let callee = Mfa {
        module: to.clone(),
        function: "".into(),
        arity: 0,
    };
    match kind {
        "plan" => Reason::Plan {
            span: Span::new(0, 0),
            because: None,
        },
        "needs" => Reason::Needs { callee, from: None },
        "loses" => Reason::Loses { callee, from: None },
        "hidden" | "sends" | "behaviour" => Reason::Behaviour,
        _ => Reason::Calls { callee, from: None },
    }
}

#[cfg(test)]
mod tests {
    use super::{from_json, reason};
    use crate::diag::Span;
    use crate::graph::Graph;
    use crate::graph::draw::{Format, draw, to_json};
    use crate::name::Module;

    #[test]
    fn the_same_picture_from_a_document() {
        let names = ["a", "b", "c", "d"].map(Module::new);
        let mut graph = Graph::new(names.clone());
        for (from, to, kind) in [
            (0, 1, "calls"),
            (1, 0, "needs"),
            (2, 1, "plan"),
            (3, 2, "hidden"),
            (3, 0, "calls"),
        ] {
            graph.add(&names[from], &names[to], reason(kind, &names[to]));
        }
        graph.remove(
            &names[3],
            &names[0],
            Span::new(0, 0),
            Some("a reason".to_owned()),
        );
        let again = from_json(&to_json(&graph)).expect("it is one");
        assert_eq!(draw(&again, Format::Svg), draw(&graph, Format::Svg));
        assert_eq!(again.removed.len(), 1);
        assert!(from_json(&serde_json::json!({"modules": 1})).is_none());
    }
}
