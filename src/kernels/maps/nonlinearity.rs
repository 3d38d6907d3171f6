//! The functions that follow a convolution.

use super::epilogue::Grid;

/// What is done to every value of a map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Nonlinearity {
    /// Nothing.
    Identity,
    /// `clamp(x, min, max)`; ReLU is 0 and infinity, ReLU6 0 and 6.
    Clamp {
        /// The least value.
        min: f32,
        /// The largest value.
        max: f32,
    },
    /// `x` where it is positive, else `slope · x`.
    LeakyRelu {
        /// Of the negative half.
        slope: f32,
    },
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `clamp(x/6 + 1/2, 0, 1)`
    HardSigmoid,
    /// `x · sigmoid(x)`
    Silu,
    /// `x · clamp(x/6 + 1/2, 0, 1)` (Howard et al., arXiv 1905.02244, section 5.2)
    HardSwish,
    /// `x · round(sigmoid(x))`, where `round` yields numbers of the grid.
    RoundedSilu(Grid),
    /// `x · round(clamp(x/6 + 1/2, 0, 1))`, where `round` yields numbers of the grid.
    RoundedHardSwish(Grid),
}

impl Nonlinearity {
    /// `max(x, 0)`
    pub const RELU: Self = Self::Clamp { min: 0.0, max: f32::INFINITY };

    /// The one function that is this one and then `next`, where there is one.
    pub fn then(self, next: Self) -> Option<Self> {
        match (self, next) {
            (Self::Identity, next) => Some(next),
            (this, Self::Identity) => Some(this),
            (Self::Clamp { min: a, max: b }, Self::Clamp { min, max }) if a <= b && min <= max => {
                Some(Self::Clamp { min: a.clamp(min, max), max: b.clamp(min, max) })
            }
            _ => None,
        }
    }

    /// The function itself; NaN stays NaN.
    pub fn apply(self, x: f32) -> f32 {
        let hard_sigmoid = |x: f32| (x / 6.0 + 0.5).clamp(0.0, 1.0);
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        match self {
            Self::Identity => x,
            Self::Clamp { min, max } if x < min => min.min(max),
            Self::Clamp { max, .. } if x > max => max,
            Self::Clamp { .. } => x,
            Self::LeakyRelu { slope } if x < 0.0 => slope * x,
            Self::LeakyRelu { .. } => x,
            Self::Sigmoid => sigmoid(x),
            Self::HardSigmoid => hard_sigmoid(x),
            Self::Silu => x * sigmoid(x),
            Self::HardSwish => x * hard_sigmoid(x),
            Self::RoundedSilu(grid) => x * grid.round(sigmoid(x)),
            Self::RoundedHardSwish(grid) => x * grid.round(hard_sigmoid(x)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_clamps_are_one() {
        let clamp = |min, max| Nonlinearity::Clamp { min, max };
        for (first, second) in [
            (Nonlinearity::RELU, clamp(f32::NEG_INFINITY, 6.0)),
            (clamp(f32::NEG_INFINITY, 6.0), Nonlinearity::RELU),
            (clamp(-2.0, -1.0), Nonlinearity::RELU),
            (clamp(1.0, 2.0), clamp(3.0, 4.0)),
            (Nonlinearity::Identity, Nonlinearity::Silu),
            (Nonlinearity::Silu, Nonlinearity::Identity),
        ] {
            let both = first.then(second).expect("there is one");
            for x in [-10.0, -1.5, -0.5, 0.0, 0.5, 1.5, 3.5, 5.0, 7.0, f32::INFINITY] {
                assert_eq!(both.apply(x), second.apply(first.apply(x)), "{first:?}, {second:?} at {x}");
            }
        }
        assert_eq!(Nonlinearity::RELU.then(Nonlinearity::Silu), None);
        assert_eq!(clamp(1.0, 0.0).then(Nonlinearity::RELU), None);
    }
}
