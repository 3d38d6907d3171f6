//! Refuses a request that came by a connection for which there is no place.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::http::problem::{Kind, Problem};

/// Marks a request, as an extension, whose connection has no place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoPlace {
    /// How many places there are.
    pub(crate) limit: usize,
}

/// What machines ask of a service that is busy, too; cheap to answer, and no client waits for it.
pub(crate) fn is_probe(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz" | "/health" | "/metrics")
}

/// Answers 429 in the handler's place.
pub(super) async fn refuse(request: Request, next: Next) -> Response {
    let Some(&NoPlace { limit }) = request.extensions().get() else { return next.run(request).await };
    let problem = Problem::new(Kind::Overloaded, format!("all {limit} connections that this service takes are in use"));
    problem.with_limit(limit as u64).into_response()
}
