//! One log line a request: what came, what was answered, how long each stage took; never a picture's bytes nor a query.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use tracing::{Instrument, Level, event, info_span};

use super::{RequestId, is_probe};
use crate::classifier::Timing;
use crate::excerpt::excerpt;
use crate::http::problem::Problem;

/// As nginx notes it: the client closed the connection before the answer.
pub(super) const CLIENT_GONE: u16 = 499;

/// What a handler tells of a request beyond its answer, as an extension of the response.
#[derive(Debug, Clone, Default)]
pub(crate) struct Served {
    /// Who answered.
    pub(crate) model: String,
    /// Length of the body.
    pub(crate) body_bytes: usize,
    /// How many pictures were asked about.
    pub(crate) images: usize,
    /// The formats of those that were answered, each once.
    pub(crate) formats: Vec<&'static str>,
    /// Summed over the pictures that were answered.
    pub(crate) timing: Timing,
}

/// Writes the line, and gives everything that is logged on the way a span with the request's id.
pub(super) async fn record(request: Request, next: Next) -> Response {
    let mut line = Line::begin(&request);
    let span = info_span!("request", id = line.id);
    let response = next.run(request).instrument(span).await;
    line.write(response.status().as_u16(), response.extensions().get::<Problem>(), response.extensions().get::<Served>());
    response
}

/// A line that is written even when the request's future is dropped because its client has gone.
struct Line {
    id: String,
    method: String,
    route: String,
    path: Option<String>,
    start: Instant,
    written: bool,
}

impl Line {
    fn begin(request: &Request) -> Self {
        let extensions = request.extensions();
        let route = extensions.get::<MatchedPath>().map(|path| path.as_str().to_owned());
        let path = route.is_none().then(|| excerpt(request.uri().path()));
        Self {
            id: extensions.get::<RequestId>().map_or_else(String::new, |id| id.as_str().to_owned()),
            method: excerpt(request.method().as_str()),
            route: route.unwrap_or_else(|| super::metrics::UNMATCHED.to_owned()),
            path,
            start: Instant::now(),
            written: false,
        }
    }

    fn write(&mut self, status: u16, problem: Option<&Problem>, served: Option<&Served>) {
        self.written = true;
        let Self { id, method, route, path, .. } = &*self;
        let duration_ms = milliseconds(self.start.elapsed());
        let cause = problem.and_then(Problem::cause);
        let problem = problem.map(|problem| problem.kind().facts().name);
        let (model, format) = (served.map(|s| s.model.as_str()), served.map(|s| s.formats.join(",")));
        let (bytes, images) = (served.map(|s| s.body_bytes), served.map(|s| s.images));
        let stage = |of: fn(&Timing) -> Duration| served.map(|s| milliseconds(of(&s.timing)));
        // A level is part of an event's static description, hence one event a level.
        macro_rules! line {
            ($level:expr) => {
                event!(
                    target: "senet::access", $level, id, method, route, path, status, duration_ms, problem, cause, model, format, bytes, images,
                    queue_ms = stage(|t| t.queue), decode_ms = stage(|t| t.decode), preprocess_ms = stage(|t| t.preprocess),
                    inference_ms = stage(|t| t.inference), postprocess_ms = stage(|t| t.postprocess), "request"
                )
            };
        }
        match status {
            500.. if cause.is_some() => line!(Level::ERROR),
            // Asked every few seconds: worth a line only when the answer is not the usual one.
            200 if is_probe(route) => line!(Level::DEBUG),
            _ => line!(Level::INFO),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.written {
            self.write(CLIENT_GONE, None, None);
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
