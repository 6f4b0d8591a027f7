//! All processes of a run are killed together, with the watchdog or without; the node stops, or the connection dies in
//! one direction. The client ends in time, says what is true, and the node can be put right.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::bank::{Is, Plan, await_standing, is, look, nothing_left, pids_of, replaced};
use crate::killed::await_alone;
use crate::support::apps::Deployed;
use crate::support::desk::Desk;
use crate::support::{TestNode, server};

/// Kills whatever runs in the agent's module; and the watchdog.
pub fn kill(node: &TestNode, watchdog: bool) {
    // All are stopped first, so that none has a successor.
    node.eval(&format!(
        "Frame = fun(P) ->
             {{_, S}} = process_info(P, current_stacktrace),
             lists:any(fun({{M, _, _, _}}) -> lists:prefix(\"updo_agent_\", atom_to_list(M)) end, S)
         end,
         Dogs = [whereis(N) || {watchdog}, N <- registered(), lists:prefix(\"updo_watchdog_\", atom_to_list(N))],
         Ps = Dogs ++ [P || P <- processes(), is_process_alive(P), Frame(P)],
         [erlang:suspend_process(P) || P <- Ps],
         [exit(P, kill) || P <- Ps]"
    ));
}

/// A plan whose suspend waits for a busy account, and all others are suspended.
fn busy(desk: &Desk, node: &TestNode) -> String {
    node.eval("bank_account:busy(3, 60000)");
    Plan::on_disk("fine")
        .account("timeout => 50s")
        .with("budget infinity.\n")
        .on(desk)
}

/// The node by its name alone, as it is given on the command line.
fn target(node: &TestNode) -> &str {
    node.name()
}

/// One of the agent's processes is killed when the way back has only suspended: it is taken again.
#[test]
fn the_way_back_is_taken_again() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    // Every worker of the executor, and with them the executor itself, as soon as an account is suspended again.
    node.eval(
        "register(killer, spawn(fun() -> \
             receive armed -> ok end, \
             (fun W() -> case process_info(whereis(bank_account_5), current_function) of \
                 {_, {sys, _, _}} -> \
                     {_, Ms} = process_info(whereis(updo_run), monitors), \
                     [exit(P, kill) || {process, P} <- Ms, node(P) =:= node()]; \
                 _ -> W() end end)() end))",
    );
    let plan = Plan::on_disk("{slow, 20}")
        .with("verify \"no\" -> erlang:send(killer, armed), 1 = 2.\n")
        .on(&desk);
    let ran = desk.on(node, &["run", &plan, "--yes"]).run().exits(20);
    ran.says(&["E612", "is as before"]);
    is(node, Is::Old, &pids);
}

#[test]
fn the_watchdog_resumes() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let plan = busy(&desk, node);
    let running = desk.on(node, &["run", &plan, "--yes"]).start();
    await_standing(node);
    std::thread::sleep(Duration::from_millis(200));
    let began = Instant::now();
    kill(node, false);
    running.wait().exits(14).says(&["E622", "is as before"]);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}");
    node.eval("bank_account_3 ! enough");
    is(node, Is::Old, &pids);
    // The client has seen the result: it is not kept.
    node.await_true("witness:lock() =:= free");
    nothing_left(node);
}

#[test]
fn after_the_switch_the_state_of_the_node_is_reported() {
    let bank = replaced();
    let node = &bank.node;
    let desk = Desk::converting_after_the_switch();
    let plan = Plan::on_disk("{slow, 800}").on(&desk);
    let running = desk.on(node, &["run", &plan, "--yes"]).start();
    node.await_true("erlang:module_loaded(bank_fee)");
    kill(node, false);
    let mend = format!("updo mend {}", node.name());
    let ran = running.wait().exits(21);
    ran.says(&["E622", "neither old nor new", "bank_account", &mend]);
    assert_eq!(node.eval_text("witness:troubled()"), "[]");
    // What the keys say of the states is forgotten with them.
    desk.on(node, &["mend", target(node), "--yes"])
        .run()
        .exits(0);
    let status = desk.on(node, &["status"]).run();
    assert!(!status.to_string().contains("E623"), "{status}");
}

#[test]
fn all_of_them_were_killed() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    // Of another tool, of no module of the run: it stays as it is.
    node.eval("true = register(alien, element(2, gen_event:start())), sys:suspend(alien)");
    let plan = busy(&desk, node);
    let running = desk.on(node, &["run", &plan, "--yes"]).start();
    node.await_true("witness:standing() > 1");
    std::thread::sleep(Duration::from_millis(200));
    let began = Instant::now();
    kill(node, true);
    let ran = running.wait().exits(23);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    let log = desk.on(node, &["--json", "log"]).run().exits(0).json();
    let run = log[0]["run"].as_str().expect("a run").to_owned();
    ran.says(&["E622", &format!("updo attach {run}")]);
    let mend = format!("updo mend {}", node.name());
    let says = ["E623", "suspended: ", " of bank_account", &mend];
    desk.on(node, &["attach", &run]).run().exits(21).says(&says);
    desk.on(node, &["status"]).run().exits(21).says(&says);
    desk.on(node, &["doctor", target(node)])
        .run()
        .exits(21)
        .says(&says);
    // No question is asked, so nothing is done.
    desk.on(node, &["mend", target(node)])
        .run()
        .exits(2)
        .says(&["suspended: ", "1 of gen_event", "--yes"]);
    assert_ne!(node.eval_text("witness:troubled()"), "[]");
    // A run also suspends the supervisors of its processes while it switches, and has no mark on them.
    node.eval("sys:suspend(bank_sup)");
    desk.on(node, &["mend", target(node), "--yes"])
        .run()
        .exits(0)
        .says(&["1 of bank_sup", "nothing is left"]);
    assert_eq!(
        node.eval_text("element(1, element(2, process_info(whereis(bank_sup), current_function)))"),
        "gen_server"
    );
    node.eval("bank_account_3 ! enough");
    assert_eq!(
        node.eval_text("element(1, element(2, process_info(whereis(alien), current_function)))"),
        "sys"
    );
    node.eval("exit(whereis(alien), kill)");
    is(node, Is::Old, &pids);
    nothing_left(node);
    desk.on(node, &["status"]).run().exits(0);
    desk.on(node, &["mend", target(node)])
        .run()
        .exits(0)
        .says(&["no run has left anything"]);
}

