//! Where the service listens and what one request may cost.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Where the service listens and what one request may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where requests are answered.
    pub http_addr: SocketAddr,
    /// Where `/metrics` and the probes are answered as well; when set, `/metrics` is no longer answered at `http_addr`.
    pub admin_addr: Option<SocketAddr>,
    /// Whether models may be loaded and unloaded at `admin_addr`.
    pub model_control: bool,
    /// Largest request body, bytes; a larger one is answered 413, from its declared length where it has one. The bodies of all
    /// requests, and their answers above 64 KiB, together hold at most sixteen times as much; what exceeds that is answered 429.
    pub max_body_bytes: u64,
    /// Most images in one multipart or JSON body; never more than the workers and the queue hold together.
    pub max_images_per_request: usize,
    /// How long a client may take to send a request's head, from its first byte; the first one of a connection from its beginning.
    pub header_timeout: Duration,
    /// How long a connection may be without a request. Longer than the load balancer's own limit, which is 60 s with most: one that
    /// sends a request while this side closes the connection loses it.
    pub idle_timeout: Duration,
    /// How long a client may take nothing of an answer that is being sent to it.
    pub send_timeout: Duration,
    /// How long a client may take to send a request's body.
    pub body_timeout: Duration,
    /// How long a request may take from its head to its answer.
    pub request_timeout: Duration,
    /// Most open connections at each address. Of further ones the probes are answered, and a few others wait for a place.
    pub max_connections: usize,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            http_addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            admin_addr: None,
            model_control: false,
            max_body_bytes: 16 << 20,
            max_images_per_request: 16,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            send_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            max_connections: 1024,
        }
    }
}
