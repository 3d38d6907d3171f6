//! The reference: plain Rust, what every other level is tested against.
