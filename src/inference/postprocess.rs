//! From logits to ranked, labelled predictions.

use serde::{Deserialize, Serialize};

/// What turns the network's output into probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputActivation {
    /// The output is logits of exclusive classes.
    Softmax,
    /// The output is logits of independent classes.
    Sigmoid,
    /// The output is the logarithm of probabilities.
    Exp,
    /// The output is probabilities already.
    None,
}

/// One class of an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// Position in the network's output, from 0.
    pub index: usize,
    /// The class's name.
    pub label: String,
    /// 0..=1
    pub probability: f32,
    /// The network's own output for the class; the lowest finite number where that is minus infinity.
    pub logit: f32,
}

/// Probabilities of one image's `logits`, in class order.
///
/// The softmax subtracts the largest logit first, so that no finite input overflows; its values sum to 1 within 1e-5.
pub fn probabilities(logits: &[f32], activation: OutputActivation) -> Vec<f32> {
    match activation {
        OutputActivation::None => logits.to_vec(),
        OutputActivation::Exp => logits.iter().map(|x| x.exp()).collect(),
        OutputActivation::Sigmoid => logits.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect(),
        OutputActivation::Softmax => {
            let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut values: Vec<f32> = logits.iter().map(|x| (x - largest).exp()).collect();
            let sum: f64 = values.iter().map(|v| f64::from(*v)).sum();
            values.iter_mut().for_each(|v| *v = (f64::from(*v) / sum) as f32);
            values
        }
    }
}

/// The indices of the `k` largest values, largest first; equal values in index order, NaN last.
pub fn top_k(values: &[f32], k: usize) -> Vec<usize> {
    let mut keys: Vec<u64> = (0..).zip(values).map(|(index, value)| u64::from(rank(*value)) << 32 | index).collect();
    if k < keys.len() && k > 0 {
        keys.select_nth_unstable(k - 1);
    }
    keys.truncate(k);
    keys.sort_unstable();
    keys.into_iter().map(|key| key as u32 as usize).collect()
}

/// Less for larger values, and most for NaN: numbers are compared faster than values by their indices.
fn rank(value: f32) -> u32 {
    let bits = value.to_bits();
    match value.is_nan() {
        true => u32::MAX,
        // Of negative numbers the larger one has the smaller magnitude.
        false if value.is_sign_negative() => bits,
        false => !bits & (u32::MAX >> 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_survives_large_logits_and_sums_to_one() {
        let p = probabilities(&[1000.0, 999.0, -1000.0], OutputActivation::Softmax);
        assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert!((p[0] - 0.731_058_6).abs() < 1e-6, "{p:?}");
    }

    #[test]
    fn sigmoid_is_per_class() {
        let p = probabilities(&[0.0, f32::INFINITY, f32::NEG_INFINITY], OutputActivation::Sigmoid);
        assert_eq!(p, [0.5, 1.0, 0.0]);
    }

    #[test]
    fn logarithms_are_taken_back() {
        assert_eq!(probabilities(&[0.0, f32::NEG_INFINITY], OutputActivation::Exp), [1.0, 0.0]);
    }

    #[test]
    fn ranks_ties_by_index_and_nan_last() {
        assert_eq!(top_k(&[1.0, f32::NAN, 3.0, 3.0], 3), [2, 3, 0]);
        assert_eq!(top_k(&[1.0, f32::NAN, 3.0, 3.0], 9), [2, 3, 0, 1]);
        assert_eq!(top_k(&[-0.0, f32::NEG_INFINITY, 0.0, -1.5, f32::INFINITY, -f32::NAN, -2.5, 1e-40], 8), [4, 7, 2, 0, 3, 6, 1, 5]);
        assert_eq!(top_k(&[1.0, 2.0], 0), [] as [usize; 0]);
        assert_eq!(top_k(&[], 3), [] as [usize; 0]);
    }
}
