//! `POST /v1/classify`.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;

use crate::admission::Permit;
use crate::classifier::{Classification, ClassifyError, Options, Ticket};
use crate::http::answer::{self, Outcome};
use crate::http::middleware::{Deadline, ModelAsked, RequestId};
use crate::http::parameters::Parameters;
use crate::http::problem::Problem;
use crate::http::state::AppState;
use crate::http::upload::{Encoded, Images, Upload, UploadLimits};
use crate::model::Model;
use crate::telemetry::Stage;

/// Classifies the pictures in the body.
///
/// Everything that can be refused without work is refused in this order: phase, query, a full pool, the body's size and time, the body's
/// form, the model and its options, the pool once more for all the pictures together.
pub(crate) async fn classify(
    State(state): State<Arc<AppState>>,
    Extension(id): Extension<RequestId>,
    Extension(Deadline(deadline)): Extension<Deadline>,
    Extension(asked_model): Extension<ModelAsked>,
    request: Request,
) -> Result<Response, Problem> {
    state.accepts_work()?;
    let asked = Parameters::from_query(request.uri())?;
    if state.pool.is_full() {
        drop(state.pool.admit(1)?);
    }
    let Upload { images, parameters, body_bytes } = Upload::read(request, limits(&state)).await?;
    let parameters = asked.and(parameters)?;
    let model = state.registry().get(parameters.model())?;
    asked_model.is(model.name());
    let options = parameters.options(model.engine().summary().classes);
    state.classifier.check(&model, &options)?;
    let shared = Arc::new(Shared { state, model, options, ticket: Ticket::until(deadline) });
    let _abandon = AbandonOnDrop(shared.ticket.clone());
    answer(&shared, images, body_bytes, &id).await
}

fn limits(state: &AppState) -> UploadLimits {
    UploadLimits {
        max_bytes: state.http.max_body_bytes,
        timeout: state.http.body_timeout,
        max_images: state.max_images(),
        budget: state.budget.clone(),
    }
}

/// When the handler's future is dropped, its client has gone or its time is up: work that has not begun need not begin.
struct AbandonOnDrop(Ticket);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// What the pictures of one request have in common.
struct Shared {
    state: Arc<AppState>,
    model: Arc<Model>,
    options: Options,
    ticket: Ticket,
}

async fn answer(shared: &Arc<Shared>, images: Images, body_bytes: usize, id: &RequestId) -> Result<Response, Problem> {
    match images {
        Images::One(image) => {
            let permit = shared.state.pool.admit(1)?.pop().ok_or_else(|| Problem::internal("admitted without a permit"))?;
            let classification = start(shared, permit, image).await??;
            Ok(answer::one(id, &classification, body_bytes))
        }
        Images::Many(images) => {
            let permits = shared.state.pool.admit(images.len())?;
            let pending: Vec<_> = permits.into_iter().zip(images).map(|(permit, image)| start(shared, permit, image)).collect();
            let mut outcomes = Vec::with_capacity(pending.len());
            for (index, outcome) in pending.into_iter().enumerate() {
                outcomes.push(outcome.await.map_err(|problem| problem.within(&format!("images[{index}]")))?);
            }
            Ok(answer::many(id, shared.model.name(), &outcomes, body_bytes))
        }
    }
}

/// Hands one picture to a worker. The outer error is the body's and fails the whole request, the inner one is the picture's alone.
fn start(shared: &Arc<Shared>, permit: Permit, image: Encoded) -> impl Future<Output = Result<Outcome, Problem>> + Send + use<> {
    let job = Arc::clone(shared);
    let pending = shared.state.pool.run(permit, move |queued| {
        if let Err(e) = job.ticket.check() {
            return Ok(Err(e.into()));
        }
        image.into_bytes().map(|bytes| job.classify(&bytes, queued))
    });
    async move { pending.await.unwrap_or_else(|e| Ok(Err(e.into()))) }
}

impl Shared {
    /// On a worker.
    fn classify(&self, image: &[u8], queued: Duration) -> Outcome {
        let mut classification = self.state.classifier.classify(&self.model, image, &self.options, &self.ticket).inspect_err(|error| {
            if matches!(error, ClassifyError::NotFinite { .. }) {
                self.state.metrics.not_finite(self.model.name());
            }
        })?;
        classification.timing.queue = queued;
        classification.timing.total += queued;
        self.count(&classification);
        Ok(classification)
    }

    fn count(&self, classification: &Classification) {
        let (metrics, model, timing) = (&self.state.metrics, self.model.name(), &classification.timing);
        metrics.image(model, classification.image.format.name());
        metrics.stage(model, Stage::Queue, timing.queue);
        metrics.stage(model, Stage::Decode, timing.decode);
        metrics.stage(model, Stage::Preprocess, timing.preprocess);
        metrics.stage(model, Stage::Inference, timing.inference);
        metrics.stage(model, Stage::Postprocess, timing.postprocess);
    }
}
