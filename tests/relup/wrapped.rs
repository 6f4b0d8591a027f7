//! `updo appup` for modules that run in servers of a behaviour of the application: by child specifications, for there is
//! no node to look at.

use crate::command::compiled_from;

/// A behaviour that runs its callback modules in servers of its own; of two such modules one is named by a specification.
fn source(module: &str, version: &str) -> String {
    let callbacks = format!(
        "-behaviour(scope).\n-export([start_link/0, handle_call/3, v/0]).\n\
         start_link() -> scope:start_link(?MODULE).\nv() -> {version}.\nhandle_call(_, _, S) -> {{reply, {version}, S}}.\n"
    );
    let body = match module {
        "scope" => "-behaviour(gen_server).\n-export([start_link/1, init/1, handle_call/3, handle_cast/2]).\n\
             -callback handle_call(term(), term(), term()) -> term().\n\
             start_link(M) -> gen_server:start_link({local, M}, ?MODULE, M, []).\ninit(M) -> {ok, {M, 0}}.\n\
             handle_call(X, F, {M, S}) -> {reply, R, S1} = M:handle_call(X, F, S), {reply, R, {M, S1}}.\n\
             handle_cast(_, S) -> {noreply, S}.\n"
            .to_owned(),
        "top" => "-behaviour(supervisor).\n-export([init/1]).\n\
             init([]) -> {ok, {#{}, [#{id => named, start => {named, start_link, []}},\n\
             #{id => hidden, start => {scope, start_link, [hidden]}}]}}.\n"
            .to_owned(),
        _ => callbacks,
    };
    format!("-module({module}).\n{body}")
}

#[test]
fn a_specification_names_the_module_that_a_server_runs() {
    let all = "scope top named hidden";
    let site = compiled_from(&[("old", all), ("new", all)], &source);
    let args = ["appup", "--old", "lib/a-1/ebin", "--new", "lib/a-2/ebin"];
    let out = site.updo(&[&args[..], &["-o", "lib/a-2/ebin/a.appup"]].concat());
    let printed = String::from_utf8(out.stderr).expect("text");
    assert_eq!(out.status.code(), Some(0), "{printed}");
    let text = std::fs::read_to_string(site.root().join("lib/a-2/ebin/a.appup")).expect("an appup");
    let flat: String = text.split_whitespace().collect();
    assert_eq!(flat.matches("{update,named,").count(), 2, "{text}");
    assert_eq!(flat.matches("{load_module,hidden").count(), 2, "{text}");
    // What cannot be known is said, and only of that module.
    assert_eq!(printed.matches("W342").count(), 1, "{printed}");
    assert!(
        printed.contains("`hidden` may run in servers of its behaviour `scope`"),
        "{printed}"
    );
    let relup = site.both().expect("systools takes it");
    assert!(relup.contains("{suspend,[named]}"), "{relup}");
    assert!(!relup.contains("{suspend,[hidden"), "{relup}");
}
