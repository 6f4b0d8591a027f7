//! What a rehearsal came to, as text, as JSON, and as diagnostics.
//!
//! Says how many states convert, how long that takes and why others do not; shapes of states, never values.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::rehearsal_found;
use super::style::{bad, count, faint, good, hint, name, time};
use crate::diag::render::Style;
use crate::diag::{Code, Diagnostic};
use crate::exec::pause::Pause;
use crate::exec::rehearsal::{FailedState, Tried};
use crate::name::{Module, NodeName};
use crate::rules::children_found::ChildrenFound;
use crate::rules::states::{Fit, Seen};
use crate::script::live::{MANY, lines};
use crate::script::lower::Script;
use crate::state::rehearsals::Figures;

/// How many failures and shapes of one module are named.
const NAMED: usize = 3;

/// So many modules are shown one by one.
const LISTED: usize = 12;

/// What is shown of one node.
pub struct RehearsalInput<'a> {
    /// The node.
    pub node: &'a NodeName,
    /// Its OTP release.
    pub otp: u32,
    /// The plan's title.
    pub title: &'a str,
    /// What was tried.
    pub tried: &'a [Tried],
    /// Modules whose conversion was not tried.
    pub untried: &'a [UntriedModule],
    /// States that the new versions cannot take.
    pub fits: &'a [Fit],
    /// Data in states and tables that the new code knows otherwise.
    pub held: &'a [Diagnostic],
    /// Children of supervisors that differ from what the new versions specify.
    pub children: &'a [ChildrenFound],
    /// What would be run.
    pub script: &'a Script,
    /// How many processes it would suspend.
    pub suspended: usize,
    /// For how long processes would be suspended.
    pub pause: Option<Pause>,
    /// Whether every module is shown, however many there are.
    pub full: bool,
}

/// A module whose conversion was not tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UntriedModule {
    /// The module.
    pub module: Module,
    /// Why.
    pub why: String,
    /// Places in the code.
    pub places: Vec<String>,
    /// The line of a plan with which it is tried all the same.
    pub paste: Option<String>,
}

impl RehearsalInput<'_> {
    fn sum(&self, of: impl Fn(&Tried) -> u64) -> usize {
        usize::try_from(self.tried.iter().map(of).sum::<u64>()).unwrap_or(usize::MAX)
    }

    fn children_of(&self, module: &Module) -> Option<&ChildrenFound> {
        self.children.iter().find(|found| found.module == *module)
    }
}

