//! The laws every script must satisfy before it reaches a node, raw insertions included.

use std::collections::{BTreeMap, BTreeSet};

use super::instruction::Instruction;
use super::lower::Script;
use crate::diag::{Code, Diagnostic};
use crate::name::Module;
use crate::rules::Origin;

/// Checks a low-level script: object code first, one point of no return, only what can be given up before it;
/// conversions only of the suspended; and all the suspended are resumed, at once, before any is suspended again.
pub fn check(script: &Script) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    points(script, &mut diagnostics);
    object_code(script, &mut diagnostics);
    balance(script, &mut diagnostics);
    diagnostics
}

/// A violation; where the plan has inserted the instruction, its place.
fn broken(script: &Script, code: Code, title: String, by: &Instruction) -> Diagnostic {
    let diagnostic = Diagnostic::new(code, title).note(by.to_string());
    let inserted = script.inserted.iter().find(|(low, _)| low == by);
    match inserted {
        Some((_, Origin::Plan { span, .. })) => diagnostic.label(*span, "by this `insert`"),
        _ => diagnostic,
    }
}

fn points(script: &Script, diagnostics: &mut Vec<Diagnostic>) {
    let low = &script.low;
    let is_point = |i: &Instruction| matches!(i, Instruction::PointOfNoReturn);
    let count = low.iter().filter(|i| is_point(i)).count();
    if count != 1 {
        let title = format!("a script has one point of no return, this has {count}");
        diagnostics.push(broken(
            script,
            Code::E401,
            title,
            &Instruction::PointOfNoReturn,
        ));
    }
    let point = low.iter().position(is_point).unwrap_or(low.len());
    for (at, instruction) in low.iter().enumerate() {
        let word = instruction.word();
        match instruction {
            Instruction::LoadObjectCode { .. } if at > point => {
                let title = format!("`{word}` is after the point of no return");
                diagnostics.push(broken(script, Code::E401, title, instruction));
            }
            Instruction::LoadObjectCode { .. }
            | Instruction::Apply(_)
            | Instruction::Hook { .. } => {}
            _ if at < point => {
                let title = format!("`{word}` is before the point of no return");
                diagnostics.push(broken(script, Code::E404, title, instruction));
            }
            _ => {}
        }
    }
}

fn object_code(script: &Script, diagnostics: &mut Vec<Diagnostic>) {
    let mut read: BTreeSet<&Module> = BTreeSet::new();
    let mut loaded: BTreeSet<&Module> = BTreeSet::new();
    for instruction in &script.low {
        match instruction {
            Instruction::LoadObjectCode { modules, .. } => read.extend(modules),
            Instruction::Load { module, .. } if !read.contains(module) => {
                let title = format!("no object code of `{module}` is read");
                diagnostics.push(broken(script, Code::E401, title, instruction));
            }
            Instruction::Load { module, .. } | Instruction::Remove { module, .. }
                if !loaded.insert(module) =>
            {
                let title = format!("`{module}` is switched twice");
                diagnostics.push(broken(script, Code::E401, title, instruction));
            }
            _ => {}
        }
    }
}

