//! Functions of one number in a row, as they stand in an SE block behind its means, its layers and as its gate.

use std::fmt;

use serde::{Serialize, Serializer};

use super::maps::{Grid, Nonlinearity};

/// A function of one number; NaN stays NaN.
#[derive(Debug, Clone, PartialEq)]
pub enum Function {
    /// `max(x, 0)`
    Relu,
    /// `x` where it is not negative, else `slope · x`.
    LeakyRelu {
        /// Of the negative half.
        slope: f32,
    },
    /// As [`Function::LeakyRelu`], with a slope for each channel.
    Prelu {
        /// Of the negative half, one a channel.
        slopes: Vec<f32>,
    },
    /// `clamp(x, min, max)`, `min` at most `max`; ReLU6 is 0 and 6.
    Clamp {
        /// The least value.
        min: f32,
        /// The largest value.
        max: f32,
    },
    /// `scale · x + shift`
    Affine {
        /// The factor.
        scale: f32,
        /// What is added to the product.
        shift: f32,
    },
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `clamp(slope · x + offset, 0, 1)`; PyTorch's slope is 1/6, ONNX's own 0.2.
    HardSigmoid {
        /// The factor.
        slope: f32,
        /// What is added to the product.
        offset: f32,
    },
    /// The hyperbolic tangent.
    Tanh,
    /// `x · sigmoid(x)`
    Silu,
    /// `x · clamp(x/6 + 1/2, 0, 1)` (Howard et al., arXiv 1905.02244, section 5.2)
    HardSwish,
    /// `x · Φ(x)`, Φ being the normal distribution's cumulative function.
    Gelu,
    /// GELU with Φ approximated by a hyperbolic tangent: `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`
    GeluTanh,
    /// `x · tanh(ln(1 + exp(x)))`
    Mish,
    /// `x` where it is positive, else `alpha · (exp(x) - 1)`.
    Elu {
        /// Of the negative half.
        alpha: f32,
    },
    /// The nearest number that a quantised tensor can hold.
    Round(Grid),
    /// [`Function::Round`] to the 256 numbers that span the range of all values, [`Grid::of_range`].
    RoundToOwnRange,
    /// `x · round(sigmoid(x))`, where `round` is [`Function::Round`].
    RoundedSilu(Grid),
    /// `x · round(clamp(x/6 + 1/2, 0, 1))`, where `round` is [`Function::Round`].
    RoundedHardSwish(Grid),
}

/// Functions in a row, the first of which is applied first.
///
/// It is written, also as JSON, in the order of application: functions joined by `→`, each with the arithmetic on its result, such as `relu`,
/// `2 · sigmoid` or `relu6 → tanh + 1`, and `identity` where there are none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Functions(Vec<Function>);

/// The slope and the offset of the hard sigmoid that the kernels compute by themselves.
const SIXTH: f32 = 1.0 / 6.0;

impl Function {
    /// The hard sigmoid of PyTorch, `clamp(x/6 + 1/2, 0, 1)`.
    pub const HARD_SIGMOID: Self = Self::HardSigmoid { slope: SIXTH, offset: 0.5 };

    /// The function itself on a value of `channel`.
    fn apply(&self, x: f32, channel: usize) -> f32 {
        match self {
            Self::Prelu { slopes } => Nonlinearity::LeakyRelu { slope: slopes.get(channel).copied().unwrap_or(f32::NAN) }.apply(x),
            Self::Affine { scale, shift } => scale * x + shift,
            Self::HardSigmoid { slope, offset } => (slope * x + offset).clamp(0.0, 1.0),
            Self::Tanh => x.tanh(),
            Self::Round(grid) => grid.round(x),
            // In f64: near -1 of the error function, f32 has few digits left.
            Self::Gelu => (0.5 * f64::from(x) * libm::erfc(-f64::from(x) * std::f64::consts::FRAC_1_SQRT_2)) as f32,
            Self::GeluTanh => 0.5 * x * (1.0 + (0.797_884_6 * (x + 0.044_715 * x * x * x)).tanh()),
            Self::Mish if x > 20.0 => x,
            Self::Mish => x * x.exp().ln_1p().tanh(),
            Self::Elu { alpha } if x < 0.0 => alpha * x.exp_m1(),
            Self::Elu { .. } => x,
            other => other.nonlinearity().map_or(f32::NAN, |function| function.apply(x)),
        }
    }

