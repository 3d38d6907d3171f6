//! The operators of ours that tract's plans run; each a thin `TypedOp` around `kernels`.
