//! The functions that `--read-only` allows: those that tell and do not touch.
//!
//! A list of what is allowed, not of what is forbidden: what is not known here is refused. A fun among the arguments is
//! refused too, because whoever takes one may call it. Functions that show secrets (`erlang:get_cookie/0`,
//! `init:get_arguments/0`, `os:getenv/1`) are not on the list.

use crate::term::Term;

/// Modules all of whose functions only compute, as long as they are given no fun.
const PURE: &[&str] = &[
    "base64",
    "binary",
    "calendar",
    "gb_sets",
    "gb_trees",
    "lists",
    "maps",
    "math",
    "orddict",
    "ordsets",
    "proplists",
    "queue",
    "sets",
    "string",
    "unicode",
    "uri_string",
];

/// Functions of other modules, whatever their arity.
const TELLING: &[(&str, &[&str])] = &[
    (
        "application",
        &[
            "get_all_env",
            "get_all_key",
            "get_application",
            "get_env",
            "get_key",
            "get_supervisor",
            "info",
            "loaded_applications",
            "which_applications",
        ],
    ),
    (
        "code",
        &[
            "all_loaded",
            "get_mode",
            "get_path",
            "is_loaded",
            "is_sticky",
            "lib_dir",
            "module_md5",
            "priv_dir",
            "root_dir",
            "which",
        ],
    ),
    (
        "erlang",
        &[
            "abs",
            "atom_to_binary",
            "atom_to_list",
            "binary_to_list",
            "byte_size",
            "check_old_code",
            "convert_time_unit",
            "date",
            "element",
            "float",
            "float_to_list",
            "function_exported",
            "hd",
            "integer_to_binary",
            "integer_to_list",
            "iolist_size",
            "is_process_alive",
            "length",
            "list_to_pid",
            "list_to_tuple",
            "loaded",
            "localtime",
            "map_size",
            "md5",
            "memory",
            "module_loaded",
            "monotonic_time",
            "node",
            "nodes",
            "phash2",
            "pid_to_list",
            "port_info",
            "ports",
            "pre_loaded",
            "process_info",
            "processes",
            "registered",
            "round",
            "self",
            "size",
            "statistics",
            "system_info",
            "system_time",
            "term_to_binary",
            "time",
            "timestamp",
            "tl",
            "trunc",
            "tuple_size",
            "tuple_to_list",
            "universaltime",
            "whereis",
        ],
    ),
    (
        "ets",
        &[
            "all",
            "first",
            "info",
            "last",
            "lookup",
            "lookup_element",
            "member",
            "next",
            "whereis",
        ],
    ),
    ("filename", &["basename", "dirname", "extension", "join"]),
    ("global", &["registered_names", "whereis_name"]),
    ("init", &["get_status", "script_id"]),
    ("io_lib", &["format", "write"]),
    ("os", &["system_time", "timestamp", "type", "version"]),
    ("persistent_term", &["info"]),
    ("proc_lib", &["initial_call", "translate_initial_call"]),
    (
        "supervisor",
        &["count_children", "get_childspec", "which_children"],
    ),
    ("sys", &["get_state", "get_status"]),
];

/// Whether a call only tells something.
pub fn allows(module: &str, function: &str, args: &[Term]) -> bool {
    if args.iter().any(has_fun) {
        return false;
    }
    if PURE.contains(&module) {
        return true;
    }
    // `erlang:system_info/1` and its kin tell; those with two arguments sometimes set.
    let arity_is_fine = match (module, function) {
        ("erlang", "nodes" | "memory" | "statistics" | "system_info" | "port_info") => {
            args.len() <= 1 || function == "port_info"
        }
        ("erlang", "process_info") => args.len() <= 2,
        _ => true,
    };
    arity_is_fine
        && TELLING
            .iter()
            .any(|(known, functions)| *known == module && functions.contains(&function))
}

/// Whether a fun is in a term. Terms from the wire have bounded depth.
fn has_fun(term: &Term) -> bool {
    match term {
        Term::Fun(_) => true,
        Term::Tuple(elements) | Term::List(elements) => elements.iter().any(has_fun),
        Term::Improper(elements, tail) => elements.iter().any(has_fun) || has_fun(tail),
        Term::Map(pairs) => pairs.iter().any(|(k, v)| has_fun(k) || has_fun(v)),
        Term::Record(record) => record.fields.iter().any(|(_, value)| has_fun(value)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::{Atom, Fun};

    #[test]
    fn queries_are_allowed_and_changes_are_not() {
        let fun = Term::Fun(Fun::External {
            module: Atom::new("erlang"),
            name: Atom::new("halt"),
            arity: 1,
        });
        assert!(allows("erlang", "processes", &[]));
        assert!(allows("lists", "sum", &[Term::list([Term::Int(1)])]));
        for (module, function) in [
            ("erlang", "halt"),
            ("erlang", "apply"),
            ("erlang", "get_cookie"),
            ("erlang", "exit"),
            ("init", "stop"),
            ("init", "get_arguments"),
            ("os", "cmd"),
            ("code", "load_file"),
            ("shop_cart", "quote"),
        ] {
            assert!(!allows(module, function, &[]), "{module}:{function}");
        }
        let list = Term::list([Term::Int(1)]);
        assert!(!allows("lists", "map", &[fun.clone(), list.clone()]));
        let hidden = Term::tuple([Term::list([fun])]);
        assert!(!allows("lists", "foreach", &[hidden, list]));
    }
}
