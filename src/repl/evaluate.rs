//! Expressions of the REPL: evaluated with the node at hand, printed as Erlang's shell prints.
//!
//! A call can be cancelled: whoever sets the interrupt ends it, and its process on the node is killed. `it` and `v()`
//! are the last value, `f()` forgets variables, `b()` lists them.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::read_only;
use super::session::{ReplError, ReplSession, Reply};
use crate::diag::{Code, Diagnostic, Span};
use crate::eval::{
    Bindings, Evaluator, Limits, NameError, OwnNames, Phase, Remote, RemoteError, needs,
};
use crate::exec::condition::remote_error;
use crate::node::Session as Node;
use crate::report::style;
use crate::rules::node_view::{LogLine, NoFacts};
use crate::syntax::ast::Expr;
use crate::syntax::token::{Sort, tokens};
use crate::syntax::{Input, parse_input};
use crate::term::{Atom, MAX_PRINTED, Notation, Term};

/// The variable that holds the last value.
const IT: &str = "It";

/// How often a waiting call looks whether it is to end.
const LOOK: Duration = Duration::from_millis(20);

/// How long the REPL's own questions may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// There is a user, and they can press Ctrl-C.
const AS_LONG_AS_IT_TAKES: Duration = Duration::from_secs(7 * 24 * 3600);

/// Columns of a value.
const WIDTH: usize = 80;

/// Why nothing more is called.
#[derive(Clone, Debug)]
pub(super) enum Stop {
    /// The user pressed Ctrl-C.
    Cancelled,
    /// The function is not harmless, and the session is read-only.
    Refused(String),
}

/// The node as expressions see it: calls that can be cancelled, and refused.
pub(super) struct Live<'a> {
    node: &'a Node,
    interrupt: &'a AtomicBool,
    read_only: bool,
    pub stop: Option<Stop>,
}

impl Live<'_> {
    fn interrupted(&mut self) -> bool {
        let pressed = self.interrupt.swap(false, Ordering::SeqCst);
        if pressed {
            self.stop = Some(Stop::Cancelled);
        }
        pressed
    }
}

impl Remote for Live<'_> {
    /// Which function of several gets which arguments is only known when they come one after the other.
    fn can_nest(&self) -> bool {
        !self.read_only
    }

    fn call(
        &mut self,
        module: &Atom,
        function: &Atom,
        args: Vec<Term>,
        timeout: Duration,
    ) -> Result<Term, RemoteError> {
        let stopped = || RemoteError::Lost("stopped".to_owned());
        if self.stop.is_some() || self.interrupted() {
            return Err(stopped());
        }
        if self.read_only && !read_only::allows(module.as_str(), function.as_str(), &args) {
            let (module, function) = (Term::Atom(module.clone()), Term::Atom(function.clone()));
            let mfa = format!("{module}:{function}/{}", args.len());
            self.stop = Some(Stop::Refused(mfa));
            return Err(stopped());
        }
        let mut pending = self
            .node
            .start_call(module.as_str(), function.as_str(), args)
            .map_err(remote_error)?;
        let began = Instant::now();
        loop {
            let left = timeout.saturating_sub(began.elapsed());
            if let Some(outcome) = pending.poll(left.min(LOOK)) {
                return outcome.map_err(remote_error);
            }
            if self.interrupted() {
                pending.kill();
                return Err(stopped());
            }
            if left.is_zero() {
                pending.kill();
                return Err(RemoteError::Timeout);
            }
        }
    }
}

/// Updo's own names, with a `sleep` that can be interrupted.
struct Awake<'a> {
    host: &'a mut dyn OwnNames,
    interrupt: &'a AtomicBool,
}

impl OwnNames for Awake<'_> {
    fn call(&mut self, name: &str, args: &[Term], span: Span) -> Option<Result<Term, NameError>> {
        if let ("sleep", [time]) = (name, args)
            && let Some(millis) = time.as_i64().and_then(|time| u64::try_from(time).ok())
        {
            rest(Duration::from_millis(millis), self.interrupt);
            return Some(Ok(Term::atom("ok")));
        }
        self.host.call(name, args, span)
    }
}

/// Sleeps, or until the user presses Ctrl-C; `false` for that. The interrupt stays set.
pub(super) fn rest(time: Duration, interrupt: &AtomicBool) -> bool {
    let began = Instant::now();
    while began.elapsed() < time {
        if interrupt.load(Ordering::SeqCst) {
            return false;
        }
        std::thread::sleep(LOOK.min(time.saturating_sub(began.elapsed())));
    }
    true
}

/// What an expression gave.
struct Valued {
    value: Term,
    /// Variables that it bound.
    fresh: Vec<(String, Term)>,
    log: Vec<LogLine>,
    took: Duration,
}

