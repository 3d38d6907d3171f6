//! A service around a made-up network, and requests to it.

use std::io::Cursor;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use senet::config::{AdmissionConfig, HttpConfig};
use senet::http::{AppState, Phase, router};
use senet::image::{Color, CropOffset, InputContract, Interpolation, Layout, Limits, Resize};
use senet::inference::{Engine, EngineError, Gates, Inference, Input, NetworkSummary, OperatorCounts, OutputActivation, SeBlockInfo, TensorInfo};
use senet::kernels::{Function, Simd};
use senet::model::{Candidate, Lifecycle, Location, Model, ModelError, Origins, Parts, Pins, Source};
use serde_json::Value;
use tower::ServiceExt;

/// A network of four classes and two SE blocks that answers the same for every picture, after `act`.
pub(crate) struct FakeEngine {
    act: Box<dyn Fn() -> Result<(), EngineError> + Send + Sync>,
    runs: Arc<AtomicUsize>,
    summary: NetworkSummary,
    logits: Vec<f32>,
    gates: Vec<Vec<f32>>,
}

impl FakeEngine {
    /// Answers at once.
    pub(crate) fn fast() -> Self {
        Self::that(|| Ok(()))
    }

    /// Does `act` before every answer.
    pub(crate) fn that(act: impl Fn() -> Result<(), EngineError> + Send + Sync + 'static) -> Self {
        Self {
            act: Box::new(act),
            runs: Arc::default(),
            summary: summary(),
            logits: vec![1.5, -0.25, 3.1, 0.1],
            gates: vec![vec![0.1, 0.9, 0.3, 1.0], vec![0.015, 0.7]],
        }
    }

    /// Calls `begun` when it begins, and then waits until something is sent, or nothing can be any more.
    pub(crate) fn held(begun: impl Fn() + Send + Sync + 'static) -> (Self, mpsc::Sender<()>) {
        let (release, released) = mpsc::channel();
        let released = Mutex::new(released);
        let wait = move || {
            begun();
            released.lock().unwrap().recv().ok();
            Ok(())
        };
        (Self::that(wait), release)
    }

    /// Answers at once with these scores of the four classes, and these gates.
    pub(crate) fn answering(logits: [f32; 4], gates: [Vec<f32>; 2]) -> Self {
        Self { logits: logits.to_vec(), gates: gates.to_vec(), ..Self::fast() }
    }

    /// Answers at once with one SE block of `channels` channels.
    pub(crate) fn wide(channels: usize) -> Self {
        let mut engine = Self::fast();
        engine.summary.se_blocks.truncate(1);
        engine.summary.se_blocks[0].channels = channels;
        engine.gates = vec![vec![0.5; channels]];
        engine
    }

    /// Counts the runs, also those that fail.
    pub(crate) fn runs(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.runs)
    }
}

impl Engine for FakeEngine {
    fn input(&self) -> Result<Input<'static>, EngineError> {
        Ok(vec![0.0; 3 * 4 * 4].into())
    }

    fn run(&self, _input: Input<'_>, gates: Gates) -> Result<Inference, EngineError> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        (self.act)()?;
        Ok(Inference { logits: self.logits.clone(), gates: if gates == Gates::Return { self.gates.clone() } else { vec![] } })
    }

    fn summary(&self) -> &NetworkSummary {
        &self.summary
    }
}

fn summary() -> NetworkSummary {
    let tensor = |name: &str, shape: &[i64]| TensorInfo { name: name.to_owned(), datatype: "FP32".to_owned(), shape: shape.to_vec() };
    let block = |stage, channels, side| SeBlockInfo {
        name: format!("layer{stage}.0.se"),
        stage,
        block: 0,
        channels,
        squeezed: channels / 2,
        reduction_ratio: 2.0,
        layers: 2,
        activation: Function::Relu.into(),
        gate: Function::Sigmoid.into(),
        height: side,
        width: side,
        fused_residual: true,
    };
    NetworkSummary {
        inputs: vec![tensor("image", &[-1, 3, 4, 4])],
        outputs: vec![tensor("logits", &[-1, 4])],
        classes: 4,
        parameters: 1234,
        flops: 5678,
        se_blocks: vec![block(1, 4, 4), block(2, 2, 2)],
        operators: OperatorCounts { squeeze_excite: 2, blocked: 5, tract: 1 },
        unlowered: vec![],
        warnings: vec!["the network is made up".to_owned()],
        ..NetworkSummary::default()
    }
}

