//! SCENARIOS A of the design, one test each. What is expected is written down here, and a real `systools_rc`
//! must give the same wherever its order is determined.

use std::time::{Duration, Instant};

use updo::name::{App, Module};
use updo::script::instruction::{Instruction, StartType};
use updo::script::translate::{Application, Mode, Refused, translate};
use updo::syntax::parse_term;
use updo::term::Term;

use crate::scripts::app_term;

fn term(text: &str) -> Term {
    parse_term(text).unwrap_or_else(|e| panic!("{text}: {e:?}"))
}

/// An application `a`, version "2" and before "1", with the modules named.
pub fn app(name: &str, vsn: &str, start: StartType, modules: &str) -> Application {
    Application {
        name: App::new(name),
        vsn: Term::string(vsn),
        start,
        modules: modules.split_whitespace().map(Module::from).collect(),
    }
}

fn otp(mode: Mode, scripts: &Term, to: &[Application], from: &[Application]) -> Term {
    let mut oracle = crate::shared();
    oracle.ask(&Term::tuple([
        Term::atom("translate"),
        Term::atom(if mode == Mode::Up { "up" } else { "dn" }),
        scripts.clone(),
        Term::list(to.iter().map(app_term)),
        Term::list(from.iter().map(app_term)),
    ]))
}

/// Scripts and both sides of the upgrade.
struct Case {
    scripts: Term,
    to: Vec<Application>,
    from: Vec<Application>,
}

/// One application with modules `m`, `x`, `y`, `z` and some more, changed in one script.
fn case(scripts: &str) -> Case {
    let modules = "m x y z u v w sup new";
    Case {
        scripts: term(scripts),
        to: vec![app("a", "2", StartType::Permanent, modules)],
        from: vec![app("a", "1", StartType::Permanent, modules)],
    }
}

impl Case {
    fn both(mut self, name: &str, old: &str, new: &str, start: StartType) -> Self {
        self.from.push(app(name, "1", StartType::Permanent, old));
        self.to.push(app(name, "2", start, new));
        self
    }

    fn added(mut self, name: &str, modules: &str) -> Self {
        self.to.push(app(name, "1", StartType::Permanent, modules));
        self
    }

    fn gone(mut self, name: &str, modules: &str) -> Self {
        self.from
            .push(app(name, "1", StartType::Permanent, modules));
        self
    }

    fn ours(&self, mode: Mode) -> Result<Term, Refused> {
        let scripts = self.scripts.as_list().expect("scripts").to_vec();
        let low = translate(mode, &scripts, &self.to, &self.from)?;
        Ok(Term::list(low.iter().map(Instruction::to_term)))
    }

    fn gives(&self, mode: Mode, expected: &str) -> &Self {
        let expected = term(expected);
        let ours = self.ours(mode).unwrap_or_else(|e| panic!("{e:?}"));
        assert_eq!(ours.to_string(), expected.to_string(), "{mode:?}");
        let theirs = otp(mode, &self.scripts, &self.to, &self.from);
        let answer = Term::tuple([Term::atom("ok"), expected]);
        assert_eq!(theirs.to_string(), answer.to_string(), "OTP, {mode:?}");
        self
    }

    fn up(&self, expected: &str) -> &Self {
        self.gives(Mode::Up, expected)
    }

    fn down(&self, expected: &str) -> &Self {
        self.gives(Mode::Down, expected)
    }

    /// Refused with this reason, by both.
    fn refused(&self, reason: &str) -> &Self {
        let reason = term(reason);
        let ours = self.ours(Mode::Up).expect_err("refused").error;
        assert_eq!(
            ours.to_term().map(|t| t.to_string()),
            Some(reason.to_string())
        );
        match otp(Mode::Up, &self.scripts, &self.to, &self.from).as_tuple() {
            Some([_, _, theirs, _]) => assert_eq!(theirs.to_string(), reason.to_string(), "OTP"),
            other => panic!("OTP: {other:?}"),
        }
        self
    }

