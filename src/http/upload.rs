//! The images of a request, and the options that come with them: raw bytes, a multipart form, or JSON with base64.
//!
//! A body is read whole, within its limits of size and time and what all bodies together may hold, before it is looked at. Its pictures are slices
//! of it, which hold their part of that budget until the last of them is gone, wherever they are. Base64 is decoded later, on a worker.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use tokio::time::timeout;

use super::budget::Budget;
use super::parameters::Parameters;
use super::problem::{Kind, Problem};
use crate::excerpt::excerpt;
use crate::image::Format;

mod base64;
mod form;
mod json;

/// What an upload may cost.
#[derive(Debug, Clone)]
pub(super) struct UploadLimits {
    /// Of the body.
    pub(super) max_bytes: u64,
    /// For the body to arrive.
    pub(super) timeout: Duration,
    /// In one body.
    pub(super) max_images: usize,
    /// For the bodies of all requests.
    pub(super) budget: Budget,
}

/// One encoded picture, as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Encoded {
    /// The file.
    Binary(Bytes),
    /// The file in base64, as [`base64::decode`] reads it.
    Base64(Bytes),
}

impl Encoded {
    /// The file.
    ///
    /// # Errors
    /// `invalid-body` for broken base64.
    pub(super) fn into_bytes(self) -> Result<Bytes, Problem> {
        match self {
            Self::Binary(bytes) => Ok(bytes),
            Self::Base64(text) => base64::decode(&text).map(Bytes::from),
        }
    }
}

/// The pictures of one request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Images {
    /// A raw body: answered by one classification.
    One(Encoded),
    /// A form or JSON: answered by a list.
    Many(Vec<Encoded>),
}

/// What one request brought.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) images: Images,
    /// The options in the body; a raw one has none.
    pub(super) parameters: Parameters,
    /// Length of the body.
    pub(super) body_bytes: usize,
}

impl Upload {
    /// Reads the body.
    ///
    /// # Errors
    /// `unsupported-encoding`, `body-timeout`, `body-too-large`, `overloaded`, `invalid-body`, `invalid-parameter`.
    pub(super) async fn read(request: Request, limits: UploadLimits) -> Result<Self, Problem> {
        let (head, body) = request.into_parts();
        check_encoding(&head.headers)?;
        let late = || Problem::new(Kind::BodyTimeout, format!("the body did not arrive within {} s", limits.timeout.as_secs_f64()));
        let body = timeout(limits.timeout, read_body(body, &limits)).await.map_err(|_| late())??;
        let body_bytes = body.len();
        if body.is_empty() {
            return Err(invalid("the body is empty"));
        }
        let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        // A form's boundary stands in the header. All else is told by its first bytes: clients send pictures, and JSON, as anything.
        let (images, parameters) = match media_type(content_type).as_str() {
            "multipart/form-data" => many(form::read(content_type, &body, limits.max_images)?),
            media_type if Format::sniff(&body).is_none() && (media_type == "application/json" || json::begins(&body)) => {
                many(json::read(&body, limits.max_images, &limits.budget)?)
            }
            _ => (Images::One(Encoded::Binary(body)), Parameters::default()),
        };
        Ok(Self { images, parameters, body_bytes })
    }
}

fn many((images, parameters): (Vec<Encoded>, Parameters)) -> (Images, Parameters) {
    (Images::Many(images), parameters)
}

/// Whether the body comes as it is.
fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    values.try_for_each(|value| check_identity("Content-Encoding", &value))
}

/// Whether `value`, a header called `name` that lists encodings, lists none.
fn check_identity(name: &str, value: &str) -> Result<(), Problem> {
    let other = value.split(',').map(str::trim).find(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"));
    let Some(coding) = other else { return Ok(()) };
    Err(Problem::new(Kind::UnsupportedEncoding, format!("{name} is {:?}, which is not read; send the body as it is", excerpt(coding))))
}

async fn read_body(body: Body, limits: &UploadLimits) -> Result<Bytes, Problem> {
    let most = usize::try_from(limits.max_bytes).unwrap_or(usize::MAX);
    let expected = body.size_hint().exact().and_then(|declared| usize::try_from(declared).ok()).unwrap_or(most).min(most);
    let mut body = Limited::new(body, most);
    let mut bytes = limits.budget.buffer();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|e| if e.is::<LengthLimitError>() { too_large(limits.max_bytes) } else { invalid(format!("the body broke off: {e}")) })?;
        if let Ok(data) = frame.into_data() {
            bytes.extend(&data, expected).map_err(|_| no_memory())?;
        }
    }
    Ok(bytes.freeze())
}

/// The problem of a body for which there is no room.
fn no_memory() -> Problem {
    Problem::new(Kind::Overloaded, "the bodies of other requests hold all the memory that there is for bodies")
}

/// The problem of a body that turns out too large while it is read.
fn too_large(limit: u64) -> Problem {
    Problem::new(Kind::BodyTooLarge, format!("the body is larger than {limit} bytes")).with_limit(limit)
}

fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether `count` images, or the first `count` of more, are within `limit`.
fn check_count(count: usize, limit: usize) -> Result<(), Problem> {
    if count <= limit {
        return Ok(());
    }
    Err(invalid(format!("the body holds more than {limit} images")).with_limit(limit as u64))
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(Kind::InvalidBody, detail)
}
