//! Heads that no handler sees: they are answered as problems, counted and logged all the same.

use crate::running::{Kept, Running, config};
use crate::support::FakeEngine;

#[tokio::test]
async fn a_head_that_cannot_be_read_is_answered_as_a_problem_and_counted() {
    let running = Running::ready(config(), FakeEngine::fast()).await;
    let field = |length| format!("GET /livez HTTP/1.1\r\nhost: test\r\nx-long: {}\r\n\r\n", "x".repeat(length)).into_bytes();
    let cases: [(Vec<u8>, u16, &str); 8] = [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), 400, "invalid-head"),
        (b"GET /livez\r\nhost: test\r\n\r\n".to_vec(), 400, "invalid-head"),
        (b"GET /livez HTTP/1.1\r\nhost test\r\n\r\n".to_vec(), 400, "invalid-head"),
        (b"POST /v1/classify HTTP/1.1\r\nhost: test\r\ncontent-length: -1\r\n\r\n".to_vec(), 400, "invalid-head"),
        (b"POST /v1/classify HTTP/1.1\r\nhost: test\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n".to_vec(), 400, "invalid-head"),
        (format!("GET /{} HTTP/1.1\r\nhost: test\r\n\r\n", "x".repeat(70_000)).into_bytes(), 414, "uri-too-long"),
        (field(300_000), 431, "head-too-large"),
        (format!("GET / HTTP/1.1\r\nhost: test\r\n{}\r\n", "a: b\r\n".repeat(200)).into_bytes(), 431, "head-too-large"),
    ];
    for (head, status, name) in &cases {
        let shown = String::from_utf8_lossy(&head[..head.len().min(80)]).into_owned();
        let mut client = Kept::connect(running.addr).await;
        // As the second request of its connection, too.
        client.send([b"GET /livez HTTP/1.1\r\nhost: test\r\n\r\n", &head[..]].concat()).await;
        assert_eq!(client.answer().await.map(|answer| answer.status), Some(200), "{shown}");
        let answer = client.answer().await.unwrap_or_else(|| panic!("no answer to {shown}"));
        assert!(answer.status == *status && answer.says_close(), "{answer:?} to {shown}");
        let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{e} in {answer:?} to {shown}"));
        assert_eq!(problem["type"], format!("/problems/{name}"), "{shown}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.header("x-request-id"), problem["instance"].as_str().map(str::to_ascii_lowercase).as_deref());
        assert!(client.answer().await.is_none());
    }
    let metrics = running.get("/metrics").await;
    for (status, count) in [(400, 5), (414, 1), (431, 2)] {
        assert!(metrics.contains(&format!("senet_unreadable_heads_total{{status=\"{status}\"}} {count}\n")), "{metrics}");
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_request_names_its_host_once() {
    let running = Running::ready(config(), FakeEngine::fast()).await;
    let cases = [
        ("HTTP/1.1\r\nhost: test", 200),
        ("HTTP/1.1\r\nhost:", 200),
        ("HTTP/1.1", 400),
        ("HTTP/1.1\r\nhost: test\r\nhost: test", 400),
        ("HTTP/1.1\r\nhost: one\r\nHost: two", 400),
        ("HTTP/1.0", 200),
        ("HTTP/1.0\r\nhost: one\r\nhost: two", 400),
    ];
    for (head, status) in cases {
        for path in ["/livez", "/v1/models"] {
            let mut client = Kept::connect(running.addr).await;
            client.send(format!("GET {path} {head}\r\n\r\n")).await;
            let answer = client.answer().await.expect("no answer");
            assert_eq!(answer.status, status, "{head}: {}", answer.body);
            assert!(status == 200 || answer.body.contains("/problems/invalid-head"), "{}", answer.body);
        }
    }
    running.stop().await.unwrap();
}
