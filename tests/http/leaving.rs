//! Clients that send no more: some have gone, others wait for their answer.

use crate::running::{Kept, PATIENCE, Running, SHORT, config, held};
use crate::support::{FakeEngine, png};

fn request(version: &str) -> Vec<u8> {
    [format!("POST /v1/classify {version}\r\nhost: test\r\ncontent-length: {}\r\n\r\n", png().len()).as_bytes(), &png()].concat()
}

/// Requests whose client left first.
async fn abandoned(running: &Running) -> bool {
    running.get("/metrics").await.contains("senet_requests_total{route=\"/v1/classify\",status=\"499\"} 1\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closes_its_sending_side_gets_its_answer() {
    for version in ["HTTP/1.1", "HTTP/1.0"] {
        let (engine, began, release) = held();
        let running = Running::ready(config(), engine).await;
        let mut client = Kept::connect(running.addr).await;
        client.send(request(version)).await;
        client.half_close().await;
        began.recv_timeout(PATIENCE).unwrap();
        if version == "HTTP/1.1" {
            assert_eq!(client.answer().await.map(|interim| interim.status), Some(100), "the client is asked whether it is there");
        }
        assert!(client.is_open_after(SHORT * 3).await, "{version}");
        release.send(()).unwrap();
        assert_eq!(client.answer().await.map(|answer| answer.status), Some(200), "{version}");
        assert!(client.answer().await.is_none());
        assert!(!abandoned(&running).await);
        running.stop().await.unwrap();
    }
}

#[tokio::test]
async fn so_does_one_that_asks_for_what_is_there_at_once() {
    let running = Running::ready(config(), FakeEngine::fast()).await;
    for path in ["/livez", "/v1/models", "/metrics", "/docs", "/absent"] {
        let mut client = Kept::connect(running.addr).await;
        client.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")).await;
        client.half_close().await;
        let mut answer = client.answer().await.expect("no answer");
        if answer.status == 100 {
            answer = client.answer().await.expect("no answer");
        }
        assert_eq!(answer.status, if path == "/absent" { 404 } else { 200 }, "{path}");
        assert!(client.answer().await.is_none());
    }
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_work_for_a_client_that_has_gone_is_given_up() {
    let (engine, began, release) = held();
    let running = Running::ready(config(), engine).await;
    let mut client = Kept::connect(running.addr).await;
    client.send(request("HTTP/1.1")).await;
    began.recv_timeout(PATIENCE).unwrap();
    drop(client);
    while !abandoned(&running).await {}
    drop(release);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_body_that_ends_before_its_length_is_not_waited_for() {
    let running = Running::ready(config(), FakeEngine::fast()).await;
    let mut client = Kept::connect(running.addr).await;
    client.send("POST /v1/classify HTTP/1.1\r\nhost: test\r\ncontent-length: 1000\r\n\r\nshort").await;
    client.half_close().await;
    assert!(tokio::time::timeout(PATIENCE / 4, client.answer()).await.is_ok(), "the rest of the body is waited for");
    running.stop().await.unwrap();
}
