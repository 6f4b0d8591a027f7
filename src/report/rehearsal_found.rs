//! What a rehearsal has found beside conversions that fail, as text, as JSON and as diagnostics: how large states are,
//! whether going back gives back what there was, and what becomes of the children of supervisors.

use serde_json::{Value, json};

use super::style::{attention, bytes, count, count_of, faint};
use crate::diag::render::Style;
use crate::diag::{Code, Diagnostic};
use crate::exec::rehearsal::{BackBy, Bytes, FailedState, OtherStates, Tried, WentBack};
use crate::rules::children_found::{ChildrenFound, FoundChild};

/// How many failures and shapes are named.
const NAMED: usize = 3;

/// The lines of one module.
pub(super) fn lines(tried: &Tried, children: Option<&ChildrenFound>, style: Style) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(sizes(tried, style).map(|line| faint(style, &line)));
    lines.extend(growth(tried).map(|(old, new)| {
        let (old, new) = (bytes(old), bytes(new));
        attention(
            style,
            &format!("all states will take {new} instead of {old}"),
        )
    }));
    lines.extend(going_back(tried, style));
    for (line, done) in children.into_iter().flat_map(ChildrenFound::lines) {
        lines.push(if done { line } else { attention(style, &line) });
    }
    lines
}

/// Whether its lines say something that is to be seen, however many modules there are.
pub(super) fn is_plain(tried: &Tried) -> bool {
    tried.back.lost() == 0 && growth(tried).is_none() && tried.children.is_empty()
}

/// What all states of a module take before and after, when they grow much.
fn growth(tried: &Tried) -> Option<(u64, u64)> {
    tried.sizes.growth(tried.processes + tried.untried)
}

/// `size: median 312 B · 99 % below 1.2 kB · largest 64 kB (<0.91.0>); before: 56 B`.
fn sizes(tried: &Tried, style: Style) -> Option<String> {
    let dot = if style.unicode { "·" } else { "-" };
    let of = |sizes: &Bytes, largest: &str| {
        let at = |percent| sizes.percentile(percent);
        let (median, most) = (at(50)?, at(100)?);
        Some(match at(0)? == most {
            true => bytes(most),
            false => format!(
                "median {} {dot} 99 % below {} {dot} largest {}{largest}",
                bytes(median),
                bytes(at(99).unwrap_or(most)),
                bytes(most)
            ),
        })
    };
    let largest = tried.sizes.largest.iter();
    let largest: String = largest.map(|pid| format!(" ({pid})")).collect();
    match of(&tried.sizes.new, &largest) {
        None => of(&tried.sizes.old, &largest).map(|size| format!("size: {size}")),
        Some(size) => {
            let before = of(&tried.sizes.old, "").unwrap_or_default();
            Some(match before == size {
                true => format!("size: {size}, as before"),
                false => format!("size: {size}; before: {before}"),
            })
        }
    }
}

fn going_back(tried: &Tried, style: Style) -> Option<String> {
    let line = format!(
        "going back: {}",
        back_in_words(tried.converted, &tried.back)?
    );
    Some(match tried.back.lost() {
        0 => faint(style, &line),
        _ => attention(style, &line),
    })
}

/// What a rollback would make of the new states, so many; `None` where there is nothing to say.
fn back_in_words(converted: u64, back: &WentBack) -> Option<String> {
    if let Some(why) = &back.untried {
        return (converted > 0).then(|| format!("not tried: {why}"));
    }
    let all = back.tried();
    if all == 0 && back.unswitched == 0 {
        return None;
    }
    let states = if all == 1 { "state" } else { "states" };
    let become_same = match back.same == 1 || all == 1 {
        true => "becomes what it was",
        false => "become what they were",
    };
    let mut parts = vec![format!("{} of {all} {states} {become_same}", back.same)];
    if back.other > 0 {
        let unfit = match back.unfit() {
            0 => String::new(),
            all if all == back.other => " that the running version cannot take".to_owned(),
            some => format!(" ({some} that the running version cannot take)"),
        };
        let become_other = count_of(back.other, "becomes another state", "become another state");
        parts.push(format!("{become_other}{unfit}"));
    }
    if back.failed > 0 {
        parts.push(format!("{} would not be converted", back.failed));
    }
    if back.unswitched > 0 {
        parts.push(
            count_of(back.unswitched, "calls", "call")
                + " a module by its name that is not switched yet",
        );
    }
    Some(parts.join(", "))
}

