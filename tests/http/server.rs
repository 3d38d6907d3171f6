//! The service through real sockets: its life, and clients that are slow, rude or gone.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use senet::config::DrainConfig;
use senet::server::{Server, ServerConfig};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::running::{PATIENCE, Running, SHORT, classify, config, full, get, head, held, read_to_end};
use crate::support::{FakeEngine, Shelf, broken, model};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_turned_away_keeps_its_connection() {
    let (running, _held) = full().await;
    let mut stream = TcpStream::connect(running.addr).await.unwrap();
    let refused = head(500_000).replace("connection: close\r\n", "");
    stream.write_all(&[refused.as_bytes(), &[0; 500_000], b"GET /livez HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n"].concat()).await.unwrap();
    let answers = read_to_end(stream).await.unwrap();
    assert!(answers.starts_with("HTTP/1.1 429") && answers.contains("HTTP/1.1 200"), "{answers}");
}

#[tokio::test]
async fn a_port_in_use_is_one_clear_error() {
    let taken = Server::bind(config()).await.unwrap();
    let mut config = config();
    config.http.http_addr = taken.http_addr();
    let error = Server::bind(config).await.err().unwrap().to_string();
    assert!(error.starts_with(&format!("cannot listen on {}: Address already in use", taken.http_addr())), "{error}");
}

#[tokio::test]
async fn is_alive_while_models_load_and_ready_afterwards() {
    let (go, wait) = mpsc::channel::<()>();
    let load = move || wait.recv().map_err(|_| broken("")).map(|()| model(FakeEngine::fast(), 1));
    let running = Running::start(config(), Shelf::with(load)).await;
    assert!(running.get("/livez").await.starts_with("HTTP/1.1 200"));
    let answer = running.get("/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("/problems/not-ready"), "{answer}");
    let answer = read_to_end(classify(running.addr).await).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("/problems/not-ready") && answer.contains("retry-after: 1"), "{answer}");
    assert!(running.get("/health").await.contains("\"status\":\"starting\""));
    go.send(()).unwrap();
    while !running.get("/readyz").await.starts_with("HTTP/1.1 200") {}
    assert!(running.get("/health").await.contains("\"status\":\"ready\""));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_load_that_fails_ends_the_service_with_its_reason() {
    let running = Running::start(config(), Shelf::with(|| Err(broken("the file is corrupt")))).await;
    let error = timeout(PATIENCE, running.ended).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "cannot load the models: shelf: the file is corrupt");
}

#[tokio::test]
async fn a_shutdown_while_loading_does_not_wait_for_the_models() {
    let (_never, wait) = mpsc::channel::<()>();
    let running = Running::start(config(), Shelf::with(move || wait.recv().map_err(|_| broken("")).map(|()| model(FakeEngine::fast(), 1)))).await;
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_turns_unready_first_and_then_finishes_what_is_under_way() {
    let (engine, began, release) = held();
    let grace = Duration::from_millis(500);
    let running = Running::ready(ServerConfig { drain: DrainConfig { grace, deadline: PATIENCE }, ..config() }, engine).await;
    let idle = TcpStream::connect(running.addr).await.unwrap();
    let under_way = classify(running.addr).await;
    began.recv_timeout(PATIENCE).unwrap();
    let addr = running.addr;
    let stopped = tokio::spawn(running.stop());
    let mut seen_unready = false;
    // Until connections are refused, readiness is what tells load balancers.
    while let Ok(answer) = get(addr, "/readyz").await {
        seen_unready |= answer.starts_with("HTTP/1.1 503") && answer.contains("/problems/draining");
    }
    assert!(seen_unready);
    assert_eq!(read_to_end(idle).await.unwrap(), "", "an idle connection is closed");
    assert!(!stopped.is_finished());
    release.send(()).unwrap();
    let answer = read_to_end(under_way).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"predictions\""), "{answer}");
    stopped.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_bounds_the_draining() {
    let (engine, began, release) = held();
    let running = Running::ready(ServerConfig { drain: DrainConfig { grace: Duration::ZERO, deadline: SHORT }, ..config() }, engine).await;
    let under_way = classify(running.addr).await;
    began.recv_timeout(PATIENCE).unwrap();
    running.stop().await.unwrap();
    assert_eq!(read_to_end(under_way).await.unwrap_or_default(), "", "the connection is closed without an answer");
    drop(release);
}

