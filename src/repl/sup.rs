//! `:sup`: the supervision trees, as the supervisors themselves tell.
//!
//! Supervisors are found by their initial call and asked all at the same time, first for numbers only: one with
//! thousands of children is shown by its number. One that does not answer within a moment is reported as such.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use super::session::{ReplError, ReplSession};
use crate::name::App;
use crate::node::evaluate;
use crate::term::{Pid, Term};

/// How long all answers together may take.
const MOMENT: Duration = Duration::from_secs(1);

/// Children of one supervisor that are listed.
const CHILDREN: i64 = 30;

/// Supervisors that are asked.
const SUPERVISORS: usize = 400;

/// Supervisors with their names and parents.
const FIND: &str = "
    [{P,
      case erlang:process_info(P, registered_name) of {registered_name, N} -> N; _ -> [] end,
      M,
      case erlang:process_info(P, dictionary) of
          {dictionary, D} ->
              case lists:keyfind('$ancestors', 1, D) of
                  {_, [A | _]} when is_atom(A) -> erlang:whereis(A);
                  {_, [A | _]} -> A;
                  _ -> undefined
              end;
          _ -> undefined
      end,
      application:get_application(P)}
     || P <- erlang:processes(),
        M <- case proc_lib:translate_initial_call(P) of {supervisor, Cb, _} -> [Cb]; _ -> [] end].";

struct Supervisor {
    pid: Pid,
    name: String,
    module: String,
    parent: Option<Pid>,
    app: Option<String>,
    answer: Answer,
}

enum Answer {
    /// It did not answer in time.
    Silent,
    /// How many live children of how many, too many to list.
    Many(i64),
    /// Each child: its id, its process, what it is, the supervisor among them by its pid.
    Children(Vec<(String, Option<Pid>, String)>),
}

impl ReplSession {
    /// `:sup`, `:sup APP`
    pub(super) fn sup(&mut self, app: Option<&App>) -> Result<String, ReplError> {
        let found = evaluate(&self.node, FIND, &[], Duration::from_secs(5))
            .map_err(|error| self.fault(&error.diagnostic("looking for supervisors")))?;
        let mut all: Vec<Supervisor> = found
            .as_list()
            .unwrap_or_default()
            .iter()
            .filter_map(read)
            .collect();
        let left = all.len().saturating_sub(SUPERVISORS);
        all.truncate(SUPERVISORS);
        self.answers(&mut all);
        let pids: Vec<Pid> = all.iter().map(|sup| sup.pid.clone()).collect();
        let is_root = |sup: &&Supervisor| sup.parent.as_ref().is_none_or(|p| !pids.contains(p));
        let wanted =
            |sup: &&Supervisor| app.is_none_or(|app| sup.app.as_deref() == Some(app.as_str()));
        let mut roots: BTreeMap<&str, Vec<&Supervisor>> = BTreeMap::new();
        for sup in all.iter().filter(is_root).filter(wanted) {
            let name = sup.app.as_deref().unwrap_or("of no application");
            roots.entry(name).or_default().push(sup);
        }
        if let (true, Some(app)) = (roots.is_empty(), app) {
            let loaded = self.ask(
                "application",
                "get_key",
                vec![Term::atom(app.as_str()), Term::atom("vsn")],
            )?;
            if loaded.is_atom("undefined") {
                return Err(self.no_such_app(app));
            }
            return Ok(format!("{} has no supervisor", app.as_str()));
        }
        let mut out = String::new();
        for (app, roots) in roots {
            let _ = writeln!(out, "{app}");
            for root in roots {
                let shown = format!("{} {}", root.name, Term::Pid(root.pid.clone()));
                let _ = writeln!(out, "  {}  {}", shown.trim_start(), root.module);
                below(&mut out, root, &all, 2);
            }
        }
        if left > 0 {
            let _ = writeln!(out, "and {left} more supervisors");
        }
        Ok(out)
    }

