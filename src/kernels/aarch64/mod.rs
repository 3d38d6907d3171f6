//! The aarch64 level.

pub(super) mod neon;
