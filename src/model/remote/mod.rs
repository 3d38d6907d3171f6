//! Models in an object store: listed there, fetched into a cache on disk, and loaded from there as any folder is.

mod blobs;
mod connector;
mod error;
mod listing;
mod reason;
mod store;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};
use url::Url;

pub use error::StoreError;

use self::blobs::{Blobs, Key};
use self::listing::{Folder, Listing, Object};
use self::store::Store;
use super::error::ModelError;
use super::files::usable_name;
use super::location::{Location, split_version};
use super::manifest::Manifest;
use super::source::{Candidate, Pins, Source};
use super::{LoadLimits, Model};
use crate::inference::LoadOptions;
use crate::{text_file, toml_file};

/// A `model.toml` that is larger is not looked at before its model is loaded.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// What a [`Remote`] is made of.
#[derive(Debug)]
pub struct RemoteConfig {
    /// The bucket and the prefix below which every folder is a model.
    pub url: Url,
    /// Where fetched files are kept; made where it is not there.
    pub cache: PathBuf,
    /// How long a store that does not answer is asked again.
    pub patience: Duration,
    /// The models that are asked for, as `name` or `name@version`; all where there are none.
    pub named: Vec<String>,
    /// How each is loaded.
    pub options: LoadOptions,
    /// What that may cost, the fetch aside.
    pub limits: LoadLimits,
}

/// Models in an object store.
///
/// Calls block, and must not come from asynchronous code.
pub struct Remote {
    store: Store,
    blobs: Blobs,
    named: Vec<String>,
    options: LoadOptions,
    limits: LoadLimits,
    /// By place, what the last look found of each model.
    found: Mutex<Option<HashMap<String, Result<Folder, StoreError>>>>,
}

impl Remote {
    /// Asks nobody yet.
    ///
    /// # Errors
    /// [`StoreError::Address`] and [`StoreError::Setting`].
    pub fn new(config: RemoteConfig) -> Result<Self, StoreError> {
        let RemoteConfig { url, cache, patience, named, options, limits } = config;
        Ok(Self { store: Store::open(&url, patience)?, blobs: Blobs::new(cache), named, options, limits, found: Mutex::default() })
    }

    /// What the store has. At the first look an earlier listing will do where the store does not answer.
    fn look(&self) -> Result<Listing, StoreError> {
        let url = self.store.url();
        let listed = self.store.list();
        if let Err(StoreError::Unreachable { reason, .. }) = &listed
            && self.found().is_none()
            && let Some(earlier) = self.blobs.recall(url)
        {
            warn!("{url} does not answer ({reason}); what it had at the last start is served from {}", self.blobs.path().display());
            return Ok(earlier);
        }
        listed
    }

    /// The model folder called `name` with the files of one version, and what requests will call it.
    fn plan(&self, listing: &Listing, name: &str, version: Option<u64>, pins: &Pins) -> (String, Result<Folder, StoreError>) {
        let choose = |version| listing.folder(name, version).map_err(|reason| StoreError::Folder { place: self.place(name), reason });
        let folder = choose(version);
        let given = folder.as_ref().ok().and_then(|folder| self.given_name(folder));
        let given = given.unwrap_or_else(|| usable_name(name.into()));
        match pins.get(&given) {
            Some(pinned) => (given, choose(Some(*pinned))),
            None => (given, folder),
        }
    }

    /// `model.name` of the folder's `model.toml`. What is wrong with that is told when the model is loaded.
    fn given_name(&self, folder: &Folder) -> Option<String> {
        let manifest = folder.manifest().filter(|manifest| manifest.bytes <= MAX_MANIFEST_BYTES)?;
        let path = self.fetch(manifest).ok()?;
        let text = text_file::read(&path).ok()?;
        toml_file::parse::<Manifest>(&path, &text).ok()?.model.name
    }

    /// The verified file in the cache.
    fn fetch(&self, object: &Object) -> Result<PathBuf, StoreError> {
        let key = Key::of(self.store.url(), object);
        match self.blobs.find(&key, object.bytes) {
            Some(path) => Ok(path),
            None => self.blobs.keep(&key, |file| self.store.get(object, file)),
        }
    }

