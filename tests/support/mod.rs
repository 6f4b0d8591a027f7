//! Real Erlang and Elixir nodes for integration tests.
//!
//! Gives a [`TestNode`]: started on 127.0.0.1 with a name, a home and a cookie of its own, under an epmd
//! of this test process on a port of its own. Nothing outlives the test: dropping a node kills it by
//! its pid, the last one takes the epmd along, and should the test process itself be killed, a shell that
//! holds the other end of a pipe does the same.

#![allow(
    dead_code,
    reason = "each test program compiles this module into itself and uses its own part"
)]

pub mod apps;
pub mod certs;
pub mod compiler;
pub mod desk;
pub mod events;
pub mod invented;
pub mod screens;
pub mod terminal;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use updo::name::NodeName;
use updo::node::cookie::CookieSource;
use updo::node::{Connect, Cookie, DialAddress, Session, Tls};
use updo::term::Term;

/// The cookie of all test nodes.
pub const COOKIE: &str = "updotestcookie";

/// Longest wait for anything that must happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Starts a command, prints its pid on the first line, and kills it when its own stdin is closed.
const WATCHDOG: &str = r#"exec 3<&0; "$@" </dev/null >"$LOG" 2>&1 & p=$!; echo $p; cat <&3 >/dev/null; kill -9 $p 2>/dev/null; wait $p 2>/dev/null"#;

/// A process that does not outlive us.
pub struct Guarded {
    shell: Child,
    /// Closed to have it killed.
    stdin: Option<ChildStdin>,
    pid: u32,
}

