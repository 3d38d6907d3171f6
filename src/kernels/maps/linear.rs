//! A fully connected layer.

use super::convolution::{ConvolutionMismatch, ConvolutionShape, Window};
use super::nonlinearity::Nonlinearity;
use super::pages::Weights;

/// A fully connected layer with bias and nonlinearity, its weights as networks store them: every one is read once, by rows.
#[derive(Debug)]
pub struct Linear {
    /// `[outputs, inputs]`
    pub(in crate::kernels) weights: Weights,
    /// `[outputs]`
    pub(in crate::kernels) bias: Vec<f32>,
    pub(in crate::kernels) nonlinearity: Nonlinearity,
}

impl Linear {
    /// Of `weights`, `[outputs, inputs]`, and `bias`, `[outputs]`.
    ///
    /// # Errors
    /// [`ConvolutionMismatch`] when the weights are no whole rows.
    pub fn new(weights: Vec<f32>, bias: Vec<f32>, nonlinearity: Nonlinearity) -> Result<Self, ConvolutionMismatch> {
        if bias.is_empty() || !weights.len().is_multiple_of(bias.len()) {
            let shape = ConvolutionShape { inputs: 0, outputs: bias.len(), groups: 1, window: Window::UNIT };
            return Err(ConvolutionMismatch::new(shape, &weights, &bias));
        }
        Ok(Self { weights: weights.into(), bias, nonlinearity })
    }

    /// Where its weights are, to be moved.
    pub fn weights_mut(&mut self) -> &mut Weights {
        &mut self.weights
    }

    pub(in crate::kernels) fn inputs(&self) -> usize {
        self.weights.len() / self.bias.len()
    }

    /// How many outputs it has.
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// Multiply-accumulates.
    pub fn products(&self) -> usize {
        self.weights.len()
    }
}
