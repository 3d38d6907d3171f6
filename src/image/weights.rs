//! Which source pixels every pixel of a resized picture is made of, and with what weights; as Pillow computes them.

use std::f64::consts::PI;
use std::ops::Range;

use super::Interpolation;
use super::kernels::PRECISION_BITS;

/// One dimension of a resize.
pub(super) struct Axis {
    pub(super) source: u32,
    pub(super) resized: u32,
    pub(super) window: Range<u32>,
}

impl Axis {
    /// Source pixels per resized pixel.
    fn scale(&self) -> f64 {
        f64::from(self.source) / f64::from(self.resized)
    }

    /// The source pixels that the pixel `x` of the resized picture is made of.
    fn sources(&self, x: u32, filter: &Filter) -> Range<u32> {
        let (centre, support) = (self.centre(x), filter.support * self.scale().max(1.0));
        // The casts saturate at zero, and truncate as C's do.
        (centre - support + 0.5) as u32..((centre + support + 0.5) as u32).min(self.source)
    }

    /// Where the middle of the pixel `x` lies in the source.
    fn centre(&self, x: u32) -> f64 {
        (f64::from(x) + 0.5) * self.scale()
    }

    /// The source pixels that any pixel of the window is made of; `filter` is as [`Filter::of`] gives it.
    pub(super) fn span(&self, filter: Option<&Filter>) -> Range<u32> {
        let Some(filter) = filter else {
            let sources = self.nearest();
            return sources.first().map_or(0, |x| *x as u32)..sources.last().map_or(0, |x| *x as u32 + 1);
        };
        let (first, last) = (self.window.start, self.window.end.saturating_sub(1));
        self.sources(first, filter).start..self.sources(last, filter).end
    }

    /// The source index of every pixel of the window.
    pub(super) fn nearest(&self) -> Vec<usize> {
        let scale = self.scale();
        // Summed and not multiplied, as `ImagingScaleAffine` does, for the sake of its rounding.
        let centres = std::iter::successors(Some(0.5 * scale), |centre| Some(centre + scale));
        let window = centres.skip(self.window.start as usize).take(self.window.len());
        window.map(|centre| (centre as usize).min(self.source.saturating_sub(1) as usize)).collect()
    }
}

/// A resampling kernel, scaled with the reduction.
pub(super) struct Filter {
    support: f64,
    weight: fn(f64) -> f64,
}

impl Filter {
    /// `None` for nearest, which is no convolution.
    pub(super) fn of(interpolation: Interpolation) -> Option<Self> {
        let (support, weight): (f64, fn(f64) -> f64) = match interpolation {
            Interpolation::Nearest => return None,
            Interpolation::Bilinear => (1.0, triangle),
            Interpolation::Bicubic => (2.0, cubic),
            Interpolation::Lanczos => (3.0, lanczos),
        };
        Some(Self { support, weight })
    }
}

fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn lanczos(x: f64) -> f64 {
    if (-3.0..3.0).contains(&x) { sinc(x) * sinc(x / 3.0) } else { 0.0 }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * PI;
    x.sin() / x
}

/// The fixed-point weights of every pixel of a window.
pub(super) struct Weights {
    /// Per pixel, which source pixels it is made of; both ends never decrease.
    pub(super) sources: Vec<Range<usize>>,
    /// The weights of all pixels, one after the other.
    values: Vec<i32>,
}

impl Weights {
    /// Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc`.
    pub(super) fn new(axis: &Axis, filter: &Filter) -> Self {
        let stretch = axis.scale().max(1.0);
        let mut weights = Self { sources: Vec::with_capacity(axis.window.len()), values: Vec::new() };
        let mut row = Vec::new();
        for x in axis.window.clone() {
            let (centre, sources) = (axis.centre(x), axis.sources(x, filter));
            row.clear();
            row.extend(sources.clone().map(|x| (filter.weight)((f64::from(x) - centre + 0.5) * (1.0 / stretch))));
            let sum: f64 = row.iter().sum();
            let norm = if sum == 0.0 { 1.0 } else { sum };
            weights.values.extend(row.iter().map(|weight| to_fixed(weight / norm)));
            weights.sources.push(sources.start as usize..sources.end as usize);
        }
        weights
    }

    /// The source pixels and weights of every pixel of the window.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Range<usize>, &[i32])> {
        self.sources.iter().scan(self.values.as_slice(), |rest, sources| {
            let (weights, tail) = rest.split_at_checked(sources.len())?;
            *rest = tail;
            Some((sources.clone(), weights))
        })
    }

    /// The source pixels that any pixel of the window needs.
    pub(super) fn span(&self) -> Range<usize> {
        match (self.sources.first(), self.sources.last()) {
            (Some(first), Some(last)) => first.start..last.end,
            _ => 0..0,
        }
    }
}

fn to_fixed(weight: f64) -> i32 {
    // Not `round`, whose last bit may differ from C's truncation of the sum.
    (weight * f64::from(1 << PRECISION_BITS) + 0.5_f64.copysign(weight)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(source: u32, resized: u32, window: Range<u32>, interpolation: Interpolation) -> Vec<(Range<usize>, Vec<i32>)> {
        let axis = Axis { source, resized, window };
        let weights = Weights::new(&axis, &Filter::of(interpolation).unwrap());
        weights.iter().map(|(sources, weights)| (sources, weights.to_vec())).collect()
    }

    #[test]
    fn weights_of_a_pixel_sum_to_one() {
        for interpolation in [Interpolation::Bilinear, Interpolation::Bicubic, Interpolation::Lanczos] {
            for (source, resized) in [(500, 341), (7, 32), (1, 9), (4000, 224), (16_384, 1)] {
                for (sources, weights) in weights(source, resized, 0..resized, interpolation) {
                    let sum: i32 = weights.iter().sum();
                    let rounding = sources.len().div_ceil(2) as u32;
                    assert!(sum.abs_diff(1 << PRECISION_BITS) <= rounding, "{interpolation:?} {source} to {resized}: {sum}");
                }
            }
        }
    }

    #[test]
    fn a_window_has_the_weights_of_the_whole() {
        let whole = weights(500, 341, 0..341, Interpolation::Lanczos);
        assert_eq!(weights(500, 341, 58..282, Interpolation::Lanczos), whole[58..282]);
    }

    #[test]
    fn the_same_size_keeps_every_pixel() {
        for interpolation in [Interpolation::Bilinear, Interpolation::Bicubic, Interpolation::Lanczos] {
            for (x, (sources, weights)) in weights(9, 9, 0..9, interpolation).into_iter().enumerate() {
                let kept: Vec<_> = sources.zip(weights).filter(|(_, weight)| *weight != 0).collect();
                assert_eq!(kept, [(x, 1 << PRECISION_BITS)]);
            }
        }
    }
}