/// The whole as text.
pub fn text(shown: &RehearsalInput<'_>, style: Style) -> String {
    let dot = if style.unicode { "·" } else { "-" };
    let mut out = format!(
        "rehearsal  {}\ntarget     {} {dot} OTP {}\n\n",
        name(style, shown.title),
        name(style, shown.node.as_str()),
        shown.otp
    );
    let (named, others) = named(shown);
    for tried in named {
        module(&mut out, tried, style, dot);
        for line in rehearsal_found::lines(tried, shown.children_of(&tried.module), style) {
            let _ = writeln!(out, "       {line}");
        }
    }
    if !others.is_empty() {
        let states: u64 = others.iter().map(|tried| tried.converted).sum();
        let _ = writeln!(
            out,
            "  and {} with {}, faster than these and without a finding  {}",
            count(others.len(), "more module", "more modules"),
            count(
                usize::try_from(states).unwrap_or(usize::MAX),
                "state",
                "states"
            ),
            hint(style, "--full")
        );
    }
    let untried = match shown.full || shown.untried.len() <= LISTED {
        true => shown.untried,
        false => &shown.untried[..NAMED],
    };
    for untried in untried {
        let module = untried.module.to_string();
        let _ = writeln!(out, "  {module:<24} not tried: {}", untried.why);
        some_of(&mut out, &untried.places, style);
        if let Some(paste) = &untried.paste {
            let _ = writeln!(out, "       to try it all the same: {paste}");
        }
    }
    if untried.len() < shown.untried.len() {
        let more = count(
            shown.untried.len() - untried.len(),
            "more module",
            "more modules",
        );
        let _ = writeln!(out, "  not tried: {more}  {}", hint(style, "--full"));
    }
    if let Some(pause) = shown.pause {
        let _ = writeln!(out, "\n  processes would be suspended for {}", about(pause));
    }
    if shown.script.is_live() && shown.suspended == 0 {
        out += "\n  no process would be suspended: each converts its state by itself\n";
    }
    let not_live = shown.script.chosen.as_deref().unwrap_or_default();
    let not_live = lines(not_live).filter(|_| shown.suspended >= MANY);
    for why in not_live.take(NAMED) {
        let _ = writeln!(out, "  not live: {why}");
    }
    if shown.tried.is_empty() && shown.untried.is_empty() {
        out += "  no state is converted by this upgrade\n";
    }
    let converts = |tried: &Tried| if tried.kept { 0 } else { tried.converted };
    let (converted, failed) = (shown.sum(converts), shown.sum(|t| t.failed));
    let unchecked = shown.sum(Tried::unchecked);
    let states = count(converted + failed, "state", "states");
    let kept = shown.sum(|tried| if tried.kept { tried.converted } else { 0 });
    let misfits = shown.fits.iter().filter(|fit| fit.is_certain());
    let misfits: Vec<String> = misfits.map(|fit| format!("`{}`", fit.module)).collect();
    let _ = match failed {
        0 if !misfits.is_empty() => {
            let mut modules = misfits;
            modules.dedup();
            writeln!(
                out,
                "\n{}  the next events of {} fail; nothing was changed",
                bad(style, "fails"),
                modules.join(", ")
            )
        }
        0 if converted == 0 && kept > 0 => {
            let states = count(kept, "state", "states");
            writeln!(
                out,
                "\n{}  {states} inspected, none is converted; nothing was changed",
                good(style, "ok")
            )
        }
        0 if converted == 0 => writeln!(out, "\nno state was tried; nothing was changed"),
        0 => writeln!(
            out,
            "\n{}  {states} tried on copies, all convert; nothing was changed",
            good(style, "ok")
        ),
        failed => writeln!(
            out,
            "\n{}  {failed} of {states} {}; nothing was changed",
            bad(style, "fails"),
            match unchecked {
                0 => "would not be converted".to_owned(),
                all if all == failed => not_pass(all).to_owned(),
                _ => format!("would fail: {}", failing(failed, unchecked)),
            }
        ),
    };
    out
}

/// The modules that are shown, and those that are only counted: of many those of which something is to be said, and the
/// slowest.
fn named<'a>(shown: &RehearsalInput<'a>) -> (Vec<&'a Tried>, Vec<&'a Tried>) {
    if shown.full || shown.tried.len() <= LISTED {
        return (shown.tried.iter().collect(), Vec::new());
    }
    let all = shown.tried.iter();
    let (mut plain, mut named): (Vec<&Tried>, Vec<&Tried>) =
        all.partition(|tried| is_plain(tried) && tried.checks.is_empty());
    plain.sort_by_key(|tried| std::cmp::Reverse(tried.percentile(100)));
    let others = plain.split_off(plain.len().min(NAMED));
    named.extend(plain);
    (named, others)
}

/// Whether all states were tried and all convert, without anything to add.
fn is_plain(tried: &Tried) -> bool {
    let left = tried.busy + tried.dead + tried.big + tried.untried + tried.unswitched;
    tried.failed + left == 0 && tried.acting.is_empty() && rehearsal_found::is_plain(tried)
}

/// Whether a rehearsal of a node found nothing that its line would have to say.
pub fn is_uneventful(tried: &[Tried], fits: &[Fit]) -> bool {
    tried.iter().all(is_plain) && !fits.iter().any(Fit::is_certain)
}

fn some_of(out: &mut String, places: &[String], style: Style) {
    for place in places.iter().take(NAMED) {
        let _ = writeln!(out, "       {}", faint(style, place));
    }
    if places.len() > NAMED {
        let _ = writeln!(out, "       and {} more", places.len() - NAMED);
    }
}

/// `2 would not be converted, 1 fails a check`: which of all that fail are converted.
fn failing(failed: usize, unchecked: usize) -> String {
    let mut parts = Vec::new();
    if failed > unchecked {
        parts.push(format!("{} would not be converted", failed - unchecked));
    }
    if unchecked > 0 {
        parts.push(format!("{unchecked} {}", not_pass(unchecked)));
    }
    parts.join(", ")
}

