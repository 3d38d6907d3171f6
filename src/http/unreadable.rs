//! The answer to a request whose head cannot be read, so that no handler ever sees it.

use axum::http::StatusCode;

use super::middleware::RequestId;
use super::problem::{Kind, Problem};

/// What is sent in the place of an answer without a body.
pub(crate) struct UnreadableHead {
    pub(crate) status: u16,
    /// The answer, from its status line to the end of its body.
    pub(crate) bytes: Vec<u8>,
}

impl UnreadableHead {
    /// The answer in the place of `bare`, a head that hyper wrote; none where that is no such answer.
    pub(crate) fn of(bare: &[u8]) -> Option<Self> {
        let bare = std::str::from_utf8(bare).ok()?.strip_suffix("\r\n\r\n")?;
        let status = bare.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let problem = problem(StatusCode::from_u16(status).ok()?)?;
        let id = RequestId::fresh();
        let body = serde_json::to_string(&problem.body(id.as_str())).ok()?;
        let mut answer = String::new();
        for line in bare.split("\r\n").filter(|line| !line.starts_with("content-length:")) {
            answer.extend([line, "\r\n"]);
        }
        let (id, length) = (id.as_str(), body.len());
        answer.push_str(&format!("content-type: application/problem+json\r\ncontent-length: {length}\r\nx-request-id: {id}\r\n\r\n{body}"));
        Some(Self { status, bytes: answer.into_bytes() })
    }
}

fn problem(status: StatusCode) -> Option<Problem> {
    let (kind, detail) = match status {
        StatusCode::BAD_REQUEST => (Kind::InvalidHead, "the request line or a header field is not HTTP/1.1"),
        StatusCode::URI_TOO_LONG => (Kind::UriTooLong, "the request's path and query are too long"),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => (Kind::HeadTooLarge, "the request's head is too large, or has more than 100 header fields"),
        _ => return None,
    };
    Some(Problem::new(kind, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_place_of_an_answer_without_a_body() {
        let bare =
            b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\n\r\n";
        let answer = UnreadableHead::of(bare).unwrap();
        let text = String::from_utf8(answer.bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(answer.status, 431);
        assert!(head.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ndate: Mon"), "{head}");
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())) && !head.contains("content-length: 0"), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((&body["type"], &body["status"]), (&"/problems/head-too-large".into(), &431.into()));
    }

    #[test]
    fn leaves_everything_else_alone() {
        for bare in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 404 Not Found\r\n\r\nbody", "400", ""] {
            assert!(UnreadableHead::of(bare.as_bytes()).is_none(), "{bare}");
        }
    }
}
