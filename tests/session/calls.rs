//! What functions return, raise and print, and calls that take too long.

use std::time::{Duration, Instant};

use updo::node::CallError;
use updo::term::Term;

use crate::support::{PATIENCE, TestNode};

fn raised(error: &CallError) -> (&str, &Term, bool) {
    match error {
        CallError::Raised {
            class,
            reason,
            stack,
        } => (
            class.as_str(),
            reason,
            stack.as_list().is_some_and(|frames| !frames.is_empty()),
        ),
        other => panic!("not raised: {other}"),
    }
}

#[test]
fn values_and_exceptions() {
    let node = TestNode::shared();
    let session = node.connected();
    let call = |m: &str, f: &str, args: Vec<Term>| session.call(m, f, args, PATIENCE);

    assert_eq!(call("erlang", "abs", vec![Term::Int(-5)]), Ok(Term::Int(5)));
    assert_eq!(
        call("erlang", "hd", vec![Term::list([Term::Int(-1)])]),
        Ok(Term::Int(-1))
    );

    let undef = call("no_such", "f", vec![Term::Int(1)]).expect_err("undef");
    assert_eq!(raised(&undef), ("error", &Term::atom("undef"), true));
    assert!(undef.is_undef());
    assert_eq!(undef.diagnostic("no_such:f/1").code.as_str(), "E702");

    let error = call("erlang", "error", vec![Term::atom("boom")]).expect_err("error");
    assert_eq!(raised(&error), ("error", &Term::atom("boom"), true));
    let throw = call("erlang", "throw", vec![Term::atom("ball")]).expect_err("throw");
    assert_eq!(raised(&throw), ("throw", &Term::atom("ball"), false));
    let exit = call("erlang", "exit", vec![Term::atom("away")]).expect_err("exit");
    assert_eq!(raised(&exit), ("exit", &Term::atom("away"), false));

    let badarg = call("erlang", "abs", vec![Term::atom("x")]).expect_err("badarg");
    assert_eq!(raised(&badarg), ("error", &Term::atom("badarg"), true));
    assert_eq!(badarg.diagnostic("erlang:abs/1").code.as_str(), "E703");
}

#[test]
fn a_killed_process_is_an_exit_signal() {
    let node = TestNode::start();
    let session = node.connected();
    let pending = session
        .start_call("timer", "sleep", vec![Term::atom("infinity")])
        .expect("started");
    node.await_true("lists:any(fun(P) -> erlang:process_info(P, current_function) =:= {current_function,{timer,sleep,1}} end, processes())");
    node.eval("[exit(P, shot) || P <- processes(), erlang:process_info(P, current_function) =:= {current_function,{timer,sleep,1}}]");
    let error = pending.wait(PATIENCE).expect_err("killed");
    assert_eq!(
        raised(&error),
        (
            "exit",
            &Term::tuple([Term::atom("signal"), Term::atom("shot")]),
            false
        )
    );
}

#[test]
fn a_hundred_in_flight() {
    let node = TestNode::shared();
    let session = node.connected();
    let pending: Vec<_> = (0..100)
        .map(|n| {
            session
                .start_call("erlang", "-", vec![Term::Int(n)])
                .expect("started")
        })
        .collect();
    for (n, pending) in pending.into_iter().enumerate().rev() {
        assert_eq!(pending.wait(PATIENCE), Ok(Term::Int(-(n as i64))));
    }
}

#[test]
fn many_threads_share_one_session() {
    let node = TestNode::shared();
    let session = node.connected();
    std::thread::scope(|scope| {
        for thread in 0..8i64 {
            let session = session.clone();
            scope.spawn(move || {
                for n in 0..200 {
                    let args = vec![Term::Int(thread * 1000), Term::Int(n)];
                    assert_eq!(
                        session.call("erlang", "+", args, PATIENCE),
                        Ok(Term::Int(thread * 1000 + n))
                    );
                }
            });
        }
    });
}

#[test]
fn pids_and_references_last_beyond_40_000_calls() {
    let node = TestNode::shared();
    let session = node.connected();
    for _ in 0..400 {
        let pending: Vec<_> = (0..100)
            .map(|n| {
                session
                    .start_call("erlang", "abs", vec![Term::Int(-n)])
                    .expect("started")
            })
            .collect();
        for (n, pending) in pending.into_iter().enumerate() {
            assert_eq!(pending.wait(PATIENCE), Ok(Term::Int(n as i64)));
        }
    }
}

#[test]
fn twenty_megabytes_both_ways() {
    let node = TestNode::shared();
    let session = node.connected();
    let bytes: Vec<u8> = (0..20u32 << 20).map(|n| (n ^ (n >> 11)) as u8).collect();
    let big = Term::binary(&bytes);
    let back = session.call(
        "erlang",
        "tuple_to_list",
        vec![Term::tuple([big.clone()])],
        PATIENCE,
    );
    assert_eq!(back, Ok(Term::list([big])));
}