impl ReplSession {
    /// The node for one expression or question.
    pub(super) fn live(&self) -> Live<'_> {
        Live {
            node: &self.node,
            interrupt: &self.manner.interrupt,
            read_only: self.manner.read_only,
            stop: None,
        }
    }

    pub(super) fn limits(&self) -> Limits {
        if !self.manner.interactive {
            return Limits::default();
        }
        Limits {
            body: AS_LONG_AS_IT_TAKES,
            call: AS_LONG_AS_IT_TAKES,
            ..Limits::default()
        }
    }

    /// Asks the node something on the REPL's own behalf; such questions change nothing.
    pub(super) fn ask(
        &self,
        module: &str,
        function: &str,
        args: Vec<Term>,
    ) -> Result<Term, ReplError> {
        let arity = args.len();
        self.node
            .call(module, function, args, TIMEOUT)
            .map_err(|error| self.fault(&error.diagnostic(&format!("{module}:{function}/{arity}"))))
    }

    /// Evaluates a text that is known to parse as expressions, and remembers what it binds.
    pub(super) fn expression(&mut self, text: &str, base: usize) -> Result<String, ReplError> {
        let valued = self.value(text, base)?;
        Ok(self.printed(valued, self.manner.interactive))
    }

    /// `:time EXPR`
    pub(super) fn time(&mut self, text: &str) -> Result<String, ReplError> {
        let base = self.typed(text);
        let valued = self.value(text, base)?;
        let took = valued.took;
        Ok(format!(
            "{}\n{}",
            self.printed(valued, false).trim_end(),
            style::time(took)
        ))
    }

    fn value(&mut self, text: &str, base: usize) -> Result<Valued, ReplError> {
        let wanted = with_it(text);
        if wanted != text && self.variables.get(IT).is_none() {
            return Err(ReplError::usage("there is no last value yet"));
        }
        let body = match parse_input(&wanted, base) {
            Ok(Input::Expressions(body)) => body,
            Ok(Input::Statement(_)) => {
                return Err(ReplError::usage("this is a statement, not an expression"));
            }
            Err(crate::syntax::InputError::Incomplete) => {
                return Err(ReplError::usage("the expression is not complete"));
            }
            Err(crate::syntax::InputError::Wrong(diagnostic)) => {
                return Err(self.fault(&diagnostic));
            }
        };
        if asks_for_facts(&wanted) {
            self.prepared()?;
        }
        let mut bindings = self.bindings();
        let before: Vec<String> = bindings.iter().map(|(name, _)| name.to_owned()).collect();
        let began = Instant::now();
        let (result, log, stop) = self.evaluated(&body, &mut bindings);
        let took = began.elapsed();
        match (result, stop) {
            (_, Some(stop)) => Err(self.stopped(stop)),
            (Err(diagnostic), None) => Err(self.fault(&diagnostic)),
            (Ok(value), None) => {
                let fresh: Vec<(String, Term)> = bindings
                    .iter()
                    .filter(|(name, _)| !before.iter().any(|known| known == name))
                    .map(|(name, value)| (name.to_owned(), value.clone()))
                    .collect();
                for (name, value) in &fresh {
                    self.variables.set(name, value.clone());
                }
                self.variables.set(IT, value.clone());
                Ok(Valued {
                    value,
                    fresh,
                    log,
                    took,
                })
            }
        }
    }

    /// The plan's constants, and over them the session's variables.
    fn bindings(&self) -> Bindings {
        let mut bindings = self.engine.plan.constants.clone();
        for (name, value) in self.variables.iter() {
            bindings.set(name, value.clone());
        }
        bindings
    }

    fn evaluated(
        &self,
        body: &[Expr],
        bindings: &mut Bindings,
    ) -> (Result<Term, Box<Diagnostic>>, Vec<LogLine>, Option<Stop>) {
        let functions = self.engine.plan.scripts();
        let mut live = self.live();
        let connection = self.engine.with_session(self.node.clone());
        let interrupt = &*self.manner.interrupt;
        let mut run = |host: &mut dyn OwnNames| {
            let mut host = Awake { host, interrupt };
            Evaluator::new(Phase::Live, &functions)
                .with_names(&mut host)
                .with_remote(&mut live)
                .with_limits(self.limits())
                .eval(body, bindings)
                .map_err(|failure| failure.diagnostic)
        };
        let (result, log) = match &self.upgrade {
            Some(upgrade) => {
                let mut host = connection.view(upgrade).host();
                (run(&mut host), host.log)
            }
            None => (run(&mut NoFacts(self.node.node())), Vec::new()),
        };
        // Pressed while nothing was called: in a sleep, or between two calls.
        live.interrupted();
        (result, log, live.stop)
    }

    pub(super) fn stopped(&self, stop: Stop) -> ReplError {
        match stop {
            Stop::Cancelled => ReplError {
                code: Code::E705,
                // The terminal has written `^C` behind what was there.
                text: format!(
                    "{}cancelled: what it called on the node was killed",
                    if self.manner.interactive { "\n" } else { "" }
                ),
            },
            Stop::Refused(mfa) => {
                let diagnostic = Diagnostic::new(
                    Code::E801,
                    format!("`{mfa}` is not among the functions that --read-only allows"),
                )
                .help("it might change the node; without --read-only it can be called");
                self.fault(&diagnostic)
            }
        }
    }

    /// A value with what else there is to say: what was printed, bound, and how long it took.
    fn printed(&self, valued: Valued, detailed: bool) -> String {
        let mut out = self.node.take_output();
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        for log in &valued.log {
            let _ = writeln!(out, "{}", log.text);
        }
        let style = self.manner.style;
        let width = self.screen.1.min(WIDTH);
        let notation = self.notation();
        let (value, _) = notation.within(&valued.value, width, MAX_PRINTED);
        out += &value;
        if !detailed {
            return out;
        }
        let mut notes: Vec<String> = valued
            .fresh
            .iter()
            .map(|(name, value)| format!("{name} = {}", brief(value, notation, 40, style.unicode)))
            .collect();
        if valued.took >= Duration::from_millis(1) {
            notes.push(style::time(valued.took));
        }
        let notes = notes.join("   ");
        if notes.is_empty() {
            return out;
        }
        let (used, needed) = (value.chars().count(), notes.chars().count());
        if !value.contains('\n') && used + 3 + needed <= width {
            let gap = width - used - needed;
            let _ = write!(out, "{:gap$}{}", "", style::faint(style, &notes));
        } else {
            let _ = write!(out, "\n{}", style::faint(style, &notes));
        }
        out
    }

    /// `f()`, `f(X)`, `b()`, as in Erlang's shell; `None` for everything else.
    pub(super) fn forget(&mut self, text: &str) -> Option<Reply> {
        let all = tokens(text);
        let words: Vec<&str> = all
            .iter()
            .filter(|t| !matches!(t.sort, Sort::Dot | Sort::Comment))
            .map(|t| &text[t.range.clone()])
            .collect();
        let is_plans = |name: &str, arity| {
            let functions = &self.engine.plan.functions;
            functions.contains_key(&(name.to_owned(), arity))
        };
        match words.as_slice() {
            ["f", "(", ")"] if !is_plans("f", 0) => {
                self.variables = Bindings::new();
                Some(Reply::Text("ok".to_owned()))
            }
            ["f", "(", name, ")"]
                if name.starts_with(|c: char| c.is_uppercase() || c == '_')
                    && !is_plans("f", 1) =>
            {
                self.variables.remove(name);
                Some(Reply::Text("ok".to_owned()))
            }
            ["b", "(", ")"] if !is_plans("b", 0) => {
                let (shown, notation) = (self.bindings(), self.notation());
                let lines = shown
                    .iter()
                    .map(|(name, value)| format!("{name} = {}", brief(value, notation, 200, true)));
                Some(Reply::Text(lines.collect::<Vec<_>>().join("\n")))
            }
            _ => None,
        }
    }
}

