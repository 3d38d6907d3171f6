//! Logs and metrics.

use crate::config::LogConfig;

/// A log filter that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("log filter {filter:?} is not understood: {reason}")]
pub struct TelemetryError {
    filter: String,
    reason: String,
}

/// Sends logs to standard error as `config` says; once in a process, later calls change nothing.
///
/// # Errors
/// For a filter that cannot be read.
pub fn init(config: &LogConfig) -> Result<(), TelemetryError> {
    use std::io::{IsTerminal, stderr};

    use tracing_subscriber::EnvFilter;
    use tracing_subscriber::fmt;

    use crate::config::LogFormat;

    let filter = EnvFilter::try_new(&config.filter).map_err(|e| TelemetryError { filter: config.filter.clone(), reason: e.to_string() })?;
    let text = match config.format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => stderr().is_terminal(),
    };
    let builder = fmt().with_env_filter(filter).with_writer(stderr);
    let _already_set = match text {
        true => builder.with_ansi(stderr().is_terminal()).with_target(false).try_init(),
        false => builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
    };
    Ok(())
}
