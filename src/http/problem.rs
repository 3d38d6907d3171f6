//! What a request that fails is answered: the one place that knows statuses (RFC 9457, `application/problem+json`).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::admission::{JobError, Overloaded};
use crate::classifier::ClassifyError;
use crate::excerpt::cut;
use crate::image::DecodeError;
use crate::model::{ControlError, NotServed};

/// Most characters of a detail. What of it came from the request is shorter by far; a decoder's words are not in our hand.
const MAX_DETAIL: usize = 4000;

/// The types of problems; each has a page at `/problems/<name>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    InvalidHead,
    InvalidParameter,
    InvalidBody,
    UnknownModel,
    NotFound,
    MethodNotAllowed,
    BodyTimeout,
    BodyTooLarge,
    UriTooLong,
    UnsupportedFormat,
    UnsupportedEncoding,
    UndecodableImage,
    ImageTooLarge,
    LoadFailed,
    Overloaded,
    HeadTooLarge,
    NotReady,
    Draining,
    DeadlineExceeded,
    NotFinite,
    Internal,
}

/// What is said of a type of problem, whatever the occurrence.
pub(crate) struct Facts {
    /// Last part of its URI.
    pub(crate) name: &'static str,
    /// The answer's status.
    pub(crate) status: StatusCode,
    /// A few words.
    pub(crate) title: &'static str,
    /// When it happens, and what to do.
    pub(crate) meaning: &'static str,
}

impl Kind {
    /// Every type, in the order of their statuses.
    pub(crate) const ALL: [Self; 21] = [
        Self::InvalidHead,
        Self::InvalidParameter,
        Self::InvalidBody,
        Self::UnknownModel,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::BodyTimeout,
        Self::BodyTooLarge,
        Self::UriTooLong,
        Self::UnsupportedFormat,
        Self::UnsupportedEncoding,
        Self::UndecodableImage,
        Self::ImageTooLarge,
        Self::LoadFailed,
        Self::Overloaded,
        Self::HeadTooLarge,
        Self::NotFinite,
        Self::Internal,
        Self::NotReady,
        Self::Draining,
        Self::DeadlineExceeded,
    ];

