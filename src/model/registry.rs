//! The models that are served, by name, and what became of those that should be.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use serde::Serialize;

use super::Model;
use crate::excerpt::excerpt;

/// Why a name is not answered by a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotServed {
    /// No model has that name.
    #[error("no model {name:?} is served")]
    Unknown {
        /// The beginning of what was asked for.
        name: String,
    },
    /// There is such a model, but it does not answer now.
    #[error("the model {name:?} does not answer now: {reason}")]
    NotReady {
        /// What was asked for.
        name: String,
        /// In a few words.
        reason: &'static str,
    },
}

impl NotServed {
    /// Nothing is called `name`, which may be any text.
    pub(crate) fn unknown(name: &str) -> Self {
        Self::Unknown { name: excerpt(name) }
    }
}

/// What the last attempt to load a model came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its turn has not come.
    #[default]
    Pending,
    /// It is being loaded.
    Loading,
    /// It was loaded.
    Ready,
    /// It could not be loaded; [`Entry::error`] says why. An older version may go on answering.
    Failed,
    /// An operator has unloaded it.
    Unloaded,
}

/// A model that is or should be served.
#[derive(Clone, Default)]
pub struct Entry {
    /// What requests call it.
    pub name: String,
    /// Where it lies; no two entries lie in one place.
    pub place: String,
    /// The last attempt.
    pub state: State,
    /// What answers now, whatever became of the last attempt.
    pub served: Option<Arc<Model>>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// How long the load of what is served took.
    pub load: Duration,
}

impl Entry {
    fn answer(&self) -> Result<Arc<Model>, NotServed> {
        let reason = match self.state {
            State::Failed => "it could not be loaded",
            State::Unloaded => "it has been unloaded",
            State::Pending | State::Loading | State::Ready => "it is being loaded",
        };
        self.served.clone().ok_or_else(|| NotServed::NotReady { name: self.name.clone(), reason })
    }
}

/// The models that are served, in the order in which they were asked for; the first is the default.
#[derive(Default)]
pub struct Registry {
    entries: RwLock<Vec<Entry>>,
}

impl Registry {
    /// The model called `name`, or the default one.
    ///
    /// # Errors
    /// [`NotServed`].
    pub fn get(&self, name: Option<&str>) -> Result<Arc<Model>, NotServed> {
        let entries = self.read();
        let found = entries.iter().find(|entry| name.is_none_or(|name| entry.name == name));
        found.ok_or_else(|| NotServed::unknown(name.unwrap_or_default()))?.answer()
    }

    /// All entries.
    pub fn entries(&self) -> Vec<Entry> {
        self.read().clone()
    }

    /// The models that answer now.
    pub fn models(&self) -> Vec<Arc<Model>> {
        self.read().iter().filter_map(|entry| entry.served.clone()).collect()
    }

    /// Has entries for the `wanted` names and places alone, in this order; what is served goes on.
    pub(super) fn expect(&self, wanted: impl Iterator<Item = (String, String)>) {
        let mut entries = self.write();
        let mut old = std::mem::take(&mut *entries);
        let find = |(name, place): (String, String)| match old.iter().position(|entry| entry.place == place) {
            Some(index) => Entry { name, ..old.swap_remove(index) },
            None => Entry { name, place, ..Entry::default() },
        };
        *entries = wanted.map(find).collect();
    }

    /// Changes the entry that lies at `place`; where there is none yet, a new one behind the others.
    pub(super) fn change(&self, name: &str, place: &str, change: impl FnOnce(&mut Entry)) {
        let mut entries = self.write();
        match entries.iter_mut().find(|entry| entry.place == place) {
            Some(entry) => change(entry),
            None => {
                let mut entry = Entry { name: name.to_owned(), place: place.to_owned(), ..Entry::default() };
                change(&mut entry);
                entries.push(entry);
            }
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Entry>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}
