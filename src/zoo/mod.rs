//! The zoo: ready-made SE-Nets that are fetched by name and become model folders.
//!
//! [`Catalogue`] says what there is, [`Client`] how it is reached, and [`Pull`] fetches, checks and installs. A file whose size or SHA-256 is
//! not the catalogue's never becomes a model.

mod catalogue;
mod client;
mod download;
mod error;
mod install;

pub use crate::outgoing::SettingError;
pub use catalogue::{Catalogue, Entry, MAX_MODEL_BYTES};
pub use client::{Client, Patience};
pub use download::Progress;
pub use error::ZooError;
pub use install::{Existing, Outcome, Pull, is_installed};
