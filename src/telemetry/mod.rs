//! What the service tells of itself: logs and metrics.

mod lines;
mod logs;
mod metrics;
mod shorten;

pub use logs::{Delivery, LastLines, TelemetryError, dropped_lines, init, say, subscriber};
pub use metrics::{Constants, Metrics, Stage};
