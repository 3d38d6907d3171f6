//! The description of the interface, for programs and for people.

use axum::http::{HeaderName, header};
use axum::response::IntoResponse;

use crate::http::openapi;

/// Everything that the page needs is in it, so it works without a network and may load nothing else.
const POLICY: (HeaderName, &str) = (
    header::CONTENT_SECURITY_POLICY,
    "default-src 'none'; connect-src 'self'; img-src 'self' blob: data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// OpenAPI 3.1.
pub(crate) async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], openapi::document())
}

/// The page that shows it.
pub(crate) async fn docs() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8"), POLICY], include_str!("../docs.html"))
}
