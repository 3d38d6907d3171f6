//! The counters, gauges and histograms of `/metrics`; knows neither HTTP types nor pictures.

use std::time::Duration;

use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, Result, TextEncoder, core::Collector,
};

use crate::model::{Entry, State};

/// Seconds: 0.5 ms for a small network on a fast core to 10 s for a queue that is too long.
const SECONDS: &[f64] = &[0.0005, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

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
}

impl Metrics {
    /// All at zero; `simd` is the instruction set in use.
    ///
    /// # Errors
    /// When a name or label is not allowed or doubled, which no run-time value can cause.
    pub fn new(simd: &str) -> Result<Self> {
        let registry = Registry::new();
        let histogram = |name, help, label| {
            let opts = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
            register(&registry, HistogramVec::new(opts, &[label]))
        };
        let counter = |name: &str, help: &str, labels: &[&str]| register(&registry, IntCounterVec::new(Opts::new(name, help), labels));
        let gauge = |name, help| register(&registry, IntGauge::new(name, help));
        let metrics = Self {
            requests: counter("senet_requests_total", "Requests answered; status 499 where the client left first.", &["route", "status"])?,
            request_duration: histogram("senet_request_duration_seconds", "From a request's head to its answer.", "route")?,
            stage_duration: histogram("senet_stage_duration_seconds", "Work on one image, by stage.", "stage")?,
            in_flight: gauge("senet_requests_in_flight", "Requests being answered.")?,
            queue_depth: gauge("senet_queue_depth", "Images waiting for a worker.")?,
            rejected: counter("senet_rejected_total", "Requests refused or given up, by the problem they were answered with.", &["reason"])?,
            images: counter("senet_images_total", "Images classified.", &["model", "format"])?,
            registry: registry.clone(),
        };
        let info = register(&registry, IntGaugeVec::new(Opts::new("senet_build_info", "Always 1."), &["version", "simd"]))?;
        info.with_label_values(&[env!("CARGO_PKG_VERSION"), simd]).set(1);
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(metrics)
    }

    /// A request has begun.
    pub fn request_began(&self) {
        self.in_flight.inc();
    }

    /// A request has ended: its route's template, the status it was answered with, and how long it took.
    pub fn request_ended(&self, route: &str, status: u16, took: Duration) {
        self.in_flight.dec();
        self.requests.with_label_values(&[route, &status.to_string()]).inc();
        self.request_duration.with_label_values(&[route]).observe(took.as_secs_f64());
    }

    /// A request was refused or given up because of `reason`, a problem's name.
    pub fn rejected(&self, reason: &str) {
        self.rejected.with_label_values(&[reason]).inc();
    }

    /// One image spent `took` in `stage`.
    pub fn stage(&self, stage: Stage, took: Duration) {
        self.stage_duration.with_label_values(&[stage.name()]).observe(took.as_secs_f64());
    }

    /// One image was classified.
    pub fn image(&self, model: &str, format: &str) {
        self.images.with_label_values(&[model, format]).inc();
    }

    /// Everything in Prometheus's text format; what only others know, the depth of the queue and the models, is passed in.
    ///
    /// # Errors
    /// When a value cannot be written, which memory alone can cause.
    pub fn render(&self, queue_depth: usize, models: &[Entry]) -> Result<Vec<u8>> {
        self.queue_depth.set(i64::try_from(queue_depth).unwrap_or(i64::MAX));
        let families = [self.registry.gather(), of_models(models)?.gather()].concat();
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(text)
    }
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

    #[test]
    fn renders_what_was_counted_and_the_process() {
        let metrics = Metrics::new("avx2").unwrap();
        metrics.request_began();
        metrics.request_ended("/v1/classify", 200, Duration::from_millis(3));
        metrics.stage(Stage::Decode, Duration::from_millis(1));
        let text = String::from_utf8(metrics.render(7, &[]).unwrap()).unwrap();
        for line in [
            "senet_requests_total{route=\"/v1/classify\",status=\"200\"} 1",
            "senet_request_duration_seconds_bucket{route=\"/v1/classify\",le=\"0.004\"} 1",
            "senet_request_duration_seconds_bucket{route=\"/v1/classify\",le=\"0.002\"} 0",
            "senet_stage_duration_seconds_count{stage=\"decode\"} 1",
            "senet_requests_in_flight 0",
            "senet_queue_depth 7",
            concat!("senet_build_info{simd=\"avx2\",version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
        }
        #[cfg(target_os = "linux")]
        assert!(text.contains("\nprocess_resident_memory_bytes "));
    }
}
