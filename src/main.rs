//! The `senet` program: parse → telemetry → subcommand → exit code → last lines of the log.

use std::process::ExitCode;

fn main() -> ExitCode {
    let _last_lines = senet::telemetry::LastLines;
    match senet::cli::run(std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}
