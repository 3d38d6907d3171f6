//! How the service stops.

use std::time::Duration;

/// How the service stops: readiness first, then new connections, then the requests that are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainConfig {
    /// How long requests are still accepted after readiness has turned 503, for load balancers to notice. Every answer says meanwhile
    /// that its connection closes, so that at the end only those are left that sent nothing.
    pub grace: Duration,
    /// How long requests under way may take after the grace; then the process ends all the same.
    pub deadline: Duration,
}

impl Default for DrainConfig {
    fn default() -> Self {
        Self { grace: Duration::from_secs(2), deadline: Duration::from_secs(20) }
    }
}
