//! `engine release_handler`: what a script needs so that OTP's `release_handler_1:eval_script/5` can carry it out.
//!
//! Takes the plan, the changes and the finished script of `window otp`; sets what carries it out and from which
//! folders of the node it reads the object code. Gives what does not go with this engine (E418) and what the engine
//! does not do (W419). Asks no node: whether OTP's module and the files are there is asked in
//! `exec::release_handler`.

use std::path::Path;

use super::instruction::Instruction;
use super::lower::{Executor, Library, Script};
use crate::diag::{Code, Diagnostic, Span};
use crate::facts::change::ChangeSet;
use crate::name::Module;
use crate::plan::{CodeFrom, ExecutionEngine, Plan};

/// Hands the script to the release handler when the plan says so.
pub fn set(plan: &Plan, changes: &ChangeSet, script: &mut Script) -> Vec<Diagnostic> {
    let ExecutionEngine::ReleaseHandler(span) = plan.engine else {
        return Vec::new();
    };
    if script.is_empty() {
        return Vec::new();
    }
    let mut diagnostics = Vec::new();
    let hook = |i: &&Instruction| matches!(i, Instruction::Hook { .. });
    if let Some(Instruction::Hook { name, .. }) = script.low.iter().find(hook) {
        let title = format!("the release handler cannot wait for the hook {name}");
        diagnostics.push(refused(title, span).help("delete the hook, or the `engine` statement"));
    }
    let mut libraries = Vec::new();
    for instruction in &script.low {
        let Instruction::LoadObjectCode { lib, vsn, modules } = instruction else {
            continue;
        };
        match folder(changes, modules) {
            Ok(folder) => libraries.push(Library {
                app: lib.clone(),
                vsn: vsn.to_text().unwrap_or_default(),
                folder,
            }),
            Err(why) => {
                let title = format!("the release handler cannot read the new code of {lib}");
                let diagnostic = refused(title, span).note(why);
                diagnostics.push(
                    diagnostic.help(
                        "it reads `FOLDER/ebin/MODULE.beam`, one folder for each application",
                    ),
                );
            }
        }
    }
    script.by = Executor::ReleaseHandler(libraries);
    diagnostics.push(warning(plan, script, span));
    diagnostics
}

/// E418 at the `engine` statement.
pub fn refused(title: impl Into<String>, span: Span) -> Diagnostic {
    Diagnostic::new(Code::E418, title).label(span, "asked for here")
}

/// The one folder whose `ebin` has the new beams of some modules.
fn folder(changes: &ChangeSet, modules: &[Module]) -> Result<String, String> {
    let mut found: Option<String> = None;
    for module in modules {
        let beam = changes.modules.get(module).and_then(|c| c.new.as_ref());
        let Some(beam) = beam else { continue };
        let file = Path::new(&beam.file);
        let ebin = file.parent().filter(|ebin| ebin.ends_with("ebin"));
        let named = file.file_stem().is_some_and(|stem| stem == module.as_str());
        let folder = ebin.and_then(Path::parent).and_then(Path::to_str);
        let Some(folder) = folder.filter(|folder| named && !folder.is_empty()) else {
            return Err(format!("{module} lies in {}", beam.file));
        };
        match &found {
            Some(other) if other != folder => {
                return Err(format!("beams lie in {other}/ebin and in {folder}/ebin"));
            }
            _ => found = Some(folder.to_owned()),
        }
    }
    found.ok_or_else(|| "no beam of it is there".to_owned())
}

/// W419: what this engine does not do.
fn warning(plan: &Plan, script: &Script, span: Span) -> Diagnostic {
    let mut diagnostic = Diagnostic::new(
        Code::W419,
        "OTP's release handler runs this script: it undoes nothing and resumes no process when a step fails",
    )
    .label(span, "asked for here")
    .note("a busy process is skipped without a message: it keeps its old state under the new code");
    let converts = |i: &Instruction| matches!(i, Instruction::CodeChange { .. });
    if plan.code == CodeFrom::OnDisk && script.low.iter().any(converts) {
        diagnostic = diagnostic.note(
            "code_change gets the version of the file on the disk as OldVsn, and that file is the new one already",
        );
    }
    if plan.deadline.is_some() {
        diagnostic =
            diagnostic.note("the deadline ends nothing once the release handler has begun");
    }
    if plan.budget_said {
        diagnostic =
            diagnostic.note("`budget` has no effect: the release handler suspends in one attempt");
    }
    diagnostic.help("without `engine release_handler` the same script runs as a transaction")
}
