//! The life of the models of a service: loaded side by side at the start, and later beside the running ones, then swapped.
//!
//! A model that is replaced answers the requests that have it and is freed after the last. One that cannot be loaded leaves the old one
//! serving.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use tracing::{error, info, warn};

use super::error::ModelError;
use super::memory::{Line, give_back};
use super::registry::{NotServed, Registry, State};
use super::source::{Candidate, Pins, Source};
use super::{Description, Model};
use crate::admission::panic_message;

/// The most memory that a load takes, for each byte of the model's files: measured 2.0 to 2.6 for networks of 100 to 530 MB.
const PEAK: u64 = 4;

/// Of loads at a time, whatever the cores: one that does not end holds up the others only where there are as many of its kind.
const LEAST_THREADS: usize = 4;

/// Why a model was not loaded or unloaded on demand.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is no such model.
    #[error(transparent)]
    Unknown(#[from] NotServed),
    /// It cannot be loaded.
    #[error(transparent)]
    Load(#[from] ModelError),
}

/// Keeps a [`Registry`] as a [`Source`] has it; one change at a time.
pub struct Lifecycle {
    registry: Arc<Registry>,
    source: Box<dyn Source>,
    required: Vec<String>,
    turn: Mutex<Memory>,
}

/// What is remembered from one change to the next.
#[derive(Default)]
struct Memory {
    pins: Pins,
    /// By place, the stamp of the last attempt.
    tried: HashMap<String, String>,
    /// What the last look found.
    found: Vec<Candidate>,
    /// Why the last look found nothing.
    blind: Option<String>,
}

impl Lifecycle {
    /// Nothing is loaded yet. The service is ready while the models called `required` are.
    pub fn new(source: impl Source + 'static, required: Vec<String>) -> Self {
        Self { registry: Arc::default(), source: Box::new(source), required, turn: Mutex::default() }
    }

    /// The models that are served.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Loads everything that there is, side by side as far as cores and memory go.
    ///
    /// # Errors
    /// Where nothing can be served, and where a model that is required cannot; other broken models are logged and listed as failed.
    pub fn start(&self) -> Result<(), ModelError> {
        let mut memory = self.turn();
        let found = self.find(&memory.pins)?;
        memory.found.clone_from(&found);
        self.expect(&found);
        let mut due: Vec<&Candidate> = found.iter().collect();
        due.sort_by_key(|candidate| !self.required.contains(&candidate.name));
        let failed = self.load_all(due, &mut memory);
        let nothing_is_served = self.registry.models().is_empty();
        match failed.into_iter().find(|(candidate, _)| nothing_is_served || self.required.contains(&candidate.name)) {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    /// Looks whether the models that are asked for and required are there, and loads nothing.
    ///
    /// # Errors
    /// As those of [`Lifecycle::start`] that can be told without loading.
    pub fn check(&self) -> Result<(), ModelError> {
        self.find(&Pins::new()).map(drop)
    }

    fn find(&self, pins: &Pins) -> Result<Vec<Candidate>, ModelError> {
        let found = self.source.list(pins)?;
        if let Some(missing) = self.required.iter().find(|name| !found.iter().any(|candidate| candidate.name == **name)) {
            let known = found.iter().map(|candidate| candidate.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(ModelError::NotFound { reference: missing.clone(), known });
        }
        Ok(found)
    }

    /// Loads what is new or has changed or failed, and stops serving what is gone.
    pub fn refresh(&self) {
        let mut memory = self.turn();
        self.look(&mut memory);
        let failed = self.registry.entries().into_iter().filter(|entry| entry.state == State::Failed);
        failed.for_each(|entry| drop(memory.tried.remove(&entry.place)));
        self.apply(&mut memory);
    }

    /// As [`Lifecycle::refresh`], but leaves alone what has failed and not changed since, and what has changed since the last call, since
    /// somebody may still be writing to it.
    pub fn watch(&self) {
        let mut memory = self.turn();
        if !self.look(&mut memory) {
            self.apply(&mut memory);
        }
    }

    /// Loads the model called `name` anew: `version` of it, to which it then keeps, or its highest version.
    ///
    /// # Errors
    /// [`ControlError`]; what was served before goes on.
    pub fn load(&self, name: &str, version: Option<u64>) -> Result<Arc<Model>, ControlError> {
        let mut memory = self.turn();
        let mut pins = memory.pins.clone();
        match version {
            Some(version) => pins.insert(name.to_owned(), version),
            None => pins.remove(name),
        };
        let found = self.source.list(&pins)?;
        let candidate = found.iter().find(|candidate| candidate.name == name).ok_or_else(|| NotServed::unknown(name))?;
        memory.tried.insert(candidate.place.clone(), candidate.stamp.clone());
        let model = self.load_one(candidate);
        give_back();
        let model = model?;
        memory.pins = pins;
        Ok(model)
    }

    /// Stops serving the model called `name` until it is loaded again.
    ///
    /// # Errors
    /// [`NotServed::Unknown`].
    pub fn unload(&self, name: &str) -> Result<(), NotServed> {
        let _turn = self.turn();
        let entry = self.registry.entries().into_iter().find(|entry| entry.name == name);
        let entry = entry.ok_or_else(|| NotServed::unknown(name))?;
        self.registry.change(&entry.name, &entry.place, |entry| {
            entry.served = None;
            entry.error = None;
            entry.state = State::Unloaded;
        });
        // It still has the model.
        drop(entry);
        give_back();
        info!(model = name, "unloaded {name}");
        Ok(())
    }

    /// The models that are required and do not answer now.
    pub fn missing(&self) -> Vec<&str> {
        let required = self.required.iter().map(String::as_str);
        required.filter(|name| self.registry.get(Some(name)).is_err()).collect()
    }

    /// Whether any model is required.
    pub fn requires_some(&self) -> bool {
        !self.required.is_empty()
    }

    fn turn(&self) -> MutexGuard<'_, Memory> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expect(&self, found: &[Candidate]) {
        self.registry.expect(found.iter().map(|candidate| (candidate.name.clone(), candidate.place.clone())));
    }

    /// Looks what there is, and tells whether that has changed since the last look.
    fn look(&self, memory: &mut Memory) -> bool {
        match self.source.list(&memory.pins) {
            Ok(found) => {
                memory.blind = None;
                let changed = found != memory.found;
                memory.found = found;
                changed
            }
            Err(error) => {
                let reason = error.to_string();
                if memory.blind.as_ref() != Some(&reason) {
                    error!("cannot look for models: {reason}; those that are served go on");
                }
                memory.blind = Some(reason);
                true
            }
        }
    }

    /// Makes what is served what was found.
    fn apply(&self, memory: &mut Memory) {
        if memory.blind.is_some() {
            return;
        }
        let found = memory.found.clone();
        let before = self.registry.entries();
        for gone in before.iter().filter(|entry| !found.iter().any(|candidate| candidate.place == entry.place)) {
            info!(model = gone.name, "{} is no longer there and no longer served", gone.name);
            memory.tried.remove(&gone.place);
        }
        self.expect(&found);
        let unloaded = |candidate: &Candidate| before.iter().any(|entry| entry.place == candidate.place && entry.state == State::Unloaded);
        let due = found.iter().filter(|candidate| memory.tried.get(&candidate.place) != Some(&candidate.stamp) && !unloaded(candidate));
        let due: Vec<&Candidate> = due.collect();
        // It still has the models that are about to be replaced.
        drop(before);
        self.load_all(due, memory);
    }

    /// Loads all of `due`, several at a time, and gives those that failed in the order of `due`.
    fn load_all<'a>(&self, due: Vec<&'a Candidate>, memory: &mut Memory) -> Vec<(&'a Candidate, ModelError)> {
        memory.tried.extend(due.iter().map(|candidate| (candidate.place.clone(), candidate.stamp.clone())));
        let line = Line::default();
        let next = Mutex::new(due.into_iter().enumerate());
        let failed = Mutex::new(Vec::new());
        // Not in the head of the loop, where the lock would be held while its body runs.
        let take = || lock(&next).next();
        let work = || {
            while let Some((index, candidate)) = take() {
                line.enter(candidate.bytes.saturating_mul(PEAK));
                let loaded = self.load_one(candidate);
                line.leave(candidate.bytes.saturating_mul(PEAK));
                if let Err(error) = loaded {
                    lock(&failed).push((index, candidate, error));
                }
            }
        };
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = cores.max(LEAST_THREADS).min(lock(&next).len());
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
        give_back();
        let mut failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        failed.sort_by_key(|(index, ..)| *index);
        failed.into_iter().map(|(_, candidate, error)| (candidate, error)).collect()
    }

    /// Loads one and swaps it in.
    fn load_one(&self, candidate: &Candidate) -> Result<Arc<Model>, ModelError> {
        let Candidate { name, place, .. } = candidate;
        self.registry.change(name, place, |entry| entry.state = State::Loading);
        let start = Instant::now();
        let loaded = self.alone(candidate).and_then(|()| {
            catch_unwind(AssertUnwindSafe(|| self.source.load(candidate)))
                .unwrap_or_else(|panic| Err(ModelError::Panicked { place: place.clone(), message: panic_message(panic.as_ref()) }))
        });
        match loaded {
            Ok(model) => {
                let model = Arc::new(model);
                announce(&model);
                self.registry.change(name, place, |entry| {
                    entry.name = model.name().to_owned();
                    entry.state = State::Ready;
                    entry.error = None;
                    entry.load = start.elapsed();
                    entry.served = Some(Arc::clone(&model));
                });
                Ok(model)
            }
            Err(error) => {
                self.registry.change(name, place, |entry| {
                    entry.state = State::Failed;
                    entry.error = Some(error.to_string());
                    match &entry.served {
                        Some(old) => error!(model = name, "cannot load {name}: {error}; version {} goes on serving", old.version()),
                        None => error!(model = name, "cannot load {name}: {error}"),
                    }
                });
                Err(error)
            }
        }
    }

    /// Of two models with one name only the first is served.
    fn alone(&self, candidate: &Candidate) -> Result<(), ModelError> {
        let entries = self.registry.entries();
        match entries.iter().find(|entry| entry.name == candidate.name) {
            Some(first) if first.place != candidate.place => {
                let (name, first, second) = (candidate.name.clone(), first.place.clone(), candidate.place.clone());
                Err(ModelError::SameName { name, first, second })
            }
            _ => Ok(()),
        }
    }
}

fn announce(model: &Model) {
    let Description { name, version, network, .. } = model.describe();
    info!(model = %name, %version, classes = network.classes, se_blocks = network.se_blocks.len(), "loaded {name} {version}");
    for warning in network.warnings {
        warn!(model = %name, "{name}: {warning}");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
