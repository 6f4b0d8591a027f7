//! What functions send to processes of other nodes, and call there.
//!
//! Every exported function is executed with nothing known of its arguments, and every other one that was not reached
//! from these; a fun that is handed to another module is called as well. A request counts when its address is, or may
//! be, that of a process of another node: `{Name, Node}`, a name of `global`, a member of a group. A pid of which
//! nothing is known does not, for most of them are of the own node.

use std::collections::BTreeSet;

use super::acceptance::Acceptance;
use super::recording::{
    Address, Recording, RemoteCall, RemoteFun, RequestKind, Sent, Started, add, address, each,
    elixir_name, is_own, list_with, member, mfa, name_of, registered_globally, undefined,
};
use super::value::SymbolicValue;
use crate::facts::beam::opcode as op;
use crate::name::{FunctionArity, Mfa, Module};

use super::interfaces::keyword;

/// Instructions of all functions of a module together.
const MAX_STEPS: usize = 2_000_000;

/// With so many elements of a list a fun is called.
const MAX_EACH: usize = 4;

/// What functions of a module send.
pub struct Traffic {
    /// Requests.
    pub sent: Vec<Sent>,
    /// Functions that are called on other nodes.
    pub calls: Vec<RemoteCall>,
    /// Funs that are executed there.
    pub funs: Vec<RemoteFun>,
    /// Processes that are started or registered under a name.
    pub started: Vec<Started>,
}

/// Whether a call of this function is of any interest here.
fn is_sending(to: &Mfa) -> bool {
    let function = &*to.function;
    match to.module.as_str() {
        "gen_server"
        | "gen_statem"
        | "Elixir.GenServer"
        | "Elixir.GenStage"
        | "Elixir.GenStateMachine" => true,
        "rpc"
        | "erpc"
        | "global"
        | "pg"
        | "pg2"
        | "syn"
        | "Elixir.Node"
        | "Elixir.Agent"
        | "Elixir.Task.Supervisor"
        | "Elixir.Phoenix.PubSub" => true,
        "proc_lib" => function.starts_with("spawn"),
        "Elixir.Process" => matches!(function, "send" | "register"),
        "erlang" => {
            function.starts_with("spawn")
                || matches!(function, "send" | "send_nosuspend" | "register")
        }
        _ => false,
    }
}

impl Acceptance {
    /// What the functions of the module send; `exports` are those that are called from outside.
    pub fn traffic(mut self, exports: &BTreeSet<FunctionArity>) -> Traffic {
        let unit = self.unit().clone();
        self.recording = Some(Box::default());
        let sends = unit.imports.iter().any(is_sending)
            || unit.code.iter().any(|one| one.opcode == op::SEND);
        let mut functions: Vec<(bool, u32, u32)> = Vec::new();
        for function in self.functions() {
            let key = (function.name.clone(), function.arity);
            let Some(label) = unit.functions.get(&key).copied() else {
                continue;
            };
            functions.push((!exports.contains(&function), label, function.arity));
            if let Some(recording) = &mut self.recording {
                recording.arities.insert(label, function.arity);
            }
        }
        functions.sort_unstable();
        let mut steps = 0;
        for (inner, label, arity) in functions.into_iter().filter(|_| sends) {
            let entered = |this: &Self| {
                let recording = this.recording.as_ref();
                recording.is_some_and(|recording| recording.entered.contains(&label))
            };
            if steps > MAX_STEPS || inner && entered(&self) {
                continue;
            }
            self.record(label, arity);
            steps += self.steps();
        }
        let recording = self.recording.take().map(|recording| *recording);
        let Recording {
            sent,
            calls,
            funs,
            started,
            ..
        } = recording.unwrap_or_default();
        Traffic {
            sent,
            calls,
            funs,
            started,
        }
    }

    /// `To ! Message`.
    pub(super) fn message(&mut self, to: &SymbolicValue, message: &SymbolicValue, at: usize) {
        self.sent(address(to, false), RequestKind::Message, message, at);
    }

    fn sent(&mut self, to: Option<Address>, kind: RequestKind, request: &SymbolicValue, at: usize) {
        let from = self.unit().place(self.made_at(request, at));
        let Some(recording) = &mut self.recording else {
            return;
        };
        if let (Some(to), false) = (to, matches!(request, SymbolicValue::Unknown)) {
            let sent = Sent {
                to,
                kind,
                request: request.clone(),
                from,
            };
            add(&mut recording.sent, sent);
        }
    }

