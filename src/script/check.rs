//! The laws every script must satisfy before it reaches a node, raw insertions included.

use std::collections::BTreeSet;

use super::low::Low;
use super::lower::Script;
use crate::diag::{Code, Diagnostic};
use crate::name::Module;

/// Checks a low-level script: object code first, one point of no return, everybody suspended is resumed,
/// conversions only of the suspended and between suspend and resume.
pub fn check(script: &Script) -> Vec<Diagnostic> {
    let mut said = Vec::new();
    points(&script.low, &mut said);
    balance(&script.low, &mut said);
    said
}

fn points(low: &[Low], said: &mut Vec<Diagnostic>) {
    let count = low
        .iter()
        .filter(|i| matches!(i, Low::PointOfNoReturn))
        .count();
    if count != 1 {
        said.push(Diagnostic::new(
            Code::E401,
            format!("a script has one point of no return, this has {count}"),
        ));
    }
    for instruction in low
        .iter()
        .take_while(|i| !matches!(i, Low::PointOfNoReturn))
    {
        if !matches!(instruction, Low::LoadObjectCode { .. } | Low::Apply { .. }) {
            let title = format!(
                "`{}` stands before the point of no return",
                instruction.word()
            );
            said.push(Diagnostic::new(Code::E404, title).note(instruction.to_string()));
        }
    }
}

fn balance(low: &[Low], said: &mut Vec<Diagnostic>) {
    let mut suspended: BTreeSet<&Module> = BTreeSet::new();
    for instruction in low {
        match instruction {
            Low::Suspend(modules) => suspended.extend(modules.iter().map(|(module, _)| module)),
            Low::CodeChange { modules, .. } => {
                for (module, _) in modules
                    .iter()
                    .filter(|(module, _)| !suspended.contains(module))
                {
                    let title = format!("`{module}` is converted but not suspended");
                    said.push(Diagnostic::new(Code::E402, title));
                }
            }
            Low::Resume(modules) => {
                for module in modules {
                    if !suspended.remove(module) {
                        let title = format!("`{module}` is resumed but not suspended");
                        said.push(Diagnostic::new(Code::E402, title));
                    }
                }
            }
            _ => {}
        }
    }
    for module in suspended {
        said.push(Diagnostic::new(
            Code::E402,
            format!("`{module}` is suspended but never resumed"),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Timeout;

    fn codes(low: Vec<Low>) -> Vec<Code> {
        let script = Script {
            high: Vec::new(),
            low,
            kind: Default::default(),
        };
        check(&script).into_iter().map(|d| d.code).collect()
    }

    #[test]
    fn unbalanced_scripts_are_refused() {
        let m = Module::from("m");
        let suspend = Low::Suspend(vec![(m.clone(), Timeout::Default)]);
        let resume = Low::Resume(vec![m]);
        let good = vec![Low::PointOfNoReturn, suspend.clone(), resume.clone()];
        assert_eq!(codes(good), []);
        assert_eq!(
            codes(vec![Low::PointOfNoReturn, suspend.clone()]),
            [Code::E402]
        );
        assert_eq!(
            codes(vec![Low::PointOfNoReturn, resume.clone()]),
            [Code::E402]
        );
        assert_eq!(
            codes(vec![suspend, Low::PointOfNoReturn, resume]),
            [Code::E404]
        );
        assert_eq!(codes(vec![]), [Code::E401]);
    }
}
