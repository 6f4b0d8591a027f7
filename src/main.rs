//! The `updo` command.

fn main() {}
