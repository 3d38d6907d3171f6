//! What is done to a value before it is stored: a function, and rounding to the numbers that a quantised tensor can hold, before it and behind it.

use super::nonlinearity::Nonlinearity;

/// Evenly spaced numbers: `scale` times the integers from `low` to `high`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// Above 0.
    pub scale: f32,
    /// An integer.
    pub low: f32,
    /// An integer, not below `low`.
    pub high: f32,
}

impl Grid {
    /// The 256 numbers that values from `least` to `largest` are quantised to while a network runs, 0 among them, as ONNX's `DynamicQuantizeLinear`
    /// has it; `None` where all values are 0.
    pub fn of_range(least: f32, largest: f32) -> Option<Self> {
        let (least, largest) = (least.min(0.0), largest.max(0.0));
        let scale = (largest - least) / 255.0;
        let zero_point = (-least / scale).round_ties_even().clamp(0.0, 255.0);
        (scale > 0.0).then_some(Self { scale, low: -zero_point, high: 255.0 - zero_point })
    }

    /// The number of the grid that is nearest to `x`, halves rounded to the even integer; NaN stays NaN.
    ///
    /// `x / scale` is computed as a product with the reciprocal and one correction by the rest, the same at every instruction set: a division takes
    /// longer than the sums of a narrow convolution, and a product alone would round some halves to the other side than ONNX Runtime does.
    pub fn round(self, x: f32) -> f32 {
        let Self { scale, low, high } = self;
        let x = Nonlinearity::Clamp { min: low * scale, max: high * scale }.apply(x);
        let inverse = 1.0 / scale;
        let quotient = x * inverse;
        let rest = quotient.mul_add(-scale, x);
        rest.mul_add(inverse, quotient).round_ties_even() * scale
    }

    /// The grid whose rounding is this one's behind a clamp to `min..=max`: rounding keeps the order of numbers.
    fn behind_clamp(self, min: f32, max: f32) -> Self {
        let (least, largest) = (self.round(min) / self.scale, self.round(max) / self.scale);
        Self { low: least.round_ties_even(), high: largest.round_ties_even(), ..self }
    }

    /// The grid whose rounding is this one's and then a clamp to `min..=max`; `None` where an end is within this grid's range and not one of its numbers.
    fn then_clamp(self, min: f32, max: f32) -> Option<Self> {
        let end = |end: f32, low: f32, high: f32| {
            let inside = (end / self.scale).round_ties_even();
            if end <= low * self.scale {
                Some(low)
            } else if end >= high * self.scale {
                Some(high)
            } else {
                (inside * self.scale == end).then_some(inside)
            }
        };
        Some(Self { low: end(min, self.low, self.high)?, high: end(max, self.low, self.high)?, ..self })
    }

    /// The one grid whose rounding is this one's and then that of `next`, where there is one.
    fn then(self, next: Self) -> Option<Self> {
        let (low, high) = (self.low.clamp(next.low, next.high), self.high.clamp(next.low, next.high));
        (self.scale == next.scale).then_some(Self { low, high, ..self })
    }
}

/// `after(nonlinearity(before(x)))`, where `before` and `after` round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epilogue {
    /// What the argument is rounded to.
    pub before: Option<Grid>,
    /// The function.
    pub nonlinearity: Nonlinearity,
    /// What the result is rounded to.
    pub after: Option<Grid>,
}

impl From<Nonlinearity> for Epilogue {
    fn from(nonlinearity: Nonlinearity) -> Self {
        Self { before: None, nonlinearity, after: None }
    }
}

impl From<Grid> for Epilogue {
    fn from(grid: Grid) -> Self {
        Self { after: Some(grid), ..Self::IDENTITY }
    }
}

impl Epilogue {
    /// Nothing.
    pub const IDENTITY: Self = Self { before: None, nonlinearity: Nonlinearity::Identity, after: None };

    /// The function itself; NaN stays NaN.
    pub fn apply(self, x: f32) -> f32 {
        let round = |grid: Option<Grid>, x: f32| grid.map_or(x, |grid| grid.round(x));
        round(self.after, self.nonlinearity.apply(round(self.before, x)))
    }

    /// The one epilogue that is this one and then `next`, where there is one.
    pub fn then(self, next: Self) -> Option<Self> {
        let this = match next.before {
            Some(grid) => self.then_round(grid)?,
            None => self,
        };
        let this = this.then_nonlinearity(next.nonlinearity)?;
        match next.after {
            Some(grid) => this.then_round(grid),
            None => Some(this),
        }
    }

