//! Files that people write, TOML and JSON alike: why one is not understood.

use std::io;
use std::path::{Path, PathBuf};

use crate::bounded;

/// Why a TOML or JSON file was not understood.
#[derive(Debug, thiserror::Error)]
pub enum TextFileError {
    /// The file could not be read.
    #[error("cannot read {}: {source}", file.display())]
    Read {
        /// Which file.
        file: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is not TOML, or not JSON.
    #[error("{}, line {line}: {reason}", file.display())]
    Syntax {
        /// Which file.
        file: PathBuf,
        /// Counts from 1.
        line: usize,
        /// The parser's words.
        reason: String,
    },
    /// A key that means nothing here.
    #[error("{}, line {line}: unknown key {key:?}, the nearest known one is {nearest:?}", file.display())]
    UnknownKey {
        /// Which file.
        file: PathBuf,
        /// Counts from 1.
        line: usize,
        /// With its tables, dotted.
        key: String,
        /// The last part alone.
        nearest: String,
    },
    /// A value of the wrong type or out of range.
    #[error("{}, line {line}: {key} is {value}, expected {expected}", file.display())]
    Value {
        /// Which file.
        file: PathBuf,
        /// Counts from 1.
        line: usize,
        /// With what it lies in, dotted.
        key: String,
        /// As the file has it, or as JSON.
        value: String,
        /// What would be right.
        expected: String,
    },
}

/// What stands in `file`.
///
/// # Errors
/// [`TextFileError::Read`].
pub(crate) fn read(file: &Path) -> Result<String, TextFileError> {
    bounded::read_text(file).map_err(|source| TextFileError::Read { file: file.to_owned(), source })
}
