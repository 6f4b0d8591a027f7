//! Commands: what is behind a colon.
//!
//! Takes the text of a line, gives a [`ReplCommand`] or a sentence about what is wrong. The table [`WORDS`] is what
//! help, completion and the parser have in common. Nothing here is carried out.

use std::path::PathBuf;
use std::time::Duration;

use crate::diag::suggest::suggest;
use crate::name::{App, Module, NodeName};
use crate::term::Notation;

/// What `:script` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptView {
    /// The instructions; many are grouped.
    Usual,
    /// The low-level script.
    Low,
    /// Every instruction with all of its reasons.
    Full,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplCommand {
    /// `:help [topic]`
    Help(Option<String>),
    /// `:connect NODE`
    Connect(NodeName),
    /// `:nodes`
    Nodes,
    /// `:info`
    Info,
    /// `:changed [GLOB]`
    Changed(Option<String>),
    /// `:diff [M]`
    Diff(Option<Module>),
    /// `:order`
    Order,
    /// `:script`, `:script low`, `:script full`
    Script(ScriptView),
    /// `:graph [M]`
    Graph(Option<Module>),
    /// `:why M`, `:why A before B`
    Why(Module, Option<Module>),
    /// `:conversion M`
    Conversion(Module),
    /// `:deps M`
    Deps(Module),
    /// `:rdeps M`
    Rdeps(Module),
    /// `:cycles`
    Cycles,
    /// `:gaps`
    Gaps,
    /// `:rules`
    Rules,
    /// `:drop N`; `None` for `:drop all`
    Drop(Option<usize>),
    /// `:undo`
    Undo,
    /// `:procs M`
    Procs(Module),
    /// `:app A`
    App(App),
    /// `:sup`, `:sup A`
    Sup(Option<App>),
    /// `:check`
    Check,
    /// `:verify [NAME]`
    Verify(Option<String>),
    /// `:require [NAME]`
    Require(Option<String>),
    /// `:watch [2s] EXPR`
    Watch {
        /// How long to wait in between.
        every: Duration,
        /// The expression.
        expression: String,
    },
    /// `:time EXPR`
    Time(String),
    /// `:set Name = V`
    Set {
        /// The parameter.
        name: String,
        /// Its value, as `--set` takes it.
        value: String,
    },
    /// `:params`
    Params,
    /// `:syntax [erlang | elixir | node]`
    Syntax(SyntaxChoice),
    /// `:load F`
    Load(PathBuf),
    /// `:write [F]`
    Write(Option<PathBuf>),
    /// `:edit`
    Edit,
    /// `:run`
    Run,
    /// `:refresh`
    Refresh,
    /// `:more`
    More,
    /// `:clear`
    Clear,
    /// `:quit`
    Quit,
}

/// What `:syntax` is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyntaxChoice {
    /// Says how values are printed.
    Show,
    /// They are printed as the node's language does.
    Node,
    /// They are printed so.
    Fixed(Notation),
}

/// What a command is about; the groups of `:help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// The node.
    Node,
    /// What differs and what follows from it.
    Upgrade,
    /// The session's statements.
    Rules,
    /// Checks and expressions.
    Checks,
    /// Files and the session itself.
    Session,
}

impl Group {
    /// All, as `:help` shows them.
    pub const ALL: [Self; 5] = [
        Self::Node,
        Self::Upgrade,
        Self::Rules,
        Self::Checks,
        Self::Session,
    ];

    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Node => "the node",
            Self::Upgrade => "the upgrade",
            Self::Rules => "rules of this session",
            Self::Checks => "checks and expressions",
            Self::Session => "plan and session",
        }
    }
}

/// What a command takes; decides what Tab offers behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// A module that takes part.
    Changed,
    /// A module of the node.
    Module,
    /// An application.
    App,
    /// A node.
    Node,
    /// A file.
    File,
    /// A parameter.
    Parameter,
    /// An expression.
    Expression,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A topic of help.
    Topic,
}

