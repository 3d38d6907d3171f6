//! What loading a model may cost, whatever its files ask for.
//!
//! A thread that does not end cannot be stopped, and an allocation that the system refuses ends the process. So a model is first loaded, and run
//! once, by a process of its own, the [trial], which may be ended, and loaded here only when that went well.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use super::error::ModelError;
use super::location::Location;
use super::{Model, trial};
use crate::admission::panic_message;
use crate::inference::LoadOptions;

/// For analyses that recurse: the trial and the service have the same.
const STACK_BYTES: usize = 16 << 20;

/// What loading a model may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadLimits {
    /// For the trial, and again for the load in this process.
    pub timeout: Duration,
    /// Most address space of the trial, bytes; where nothing is said, 2 GiB, eight times the model's files, and 256 MiB for each image of a batch.
    pub memory: Option<u64>,
    /// The `senet` program, which tries every model but the bundled one; none where there is no such program, as where senet is a library.
    pub program: Option<PathBuf>,
}

impl Default for LoadLimits {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(60), memory: None, program: None }
    }
}

impl LoadLimits {
    /// Loads the model at `location` within these limits: first for trial, then here.
    ///
    /// # Errors
    /// [`ModelError`].
    pub fn load(&self, location: &Location, options: LoadOptions) -> Result<Model, ModelError> {
        self.try_first(location, options)?;
        self.load_here(location, options)
    }

    /// Has the model at `location` loaded and run once by a process of its own, if there is a program for that.
    ///
    /// # Errors
    /// [`ModelError::Refused`] in the words of that process, and how it ended if not by itself.
    pub fn try_first(&self, location: &Location, options: LoadOptions) -> Result<(), ModelError> {
        match &self.program {
            Some(program) if *location != Location::Bundled => trial::run(program, location, options, self),
            _ => Ok(()),
        }
    }

    /// Loads the model at `location` in this process, on a thread that is left to itself when its time is over.
    ///
    /// # Errors
    /// [`ModelError`].
    pub fn load_here(&self, location: &Location, options: LoadOptions) -> Result<Model, ModelError> {
        if *location == Location::Bundled {
            return Model::load(location, options);
        }
        let (sender, loaded) = channel();
        let place = location.clone();
        let work = move || {
            let result = catch_unwind(AssertUnwindSafe(|| Model::load(&place, options)));
            // Nobody listens any more where the time is over.
            let _unheard = sender.send(result.map_err(|panic| panic_message(panic.as_ref())));
        };
        let place = location.to_string();
        let spawned = thread::Builder::new().name("senet-load".to_owned()).stack_size(STACK_BYTES).spawn(work);
        spawned.map_err(|source| ModelError::Trial { place: place.clone(), source })?;
        match loaded.recv_timeout(self.timeout) {
            Ok(Ok(result)) => result,
            Ok(Err(message)) => Err(ModelError::Panicked { place, message }),
            Err(RecvTimeoutError::Timeout) => Err(ModelError::TooSlow { place, limit: self.timeout }),
            Err(RecvTimeoutError::Disconnected) => Err(ModelError::Panicked { place, message: "its thread is gone".to_owned() }),
        }
    }
}