    fn fetch_all(&self, folder: &Folder, place: &str) -> Result<Vec<PathBuf>, StoreError> {
        let start = Instant::now();
        let missing = |object: &&Object| !self.blobs.has(&Key::of(self.store.url(), object));
        let bytes: u64 = folder.objects().iter().filter(missing).map(|object| object.bytes).sum();
        if bytes > 0 {
            info!("fetching {place}, {:.1} MB", bytes as f64 / 1e6);
        }
        let files = folder.objects().iter().map(|object| self.fetch(object)).collect::<Result<_, _>>()?;
        if bytes > 0 {
            let seconds = start.elapsed().as_secs_f64();
            info!(bytes, seconds, "fetched {place}, {:.1} MB in {seconds:.1} s", bytes as f64 / 1e6);
        }
        Ok(files)
    }

    fn place(&self, name: &str) -> String {
        format!("{}/{name}", self.store.url())
    }

    fn found(&self) -> MutexGuard<'_, Option<HashMap<String, Result<Folder, StoreError>>>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Remote {
    fn list(&self, pins: &Pins) -> Result<Vec<Candidate>, ModelError> {
        let in_use = self.blobs.lock()?;
        let listing = self.look()?;
        let wanted = wanted(&self.named, &listing, self.store.url())?;
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut found = HashMap::new();
        for (name, version) in wanted {
            let place = self.place(&name);
            if found.contains_key(&place) {
                continue;
            }
            let (given, folder) = self.plan(&listing, &name, version, pins);
            let (stamp, bytes) = folder.as_ref().map_or_else(|error| (error.to_string(), 0), |folder| (folder.stamp(), folder.bytes()));
            let location = Location::Folder { path: PathBuf::from(&place), version: pins.get(&given).copied().or(version) };
            candidates.push(Candidate { name: given, place: place.clone(), location, stamp, bytes });
            found.insert(place, folder);
        }
        let needed = found.values().flatten().flat_map(Folder::objects).map(|object| Key::of(self.store.url(), object));
        self.blobs.remember(self.store.url(), &listing, needed.collect())?;
        drop(in_use);
        *self.found() = Some(found);
        Ok(candidates)
    }

    fn load(&self, candidate: &Candidate) -> Result<Model, ModelError> {
        let place = &candidate.place;
        let folder = self.found().as_ref().and_then(|found| found.get(place).cloned());
        let folder = folder.ok_or_else(|| StoreError::Forgotten { url: place.clone() })??;
        let in_use = self.blobs.lock()?;
        let files = self.fetch_all(&folder, place)?;
        let view = self.blobs.view(folder.objects().iter().map(|object| Path::new(&object.path)).zip(&files))?;
        let root = view.path().join(folder.name());
        let version = match candidate.location {
            Location::Folder { version, .. } => version,
            _ => None,
        };
        let model = self.limits.load(&Location::Folder { path: root.clone(), version }, self.options);
        // Whoever reads the error knows the model by its address.
        let model = model.map_err(|error| StoreError::Model(error.to_string().replace(&root.display().to_string(), place)))?;
        drop(view);
        drop(in_use);
        self.blobs.tidy();
        Ok(model)
    }
}

/// The folders that are asked for and the versions of them, all where none is named.
fn wanted(named: &[String], listing: &Listing, url: &str) -> Result<Vec<(String, Option<u64>)>, StoreError> {
    let known = listing.names();
    if known.is_empty() {
        return Err(StoreError::Folder { place: url.to_owned(), reason: "it holds no model folder, expected <name>/model.onnx".to_owned() });
    }
    if named.is_empty() {
        return Ok(known.into_iter().map(|name| (name.to_owned(), None)).collect());
    }
    let find = |reference: &String| {
        let (name, version) = split_version(reference);
        match known.contains(&name) {
            true => Ok((name.to_owned(), version)),
            false => Err(StoreError::NoModel { reference: reference.clone(), url: url.to_owned(), known: known.join(", ") }),
        }
    };
    named.iter().map(find).collect()
}
