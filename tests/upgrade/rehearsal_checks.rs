//! What a plan has to say about rehearsals: what conversions do and where, which are tried, and checks on states.

use crate::rehearsal::Stage;
use crate::support::desk::Ran;

/// A server with a state `{Name, N}`; the clauses are those of `code_change`, which begin in line 7.
pub fn server(name: &str, version: u32, code_change: &str) -> (String, String) {
    let exported = match code_change {
        "" => "",
        _ => ", code_change/3",
    };
    let text = format!(
        "-module({name}).\n-behaviour(gen_server).\n-vsn(\"{version}\").\n\
         -export([start/1, init/1, handle_call/3, handle_cast/2{exported}]).\n\
         start(N) -> {{ok, P}} = gen_server:start(?MODULE, N, []), P.\n\
         init(N) -> {{ok, {{{name}, N}}}}. handle_call(_, _, S) -> {{reply, {{{version}, S}}, S}}. handle_cast(_, S) -> {{noreply, S}}.\n\
         {code_change}\n"
    );
    (name.to_owned(), text)
}

/// Both versions of a server; only the new one has this conversion.
pub fn both(name: &str, code_change: &str) -> [(String, String); 2] {
    [server(name, 1, ""), server(name, 2, code_change)]
}

/// A node with these servers in their first version, one process of each, and a plan for the second.
fn stage(servers: &[[(String, String); 2]]) -> Stage {
    let version = |at: usize| servers.iter().map(move |both| both[at].clone());
    let (one, two): (Vec<_>, Vec<_>) = (version(0).collect(), version(1).collect());
    let start: Vec<String> = one
        .iter()
        .map(|(name, _)| format!("{name}:start(1)"))
        .collect();
    Stage::new(&one, &two, &start.join(", "))
}

pub fn updo(stage: &Stage, args: &[&str]) -> Ran {
    stage.desk.on(&stage.node, args).run()
}

/// `pure`, `reads`, `acts` with the places: in `explain`, the preview and the REPL.
#[test]
fn what_a_conversion_does_is_shown() {
    let sup = |vsn: u32, flags: &str| {
        let text = format!(
            "-module(lift).\n-behaviour(supervisor).\n-vsn(\"{vsn}\").\n-export([start/1, init/1]).\n\
             start(X) -> {{ok, P}} = supervisor:start_link(?MODULE, X), unlink(P).\n\
             init(_) -> {{ok, {{{flags}, []}}}}.\n"
        );
        ("lift".to_owned(), text)
    };
    let stage = stage(&[
        both(
            "bell",
            "code_change(_, {bell, N}, _) -> {ok, {bell, N, 0}}.",
        ),
        both(
            "lamp",
            "code_change(_, {lamp, N}, _) -> {ok, {lamp, N, application:get_env(kernel, lamp)}}.",
        ),
        both(
            "till",
            "code_change(_, {till, N}, _) -> counted ! N,\nets:insert(tills, {N}), {ok, {till, N, 0}}.",
        ),
        both("soft", ""),
        both("odd", ""),
        [
            sup(1, "#{}"),
            sup(2, "#{intensity => ets:info(tills, size)}"),
        ],
    ]);
    let plan = stage.plan.display().to_string();
    let text = std::fs::read_to_string(&stage.plan).expect("a plan");
    let more = "module odd #{change => {convert, fun bell:start/1}} because \"t\".\n";
    stage.desk.write("tills.updo", &format!("{text}{more}"));
    let said = [
        ("bell", "conversion: pure\n"),
        (
            "lamp",
            "conversion: reads: application:get_env/2 in lamp:code_change/3, line 7\n",
        ),
        (
            "lift",
            "conversion: reads: ets:info/2 in lift:init/1, line 6\n",
        ),
        (
            "till",
            "conversion: acts: sends a message in till:code_change/3, line 7 and 1 more; not tried beforehand\n",
        ),
        (
            "odd",
            "conversion: the plan's fun bell:start/1; not tried beforehand\n",
        ),
    ];
    let preview = updo(&stage, &["preview", &plan]).exits(0);
    for (module, line) in said {
        updo(&stage, &["explain", &plan, module])
            .exits(0)
            .prints(&[line]);
        assert!(preview.stdout.contains(line), "{module}: {preview}");
    }
    updo(&stage, &["explain", &plan, "soft"])
        .exits(0)
        .prints(&["conversion: none: it exports no code_change"]);
    // One line for each that converts.
    assert_eq!(preview.stdout.matches("conversion: ").count(), said.len());
    let document = updo(&stage, &["--json", "preview", &plan]).exits(0).json();
    let of = |module: &str| {
        let mut all = document["modules"].as_array().expect("modules").iter();
        let found = all.find(|one| one["module"] == module).expect(module);
        found["conversion"].clone()
    };
    assert_eq!(of("bell")["does"], "pure");
    assert_eq!(of("bell")["can_be_tried"], true);
    assert_eq!(of("till")["does"], "acts");
    assert_eq!(of("till")["can_be_tried"], false);
    assert_eq!(
        of("till")["places"][0],
        "sends a message in till:code_change/3, line 7"
    );
    assert_eq!(of("odd")["does"], "function");
    assert!(of("soft").is_null());
    // The REPL names all places, and corrects a name.
    let repl = |input: &str| {
        let session = stage.desk.on(&stage.node, &["repl", &plan]);
        session.input(input).run()
    };
    repl(":conversion till\n:cv lift\n:cv soft\n:help conversion\n")
        .exits(0)
        .prints(&[
            "conversion of till (code_change/3 of the new version): acts; not tried beforehand\n\
             \x20   sends a message in till:code_change/3, line 7\n\
             \x20   ets:insert/2 in till:code_change/3, line 8\n",
            "conversion of lift (init/1 of the new version): reads\n",
            "conversion of soft: none",
            ":conversion M",
        ]);
    repl(":conversion tilll\n")
        .exits(2)
        .says(&["did you mean `till`?"]);
    repl(":conversoin till\n")
        .exits(2)
        .says(&["did you mean `:conversion`?"]);
}

