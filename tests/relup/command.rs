//! `updo relup` and `updo appup` as commands, on release folders: SCENARIOS A36 to A39, and what they print.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use updo::term::Term;

use crate::compiler::compile;

/// A folder with releases `old` and `new`, of kernel, stdlib and sasl stubs and what a test adds.
pub(crate) struct Site(TempDir);

impl Site {
    fn new() -> Self {
        let site = Self(tempfile::tempdir().expect("a folder"));
        for name in ["kernel", "stdlib", "sasl"] {
            site.app(name, "9", "[]", "[]");
        }
        site
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, file: &str, text: &str) -> &Self {
        let path = self.root().join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
        self
    }

    fn app(&self, name: &str, vsn: &str, modules: &str, uses: &str) -> &Self {
        self.write(
            &format!("lib/{name}-{vsn}/ebin/{name}.app"),
            &format!(
                "{{application,{name},[{{description,\"\"}},{{vsn,\"{vsn}\"}},\
                 {{modules,{modules}}},{{registered,[]}},{{applications,{uses}}}]}}.\n"
            ),
        )
    }

    fn appup(&self, name: &str, vsn: &str, text: &str) -> &Self {
        self.write(&format!("lib/{name}-{vsn}/ebin/{name}.appup"), text)
    }

    fn release(&self, vsn: &str, erts: &str, apps: &str) -> &Self {
        self.write(
            &format!("{vsn}.rel"),
            &format!(
                "{{release,{{\"r\",\"{vsn}\"}},{{erts,\"{erts}\"}},\
                 [{{kernel,\"9\"}},{{stdlib,\"9\"}},{{sasl,\"9\"}},{apps}]}}.\n"
            ),
        )
    }

    pub(crate) fn updo(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_updo"))
            .args(args)
            .env("COLUMNS", "100")
            .current_dir(self.root())
            .output()
            .expect("updo starts")
    }

    fn relup(&self, more: &[&str]) -> Output {
        let args = [
            "relup",
            "--old",
            "old.rel",
            "--new",
            "new.rel",
            "--path",
            "lib/*/ebin",
        ];
        self.updo(&[&args[..], more].concat())
    }

    /// What both `updo relup` and `systools` give, `Err` with the message when both refuse.
    pub(crate) fn both(&self) -> Result<String, String> {
        let ours = self.relup(&[]);
        let mut oracle = crate::shared();
        let text = |file: &str| Term::string(self.root().join(file).to_str().expect("UTF-8"));
        let path = Term::tuple([Term::atom("path"), Term::list([text("lib/*/ebin")])]);
        let answer = oracle.ask(&Term::tuple([
            Term::atom("relup"),
            text("new"),
            Term::list([text("old")]),
            Term::list([text("old")]),
            Term::list([path]),
        ]));
        let stderr = String::from_utf8(ours.stderr).expect("text");
        match answer.as_tuple() {
            Some([ok, relup, _]) if ok.is_atom("ok") => {
                assert_eq!(ours.status.code(), Some(0), "{stderr}");
                fs::write(self.root().join("ours"), &ours.stdout).expect("a file");
                let file = Term::string(self.root().join("ours").to_str().expect("UTF-8"));
                let read = oracle.ask(&Term::tuple([Term::atom("read"), file]));
                let expected = Term::tuple([Term::atom("ok"), relup.clone()]);
                assert_eq!(read.to_string(), expected.to_string());
                Ok(relup.to_string())
            }
            _ => {
                assert_eq!(ours.status.code(), Some(1), "OTP: {answer}\n{stderr}");
                assert!(ours.stdout.is_empty());
                Err(stderr)
            }
        }
    }
}

/// One application `a` from "1" to "2" with an appup.
fn upgraded(appup: &str) -> Site {
    let site = Site::new();
    site.app("a", "1", "[x]", "[kernel]")
        .app("a", "2", "[x]", "[kernel]")
        .release("old", "13", "{a,\"1\"}")
        .release("new", "13", "{a,\"2\"}")
        .appup("a", "2", appup);
    site
}

