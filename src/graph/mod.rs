//! Rewrites of tract's typed model, done once when a network is loaded.
//!
//! A rewrite works on the decluttered model, where tract has already folded batch normalisation and brought the exporters' spellings closer
//! together. It replaces what it recognises by operators of `ops` and leaves everything else alone: SE blocks first, then all that the kernels on
//! maps can run.

mod block;
mod by_index;
mod channel_gate;
mod clamp;
mod declutter;
mod functions;
mod linear;
mod lower;
mod names;
mod pattern;
mod refusal;
mod rewrite;
mod squeeze;
mod squeeze_excite;
#[cfg(test)]
mod tests;

pub use block::SeBlockInfo;
pub use channel_gate::{ChannelGateInfo, ChannelGateKind, channel_gates};
pub use declutter::declutter;
pub use lower::{Lowering, Reason, Unlowered, feed_map, lower};
pub use names::ParameterNames;
pub(crate) use pattern::{pool_spec, stated_padding};
pub(crate) use refusal::Refusal;
pub use rewrite::fuse_squeeze_excite;
