//! The words of the plan language for people who type them: every statement, its options, the words of closed lists,
//! updo's own functions, each with a sentence.
//!
//! It is data, and one question: what is due behind the words typed so far. The resolver asks it which options there are,
//! so what is offered and what is taken cannot differ; the REPL and the language server offer and explain it.

use crate::syntax::WINDOWS;

/// An option of a statement.
#[derive(Debug)]
pub struct OptionSpec {
    /// The key.
    pub word: &'static str,
    /// What it says.
    pub what: &'static str,
    /// The atoms that may be its value; not all of what may be.
    pub values: &'static [&'static str],
}

const fn opt(
    word: &'static str,
    what: &'static str,
    values: &'static [&'static str],
) -> OptionSpec {
    OptionSpec { word, what, values }
}

/// A statement: the word that begins it (or is between its subjects), its form, its meaning, its options.
#[derive(Debug)]
pub struct StatementSpec {
    /// The word.
    pub word: &'static str,
    /// How it is written.
    pub form: &'static str,
    /// What it means.
    pub what: &'static str,
    /// Its options.
    pub options: &'static [OptionSpec],
    /// What may stand right behind the word.
    pub then: &'static [&'static str],
}

const fn statement(
    word: &'static str,
    form: &'static str,
    what: &'static str,
    options: &'static [OptionSpec],
    then: &'static [&'static str],
) -> StatementSpec {
    StatementSpec {
        word,
        form,
        what,
        options,
        then,
    }
}

const SWITCH: &[&str] = &["true", "false"];

/// Options of `module`.
#[rustfmt::skip]
pub const MODULE: &[OptionSpec] = &[
    opt("class", "what its processes are: `supervisor`, `server` or `plain` (none)", &["supervisor", "server", "plain"]),
    opt("type", "which code converts on the way down, as in OTP's appups", &["static", "dynamic"]),
    opt("change", "`soft`: suspended, not converted; `{advanced, Extra}`: `code_change` with this extra; `{convert, fun m:f/1}`: the state is mapped by a function of another module", &["soft"]),
    opt("timeout", "the limit for suspending and for converting: a duration or `infinity`", &["infinity", "default"]),
    opt("purge", "`defer` (the default: old code stays until the next upgrade), `soft`, `brutal` (ends processes), `{wait, D}`; or a pair, before and after the switch", &["defer", "soft", "brutal"]),
    opt("children", "for supervisors: `#{start => [Id], stop => [Id]}`, over what is inferred: children that are started and stopped; `none` for either", &[]),
    opt("restart", "`true`: for a module that changes its behaviour, its supervisors restart its processes with the switch", SWITCH),
    opt("remove", "`true`: the module is deleted from the node, as the last step", SWITCH),
    opt("rehearse", "`true`: a rehearsal tries its conversion although it has side effects; `false`: the rehearsal leaves the module out", SWITCH),
];

/// Options of `require` and `verify`.
#[rustfmt::skip]
pub const CHECK: &[OptionSpec] = &[
    opt("within", "until when it is tried again; without it, once", &[]),
    opt("every", "how long to wait between tries", &[]),
    opt("each", "`node`, or `rollout`: once, on the first node, before or after all of them", &["node", "rollout"]),
    opt("after", "how long to wait before the first try", &[]),
];

/// Options of `hold`.
#[rustfmt::skip]
pub const HOLD: &[OptionSpec] = &[
    opt("for", "how long it must hold in one piece, on every node of the stage", &[]),
    opt("every", "how long to wait between two evaluations; 1s without it", &[]),
    opt("within", "until when it may begin anew after it did not hold; without it, the first time ends the rollout", &[]),
];

/// Options of `gate`.
#[rustfmt::skip]
pub const GATE: &[OptionSpec] = &[
    opt("within", "how long the command may take; 30s without it", &[]),
];

