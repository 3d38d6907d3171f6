//! Squeeze, excitation and scale as safe functions on slices, at every instruction set; knows nothing of tract, images or HTTP.
//!
//! Every function takes a [`Simd`], whose possession proves that this machine runs its instructions. All are total: any length, any
//! alignment, empty slices, NaN and infinities. Feature maps are `[C, H·W]`, row-major, one image.

mod level;
mod scalar;

pub use level::{Level, Simd, UnsupportedLevel};

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

/// What follows the residual addition in [`scale_add`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rectify {
    /// Nothing.
    No,
    /// `max(x, 0)`
    Relu,
}

/// The two fully connected layers of one SE block: `C → C/r → C`.
#[derive(Debug, Clone, PartialEq)]
pub struct Excitation {
    channels: usize,
    squeezed: usize,
    reduce: Vec<f32>,
    reduce_bias: Vec<f32>,
    expand: Vec<f32>,
    expand_bias: Vec<f32>,
    activation: Activation,
    gate: Gate,
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
#[error("excitation of {channels} channels squeezed to {squeezed} has weights of {reduce} and {expand} values")]
pub struct ShapeMismatch {
    channels: usize,
    squeezed: usize,
    reduce: usize,
    expand: usize,
}

impl Excitation {
    /// Packs the layers for the kernels.
    ///
    /// # Errors
    /// [`ShapeMismatch`] when the lengths do not belong together.
    pub fn new(layers: Layers) -> Result<Self, ShapeMismatch> {
        let (channels, squeezed) = (layers.expand_bias.len(), layers.reduce_bias.len());
        Ok(Self {
            channels,
            squeezed,
            reduce: layers.reduce,
            reduce_bias: layers.reduce_bias,
            expand: layers.expand,
            expand_bias: layers.expand_bias,
            activation: layers.activation,
            gate: layers.gate,
        })
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

/// The mean of every channel: `map` is `[C, positions]`, `means` is `[C]`.
pub fn squeeze(simd: Simd, map: &[f32], positions: usize, means: &mut [f32]) {
    let _ = (simd, map, positions, means);
    unimplemented!()
}

/// The gate of every channel: `gate(expand · activation(reduce · means + reduce_bias) + expand_bias)`; `means` and `gates` are `[C]`.
pub fn excite(simd: Simd, excitation: &Excitation, means: &[f32], gates: &mut [f32]) {
    let _ = (simd, excitation, means, gates);
    unimplemented!()
}

/// Multiplies every channel of `map`, `[C, positions]`, by its gate.
pub fn scale(simd: Simd, map: &mut [f32], positions: usize, gates: &[f32]) {
    let _ = (simd, map, positions, gates);
    unimplemented!()
}

/// `map = rectify(map · gate + shortcut)` in one pass over memory; `map` and `shortcut` are `[C, positions]`.
pub fn scale_add(simd: Simd, map: &mut [f32], positions: usize, gates: &[f32], shortcut: &[f32], rectify: Rectify) {
    let _ = (simd, map, positions, gates, shortcut, rectify);
    unimplemented!()
}