    /// Something OTP falls over is refused.
    fn crashes(&self) {
        let ours = self.ours(Mode::Up).expect_err("refused").error;
        assert_eq!(ours.to_term(), None, "{ours:?}");
        assert!(otp(Mode::Up, &self.scripts, &self.to, &self.from).is_atom("crash"));
    }
}

#[test]
fn a01_a_soft_update() {
    case("[[{update,m,soft,soft_purge,soft_purge,[]}]]").up(
        "[{load_object_code,{a,\"2\",[m]}},point_of_no_return,{suspend,[m]},
          {load,{m,soft_purge,soft_purge}},{resume,[m]}]",
    );
}

#[test]
fn a02_an_advanced_update_up_and_down() {
    let both = |kind: &str| {
        case(&format!(
            "[[{{update,m,{kind},default,{{advanced,x}},soft_purge,soft_purge,[]}}]]"
        ))
    };
    let up = "[{load_object_code,{a,\"2\",[m]}},point_of_no_return,{suspend,[m]},
        {load,{m,soft_purge,soft_purge}},{code_change,up,[{m,x}]},{resume,[m]}]";
    both("dynamic").up(up).down(
        "[{load_object_code,{a,\"2\",[m]}},point_of_no_return,{suspend,[m]},
          {code_change,down,[{m,x}]},{load,{m,soft_purge,soft_purge}},{resume,[m]}]",
    );
    both("static").up(up).down(
        "[{load_object_code,{a,\"2\",[m]}},point_of_no_return,{suspend,[m]},
          {load,{m,soft_purge,soft_purge}},{code_change,down,[{m,x}]},{resume,[m]}]",
    );
}

#[test]
fn a03_two_updates_the_first_depends_on_the_second() {
    case("[[{update,x,soft,soft_purge,soft_purge,[y]},{update,y,soft,soft_purge,soft_purge,[]}]]")
        .up(
            "[{load_object_code,{a,\"2\",[x,y]}},point_of_no_return,{suspend,[x,y]},
              {load,{y,soft_purge,soft_purge}},{load,{x,soft_purge,soft_purge}},{resume,[y,x]}]",
        )
        .down(
            "[{load_object_code,{a,\"2\",[x,y]}},point_of_no_return,{suspend,[x,y]},
              {load,{x,soft_purge,soft_purge}},{load,{y,soft_purge,soft_purge}},{resume,[y,x]}]",
        );
}

#[test]
fn a04_only_the_advanced_one_is_converted() {
    case("[[{update,x,soft,[y]},{update,y,{advanced,[]}}]]").up(
        "[{load_object_code,{a,\"2\",[x,y]}},point_of_no_return,{suspend,[x,y]},
          {load,{y,brutal_purge,brutal_purge}},{load,{x,brutal_purge,brutal_purge}},
          {code_change,up,[{y,[]}]},{resume,[y,x]}]",
    );
}

#[test]
fn a05_timeouts_only_in_suspend() {
    case(
        "[[{update,x,infinity,soft,soft_purge,soft_purge,[y]},
           {update,y,7000,soft,soft_purge,soft_purge,[z]},
           {update,z,default,soft,soft_purge,soft_purge,[]}]]",
    )
    .up("[{load_object_code,{a,\"2\",[x,y,z]}},point_of_no_return,
          {suspend,[{x,infinity},{y,7000},z]},{load,{z,soft_purge,soft_purge}},
          {load,{y,soft_purge,soft_purge}},{load,{x,soft_purge,soft_purge}},{resume,[z,y,x]}]");
}

