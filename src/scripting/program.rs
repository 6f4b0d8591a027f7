//! The text of a plan, parsed and checked.

use std::collections::BTreeMap;
use std::path::Path;

use super::ScriptError;
use crate::diag::{Code, Diagnostic, SourceMap};
use crate::plan::{Check, Plan, load_text};
use crate::script::insert;
use crate::syntax::ast::{ExprKind, Statement, StatementKind};
use crate::syntax::{parse_plan, walk};
use crate::term::Term;

/// The name under which diagnostics show the text.
const NAME: &str = "program";

/// The text of a plan, parsed and checked: functions, constants, parameters, `require` and `verify`. What a plan says
/// about nodes and modules may be there, is checked, and means nothing here.
#[derive(Clone, Debug)]
pub struct Program {
    pub(super) plan: Plan,
    warnings: Vec<Diagnostic>,
}

impl Program {
    /// A program without parameters, or with the defaults of all that it has.
    ///
    /// # Errors
    /// All errors of the text, of the kind [`ScriptErrorKind::Invalid`](super::ScriptErrorKind::Invalid): it does not
    /// parse (E101 to E108), uses a name that is not there (E206, E702), a constant cannot be computed (E7xx), or it has
    /// an `include` (E109) or calls `env` (E210).
    ///
    /// ```
    /// use updo::scripting::Program;
    ///
    /// let error = Program::parse("double(X) -> 2 * Y.").unwrap_err();
    /// assert!(error.to_string().contains("E206"), "{error}");
    /// ```
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        Self::parse_with(text, [] as [(&str, &str); 0])
    }

    /// A program whose parameters have values: text, as `updo --set Name=value` takes it.
    ///
    /// # Errors
    /// As [`Program::parse`]; a parameter without value (E207), or a value for no parameter or of the wrong type (E208).
    ///
    /// ```
    /// use updo::Term;
    /// use updo::scripting::Program;
    ///
    /// let program = Program::parse_with("param Limit :: integer. Twice = 2 * Limit.", [("Limit", "21")])?;
    /// assert_eq!(program.constant("Twice"), Some(&Term::Int(42)));
    /// # Ok::<(), updo::scripting::ScriptError>(())
    /// ```
    pub fn parse_with(
        text: &str,
        parameters: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
    ) -> Result<Self, ScriptError> {
        // What would be read or asked while the text is resolved is refused before.
        let outside = outside(&parse_plan(text, 0).statements);
        if !outside.is_empty() {
            let mut sources = SourceMap::default();
            sources.add(NAME, text);
            return Err(ScriptError::invalid(outside, sources));
        }
        let parameters: BTreeMap<String, String> = parameters
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let loaded = load_text(Path::new(NAME), text, &parameters);
        let mut diagnostics = loaded.diagnostics;
        if let Some(plan) = &loaded.plan {
            diagnostics.extend(insert::check(plan));
        }
        match loaded.plan {
            Some(plan) if !diagnostics.iter().any(Diagnostic::is_error) => Ok(Self {
                plan,
                warnings: diagnostics,
            }),
            _ => Err(ScriptError::invalid(diagnostics, loaded.sources)),
        }
    }

    /// What is noteworthy about the text and no error, in the order of the text.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// The text that [`Program::warnings`] point into.
    pub fn sources(&self) -> &SourceMap {
        &self.plan.sources
    }

    /// OwnNames and arities of its functions, sorted.
    pub fn functions(&self) -> impl Iterator<Item = (&str, usize)> {
        let functions = self.plan.functions.keys();
        functions.map(|(name, arity)| (name.as_str(), *arity))
    }

    /// The value of a constant or parameter.
    pub fn constant(&self, name: &str) -> Option<&Term> {
        self.plan.constants.get(name)
    }

    /// OwnNames and values of its constants and parameters.
    pub fn constants(&self) -> impl Iterator<Item = (&str, &Term)> {
        self.plan.constants.iter()
    }

    /// The names of its checks: each `require`, then each `verify`, in the order of the text.
    pub fn checks(&self) -> impl Iterator<Item = &str> {
        self.all_checks().map(|check| check.name.as_str())
    }

    pub(super) fn all_checks(&self) -> impl Iterator<Item = &Check> {
        self.plan.requires.iter().chain(&self.plan.verifies)
    }
}

/// What would reach outside of the text.
fn outside(statements: &[Statement]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for statement in statements {
        if let StatementKind::Include { path, .. } = &statement.kind {
            let title = "a program of its own includes no files";
            let diagnostic = Diagnostic::new(Code::E109, title)
                .label(path.span, "not read")
                .help("put both texts into one");
            found.push(diagnostic);
        }
        walk::statement(&statement.kind, &mut |expr| {
            walk::all(expr, &mut |part| {
                let ExprKind::Call(name, args) = &part.kind else {
                    return;
                };
                if name.value == "env" && args.len() == 1 {
                    let title = "a program of its own sees no environment";
                    let diagnostic = Diagnostic::new(Code::E210, title)
                        .label(part.span, "not known here")
                        .help("make it a parameter: param Name :: string.");
                    found.push(diagnostic);
                }
            });
        });
    }
    found
}
