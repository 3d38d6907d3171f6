//! Counts the bytes of a large answer for as long as they wait for their client, as those of bodies are counted.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use hyper::body::Body as _;

use crate::http::problem::{Kind, Problem};
use crate::http::state::AppState;

/// Answers up to this length are not counted: every connection may have one.
const SMALL: u64 = 64 << 10;

/// Answers 429 in the handler's place when the answers of others, and the bodies, leave no memory for this one.
pub(super) async fn hold(State(state): State<Arc<AppState>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if response.body().size_hint().lower() <= SMALL {
        return response;
    }
    let (parts, body) = response.into_parts();
    // The body is in memory already, in one piece: nothing is waited for, nothing copied.
    let kept = body.collect().await.map_err(Problem::internal).and_then(|body| state.budget.keep(body.to_bytes()).map_err(|_| no_memory()));
    match kept {
        Ok(bytes) => Response::from_parts(parts, Body::from(bytes)),
        Err(problem) => problem.into_response(),
    }
}

fn no_memory() -> Problem {
    Problem::new(Kind::Overloaded, "the bodies and answers of other requests hold all the memory that there is for them")
}