#[test]
fn a06_static_and_dynamic_in_one_group_down() {
    case(
        "[[{update,x,dynamic,default,{advanced,1},soft_purge,soft_purge,[y]},
           {update,y,static,default,{advanced,2},soft_purge,soft_purge,[z]},
           {update,z,dynamic,default,{advanced,3},soft_purge,soft_purge,[]}]]",
    )
    .down(
        "[{load_object_code,{a,\"2\",[x,y,z]}},point_of_no_return,{suspend,[x,y,z]},
          {code_change,down,[{x,1},{z,3}]},{load,{x,soft_purge,soft_purge}},
          {load,{y,soft_purge,soft_purge}},{load,{z,soft_purge,soft_purge}},
          {code_change,down,[{y,2}]},{resume,[z,y,x]}]",
    );
}

#[test]
fn a_diamond_keeps_the_authors_order_where_it_is_free() {
    let low =
        case("[[{load_module,x,[y,z]},{load_module,z,[w]},{load_module,y,[w]},{load_module,w}]]");
    let ours = low.ours(Mode::Down).expect("fine").to_string();
    let at = |m: &str| ours.find(&format!("{{load,{{{m},")).expect("loaded");
    assert!(
        at("x") < at("z") && at("z") < at("y") && at("y") < at("w"),
        "{ours}"
    );
}

#[test]
fn a07_cycles_of_two_and_of_three() {
    case("[[{load_module,x,[y]},{load_module,y,[x]}]]")
        .up("[{load_object_code,{a,\"2\",[x,y]}},point_of_no_return,
          {load,{y,brutal_purge,brutal_purge}},{load,{x,brutal_purge,brutal_purge}}]");
    case("[[{update,x,soft,[z]},{load_module,y,[x]},{delete_module,z,[y]}]]")
        .up(
            "[{load_object_code,{a,\"2\",[x,y]}},point_of_no_return,{suspend,[x]},
              {remove,{z,brutal_purge,brutal_purge}},{purge,[z]},
              {load,{y,brutal_purge,brutal_purge}},{load,{x,brutal_purge,brutal_purge}},
              {resume,[x]}]",
        )
        .down(
            "[{load_object_code,{a,\"2\",[x,y]}},point_of_no_return,{suspend,[x]},
              {load,{x,brutal_purge,brutal_purge}},{load,{y,brutal_purge,brutal_purge}},
              {remove,{z,brutal_purge,brutal_purge}},{purge,[z]},{resume,[x]}]",
        );
}

#[test]
fn a08_two_cycles_stay_in_one_piece_and_users_come_before() {
    let ours = case(
        "[[{update,x,soft,[y]},{update,u,soft,[v]},{update,y,soft,[x]},{update,v,soft,[u]},
           {update,m,soft,[x,u]}]]",
    )
    .ours(Mode::Up)
    .expect("fine");
    let text = ours.to_string();
    assert!(text.contains("{suspend,[m,x,y,u,v]}"), "{text}");
    assert!(text.contains("{resume,[v,u,y,x,m]}"), "{text}");
}

#[test]
fn a09_applies_between_dependent_instructions() {
    case(
        "[[{apply,{m,f,[1]}},{load_module,x,[y]},{apply,{m,f,[2]}},{load_module,y},
           {apply,{m,f,[3]}}]]",
    )
    .up(
        "[{load_object_code,{a,\"2\",[x,y]}},point_of_no_return,{apply,{m,f,[1]}},
          {load,{y,brutal_purge,brutal_purge}},{load,{x,brutal_purge,brutal_purge}},
          {apply,{m,f,[2]}},{apply,{m,f,[3]}}]",
    );
}

#[test]
fn a10_two_new_modules() {
    case("[[{add_module,x},{add_module,y,[]}]]")
        .up("[{load_object_code,{a,\"2\",[x,y]}},point_of_no_return,
          {load,{x,brutal_purge,brutal_purge}},{load,{y,brutal_purge,brutal_purge}}]");
}

