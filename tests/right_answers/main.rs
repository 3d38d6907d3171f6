//! Networks as people have them, against the answers of ONNX Runtime.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails by panicking")]

mod heads;
mod operators;
mod quantised;
mod refused;
