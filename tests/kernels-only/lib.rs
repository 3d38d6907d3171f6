//! The module `kernels` of senet as a crate of its own.

#[path = "../../src/kernels/mod.rs"]
pub mod kernels;