/// A bank that is new: everything of the run was killed before it settled.
fn killed_while_it_verifies(desk: Desk) -> (Deployed, Desk, String) {
    let bank = replaced();
    let node = &bank.node;
    let pids = pids_of(node);
    let plan = Plan::on_disk("fine")
        .with("verify \"later\" -> ok = timer:sleep(1500).\n")
        .on(&desk);
    let running = desk.on(node, &["run", &plan, "--yes"]).start();
    node.await_true("erlang:module_loaded(bank_fee) andalso witness:standing() =:= 0");
    kill(node, true);
    running.wait().exits(0).says(&["W623", "done"]);
    (bank, desk, pids)
}

/// Half converted: where the former code is loaded again states are put back, where the new one is they are kept.
#[test]
fn saved_states_follow_the_code() {
    let (bank, desk, pids) = killed_while_it_verifies(Desk::converting_after_the_switch());
    let node = &bank.node;
    desk.on(node, &["status"]).run().exits(21).says(&[
        "with the state before their conversion",
        "bank_account has its new code",
    ]);
    desk.on(node, &["mend", target(node), "--yes"])
        .run()
        .exits(0);
    is(node, Is::New, &pids);
    nothing_left(node);
}

/// The other half: states were converted, and the former code is what is loaded.
#[test]
fn saved_states_go_back_with_the_code() {
    let (bank, desk, pids) = killed_while_it_verifies(Desk::converting_after_the_switch());
    let node = &bank.node;
    node.eval(&format!(
        "[begin
              code:soft_purge(M),
              {{ok, Beam}} = file:read_file(filename:join({:?}, atom_to_list(M) ++ \".beam\")),
              {{module, M}} = code:load_binary(M, \"former\", Beam)
          end || M <- [bank_account, bank_rate, bank_sup], filelib:is_file(filename:join({:?}, atom_to_list(M) ++ \".beam\"))],
         code:purge(bank_fee), code:delete(bank_fee), code:purge(bank_fee)",
        crate::support::apps::bank().one,
        crate::support::apps::bank().one,
    ));
    desk.on(node, &["status"]).run().exits(21).says(&[
        "with the state before their conversion",
        "bank_account has its former code",
    ]);
    desk.on(node, &["mend", target(node), "--yes"])
        .run()
        .exits(0);
    is(node, Is::Old, &pids);
    nothing_left(node);
}

#[test]
fn the_node_stands_still() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::converting_after_the_switch(), pids_of(node));
    let plan = Plan::on_disk("{slow, 2500}")
        .with("deadline 4s.\n")
        .on(&desk);
    let running = desk.on(node, &["run", &plan, "--yes"]).start();
    await_standing(node);
    let began = Instant::now();
    node.signal("-STOP");
    let ran = running.wait();
    let took = began.elapsed();
    node.signal("-CONT");
    ran.exits(23)
        .says(&["E608", "does not answer any more", "updo attach "]);
    assert!(took < Duration::from_secs(25), "{took:?}");
    await_alone(node);
    assert!(matches!(look(node), Is::Old | Is::New));
    assert_eq!(pids_of(node), pids);
    nothing_left(node);
}

/// The connection stays open and carries nothing any more, in neither direction.
#[test]
fn the_connection_is_half_open() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::converting_after_the_switch(), pids_of(node));
    let (port, stopped) = proxy(node);
    let plan = Plan::on_disk("{slow, 2500}")
        .with("deadline 4s.\n")
        .on(&desk);
    let running = desk
        .on(node, &["run", &plan, "--yes"])
        .env("UPDO_EPMD_PORT", &port.to_string())
        .start();
    await_standing(node);
    stopped.store(true, Ordering::SeqCst);
    let began = Instant::now();
    running.wait().exits(23).says(&["E608", "updo attach "]);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(25), "{took:?}");
    await_alone(node);
    is(node, Is::New, &pids);
    nothing_left(node);
}

