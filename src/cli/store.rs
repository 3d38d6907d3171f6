//! Options of models in an object store.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::error::CliError;
use crate::config::HumanDuration;
use crate::inference::LoadOptions;
use crate::model::{LoadLimits, Model, Pins, Remote, RemoteConfig, Source, StoreError};

#[derive(Debug, clap::Args)]
pub(super) struct Settings {
    /// Folder in which models of an object store are kept, by checksum [default: $XDG_CACHE_HOME/senet or ~/.cache/senet]
    #[arg(long, value_name = "DIR")]
    models_cache: Option<PathBuf>,
    /// How long an object store that does not answer is asked again, before a start takes what the cache has, or fails
    #[arg(long, value_name = "TIME", default_value_t = Duration::from_secs(30).into())]
    models_patience: HumanDuration,
}

impl Settings {
    /// The models called `named` in the store at `url`, or all; nothing is asked yet.
    pub(super) fn open(&self, url: &Url, named: Vec<String>, options: LoadOptions, limits: LoadLimits) -> Result<Remote, CliError> {
        let cache = self.models_cache.clone().or_else(default_cache).ok_or_else(|| {
            let problem = "models_cache is not set, nor are XDG_CACHE_HOME and HOME";
            CliError::Configuration(format!("{problem}, expected a folder in which models of an object store can be kept"))
        })?;
        let config = RemoteConfig { url: url.clone(), cache, patience: self.models_patience.0, named, options, limits };
        Remote::new(config).map_err(|error| match error {
            StoreError::Address { .. } | StoreError::Setting(_) => CliError::configuration(error),
            _ => CliError::Failed(error.to_string()),
        })
    }
}

/// The model that a source of one alone has.
pub(super) fn load(source: Remote, reference: &str) -> Result<Model, CliError> {
    let found = source.list(&Pins::new())?;
    let candidate = found.first().ok_or_else(|| CliError::Failed(format!("no model {reference:?}")))?;
    Ok(source.load(candidate)?)
}

/// As the XDG Base Directory Specification has it: a relative path counts for nothing.
fn default_cache() -> Option<PathBuf> {
    let folder = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")))?;
    Some(caches.join("senet"))
}
