//! Counts requests by the template of their route, never by their path.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::access_log::CLIENT_GONE;
use crate::http::problem::{Kind, Problem};
use crate::http::state::AppState;

/// What stands for the template of a path that no route matches.
pub(super) const UNMATCHED: &str = "unmatched";

/// Counts one request from its head to its answer.
pub(super) async fn count(State(state): State<Arc<AppState>>, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| UNMATCHED.to_owned(), |path| path.as_str().to_owned());
    let model = ModelAsked::default();
    request.extensions_mut().insert(model.clone());
    let mut in_flight = InFlight::new(state, route, model);
    let response = next.run(request).await;
    in_flight.status = response.status().as_u16();
    if let Some(kind) = response.extensions().get::<Problem>().map(Problem::kind).filter(|kind| is_rejection(*kind)) {
        in_flight.state.metrics.rejected(kind.facts().name);
    }
    response
}

/// The name of the served model that a request asks, as soon as its handler knows it: so that requests that fail, or end with their deadline, count as the
/// model's too.
#[derive(Debug, Clone, Default)]
pub(crate) struct ModelAsked(Arc<OnceLock<String>>);

impl ModelAsked {
    /// Told once, by the handler.
    pub(crate) fn is(&self, name: &str) {
        self.0.get_or_init(|| name.to_owned());
    }
}

/// Refused or given up for the service's sake, not for a mistake in the request.
fn is_rejection(kind: Kind) -> bool {
    use Kind::{BodyTimeout, BodyTooLarge, DeadlineExceeded, Draining, NotReady, Overloaded};
    matches!(kind, BodyTimeout | BodyTooLarge | DeadlineExceeded | Draining | NotReady | Overloaded)
}

/// A request under way: counted as ended when it is dropped, so that a client that leaves cannot leak one.
struct InFlight {
    state: Arc<AppState>,
    route: String,
    model: ModelAsked,
    start: Instant,
    status: u16,
}

impl InFlight {
    fn new(state: Arc<AppState>, route: String, model: ModelAsked) -> Self {
        state.metrics.request_began();
        Self { state, route, model, start: Instant::now(), status: CLIENT_GONE }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.state.metrics.request_ended(&self.route, self.model.0.get().map(String::as_str), self.status, self.start.elapsed());
    }
}
