//! The agent: the process inside the node that runs an upgrade.
//!
//! Its Erlang source is part of this binary. It travels as text, is compiled on the node (or interpreted
//! by `erl_eval` where there is no compiler) under a name of its own per run, and takes itself away when
//! it is done. `PROTOCOL.md` beside this file says what goes over the wire.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::time::Duration;

use self::protocol::{BootstrapAnswer, Codec, DecodeError, LockState, Locked, Refusal, RunInfo};
use crate::diag::{Code, Diagnostic};
use crate::node::{CallError, Cookie, Parsed, Session};
use crate::state::agents;
use crate::term::{Pid, Term};

pub(crate) mod protocol;

/// The agent's source: one Erlang module, kept in parts that can be read in one sitting each.
pub const SOURCE: &str = concat!(
    include_str!("01_start.erl"),
    include_str!("02_guardian.erl"),
    include_str!("03_executor.erl"),
    include_str!("04_prepare.erl"),
    include_str!("05_twins.erl"),
    include_str!("06_rehearse.erl"),
    include_str!("07_purge.erl"),
    include_str!("08_kinds.erl"),
    include_str!("09_asked.erl"),
    include_str!("10_suspend.erl"),
    include_str!("11_attempts.erl"),
    include_str!("12_spawn_watch.erl"),
    include_str!("13_switch.erl"),
    include_str!("14_mode.erl"),
    include_str!("15_children.erl"),
    include_str!("16_listed.erl"),
    include_str!("17_effects.erl"),
    include_str!("18_back.erl"),
    include_str!("19_survivors.erl"),
    include_str!("20_workers.erl"),
    include_str!("21_persist.erl"),
    include_str!("22_watchdog.erl"),
    include_str!("23_shapes.erl"),
    include_str!("24_precompute.erl"),
    include_str!("25_serve.erl"),
    include_str!("26_live.erl"),
    include_str!("27_live_window.erl"),
    include_str!("28_children_found.erl"),
    include_str!("29_together.erl"),
);

/// The expressions that bring the source to life on the node.
pub const BOOTSTRAP: &str = include_str!("bootstrap.erlexpr");

/// The expressions that start it from a beam.
pub const LOAD: &str = include_str!("load.erlexpr");

/// The same, parsed.
static LOADING: LazyLock<Option<Parsed>> = LazyLock::new(|| Parsed::of(include_bytes!("load.etf")));

/// For how long a node keeps the module of a rehearsal's agent for the run that follows: ms.
pub const STAY: i64 = 5_000;

/// Compiling takes a while on a busy node; nothing is suspended meanwhile.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The cookie's digest as for a challenge of the handshake; mixed with the source it answers no challenge.
const SALT: u32 = 0;

/// Where the agents for nodes of a cookie are kept below a state folder.
pub fn kept(state: &Path, cookie: &Cookie) -> PathBuf {
    agents::place(state, SOURCE, cookie.digest(SALT))
}

/// A running agent.
#[derive(Clone, Debug)]
pub struct Agent {
    guardian: Pid,
}

/// Why an agent did not start.
#[derive(Debug)]
pub enum StartError {
    /// Another run holds the node's lock; the text names its owner and start.
    Locked(String),
    /// Anything else.
    Other(Box<Diagnostic>),
}