#[test]
fn a36_keys_of_an_appup() {
    let with = |ups: &str| upgraded(&format!("{{\"2\",{ups},[{{<<\".*\">>,[]}}]}}.\n")).both();
    let marked = |key: &str| format!("{{{key},[{{apply,{{m,right,[]}}}}]}}");
    for ups in [
        format!("[{}]", marked("\"1\"")),
        format!("[{}]", marked("<<\"[0-9]+\">>")),
        format!("[{{\"0\",[]}},{{<<\"2\">>,[]}},{}]", marked("\"1\"")),
        format!("[{},{{\"1\",[]}}]", marked("<<\".*\">>")),
        format!("[{{<<\"1.*x|\">>,[]}},{}]", marked("<<\"1|1\\\\.0\">>")),
        format!("[nonsense,{{\"1\"}},{}]", marked("\"1\"")),
    ] {
        let relup = with(&ups).unwrap_or_else(|e| panic!("{ups}: {e}"));
        assert!(relup.contains("right"), "{ups}: {relup}");
    }
    for ups in [
        "[]",
        "[{\"0\",[]}]",
        "[{<<\"10*|0\">>,[]},{<<\"1x\">>,[]}]",
        "[{'1',[]}]",
    ] {
        match with(ups) {
            Ok(relup) => assert!(ups.contains("10*"), "{ups}: {relup}"),
            Err(printed) => assert!(
                printed.contains("No release upgrade script entry"),
                "{printed}"
            ),
        }
    }
    let printed = with("[{<<\"(\">>,[]}]").expect_err("no expression");
    assert!(
        printed.contains("E415") && printed.contains("a.appup:1:"),
        "{printed}"
    );
}

#[test]
fn a37_applications_come_first_and_go_last() {
    let site = upgraded("{\"2\",[{\"1\",[{load_module,x}]}],[{\"1\",[]}]}.\n");
    site.app("b", "1", "[b1]", "[]")
        .app("c", "1", "[c1]", "[]")
        .release("old", "13", "{c,\"1\"},{a,\"1\"}")
        .release("new", "13", "{a,\"2\"},{b,\"1\",transient}");
    let relup = site.both().expect("fine");
    let at = |what: &str| {
        relup
            .find(what)
            .unwrap_or_else(|| panic!("{what} in {relup}"))
    };
    assert!(at("[b,transient]") < at("{load,{x,"), "{relup}");
    assert!(at("{load,{x,") < at("stop,[c]"), "{relup}");
}

#[test]
fn a38_another_run_time_system() {
    let site = upgraded("{\"2\",[{\"1\",[restart_new_emulator]}],[{\"1\",[]}]}.\n");
    site.release("old", "12", "{a,\"1\"}");
    let relup = site.both().expect("fine");
    assert!(
        relup.contains("[restart_new_emulator,point_of_no_return]")
            && relup.contains("[point_of_no_return,restart_emulator]"),
        "{relup}"
    );
    let printed = String::from_utf8(site.relup(&[]).stderr).expect("text");
    assert!(printed.contains("W416"), "{printed}");
}