/// Options of `target`.
#[rustfmt::skip]
pub const TARGET: &[OptionSpec] = &[
    opt("nodes", "the nodes: `['shop@host']`", &[]),
    opt("seed", "a node that is connected to the others, `dns(\"NAME\")` or `file(\"PATH\")`; used with `match`", &[]),
    opt("match", "which of them belong to the target: `\"shop*@*\"`", &[]),
    opt("cookie", "where the cookie is: `file(\"PATH\")`, `env(\"NAME\")` or `prompt`", &["prompt"]),
    opt("tls", "for nodes that speak TLS: `#{ca => \"PATH\", …}`", &[]),
    opt("name", "our own node name", &[]),
    opt("epmd_port", "the port of epmd", &[]),
    opt("port", "the port that the nodes listen on; epmd is not asked", &[]),
    opt("address", "where a node is found when that is not the host of its name: `\"127.0.0.1:9100\"`, or a map from nodes to addresses", &[]),
    opt("via", "the machine that connects for us: `ssh(\"deploy@bastion\")`", &[]),
    opt("hidden", "always `true`: updo inspects a cluster and is no member of it", &["true"]),
];

/// Options of `tls` in a target.
#[rustfmt::skip]
pub const TLS: &[OptionSpec] = &[
    opt("ca", "PEM file of the authority that signed the nodes' certificates, or those certificates", &[]),
    opt("cert", "PEM file of our certificate", &[]),
    opt("key", "PEM file of its key", &[]),
    opt("verify", "`verify_peer`, or `verify_none`, which trusts any server that answers", &["verify_peer", "verify_none"]),
    opt("optfile", "the node's own file of options, `-ssl_dist_optfile`; what the others say counts more", &[]),
    opt("server_name", "the name that the node's certificate must hold; `disable`: any", &["disable"]),
];

/// Options of `code`.
#[rustfmt::skip]
pub const CODE: &[OptionSpec] = &[
    opt("env", "`true`: the configuration follows new `.app` files", SWITCH),
    opt("newest", "on disk: the newest `NAME-VSN` next to the running one; a list of applications, or `all`", &["all"]),
    opt("from", "on disk: another folder of applications on the node", &[]),
    opt("update_paths", "with `from`, `true`: the code path of applications in which nothing differs is switched too", SWITCH),
    opt("earlier", "`true`: beams that an earlier run replaced are accepted as new", SWITCH),
    opt("persist", "with `push`, `true`: the beams are also written to the node's disk after success", SWITCH),
    opt("replace", "not carried out (E110)", SWITCH),
];

/// Options of `old from git`.
#[rustfmt::skip]
pub const OLD: &[OptionSpec] = &[
    opt("build", "with `git`: the command that builds the revision, in a folder of its own", &[]),
    opt("within", "with `git`: how long the command may take; 10m without it", &[]),
];

/// Options of `rollback`.
#[rustfmt::skip]
pub const ROLLBACK: &[OptionSpec] = &[
    opt("on", "after which failures: a list of `verify`, `after`, `rollout`", &[]),
    opt("keep_old", "how long the record of the run is kept at least, for `updo rollback`", &[]),
];

/// Options of `rollout`.
#[rustfmt::skip]
pub const ROLLOUT: &[OptionSpec] = &[
    opt("canary", "how many nodes go first, or a list of their names", &[]),
    opt("batch", "how many nodes are a stage: a number, a share (`\"25%\"`), or a list of these", &[]),
    opt("parallel", "how many nodes of a stage at the same time, or `all`", &["all"]),
    opt("pause", "between two stages: a duration, or `confirm`", &["confirm"]),
    opt("abort_after", "after so many failed nodes no further one is begun", &[]),
    opt("on_failure", "when so many nodes have failed: `stop` (no further one is begun), or `all_back`: what was upgraded goes back as well", &["stop", "all_back"]),
    opt("order", "`given`, `name`, or a list of nodes that come first", &["given", "name"]),
    opt("together", "`true`: all nodes are suspended, switched and resumed at one instant, or none is", SWITCH),
    opt("wait", "with `together`: how long a node waits for the others while its processes are suspended; 2s without it", &[]),
];

/// Options of `rehearse`.
#[rustfmt::skip]
pub const REHEARSE: &[OptionSpec] = &[
    opt("at_most", "how many processes of a module are asked for a copy of their state; 10000 without it", &[]),
    opt("rate", "how many processes are asked in a second; 5000 without it", &[]),
    opt("within", "how long the rehearsal may take; 10s without it", &[]),
];

