//! One trial: a harbour, its load, a fault, the run; and whether everything is as it should be afterwards.

use std::time::{Duration, Instant};

use updo::term::Term;

use crate::fault::{Act, Client, Fault, KINDS};
use crate::harbour::{Course, Harbour};
use crate::link::Link;
use crate::support::apps::{Deployed, harbour};
use crate::support::desk::{Desk, Ran, Running};
use crate::support::invented::Dice;
use crate::support::{Options, TestNode};

/// Longest wait for anything here: the machine may have other things to do.
const LONG: Duration = Duration::from_secs(150);

/// A node with the harbour's version 1 and no processes.
pub fn deploy(small: bool) -> Deployed {
    let options = if small {
        Options::default().args(&["+P", "4096"])
    } else {
        Options::default()
    };
    let quiet = options.args(&["-kernel", "logger_level", "none"]);
    Deployed::new(&harbour().one, quiet, "ok")
}

/// What a trial has come to.
#[derive(Debug)]
pub struct Report {
    /// The kind of fault, or that it came too late.
    pub fault: String,
    /// How it ended, for the figures.
    pub end: String,
    /// Acknowledged calls.
    pub calls: i64,
    /// Processes that have called a fun in the moment in which none of its version is loaded.
    pub gap: i64,
    /// Everything that is not as it should be.
    pub problems: Vec<String>,
    /// All that is known, for a person.
    pub story: String,
}

/// What is done in a trial.
pub struct Trial {
    /// The seed.
    pub seed: u64,
    /// What is upgraded.
    pub harbour: Harbour,
    /// What happens meanwhile.
    pub fault: Fault,
    /// Whether the fault meets a rollback instead of a run.
    pub backwards: bool,
}

impl Trial {
    /// That of a seed; the kind of fault follows from it, unless one is wanted.
    pub fn new(seed: u64, wanted: Option<&str>) -> Self {
        let mut dice = Dice::new(seed);
        let harbour = Harbour::new(&mut dice);
        let name = match wanted {
            Some(wanted) => KINDS
                .into_iter()
                .find(|name| *name == wanted)
                .unwrap_or_else(|| panic!("no such fault: {wanted}")),
            None => KINDS[(seed % KINDS.len() as u64) as usize],
        };
        let fault = Fault::new(name, &mut dice);
        let backwards = dice.chance(20) && harbour.course == Course::Fine;
        Self {
            seed,
            harbour,
            fault,
            backwards,
        }
    }

    /// All of it in a line.
    pub fn about(&self) -> String {
        format!(
            "seed {}: {}, {:?} at {} +{} ms{}; {}",
            self.seed,
            self.fault.name,
            self.fault.act,
            self.fault.moment,
            self.fault.delay,
            if self.backwards {
                ", of a rollback"
            } else {
                ""
            },
            self.harbour.about
        )
    }

