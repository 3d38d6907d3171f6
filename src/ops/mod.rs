//! The operators of ours that tract's plans run; each a thin `TypedOp` around `kernels`.

mod squeeze_excite;

pub(crate) use squeeze_excite::SqueezeExcite;