/// A model called `fake` around `engine`, whose labels end in its version.
pub(crate) fn model(engine: FakeEngine, version: u64) -> Model {
    named("fake", engine, version)
}

/// The same under another name.
pub(crate) fn named(name: &str, engine: FakeEngine, version: u64) -> Model {
    let contract = InputContract {
        size: [4, 4],
        resize: Resize::Squash,
        resize_to: [4, 4],
        crop_offset: CropOffset::Nearest,
        interpolation: Interpolation::Bilinear,
        color: Color::Rgb,
        layout: Layout::Nchw,
        mean: [0.0; 3],
        std: [1.0; 3],
        scale: 1.0 / 255.0,
    };
    let labels = ["cat", "dog", "ship", "frog"].map(|label| if version == 1 { label.to_owned() } else { format!("{label}{version}") });
    Model::from_parts(Parts {
        name: name.to_owned(),
        version: version.to_string(),
        contract,
        output_activation: OutputActivation::Softmax,
        labels: labels.to_vec(),
        engine: Arc::new(engine),
        origins: Origins::from([("input.mean", "model.toml".to_owned())]),
        warnings: vec![],
    })
}

type Load = Box<dyn FnMut(Option<u64>) -> Result<Model, ModelError> + Send>;

/// What lies on a [`Shelf`].
struct Item {
    name: String,
    /// Which change of any shelf this was.
    change: usize,
    load: Arc<Mutex<Load>>,
}

/// A source that a test fills.
#[derive(Clone, Default)]
pub(crate) struct Shelf(Arc<Mutex<Vec<Item>>>);

impl Shelf {
    /// Has a model called `name` from now on, changed if there was one; `load` is handed the version that was asked for.
    pub(crate) fn put(&self, name: &str, load: impl FnMut(Option<u64>) -> Result<Model, ModelError> + Send + 'static) {
        static CHANGES: AtomicUsize = AtomicUsize::new(0);
        let load = Arc::new(Mutex::new(Box::new(load) as Load));
        let item = Item { name: name.to_owned(), change: CHANGES.fetch_add(1, Ordering::SeqCst), load };
        let mut items = self.0.lock().unwrap();
        match items.iter_mut().find(|known| known.name == name) {
            Some(place) => *place = item,
            None => items.push(item),
        }
    }

    /// A shelf with one model, `fake`, whose only load is `load`.
    pub(crate) fn with(load: impl FnOnce() -> Result<Model, ModelError> + Send + 'static) -> Self {
        let shelf = Self::default();
        let mut load = Some(load);
        shelf.put("fake", move |_| load.take().expect("a second load")());
        shelf
    }

    pub(crate) fn remove(&self, name: &str) {
        self.0.lock().unwrap().retain(|item| item.name != name);
    }
}

impl Source for Shelf {
    fn list(&self, pins: &Pins) -> Result<Vec<Candidate>, ModelError> {
        let items = self.0.lock().unwrap();
        let candidate = |Item { name, change, .. }: &Item| Candidate {
            name: name.clone(),
            place: format!("shelf/{name}"),
            location: Location::Folder { path: name.into(), version: pins.get(name).copied() },
            stamp: format!("{change} {:?}", pins.get(name)),
            bytes: 1,
        };
        Ok(items.iter().map(candidate).collect())
    }

    fn load(&self, candidate: &Candidate) -> Result<Model, ModelError> {
        let load = self.0.lock().unwrap().iter().find(|item| item.name == candidate.name).map(|item| Arc::clone(&item.load)).unwrap();
        let Location::Folder { version, .. } = candidate.location else { unreachable!() };
        load.lock().unwrap()(version)
    }
}