fn balance(script: &Script, diagnostics: &mut Vec<Diagnostic>) {
    let mut suspended: BTreeMap<&Module, &Instruction> = BTreeMap::new();
    let low = &script.low;
    for (at, instruction) in low.iter().enumerate() {
        match instruction {
            Instruction::Suspend(modules) => {
                suspended.extend(modules.iter().map(|(module, _)| (module, instruction)));
            }
            Instruction::CodeChange { modules, .. } => {
                for (module, _) in modules {
                    if !suspended.contains_key(module) {
                        let title = format!("`{module}` is converted but not suspended");
                        diagnostics.push(broken(script, Code::E402, title, instruction));
                    }
                }
            }
            Instruction::Resume(modules) => {
                for module in modules {
                    if suspended.remove(module).is_none() {
                        let title = format!("`{module}` is resumed but not suspended");
                        diagnostics.push(broken(script, Code::E402, title, instruction));
                    }
                }
                let more = matches!(low.get(at + 1), Some(Instruction::Resume(_)));
                if !more && let Some((module, by)) = suspended.first_key_value() {
                    let later = low[at..]
                        .iter()
                        .any(|i| matches!(i, Instruction::Resume(list) if list.contains(module)));
                    if later {
                        let title = format!("`{module}` is still suspended when a window ends");
                        let diagnostic = broken(script, Code::E402, title, by).note(format!(
                            "{instruction} ends it: from then on the old states cannot be restored"
                        ));
                        diagnostics.push(diagnostic.help("resume it there: `after resume …`"));
                        return;
                    }
                }
            }
            _ => {}
        }
    }
    for (module, by) in suspended {
        let title = format!("`{module}` is suspended but never resumed");
        diagnostics.push(broken(script, Code::E402, title, by));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Purge;
    use crate::term::Term;

    fn codes(low: Vec<Instruction>) -> Vec<Code> {
        let script = Script {
            high: Vec::new(),
            low,
            kind: Default::default(),
            by: crate::script::lower::Executor::Updo,
            inserted: Vec::new(),
            held: Vec::new(),
            chosen: None,
        };
        check(&script).into_iter().map(|d| d.code).collect()
    }

    #[test]
    fn unbalanced_scripts_are_refused() {
        let m = Module::from("m");
        let suspend = Instruction::Suspend(vec![(m.clone(), None)]);
        let resume = Instruction::Resume(vec![m]);
        let good = vec![
            Instruction::PointOfNoReturn,
            suspend.clone(),
            resume.clone(),
        ];
        assert_eq!(codes(good), []);
        assert_eq!(
            codes(vec![Instruction::PointOfNoReturn, suspend.clone()]),
            [Code::E402]
        );
        assert_eq!(
            codes(vec![Instruction::PointOfNoReturn, resume.clone()]),
            [Code::E402]
        );
        assert_eq!(
            codes(vec![suspend, Instruction::PointOfNoReturn, resume]),
            [Code::E404]
        );
        assert_eq!(codes(vec![]), [Code::E401]);
        let code = |modules: &[&Module]| Instruction::LoadObjectCode {
            lib: "a".into(),
            vsn: Term::string("1"),
            modules: modules.iter().map(|m| (*m).clone()).collect(),
        };
        let (a, b) = (Module::from("a"), Module::from("b"));
        let load = |m: &Module| Instruction::Load {
            module: m.clone(),
            pre: Purge::Soft,
            post: Purge::Soft,
        };
        let point = Instruction::PointOfNoReturn;
        let (one, both) = (code(&[&a]), code(&[&a, &b]));
        assert_eq!(
            codes(vec![both.clone(), point.clone(), load(&a), load(&b)]),
            []
        );
        assert_eq!(
            codes(vec![point.clone(), one.clone(), load(&a)]),
            [Code::E401]
        );
        assert_eq!(
            codes(vec![one.clone(), point.clone(), load(&b)]),
            [Code::E401]
        );
        assert_eq!(
            codes(vec![one, point.clone(), load(&a), load(&a)]),
            [Code::E401]
        );
        // Two windows, one after the other; one in the other; resumed one by one, which is one end.
        let suspend = |m: &Module| Instruction::Suspend(vec![(m.clone(), None)]);
        let resume = |m: &Module| Instruction::Resume(vec![m.clone()]);
        let (sa, sb, ra, rb) = (suspend(&a), suspend(&b), resume(&a), resume(&b));
        let low = |list: [&Instruction; 5]| codes(list.into_iter().cloned().collect());
        assert_eq!(low([&point, &sa, &ra, &sb, &rb]), []);
        assert_eq!(low([&point, &sa, &sb, &ra, &rb]), []);
        assert_eq!(low([&point, &sa, &ra, &rb, &sb]), [Code::E402, Code::E402]);
        let mixed = vec![point, both.clone(), sa, sb, ra, load(&a), rb];
        assert_eq!(codes(mixed), [Code::E401, Code::E402]);
    }
}
