//! The last touches of the translation: object code of one library is read at once, and emulator restarts
//! go where OTP wants them.

use std::collections::{BTreeMap, BTreeSet};

use super::error::ScriptError;
use super::instruction::Instruction;
use super::translate::Mode;
use crate::name::{App, Module};
use crate::term::{Term, compare_loose};

/// One `load_object_code` for each library, at the place of its first, then everything else in order.
///
/// Of a module that is in several lists the last one counts; repeats within one list stay.
pub(super) fn object_code(before: Vec<Instruction>) -> Result<Vec<Instruction>, ScriptError> {
    let mut order: Vec<App> = Vec::new();
    let mut libs: BTreeMap<App, Vec<(Term, Vec<Module>)>> = BTreeMap::new();
    let mut rest = Vec::new();
    for instruction in before {
        match instruction {
            Instruction::LoadObjectCode { lib, vsn, modules } => {
                let lists = libs.entry(lib.clone()).or_insert_with(|| {
                    order.push(lib);
                    Vec::new()
                });
                lists.push((vsn, modules));
            }
            other => rest.push(other),
        }
    }
    let mut out = Vec::with_capacity(order.len() + rest.len());
    for lib in order {
        let lists = libs.remove(&lib).unwrap_or_default();
        let Some((vsn, _)) = lists.first() else {
            continue;
        };
        let vsn = vsn.clone();
        let other = lists
            .iter()
            .rev()
            .find(|(other, _)| compare_loose(other, &vsn).is_ne());
        if let Some((other, _)) = other {
            let versions = Box::new((vsn, other.clone()));
            return Err(ScriptError::ConflictingVersions(lib, versions));
        }
        out.push(Instruction::LoadObjectCode {
            lib,
            vsn,
            modules: joined(lists.into_iter().map(|(_, modules)| modules).collect()),
        });
    }
    out.extend(rest);
    Ok(out)
}

/// Lists joined in order, each without what a later one has.
fn joined(mut lists: Vec<Vec<Module>>) -> Vec<Module> {
    let mut later: BTreeSet<Module> = BTreeSet::new();
    for list in lists.iter_mut().rev() {
        list.retain(|module| !later.contains(module));
        later.extend(list.iter().cloned());
    }
    lists.concat()
}

/// At most one `restart_new_emulator`, first of all and only on the way up; at most one
/// `restart_emulator`, last of all.
pub(super) fn restarts(mode: Mode, mut low: Vec<Instruction>) -> Vec<Instruction> {
    let len = low.len();
    low.retain(|instruction| *instruction != Instruction::RestartNewEmulator);
    let first = low.len() < len && mode == Mode::Up;
    let mut last = low.len() < len && mode == Mode::Down;
    let len = low.len();
    low.retain(|instruction| *instruction != Instruction::RestartEmulator);
    last |= low.len() < len;
    if first {
        low.insert(0, Instruction::RestartNewEmulator);
    }
    if last {
        low.push(Instruction::RestartEmulator);
    }
    low
}