/// A word behind a colon.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    /// The word.
    pub name: &'static str,
    /// Shorter ones.
    pub short: &'static [&'static str],
    /// What follows it, as help shows it.
    pub args: &'static str,
    /// What it does.
    pub what: &'static str,
    /// What it is about.
    pub group: Group,
    /// What it takes.
    pub takes: Takes,
}

const fn word(
    name: &'static str,
    short: &'static [&'static str],
    args: &'static str,
    what: &'static str,
    group: Group,
    takes: Takes,
) -> Word {
    Word {
        name,
        short,
        args,
        what,
        group,
        takes,
    }
}

use Group::{Checks, Node, Rules, Session, Upgrade};
use Takes::{Expression, File, Nothing, OneOf, Parameter, Topic};

/// Every command, in the order of `:help`.
#[rustfmt::skip]
pub const WORDS: &[Word] = &[
    word("connect", &["c"], "NODE", "goes to another node", Node, Takes::Node),
    word("nodes", &["n"], "", "the plan's targets, and the nodes connected to this one", Node, Nothing),
    word("info", &["i"], "", "where am I: node, OTP, applications, cookie source, latency", Node, Nothing),
    word("procs", &["p"], "M", "processes that run a module", Node, Takes::Module),
    word("app", &["a"], "A", "an application: version, modules, what it needs", Node, Takes::App),
    word("sup", &[], "[A]", "the supervision trees", Node, Takes::App),
    word("changed", &["ch"], "[GLOB]", "modules that differ", Upgrade, Takes::Changed),
    word("diff", &["d"], "[M]", "what changed inside: exports, attributes, records, size", Upgrade, Takes::Changed),
    word("order", &["o"], "", "the order; `+` and `-` mark what moved since the last look", Upgrade, Nothing),
    word("script", &["s"], "[low|full]", "the instructions; `low` as a relup would have them, `full` each with all reasons", Upgrade, OneOf(&["low", "full"])),
    word("graph", &["g"], "[M]", "the dependency graph; around one module", Upgrade, Takes::Changed),
    word("why", &["w"], "X [before Y]", "why a module is here, why one comes before another", Upgrade, Takes::Changed),
    word("conversion", &["cv"], "M", "what the conversion of a module does: pure, reads or acts, with places", Upgrade, Takes::Changed),
    word("deps", &[], "M", "what a module waits for, and why", Upgrade, Takes::Changed),
    word("rdeps", &[], "M", "the dependents of a module, and why", Upgrade, Takes::Changed),
    word("cycles", &["cy"], "", "modules that depend on each other in a cycle", Upgrade, Nothing),
    word("gaps", &["ga"], "", "calls that updo cannot resolve: a rule may be needed", Upgrade, Nothing),
    word("refresh", &[], "", "compares the node again", Upgrade, Nothing),
    word("rules", &["r"], "", "the session's statements", Rules, Nothing),
    word("drop", &[], "N | all", "takes a statement out", Rules, OneOf(&["all"])),
    word("undo", &["u"], "", "takes the last change of the session's rules back", Rules, Nothing),
    word("set", &[], "Name = V", "gives a parameter another value", Rules, Parameter),
    word("params", &[], "", "the plan's parameters", Rules, Nothing),
    word("write", &[], "[F]", "adds the session's statements to the plan, or to a file", Rules, File),
    word("edit", &["e"], "", "opens the session's statements in $EDITOR", Rules, Nothing),
    word("check", &[], "", "everything there is to say about the plan on this node", Checks, Nothing),
    word("require", &["req"], "[NAME]", "asks the preconditions now", Checks, Nothing),
    word("verify", &["v"], "[NAME]", "asks the checks after the upgrade now", Checks, Nothing),
    word("watch", &[], "[2s] EXPR", "repeats an expression until Ctrl-C", Checks, Expression),
    word("time", &["t"], "EXPR", "evaluates once and prints how long it took", Checks, Expression),
    word("syntax", &[], "[erlang | elixir | node]", "how values are printed; `node`: as its language does", Session, OneOf(&["erlang", "elixir", "node"])),
    word("more", &["m"], "", "the rest of what was cut", Session, Nothing),
    word("load", &["l"], "F", "reads another plan", Session, File),
    word("run", &[], "", "leaves to the preview and the question of `updo run`", Session, Nothing),
    word("clear", &[], "", "clears the screen", Session, Nothing),
    word("help", &["h", "?"], "[topic]", "this list; a command, a statement, a code", Session, Topic),
    word("quit", &["q", "exit"], "", "leaves", Session, Nothing),
];

