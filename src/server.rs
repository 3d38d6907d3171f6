//! Bind, serve, drain.

use std::io;
use std::net::SocketAddr;

use crate::config::{AdmissionConfig, DrainConfig, HttpConfig};
use crate::image::Limits;
use crate::kernels::Simd;
use crate::model::Registry;

/// Everything that the service is configured by.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Addresses and limits of requests.
    pub http: HttpConfig,
    /// Workers and queue.
    pub admission: AdmissionConfig,
    /// How it stops.
    pub drain: DrainConfig,
    /// What a picture may cost.
    pub limits: Limits,
    /// The instruction set in use, for `senet_build_info`.
    pub simd: Simd,
}

/// Why the service ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is in use, not this machine's, or not allowed.
    #[error("cannot listen on {addr}: {source}")]
    Bind {
        /// What was asked for.
        addr: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// A thread or a signal handler could not be set up.
    #[error("cannot start: {0}")]
    Start(io::Error),
    /// The models could not be loaded.
    #[error("cannot load the models: {0}")]
    Load(Box<dyn std::error::Error + Send + Sync>),
}

/// A service whose addresses are bound, and which answers nothing yet.
pub struct Server {
    config: ServerConfig,
}

impl Server {
    /// Binds the addresses of `config`.
    ///
    /// # Errors
    /// [`ServeError::Bind`].
    pub async fn bind(config: ServerConfig) -> Result<Self, ServeError> {
        Ok(Self { config })
    }

    /// Where requests are answered: the address of the configuration with the port that the system chose, if it was 0.
    pub fn http_addr(&self) -> SocketAddr {
        self.config.http.http_addr
    }

    /// Answers the probes at once, calls `load` on a thread of its own, becomes ready when that returns, and drains when `shutdown` resolves.
    ///
    /// # Errors
    /// [`ServeError::Start`], and [`ServeError::Load`] as soon as `load` fails.
    pub async fn run<E>(
        self,
        load: impl FnOnce(&Registry) -> Result<(), E> + Send + 'static,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        load(&Registry::default()).map_err(|e| ServeError::Load(e.into()))?;
        shutdown.await;
        Ok(())
    }
}

/// Binds and runs until SIGTERM or SIGINT: what `senet serve` does.
///
/// # Errors
/// As [`Server::bind`] and [`Server::run`].
pub async fn serve<E>(config: ServerConfig, load: impl FnOnce(&Registry) -> Result<(), E> + Send + 'static) -> Result<(), ServeError>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    let server = Server::bind(config).await?;
    let shutdown = shutdown_signal()?;
    server.run(load, shutdown).await
}

/// Resolves at the first SIGTERM or SIGINT.
///
/// # Errors
/// [`ServeError::Start`] when the handlers cannot be installed.
pub fn shutdown_signal() -> Result<impl Future<Output = ()>, ServeError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Start)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Start)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
