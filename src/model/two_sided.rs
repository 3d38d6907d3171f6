//! A network of one output for two classes: the score is the second one's, and the first has what is left.

use std::sync::Arc;

use crate::inference::{Engine, EngineError, Gates, Inference, Input, NetworkSummary, OutputActivation};

/// The same network with two outputs.
pub(super) struct TwoSided {
    engine: Arc<dyn Engine>,
    summary: NetworkSummary,
    /// Of the one output.
    activation: OutputActivation,
}

impl TwoSided {
    /// `engine`, whose only output `activation` turns into a probability; and the activation of both outputs together.
    pub(super) fn new(engine: Arc<dyn Engine>, activation: OutputActivation) -> (Self, OutputActivation) {
        let mut summary = engine.summary().clone();
        summary.classes = 2;
        summary.notes.push("the one output is the score of the second of two labels, and the first has what is left".to_owned());
        let both = match activation {
            // The softmax of 0 and x is the sigmoid of x.
            OutputActivation::Softmax | OutputActivation::Sigmoid => OutputActivation::Softmax,
            other => other,
        };
        (Self { engine, summary, activation }, both)
    }

    fn first(&self, second: f32) -> f32 {
        match self.activation {
            OutputActivation::Softmax | OutputActivation::Sigmoid => 0.0,
            OutputActivation::Exp => (-second.exp()).ln_1p(),
            OutputActivation::None => 1.0 - second,
        }
    }
}

impl Engine for TwoSided {
    fn input(&self) -> Result<Input<'static>, EngineError> {
        self.engine.input()
    }

    fn run(&self, input: Input<'_>, gates: Gates) -> Result<Inference, EngineError> {
        let Inference { logits, gates } = self.engine.run(input, gates)?;
        let logits = logits.into_iter().flat_map(|second| [self.first(second), second]).collect();
        Ok(Inference { logits, gates })
    }

    fn summary(&self) -> &NetworkSummary {
        &self.summary
    }
}
