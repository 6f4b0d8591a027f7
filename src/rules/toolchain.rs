//! What a node is too old for, and what new versions call that it does not have: E327, W324.

use std::collections::BTreeMap;

use super::Ruleset;
use super::lints::{NAMED, count};
use crate::diag::{Code, Diagnostic};
use crate::facts::beam::toolchain::{Needs, too_new};
use crate::facts::change::ChangeSet;
use crate::facts::node::node_facts::NodeFacts;
use crate::name::{Mfa, Module};
use crate::term::Term;

/// Beams of modules that take part which the node cannot load.
pub fn advice(changes: &ChangeSet, rules: &Ruleset, facts: &NodeFacts) -> Vec<Diagnostic> {
    let mut refused: BTreeMap<Option<u32>, Vec<(&Module, Needs, String)>> = BTreeMap::new();
    for module in rules.modules.keys() {
        let new = changes.modules.get(module).and_then(|c| c.new.as_ref());
        let Some(new) = new else { continue };
        if let Some(needs) = too_new(&new.bytes, facts.otp) {
            let info = new.facts.compile_info();
            let version = info.iter().find(|(key, _)| key == "version");
            let version = version.and_then(|(_, value)| Term::to_text(value));
            let of = refused.entry(needs.otp()).or_default();
            of.push((module, needs, version.unwrap_or_default()));
        }
    }
    let each = refused.into_iter();
    each.map(|(otp, modules)| too_old(facts.otp, otp, &modules))
        .collect()
}

/// E327: the loader of the node would refuse these.
fn too_old(node: u32, otp: Option<u32>, modules: &[(&Module, Needs, String)]) -> Diagnostic {
    let title = match (modules, otp) {
        ([(module, ..)], Some(otp)) => {
            format!("`{module}` needs OTP {otp}, and the node runs OTP {node}")
        }
        ([(module, ..)], None) => {
            format!("`{module}` needs a newer OTP than {node}, which the node runs")
        }
        (more, Some(otp)) => {
            let number = count(more.len(), "module needs", "modules need");
            format!("{number} OTP {otp}, and the node runs OTP {node}")
        }
        (more, None) => {
            let number = count(more.len(), "module needs", "modules need");
            format!("{number} a newer OTP than {node}, which the node runs")
        }
    };
    let mut diagnostic = Diagnostic::new(Code::E327, title);
    for (module, needs, version) in modules.iter().take(NAMED) {
        let what = match needs {
            Needs::Instruction(highest) => format!("uses the instruction {highest}"),
            Needs::LongAtoms => "has its atoms in the form of OTP 28".to_owned(),
            Needs::PlainLiterals => "has its literals in the form of OTP 28".to_owned(),
        };
        let by = match version.as_str() {
            "" => String::new(),
            version => format!(", compiled by compiler {version}"),
        };
        diagnostic = diagnostic.note(format!("`{module}` {what}{by}"));
    }
    if modules.len() > NAMED {
        diagnostic = diagnostic.note(format!("and {} more", modules.len() - NAMED));
    }
    diagnostic.note("code:prepare_loading/1 would refuse it: a node runs what its own release or an older one has compiled")
        .help(format!(
            "compile with OTP {node}; a newer run-time system comes with a restart, not with an upgrade"
        ))
}

/// W324: functions that a new version calls and that are not there.
pub(super) fn missing(module: &Module, functions: &[Mfa]) -> Diagnostic {
    let number = count(functions.len(), "function", "functions");
    let title = format!("`{module}` calls {number} that the node does not have");
    let diagnostic = Diagnostic::new(Code::W324, title);
    let diagnostic = functions
        .iter()
        .take(NAMED)
        .fold(diagnostic, |diagnostic, function| {
            diagnostic.note(function.to_string())
        });
    let diagnostic = match functions.len().saturating_sub(NAMED) {
        0 => diagnostic,
        more => diagnostic.note(format!("and {more} more")),
    };
    diagnostic.note("its running version does not call them; a call ends in `undef`")
        .help("let what has them take part too; or build with the OTP, Elixir and libraries that the node runs")
}
