//! A session: one connection to one node, for many users at once.
//!
//! Takes a [`Connect`], gives a [`Session`] that can be cloned and used from any thread, or a diagnostic
//! before the timeout is over. Two threads serve it: the reader and the keeper. When the last clone
//! (and the last mailbox and pending call) is gone, the socket is closed and both have ended.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use super::control;
use super::cookie::{Cookie, plain};
use super::dial::Dial;
use super::forward::Via;
use super::handshake::{Framing, Handshake, Local, Peer, name_of, shake};
use super::ids::Ids;
use super::mailbox::Mailbox;
use super::name::{Address, DialAddress, default_local};
use super::rpc::{self, CallError, Pending};
use super::state::{Shared, lock};
use super::stream::{Deadline, Link, Stream};
use super::tls::{Tls, TlsStream};
use super::{heartbeat, reader, trace};
use crate::diag::{Code, Diagnostic, Result};
use crate::name::NodeName;
use crate::term::{Atom, Pid, Term};

/// Stack of the reader, which decodes control messages and output.
const READER_STACK: usize = 8 << 20;

/// What is needed to connect.
#[derive(Clone, Debug)]
pub struct Connect {
    /// The node.
    pub node: NodeName,
    /// Its cookie.
    pub cookie: Cookie,
    /// Our own name; `updo-<pid>-<random>@host` if there is none. Without a host, one is added.
    pub local_name: Option<String>,
    /// epmd's port; by the environment if there is none ([`super::epmd::port_from_env`]).
    pub epmd_port: Option<u16>,
    /// The port that the node listens on, if that is known: then epmd is not asked.
    pub port: Option<u16>,
    /// Where the node is found, in place of the host of its name: behind a forwarded port, or NAT.
    pub address: Option<DialAddress>,
    /// The machine that connects for us.
    pub via: Option<Via>,
    /// TLS, for a node that was started with `-proto_dist inet_tls`.
    pub tls: Option<Tls>,
    /// For all of it: finding the node, connecting, the handshake.
    pub timeout: Duration,
}

impl Connect {
    /// The usual: 10 seconds, everything else by default.
    pub fn new(node: NodeName, cookie: Cookie) -> Self {
        let timeout = Duration::from_secs(10);
        Self {
            node,
            cookie,
            local_name: None,
            epmd_port: None,
            port: None,
            address: None,
            via: None,
            tls: None,
            timeout,
        }
    }

    fn dial(&self, node: &Address) -> Dial {
        Dial {
            node: node.clone(),
            address: self.address.clone(),
            port: self.port,
            epmd_port: self.epmd_port,
            via: self.via.clone(),
        }
    }
}

/// How often a node is asked that is busy with another connection of our name, and how long apart.
const TRIES: u32 = 4;
const RETRY_INTERVAL: Duration = Duration::from_millis(150);

/// A connection to a node. Clones share it.
#[derive(Clone)]
pub struct Session {
    owner: Arc<Owner>,
}

struct Owner {
    shared: Arc<Shared>,
    peer: Peer,
    /// Version and cipher of TLS.
    terms: Option<String>,
    /// Where compiled agents for this node are kept, when somewhere.
    agents: OnceLock<PathBuf>,
    /// The OTP release of the node, once it was asked for.
    otp: OnceLock<u32>,
    /// Whether it has no compiler, or one that takes long.
    compiles_slowly: AtomicBool,
    /// What the node's parser has made of texts.
    parsed: Mutex<BTreeMap<String, Term>>,
    /// The module of an agent that the node keeps for the next one.
    staying: Mutex<Option<String>>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.lose("the session was closed");
        for thread in self.threads.drain(..) {
            // It does not panic, and if it did, the session is over anyway.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({} as {})", self.node(), self.local_name())
    }
}

impl Session {
    /// Connects as a hidden node.
    ///
    /// E501 (not found), E502 (cookie), E503 (TLS), E504 (other name), E506 (refused, or no node), E508 (no
    /// answer in time).
    pub fn connect(what: &Connect) -> Result<Session> {
        let deadline = Deadline::after(what.timeout);
        let mut tries = 1;
        loop {
            match Self::once(what, deadline)? {
                Ok(session) => return Ok(session),
                // A name that was used a moment ago: the node has not yet noted that the other connection is up, or gone.
                Err(_) if tries < TRIES => {
                    std::thread::sleep(RETRY_INTERVAL);
                    tries += 1;
                }
                Err(busy) => return Err(busy),
            }
        }
    }

