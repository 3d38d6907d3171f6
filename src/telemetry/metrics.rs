//! The counters, gauges and histograms of `/metrics`; knows neither HTTP types nor pictures.

use std::time::Duration;

use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, Result, TextEncoder,
    core::Collector,
};

use super::dropped_lines;
use crate::model::{Entry, State};

/// Seconds: 0.5 ms for a small network on a fast core to the longest that somebody may want to wait.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0,
    3600.0,
];
/// The label `model` where no model answered: Prometheus takes an empty label for an absent one.
const NO_MODEL: &str = "";

/// What stays as it is while the service runs.
#[derive(Debug, Clone, Copy)]
pub struct Constants<'a> {
    /// The instruction set in use.
    pub simd: &'a str,
    /// Threads that decode and run networks.
    pub workers: usize,
    /// Images that may wait for a worker.
    pub queue_limit: usize,
    /// How long a request may take.
    pub request_timeout: Duration,
}

/// A part of the work on one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading the file's pixels.
    Decode,
    /// Resize, crop, normalisation.
    Preprocess,
    /// Waiting for a worker.
    Queue,
    /// The network.
    Inference,
    /// Probabilities, ranking, attention.
    Postprocess,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Preprocess => "preprocess",
            Self::Queue => "queue",
            Self::Inference => "inference",
            Self::Postprocess => "postprocess",
        }
    }
}

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_duration: HistogramVec,
    stage_duration: HistogramVec,
    in_flight: IntGauge,
    queue_depth: IntGauge,
    rejected: IntCounterVec,
    images: IntCounterVec,
    not_finite: IntCounterVec,
    connections: Connections,
}

/// What is counted of connections, each by the name of its address.
struct Connections {
    open: IntGaugeVec,
    limit: IntGaugeVec,
    accept_errors: IntCounter,
    unreadable_heads: IntCounterVec,
}

impl Metrics {
    /// All at zero.
    ///
    /// # Errors
    /// When a name or label is not allowed or doubled, which no run-time value can cause.
    pub fn new(constants: Constants<'_>) -> Result<Self> {
        let registry = Registry::new();
        let histogram = |name, help, labels: &[&str]| {
            let opts = HistogramOpts::new(name, help).buckets(buckets(constants.request_timeout));
            register(&registry, HistogramVec::new(opts, labels))
        };
        let counter = |name: &str, help: &str, labels: &[&str]| register(&registry, IntCounterVec::new(Opts::new(name, help), labels));
        let gauge = |name, help| register(&registry, IntGauge::new(name, help));
        let gauges = |name: &str, help: &str, labels: &[&str]| register(&registry, IntGaugeVec::new(Opts::new(name, help), labels));
        let metrics = Self {
            requests: counter("senet_requests_total", "Requests answered; status 499 where the client left first.", &["route", "status"])?,
            request_duration: histogram(
                "senet_request_duration_seconds",
                "From a request's head to its answer; model is empty where none was asked.",
                &["route", "model"],
            )?,
            stage_duration: histogram("senet_stage_duration_seconds", "Work on one image, by stage and model.", &["stage", "model"])?,
            in_flight: gauge("senet_requests_in_flight", "Requests being answered.")?,
            queue_depth: gauge("senet_queue_depth", "Images waiting for a worker.")?,
            rejected: counter("senet_rejected_total", "Requests refused or given up, by the problem they were answered with.", &["reason"])?,
            images: counter("senet_images_total", "Images classified.", &["model", "format"])?,
            not_finite: counter("senet_not_finite_total", "Images whose answer held NaN or an infinity, and was refused.", &["model"])?,
            connections: Connections {
                open: gauges("senet_connections_open", "Open connections, those that wait for a place included.", &["address"])?,
                limit: gauges("senet_connections_limit", "Places for connections.", &["address"])?,
                accept_errors: register(
                    &registry,
                    IntCounter::new("senet_accept_errors_total", "Attempts to accept a connection that failed, as for lack of file descriptors."),
                )?,
                unreadable_heads: counter("senet_unreadable_heads_total", "Requests refused because of their head, by status.", &["status"])?,
            },
            registry: registry.clone(),
        };
        let info = register(&registry, IntGaugeVec::new(Opts::new("senet_build_info", "Always 1."), &["version", "simd"]))?;
        info.with_label_values(&[env!("CARGO_PKG_VERSION"), constants.simd]).set(1);
        set(&gauge("senet_workers", "Threads that decode and run networks.")?, constants.workers);
        set(&gauge("senet_queue_limit", "Images that may wait for a worker; further ones are answered 429.")?, constants.queue_limit);
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(metrics)
    }

    /// A request has begun.
    pub fn request_began(&self) {
        self.in_flight.inc();
    }

    /// A request has ended: its route's template, the name of the served model that it asked, if any, the status it was answered with, and how
    /// long it took.
    pub fn request_ended(&self, route: &str, model: Option<&str>, status: u16, took: Duration) {
        self.in_flight.dec();
        self.requests.with_label_values(&[route, &status.to_string()]).inc();
        self.request_duration.with_label_values(&[route, model.unwrap_or(NO_MODEL)]).observe(took.as_secs_f64());
    }

    /// A request was refused or given up because of `reason`, a problem's name.
    pub fn rejected(&self, reason: &str) {
        self.rejected.with_label_values(&[reason]).inc();
    }

    /// One image spent `took` in `stage` for the served model of that name.
    pub fn stage(&self, model: &str, stage: Stage, took: Duration) {
        self.stage_duration.with_label_values(&[stage.name(), model]).observe(took.as_secs_f64());
    }

    /// One image was classified.
    pub fn image(&self, model: &str, format: &str) {
        self.images.with_label_values(&[model, format]).inc();
    }

