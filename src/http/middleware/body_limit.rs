//! Refuses a body by its declared length, before any of it is read; one without a length is cut off where it is read.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::http::problem::{Kind, Problem};
use crate::http::state::AppState;

/// Answers 413 in the handler's place.
pub(super) async fn refuse(State(state): State<Arc<AppState>>, request: Request, next: Next) -> Response {
    let limit = state.http.max_body_bytes;
    match declared_bytes(&request) {
        Some(actual) if actual > limit => {
            let problem = Problem::new(Kind::BodyTooLarge, format!("the body has {actual} bytes, the limit is {limit}"));
            problem.with_limit(limit).with_actual(actual).into_response()
        }
        _ => next.run(request).await,
    }
}

fn declared_bytes(request: &Request) -> Option<u64> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
