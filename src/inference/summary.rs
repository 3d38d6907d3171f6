//! What is known of a loaded network: the facts that `inspect` prints.

use serde::Serialize;

use crate::kernels::{Activation, Gate};

/// One input or output of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TensorInfo {
    /// The ONNX name.
    pub name: String,
    /// `FP32` and so on, as the Open Inference Protocol spells it.
    pub datatype: String,
    /// Sizes; -1 where the file leaves the size open.
    pub shape: Vec<i64>,
}

/// One SE block, in network order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeBlockInfo {
    /// The common part of its nodes' ONNX names.
    pub name: String,
    /// Counts from 1 by falling resolution: all blocks on maps of one size are one stage.
    pub stage: usize,
    /// Counts from 0 within the stage.
    pub block: usize,
    /// C
    pub channels: usize,
    /// C/r, the width between the two layers.
    pub squeezed: usize,
    /// r
    pub reduction_ratio: f32,
    /// Between the layers.
    pub activation: Activation,
    /// After the layers.
    pub gate: Gate,
    /// Of the map that is recalibrated.
    pub height: usize,
    /// Of the map that is recalibrated.
    pub width: usize,
    /// Whether the residual addition after the block was fused into it.
    pub fused_residual: bool,
}

/// How many operators of the running plan are whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct OperatorCounts {
    /// Fused squeeze-and-excitation operators.
    pub squeeze_excite: usize,
    /// Operators lowered to the blocked layout.
    pub blocked: usize,
    /// Operators of stock tract.
    pub tract: usize,
}

/// Everything `inspect` says of the network itself.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct NetworkSummary {
    /// One, for a classifier.
    pub inputs: Vec<TensorInfo>,
    /// One, for a classifier.
    pub outputs: Vec<TensorInfo>,
    /// Length of one image's logits.
    pub classes: usize,
    /// Trained values in the file.
    pub parameters: u64,
    /// Floating-point operations of one image, a multiply-accumulate counted as two.
    pub flops: u64,
    /// In network order.
    pub se_blocks: Vec<SeBlockInfo>,
    /// Of the plan that runs.
    pub operators: OperatorCounts,
    /// What a person should know.
    pub warnings: Vec<String>,
}
