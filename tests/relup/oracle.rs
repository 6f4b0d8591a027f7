//! A real `erl` that answers questions about `systools` (see `oracle.erl` beside this file).

use std::process::Command;
use std::time::Duration;

use updo::term::{Term, etf};

use crate::callback::Callback;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/relup/oracle.erl");

/// Longest wait for anything that it does.
const PATIENCE: Duration = Duration::from_secs(600);

/// A node that answers until it is dropped.
pub struct Oracle(Callback);

impl Oracle {
    pub fn start() -> Self {
        let mut erl = Command::new("erl");
        let eval = format!(
            "{{ok, M, B}} = compile:file(\"{SOURCE}\", [binary]), \
             {{module, M}} = code:load_binary(M, \"oracle\", B), M:main()"
        );
        let command = |port: u16| {
            erl.args(["-noinput", "-noshell", "-oracle", &port.to_string()])
                .args(["-eval", &eval])
                .current_dir(std::env::temp_dir());
            erl
        };
        Self(Callback::start(command, PATIENCE))
    }

    pub fn ask(&mut self, question: &Term) -> Term {
        let answer = self.0.ask(&etf::encode(question));
        if let Some([tag, ..]) = answer.as_tuple()
            && tag.is_atom("oracle_failed")
        {
            panic!("{question} made the oracle fail: {answer}");
        }
        answer
    }
}
