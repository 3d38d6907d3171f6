//! What bad input is answered: always the documented problem, and the next request works.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{Method, Request};
use bytes::Bytes;
use hyper::body::Frame;
use senet::config::HttpConfig;

use crate::support::{Answer, App, FakeEngine, form, jpeg, png, post};

const PNG: &str = "image/png";

/// Sends `body`, and a picture after it, which must be answered.
async fn refused(query: &str, content_type: &str, body: impl Into<Body>) -> Answer {
    let app = App::new(FakeEngine::fast());
    let answer = app.post(query, content_type, body).await;
    assert_eq!(app.post("", PNG, png()).await.status, 200, "the next request works");
    answer
}

#[tokio::test]
async fn an_empty_body_is_invalid() {
    assert_eq!(refused("", PNG, "").await.problem(400, "invalid-body"), "the body is empty");
}

#[tokio::test]
async fn text_is_no_image_whatever_the_header_says() {
    refused("", PNG, "hello").await.problem(415, "unsupported-format");
}

#[tokio::test]
async fn a_jpeg_header_and_nothing_else_is_undecodable() {
    let detail = refused("", PNG, &b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"[..]).await.problem(422, "undecodable-image");
    assert!(detail.starts_with("undecodable jpeg: "), "{detail}");
}

#[tokio::test]
async fn a_truncated_jpeg_is_undecodable() {
    let whole = jpeg();
    refused("", PNG, whole[..whole.len() * 9 / 10].to_vec()).await.problem(422, "undecodable-image");
}

#[tokio::test]
async fn a_png_of_60000_by_60000_is_refused_from_its_header() {
    let mut bomb = png();
    for side in [16..20, 20..24] {
        bomb[side].copy_from_slice(&60_000u32.to_be_bytes());
    }
    let checksum = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
    let answer = refused("", PNG, bomb).await;
    answer.problem(422, "image-too-large");
    assert!(answer.json()["actual"].as_u64() > answer.json()["limit"].as_u64(), "{}", answer.text());
}

/// As PNG wants it over a chunk's type and data.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())))
}

