//! What statements mean beyond rules: files included under a guard, constants inside functions, subjects by library,
//! how much a body may say.

use std::collections::BTreeMap;

use updo::diag::{Code, Span};
use updo::engine::Upgrade;
use updo::eval::{Bindings, Evaluator, OwnNames as _, Phase};
use updo::name::{Module, NodeName};
use updo::plan::load::LoadedPlan;
use updo::rules::node_view::NodeView;
use updo::syntax::parse_body;
use updo::term::Term;

use super::synthetic::{World, calls, read};

fn world() -> World {
    World(vec![
        calls("shop_a", &["shop_b"]),
        calls("shop_b", &[]),
        calls("shop_c", &[]),
    ])
}

/// A folder of plan files; the first is loaded.
fn load(files: &[(&str, &str)], sets: &[(&str, &str)]) -> LoadedPlan {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    let sets: BTreeMap<String, String> = sets
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    updo::plan::load(&folder.path().join(files[0].0), &sets)
}

fn codes(loaded: &LoadedPlan) -> Vec<&str> {
    let codes = loaded.diagnostics.iter().map(|d| d.code.as_str());
    codes.filter(|code| *code != "A311").collect()
}

fn decide(files: &[(&str, &str)]) -> Upgrade {
    let loaded = load(files, &[]);
    let plan = loaded
        .plan
        .unwrap_or_else(|| panic!("{:#?}", loaded.diagnostics));
    world().decide(&plan)
}

fn left_out(upgrade: &Upgrade) -> Vec<String> {
    let out = upgrade.rules.left_out.iter();
    out.map(|(module, _)| module.to_string()).collect()
}

#[test]
fn a_file_included_under_a_guard_applies_where_the_guard_holds() {
    let policy = ("policy.updo", "exclude shop_c because \"x\".");
    let with = |when: &str| {
        let plan = format!("include \"policy.updo\"{when}.");
        left_out(&decide(&[("plan.updo", plan.as_str()), policy]))
    };
    assert_eq!(with(""), ["shop_c"]);
    assert_eq!(with(" when otp() >= 25"), ["shop_c"]);
    assert!(with(" when otp() < 25").is_empty());
    assert!(with(" when otp() >= 25, changed(shop_same)").is_empty());
    // The statement's own guard counts as well.
    let guarded = ("policy.updo", "exclude shop_c when changed(shop_same).");
    let plan = ("plan.updo", "include \"policy.updo\" when otp() >= 25.");
    assert!(left_out(&decide(&[plan, guarded])).is_empty());
}

#[test]
fn guards_of_includes_are_handed_down_and_any_way_in_counts() {
    let inner = ("inner.updo", "exclude shop_c because \"x\".");
    let outer = ("outer.updo", "include \"inner.updo\".");
    let no = "include \"outer.updo\" when otp() < 25.\n";
    let yes = "include \"inner.updo\" when otp() >= 25.\n";
    assert!(left_out(&decide(&[("plan.updo", no), outer, inner])).is_empty());
    // Whichever comes first.
    for text in [format!("{no}{yes}"), format!("{yes}{no}")] {
        assert_eq!(
            left_out(&decide(&[("plan.updo", text.as_str()), outer, inner])),
            ["shop_c"]
        );
    }
}

#[test]
fn what_needs_no_node_is_decided_when_the_plan_is_read() {
    let files = [
        (
            "plan.updo",
            "param Stage :: atom = prod.\ninclude \"slow.updo\" when Stage =:= prod.\ndeadline 1m when_not.",
        ),
        ("slow.updo", "rollback manual.\nLimit = 3."),
    ];
    let plan = (
        "plan.updo",
        files[0].1.replace("deadline 1m when_not.", "deadline 1m."),
    );
    let files = [(plan.0, plan.1.as_str()), files[1]];
    let with = |stage: &str| {
        let loaded = load(&files, &[("Stage", stage)]);
        loaded
            .plan
            .unwrap_or_else(|| panic!("{:#?}", loaded.diagnostics))
    };
    assert_eq!(with("prod").rollback, updo::plan::RollbackPolicy::Manual);
    assert_eq!(with("test").rollback, updo::plan::RollbackPolicy::Automatic);
    // Names are defined in any case.
    assert_eq!(with("test").constants.get("Limit"), Some(&Term::Int(3)));
}

