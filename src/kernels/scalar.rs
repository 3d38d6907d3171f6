//! The reference: plain Rust, what every other level is tested against.

use super::{Activation, Excitation, Gate, Kernels, Rectify};

/// Needs no proof: every machine runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Scalar;

impl Kernels for Scalar {
    fn squeeze(&self, map: &[f32], positions: usize, means: &mut [f32]) {
        for (channel, mean) in means.iter_mut().enumerate() {
            let values = &map[channel * positions..][..positions];
            let sum: f64 = values.iter().copied().map(f64::from).sum();
            *mean = (sum / positions as f64) as f32;
        }
    }

    fn excite(&self, excitation: &Excitation, means: &[f32], gates: &mut [f32]) {
        let channels = excitation.channels();
        gates.copy_from_slice(&excitation.expand_bias);
        for (unit, bias) in excitation.reduce_bias.iter().enumerate() {
            let weights = unit * channels..(unit + 1) * channels;
            let dot: f64 = excitation.reduce[weights.clone()].iter().zip(means).map(|(weight, mean)| f64::from(*weight) * f64::from(*mean)).sum();
            let hidden = activate(excitation.activation, (dot + f64::from(*bias)) as f32);
            for (gate, weight) in gates.iter_mut().zip(&excitation.expand[weights]) {
                *gate += weight * hidden;
            }
        }
        for gate in gates {
            *gate = open(excitation.gate, *gate);
        }
    }

    fn scale(&self, map: &mut [f32], from: Option<&[f32]>, positions: usize, gates: &[f32], shortcut: Option<(&[f32], Rectify)>) {
        for (at, value) in map.iter_mut().enumerate() {
            let product = from.map_or(*value, |from| from[at]) * gates[at / positions];
            *value = match shortcut {
                None => product,
                Some((shortcut, Rectify::No)) => product + shortcut[at],
                Some((shortcut, Rectify::Relu)) => relu(product + shortcut[at]),
            };
        }
    }
}

fn activate(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::Relu => relu(x),
        Activation::Silu => x * sigmoid(x),
        Activation::HardSwish => x * hard_sigmoid(x),
    }
}

fn open(gate: Gate, x: f32) -> f32 {
    match gate {
        Gate::Sigmoid => sigmoid(x),
        Gate::HardSigmoid => hard_sigmoid(x),
    }
}

/// Unlike `f32::max`, lets NaN through: a network that diverged shall not look healthy.
fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

fn hard_sigmoid(x: f32) -> f32 {
    (x / 6.0 + 0.5).clamp(0.0, 1.0)
}