    /// One try; `Ok(Err(…))` when another one may get through.
    fn once(what: &Connect, deadline: Deadline) -> Result<Result<Session>> {
        let target = Address::parse(&what.node)?;
        let link = what.dial(&target).open(deadline)?;
        let random = Random::new()?;
        let local = local_name(&target, what.local_name.as_deref(), &link, &random)?;
        let (mut stream, framing, terms) = secured(link, what.tls.as_ref(), &target, deadline)?;
        let ours = Local {
            name: local.clone(),
            creation: random.creation,
        };
        let names = (&target, &ours);
        trace::tell(|| format!("connect {target} as {local}"));
        let shaken = shake(
            &mut *stream,
            framing,
            names,
            &what.cookie,
            random.challenge,
            deadline,
        )
        .inspect_err(|diagnostic| {
            trace::tell(|| format!("refused {target}: {}", diagnostic.code))
        })?;
        let peer = match shaken {
            Handshake::Peer(peer) => peer,
            Handshake::Busy(diagnostic) => return Ok(Err(diagnostic)),
        };
        trace::tell(|| {
            let Peer {
                creation, flags, ..
            } = &peer;
            format!("connected to {target}, creation {creation}, flags {flags:#x}")
        });
        let ids = Ids::new(Atom::new(&local), random.creation, random.salt);
        Self::serve(stream, (what.node.clone(), local), ids, (peer, terms)).map(Ok)
    }

    fn serve(
        stream: Box<dyn Stream>,
        names: (NodeName, String),
        ids: Ids,
        (peer, terms): (Peer, Option<String>),
    ) -> Result<Session> {
        let node = names.0.clone();
        let failed = |error: std::io::Error| {
            Box::new(Diagnostic::new(
                Code::E508,
                format!("the connection to {node} cannot be used: {}", plain(&error)),
            ))
        };
        let halves = stream.split().map_err(failed)?;
        let shared = Arc::new(Shared::new(names, ids, halves.writer, halves.closer));
        let mut owner = Owner {
            shared: Arc::clone(&shared),
            peer,
            terms,
            agents: OnceLock::new(),
            otp: OnceLock::new(),
            compiles_slowly: AtomicBool::new(false),
            parsed: Mutex::default(),
            staying: Mutex::default(),
            threads: Vec::new(),
        };
        let start = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let (for_reader, for_keeper) = (Arc::clone(&shared), shared);
        let reading = start("updo-reader")
            .stack_size(READER_STACK)
            .spawn(move || reader::run(&for_reader, halves.reader))
            .map_err(failed)?;
        owner.threads.push(reading);
        owner.threads.push(
            start("updo-keeper")
                .spawn(move || heartbeat::run(&for_keeper, heartbeat::TickConfig::default()))
                .map_err(failed)?,
        );
        Ok(Session {
            owner: Arc::new(owner),
        })
    }

    /// Calls a function and waits for its value. `Duration::MAX` waits for ever.
    ///
    /// The time counts from when the request is written, which takes a while if it is large; a node that
    /// takes no data for a minute counts as lost.
    pub fn call(
        &self,
        module: &str,
        function: &str,
        args: Vec<Term>,
        timeout: Duration,
    ) -> std::result::Result<Term, CallError> {
        self.start_call(module, function, args)?.wait(timeout)
    }

    /// Calls a function without waiting.
    pub fn start_call(
        &self,
        module: &str,
        function: &str,
        args: Vec<Term>,
    ) -> std::result::Result<Pending, CallError> {
        rpc::start(self, module, function, args)
    }

    /// A new mailbox.
    pub fn mailbox(&self) -> Mailbox {
        Mailbox::open(self)
    }

    /// Sends a message to a process. As in Erlang, it is not reported whether the process exists.
    pub fn send(&self, to: &Pid, message: Term) -> std::result::Result<(), CallError> {
        let frame = control::send(to, &message).ok_or(CallError::TooLarge)?;
        trace::tell(|| format!("send    {}, {} bytes", trace::shape(&message), frame.len()));
        self.shared().write(&frame).map_err(CallError::Lost)
    }

    /// Sends a message to a registered name on the node.
    pub fn send_named(&self, to: &str, message: Term) -> std::result::Result<(), CallError> {
        trace::tell(|| format!("send    {} to {to}", trace::shape(&message)));
        let frame = control::send_named(&self.shared().us, &Atom::new(to), &message);
        self.shared()
            .write(&frame.ok_or(CallError::TooLarge)?)
            .map_err(CallError::Lost)
    }

    /// The node.
    pub fn node(&self) -> &NodeName {
        &self.shared().node
    }

    /// Says where compiled agents for nodes like this one are kept ([`agents`](crate::state::agents)). Once.
    #[doc(hidden)]
    pub fn keep_agents(&self, place: PathBuf) {
        let _ = self.owner.agents.set(place);
    }

    /// Where compiled agents for nodes like this one are kept.
    pub(crate) fn agents(&self) -> Option<&Path> {
        self.owner.agents.get().map(PathBuf::as_path)
    }

    /// The OTP release of the node, `25` for instance; 0 when it does not say. Asked for once.
    pub(crate) fn otp(&self) -> u32 {
        *self.owner.otp.get_or_init(|| {
            let asked = vec![Term::atom("otp_release")];
            let answer = self.call("erlang", "system_info", asked, Duration::from_secs(10));
            let text = answer.ok().and_then(|answer| answer.to_text());
            text.and_then(|text| text.parse().ok()).unwrap_or(0)
        })
    }

