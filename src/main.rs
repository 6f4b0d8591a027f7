//! The `updo` command.

fn main() -> updo::cli::Exit {
    updo::cli::main()
}