/// The plan with more statements.
pub fn says(stage: &Stage, more: &str) {
    let text = std::fs::read_to_string(&stage.plan).expect("a plan");
    let text = text.split("% more\n").next().unwrap_or_default().to_owned();
    stage
        .desk
        .write("tills.updo", &format!("{text}% more\n{more}\n"));
}

/// `module m #{rehearse => …}`: a conversion that acts is tried all the same, one that does not is left out.
#[test]
fn the_plan_says_which_conversions_are_tried() {
    let stage = stage(&[
        both("bell", "code_change(_, {bell, _}, _) -> exit(a_fault)."),
        both(
            "till",
            "code_change(_, {till, N}, _) -> counted ! N, {ok, {till, N, 0}}.",
        ),
    ]);
    let counted =
        "{messages, Ms} = erlang:process_info(whereis(counted), messages), length([a || 1 <- Ms])";
    stage
        .node
        .eval("register(counted, spawn(fun() -> receive stop -> ok end end))");
    let ran = stage.rehearse(&[]).exits(15);
    let line = "module till #{rehearse => true} because \"…\".";
    let paste = format!("to try it all the same: {line}");
    ran.says(&["E634", "1 of 1 state of `bell`"])
        .prints(&["not tried: its conversion has side effects", &paste]);
    assert_eq!(stage.node.eval_text(counted), "0");
    // The line is pasted, and what fails is left out.
    says(
        &stage,
        &format!("{line}\nmodule bell #{{rehearse => false}} because \"t\"."),
    );
    let ran = stage.rehearse(&[]).exits(0).prints(&[
        "bell                     not tried: the plan leaves it out (`rehearse => false`)",
        "till                     1 of 1 state convert",
        "has side effects, tried because the plan says so\n       sends a message in till:code_change/3, line 7",
    ]);
    assert!(!ran.stdout.contains("to try it"), "{ran}");
    assert_eq!(stage.node.eval_text(counted), "1");
    let json = stage.rehearse(&["--json"]).exits(0).json();
    assert_eq!(
        json["modules"][0]["acting"].as_array().map(Vec::len),
        Some(1)
    );
    assert_eq!(json["untried"][0]["module"], "bell");
    let plan = stage.plan.display().to_string();
    updo(&stage, &["preview", &plan]).exits(0).prints(&[
        "conversion: pure; not tried beforehand, because the plan says so",
        "conversion: acts: sends a message in till:code_change/3, line 7; tried beforehand, because the plan says so",
    ]);
    // Checked like the other options: a value, a module that changes, two that disagree.
    let refused = |more: &str, texts: &[&str]| {
        says(&stage, more);
        updo(&stage, &["rehearse", &plan]).exits(1).says(texts);
    };
    refused(
        "module till #{rehearse => maybe} because \"t\".",
        &["E205", "`true` or `false`"],
    );
    refused(
        "module till #{rehearse => true} because \"t\".\nmodule till #{rehearse => false} because \"t\".",
        &["E302"],
    );
    says(&stage, "module lists #{rehearse => true} because \"t\".");
    updo(&stage, &["preview", &plan]).says(&["W310"]);
}