/// Brings the agent's source to a node, under the name of a run (four hexadecimal digits), and starts a job.
///
/// # Errors
/// [`StartError::Locked`] when another run is going on: then nothing of this one stays on the node.
pub fn start(session: &Session, run: &str, job: &Term) -> std::result::Result<Agent, StartError> {
    if let Some(module) = session.take_staying() {
        let answer = load(session, &module, job, Term::atom("stays"));
        match answer.map(|answer| BootstrapAnswer::decode(&answer)) {
            Ok(Ok(BootstrapAnswer::Ok { guardian, .. })) => return Ok(Agent { guardian }),
            Ok(Ok(BootstrapAnswer::Error {
                refusal: Refusal::Gone { .. },
            })) => {}
            Ok(Ok(BootstrapAnswer::Error { refusal })) => return Err(not_started(&refusal)),
            // It may have begun all the same.
            Ok(Err(_)) | Err(_) => {
                if let Some(agent) = begun_after_all(session, run) {
                    return Ok(agent);
                }
            }
        }
    }
    let kept = session.agents().and_then(|place| {
        let asked = vec![Term::atom("otp_release")];
        let otp = session.call("erlang", "system_info", asked, TIMEOUT).ok()?;
        Some((place, otp.to_text()?))
    });
    let load = || {
        kept.as_ref()
            .and_then(|(place, otp)| agents::load(place, otp, run))
    };
    let mut beam = load();
    // Of several nodes one compiles it, and the others get what it has made.
    let mut compiling = None;
    if let (None, Some((place, otp))) = (&beam, &kept) {
        let waited = Compiling::begin(place, otp);
        beam = load();
        compiling = beam.is_none().then_some(waited);
    }
    let is_sent = beam.is_some();
    let mut answer = match bring(session, run, job, beam) {
        Ok(answer) => answer,
        // The agent runs on when the process that started it is killed.
        Err(error) => return begun_after_all(session, run).ok_or(error),
    };
    if let Ok(BootstrapAnswer::Error {
        refusal: Refusal::Beam { .. },
    }) = BootstrapAnswer::decode(&answer)
        && is_sent
    {
        answer = bring(session, run, job, None)?;
    }
    match BootstrapAnswer::decode(&answer) {
        Ok(BootstrapAnswer::Ok {
            guardian,
            beam: compiled,
        }) => {
            if let (Some((place, otp)), Some(compiled)) = (&kept, compiled) {
                agents::keep(place, otp, &compiled.0);
            }
            drop(compiling);
            Ok(Agent { guardian })
        }
        Ok(BootstrapAnswer::Error { refusal }) => Err(not_started(&refusal)),
        // An answer that cannot be read says nothing about whether the agent has begun.
        Err(error) => begun_after_all(session, run).ok_or_else(|| {
            let mut diagnostic = unexpected_reply(&answer);
            diagnostic.notes.push(error.to_string());
            StartError::Other(diagnostic)
        }),
    }
}

/// Why nothing was started, as the node says it.
fn not_started(refusal: &Refusal) -> StartError {
    match refusal {
        Refusal::Locked {
            holder: Locked::Run(info),
        } => StartError::Locked(info.words()),
        Refusal::Locked { .. } => StartError::Locked("held by an unknown run".to_owned()),
        other => StartError::Other(unexpected_reply(&other.encode())),
    }
}

/// The agents and questions that are being compiled at this moment, by place and release.
static BEING_COMPILED: (Mutex<BTreeSet<(PathBuf, String)>>, Condvar) =
    (Mutex::new(BTreeSet::new()), Condvar::new());

/// One node compiles an agent, or a question: the others that need the same one wait until this is dropped.
pub(super) struct Compiling(Option<(PathBuf, String)>);

impl Compiling {
    /// Waits for another that compiles the same one, but not for a node that takes very long.
    pub(super) fn begin(place: &Path, otp: &str) -> Self {
        const PATIENCE: Duration = Duration::from_secs(20);
        let this = (place.to_owned(), otp.to_owned());
        let (lock, ended) = &BEING_COMPILED;
        let Ok(all) = lock.lock() else {
            return Self(None);
        };
        match ended.wait_timeout_while(all, PATIENCE, |all| all.contains(&this)) {
            Ok((mut all, waited)) if !waited.timed_out() => {
                all.insert(this.clone());
                Self(Some(this))
            }
            _ => Self(None),
        }
    }
}

impl Drop for Compiling {
    fn drop(&mut self) {
        let (lock, ended) = &BEING_COMPILED;
        if let (Some(this), Ok(mut all)) = (&self.0, lock.lock()) {
            all.remove(this);
            ended.notify_all();
        }
    }
}

/// The agent of a run whose start has not been confirmed, when it is there.
fn begun_after_all(session: &Session, run: &str) -> Option<Agent> {
    let holder = present(session).ok()??;
    (holder.run == run && !holder.kept).then_some(holder.agent)
}