#[tokio::test]
async fn a_head_that_comes_too_slowly_is_hung_up_on() {
    let mut config = config();
    config.http.header_timeout = SHORT;
    let running = Running::ready(config, FakeEngine::fast()).await;
    let mut stream = TcpStream::connect(running.addr).await.unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: te").await.unwrap();
    assert_eq!(read_to_end(stream).await.unwrap(), "");
    assert!(running.get("/livez").await.starts_with("HTTP/1.1 200"));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_head_of_300_kb_is_answered_431() {
    let running = Running::ready(config(), FakeEngine::fast()).await;
    for (length, status) in [(50_000, "HTTP/1.1 200"), (300_000, "HTTP/1.1 431")] {
        let mut stream = TcpStream::connect(running.addr).await.unwrap();
        let head = format!("GET /livez HTTP/1.1\r\nhost: test\r\nconnection: close\r\nx-long: {}\r\n\r\n", "x".repeat(length));
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = read_to_end(stream).await.unwrap();
        assert!(answer.starts_with(status), "{answer} to a head of {length} bytes");
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_answered_408() {
    let mut config = config();
    config.http.body_timeout = SHORT;
    let running = Running::ready(config, FakeEngine::fast()).await;
    let mut stream = TcpStream::connect(running.addr).await.unwrap();
    stream.write_all(head(1000).as_bytes()).await.unwrap();
    stream.write_all(&[0; 10]).await.unwrap();
    let answer = read_to_end(stream).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("/problems/body-timeout"), "{answer}");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_client_that_sends_20_mb_without_looking_still_reads_its_answer() {
    let running = Running::ready(config(), FakeEngine::fast()).await;
    for chunked in [false, true] {
        let mut stream = TcpStream::connect(running.addr).await.unwrap();
        let size = 20_000_000;
        if chunked {
            let head = "POST /v1/classify HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(format!("{head}{size:x}\r\n").as_bytes()).await.unwrap();
        } else {
            stream.write_all(head(size).as_bytes()).await.unwrap();
        }
        stream.write_all(&vec![0; size]).await.unwrap();
        let answer = read_to_end(stream).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("/problems/body-too-large"), "{answer}");
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_connection_beyond_the_limit_waits_for_a_place() {
    let mut config = config();
    config.http.max_connections = 1;
    let running = Running::ready(config, FakeEngine::fast()).await;
    let first = TcpStream::connect(running.addr).await.unwrap();
    let second = tokio::spawn(get(running.addr, "/v1/models"));
    assert!(
        timeout(SHORT, async {
            while !second.is_finished() {
                tokio::task::yield_now().await
            }
        })
        .await
        .is_err(),
        "answered beyond the limit"
    );
    drop(first);
    assert!(second.await.unwrap().unwrap().starts_with("HTTP/1.1 200"));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn odd_requests_are_answered_as_problems_too() {
    let running = Running::ready(config(), FakeEngine::fast()).await;
    for (line, status) in [
        ("GET /v1/models/%FF", 400),
        ("GET http://test/v1/models/%FF", 400),
        ("GET /%FF", 404),
        ("GET //v1//models", 404),
        ("OPTIONS *", 404),
        ("OPTIONS /v1/classify", 405),
        ("GET /v1/classify", 405),
        ("TRACE /v1/models", 405),
        ("BREW /docs", 405),
        ("CONNECT test:80", 404),
    ] {
        let mut stream = TcpStream::connect(running.addr).await.unwrap();
        stream.write_all(format!("{line} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let answer = read_to_end(stream).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains("content-type: application/problem+json"), "{line}: {answer}");
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn operators_have_an_address_of_their_own() {
    let mut config = config();
    config.http.admin_addr = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let running = Running::ready(config, FakeEngine::fast()).await;
    let admin = running.admin.unwrap();
    assert!(get(admin, "/metrics").await.unwrap().contains("senet_build_info"));
    assert!(get(admin, "/readyz").await.unwrap().starts_with("HTTP/1.1 200"));
    assert!(get(admin, "/v1/models").await.unwrap().starts_with("HTTP/1.1 404"));
    assert!(running.get("/metrics").await.starts_with("HTTP/1.1 404"));
    running.stop().await.unwrap();
}