/// The command of a word: itself, one of its short forms, or the only one that begins so.
pub fn find(text: &str) -> Option<&'static Word> {
    let exact = |word: &&Word| word.name == text || word.short.contains(&text);
    WORDS.iter().find(exact).or_else(|| {
        let mut fits = WORDS.iter().filter(|word| word.name.starts_with(text));
        match (fits.next(), fits.next()) {
            // What leads to a run is written out.
            (Some(only), None) if !text.is_empty() && only.name != "run" => Some(only),
            _ => None,
        }
    })
}

/// The command that a line without a colon means: `help`, `help TOPIC`, `?`, `quit`, `exit`, and `q()` as in Erlang's
/// shell. As a value, the atoms are written in quotes.
pub fn bare(line: &str) -> Option<String> {
    let line = line.trim().trim_end_matches('.').trim_end();
    let (word, call) = match line.strip_suffix("()") {
        Some(word) => (word, true),
        None => (line, false),
    };
    match (word, call) {
        ("help" | "h" | "quit" | "q" | "exit", true) => Some(format!(":{word}")),
        ("help" | "quit" | "exit" | "?", false) => Some(format!(":{word}")),
        _ => {
            let topic = line.strip_prefix("help ")?.trim();
            let one = !topic.is_empty()
                && topic
                    .chars()
                    .all(|c| c.is_alphanumeric() || "_:?".contains(c));
            one.then(|| format!(":help {topic}"))
        }
    }
}

/// Reads a line that begins with a colon.
///
/// # Errors
/// A sentence about what is wrong.
pub fn parse(line: &str) -> Result<ReplCommand, String> {
    let line = line.trim().trim_start_matches(':').trim_start();
    let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    if first.is_empty() {
        return Err("a command is missing; `:help` lists them".to_owned());
    }
    let Some(word) = find(first) else {
        let known = WORDS.iter().map(|word| word.name);
        return Err(match suggest(first, known) {
            Some(close) => format!("no command `:{first}`; did you mean `:{close}`?"),
            None => format!("no command `:{first}`; `:help` lists them"),
        });
    };
    let rest = rest.trim();
    if word.name == "drop" && !rest.is_empty() && rest != "all" && rest.parse::<usize>().is_err() {
        return Err(format!(
            "`:drop` wants a number of `:rules` or `all`, got `{rest}`"
        ));
    }
    read(word, rest).ok_or_else(|| {
        let form = format!("{} {}", word.name, word.args);
        format!("write `:{}`", form.trim_end())
    })
}

