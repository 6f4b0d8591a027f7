//! A live window turned round at 1, 50 and 99 %: by Ctrl-C, by a conversion that fails, by the deadline, when so many of
//! several hundred servers have converted and the others are still inside a callback of the version before. Each of
//! them is called all the time. Afterwards all are what they were, no call is lost, and nothing is left.
//!
//! `UPDO_SEED` and `UPDO_COUNT` make other and more of them, at any percentage: `make sweep`.

use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::corners::{compiled, node_with};
use crate::killed::await_alone;
use crate::live::{TORN, purse};
use crate::support::TestNode;
use crate::support::desk::Desk;
use crate::support::invented::Dice;
use crate::sweep::number;

/// Each server has a caller of its own, which counts what was answered. One that is asked to makes its server wait in a
/// callback. `hold/0` is a hook of the plan, behind the rehearsal: nothing is switched before all that it holds wait.
const HOLDER: &str = "-module(holder).\n-export([start/1, hold/0]).\n\
    start(N) -> P = purse:start(N), {P, spawn(fun() -> call(P, 0) end)}.\n\
    call(P, N) -> receive\n\
        hold -> ok = gen_server:call(P, {wait, fun() -> wait() end}, infinity), call(P, N + 1);\n\
        {seen, From} -> From ! {seen, self(), N}, call(P, N)\n\
        after rand:uniform(20) -> 1 = (gen_server:call(P, add, infinity) + 1) div 2, call(P, N + 1) end.\n\
    wait() -> put(held, true), receive go -> erase(held) end.\n\
    hold() -> All = persistent_term:get(hold), [C ! hold || {_, C} <- All], held([P || {P, _} <- All]).\n\
    held(Ps) -> case [P || P <- Ps, {_, D} <- [process_info(P, dictionary)], not lists:keymember(held, 1, D)] of\n\
        [] -> ok; More -> timer:sleep(5), held(More) end.\n";

