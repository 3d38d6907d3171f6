//! What happens when there is too much work, or work that nobody waits for, or a network that fails.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderValue, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Frame;
use senet::config::HttpConfig;
use senet::inference::EngineError;
use tokio::sync::mpsc as async_mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tower::ServiceExt;

use crate::support::{Answer, App, FakeEngine, answer, form, png, post};

const PNG: &str = "image/png";
/// For what happens at once unless something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// A network that says when it begins, and then waits to be released.
struct Held {
    app: App,
    began: async_mpsc::UnboundedReceiver<()>,
    release: mpsc::Sender<()>,
    runs: Arc<AtomicUsize>,
}

impl Held {
    fn new() -> Self {
        Self::with(HttpConfig::default())
    }

    fn with(http: HttpConfig) -> Self {
        let (begin, began) = async_mpsc::unbounded_channel();
        let (engine, release) = FakeEngine::held(move || begin.send(()).unwrap_or_default());
        let runs = engine.runs();
        Self { app: App::with(engine, 1, http), began, release, runs }
    }

    fn spawn(&self, request: Request<Body>) -> JoinHandle<Answer> {
        tokio::spawn(answer(self.app.router.clone(), request))
    }

    /// With a picture on its worker and two in its queue, which is all it takes.
    async fn full() -> (Self, Vec<JoinHandle<Answer>>) {
        let mut held = Self::new();
        let running = (0..3).map(|_| held.spawn(post("", PNG, png()))).collect();
        held.began().await;
        held.queued(2).await;
        (held, running)
    }

    /// Waits until the network runs.
    async fn began(&mut self) {
        timeout(PATIENCE, self.began.recv()).await.expect("the network does not run").unwrap();
    }

