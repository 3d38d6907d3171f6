//! The `senet` program: parse → telemetry → subcommand → exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    match senet::cli::run(std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}