    /// Does it, on a node that [`deploy`] has made.
    pub fn on(&self, deployed: &Deployed) -> Report {
        let node = &deployed.node;
        let desk = match self.harbour.other {
            Some(_) => Desk::rehearsing(),
            None => Desk::new(),
        };
        let app = &self.harbour;
        node.eval(&format!(
            "ok = harbour_check:reset({:?}), harbour_yard:open({}), harbour_yard:set(turn, {}), harbour_yard:set(renew, {})",
            deployed.ebin, app.wanted, app.turn, app.renew
        ));
        desk.write("harbour.updo", &app.plan);
        let mut args = vec!["run".to_owned(), "harbour.updo".to_owned()];
        let mut story = String::new();
        if self.backwards {
            let ran = updo(&desk, node, &args, None).wait();
            if ran.code != Some(0) {
                // Nothing went live, so there is nothing to come back from.
                let refused = app.other.is_some() && ran.stderr.contains("E425");
                let problem = (!refused).then(|| "the run did not succeed".to_owned());
                return self.report(
                    "no way up",
                    0,
                    problem.into_iter().collect(),
                    ran.to_string(),
                );
            }
            args = vec!["rollback".to_owned(), ran.name()];
            story = format!("{ran}\n");
        }
        if let Act::Earlier(what) = &self.fault.act {
            node.eval(&format!("harbour_fault:before({what})"));
        }
        node.eval(&format!(
            "harbour_yard:load({}), harbour_yard:set(lived, harbour_yard:targets())",
            app.load
        ));
        std::thread::sleep(Duration::from_millis(50));
        let what = match &self.fault.act {
            Act::Node(what) => what,
            _ => "nothing",
        };
        node.eval(&format!(
            "harbour_fault:arm({}, {}, {what})",
            self.fault.moment, self.fault.delay
        ));
        let link = matches!(self.fault.act, Act::Client(Client::Cut | Client::Stall(_)))
            .then(|| Link::to(node));
        let began = Instant::now();
        let mut running = updo(&desk, node, &args, link.as_ref());
        let mut others = String::new();
        if let Act::Client(client) = self.fault.act {
            self.harm(
                client,
                &mut running,
                (&desk, node),
                link.as_ref(),
                &mut others,
            );
        }
        let ran = patient(running);
        let ended = began.elapsed();
        story.push_str(&format!("{ran}\n{others}"));
        let mut problems = Vec::new();
        let printed = says(&ran, self.backwards, &mut problems);
        // The agent comes to its end, and the fault as well.
        eval(
            node,
            "case whereis(harbour_fault) of undefined -> ok; _ -> harbour_yard:setting(struck, no) =:= no andalso exit(whereis(harbour_fault), kill) end",
        );
        let struck = await_struck(node, &mut problems);
        let mut end = printed;
        // With a link that breaks behind the last event the node may have settled alone, and keeps the result.
        let linked = matches!(
            self.fault.act,
            Act::Client(Client::Cut | Client::Stall(_) | Client::Disconnect)
        );
        let alone = matches!(ran.code, None | Some(23));
        let lock = await_alone(node, alone || linked, &mut problems);
        // The second may have come after the first: what it says holds then, and the code must only be one of the two.
        if others.starts_with("the second") && others.contains("ended with Some(0)") {
            end = Said::Nothing;
        }
        if alone || linked && lock == "kept" {
            end = self.rejoin(&desk, node, lock, &mut story, &mut problems);
        }
        // What dead agents have left is put right by one command, which is what the screen says.
        let advised = ran.stderr.contains(&format!("updo mend {}", node.name()));
        if self.fault.no_agent && (advised || matches!(end, Said::Broken(_))) {
            let mend = patient(desk.on(node, &["mend", node.name(), "--yes"]).start());
            story.push_str(&format!("{mend}\n"));
            // States of the other version are said, and stay: converting them is for a person.
            let misfits = self.fault.no_agent && mend.stderr.contains("not converted");
            // One that hangs in its conversion for ever answers no tool.
            let hangs = matches!(self.harbour.course, Course::Fails("hang"));
            if mend.code != Some(0) && !misfits && !hangs {
                problems.push(format!("mend ends with {:?}", mend.code));
            }
        }
        let calls = self.look(node, &ran, end, &mut story, &mut problems);
        story.push_str(&format!(
            "struck: {struck}; the command took {} ms, all of it {} ms\n",
            ended.as_millis(),
            began.elapsed().as_millis()
        ));
        let code = ran
            .code
            .map_or("killed".to_owned(), |code| code.to_string());
        let mut report = self.report(&format!("exit {code}"), calls, problems, story);
        report.gap = eval(node, "harbour_yard:setting(gap, 0)")
            .as_i64()
            .unwrap_or(0);
        if struck == "never" || struck == "no" {
            report.fault = format!("({}, too late)", report.fault);
        }
        report
    }

    fn report(&self, end: &str, calls: i64, problems: Vec<String>, story: String) -> Report {
        Report {
            fault: self.fault.name.to_owned(),
            end: end.to_owned(),
            calls,
            gap: 0,
            problems,
            story,
        }
    }

