//! The beams are overwritten in place and no copy is kept: what can fail behind the switch is asked about, and what such
//! a failure leaves is named, with a command that mends it.

use tempfile::TempDir;

use crate::corners::{compiled, node_with};
use crate::support::TestNode;
use crate::support::desk::{Desk, Ran};
use crate::support::terminal::Terminal;

const SAME: &str = "code_change(_, S, _) -> {ok, S}.";
const RIGHT: &str = "code_change(_, {till, N}, _) -> {ok, {till, N, 0}}.";
/// Acts, so that it converts behind the switch.
const ACTS: &str = "code_change(_, {till, N}, _) -> ets:insert(counted, {N}), {ok, {till, N, 0}}.";
/// Acts, and fails in one process as long as nothing is put into the table.
const ACTS_NOT_YET: &str = "code_change(_, {till, 3}, _) -> [{ready, yes}] = ets:lookup(counted, ready), {ok, {till, 3, 0}};\n\
     code_change(_, {till, N}, _) -> ets:insert(counted, {N}), {ok, {till, N, 0}}.";

fn till(version: u32, more: &str) -> (String, String) {
    // An attribute comes before the functions.
    let on_load = match more.contains("ready() ->") {
        true => "-on_load(ready/0).\n",
        false => "",
    };
    let text = format!(
        "-module(till).\n-behaviour(gen_server).\n-vsn(\"{version}\").\n\
         {on_load}-export([start/1, init/1, handle_call/3, handle_cast/2, code_change/3]).\n\
         start(N) -> {{ok, P}} = gen_server:start(?MODULE, N, []), P.\n\
         init(N) -> {{ok, {{till, N}}}}.\nhandle_call(_, _, S) -> {{reply, {{{version}, S}}, S}}.\n\
         handle_cast(_, S) -> {{noreply, S}}.\n{more}\n"
    );
    ("till".to_owned(), text)
}

struct Shop {
    folder: TempDir,
    node: TestNode,
    desk: Desk,
}

impl Shop {
    /// Five processes of version 1, whose beam is overwritten.
    fn new(two: &str, plan: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let node = node_with(&compiled(&folder.path().join("lib"), &[till(1, SAME)]));
        node.eval("ets:give_away(ets:new(counted, [named_table, public]), whereis(init), x)");
        node.eval("persistent_term:put(tills, [till:start(N) || N <- lists:seq(1, 5)])");
        let shop = Self {
            folder,
            node,
            desk: Desk::new(),
        };
        shop.desk.write(
            "till.updo",
            &format!("plan \"Tills\".\ncode on_disk.\n{plan}\n"),
        );
        shop.deploy(2, two);
        shop
    }

    fn deploy(&self, version: u32, more: &str) {
        compiled(&self.folder.path().join("lib"), &[till(version, more)]);
    }

    fn updo(&self, args: &[&str]) -> Ran {
        let ran = self.desk.on(&self.node, args).run();
        let words = ["witness:left_to(5000)", "witness:troubled()"];
        for word in words {
            assert_eq!(self.node.eval_text(word), "[]", "{ran}");
        }
        ran
    }

    fn run(&self, more: &[&str]) -> Ran {
        self.updo(&[&["run", "till.updo", "--yes"], more].concat())
    }

    fn states(&self) -> String {
        self.node
            .eval_text("[gen_server:call(P, what) || P <- persistent_term:get(tills)]")
    }

    fn third(&self) -> String {
        self.node
            .eval_text("lists:nth(3, persistent_term:get(tills))")
    }

    /// The command in the help of the last diagnostic that has one with this word, as it was printed.
    fn printed(ran: &Ran, word: &str) -> Vec<String> {
        let start = format!("updo {word} ");
        let line = ran.stderr.lines().find_map(|line| {
            let at = line.find(&start)?;
            Some(line[at..].trim().to_owned())
        });
        let line = line.unwrap_or_else(|| panic!("no `{start}`: {ran}"));
        line.split(' ').skip(1).map(str::to_owned).collect()
    }
}

const OLD: &str = "[{1,{till,1}},{1,{till,2}},{1,{till,3}},{1,{till,4}},{1,{till,5}}]";
const NEW: &str = "[{2,{till,1,0}},{2,{till,2,0}},{2,{till,3,0}},{2,{till,4,0}},{2,{till,5,0}}]";

