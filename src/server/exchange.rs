//! One request and its answer, as far as their connection is concerned: the rest of a body that no handler read, and whether the connection lives on.
//!
//! An answer may be ready before its request has been read, as when a parameter is wrong. The next request of the connection begins behind the body, so that
//! the rest of it is either read here and thrown away, or the answer says `Connection: close` and no client sends another request in vain
//! (RFC 9112, section 9.3).

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONNECTION, EXPECT};
use axum::http::{HeaderMap, HeaderValue, Request, Response, Version};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::service::Service;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tower::ServiceExt;

use super::connections::Address;
use super::places::Place;
use super::progress::{Progress, UnderWay};
use crate::http::{NoPlace, Phase, is_probe};

/// Of a body that no handler read, beyond which its connection is closed instead: as much as one picture, which takes less time than a new connection.
const REST_BYTES: usize = 1 << 20;
/// For that rest to arrive.
const REST_WITHIN: Duration = Duration::from_secs(1);

/// Answers the requests of one connection.
#[derive(Clone)]
pub(super) struct Exchange {
    pub(super) address: Arc<Address>,
    pub(super) place: Arc<Place>,
    pub(super) progress: Arc<Progress>,
}

impl Service<Request<Incoming>> for Exchange {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answer>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let under_way = self.progress.begin(request.version());
        if request.body().is_end_stream() {
            self.progress.was_read();
        }
        Box::pin(self.clone().answer(request, under_way))
    }
}

impl Exchange {
    async fn answer(self, mut request: Request<Incoming>, under_way: UnderWay) -> Result<Response<Answer>, Infallible> {
        let (version, last) = (request.version(), says_close(request.headers()));
        let http = &self.address.state.http;
        if !is_probe(request.uri().path()) && !timeout(http.request_timeout, self.place.hold()).await.unwrap_or(false) {
            request.extensions_mut().insert(NoPlace { limit: http.max_connections });
        }
        let (request, rest) = lend(request, &self.progress);
        let mut response = self.address.router.clone().oneshot(request).await?;
        let over = last || says_close(response.headers()) || self.address.state.phase() >= Phase::Draining || !self.place.is_held();
        if over || !rest.throw_away().await {
            close_after(&mut response, version);
        }
        self.progress.answers();
        Ok(response.map(|body| Answer { body, _under_way: under_way }))
    }
}

/// The body of an answer, with which its request ends.
pub(super) struct Answer {
    body: Body,
    _under_way: UnderWay,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Has the connection closed after `response`, and its client told.
fn close_after<B>(response: &mut Response<B>, request_version: Version) {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    if request_version == Version::HTTP_10 {
        // To an answer of version 1.1 hyper would add `keep-alive` for a client of version 1.0 that asked for it.
        *response.version_mut() = Version::HTTP_10;
    }
}

fn says_close(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|option| option.trim().eq_ignore_ascii_case("close"))
}

/// `request` with a body that comes back once its handler is done.
fn lend(request: Request<Incoming>, progress: &Arc<Progress>) -> (Request<Body>, Rest) {
    if request.body().is_end_stream() {
        return (request.map(|_| Body::empty()), Rest { expected: false, returned: None });
    }
    let (home, returned) = oneshot::channel();
    let expected = request.headers().contains_key(EXPECT);
    let progress = Arc::clone(progress);
    let lent = |body| Body::new(Lent { body: Some(body), reading: Reading::NotBegun, home: Some(home), progress });
    (request.map(lent), Rest { expected, returned: Some(returned) })
}

/// How much of a body was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    NotBegun,
    UnderWay,
    Ended,
    Broken,
}

/// A body that is sent home when its reader drops it.
struct Lent {
    body: Option<Incoming>,
    reading: Reading,
    home: Option<oneshot::Sender<(Incoming, Reading)>>,
    progress: Arc<Progress>,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(context);
        self.reading = match &frame {
            Poll::Ready(None) if self.reading != Reading::Broken => {
                self.progress.was_read();
                Reading::Ended
            }
            Poll::Ready(None | Some(Err(_))) => Reading::Broken,
            Poll::Pending | Poll::Ready(Some(Ok(_))) => Reading::UnderWay,
        };
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(body), Some(home)) = (self.body.take(), self.home.take()) {
            // Where the request itself was dropped, nobody waits for its body.
            drop(home.send((body, self.reading)));
        }
    }
}

/// What is left of a request's body when its answer is ready.
struct Rest {
    /// Whether the client waits to be told before it sends the body (RFC 9110, section 10.1.1).
    expected: bool,
    /// None where there is no body.
    returned: Option<oneshot::Receiver<(Incoming, Reading)>>,
}

impl Rest {
    /// Reads what is left, and says whether the body came to its end: then the next request may follow.
    async fn throw_away(self) -> bool {
        let Some(mut returned) = self.returned else { return true };
        // A body that is still lent is being read elsewhere.
        let Ok((body, reading)) = returned.try_recv() else { return false };
        match reading {
            Reading::Ended => return true,
            Reading::Broken => return false,
            // Reading would ask for a body that nobody wants.
            Reading::NotBegun if self.expected => return false,
            Reading::NotBegun | Reading::UnderWay => {}
        }
        if body.size_hint().lower() > REST_BYTES as u64 {
            return false;
        }
        let mut body = Limited::new(body, REST_BYTES);
        let read = async {
            loop {
                match body.frame().await {
                    None => return true,
                    Some(Ok(_)) => {}
                    Some(Err(_)) => return false,
                }
            }
        };
        timeout(REST_WITHIN, read).await.unwrap_or(false)
    }
}
