//! What a connection may cost: time without a request, time for an answer to be taken, places.

use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

use crate::running::{Kept, PATIENCE, Running, SHORT, config, get};
use crate::support::FakeEngine;

const MODELS: &str = "GET /v1/models HTTP/1.1\r\nhost: test\r\n\r\n";

#[tokio::test]
async fn a_kept_connection_may_be_idle_for_longer_than_a_head_may_take() {
    let mut config = config();
    config.http.header_timeout = SHORT;
    let running = Running::ready(config, FakeEngine::fast()).await;
    let mut client = Kept::connect(running.addr).await;
    for _ in 0..2 {
        client.send(MODELS).await;
        assert_eq!(client.answer().await.map(|answer| answer.status), Some(200));
        assert!(client.is_open_after(SHORT * 3).await);
    }
    client.send("GET /v1/models HTTP/1.1\r\n").await;
    assert!(client.answer().await.is_none(), "half a head is waited for");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_kept_connection_is_closed_when_it_was_idle_for_too_long() {
    let mut config = config();
    config.http.idle_timeout = SHORT;
    let running = Running::ready(config, FakeEngine::fast()).await;
    let mut client = Kept::connect(running.addr).await;
    client.send(MODELS).await;
    assert_eq!(client.answer().await.map(|answer| answer.status), Some(200));
    assert!(client.is_open_after(SHORT / 4).await);
    assert!(client.answer().await.is_none());
    running.stop().await.unwrap();
}

/// Asks for much and reads nothing.
async fn never_reads(running: &Running) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    let stream = socket.connect(running.addr).await.unwrap();
    let ahead = "GET /docs HTTP/1.1\r\nhost: test\r\n\r\n".repeat(1000);
    stream.writable().await.unwrap();
    stream.try_write(ahead.as_bytes()).unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_its_answer_gives_its_place_back() {
    let mut config = config();
    (config.http.send_timeout, config.http.max_connections) = (SHORT, 2);
    let running = Running::ready(config, FakeEngine::fast()).await;
    let _clients = [never_reads(&running).await, never_reads(&running).await];
    assert!(running.get("/v1/models").await.starts_with("HTTP/1.1 200"));
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_are_answered_though_all_places_are_taken() {
    let mut config = config();
    config.http.max_connections = 1;
    let running = Running::ready(config, FakeEngine::fast()).await;
    let mut first = Kept::connect(running.addr).await;
    first.send(MODELS).await;
    assert_eq!(first.answer().await.map(|answer| answer.status), Some(200));
    for path in ["/livez", "/readyz", "/health", "/metrics"] {
        let mut probe = Kept::connect(running.addr).await;
        probe.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")).await;
        assert_eq!(probe.answer().await.map(|answer| (answer.status, answer.says_close())), Some((200, true)), "{path}");
    }
    assert!(running.get("/metrics").await.contains("senet_connections_limit{address=\"http\"} 1\n"));
    // The first one, and the one that asks, once the others are closed.
    while !running.get("/metrics").await.contains("senet_connections_open{address=\"http\"} 2\n") {}
    drop(first);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_places_a_few_wait_and_the_longest_waiting_one_is_told_so() {
    let mut config = config();
    config.http.max_connections = 1;
    let running = Running::ready(config, FakeEngine::fast()).await;
    let mut first = Kept::connect(running.addr).await;
    first.send(MODELS).await;
    assert_eq!(first.answer().await.map(|answer| answer.status), Some(200));
    let mut waiting = Vec::new();
    for _ in 0..64 {
        let mut client = Kept::connect(running.addr).await;
        client.send(MODELS).await;
        waiting.push(client);
    }
    // Silent ones are in the way, too, and so are probes, which cost others their wait.
    let silent = Kept::connect(running.addr).await;
    assert!(running.get("/livez").await.starts_with("HTTP/1.1 200"));
    let refused = waiting[0].answer().await.expect("closed without a word");
    assert!(refused.status == 429 && refused.says_close() && refused.body.contains("/problems/overloaded"), "{refused:?}");
    assert!(refused.body.contains("all 1 connections"), "{}", refused.body);
    drop(first);
    let mut last = waiting.pop().unwrap();
    drop(waiting);
    drop(silent);
    assert_eq!(last.answer().await.map(|answer| (answer.status, answer.says_close())), Some((200, false)));
    drop(last);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_flood_of_silent_connections_does_not_shut_probes_out() {
    let mut config = config();
    config.http.max_connections = 1;
    let running = Running::ready(config, FakeEngine::fast()).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(running.addr).await.unwrap());
    }
    let probe = tokio::time::timeout(PATIENCE.min(Duration::from_secs(5)), get(running.addr, "/readyz"));
    assert!(probe.await.expect("no answer in time").unwrap().starts_with("HTTP/1.1 200"));
    drop(silent);
    running.stop().await.unwrap();
}
