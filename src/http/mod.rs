//! The HTTP interface: requests in, JSON and problems out; knows the classifier but nothing of tract.

mod answer;
mod budget;
mod middleware;
mod openapi;
mod parameters;
mod problem;
mod router;
mod routes;
mod state;
mod unreadable;
mod upload;

pub(crate) use middleware::{NoPlace, is_probe};
pub use router::{admin_router, router};
pub use state::{AppState, Phase, StartError};
pub(crate) use unreadable::UnreadableHead;