#[tokio::test]
async fn a_declared_20_mb_body_is_refused_before_any_of_it_is_read() {
    let (body, read) = Endless::new();
    let mut request = post("", PNG, Body::new(body));
    request.headers_mut().insert("content-length", 20_000_000.into());
    let answer = App::new(FakeEngine::fast()).send(request).await;
    answer.problem(413, "body-too-large");
    assert_eq!((answer.json()["limit"].as_u64(), answer.json()["actual"].as_u64()), (Some(16 << 20), Some(20_000_000)));
    assert_eq!(read.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_body_without_a_length_is_cut_off_at_the_limit() {
    let (body, read) = Endless::new();
    let answer = refused("", PNG, Body::new(body)).await;
    answer.problem(413, "body-too-large");
    assert!(read.load(Ordering::SeqCst) <= (16 << 20) + 2 * CHUNK, "read {read:?} bytes");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_in_time_is_given_up() {
    let answer = App::new(FakeEngine::fast()).post("", PNG, Body::new(Silent)).await;
    assert_eq!(answer.problem(408, "body-timeout"), "the body did not arrive within 10 s");
    assert_eq!(answer.header("connection"), Some("close"));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_invalid() {
    let detail = refused("", PNG, Body::new(Broken)).await.problem(400, "invalid-body");
    assert!(detail.starts_with("the body broke off: "), "{detail}");
}

#[tokio::test]
async fn parameters_out_of_range_or_unknown_are_named() {
    for (query, detail) in [
        ("?top_k=0", "top_k is \"0\", expected a whole number of 1 or more"),
        ("?top_k=99999", "top_k is 99999, expected 1 to 4, the classes of fake"),
        ("?attention=everything", "attention is \"everything\", expected none, summary, top or full"),
        ("?attention_top=0", "attention_top is \"0\", expected a whole number of 1 or more"),
        ("?blocks=layer9.*", "no SE block of fake matches \"layer9.*\""),
        ("?topk=3", "there is no parameter \"topk\"; did you mean top_k?"),
        ("?top_k=%FF", "top_k is \"\u{fffd}\", expected a whole number of 1 or more"),
    ] {
        assert_eq!(refused(query, PNG, png()).await.problem(400, "invalid-parameter"), detail);
    }
}

#[tokio::test]
async fn an_unknown_model_is_not_found() {
    assert_eq!(refused("?model=resnet", PNG, png()).await.problem(404, "unknown-model"), "no model \"resnet\" is served");
}

#[tokio::test]
async fn an_unknown_route_is_a_problem_too() {
    let app = App::new(FakeEngine::fast());
    app.get("/v2/nothing").await.problem(404, "not-found");
    app.get("/v1/models/resnet").await.problem(404, "unknown-model");
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let app = App::new(FakeEngine::fast());
    for (method, path, allowed) in
        [(Method::GET, "/v1/classify", "POST"), (Method::POST, "/v1/models", "GET,HEAD"), (Method::DELETE, "/docs", "GET,HEAD")]
    {
        let answer = app.send(Request::builder().method(method).uri(path).body(Body::empty()).unwrap()).await;
        answer.problem(405, "method-not-allowed");
        assert_eq!(answer.header("allow"), Some(allowed), "{path}");
    }
}

#[tokio::test]
async fn a_broken_form_is_invalid() {
    let (content_type, whole) = form(&[("image", Some("a.png"), &png())]);
    let cut = whole[..whole.len() - 20].to_vec();
    for (content_type, body) in [
        (content_type.as_str(), cut),
        (content_type.as_str(), b"no form at all".to_vec()),
        ("multipart/form-data", whole.clone()),
        (content_type.as_str(), form(&[]).1),
        (content_type.as_str(), form(&[("model", None, b"fake")]).1),
    ] {
        refused("", content_type, body).await.problem(400, "invalid-body");
    }
    let (content_type, body) = form(&[("image", Some("a.png"), &png()), ("topk", None, b"3")]);
    refused("", &content_type, body).await.problem(400, "invalid-parameter");
}

#[tokio::test]
async fn more_images_than_one_request_may_hold_are_refused() {
    let picture = png();
    let parts: Vec<_> = (0..5).map(|_| ("image", Some("a.png"), picture.as_slice())).collect();
    let (content_type, body) = form(&parts);
    let answer = refused("", &content_type, body).await;
    assert_eq!(answer.problem(400, "invalid-body"), "the body holds more than 4 images", "two workers and two places to wait");
    assert_eq!(answer.json()["limit"], 4);
}

#[tokio::test]
async fn broken_json_is_invalid() {
    for body in ["", "{", "[]", "{}", r#"{"images": "aGV5"}"#, r#"{"images": [null]}"#, r#"{"images": []}"#] {
        refused("", "application/json", body).await.problem(400, "invalid-body");
    }
    let detail = refused("", "application/json", r#"{"images": ["aGV5"], "atention": "top"}"#).await.problem(400, "invalid-parameter");
    assert_eq!(detail, "there is no parameter \"atention\"; did you mean attention?");
}

#[tokio::test]
async fn broken_base64_fails_the_request_and_is_found() {
    let detail = refused("", "application/json", r#"{"images": ["", "aGV5!"]}"#).await.problem(400, "invalid-body");
    assert_eq!(detail, "images[1]: broken base64: invalid symbol 33, offset 4.");
}

#[tokio::test]
async fn a_limit_of_the_configuration_is_heeded() {
    let app = App::with(FakeEngine::fast(), 1, HttpConfig { max_body_bytes: 10, ..HttpConfig::default() });
    app.post("", PNG, png()).await.problem(413, "body-too-large");
}

const CHUNK: usize = 64 << 10;

/// A body without a length that never ends, and the count of its bytes that were read.
struct Endless(Arc<AtomicUsize>);

impl Endless {
    fn new() -> (Self, Arc<AtomicUsize>) {
        let read = Arc::<AtomicUsize>::default();
        (Self(Arc::clone(&read)), read)
    }
}

impl hyper::body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.fetch_add(CHUNK, Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; CHUNK])))))
    }
}

/// A body of which nothing ever arrives.
struct Silent;

impl hyper::body::Body for Silent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

/// A body whose client goes away in the middle.
struct Broken;

impl hyper::body::Body for Broken {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
    }
}
