//! The service through real sockets: its life, and clients that are slow, rude or gone.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::time::Duration;

use senet::config::{AdmissionConfig, DrainConfig, HttpConfig};
use senet::image::Limits;
use senet::kernels::Simd;
use senet::model::Lifecycle;
use senet::server::{ServeError, Server, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::{FakeEngine, Shelf, broken, model, png};

/// For what happens at once unless something is broken.
const PATIENCE: Duration = Duration::from_secs(20);
/// A time limit that a test waits for.
const SHORT: Duration = Duration::from_millis(200);

fn config() -> ServerConfig {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    ServerConfig {
        http: HttpConfig { http_addr: any_port, ..HttpConfig::default() },
        admission: AdmissionConfig { workers: NonZeroUsize::MIN, queue: 4 },
        drain: DrainConfig { grace: Duration::ZERO, deadline: PATIENCE },
        limits: Limits::default(),
        simd: Simd::detect(),
        watch: None,
    }
}

/// A service that runs.
struct Running {
    addr: SocketAddr,
    admin: Option<SocketAddr>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    async fn start(config: ServerConfig, models: Shelf) -> Self {
        let server = Server::bind(config).await.unwrap();
        let (addr, admin) = (server.http_addr(), server.admin_addr());
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async { stopped.await.unwrap_or(()) };
        Self { addr, admin, stop, ended: tokio::spawn(server.run(Lifecycle::new(models, vec![]), shutdown)) }
    }

    /// With a network that answers, and ready.
    async fn ready(config: ServerConfig, engine: FakeEngine) -> Self {
        let running = Self::start(config, Shelf::with(|| Ok(model(engine, 1)))).await;
        while !running.get("/readyz").await.starts_with("HTTP/1.1 200") {}
        running
    }

    async fn get(&self, path: &str) -> String {
        get(self.addr, path).await.unwrap()
    }

    /// Stops the service and waits for its end.
    async fn stop(self) -> Result<(), ServeError> {
        self.stop.send(()).unwrap();
        timeout(PATIENCE, self.ended).await.expect("the service does not stop").unwrap()
    }
}

async fn get(addr: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").as_bytes()).await?;
    read_to_end(stream).await
}

async fn read_to_end(mut stream: TcpStream) -> std::io::Result<String> {
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("the connection stays open")?;
    Ok(answer)
}

fn head(length: usize) -> String {
    format!("POST /v1/classify HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: image/png\r\ncontent-length: {length}\r\n\r\n")
}

/// A connection with a classification under way.
async fn classify(addr: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(head(png().len()).as_bytes()).await.unwrap();
    stream.write_all(&png()).await.unwrap();
    stream
}

/// A network that waits, what tells that it does, and what releases it.
fn held() -> (FakeEngine, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (begin, began) = mpsc::channel();
    let (engine, release) = FakeEngine::held(move || begin.send(()).unwrap_or_default());
    (engine, began, release)
}

/// A service that can take no more, and what keeps it so.
async fn full() -> (Running, (TcpStream, mpsc::Sender<()>)) {
    let (engine, began, release) = held();
    let mut config = config();
    config.admission.queue = 0;
    let running = Running::ready(config, engine).await;
    let first = classify(running.addr).await;
    began.recv_timeout(PATIENCE).unwrap();
    (running, (first, release))
}

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
    let second = tokio::spawn(get(running.addr, "/livez"));
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
