//! A fully connected layer.

use super::epilogue::Epilogue;
use super::limits::SizeError;
use super::pages::{Weights, WeightsMut};

/// A fully connected layer with bias and epilogue, its weights as networks store them: every one is read once, by rows.
#[derive(Debug)]
pub struct Linear {
    /// `[outputs, inputs]`
    pub(in crate::kernels) weights: Weights,
    /// `[outputs]`
    pub(in crate::kernels) bias: Vec<f32>,
    pub(in crate::kernels) epilogue: Epilogue,
}

impl Linear {
    /// Of `weights`, `[outputs, inputs]`, and `bias`, `[outputs]`.
    ///
    /// # Errors
    /// [`SizeError::Rows`] when the weights are no whole rows.
    pub fn new(weights: Vec<f32>, bias: Vec<f32>, epilogue: impl Into<Epilogue>) -> Result<Self, SizeError> {
        if bias.is_empty() || !weights.len().is_multiple_of(bias.len()) {
            return Err(SizeError::Rows { weights: weights.len(), outputs: bias.len() });
        }
        Ok(Self { weights: weights.into(), bias, epilogue: epilogue.into() })
    }

    /// Where its weights are, to be moved.
    pub fn weights_mut(&mut self) -> WeightsMut<'_> {
        WeightsMut::new(&mut self.weights)
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
