//! The `autobidet` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(autobidet::cli::run())
}
