//! The command-line program; all of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    taskqueue::cli::main()
}
