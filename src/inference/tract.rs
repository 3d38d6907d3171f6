//! The engine: an ONNX file as a tract plan whose SE blocks are ours.

use super::{Engine, EngineError, Gates, Inference, NetworkSummary};
use crate::kernels::Simd;

/// How a network is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadOptions {
    /// Images per run.
    pub batch: usize,
    /// Instruction set of the kernels.
    pub simd: Simd,
    /// Height and width, where the file leaves them open.
    pub input_size: Option<[u32; 2]>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { batch: 1, simd: Simd::detect(), input_size: None }
    }
}

/// A network in tract, shared by all workers.
#[derive(Debug)]
pub struct TractEngine {
    summary: NetworkSummary,
}

impl TractEngine {
    /// Imports, rewrites and optimises the ONNX model in `onnx`.
    ///
    /// # Errors
    /// [`EngineError::Import`] and [`EngineError::NotAClassifier`].
    pub fn load(onnx: &[u8], options: LoadOptions) -> Result<Self, EngineError> {
        let _ = (onnx, options);
        unimplemented!()
    }
}

impl Engine for TractEngine {
    fn run(&self, input: &[f32], gates: Gates) -> Result<Inference, EngineError> {
        let _ = (input, gates);
        unimplemented!()
    }

    fn summary(&self) -> &NetworkSummary {
        &self.summary
    }
}
