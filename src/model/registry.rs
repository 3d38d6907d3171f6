//! The models that are served, by name.

use std::sync::Arc;

use super::Model;

/// No model of that name is served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no model {name:?} is served")]
pub struct UnknownModel {
    /// What was asked for.
    pub name: String,
}

/// The models that are served.
#[derive(Default)]
pub struct Registry {
    models: Vec<Arc<Model>>,
}

impl Registry {
    /// Serves `models`; the first is the default.
    pub fn new(models: Vec<Arc<Model>>) -> Self {
        Self { models }
    }

    /// The model called `name`, or the default one.
    ///
    /// # Errors
    /// [`UnknownModel`].
    pub fn get(&self, name: Option<&str>) -> Result<Arc<Model>, UnknownModel> {
        let found = self.models.iter().find(|m| name.is_none_or(|name| m.name() == name));
        found.cloned().ok_or_else(|| UnknownModel { name: name.unwrap_or_default().to_owned() })
    }

    /// All of them.
    pub fn models(&self) -> &[Arc<Model>] {
        &self.models
    }
}
