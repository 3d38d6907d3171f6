//! Piecewise linear functions `clamp(slope·x + offset, low, high)`, whatever additions, products, minima and maxima they are spelled with.
//!
//! ReLU, ReLU6 and the hard sigmoid are of this kind, and exporters spell them in many ways: `max(min(x/6 + 0.5, 1), 0)`,
//! `min(max(x + 3, 0), 6) / 6`, a `HardSigmoid`, two `Clip`s. Composing the steps and comparing the result covers them all, and checks the
//! constants on the way.

use tract_onnx::prelude::*;

use super::pattern::{step, through_unit_axes};

/// One operation with a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step {
    Add(f32),
    Multiply(f32),
    Max(f32),
    Min(f32),
}

/// `clamp(slope·x + offset, low, high)`
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Clamp {
    pub(super) slope: f32,
    pub(super) offset: f32,
    pub(super) low: f32,
    pub(super) high: f32,
}

/// Largest difference of two constants that are meant to be equal, relative to numbers above 1: exporters round 1/6 differently.
const TOLERANCE: f32 = 1e-6;

impl Clamp {
    pub(super) const IDENTITY: Self = Self { slope: 1.0, offset: 0.0, low: f32::NEG_INFINITY, high: f32::INFINITY };
    pub(super) const RELU: Self = Self { low: 0.0, ..Self::IDENTITY };
    pub(super) const HARD_SIGMOID: Self = Self { slope: 1.0 / 6.0, offset: 0.5, low: 0.0, high: 1.0 };

    /// This function, then `step`; `None` where the result is not of this kind.
    pub(super) fn then(self, step: Step) -> Option<Self> {
        let bounds = |f: &dyn Fn(f32) -> f32| (f(self.low), f(self.high));
        let (slope, offset, (low, high)) = match step {
            Step::Add(k) if k.is_finite() => (self.slope, self.offset + k, bounds(&|v| v + k)),
            Step::Multiply(k) if k.is_finite() && k > 0.0 => (self.slope * k, self.offset * k, bounds(&|v| v * k)),
            Step::Max(k) if !k.is_nan() => (self.slope, self.offset, bounds(&|v| v.max(k))),
            Step::Min(k) if !k.is_nan() => (self.slope, self.offset, bounds(&|v| v.min(k))),
            _ => return None,
        };
        Some(Self { slope, offset, low, high })
    }

    /// The `bias` for which this is `x ↦ reference(x + bias)`; `None` where there is none.
    ///
    /// A uniform bias of the layer before, as that of a layer of one output always is, looks like a part of the function.
    pub(super) fn bias_against(self, reference: Self) -> Option<f32> {
        let close = |a: f32, b: f32| a == b || b.is_finite() && (a - b).abs() <= TOLERANCE * b.abs().max(1.0);
        let same = close(self.slope, reference.slope) && close(self.low, reference.low) && close(self.high, reference.high);
        let bias = (self.offset - reference.offset) / reference.slope;
        same.then_some(if close(self.offset, reference.offset) { 0.0 } else { bias })
    }
}

/// The longest function of this kind that ends in `wire`, and the wire it is applied to.
pub(super) fn clamp(model: &TypedModel, wire: OutletId) -> (Clamp, OutletId) {
    let mut steps = vec![];
    let mut wire = through_unit_axes(model, wire);
    while let Some((input, step)) = step(model, wire).filter(|(_, step)| Clamp::IDENTITY.then(*step).is_some()) {
        steps.push(step);
        wire = through_unit_axes(model, input);
    }
    let function = steps.into_iter().rev().try_fold(Clamp::IDENTITY, Clamp::then);
    (function.unwrap_or(Clamp::IDENTITY), wire)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compose(steps: &[Step]) -> Clamp {
        steps.iter().try_fold(Clamp::IDENTITY, |f, s| f.then(*s)).unwrap()
    }

    #[test]
    fn every_spelling_of_a_hard_sigmoid_is_one() {
        let spellings: [&[Step]; 4] = [
            &[Step::Multiply(1.0 / 6.0), Step::Add(0.5), Step::Min(1.0), Step::Max(0.0)],
            &[Step::Multiply(0.166_666_6), Step::Add(0.5), Step::Max(0.0), Step::Min(1.0)],
            &[Step::Add(3.0), Step::Max(0.0), Step::Min(6.0), Step::Multiply(1.0 / 6.0)],
            &[Step::Add(3.0), Step::Multiply(1.0 / 6.0), Step::Max(0.0), Step::Min(1.0)],
        ];
        for steps in spellings {
            assert_eq!(compose(steps).bias_against(Clamp::HARD_SIGMOID), Some(0.0), "{steps:?}");
        }
    }

    #[test]
    fn other_constants_are_no_hard_sigmoid() {
        let strangers: [&[Step]; 4] = [
            &[Step::Multiply(0.2), Step::Add(0.5), Step::Min(1.0), Step::Max(0.0)],
            &[Step::Add(3.0), Step::Max(0.0), Step::Min(6.0)],
            &[Step::Multiply(1.0 / 6.0), Step::Add(0.5), Step::Min(1.0)],
            &[Step::Multiply(1.0 / 6.0), Step::Add(0.5), Step::Min(0.99), Step::Max(0.0)],
        ];
        for steps in strangers {
            assert_eq!(compose(steps).bias_against(Clamp::HARD_SIGMOID), None, "{steps:?}");
        }
    }

    #[test]
    fn a_bounded_relu_is_no_relu() {
        assert_eq!(compose(&[Step::Max(0.0), Step::Min(6.0)]).bias_against(Clamp::RELU), None);
        assert_eq!(compose(&[Step::Min(6.0)]).bias_against(Clamp::IDENTITY), None);
    }

    #[test]
    fn a_uniform_bias_is_told_from_the_function() {
        let relu = compose(&[Step::Add(0.75), Step::Max(0.0)]);
        assert_eq!(relu.bias_against(Clamp::RELU), Some(0.75));
        let hard = compose(&[Step::Add(0.6), Step::Multiply(1.0 / 6.0), Step::Add(0.5), Step::Min(1.0), Step::Max(0.0)]);
        assert!((hard.bias_against(Clamp::HARD_SIGMOID).unwrap() - 0.6).abs() < 1e-6);
    }

    #[test]
    fn what_turns_the_function_around_is_not_of_this_kind() {
        assert_eq!(Clamp::RELU.then(Step::Multiply(-1.0)), None);
        assert_eq!(Clamp::RELU.then(Step::Multiply(0.0)), None);
        assert_eq!(Clamp::RELU.then(Step::Max(f32::NAN)), None);
        assert_eq!(Clamp::RELU.then(Step::Add(f32::INFINITY)), None);
    }
}