/// What the line of a run says of all modules, if anything.
pub(super) fn in_short(tried: &[Tried]) -> Vec<String> {
    let mut parts = Vec::new();
    let lost: u64 = tried.iter().map(|tried| tried.back.lost()).sum();
    if lost > 0 {
        parts.push(format!("a rollback would not give back {lost}"));
    }
    let growing = tried.iter().filter_map(growth);
    let (old, new) = growing.fold((0_u64, 0_u64), |(old, new), (was, is)| {
        (old.saturating_add(was), new.saturating_add(is))
    });
    if new > 0 {
        parts.push(format!("states grow from {} to {}", bytes(old), bytes(new)));
    }
    parts
}

/// W651: states that a rollback would not give back.
pub fn not_given_back(tried: &Tried, closed_windows: bool) -> Diagnostic {
    let (module, back) = (&tried.module, &tried.back);
    let title = format!(
        "a rollback would not give back {} of {} of `{module}`",
        back.lost(),
        count_of(back.tried(), "state", "states")
    );
    let mut diagnostic = Diagnostic::new(Code::W651, title);
    let failed = |failed: &FailedState| {
        format!(
            "{}: {}; the new state: {}",
            failed.pid, failed.reason, failed.shape
        )
    };
    if back.failed > 0 {
        let text = format!(
            "`code_change({{down, Vsn}}, …)` fails for {}: the rollback would end there (E604), with nothing changed",
            back.failed
        );
        diagnostic.notes.push(text);
        diagnostic
            .notes
            .extend(back.failures.iter().take(NAMED).map(failed));
    }
    let others = kinds(&back.others);
    for other in others.iter().take(NAMED) {
        let (was, is) = (&other.was, &other.is);
        let mut note = match was == is {
            true => {
                let become_other = count_of(other.states, "becomes", "become");
                format!("{become_other} another {was} than there was")
            }
            false if other.states == 1 => format!("1 becomes {is}, and was {was}"),
            false => format!("{} become {is}, and were {was}", other.states),
        };
        if !other.fails.is_empty() {
            let callbacks: Vec<String> = other.fails.iter().map(|f| format!("`{f}`")).collect();
            let callbacks = callbacks.join(", ");
            note += &format!("; every event of {callbacks} of the running version would fail");
        }
        diagnostic.notes.push(note);
    }
    if others.len() > NAMED {
        let more = count(others.len() - NAMED, "more kind", "more kinds");
        diagnostic = diagnostic.note(format!("and {more}"));
    }
    let undo = match closed_windows {
        true => {
            "an undo of the window that fails restores the states; through closed windows it goes in this way too"
        }
        false => "an undo of the run itself restores the states as they were",
    };
    let version = match back.by {
        Some(BackBy::Old) => "running",
        Some(BackBy::New) | None => "new",
    };
    diagnostic.note(undo).help(format!(
        "convert back in the {version} `{module}`: `code_change({{down, _}}, NewState, _) -> {{ok, OldState}};`"
    ))
}

/// Those that differ only in names inside of them, as one; the most frequent first.
fn kinds(others: &[OtherStates]) -> Vec<OtherStates> {
    let mut kinds: Vec<OtherStates> = Vec::new();
    for other in others {
        let alike = |kind: &&mut OtherStates| {
            (&kind.was, &kind.is, &kind.fails) == (&other.was, &other.is, &other.fails)
        };
        match kinds.iter_mut().find(alike) {
            Some(kind) => kind.states += other.states,
            None => kinds.push(other.clone()),
        }
    }
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.states));
    kinds
}

