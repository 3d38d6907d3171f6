//! The kernels of senet as a crate of their own.

#[path = "../../src/kernels/mod.rs"]
pub mod kernels;

#[allow(dead_code, unused_imports, reason = "only the decoder around them uses all of it")]
#[path = "../../src/image/decode/jpeg/kernels/mod.rs"]
mod jpeg;

#[allow(dead_code, reason = "only the preprocessing around them uses all of it")]
#[path = "../../src/image/kernels/mod.rs"]
mod preprocessing;
