//! Counts requests by the template of their route, never by their path.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::access_log::{CLIENT_GONE, Served};
use crate::http::problem::{Kind, Problem};
use crate::http::state::AppState;

/// What stands for the template of a path that no route matches.
pub(super) const UNMATCHED: &str = "unmatched";

/// Counts one request from its head to its answer.
pub(super) async fn count(State(state): State<Arc<AppState>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| UNMATCHED.to_owned(), |path| path.as_str().to_owned());
    let mut in_flight = InFlight::new(state, route);
    let response = next.run(request).await;
    in_flight.status = response.status().as_u16();
    in_flight.model = response.extensions().get::<Served>().map(|served| served.model.clone());
    if let Some(kind) = response.extensions().get::<Problem>().map(Problem::kind).filter(|kind| is_rejection(*kind)) {
        in_flight.state.metrics.rejected(kind.facts().name);
    }
    response
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
    model: Option<String>,
    start: Instant,
    status: u16,
}

impl InFlight {
    fn new(state: Arc<AppState>, route: String) -> Self {
        state.metrics.request_began();
        Self { state, route, model: None, start: Instant::now(), status: CLIENT_GONE }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.state.metrics.request_ended(&self.route, self.model.as_deref(), self.status, self.start.elapsed());
    }
}
