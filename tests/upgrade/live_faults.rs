//! Faults in live windows, generated: the client is killed, the connection cut, processes of the agent are killed, one or all
//! but the watchdog, the run is called off, at any moment of the transition, to a newer version and to an earlier one.
//! Processes are called all the time, some of them in callbacks that last. Whatever happens: one version and the states of it, no call is lost,
//! nothing is left, and the exit code is true.
//!
//! `UPDO_SEED` and `UPDO_COUNT` make other and more of them: `make sweep`.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;

use tempfile::TempDir;

use crate::corners::{compiled, node_with};
use crate::killed::await_alone;
use crate::live::purse;
use crate::support::TestNode;
use crate::support::desk::Desk;
use crate::support::invented::Dice;
use crate::sweep::number;

const FAULTS: [&str; 7] = [
    "client", "cut", "executor", "guardian", "both", "abort", "nothing",
];

/// So many servers, of which each of ten callers has its own; a call in eight lasts for up to 40 ms.
const LOAD: &str = "begin
    All = [purse:start(N) || N <- lists:seq(1, 200)],
    persistent_term:put(asked, All),
    Call = fun Call(Ps, Counts) ->
        Add = fun(P, Acc) ->
            case rand:uniform(8) of
                1 -> ok = gen_server:call(P, {wait, fun() -> timer:sleep(rand:uniform(40)) end}, infinity);
                _ -> V = gen_server:call(P, add, infinity), true = V =:= 1 orelse V =:= 2
            end,
            Acc#{P => maps:get(P, Acc, 0) + 1}
        end,
        Next = lists:foldl(Add, Counts, Ps),
        receive {counts, From} -> From ! {counts, Next}, Call(Ps, Next) after 1 -> Call(Ps, Next) end
    end,
    persistent_term:put(callers, [spawn(fun() -> Call([P || {N, P} <- lists:zip(lists:seq(1, 200), All), N rem 10 =:= R], #{}) end)
                                  || R <- lists:seq(0, 9)])
end";

/// `{Version, Lost}`: which version all have, and how many calls of a caller are not in a state.
const LOOK: &str = "begin
    Callers = persistent_term:get(callers),
    Mons = [monitor(process, C) || C <- Callers],
    Counts = lists:foldl(fun(C, Acc) ->
        C ! {counts, self()},
        receive {counts, N} -> maps:merge(Acc, N); {'DOWN', _, _, C, Why} -> exit({caller, Why}) after 9000 -> exit(caller) end
    end, #{}, Callers),
    [demonitor(M, [flush]) || M <- Mons],
    States = [{P, gen_server:call(P, state)} || P <- persistent_term:get(asked)],
    {lists:usort([element(1, S) || {_, S} <- States]),
     length([P || {P, S} <- States, element(3, S) < maps:get(P, Counts)])}
end";

const LEFT: &str = "[M || {M, _} <- code:all_loaded(), string:find(atom_to_list(M), \"updo\") =/= nomatch] ++
    lists:usort([K || P <- persistent_term:get(asked), {_, D} <- [process_info(P, dictionary)], {K, _} <- D, is_atom(K),
                      string:find(atom_to_list(K), \"updo\") =/= nomatch])";

#[test]
fn every_fault_of_a_transition() {
    let folder = TempDir::new().expect("a folder");
    let one = compiled(&folder.path().join("one"), &[purse(1, "")]);
    let two = compiled(&folder.path().join("two"), &[purse(2, "")]);
    let node = node_with(&one);
    node.eval(&format!(
        "application:set_env(witness, tests, \"{}\")",
        std::process::id()
    ));
    node.eval(LOAD);
    let desk = Desk::rehearsing();
    let mut dice = Dice::new(number("UPDO_SEED").unwrap_or(4));
    let more = number("UPDO_COUNT").map_or(7, |count| count as usize);
    let first = FAULTS.iter().copied();
    let mut all: Vec<(&str, usize)> = first.map(|what| (what, dice.below(20))).collect();
    all.extend((0..more).map(|_| (dice.pick(&FAULTS), dice.below(60))));
    let mut version = 1;
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for (what, delay) in all {
        let goal = 3 - version;
        let (new, old, option) = match goal {
            2 => (&two, &one, ""),
            _ => (&one, &two, " #{earlier => true}"),
        };
        let plan = desk.write(
            "live.updo",
            &format!(
                "plan \"Live\".\ncode push [{new:?}]{option}.\nold from {old:?}.\nwindow live.\n"
            ),
        );
        // Before the switch, or behind it.
        let point = match dice.below(4) {
            0 => "1".to_owned(),
            _ => format!("{{version, purse, {goal}}}"),
        };
        node.eval(&format!("witness:strike({what}, {point}, {delay})"));
        let plan = plan.display().to_string();
        let ran = desk.on(&node, &["run", &plan, "--yes"]).run();
        node.await_true("whereis(striker) =:= undefined");
        let about = format!("{what} at {point} +{delay} ms, to {goal}: {ran}");
        let found = std::panic::catch_unwind(AssertUnwindSafe(|| {
            await_alone(&node);
            node.await_true(&format!("{LEFT} =:= []"));
            state_of(&node)
        }))
        .unwrap_or_else(|_| panic!("{about}"));
        match ran.code {
            Some(0) => assert_eq!(found, goal, "{about}"),
            Some(10 | 14 | 20) => assert_eq!(found, version, "{about}"),
            Some(23) | None => {}
            _ => panic!("{about}"),
        }
        let end = if found == goal { "new" } else { "old" };
        let code = ran
            .code
            .map_or("killed".to_owned(), |code| code.to_string());
        let when = if point == "1" { "before" } else { "behind" };
        let line = format!("{what:<9} {when} the switch: {end}, exit {code}");
        *counts.entry(line).or_default() += 1;
        version = found;
    }
    for (what, count) in &counts {
        println!("  {count:>4}  {what}");
    }
}

/// The version that all processes have, and no call is lost.
fn state_of(node: &TestNode) -> i64 {
    let found = node.eval_text(LOOK);
    match found.as_str() {
        "{[1],0}" => 1,
        "{[2],0}" => 2,
        _ => panic!("{found}"),
    }
}
