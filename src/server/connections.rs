//! Accepting connections and answering their requests, until told to finish.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::exchange::Exchange;
use super::lingering::Lingering;
use crate::config::HttpConfig;

/// After an error that is the system's and not one connection's, such as no free file descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes that are read of a connection at a time; a request whose head is longer than two such reads is refused with 431. hyper would go up to 400 KB,
/// and hold that much for every client that sends pictures.
const READ_BUFFER: usize = 64 << 10;

/// Answers at `listener` until `finish` turns true, then closes it and waits for the requests under way. Idle connections are closed.
pub(super) async fn answer(listener: TcpListener, exchange: Exchange, config: HttpConfig, mut finish: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(config.max_connections));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = turned_true(&mut finish) => break,
            Some(_ended) = connections.join_next() => {}
            accepted = accept(&listener, &places) => match accepted {
                Ok((stream, place)) => {
                    connections.spawn(converse(stream, place, exchange.clone(), config.header_timeout, finish.clone()));
                }
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// The next connection, once there is a place for it.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _peer) = listener.accept().await?;
    Ok((stream, place))
}

/// Answers the requests of one connection, one after the other.
async fn converse(stream: TcpStream, _place: OwnedSemaphorePermit, exchange: Exchange, header_timeout: Duration, mut finish: watch::Receiver<bool>) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "cannot turn off Nagle's algorithm");
    }
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(header_timeout).max_buf_size(READ_BUFFER);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(Lingering::new(stream)), exchange));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = turned_true(&mut finish) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // A client that leaves, sends no HTTP or is too slow: nothing that an operator could change.
        debug!(%error, "a connection ended early");
    }
}

/// Also when the sender is gone.
async fn turned_true(flag: &mut watch::Receiver<bool>) {
    let _sender_gone = flag.wait_for(|flag| *flag).await.is_err();
}
