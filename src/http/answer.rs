//! The answers of a classification: their JSON, their `Server-Timing`, and what the log is told of them.

use axum::Json;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tracing::error;

use super::middleware::{RequestId, Served};
use super::problem::{self, Problem};
use crate::classifier::{Classification, Timing};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// What became of one picture.
pub(super) type Outcome = Result<Classification, Problem>;

#[derive(Serialize)]
struct Answer<'a> {
    id: &'a str,
    #[serde(flatten)]
    classification: &'a Classification,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Entry<'a> {
    Classified(Answer<'a>),
    Failed(problem::Body<'a>),
}

#[derive(Serialize)]
struct Answers<'a> {
    results: Vec<Entry<'a>>,
}

/// The answer for a raw body.
pub(super) fn one(id: &RequestId, classification: &Classification, body_bytes: usize) -> Response {
    let served = served(&classification.model.name, [classification].into_iter(), 1, body_bytes);
    respond(&Answer { id: id.as_str(), classification }, served)
}

/// The answer for a form or JSON: one entry a picture, in order.
pub(super) fn many(id: &RequestId, model: &str, outcomes: &[Outcome], body_bytes: usize) -> Response {
    for (image, problem) in outcomes.iter().enumerate().filter_map(|(image, outcome)| Some((image, outcome.as_ref().err()?))) {
        // The answer as a whole succeeds, so that the request's line has no room for it.
        if let Some(cause) = problem.cause() {
            error!(image, cause, "an image failed");
        }
    }
    let served = served(model, outcomes.iter().flatten(), outcomes.len(), body_bytes);
    respond(&Answers { results: outcomes.iter().map(|outcome| entry(id.as_str(), outcome)).collect() }, served)
}

fn entry<'a>(id: &'a str, outcome: &'a Outcome) -> Entry<'a> {
    match outcome {
        Ok(classification) => Entry::Classified(Answer { id, classification }),
        Err(problem) => Entry::Failed(problem.body(id)),
    }
}

fn served<'a>(model: &str, answered: impl Iterator<Item = &'a Classification>, images: usize, body_bytes: usize) -> Served {
    let mut served = Served { model: model.to_owned(), body_bytes, images, formats: Vec::new(), timing: Timing::default() };
    for classification in answered {
        let (sum, timing) = (&mut served.timing, &classification.timing);
        sum.queue += timing.queue;
        sum.decode += timing.decode;
        sum.preprocess += timing.preprocess;
        sum.inference += timing.inference;
        sum.postprocess += timing.postprocess;
        sum.total += timing.total;
        let format = classification.image.format.name();
        if !served.formats.contains(&format) {
            served.formats.push(format);
        }
    }
    served
}

fn respond(body: &impl Serialize, served: Served) -> Response {
    let mut response = Json(body).into_response();
    if let Ok(value) = HeaderValue::from_str(&server_timing(&served.timing)) {
        response.headers_mut().insert(SERVER_TIMING, value);
    }
    response.extensions_mut().insert(served);
    response
}

/// Milliseconds by stage; summed over the pictures of a request, which ran side by side.
fn server_timing(timing: &Timing) -> String {
    let stages = [
        ("queue", timing.queue),
        ("decode", timing.decode),
        ("preprocess", timing.preprocess),
        ("inference", timing.inference),
        ("postprocess", timing.postprocess),
        ("total", timing.total),
    ];
    stages.map(|(stage, took)| format!("{stage};dur={:.3}", took.as_secs_f64() * 1e3)).join(", ")
}
