//! What functions of OTP and Elixir do to the world: a table of public interfaces.
//!
//! A function that computes is pure; one that looks at tables, files, processes or the clock reads; one that writes,
//! sends, starts, links or registers acts. Output (`io`, `logger`) counts as reading: it is repeated without harm, and
//! nothing can take it back. A module that is not here is not known.

use super::doing::Doing;

/// Modules that only compute.
const PURE: &[&str] = &[
    "array",
    "base64",
    "binary",
    "calendar",
    "dict",
    "erl_anno",
    "erl_parse",
    "erl_pp",
    "erl_scan",
    "filename",
    "gb_sets",
    "gb_trees",
    "io_lib",
    "json",
    "lists",
    "maps",
    "math",
    "orddict",
    "ordsets",
    "proplists",
    "queue",
    "re",
    "sets",
    "sofs",
    "string",
    "unicode",
    "uri_string",
    "zlib",
    "Elixir.Access",
    "Elixir.Atom",
    "Elixir.Base",
    "Elixir.Bitwise",
    "Elixir.Calendar",
    "Elixir.Collectable",
    "Elixir.Date",
    "Elixir.DateTime",
    "Elixir.Enum",
    "Elixir.Enumerable",
    "Elixir.Exception",
    "Elixir.Float",
    "Elixir.Function",
    "Elixir.Inspect",
    "Elixir.Integer",
    "Elixir.Kernel",
    "Elixir.Kernel.Utils",
    "Elixir.Keyword",
    "Elixir.List",
    "Elixir.List.Chars",
    "Elixir.Macro",
    "Elixir.Map",
    "Elixir.MapSet",
    "Elixir.NaiveDateTime",
    "Elixir.OptionParser",
    "Elixir.Path",
    "Elixir.Range",
    "Elixir.Regex",
    "Elixir.Stream",
    "Elixir.String",
    "Elixir.String.Chars",
    "Elixir.Time",
    "Elixir.Tuple",
    "Elixir.URI",
    "Elixir.Version",
];

/// Exceptions of Elixir, which `raise` makes by a call of the module, and `Exception.message/1` puts into words.
const EXCEPTIONS: &[&str] = &[
    "ArgumentError",
    "ArithmeticError",
    "BadArityError",
    "BadBooleanError",
    "BadFunctionError",
    "BadMapError",
    "BadStructError",
    "CaseClauseError",
    "CondClauseError",
    "Enum.EmptyError",
    "Enum.OutOfBoundsError",
    "ErlangError",
    "File.Error",
    "FunctionClauseError",
    "KeyError",
    "MatchError",
    "Protocol.UndefinedError",
    "Regex.CompileError",
    "RuntimeError",
    "System.EnvError",
    "SystemLimitError",
    "TryClauseError",
    "UndefinedFunctionError",
    "UnicodeConversionError",
    "WithClauseError",
];

/// Modules that look or print, and change nothing that matters.
const READS: &[&str] = &[
    "crypto",
    "erl_lint",
    "error_logger",
    "inet_db",
    "init",
    "io",
    "logger",
    "net_adm",
    "rand",
    "Elixir.IO",
    "Elixir.Logger",
];