    /// The answer for one image held what is no number.
    pub fn not_finite(&self, model: &str) {
        self.not_finite.with_label_values(&[model]).inc();
    }

    /// At the address called `address`, a connection was accepted.
    pub fn connection_opened(&self, address: &str) {
        self.connections.open.with_label_values(&[address]).inc();
    }

    /// At the address called `address`, a connection ended.
    pub fn connection_closed(&self, address: &str) {
        self.connections.open.with_label_values(&[address]).dec();
    }

    /// The address called `address` has `places` for connections.
    pub fn connection_limit(&self, address: &str, places: usize) {
        self.connections.open.with_label_values(&[address]).set(0);
        self.connections.limit.with_label_values(&[address]).set(i64::try_from(places).unwrap_or(i64::MAX));
    }

    /// The system refused to accept a connection.
    pub fn accept_failed(&self) {
        self.connections.accept_errors.inc();
    }

    /// A request's head could not be read, and was answered `status`, or not at all.
    pub fn unreadable_head(&self, status: Option<u16>) {
        let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        self.connections.unreadable_heads.with_label_values(&[&status]).inc();
    }

    /// Everything in Prometheus's text format; what only others know, the depth of the queue and the models, is passed in.
    ///
    /// # Errors
    /// When a value cannot be written, which memory alone can cause.
    pub fn render(&self, queue_depth: usize, models: &[Entry]) -> Result<Vec<u8>> {
        set(&self.queue_depth, queue_depth);
        let families = [self.registry.gather(), of_log(dropped_lines())?.gather(), of_models(models)?.gather()].concat();
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(text)
    }
}

/// The bounds of the histograms, seconds: the longest is the longest that a request may take.
fn buckets(longest: Duration) -> Vec<f64> {
    let longest = longest.as_secs_f64();
    SECONDS.iter().copied().filter(|bound| *bound < longest).chain([longest]).collect()
}

fn set(gauge: &IntGauge, value: usize) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

/// The log belongs to the process, not to one service: its count is read each time.
fn of_log(dropped: u64) -> Result<Registry> {
    let registry = Registry::new();
    let lines = IntCounter::new("senet_log_lines_dropped_total", "Log lines lost because standard error did not take them in time or at all.");
    register(&registry, lines)?.inc_by(dropped);
    Ok(registry)
}

/// What is true of the models now; made anew each time, so that nothing is said of models that are gone.
fn of_models(models: &[Entry]) -> Result<Registry> {
    let registry = Registry::new();
    let gauges = |name: &str, help: &str, labels: &[&str]| register(&registry, IntGaugeVec::new(Opts::new(name, help), labels));
    let ready = gauges("senet_model_ready", "1 while the model is served; without a version where it is not.", &["model", "version"])?;
    let failed = gauges("senet_model_load_failed", "1 where the last attempt to load the model failed; an older version may serve.", &["model"])?;
    let load = Opts::new("senet_model_load_seconds", "How long loading and warming up what is served took.");
    let load = register(&registry, GaugeVec::new(load, &["model"]))?;
    for entry in models {
        let version = entry.served.as_ref().map(|model| model.version());
        ready.with_label_values(&[entry.name.as_str(), version.unwrap_or_default()]).set(version.is_some().into());
        failed.with_label_values(&[entry.name.as_str()]).set((entry.state == State::Failed).into());
        if version.is_some() {
            load.with_label_values(&[entry.name.as_str()]).set(entry.load.as_secs_f64());
        }
    }
    Ok(registry)
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: Result<C>) -> Result<C> {
    let collector = collector?;
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSTANTS: Constants<'_> = Constants { simd: "avx2", workers: 3, queue_limit: 64, request_timeout: Duration::from_secs(30) };

    #[test]
    fn renders_what_was_counted_and_the_process() {
        let metrics = Metrics::new(CONSTANTS).unwrap();
        metrics.request_began();
        metrics.request_ended("/v1/classify", Some("cat"), 200, Duration::from_millis(3));
        metrics.request_began();
        metrics.request_ended("/v1/models", None, 200, Duration::from_secs(31));
        metrics.stage("cat", Stage::Decode, Duration::from_millis(1));
        let text = String::from_utf8(metrics.render(7, &[]).unwrap()).unwrap();
        for line in [
            "senet_requests_total{route=\"/v1/classify\",status=\"200\"} 1",
            "senet_request_duration_seconds_bucket{model=\"cat\",route=\"/v1/classify\",le=\"0.004\"} 1",
            "senet_request_duration_seconds_bucket{model=\"cat\",route=\"/v1/classify\",le=\"0.002\"} 0",
            "senet_request_duration_seconds_bucket{model=\"\",route=\"/v1/models\",le=\"30\"} 0",
            "senet_stage_duration_seconds_count{model=\"cat\",stage=\"decode\"} 1",
            "senet_requests_in_flight 0",
            "senet_queue_depth 7",
            "senet_queue_limit 64",
            "senet_workers 3",
            "senet_log_lines_dropped_total 0",
            concat!("senet_build_info{simd=\"avx2\",version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
        }
        #[cfg(target_os = "linux")]
        assert!(text.contains("\nprocess_resident_memory_bytes "));
    }

    #[test]
    fn the_buckets_end_with_the_longest_time_of_a_request() {
        for (ms, last) in [(400, [0.25, 0.4]), (10_000, [5.0, 10.0]), (30_000, [20.0, 30.0]), (90_000, [60.0, 90.0]), (7_200_000, [3600.0, 7200.0])] {
            let buckets = buckets(Duration::from_millis(ms));
            assert!(buckets.ends_with(&last) && buckets.is_sorted_by(|a, b| a < b), "{buckets:?}");
        }
        assert_eq!(buckets(Duration::from_micros(100)), [0.0001]);
    }
}
