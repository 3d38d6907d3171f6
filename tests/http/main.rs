//! The HTTP interface: the router through `oneshot` with a network that is made up, and the service through real sockets.

mod admission;
mod bad_input;
mod classify;
mod documents;
mod server;
mod signals;
mod support;
mod telemetry;
