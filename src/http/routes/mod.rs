//! One file a resource.

mod classify;
mod documents;
mod health;
mod models;
mod name;
mod problems;

pub(super) use classify::classify;
pub(super) use documents::{docs, openapi};
pub(super) use health::{health, livez, metrics, readyz};
pub(super) use models::{describe_model, list_models, load_model, unload_model};
pub(super) use problems::{describe_problem, list_problems};
