//! A run as JUnit XML: a suite per node, a case per check, hook and step.
//!
//! Takes events in order and gives one document. Whatever text it is given, the document is well-formed: markup is
//! escaped, and characters that XML 1.0 does not allow (section 2.2) become U+FFFD. The attributes are those that
//! GitLab, Jenkins and GitHub's reporters read.

use std::time::Duration;

use crate::diag::safe;
use crate::exec::{Event, EventKind, NodeState};

/// A case.
#[derive(Debug)]
struct Case {
    class: &'static str,
    name: String,
    took: Duration,
    failure: Option<(String, String)>,
}

/// The cases of one node.
#[derive(Debug)]
struct Suite {
    name: String,
    took: Duration,
    cases: Vec<Case>,
}

/// All that was seen so far.
#[derive(Debug, Default)]
pub struct Junit {
    suites: Vec<Suite>,
}

impl Junit {
    /// The next event; `diagnostic` is its text when it is one.
    pub fn event(&mut self, event: &Event, diagnostic: Option<&str>) {
        self.case(event.node.as_str(), event, diagnostic);
    }

    /// The next event that is about a whole rollout: these are a suite of their own.
    pub fn rollout_event(&mut self, event: &Event, diagnostic: Option<&str>) {
        self.case("rollout", event, diagnostic);
    }

    fn case(&mut self, name: &str, event: &Event, diagnostic: Option<&str>) {
        // Nodes of a rollout come interleaved.
        let known = self.suites.iter().rposition(|suite| suite.name == name);
        if matches!(event.kind, EventKind::Started { .. }) || known.is_none() {
            self.suites.push(Suite {
                name: name.to_owned(),
                took: Duration::ZERO,
                cases: Vec::new(),
            });
        }
        let at = self.suites.iter().rposition(|suite| suite.name == name);
        let Some(suite) = at.map(|at| &mut self.suites[at]) else {
            return;
        };
        suite.took = event.at;
        let mut case = |class, name: String, ok: bool, took: Duration| {
            let failure = (!ok).then(|| (format!("{class} failed"), String::new()));
            suite.cases.push(Case {
                class,
                name,
                took,
                failure,
            });
        };
        match &event.kind {
            EventKind::Check {
                verify,
                name,
                ok,
                took,
                ..
            } => {
                let class = if *verify { "verify" } else { "require" };
                case(class, name.clone(), *ok, *took);
            }
            EventKind::Hook { name, ok, took } => case("hook", (*name).to_owned(), *ok, *took),
            EventKind::StepFinished {
                step,
                ok,
                took,
                what,
                ..
            } => case("step", format!("{step} {what}"), *ok, *took),
            EventKind::RollbackFinished { ok, took, .. } => {
                case("rollback", "rollback".to_owned(), *ok, *took);
            }
            EventKind::Diagnostic(error) if error.is_error() => {
                let text = diagnostic.unwrap_or_default().to_owned();
                let title = format!("{}: {}", error.code, error.title);
                let failed = suite.cases.last_mut().and_then(|c| c.failure.as_mut());
                match failed {
                    Some(failure) if failure.1.is_empty() => *failure = (title, text),
                    _ => suite.cases.push(Case {
                        class: "run",
                        name: error.code.to_string(),
                        took: Duration::ZERO,
                        failure: Some((title, text)),
                    }),
                }
            }
            EventKind::Finished { state, .. } => {
                let good = *state == NodeState::New;
                case("run", format!("{name} is {state}"), good, Duration::ZERO);
            }
            _ => {}
        }
    }

    /// The document. `ended` is what to say of a run that reached no node: nothing when that was as it should be.
    pub fn document(&self, title: &str, ended: Option<&str>) -> String {
        let lone = self.suites.is_empty().then(|| Suite {
            name: "updo".to_owned(),
            took: Duration::ZERO,
            cases: vec![Case {
                class: "run",
                name: title.to_owned(),
                took: Duration::ZERO,
                failure: ended.map(|text| (text.to_owned(), String::new())),
            }],
        });
        let suites: Vec<&Suite> = self.suites.iter().chain(&lone).collect();
        let failures = |suite: &Suite| suite.cases.iter().filter(|c| c.failure.is_some()).count();
        let (all, bad, took) = suites.iter().fold((0, 0, Duration::ZERO), |sum, suite| {
            let (all, bad, took) = sum;
            (
                all + suite.cases.len(),
                bad + failures(suite),
                took + suite.took,
            )
        });
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"{}\" tests=\"{all}\" failures=\"{bad}\" time=\"{}\">\n",
            escape(title),
            seconds(took)
        );
        for suite in suites {
            xml += &format!(
                "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"0\" time=\"{}\">\n",
                escape(&suite.name),
                suite.cases.len(),
                failures(suite),
                seconds(suite.took)
            );
            for case in &suite.cases {
                let head = format!(
                    "    <testcase classname=\"{}\" name=\"{}\" time=\"{}\"",
                    case.class,
                    escape(&case.name),
                    seconds(case.took)
                );
                xml += &match &case.failure {
                    None => format!("{head}/>\n"),
                    Some((title, text)) => format!(
                        "{head}>\n      <failure message=\"{}\">{}</failure>\n    </testcase>\n",
                        escape(title),
                        escape(text)
                    ),
                };
            }
            xml += "  </testsuite>\n";
        }
        xml + "</testsuites>\n"
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in safe::text(text).chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&apos;",
            // As they are, an attribute's value would have them as spaces, and a text as other line ends.
            '\n' => out += "&#10;",
            '\t' => out += "&#9;",
            '\r' => out += "&#13;",
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Code, Diagnostic};
    use crate::name::NodeName;

    #[test]
    fn a_failure_belongs_to_what_failed() {
        let mut junit = Junit::default();
        let mut at = |kind| {
            let event = Event {
                seq: 1,
                node: NodeName::new("a@b"),
                at: Duration::from_millis(250),
                kind,
            };
            junit.event(&event, Some("the <whole> text\u{1b}[31m"));
        };
        at(EventKind::Started {
            run: "7f2a".into(),
            title: "x".into(),
        });
        at(EventKind::Check {
            verify: false,
            name: "a \"b\" <c> & 'd'".into(),
            ok: false,
            tries: 1,
            took: Duration::from_millis(4),
        });
        at(EventKind::Diagnostic(Box::new(Diagnostic::new(
            Code::E601,
            "no",
        ))));
        at(EventKind::Diagnostic(Box::new(Diagnostic::new(
            Code::E604,
            "more",
        ))));
        let xml = junit.document("t", None);
        for part in [
            "<testsuites name=\"t\" tests=\"2\" failures=\"2\" time=\"0.250\">",
            "name=\"a &quot;b&quot; &lt;c&gt; &amp; &apos;d&apos;\" time=\"0.004\">",
            "<failure message=\"E601: no\">the &lt;whole&gt; text\\e[31m</failure>",
            "<failure message=\"E604: more\">",
        ] {
            assert!(xml.contains(part), "{part}: {xml}");
        }
        let alone = Junit::default().document("t", Some("cannot connect"));
        assert!(alone.contains("failures=\"1\"") && alone.contains("cannot connect"));
        let nothing = Junit::default().document("t", None);
        assert!(nothing.contains("failures=\"0\""));
    }
}
