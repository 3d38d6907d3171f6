//! Connections that are kept: an answer that comes before its request was read must not cost the next one.

use std::process::{Command, Stdio};
use std::time::Instant;

use crate::running::{Answered, Kept, PATIENCE, Running, SHORT, config, full};
use crate::support::{FakeEngine, Shelf, broken, model, png};

/// How a body is announced.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Framing {
    Length,
    Chunks,
}

/// A request with a body of `bytes` bytes, of which `sent` are sent.
fn request(line: &str, framing: Framing, bytes: usize, sent: usize) -> Vec<u8> {
    let head = |framing: String| format!("{line} HTTP/1.1\r\nhost: test\r\n{framing}\r\n\r\n").into_bytes();
    match framing {
        Framing::Length => [head(format!("content-length: {bytes}")), vec![0; sent]].concat(),
        Framing::Chunks => {
            let end: &[u8] = if sent == bytes { b"\r\n0\r\n\r\n" } else { b"" };
            [&head("transfer-encoding: chunked".to_owned())[..], format!("{bytes:x}\r\n").as_bytes(), &vec![0; sent], end].concat()
        }
    }
}

/// Sends `request` and then a probe, and gives the answers to both.
async fn then_a_probe(running: &Running, request: &[u8]) -> (Answered, Option<Answered>) {
    let mut client = Kept::connect(running.addr).await;
    client.send(request).await;
    let refused = client.answer().await.expect("no answer at all");
    client.send("GET /livez HTTP/1.1\r\nhost: test\r\n\r\n").await;
    (refused, client.answer().await)
}

async fn keeps_the_next(running: &Running, cases: &[(&str, u16)]) {
    for (line, status) in cases {
        for framing in [Framing::Length, Framing::Chunks] {
            for bytes in [1, 1000, 100_000, 1_000_000] {
                let (refused, next) = then_a_probe(running, &request(line, framing, bytes, bytes)).await;
                let case = format!("{line}, {bytes} bytes by {framing:?}");
                assert_eq!(refused.status, *status, "{case}: {}", refused.body);
                assert!(!refused.says_close(), "{case}");
                assert_eq!(next.map(|next| next.status), Some(200), "{case}: the next request is lost");
            }
        }
    }
}