#[test]
fn a11_added_applications_of_every_start_type() {
    let with = |instruction: &str, last: &str| {
        case(&format!("[[{instruction}]]")).added("b", "b2 b1").up(&format!(
            "[{{load_object_code,{{b,\"1\",[b2,b1]}}}},point_of_no_return,
              {{load,{{b2,brutal_purge,brutal_purge}}}},{{load,{{b1,brutal_purge,brutal_purge}}}}{last}]"
        ));
    };
    with(
        "{add_application,b}",
        ",{apply,{application,start,[b,permanent]}}",
    );
    for start in ["permanent", "transient", "temporary"] {
        let last = format!(",{{apply,{{application,start,[b,{start}]}}}}");
        with(&format!("{{add_application,b,{start}}}"), &last);
    }
    with(
        "{add_application,b,load}",
        ",{apply,{application,load,[b]}}",
    );
    with("{add_application,b,none}", "");
}

#[test]
fn a12_a_removed_application() {
    case("[[{remove_application,b}]]").gone("b", "b1 b2").up(
        "[point_of_no_return,{apply,{application,stop,[b]}},
          {remove,{b1,brutal_purge,brutal_purge}},{remove,{b2,brutal_purge,brutal_purge}},
          {purge,[b1,b2]},{apply,{application,unload,[b]}}]",
    );
    case("[[{remove_application,b}]]").gone("b", "").up(
        "[point_of_no_return,{apply,{application,stop,[b]}},{purge,[]},
          {apply,{application,unload,[b]}}]",
    );
}

#[test]
fn a13_a_restarted_application_with_other_modules() {
    let restart = |start| case("[[{restart_application,b}]]").both("b", "b1 b2", "b2 b3", start);
    let common = "{load_object_code,{b,\"2\",[b2,b3]}},point_of_no_return,
        {apply,{application,stop,[b]}},{remove,{b1,brutal_purge,brutal_purge}},
        {remove,{b2,brutal_purge,brutal_purge}},{purge,[b1,b2]},
        {load,{b2,brutal_purge,brutal_purge}},{load,{b3,brutal_purge,brutal_purge}}";
    restart(StartType::Transient).up(&format!(
        "[{common},{{apply,{{application,start,[b,transient]}}}}]"
    ));
    restart(StartType::Load).up(&format!("[{common},{{apply,{{application,load,[b]}}}}]"));
    restart(StartType::None).up(&format!("[{common}]"));
}

#[test]
fn a14_a_new_emulator_comes_first() {
    case("[[restart_new_emulator,{load_module,x},restart_new_emulator],[restart_new_emulator]]")
        .up(
            "[restart_new_emulator,{load_object_code,{a,\"2\",[x]}},point_of_no_return,
          {load,{x,brutal_purge,brutal_purge}}]",
        );
}

#[test]
fn a15_on_the_way_down_it_is_restarted_last() {
    case("[[restart_new_emulator,{load_module,x}],[restart_new_emulator]]").down(
        "[{load_object_code,{a,\"2\",[x]}},point_of_no_return,
          {load,{x,brutal_purge,brutal_purge}},restart_emulator]",
    );
}

#[test]
fn a16_several_restarts_are_one() {
    case("[[restart_emulator,{load_module,x},restart_emulator,restart_new_emulator]]")
        .up(
            "[restart_new_emulator,{load_object_code,{a,\"2\",[x]}},point_of_no_return,
              {load,{x,brutal_purge,brutal_purge}},restart_emulator]",
        )
        .down(
            "[{load_object_code,{a,\"2\",[x]}},point_of_no_return,
              {load,{x,brutal_purge,brutal_purge}},restart_emulator]",
        );
}

#[test]
fn a17_only_a_restart() {
    case("[[restart_new_emulator]]").up("[restart_new_emulator,point_of_no_return]");
    case("[[restart_emulator]]").up("[point_of_no_return,restart_emulator]");
}