/// An epmd that knows one node, behind a relay that can be stopped; its port.
fn proxy(node: &TestNode) -> (u16, Arc<AtomicBool>) {
    let known = updo::node::epmd::names("127.0.0.1", node.epmd_port(), Duration::from_secs(5));
    let known = known.unwrap_or_else(|error| panic!("{error:?}"));
    let real = known.iter().find(|one| one.name == node.short());
    let real = real.expect("epmd knows the node").port;
    let stopped = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&stopped);
    let relay = server(move |client| {
        let node = TcpStream::connect((Ipv4Addr::LOCALHOST, real)).expect("the node listens");
        let from_node = (node.try_clone(), client.try_clone());
        let (Ok(from), Ok(to)) = from_node else {
            return;
        };
        let flag = Arc::clone(&stop);
        std::thread::spawn(move || pass(from, to, &flag));
        if let Ok(client) = client.try_clone() {
            pass(client, node, &stop);
        }
    });
    let short = node.short().to_owned();
    let epmd = server(move |stream| {
        let mut request = [0; 512];
        let _ = stream.read(&mut request);
        let mut answer = vec![119, 0];
        answer.extend(relay.to_be_bytes());
        answer.extend([77, 0, 0, 6, 0, 5]);
        answer.extend((short.len() as u16).to_be_bytes());
        answer.extend(short.as_bytes());
        answer.extend([0, 0]);
        let _ = stream.write_all(&answer);
    });
    (epmd, stopped)
}

/// Passes on until it is stopped; then holds both ends open.
fn pass(mut from: TcpStream, mut to: TcpStream, stopped: &AtomicBool) {
    let mut bytes = [0; 65_536];
    loop {
        match from.read(&mut bytes) {
            Ok(0) | Err(_) => {
                let _ = to.shutdown(Shutdown::Both);
                return;
            }
            Ok(_) if stopped.load(Ordering::SeqCst) => {}
            Ok(n) => {
                if to.write_all(&bytes[..n]).is_err() {
                    return;
                }
            }
        }
    }
}

/// A question that another client asks at this moment is a module of the agent's kind, and nothing that is left.
#[test]
fn a_question_of_another_client_is_nothing_left() {
    let bank = Deployed::bank();
    let node = &bank.node;
    let desk = Desk::new();
    node.eval(
        "begin {ok, M, B} = compile:forms([{attribute, 1, module, updo_agent_find}], [binary]), \
         {module, M} = code:load_binary(M, \"\", B), register(M, spawn(fun() -> receive stop -> ok end end)) end",
    );
    desk.on(node, &["doctor", node.name()]).run().exits(0);
    node.eval("updo_agent_find ! stop");
    node.await_true("whereis(updo_agent_find) =:= undefined");
    // Then it is.
    desk.on(node, &["doctor", node.name()])
        .run()
        .exits(21)
        .says(&["E623", "updo_agent_find"]);
}