    /// Does something to the client when its moment has come.
    fn harm(
        &self,
        client: Client,
        running: &mut Running,
        (desk, node): (&Desk, &TestNode),
        link: Option<&Link>,
        others: &mut String,
    ) {
        let until = Instant::now() + LONG;
        while matches!(
            eval_text(node, "harbour_fault:struck()").as_str(),
            "no" | "at_it"
        ) {
            if running.has_ended() || Instant::now() > until {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        if running.has_ended() {
            return;
        }
        match client {
            Client::Kill => running.kill(),
            Client::Stop(ms) => {
                running.signal("-STOP");
                std::thread::sleep(Duration::from_millis(ms));
                running.signal("-CONT");
            }
            Client::Term => running.signal("-TERM"),
            Client::Interrupt => running.signal("-INT"),
            Client::InterruptTwice => {
                running.signal("-INT");
                std::thread::sleep(Duration::from_millis(self.fault.delay as u64));
                if !running.has_ended() {
                    running.signal("-INT");
                }
            }
            Client::Disconnect => {
                let ours = format!("\"-{}-\"", std::process::id());
                eval(
                    node,
                    &format!(
                        "[erlang:disconnect_node(N) || N <- nodes(hidden), string:find(atom_to_list(N), {ours}) =:= nomatch]"
                    ),
                );
            }
            Client::Cut => link.expect("a link").cut(),
            Client::Stall(ms) => {
                let link = link.expect("a link");
                link.stall(true);
                std::thread::sleep(Duration::from_millis(ms));
                link.stall(false);
            }
            Client::Second => {
                let second = Desk::new();
                second.write("harbour.updo", &self.harbour.plan);
                let busy = || eval_text(node, "harbour_fault:lock()") == "running";
                let before = busy();
                let ran = patient(updo(
                    &second,
                    node,
                    &["run".to_owned(), "harbour.updo".to_owned()],
                    None,
                ));
                // It found the other one in its way, or came before or after it: then it is one like any other.
                *others = format!(
                    "the second (lock held before: {before}, after: {}): {ran}",
                    busy()
                );
            }
            Client::Abort => {
                if let Some(run) = newest(desk) {
                    let ran = patient(desk.on(node, &["attach", &run, "--abort"]).start());
                    *others = format!("called off: {ran}");
                }
            }
        }
    }

    /// Asks what has become of a run that the client has left: the code that it speaks of, as its exit code says.
    fn rejoin(
        &self,
        desk: &Desk,
        node: &TestNode,
        lock: String,
        story: &mut String,
        problems: &mut Vec<String>,
    ) -> Said {
        let Some(run) = newest(desk) else {
            if lock != "free" {
                eval(node, "catch updo_run ! updo_settle");
            }
            return Said::Nothing;
        };
        let ran = patient(desk.on(node, &["attach", &run]).start());
        story.push_str(&format!("{ran}\n"));
        let line = last_line(&ran);
        // A rollback that was killed before it began has no record: then this is the run that it would have undone.
        if self.backwards && is_goal_new(desk, &run) {
            return Said::Nothing;
        }
        let (goal, origin) = if self.backwards {
            (Said::Old, Said::New)
        } else {
            (Said::New, Said::Old)
        };
        match ran.code {
            Some(0) => goal,
            Some(14 | 20) => origin,
            Some(21) => Said::Broken(line),
            Some(code) => {
                problems.push(format!("attach ends with {code}: {line}"));
                Said::Nothing
            }
            None => {
                problems.push("attach was killed".to_owned());
                Said::Nothing
            }
        }
    }

    /// Looks at the node: the code, and everything else. How many calls were acknowledged.
    fn look(
        &self,
        node: &TestNode,
        ran: &Ran,
        end: Said,
        story: &mut String,
        problems: &mut Vec<String>,
    ) -> i64 {
        let app = &self.harbour;
        let left = eval_text(node, "harbour_check:left(45000)");
        if left != "[]" {
            problems.push(format!("left on the node: {left}"));
        }
        let code = eval_text(node, &format!("harbour_check:code({})", app.changed()));
        let loaded = self.fault.allow.contains(&"loaded");
        let wanted = match &end {
            Said::New => "new",
            Said::Old => "old",
            Said::Broken(line) if line.contains("is new") => "new",
            // Half done may be anything, as long as every process fits its code.
            Said::Broken(_) if code == "old" || code == "new" || self.may_break() => &code,
            Said::Broken(_) => "old or new",
            Said::Nothing if code == "old" || code == "new" => &code,
            Said::Nothing => "old or new",
        };
        if code != wanted && !(loaded && only_loaded(node, &code)) {
            problems.push(format!("the code is {code}, said was {wanted}"));
        }
        if let Said::Broken(line) = &end
            && !self.may_break()
            && !self.ended_alone(line, story)
        {
            problems.push(format!("it did not have to end so: {line}"));
        }
        if let (Some(wanted), "nothing", false) =
            (self.by_itself(), self.fault.name, self.backwards)
            && ran.code != Some(wanted)
        {
            problems.push(format!("exit {:?} instead of {wanted}", ran.code));
        }
        let mut allow = self.fault.allow.to_vec();
        if self.fault.no_agent && matches!(end, Said::Broken(_)) {
            allow.extend(["mixed", "misfit"]);
        }
        // A run that could not go back names the processes whose conversion failed: these have new code and old states.
        if matches!(end, Said::Broken(_))
            && story.contains("has its old state: its conversion failed")
        {
            allow.extend(["mixed", "misfit"]);
        }
        // With nothing left to resume them, suspended children do not obey a supervisor that ends them: it kills them.
        if self.fault.name == "all agents and the watchdog killed" && matches!(end, Said::Broken(_))
        {
            allow.push("dead");
        }
        let went_back = self.backwards || end != Said::New;
        if went_back && app.changed.contains(&"harbour_tide") {
            allow.push(if app.single { "gap" } else { "any_gap" });
        }
        let allow = allow.join(",");
        let found = eval(
            node,
            &format!(
                "harbour_check:problems(#{{changed => {}, lived => harbour_yard:setting(lived, []), allow => [{allow}]}})",
                app.changed()
            ),
        );
        let screen = format!("{story}{}", ran.stderr);
        for problem in found.as_list().unwrap_or_default() {
            let text = problem.as_bytes().map_or_else(
                || problem.to_string(),
                |bytes| String::from_utf8_lossy(bytes).into_owned(),
            );
            // A process whose end the screen names has not ended unsaid.
            let pid = text
                .find('<')
                .and_then(|at| Some(&text[at..=at + text[at..].find('>')?]));
            let ended = text.starts_with("{died") || text.starts_with("{crashed");
            // Of many that were ended because they were born with the wrong state not all are named (W618); one whose
            // state stays old is.
            let counted = text.starts_with("{crashed")
                && text.ends_with("killed}")
                && screen.contains("W618");
            let old = pid.is_some_and(|pid| {
                let mut lines = screen.lines();
                lines.any(|line| line.contains(pid) && line.contains("has its old state"))
            });
            if !(ended && pid.is_some_and(|pid| screen.contains(pid)) || counted || old) {
                problems.push(text);
            }
        }
        let calls = eval(
            node,
            "lists:sum([N || {{acknowledged, _}, N} <- ets:tab2list(harbour_counts)])",
        );
        calls.as_i64().unwrap_or(0)
    }

    /// The exit code when no fault comes in between, where that is certain.
    fn by_itself(&self) -> Option<i32> {
        let app = &self.harbour;
        match app.course {
            _ if app.may_stay || app.other.is_some() => None,
            Course::Fine => Some(0),
            // One that dies in its conversion may have been ended by any process: it is reported, and no reason to go
            // back.
            Course::Fails("hang" | "kill") => None,
            Course::Fails(_) => Some(20),
            Course::Verify | Course::After if app.manual => Some(21),
            Course::Verify | Course::After => Some(20),
            Course::Before if app.single => Some(14),
            Course::Before => None,
        }
    }

    /// Whether exit code 21 can be right.
    /// The client had left, the node went through with it, and `attach` found afterwards that a check fails: the lock
    /// was free by then, so nothing is taken back without being asked for. It says so, with the command.
    fn ended_alone(&self, line: &str, story: &str) -> bool {
        matches!(self.harbour.course, Course::Verify | Course::After)
            && line.contains("is new, but with errors")
            && story.contains("the run is over; to roll back: updo rollback")
    }

    fn may_break(&self) -> bool {
        let app = &self.harbour;
        self.fault.may_break
            || app.may_stay
            || app.course == Course::Fails("hang")
            || (app.manual && matches!(app.course, Course::Verify | Course::After))
    }
}

/// What a command says the code is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    New,
    Old,
    /// It needs manual repair.
    Broken(String),
    Nothing,
}

/// How last lines begin, or what is in them, by what they say.
const WORDS: [(&str, &[&str]); 6] = [
    ("new", &["done  "]),
    (
        "old",
        &["undone  ", "not upgraded  ", "nothing was changed"],
    ),
    ("broken", &["not good  ", "half done  "]),
    ("lost", &["connection lost", "the run continues on "]),
    ("back", &[" it is as before run ", " are back"]),
    (
        "not back",
        &[" is not as before run ", "nothing was changed"],
    ),
];

/// The last line that is no hint below one.
fn last_line(ran: &Ran) -> String {
    let line = ran
        .stderr
        .lines()
        .rev()
        .find(|line| !line.is_empty() && !line.starts_with(' '));
    line.unwrap_or_default().to_owned()
}

/// What the exit code says, and that the last line says the same.
fn says(ran: &Ran, backwards: bool, problems: &mut Vec<String>) -> Said {
    let line = last_line(ran);
    let begins = |words: &[&str]| words.iter().any(|word| line.contains(word));
    let (goal, origin) = if backwards {
        (Said::Old, Said::New)
    } else {
        (Said::New, Said::Old)
    };
    let all: Vec<&str> = WORDS
        .iter()
        .flat_map(|(_, words)| *words)
        .copied()
        .collect();
    let words = |kind: &str| {
        let found = WORDS.iter().find(|(of, _)| *of == kind);
        found.map_or(&[][..], |(_, words)| words)
    };
    let (printed, wanted): (Said, &[&str]) = match ran.code {
        Some(0) => (goal, words(if backwards { "back" } else { "new" })),
        Some(14 | 20) => (origin, words(if backwards { "not back" } else { "old" })),
        Some(21) if backwards => (Said::Broken(line.clone()), words("not back")),
        Some(21) => (Said::Broken(line.clone()), words("broken")),
        Some(23) => (Said::Nothing, words("lost")),
        // Another run is at work: what the node is then, that one says.
        Some(13) if begins(&["by this run: another run is active"]) => return Said::Nothing,
        Some(13) => (Said::Nothing, &[]),
        // What no live window can be opened for, and what a rehearsal has shown to fail.
        Some(1) if ran.stderr.contains("E425") => return origin,
        Some(15) if line.contains("nothing was changed") => return origin,
        // Before anything was begun there is no run to speak of.
        Some(10..=12) if begins(words(if backwards { "not back" } else { "old" })) => {
            return origin;
        }
        Some(10..=12) => (origin, &[]),
        Some(code) => {
            problems.push(format!("exit code {code}"));
            (Said::Nothing, &[])
        }
        None => return Said::Nothing,
    };
    // What was found before a run has begun has no last line about one.
    let early = matches!(ran.code, Some(14)) && !begins(&all[..]) && ran.stderr.contains("E6")
        || matches!(ran.code, Some(10)) && line.contains("error[E508]");
    let fits = begins(wanted) || (wanted.is_empty() && !begins(&all[..]));
    if !early && !fits {
        problems.push(format!(
            "exit code {:?} and the last line: {line}",
            ran.code
        ));
    }
    printed
}

/// Whether nothing but what others have loaded is out of line.
fn only_loaded(node: &TestNode, code: &str) -> bool {
    let loaded = eval_text(node, "harbour_yard:setting(loaded, [])");
    let names = loaded.trim_matches(['[', ']']);
    let others: Vec<&str> = code
        .split("},{")
        .filter(|pair| {
            !names
                .split(',')
                .any(|name| !name.is_empty() && pair.contains(name))
        })
        .collect();
    others.iter().all(|pair| pair.contains(",new"))
        || others.iter().all(|pair| pair.contains(",old"))
}

fn updo(desk: &Desk, node: &TestNode, args: &[String], link: Option<&Link>) -> Running {
    let mut all: Vec<&str> = args.iter().map(String::as_str).collect();
    all.push("--yes");
    let mut command = desk.on(node, &all).env("UPDO_SOAK", "0s");
    if let Some(link) = link {
        command = command.env("UPDO_EPMD_PORT", &link.epmd_port.to_string());
    }
    command.start()
}

/// Waits longer than a test usually does.
fn patient(mut running: Running) -> Ran {
    let until = Instant::now() + LONG;
    while !running.has_ended() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(3));
    }
    running.wait()
}

