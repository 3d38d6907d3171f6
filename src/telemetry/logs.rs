//! Where logs go and what they look like.

use std::fs::File;
use std::io::{self, IsTerminal, Write, stderr};
use std::os::fd::AsFd;
use std::panic;
use std::sync::OnceLock;
use std::time::Duration;

use tracing::{Subscriber, debug, error};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use super::lines::Lines;
use crate::admission::panic_message;
use crate::config::{LogConfig, LogFormat};
use crate::inference::panics_are_answered;

/// How long the end of the process waits for lines that are still to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The lines of a service; a command has none.
static LINES: OnceLock<Lines> = OnceLock::new();

/// What happens while standard error takes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The process waits, as commands do for the pager that reads them.
    Wait,
    /// Lines are dropped and counted, and the process goes on: a service must not stand still because nobody reads its log.
    Drop,
}

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("log filter {filter:?} is not understood: {reason}")]
    Filter {
        /// As it was given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The system refuses the thread that writes the lines, or another descriptor of standard error.
    #[error("cannot start logging: {0}")]
    Start(#[from] io::Error),
}

/// Sends logs, and the words of panics, to standard error as `config` says; once in a process, later calls change nothing. Whether standard error takes them
/// makes no difference to the process.
///
/// # Errors
/// For a filter that cannot be read, and when the system refuses a thread.
pub fn init(config: &LogConfig, delivery: Delivery) -> Result<(), TelemetryError> {
    let subscriber = match delivery {
        Delivery::Wait => subscriber(config, || Patient)?,
        Delivery::Drop => {
            // A descriptor of its own: `Stderr` has a lock, which a write that blocks would hold.
            let target = File::from(stderr().as_fd().try_clone_to_owned()?);
            let lines = Lines::start(target, if is_json(config.format) { lost_json } else { lost_text })?;
            subscriber(config, LINES.get_or_init(|| lines).clone())?
        }
    };
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
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
    let misread = |e: tracing_subscriber::filter::ParseError| TelemetryError::Filter { filter: config.filter.clone(), reason: e.to_string() };
    let filter = EnvFilter::try_new(&config.filter).map_err(misread)?;
    // Errors of the log would be told on standard error, with a panic where that fails too.
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).log_internal_errors(false);
    Ok(if is_json(config.format) {
        Box::new(builder.json().flatten_event(true).with_span_list(false).finish())
    } else {
        Box::new(builder.with_ansi(stderr().is_terminal()).with_target(false).finish())
    })
}

fn is_json(format: LogFormat) -> bool {
    match format {
        LogFormat::Auto => !stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    }
}

/// Says `text`, a line without its line feed, to whoever reads standard error; in order with the log, and like it without ever failing.
pub fn say(text: &str) {
    let line = format!("{text}\n");
    match LINES.get() {
        Some(lines) => lines.push(line.as_bytes()),
        None => Patient.write_all(line.as_bytes()).unwrap_or_default(),
    }
}

/// Log lines that were dropped since the start, because standard error did not take them in time or at all.
pub fn dropped_lines() -> u64 {
    LINES.get().map_or(0, Lines::dropped)
}

/// When dropped at the end of the process: waits until the last lines are written, a second at most.
#[derive(Debug)]
pub struct LastLines;

impl Drop for LastLines {
    fn drop(&mut self) {
        flush();
    }
}

fn flush() {
    if let Some(lines) = LINES.get() {
        lines.flush(LAST_LINES);
    }
}

/// Standard error, waited for; that it is full or has no reader is nobody's failure.
struct Patient;

impl Write for Patient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _nobody_reads = stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A panic is logged here, in the span of the request that it belongs to, and nowhere else.
fn log_panic(info: &panic::PanicHookInfo<'_>) {
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let message = panic_message(info.payload());
    if panics_are_answered() {
        return debug!(location, "panicked: {message}");
    }
    error!(location, "panicked: {message}");
    // The runtime's words before it aborts: then this is the last moment to write them.
    if message.starts_with("panic in a ") {
        flush();
    }
}

fn lost_json(count: u64) -> String {
    let (time, message) = (now(), lost(count));
    format!("{{\"timestamp\":\"{time}\",\"level\":\"WARN\",\"message\":\"{message}\",\"dropped\":{count},\"target\":\"senet::telemetry\"}}\n")
}

fn lost_text(count: u64) -> String {
    format!("{}  WARN {} dropped={count}\n", now(), lost(count))
}

fn lost(count: u64) -> String {
    format!("{count} log {} dropped", if count == 1 { "line was" } else { "lines were" })
}

/// As the other lines have it.
fn now() -> String {
    let mut time = String::new();
    let _a_string_takes_it = SystemTime.format_time(&mut format::Writer::new(&mut time));
    time
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

    #[test]
    fn the_notice_of_dropped_lines_has_the_shape_of_all_others() {
        let notice: serde_json::Value = serde_json::from_str(&lost_json(12)).unwrap();
        assert_eq!((&notice["level"], &notice["message"], &notice["dropped"]), (&"WARN".into(), &"12 log lines were dropped".into(), &12.into()));
        assert!(notice["timestamp"].as_str().unwrap().ends_with('Z'), "{notice}");
        assert!(lost_text(1).ends_with("Z  WARN 1 log line was dropped dropped=1\n"), "{}", lost_text(1));
    }
}
