//! The reference: plain Rust, what every other level is tested against.

use super::{Excitation, Kernels, Rectify};

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
        for unit in 0..excitation.squeezed() {
            let weights = unit * channels..(unit + 1) * channels;
            let hidden = match &excitation.reduce {
                None => means[unit],
                Some(reduce) => {
                    let products = reduce.weights[weights.clone()].iter().zip(means).map(|(weight, mean)| f64::from(*weight) * f64::from(*mean));
                    let dot: f64 = products.sum();
                    let mut hidden = [reduce.activation.first.apply((dot + f64::from(reduce.bias[unit])) as f32)];
                    reduce.activation.rest.apply(&mut hidden, unit);
                    hidden[0]
                }
            };
            for (gate, weight) in gates.iter_mut().zip(&excitation.expand[weights]) {
                *gate += weight * hidden;
            }
        }
        gates.iter_mut().for_each(|gate| *gate = excitation.gate.first.apply(*gate));
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

/// Unlike `f32::max`, lets NaN through: a network that diverged shall not look healthy.
fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}
