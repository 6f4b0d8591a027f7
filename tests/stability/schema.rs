//! No type, field or value of what machines read vanishes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::{text, versions};

/// What a schema of then promises and one of now does not.
fn lost(then: &Value, now: &Value, root: (&Value, &Value), path: &str, lost_: &mut Vec<String>) {
    let (then, now) = (resolved(then, root.0), resolved(now, root.1));
    let mut say = |what: String| lost_.push(format!("{path}: {what}"));
    for key in ["type", "enum", "const", "required"] {
        let (was, is) = (values(&then[key]), values(&now[key]));
        // No restriction at all allows every value; of what is always there, none may come to be missing.
        let gone: Vec<&String> = was.difference(&is).collect();
        if !gone.is_empty() && (key == "required" || !is.is_empty()) {
            say(format!("{key} has lost {gone:?}"));
        }
        if key != "required" && was.is_empty() && !is.is_empty() {
            say(format!("{key} is restricted now"));
        }
    }
    for (name, schema) in then["properties"].as_object().unwrap_or(&Map::new()) {
        match now["properties"].get(name) {
            Some(is) => lost(schema, is, root, &format!("{path}.{name}"), lost_),
            None => lost_.push(format!("{path}: `{name}` is gone")),
        }
    }
    for key in ["items", "additionalProperties"] {
        if then[key].is_object() {
            lost(&then[key], &now[key], root, &format!("{path}.{key}"), lost_);
        }
    }
}

/// The alternatives of a schema by the types of line that they are for.
fn types(schema: &Value) -> BTreeMap<String, Vec<Value>> {
    let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut open = vec![schema.clone()];
    while let Some(next) = open.pop() {
        let next = resolved(&next, schema).clone();
        let kind = &next["properties"]["type"];
        for name in values(&kind["const"])
            .into_iter()
            .chain(values(&kind["enum"]))
        {
            all.entry(name).or_default().push(next.clone());
        }
        for key in ["oneOf", "anyOf", "allOf"] {
            open.extend(next[key].as_array().cloned().unwrap_or_default());
        }
        for key in ["then", "else", "if"] {
            if next[key].is_object() {
                open.push(next[key].clone());
            }
        }
    }
    all
}

fn resolved<'s>(schema: &'s Value, root: &'s Value) -> &'s Value {
    match schema["$ref"].as_str().and_then(|to| to.strip_prefix('#')) {
        Some(to) => root.pointer(to).expect("a definition"),
        None => schema,
    }
}

/// One value or several, as texts.
fn values(of: &Value) -> BTreeSet<String> {
    match of {
        Value::Null => BTreeSet::new(),
        Value::Array(all) => all.iter().map(plain).collect(),
        one => BTreeSet::from([plain(one)]),
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn all_lost(then: &Value, now: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let now_types = types(now);
    for (name, schemas) in types(then) {
        let Some(is) = now_types.get(&name) else {
            found.push(format!("the type `{name}` is gone"));
            continue;
        };
        for schema in schemas {
            // Of several for one type, the one that keeps the most.
            let best = is.iter().map(|is| {
                let mut lost_ = Vec::new();
                lost(&schema, is, (then, now), &name, &mut lost_);
                lost_
            });
            found.extend(best.min_by_key(Vec::len).expect("at least one"));
        }
    }
    found
}

#[test]
fn nothing_of_a_schema_vanishes() {
    let now: Value =
        serde_json::from_str(include_str!("../../docs/schema/events-1.0.json")).expect("JSON");
    for version in versions() {
        let then: Value =
            serde_json::from_str(&text(&version.join("events-schema.json"))).expect("JSON");
        assert!(types(&then).len() >= 20, "{:?}", types(&then).keys());
        assert_eq!(all_lost(&then, &now), [""; 0], "{}", version.display());
    }
}

#[test]
fn what_vanishes_is_found() {
    let then: Value =
        serde_json::from_str(include_str!("../../docs/schema/events-1.0.json")).expect("JSON");
    assert_eq!(all_lost(&then, &then), [""; 0]);
    let all = types(&then);
    let mut tried = 0;
    for (name, change) in [
        ("plan", json!("properties/owner")),
        ("plan", json!("required/0")),
        ("watch", json!("properties/state/enum/2")),
        ("facts", json!("properties/modules/items/properties/undo")),
        (
            "rehearsal",
            json!("properties/modules/items/properties/bytes/$ref"),
        ),
    ] {
        assert!(all.contains_key(name), "{name}");
        let mut now = then.clone();
        let place = format!("/$defs/{name}/{}", change.as_str().expect("a text"));
        let (parent, key) = place.rsplit_once('/').expect("a key");
        match now.pointer_mut(parent).expect("it is there") {
            Value::Object(map) => drop(map.remove(key).expect("it is there")),
            Value::Array(list) => drop(list.remove(key.parse().expect("a number"))),
            _ => panic!("{place}"),
        }
        let found = all_lost(&then, &now);
        assert!(!found.is_empty(), "{place}");
        println!("{place}: {found:?}");
        tried += 1;
    }
    // What is new is none.
    let mut now = then.clone();
    now["$defs"]["plan"]["properties"]["more"] = json!({ "type": "string" });
    assert_eq!((all_lost(&then, &now), tried), (Vec::new(), 5));
}

/// The paths of all fields of a document; the elements of a list count together.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = format!("{path}.{key}");
                fields(value, &path, found);
                found.insert(path);
            }
        }
        Value::Array(list) => list
            .iter()
            .for_each(|value| fields(value, &format!("{path}[]"), found)),
        _ => {}
    }
}

/// The fields that one document has and the other has not.
pub fn missing(then: &Value, now: &Value) -> Vec<String> {
    let (mut was, mut is) = (BTreeSet::new(), BTreeSet::new());
    fields(then, "", &mut was);
    fields(now, "", &mut is);
    was.difference(&is).cloned().collect()
}

/// The same for streams: by the types of their lines.
pub fn missing_events(then: &[Value], now: &[Value]) -> Vec<String> {
    let by_type = |lines: &[Value]| {
        let mut all: BTreeMap<String, Value> = BTreeMap::new();
        for line in lines {
            let list = all.entry(plain(&line["type"])).or_insert_with(|| json!([]));
            list.as_array_mut().expect("a list").push(line.clone());
        }
        json!(all)
    };
    missing(&by_type(then), &by_type(now))
}
