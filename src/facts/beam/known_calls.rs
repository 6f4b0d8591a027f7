//! Functions of OTP and Elixir whose arguments name a module, a process or a name to register.
//!
//! Gives, for an imported function, the positions of such arguments. It is a table of public
//! interfaces: kernel, stdlib and Elixir, as documented; a function that is not here means nothing special.

/// What an imported function does with its arguments. Positions count from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Meaning {
    /// Calls or starts a module that is an argument.
    pub(super) module: Option<ModuleArgument>,
    /// Sends to the process that this argument names.
    pub(super) sends: Option<usize>,
    /// Waits for the answer of a server.
    pub(super) waits: bool,
    /// Registers a name.
    pub(super) registers: Option<(usize, NameForm)>,
}

/// The position of the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ModuleArgument {
    /// Module, function and arguments from this position on.
    Mfa(usize),
    /// The same, at either of the positions 0 and 1: `multicall([Nodes,] M, F, A [, Timeout])`.
    MfaEither,
    /// Module, function and arity: `erlang:make_fun/3`.
    Mfarity(usize),
    /// A callback module.
    Callback(usize),
}

/// How a name to register is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameForm {
    /// The atom itself.
    Plain,
    /// `{local, Name}`.
    Local,
    /// `[name: Name]` among the options.
    Keyword,
}

/// What is known about `module:function/arity`.
pub(super) fn meaning(module: &str, function: &str, arity: u32) -> Meaning {
    let mut meaning = Meaning {
        module: starts(module, function, arity),
        ..Meaning::default()
    };
    meaning.sends = sends(module, function, arity);
    meaning.waits = waits(module, function, arity);
    meaning.registers = registers(module, function, arity);
    meaning
}

fn waits(module: &str, function: &str, arity: u32) -> bool {
    matches!(
        (module, function, arity),
        (
            "gen_server" | "gen_statem" | "Elixir.GenServer" | "Elixir.GenStage",
            "call",
            2 | 3
        ) | ("gen_event", "call", 3 | 4)
            | ("gen_event", "sync_notify", 2)
            | ("gen", "call", 3 | 4)
            | ("gen_server", "multi_call", 2..=4)
    )
}

fn starts(module: &str, function: &str, arity: u32) -> Option<ModuleArgument> {
    use ModuleArgument::{Callback, Mfa, MfaEither, Mfarity};
    Some(match (module, function, arity) {
        ("erlang", "apply" | "hibernate", 3) => Mfa(0),
        ("erlang", "make_fun", 3) => Mfarity(0),
        ("erlang", "spawn" | "spawn_link" | "spawn_monitor" | "spawn_request", 3) => Mfa(0),
        ("erlang", "spawn" | "spawn_link" | "spawn_monitor", 4) => Mfa(1),
        ("erlang" | "proc_lib", "spawn_opt", 4) => Mfa(0),
        ("erlang" | "proc_lib", "spawn_opt", 5) | ("erlang", "spawn_request", 5) => Mfa(1),
        ("erlang", "spawn_request", 4) => MfaEither,
        ("proc_lib", "spawn" | "spawn_link" | "hibernate", 3) => Mfa(0),
        ("proc_lib", "spawn" | "spawn_link", 4) => Mfa(1),
        ("proc_lib", "start" | "start_link" | "start_monitor", 3..=5) => Mfa(0),
        ("gen_server" | "gen_statem" | "gen_fsm", "start" | "start_link" | "start_monitor", 3) => {
            Callback(0)
        }
        ("gen_server" | "gen_statem" | "gen_fsm", "start" | "start_link" | "start_monitor", 4) => {
            Callback(1)
        }
        ("gen_server" | "gen_statem" | "gen_fsm", "enter_loop", 3..=6) => Callback(0),
        ("gen_event", "add_handler" | "add_sup_handler" | "delete_handler" | "call", 3) => {
            Callback(1)
        }
        ("gen_event", "call" | "send_request", 3..=4) => Callback(1),
        ("supervisor" | "supervisor_bridge", "start_link", 2) => Callback(0),
        ("supervisor" | "supervisor_bridge", "start_link", 3) => Callback(1),
        ("rpc", "call" | "block_call", 4..=5) | ("rpc", "cast" | "async_call", 4) => Mfa(1),
        ("rpc", "multicall" | "eval_everywhere", 3) => Mfa(0),
        ("rpc", "multicall" | "eval_everywhere", 4) => MfaEither,
        ("rpc", "multicall", 5) => Mfa(1),
        ("erpc", "call" | "multicall", 4..=5) | ("erpc", "cast" | "multicast", 4) => Mfa(1),
        ("erpc", "send_request", 4 | 6) => Mfa(1),
        ("timer", "apply_after" | "apply_interval" | "apply_repeatedly", 4) => Mfa(1),
        ("timer", "tc", 3) => Mfa(0),
        ("Elixir.GenServer" | "Elixir.GenStage", "start" | "start_link", 2..=3) => Callback(0),
        ("Elixir.Supervisor", "start_link", 2..=3)
        | ("Elixir.DynamicSupervisor", "start_link", 3) => Callback(0),
        ("Elixir.Agent", "start" | "start_link", 3..=4) => Mfa(0),
        ("Elixir.Task", "async" | "start" | "start_link", 3) => Mfa(0),
        ("Elixir.Task.Supervisor", "async" | "async_nolink", 4) => Mfa(1),
        ("Elixir.Task.Supervisor", "start_child", 4..=5) => Mfa(1),
        _ => return None,
    })
}

