//! The models that are served, by name.

use std::sync::{Arc, PoisonError, RwLock};

use super::Model;

/// No model of that name is served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no model {name:?} is served")]
pub struct UnknownModel {
    /// What was asked for.
    pub name: String,
}

/// The models that are served; filled while the service already answers its probes.
#[derive(Default)]
pub struct Registry {
    models: RwLock<Vec<Arc<Model>>>,
}

impl Registry {
    /// Serves `models`; the first is the default.
    pub fn new(models: Vec<Arc<Model>>) -> Self {
        Self { models: RwLock::new(models) }
    }

    /// Serves `model` from now on, in the place of one that has its name.
    pub fn insert(&self, model: Arc<Model>) {
        let mut models = self.models.write().unwrap_or_else(PoisonError::into_inner);
        match models.iter_mut().find(|m| m.name() == model.name()) {
            Some(place) => *place = model,
            None => models.push(model),
        }
    }

    /// The model called `name`, or the default one.
    ///
    /// # Errors
    /// [`UnknownModel`].
    pub fn get(&self, name: Option<&str>) -> Result<Arc<Model>, UnknownModel> {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        let found = models.iter().find(|m| name.is_none_or(|name| m.name() == name));
        found.cloned().ok_or_else(|| UnknownModel { name: name.unwrap_or_default().to_owned() })
    }

    /// All of them.
    pub fn models(&self) -> Vec<Arc<Model>> {
        self.models.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
