//! What all requests share.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::budget::Budget;
use super::problem::{Kind, Problem};
use crate::admission::Pool;
use crate::classifier::Classifier;
use crate::config::{AdmissionConfig, HttpConfig};
use crate::image::Limits;
use crate::kernels::Simd;
use crate::model::{Entry, Lifecycle, Registry, State};
use crate::telemetry::{Constants, Metrics};

/// How many bodies of the largest size, and answers beside them, are in memory at a time; photographs are a hundredth of it.
const LARGEST_BODIES: usize = 16;

/// Of models, in an answer that people read.
const MOST_NAMES: usize = 20;

/// Where the service is in its life; it only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Models are being loaded.
    Starting,
    /// Requests are answered.
    Ready,
    /// Requests are still answered, but load balancers are told to look elsewhere.
    Draining,
    /// No connection is accepted any more; what has come is answered.
    Stopping,
}

/// Why the state could not be made.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system refused a worker thread.
    #[error("cannot start the worker threads: {0}")]
    Workers(#[from] io::Error),
    /// The metrics contradict each other.
    #[error("cannot register the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// What all requests share.
pub struct AppState {
    models: Arc<Lifecycle>,
    pub(crate) classifier: Classifier,
    pub(crate) pool: Pool,
    pub(crate) metrics: Metrics,
    pub(crate) http: HttpConfig,
    pub(crate) started: Instant,
    /// What the bodies and the large answers of all requests may hold together.
    pub(crate) budget: Budget,
    phase: watch::Sender<Phase>,
}

impl AppState {
    /// A service in [`Phase::Starting`] with its workers running.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn new(http: HttpConfig, admission: AdmissionConfig, limits: Limits, simd: Simd, models: Lifecycle) -> Result<Self, StartError> {
        Ok(Self {
            models: Arc::new(models),
            classifier: Classifier::new(limits),
            pool: Pool::new(admission)?,
            metrics: Metrics::new(Constants {
                simd: &simd.level().to_string(),
                workers: admission.workers.get(),
                queue_limit: admission.queue,
                request_timeout: http.request_timeout,
            })?,
            budget: Budget::new(budget_bytes(&http)),
            http,
            started: Instant::now(),
            phase: watch::Sender::new(Phase::Starting),
        })
    }

    /// What loads and unloads the models.
    pub fn models(&self) -> &Arc<Lifecycle> {
        &self.models
    }

    /// The models that are served.
    pub fn registry(&self) -> &Arc<Registry> {
        self.models.registry()
    }

    /// Where the service is in its life.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Moves on to `phase`; going back is not possible and changes nothing.
    pub fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|current| {
            let forward = phase > *current;
            *current = phase.max(*current);
            forward
        });
    }

    /// Whether this replica answers now and load balancers should know it.
    ///
    /// # Errors
    /// The problem that says why not.
    pub(crate) fn ready(&self) -> Result<(), Problem> {
        match self.phase() {
            Phase::Draining | Phase::Stopping => Err(draining()),
            _ => match &self.models.missing()[..] {
                [] if self.registry().models().is_empty() => Err(self.idle()),
                [] if self.phase() == Phase::Starting && !self.models.requires_some() => Err(self.starting()),
                [] => Ok(()),
                missing => Err(Problem::new(Kind::NotReady, format!("required and not ready: {}", some(missing)))),
            },
        }
    }

    /// Whether a request that has come may be answered: models that are ready answer while others are still being loaded.
    ///
    /// # Errors
    /// The problem that says why not.
    pub(crate) fn accepts_work(&self) -> Result<(), Problem> {
        match self.phase() {
            Phase::Starting if self.registry().models().is_empty() => Err(self.starting()),
            // A request that comes when the grace ends was sent before its client could know.
            Phase::Starting | Phase::Ready | Phase::Draining | Phase::Stopping => Ok(()),
        }
    }

    fn starting(&self) -> Problem {
        Problem::new(Kind::NotReady, self.pending().unwrap_or_else(|| "the models are still being loaded".to_owned()))
    }

    /// No model answers, and none is required.
    fn idle(&self) -> Problem {
        match self.phase() {
            Phase::Starting => self.starting(),
            _ => Problem::new(Kind::NotReady, self.pending().unwrap_or_else(|| "no model is served".to_owned())),
        }
    }

    /// Which models are still being loaded and answer nothing meanwhile, if any, as the end of a sentence.
    pub(crate) fn pending(&self) -> Option<String> {
        let entries = self.registry().entries();
        let is_pending = |entry: &&Entry| entry.served.is_none() && matches!(entry.state, State::Pending | State::Loading);
        let names: Vec<&str> = entries.iter().filter(is_pending).map(|entry| entry.name.as_str()).collect();
        let count = names.len();
        (count > 0).then(|| format!("{count} of {} models are still being loaded: {}", entries.len(), some(&names)))
    }

    /// Most images that one request may hold: more than the pool has places for could never be admitted.
    pub(crate) fn max_images(&self) -> usize {
        self.http.max_images_per_request.min(self.pool.capacity())
    }
}

/// As many bytes as [`LARGEST_BODIES`] bodies of the largest size.
fn budget_bytes(http: &HttpConfig) -> usize {
    usize::try_from(http.max_body_bytes).unwrap_or(usize::MAX).saturating_mul(LARGEST_BODIES)
}

/// The first of `names`, with a sign where there are more.
fn some(names: &[&str]) -> String {
    match names.get(..MOST_NAMES) {
        Some(first) if first.len() < names.len() => format!("{}, …", first.join(", ")),
        _ => names.join(", "),
    }
}

fn draining() -> Problem {
    Problem::new(Kind::Draining, "this replica is shutting down")
}
