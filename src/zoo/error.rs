//! Why a model of the zoo is not there: each reason one sentence with the address or file, what happened, and what to do.

use std::io;
use std::path::PathBuf;

use crate::model::TextFileError;
use crate::outgoing::SettingError;

/// Why a model was not listed or pulled.
#[derive(Debug, thiserror::Error)]
pub enum ZooError {
    /// No model is called so.
    #[error("the zoo has no {name:?}, the nearest of its {models} models is {nearest:?}; `senet zoo list` names them all")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The name with the fewest typing errors in between.
        nearest: String,
        /// How many there are.
        models: usize,
    },
    /// The catalogue is not understood.
    #[error(transparent)]
    Catalogue(#[from] TextFileError),
    /// An environment variable that says how to reach the zoo is wrong.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// Nobody answers at the address, or the answer breaks off, however often it is tried.
    #[error("cannot fetch {url}: {reason}, tried {attempts} times; {}", way_out(by_hand))]
    Unreachable {
        /// The address.
        url: String,
        /// What happened the last time.
        reason: String,
        /// How often.
        attempts: u32,
        /// Where the file would be looked for.
        by_hand: PathBuf,
    },
    /// The address does not answer with the file, and trying again would not help.
    #[error("cannot fetch {url}: {reason}; {}", way_out(by_hand))]
    Refused {
        /// The address.
        url: String,
        /// What happened.
        reason: String,
        /// Where the file would be looked for.
        by_hand: PathBuf,
    },
    /// The server's certificate is not trusted.
    #[error("cannot fetch {url}: {reason}; if a proxy or mirror of yours has a certificate of its own, name the file of its root in SSL_CERT_FILE")]
    Untrusted {
        /// The address.
        url: String,
        /// Of the TLS library.
        reason: String,
    },
    /// The file there has another length.
    #[error("{url} has {actual} bytes, expected {expected} as the catalogue says; it was not taken: is HF_ENDPOINT a true mirror?")]
    Size {
        /// The address.
        url: String,
        /// Of the answer; "more than …" where it was cut off.
        actual: String,
        /// Of the catalogue.
        expected: u64,
    },
    /// The file there is another one.
    #[error("{url} has the sha256 {actual}, expected {expected} as the catalogue says; it was thrown away: is HF_ENDPOINT a true mirror?")]
    Checksum {
        /// The address.
        url: String,
        /// Of what was fetched.
        actual: String,
        /// Of the catalogue.
        expected: String,
    },
    /// A folder of the model's name holds something else.
    #[error("{} is there and {reason}; --force replaces it, or name another folder with --to", folder.display())]
    Occupied {
        /// The folder.
        folder: PathBuf,
        /// How it differs from the catalogue.
        reason: String,
    },
    /// A file or folder cannot be read or written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// Which one.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

fn way_out(by_hand: &std::path::Path) -> String {
    let file = by_hand.display();
    format!("set HTTPS_PROXY for a proxy, HF_ENDPOINT for a mirror, or fetch it elsewhere, put it at {file} and run this again")
}
