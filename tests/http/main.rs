//! The HTTP interface: the router through `oneshot` with a network that is made up, and the service through real sockets.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails by panicking")]

mod admission;
mod bad_input;
mod classify;
mod connections;
mod descriptors;
mod documents;
mod draining;
mod heads;
mod leaving;
mod lifecycle;
mod limits;
mod newcomers;
mod running;
mod server;
mod signals;
mod support;
mod telemetry;