/// Usual metadata of `plan`; any other is taken as well.
const PLAN: &[OptionSpec] = &[
    opt("ticket", "where it is discussed", &[]),
    opt("owner", "whose upgrade it is", &[]),
    opt("risk", "`high` makes the REPL's prompt red", &["high"]),
];

const STEPS: &[&str] = &[
    "upgrade",
    "rollout",
    "load",
    "suspend",
    "code_change",
    "resume",
];

/// Every statement of the language.
#[rustfmt::skip]
pub const STATEMENTS: &[StatementSpec] = &[
    statement("depends", "S depends on S because \"…\"", "the right side is loaded first", &[], &[]),
    statement("does", "S does not depend on S because \"…\"", "an inferred edge is false", &[], &[]),
    statement("loads", "S loads before S, S loads after S", "an order without a dependency", &[], &[]),
    statement("cycle", "cycle [M, …]: together, cycle [M, …]: break A -> B", "a known cycle of modules", &[], &[]),
    statement("module", "module S #{…} because \"…\"", "options of modules", MODULE, &[]),
    statement("exclude", "exclude S", "changed modules that take no part", &[], &[]),
    statement("only", "only S", "the only modules that take part", &[], &[]),
    statement("require", "require \"text\" #{…} -> Body", "must hold before anything is touched", CHECK, &[]),
    statement("verify", "verify \"text\" #{within => 10s} -> Body", "must hold afterwards", CHECK, &[]),
    statement("hold", "hold \"text\" #{for => 5m} -> Body", "must hold all the time for so long after each stage of a rollout", HOLD, &[]),
    statement("gate", "gate \"text\" #{within => 30s} -> cmd \"command\"", "a command of this machine between two stages: exit code 0 lets the next one begin", GATE, &[]),
    statement("before", "before upgrade -> Body, before load S -> Body", "runs on the node before the upgrade or a step of it", &[], STEPS),
    statement("after", "after upgrade -> Body, after load S -> Body", "runs on the node after the upgrade or a step of it", &[], STEPS),
    statement("on", "on failure -> Body, on rollback -> Body", "runs after a failure (Reason is bound), or when the old code is back", &[], &["failure", "rollback"]),
    statement("plan", "plan \"Title\" #{ticket => …, owner => …, risk => high}", "the title", PLAN, &[]),
    statement("updo", "updo \">= 0.1\"", "the version of updo that the plan needs", &[], &[]),
    statement("include", "include \"path.updo\"", "statements of another file", &[], &[]),
    statement("param", "param Name :: type = Default", "a value from outside: `:set Name = V`, `--set Name=V`", &[], &[]),
    statement("target", "target Name #{nodes => [N, …]}", "where", TARGET, &[]),
    statement("code", "code on_disk, code push [\"glob\", …]", "where the new code comes from", CODE, &["on_disk", "push"]),
    statement("old", "old from \"glob\", old from git \"REVISION\" #{build => \"…\"}", "where the beams of the running version are kept: files, archives of releases, a revision that is built anew", OLD, &["from", "git"]),
    statement("window", "window single | live | auto | minimal | otp, window S then S then rest", "how the script is grouped: in one window, in one with no process suspended, several, or windows of one's own in an order", &[], WINDOWS),
    statement("engine", "engine updo | release_handler", "which engine executes the upgrade", &[], &["updo", "release_handler"]),
    statement("insert", "insert Instr at start | at end | before Step | after Step", "a raw instruction", &[], &[]),
    statement("deadline", "deadline 2m", "from the start of the run to the last `verify`; passed before the first resume, the run is undone", &[], &[]),
    statement("budget", "budget 100ms, budget infinity", "how long processes stay suspended because another one is busy; 100ms without it", &[], &["infinity"]),
    statement("soak", "soak 10s", "how long the processes are watched after the resume; 2s without it", &[], &[]),
    statement("rollback", "rollback automatic | manual | never", "what happens after a failure", ROLLBACK, &["automatic", "manual", "never"]),
    statement("rehearse", "rehearse #{at_most => N, rate => N, within => D}, rehearse never, rehearse S \"text\" -> fun (Old, New) -> … end", "how a run tries conversions on copies of live states first; a check on each state and what it becomes", REHEARSE, &["never"]),
    statement("rollout", "rollout #{…}", "the order of the nodes", ROLLOUT, &[]),
];