    /// What is said of it.
    pub(crate) fn facts(self) -> Facts {
        let (name, status, title, meaning) = match self {
            Self::InvalidHead => (
                "invalid-head",
                StatusCode::BAD_REQUEST,
                "Invalid head",
                "The request line or a header field is not HTTP/1.1, or there is not exactly one header Host. The connection is closed where the \
                 head could not be read. Clients that speak TLS or HTTP/2 need a proxy before this service.",
            ),
            Self::UriTooLong => (
                "uri-too-long",
                StatusCode::URI_TOO_LONG,
                "URI too long",
                "The request's path and query have more than 65,534 bytes. The connection is closed. Options may stand in the body.",
            ),
            Self::HeadTooLarge => (
                "head-too-large",
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "Head too large",
                "The request line and the header fields are far above 64 KiB, or there are more than 100 fields. The connection is closed. Send fewer or \
                 shorter cookies and headers.",
            ),
            Self::InvalidParameter => (
                "invalid-parameter",
                StatusCode::BAD_REQUEST,
                "Invalid parameter",
                "A parameter is unknown, given twice or out of range. The detail names it, its value and what would be right. \
                 Sending the request again unchanged fails again.",
            ),
            Self::InvalidBody => (
                "invalid-body",
                StatusCode::BAD_REQUEST,
                "Invalid body",
                "The body is empty, or is not the multipart, JSON or base64 that it claims to be, or holds more images than one request may. \
                 The detail says where it goes wrong.",
            ),
            Self::UnknownModel => (
                "unknown-model",
                StatusCode::NOT_FOUND,
                "Unknown model",
                "No model of that name is served. GET /v1/models lists those that are; without a name the first of them answers.",
            ),
            Self::NotFound => ("not-found", StatusCode::NOT_FOUND, "Not found", "There is nothing at this path. GET /docs describes what there is."),
            Self::MethodNotAllowed => (
                "method-not-allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "Method not allowed",
                "The path exists but does not take this method. The header Allow lists those it takes.",
            ),
            Self::BodyTimeout => (
                "body-timeout",
                StatusCode::REQUEST_TIMEOUT,
                "Body timeout",
                "The body did not arrive in the time that a client has for it. The connection is closed. Send it again over a faster link, \
                 or scale the image down first.",
            ),
            Self::BodyTooLarge => (
                "body-too-large",
                StatusCode::PAYLOAD_TOO_LARGE,
                "Body too large",
                "The body is larger than the service takes: refused from its declared length before it is read, or as soon as a body without \
                 one exceeds the limit. The connection is closed unless little of the body is left. Scale the image down: networks look at a few hundred pixels a side.",
            ),
            Self::UnsupportedFormat => (
                "unsupported-format",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Unsupported format",
                "The bytes do not begin as any image format that is read, whatever the header Content-Type says. Send JPEG, PNG, WebP, GIF or BMP.",
            ),
            Self::UnsupportedEncoding => (
                "unsupported-encoding",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Unsupported encoding",
                "The header Content-Encoding of the request, or Content-Transfer-Encoding of a part of its form, names an encoding that is not read. \
                 Send the body as it is: image files are packed already.",
            ),
            Self::UndecodableImage => (
                "undecodable-image",
                StatusCode::UNPROCESSABLE_ENTITY,
                "Undecodable image",
                "The image is corrupt, truncated, or of a kind that its decoder does not know. The detail has the decoder's words.",
            ),
            Self::ImageTooLarge => (
                "image-too-large",
                StatusCode::UNPROCESSABLE_ENTITY,
                "Image too large",
                "The image's header declares more pixels, a longer side or more decoder memory than the service allows; its pixels were not read. \
                 The members limit and actual say how much. Scale the image down first.",
            ),
            Self::LoadFailed => (
                "load-failed",
                StatusCode::UNPROCESSABLE_ENTITY,
                "Load failed",
                "The model that an operator asked for cannot be loaded. The detail names file, key, value and what would be right. The version that \
                 was served before goes on serving.",
            ),
            Self::Overloaded => (
                "overloaded",
                StatusCode::TOO_MANY_REQUESTS,
                "Overloaded",
                "Every worker is busy and the queue is full, so that no work was done; or the bodies and answers of other requests hold all the \
                 memory that there is for them, or all connections are in use. Try again after the number of seconds in the header Retry-After, \
                 or add replicas.",
            ),
            Self::NotReady => (
                "not-ready",
                StatusCode::SERVICE_UNAVAILABLE,
                "Not ready",
                "Models are still being loaded and warmed up, or the one that was asked for has been unloaded or could not be loaded. GET /readyz \
                 turns 200 when the service is ready, GET /v1/models says which model is in what state.",
            ),
            Self::Draining => (
                "draining",
                StatusCode::SERVICE_UNAVAILABLE,
                "Draining",
                "This replica is shutting down and takes no new work. Send the request again: another replica answers it.",
            ),
            Self::DeadlineExceeded => (
                "deadline-exceeded",
                StatusCode::GATEWAY_TIMEOUT,
                "Deadline exceeded",
                "The answer was not ready within the time that a request may take; the work on it was given up.",
            ),
            Self::NotFinite => (
                "not-finite",
                StatusCode::INTERNAL_SERVER_ERROR,
                "Answer without numbers",
                "The network's answer for this image holds NaN or an infinity, so that there are no probabilities or gates to tell. The detail names \
                 the value. The same image fails again; whoever runs the service needs another file of the network.",
            ),
            Self::Internal => (
                "internal",
                StatusCode::INTERNAL_SERVER_ERROR,
                "Internal error",
                "The service failed. The cause is in its log under the request id, the member instance.",
            ),
        };
        Facts { name, status, title, meaning }
    }

    /// Seconds after which a client may try again, where that alone can help.
    fn retry_after(self) -> Option<HeaderValue> {
        matches!(self, Self::Overloaded | Self::NotReady | Self::Draining).then_some(HeaderValue::from_static("1"))
    }

    /// Whether the connection is of no further use, however little of the body is left: it comes too slowly to be read, or this replica goes away.
    fn closes_connection(self) -> bool {
        matches!(self, Self::BodyTimeout | Self::Draining)
    }
}

/// One occurrence. As a response it has no body yet: the request-id layer writes that, since it alone knows the id.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    kind: Kind,
    detail: String,
    limit: Option<u64>,
    actual: Option<u64>,
    cause: Option<String>,
}

