//! After a stage: what the plan's `hold`s say, on all nodes of the stage that are new, each asked by a thread of its
//! own.
//!
//! Takes prepared nodes and reports how far it has come; gives what did not hold. Nothing on a node is changed, and
//! nothing there waits for it: when this client is gone, the nodes run what they run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

use super::rollout::PreparedNode;
use super::{Connection, Engine};
use crate::diag::{Code, Diagnostic};
use crate::exec::condition::CheckContext;
use crate::exec::hold::{HoldEnd, HoldShared, HoldState, HoldWatch, did_not_hold};
use crate::exec::{EventKind, Interrupt};
use crate::name::NodeName;
use crate::plan::Hold;
use crate::rules::node_view::LogLine;

/// How often a look is taken for requests to stop, and progress is reported.
const LOOK: std::time::Duration = std::time::Duration::from_millis(50);

/// How often a connection that is lost is made anew; a node that is there every other second is not watched.
const RECONNECTS: u32 = 3;

/// A node of the stage.
pub(super) struct HeldNode<'a, 'e> {
    /// Its position in the rollout.
    pub at: usize,
    /// The node, with its facts.
    pub prepared: &'a PreparedNode<'e>,
}

/// What a node's thread reports.
enum News {
    Log(Vec<LogLine>),
    Ended(HoldEnd),
}

/// Something that happens meanwhile.
pub(super) enum HoldNews {
    /// Progress: by node of the stage, then by hold.
    Progress(Vec<Vec<HoldState>>),
    /// An event of a node, by its position in the rollout.
    Node(usize, EventKind),
}

/// How it ended for the stage.
pub(super) enum StageHeld {
    /// Everything has held: for each hold, on how many nodes it applies.
    Yes(Vec<usize>),
    /// The end was requested.
    Stopped,
    /// It did not, on this node.
    No(NodeName, Box<Diagnostic>),
}

