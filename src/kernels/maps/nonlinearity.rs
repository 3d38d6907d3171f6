//! The functions that follow a convolution.

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
}

impl Nonlinearity {
    /// `max(x, 0)`
    pub const RELU: Self = Self::Clamp { min: 0.0, max: f32::INFINITY };

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
        }
    }
}
