//! The operators of ours that tract's plans run; each a thin `TypedOp` around `kernels`.

mod helpers;
mod pointwise;
mod region;
mod squeeze_excite;

pub(crate) use helpers::{Busy, Run, most_threads};
pub(crate) use pointwise::{Pointwise, RoundToOwnRange};
pub(crate) use region::{Output, Region, Slot, Step, Steps};
pub(crate) use squeeze_excite::SqueezeExcite;