/// Words that stand inside of statements.
#[rustfmt::skip]
pub const CONNECTING: &[(&str, &str)] = &[
    ("when", "a guard: the statement applies where it holds. A comma is *and*"),
    ("because", "the reason: it is shown in the preview, by `updo explain` and during the run"),
    ("together", "the modules of the cycle are switched together"),
    ("break", "edges of the cycle that are ignored for the order"),
    ("cmd", "the command of a gate, run by `sh -c`"),
    ("then", "the next window: what is behind it is suspended, switched and converted when the processes of the window before run again. `rest` is whatever no window names, last if it is not written"),
];

/// The types of parameters.
pub const TYPES: &[&str] = &[
    "string", "atom", "node", "integer", "float", "boolean", "duration", "term",
];

/// updo's own functions, with their arguments and what they give.
#[rustfmt::skip]
pub const FUNCTIONS: &[(&str, &str, &str)] = &[
    ("app", "app(Name)", "the modules of an application"),
    ("behaviour", "behaviour(Name)", "the changed modules with this behaviour"),
    ("changed", "changed(), changed(Module)", "the modules that change; whether one does"),
    ("dns", "dns(\"NAME\")", "a name of the DNS whose hosts have the nodes, for `seed` only"),
    ("env", "env(\"NAME\")", "a variable of the environment in which updo runs"),
    ("exports", "exports(Module, Function, Arity)", "whether a module exports a function"),
    ("fail", "fail(Format, Args)", "ends a body with an error"),
    ("file", "file(\"PATH\")", "a file, for `cookie`, `seed` and `tls` only"),
    ("glob", "glob(\"shop_*\")", "the modules whose names fit"),
    ("info", "info(Format, Args)", "prints a line under the running step"),
    ("lib", "lib(\"shop-*\")", "the modules in library folders of that name"),
    ("matches", "matches(Value, \"glob\")", "whether a text fits a pattern"),
    ("node", "node()", "the node under upgrade"),
    ("otp", "otp()", "its OTP release: a number"),
    ("sleep", "sleep(Duration)", "waits"),
    ("ssh", "ssh(\"USER@HOST\")", "the machine that nodes are reached through, for `via` only"),
    ("target", "target()", "the name of the target"),
    ("vsn", "vsn(App)", "the version of a running application"),
    ("warn", "warn(Format, Args)", "prints a line under the running step, as a warning"),
];

/// The words of options.
pub fn words(options: &[OptionSpec]) -> Vec<&'static str> {
    options.iter().map(|option| option.word).collect()
}

/// What may stand somewhere.
#[derive(Debug)]
pub enum Due {
    /// A key out of these.
    Key(&'static [OptionSpec]),
    /// The value of an option.
    Value(&'static OptionSpec),
}

/// What is due behind the words of a statement, when that is a key or a value of its options.
pub fn due(earlier: &[&str]) -> Option<Due> {
    let mut open: Vec<usize> = Vec::new();
    for (at, word) in earlier.iter().enumerate() {
        match *word {
            "(" | "[" | "{" | "#{" | "<<" => open.push(at),
            ")" | "]" | "}" | ">>" => {
                open.pop();
            }
            _ => {}
        }
    }
    if open.iter().any(|at| earlier[*at] != "#{") {
        return None;
    }
    let statement = STATEMENTS
        .iter()
        .find(|s| s.word == *earlier.first().unwrap_or(&""))?;
    let options = match open.as_slice() {
        [_] => statement.options,
        [_, inner] if statement.word == "target" && earlier[..*inner].ends_with(&["tls", "=>"]) => {
            TLS
        }
        _ => return None,
    };
    if options.is_empty() {
        return None;
    }
    match earlier {
        [.., "#{" | ","] => Some(Due::Key(options)),
        [.., key, "=>"] => {
            let option = options.iter().find(|option| option.word == *key)?;
            Some(Due::Value(option))
        }
        _ => None,
    }
}