#[test]
fn a_right_conversion_runs_with_and_without_a_verify() {
    for plan in [
        "",
        "verify \"tills answer\" -> true.",
        "after upgrade -> true.",
    ] {
        let shop = Shop::new(RIGHT, plan);
        let ran = shop.run(&[]).exits(0).says(&["5 states converted"]);
        assert!(!ran.stderr.contains("E317"), "{plan}: {ran}");
        assert_eq!(ran.stderr.contains("W317"), !plan.is_empty(), "{ran}");
        assert_eq!(shop.states(), NEW);
        // Nothing leads back, and nothing claims that it does.
        assert!(!ran.stderr.contains("roll back:"), "{ran}");
        shop.updo(&["rollback", "--yes"])
            .exits(11)
            .says(&["E317", "updo run PLAN"]);
        assert_eq!(shop.states(), NEW);
    }
}

#[test]
fn a_preview_warns_and_is_no_error() {
    let shop = Shop::new(RIGHT, "verify \"tills answer\" -> true.");
    let words =
        "no copy of the running version of `till`: if `tills answer` fails, the new code stays";
    shop.updo(&["preview", "till.updo"]).exits(0).says(&[
        "W317",
        words,
        "old from",
        "updo status PLAN --save",
    ]);
    shop.updo(&["run", "till.updo", "--dry-run"])
        .exits(0)
        .says(&["W317"]);
    // Whoever says that failures are not undone has answered.
    for policy in ["never", "manual", "automatic #{on => ['after']}"] {
        let shop = Shop::new(RIGHT, &format!("rollback {policy}.\nverify \"v\" -> true."));
        let ran = shop.updo(&["preview", "till.updo"]).exits(0);
        assert!(!ran.stderr.contains("W317"), "{policy}: {ran}");
    }
    // A soak that someone asks for is named, the usual one is not.
    shop.updo(&["run", "till.updo", "--dry-run", "--soak", "3s"])
        .exits(0)
        .says(&["if `tills answer` or the soak of 3s fails"]);
    // One that will not be asked cannot fail.
    let ran = shop.run(&["--no-verify"]).exits(0);
    assert!(!ran.stderr.contains("W317"), "{ran}");
}

#[test]
fn a_verify_that_fails_leaves_the_new_code() {
    let shop = Shop::new(RIGHT, "verify \"tills answer\" -> false.");
    let ran = shop.run(&["--events", "e.jsonl"]).exits(21);
    ran.says(&[
        "E606",
        "E609",
        "the new code stays: there is no copy of the running version of `till`",
        "every process has its new state",
        "updo run PLAN",
        "is new, but with errors",
    ]);
    assert_eq!(shop.states(), NEW);
    let events = shop.desk.read("e.jsonl");
    assert!(events.contains("the new code stays"), "{events}");
    // Corrected forward, as it says.
    let plan = "plan \"Tills\".\ncode on_disk.\nverify \"tills answer\" -> true.\n";
    shop.desk.write("till.updo", plan);
    shop.deploy(3, "code_change(_, S, _) -> {ok, S}.");
    shop.run(&[]).exits(0);
    assert!(shop.states().contains("{3,{till,5,0}}"));
}

#[test]
fn what_can_leave_old_states_wants_an_answer() {
    let on_load = "ready() -> ok.\ncode_change(_, {till, N}, _) -> {ok, {till, N, 0}}.";
    for (two, plan, words) in [
        (ACTS, "", "if the conversion of `till` fails"),
        (on_load, "", "`on_load` of `till`"),
        (
            RIGHT,
            "insert {apply, {erlang, node, []}} after load till because \"r\".",
            "if the call `erlang:node/0` fails",
        ),
        (
            RIGHT,
            "after load till -> true.",
            "if the hook `after load till` fails",
        ),
        // A `verify` is never the reason, and is named with the others.
        (
            ACTS,
            "verify \"v\" -> true.",
            "if the conversion of `till` or `v` fails",
        ),
    ] {
        let shop = Shop::new(two, plan);
        shop.updo(&["preview", "till.updo"])
            .exits(0)
            .says(&["W317", words, "--no-undo"]);
        shop.run(&[]).exits(11).says(&[
            "E317",
            words,
            "nothing was changed",
            "--no-undo",
            "old from",
            "updo status PLAN --save",
        ]);
        assert_eq!(shop.states(), OLD);
        shop.run(&["--no-undo"])
            .exits(0)
            .says(&["5 states converted"]);
        assert_eq!(shop.states(), NEW);
    }
    let shop = Shop::new(ACTS, "rollback never.");
    let ran = shop.run(&[]).exits(0);
    assert!(!ran.to_string().contains("317]"), "{ran}");
    // That the node stays new after a failed check says nothing of a conversion.
    let shop = Shop::new(ACTS, "rollback manual.");
    shop.run(&[]).exits(11).says(&["E317"]);
    assert_eq!(shop.states(), OLD);
}