/// Has the node evaluate the bootstrap: with the agent as a beam, or as text.
fn bring(
    session: &Session,
    run: &str,
    job: &Term,
    beam: Option<Arc<[u8]>>,
) -> std::result::Result<Term, StartError> {
    let module = format!("{}{run}", agents::PREFIX);
    if let Some(beam) = beam {
        return load(session, &module, job, Term::Binary(beam));
    }
    let bindings = vec![
        ("Job", job.clone()),
        ("Name", Term::atom(module)),
        ("Source", Term::binary(SOURCE)),
    ];
    crate::node::evaluate_once(session, BOOTSTRAP, bindings, TIMEOUT)
        .map_err(|error| StartError::Other(refused(&error)))
}

/// Has the node start an agent from a beam, or from the module that it has kept.
fn load(
    session: &Session,
    module: &str,
    job: &Term,
    beam: Term,
) -> std::result::Result<Term, StartError> {
    // Given away: many nodes may load their agents at once, and here nothing of one is kept until its node has.
    let bindings = vec![
        ("Beam", beam),
        ("Job", job.clone()),
        ("Name", Term::atom(module)),
    ];
    crate::node::evaluate_parsed(session, LOADING.as_ref(), bindings, TIMEOUT)
        .map_err(|error| StartError::Other(refused(&error)))
}

/// Asks the agent of a node to call its run off; it does so as long as nothing is switched.
///
/// # Errors
/// When the connection is lost.
pub fn abort(session: &Session) -> std::result::Result<(), CallError> {
    session.send_named("updo_run", Term::atom("updo_abort"))
}

/// Asks the agent of a node for further steps under the same lock.
///
/// # Errors
/// When the connection is lost.
pub fn run(session: &Session, job: Term) -> std::result::Result<(), CallError> {
    session.send_named("updo_run", Term::tuple([Term::atom("updo_run"), job]))
}

/// Asks the agent of a node which processes live, and whether the code is still that of its run; once the run has
/// finished.
///
/// # Errors
/// When the connection is lost.
pub fn survey(session: &Session) -> std::result::Result<(), CallError> {
    session.send_named("updo_run", Term::atom("updo_survey"))
}

/// What a node's agent says of itself.
#[derive(Clone, Debug)]
pub struct LockHolder {
    /// Its guardian.
    pub agent: Agent,
    /// Four hexadecimal digits.
    pub run: String,
    /// Whether the run is over and only its result is kept.
    pub kept: bool,
    /// Its owner and since when it runs, in words.
    pub words: String,
}

impl Agent {
    /// Asks for all events, from the first, and those to come.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn attach(&self, session: &Session, watcher: &Pid) -> std::result::Result<(), CallError> {
        let ask = Term::tuple([Term::atom("updo_attach"), Term::Pid(watcher.clone())]);
        session.send_named("updo_run", ask)
    }

    /// The process that holds the lock.
    pub fn guardian(&self) -> &Pid {
        &self.guardian
    }

    /// Says that a kept result has been seen. To this very agent: another run may hold the lock by now.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn let_go(&self, session: &Session) -> std::result::Result<(), CallError> {
        session.send(&self.guardian, Term::atom("updo_settle"))
    }

    /// Asks for the end: purge what no process runs, write the beams if `persist`, unlock, go.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn settle(&self, session: &Session, persist: bool) -> std::result::Result<(), CallError> {
        let word = Term::atom("updo_settle");
        let message = if persist {
            Term::tuple([word, Term::atom("persist")])
        } else {
            word
        };
        session.send_named("updo_run", message)
    }
}

/// Answers the hook of a step to the current guardian.
///
/// # Errors
/// When the connection is lost.
pub fn answer(session: &Session, step: u32, ok: bool) -> std::result::Result<(), CallError> {
    let (word, step) = (Term::atom("updo_hook"), Term::Int(i64::from(step)));
    session.send_named("updo_run", Term::tuple([word, step, Term::boolean(ok)]))
}

/// Lets a node pass a barrier of a group, by its step; the current guardian decides whether that comes in time.
///
/// # Errors
/// When the connection is lost.
pub fn pass(session: &Session, step: u32) -> std::result::Result<(), CallError> {
    let (word, step) = (Term::atom("updo_together"), Term::Int(i64::from(step)));
    session.send_named("updo_run", Term::tuple([word, step, Term::atom("go")]))
}

/// Asks a node of a group to go back, as long as the group has decided nothing.
///
/// # Errors
/// When the connection is lost.
pub fn call_off(session: &Session) -> std::result::Result<(), CallError> {
    let word = Term::atom("updo_together");
    session.send_named("updo_run", Term::tuple([word, Term::atom("off")]))
}