#[tokio::test]
async fn a_request_that_is_answered_before_it_is_read_does_not_cost_the_next_one() {
    let running = Running::ready(config(), FakeEngine::fast()).await;
    let cases = [
        ("POST /v1/classify?zz=1", 400),
        ("POST /v1/classify?top_k=x", 400),
        ("POST /v2/models/x/infer", 404),
        ("POST /v1/models/absent", 405),
        ("GET /v1/models/absent", 404),
        ("GET /problems/absent", 404),
        ("POST /livez", 405),
        ("DELETE /metrics", 405),
        ("PUT /v1/classify", 405),
        ("GET /livez", 200),
        ("GET /readyz", 200),
        ("GET /health", 200),
        ("GET /metrics", 200),
        ("GET /v1/models", 200),
        ("GET /v1/models/fake", 200),
        ("GET /openapi.json", 200),
        ("GET /docs", 200),
        ("GET /problems", 200),
        ("GET /", 307),
    ];
    keeps_the_next(&running, &cases).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn nor_does_one_to_a_service_that_is_not_ready() {
    let (never, wait) = std::sync::mpsc::channel::<()>();
    let running = Running::start(config(), Shelf::with(move || wait.recv().map_err(|_| broken("")).map(|()| model(FakeEngine::fast(), 1)))).await;
    keeps_the_next(&running, &[("POST /v1/classify", 503), ("GET /readyz", 503)]).await;
    running.stop().await.unwrap();
    drop(never);
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_does_one_that_is_turned_away() {
    let (running, _held) = full().await;
    keeps_the_next(&running, &[("POST /v1/classify", 429)]).await;
}

#[tokio::test]
async fn nor_does_one_whose_body_is_larger_than_the_limit() {
    let mut config = config();
    config.http.max_body_bytes = 500;
    let running = Running::ready(config, FakeEngine::fast()).await;
    for framing in [Framing::Length, Framing::Chunks] {
        let (refused, next) = then_a_probe(&running, &request("POST /v1/classify", framing, 200_000, 200_000)).await;
        assert_eq!((refused.status, refused.says_close(), next.map(|next| next.status)), (413, false, Some(200)), "{framing:?}");
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_body_that_is_too_much_to_throw_away_is_told_to_be_the_last() {
    let running = Running::ready(config(), FakeEngine::fast()).await;
    for (framing, bytes) in [(Framing::Length, 1 << 21), (Framing::Chunks, 1 << 21), (Framing::Length, 1 << 25)] {
        let mut client = Kept::connect(running.addr).await;
        client.send(request("POST /v1/classify?zz=1", framing, bytes, bytes)).await;
        let refused = client.answer().await.expect("the answer is lost");
        let status = if bytes > 1 << 24 { 413 } else { 400 };
        assert!(refused.status == status && refused.says_close(), "{bytes} bytes by {framing:?}: {refused:?}");
        assert!(client.answer().await.is_none());
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_body_that_stalls_is_told_to_be_the_last() {
    let running = Running::ready(config(), FakeEngine::fast()).await;
    for framing in [Framing::Length, Framing::Chunks] {
        let mut client = Kept::connect(running.addr).await;
        client.send(request("POST /v1/classify?zz=1", framing, 1000, 10)).await;
        let refused = client.answer().await.expect("no answer");
        assert!(refused.status == 400 && refused.says_close(), "{framing:?}: {refused:?}");
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_body_that_breaks_off_is_told_to_be_the_last() {
    let running = Running::ready(config(), FakeEngine::fast()).await;
    for line in ["POST /v1/classify", "POST /v1/classify?zz=1"] {
        let mut client = Kept::connect(running.addr).await;
        client.send(format!("{line} HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\nno length\r\n")).await;
        let refused = client.answer().await.expect("no answer");
        assert!(refused.status == 400 && refused.says_close(), "{refused:?}");
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_body_that_was_never_asked_for_is_not_waited_for() {
    let running = Running::ready(config(), FakeEngine::fast()).await;
    let mut client = Kept::connect(running.addr).await;
    let start = Instant::now();
    client.send("POST /v1/classify?zz=1 HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 1000\r\n\r\n").await;
    let refused = client.answer().await.expect("no answer");
    assert!(refused.status == 400 && refused.says_close(), "{refused:?}");
    assert!(start.elapsed() < PATIENCE);
    assert!(client.answer().await.is_none());
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_body_that_was_asked_for_leaves_the_connection_open() {
    let running = Running::ready(config(), FakeEngine::fast()).await;
    let mut client = Kept::connect(running.addr).await;
    let picture = png();
    for _ in 0..2 {
        let length = picture.len();
        client.send(format!("POST /v1/classify HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n")).await;
        assert_eq!(client.answer().await.map(|interim| interim.status), Some(100));
        client.send(&picture).await;
        assert_eq!(client.answer().await.map(|answer| (answer.status, answer.says_close())), Some((200, false)));
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_body_that_was_too_slow_is_told_to_be_the_last() {
    let mut config = config();
    config.http.body_timeout = SHORT;
    let running = Running::ready(config, FakeEngine::fast()).await;
    let mut client = Kept::connect(running.addr).await;
    client.send(request("POST /v1/classify", Framing::Length, 1000, 10)).await;
    let refused = client.answer().await.expect("no answer");
    assert!(refused.status == 408 && refused.says_close(), "{refused:?}");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_ran_out_of_time_does_not_cost_the_next_one() {
    let (engine, release) = FakeEngine::held(|| {});
    let mut config = config();
    config.http.request_timeout = SHORT;
    let running = Running::ready(config, engine).await;
    let mut client = Kept::connect(running.addr).await;
    let picture = png();
    client
        .send([format!("POST /v1/classify HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", picture.len()).as_bytes(), &picture].concat())
        .await;
    assert_eq!(client.answer().await.map(|answer| (answer.status, answer.says_close())), Some((504, false)));
    client.send("GET /livez HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert_eq!(client.answer().await.map(|answer| answer.status), Some(200));
    // Its body is still on its way when the time is up.
    client.send(request("POST /v1/classify", Framing::Length, 1000, 10)).await;
    let late = client.answer().await.expect("no answer");
    assert!(late.status == 504 && late.says_close(), "{late:?}");
    drop(release);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn requests_that_are_sent_ahead_are_answered_in_turn() {
    let running = Running::ready(config(), FakeEngine::fast()).await;
    let mut client = Kept::connect(running.addr).await;
    let refused = request("POST /v1/classify?zz=1", Framing::Chunks, 5000, 5000);
    client.send([refused.clone(), refused.clone(), b"GET /livez HTTP/1.1\r\nhost: test\r\n\r\n".to_vec(), refused].concat()).await;
    for status in [400, 400, 200, 400] {
        assert_eq!(client.answer().await.map(|answer| answer.status), Some(status));
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_client_of_http_1_0_may_keep_its_connection() {
    let running = Running::ready(config(), FakeEngine::fast()).await;
    let mut client = Kept::connect(running.addr).await;
    for _ in 0..2 {
        let head = "POST /v1/classify?zz=1 HTTP/1.0\r\nhost: test\r\nconnection: keep-alive\r\ncontent-length: 1000\r\n\r\n";
        client.send([head.as_bytes(), &[0; 1000]].concat()).await;
        assert_eq!(client.answer().await.map(|answer| (answer.status, answer.says_close())), Some((400, false)));
    }
    client.send(format!("POST /v1/classify?zz=1 HTTP/1.0\r\nhost: test\r\nconnection: keep-alive\r\ncontent-length: {}\r\n\r\n", 1 << 22)).await;
    let last = client.answer().await.unwrap();
    assert!(last.says_close() && !last.says_keep_alive(), "{last:?}");
    running.stop().await.unwrap();
}

/// What `python3`, with the module that it needs, prints of `script`; none where there is no such thing.
fn python(running: &Running, module: &str, script: &str) -> Option<String> {
    let has = Command::new("python3").args(["-c", &format!("import {module}")]).stderr(Stdio::null()).status();
    if !has.is_ok_and(|status| status.success()) {
        println!("skipped: there is no python3 with {module}");
        return None;
    }
    let output = Command::new("python3").args(["-c", script, &running.addr.port().to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn http_client_of_python_loses_nothing() {
    let running = Running::ready(config(), FakeEngine::fast()).await;
    let script = "
import http.client, sys
for path, method in (('/v1/classify?zz=1', 'POST'), ('/absent', 'POST'), ('/livez', 'POST'), ('/v1/classify', 'PUT')):
    for size in (1000, 100_000, 1_000_000, 3_000_000):
        connection = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]), timeout=20)
        for request in ((method, path, b'x' * size), ('GET', '/livez', None)) * 3:
            connection.request(*request)
            answer = connection.getresponse()
            answer.read()
            assert request[1] != '/livez' or request[0] == 'POST' or answer.status == 200, answer.status
print('all answered')
";
    let said = tokio::task::block_in_place(|| python(&running, "http.client", script));
    assert!(said.is_none_or(|said| said == "all answered"));
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_python_lose_nothing() {
    let running = Running::ready(config(), FakeEngine::fast()).await;
    let script = "
import requests, sys
session = requests.Session()
for _ in range(20):
    for size in (1000, 100_000, 1_000_000, 3_000_000):
        url = 'http://127.0.0.1:' + sys.argv[1]
        assert session.post(url + '/v1/classify?zz=1', data=b'x' * size, timeout=20).status_code == 400
        assert session.get(url + '/livez', timeout=20).status_code == 200
print('all answered')
";
    let said = tokio::task::block_in_place(|| python(&running, "requests", script));
    assert!(said.is_none_or(|said| said == "all answered"));
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_loses_nothing_and_connects_anew_where_it_is_told_to() {
    let running = Running::ready(config(), FakeEngine::fast()).await;
    if Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("skipped: there is no curl");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (bytes, connections) in [(100_000, "0"), (3_000_000, "1")] {
        let body = folder.path().join("body");
        std::fs::write(&body, vec![0; bytes]).unwrap();
        let (refused, next) = (format!("http://{}/v1/classify?zz=1", running.addr), format!("http://{}/livez", running.addr));
        let report = ["-s", "-o", "/dev/null", "-w", "%{http_code} %{num_connects}\n"];
        let mut curl = Command::new("curl");
        curl.args(report).arg("--data-binary").arg(format!("@{}", body.display())).arg(&refused).arg("--next").args(report).arg(&next);
        let output = tokio::task::block_in_place(|| curl.output().unwrap());
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said, format!("400 1\n200 {connections}\n"), "{bytes} bytes");
    }
    running.stop().await.unwrap();
}