/// Ten tills whose conversion forgets something of a few.
fn tills() -> Stage {
    let [one, two] = both(
        "till",
        "code_change(_, {till, 3}, _) -> {ok, {till, 0, 0}};\n\
         code_change(_, {till, 5}, _) -> error(a_fault);\n\
         code_change(_, {till, N}, _) -> {ok, {till, N, 0}}.",
    );
    let start = "persistent_term:put(tills, [till:start(N) || N <- lists:seq(1, 10)])";
    Stage::new(&[one], &[two], start)
}

/// `rehearse m "…" -> fun (Old, New) -> … end`, on the node, beside the copies.
#[test]
fn a_check_on_states_decides_whether_a_rehearsal_passes() {
    let stage = tills();
    says(
        &stage,
        "Least = 1.\n\
         rehearse till \"the number is kept\" -> fun ({till, N}, {till, M, _}) -> N =:= M end.\n\
         rehearse till \"it counts from zero\" because \"t\" -> fun (_, {till, _, C}) when C >= Least -> false; (_, _) -> true end.\n",
    );
    let ran = stage.rehearse(&[]).exits(15);
    let ran = ran.says(&[
        "E634",
        "1 of 10 states of `till` would not be converted",
        "E636",
        "the check \"the number is kept\" does not hold for 1 of 9 states of `till`",
        "is false; its state: {till, …} of 2 elements",
        "this check",
    ]);
    ran.prints(&[
        "8 of 10 states convert, 1 would not, 1 fail a check",
        "check \"the number is kept\": 8 of 9 pass",
        "check \"it counts from zero\": 8 of 8 pass",
        "fails  2 of 10 states would fail: 1 would not be converted, 1 does not pass a check;",
    ]);
    let json = stage.rehearse(&["--json"]).exits(15).json();
    let module = &json["modules"][0];
    assert_eq!(module["checks"][0]["failed"], 1);
    assert_eq!(module["checks"][1]["held"], 8);
    let failures = module["failures"].as_array().expect("failures");
    let of_check: Vec<_> = failures.iter().filter(|f| !f["check"].is_null()).collect();
    assert_eq!(of_check.len(), 1);
    assert_eq!(of_check[0]["check"], "the number is kept");
    // A run ends before it begins.
    let before = stage.node.eval_text("till:module_info(md5)");
    let plan = stage.plan.display().to_string();
    updo(&stage, &["run", &plan, "--yes"]).exits(15).says(&[
        "rehearsal: 10 states tried on copies, 1 would not be converted, 1 does not pass a check",
        "E636",
        "nothing was changed",
    ]);
    assert_eq!(stage.node.eval_text("till:module_info(md5)"), before);
    let shown = updo(&stage, &["preview", &plan]).exits(0);
    shown.prints(&["first    rehearse the number is kept, it counts from zero"]);
}

/// What a check may do wrong counts against the state, within limits; values are not shown.
#[test]
fn what_a_check_raises_is_a_failure() {
    let stage = tills();
    says(
        &stage,
        "rehearse till \"all kinds\" -> fun\n\
         \x20   ({till, 1}, _) -> hd([]);\n\
         \x20   ({till, 2}, _) -> odd;\n\
         \x20   ({till, 4}, _) -> timer:sleep(100000);\n\
         \x20   ({till, 6}, _) -> [] =/= lists:seq(1, 90000000);\n\
         \x20   ({till, 7}, _) -> {secret, 471108154711} = list_to_tuple([error, 471108154711]), true;\n\
         \x20   ({till, N}, _) when N < 10 -> is_pid(whereis(kernel_sup)) andalso system_info(otp_release) =/= []\n\
         end.\n",
    );
    let ran = stage.rehearse(&["--json"]).exits(15);
    for reason in [
        "badarg in erlang:hd/1",
        "returns atom",
        "takes longer than 1000 ms",
        "needs more memory than it is given",
        "badmatch ({error, …} of 2 elements)",
        "has no clause for it",
    ] {
        assert!(ran.stdout.contains(reason), "{reason}: {ran}");
    }
    assert!(!ran.to_string().contains("471108154711"), "{ran}");
    let checks = &ran.json()["modules"][0]["checks"][0];
    assert_eq!((&checks["held"], &checks["failed"]), (&3.into(), &6.into()));
}