/// How many have converted: the others know nothing of the transition.
const CONVERTED: &str = "length([P || {P, _} <- persistent_term:get(asked), {_, D} <- [process_info(P, dictionary)],
    lists:any(fun({K, _}) -> is_atom(K) andalso string:find(atom_to_list(K), \"updo_live\") =/= nomatch end, D)])";

/// `{Versions, Calls that no state has, What is left of the transition, Whether the code is that of the beginning}`.
const LOOK: &str = "begin
    All = persistent_term:get(asked),
    [C ! {seen, self()} || {_, C} <- All],
    Counts = [receive {seen, C, N} -> N after 9000 -> lost end || {_, C} <- All],
    States = [gen_server:call(P, state) || {P, _} <- All],
    {lists:usort([element(1, S) || S <- States]),
     length([x || {N, S} <- lists:zip(Counts, States), not is_integer(N) orelse element(3, S) < N]),
     lists:usort([K || {P, _} <- All, {_, D} <- [process_info(P, dictionary)], {K, _} <- D, is_atom(K),
                       K =:= held orelse string:find(atom_to_list(K), \"updo\") =/= nomatch]),
     purse:module_info(md5) =:= persistent_term:get(md5)}
end";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Interrupt,
    Conversion,
    Deadline,
}

const CAUSES: [Cause; 3] = [Cause::Interrupt, Cause::Conversion, Cause::Deadline];

struct Stage {
    folder: TempDir,
    node: TestNode,
    desk: Desk,
    servers: usize,
}

impl Stage {
    fn new(servers: usize) -> Self {
        let folder = TempDir::new().expect("a folder");
        let one = compiled(
            &folder.path().join("one"),
            &[purse(1, ""), ("holder".to_owned(), HOLDER.to_owned())],
        );
        compiled(&folder.path().join("two"), &[purse(2, "")]);
        compiled(&folder.path().join("torn"), &[purse(2, TORN)]);
        let node = node_with(&one);
        node.eval(&format!(
            "persistent_term:put(asked, [holder:start(N) || N <- lists:seq(1, {servers})])"
        ));
        node.eval("persistent_term:put(md5, purse:module_info(md5))");
        Self {
            folder,
            node,
            desk: Desk::rehearsing(),
            servers,
        }
    }

    fn turns_round(&self, cause: Cause, percent: usize, dice: &mut Dice) {
        let converts = (self.servers * percent / 100).clamp(1, self.servers - 1);
        // The seventieth is one that does not convert, where one fails.
        let mut held = vec![70];
        while held.len() < self.servers - converts {
            let one = 1 + dice.below(self.servers);
            if !held.contains(&one) {
                held.push(one);
            }
        }
        // No rehearsal can ask the one that does not convert.
        let before = usize::from(cause == Cause::Conversion);
        if before == 1 {
            self.node.eval(
                "begin {P, C} = lists:nth(70, persistent_term:get(asked)), persistent_term:put(hold, [{P, C}]), holder:hold() end",
            );
        }
        let held_later = &held[before..];
        self.node.eval(&format!(
            "persistent_term:put(hold, [lists:nth(N, persistent_term:get(asked)) || N <- {held_later:?}])"
        ));
        let (new, more) = match cause {
            Cause::Interrupt => ("two", ""),
            Cause::Conversion => ("torn", ""),
            Cause::Deadline => ("two", "deadline 3s."),
        };
        let path = |name: &str| self.folder.path().join(name).join("ebin");
        let text = format!(
            "plan \"Live\".\ncode push [{:?}].\nold from {:?}.\nwindow live.\n\
             before upgrade -> ok = holder:hold().\n{more}\n",
            path(new),
            path("one")
        );
        let plan = self.desk.write("live.updo", &text).display().to_string();
        let run = self.desk.on(
            &self.node,
            &["run", &plan, "--yes", "--events", "events.jsonl"],
        );
        let mut run = run.start();
        let until = Instant::now() + Duration::from_secs(40);
        let mut seen = self.node.eval(CONVERTED).as_i64();
        while seen != i64::try_from(converts).ok() {
            if run.has_ended() || Instant::now() > until {
                run.kill();
                panic!("{seen:?} of {converts} have converted: {}", run.wait());
            }
            sleep(Duration::from_millis(20));
            seen = self.node.eval(CONVERTED).as_i64();
        }
        let words = match cause {
            Cause::Interrupt => {
                run.signal("-INT");
                run.await_says("turning round");
                ["E611", "called off in the live window"]
            }
            Cause::Conversion => {
                self.node
                    .eval("element(1, lists:nth(70, persistent_term:get(asked))) ! go");
                run.await_says("E604");
                ["E604", "error:{torn,70} in purse:code_change/3"]
            }
            Cause::Deadline => {
                run.await_says("E607");
                ["E607", "the deadline passed"]
            }
        };
        assert!(!run.has_ended(), "{cause:?} at {percent} %");
        self.node.eval(&format!(
            "[P ! go || N <- {held_later:?}, {{P, _}} <- [lists:nth(N, persistent_term:get(asked))]]"
        ));
        let ran = run.wait().exits(20).says(&words).says(&[
            "code restored",
            "undone",
            "old code and states are back",
        ]);
        assert!(!ran.stderr.contains("resumed"), "{ran}");
        self.is_reported(&ran.name(), converts);
        await_alone(&self.node);
        let found = self.node.eval_text(LOOK);
        assert_eq!(
            found, "{[1],0,[],true}",
            "{cause:?} at {percent} % of {}: {ran}",
            self.servers
        );
        let left = "[M || {M, _} <- code:all_loaded(), string:find(atom_to_list(M), \"updo\") =/= nomatch]";
        self.node.await_true(&format!("{left} =:= []"));
        // No process executes the shim, which is old code now; the next run is not kept by it.
        assert_eq!(self.node.eval_text("code:soft_purge(purse)"), "true");
        println!(
            "  {cause:?} when {converts} of {} had converted: old, exit 20",
            self.servers
        );
    }
}

impl Stage {
    /// How far it was is in the events, and the step is in the picture of the report although it has not ended.
    fn is_reported(&self, run: &str, converts: usize) {
        let events = self.desk.read("events.jsonl");
        let all = format!("\"done\":0,\"total\":{}", self.servers);
        assert!(events.contains(&all), "{events}");
        let report = ["report", run, "-o", "report.html"];
        self.desk.updo(&report).run().exits(0);
        let page = self.desk.read("report.html");
        let picture = page.split_once("<svg class=\"time\"");
        let picture = picture.and_then(|(_, rest)| rest.split_once("</svg>"));
        let (picture, _) = picture.expect("a picture");
        assert!(picture.contains("live purse: "), "{converts}: {picture}");
    }
}

#[test]
fn at_every_percentage() {
    let mut dice = Dice::new(number("UPDO_SEED").unwrap_or(7));
    let stage = Stage::new(200 + dice.below(200));
    for cause in CAUSES {
        for percent in [1, 50, 99] {
            stage.turns_round(cause, percent, &mut dice);
        }
    }
    for _ in 0..number("UPDO_COUNT").unwrap_or(0) {
        let (cause, percent) = (CAUSES[dice.below(3)], dice.below(100));
        stage.turns_round(cause, percent, &mut dice);
    }
}
