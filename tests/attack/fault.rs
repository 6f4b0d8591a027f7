//! The kinds of fault.

use crate::support::invented::Dice;

/// When it happens.
const MOMENTS: [&str; 5] = ["now", "agent", "window", "switched", "resumed"];

/// What is done.
#[derive(Clone, Debug)]
pub enum Act {
    /// By `harbour_fault`, in the node, at the moment.
    Node(String),
    /// By `harbour_fault`, in the node, before the run.
    Earlier(String),
    /// At the client.
    Client(Client),
}

/// What is done to the client or its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// It is killed.
    Kill,
    /// It is stopped for so many ms.
    Stop(u64),
    /// It gets SIGTERM.
    Term,
    /// It gets Ctrl-C.
    Interrupt,
    /// It gets Ctrl-C twice.
    InterruptTwice,
    /// The node forgets the connection.
    Disconnect,
    /// The connection breaks.
    Cut,
    /// Nothing comes through for so many ms.
    Stall(u64),
    /// Another one wants to upgrade the same node.
    Second,
    /// Another one calls the run off.
    Abort,
}

/// A fault of a trial.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Its kind.
    pub name: &'static str,
    /// What is done.
    pub act: Act,
    /// When.
    pub moment: &'static str,
    /// So many milliseconds after that.
    pub delay: usize,
    /// What it explains, for `harbour_check:problems/1`.
    pub allow: &'static [&'static str],
    /// Whether exit code 21 may come of it.
    pub may_break: bool,
    /// Whether all that could have put things right may be dead.
    pub no_agent: bool,
    /// Whether the node is not used again.
    pub fresh: bool,
}

/// All kinds.
pub const KINDS: [&str; 48] = [
    "nothing",
    "client killed",
    "client stopped",
    "client terminated",
    "client interrupted",
    "client interrupted twice",
    "client disconnected",
    "link cut",
    "link stalled",
    "second client",
    "run called off",
    "guardian killed",
    "executor killed",
    "worker killed",
    "three agents killed",
    "guardian and executor killed",
    "all agents killed",
    "all agents and the watchdog killed",
    "watchdog killed",
    "agents get an exit signal",
    "agents linked to one that dies",
    "agents get junk",
    "processes killed",
    "a tenth killed",
    "manager killed",
    "pool killed",
    "top supervisor killed",
    "restarts",
    "births in the pool",
    "births without supervisor",
    "storm of processes",
    "long queue",
    "busy server",
    "busy manager",
    "suspended before",
    "suspended meanwhile",
    "resumed meanwhile",
    "suspended by the machine",
    "foreign load",
    "foreign load of a library",
    "tracer before",
    "tracer meanwhile",
    "trace patterns",
    "debug options",
    "slow logger",
    "name taken",
    "process table full",
    "machine busy",
];

/// Those after which no process may be left to put things right.
const NO_AGENT: [&str; 6] = [
    "three agents killed",
    "guardian and executor killed",
    "all agents killed",
    "all agents and the watchdog killed",
    "agents get an exit signal",
    "agents linked to one that dies",
];