fn not_pass(states: usize) -> &'static str {
    match states {
        1 => "does not pass a check",
        _ => "do not pass a check",
    }
}

/// One line for the first phase of a run; `on` is the node where there are several.
pub fn line(tried: &[Tried], fits: &[Fit], pause: Option<Pause>, on: &str) -> String {
    let sum = |of: fn(&Tried) -> u64| {
        usize::try_from(tried.iter().map(of).sum::<u64>()).unwrap_or(usize::MAX)
    };
    let converted = sum(|tried| if tried.kept { 0 } else { tried.converted });
    let kept = sum(|tried| if tried.kept { tried.converted } else { 0 });
    let failed = sum(|tried| tried.failed);
    let left = sum(|tried| tried.busy + tried.dead + tried.big + tried.untried + tried.unswitched);
    let mut parts = Vec::new();
    if converted + failed > 0 {
        let states = count(converted + failed, "state", "states");
        let how = match failed {
            0 => "all convert".to_owned(),
            failed => failing(failed, sum(Tried::unchecked)),
        };
        let slowest = tried.iter().filter(|tried| !tried.kept);
        let slowest = slowest.filter_map(|tried| tried.percentile(100)).max();
        let slowest =
            slowest.map_or_else(String::new, |time| format!(", slowest {}", micros(time)));
        parts.push(format!("{states} tried on copies, {how}{slowest}"));
    }
    if kept > 0 {
        parts.push(format!("{} inspected", count(kept, "state", "states")));
    }
    if left > 0 {
        parts.push(format!("{left} not tried"));
    }
    if fits.iter().any(Fit::is_certain) {
        parts.push("next events would fail".to_owned());
    }
    parts.extend(rehearsal_found::in_short(tried));
    if let Some(pause) = pause.filter(|_| failed == 0) {
        parts.push(format!("processes will be suspended for {}", about(pause)));
    }
    if parts.is_empty() {
        parts.push("no state was tried".to_owned());
    }
    let on = match on {
        "" => String::new(),
        node => format!(" on {node}"),
    };
    format!("rehearsal{on}: {}", parts.join("; "))
}

fn module(out: &mut String, tried: &Tried, style: Style, dot: &str) {
    let all = tried.converted + tried.failed;
    let states = if all == 1 { "state" } else { "states" };
    let _ = match tried.kept {
        true => write!(
            out,
            "  {:<24} {all} {states} inspected, not converted",
            tried.module.to_string()
        ),
        false => write!(
            out,
            "  {:<24} {} of {all} {states} convert",
            tried.module.to_string(),
            tried.converted
        ),
    };
    let failures = [
        (tried.unconverted(), "would not"),
        (tried.unchecked(), "fail a check"),
    ];
    for (number, what) in failures.iter().filter(|(number, _)| *number > 0) {
        let _ = write!(out, ", {}", bad(style, &format!("{number} {what}")));
    }
    let times = (tried.percentile(50), tried.percentile(100));
    if let (Some(median), Some(slowest), false) = (times.0, times.1, tried.kept) {
        let _ = write!(
            out,
            "    median {} {dot} 99 % below {} {dot} slowest {}",
            micros(median),
            micros(tried.percentile(99).unwrap_or(slowest)),
            micros(slowest)
        );
    }
    out.push('\n');
    if !tried.acting.is_empty() {
        let _ = writeln!(
            out,
            "       has side effects, tried because the plan says so"
        );
        some_of(out, &tried.acting, style);
    }
    for check in &tried.checks {
        let all = check.held + check.failed;
        let other = match check.other {
            0 => String::new(),
            other => format!(", {other} of another form"),
        };
        let line = format!(
            "check \"{}\": {} of {all} pass{other}",
            check.name, check.held
        );
        let _ = writeln!(out, "       {line}");
    }
    let others = [
        (tried.busy, "busy"),
        (tried.dead, "ended meanwhile"),
        (tried.big, "too large to be copied"),
        (tried.untried, "not asked (--at-most, --within)"),
        (
            tried.unswitched,
            match tried.unswitched {
                1 => "calls a module by its name that is not switched yet",
                _ => "call a module by its name that is not switched yet",
            },
        ),
    ];
    let others: Vec<String> = others
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{number} {what}"))
        .collect();
    if !others.is_empty() {
        let _ = writeln!(out, "       not tried: {}", others.join(", "));
    }
    let shapes: Vec<String> = tried
        .shapes
        .iter()
        .take(NAMED)
        .map(|(shape, number)| format!("{number} x {shape}"))
        .collect();
    if !shapes.is_empty() {
        let more = tried.shapes.len().saturating_sub(NAMED);
        let more = match more {
            0 => String::new(),
            more => format!(", {}", count(more, "more shape", "more shapes")),
        };
        let what = if tried.kept { "states" } else { "new states" };
        let line = format!("{what}: {}{more}", shapes.join(", "));
        let _ = writeln!(out, "       {}", faint(style, &line));
    }
}

