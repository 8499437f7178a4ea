//! The `autobidet` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Mesa prints two lines about this variable, on machines without a desktop, each time adapters are listed.
    if cfg!(target_os = "linux") && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: nothing else runs yet; no thread has been started.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", std::env::temp_dir()) };
    }
    ExitCode::from(autobidet::cli::run())
}