    /// Where a function is called that is given a request and only sends it: there it says more than where it is sent.
    fn made_at(&self, request: &SymbolicValue, at: usize) -> usize {
        let Some(recording) = &self.recording else {
            return at;
        };
        let open = self.open.iter().zip(&recording.sites).rev();
        let handed = open.map_while(|((_, args), site)| match args.contains(request) {
            true => *site,
            false => None,
        });
        handed.last().unwrap_or(at)
    }

    fn executed_there(&mut self, what: &[SymbolicValue], at: usize) {
        let from = self.unit().place(at);
        let Some(recording) = &mut self.recording else {
            return;
        };
        match what {
            [SymbolicValue::Fun(module, ..), ..] => {
                let module = module.clone();
                add(&mut recording.funs, RemoteFun { module, from });
            }
            [module, function, args, ..] => {
                let Some((to, args)) = mfa(module, function, args) else {
                    return;
                };
                let is_apply = to.module.as_str() == "erlang" && &*to.function == "apply";
                match args.as_slice() {
                    [SymbolicValue::Fun(module, ..), _] if is_apply => {
                        let module = module.clone();
                        add(&mut recording.funs, RemoteFun { module, from });
                    }
                    [module, function, args] if is_apply => {
                        if let Some((to, _)) = mfa(module, function, args) {
                            add(&mut recording.calls, RemoteCall { to, from });
                        }
                    }
                    _ => add(&mut recording.calls, RemoteCall { to, from }),
                }
            }
            _ => {}
        }
    }

    fn started(&mut self, name: Option<Address>, module: Option<&SymbolicValue>) {
        let (Some(name), Some(recording)) = (name, &mut self.recording) else {
            return;
        };
        let module = match module {
            Some(module) => match module.as_atom() {
                Some(module) => Some(Module::new(module.as_str())),
                None => return,
            },
            None => None,
        };
        add(&mut recording.started, Started { name, module });
    }

    /// A call of another module: what it sends, and what it answers where that is known here. Funs among its arguments
    /// are called.
    pub(super) fn observed(
        &mut self,
        to: &Mfa,
        args: &[SymbolicValue],
        at: usize,
        depth: usize,
    ) -> Option<Vec<SymbolicValue>> {
        let own = to.module == self.unit().module;
        let local = self.unit().functions.get(&(to.function.clone(), to.arity));
        if let Some(label) = local.copied().filter(|_| own) {
            return Some(self.run(label, args.to_vec(), depth + 1).answers);
        }
        self.requested(to, args, at);
        self.elsewhere(to, args, at);
        self.names(to, args);
        for arg in args {
            if let SymbolicValue::Fun(_, label, free, _) = arg {
                self.called_back(*label, free, args, depth);
            }
        }
        match (to.module.as_str(), &*to.function, args) {
            ("erlang", "node", []) | ("Elixir.Node", "self", []) => {
                Some(vec![super::recording::own_node()])
            }
            ("pg" | "pg2", "get_members", _) => Some(vec![list_with(member())]),
            ("syn", "members", _) => {
                let pair = vec![member(), SymbolicValue::Unknown];
                Some(vec![list_with(SymbolicValue::tuple_of(pair))])
            }
            ("global", "whereis_name", [name]) => {
                Some(vec![registered_globally(name), undefined()])
            }
            _ => None,
        }
    }

    /// A fun that another module calls: with elements of a list among the arguments when it takes one value.
    fn called_back(
        &mut self,
        label: u32,
        free: &[SymbolicValue],
        args: &[SymbolicValue],
        depth: usize,
    ) {
        let Some(recording) = &self.recording else {
            return;
        };
        let arity = recording.arities.get(&label).copied().unwrap_or(0) as usize;
        let given = arity.saturating_sub(free.len());
        let list = args.iter().find(|arg| !arg.items().0.is_empty());
        let firsts = match list {
            Some(list) if given > 0 => each(list, MAX_EACH),
            _ => vec![SymbolicValue::Unknown],
        };
        for first in firsts {
            let mut all = vec![SymbolicValue::Unknown; given];
            if let Some(place) = all.first_mut() {
                *place = first;
            }
            all.extend(free.iter().cloned());
            self.run(label, all, depth + 1);
        }
    }

