//! What is said of a model to those who ask: `senet inspect --json` and `GET /v1/models/{name}` alike.

use serde::Serialize;

use super::{Model, Origins};
use crate::image::InputContract;
use crate::inference::{NetworkSummary, OutputActivation};

/// A model described.
#[derive(Debug, Clone, Serialize)]
pub struct Description {
    /// What requests call it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Of the network, its warnings preceded by those about the model's files.
    #[serde(flatten)]
    pub network: NetworkSummary,
    /// How pictures become its input.
    pub input: InputContract,
    /// What turns its output into probabilities.
    pub output_activation: OutputActivation,
    /// Fingerprint of the contract.
    pub preprocessing: String,
    /// The file that each value of `input`, the activation and the labels come from, by their keys in `model.toml`.
    pub origins: Origins,
}

impl Model {
    /// Describes the model.
    pub fn describe(&self) -> Description {
        let mut network = self.engine().summary().clone();
        network.warnings.splice(..0, self.warnings().iter().cloned());
        Description {
            name: self.name().to_owned(),
            version: self.version().to_owned(),
            network,
            input: self.contract().clone(),
            output_activation: self.output_activation(),
            preprocessing: self.fingerprint().to_owned(),
            origins: self.origins().clone(),
        }
    }
}
