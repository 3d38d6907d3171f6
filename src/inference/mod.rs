//! Running a network: the [`Engine`] interface, the tract engine behind it, and what becomes of its logits.

mod finite;
mod form;
mod guard;
mod input;
mod network;
mod onnx;
mod outputs;
mod postprocess;
mod sizes;
mod summary;
mod tract;

#[doc(hidden)]
pub use crate::graph::Lowering;
pub use finite::NotFinite;
pub(crate) use form::Axes;
#[cfg(feature = "server")]
pub(crate) use guard::panics_are_answered;
pub use input::Input;
pub use network::{Network, Rewrite};
pub use onnx::Ending;
pub(crate) use onnx::OnnxFile;
pub use postprocess::{OutputActivation, Prediction, probabilities, top_k};
pub use summary::{ChannelGateInfo, ChannelGateKind, NetworkSummary, OperatorCounts, Reason, SeBlockInfo, TensorInfo, Unlowered};
pub(crate) use tract::Stated;
pub use tract::{LoadOptions, TractEngine};

use crate::excerpt::excerpt;

/// Whether a run hands out the gates of the SE blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gates {
    /// The answer's `gates` are empty.
    Drop,
    /// The answer has the gates of every block, in network order.
    Return,
}

/// What one run yields, for the whole batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Inference {
    /// `[batch, classes]`, row-major; whatever the network's last node yields, before any softmax of ours.
    pub logits: Vec<f32>,
    /// For every SE block, in network order, `[batch, channels]` row-major; in 0..=1 where [`SeBlockInfo::gate`] is a sigmoid.
    pub gates: Vec<Vec<f32>>,
}

/// Why a network could not be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The bytes are no ONNX model, or use what the engine does not know.
    #[error("not a usable ONNX model: {0}")]
    Import(String),
    /// A classifier has one image input and one output of class scores.
    #[error("not an image classifier: {0}")]
    NotAClassifier(String),
    /// The network has no output of a name that was asked for.
    #[error("no output {name:?}, expected one of {known}")]
    UnknownOutput {
        /// The beginning of what was asked for.
        name: String,
        /// The names there are, quoted.
        known: String,
    },
    /// A parameter's values lie outside the file, where they cannot be read.
    #[error("the location of {parameter:?} is {location:?}, expected {expected}")]
    ExternalData {
        /// The parameter.
        parameter: String,
        /// As the file has it.
        location: String,
        /// What would be right.
        expected: String,
    },
    /// The input has the wrong number of values.
    #[error("input of {actual} values, expected {expected}")]
    InputLength {
        /// Values given.
        actual: usize,
        /// Values of the network's input.
        expected: usize,
    },
    /// The network failed while running.
    #[error("inference failed: {0}")]
    Run(String),
}

/// A loaded network. Implementations are shared by all workers.
pub trait Engine: Send + Sync {
    /// Memory for one batch, whose values may be anything, but for [a border](Input::arrangement), which is zero.
    ///
    /// # Errors
    /// [`EngineError::Run`].
    fn input(&self) -> Result<Input<'static>, EngineError>;

    /// Runs one batch, whose size was fixed when the network was loaded.
    ///
    /// # Errors
    /// [`EngineError::InputLength`] and [`EngineError::Run`].
    fn run(&self, input: Input<'_>, gates: Gates) -> Result<Inference, EngineError>;

    /// What is known of the network.
    fn summary(&self) -> &NetworkSummary;
}

/// Largest side of an input, pixels, and of the window of an operator: beyond it a file or an option would have the engine take memory without
/// bounds.
const MAX_SIDE: usize = 4096;

/// `text` of a file, quoted and cut for a message.
fn shown(text: &str) -> String {
    format!("{:?}", excerpt(text))
}