#[test]
fn one_conversion_fails_and_is_mended_by_what_is_printed() {
    let shop = Shop::new(ACTS_NOT_YET, "");
    let third = shop.third();
    let ran = shop.run(&["--no-undo", "--events", "e.jsonl"]).exits(21);
    let left = format!(
        "{third} of till: the old state under the new code: its conversion failed: error:{{badmatch,[]}} in till:code_change/3"
    );
    let ran = ran.says(&[
        "E604",
        "E609",
        "there is no copy of the running version of `till`",
        "till: 4 processes have the new state, 1 process has the old state under the new code",
        &left,
        "no process is suspended, and none was ended",
    ]);
    let first = shop.node.eval_text("hd(persistent_term:get(tills))");
    let ran = ran.says(&[&format!("{first} of till: the new state")]);
    let end = &ran.stderr[ran.stderr.find("E604").expect("the failure")..];
    assert!(
        !end.contains("kill") && !end.contains("updo rollback"),
        "{ran}"
    );
    // As the stream and the next command say it.
    let events = shop.desk.read("e.jsonl");
    assert!(
        events.contains("the old state under the new code"),
        "{events}"
    );
    assert_eq!(
        shop.states(),
        "[{2,{till,1,0}},{2,{till,2,0}},{2,{till,3}},{2,{till,4,0}},{2,{till,5,0}}]"
    );
    let name = shop.node.name();
    shop.updo(&["status", "till.updo"]).says(&[
        "E623",
        "with their old state, under the new code: 1 of till",
        &format!("updo mend {name}"),
    ]);
    shop.updo(&["rollback", "--yes"])
        .exits(11)
        .says(&["E317", &format!("updo mend {name}")]);

    // What is printed, while the reason is still there.
    let mend = Shop::printed(&ran, "mend");
    assert_eq!(mend, ["mend", name]);
    let mend: Vec<&str> = mend.iter().map(String::as_str).chain(["--yes"]).collect();
    let vain = shop.updo(&mend).exits(21);
    let _ = vain.says(&[
        "with their old state, under the new code: 1 of till",
        &third,
        "its conversion failed: {{badmatch,[]},{till,code_change,3}}",
        "manual repair",
    ]);
    assert!(shop.states().contains("{2,{till,3}}"));
    // And when it is gone.
    shop.node.eval("ets:insert(counted, {ready, yes})");
    let mut command = shop.desk.command(crate::support::desk::UPDO);
    command
        .args(&mend[..2])
        .env("UPDO_EPMD_PORT", shop.node.epmd_port().to_string());
    let mut terminal = Terminal::watch(command, "dumb");
    terminal.await_text("Convert these processes once more");
    terminal.keys("yes\r");
    terminal.await_text("nothing is left of it");
    assert!(terminal.end().ends_with(", 0)"), "{}", terminal.text());
    assert_eq!(shop.node.eval_text("witness:left_to(5000)"), "[]");
    assert_eq!(shop.states(), NEW);
    assert_eq!(shop.third(), third);
    shop.updo(&["mend", name])
        .exits(0)
        .says(&["no run has left anything"]);
    let ran = shop.updo(&["preview", "till.updo"]).exits(0);
    assert!(!ran.to_string().contains("W619"), "{ran}");
}

/// Where `code_change` itself is wrong, a corrected version takes both forms.
#[test]
fn a_corrected_version_converts_what_was_left() {
    let wrong = "code_change(_, {till, 3}, _) -> ets:insert(counted, {3}), error(torn);\n\
                 code_change(_, {till, N}, _) -> ets:insert(counted, {N}), {ok, {till, N, 0}}.";
    let shop = Shop::new(wrong, "");
    shop.run(&["--no-undo"])
        .exits(21)
        .says(&["torn", "updo run PLAN"]);
    shop.deploy(
        3,
        "code_change(_, {till, N}, _) -> {ok, {till, N, 0}};\ncode_change(_, {till, _, _} = S, _) -> {ok, S}.",
    );
    shop.run(&[]).exits(0).says(&["W619", "5 states converted"]);
    assert_eq!(shop.states(), NEW.replace("{2,{", "{3,{"));
    let name = shop.node.name();
    shop.updo(&["mend", name])
        .exits(0)
        .says(&["no run has left anything"]);
}