    /// Waits until `count` jobs wait for the one worker.
    async fn queued(&self, count: usize) {
        let line = format!("senet_queue_depth {count}");
        let start = Instant::now();
        while !self.app.get("/metrics").await.text().lines().any(|l| l == line) {
            assert!(start.elapsed() < PATIENCE, "no {line}");
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn beyond_the_queue_requests_are_turned_away_and_the_next_one_works() {
    let (held, running) = Held::full().await;
    assert_eq!(held.app.get("/health").await.json()["queue"]["depth"], 2);
    let refused = held.app.post("", PNG, png()).await;
    refused.problem(429, "overloaded");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(held.app.get("/livez").await.status, 200);
    for _ in 0..4 {
        held.release.send(()).unwrap();
    }
    for request in running {
        assert_eq!(request.await.unwrap().status, 200);
    }
    assert_eq!(held.app.post("", PNG, png()).await.status, 200);
    assert!(held.app.get("/metrics").await.text().contains("senet_rejected_total{reason=\"overloaded\"} 1\n"));
}

#[tokio::test]
async fn a_request_for_several_images_takes_its_places_together_or_not_at_all() {
    let mut held = Held::new();
    let first = held.spawn(post("", PNG, png()));
    held.began().await;
    let picture = png();
    let (content_type, body) = form(&[("a", Some("a"), &picture), ("b", Some("b"), &picture), ("c", Some("c"), &picture)]);
    held.app.post("", &content_type, body).await.problem(429, "overloaded");
    held.release.send(()).unwrap();
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(held.runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_network_does_not_run_for_a_client_that_has_gone() {
    let mut held = Held::new();
    let first = held.spawn(post("", PNG, png()));
    held.began().await;
    let gone = held.spawn(post("", PNG, png()));
    held.queued(1).await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    held.release.send(()).unwrap();
    assert_eq!(first.await.unwrap().status, 200);
    held.release.send(()).unwrap();
    assert_eq!(held.app.post("", PNG, png()).await.status, 200, "the one worker is past the abandoned job");
    assert_eq!(held.runs.load(Ordering::SeqCst), 2);
    let metrics = held.app.get("/metrics").await;
    assert!(metrics.text().contains("senet_requests_total{route=\"/v1/classify\",status=\"499\"} 1\n"), "{}", metrics.text());
    assert!(metrics.text().contains("senet_requests_in_flight 1\n"), "the request for the metrics alone");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered_and_its_work_given_up() {
    let mut held = Held::new();
    let first = held.spawn(post("", PNG, png()));
    held.began().await;
    let second = held.spawn(post("", PNG, png()));
    held.queued(1).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    for request in [first, second] {
        let answer = timeout(PATIENCE, request).await.expect("no deadline").unwrap();
        assert_eq!(answer.problem(504, "deadline-exceeded"), "the answer was not ready within 30 s");
    }
    held.release.send(()).unwrap();
    held.release.send(()).unwrap();
    assert_eq!(held.app.post("", PNG, png()).await.status, 200);
    assert_eq!(held.runs.load(Ordering::SeqCst), 2, "the queued one never ran");
}

#[tokio::test]
async fn a_panic_is_an_internal_error_and_the_next_request_works() {
    let first = AtomicBool::new(true);
    let app = App::with(
        FakeEngine::that(move || {
            assert!(!first.swap(false, Ordering::SeqCst), "the network is out of order");
            Ok(())
        }),
        1,
        HttpConfig::default(),
    );
    let answer = app.post("", PNG, png()).await;
    answer.problem(500, "internal");
    assert!(!answer.text().contains("out of order"), "{}", answer.text());
    assert_eq!(app.post("", PNG, png()).await.status, 200);
}

#[tokio::test]
async fn a_network_that_fails_is_an_internal_error_without_its_cause() {
    let app = App::new(FakeEngine::that(|| Err(EngineError::Run("secret".to_owned()))));
    let answer = app.post("", PNG, png()).await;
    answer.problem(500, "internal");
    assert!(!answer.text().contains("secret"), "{}", answer.text());
    let (content_type, body) = form(&[("a", Some("a"), &png())]);
    let answer = app.post("", &content_type, body).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["results"][0]["type"], "/problems/internal");
}

#[tokio::test]
async fn the_bodies_of_all_requests_together_hold_a_bounded_number_of_bytes() {
    let app = App::with(FakeEngine::fast(), 1, HttpConfig { max_body_bytes: 1000, ..HttpConfig::default() });
    let mut stalled = Vec::new();
    for _ in 0..17 {
        let mut request = Box::pin(answer(app.router.clone(), post("", PNG, Body::new(Stalled(Some(Bytes::from_static(&[0; 900])))))));
        let pending = poll_fn(|context| Poll::Ready(request.as_mut().poll(context).is_pending())).await;
        assert!(pending);
        stalled.push(request);
    }
    // 17 · 900 of 16 · 1000 bytes are held.
    app.post("", PNG, vec![0; 701]).await.problem(429, "overloaded");
    app.post("", PNG, vec![0; 700]).await.problem(415, "unsupported-format");
    drop(stalled);
    app.post("", PNG, vec![0; 701]).await.problem(415, "unsupported-format");
}

#[tokio::test]
async fn the_body_of_a_client_that_has_gone_counts_until_its_job_is_gone() {
    let length = png().len();
    let mut held = Held::with(HttpConfig { max_body_bytes: length as u64, ..HttpConfig::default() });
    let first = held.spawn(post("", PNG, png()));
    held.began().await;
    let gone = held.spawn(post("", PNG, png()));
    held.queued(1).await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    assert_eq!(bodies_with_room(&held.app, length).await, 14, "one is on the worker, one behind it");
    held.release.send(()).unwrap();
    assert_eq!(first.await.unwrap().status, 200);
    held.release.send(()).unwrap();
    assert_eq!(held.app.post("", PNG, png()).await.status, 200, "the one worker is past the abandoned job");
    assert_eq!(bodies_with_room(&held.app, length).await, 16);
}

/// How many bodies of `length` bytes can arrive at once.
async fn bodies_with_room(app: &App, length: usize) -> usize {
    let mut stalled = Vec::new();
    loop {
        let body = Stalled(Some(vec![0; length].into()));
        let mut request = Box::pin(answer(app.router.clone(), post("", PNG, Body::new(body))));
        let polled = poll_fn(|context| Poll::Ready(request.as_mut().poll(context))).await;
        match polled {
            Poll::Pending => stalled.push(request),
            Poll::Ready(refused) => {
                refused.problem(429, "overloaded");
                return stalled.len();
            }
        }
    }
}

#[tokio::test]
async fn large_answers_that_nobody_reads_hold_a_bounded_number_of_bytes() {
    let app = App::with(FakeEngine::wide(30_000), 1, HttpConfig { max_body_bytes: 50_000, ..HttpConfig::default() });
    let mut unread = Vec::new();
    let refused = loop {
        let mut request = post("?attention=full", PNG, png());
        request.headers_mut().insert(header::HOST, HeaderValue::from_static("test"));
        let response = app.router.clone().oneshot(request).await.unwrap();
        if response.status() != StatusCode::OK {
            break response;
        }
        unread.push(response);
        assert!(unread.len() < 20, "16 · 50,000 bytes were free, and an answer has 120,000");
    };
    assert_eq!((unread.len(), refused.status()), (6, StatusCode::TOO_MANY_REQUESTS));
    let mut read = unread.pop().unwrap().into_body();
    assert_eq!(app.post("?attention=full", PNG, png()).await.status, StatusCode::TOO_MANY_REQUESTS);
    let frame = read.frame().await.unwrap().unwrap().into_data().unwrap();
    drop(read);
    assert_eq!(app.post("?attention=full", PNG, png()).await.status, StatusCode::TOO_MANY_REQUESTS, "the bytes have yet to be sent");
    drop(frame);
    assert_eq!(app.post("?attention=full", PNG, png()).await.status, StatusCode::OK);
}

/// A body of which a part arrives and nothing more.
struct Stalled(Option<Bytes>);

impl hyper::body::Body for Stalled {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.take().map_or(Poll::Pending, |part| Poll::Ready(Some(Ok(Frame::data(part)))))
    }
}