/// The command with what follows it; `None` when that does not fit.
fn read(word: &Word, rest: &str) -> Option<ReplCommand> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let module = |text: &str| Module::typed(text.trim_end_matches('.'));
    let maybe = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let name = |text: &str| {
        let text = text.trim().trim_end_matches('.');
        maybe(text.trim_matches('"'))
    };
    Some(match (word.name, words.as_slice()) {
        ("help", _) => ReplCommand::Help(maybe(rest)),
        ("connect", [node]) => ReplCommand::Connect(NodeName::new(node.trim_matches('\''))),
        ("changed", []) => ReplCommand::Changed(None),
        ("changed", [glob]) => ReplCommand::Changed(maybe(glob.trim_matches('"'))),
        ("diff", []) => ReplCommand::Diff(None),
        ("diff", [one]) => ReplCommand::Diff(Some(module(one))),
        ("script", []) => ReplCommand::Script(ScriptView::Usual),
        ("script", ["low"]) => ReplCommand::Script(ScriptView::Low),
        ("script", ["full"]) => ReplCommand::Script(ScriptView::Full),
        ("syntax", []) => ReplCommand::Syntax(SyntaxChoice::Show),
        ("syntax", ["node"]) => ReplCommand::Syntax(SyntaxChoice::Node),
        ("syntax", ["erlang"]) => ReplCommand::Syntax(SyntaxChoice::Fixed(Notation::Erlang)),
        ("syntax", ["elixir"]) => ReplCommand::Syntax(SyntaxChoice::Fixed(Notation::Elixir)),
        ("graph", []) => ReplCommand::Graph(None),
        ("graph", [one]) => ReplCommand::Graph(Some(module(one))),
        ("why", [one]) => ReplCommand::Why(module(one), None),
        ("why", [first, "before", then]) => ReplCommand::Why(module(first), Some(module(then))),
        ("conversion", [one]) => ReplCommand::Conversion(module(one)),
        ("deps", [one]) => ReplCommand::Deps(module(one)),
        ("rdeps", [one]) => ReplCommand::Rdeps(module(one)),
        ("drop", ["all"]) => ReplCommand::Drop(None),
        ("drop", [number]) => ReplCommand::Drop(Some(number.parse().ok()?)),
        ("procs", [one]) => ReplCommand::Procs(module(one)),
        ("app", [one]) => ReplCommand::App(App::new(one.trim_matches('\''))),
        ("sup", []) => ReplCommand::Sup(None),
        ("sup", [one]) => ReplCommand::Sup(Some(App::new(one.trim_matches('\'')))),
        ("verify", _) => ReplCommand::Verify(name(rest)),
        ("require", _) => ReplCommand::Require(name(rest)),
        ("watch", [_, ..]) => watch(rest)?,
        ("time", [_, ..]) => ReplCommand::Time(rest.to_owned()),
        ("set", [_, ..]) => {
            let (name, value) = rest.split_once('=')?;
            let value = value.trim();
            ReplCommand::Set {
                name: name.trim().to_owned(),
                value: value.strip_suffix('.').unwrap_or(value).to_owned(),
            }
        }
        ("load", [_, ..]) => ReplCommand::Load(PathBuf::from(rest.trim_matches('"'))),
        ("write", []) => ReplCommand::Write(None),
        ("write", [_, ..]) => ReplCommand::Write(Some(PathBuf::from(rest.trim_matches('"')))),
        (plain, []) => match plain {
            "nodes" => ReplCommand::Nodes,
            "info" => ReplCommand::Info,
            "order" => ReplCommand::Order,
            "cycles" => ReplCommand::Cycles,
            "gaps" => ReplCommand::Gaps,
            "rules" => ReplCommand::Rules,
            "undo" => ReplCommand::Undo,
            "check" => ReplCommand::Check,
            "params" => ReplCommand::Params,
            "edit" => ReplCommand::Edit,
            "run" => ReplCommand::Run,
            "refresh" => ReplCommand::Refresh,
            "more" => ReplCommand::More,
            "clear" => ReplCommand::Clear,
            "quit" => ReplCommand::Quit,
            _ => return None,
        },
        _ => return None,
    })
}

/// The pause of `:watch`, when none is reported.
const PAUSE: Duration = Duration::from_secs(2);

/// The shortest pause: a node has other things to do.
const SHORTEST: Duration = Duration::from_millis(100);

