//! Piecewise linear functions `clamp(slope·x + offset, low, high)`, whatever additions, products, minima and maxima they are spelled with.
//!
//! ReLU, ReLU6 and the hard sigmoid are of this kind, and exporters spell them in many ways: `max(min(x/6 + 0.5, 1), 0)`,
//! `min(max(x + 3, 0), 6) / 6`, a `HardSigmoid`, two `Clip`s. Composing the steps and comparing the result covers them all, and checks the
//! constants on the way.

use tract_onnx::prelude::*;

use super::pattern::{step, through_unit_axes};
use crate::kernels::Function;

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

    /// What this is made of, in order of application; a hard sigmoid that is scaled or shifted is told from other clamps.
    ///
    /// A uniform bias of the layer before, as that of a layer of one output always is, looks like a part of the function; it comes first.
    pub(super) fn functions(self) -> Vec<Function> {
        let Self { slope, offset, low, high } = self;
        let range = high - low;
        let affine = |scale, shift| Function::Affine { scale, shift };
        if (low, high) == (f32::NEG_INFINITY, f32::INFINITY) {
            vec![affine(slope, offset)]
        } else if (low, high) == (0.0, f32::INFINITY) {
            vec![affine(slope, offset), Function::Relu]
        } else if range.is_finite() && close(slope / range, 1.0 / 6.0) {
            let offset = (offset - low) / range;
            let bias = if close(offset, 0.5) { 0.0 } else { (offset - 0.5) * 6.0 };
            let is_plain_clamp = close(slope, 1.0) && !close(offset, 0.5);
            match is_plain_clamp {
                true => vec![affine(slope, self.offset), Function::Clamp { min: low, max: high }],
                false => vec![affine(1.0, bias), Function::HARD_SIGMOID, affine(range, low)],
            }
        } else if close(low, 0.0) && close(high, 1.0) && !close(slope, 1.0) {
            vec![Function::HardSigmoid { slope, offset }]
        } else {
            vec![affine(slope, offset), Function::Clamp { min: low, max: high }]
        }
    }
}

fn close(a: f32, b: f32) -> bool {
    a == b || b.is_finite() && (a - b).abs() <= TOLERANCE * b.abs().max(1.0)
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
    use crate::kernels::Functions;

    fn compose(steps: &[Step]) -> Clamp {
        steps.iter().try_fold(Clamp::IDENTITY, |f, s| f.then(*s)).unwrap()
    }

    fn functions(steps: &[Step]) -> Functions {
        Functions::new(compose(steps).functions())
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
            assert_eq!(functions(steps), Function::HARD_SIGMOID.into(), "{steps:?}");
        }
    }

    #[test]
    fn constants_are_those_of_the_function() {
        let affine = |scale, shift| Function::Affine { scale, shift };
        for (steps, text) in [
            (&[Step::Multiply(0.2), Step::Add(0.5), Step::Min(1.0), Step::Max(0.0)][..], "hard_sigmoid(0.2, 0.5)"),
            (&[Step::Add(3.0), Step::Max(0.0), Step::Min(6.0)], "6 · hard_sigmoid"),
            (&[Step::Add(3.0), Step::Max(0.0), Step::Min(6.0), Step::Multiply(1.0 / 6.0), Step::Add(1.0)], "hard_sigmoid + 1"),
            (&[Step::Max(0.0), Step::Min(6.0)], "relu6"),
            (&[Step::Max(-1.0), Step::Min(1.0)], "clamp(-1, 1)"),
            (&[Step::Max(0.0), Step::Multiply(2.0)], "2 · x → relu"),
            (&[Step::Min(6.0)], "clamp(-inf, 6)"),
        ] {
            assert_eq!(functions(steps).to_string(), text);
        }
        assert_eq!(functions(&[Step::Add(1.0), Step::Multiply(2.0)]), affine(2.0, 2.0).into());
    }

    #[test]
    fn a_uniform_bias_is_told_from_the_function() {
        assert_eq!(compose(&[Step::Add(0.75), Step::Max(0.0)]).functions(), [Function::Affine { scale: 1.0, shift: 0.75 }, Function::Relu]);
        let hard = compose(&[Step::Add(0.6), Step::Multiply(1.0 / 6.0), Step::Add(0.5), Step::Min(1.0), Step::Max(0.0)]).functions();
        let [Function::Affine { shift, .. }, Function::HardSigmoid { .. }, _] = hard[..] else { panic!("{hard:?}") };
        assert!((shift - 0.6).abs() < 1e-6);
    }

    #[test]
    fn what_turns_the_function_around_is_not_of_this_kind() {
        let relu = compose(&[Step::Max(0.0)]);
        assert_eq!(relu.then(Step::Multiply(-1.0)), None);
        assert_eq!(relu.then(Step::Multiply(0.0)), None);
        assert_eq!(relu.then(Step::Max(f32::NAN)), None);
        assert_eq!(relu.then(Step::Add(f32::INFINITY)), None);
    }
}