#[test]
fn a18_a_balanced_script_by_hand() {
    case(
        "[[{load_object_code,{a,\"2\",[x]}},point_of_no_return,{stop,[m]},{suspend,[x,{y,infinity}]},
           {load,{x,soft_purge,brutal_purge}},{code_change,[{x,1}]},{resume,[y,x]},
           {load_object_code,{a,\"2\",[z]}},{start,[m]},{sync_nodes,i,[n@h]},
           {sync_nodes,j,{m,f,[]}},{remove,{u,soft_purge,soft_purge}},{purge,[u]}]]",
    )
    .up("[{load_object_code,{a,\"2\",[x,z]}},point_of_no_return,{stop,[m]},{suspend,[x,{y,infinity}]},
          {load,{x,soft_purge,brutal_purge}},{code_change,[{x,1}]},{resume,[y,x]},
          {start,[m]},{sync_nodes,i,[n@h]},{sync_nodes,j,{m,f,[]}},
          {remove,{u,soft_purge,soft_purge}},{purge,[u]}]");
}

#[test]
fn a19_suspend_before_the_point_of_no_return() {
    case("[[{suspend,[x]},point_of_no_return,{resume,[x]}]]")
        .refused("{bad_op_before_point_of_no_return,{suspend,[x]}}");
}

#[test]
fn a20_two_points_of_no_return() {
    case("[[point_of_no_return,point_of_no_return]]").refused("too_many_point_of_no_return");
    case("[[{apply,{m,f,[]}},point_of_no_return,{load_module,x}],[point_of_no_return,{load_module,y}]]")
        .up("[{load_object_code,{a,\"2\",[x,y]}},{apply,{m,f,[]}},point_of_no_return,
              {load,{x,brutal_purge,brutal_purge}},{load,{y,brutal_purge,brutal_purge}}]");
}

#[test]
fn a21_what_is_not_balanced() {
    case("[[{load,{x,soft_purge,soft_purge}}]]").refused("{no_object_code,x}");
    case("[[{suspend,[x,{y,1}]},{resume,[y]}]]").refused("{suspended_not_resumed,[x]}");
    case("[[{suspend,[x]},{resume,[x,y,z]}]]").refused("{resumed_not_suspended,[y,z]}");
    case("[[{start,[x]}]]").refused("{start_not_stop,[x]}");
    case("[[{stop,[x,y]},{start,[y]}]]").refused("{stop_not_start,[x]}");
}

#[test]
fn a22_broken_applies() {
    case("[[{apply,{m,f,x}}]]").refused("{bad_args_list,x}");
    case("[[{apply,{m,1,[]}}]]").refused("{bad_func,1}");
    case("[[{apply,{1,f,[]}}]]").refused("{bad_module,1}");
    case("[[{apply,{m,f}}]]").refused("{bad_instruction,{apply,{m,f}}}");
}

#[test]
fn a23_broken_object_code() {
    case("[[{load_object_code,{1,\"2\",[x]}}]]").refused("{bad_lib,1}");
    case("[[{load_object_code,{a,two,[x]}}]]").refused("{bad_lib_vsn,two}");
    case("[[{load_object_code,{a,\"2\",x}}]]").refused("{bad_list,x}");
    case("[[{load_object_code,{a,\"2\",[1]}}]]").refused("{bad_module,1}");
    case("[[{load_object_code,{a,\"2\"}}]]")
        .refused("{bad_instruction,{load_object_code,{a,\"2\"}}}");
}

#[test]
fn a24_unknown_modules() {
    case("[[{load_module,nowhere}]]").refused("{no_such_module,nowhere}");
    case("[[{load_module,x,[y]}]]").refused("{undef_module,y}");
}

#[test]
fn a25_a_module_twice() {
    case("[[{load_module,x},{update,x}]]").refused("{muldef_module,x}");
    case("[[{add_application,b},{load_module,b1}]]")
        .added("b", "b1")
        .refused("{muldef_module,b1}");
}

