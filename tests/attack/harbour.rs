//! What is upgraded: how many processes of each kind, which modules differ, how conversions behave, and the plan.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::apps::harbour;
use crate::support::invented::Dice;

/// The modules that can differ.
const MODULES: [&str; 9] = [
    "harbour_crane",
    "harbour_truck",
    "harbour_lock",
    "harbour_bell",
    "harbour_pilot",
    "harbour_lamp",
    "harbour_tide",
    "harbour_sup",
    "harbour_garage",
];

/// Whether the upgrade would succeed if nothing else happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// It does.
    Fine,
    /// The conversion of one process fails, in the way of this word.
    Fails(&'static str),
    /// A `verify` is never content.
    Verify,
    /// A hook after the upgrade fails.
    After,
    /// A hook before the switch fails.
    Before,
}

/// A harbour and the plan for its upgrade.
pub struct Harbour {
    /// Numbers, as `harbour_yard:open/1` takes them.
    pub wanted: String,
    /// Callers, as `harbour_yard:load/1` takes them.
    pub load: String,
    /// `{Ms, Victim}`, as `harbour_yard:turn/2` reads it.
    pub turn: String,
    /// Whether new code makes closures and they are kept.
    pub renew: bool,
    /// The modules that differ.
    pub changed: Vec<&'static str>,
    /// What becomes of it by itself.
    pub course: Course,
    /// Whether a failed `verify` leaves the node new.
    pub manual: bool,
    /// One window, or one for each set of modules.
    pub single: bool,
    /// The window that is asked for in place of these: `live` or `auto`.
    pub other: Option<String>,
    /// Whether old code is in use so long that going back may have to give up.
    pub may_stay: bool,
    /// The plan.
    pub plan: String,
    /// All of it in a line.
    pub about: String,
    _two: TempDir,
}

impl Harbour {
    /// Made up by chance.
    pub fn new(dice: &mut Dice) -> Self {
        let mut changed: Vec<&'static str> =
            MODULES.into_iter().filter(|_| dice.chance(65)).collect();
        // A seed is the same upgrade with each window; a plain loop that never leaves its version keeps any from being live.
        let other = std::env::var("UPDO_WINDOW").ok();
        changed.retain(|module| other.is_none() || *module != "harbour_lamp");
        // Something is converted in every one of them.
        if !changed.contains(&"harbour_crane") {
            changed.insert(0, "harbour_crane");
        }
        let slow = number(dice, &[0, 0, 0, 1, 10]);
        let cranes = if slow > 0 {
            number(dice, &[10, 30])
        } else {
            number(dice, &[10, 40, 150, 400])
        };
        let trucks = if slow > 0 {
            20
        } else {
            number(dice, &[10, 100, 600])
        };
        let locks = number(dice, &[3, 20, 60]);
        let bells = 1 + dice.below(3);
        let pilots = number(dice, &[2, 10]);
        let keep = dice.below(2);
        let wanted = format!(
            "#{{cranes => {cranes}, locks => {locks}, bells => {bells}, trucks => {trucks}, pilots => {pilots}, \
             lamps => {}, actors => {}, keep => {keep}}}",
            dice.below(4),
            dice.below(4),
        );
        let inside = number(dice, &[20, 100, 400, 1500]);
        let inflight = dice.below(6);
        let load = format!(
            "#{{callers => {}, inflight => {{{inflight}, {inside}}}}}",
            number(dice, &[3, 8, 20])
        );
        let course = match dice.below(10) {
            0..=4 => Course::Fine,
            5 | 6 => Course::Fails(dice.pick(&["error", "exit", "throw", "bad", "kill", "hang"])),
            7 => Course::Verify,
            8 => Course::After,
            _ => Course::Before,
        };
        let victim = match course {
            Course::Fails(how) => {
                // Of a module that differs.
                let all = [
                    ("crane", cranes),
                    ("truck", trucks),
                    ("lock", locks),
                    ("bell", bells),
                    ("pilot", pilots),
                ];
                let all: Vec<_> = all
                    .into_iter()
                    .filter(|(kind, _)| {
                        // A manager that is killed, or hangs, is more than one conversion.
                        changed.contains(&format!("harbour_{kind}").as_str())
                            && !(*kind == "bell" && matches!(how, "kill" | "hang"))
                    })
                    .collect();
                let (kind, count) = all[dice.below(all.len())];
                format!("{{{kind},{},{how}}}", 1 + dice.below(count))
            }
            _ => "none".to_owned(),
        };
        let renew = dice.chance(15);
        let single = dice.chance(75);
        let single = single && other.is_none();
        let manual = dice.chance(20);
        let two = tempfile::tempdir().expect("a temporary folder");
        for module in &changed {
            let beam = format!("{module}.beam");
            fs::copy(harbour().two.join(&beam), two.path().join(&beam)).expect("a beam");
        }
        let window = match (&other, single) {
            (Some(other), _) => other.as_str(),
            (None, true) => "single",
            (None, false) => "minimal",
        };
        let plan = plan(two.path().to_owned(), dice, course, window, manual);
        let turn = format!("{{{slow},{victim}}}");
        let about = format!(
            "{wanted} {load} turn {turn} renew {renew} {course:?} window {window} manual {manual} of {changed:?}"
        );
        Self {
            wanted,
            load,
            turn,
            renew,
            changed,
            course,
            manual,
            single,
            other,
            may_stay: renew || (inflight > 0 && inside > 900),
            plan,
            about,
            _two: two,
        }
    }