/// Why it is not known which agent is on a node.
#[derive(Clone, Debug)]
pub enum PresenceError {
    /// The question was not answered.
    Call(CallError),
    /// There is one, and what it says of itself cannot be read.
    Unreadable(String),
}

impl PresenceError {
    /// As a diagnostic; `what` was being done.
    pub fn diagnostic(&self, what: &str) -> Box<Diagnostic> {
        match self {
            Self::Call(error) => error.diagnostic(what),
            Self::Unreadable(why) => {
                let title =
                    format!("{what}: what the run on the node says of itself cannot be read");
                Box::new(unreadable(title, why))
            }
        }
    }
}

impl From<CallError> for PresenceError {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<DecodeError> for PresenceError {
    fn from(error: DecodeError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// E510: the agent sent something that cannot be read.
pub(crate) fn unreadable(title: String, why: &str) -> Diagnostic {
    Diagnostic::new(Code::E510, title).note(why).note(
        "another program sends in the name of the agent, or another version of updo is at work",
    )
}

/// The holder of a node's lock, in words; `None` when it is free. Two questions, nothing is started. One that
/// has finished and only keeps its result to be fetched holds nothing.
///
/// # Errors
/// When the connection is lost, the node does not answer in time, or its answer cannot be read.
pub fn lock_holder(session: &Session) -> std::result::Result<Option<String>, PresenceError> {
    Ok(present(session)?
        .filter(|holder| !holder.kept)
        .map(|holder| holder.words))
}

/// The agent that is on a node, be it at work or only keeping a result; `None` when there is none.
///
/// # Errors
/// When the connection is lost, the node does not answer in time, or its answer cannot be read.
pub fn present(session: &Session) -> std::result::Result<Option<LockHolder>, PresenceError> {
    const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
    let guardian = session.call(
        "erlang",
        "whereis",
        vec![Term::atom("updo_run")],
        LOCK_TIMEOUT,
    )?;
    let Term::Pid(pid) = &guardian else {
        return Ok(None);
    };
    let agent = Agent {
        guardian: pid.clone(),
    };
    let ask = vec![guardian, Term::atom("dictionary")];
    let answer = session.call("erlang", "process_info", ask, LOCK_TIMEOUT)?;
    let Some([_, dictionary]) = answer.as_tuple() else {
        return Ok(None);
    };
    let info = dictionary.as_list().unwrap_or_default().iter();
    let info = info.filter_map(Term::as_tuple).find_map(|pair| match pair {
        [key, info] if key.is_atom("updo_info") => Some(info),
        _ => None,
    });
    let Some(info) = info else {
        return Ok(None);
    };
    let info = RunInfo::decode(info)?;
    Ok(Some(LockHolder {
        agent,
        kept: info.state == LockState::Kept,
        words: info.words(),
        run: info.run,
    }))
}

/// E505: another run holds the lock of a node.
pub fn locked(session: &Session, holder: String) -> Diagnostic {
    let title = format!("another updo run holds the lock of {}", session.node());
    Diagnostic::new(Code::E505, title)
        .note(holder)
        .help("wait until it is done")
}

impl RunInfo {
    /// The holder of the lock, in words.
    #[expect(
        clippy::disallowed_methods,
        reason = "how long ago the other run began"
    )]
    fn words(&self) -> String {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |now| now.as_secs());
        format!(
            "held by {}, for {} s, run {}",
            self.owner.words(),
            now.saturating_sub(self.since),
            self.run
        )
    }
}

fn unexpected_reply(answer: &Term) -> Box<Diagnostic> {
    Box::new(Diagnostic::new(Code::E612, "the agent did not start").note(answer.to_string()))
}

fn refused(error: &CallError) -> Box<Diagnostic> {
    let title = "the agent could not be brought to the node";
    let code = match error {
        CallError::Timeout | CallError::Lost(_) => Code::E508,
        _ => Code::E612,
    };
    let cause = error.diagnostic(title);
    let why = cause
        .title
        .strip_prefix(&format!("{title}: "))
        .unwrap_or(&cause.title);
    let mut diagnostic = Diagnostic::new(code, title).note(why);
    diagnostic.notes.extend(cause.notes);
    Box::new(diagnostic)
}