/// The one case in which a process is to be ended: it does not answer.
#[test]
fn one_that_does_not_answer_may_be_killed() {
    let hangs = "code_change(_, {till, 3}, _) -> ets:insert(counted, {3}), receive never -> ok end;\n\
                 code_change(_, {till, N}, _) -> ets:insert(counted, {N}), {ok, {till, N, 0}}.";
    let shop = Shop::new(hangs, "module till #{timeout => 700ms}.");
    let third = shop.third();
    let args = ["run", "till.updo", "--yes", "--no-undo"];
    let ran = shop.desk.on(&shop.node, &args).run().exits(21);
    let pid = third.trim_matches(['<', '>']).replace('.', ",");
    let kill = format!("exit(c:pid({pid}), kill).");
    let ran = ran.says(&["E609", &third, "it does not answer", &kill]);
    assert_eq!(ran.stderr.matches("kill).").count(), 1, "{ran}");
    shop.desk
        .eval(&shop.node, kill.trim_end_matches('.'))
        .run()
        .exits(0);
    let name = shop.node.name();
    shop.updo(&["mend", name])
        .exits(0)
        .says(&["no run has left anything"]);
    let living =
        "[gen_server:call(P, what) || P <- persistent_term:get(tills), is_process_alive(P)]";
    assert_eq!(
        shop.node.eval_text(living),
        "[{2,{till,1,0}},{2,{till,2,0}},{2,{till,4,0}},{2,{till,5,0}}]"
    );
}

/// A module whose `on_load` fails stays as it was; the states of the others are converted all the same.
#[test]
fn what_was_switched_is_converted_when_another_module_is_not() {
    let shop = Shop::new(RIGHT, "");
    let lamp = |ready: &str| {
        let text = format!("-module(lamp).\n-export([on/0]).\n{ready}\n");
        compiled(
            &shop.folder.path().join("lib"),
            &[("lamp".to_owned(), text), till(2, RIGHT)],
        );
    };
    lamp("on() -> 1.");
    shop.node.eval("{module, lamp} = code:load_file(lamp)");
    lamp("-on_load(ready/0).\nready() -> ets:insert(counted, {x}), {error, dark}.\non() -> 2.");
    shop.run(&[]).exits(11).says(&["`on_load` of `lamp`"]);
    let ran = shop.run(&["--no-undo"]).exits(21);
    let ran = ran.says(&[
        "E609",
        "till: 5 processes have the new state",
        "every state fits the new code",
        "updo run PLAN",
    ]);
    assert!(!ran.stderr.contains("updo mend"), "{ran}");
    assert_eq!(shop.states(), NEW);
    assert_eq!(shop.node.eval_text("lamp:on()"), "1");
    lamp("-on_load(ready/0).\nready() -> ok.\non() -> 2.");
    shop.run(&["--no-undo"]).exits(0);
    assert_eq!(shop.node.eval_text("lamp:on()"), "2");
    assert_eq!(shop.states(), NEW);
}

#[test]
fn a_terminal_is_asked() {
    for (two, plan, question) in [
        (
            RIGHT,
            "verify \"tills answer\" -> true.",
            "if `tills answer` fails, the new code stays. Go on?",
        ),
        (
            ACTS,
            "",
            "if the conversion of `till` fails, the new code stays. Go on?",
        ),
    ] {
        let shop = Shop::new(two, plan);
        let start = |more: &[&str]| {
            let args = [&["run", "till.updo", "--width", "200"], more].concat();
            let mut command = shop.desk.command(crate::support::desk::UPDO);
            command
                .args(args)
                .env("UPDO_EPMD_PORT", shop.node.epmd_port().to_string())
                .env("UPDO_TARGET", shop.node.name());
            Terminal::watch(command, "dumb")
        };
        let flat = |screen: &str| screen.replace("\n", "");
        let mut terminal = start(&[]);
        terminal.await_screen("question", |screen| flat(screen).contains(question));
        terminal.keys("n\r");
        terminal.await_text("nothing was changed");
        assert!(terminal.end().ends_with(", 14)"), "{}", terminal.text());
        assert_eq!(shop.states(), OLD);
        assert_eq!(shop.node.eval_text("witness:left_to(5000)"), "[]");

        let mut terminal = start(&[]);
        terminal.await_screen("question", |screen| flat(screen).contains(question));
        terminal.keys("yes\r");
        terminal.await_text("Run it?");
        terminal.keys("no\r");
        assert!(terminal.end().ends_with(", 14)"), "{}", terminal.text());
        assert_eq!(shop.states(), OLD);

        // The flag answers this question and no other.
        let mut terminal = start(&["--no-undo"]);
        let screen = terminal.await_text("Run it?");
        assert!(!flat(&screen).contains("Go on?"), "{screen}");
        terminal.keys("yes\r");
        assert!(terminal.end().ends_with(", 0)"), "{}", terminal.text());
        assert_eq!(shop.states(), NEW);
    }
}