#[test]
fn a26_bad_elements() {
    case("[[{update,x,hard,soft_purge,soft_purge,[]}]]").refused("{bad_change,hard}");
    case("[[{update,x,soft,now,soft_purge,[]}]]").refused("{bad_purge_method,now}");
    case("[[{load_module,x,soft_purge,later,[]}]]").refused("{bad_purge_method,later}");
    case("[[{load_module,x,soft_purge,soft_purge,y}]]").refused("{bad_list,y}");
    case("[[{code_change,[x]}]]").refused("{bad_code_change,x}");
    case("[[{code_change,sideways,[{x,1}]}]]").refused("{bad_mode,sideways}");
    case("[[{update,x,odd,default,soft,soft_purge,soft_purge,[]}]]").refused("{bad_mod_type,odd}");
    case("[[{update,x,0,soft,soft_purge,soft_purge,[]}]]").refused("{bad_timeout,0}");
}

#[test]
fn a27_another_version_of_a_library() {
    case("[[{load_object_code,{a,\"1.9\",[y]}},{load_module,x}]]")
        .refused("{conflicting_versions,a,\"1.9\",\"2\"}");
}

#[test]
fn a28_applications_on_the_wrong_side() {
    case("[[{add_application,b}]]").refused("{no_such_application,b}");
    case("[[{remove_application,a}]]").refused("{removed_application_present,a}");
    case("[[{remove_application,b}]]").refused("{no_such_application,b}");
}

#[test]
fn a29_lists_where_instructions_should_be() {
    case("[[[{load_module,x}]]]").refused("{bad_instruction,{load_module,x}}");
    case("[[[{add_module,x}]]]").up(
        "[{load_object_code,{a,\"2\",[x]}},point_of_no_return,{load,{x,brutal_purge,brutal_purge}}]",
    );
    case("[[\"abc\"]]").refused("{bad_instruction,97}");
    case("[[{load_module,x}|y]]").crashes();
    case("[[[x|y]]]").crashes();
    case("[nothing]").crashes();
    case("[[{purge,[x|y]}]]").crashes();
    case("[[{purge,[1|y]}]]").refused("{bad_module,1}");
}

/// Scripts of `count` modules: a chain, or closed to a cycle.
pub fn chain(count: usize, closed: bool) -> (Vec<Term>, Vec<Application>) {
    let name = |i: usize| Term::atom(format!("m{i}"));
    let script = (0..count).map(|i| {
        let deps = match i + 1 {
            next if next < count => vec![name(next)],
            _ if closed => vec![name(0)],
            _ => vec![],
        };
        Term::tuple([Term::atom("update"), name(i), Term::List(deps)])
    });
    let modules: Vec<Module> = (0..count).map(|i| Module::new(format!("m{i}"))).collect();
    let mut one = app("a", "2", StartType::Permanent, "");
    one.modules = modules;
    (vec![Term::list(script)], vec![one])
}

#[test]
fn a30_chains_and_cycles_of_thousands_take_no_time() {
    for (count, closed) in [
        (1_000, false),
        (1_000, true),
        (10_000, false),
        (10_000, true),
    ] {
        let (scripts, apps) = chain(count, closed);
        for mode in [Mode::Up, Mode::Down] {
            let start = Instant::now();
            let low = translate(mode, &scripts, &apps, &apps).expect("fine");
            let took = start.elapsed();
            assert_eq!(low.len(), count + 4);
            // Unoptimised and on a busy machine; see `make bench` for what it takes.
            assert!(took < Duration::from_secs(1), "{count} {closed}: {took:?}");
        }
    }
}