/// The name of the newest run of a desk.
fn newest(desk: &Desk) -> Option<String> {
    let entries = std::fs::read_dir(desk.path().join("state/runs")).ok()?;
    let newest = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let began = entry.metadata().ok()?.created().ok()?;
            let name = entry.file_name().into_string().ok()?;
            // Without it a client was killed before anything began, and there is no such run.
            let is_record = entry.path().join("meta.json").exists();
            (is_record && name.len() == 4).then_some((began, name))
        })
        .max();
    newest.map(|(_, name)| name)
}

/// Whether a recorded run was to make the node new.
fn is_goal_new(desk: &Desk, run: &str) -> bool {
    let path = desk.path().join(format!("state/runs/{run}/meta.json"));
    std::fs::read_to_string(path).is_ok_and(|text| text.contains("\"goal\": \"new\""))
}

/// Waits until the fault is over: what was struck, as text.
fn await_struck(node: &TestNode, problems: &mut Vec<String>) -> String {
    let until = Instant::now() + LONG;
    loop {
        let struck = eval_text(
            node,
            "{harbour_fault:struck(), whereis(harbour_fault) =:= undefined}",
        );
        match struck.strip_suffix(",true}") {
            Some(struck) => return struck.trim_start_matches('{').to_owned(),
            None if Instant::now() > until => {
                problems.push(format!("the fault does not end: {struck}"));
                return struck;
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Waits until no run holds the lock any more, except for a result that is kept when the client has left.
fn await_alone(node: &TestNode, kept: bool, problems: &mut Vec<String>) -> String {
    let until = Instant::now() + LONG;
    loop {
        let calls = eval_text(node, "witness:calls()");
        let lock = eval_text(
            node,
            "case whereis(updo_run) =:= harbour_yard:setting(name, none) of true -> free; false -> harbour_fault:lock() end",
        );
        match (calls.as_str(), lock.as_str()) {
            ("0", "free") => return lock,
            ("0", "kept") if kept => return lock,
            _ if Instant::now() > until => {
                problems.push(format!(
                    "the agent does not come to an end: {calls} calls, lock {lock}"
                ));
                return lock;
            }
            _ => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// The value of an expression, also on a node that has no room for a process at the moment.
fn eval(node: &TestNode, text: &str) -> Term {
    let until = Instant::now() + Duration::from_secs(40);
    while node
        .session()
        .call("erlang", "node", vec![], Duration::from_secs(60))
        .is_err()
        && Instant::now() < until
    {
        std::thread::sleep(Duration::from_millis(20));
    }
    node.eval(text)
}

fn eval_text(node: &TestNode, text: &str) -> String {
    eval(node, text).to_string()
}