/// OTP removes applications as the old release lists them, whatever needs them: the relup is the same, and it is said.
#[test]
fn removed_against_the_order_of_dependencies() {
    let site = upgraded("{\"2\",[{\"1\",[]}],[{\"1\",[]}]}.\n");
    site.app("floor", "1", "[f1]", "[]")
        .app("wall", "1", "[w1]", "[floor]")
        .app("roof", "1", "[r1]", "[wall]")
        .release(
            "old",
            "13",
            "{floor,\"1\"},{wall,\"1\"},{roof,\"1\"},{a,\"1\"}",
        );
    let relup = site.both().expect("fine");
    assert!(relup.contains("stop,[floor]"), "{relup}");
    let printed = String::from_utf8(site.relup(&[]).stderr).expect("text");
    for text in [
        "W416",
        "`floor` is stopped while `wall`, which needs it, still runs",
        "`wall` is stopped while `roof`",
    ] {
        assert!(printed.contains(text), "{printed}");
    }
    assert!(!printed.contains("`roof` is stopped"), "{printed}");
    site.release(
        "old",
        "13",
        "{roof,\"1\"},{wall,\"1\"},{floor,\"1\"},{a,\"1\"}",
    );
    site.both().expect("fine");
    let printed = String::from_utf8(site.relup(&[]).stderr).expect("text");
    assert!(!printed.contains("W416"), "{printed}");
}

#[test]
fn a39_only_the_app_file_has_changed() {
    let relup = upgraded("{\"2\",[{\"1\",[]}],[{\"1\",[]}]}.\n")
        .both()
        .expect("fine");
    assert_eq!(
        relup,
        "{\"new\",[{\"old\",[],[point_of_no_return]}],[{\"old\",[],[point_of_no_return]}]}"
    );
}

#[test]
fn options_and_files() {
    let site = upgraded("{\"2\",[{\"1\",[]}],[{\"1\",[]}]}.\n");
    let out = site.relup(&["--restart-emulator", "-o", "relup"]);
    assert_eq!(out.status.code(), Some(0));
    assert!(out.stdout.is_empty() && out.stderr.is_empty());
    let written = fs::read_to_string(site.root().join("relup")).expect("a file");
    assert_eq!(
        written,
        "%% coding: utf-8\n{\"new\",\n [{\"old\",[],[point_of_no_return,restart_emulator]}],\n \
         [{\"old\",[],[point_of_no_return,restart_emulator]}]}.\n"
    );
    // Several old ones, the last first, as OTP does.
    let out = site.relup(&["--old", "new"]);
    let text = String::from_utf8(out.stdout).expect("text");
    assert!(text.find("{\"new\",[],").expect("there") < text.find("{\"old\",[],").expect("there"));
}

#[test]
fn refusals_name_the_place() {
    for (appup, code, place) in [
        (
            "{\"2\",\n [{\"1\",[{load_module,x,[gone]}]}],[{\"1\",[]}]}.\n",
            "E414",
            "a.appup:2:9",
        ),
        (
            "{\"2\",\n [{\"1\",[{load_modul,x}]}],[{\"1\",[]}]}.\n",
            "E401",
            "a.appup:2:9",
        ),
        ("{\"2\",[{\"1\",[]}],\n  [}.\n", "E411", "a.appup:2:4"),
        ("{\"2\",\n [],[]}.\n", "E413", "a.appup:2:2"),
        (
            "{\"2\",\n [{\"1\",[{suspend,[x]}]}],[]}.\n",
            "E402",
            "a.appup:2:9",
        ),
    ] {
        let printed = upgraded(appup).both().expect_err("refused");
        assert!(
            printed.contains(code) && printed.contains(place),
            "{appup}\n{printed}"
        );
    }
    let site = upgraded("{\"2\",[{\"1\",[]}],[{\"1\",[]}]}.\n");
    site.app("a", "2", "x", "[kernel]");
    let printed = site.both().expect_err("a bad key");
    assert!(
        printed.contains("E412") && printed.contains("modules"),
        "{printed}"
    );
    let out = site.updo(&[
        "relup",
        "--old",
        "no",
        "--new",
        "new",
        "--path",
        "lib/*/ebin",
    ]);
    assert_eq!((out.status.code(), out.stdout.len()), (Some(1), 0));
}

const SOURCES: [(&str, &str); 2] = [
    ("old", "lib user srv srv2 sup gone same"),
    ("new", "lib user srv srv2 sup extra same"),
];

