//! Bounds how long a request may take.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use crate::http::problem::{Kind, Problem};
use crate::http::state::AppState;

/// When the answer is of no use any more; for the work that the handler hands to a worker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(pub(crate) Instant);

/// Answers 504 in the handler's place when the time is up; dropping the handler abandons its work.
pub(super) async fn enforce(State(state): State<Arc<AppState>>, mut request: Request, next: Next) -> Response {
    let limit = state.http.request_timeout;
    request.extensions_mut().insert(Deadline(Instant::now() + limit));
    let late = || Problem::new(Kind::DeadlineExceeded, format!("the answer was not ready within {} s", limit.as_secs_f64()));
    timeout(limit, next.run(request)).await.unwrap_or_else(|_| late().into_response())
}
