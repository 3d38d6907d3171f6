//! How a command ends when it does not end well: one sentence on standard error and an exit code.

use std::fmt;
use std::io;
use std::process::ExitCode;

use crate::classifier::ClassifyError;
use crate::inference::EngineError;
use crate::model::ModelError;
use crate::server::ServeError;
use crate::telemetry::{TelemetryError, say};
use crate::zoo::ZooError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The command line is not understood; help and version come this way too. Exit code 2, or 0.
    #[error(transparent)]
    CommandLine(clap::Error),
    /// The command line asks for what cannot be. Exit code 2.
    #[error("{0}")]
    Usage(String),
    /// A value of the file or the environment is wrong, or this machine cannot do it. Exit code 64.
    #[error("{0}")]
    Configuration(String),
    /// The work failed. Exit code 1.
    #[error("{0}")]
    Failed(String),
    /// Parts of the work failed and have been reported. Exit code 1.
    #[error("{failed} of {total} images failed")]
    Partly {
        /// How many.
        failed: usize,
        /// Of how many.
        total: usize,
    },
    /// Standard output is closed or full. A reader that has read enough, such as `head`, is no failure: exit code 0, otherwise 1.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

impl CliError {
    pub(super) fn configuration(cause: impl fmt::Display) -> Self {
        Self::Configuration(cause.to_string())
    }

    /// Says on standard error what went wrong, and how the process ends.
    pub fn report(&self) -> ExitCode {
        match self {
            // Help goes to standard output, as a result does; what was typed wrongly to standard error.
            Self::CommandLine(error) => match error.print() {
                Err(failed) if !error.use_stderr() => return Self::Output(failed).report(),
                _ => return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)),
            },
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
            _ => say(&format!("senet: {self}")),
        }
        ExitCode::from(match self {
            Self::Usage(_) => 2,
            Self::Configuration(_) => 64,
            _ => 1,
        })
    }
}

impl From<TelemetryError> for CliError {
    fn from(error: TelemetryError) -> Self {
        match error {
            TelemetryError::Filter { .. } => Self::configuration(error),
            TelemetryError::Start(_) => Self::Failed(error.to_string()),
        }
    }
}

impl From<ModelError> for CliError {
    fn from(error: ModelError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<ServeError> for CliError {
    fn from(error: ServeError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<ZooError> for CliError {
    fn from(error: ZooError) -> Self {
        match error {
            ZooError::Unknown { .. } => Self::Usage(error.to_string()),
            ZooError::Setting(_) => Self::Configuration(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<ClassifyError> for CliError {
    fn from(error: ClassifyError) -> Self {
        match error {
            ClassifyError::TopK { .. } | ClassifyError::UnknownBlock { .. } => Self::Usage(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}