/// `[2s] EXPR`
fn watch(rest: &str) -> Option<ReplCommand> {
    let (first, more) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let (every, expression) = match pause(first) {
        Some(every) => (every, more.trim()),
        None => (PAUSE, rest),
    };
    (!expression.is_empty()).then(|| ReplCommand::Watch {
        every: every.max(SHORTEST),
        expression: expression.to_owned(),
    })
}

/// `500ms`, `2s`, `5m`, `1h`
fn pause(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => number,
        "s" => number.checked_mul(1_000)?,
        "m" => number.checked_mul(60_000)?,
        "h" => number.checked_mul(3_600_000)?,
        _ => return None,
    };
    Some(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read() {
        assert_eq!(parse(":order"), Ok(ReplCommand::Order));
        assert_eq!(parse(":o"), Ok(ReplCommand::Order));
        assert_eq!(
            parse(":script low"),
            Ok(ReplCommand::Script(ScriptView::Low))
        );
        assert_eq!(
            parse(":script full"),
            Ok(ReplCommand::Script(ScriptView::Full))
        );
        let why = ReplCommand::Why(Module::new("a"), Some(Module::new("Elixir.Shop.Cart")));
        assert_eq!(parse(":why a before Shop.Cart"), Ok(why));
        assert_eq!(
            parse(":watch 500ms m:f(1)"),
            Ok(ReplCommand::Watch {
                every: Duration::from_millis(500),
                expression: "m:f(1)".to_owned()
            })
        );
        assert_eq!(
            parse(":set Batch = \"25%\"."),
            Ok(ReplCommand::Set {
                name: "Batch".to_owned(),
                value: "\"25%\"".to_owned()
            })
        );
        assert_eq!(parse(":drop all"), Ok(ReplCommand::Drop(None)));
        assert_eq!(parse(":cyc"), Ok(ReplCommand::Cycles));
    }

    #[test]
    fn some_commands_need_no_colon() {
        for (typed, meant) in [
            ("help", ":help"),
            ("help.", ":help"),
            ("help()", ":help"),
            ("?", ":?"),
            (" quit ", ":quit"),
            ("exit", ":exit"),
            ("q().", ":q"),
            ("help order", ":help order"),
            ("help :order", ":help :order"),
            ("help E303", ":help E303"),
        ] {
            assert_eq!(bare(typed).as_deref(), Some(meant), "{typed}");
            assert!(parse(meant).is_ok());
        }
        for typed in [
            "'help'",
            "{help}",
            "help, 1",
            "help = X",
            "quit(1)",
            "q",
            "help depends on quit",
            "exit:f()",
        ] {
            assert_eq!(bare(typed), None, "{typed}");
        }
    }

    #[test]
    fn mistakes_come_with_a_correction() {
        assert_eq!(
            parse(":ordr"),
            Err("no command `:ordr`; did you mean `:order`?".to_owned())
        );
        assert_eq!(
            parse(":drop x"),
            Err("`:drop` wants a number of `:rules` or `all`, got `x`".to_owned())
        );
        assert_eq!(
            parse(":why a after b"),
            Err("write `:why X [before Y]`".to_owned())
        );
        assert_eq!(parse(":order now"), Err("write `:order`".to_owned()));
        // A run must not begin by a typing error.
        assert!(parse(":ru").is_err());
        assert!(parse(":").is_err());
    }

    #[test]
    fn every_word_is_understood() {
        for word in WORDS {
            let args = match word.args {
                "" => "",
                "X [before Y]" => "x before y",
                "N | all" => "1",
                "Name = V" => "Name = 1",
                "[2s] EXPR" => "2s 1 + 1",
                "[low|full]" => "low",
                "[erlang | elixir | node]" => "elixir",
                _ => "x",
            };
            for name in word.short.iter().chain([&word.name]) {
                assert!(parse(&format!(":{name} {args}")).is_ok(), "{name}");
                assert_eq!(find(name).map(|found| found.name), Some(word.name));
            }
        }
    }
}
