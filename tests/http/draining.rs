//! A replica that goes away loses nothing: it says so in every answer, and takes what is on its way.

use std::time::Duration;

use senet::config::DrainConfig;
use senet::server::{ServeError, ServerConfig};

use crate::running::{Kept, PATIENCE, Running, SHORT, classify, config, held, read_to_end};
use crate::support::{FakeEngine, png};

fn drains(grace: Duration) -> ServerConfig {
    ServerConfig { drain: DrainConfig { grace, deadline: PATIENCE }, ..config() }
}

async fn ask(client: &mut Kept, path: &str) -> (u16, bool) {
    client.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")).await;
    client.answer().await.map(|answer| (answer.status, answer.says_close())).expect("the request is lost")
}

/// Waits until `running` drains.
async fn begun(running: &Running) {
    while !running.get("/readyz").await.contains("/problems/draining") {}
}

#[tokio::test]
async fn from_the_first_moment_every_answer_says_that_its_connection_closes() {
    let running = Running::ready(drains(PATIENCE), FakeEngine::fast()).await;
    let mut kept = Vec::new();
    for (path, status) in [("/livez", 200), ("/readyz", 503), ("/health", 503), ("/metrics", 200), ("/v1/models", 200), ("/absent", 404)] {
        let mut client = Kept::connect(running.addr).await;
        assert_eq!(ask(&mut client, "/livez").await, (200, false));
        kept.push((client, path, status));
    }
    running.tell_to_stop();
    begun(&running).await;
    for (client, path, status) in &mut kept {
        assert_eq!(ask(client, path).await, (*status, true), "{path}");
        assert!(client.answer().await.is_none());
    }
    let mut client = Kept::connect(running.addr).await;
    client.send([format!("POST /v1/classify HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", png().len()).as_bytes(), &png()].concat()).await;
    assert_eq!(client.answer().await.map(|answer| (answer.status, answer.says_close())), Some((200, true)));
    running.tell_to_stop();
    running.end().await.unwrap();
}

#[tokio::test]
async fn idle_connections_are_closed_when_the_grace_ends_and_not_before() {
    let grace = SHORT * 5;
    let running = Running::ready(drains(grace), FakeEngine::fast()).await;
    let mut idle = Kept::connect(running.addr).await;
    assert_eq!(ask(&mut idle, "/livez").await, (200, false));
    running.tell_to_stop();
    begun(&running).await;
    assert!(idle.is_open_after(grace / 2).await, "closed before the grace ends");
    assert!(idle.answer().await.is_none());
    running.end().await.unwrap();
}

#[tokio::test]
async fn told_a_second_time_the_service_ends_the_grace() {
    let running = Running::ready(drains(PATIENCE * 100), FakeEngine::fast()).await;
    let mut idle = Kept::connect(running.addr).await;
    assert_eq!(ask(&mut idle, "/livez").await, (200, false));
    running.tell_to_stop();
    begun(&running).await;
    running.tell_to_stop();
    assert!(idle.answer().await.is_none());
    running.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn told_a_third_time_it_waits_for_nothing() {
    let (engine, began, release) = held();
    let running = Running::ready(drains(Duration::ZERO), engine).await;
    let under_way = classify(running.addr).await;
    began.recv_timeout(PATIENCE).unwrap();
    running.tell_to_stop();
    running.tell_to_stop();
    assert!(!running.ended.is_finished());
    running.tell_to_stop();
    assert!(matches!(running.end().await, Err(ServeError::GivenUp)));
    assert_eq!(read_to_end(under_way).await.unwrap_or_default(), "");
    drop(release);
}

#[tokio::test]
async fn a_request_of_which_a_part_has_come_when_the_grace_ends_is_answered() {
    let running = Running::ready(drains(Duration::ZERO), FakeEngine::fast()).await;
    let mut client = Kept::connect(running.addr).await;
    assert_eq!(ask(&mut client, "/livez").await, (200, false));
    client.send("GET /v1/models HTTP/1.1\r\nho").await;
    // The service has read it when it has read what came later.
    assert!(running.get("/livez").await.starts_with("HTTP/1.1 200"));
    running.tell_to_stop();
    assert!(client.is_open_after(SHORT).await);
    client.send("st: test\r\n\r\n").await;
    assert_eq!(client.answer().await.map(|answer| (answer.status, answer.says_close())), Some((200, true)));
    running.end().await.unwrap();
}