/// What the first phase of a run did not try: a line for each of the first modules, with the place that is why.
pub fn untried(untried: &[UntriedModule]) -> Vec<String> {
    let line = |one: &UntriedModule| {
        let (module, why) = (&one.module, &one.why);
        match one.places.first() {
            Some(place) => format!("not tried: `{module}`: {why}: {place}"),
            None => format!("not tried: `{module}`: {why}"),
        }
    };
    let mut lines: Vec<String> = untried.iter().take(NAMED).map(line).collect();
    let more = untried.len().saturating_sub(NAMED);
    if more > 0 {
        lines.push(format!(
            "not tried: {}",
            count(more, "more module", "more modules")
        ));
    }
    lines
}

/// E638: processes would be suspended for longer than the plan allows.
pub fn over_budget(pause: Pause, budget: Option<Duration>) -> Option<Diagnostic> {
    let budget = budget.filter(|budget| pause.longest > *budget)?;
    let title = format!(
        "processes would be suspended for about {}, and `budget` is {}",
        time(pause.longest),
        time(budget)
    );
    let help = "allow more: `budget 1s.` or --budget 1s; or divide it: `window minimal.`";
    Some(Diagnostic::new(Code::E638, title).help(help))
}

/// `400 states, slowest 0.30ms`: what a prediction comes from.
pub fn measured(figures: &Figures) -> String {
    let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let (converted, inspected) = (figures.converted(), figures.inspected());
    match (figures.slowest(), inspected) {
        (Some(slowest), _) => format!(
            "{}, slowest {}",
            count(number(converted), "state", "states"),
            micros(slowest)
        ),
        (None, 0) => "no state was tried".to_owned(),
        (None, _) => format!("{} inspected", count(number(inspected), "state", "states")),
    }
}

/// `about 12ms`.
pub fn about(pause: Pause) -> String {
    let least = if pause.is_lower_bound {
        "at least "
    } else {
        ""
    };
    format!("{least}about {}", time(pause.whole))
}

/// `0.08ms`, `38ms`: conversions are mostly shorter than what the screen shows of other times.
fn micros(duration: Duration) -> String {
    if duration < Duration::from_micros(10) {
        return "0.01ms".to_owned();
    }
    match duration < Duration::from_millis(1) {
        true => format!("{:.2}ms", duration.as_secs_f64() * 1_000.0),
        false => time(duration),
    }
}

/// E634 for each module with states that would not be converted.
pub fn diagnostics(tried: &[Tried]) -> Vec<Diagnostic> {
    let failing = tried.iter().filter(|tried| tried.unconverted() > 0);
    failing.map(diagnostic).collect()
}

