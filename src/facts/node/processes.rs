//! Which processes run the modules under upgrade, found two ways and compared.
//!
//! By what they are: the initial call that `proc_lib` keeps (`proc_lib:translate_initial_call/1`) as far as the loop
//! in which a process is does not contradict it, for all processes of the node and without a message to any. And by the supervisors: every live one is asked for its children, all
//! at the same time and within a common deadline, so that a busy or suspended one costs its own answer only. Managers
//! of events are asked for their handlers when a handler module takes part. The comparison is made on the node; what
//! travels is one line per module.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::ask::{TIMEOUT, call_failed, unexpected_reply};
use crate::diag::{Code, Diagnostic, Result};
use crate::name::{FunctionArity, Module};
use crate::node::{Parsed, Session, compiled, evaluate_forms};
use crate::term::{Pid, Term};

/// `find_processes.erlexpr`, parsed.
static WHO: LazyLock<Option<Parsed>> =
    LazyLock::new(|| Parsed::of(include_bytes!("find_processes.etf")));

/// Finds the callback module of a server in a part of its backtrace: a regular expression. The agent is given it too, as
/// `loops` of the job; loops of special processes are in `special` there.
pub const LOOPS: &str = include_str!("loops.regex");

/// How long supervisors and event managers may take, all together: milliseconds, in steps. Half a second.
const WAITS: [i64; 11] = [1, 1, 2, 4, 8, 16, 32, 64, 100, 128, 144];

/// How a process came to run a module. The agent (`08_kinds.erl`) knows `Supervisor`, `Bridge`, `Init` and `Entered` as
/// `behaviour`, `Special` as `special`, `Other` as `other`; it asks the managers of a `Handler`, and suspends no `Loop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Start {
    /// As a supervisor: `{supervisor, M, 1}`.
    Supervisor,
    /// As a supervisor bridge.
    Bridge,
    /// In `M:init/1`, as behaviours start their callback modules; or in the server of a behaviour of the module, where
    /// the initial call names the module.
    Init,
    /// In another function of the module, by `proc_lib`.
    Other,
    /// As an event manager that has the module as a handler.
    Handler,
    /// In a function of any module, from which it entered the loop of a server of this one (`enter_loop`).
    Entered,
    /// In another module, and executes the loop of this one, which is a special process's.
    Special,
    /// In no function of the module that is known, and executes a loop of the module that answers no system message.
    Loop,
}

/// A child of a supervisor: the module of the supervisor, and the identifier of the child.
pub type ChildId = (Module, Term);

/// One process to show for many.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// The process.
    pub pid: Pid,
    /// Its initial call, as Erlang writes it: `shop:init/1`.
    pub call: String,
    /// Whether it started in a function without a name (an Elixir agent's or task's).
    pub in_fun: bool,
    /// Its parent: a registered name or a pid.
    pub parent: String,
    /// The modules on its stack, the innermost first.
    pub stack: Vec<Module>,
    /// Where it is in the tree of supervisors: the top, and then which child each is. In Erlang's order of terms a
    /// process comes before its children, and an earlier sibling before a later one. Empty when it has no supervisor.
    pub place: Vec<Term>,
}

impl Example {
    /// Whether its loop is that of a behaviour of OTP or of a suspended process: the outermost frame that is not of
    /// `proc_lib`. Further in, any process may be calling a server.
    pub fn in_behaviour(&self) -> bool {
        const LOOPS: [&str; 5] = ["gen_server", "gen_statem", "gen_event", "gen_fsm", "sys"];
        let mut frames = self.stack.iter().rev().map(Module::as_str);
        frames
            .find(|module| *module != "proc_lib")
            .is_some_and(|module| LOOPS.contains(&module))
    }

    /// Whether it is executing functions of a module, here or further down its stack.
    pub fn is_inside(&self, module: &Module) -> bool {
        self.stack.contains(module)
    }
}

/// Processes that child specifications name as a module's, and that started elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct MisattributedProcesses {
    /// The module they started in.
    pub started_in: Module,
    /// How many.
    pub count: usize,
    /// One of them.
    pub example: Pid,
    /// All of them; only for modules that were asked about as wrapped.
    pub pids: Vec<Pid>,
}

