//! Why a model cannot be served: each reason one sentence that names file, key, value and expectation.

use std::io;
use std::path::PathBuf;

use crate::inference::{EngineError, NotFinite};
pub use crate::text_file::TextFileError;

/// Why a model was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Neither a file, nor a folder, nor a known name.
    #[error("no model {reference:?}: it is neither a file, nor a folder, nor a known name ({known})")]
    NotFound {
        /// What was asked for.
        reference: String,
        /// The names there are.
        known: String,
    },
    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A folder whose files do not make one model.
    #[error("{}: {reason}", folder.display())]
    Folder {
        /// Which one.
        folder: PathBuf,
        /// What it has and what it should have.
        reason: String,
    },
    /// A file that lies outside the model's folder.
    #[error("{} leads to {}, expected a file inside {}", file.display(), target.display(), folder.display())]
    Outside {
        /// Inside the folder, a symbolic link.
        file: PathBuf,
        /// Where it leads.
        target: PathBuf,
        /// The model's folder.
        folder: PathBuf,
    },
    /// `model.toml`, or a JSON file beside the network, is not understood.
    #[error(transparent)]
    File(#[from] TextFileError),
    /// A value of `model.toml`, or of another file, that is well formed and yet impossible.
    #[error("{}: {key} is {value}, expected {expected}", file.display())]
    Value {
        /// `model.toml`, or what takes its place.
        file: PathBuf,
        /// With what it lies in, dotted.
        key: String,
        /// As it was given.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// The network's file is not the one that `model.toml` was written for.
    #[error("{}: its sha256 is {actual}, expected {expected} as model.toml says", file.display())]
    Checksum {
        /// The network.
        file: PathBuf,
        /// Of the file.
        actual: String,
        /// In `model.toml`.
        expected: String,
    },
    /// Too few or too many labels.
    #[error("{}: {labels} labels, expected {classes}, the classes of the network", file.display())]
    Labels {
        /// The labels.
        file: PathBuf,
        /// Lines in it.
        labels: usize,
        /// Length of the network's output.
        classes: usize,
    },
    /// Something was guessed or contradicts itself where nothing may.
    #[error("{model}: {}, which is an error since strict is true", warnings.join("; "))]
    Strict {
        /// What requests call it.
        model: String,
        /// At least one.
        warnings: Vec<String>,
    },
    /// Two models that would be served under one name.
    #[error("{first} and {second} are both called {name:?}, expected names of their own")]
    SameName {
        /// The name.
        name: String,
        /// Where the one lies.
        first: String,
        /// Where the other lies.
        second: String,
    },
    /// A model of an object store is not there, or is none.
    #[cfg(feature = "object-store")]
    #[error(transparent)]
    Store(#[from] super::StoreError),
    /// A model that was to be fetched first did not come.
    #[error("{0}")]
    Fetch(Box<dyn std::error::Error + Send + Sync>),
    /// The network cannot be loaded, or fails in its first run.
    #[error("{}: {source}", file.display())]
    Engine {
        /// The network.
        file: PathBuf,
        /// The engine's reason.
        source: EngineError,
    },
    /// The network's first answer, to a picture of noise, holds what is no number.
    #[error("{}: {source}; look for such values in its weights, or export it in float32 if it is in half precision", file.display())]
    NotFinite {
        /// The network.
        file: PathBuf,
        /// Which value.
        source: NotFinite,
    },
    /// The trial of the model ended in a refusal: another of these errors, in its words.
    #[cfg(feature = "server")]
    #[error("{0}")]
    Refused(String),
    /// There is no process or thread to be had.
    #[cfg(feature = "server")]
    #[error("{place}: it cannot be tried in a process of its own: {source}; check_models = false loads models without")]
    Trial {
        /// Where the model lies.
        place: String,
        /// The system's reason.
        source: io::Error,
    },
    /// Loading takes too long.
    #[cfg(feature = "server")]
    #[error("{place}: it takes more than {} to load, the limit of load_timeout", crate::config::HumanDuration(*limit))]
    TooSlow {
        /// Where the model lies.
        place: String,
        /// The limit.
        limit: std::time::Duration,
    },
    /// Loading, or the first run, asks for too much memory.
    #[cfg(feature = "server")]
    #[error("{place}: loading and running it once asks for {asked} bytes in one piece, more than is left of {limit}, the limit of load_memory")]
    TooLarge {
        /// Where the model lies.
        place: String,
        /// The allocation that failed.
        asked: u64,
        /// The limit of all together.
        limit: u64,
    },
    /// The trial of the model ended, and not by itself.
    #[cfg(feature = "server")]
    #[error("{place}: it ended the process that tried to load it ({how})")]
    Ended {
        /// Where the model lies.
        place: String,
        /// By which signal or exit code.
        how: String,
    },
    /// The program failed where it should have refused.
    #[error("{place}: loading it panicked: {message}")]
    Panicked {
        /// Where the model lies.
        place: String,
        /// The panic's words.
        message: String,
    },
}