    fn then_round(self, grid: Grid) -> Option<Self> {
        match (self.before, self.nonlinearity, self.after) {
            (None, Nonlinearity::Clamp { min, max }, None) if min <= max => Some(grid.behind_clamp(min, max).into()),
            (_, _, None) => Some(Self { after: Some(grid), ..self }),
            (_, _, Some(after)) => Some(Self { after: Some(after.then(grid)?), ..self }),
        }
    }

    fn then_nonlinearity(self, next: Nonlinearity) -> Option<Self> {
        match (self.after, next) {
            (_, Nonlinearity::Identity) => Some(self),
            (None, _) => Some(Self { nonlinearity: self.nonlinearity.then(next)?, ..self }),
            (Some(after), Nonlinearity::Clamp { min, max }) if min <= max => Some(Self { after: Some(after.then_clamp(min, max)?), ..self }),
            (Some(_), _) if (self.before, self.nonlinearity) == (None, Nonlinearity::Identity) => {
                Some(Self { before: self.after, nonlinearity: next, after: None })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { scale: 0.5, low: -3.0, high: 4.0 };

    #[test]
    fn halves_are_rounded_to_even_and_what_is_beyond_to_the_ends() {
        for (x, rounded) in
            [(0.25, 0.0), (0.75, 1.0), (-0.25, 0.0), (-0.75, -1.0), (1.1, 1.0), (9.0, 2.0), (f32::NEG_INFINITY, -1.5), (f32::INFINITY, 2.0)]
        {
            assert_eq!(GRID.round(x), rounded, "{x}");
        }
        assert!(GRID.round(f32::NAN).is_nan());
    }

    #[test]
    fn a_range_always_has_zero_among_its_numbers() {
        for (least, largest) in [(1.0, 2.0), (-3.0, -1.0), (-1.0, 3.0)] {
            let grid = Grid::of_range(least, largest).expect("not all are 0");
            assert_eq!(grid.round(0.0), 0.0);
            assert!((grid.round(largest) - largest).abs() < 0.01, "{least} to {largest}");
        }
        assert_eq!(Grid::of_range(0.0, 0.0), None);
    }

    #[test]
    fn rounding_is_that_of_a_division() {
        for scale in [0.003_921_569, 0.209_155_48, 1.498_526, 1.525_878_9e-5, 3.0] {
            let grid = Grid { scale, low: -32_768.0, high: 32_767.0 };
            for step in -65_000..65_000_i32 {
                // Halves of the grid, as far as there are such numbers, and what is beside them.
                let half = step as f32 * 0.5 * scale;
                for x in [half.next_down(), half, half.next_up()] {
                    assert_eq!(grid.round(x), (x / scale).round_ties_even().clamp(grid.low, grid.high) * scale, "{x} by {scale}");
                }
            }
        }
    }

    #[test]
    fn several_are_one_where_they_can_be() {
        let clamp = |min, max| Epilogue::from(Nonlinearity::Clamp { min, max });
        let all = [
            GRID.into(),
            Grid { low: 0.0, high: 7.0, ..GRID }.into(),
            Grid { scale: 0.3, low: -9.0, high: 9.0 }.into(),
            Nonlinearity::RELU.into(),
            clamp(-0.6, 1.2),
            clamp(-1.0, 9.0),
            Nonlinearity::HardSwish.into(),
            Nonlinearity::Sigmoid.into(),
            Epilogue { before: Some(GRID), nonlinearity: Nonlinearity::HardSwish, after: Some(Grid { scale: 0.1, ..GRID }) },
        ];
        let mut merged = 0;
        for (first, second) in all.iter().flat_map(|first| all.iter().map(move |second| (*first, *second))) {
            let Some(both) = first.then(second) else { continue };
            merged += 1;
            for x in (-60..60).map(|x| x as f32 * 0.07).chain([f32::INFINITY, f32::NEG_INFINITY]) {
                let (both, one_by_one) = (both.apply(x), second.apply(first.apply(x)));
                assert!(both == one_by_one || both.is_nan() && one_by_one.is_nan(), "{first:?}, {second:?} at {x}: {both}, {one_by_one}");
            }
        }
        assert!(merged > 30, "{merged} are one");
        let chain = [Epilogue::from(Nonlinearity::RELU), GRID.into(), Nonlinearity::HardSwish.into(), Grid { scale: 0.1, ..GRID }.into()];
        assert!(chain.into_iter().try_fold(Epilogue::IDENTITY, Epilogue::then).is_some());
        assert_eq!(Epilogue::from(GRID).then(Grid { scale: 0.3, ..GRID }.into()), None);
        assert_eq!(Epilogue::from(GRID).then(clamp(-0.6, 1.2)), None);
    }
}