/// The processes of one module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModuleProcesses {
    /// By how they started: number and example.
    pub kinds: BTreeMap<Start, (usize, Example)>,
    /// How many no supervisor's child specification mentions, handlers apart.
    pub unnamed: usize,
    /// One of them.
    pub unnamed_example: Option<Example>,
    /// Those that only child specifications know.
    pub foreign: Vec<MisattributedProcesses>,
    /// Processes that run the module although they started in its behaviour.
    pub also: Vec<Pid>,
    /// The server that runs the module for its behaviour: where those started, or in whose loop a process is that names
    /// the module in its initial call.
    pub wrapped_in: Option<Module>,
    /// Of a module that changes its behaviour: which supervisor can start each of its processes anew.
    pub parents: Vec<Option<ChildId>>,
    /// A supervisor of the module, and what it was started with.
    pub started_with: Option<(Pid, Term)>,
    /// The processes that are the module's by the loop in which they are: those that started elsewhere, and its own
    /// special processes.
    pub by_loop: Vec<Pid>,
}

impl ModuleProcesses {
    /// How many processes run the module; plain loops are none that take part.
    pub fn count(&self) -> usize {
        let kinds = self.kinds.iter();
        let taking_part = kinds.filter(|(start, _)| **start != Start::Loop);
        let started: usize = taking_part.map(|(_, (count, _))| count).sum();
        started + self.also.len()
    }