/// A value on one line, cut.
fn brief(value: &Term, notation: Notation, most: usize, unicode: bool) -> String {
    // Blanks may be many: what is left of them is cut once more.
    let (text, _) = notation.within(value, 10_000, most.saturating_mul(8).max(4_096));
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(most) {
        None => line,
        Some((at, _)) => format!("{}{}", &line[..at], if unicode { "…" } else { "..." }),
    }
}

/// Whether a text mentions a name that is known only when the node was compared.
fn asks_for_facts(text: &str) -> bool {
    tokens(text).iter().any(|token| {
        token.sort == Sort::Word
            && text[token.range.clone()] != *"node"
            && needs(&text[token.range.clone()]) == Some(Phase::Facts)
    })
}

/// The text with `it` and `v()` replaced by the variable of the last value, every byte where it was. `it` as a
/// function, a module, a key of a map or in quotes is left alone.
fn with_it(text: &str) -> String {
    let all = tokens(text);
    let word = |at: usize| all.get(at).map_or("", |token| &text[token.range.clone()]);
    let mut out = text.as_bytes().to_vec();
    for (at, token) in all.iter().enumerate() {
        if token.sort != Sort::Word {
            continue;
        }
        let before = at.checked_sub(1).map_or("", word);
        if matches!(before, ":" | "fun" | "#") {
            continue;
        }
        match (word(at), word(at + 1), word(at + 2)) {
            ("it", "(" | ":" | "=>" | ":=" | "/", _) => {}
            ("it", ..) => out[token.range.clone()].copy_from_slice(IT.as_bytes()),
            ("v", "(", ")") => {
                let end = all[at + 2].range.end;
                out[token.range.start..end].fill(b' ');
                out[token.range.start..token.range.start + IT.len()].copy_from_slice(IT.as_bytes());
            }
            _ => {}
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_has_two_names() {
        assert_eq!(with_it("it + 1"), "It + 1");
        assert_eq!(with_it("lists:sum(it)"), "lists:sum(It)");
        assert_eq!(with_it("v() * v( )"), "It  * It  ");
        assert_eq!(with_it("{it, 'it', \"it\"}"), "{It, 'it', \"it\"}");
        for text in ["it:f(1)", "it(1)", "#{it => 1}", "m:it(2)", "units", "v(1)"] {
            assert_eq!(with_it(text), text);
        }
    }
}
