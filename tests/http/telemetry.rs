//! What the service tells of its requests.

use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use senet::config::{LogConfig, LogFormat};
use senet::inference::EngineError;
use serde_json::{Value, json};
use tracing::Dispatch;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{App, FakeEngine, png, post};

/// What was logged, a JSON object a line.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn read(&self) -> Vec<Value> {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line}"))).collect()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// What this thread logs. While only one subscriber exists, tracing asks the current thread's alone whether a place in the code is of interest,
/// so that a test without one could turn a place off for all; hence a second one that lasts.
fn capture() -> (Lines, tracing::subscriber::DefaultGuard) {
    static SECOND: OnceLock<Dispatch> = OnceLock::new();
    SECOND.get_or_init(|| Dispatch::new(tracing_subscriber::registry()));
    let lines = Lines::default();
    let config = LogConfig { format: LogFormat::Json, filter: "info".to_owned() };
    let subscriber = senet::telemetry::subscriber(&config, lines.clone()).unwrap();
    (lines, tracing::subscriber::set_default(subscriber))
}

#[tokio::test]
async fn logs_one_line_a_request_with_what_an_operator_asks_for() {
    let (lines, _guard) = capture();
    let app = App::new(FakeEngine::fast());
    let mut request = post("?top_k=2", "image/png", png());
    request.headers_mut().insert("x-request-id", "req-1".parse().unwrap());
    assert_eq!(app.send(request).await.status, 200);
    let logged = lines.read();
    let [line] = logged.as_slice() else { panic!("{logged:?}") };
    for (field, value) in [
        ("level", json!("INFO")),
        ("id", json!("req-1")),
        ("method", json!("POST")),
        ("route", json!("/v1/classify")),
        ("status", json!(200)),
        ("format", json!("png")),
        ("model", json!("fake")),
        ("images", json!(1)),
        ("bytes", json!(png().len())),
    ] {
        assert_eq!(line[field], value, "{field} in {line}");
    }
    for stage in ["queue_ms", "decode_ms", "preprocess_ms", "inference_ms", "postprocess_ms", "duration_ms"] {
        assert!(line[stage].is_number(), "{stage} in {line}");
    }
}

#[tokio::test]
async fn logs_neither_queries_nor_successful_probes() {
    let (lines, _guard) = capture();
    let app = App::new(FakeEngine::fast());
    app.get("/livez").await;
    app.get("/metrics").await;
    app.post("?token=hunter2", "image/png", png()).await.problem(400, "invalid-parameter");
    app.get("/nothing/here?token=hunter2").await;
    let logged = lines.read();
    assert_eq!(logged.len(), 2, "{logged:?}");
    assert!(!format!("{logged:?}").contains("hunter2"), "{logged:?}");
    assert_eq!(logged[0]["problem"], "invalid-parameter");
    assert_eq!([&logged[1]["route"], &logged[1]["path"]], ["unmatched", "/nothing/here"]);
}

#[tokio::test]
async fn logs_the_cause_of_a_failure_once_under_the_request_id() {
    let (lines, _guard) = capture();
    let answer = App::new(FakeEngine::that(|| Err(EngineError::Run("a matrix is missing".to_owned())))).post("", "image/png", png()).await;
    let logged = lines.read();
    let [line] = logged.as_slice() else { panic!("{logged:?}") };
    assert_eq!([&line["level"], &line["cause"]], ["ERROR", "inference failed: a matrix is missing"]);
    assert_eq!(line["id"], answer.json()["instance"]);
}

#[tokio::test]
async fn logs_a_request_whose_client_has_gone() {
    let (lines, _guard) = capture();
    let (engine, release) = FakeEngine::held(|| ());
    let app = App::new(engine);
    let request = post("", "image/png", png());
    {
        let mut waiting = std::pin::pin!(app.send(request));
        std::future::poll_fn(|context| {
            assert!(waiting.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    }
    drop(release);
    let logged = lines.read();
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert_eq!(logged[0]["status"], 499);
}

#[tokio::test]
async fn counts_requests_images_stages_and_rejections() {
    let app = App::new(FakeEngine::fast());
    app.post("", "image/png", png()).await;
    app.get("/v1/models/fake").await;
    app.get("/v1/models/none").await;
    app.get("/some/path").await;
    app.post("", "image/png", vec![0; 17 << 20]).await;
    app.post("", "image/png", &b"no picture"[..]).await.problem(415, "unsupported-format");
    let metrics = app.get("/metrics").await;
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in [
        "senet_requests_total{route=\"/v1/classify\",status=\"200\"} 1",
        "senet_requests_total{route=\"/v1/classify\",status=\"413\"} 1",
        "senet_requests_total{route=\"/v1/models/{name}\",status=\"404\"} 1",
        "senet_requests_total{route=\"unmatched\",status=\"404\"} 1",
        "senet_request_duration_seconds_count{model=\"fake\",route=\"/v1/classify\"} 2",
        "senet_request_duration_seconds_count{model=\"\",route=\"/v1/classify\"} 1",
        "senet_request_duration_seconds_bucket{model=\"fake\",route=\"/v1/classify\",le=\"30\"} 2",
        "senet_stage_duration_seconds_count{model=\"fake\",stage=\"inference\"} 1",
        "senet_stage_duration_seconds_count{model=\"fake\",stage=\"queue\"} 1",
        "senet_images_total{format=\"png\",model=\"fake\"} 1",
        "senet_rejected_total{reason=\"body-too-large\"} 1",
        "senet_requests_in_flight 1",
        "senet_queue_depth 0",
        "senet_queue_limit 2",
        "senet_workers 2",
        "senet_model_ready{model=\"fake\",version=\"1\"} 1",
    ] {
        assert!(metrics.text().lines().any(|l| l == line), "no {line} in\n{}", metrics.text());
    }
    assert!(metrics.text().contains("\nsenet_model_load_seconds{model=\"fake\"} "));
}