fn sends(module: &str, function: &str, arity: u32) -> Option<usize> {
    let known = matches!(
        (module, function, arity),
        ("erlang", "send", 2..=3)
            | ("erlang", "send_nosuspend", 2..=3)
            | ("erlang", "whereis", 1)
            | ("gen_server", "call", 2..=3)
            | ("gen_server", "cast" | "send_request", 2)
            | ("gen_statem" | "gen_fsm", "call", 2..=3)
            | ("gen_statem", "cast" | "send_request", 2)
            | (
                "gen_fsm",
                "send_event" | "sync_send_event" | "send_all_state_event",
                2..=3
            )
            | ("gen_fsm", "sync_send_all_state_event", 2..=3)
            | ("gen_event", "notify" | "sync_notify", 2)
            | (
                "gen_event",
                "call" | "add_handler" | "add_sup_handler" | "delete_handler",
                3..=4
            )
            | ("gen_event", "which_handlers", 1)
            | (
                "supervisor",
                "start_child" | "terminate_child" | "restart_child" | "delete_child",
                2
            )
            | ("supervisor", "which_children" | "count_children", 1)
            | ("Elixir.GenServer", "call" | "cast", 2..=3)
            | ("Elixir.GenServer", "whereis", 1)
            | ("Elixir.Process", "whereis", 1)
            | (
                "Elixir.Agent",
                "get" | "update" | "get_and_update" | "cast",
                2..=5
            )
            | (
                "Elixir.Supervisor" | "Elixir.DynamicSupervisor",
                "start_child" | "terminate_child",
                2
            )
            | (
                "Elixir.Supervisor" | "Elixir.DynamicSupervisor",
                "which_children" | "count_children",
                1
            )
            | (
                "Elixir.Task.Supervisor",
                "start_child" | "async" | "async_nolink",
                2..=5
            )
    );
    known.then_some(0)
}

fn registers(module: &str, function: &str, arity: u32) -> Option<(usize, NameForm)> {
    Some(match (module, function, arity) {
        ("erlang", "register", 2) => (0, NameForm::Plain),
        ("Elixir.Process", "register", 2) => (1, NameForm::Plain),
        ("gen_server" | "gen_statem" | "gen_fsm", "start" | "start_link" | "start_monitor", 4)
        | ("gen_event", "start" | "start_link" | "start_monitor", 1..=2)
        | ("supervisor" | "supervisor_bridge", "start_link", 3) => (0, NameForm::Local),
        (elixir, "start" | "start_link", 1..=5) if elixir.starts_with("Elixir.") => {
            (arity as usize - 1, NameForm::Keyword)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{ModuleArgument, NameForm, meaning};

    #[test]
    fn positions() {
        let start = meaning("gen_server", "start_link", 4);
        assert_eq!(start.module, Some(ModuleArgument::Callback(1)));
        assert_eq!(start.registers, Some((0, NameForm::Local)));
        let start = meaning("Elixir.GenServer", "start_link", 3);
        assert_eq!(start.module, Some(ModuleArgument::Callback(0)));
        assert_eq!(start.registers, Some((2, NameForm::Keyword)));
        assert_eq!(
            meaning("erlang", "spawn", 3).module,
            Some(ModuleArgument::Mfa(0))
        );
        assert_eq!(
            meaning("erlang", "spawn", 4).module,
            Some(ModuleArgument::Mfa(1))
        );
        assert_eq!(meaning("gen_server", "call", 3).sends, Some(0));
        assert_eq!(meaning("lists", "map", 2), super::Meaning::default());
    }
}