/// Erlang sources of an application in two versions.
fn source(module: &str, version: &str) -> String {
    let new = version == "new";
    let body = match module {
        "lib" if new => "-export([f/0, g/0]).\nf() -> 2.\ng() -> extra:h().".to_owned(),
        "lib" => "-export([f/0]).\nf() -> 1.".to_owned(),
        "user" if new => "-export([u/0]).\nu() -> {lib:g(), lib:f()}.".to_owned(),
        "user" => "-export([u/0]).\nu() -> {gone:k(), lib:f()}.".to_owned(),
        "srv" | "srv2" => {
            let change = if module == "srv" {
                ", code_change/3"
            } else {
                ""
            };
            let code = if module == "srv" {
                "code_change(_, S, _) -> {ok, S}.\n"
            } else {
                ""
            };
            format!(
                "-behaviour(gen_server).\n-export([init/1, handle_call/3, handle_cast/2{change}]).\n\
                 init(_) -> {{ok, {version}}}.\nhandle_call(_, _, S) -> {{reply, S, S}}.\n\
                 handle_cast(_, S) -> {{noreply, S}}.\n{code}"
            )
        }
        "sup" => format!(
            "-behaviour(supervisor).\n-export([init/1, v/0]).\n\
             init(_) -> {{ok, {{#{{}}, []}}}}.\nv() -> {version}."
        ),
        "gone" => "-export([k/0]).\nk() -> k.".to_owned(),
        "extra" => "-export([h/0]).\nh() -> h.".to_owned(),
        _ => "-export([s/0]).\ns() -> s.".to_owned(),
    };
    format!("-module({module}).\n{body}\n")
}

fn compiled() -> Site {
    compiled_from(&SOURCES, &source)
}

pub(crate) fn compiled_from(
    sources: &[(&str, &str); 2],
    source: &dyn Fn(&str, &str) -> String,
) -> Site {
    let site = Site::new();
    for (version, modules) in sources {
        let folder = if *version == "old" { "a-1" } else { "a-2" };
        let vsn = if *version == "old" { "1" } else { "2" };
        let list = modules.replace(' ', ",");
        site.app("a", vsn, &format!("[{list}]"), "[kernel]");
        let file = |module: &str| {
            let file = format!("src-{version}/{module}.erl");
            site.write(&file, &source(module, version));
            site.root().join(file)
        };
        let files: Vec<PathBuf> = modules.split(' ').map(file).collect();
        let ebin = site.root().join(format!("lib/{folder}/ebin"));
        compile(&ebin, &[], &files);
    }
    site.release("old", "13", "{a,\"1\"}")
        .release("new", "13", "{a,\"2\"}");
    site
}