/// Waits until all holds have held on all nodes; the first that has not ends it, as does a request to stop.
pub(super) fn hold(
    engine: &Engine,
    nodes: &[HeldNode<'_, '_>],
    interrupt: &Interrupt,
    tell: &mut dyn FnMut(HoldNews),
) -> StageHeld {
    let holds = &engine.plan.holds;
    let shared = &HoldShared::new(nodes.len(), holds.len());
    let asked = interrupt.count();
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for (number, node) in nodes.iter().enumerate() {
            let sender = sender.clone();
            scope.spawn(move || {
                let mut log = |lines: Vec<LogLine>| {
                    if !lines.is_empty() {
                        // There is no receiver only when all is over.
                        let _ = sender.send((number, News::Log(lines)));
                    }
                };
                let asking =
                    AssertUnwindSafe(|| on_node(engine, node, holds, number, shared, &mut log));
                // Whatever happens here, the stage must hear of an end.
                let end = catch_unwind(asking).unwrap_or_else(|_| {
                    HoldEnd::Lost("updo lost track of it because of a bug".to_owned())
                });
                let _ = sender.send((number, News::Ended(end)));
            });
        }
        drop(sender);
        let mut end = None;
        let mut running = nodes.len();
        while running > 0 {
            let is_first = end.is_none();
            if is_first && interrupt.count() > asked {
                shared.stop();
                end = Some(StageHeld::Stopped);
            }
            match receiver.recv_timeout(LOOK) {
                Ok((number, News::Log(lines))) => {
                    for LogLine { warn, text } in lines {
                        let event = EventKind::Log { warn, text };
                        tell(HoldNews::Node(nodes[number].at, event));
                    }
                }
                Ok((number, News::Ended(ended))) => {
                    running -= 1;
                    let why = node_ended(&nodes[number], holds, shared, number, ended, tell);
                    if let (Some(why), true) = (why, is_first) {
                        shared.stop();
                        let node = nodes[number].prepared.node().clone();
                        end = Some(StageHeld::No(node, why));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if end.is_none() && running > 0 {
                tell(HoldNews::Progress(shared.states()));
            }
        }
        end.unwrap_or_else(|| {
            let states = shared.states();
            let applies = |at: usize| states.iter().filter(|node| node[at].applies).count();
            StageHeld::Yes((0..holds.len()).map(applies).collect())
        })
    })
}

/// Reports the holds of a node that are over; gives what is wrong, if anything.
fn node_ended(
    node: &HeldNode<'_, '_>,
    holds: &[Hold],
    shared: &HoldShared,
    number: usize,
    ended: HoldEnd,
    tell: &mut dyn FnMut(HoldNews),
) -> Option<Box<Diagnostic>> {
    let states = shared.states().swap_remove(number);
    let failed = match &ended {
        HoldEnd::Failed(failed, _) => Some(*failed),
        _ => None,
    };
    for (at, (hold, state)) in holds.iter().zip(&states).enumerate() {
        // One that others have ended came to nothing.
        let (Some(held), true) = (state.held, state.applies) else {
            continue;
        };
        let event = EventKind::Hold {
            name: hold.name.clone(),
            ok: failed != Some(at),
            held,
            goal: hold.time,
            tries: state.tries,
            took: state.took,
        };
        tell(HoldNews::Node(node.at, event));
    }
    let name = node.prepared.node();
    match ended {
        HoldEnd::Held | HoldEnd::Stopped => None,
        HoldEnd::Failed(at, cause) => Some(Box::new(did_not_hold(
            &holds[at],
            name,
            &states[at],
            &cause,
        ))),
        HoldEnd::Lost(why) => Some(Box::new(lost(name, holds, &states, why))),
    }
}

/// E647: the node is not there any more, or not the one that was upgraded.
fn lost(node: &NodeName, holds: &[Hold], states: &[HoldState], why: String) -> Diagnostic {
    let open = holds.iter().zip(states);
    let open: Vec<_> = open
        .filter(|(_, state)| state.applies && state.held.is_none())
        .collect();
    let held: Vec<String> = open
        .iter()
        .map(|(hold, state)| {
            let held = state.so_far(hold).as_secs();
            let whole = humantime::format_duration(hold.time);
            format!("`{}` had held for {held}s of {whole}", hold.name)
        })
        .collect();
    let mut diagnostic = Diagnostic::new(Code::E647, format!("{node} was lost in a hold"));
    for (hold, _) in open.iter().take(1) {
        diagnostic = diagnostic.label(hold.span, "this had to hold");
    }
    diagnostic.notes.push(why);
    diagnostic.notes.extend(held);
    diagnostic.help("see why it ended, and what it runs now: updo status PLAN")
}

/// The holds of one node, over a connection that is made anew where it was lost.
fn on_node(
    engine: &Engine,
    node: &HeldNode<'_, '_>,
    holds: &[Hold],
    number: usize,
    shared: &HoldShared,
    log: &mut dyn FnMut(Vec<LogLine>),
) -> HoldEnd {
    let mut watch = HoldWatch::new(holds, number, shared);
    let mut begun = false;
    let mut fresh: Option<Connection<'_>> = None;
    let mut lost = None;
    for _ in 0..=RECONNECTS {
        let connection = fresh.as_ref().unwrap_or(&node.prepared.connection);
        if connection.session.is_lost().is_some() {
            match reconnected(engine, node) {
                Ok(connection) => {
                    fresh = Some(connection);
                    watch.begin_anew();
                }
                Err(why) => return HoldEnd::Lost(why),
            }
        }
        let connection = fresh.as_ref().unwrap_or(&node.prepared.connection);
        let view = connection.view(&node.prepared.upgrade);
        let scene = CheckContext::new(&engine.plan, &connection.session, view);
        if !begun {
            if let Err((at, diagnostic)) = watch.begin(&scene) {
                return HoldEnd::Failed(at, diagnostic);
            }
            begun = true;
        }
        match watch.watch(&scene, log) {
            HoldEnd::Lost(why) => lost = Some(why),
            end => return end,
        }
    }
    HoldEnd::Lost(lost.unwrap_or_else(|| "the connection was lost again and again".to_owned()))
}

/// A connection to the node that was upgraded, and to no later one of its name.
fn reconnected<'e>(
    engine: &'e Engine,
    node: &HeldNode<'_, '_>,
) -> std::result::Result<Connection<'e>, String> {
    let connection = engine
        .connect(node.prepared.node())
        .map_err(|diagnostic| format!("{}: {}", diagnostic.code, diagnostic.title))?;
    let before = &node.prepared.connection.session;
    match connection.session.creation() == before.creation() {
        true => Ok(connection),
        false => Err("it was started again since it was upgraded".to_owned()),
    }
}