    /// The function as the kernels compute it on vectors.
    fn nonlinearity(&self) -> Option<Nonlinearity> {
        Some(match self {
            Self::Relu => Nonlinearity::RELU,
            Self::LeakyRelu { slope } => Nonlinearity::LeakyRelu { slope: *slope },
            Self::Clamp { min, max } => Nonlinearity::Clamp { min: *min, max: *max },
            Self::Sigmoid => Nonlinearity::Sigmoid,
            Self::HardSigmoid { slope, offset } if (*slope, *offset) == (SIXTH, 0.5) => Nonlinearity::HardSigmoid,
            Self::Silu => Nonlinearity::Silu,
            Self::HardSwish => Nonlinearity::HardSwish,
            Self::RoundedSilu(grid) => Nonlinearity::RoundedSilu(*grid),
            Self::RoundedHardSwish(grid) => Nonlinearity::RoundedHardSwish(*grid),
            _ => return None,
        })
    }
}

impl Functions {
    /// All of `functions`; what multiplies and adds in a row becomes one, and what changes nothing goes.
    pub fn new(functions: impl IntoIterator<Item = Function>) -> Self {
        let mut list: Vec<Function> = vec![];
        for function in functions {
            match (list.last_mut(), &function) {
                (Some(Function::Affine { scale, shift }), Function::Affine { scale: factor, shift: more }) => {
                    (*scale, *shift) = (*scale * factor, *shift * factor + more);
                }
                _ => list.push(function),
            }
        }
        list.retain(|function| !is_identity(function));
        Self(list)
    }

    /// In order of application.
    pub fn list(&self) -> &[Function] {
        &self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many channels these functions can be applied to, where that is given by a function of its own for each.
    pub fn channels(&self) -> Option<usize> {
        self.0.iter().find_map(|function| if let Function::Prelu { slopes } = function { Some(slopes.len()) } else { None })
    }

    /// Whether a function's value at one number depends on the others.
    pub fn need_all_values(&self) -> bool {
        self.0.contains(&Function::RoundToOwnRange)
    }

    /// Applies all to `values`, the first of which is that of the channel `first`.
    pub fn apply(&self, values: &mut [f32], first: usize) {
        for function in &self.0 {
            if *function == Function::RoundToOwnRange {
                let range = values.iter().fold((0_f32, 0_f32), |(least, largest), value| (least.min(*value), largest.max(*value)));
                let grid = Grid::of_range(range.0, range.1);
                values.iter_mut().for_each(|value| *value = grid.map_or(*value, |grid| grid.round(*value)));
                continue;
            }
            values.iter_mut().enumerate().for_each(|(index, value)| *value = function.apply(*value, first + index));
        }
    }

    /// The first function, where the kernels compute it on vectors, and the others.
    pub(super) fn split(mut self) -> (Nonlinearity, Self) {
        match self.0.first().and_then(Function::nonlinearity) {
            Some(first) => {
                self.0.remove(0);
                (first, self)
            }
            None => (Nonlinearity::Identity, self),
        }
    }
}

/// Exporters round constants differently: six times a sixth need not be 1.
fn is_identity(function: &Function) -> bool {
    matches!(function, Function::Affine { scale, shift } if (scale - 1.0).abs() <= 1e-6 && shift.abs() <= 1e-6)
}

impl From<Function> for Functions {
    fn from(function: Function) -> Self {
        Self::new([function])
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relu => f.write_str("relu"),
            Self::LeakyRelu { slope } => write!(f, "leaky_relu({slope})"),
            Self::Prelu { .. } => f.write_str("prelu"),
            Self::Clamp { min: 0.0, max: 6.0 } => f.write_str("relu6"),
            Self::Clamp { min, max } => write!(f, "clamp({min}, {max})"),
            Self::Affine { scale, shift } => f.write_str(&calculation(*scale, *shift, "x")),
            Self::Sigmoid => f.write_str("sigmoid"),
            Self::HardSigmoid { .. } if *self == Self::HARD_SIGMOID => f.write_str("hard_sigmoid"),
            Self::HardSigmoid { slope, offset } => write!(f, "hard_sigmoid({slope}, {offset})"),
            Self::Tanh => f.write_str("tanh"),
            Self::Silu | Self::RoundedSilu(_) => f.write_str("silu"),
            Self::HardSwish | Self::RoundedHardSwish(_) => f.write_str("hard_swish"),
            Self::RoundToOwnRange => f.write_str("round"),
            Self::Round(Grid { scale, low, high }) => write!(f, "round({}, {}, {scale})", low * scale, high * scale),
            Self::Gelu => f.write_str("gelu"),
            Self::GeluTanh => f.write_str("gelu_tanh"),
            Self::Mish => f.write_str("mish"),
            Self::Elu { alpha: 1.0 } => f.write_str("elu"),
            Self::Elu { alpha } => write!(f, "elu({alpha})"),
        }
    }
}

