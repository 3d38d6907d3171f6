//! What bad input is answered: always the documented problem, and the next request works.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{HeaderValue, Method, Request};
use bytes::Bytes;
use hyper::body::Frame;
use senet::config::HttpConfig;
use senet::http::admin_router;

use crate::support::{Answer, App, FakeEngine, answer, form, jpeg, png, post};

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
    for (method, path, allowed) in [
        (Method::GET, "/v1/classify", "POST"),
        (Method::POST, "/v1/models", "GET,HEAD"),
        (Method::DELETE, "/docs", "GET,HEAD"),
        (Method::OPTIONS, "/v1/classify", "POST"),
    ] {
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
    assert_eq!(detail, "images[1]: broken base64 at character 5: '!' is no character of base64");
}

/// What anybody can write, and where.
fn with_text(text: &str) -> Vec<Request<Body>> {
    let quoted = serde_json::to_string(text).unwrap();
    let in_json = |json: String| post("", "application/json", json);
    let in_form = |name: &str, value: &str| {
        let (content_type, body) = form(&[("image", Some("a.png"), &png()), (name, None, value.as_bytes())]);
        post("", &content_type, body)
    };
    let mut requests = vec![
        in_json(format!(r#"{{"images": [{quoted}]}}"#)),
        in_json(format!(r#"{{"images": {quoted}}}"#)),
        in_json(format!(r#"{{"images": ["aGV5"], {quoted}: 1}}"#)),
        in_json(format!(r#"{{"images": ["aGV5"], "top_k": {quoted}}}"#)),
        in_json(format!(r#"{{"images": ["aGV5"], "model": {quoted}}}"#)),
        in_json(format!(r#"{{"images": ["aGV5"], "attention": {quoted}}}"#)),
        in_json(format!(r#"{{"images": ["aGV5"], "blocks": {quoted}}}"#)),
        in_json(format!(r#"{{"images": ["aGV5"], "blocks": [{quoted}]}}"#)),
        in_json(quoted.clone()),
        in_form(text, "3"),
        in_form("top_k", text),
        in_form("attention", text),
        in_form("model", text),
        in_form("blocks", text),
    ];
    // A head is limited by itself.
    let short: String = text.chars().take(5000).map(|char| format!("%{:02X}", u32::from(char))).collect();
    for query in
        [format!("?{short}=1"), format!("?top_k={short}"), format!("?attention={short}"), format!("?model={short}"), format!("?blocks={short}")]
    {
        requests.push(post(&query, PNG, png()));
    }
    let get = |path: String| Request::get(path).body(Body::empty()).unwrap();
    requests.extend([get(format!("/{short}")), get(format!("/v1/models/{short}")), get(format!("/problems/{short}"))]);
    let word = "X".repeat(5000);
    requests.push(Request::builder().method(word.as_str()).uri("/v1/classify").header("x-request-id", &word).body(Body::empty()).unwrap());
    requests.push(post("", &format!("multipart/form-data; boundary={word}"), "x"));
    requests
}

#[tokio::test]
async fn of_what_was_sent_64_characters_are_said_and_no_more() {
    let app = App::new(FakeEngine::fast());
    for letter in ["x", "\u{7f}", "\""] {
        for request in with_text(&letter.repeat(1 << 20)) {
            let asked = format!("{} {:.80}", request.method().as_str().get(..4).unwrap_or_default(), request.uri().to_string());
            let answer = app.send(request).await;
            assert!(answer.status.as_u16() < 500, "{asked} {}", answer.status);
            let said: usize = answer.headers.values().map(|value| value.len()).sum::<usize>() + answer.body.len();
            assert!(said < 2000, "{asked} is answered by {said} bytes");
            let longest = answer.text().split(|char| char != 'x' && char != 'X').map(str::len).max();
            assert!(longest <= Some(64), "{asked}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn a_path_that_is_no_utf_8_is_invalid() {
    let app = App::with(FakeEngine::fast(), 1, HttpConfig { model_control: true, ..HttpConfig::default() });
    let routers = [("GET", "/v1/models/%FF", app.router.clone()), ("GET", "/problems/%ff%fe", app.router.clone())];
    let control = [("POST", "/v1/models/%FF/load", admin_router(&app.state)), ("POST", "/v1/models/a%80/unload", admin_router(&app.state))];
    for (method, path, router) in routers.into_iter().chain(control) {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let detail = answer(router, request).await.problem(400, "invalid-parameter");
        assert_eq!(detail, "the name in the path is not UTF-8 when it is percent-decoded", "{path}");
    }
}

#[tokio::test]
async fn the_version_to_load_is_a_whole_number() {
    let app = App::with(FakeEngine::fast(), 1, HttpConfig { model_control: true, ..HttpConfig::default() });
    for (query, detail) in [
        ("version=latest", "version is \"latest\", expected a whole number of 0 or more"),
        ("version=-1", "version is \"-1\", expected a whole number of 0 or more"),
        ("version=1&version=1", "version is given twice"),
        ("verson=1", "there is no parameter \"verson\"; did you mean version?"),
    ] {
        let request = Request::post(format!("/v1/models/fake/load?{query}")).body(Body::empty()).unwrap();
        assert_eq!(answer(admin_router(&app.state), request).await.problem(400, "invalid-parameter"), detail);
    }
}

#[tokio::test]
async fn an_encoding_that_is_not_read_is_named() {
    let app = App::new(FakeEngine::fast());
    let encoded = |encodings: &[&str]| {
        let mut request = post("", PNG, png());
        for encoding in encodings {
            request.headers_mut().append("content-encoding", encoding.parse().unwrap());
        }
        request
    };
    for (encodings, named) in [(&["gzip"][..], "gzip"), (&["identity, BR"], "BR"), (&["identity", "x"], "x")] {
        let answer = app.send(encoded(encodings)).await;
        let detail = answer.problem(415, "unsupported-encoding");
        assert_eq!(detail, format!("Content-Encoding is {named:?}, which is not read; send the body as it is"));
        assert_eq!(answer.header("accept-encoding"), Some("identity"));
    }
    assert_eq!(app.send(encoded(&["Identity"])).await.status, 200);
    let mut odd = encoded(&[]);
    odd.headers_mut().insert("content-encoding", HeaderValue::from_bytes(&[0xff; 5000]).unwrap());
    assert!(app.send(odd).await.problem(415, "unsupported-encoding").len() < 300);
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
