//! Why a model of an object store is not there: each reason one sentence with the address, what happened, and what to do.

use std::io;
use std::path::PathBuf;

use crate::outgoing::SettingError;

/// Why a model of an object store was not listed or fetched. Addresses have no user or password in them.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The address means nothing.
    #[error("{url}: {reason}")]
    Address {
        /// Which one.
        url: String,
        /// What is wrong with it, or with the variables that go with it.
        reason: String,
    },
    /// An environment variable that says how to reach other hosts is wrong.
    #[error("{0}")]
    Setting(String),
    /// Nobody answers, or not as an object store does, however often it is tried.
    #[error("cannot reach {url}: {reason}; {advice}")]
    Unreachable {
        /// The store's address.
        url: String,
        /// What happened the last time.
        reason: String,
        /// What may help.
        advice: String,
    },
    /// The store answers no, and trying again would not help.
    #[error("cannot read {url}: {reason}; {advice}")]
    Refused {
        /// The store's address, or an object's.
        url: String,
        /// What it answered.
        reason: String,
        /// What may help.
        advice: String,
    },
    /// More objects than any folder of models has.
    #[error("{url} has more than {limit} objects, expected a prefix that holds models alone")]
    TooMany {
        /// The store's address.
        url: String,
        /// The most.
        limit: usize,
    },
    /// Objects that do not make one model.
    #[error("{place}: {reason}")]
    Folder {
        /// The address of the model.
        place: String,
        /// What it has and should have.
        reason: String,
    },
    /// Nothing of that name.
    #[error("no model {reference:?} in {url}, expected one of {known}")]
    NoModel {
        /// What was asked for.
        reference: String,
        /// The store's address.
        url: String,
        /// The names there are.
        known: String,
    },
    /// An object was replaced while it was read.
    #[error("{url} has changed since it was listed; the next look, at SIGHUP or by --watch, fetches the new one")]
    Changed {
        /// The object's address.
        url: String,
    },
    /// What was asked for was not listed before.
    #[error("{url} has not been listed")]
    Forgotten {
        /// Its address.
        url: String,
    },
    /// The cache cannot be used.
    #[error("cannot use {} as the cache of models: {reason}; name a folder that can be written with --models-cache or SENET_MODELS_CACHE", path.display())]
    Cache {
        /// A file or folder in it.
        path: PathBuf,
        /// Of the system.
        reason: String,
    },
    /// The files are there and make no model.
    #[error("{0}")]
    Model(String),
}

impl StoreError {
    pub(super) fn cache(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::Cache { path, reason: error.to_string() }
    }
}

impl From<SettingError> for StoreError {
    fn from(error: SettingError) -> Self {
        Self::Setting(error.to_string())
    }
}
