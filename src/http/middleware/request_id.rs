//! Gives every request an id, and puts it into every answer.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use ulid::Ulid;

use crate::http::problem::Problem;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Of a client's id: long enough for the ids that proxies and tracing systems make up.
const MAX_BYTES: usize = 128;

/// A request's id: the client's where it sent one, else a fresh ULID.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(Arc<str>);

impl RequestId {
    /// 1 to [`MAX_BYTES`] visible ASCII characters.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn of(headers: &HeaderMap) -> Self {
        let sent = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
        let usable = sent.filter(|id| (1..=MAX_BYTES).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()));
        usable.map_or_else(Self::fresh, |id| Self(id.into()))
    }

    /// Another one at every call.
    pub(crate) fn fresh() -> Self {
        Self(Ulid::generate().to_string().into())
    }
}

/// Assigns the id, writes the bodies of problems, which name it, and the header of the answer.
pub(super) async fn assign(mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        // A problem is plain data: writing it cannot fail.
        *response.body_mut() = serde_json::to_vec(&problem.body(id.as_str())).unwrap_or_default().into();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    response
}
