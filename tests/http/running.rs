//! A service that runs at a port of its own, and connections to it.

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
use tokio::sync::mpsc as async_mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::{FakeEngine, Shelf, model, png};

/// For what happens at once unless something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// A time limit that a test waits for.
pub(crate) const SHORT: Duration = Duration::from_millis(200);

pub(crate) fn config() -> ServerConfig {
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
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    pub(crate) admin: Option<SocketAddr>,
    stop: async_mpsc::Sender<()>,
    pub(crate) ended: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    pub(crate) async fn start(config: ServerConfig, models: Shelf) -> Self {
        let server = Server::bind(config).await.unwrap();
        let (addr, admin) = (server.http_addr(), server.admin_addr());
        let (stop, stops) = async_mpsc::channel(3);
        Self { addr, admin, stop, ended: tokio::spawn(server.run(Lifecycle::new(models, vec![]), stops)) }
    }

    /// With a network that answers, and ready.
    pub(crate) async fn ready(config: ServerConfig, engine: FakeEngine) -> Self {
        let running = Self::start(config, Shelf::with(|| Ok(model(engine, 1)))).await;
        while !running.get("/readyz").await.starts_with("HTTP/1.1 200") {}
        running
    }

    pub(crate) async fn get(&self, path: &str) -> String {
        get(self.addr, path).await.unwrap()
    }

    /// Tells the service to stop, once more at every call.
    pub(crate) fn tell_to_stop(&self) {
        self.stop.try_send(()).unwrap();
    }

    /// Stops the service and waits for its end.
    pub(crate) async fn stop(self) -> Result<(), ServeError> {
        self.tell_to_stop();
        self.end().await
    }

    /// Waits for its end.
    pub(crate) async fn end(self) -> Result<(), ServeError> {
        timeout(PATIENCE, self.ended).await.expect("the service does not stop").unwrap()
    }
}

pub(crate) async fn get(addr: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").as_bytes()).await?;
    read_to_end(stream).await
}

pub(crate) async fn read_to_end(mut stream: TcpStream) -> std::io::Result<String> {
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("the connection stays open")?;
    Ok(answer)
}

pub(crate) fn head(length: usize) -> String {
    format!("POST /v1/classify HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: image/png\r\ncontent-length: {length}\r\n\r\n")
}

/// A connection with a classification under way.
pub(crate) async fn classify(addr: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(head(png().len()).as_bytes()).await.unwrap();
    stream.write_all(&png()).await.unwrap();
    stream
}

/// A network that waits, what tells that it does, and what releases it.
pub(crate) fn held() -> (FakeEngine, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (begin, began) = mpsc::channel();
    let (engine, release) = FakeEngine::held(move || begin.send(()).unwrap_or_default());
    (engine, began, release)
}

/// A service that can take no more, and what keeps it so.
pub(crate) async fn full() -> (Running, (TcpStream, mpsc::Sender<()>)) {
    let (engine, began, release) = held();
    let mut config = config();
    config.admission.queue = 0;
    let running = Running::ready(config, engine).await;
    let first = classify(running.addr).await;
    began.recv_timeout(PATIENCE).unwrap();
    (running, (first, release))
}

/// A connection that is kept from one request to the next.
pub(crate) struct Kept {
    stream: TcpStream,
    read: Vec<u8>,
}

/// One answer of a kept connection.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answered {
    /// Whether it says that it is the last one of its connection.
    pub(crate) fn says_close(&self) -> bool {
        self.head.contains("\r\nconnection: close\r\n")
    }

    /// In small letters.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(crate) fn says_keep_alive(&self) -> bool {
        self.head.contains("\r\nconnection: keep-alive\r\n")
    }
}

impl Kept {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, read: Vec::new() }
    }

    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self::new(TcpStream::connect(addr).await.unwrap())
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends no more, and reads on.
    pub(crate) async fn half_close(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Whether it is still open after `time`, in which nothing may come.
    pub(crate) async fn is_open_after(&mut self, time: Duration) -> bool {
        timeout(time, self.stream.read_buf(&mut self.read)).await.is_err()
    }

    /// The next answer, or none where the connection is closed instead; an interim answer counts.
    pub(crate) async fn answer(&mut self) -> Option<Answered> {
        let ends = loop {
            if let Some(at) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8(self.read.drain(..ends).collect()).unwrap().to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |length| length.parse().unwrap());
        while self.read.len() < length {
            self.more().await?;
        }
        let body = String::from_utf8(self.read.drain(..length).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {head}")).parse().unwrap();
        Some(Answered { status, head, body })
    }

    /// None at the end of the connection, however it ends.
    async fn more(&mut self) -> Option<()> {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await.expect("the connection stays open, without an answer");
        read.is_ok_and(|bytes| bytes > 0).then_some(())
    }
}
