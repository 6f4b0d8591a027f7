//! The tools: what each is called, what it takes, and which command of updo it is.
//!
//! Takes the name and the arguments of a call and gives the arguments of updo, or a sentence that says what is wrong. Values
//! become part of a word (`--flag=VALUE`) or stand behind `--`: none can be taken for a flag.

use serde_json::{Map, Value, json};

/// The longest text that is an argument.
const MAX_TEXT: usize = 8 << 10;

/// How many texts a list may have.
const MAX_LIST: usize = 1000;

/// One tool.
pub(super) struct Tool {
    /// Its name, and that of the command.
    pub name: &'static str,
    title: &'static str,
    description: &'static str,
    /// Whether it only reads.
    reads: bool,
    parameters: &'static [Parameter],
}

/// A parameter of a tool.
struct Parameter {
    name: &'static str,
    kind: Kind,
    description: &'static str,
}

/// What its value is, and what becomes of it.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// The plan or the node, behind `--`.
    Subject,
    /// One text behind `--`.
    Positional,
    /// Words of a text behind `--`.
    Words,
    /// Several texts behind `--`.
    Positionals,
    /// `--name=TEXT`.
    Text,
    /// `--name=N`.
    Number,
    /// `--name`.
    Switch,
    /// `--name=TEXT`, several times.
    Texts,
    /// `--set=NAME=VALUE`, several times.
    Settings,
}

const SUBJECT: Parameter = Parameter {
    name: "subject",
    kind: Kind::Subject,
    description: "A plan (`plans/shop.updo`) or a node (`shop@localhost`: what differs between it and its disk). \
                  May be left out where the server was started with a target",
};
const TARGET: Parameter = Parameter {
    name: "target",
    kind: Kind::Text,
    description: "With a plan: the name of one of its targets, or nodes with commas between them",
};
const PUSH: Parameter = Parameter {
    name: "push",
    kind: Kind::Texts,
    description: "With a node: new beams on this machine to compare with (files, folders, patterns), for instance \
                  `_build/default/lib/*/ebin`, instead of those on the node's disk",
};
const SET: Parameter = Parameter {
    name: "set",
    kind: Kind::Settings,
    description: "With a plan: values of its parameters, by name",
};

/// All tools, in the order in which they are listed.
pub(super) const TOOLS: &[Tool] = &[
    Tool {
        name: "preview",
        title: "Preview an upgrade",
        description: "What an upgrade would do, and why: changed modules with their class and evidence, the order, the \
                      instructions, which processes are suspended, how exact the way back is, and all diagnostics. Connects \
                      and compares; changes nothing.",
        reads: true,
        parameters: &[
            SUBJECT,
            TARGET,
            PUSH,
            SET,
            Parameter {
                name: "strict",
                kind: Kind::Switch,
                description: "Undeclared cycles and overrides without a reason are errors",
            },
        ],
    },
    Tool {
        name: "explain",
        title: "Explain a decision or a code",
        description: "Why a module takes part in an upgrade, why one comes before another (`what`: `M`, or `A before B`, with \
                      `subject`), or what a diagnostic code means and what to do (`code`: `E604`).",
        reads: true,
        parameters: &[
            Parameter {
                name: "code",
                kind: Kind::Positional,
                description: "A diagnostic code; then nothing else is needed, and no node is contacted",
            },
            SUBJECT,
            Parameter {
                name: "what",
                kind: Kind::Words,
                description: "`MODULE`, or `MODULE before MODULE`",
            },
            TARGET,
            PUSH,
            SET,
        ],
    },
    Tool {
        name: "diff",
        title: "Compare versions of modules",
        description: "What differs between the code that runs and the new code: exports, behaviours, attributes, records, \
                      sizes. With `old` and `new` it compares two folders of beams and contacts no node.",
        reads: true,
        parameters: &[
            SUBJECT,
            Parameter {
                name: "modules",
                kind: Kind::Positionals,
                description: "Only these modules",
            },
            TARGET,
            PUSH,
            SET,
            Parameter {
                name: "old",
                kind: Kind::Text,
                description: "Offline: the folder with beams of the old version",
            },
            Parameter {
                name: "new",
                kind: Kind::Text,
                description: "Offline: the folder with beams of the new version",
            },
            Parameter {
                name: "all",
                kind: Kind::Switch,
                description: "Modules without a visible difference as well",
            },
        ],
    },
    Tool {
        name: "rehearse",
        title: "Rehearse conversions",
        description: "Tries the conversions of an upgrade on copies of live states: how many convert, which fail and why, how \
                      long the pause will be. Suspends no process and changes no state; it loads temporary modules on the \
                      node and executes the new code_change there, so it is for code that may run on the node.",
        reads: false,
        parameters: &[
            SUBJECT,
            TARGET,
            PUSH,
            SET,
            Parameter {
                name: "at_most",
                kind: Kind::Number,
                description: "How many processes of one module are asked for their state, at most",
            },
        ],
    },
    Tool {
        name: "status",
        title: "Look at nodes",
        description: "What a node runs, of several nodes which one runs which version, who holds its lock, its last run, what an interrupted run has left, and which modules \
                      differ from the new code.",
        reads: true,
        parameters: &[SUBJECT, TARGET, SET],
    },
    Tool {
        name: "graph",
        title: "Dependency graph",
        description: "The dependency graph of the changed modules: edges with their reasons, cycles, order. With `beams` the \
                      call graph of beams on this machine, and no node is contacted.",
        reads: true,
        parameters: &[
            SUBJECT,
            TARGET,
            PUSH,
            SET,
            Parameter {
                name: "beams",
                kind: Kind::Texts,
                description: "Offline: beam files or folders of them",
            },
            Parameter {
                name: "around",
                kind: Kind::Text,
                description: "Only what is near this module",
            },
            Parameter {
                name: "depth",
                kind: Kind::Number,
                description: "With `around`: how many calls away",
            },
        ],
    },
];

