//! `senet trial`: the check of a model that the other subcommands start, in a process of its own.

use std::path::PathBuf;

use super::error::CliError;
use crate::inference::LoadOptions;
use crate::model::{Location, load_confined};

/// The check of a model, in a process of its own; the other subcommands start it
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Address space, bytes
    memory: u64,
    /// Of all threads together
    processor_seconds: u64,
    /// Images per run
    batch: usize,
    /// `-` for the highest, or for none
    version: String,
    /// A folder, or an ONNX file
    path: PathBuf,
}

/// Loads the model within the limits, and says nothing where that goes well.
pub(super) fn run(args: Args, options: LoadOptions) -> Result<(), CliError> {
    let Args { memory, processor_seconds, batch, version, path } = args;
    let location = if path.is_dir() { Location::Folder { path, version: version.parse().ok() } } else { Location::Onnx(path) };
    Ok(load_confined(&location, LoadOptions { batch, ..options }, memory, processor_seconds)?)
}