    /// Counts processes that started in one of the behaviours of the module, or in a part of it (`B.Server`), and that
    /// a child specification says are the module's.
    pub(in crate::facts) fn classify(&mut self, behaviours: &[Module]) {
        let is_part = |name: &Module| {
            behaviours.iter().any(|behaviour| {
                name.as_str()
                    .strip_prefix(behaviour.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        };
        let (ours, others) = std::mem::take(&mut self.foreign)
            .into_iter()
            .partition(|foreign| is_part(&foreign.started_in) && !foreign.pids.is_empty());
        self.foreign = others;
        let ours: Vec<MisattributedProcesses> = ours;
        self.also = ours.iter().flat_map(|f| f.pids.clone()).collect();
        if let Some(ours) = ours.into_iter().next() {
            self.wrapped_in = Some(ours.started_in);
        }
    }

    /// Where its first process is in the tree of supervisors; `None` when it has no supervisor.
    pub fn place(&self) -> Option<&[Term]> {
        let examples = self.kinds.values().map(|(_, example)| &example.place[..]);
        examples.filter(|place| !place.is_empty()).min()
    }

    /// How many started in one way.
    pub fn of(&self, start: Start) -> usize {
        self.kinds.get(&start).map_or(0, |(count, _)| *count)
    }
}

/// What is asked about.
#[derive(Clone, Debug, Default)]
pub struct ProcessQuery {
    /// The modules.
    pub modules: BTreeSet<Module>,
    /// Behaviours whose processes are supervisors, other than OTP's own: they are asked for their children too.
    pub supervisors: BTreeSet<Module>,
    /// Modules whose processes may have started in a behaviour of another module.
    pub wrapped: BTreeSet<Module>,
    /// Modules that are handlers of events.
    pub handlers: BTreeSet<Module>,
    /// Functions from which special processes handle system messages: their loops.
    pub loops: BTreeMap<Module, Vec<FunctionArity>>,
}

/// What is known about the processes.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// By module; without those that no process runs.
    pub by_module: BTreeMap<Module, ModuleProcesses>,
    /// Supervisors and event managers that did not answer in time: names or pids.
    pub silent: Vec<String>,
}

/// Finds the processes of modules on a node of an OTP release (25).
///
/// # Errors
/// E508 when the node does not answer, E506 when it answers something else than OTP would.
pub fn find_processes(session: &Session, otp: u32, question: &ProcessQuery) -> Result<Answer> {
    if question.modules.is_empty() {
        return Ok(Answer::default());
    }
    let set = |modules: &BTreeSet<Module>| {
        Term::map(
            modules
                .iter()
                .map(|m| (Term::atom(m.as_str()), Term::boolean(true))),
        )
    };
    let loops = question.loops.iter().flat_map(|(module, functions)| {
        functions.iter().map(move |f| {
            let function = [
                Term::atom(module.as_str()),
                Term::atom(&*f.name),
                Term::Int(i64::from(f.arity)),
            ];
            (Term::tuple(function), Term::boolean(true))
        })
    });
    let bindings = [
        ("Asked", set(&question.supervisors)),
        ("Handlers", set(&question.handlers)),
        ("Loops", Term::map(loops)),
        ("Pattern", Term::binary(LOOPS.trim_end())),
        ("Waits", Term::list(WAITS.map(Term::Int))),
        ("Wanted", set(&question.modules)),
        ("Wrapped", set(&question.wrapped)),
    ]
    .map(|(name, value)| (Term::atom(name), value));
    let Some(Parsed { forms, constants }) = WHO.as_ref() else {
        return Err(Box::new(Diagnostic::new(
            Code::E900,
            "the question for processes cannot be read",
        )));
    };
    let constants = constants.iter().cloned();
    let bindings: Vec<(Term, Term)> = bindings.into_iter().chain(constants).collect();
    let failed = |error| call_failed("looking for processes", error);
    let args = Term::map(bindings.iter().cloned());
    if let Some(answer) = compiled::ask(session, forms, &args, TIMEOUT).map_err(failed)? {
        return read(&answer).ok_or_else(|| unexpected_reply("looking for processes", &answer));
    }
    let value = evaluate_forms(session, otp, forms.clone(), bindings.into_iter(), TIMEOUT);
    let value = value.map_err(failed)?;
    read(&value).ok_or_else(|| unexpected_reply("looking for processes", &value))
}

fn read(answer: &Term) -> Option<Answer> {
    let [modules, examples, silent] = answer.as_tuple()? else {
        return None;
    };
    let examples: Option<Vec<(Term, Example)>> = examples
        .as_list()?
        .iter()
        .map(|shown| Some((shown.as_tuple()?.first()?.clone(), example(shown)?)))
        .collect();
    let examples: BTreeMap<Term, Example> = examples?.into_iter().collect();
    let mut by_module = BTreeMap::new();
    for line in modules.as_list()? {
        let [module, kinds, unnamed, foreign, by_loop, hosts] = line.as_tuple()? else {
            return None;
        };
        let [unnamed, loose] = unnamed.as_tuple()? else {
            return None;
        };
        let kinds = kinds.as_list()?.iter().map(|line| kind(line, &examples));
        let loose = loose.as_list()?.first();
        let processes = ModuleProcesses {
            kinds: kinds.collect::<Option<_>>()?,
            unnamed: count(unnamed)?,
            unnamed_example: loose.and_then(|pid| examples.get(pid).cloned()),
            foreign: foreign
                .as_list()?
                .iter()
                .map(strangers)
                .collect::<Option<_>>()?,
            also: Vec::new(),
            wrapped_in: hosts.as_list()?.first().and_then(module_of),
            started_with: None,
            by_loop: pids(by_loop)?,
            parents: Vec::new(),
        };
        by_module.insert(module_of(module)?, processes);
    }
    let silent = silent.as_list()?.iter().map(Term::to_string).collect();
    Some(Answer { by_module, silent })
}

fn module_of(term: &Term) -> Option<Module> {
    Some(Module::new(term.as_atom()?.as_str()))
}

fn count(term: &Term) -> Option<usize> {
    usize::try_from(term.as_i64()?).ok()
}

fn kind(term: &Term, examples: &BTreeMap<Term, Example>) -> Option<(Start, (usize, Example))> {
    let [start, number, pid] = term.as_tuple()? else {
        return None;
    };
    let start = match start.as_atom()?.as_str() {
        "supervisor" => Start::Supervisor,
        "supervisor_bridge" => Start::Bridge,
        "init" => Start::Init,
        "other" => Start::Other,
        "handler" => Start::Handler,
        "entered" => Start::Entered,
        "special" => Start::Special,
        "loop" => Start::Loop,
        _ => return None,
    };
    Some((start, (count(number)?, examples.get(pid)?.clone())))
}

fn example(term: &Term) -> Option<Example> {
    let [pid, call, parent, stack, place] = term.as_tuple()? else {
        return None;
    };
    let (call, in_fun) = match call.as_tuple()? {
        [m, f, a] => (
            format!("{m}:{f}/{a}"),
            f.as_atom()?.as_str().starts_with('-'),
        ),
        _ => return None,
    };
    Some(Example {
        pid: pid.as_pid()?.clone(),
        call,
        in_fun,
        parent: parent
            .as_list()?
            .first()
            .map_or_else(|| "an unknown process".to_owned(), Term::to_string),
        stack: stack.as_list()?.iter().filter_map(module_of).collect(),
        place: place.as_list()?.to_vec(),
    })
}

fn pids(term: &Term) -> Option<Vec<Pid>> {
    let pids = term.as_list()?.iter().map(|pid| pid.as_pid().cloned());
    pids.collect()
}

fn strangers(term: &Term) -> Option<MisattributedProcesses> {
    let [started_in, number, shown, pids] = term.as_tuple()? else {
        return None;
    };
    let pids = pids.as_list()?.iter().filter_map(Term::as_pid).cloned();
    Some(MisattributedProcesses {
        started_in: module_of(started_in)?,
        count: count(number)?,
        example: shown.as_pid()?.clone(),
        pids: pids.collect(),
    })
}