#[test]
fn what_cannot_depend_on_a_node_is_refused_under_such_a_guard() {
    let plan = ("plan.updo", "include \"x.updo\" when otp() > 20.");
    let loaded = load(
        &[plan, ("x.updo", "rollback manual.\nexclude shop_c.")],
        &[],
    );
    assert_eq!(codes(&loaded), ["E110"]);
    // What is wrong with a guard is told once, where it stands.
    let plan = ("plan.updo", "include \"x.updo\" when otpp() > 20.");
    let loaded = load(&[plan, ("x.updo", "exclude shop_c.\nexclude shop_a.")], &[]);
    assert_eq!(codes(&loaded), ["E702"]);
    let plan = ("plan.updo", "include \"x.updo\" when shop:ok().");
    let loaded = load(&[plan, ("x.updo", "exclude shop_c.")], &[]);
    assert_eq!(codes(&loaded), ["E210"]);
    let plan = ("plan.updo", "exclude shop_c when 5.");
    assert_eq!(codes(&load(&[plan], &[])), ["E704"]);
}

#[test]
fn a_chain_of_files_ends() {
    let names: Vec<(String, String)> = (0..80)
        .map(|n| {
            (
                format!("f{n}.updo"),
                format!("include \"f{}.updo\".", n + 1),
            )
        })
        .collect();
    let files: Vec<(&str, &str)> = names
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let loaded = load(&files, &[]);
    assert!(loaded.plan.is_none());
    assert_eq!(codes(&loaded), ["E109"]);
}

/// The value of an expression that may use a plan's functions.
fn value(plan: &str, text: &str) -> Result<String, Code> {
    let (plan, _) = read(plan);
    let functions = plan.scripts();
    let body = parse_body(text, 0).expect("expressions");
    let mut bindings = plan.constants.clone();
    Evaluator::new(Phase::Facts, &functions)
        .eval(&body, &mut bindings)
        .map(|value| value.to_string())
        .map_err(|failure| failure.diagnostic.code)
}

#[test]
fn functions_see_constants_and_their_own_variables_first() {
    let plan = "Limit = 10. List = [1, 2, 3].\n\
        above(N) -> N > Limit.\n\
        hidden(Limit) -> Limit * 2.\n\
        kept() -> Limit = 10, Limit.\n\
        clash() -> Limit = 11.\n\
        inner() -> [Limit || Limit <- List] ++ [Limit].\n\
        nested(X) when X =:= Limit -> above(X + 1);\n\
        nested(_) -> hidden(Limit).\n\
        head({Limit, _}) -> Limit; head(Limit) -> {all, Limit}.\n\
        key(Map) -> #{Limit := V} = Map, V.";
    for (text, expected) in [
        ("above(11)", Ok("true")),
        ("hidden(1)", Ok("2")),
        ("kept()", Ok("10")),
        ("clash()", Err(Code::E701)),
        ("inner()", Ok("[1,2,3,10]")),
        ("nested(10)", Ok("true")),
        ("nested(3)", Ok("20")),
        ("head({1, 2})", Ok("1")),
        ("head(7)", Ok("{all,7}")),
        ("key(#{10 => ten})", Ok("ten")),
    ] {
        let expected = expected.map(str::to_owned);
        assert_eq!(value(plan, text), expected, "{text}");
    }
}

/// The modules of a subject on a node whose files lie in folders of libraries.
#[test]
fn lib_names_the_modules_of_library_folders() {
    let (plan, _) = read("");
    let mut upgrade = world().decide(&plan);
    let file = |path: &str| updo::facts::node::node_facts::LoadedModule {
        md5: updo::name::Md5::default(),
        origin: updo::facts::node::node_facts::CodeOrigin::File(path.to_owned()),
    };
    let loaded = &mut upgrade.facts.loaded;
    loaded.insert(
        Module::new("till"),
        file("/srv/lib/till-2.1/ebin/till.beam"),
    );
    loaded.insert(
        Module::new("till_web"),
        file("/srv/lib/till_web/ebin/till_web.beam"),
    );
    loaded.insert(Module::new("loose"), file("/srv/loose.beam"));
    if let Some(new) = upgrade
        .changes
        .modules
        .get_mut("shop_b")
        .and_then(|c| c.new.as_mut())
    {
        new.file = "/build/lib/till-2.2/ebin/shop_b.beam".to_owned();
    }
    let node = NodeName::new("shop@host");
    let view = NodeView {
        node: &node,
        target: "",
        facts: &upgrade.facts,
        changes: &upgrade.changes,
    };
    let lib = |pattern: &str| {
        let args = [Term::string(pattern)];
        let answer = view.host().call("lib", &args, Span::default());
        answer.expect("known").expect("a list").to_string()
    };
    assert_eq!(lib("till-*"), "[shop_b,till]");
    assert_eq!(lib("till-2.1"), "[till]");
    assert_eq!(lib("till_web"), "[till_web]");
    assert_eq!(lib("till*"), "[shop_b,till,till_web]");
    assert_eq!(lib("shop-1.0"), "[shop_a,shop_b,shop_c,shop_same]");
    assert_eq!(lib("nothing-*"), "[]");
}

