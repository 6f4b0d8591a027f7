//! Every event of every test run against the schema that `updo schema events` prints.

use std::path::Path;
use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::Value;

const SCHEMA: &str = include_str!("../../docs/schema/events-1.0.json");

fn validator() -> &'static Validator {
    static VALIDATOR: OnceLock<Validator> = OnceLock::new();
    VALIDATOR.get_or_init(|| {
        let schema: Value = serde_json::from_str(SCHEMA).expect("the schema is JSON");
        jsonschema::validator_for(&schema).expect("the schema is one")
    })
}

/// Whether a line is what the schema says.
pub fn is_valid(line: &Value) -> bool {
    validator().is_valid(line)
}

/// Checks a stream of events line by line. A line may be cut in its end: its writer was killed.
pub fn valid(text: &str, file: &Path) {
    for (at, line) in text.lines().enumerate() {
        let line: Value = match serde_json::from_str(line) {
            Ok(line) => line,
            Err(why) if why.is_eof() => continue,
            Err(why) => panic!("{} line {}: {why}: {line}", file.display(), at + 1),
        };
        if !is_valid(&line) {
            let evaluation: Vec<String> = validator()
                .iter_errors(&line)
                .map(|error| error.to_string())
                .collect();
            let reported: String = evaluation.join("\n").chars().take(2000).collect();
            panic!("{} line {}: {line}\n{reported}", file.display(), at + 1);
        }
    }
}
