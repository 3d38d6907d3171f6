//! Accepting connections and answering their requests, until told to finish.

use std::io::{self, ErrorKind};
use std::iter;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::exchange::Exchange;
use super::places::{Place, Places};
use super::progress::{Progress, Turn};
use super::socket::{Socket, TimeLimits};
use super::throttle::Throttle;
use crate::config::HttpConfig;
use crate::http::AppState;

/// After an error that is the system's and not one connection's, such as no free file descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes that are read of a connection at a time; a request whose head is longer than two such reads is refused with 431. hyper would go up to 400 KB,
/// and hold that much for every client that sends pictures.
const READ_BUFFER: usize = 64 << 10;

/// An address at which requests are answered.
pub(super) struct Address {
    /// As metrics call it.
    pub(super) name: &'static str,
    pub(super) router: Router,
    pub(super) state: Arc<AppState>,
    pub(super) unreadable: Throttle,
}

impl Address {
    /// A head could not be read; no handler, and so no layer around it, has seen it.
    fn tell_unreadable(&self, error: &hyper::Error, peer: SocketAddr, status: Option<u16>) {
        self.state.metrics.unreadable_head(status);
        if let Some(left_out) = self.unreadable.pass(Instant::now()) {
            info!(%peer, status, reason = %error, left_out, "a request's head cannot be read");
        }
    }
}

/// Answers at `listener` until `finish` turns true, then closes it and waits for the requests under way. Idle connections are closed.
pub(super) async fn answer(listener: TcpListener, address: Address, mut finish: watch::Receiver<bool>) {
    let address = Arc::new(address);
    let config = &address.state.http;
    let (places, failures) = (Places::new(config.max_connections), Throttle::default());
    address.state.metrics.connection_limit(address.name, config.max_connections);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = turned_true(&mut finish) => break,
            Some(_ended) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(converse(stream, peer, places.enter(), Arc::clone(&address), finish.clone()));
                }
                Err(error) if is_of_one_connection(&error) => debug!(%error, "a connection ended before it was accepted"),
                Err(error) => {
                    address.state.metrics.accept_failed();
                    if let Some(left_out) = failures.pass(Instant::now()) {
                        warn!(%error, left_out, open = connections.len(), "cannot accept a connection");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    for (stream, peer) in accepted_already(listener) {
        connections.spawn(converse(stream, peer, places.enter(), Arc::clone(&address), finish.clone()));
    }
    while connections.join_next().await.is_some() {}
}

/// Closes `listener`. Connections that the system has accepted for it would be reset, with the requests in them.
fn accepted_already(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    let accept = || {
        let (stream, peer) = listener.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, peer))
    };
    iter::from_fn(accept).collect()
}

/// Of a client that left between its connecting and being accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused)
}

/// Answers the requests of one connection, one after the other.
async fn converse(stream: TcpStream, peer: SocketAddr, place: Arc<Place>, address: Arc<Address>, mut finish: watch::Receiver<bool>) {
    let _open = Open::new(&address);
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "cannot turn off Nagle's algorithm");
    }
    let progress = Arc::new(Progress::default());
    let socket = Socket::new(stream, Arc::clone(&progress), time_limits(&address.state.http));
    let exchange = Exchange { address: Arc::clone(&address), place: Arc::clone(&place), progress: Arc::clone(&progress) };
    let mut builder = http1::Builder::new();
    builder.max_buf_size(READ_BUFFER);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), exchange));
    let mut in_the_way = false;
    let ended = loop {
        tokio::select! {
            biased;
            () = turned_true(&mut finish), if !progress.is_finishing() => progress.finish(),
            () = place.turned_away(), if !in_the_way && !place.is_held() => {
                if progress.turn() == Turn::Idle(0) {
                    break Ok(());
                }
                // Its request is answered that there is no place.
                in_the_way = true;
            }
            ended = connection.as_mut() => break ended,
        }
    };
    match ended {
        Ok(()) => {}
        Err(error) if error.is_parse() => address.tell_unreadable(&error, peer, progress.unreadable_status()),
        // A client that leaves or is too slow: nothing that an operator could change.
        Err(error) => debug!(%error, %peer, "a connection ended early"),
    }
}

fn time_limits(config: &HttpConfig) -> TimeLimits {
    TimeLimits { head: config.header_timeout, idle: config.idle_timeout, send: config.send_timeout }
}

/// A connection while it counts as open.
struct Open(Arc<Address>);

impl Open {
    fn new(address: &Arc<Address>) -> Self {
        address.state.metrics.connection_opened(address.name);
        Self(Arc::clone(address))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.state.metrics.connection_closed(self.0.name);
    }
}

/// Also when the sender is gone.
async fn turned_true(flag: &mut watch::Receiver<bool>) {
    let _sender_gone = flag.wait_for(|flag| *flag).await.is_err();
}
