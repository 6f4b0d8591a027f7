//! Shims: accepted by the loader, and what their callbacks do.

use std::fs;

use updo::facts::beam::BeamFacts;
use updo::term::Term;
use updo::twin::shim::{NoShim, ShimFor, shim};

use super::room::{Room, agreed, beams, installed};

/// All callbacks of a server, each of which gives back what it was given.
const SERVER: &str = "-module(server).
-compile(export_all).
-compile(nowarn_export_all).
-vsn(\"7\").
init(A) -> {init, A}.
handle_call(R, F, S) -> {call, R, F, S}.
handle_cast(M, S) -> {cast, M, S}.
handle_info(M, S) -> {info, M, S}.
handle_continue(M, S) -> {continue, M, S}.
terminate(W, S) -> {terminate, W, S}.
format_status(S) -> {status, S}.
format_status(O, L) -> {status, O, L}.
code_change(V, S, X) -> {change, V, S, X}.
other(O, S) -> {other, O, S}.
calls_local(S) -> handle_cast(local, S).
";

fn compiled(source: &str) -> (Room, Vec<u8>) {
    let room = Room::new();
    fs::write(room.path().join("server.erl"), source).expect("written");
    room.run("all_compiled", &[]);
    let beam = fs::read(room.path().join("server.beam")).expect("compiled");
    (room, beam)
}

fn shim_of(source: &str) -> Result<Vec<u8>, NoShim> {
    shim(&compiled(source).1, &about())
}

fn about() -> ShimFor<'static> {
    ShimFor {
        agent: "updo_agent_shim",
        key: "updo_live_key",
        about: Term::atom("about"),
    }
}

#[test]
fn servers_of_otp_and_elixir_have_shims() {
    let servers: Vec<_> = beams("*")
        .into_iter()
        .filter(|(_, _, bytes)| {
            let facts = BeamFacts::read(bytes).expect("a beam");
            facts.exports("handle_call", 3) && facts.exports("handle_cast", 2)
        })
        .collect();
    assert!(servers.len() > 50, "only {} servers", servers.len());
    let room = Room::new();
    let refused = room.shims(&servers);
    let accepted = agreed(&room.run("shims", &[]));
    println!(
        "shims: OTP {}: {accepted} of {} servers, {refused:?}",
        installed().otp,
        servers.len()
    );
    for why in refused.values() {
        let known = matches!(why, NoShim::CallsItself(..) | NoShim::Erases);
        assert!(known, "{why}");
    }
    let accepted = usize::try_from(accepted).expect("a number");
    assert_eq!(accepted + refused.len(), servers.len());
}

#[test]
fn each_callback_converts_until_the_process_is_through() {
    let (room, beam) = compiled(SERVER);
    let shim = shim(&beam, &about()).expect("a shim");
    fs::write(room.path().join("shim.beam"), shim).expect("written");
    let answer = room.run("shim_runs", &[]).to_string();
    let given = |args: &str, function: &str| format!("{{given,[{args}],{function},about}}");
    let before = [
        format!("{{before,init,1,{{init,{}}}}}", given("a", "init")),
        format!(
            "{{before,handle_call,3,{{call,r,f,{}}}}}",
            given("r,f,s", "handle_call")
        ),
        format!(
            "{{before,handle_cast,2,{{cast,m,{}}}}}",
            given("m,s", "handle_cast")
        ),
        format!(
            "{{before,handle_info,2,{{info,m,{}}}}}",
            given("m,s", "handle_info")
        ),
        format!(
            "{{before,handle_continue,2,{{continue,m,{}}}}}",
            given("m,s", "handle_continue")
        ),
        format!(
            "{{before,terminate,2,{{terminate,why,{}}}}}",
            given("why,s", "terminate")
        ),
        format!(
            "{{before,format_status,1,{{status,{}}}}}",
            given("s", "format_status")
        ),
        format!(
            "{{before,format_status,2,{{status,opt,{}}}}}",
            given("opt,[[],s]", "format_status")
        ),
        format!(
            "{{before,code_change,3,{{change,v,{},x}}}}",
            given("v,s,x", "code_change")
        ),
        "{before,other,2,{other,o,s}}".to_owned(),
    ];
    let behind = "[{behind,init,1,{init,a}},{behind,handle_call,3,{call,r,f,s}},\
                  {behind,handle_cast,2,{cast,m,s}},{behind,handle_info,2,{info,m,s}},\
                  {behind,handle_continue,2,{continue,m,s}},{behind,terminate,2,{terminate,why,s}},\
                  {behind,format_status,1,{status,s}},{behind,format_status,2,{status,opt,[[],s]}},\
                  {behind,code_change,3,{change,v,s,x}},{behind,other,2,{other,o,s}}]";
    let expected = format!(
        "{{[{}],{behind},{{cast,local,s}},[{{vsn,\"7\"}},{{updo_shim,[updo_agent_shim]}},{{updo_shim_key,[updo_live_key]}}]}}",
        before.join(",")
    );
    assert_eq!(answer, expected);
}

#[test]
fn what_would_mislead_a_shim_has_none() {
    let with = |more: &str| shim_of(&format!("{SERVER}\n{more}"));
    let of = |more: &str| with(more).expect_err("no shim").to_string();
    assert_eq!(
        of("again(S) -> ?MODULE:handle_cast(again, S)."),
        "it calls its own `handle_cast/2` by the module's name"
    );
    assert_eq!(
        of("forget() -> erase()."),
        "it calls `erase/0`, which empties the process dictionary"
    );
    let plain = "-module(server).\n-export([f/0]).\nf() -> ok.\n";
    assert_eq!(shim_of(plain).expect_err("no shim"), NoShim::NoCallbacks);
    // One key is its own to take away.
    with("forget() -> erase(one).").expect("a shim");
}

/// A damaged file is refused, or the loader judges: never a panic, and never much more than its size.
#[test]
fn shims_of_damaged_beams_never_panic() {
    let (_room, beam) = compiled(SERVER);
    let mut seed: u64 = 7;
    let mut random = |limit: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).expect("small") % limit
    };
    let mut made = 0;
    for _ in 0..5000 {
        let mut damaged = beam.clone();
        for _ in 0..1 + random(3) {
            let at = random(damaged.len());
            damaged[at] = u8::try_from(random(256)).expect("a byte");
        }
        if random(4) == 0 {
            damaged.truncate(random(damaged.len()));
        }
        if let Ok(shim) = shim(&damaged, &about()) {
            made += 1;
            assert!(shim.len() < 4 * beam.len() + 4096);
        }
    }
    assert!(made > 0);
}