impl Tool {
    /// As `tools/list` has it.
    pub fn listed(&self) -> Value {
        let properties: Map<String, Value> = self
            .parameters
            .iter()
            .map(|parameter| (parameter.name.to_owned(), parameter.schema()))
            .collect();
        json!({
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "inputSchema": {
                "type": "object",
                "properties": properties,
                "additionalProperties": false,
            },
            "annotations": {
                "title": self.title,
                "readOnlyHint": self.reads,
                "destructiveHint": false,
                "idempotentHint": true,
                "openWorldHint": true,
            },
        })
    }

    /// The arguments of updo, behind its global flags. `default`: the subject when a call names none.
    pub fn arguments(
        &self,
        given: &Map<String, Value>,
        default: Option<&str>,
    ) -> Result<Vec<String>, String> {
        let known = |name: &String| self.parameters.iter().any(|known| known.name == *name);
        if let Some(unknown) = given.keys().find(|name| !known(name)) {
            let names: Vec<&str> = self.parameters.iter().map(|known| known.name).collect();
            let names = names.join(", ");
            return Err(format!(
                "`{}` has no parameter `{unknown}`: it has {names}",
                self.name
            ));
        }
        let has = |name: &str| given.get(name).is_some_and(|value| !value.is_null());
        let alone = match self.name {
            "explain" => has("code"),
            "diff" => has("old") || has("new"),
            "graph" => has("beams"),
            _ => false,
        };
        let (mut flags, mut behind) = (vec![self.name.to_owned()], Vec::new());
        for parameter in self.parameters {
            match given.get(parameter.name).filter(|value| !value.is_null()) {
                Some(value) => parameter.put(value, &mut flags, &mut behind)?,
                None if parameter.kind == Kind::Subject && !alone => match default {
                    Some(default) => behind.push(default.to_owned()),
                    None => {
                        return Err(
                            "say which plan or node: `subject`, for instance `shop@localhost`"
                                .to_owned(),
                        );
                    }
                },
                None => {}
            }
        }
        if self.name == "explain" && !alone && !has("what") {
            return Err("say what to explain: `what` with a plan or node, or `code`".to_owned());
        }
        flags.push("--".to_owned());
        flags.append(&mut behind);
        Ok(flags)
    }
}

impl Parameter {
    fn schema(&self) -> Value {
        let description = self.description;
        let texts = json!({ "type": "string", "maxLength": MAX_TEXT });
        match self.kind {
            Kind::Subject | Kind::Positional | Kind::Words | Kind::Text => {
                json!({ "type": "string", "maxLength": MAX_TEXT, "description": description })
            }
            Kind::Number => json!({ "type": "integer", "minimum": 0, "description": description }),
            Kind::Switch => json!({ "type": "boolean", "description": description }),
            Kind::Texts | Kind::Positionals => {
                json!({ "type": "array", "items": texts, "maxItems": MAX_LIST, "description": description })
            }
            Kind::Settings => {
                json!({ "type": "object", "additionalProperties": texts, "description": description })
            }
        }
    }

    /// Puts a value where its kind has it.
    fn put(
        &self,
        value: &Value,
        flags: &mut Vec<String>,
        behind: &mut Vec<String>,
    ) -> Result<(), String> {
        let name = self.name.replace('_', "-");
        match self.kind {
            Kind::Subject => {
                let text = self.text(value)?;
                if text == "-" {
                    return Err("standard input is the assistant's: name a file".to_owned());
                }
                behind.push(text);
            }
            Kind::Positional => behind.push(self.text(value)?),
            Kind::Words => {
                let text = self.text(value)?;
                behind.extend(text.split_whitespace().map(str::to_owned));
            }
            Kind::Positionals => behind.append(&mut self.texts(value)?),
            Kind::Text => flags.push(format!("--{name}={}", self.text(value)?)),
            Kind::Number => {
                let number = value.as_u64();
                let number = number.ok_or_else(|| self.is_not("a number from 0"))?;
                flags.push(format!("--{name}={number}"));
            }
            Kind::Switch => {
                let is_on = value
                    .as_bool()
                    .ok_or_else(|| self.is_not("true or false"))?;
                if is_on {
                    flags.push(format!("--{name}"));
                }
            }
            Kind::Texts => {
                let texts = self.texts(value)?;
                flags.extend(texts.into_iter().map(|text| format!("--{name}={text}")));
            }
            Kind::Settings => {
                let map = value.as_object().filter(|map| map.len() <= MAX_LIST);
                let map = map.ok_or_else(|| self.is_not("an object of texts"))?;
                for (parameter, value) in map {
                    if parameter.is_empty() || parameter.contains('=') {
                        return Err(format!("`{parameter}` is not the name of a parameter"));
                    }
                    flags.push(format!("--set={parameter}={}", self.text(value)?));
                }
            }
        }
        Ok(())
    }