    /// Requests to servers, and messages.
    fn requested(&mut self, to: &Mfa, args: &[SymbolicValue], at: usize) {
        use RequestKind::{Call, Cast, Message};
        let module = to.module.as_str();
        let named = |name: &SymbolicValue| name.as_atom().map(Address::Named);
        let (address, kind, request) = match (module, &*to.function, args) {
            (
                "gen_server"
                | "gen_statem"
                | "Elixir.GenServer"
                | "Elixir.GenStage"
                | "Elixir.GenStateMachine",
                function @ ("call" | "send_request" | "cast"),
                [to, request, ..],
            ) => {
                let kind = if function == "cast" { Cast } else { Call };
                (address(to, true), kind, request)
            }
            ("gen_server" | "Elixir.GenServer", "multi_call", [name, request]) => {
                (named(name), Call, request)
            }
            ("gen_server" | "Elixir.GenServer", "multi_call", [_, name, request, ..]) => {
                (named(name), Call, request)
            }
            ("gen_server" | "Elixir.GenServer", "abcast", [name, request]) => {
                (named(name), Cast, request)
            }
            ("gen_server" | "Elixir.GenServer", "abcast", [_, name, request]) => {
                (named(name), Cast, request)
            }
            ("erlang", "send" | "send_nosuspend", [to, request, ..])
            | ("Elixir.Process", "send", [to, request, _]) => {
                (address(to, false), Message, request)
            }
            ("global", "send", [name, request]) => {
                (Some(Address::Global(name.clone())), Message, request)
            }
            ("syn", "publish", [_, _, request]) => (Some(Address::Members), Message, request),
            ("Elixir.Phoenix.PubSub", "broadcast" | "broadcast!", [_, _, request, ..]) => {
                (Some(Address::Members), Message, request)
            }
            (
                "Elixir.Phoenix.PubSub",
                "broadcast_from" | "broadcast_from!" | "direct_broadcast" | "direct_broadcast!",
                [_, _, _, request, ..],
            ) => (Some(Address::Members), Message, request),
            _ => return,
        };
        self.sent(address, kind, request, at);
    }

    /// Functions and funs that are executed on another node: what follows the node is a fun, or module, function and
    /// arguments.
    fn elsewhere(&mut self, to: &Mfa, args: &[SymbolicValue], at: usize) {
        let Some((node, behind)) = args.split_first() else {
            return;
        };
        let function = &*to.function;
        let what = match (to.module.as_str(), function, args.len()) {
            ("rpc", "multicall" | "eval_everywhere", 3) => args,
            ("rpc", "multicall" | "eval_everywhere", 4)
                if node.as_atom().is_some() && args[1].as_atom().is_some() =>
            {
                args
            }
            ("rpc" | "erpc", _, _) if !is_own(node) => behind,
            ("erlang" | "proc_lib" | "Elixir.Node", _, _)
                if function.starts_with("spawn") && !is_own(node) =>
            {
                behind
            }
            ("Elixir.Task.Supervisor" | "Elixir.Agent", _, _) if address(node, true).is_some() => {
                behind
            }
            _ => return,
        };
        self.executed_there(what, at);
    }

    fn names(&mut self, to: &Mfa, args: &[SymbolicValue]) {
        match (to.module.as_str(), &*to.function, args) {
            (
                "gen_server" | "gen_statem",
                "start" | "start_link" | "start_monitor",
                [name, module, _, _],
            ) => self.started(name_of(name), Some(module)),
            (
                "Elixir.GenServer" | "Elixir.GenStage" | "Elixir.GenStateMachine",
                "start" | "start_link",
                [module, _, options],
            ) => self.started(elixir_name(&keyword(options, "name")), Some(module)),
            ("erlang", "register", [name, _]) | ("Elixir.Process", "register", [_, name]) => {
                self.started(name.as_atom().map(Address::Named), None);
            }
            ("global", "register_name", [name, ..]) => {
                self.started(Some(Address::Global(name.clone())), None);
            }
            _ => {}
        }
    }
}