#[test]
fn too_large_is_refused_before_it_is_sent() {
    let node = TestNode::shared();
    let session = node.connected();
    let half = Term::binary(vec![0; 140 << 20]);
    let error = session.call(
        "erlang",
        "length",
        vec![Term::list([half.clone(), half])],
        PATIENCE,
    );
    assert_eq!(error, Err(CallError::TooLarge));
    assert_eq!(
        session.call("erlang", "abs", vec![Term::Int(1)], PATIENCE),
        Ok(Term::Int(1))
    );
}

#[test]
fn a_call_that_takes_too_long_is_given_up() {
    let node = TestNode::shared();
    let session = node.connected();
    let started = Instant::now();
    let slow = session.call(
        "timer",
        "sleep",
        vec![Term::Int(1500)],
        Duration::from_millis(200),
    );
    assert_eq!(slow, Err(CallError::Timeout));
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
    // Its late end does no harm.
    std::thread::sleep(Duration::from_millis(1600));
    assert_eq!(
        session.call("erlang", "abs", vec![Term::Int(-2)], PATIENCE),
        Ok(Term::Int(2))
    );
}

#[test]
fn poll_can_be_tried_again_and_kill_kills() {
    let node = TestNode::start();
    let session = node.connected();
    let mut pending = session
        .start_call("timer", "sleep", vec![Term::Int(400)])
        .expect("started");
    assert!(pending.poll(Duration::from_millis(10)).is_none());
    assert_eq!(pending.poll(PATIENCE), Some(Ok(Term::atom("ok"))));

    let sleeping = "length([P || P <- processes(), process_info(P, current_function) =:= {current_function,{timer,sleep,1}}])";
    let pending = session
        .start_call("timer", "sleep", vec![Term::atom("infinity")])
        .expect("started");
    node.await_true(&format!("{sleeping} =:= 1"));
    pending.kill();
    node.await_true(&format!("{sleeping} =:= 0"));
    // Killed before the node has sent its process.
    session
        .start_call("timer", "sleep", vec![Term::atom("infinity")])
        .expect("started")
        .kill();
    session
        .call("erlang", "node", vec![], PATIENCE)
        .expect("alive");
    node.await_true(&format!("{sleeping} =:= 0"));
}

#[test]
fn atoms_are_utf_8() {
    let node = TestNode::shared();
    for text in ["blåbär", "日本語", "it's", &"ö".repeat(255)] {
        let back = node.call("erlang", "atom_to_binary", vec![Term::atom(text)]);
        assert_eq!(back, Term::binary(text));
        assert_eq!(
            node.call("erlang", "binary_to_atom", vec![back]),
            Term::atom(text)
        );
    }
}

#[test]
fn what_a_call_prints_is_collected() {
    let node = TestNode::shared();
    let session = node.connected();
    let format = vec![
        Term::string("~ts is ~p~n"),
        Term::list([Term::binary("blå"), Term::Int(7)]),
    ];
    assert_eq!(
        session.call("io", "format", format, PATIENCE),
        Ok(Term::atom("ok"))
    );
    let text = vec![Term::string("plain ☺\n")];
    assert_eq!(
        session.call("io", "put_chars", text, PATIENCE),
        Ok(Term::atom("ok"))
    );
    assert_eq!(session.take_output(), "blå is 7\nplain ☺\n");
    assert_eq!(session.take_output(), "");
    // What we cannot do is answered: nothing hangs.
    let line = session.call("io", "get_line", vec![Term::string("> ")], PATIENCE);
    assert_eq!(
        line,
        Ok(Term::tuple([Term::atom("error"), Term::atom("enotsup")]))
    );
}

#[test]
fn an_answer_that_cannot_be_read_fails_its_caller_only() {
    let node = TestNode::shared();
    let session = node.connected();
    // Deeper than any term that is accepted.
    let deep = "lists:foldl(fun(_, A) -> {A} end, x, lists:seq(1, 2000))";
    node.eval(&format!("ets:new(deep{0}, [named_table, public, {{heir, whereis(init), x}}]), ets:insert(deep{0}, {{deep, {deep}}})", std::process::id()));
    let table = Term::atom(format!("deep{}", std::process::id()));
    let started = Instant::now();
    let answer = session.call(
        "ets",
        "lookup",
        vec![table.clone(), Term::atom("deep")],
        PATIENCE,
    );
    assert!(
        matches!(answer, Err(CallError::Undecodable(_))),
        "{answer:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(
        session.call("ets", "delete", vec![table], PATIENCE),
        Ok(Term::atom("true"))
    );
}
