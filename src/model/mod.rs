//! A model as its users know it: a network, its input contract, its labels, a name and a version.

mod activation;
mod bundled;
mod class_names;
mod description;
mod error;
mod files;
mod labels;
#[cfg(feature = "server")]
mod lifecycle;
#[cfg(feature = "server")]
mod limits;
mod load;
mod location;
mod manifest;
#[cfg(feature = "server")]
mod memory;
mod metadata;
mod neighbours;
mod preprocessing;
mod python;
#[cfg(feature = "server")]
mod registry;
#[cfg(feature = "object-store")]
mod remote;
#[cfg(feature = "server")]
mod source;
mod statement;
#[cfg(feature = "server")]
mod trial;
mod two_sided;
mod versions;

use std::sync::Arc;

use crate::image::InputContract;
use crate::inference::{Engine, OutputActivation};

pub use description::Description;
pub use error::{ModelError, TextFileError};
#[cfg(feature = "server")]
pub use lifecycle::{ControlError, Lifecycle};
#[cfg(feature = "server")]
pub use limits::LoadLimits;
pub use location::Location;
#[cfg(feature = "server")]
pub use registry::{Entry, NotServed, Registry, State};
#[cfg(feature = "object-store")]
pub use remote::{Remote, RemoteConfig, StoreError};
#[cfg(feature = "server")]
pub use source::{Candidate, Files, Pins, Source};
pub use statement::Origins;
#[cfg(feature = "server")]
pub(crate) use trial::confined as load_confined;

/// A loaded model, shared by all workers.
pub struct Model {
    name: String,
    version: String,
    contract: InputContract,
    fingerprint: String,
    output_activation: OutputActivation,
    labels: Vec<String>,
    engine: Arc<dyn Engine>,
    origins: Origins,
    warnings: Vec<String>,
}

/// What a [`Model`] is put together from.
pub struct Parts {
    /// What requests call it.
    pub name: String,
    /// Any text; folders of versions use integers.
    pub version: String,
    /// How pictures become its input.
    pub contract: InputContract,
    /// What turns its output into probabilities.
    pub output_activation: OutputActivation,
    /// One for each class, in class order.
    pub labels: Vec<String>,
    /// The network.
    pub engine: Arc<dyn Engine>,
    /// Where the contract's values and the labels come from.
    pub origins: Origins,
    /// What a person should know, beside what the engine says itself.
    pub warnings: Vec<String>,
}

impl Model {
    /// A model of `parts` as they are: nothing is read, checked or run.
    pub fn from_parts(parts: Parts) -> Self {
        let Parts { name, version, contract, output_activation, labels, engine, origins, warnings } = parts;
        let fingerprint = contract.fingerprint();
        Self { name, version, contract, fingerprint, output_activation, labels, engine, origins, warnings }
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The model's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// How pictures become its input.
    pub fn contract(&self) -> &InputContract {
        &self.contract
    }

    /// Fingerprint of the contract, `sha256:…`.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// What turns its output into probabilities.
    pub fn output_activation(&self) -> OutputActivation {
        self.output_activation
    }

    /// The name of class `index`; empty for an index beyond the classes.
    pub fn label(&self, index: usize) -> &str {
        self.labels.get(index).map_or("", String::as_str)
    }

    /// The network.
    pub fn engine(&self) -> &dyn Engine {
        self.engine.as_ref()
    }

    /// Where the contract's values and the labels come from.
    pub fn origins(&self) -> &Origins {
        &self.origins
    }

    /// What a person should know.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}