#[test]
fn output_of_a_body_is_limited_to_a_mebibyte() {
    let (plan, _) = read("grow(B, 0) -> B;\ngrow(B, N) -> grow(<<B/binary, B/binary>>, N - 1).");
    let upgrade = world().decide(&plan);
    let node = NodeName::new("shop@host");
    let view = NodeView {
        node: &node,
        target: "",
        facts: &upgrade.facts,
        changes: &upgrade.changes,
    };
    let functions = plan.scripts();
    let say = |text: &str| {
        let mut host = view.host();
        let body = parse_body(text, 0).expect("expressions");
        let outcome = Evaluator::new(Phase::Live, &functions)
            .with_names(&mut host)
            .eval(&body, &mut Bindings::new());
        let bytes: usize = host.log.iter().map(|line| line.text.len()).sum();
        (outcome.map_err(|failure| failure.diagnostic.code), bytes)
    };
    let (outcome, bytes) = say("info(\"~s\", [grow(<<\"0123456789abcdef\">>, 16)])");
    assert_eq!((outcome, bytes), (Ok(Term::atom("ok")), 1 << 20));
    for text in [
        "info(\"~s\", [grow(<<\"0123456789abcdef\">>, 16)]), warn(\"x\")",
        "info(\"~s~~\", [grow(<<\"0123456789abcdef\">>, 16)])",
        "info(\"~p\", [grow(<<0>>, 20)])",
        "info(\"~w\", [grow(<<0>>, 20)])",
        "catch info(\"~w\", [grow(<<0>>, 20)]), ok",
    ] {
        let (outcome, bytes) = say(text);
        assert_eq!(outcome, Err(Code::E705), "{text}");
        assert!(bytes <= 1 << 20, "{text}");
    }
}

#[test]
fn constants_may_use_the_environment_and_patterns() {
    let loaded = load(
        &[(
            "plan.updo",
            "Home = env(\"HOME\"). None = env(\"UPDO_NO_SUCH_THING\"). \
             param Stage :: string = \"eu-1\". Eu = matches(Stage, \"eu*\").",
        )],
        &[],
    );
    let plan = loaded
        .plan
        .unwrap_or_else(|| panic!("{:#?}", loaded.diagnostics));
    assert_eq!(plan.constants.get("Eu"), Some(&Term::atom("true")));
    assert_eq!(plan.constants.get("None"), Some(&Term::atom("undefined")));
    assert!(plan.constants.get("Home").is_some());
    // Facts are for guards and subjects: each expression belongs to one moment.
    for text in [
        "X = otp().",
        "X = app(shop).",
        "X = m:f().",
        "X = sleep(1).",
        "deadline otp().",
        "plan \"x\" #{owner => node()}.",
        "target t #{nodes => [node()]}.",
        "exclude info(\"x\").",
        "exclude a when sleep(1).",
        "module a #{timeout => m:f()}.",
        "exclude a when whereis(x) =:= undefined.",
    ] {
        assert_eq!(
            codes(&load(&[("plan.updo", text)], &[])),
            ["E210"],
            "{text}"
        );
    }
    // What functions of the plan come to without a node is known when the plan is read.
    let wrong = "two() -> 2. exclude a when two().";
    assert_eq!(codes(&load(&[("plan.updo", wrong)], &[])), ["E704"]);
    let wrong = "name(a) -> b. exclude name(c).";
    assert_eq!(codes(&load(&[("plan.updo", wrong)], &[])), ["E701"]);
}

#[test]
fn a_mistake_in_an_included_file_is_shown_there() {
    let loaded = load(
        &[
            ("plan.updo", "include \"inner.updo\".\ndeadline x."),
            ("inner.updo", "\n\nexclude lenght(x)."),
        ],
        &[],
    );
    let places: Vec<String> = loaded
        .diagnostics
        .iter()
        .filter(|d| d.is_error())
        .filter_map(|d| loaded.sources.place(d.labels.first()?.span))
        .map(|p| {
            format!(
                "{}:{}:{}",
                p.file.rsplit('/').next().unwrap_or(""),
                p.line,
                p.column
            )
        })
        .collect();
    assert_eq!(places, ["plan.updo:2:10", "inner.updo:3:9"]);
}
