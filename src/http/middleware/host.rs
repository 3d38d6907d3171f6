//! Refuses what names no host, or two (RFC 9112, section 3.2): proxies before this service may have read another one.

use axum::extract::Request;
use axum::http::{Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::http::problem::{Kind, Problem};

/// Answers 400 in the handler's place.
pub(super) async fn check(request: Request, next: Next) -> Response {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    // The header came with HTTP/1.1.
    let fewest = usize::from(request.version() > Version::HTTP_10);
    if (fewest..=1).contains(&hosts) {
        return next.run(request).await;
    }
    Problem::new(Kind::InvalidHead, format!("the request has {hosts} headers Host, expected one")).into_response()
}