impl Guarded {
    /// Starts it; what it says goes to the log.
    pub fn start(command: &[&str], log: &Path, env: &[(&str, &str)]) -> Self {
        let mut shell = Command::new("sh")
            .args(["-c", WATCHDOG, "sh"])
            .args(command)
            .env("LOG", log)
            .env("ERL_CRASH_DUMP_SECONDS", "0")
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh starts");
        let mut line = String::new();
        let stdout = shell.stdout.take().expect("stdout is piped");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("the shell tells the pid");
        let pid = line
            .trim()
            .parse()
            .unwrap_or_else(|_| panic!("no pid: {line:?}"));
        let stdin = shell.stdin.take();
        Self { shell, stdin, pid }
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .arg(signal)
            .arg(self.pid.to_string())
            .stderr(Stdio::null())
            .status();
        status.expect("kill starts");
        // Each thread stops when it comes out of the kernel the next time.
        let until = Instant::now() + Duration::from_secs(5);
        while signal == "-STOP" && !self.is_stopped() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether all of its threads are stopped.
    fn is_stopped(&self) -> bool {
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.pid)) else {
            return true;
        };
        threads.flatten().all(|thread| {
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // Behind the name, which may hold anything.
            stat.rsplit_once(") ")
                .is_none_or(|(_, rest)| rest.starts_with('T'))
        })
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Kills it.
    pub fn end(&mut self) {
        if self.stdin.take().is_some() {
            self.signal("-9");
            self.shell.wait().expect("the shell ends");
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.end();
    }
}

/// An epmd of our own, which ends when this is dropped.
pub struct Epmd {
    /// Where it listens.
    pub port: u16,
    _process: Guarded,
    _dir: TempDir,
}

impl Epmd {
    /// Starts one on a port that is free.
    pub fn start() -> Self {
        for _ in 0..5 {
            let port = free_port();
            let dir = tempfile::tempdir().expect("a temporary folder");
            let env = [
                ("ERL_EPMD_PORT", &*port.to_string()),
                ("ERL_EPMD_ADDRESS", "127.0.0.1"),
            ];
            let process = Guarded::start(&["epmd"], &dir.path().join("log"), &env);
            let until = Instant::now() + Duration::from_secs(5);
            while Instant::now() < until {
                if TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_ok() {
                    return Self {
                        port,
                        _process: process,
                        _dir: dir,
                    };
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        panic!("epmd does not start");
    }

    /// The one of this process, started when it is not there yet.
    fn shared() -> Arc<Self> {
        static EPMD: Mutex<Weak<Epmd>> = Mutex::new(Weak::new());
        let mut shared = EPMD.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        shared.upgrade().unwrap_or_else(|| {
            let epmd = Arc::new(Self::start());
            *shared = Arc::downgrade(&epmd);
            epmd
        })
    }
}

/// The folder of the OTP and the Elixir that these tests run against, when `scripts/otp.sh test` runs them.
pub fn other_root() -> Option<PathBuf> {
    std::env::var_os("UPDO_OTP_ROOT").map(PathBuf::from)
}

/// Where tests keep what they have compiled: cargo's folder for them, or one of the other OTP.
pub fn kept() -> PathBuf {
    let other = other_root().map(|root| root.join("var/cache/updo"));
    other.unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")))
}

/// A port that nothing listens on at this moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// How to start a node.
#[derive(Clone, Default)]
pub struct Options {
    /// `-name x@127.0.0.1` instead of `-sname x@localhost`.
    pub long: bool,
    /// `-name x@::1` over IPv6.
    pub ipv6: bool,
    /// Elixir instead of Erlang.
    pub elixir: bool,
    /// Code paths, in front of the node's own.
    pub paths: Vec<PathBuf>,
    /// More arguments for `erl`.
    pub args: Vec<String>,
    /// Beginning of the name, `x` by default.
    pub prefix: Option<String>,
    /// The whole name: that of a node that has ended, to start it again.
    pub name: Option<String>,
    /// How to connect to a node whose arguments make it speak TLS.
    pub tls: Option<Tls>,
    /// A folder with a release, started by its own script.
    pub release: Option<PathBuf>,
    /// What starts the command, in front of it.
    pub wrapper: Vec<String>,
    /// The port that the node listens on; then it has no epmd (`-start_epmd false -erl_epmd_port PORT`).
    pub port: Option<u16>,
    /// Where it is dialled, when that is not the host of its name.
    pub address: Option<DialAddress>,
}

impl Options {
    /// Adds arguments for `erl`.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// Adds a code path.
    #[must_use]
    pub fn path(mut self, path: impl Into<PathBuf>) -> Self {
        self.paths.push(path.into());
        self
    }

    /// Starts it.
    pub fn start(self) -> TestNode {
        TestNode::start_with(&self)
    }
}

/// A running node.
pub struct TestNode {
    name: String,
    process: Mutex<Guarded>,
    home: TempDir,
    session: OnceLock<Session>,
    epmd: Arc<Epmd>,
    tls: Option<Tls>,
    port: Option<u16>,
    address: Option<DialAddress>,
}

impl TestNode {
    /// A plain Erlang node with a short name.
    pub fn start() -> Self {
        Options::default().start()
    }

    /// A node with options; it accepts connections when this returns.
    pub fn start_with(options: &Options) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let epmd = Epmd::shared();
        let home = tempfile::tempdir().expect("a temporary folder");
        write_cookie(&home.path().join(".erlang.cookie"), COOKIE);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let prefix = options.prefix.as_deref().unwrap_or("x");
        let host = match options {
            Options { ipv6: true, .. } => "::1",
            Options { long: true, .. } => "127.0.0.1",
            _ => "localhost",
        };
        let fresh = || format!("{prefix}{}n{number}@{host}", std::process::id());
        let name = options.name.clone().unwrap_or_else(fresh);
        let mut command = options.wrapper.clone();
        command.extend(command_line(options, &name));
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        // Of a node without epmd: nothing listens there.
        let epmd_port = options.port.map_or(epmd.port, |_| free_port());
        let port = epmd_port.to_string();
        let mut env = vec![
            ("HOME", home.path().to_str().expect("UTF-8")),
            ("ERL_EPMD_PORT", &port),
            ("ERL_EPMD_ADDRESS", "127.0.0.1"),
            ("LC_ALL", "C.UTF-8"),
        ];
        let mut flags =
            "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"
                .to_owned();
        for path in options.paths.iter().rev() {
            flags += &format!(" -pa {}", path.display());
        }
        if let Some(release) = &options.release {
            env.extend([
                ("RELEASE_NODE", name.as_str()),
                ("RELEASE_COOKIE", COOKIE),
                ("RELEASE_DISTRIBUTION", "sname"),
                ("ERL_AFLAGS", &flags),
            ]);
            // A release of relx has them in a file.
            let arguments = release.join("releases/1/vm.args");
            if arguments.exists() {
                let text = format!("-sname {name}\n-setcookie {COOKIE}\n");
                fs::write(arguments, text).expect("a file can be written");
            }
        }
        let process = Mutex::new(Guarded::start(&command, &home.path().join("log"), &env));
        let node = Self {
            name,
            process,
            home,
            session: OnceLock::new(),
            epmd,
            tls: options.tls.clone(),
            port: options.port,
            address: options.address.clone(),
        };
        node.await_up();
        node
    }

    /// One for many tests that leave it as it was; started when it is not there yet.
    pub fn shared() -> Arc<Self> {
        static NODE: Mutex<Weak<TestNode>> = Mutex::new(Weak::new());
        let mut shared = NODE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        shared.upgrade().unwrap_or_else(|| {
            let node = Arc::new(Self::start());
            *shared = Arc::downgrade(&node);
            node
        })
    }

    /// Waits until it accepts connections and has started its own applications.
    fn await_up(&self) {
        let until = Instant::now() + PATIENCE;
        loop {
            let up = Session::connect(&self.connect()).map(|session| {
                let status = session.call("init", "get_status", vec![], PATIENCE);
                status.is_ok_and(|status| {
                    status
                        .as_tuple()
                        .is_some_and(|pair| pair[0].is_atom("started"))
                })
            });
            match up {
                Ok(true) => return,
                problem if Instant::now() > until => {
                    panic!(
                        "{} does not come up: {problem:?}\n{}",
                        self.name,
                        self.log()
                    );
                }
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// `name@host`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The part before the `@`.
    pub fn short(&self) -> &str {
        self.name
            .split('@')
            .next()
            .expect("a name has a first part")
    }

    /// Port of its epmd.
    pub fn epmd_port(&self) -> u16 {
        self.epmd.port
    }

    /// Its home, which goes away with it.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// What is needed to connect to it.
    pub fn connect(&self) -> Connect {
        let mut connect = Connect::new(NodeName::new(&self.name), cookie(COOKIE));
        connect.epmd_port = Some(self.epmd.port);
        connect.tls.clone_from(&self.tls);
        connect.port = self.port;
        connect.address.clone_from(&self.address);
        connect
    }

    /// A new connection to it.
    pub fn connected(&self) -> Session {
        Session::connect(&self.connect())
            .unwrap_or_else(|error| panic!("{error:?}\n{}", self.log()))
    }

    /// A connection for the test's own questions, the same every time.
    pub fn session(&self) -> &Session {
        self.session.get_or_init(|| self.connected())
    }

    /// Calls a function, which must return. Where the table of processes is full, no process was made for the call: it
    /// is made again.
    pub fn call(&self, module: &str, function: &str, args: Vec<Term>) -> Term {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self
                .session()
                .call(module, function, args.clone(), PATIENCE);
            match answer {
                Ok(value) => return value,
                Err(error)
                    if Instant::now() < until
                        && error.to_string().ends_with("{erpc,system_limit}") =>
                {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => panic!("{module}:{function}: {error}\n{}", self.log()),
            }
        }
    }

    /// Value of Erlang expressions, with or without the final dot.
    pub fn eval(&self, text: &str) -> Term {
        let text = format!("{}.", text.trim().trim_end_matches('.'));
        let second = |result: Term, what: &str| match result {
            Term::Tuple(mut fields) if fields.len() >= 2 && !fields[0].is_atom("error") => {
                fields.remove(1)
            }
            other => panic!("{what} of `{text}`: {other}"),
        };
        let tokens = second(
            self.call("erl_scan", "string", vec![Term::string(&text)]),
            "scanning",
        );
        let forms = second(
            self.call("erl_parse", "parse_exprs", vec![tokens]),
            "parsing",
        );
        second(
            self.call("erl_eval", "exprs", vec![forms, Term::list([])]),
            "evaluating",
        )
    }

    /// Like [`eval`](Self::eval), printed as Erlang prints it.
    pub fn eval_text(&self, text: &str) -> String {
        self.eval(text).to_string()
    }

    /// Waits until expressions give `true`.
    pub fn await_true(&self, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.eval(text).is_atom("true") {
            assert!(Instant::now() < until, "`{text}` does not become true");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it at once, as a power failure would.
    pub fn kill(&self) {
        self.process.lock().expect("no thread panics with it").end();
    }

    /// Its process, or that of the shell script that is about to become it.
    pub fn os_pid(&self) -> u32 {
        self.process.lock().expect("no thread panics with it").pid
    }

    /// Stops or continues it: `-STOP`, `-CONT`.
    pub fn signal(&self, signal: &str) {
        self.process
            .lock()
            .expect("no thread panics with it")
            .signal(signal);
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

fn command_line(options: &Options, name: &str) -> Vec<String> {
    if let Some(release) = &options.release {
        let (mix, relx) = (release.join("bin/ferry"), release.join("bin/bank_rel"));
        let (script, word) = match mix.exists() {
            true => (mix, "start"),
            false => (relx, "foreground"),
        };
        return vec![script.display().to_string(), word.to_owned()];
    }
    let style = if options.long || options.ipv6 {
        "name"
    } else {
        "sname"
    };
    let network = if options.ipv6 && options.tls.is_some() {
        // The arguments say which protocol.
        "-kernel inet_dist_use_interface {0,0,0,0,0,0,0,1}"
    } else if options.ipv6 {
        "-proto_dist inet6_tcp -kernel inet_dist_use_interface {0,0,0,0,0,0,0,1}"
    } else {
        "-kernel inet_dist_use_interface {127,0,0,1}"
    };
    let mut erl: Vec<String> = network.split(' ').map(str::to_owned).collect();
    // Schedulers with nothing to do sleep at once: spinning takes the processors from the other tests.
    for kind in ["+sbwt", "+sbwtdcpu", "+sbwtdio"] {
        erl.extend([kind.to_owned(), "none".to_owned()]);
    }
    for path in options.paths.iter().rev() {
        erl.extend(["-pa".to_owned(), path.display().to_string()]);
    }
    if let Some(port) = options.port {
        let port = port.to_string();
        erl.extend(["-start_epmd", "false", "-erl_epmd_port", &port].map(str::to_owned));
    }
    erl.extend(options.args.iter().cloned());
    if options.elixir {
        let mut command = vec!["elixir".to_owned(), format!("--{style}"), name.to_owned()];
        command.extend(["--erl".to_owned(), erl.join(" "), "--no-halt".to_owned()]);
        return command;
    }
    let mut command = vec![
        "erl".to_owned(),
        "-noinput".to_owned(),
        format!("-{style}"),
        name.to_owned(),
    ];
    command.extend(erl);
    command
}

/// A cookie of this value.
pub fn cookie(value: &str) -> Cookie {
    Cookie::new(value, CookieSource::Given).expect("a good cookie")
}

/// A cookie file as `erl` wants it.
pub fn write_cookie(path: &Path, value: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, value).expect("the cookie file can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o400)).expect("its mode can be set");
}

/// A server that does with each connection what the caller gives; its port. It runs until the process ends.
pub fn server(serve: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(&mut stream));
        }
    });
    port
}

/// Reads one message with a length of `width` bytes in front; empty when the peer is gone.
pub fn read_message(stream: &mut TcpStream, width: usize) -> Vec<u8> {
    let mut head = [0; 4];
    if stream.read_exact(&mut head[4 - width..]).is_err() {
        return Vec::new();
    }
    let mut message = vec![0; u32::from_be_bytes(head) as usize];
    match stream.read_exact(&mut message) {
        Ok(()) => message,
        Err(_) => Vec::new(),
    }
}

/// Writes one message with a length of `width` bytes in front; a peer that has gone is fine.
pub fn write_message(stream: &mut TcpStream, width: usize, message: &[u8]) {
    let length = (message.len() as u32).to_be_bytes();
    let mut bytes = length[4 - width..].to_vec();
    bytes.extend_from_slice(message);
    let _ = stream.write_all(&bytes);
}