/// Without a module a check is for all that are converted, and what no clause takes is of another one.
#[test]
fn a_check_without_a_module_concerns_what_its_clauses_take() {
    let stage = stage(&[
        both(
            "bell",
            "code_change(_, {bell, N}, _) -> {ok, {bell, N, 0}}.",
        ),
        both(
            "lamp",
            "code_change(_, {lamp, N}, _) -> {ok, #{lamp => N}}.",
        ),
    ]);
    says(
        &stage,
        "rehearse \"bells ring\" -> fun ({bell, N}, {bell, N, 0}) -> true; ({bell, _}, _) -> false end.",
    );
    stage.rehearse(&[]).exits(0).prints(&[
        "bell                     1 of 1 state convert",
        "check \"bells ring\": 1 of 1 pass",
        "check \"bells ring\": 0 of 0 pass, 1 of another form",
        "2 states tried on copies, all convert",
    ]);
}

/// A check that looks at nothing is no proof.
#[test]
fn a_check_that_was_asked_of_nothing_is_reported() {
    let stage = stage(&[
        both("soft", ""),
        both(
            "till",
            "code_change(_, {till, N}, _) -> counted ! N, {ok, {till, N, 0}}.",
        ),
    ]);
    let plan = stage.plan.display().to_string();
    says(
        &stage,
        "rehearse soft \"a\" -> fun (_, _) -> true end.\nrehearse till \"b\" -> fun (_, _) -> true end.\n\
         rehearse \"c\" -> fun (_, #{x := _}) -> true end.\n",
    );
    stage
        .node
        .eval("register(counted, spawn(fun() -> receive stop -> ok end end))");
    let texts = [
        "W636",
        "the check \"a\" was evaluated for no state",
        "soft: not converted: it exports no code_change",
        "till: not tried: its conversion has side effects",
        "the check \"c\" was evaluated for no state",
    ];
    stage.rehearse(&[]).exits(0).says(&texts);
    updo(&stage, &["run", &plan, "--yes"]).exits(0).says(&texts);
}

/// What is wrong with a check is known when the plan is read.
#[test]
fn a_check_on_states_is_read_like_the_rest_of_a_plan() {
    let stage = tills();
    let plan = stage.plan.display().to_string();
    let refused = |more: &str, texts: &[&str]| {
        says(&stage, more);
        updo(&stage, &["check", &plan]).exits(1).says(texts);
    };
    refused(
        "rehearse till \"t\" -> fun (Old) -> Old =:= 1 end.",
        &["E205", "`fun (Old, New)`", "takes 1 argument"],
    );
    refused(
        "rehearse till \"t\" -> fun (Old, New) -> Olf =:= New end.",
        &["E206", "`Olf` is unbound", "did you mean `Old`"],
    );
    refused(
        "total(X) -> X + 1.\nrehearse till \"t\" -> fun (Old, New) -> total(Old) =:= New end.",
        &["E210", "`total/1` is a function of the plan"],
    );
    refused(
        "rehearse till \"t\" -> fun (Old, _) -> Old =:= vsn(shop) end.",
        &["E210", "`vsn/1` is a function of updo"],
    );
    refused(
        "rehearse till \"t\" -> fun (Old, _) -> Old =:= 3s end.",
        &["E210", "durations", "`3000`"],
    );
    refused(
        "rehearse till \"t\" -> fun (Old, New) -> Old =:= end.",
        &["E101", "unexpected `end`"],
    );
    refused("rehearse till \"t\" -> Old =:= New.", &["E101", "`fun`"]);
    refused(
        "rehearse till -> fun (Old, New) -> Old =:= New end.",
        &["E101"],
    );
    refused("rehearse always.", &["E101", "never"]);
    says(&stage, "rehearse lists \"t\" -> fun (_, _) -> true end.");
    updo(&stage, &["preview", &plan]).says(&["W310"]);
    says(&stage, "rehearse tilll \"t\" -> fun (_, _) -> true end.");
    updo(&stage, &["preview", &plan])
        .exits(1)
        .says(&["E202", "did you mean `till`"]);
    // A guard about the node, and a set of modules.
    says(
        &stage,
        "rehearse behaviour(gen_server) \"t\" when otp() < 20 -> fun (_, _) -> false end.\n",
    );
    stage.rehearse(&[]).exits(15).says(&["E634"]);
}
