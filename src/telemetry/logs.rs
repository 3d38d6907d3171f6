//! Where logs go and what they look like.

use std::io::{IsTerminal, stderr};
use std::panic;

use tracing::{Subscriber, error};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::admission::panic_message;
use crate::config::{LogConfig, LogFormat};

/// A log filter that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("log filter {filter:?} is not understood: {reason}")]
pub struct TelemetryError {
    filter: String,
    reason: String,
}

/// Sends logs, and the words of panics, to standard error as `config` says; once in a process, later calls change nothing.
///
/// # Errors
/// For a filter that cannot be read.
pub fn init(config: &LogConfig) -> Result<(), TelemetryError> {
    if tracing::subscriber::set_global_default(subscriber(config, stderr)?).is_ok() {
        panic::set_hook(Box::new(log_panic));
    }
    Ok(())
}

/// A subscriber that writes to `writer` as `config` says; `auto` looks at standard error.
///
/// # Errors
/// For a filter that cannot be read.
pub fn subscriber<W>(config: &LogConfig, writer: W) -> Result<Box<dyn Subscriber + Send + Sync>, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let misread = |e: tracing_subscriber::filter::ParseError| TelemetryError { filter: config.filter.clone(), reason: e.to_string() };
    let filter = EnvFilter::try_new(&config.filter).map_err(misread)?;
    let terminal = stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    Ok(match config.format {
        LogFormat::Auto if terminal => Box::new(builder.with_ansi(true).with_target(false).finish()),
        LogFormat::Text => Box::new(builder.with_ansi(terminal).with_target(false).finish()),
        LogFormat::Auto | LogFormat::Json => Box::new(builder.json().flatten_event(true).with_span_list(false).finish()),
    })
}

/// A panic is logged here, in the span of the request that it belongs to, and nowhere else.
fn log_panic(info: &panic::PanicHookInfo<'_>) {
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    error!(location, "panicked: {}", panic_message(info.payload()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_read_is_named() {
        let config = LogConfig { filter: "senet=loud".to_owned(), ..LogConfig::default() };
        let error = subscriber(&config, std::io::sink).err().map(|e| e.to_string()).unwrap();
        assert!(error.starts_with("log filter \"senet=loud\" is not understood: "), "{error}");
    }
}
