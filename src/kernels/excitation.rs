//! The two fully connected layers of an SE block, checked and packed for the kernels.

use super::maps::{Linear, Nonlinearity, SizeError};
use serde::{Deserialize, Serialize};

/// The function between the two fully connected layers of an excitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `max(x, 0)`
    Relu,
    /// `x · sigmoid(x)`
    Silu,
    /// `x · clamp(x/6 + 1/2, 0, 1)` (Howard et al., arXiv 1905.02244, section 5.2)
    HardSwish,
}

/// The function that ends an excitation; its range is 0..=1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `clamp(x/6 + 1/2, 0, 1)`
    HardSigmoid,
}

/// The two fully connected layers of one SE block: `C → C/r → C`.
#[derive(Debug, Clone, PartialEq)]
pub struct Excitation {
    channels: usize,
    squeezed: usize,
    /// `[squeezed, channels]`
    pub(super) reduce: Vec<f32>,
    pub(super) reduce_bias: Vec<f32>,
    /// `[squeezed, channels]`: transposed, so that the inner loop of both layers runs over the channels.
    pub(super) expand: Vec<f32>,
    pub(super) expand_bias: Vec<f32>,
    pub(super) activation: Activation,
    pub(super) gate: Gate,
}

/// The layers of an excitation as a network stores them; see [`Excitation::new`].
#[derive(Debug, Clone)]
pub struct Layers {
    /// `[squeezed, channels]`, row-major.
    pub reduce: Vec<f32>,
    /// `[squeezed]`
    pub reduce_bias: Vec<f32>,
    /// `[channels, squeezed]`, row-major.
    pub expand: Vec<f32>,
    /// `[channels]`
    pub expand_bias: Vec<f32>,
    /// Between the layers.
    pub activation: Activation,
    /// After the layers.
    pub gate: Gate,
}

/// The weights' lengths do not belong together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "excitation of {channels} channels squeezed to {squeezed} has weights of {reduce} and {expand} values, expected {channels}·{squeezed} of each"
)]
pub struct ShapeMismatch {
    channels: usize,
    squeezed: usize,
    reduce: usize,
    expand: usize,
}

impl Excitation {
    /// Packs the layers for the kernels; the biases' lengths say the number of channels and of squeezed channels.
    ///
    /// # Errors
    /// [`ShapeMismatch`] when the weights' lengths are not the product of both.
    pub fn new(layers: Layers) -> Result<Self, ShapeMismatch> {
        let (channels, squeezed) = (layers.expand_bias.len(), layers.reduce_bias.len());
        let weights = channels.checked_mul(squeezed);
        if weights != Some(layers.reduce.len()) || weights != Some(layers.expand.len()) {
            return Err(ShapeMismatch { channels, squeezed, reduce: layers.reduce.len(), expand: layers.expand.len() });
        }
        Ok(Self {
            channels,
            squeezed,
            reduce: layers.reduce,
            reduce_bias: layers.reduce_bias,
            expand: transpose(&layers.expand, squeezed),
            expand_bias: layers.expand_bias,
            activation: layers.activation,
            gate: layers.gate,
        })
    }

    /// The two layers, each by itself, as threads share them out.
    ///
    /// # Errors
    /// [`SizeError`] when there are no channels, or none are left between the layers.
    pub fn layers(&self) -> Result<[Linear; 2], SizeError> {
        let activation = match self.activation {
            Activation::Relu => Nonlinearity::RELU,
            Activation::Silu => Nonlinearity::Silu,
            Activation::HardSwish => Nonlinearity::HardSwish,
        };
        let gate = match self.gate {
            Gate::Sigmoid => Nonlinearity::Sigmoid,
            Gate::HardSigmoid => Nonlinearity::HardSigmoid,
        };
        let expand = transpose(&self.expand, self.channels);
        Ok([Linear::new(self.reduce.clone(), self.reduce_bias.clone(), activation)?, Linear::new(expand, self.expand_bias.clone(), gate)?])
    }

    /// C
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// C/r
    pub fn squeezed(&self) -> usize {
        self.squeezed
    }
}

/// `[rows, columns]` as `[columns, rows]`.
fn transpose(matrix: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| matrix.iter().skip(column).step_by(columns)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(channels: usize, squeezed: usize) -> Layers {
        Layers {
            reduce: vec![0.0; channels * squeezed],
            reduce_bias: vec![0.0; squeezed],
            expand: (0..channels * squeezed).map(|index| index as f32).collect(),
            expand_bias: vec![0.0; channels],
            activation: Activation::Relu,
            gate: Gate::Sigmoid,
        }
    }

    #[test]
    fn takes_the_sizes_from_the_biases() {
        let excitation = Excitation::new(layers(6, 2)).expect("the lengths belong together");
        assert_eq!((excitation.channels(), excitation.squeezed()), (6, 2));
    }

    #[test]
    fn stores_the_second_layer_transposed() {
        let excitation = Excitation::new(layers(3, 2)).expect("the lengths belong together");
        assert_eq!(excitation.expand, [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
    }

    #[test]
    fn gives_the_layers_back_as_they_came() {
        let excitation = Excitation::new(layers(3, 2)).expect("the lengths belong together");
        let [reduce, expand] = excitation.layers().expect("there are channels");
        assert_eq!((reduce.products(), reduce.outputs(), expand.outputs()), (6, 2, 3));
        assert_eq!(expand.weights[..], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn rejects_weights_of_another_length_than_the_biases_say() {
        let mut short_reduce = layers(6, 2);
        short_reduce.reduce.pop();
        let mut long_expand = layers(6, 2);
        long_expand.expand.push(0.0);
        let error = Excitation::new(short_reduce).expect_err("one weight is missing");
        assert_eq!(error.to_string(), "excitation of 6 channels squeezed to 2 has weights of 11 and 12 values, expected 6·2 of each");
        assert!(Excitation::new(long_expand).is_err());
    }

    #[test]
    fn accepts_a_block_without_channels() {
        assert!(Excitation::new(layers(0, 0)).is_ok());
        assert!(Excitation::new(layers(4, 0)).is_ok());
        assert!(Excitation::new(layers(0, 4)).is_ok());
    }
}
