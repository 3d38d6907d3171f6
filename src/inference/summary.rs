//! What is known of a network once it is loaded.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Ending;
pub use crate::graph::{ChannelGateInfo, ChannelGateKind, Reason, SeBlockInfo, Unlowered};

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

/// How many operators of the running plan are whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct OperatorCounts {
    /// Fused squeeze-and-excitation operators.
    pub squeeze_excite: usize,
    /// Other operators that run on maps with the channels last; what is fused into a convolution is not counted.
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
    /// What the values of the output are, as far as the graph tells.
    #[serde(skip)]
    pub ending: Ending,
    /// Trained values in the file.
    pub parameters: u64,
    /// Floating-point operations of one image, a multiply-accumulate counted as two.
    pub flops: u64,
    /// In network order.
    pub se_blocks: Vec<SeBlockInfo>,
    /// Channel gates of other kinds, in network order; answers do not carry them.
    pub channel_gates: Vec<ChannelGateInfo>,
    /// Of the plan that runs.
    pub operators: OperatorCounts,
    /// What is left to tract, and why; empty too where nothing is lowered, at the plain instruction set.
    pub unlowered: Vec<Unlowered>,
    /// What the exporter noted in the file, by key.
    #[serde(skip)]
    pub metadata: BTreeMap<String, String>,
    /// What was changed of the network when it was loaded, so that it runs here as its file means it.
    pub notes: Vec<String>,
    /// What a person should know.
    pub warnings: Vec<String>,
}