/// `scale · x + shift`, without what does nothing.
fn calculation(scale: f32, shift: f32, x: &str) -> String {
    let product = if scale == 1.0 { x.to_owned() } else { format!("{scale} · {x}") };
    match shift {
        0.0 => product,
        shift if shift < 0.0 => format!("{product} - {}", -shift),
        shift => format!("{product} + {shift}"),
    }
}

impl fmt::Display for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = vec![];
        for function in &self.0 {
            match (parts.last_mut(), function) {
                (Some(last), Function::Affine { scale, shift }) => *last = calculation(*scale, *shift, last),
                _ => parts.push(function.to_string()),
            }
        }
        f.write_str(if parts.is_empty() { "identity" } else { "" })?;
        f.write_str(&parts.join(" → "))
    }
}

impl Serialize for Functions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn affine(scale: f32, shift: f32) -> Function {
        Function::Affine { scale, shift }
    }

    #[test]
    fn functions_are_written_in_the_order_of_application() {
        let relu6 = Function::Clamp { min: 0.0, max: 6.0 };
        for (functions, text) in [
            (vec![], "identity"),
            (vec![Function::Relu], "relu"),
            (vec![Function::HARD_SIGMOID], "hard_sigmoid"),
            (vec![Function::HardSigmoid { slope: 0.2, offset: 0.5 }], "hard_sigmoid(0.2, 0.5)"),
            (vec![Function::Sigmoid, affine(2.0, 0.0)], "2 · sigmoid"),
            (vec![Function::Tanh, affine(0.5, -0.25)], "0.5 · tanh - 0.25"),
            (vec![relu6, Function::Tanh, affine(1.0, 1.0)], "relu6 → tanh + 1"),
            (vec![affine(3.0, 1.0), Function::Sigmoid], "3 · x + 1 → sigmoid"),
        ] {
            assert_eq!(Functions::new(functions).to_string(), text);
        }
    }

    #[test]
    fn arithmetic_in_a_row_becomes_one_function_and_what_changes_nothing_goes() {
        assert_eq!(Functions::new([affine(6.0, 1.0), affine(0.5, 2.0)]).list(), [affine(3.0, 2.5)]);
        assert!(Functions::new([affine(6.0, 0.0), affine(1.0 / 6.0, 0.0)]).is_empty());
    }

    #[test]
    fn every_function_has_its_known_values_and_lets_nan_through() {
        let prelu = Function::Prelu { slopes: vec![0.5, 0.25] };
        for (function, x, expected) in [
            (Function::Gelu, -1.0, -0.158_655_25),
            (Function::Gelu, -6.0, -5.919_526e-9),
            (Function::GeluTanh, -1.0, -0.158_808_01),
            (Function::Mish, 1.0, 0.865_098_4),
            (Function::Mish, 30.0, 30.0),
            (Function::Elu { alpha: 0.5 }, -1.0, -0.316_060_28),
            (Function::Tanh, 0.5, 0.462_117_16),
            (Function::HardSigmoid { slope: 0.2, offset: 0.5 }, 1.0, 0.7),
            (Function::LeakyRelu { slope: 0.1 }, -2.0, -0.2),
            (Function::Clamp { min: -1.0, max: 1.0 }, 3.0, 1.0),
            (affine(2.0, 1.0), 3.0, 7.0),
            (prelu.clone(), -2.0, -0.5),
            (Function::Round(Grid { scale: 0.5, low: -2.0, high: 3.0 }), 1.2, 1.0),
            (Function::RoundedHardSwish(Grid { scale: 0.25, low: 0.0, high: 4.0 }), 1.0, 0.75),
        ] {
            let value = function.apply(x, 1);
            assert!((value - expected).abs() <= 2e-6 * expected.abs(), "{function} of {x} is {value} instead of {expected}");
            assert!(function.apply(f32::NAN, 1).is_nan(), "{function}");
        }
    }

    #[test]
    fn the_first_function_runs_on_vectors_where_there_is_a_kernel_for_it() {
        let (first, rest) = Functions::new([Function::Sigmoid, affine(2.0, 0.0)]).split();
        assert_eq!((first, rest.list()), (Nonlinearity::Sigmoid, &[affine(2.0, 0.0)][..]));
        let (first, rest) = Functions::from(Function::Tanh).split();
        assert_eq!((first, rest.list()), (Nonlinearity::Identity, &[Function::Tanh][..]));
    }
}
