//! A run as JUnit XML: a suite per node, a case per check, hook and step.
//!
//! Takes events in order and gives one document. Whatever text it is given, the document is well-formed: the crate
//! quick-junit writes it, and `line` and `text` hand over only what passes through it unchanged. The attributes are
//! those that GitLab, Jenkins and GitHub's reporters read.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::diag::safe;
use crate::exec::{Event, EventKind, NodeState};

/// All that was seen so far.
#[derive(Debug, Default)]
pub struct Junit {
    suites: Vec<TestSuite>,
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
        let shown = line(name);
        // Nodes of a rollout come interleaved.
        let is_known = |suite: &TestSuite| suite.name.as_str() == shown;
        if matches!(event.kind, EventKind::Started { .. }) || !self.suites.iter().any(is_known) {
            self.suites.push(TestSuite::new(&shown));
        }
        let at = self.suites.iter().rposition(is_known);
        let Some(suite) = at.map(|at| &mut self.suites[at]) else {
            return;
        };
        suite.set_time(event.at);
        match &event.kind {
            EventKind::Check {
                verify,
                name,
                ok,
                took,
                ..
            } => {
                let class = if *verify { "verify" } else { "require" };
                suite.add_test_case(case(class, name, *ok, *took));
            }
            EventKind::Hook { name, ok, took } => {
                suite.add_test_case(case("hook", name, *ok, *took));
            }
            EventKind::Hold { name, ok, took, .. } => {
                suite.add_test_case(case("hold", name, *ok, *took));
            }
            EventKind::Gate { name, ok, took, .. } => {
                suite.add_test_case(case("gate", name, *ok, *took));
            }
            EventKind::StepFinished {
                step,
                ok,
                took,
                what,
                ..
            } => {
                suite.add_test_case(case("step", &format!("{step} {what}"), *ok, *took));
            }
            EventKind::RollbackFinished { ok, took, .. } => {
                suite.add_test_case(case("rollback", "rollback", *ok, *took));
            }
            EventKind::Diagnostic(error) if error.is_error() => {
                let title = format!("{}: {}", error.code, error.title);
                let mut status = failure(&title);
                status.set_description(text(diagnostic.unwrap_or_default()));
                match suite.test_cases.last_mut().map(|case| &mut case.status) {
                    // What failed last has not said why yet.
                    Some(
                        failed @ TestCaseStatus::NonSuccess {
                            description: None, ..
                        },
                    ) => *failed = status,
                    _ => {
                        let code = error.code.to_string();
                        suite.add_test_case(with_status("run", &code, status, Duration::ZERO));
                    }
                }
            }
            EventKind::Finished { state, .. } => {
                let good = *state == NodeState::New;
                let what = format!("{name} is {state}");
                suite.add_test_case(case("run", &what, good, Duration::ZERO));
            }
            _ => {}
        }
    }

    /// The document. `ended` is what to say of a run that reached no node: nothing when that was as it should be.
    ///
    /// # Panics
    /// Never: what is written is text, and where it is written to has room.
    #[expect(clippy::expect_used, reason = "a string takes everything")]
    pub fn document(&self, title: &str, ended: Option<&str>) -> String {
        let mut report = Report::new(line(title));
        let lone = self.suites.is_empty().then(|| {
            let mut lone = TestSuite::new("updo");
            let status = ended.map_or_else(TestCaseStatus::success, failure);
            lone.set_time(Duration::ZERO);
            lone.add_test_case(with_status("run", title, status, Duration::ZERO));
            lone
        });
        report.add_test_suites(self.suites.iter().cloned().chain(lone));
        let times = report.test_suites.iter().filter_map(|suite| suite.time);
        report.set_time(times.sum());
        report.to_string().expect("text can be written to memory")
    }
}

fn case(class: &str, name: &str, ok: bool, took: Duration) -> TestCase {
    let status = match ok {
        true => TestCaseStatus::success(),
        false => failure(&format!("{class} failed")),
    };
    with_status(class, name, status, took)
}

fn with_status(class: &str, name: &str, status: TestCaseStatus, took: Duration) -> TestCase {
    let mut case = TestCase::new(line(name), status);
    case.set_classname(class).set_time(took);
    case
}

fn failure(title: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_message(line(title));
    status
}

/// Text for an attribute, where the end of a line would be read as a blank.
fn line(text: &str) -> String {
    allowed(&safe::line(text))
}

/// Text of several lines. The crate drops tabs.
fn text(text: &str) -> String {
    allowed(&safe::text(text)).replace('\t', "    ")
}

/// What of it XML 1.0 does not allow (section 2.2) and neither [`safe`] nor the crate has taken out.
fn allowed(text: &str) -> String {
    text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
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
            "<testsuites name=\"t\" tests=\"2\" skipped=\"0\" failures=\"2\" errors=\"0\" time=\"0.250\">",
            "name=\"a &quot;b&quot; &lt;c&gt; &amp; &apos;d&apos;\" classname=\"require\" time=\"0.004\">",
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

    proptest::proptest! {
        /// Whatever is in names and texts: a document that can be read, with all that is not markup.
        #[test]
        fn any_text_is_well_formed(
            name in "[\\PC\\x00-\\x20\\x7f-\\x{9f}\u{2028}\u{202e}\u{fffe}\u{ffff}<>&'\"\\]]*",
        ) {
            let mut junit = Junit::default();
            let event = |kind| Event {
                seq: 1,
                node: NodeName::new("a@b"),
                at: Duration::from_millis(250),
                kind,
            };
            let check = EventKind::Check {
                verify: true,
                name: name.clone(),
                ok: false,
                tries: 1,
                took: Duration::from_millis(4),
            };
            junit.event(&event(check), None);
            let error = Diagnostic::new(Code::E601, name.clone());
            junit.event(&event(EventKind::Diagnostic(Box::new(error))), Some(&name));
            let xml = junit.document(&name, None);
            let is_allowed = |c| {
                matches!(c, '\n' | ' '..='\u{7e}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..)
                    && !matches!(c, '\u{2028}'..='\u{202e}')
            };
            proptest::prop_assert!(xml.chars().all(is_allowed), "{xml:?}");
            let read = Report::deserialize_from_str(&xml).expect("a document");
            let case = &read.test_suites[0].test_cases[0];
            proptest::prop_assert_eq!(case.name.as_str(), line(&name));
            let TestCaseStatus::NonSuccess { message, description, .. } = &case.status else {
                panic!("{case:?}");
            };
            let title = format!("E601: {}", line(&name));
            proptest::prop_assert_eq!(message.as_deref(), Some(title.as_str()));
            let description = description.as_deref().unwrap_or_default();
            let shown = text(&name);
            proptest::prop_assert_eq!(description.trim(), shown.trim());
        }
    }
}