/// Modules most of whose functions act, with those that do not.
const ACTS: &[(&str, &[&str])] = &[
    (
        "application",
        &[
            "get_all_env",
            "get_all_key",
            "get_application",
            "get_env",
            "get_key",
            "loaded_applications",
            "which_applications",
        ],
    ),
    ("atomics", &["get", "info", "new"]),
    (
        "code",
        &[
            "all_loaded",
            "ensure_loaded",
            "get_object_code",
            "get_path",
            "is_loaded",
            "lib_dir",
            "priv_dir",
            "root_dir",
            "which",
        ],
    ),
    ("counters", &["get", "info", "new"]),
    (
        "dets",
        &[
            "first",
            "foldl",
            "foldr",
            "info",
            "lookup",
            "match",
            "match_object",
            "member",
            "next",
            "select",
        ],
    ),
    ("digraph", &[]),
    ("disk_log", &["info"]),
    ("erpc", &[]),
    (
        "ets",
        &[
            "all",
            "first",
            "foldl",
            "foldr",
            "fun2ms",
            "info",
            "is_compiled_ms",
            "last",
            "lookup",
            "lookup_element",
            "match",
            "match_object",
            "match_spec_compile",
            "match_spec_run",
            "member",
            "next",
            "prev",
            "select",
            "select_count",
            "select_reverse",
            "slot",
            "tab2list",
            "table",
            "test_ms",
            "whereis",
        ],
    ),
    (
        "file",
        &[
            "consult",
            "get_cwd",
            "list_dir",
            "path_consult",
            "pread",
            "read",
            "read_file",
            "read_file_info",
            "read_line",
            "read_link",
            "script",
        ],
    ),
    (
        "filelib",
        &[
            "file_size",
            "find_file",
            "fold_files",
            "is_dir",
            "is_file",
            "is_regular",
            "last_modified",
            "wildcard",
        ],
    ),
    ("gen", &[]),
    ("gen_event", &[]),
    ("gen_fsm", &[]),
    ("gen_server", &[]),
    ("gen_statem", &[]),
    ("gen_tcp", &[]),
    ("gen_udp", &[]),
    ("global", &["registered_names", "whereis_name"]),
    ("httpc", &[]),
    (
        "inet",
        &[
            "getaddr",
            "gethostbyname",
            "gethostname",
            "getifaddrs",
            "ntoa",
            "parse_address",
            "peername",
            "sockname",
        ],
    ),
    (
        "mnesia",
        &["dirty_all_keys", "dirty_read", "system_info", "table_info"],
    ),
    ("net_kernel", &["get_state", "nodename"]),
    (
        "os",
        &[
            "getenv",
            "getpid",
            "system_time",
            "timestamp",
            "type",
            "version",
            "find_executable",
        ],
    ),
    ("persistent_term", &["get", "info"]),
    ("pg", &["get_local_members", "get_members", "which_groups"]),
    ("proc_lib", &["initial_call", "translate_initial_call"]),
    ("rpc", &[]),
    ("ssl", &[]),
    ("supervisor", &["check_childspecs"]),
    ("sys", &[]),
    (
        "timer",
        &["hms", "hours", "minutes", "now_diff", "seconds", "sleep"],
    ),
    ("Elixir.Agent", &["child_spec"]),
    (
        "Elixir.Application",
        &[
            "app_dir",
            "compile_env",
            "fetch_env",
            "fetch_env!",
            "get_all_env",
            "get_application",
            "get_env",
            "loaded_applications",
            "spec",
            "started_applications",
        ],
    ),
    ("Elixir.DynamicSupervisor", &["child_spec", "init"]),
    (
        "Elixir.File",
        &[
            "cwd", "cwd!", "dir?", "exists?", "ls", "ls!", "read", "read!", "regular?", "stat",
            "stat!",
        ],
    ),
    ("Elixir.GenServer", &["whereis"]),
    (
        "Elixir.Process",
        &["alive?", "get", "info", "list", "sleep", "whereis"],
    ),
    (
        "Elixir.Registry",
        &[
            "child_spec",
            "count",
            "keys",
            "lookup",
            "match",
            "select",
            "whereis_name",
        ],
    ),
    ("Elixir.Supervisor", &["child_spec", "init"]),
    (
        "Elixir.System",
        &[
            "get_env",
            "fetch_env",
            "fetch_env!",
            "monotonic_time",
            "os_time",
            "schedulers_online",
            "system_time",
            "unique_integer",
            "version",
        ],
    ),
    ("Elixir.Task", &["child_spec"]),
    ("Elixir.Task.Supervisor", &["child_spec"]),
];

/// Functions of `erlang` that look.
const ERLANG_READS: &[&str] = &[
    "date",
    "get",
    "get_cookie",
    "get_keys",
    "get_module_info",
    "group_leader",
    "is_process_alive",
    "localtime",
    "make_ref",
    "memory",
    "module_loaded",
    "monotonic_time",
    "node",
    "nodes",
    "now",
    "port_info",
    "ports",
    "pre_loaded",
    "process_info",
    "processes",
    "registered",
    "statistics",
    "system_info",
    "system_time",
    "time",
    "time_offset",
    "timestamp",
    "unique_integer",
    "universaltime",
    "whereis",
    "function_exported",
    "loaded",
    "check_old_code",
    "check_process_code",
    "display",
    "garbage_collect",
];

