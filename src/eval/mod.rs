//! The evaluator of plan expressions: guards, checks, hooks, functions, `updo eval`, the REPL.