/// Of one module, for machines.
pub(super) fn json(tried: &Tried, children: Option<&ChildrenFound>) -> [(&'static str, Value); 4] {
    let size = |sizes: &Bytes| match sizes.percentile(100) {
        None => Value::Null,
        Some(largest) => json!({
            "median": sizes.percentile(50),
            "p99": sizes.percentile(99),
            "largest": largest,
            "total": sizes.total(),
        }),
    };
    let back = &tried.back;
    let is_tried = back.tried() + back.unswitched > 0 || back.untried.is_some();
    let back = match is_tried {
        false => Value::Null,
        true => json!({
            "line": back_in_words(tried.converted, back),
            "same": back.same,
            "other": back.other,
            "failed": back.failed,
            "unswitched": back.unswitched,
            "untried": back.untried,
            "others": kinds(&back.others).iter().map(|other| json!({
                "was": other.was, "is": other.is, "states": other.states,
                "fails": other.fails.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
            "failures": back.failures.iter().map(|failed| json!({
                "pid": failed.pid, "reason": failed.reason, "shape": failed.shape,
            })).collect::<Vec<_>>(),
        }),
    };
    [
        ("bytes", size(&tried.sizes.old)),
        ("new_bytes", size(&tried.sizes.new)),
        ("going_back", back),
        ("children", children.map_or(Value::Null, children_json)),
    ]
}

/// The modules of the first phase of a run, for machines.
pub fn modules(tried: &[Tried], children: &[ChildrenFound]) -> Vec<Value> {
    let module = |tried: &Tried| {
        let mut module = json!({
            "module": tried.module.as_str(),
            "kept": tried.kept,
            "converted": tried.converted,
            "failed": tried.failed,
        });
        let found = children.iter().find(|found| found.module == tried.module);
        for (key, value) in json(tried, found) {
            module[key] = value;
        }
        module
    };
    tried.iter().map(module).collect()
}

fn children_json(found: &ChildrenFound) -> Value {
    let child = |child: &FoundChild| {
        json!({
            "id": child.id.to_string(),
            "supervisors": child.supervisors,
            "keys": child.keys.iter().map(|key| key.as_str()).collect::<Vec<_>>(),
            "done": child.done,
        })
    };
    let mut all = serde_json::Map::new();
    for (name, list) in found.lists() {
        let list: Vec<Value> = list.iter().map(child).collect();
        all.insert(name.to_owned(), Value::from(list));
    }
    let lines: Vec<String> = found.lines().into_iter().map(|(line, _)| line).collect();
    all.insert("lines".to_owned(), Value::from(lines));
    all.insert("added".to_owned(), Value::from(found.added));
    all.insert("paste".to_owned(), Value::from(found.paste.clone()));
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_state_and_several_on_the_way_back() {
        let words = |same, other, failed, unswitched| {
            let back = WentBack {
                same,
                other,
                failed,
                unswitched,
                ..WentBack::default()
            };
            back_in_words(9, &back)
        };
        assert_eq!(words(0, 0, 0, 0), None);
        for (numbers, line) in [
            ((1, 0, 0, 0), "1 of 1 state becomes what it was"),
            ((2, 0, 0, 0), "2 of 2 states become what they were"),
            (
                (0, 1, 0, 0),
                "0 of 1 state becomes what it was, 1 becomes another state",
            ),
            (
                (1, 2, 1, 0),
                "1 of 4 states becomes what it was, 2 become another state, 1 would not be converted",
            ),
            (
                (2, 0, 0, 1),
                "2 of 2 states become what they were, 1 calls a module by its name that is not switched yet",
            ),
            (
                (0, 0, 0, 2),
                "0 of 0 states become what they were, 2 call a module by its name that is not switched yet",
            ),
        ] {
            let (same, other, failed, unswitched) = numbers;
            assert_eq!(
                words(same, other, failed, unswitched).as_deref(),
                Some(line)
            );
        }
        let untried = |converted| {
            let back = WentBack {
                untried: Some("it acts".to_owned()),
                ..WentBack::default()
            };
            back_in_words(converted, &back)
        };
        assert_eq!(untried(1).as_deref(), Some("not tried: it acts"));
        assert_eq!(untried(0), None);
    }
}
