//! What machines ask: is the process alive, does it answer now, how is it doing.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::http::problem::Problem;
use crate::http::state::{AppState, Phase};

/// The process is alive.
pub(crate) async fn livez() -> &'static str {
    "alive\n"
}

/// This replica answers now; which models it does not answer for yet is said too.
pub(crate) async fn readyz(State(state): State<Arc<AppState>>) -> Result<String, Problem> {
    state.ready().map(|()| state.pending().map_or_else(|| "ready\n".to_owned(), |pending| format!("ready; {pending}\n")))
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    version: &'static str,
    uptime_seconds: u64,
    models: Vec<Served>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<String>,
    workers: usize,
    queue: Queue,
}

#[derive(Serialize)]
struct Served {
    name: String,
    version: String,
}

#[derive(Serialize)]
struct Queue {
    depth: usize,
    limit: usize,
}

/// A summary for people; 503 whenever `/readyz` says so.
pub(crate) async fn health(State(state): State<Arc<AppState>>) -> Response {
    let is_ready = state.ready().is_ok();
    let status = match state.phase() {
        Phase::Draining | Phase::Stopping => "draining",
        _ if is_ready => "ready",
        Phase::Starting => "starting",
        Phase::Ready => "not_ready",
    };
    let models = state.registry().models().iter().map(|m| Served { name: m.name().to_owned(), version: m.version().to_owned() }).collect();
    let health = Health {
        status,
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: state.started.elapsed().as_secs(),
        models,
        pending: state.pending(),
        workers: state.pool.workers(),
        queue: Queue { depth: state.pool.queue_depth(), limit: state.pool.capacity() - state.pool.workers() },
    };
    let code = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(health)).into_response()
}

/// Prometheus's text format.
pub(crate) async fn metrics(State(state): State<Arc<AppState>>) -> Result<Response, Problem> {
    let text = state.metrics.render(state.pool.queue_depth(), &state.registry().entries()).map_err(Problem::internal)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}