/// Functions of `erlang` that act; `apply` is not known.
const ERLANG_ACTS: &[&str] = &[
    "!",
    "alias",
    "cancel_timer",
    "delete_module",
    "demonitor",
    "disconnect_node",
    "dist_ctrl_put_data",
    "erase",
    "finish_after_on_load",
    "halt",
    "hibernate",
    "link",
    "load_module",
    "load_nif",
    "monitor",
    "monitor_node",
    "open_port",
    "port_call",
    "port_close",
    "port_command",
    "port_connect",
    "port_control",
    "process_flag",
    "purge_module",
    "put",
    "register",
    "resume_process",
    "send",
    "send_after",
    "send_nosuspend",
    "set_cookie",
    "spawn",
    "spawn_link",
    "spawn_monitor",
    "spawn_opt",
    "spawn_request",
    "start_timer",
    "suspend_process",
    "system_flag",
    "system_monitor",
    "system_profile",
    "trace",
    "trace_pattern",
    "unalias",
    "unlink",
    "unregister",
];

/// What is known about `module:function/arity`.
pub(super) fn known(module: &str, function: &str, arity: u32) -> Doing {
    if module == "erlang" {
        return match function {
            "apply" => Doing::Unknown,
            // Of oneself it is an exception, of others a signal.
            "exit" if arity == 2 => Doing::Acts,
            "group_leader" if arity == 2 => Doing::Acts,
            _ if ERLANG_ACTS.contains(&function) => Doing::Acts,
            _ if ERLANG_READS.contains(&function) => Doing::Reads,
            _ => Doing::Pure,
        };
    }
    if PURE.contains(&module) {
        return Doing::Pure;
    }
    if READS.contains(&module) {
        return Doing::Reads;
    }
    let exception = module.strip_prefix("Elixir.");
    if exception.is_some_and(|name| EXCEPTIONS.contains(&name)) {
        return Doing::Pure;
    }
    // Consolidated implementations of Elixir's own protocols.
    if module.starts_with("Elixir.Enumerable.") || module.starts_with("Elixir.String.Chars.") {
        return Doing::Pure;
    }
    // `map.field` of Elixir after 1.14 comes here when the map has no such field. An atom would be called as a module,
    // with a warning; the code of earlier versions does so without one (`fields.rs`).
    if (module, function, arity) == ("elixir_erl_pass", "no_parens_remote", 2) {
        return Doing::Pure;
    }
    match ACTS.iter().find(|(name, _)| *name == module) {
        Some((_, harmless)) if harmless.contains(&function) => Doing::Reads,
        Some(_) => Doing::Acts,
        None => Doing::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::{Doing, known};

    #[test]
    fn what_is_known() {
        for (module, function, arity, doing) in [
            ("lists", "map", 2, Doing::Pure),
            ("erlang", "+", 2, Doing::Pure),
            ("erlang", "exit", 1, Doing::Pure),
            ("erlang", "exit", 2, Doing::Acts),
            ("erlang", "whereis", 1, Doing::Reads),
            ("erlang", "apply", 3, Doing::Unknown),
            ("ets", "lookup", 2, Doing::Reads),
            ("ets", "insert", 2, Doing::Acts),
            ("ets", "a_function_of_tomorrow", 2, Doing::Acts),
            ("application", "get_env", 3, Doing::Reads),
            ("Elixir.Supervisor", "init", 2, Doing::Reads),
            ("Elixir.RuntimeError", "exception", 1, Doing::Pure),
            ("Elixir.Shop.Error", "exception", 1, Doing::Unknown),
            ("Elixir.Supervisor", "start_child", 2, Doing::Acts),
            ("shop_config", "all", 0, Doing::Unknown),
            ("elixir_erl_pass", "no_parens_remote", 2, Doing::Pure),
            ("elixir_erl_pass", "translate", 3, Doing::Unknown),
        ] {
            assert_eq!(
                known(module, function, arity),
                doing,
                "{module}:{function}/{arity}"
            );
        }
    }
}
