//! Commands: what stands behind a colon.

use crate::diag::suggest::suggest;
use crate::name::Module;

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `:help`
    Help,
    /// `:order`
    Order,
    /// `:script`, `:script low`
    Script {
        /// The low-level script.
        low: bool,
    },
    /// `:why M`, `:why A before B`
    Why(Module, Option<Module>),
    /// `:cycles`
    Cycles,
    /// `:gaps`
    Gaps,
    /// `:changed`
    Changed,
    /// `:graph`
    Graph,
    /// `:rules`
    Rules,
    /// `:drop N`
    Drop(usize),
    /// `:refresh`
    Refresh,
    /// `:info`
    Info,
    /// `:quit`
    Quit,
}

/// Words, and what they do.
pub const WORDS: &[(&str, &str)] = &[
    ("help", "this list"),
    ("info", "node, OTP, plan"),
    ("changed", "modules that differ"),
    (
        "order",
        "the order of the upgrade, the plan's and the session's rules in it",
    ),
    (
        "script",
        "the instructions; `:script low` as a relup would have them",
    ),
    ("why", "`:why M`, `:why A before B`: the evidence"),
    ("graph", "who waits for whom"),
    ("cycles", "modules that depend on each other in a ring"),
    ("gaps", "calls that updo cannot resolve"),
    (
        "rules",
        "the session's statements; `:drop N` takes one back",
    ),
    ("drop", "takes a statement of the session back"),
    ("refresh", "compares the node again"),
    ("quit", "leaves"),
];

/// Reads a line that begins with a colon.
///
/// # Errors
/// A sentence about what is wrong.
pub fn parse(line: &str) -> Result<Command, String> {
    let words: Vec<&str> = line.trim_start_matches(':').split_whitespace().collect();
    let module = |text: &str| crate::name::Module::typed(text.trim_end_matches('.'));
    Ok(match words.as_slice() {
        ["help" | "h" | "?"] => Command::Help,
        ["order" | "o"] => Command::Order,
        ["script" | "s"] => Command::Script { low: false },
        ["script" | "s", "low"] => Command::Script { low: true },
        ["why" | "w", one] => Command::Why(module(one), None),
        ["why" | "w", first, "before", then] => Command::Why(module(first), Some(module(then))),
        ["cycles"] => Command::Cycles,
        ["gaps"] => Command::Gaps,
        ["changed"] => Command::Changed,
        ["graph" | "g"] => Command::Graph,
        ["rules"] => Command::Rules,
        ["drop", number] => match number.parse() {
            Ok(number) => Command::Drop(number),
            Err(_) => {
                return Err(format!(
                    "`:drop` wants a number of `:rules`, got `{number}`"
                ));
            }
        },
        ["refresh"] => Command::Refresh,
        ["info" | "i"] => Command::Info,
        ["quit" | "q" | "exit"] => Command::Quit,
        [] => return Err("a command is missing; `:help` lists them".to_owned()),
        [word, ..] => {
            let known = WORDS.iter().map(|(word, _)| *word);
            return Err(match suggest(word, known) {
                Some(close) if close == *word => {
                    format!("`:{word}` is not used like this; see `:help`")
                }
                Some(close) => format!("no command `:{word}`; did you mean `:{close}`?"),
                None => format!("no command `:{word}`; `:help` lists them"),
            });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read() {
        assert_eq!(parse(":order"), Ok(Command::Order));
        assert_eq!(parse(":script low"), Ok(Command::Script { low: true }));
        let why = Command::Why(Module::new("a"), Some(Module::new("Elixir.Shop.Cart")));
        assert_eq!(parse(":why a before Shop.Cart"), Ok(why));
        assert_eq!(
            parse(":ordr"),
            Err("no command `:ordr`; did you mean `:order`?".to_owned())
        );
        assert_eq!(
            parse(":drop x"),
            Err("`:drop` wants a number of `:rules`, got `x`".to_owned())
        );
    }
}