#[test]
fn an_appup_is_inferred_and_systools_takes_it() {
    let site = compiled();
    let args = ["appup", "--old", "lib/a-1/ebin", "--new", "lib/a-2/ebin"];
    let out = site.updo(&args);
    let text = String::from_utf8(out.stdout).expect("text");
    assert_eq!(
        out.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    for (instruction, times) in [
        ("{add_module,extra}", 1),
        ("{delete_module,extra}", 1),
        ("{add_module,gone,[user]}", 1),
        ("{delete_module,gone,[user]}", 1),
        ("{load_module,lib,soft_purge,soft_purge,[]}", 2),
        ("{load_module,user,soft_purge,soft_purge,[lib]}", 2),
        ("{update,srv,{advanced,[]},soft_purge,soft_purge,[]}", 2),
        ("{update,srv2,soft,soft_purge,soft_purge,[]}", 2),
        ("{update,sup,supervisor}", 2),
        ("same", 0),
    ] {
        assert_eq!(
            text.matches(instruction).count(),
            times,
            "{instruction} in\n{text}"
        );
    }
    let written = site.updo(&[&args[..], &["-o", "lib/a-2/ebin/a.appup"]].concat());
    assert_eq!((written.status.code(), written.stdout.len()), (Some(0), 0));
    let relup = site.both().expect("systools takes it");
    let at = |what: &str| {
        relup
            .find(what)
            .unwrap_or_else(|| panic!("{what} in {relup}"))
    };
    assert!(at("{load,{extra,") < at("{load,{lib,") && at("{load,{lib,") < at("{load,{user,"));
    assert!(at("{load,{user,") < at("{remove,{gone,"), "{relup}");
    // With all calls the same dependencies and more.
    let out = site.updo(&[&args[..], &["--deps", "calls"]].concat());
    assert_eq!(out.status.code(), Some(0));
    // Files made in another order give the same bytes.
    for turn in 1..6 {
        for folder in ["lib/a-1/ebin", "lib/a-2/ebin"] {
            let from = site.root().join(folder);
            let entries = fs::read_dir(&from).expect("a folder");
            let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
            names.sort();
            let middle = turn % names.len();
            names.rotate_left(middle);
            if turn % 2 == 0 {
                names.reverse();
            }
            let to = site.root().join(format!("turned-{turn}")).join(folder);
            fs::create_dir_all(&to).expect("a folder");
            for name in names {
                fs::copy(from.join(&name), to.join(name)).expect("a file");
            }
        }
        let [old, new] = ["a-1", "a-2"].map(|app| format!("turned-{turn}/lib/{app}/ebin"));
        let again = site.updo(&["appup", "--old", &old, "--new", &new]);
        assert_eq!(String::from_utf8(again.stdout).expect("text"), text);
    }
}

/// What a restart would start and what it would no longer have, as calls around the update; and back.
#[test]
fn children_of_supervisors_are_started_and_stopped() {
    let source = |module: &str, version: &str| {
        let old = version == "old";
        let body = match module {
            "top" | "bare" => {
                let kid = |id, module, arg| {
                    format!("#{{id => {id}, start => {{{module}, start_link, [{arg}]}}}}")
                };
                let kids = match old {
                    true => [kid("fax", "fax", "0"), kid("desk", "desk", "0"), kid("safe", "desk", "1")],
                    false => [kid("mail", "mail", "0"), kid("desk", "mail", "0"), kid("safe", "desk", "2")],
                };
                let name = if module == "top" { "{local, top_floor}, " } else { "" };
                format!(
                    "-behaviour(supervisor).\n-export([start_link/0, init/1]).\n\
                     start_link() -> supervisor:start_link({name}?MODULE, []).\n\
                     init([]) -> {{ok, {{#{{}}, [{}]}}}}.",
                    kids.join(", ")
                )
            }
            "lone" => "-behaviour(gen_server).\n-export([init/1, handle_call/3, handle_cast/2]).\n\
                       init(S) -> {ok, S}.\nhandle_call(_, _, S) -> {reply, S, S}.\nhandle_cast(_, S) -> {noreply, S}."
                .to_owned(),
            _ => "-behaviour(gen_server).\n-export([start_link/1, init/1, handle_call/3, handle_cast/2]).\n\
                  start_link(S) -> gen_server:start_link(?MODULE, S, []).\n\
                  init(S) -> {ok, S}.\nhandle_call(_, _, S) -> {reply, S, S}.\nhandle_cast(_, S) -> {noreply, S}."
                .to_owned(),
        };
        format!("-module({module}).\n{body}\n")
    };
    let site = compiled_from(
        &[("old", "top fax desk lone"), ("new", "top mail desk")],
        &source,
    );
    let args = ["appup", "--old", "lib/a-1/ebin", "--new", "lib/a-2/ebin"];
    let out = site.updo(&args);
    let text = String::from_utf8(out.stdout).expect("text");
    let printed = String::from_utf8(out.stderr).expect("text");
    let apply =
        |function: &str, id: &str| format!("{{apply,{{supervisor,{function},[top_floor,{id}]}}}}");
    let (up, down) = text.split_at(text.match_indices("{\"1\"").nth(1).expect("two ways").0);
    for (way, lines) in [
        (
            up,
            [
                apply("terminate_child", "fax"),
                apply("delete_child", "fax"),
                apply("terminate_child", "desk"),
                "{update,top,supervisor}".to_owned(),
                apply("restart_child", "desk"),
                apply("restart_child", "mail"),
                "{delete_module,fax}".to_owned(),
            ],
        ),
        (
            down,
            [
                "{add_module,fax}".to_owned(),
                apply("terminate_child", "mail"),
                apply("delete_child", "mail"),
                apply("terminate_child", "desk"),
                "{update,top,supervisor}".to_owned(),
                apply("restart_child", "desk"),
                apply("restart_child", "fax"),
            ],
        ),
    ] {
        let flat: String = way.split_whitespace().collect();
        let mut rest = flat.as_str();
        for line in &lines {
            let at = rest
                .find(line.as_str())
                .unwrap_or_else(|| panic!("{line} in {way}"));
            rest = &rest[at + line.len()..];
        }
    }
    // `fax` is stopped; of `lone` nothing is known.
    assert_eq!(printed.matches("W422").count(), 1, "{printed}");
    assert!(
        printed.contains("`lone` is deleted, and nothing stops processes"),
        "{printed}"
    );
    assert!(
        printed.contains("W421") && printed.contains("with their old arguments: safe"),
        "{printed}"
    );
    let written = site.updo(&[&args[..], &["-o", "lib/a-2/ebin/a.appup"]].concat());
    assert_eq!(written.status.code(), Some(0));
    site.both().expect("systools takes it");

    // Without a name there is nothing to call.
    let site = compiled_from(
        &[("old", "bare fax desk"), ("new", "bare mail desk")],
        &source,
    );
    let out = site.updo(&args);
    let text = String::from_utf8(out.stdout).expect("text");
    let printed = String::from_utf8(out.stderr).expect("text");
    assert!(!text.contains("apply"), "{text}");
    for part in [
        "children of `bare` are neither started nor stopped",
        "new: mail",
        "no longer there: fax",
        "other servers: desk",
        "`fax` is deleted, and nothing stops processes",
    ] {
        assert!(printed.contains(part), "{part} in {printed}");
    }
}

/// W417: what `systools` would refuse later, because it goes by the `.app` files.
/// The new `desk` calls the new child `mail`: what OTP makes of the appup has it running before, and until after.
#[test]
fn a_new_child_runs_as_long_as_something_may_call_it() {
    let source = |module: &str, version: &str| {
        let old = version == "old";
        let server = |call: &str| {
            format!(
                "-behaviour(gen_server).\n-export([start_link/0, init/1, handle_call/3, handle_cast/2, code_change/3, post/0]).\n\
                 start_link() -> gen_server:start_link({{local, ?MODULE}}, ?MODULE, 0, []).\n\
                 init(S) -> {{ok, S}}.\nhandle_call(_, _, S) -> {{reply, {call}, S}}.\n\
                 handle_cast(_, S) -> {{noreply, S}}.\ncode_change(_, S, _) -> {{ok, S}}.\n\
                 post() -> gen_server:call(?MODULE, post).\n"
            )
        };
        let body = match module {
            "top" => {
                let kids = ["mail", "desk"].into_iter().skip(usize::from(old));
                let kids: Vec<String> = kids
                    .map(|kid| format!("#{{id => {kid}, start => {{{kid}, start_link, []}}}}"))
                    .collect();
                format!(
                    "-behaviour(supervisor).\n-export([start_link/0, init/1]).\n\
                     start_link() -> supervisor:start_link({{local, ?MODULE}}, ?MODULE, []).\n\
                     init([]) -> {{ok, {{#{{}}, [{}]}}}}.",
                    kids.join(", ")
                )
            }
            "desk" if old => server("ok"),
            "desk" => server("mail:post()"),
            _ => server("ok"),
        };
        format!("-module({module}).\n{body}\n")
    };
    let site = compiled_from(&[("old", "top desk"), ("new", "top desk mail")], &source);
    let args = ["appup", "--old", "lib/a-1/ebin", "--new", "lib/a-2/ebin"];
    let out = site.updo(&[&args[..], &["-o", "lib/a-2/ebin/a.appup"]].concat());
    assert_eq!(out.status.code(), Some(0));
    let relup = site.both().expect("systools takes it");
    let (up, down) = relup.split_at(relup.rfind("{load_object_code,").expect("two ways"));
    for (way, order) in [
        (
            up,
            [
                "{load,{mail,",
                "{load,{top,",
                "restart_child",
                "{load,{desk,",
            ],
        ),
        (
            down,
            [
                "{load,{desk,",
                "terminate_child",
                "{load,{top,",
                "{remove,{mail,",
            ],
        ),
    ] {
        let at = order.map(|what| way.find(what).unwrap_or_else(|| panic!("{what} in {way}")));
        assert!(at.is_sorted(), "{way}");
    }
}

#[test]
fn modules_that_an_app_file_does_not_list() {
    let site = compiled();
    let args = ["appup", "--old", "lib/a-1/ebin", "--new", "lib/a-2/ebin"];
    let printed = |site: &Site| {
        let out = site.updo(&args);
        assert_eq!(out.status.code(), Some(0));
        String::from_utf8(out.stderr).expect("text")
    };
    assert!(!printed(&site).contains("W417"));
    site.app("a", "2", "[lib,user,srv,srv2,sup,same]", "[kernel]");
    let text = printed(&site);
    assert_eq!(text.matches("W417").count(), 1, "{text}");
    assert!(
        text.contains("the new .app file does not list `extra`"),
        "{text}"
    );
    site.app("a", "1", "[lib,user,srv,srv2,sup,same]", "[kernel]");
    assert!(printed(&site).contains("the old .app file does not list `gone`"));
    // And that is what systools says about it.
    site.updo(&[&args[..], &["-o", "lib/a-2/ebin/a.appup"]].concat());
    let refused = site.both().expect_err("systools refuses it");
    assert!(refused.contains("No such module: extra"), "{refused}");
}

#[test]
fn an_appup_needs_two_versions_of_one_application() {
    let site = compiled();
    let out = site.updo(&["appup", "--old", "lib/a-1/ebin", "--new", "lib/a-1/ebin"]);
    let printed = String::from_utf8(out.stderr).expect("text");
    assert_eq!(out.status.code(), Some(1));
    assert!(
        out.stdout.is_empty() && printed.contains("both folders hold version"),
        "{printed}"
    );
    let out = site.updo(&["appup", "--old", "lib", "--new", "lib/a-1/ebin"]);
    assert_eq!(out.status.code(), Some(1));
    site.write("lib/a-2/ebin/lib.beam", "no beam");
    let out = site.updo(&["appup", "--old", "lib/a-1/ebin", "--new", "lib/a-2/ebin"]);
    let printed = String::from_utf8(out.stderr).expect("text");
    assert_eq!(out.status.code(), Some(1));
    assert!(printed.contains("E214"), "{printed}");
}

#[test]
fn a_module_missing_from_the_specification_is_reported() {
    let site = compiled();
    let (_, modules) = SOURCES
        .iter()
        .find(|(version, _)| *version == "new")
        .expect("there is a new version");
    let listed: Vec<&str> = modules.split(' ').filter(|m| *m != "extra").collect();
    site.app("a", "2", &format!("[{}]", listed.join(",")), "[kernel]");
    let out = site.updo(&["appup", "--old", "lib/a-1/ebin", "--new", "lib/a-2/ebin"]);
    let printed = String::from_utf8(out.stderr).expect("text");
    assert!(
        printed.contains("W417") && printed.contains("the new .app file does not list `extra`"),
        "{printed}"
    );
}
