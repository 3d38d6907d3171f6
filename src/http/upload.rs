//! The images of a request, and the options that come with them: raw bytes, a multipart form, or JSON with base64.
//!
//! A body is read whole, within its limits of size and time and what all bodies together may hold, before it is looked at. Base64 is decoded
//! later, on a worker.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Multipart, Request, multipart::Field};
use axum::http::{HeaderMap, header, request};
use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::parameters::Parameters;
use super::problem::{Kind, Problem};

mod json;

const BASE64: GeneralPurpose =
    GeneralPurpose::new(&base64::alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// What an upload may cost.
#[derive(Debug, Clone)]
pub(super) struct UploadLimits {
    /// Of the body.
    pub(super) max_bytes: u64,
    /// For the body to arrive.
    pub(super) timeout: Duration,
    /// In one body.
    pub(super) max_images: usize,
    /// One permit a byte, for the bodies of all requests.
    pub(super) budget: Arc<Semaphore>,
}

/// One encoded picture, as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Encoded {
    /// The file.
    Binary(Bytes),
    /// The file in base64, standard alphabet, padded or not; perhaps behind `data:…;base64,`.
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
            Self::Base64(text) => match BASE64.decode(without_data_url(&text)) {
                Ok(bytes) => Ok(bytes.into()),
                Err(e) => Err(invalid(format!("broken base64: {}", lower_first(&e.to_string())))),
            },
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

/// The pictures of one request, how many bytes brought them, and their part of the budget, which is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) images: Images,
    pub(super) body_bytes: usize,
    pub(super) held: OwnedSemaphorePermit,
}

impl Upload {
    /// Reads the body and adds the options it holds to `parameters`.
    ///
    /// # Errors
    /// `body-timeout`, `body-too-large`, `overloaded`, `invalid-body`, `invalid-parameter`.
    pub(super) async fn read(request: Request, limits: UploadLimits, parameters: &mut Parameters) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let late = || Problem::new(Kind::BodyTimeout, format!("the body did not arrive within {} s", limits.timeout.as_secs_f64()));
        let (body, held) = timeout(limits.timeout, read_body(body, &limits)).await.map_err(|_| late())??;
        let body_bytes = body.len();
        if body.is_empty() {
            return Err(invalid("the body is empty"));
        }
        let images = match media_type(&parts.headers).as_str() {
            "multipart/form-data" => Images::Many(read_form(parts, body, limits.max_images, parameters).await?),
            "application/json" => Images::Many(json::read(&body, limits.max_images, parameters)?),
            // The format is told by magic bytes: a client that sends a picture as anything else is understood.
            _ => Images::One(Encoded::Binary(body)),
        };
        Ok(Self { images, body_bytes, held })
    }
}

async fn read_body(body: Body, limits: &UploadLimits) -> Result<(Bytes, OwnedSemaphorePermit), Problem> {
    let mut body = Limited::new(body, usize::try_from(limits.max_bytes).unwrap_or(usize::MAX));
    let mut held = hold(limits, 0)?;
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|e| if e.is::<LengthLimitError>() { too_large(limits.max_bytes) } else { invalid(format!("the body broke off: {e}")) })?;
        if let Ok(data) = frame.into_data() {
            held.merge(hold(limits, data.len())?);
            bytes.extend_from_slice(&data);
        }
    }
    Ok((bytes.freeze(), held))
}

/// Takes `count` bytes of the budget.
fn hold(limits: &UploadLimits, count: usize) -> Result<OwnedSemaphorePermit, Problem> {
    let held = u32::try_from(count).ok().and_then(|count| Arc::clone(&limits.budget).try_acquire_many_owned(count).ok());
    held.ok_or_else(|| Problem::new(Kind::Overloaded, "the bodies of other requests hold all the memory that there is for bodies"))
}

/// The problem of a body that turns out too large while it is read.
fn too_large(limit: u64) -> Problem {
    Problem::new(Kind::BodyTooLarge, format!("the body is larger than {limit} bytes")).with_limit(limit)
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// A part with a file name or a media type of its own is a picture, any other an option.
async fn read_form(parts: request::Parts, body: Bytes, max_images: usize, parameters: &mut Parameters) -> Result<Vec<Encoded>, Problem> {
    let broken = |e: &dyn std::fmt::Display| invalid(format!("broken multipart: {e}"));
    let request = Request::from_parts(parts, Body::from(body));
    let mut form = Multipart::from_request(request, &()).await.map_err(|e| broken(&e.body_text()))?;
    let mut images = Vec::new();
    while let Some(field) = form.next_field().await.map_err(|e| broken(&e.body_text()))? {
        if is_file(&field) {
            images.push(Encoded::Binary(field.bytes().await.map_err(|e| broken(&e.body_text()))?));
            check_count(images.len(), max_images)?;
        } else {
            let name = field.name().unwrap_or_default().to_owned();
            parameters.set(&name, &field.text().await.map_err(|e| broken(&e.body_text()))?)?;
        }
    }
    if images.is_empty() { Err(invalid("the form holds no file")) } else { Ok(images) }
}

fn is_file(field: &Field<'_>) -> bool {
    field.file_name().is_some() || field.content_type().is_some_and(|kind| !kind.starts_with("text/"))
}

/// Whether `count` images, or the first `count` of more, are within `limit`.
fn check_count(count: usize, limit: usize) -> Result<(), Problem> {
    if count <= limit {
        return Ok(());
    }
    Err(invalid(format!("the body holds more than {limit} images")).with_limit(limit as u64))
}

fn without_data_url(text: &[u8]) -> &[u8] {
    const MARK: &[u8] = b";base64,";
    // A media type and its parameters are short; the rest is not searched.
    let head = text.get(..text.len().min(128)).unwrap_or_default();
    match head.windows(MARK.len()).position(|window| window == MARK) {
        Some(at) if text.starts_with(b"data:") => text.get(at + MARK.len()..).unwrap_or_default(),
        _ => text,
    }
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(Kind::InvalidBody, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &'static str) -> Option<Bytes> {
        Encoded::Base64(Bytes::from_static(text.as_bytes())).into_bytes().ok()
    }

    #[test]
    fn reads_base64_padded_or_not_and_behind_a_data_url() {
        for text in ["aGV5", "aGV5IQ==", "aGV5IQ", "data:image/png;base64,aGV5"] {
            assert!(decode(text).is_some_and(|bytes| bytes.starts_with(b"hey")), "{text}");
        }
    }

    #[test]
    fn refuses_other_alphabets_and_line_breaks() {
        for text in ["aGV-", "aG V5", "aGV5\n", "a", "data:image/png,aGV5"] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }
}