    /// Asks all supervisors at the same time.
    fn answers(&self, all: &mut [Supervisor]) {
        let until = Instant::now() + MOMENT;
        let ask = |function: &str, wanted: &[usize], take: &mut dyn FnMut(usize, Term)| {
            let calls: Vec<_> = wanted
                .iter()
                .map(|at| {
                    let args = vec![Term::Pid(all[*at].pid.clone())];
                    (*at, self.node.start_call("supervisor", function, args))
                })
                .collect();
            for (at, call) in calls {
                let Ok(mut call) = call else { continue };
                match call.poll(until.saturating_duration_since(Instant::now())) {
                    Some(Ok(answer)) => take(at, answer),
                    Some(Err(_)) => {}
                    // It waits for a supervisor that is busy or suspended, and would for ever.
                    None => call.kill(),
                }
            }
        };
        let everybody: Vec<usize> = (0..all.len()).collect();
        let mut counts: BTreeMap<usize, i64> = BTreeMap::new();
        ask("count_children", &everybody, &mut |at, answer| {
            counts.insert(at, counted(&answer));
        });
        let few: Vec<usize> = counts
            .iter()
            .filter(|(_, count)| **count <= CHILDREN)
            .map(|(at, _)| *at)
            .collect();
        let mut listed: BTreeMap<usize, Term> = BTreeMap::new();
        ask("which_children", &few, &mut |at, answer| {
            listed.insert(at, answer);
        });
        for (at, sup) in all.iter_mut().enumerate() {
            sup.answer = match (counts.get(&at), listed.get(&at)) {
                (_, Some(answer)) => Answer::Children(children(answer)),
                (Some(count), None) if *count > CHILDREN => Answer::Many(*count),
                _ => Answer::Silent,
            };
        }
    }
}

fn read(term: &Term) -> Option<Supervisor> {
    let [pid, name, module, parent, app] = term.as_tuple()? else {
        return None;
    };
    Some(Supervisor {
        pid: pid.as_pid()?.clone(),
        name: match name {
            Term::Atom(name) => Term::Atom(name.clone()).to_string(),
            _ => String::new(),
        },
        module: module.to_string(),
        parent: parent.as_pid().cloned(),
        app: app.as_tuple().and_then(|pair| pair.get(1)?.to_text()),
        answer: Answer::Silent,
    })
}

/// The children that live, and the specifications.
fn counted(answer: &Term) -> i64 {
    let number = |wanted: &str| {
        let pairs = answer.as_list()?.iter();
        pairs
            .filter_map(Term::as_tuple)
            .find_map(|pair| match pair {
                [key, value] if key.is_atom(wanted) => value.as_i64(),
                _ => None,
            })
    };
    number("active")
        .unwrap_or(0)
        .max(number("specs").unwrap_or(0))
}

fn children(answer: &Term) -> Vec<(String, Option<Pid>, String)> {
    let list = answer.as_list().unwrap_or_default();
    let mut found: Vec<_> = list
        .iter()
        .filter_map(|child| {
            let [id, pid, kind, modules] = child.as_tuple()? else {
                return None;
            };
            let modules = match modules.as_list() {
                Some([one]) if one.to_string() != id.to_string() => format!("  {one}"),
                _ => String::new(),
            };
            let id = match id.is_atom("undefined") {
                true => "-".to_owned(),
                false => id.to_string(),
            };
            let state = if pid.as_pid().is_some() {
                String::new()
            } else {
                format!("  {pid}")
            };
            let kind = format!("{kind}{modules}{state}");
            Some((id, pid.as_pid().cloned(), kind))
        })
        .collect();
    // Supervisors tell the youngest first.
    found.reverse();
    found
}

fn below(out: &mut String, sup: &Supervisor, all: &[Supervisor], depth: usize) {
    // A process cannot be below itself; a bound all the same.
    if depth > 40 {
        return;
    }
    let indent = "  ".repeat(depth);
    match &sup.answer {
        Answer::Silent => {
            let _ = writeln!(out, "{indent}does not answer");
        }
        Answer::Many(count) => {
            let _ = writeln!(out, "{indent}{count} children");
        }
        Answer::Children(children) => {
            for (id, pid, kind) in children {
                let shown = pid
                    .as_ref()
                    .map_or_else(String::new, |pid| format!(" {}", Term::Pid(pid.clone())));
                let _ = writeln!(out, "{indent}{id}{shown}  {kind}");
                let inner = all.iter().find(|sup| Some(&sup.pid) == pid.as_ref());
                if let Some(inner) = inner {
                    below(out, inner, all, depth + 1);
                }
            }
        }
    }
}