impl Problem {
    /// A problem whose `detail` tells the client what it can change.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: cut(&detail.into(), MAX_DETAIL), limit: None, actual: None, cause: None }
    }

    /// A failure of ours: `cause` is for the log alone.
    pub(crate) fn internal(cause: impl ToString) -> Self {
        let problem = Self::new(Kind::Internal, "the service failed; its log has the cause under the request id");
        Self { cause: Some(cause.to_string()), ..problem }
    }

    /// The same with the limit that was exceeded.
    pub(crate) fn with_limit(self, limit: u64) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// The same with the value that exceeded a limit.
    pub(crate) fn with_actual(self, actual: u64) -> Self {
        Self { actual: Some(actual), ..self }
    }

    /// The same of a part of the request, called `part`.
    pub(crate) fn within(self, part: &str) -> Self {
        Self { detail: format!("{part}: {}", self.detail), ..self }
    }

    /// Its type.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// What the log says of a failure of ours.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The JSON object that answers the request called `id`.
    pub(crate) fn body<'a>(&'a self, id: &'a str) -> Body<'a> {
        let Facts { name, status, title, .. } = self.kind.facts();
        let r#type = format!("/problems/{name}");
        Body { r#type, title, status: status.as_u16(), detail: &self.detail, instance: id, limit: self.limit, actual: self.actual }
    }
}

/// The members of `application/problem+json`, and the two of ours.
#[derive(Serialize)]
pub(crate) struct Body<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actual: Option<u64>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind.facts().status.into_response();
        if let Some(seconds) = self.kind.retry_after() {
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        if self.kind.closes_connection() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if self.kind == Kind::UnsupportedEncoding {
            // RFC 9110, section 12.5.3.
            response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<ClassifyError> for Problem {
    fn from(error: ClassifyError) -> Self {
        let detail = error.to_string();
        match error {
            ClassifyError::TopK { actual, classes, .. } => {
                Self::new(Kind::InvalidParameter, detail).with_limit(classes as u64).with_actual(actual as u64)
            }
            ClassifyError::UnknownBlock { .. } => Self::new(Kind::InvalidParameter, detail),
            ClassifyError::Decode(DecodeError::Empty) => Self::new(Kind::InvalidBody, detail),
            ClassifyError::Decode(DecodeError::UnsupportedFormat(_)) => Self::new(Kind::UnsupportedFormat, detail),
            ClassifyError::Decode(DecodeError::Undecodable { .. }) => Self::new(Kind::UndecodableImage, detail),
            ClassifyError::Decode(DecodeError::TooLarge { actual, limit, .. }) => {
                Self::new(Kind::ImageTooLarge, detail).with_limit(limit).with_actual(actual)
            }
            ClassifyError::NotFinite { .. } => Self { cause: Some(detail.clone()), ..Self::new(Kind::NotFinite, detail) },
            ClassifyError::DeadlineExceeded => Self::new(Kind::DeadlineExceeded, detail),
            ClassifyError::Engine(_) | ClassifyError::Abandoned => Self::internal(detail),
        }
    }
}

impl From<NotServed> for Problem {
    fn from(error: NotServed) -> Self {
        let kind = if matches!(error, NotServed::Unknown { .. }) { Kind::UnknownModel } else { Kind::NotReady };
        Self::new(kind, error.to_string())
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Unknown(error) => error.into(),
            ControlError::Load(error) => Self::new(Kind::LoadFailed, error.to_string()),
        }
    }
}

impl From<Overloaded> for Problem {
    fn from(error: Overloaded) -> Self {
        Self::new(Kind::Overloaded, error.to_string()).with_limit(error.capacity as u64)
    }
}

impl From<JobError> for Problem {
    fn from(error: JobError) -> Self {
        match error {
            // Its words and place are in the log already, under the same request id.
            JobError::Panicked(_) => Self::internal("a worker panicked"),
            JobError::Closed => Self::internal(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_listed_once_and_documented() {
        let mut names: Vec<_> = Kind::ALL.iter().map(|kind| kind.facts().name).collect();
        assert!(Kind::ALL.iter().all(|kind| !kind.facts().meaning.is_empty()));
        assert!(Kind::ALL.is_sorted_by_key(|kind| kind.facts().status));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Kind::ALL.len());
    }

    #[test]
    fn the_cause_of_a_failure_of_ours_stays_out_of_the_answer() {
        let problem = Problem::internal("secret path /etc/senet");
        let body = serde_json::to_string(&problem.body("01J")).unwrap();
        assert!(!body.contains("secret"), "{body}");
        assert_eq!(problem.cause(), Some("secret path /etc/senet"));
    }
}
