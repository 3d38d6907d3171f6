//! What tells the service to stop.

use std::future::pending;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::ServeError;

/// Says when to stop, and when to stop at once.
pub trait Stops: Send {
    /// Resolves when the service is told to stop, once more at every call; never, where nobody will any more.
    fn next(&mut self) -> impl Future<Output = ()> + Send;
}

/// SIGTERM and SIGINT.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// The handlers are in place when this returns.
    ///
    /// # Errors
    /// [`ServeError::Start`] when they cannot be installed.
    pub fn install() -> Result<Self, ServeError> {
        let handle = |kind| signal(kind).map_err(ServeError::Start);
        Ok(Self { terminate: handle(SignalKind::terminate())?, interrupt: handle(SignalKind::interrupt())? })
    }
}

impl Stops for Signals {
    async fn next(&mut self) {
        tokio::select! {
            Some(()) = self.terminate.recv() => {}
            Some(()) = self.interrupt.recv() => {}
            else => pending().await,
        }
    }
}

/// Each message is told once.
impl Stops for mpsc::Receiver<()> {
    async fn next(&mut self) {
        if self.recv().await.is_none() {
            pending().await
        }
    }
}