    /// Whether a question was not compiled in time: then it is evaluated, without trying once more.
    pub(crate) fn compiles_slowly(&self) -> bool {
        self.owner.compiles_slowly.load(Ordering::Relaxed)
    }

    pub(crate) fn compiles_slowly_from_now_on(&self) {
        self.owner.compiles_slowly.store(true, Ordering::Relaxed);
    }

    /// What the node's own parser makes of a text: asked for once in a session.
    pub(crate) fn parsed(
        &self,
        text: &str,
        parse: impl FnOnce() -> std::result::Result<Term, CallError>,
    ) -> std::result::Result<Term, CallError> {
        if let Some(known) = lock(&self.owner.parsed).get(text) {
            return Ok(known.clone());
        }
        let made = parse()?;
        lock(&self.owner.parsed).insert(text.to_owned(), made.clone());
        Ok(made)
    }

    /// That the node keeps the module of an agent for the next one, for a while.
    pub(crate) fn agent_stays(&self, module: String) {
        *lock(&self.owner.staying) = Some(module);
    }

    /// The module that the node may still keep; it is known no longer.
    pub(crate) fn take_staying(&self) -> Option<String> {
        lock(&self.owner.staying).take()
    }

    /// What we are called there.
    pub fn local_name(&self) -> &str {
        &self.shared().local
    }

    /// The incarnation of the node: another number after a restart.
    pub fn creation(&self) -> u32 {
        self.owner.peer.creation
    }

    /// Version and cipher, when the connection goes over TLS.
    pub fn tls(&self) -> Option<&str> {
        self.owner.terms.as_deref()
    }

    /// Why the connection is lost, if it is.
    pub fn is_lost(&self) -> Option<String> {
        self.shared().lost()
    }

    /// What called functions have printed since the last time; at most 1 MiB is kept.
    pub fn take_output(&self) -> String {
        lock(&self.shared().output).take()
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.owner.shared
    }
}

/// Four random numbers.
struct Random {
    challenge: u32,
    creation: u32,
    salt: u32,
    name: u32,
}

impl Random {
    fn new() -> Result<Self> {
        let number = || {
            getrandom::u32().map_err(|error| {
                Box::new(Diagnostic::new(
                    Code::E802,
                    format!("the system gives no random numbers: {error}"),
                ))
            })
        };
        // Creations up to 3 have a special meaning to old nodes.
        Ok(Self {
            challenge: number()?,
            creation: number()? | 4,
            salt: number()?,
            name: number()?,
        })
    }
}

/// A stream over a connection, and the terms of TLS when it goes over that.
fn secured<'t>(
    link: Link,
    tls: Option<&'t Tls>,
    target: &Address,
    deadline: Deadline,
) -> Result<(Box<dyn Stream>, Framing<'t>, Option<String>)> {
    let Some(tls) = tls else {
        return Ok((Box::new(link), Framing::Two, None));
    };
    let secured = TlsStream::connect(link, tls, target, deadline).inspect_err(|diagnostic| {
        trace::tell(|| format!("tls     {target}: {}", diagnostic.code))
    })?;
    let terms = secured.terms();
    trace::tell(|| format!("tls     {target}: {terms}"));
    Ok((Box::new(secured), Framing::Four(tls), Some(terms)))
}

/// Version and cipher that the node agrees to, by the handshake of TLS alone.
///
/// # Errors
/// E503 with what is wrong, on which side; as for connecting before that.
pub fn tls_terms(dial: &Dial, tls: &Tls, timeout: Duration) -> Result<String> {
    let deadline = Deadline::after(timeout);
    let link = dial.open(deadline)?;
    let (.., terms) = secured(link, Some(tls), &dial.node, deadline)?;
    Ok(terms.unwrap_or_default())
}

/// Which name the node gives itself that is dialled, and whether it is a hidden one: the first half of a handshake,
/// without a cookie. `given`: a name of ours, in place of one that no other node has.
///
/// # Errors
/// As for connecting: E501, E503, E506, E508, E511.
pub fn name_at(
    dial: &Dial,
    tls: Option<&Tls>,
    given: Option<&str>,
    timeout: Duration,
) -> Result<(Address, bool)> {
    let deadline = Deadline::after(timeout);
    let target = &dial.node;
    let link = dial.open(deadline)?;
    let random = Random::new()?;
    let ours = Local {
        name: local_name(target, given, &link, &random)?,
        creation: random.creation,
    };
    let (mut stream, framing, _) = secured(link, tls, target, deadline)?;
    name_of(&mut *stream, framing, (target, &ours), deadline)
}

fn local_name(
    target: &Address,
    given: Option<&str>,
    stream: &dyn Stream,
    random: &Random,
) -> Result<String> {
    let default = default_local(target, stream.local_ip(), random.name);
    let Some(given) = given else {
        return Ok(default);
    };
    let whole = match (given.contains('@'), default.split_once('@')) {
        (false, Some((_, host))) => format!("{given}@{host}"),
        _ => given.to_owned(),
    };
    Address::parse(&NodeName::new(&whole)).map(|address| address.to_string())
}
