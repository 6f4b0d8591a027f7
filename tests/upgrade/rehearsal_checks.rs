//! What a plan has to say about rehearsals: what conversions do and where, which are tried, and checks on states.

use crate::rehearsal::Stage;
use crate::support::desk::Ran;

/// A server with a state `{Name, N}`; the clauses are those of `code_change`, which begin in line 7.
fn server(name: &str, version: u32, code_change: &str) -> (String, String) {
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
fn both(name: &str, code_change: &str) -> [(String, String); 2] {
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

fn updo(stage: &Stage, args: &[&str]) -> Ran {
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
fn says(stage: &Stage, more: &str) {
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
