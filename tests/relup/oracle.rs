//! A real `erl` that answers questions about `systools` (see `oracle.erl` beside this file); with `UPDO_OTP_ROOT` the
//! one of another OTP in that folder, which needs root (`scripts/matrix.sh`).

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
        // Another OTP in a folder of its own sees its own files only: for questions that need none.
        let other = std::env::var("UPDO_OTP_ROOT").ok();
        let (mut erl, source) = match &other {
            None => (Command::new("erl"), SOURCE.to_owned()),
            Some(root) => {
                let name = format!("/tmp/oracle{}.erl", std::process::id());
                std::fs::copy(SOURCE, format!("{root}{name}")).expect("the folder can be written");
                let mut erl = Command::new("chroot");
                erl.args([root, "erl"]);
                (erl, name)
            }
        };
        let eval = format!(
            "{{ok, M, B}} = compile:file(\"{source}\", [binary]), \
             {{module, M}} = code:load_binary(M, \"oracle\", B), M:main()"
        );
        let command = |port: u16| {
            erl.args(["-noinput", "-noshell", "-oracle", &port.to_string()])
                .args(["-eval", &eval])
                .current_dir(std::env::temp_dir());
            erl
        };
        let callback = Callback::start(command, PATIENCE);
        if let Some(root) = other {
            let _ = std::fs::remove_file(format!("{root}{source}"));
        }
        Self(callback)
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
