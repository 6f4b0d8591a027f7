//! The bank as the tests know it: plans for it, and how it looks when it is old or new.

use std::path::Path;
use std::time::{Duration, Instant};

use updo::twin::excerpt;

use crate::support::apps::{Deployed, bank};
use crate::support::desk::Desk;
use crate::support::{PATIENCE, TestNode};

/// A plan for the bank.
#[derive(Clone)]
pub struct Plan {
    /// The `code` statement, and where the other version is.
    pub code: String,
    /// Options of `module bank_account`.
    pub account: String,
    /// More statements.
    pub more: String,
}

impl Plan {
    /// Version 2 lies on the node's disk already, version 1 is kept beside.
    pub fn on_disk(extra: &str) -> Self {
        let code = format!("code on_disk. old from {:?}.", bank().one);
        Self {
            code,
            account: format!("change => {{advanced, {extra}}}"),
            more: String::new(),
        }
    }

    /// A version is pushed over another.
    pub fn push(new: &Path, old: &Path, extra: &str) -> Self {
        let code = format!("code push [{new:?}]. old from {old:?}.");
        Self {
            code,
            ..Self::on_disk(extra)
        }
    }

    /// Version 2 is pushed.
    pub fn up(extra: &str) -> Self {
        Self::push(&bank().two, &bank().one, extra)
    }

    /// Version 1 is pushed over version 2: a new version that happens to be the earlier one.
    pub fn back(extra: &str) -> Self {
        let (one, two) = (&bank().one, &bank().two);
        let code = format!("code push [{one:?}] #{{earlier => true}}. old from {two:?}.");
        Self {
            code,
            ..Self::on_disk(extra)
        }
    }

    /// Another option of the accounts.
    #[must_use]
    pub fn account(mut self, option: &str) -> Self {
        self.account = format!("{}, {option}", self.account);
        self
    }

    /// More statements.
    #[must_use]
    pub fn with(mut self, text: &str) -> Self {
        self.more.push_str(text);
        self
    }

    /// As a file on a desk; its name.
    pub fn on(&self, desk: &Desk) -> String {
        let Self {
            code,
            account,
            more,
        } = self;
        let text = format!(
            "plan \"Bank 2\".\n{code}\nmodule bank_account #{{{account}}} because \"the tests say so\".\n{more}\n"
        );
        desk.write("bank.updo", &text).display().to_string()
    }
}

/// What a bank is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is {
    /// Version 1 in code and states.
    Old,
    /// Version 2 in code and states.
    New,
}

/// Code and states of the whole bank, and that all processes answer.
#[track_caller]
pub fn look(node: &TestNode) -> Is {
    let text = "
        Accounts = [{Id, (catch bank_account:ask(Id))} || Id <- lists:seq(1, 8)],
        Old = [ok || {Id, #{version := 1, id := Id, rate := 1, balance := B}} <- Accounts, B =:= 100 * Id],
        New = [ok || {Id, #{version := 2, id := Id, rate := 2, fee := Id, balance := B}} <- Accounts, B =:= 100 * Id],
        {length(Old), length(New)}";
    let is = match node.eval_text(text).as_str() {
        "{8,0}" => Is::Old,
        "{0,8}" => Is::New,
        mixed => panic!(
            "{mixed}: {}",
            node.eval_text("[(catch bank_account:ask(I)) || I <- lists:seq(1, 8)]")
        ),
    };
    let version = if is == Is::Old {
        &bank().one
    } else {
        &bank().two
    };
    let wanted = node.eval_text(&format!(
        "[{{M, element(2, element(2, beam_lib:md5({version:?} ++ \"/\" ++ atom_to_list(M))))}} || M <- [bank_account, bank_rate]]"
    ));
    assert_eq!(
        node.eval_text("witness:md5s([bank_account, bank_rate])"),
        wanted,
        "code of {is:?}"
    );
    is
}

/// No process stays suspended, and nothing of updo is left.
#[track_caller]
pub fn nothing_left(node: &TestNode) {
    assert_eq!(
        node.eval_text("witness:troubled()"),
        "[]",
        "somebody does not run\n{}",
        node.log()
    );
    assert_eq!(
        node.eval_text("witness:left_to(3000)"),
        "[]",
        "updo has left something"
    );
}

/// The bank is as it should be, with the same processes as before.
#[track_caller]
pub fn is(node: &TestNode, wanted: Is, pids: &str) {
    assert_eq!(look(node), wanted);
    // New in version 2, and gone again with it.
    assert_eq!(
        node.eval("erlang:module_loaded(bank_fee)").is_atom("true"),
        wanted == Is::New
    );
    assert_eq!(pids_of(node), pids, "the processes are not the same");
    nothing_left(node);
}

/// The processes of the bank.
pub fn pids_of(node: &TestNode) -> String {
    node.eval_text("witness:who(\"bank_\")")
}

/// Waits until a run has suspended a process.
pub fn await_standing(node: &TestNode) {
    let until = Instant::now() + PATIENCE;
    while node.call("witness", "standing", vec![]).as_i64() == Some(0) {
        assert!(Instant::now() < until, "nobody is suspended");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until conversions are tried on copies, before anything is switched.
#[track_caller]
pub fn await_computing(node: &TestNode) {
    node.await_true(&format!(
        "[] =/= [P || P <- processes(), {{_, {{{}, _, _}}}} <- [process_info(P, current_function)]]",
        excerpt::NAME
    ));
    assert_eq!(node.eval_text("erlang:module_loaded(bank_fee)"), "false");
}

/// A bank with version 2 in place on its disk.
pub fn replaced() -> Deployed {
    let bank_1 = Deployed::bank();
    bank_1.replace(&bank().two);
    bank_1
}