fn diagnostic(tried: &Tried) -> Diagnostic {
    let module = &tried.module;
    let all = usize::try_from(tried.converted + tried.failed).unwrap_or(usize::MAX);
    let title = format!(
        "{} of {} of `{module}` would not be converted",
        tried.unconverted(),
        count(all, "state", "states")
    );
    let note = |failed: &FailedState| {
        format!(
            "{}: {}; its state: {}",
            failed.pid, failed.reason, failed.shape
        )
    };
    let mut diagnostic = Diagnostic::new(Code::E634, title);
    let unconverted = tried.failures.iter().filter(|f| f.check.is_none());
    let named: Vec<String> = unconverted.take(NAMED).map(note).collect();
    let more = tried.unconverted().saturating_sub(named.len() as u64);
    diagnostic.notes.extend(named);
    if more > 0 {
        diagnostic = diagnostic.note(format!("and {more} more"));
    }
    let wrong = match &tried.by {
        Some(function) => format!("`{function}`, with which the plan converts"),
        None => format!("`code_change` of the new `{module}`"),
    };
    diagnostic.help(format!(
        "correct {wrong}; it was run on copies of live states, nothing was changed"
    ))
}

/// The check that a state does not pass, in words.
fn check_of<'a>(tried: &'a Tried, failed: &FailedState) -> Option<&'a str> {
    let number = failed.check?;
    let check = tried.checks.iter().find(|check| check.number == number)?;
    Some(check.name.as_str())
}

/// The whole for machines.
pub fn json(shown: &RehearsalInput<'_>) -> Value {
    let us = |time: Option<Duration>| time.map(|time| time.as_micros() as u64);
    let tried = shown.tried.iter().map(|tried| {
        let mut module = json!({
            "module": tried.module.as_str(),
            "processes": tried.processes,
            "kept": tried.kept,
            "acting": tried.acting,
            "converted": tried.converted,
            "failed": tried.failed,
            "busy": tried.busy,
            "dead": tried.dead,
            "big": tried.big,
            "untried": tried.untried,
            "unswitched": tried.unswitched,
            "us": {
                "median": us(tried.percentile(50)),
                "p99": us(tried.percentile(99)),
                "slowest": us(tried.percentile(100)),
            },
            "slowest": tried.slowest,
            "shapes": tried.shapes.iter().map(|(shape, n)| json!({"shape": shape, "states": n})).collect::<Vec<_>>(),
            "checks": tried.checks.iter().map(|check| json!({
                "check": check.name, "held": check.held, "failed": check.failed, "other": check.other,
            })).collect::<Vec<_>>(),
            "failures": tried.failures.iter().map(|failed| json!({
                "pid": failed.pid, "reason": failed.reason, "shape": failed.shape,
                "check": check_of(tried, failed),
            })).collect::<Vec<_>>(),
        });
        for (key, value) in rehearsal_found::json(tried, shown.children_of(&tried.module)) {
            module[key] = value;
        }
        module
    });
    let untried = shown.untried.iter().map(|untried| {
        json!({
            "module": untried.module.as_str(),
            "reason": untried.why,
            "places": untried.places,
            "paste": untried.paste,
        })
    });
    let fits = shown.fits.iter().map(|fit| {
        let text = |diagnostic: Diagnostic| diagnostic.title;
        json!({
            "code": fit.diagnostic().code.as_str(),
            "module": fit.module.as_str(),
            "text": text(fit.diagnostic()),
            "states": match fit.seen { Seen::Live(number) => number, Seen::Made => 0 },
            "shape": fit.after.shape.to_string(),
            "wants": fit.misfit.wanted.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "callbacks": fit.misfit.callbacks.iter().map(|f| format!("{}/{}", f.name, f.arity)).collect::<Vec<_>>(),
            "conversion": fit.paste,
        })
    });
    let held = shown.held.iter().map(|diagnostic| {
        json!({ "code": diagnostic.code.as_str(), "text": diagnostic.title, "notes": diagnostic.notes })
    });
    json!({
        "schema": "updo.rehearsal/1.0",
        "node": shown.node.as_str(),
        "title": shown.title,
        "converted": shown.sum(|t| if t.kept { 0 } else { t.converted }),
        "failed": shown.sum(|t| t.failed),
        "window": shown.script.kind.to_string(),
        "window_auto": shown.script.chosen.as_deref().map(|why| lines(why).collect::<Vec<_>>()),
        "predicted_ms": shown.pause.map(|pause| super::json::ms(pause.whole)),
        "modules": tried.collect::<Vec<_>>(),
        "untried": untried.collect::<Vec<_>>(),
        "fits": fits.collect::<Vec<_>>(),
        "held": held.collect::<Vec<_>>(),
    })
}