    fn text(&self, value: &Value) -> Result<String, String> {
        let fits = |text: &&str| {
            !text.trim().is_empty() && text.len() <= MAX_TEXT && !text.contains(char::is_control)
        };
        let text = value.as_str().filter(fits);
        text.map(str::to_owned)
            .ok_or_else(|| self.is_not("a text of one line"))
    }

    fn texts(&self, value: &Value) -> Result<Vec<String>, String> {
        let list = value.as_array().filter(|list| list.len() <= MAX_LIST);
        let list = list.ok_or_else(|| self.is_not("a list of texts"))?;
        list.iter().map(|value| self.text(value)).collect()
    }

    fn is_not(&self, what: &str) -> String {
        format!("`{}` is to be {what}", self.name)
    }
}

/// What an exit code says, for those that a command which changes nothing can have.
pub(super) fn exit(code: i32) -> &'static str {
    match code {
        0 => "done",
        1 => "the plan has errors, or the upgrade is refused as it is",
        2 => "wrong usage",
        3 => "there is something to do",
        10 => "cannot connect to a node",
        11 => "a precondition failed",
        12 => "the node is not what it was",
        13 => "another run holds the lock of the node",
        14 => "aborted; nothing was changed",
        15 => {
            "a rehearsal found states that would not be converted, or that the new version cannot take"
        }
        70 => "a bug in updo",
        _ => "see `updo --help`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(tool: &str, given: &Value, default: Option<&str>) -> Result<Vec<String>, String> {
        let tool = TOOLS.iter().find(|known| known.name == tool).expect(tool);
        tool.arguments(given.as_object().expect("an object"), default)
    }

    fn line(tool: &str, given: &Value) -> String {
        arguments(tool, given, Some("x@localhost")).map_or_else(|why| why, |args| args.join(" "))
    }

    #[test]
    fn arguments_of_a_call_become_those_of_the_command() {
        assert_eq!(line("preview", &json!({})), "preview -- x@localhost");
        let given = json!({ "subject": "plans/a.updo", "target": "prod", "set": { "n": "2" }, "strict": true });
        assert_eq!(
            line("preview", &given),
            "preview --target=prod --set=n=2 --strict -- plans/a.updo"
        );
        let given = json!({ "push": ["a/*", "b"], "at_most": 10 });
        assert_eq!(
            line("rehearse", &given),
            "rehearse --push=a/* --push=b --at-most=10 -- x@localhost"
        );
        assert_eq!(
            line("explain", &json!({ "code": "E604" })),
            "explain -- E604"
        );
        let given = json!({ "what": "a before b" });
        assert_eq!(line("explain", &given), "explain -- x@localhost a before b");
        let given = json!({ "old": "1", "new": "2", "modules": ["m"] });
        assert_eq!(line("diff", &given), "diff --old=1 --new=2 -- m");
        assert_eq!(
            line("graph", &json!({ "beams": ["e"] })),
            "graph --beams=e --"
        );
    }

    #[test]
    fn nothing_that_a_call_says_becomes_a_flag() {
        let given = json!({ "subject": "--push=/etc", "push": ["--yes"], "target": "--detach" });
        let args = arguments("preview", &given, None).expect("texts like any other");
        let end = args
            .iter()
            .position(|arg| arg == "--")
            .expect("an end of flags");
        assert_eq!(
            args[..end],
            ["preview", "--target=--detach", "--push=--yes"]
        );
        assert_eq!(args[end + 1..], ["--push=/etc"]);
    }

    #[test]
    fn what_is_wrong_is_said_in_words() {
        for (tool, given, why) in [
            ("preview", json!({ "yes": true }), "has no parameter `yes`"),
            ("status", json!({ "save": true }), "has no parameter `save`"),
            (
                "preview",
                json!({ "subject": "-" }),
                "standard input is the assistant's",
            ),
            (
                "preview",
                json!({ "subject": 1 }),
                "`subject` is to be a text",
            ),
            (
                "preview",
                json!({ "subject": "a\u{0}b" }),
                "`subject` is to be a text",
            ),
            ("preview", json!({ "push": "a" }), "`push` is to be a list"),
            (
                "preview",
                json!({ "set": { "a=b": "c" } }),
                "not the name of a parameter",
            ),
            ("rehearse", json!({ "at_most": -1 }), "a number from 0"),
            ("explain", json!({}), "say what to explain"),
        ] {
            let said = line(tool, &given);
            assert!(said.contains(why), "{tool} {given}: {said}");
        }
        let said = arguments("preview", &json!({}), None).expect_err("no subject");
        assert!(said.contains("say which plan or node"), "{said}");
    }
}
