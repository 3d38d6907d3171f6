//! What the service tells of itself: logs and metrics.

mod logs;
mod metrics;

pub use logs::{TelemetryError, init, subscriber};
pub use metrics::{Metrics, Stage};