#[test]
fn a31_the_same_input_gives_the_same_script() {
    let (scripts, apps) = chain(500, true);
    let first = translate(Mode::Up, &scripts, &apps, &apps).expect("fine");
    for _ in 0..20 {
        let again = translate(Mode::Up, &scripts, &apps, &apps).expect("fine");
        assert_eq!(again, first);
    }
    // The order of applications and of their modules decides only which application owns a module.
    let mut split: Vec<Application> = Vec::new();
    for (i, module) in apps[0].modules.iter().rev().enumerate() {
        if i % 100 == 0 {
            split.push(app("a", "2", StartType::Permanent, ""));
        }
        split.last_mut().expect("one").modules.push(module.clone());
    }
    assert_eq!(
        translate(Mode::Up, &scripts, &split, &split).expect("fine"),
        first
    );
}

#[test]
fn a32_extra_arrives_unchanged() {
    for extra in [
        "#{k => [1, 2.5]}",
        "-1.5e300",
        "123456789012345678901234567890",
        "<<0, 255, 1>>",
        "[a | b]",
        "{{{{{{{deep}}}}}}}",
        "'quoted atom'",
        "'日本'",
        "\"größe\"",
    ] {
        case(&format!("[[{{update,x,{{advanced,{extra}}}}}]]")).up(&format!(
            "[{{load_object_code,{{a,\"2\",[x]}}}},point_of_no_return,{{suspend,[x]}},
              {{load,{{x,brutal_purge,brutal_purge}}}},{{code_change,up,[{{x,{extra}}}]}},{{resume,[x]}}]"
        ));
    }
}

#[test]
fn a33_a_supervisor_with_a_new_child() {
    case(
        "[[{add_module,new},{update,sup,supervisor},
           {apply,{supervisor,restart_child,[sup,new]}}]]",
    )
    .up("[{load_object_code,{a,\"2\",[new,sup]}},point_of_no_return,
          {load,{new,brutal_purge,brutal_purge}},{suspend,[sup]},
          {load,{sup,brutal_purge,brutal_purge}},{code_change,up,[{sup,[]}]},{resume,[sup]},
          {apply,{supervisor,restart_child,[sup,new]}}]");
}

#[test]
fn a34_and_the_way_back() {
    case(
        "[[{apply,{supervisor,terminate_child,[sup,new]}},
           {apply,{supervisor,delete_child,[sup,new]}},{update,sup,supervisor},
           {delete_module,new}]]",
    )
    .down(
        "[{load_object_code,{a,\"2\",[sup]}},point_of_no_return,
          {apply,{supervisor,terminate_child,[sup,new]}},
          {apply,{supervisor,delete_child,[sup,new]}},{suspend,[sup]},
          {load,{sup,brutal_purge,brutal_purge}},{code_change,down,[{sup,[]}]},{resume,[sup]},
          {remove,{new,brutal_purge,brutal_purge}},{purge,[new]}]",
    );
}

#[test]
fn a35_dependencies_across_applications() {
    case("[[{load_module,x,[b1]}],[{load_module,b1}]]")
        .both("b", "b1", "b1", StartType::Permanent)
        .up(
            "[{load_object_code,{a,\"2\",[x]}},{load_object_code,{b,\"2\",[b1]}},
              point_of_no_return,{load,{b1,brutal_purge,brutal_purge}},
              {load,{x,brutal_purge,brutal_purge}}]",
        )
        .down(
            "[{load_object_code,{a,\"2\",[x]}},{load_object_code,{b,\"2\",[b1]}},
              point_of_no_return,{load,{x,brutal_purge,brutal_purge}},
              {load,{b1,brutal_purge,brutal_purge}}]",
        );
}

#[test]
fn an_empty_script_has_a_point_of_no_return() {
    case("[[]]")
        .up("[point_of_no_return]")
        .down("[point_of_no_return]");
}

/// Each scenario of the checklist has one test that is named after it.
#[test]
fn every_scenario_has_its_test() {
    let texts = [include_str!("scenarios.rs"), include_str!("command.rs")];
    for number in 1..=39 {
        let name = format!("\nfn a{number:02}_");
        let found: usize = texts.iter().map(|text| text.matches(&name).count()).sum();
        assert_eq!(found, 1, "A{number}");
    }
}