/// Why a model is broken.
pub(crate) fn broken(reason: &str) -> ModelError {
    ModelError::Folder { folder: "shelf".into(), reason: reason.to_owned() }
}

/// A service.
pub(crate) struct App {
    pub(crate) router: Router,
    pub(crate) state: Arc<AppState>,
}

impl App {
    /// Ready, with two workers and two places to wait.
    pub(crate) fn new(engine: FakeEngine) -> Self {
        Self::with(engine, 2, HttpConfig::default())
    }

    /// Ready, with two places to wait.
    pub(crate) fn with(engine: FakeEngine, workers: usize, http: HttpConfig) -> Self {
        let app = Self::starting(engine, workers, http);
        app.state.advance(Phase::Ready);
        app
    }

    /// With its model, and yet not ready.
    pub(crate) fn starting(engine: FakeEngine, workers: usize, http: HttpConfig) -> Self {
        let admission = AdmissionConfig { workers: NonZeroUsize::new(workers).unwrap(), queue: 2 };
        let models = Lifecycle::new(Shelf::with(|| Ok(model(engine, 1))), vec![]);
        models.start().unwrap();
        let state = Arc::new(AppState::new(http, admission, Limits::default(), Simd::detect(), models).unwrap());
        Self { router: router(&state), state }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        answer(self.router.clone(), request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// Posts `body` to `/v1/classify` with `query` behind it.
    pub(crate) async fn post(&self, query: &str, content_type: &str, body: impl Into<Body>) -> Answer {
        self.send(post(query, content_type, body)).await
    }
}

pub(crate) fn post(query: &str, content_type: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder().method(Method::POST).uri(format!("/v1/classify{query}"));
    request.header(header::CONTENT_TYPE, content_type).body(body.into()).unwrap()
}

pub(crate) async fn answer(router: Router, mut request: Request<Body>) -> Answer {
    request.headers_mut().entry(header::HOST).or_insert(HeaderValue::from_static("test"));
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    Answer { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in {:?}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The JSON with ids and times, which differ from run to run, and fingerprints, which have tests of their own, made equal.
    pub(crate) fn stable_json(&self) -> Value {
        let mut json = self.json();
        stabilise(&mut json);
        json
    }

    /// Asserts that this is the problem called `name`, in form and in header, and gives its detail.
    pub(crate) fn problem(&self, status: u16, name: &str) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let json = self.json();
        assert_eq!(json["type"], format!("/problems/{name}"));
        assert_eq!(json["status"], status);
        assert_eq!(json["instance"].as_str(), self.header("x-request-id"));
        assert!(json["title"].is_string(), "{json}");
        json["detail"].as_str().unwrap().to_owned()
    }
}

fn stabilise(json: &mut Value) {
    match json {
        Value::Object(members) => {
            for (name, value) in members {
                match name.as_str() {
                    "id" | "instance" => *value = "…".into(),
                    "preprocessing" => *value = "sha256:…".into(),
                    "uptime_seconds" => *value = 0.into(),
                    name if name.ends_with("_ms") => *value = 0.into(),
                    _ => stabilise(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(stabilise),
        _ => {}
    }
}

/// A small picture.
pub(crate) fn png() -> Vec<u8> {
    encoded(image::ImageFormat::Png)
}

/// The same as JPEG.
pub(crate) fn jpeg() -> Vec<u8> {
    encoded(image::ImageFormat::Jpeg)
}

fn encoded(format: image::ImageFormat) -> Vec<u8> {
    let picture = image::RgbImage::from_fn(16, 12, |x, y| image::Rgb([x as u8 * 16, y as u8 * 20, 128]));
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// The body of a form and its content type; parts with a file name are files.
pub(crate) fn form(parts: &[(&str, Option<&str>, &[u8])]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (name, file_name, content) in parts {
        let file_name = file_name.map_or_else(String::new, |name| format!("; filename=\"{name}\""));
        body.extend_from_slice(format!("--border\r\nContent-Disposition: form-data; name=\"{name}\"{file_name}\r\n\r\n").as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--border--\r\n");
    ("multipart/form-data; boundary=border".to_owned(), body)
}