impl Fault {
    /// One of a kind, the rest by chance.
    pub fn new(name: &'static str, dice: &mut Dice) -> Self {
        let node = |term: &str| Act::Node(term.to_owned());
        let earlier = |term: &str| Act::Earlier(term.to_owned());
        let mut moment = dice.pick(&MOMENTS);
        let mut delay = match moment {
            "now" => dice.below(900),
            "agent" => [0, 1, 5, 20, 80, 200][dice.below(6)],
            _ => [0, 0, 1, 3, 10, 40][dice.below(6)],
        };
        let gap = [0, 1, 5][dice.below(3)];
        let (mut allow, mut may_break, mut fresh): (&[&str], _, _) = (&[], false, false);
        let no_agent = NO_AGENT.contains(&name);
        let act = match name {
            "client killed" => Act::Client(Client::Kill),
            "client stopped" => Act::Client(Client::Stop([500, 1500, 4000][dice.below(3)])),
            "client terminated" => Act::Client(Client::Term),
            "client interrupted" => Act::Client(Client::Interrupt),
            "client interrupted twice" => Act::Client(Client::InterruptTwice),
            "client disconnected" => Act::Client(Client::Disconnect),
            "link cut" => Act::Client(Client::Cut),
            "link stalled" => Act::Client(Client::Stall([500, 3000][dice.below(2)])),
            "second client" => Act::Client(Client::Second),
            "run called off" => Act::Client(Client::Abort),
            "guardian killed" => node("{kill, [guardian], 0}"),
            "executor killed" => node("{kill, [executor], 0}"),
            "watchdog killed" => node("{kill, [watchdog], 0}"),
            "worker killed" => node("{kill, [worker], 0}"),
            "three agents killed" => Act::Node(format!("{{kill, [any, any, any], {gap}}}")),
            "guardian and executor killed" => node("{kill, [executor, guardian], 0}"),
            "all agents killed" => node("{kill, [all], 0}"),
            "all agents and the watchdog killed" => node("{kill, [all, watchdog], 0}"),
            "agents get an exit signal" => node("{exit, boom}"),
            "agents linked to one that dies" => node("{link, boom}"),
            "agents get junk" => node("{junk, 200}"),
            "processes killed" => node("{fell_one, [crane, truck, lock, pilot]}"),
            "a tenth killed" => node("{fell, 10}"),
            "manager killed" => {
                allow = &["dead"];
                node("{fell_named, harbour_belfry, []}")
            }
            "pool killed" => {
                allow = &["dead"];
                node("{fell_named, harbour_garage, [truck]}")
            }
            "top supervisor killed" => {
                allow = &["dead"];
                node("{fell_named, harbour_sup, [truck, crane, lock, pilot]}")
            }
            "restarts" => node("{restarts, 1500}"),
            "births in the pool" => node("{births, 1500}"),
            "births without supervisor" => {
                may_break = true;
                node("{births_raw, 300}")
            }
            "storm of processes" => node("{storm, 10000}"),
            "long queue" => {
                moment = "now";
                node("{queue, 100000}")
            }
            "busy server" => {
                moment = "now";
                Act::Node(format!(
                    "{{busy, [crane, lock], {}}}",
                    [300, 2500, 9000][dice.below(3)]
                ))
            }
            "busy manager" => {
                moment = "now";
                Act::Node(format!(
                    "{{busy_manager, {}}}",
                    [300, 2500, 9000][dice.below(3)]
                ))
            }
            "suspended before" => earlier("{suspended, 3}"),
            "suspended meanwhile" => {
                allow = &["either"];
                node("{suspend, 3}")
            }
            "resumed meanwhile" => {
                allow = &["mixed"];
                node("{resume, 3}")
            }
            "suspended by the machine" => node("{vm_suspend, 3, 600}"),
            "foreign load" => {
                // Loading code by hand converts no states down.
                (may_break, allow) = (true, &["mixed", "misfit", "loaded"]);
                node("{load, harbour_crane}")
            }
            "foreign load of a library" => {
                // It purges, and with that ends the funs of the code before.
                (may_break, allow) = (true, &["loaded", "dead"]);
                node("{load, harbour_tide}")
            }
            "tracer before" => {
                may_break = true;
                earlier("tracer")
            }
            "tracer meanwhile" => {
                may_break = true;
                node("tracer")
            }
            "trace patterns" => earlier("patterns"),
            "debug options" => earlier("{debugged, 5}"),
            "slow logger" => earlier("logger"),
            "name taken" => earlier("name"),
            "process table full" => {
                (fresh, may_break, allow) = (true, true, &["timeouts"]);
                Act::Node(format!("{{full, {}}}", [50, 400, 2000][dice.below(3)]))
            }
            "machine busy" => Act::Node(
                [
                    "{memory, 400, 1500}",
                    "{code_server, 1500}",
                    "{block, 1000}",
                    "{greedy, 1000}",
                    "{collect, 1500}",
                ][dice.below(5)]
                .to_owned(),
            ),
            _ => node("nothing"),
        };
        if moment == "now" && matches!(name, "busy server" | "busy manager" | "long queue") {
            delay = dice.below(500);
        }
        Self {
            name,
            act,
            moment,
            delay,
            allow,
            may_break: may_break || no_agent,
            no_agent,
            fresh,
        }
    }
}
