//! Configuration: validated plain data; file < environment < flag.

mod admission;
mod drain;
mod duration;
mod http;
mod log;

pub use admission::AdmissionConfig;
pub use drain::DrainConfig;
pub use duration::HumanDuration;
pub use http::HttpConfig;
pub use log::{LogConfig, LogFormat};