    /// `[{Module, Md5 of 1, Md5 of 2}]`, to be evaluated.
    pub fn changed(&self) -> String {
        let (one, two) = (&harbour().one, &harbour().two);
        let list = self.changed.join(",");
        format!(
            "[begin [A, B] = [begin {{ok, {{_, Md5}}}} = beam_lib:md5(D ++ \"/\" ++ atom_to_list(M) ++ \".beam\"), Md5 end || D <- [{one:?}, {two:?}]], {{M, A, B}} end || M <- [{list}]]"
        )
    }
}

fn number(dice: &mut Dice, from: &[usize]) -> usize {
    from[dice.below(from.len())]
}

fn plan(two: PathBuf, dice: &mut Dice, course: Course, window: &str, manual: bool) -> String {
    // A hook before the load needs suspended processes: there would be nothing else to see.
    let hooks = !matches!(window, "live" | "auto");
    let policy = if manual { "manual" } else { "automatic" };
    let mut text = format!(
        "plan \"Harbour 2\".\ncode push [{two:?}] #{{earlier => true}}.\nold from {:?}.\nwindow {window}.\nrollback {policy}.\ndeadline 40s.\n",
        harbour().one
    );
    if matches!(course, Course::Fails("hang")) {
        text.push_str("module behaviour(gen_server) #{timeout => 2s} because \"one hangs\".\n");
        text.push_str("module behaviour(gen_statem) #{timeout => 2s} because \"one hangs\".\n");
        text.push_str("module harbour_pilot #{timeout => 2s} because \"one hangs\".\n");
    }
    match course {
        Course::Verify => text.push_str(
            "verify \"never\" #{within => 200ms, every => 50ms} -> L = harbour_tide:level(), L > 7.\n",
        ),
        Course::After => text.push_str("after upgrade -> L = harbour_tide:level(), L > 7.\n"),
        Course::Before if hooks => {
            text.push_str("before load harbour_crane -> L = harbour_tide:level(), L > 7.\n");
        }
        _ => {}
    }
    if dice.chance(40) {
        text.push_str("verify \"a tide\" -> L = harbour_tide:level(), L > 0.\n");
    }
    if dice.chance(30) {
        let ms = number(dice, &[5, 60, 300]);
        if hooks {
            text.push_str(&format!(
                "before load harbour_crane -> ok = timer:sleep({ms}).\n"
            ));
        }
    }
    text
}
