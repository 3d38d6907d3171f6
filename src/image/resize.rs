//! Resampling of 8-bit RGB, bit for bit as Pillow's `Image.resize` does it (its `Resample.c`, and `Geometry.c` for nearest).
//!
//! `fast_image_resize` rounds coefficients to 16 bits and filters vertically first, where Pillow has 22 bits and filters horizontally first;
//! the two differ by a level here and there. Only the window that a crop keeps is computed, with the weights of the whole resize.

use std::f64::consts::PI;
use std::ops::Range;

use image::RgbImage;

use super::Interpolation;

/// Bits behind the point of a weight: 32 less 8 for the sample and 2 for overshoot of the filters.
const PRECISION_BITS: u32 = 32 - 8 - 2;

/// A window of a resized picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// Width and height of the whole resized picture, pixels.
    pub(super) resized: [u32; 2],
    /// x and y of the window's upper left corner in it.
    pub(super) origin: [u32; 2],
    /// Width and height of the window.
    pub(super) size: [u32; 2],
}

/// The `window` of `picture` resized to `window.resized`.
///
/// Memory beside the result: at most `3 · picture height · window width` bytes, or `3 · picture width · window height`.
pub(super) fn resize(picture: &RgbImage, window: &Window, interpolation: Interpolation) -> RgbImage {
    let [horizontal, vertical] = [(0, picture.width()), (1, picture.height())].map(|(axis, source)| Axis {
        source,
        resized: window.resized[axis],
        window: window.origin[axis]..window.origin[axis] + window.size[axis],
    });
    let samples = match Filter::of(interpolation) {
        None => pick(picture, &horizontal.nearest(), &vertical.nearest()),
        Some(filter) => convolve(picture, &horizontal, &vertical, &filter),
    };
    let [width, height] = window.size;
    RgbImage::from_raw(width, height, samples).unwrap_or_else(|| RgbImage::new(width, height))
}

/// One dimension of a resize.
struct Axis {
    source: u32,
    resized: u32,
    window: Range<u32>,
}

impl Axis {
    /// Source pixels per resized pixel.
    fn scale(&self) -> f64 {
        f64::from(self.source) / f64::from(self.resized)
    }

    /// The source index of every pixel of the window.
    fn nearest(&self) -> Vec<usize> {
        let scale = self.scale();
        // Summed and not multiplied, as `ImagingScaleAffine` does, for the sake of its rounding.
        let centres = std::iter::successors(Some(0.5 * scale), |centre| Some(centre + scale));
        let window = centres.skip(self.window.start as usize).take(self.window.len());
        window.map(|centre| (centre as usize).min(self.source.saturating_sub(1) as usize)).collect()
    }
}

fn pick(picture: &RgbImage, columns: &[usize], rows: &[usize]) -> Vec<u8> {
    let stride = 3 * picture.width() as usize;
    let lines = rows.iter().map(|y| picture.as_raw()[y * stride..][..stride].as_chunks::<3>().0);
    lines.flat_map(|line| columns.iter().flat_map(|x| line[*x])).collect()
}

/// A resampling kernel, scaled with the reduction.
struct Filter {
    support: f64,
    weight: fn(f64) -> f64,
}

impl Filter {
    /// `None` for nearest, which is no convolution.
    fn of(interpolation: Interpolation) -> Option<Self> {
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
struct Weights {
    /// Per pixel, which source pixels it is made of; both ends never decrease.
    sources: Vec<Range<usize>>,
    /// The weights of all pixels, one after the other.
    values: Vec<i32>,
}

impl Weights {
    /// Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc`.
    fn new(axis: &Axis, filter: &Filter) -> Self {
        let scale = axis.scale();
        let stretch = scale.max(1.0);
        let support = filter.support * stretch;
        let mut weights = Self { sources: Vec::with_capacity(axis.window.len()), values: Vec::new() };
        let mut row = Vec::new();
        for x in axis.window.clone() {
            let centre = (f64::from(x) + 0.5) * scale;
            // The casts saturate at zero, and truncate as C's do.
            let start = (centre - support + 0.5) as u32;
            let end = ((centre + support + 0.5) as u32).min(axis.source);
            row.clear();
            row.extend((start..end).map(|x| (filter.weight)((f64::from(x) - centre + 0.5) * (1.0 / stretch))));
            let sum: f64 = row.iter().sum();
            let norm = if sum == 0.0 { 1.0 } else { sum };
            weights.values.extend(row.iter().map(|weight| to_fixed(weight / norm)));
            weights.sources.push(start as usize..end as usize);
        }
        weights
    }

    fn iter(&self) -> impl Iterator<Item = (Range<usize>, &[i32])> {
        self.sources.iter().scan(self.values.as_slice(), |rest, sources| {
            let (weights, tail) = rest.split_at_checked(sources.len())?;
            *rest = tail;
            Some((sources.clone(), weights))
        })
    }

    /// The source pixels that any pixel of the window needs.
    fn span(&self) -> Range<usize> {
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

/// Pillow's order of the passes since version 13; the rounding between them makes it matter.
fn vertical_first(horizontal: &Axis, vertical: &Axis) -> bool {
    let [narrower, shorter] = [horizontal, vertical].map(|axis| i64::from(axis.source) - i64::from(axis.resized));
    shorter > 0 && shorter > 2 * narrower
}

/// A part of a picture: RGB rows, and where the first pixel lies in the whole.
struct View<'a> {
    samples: &'a [u8],
    width: usize,
    left: usize,
    top: usize,
}

impl View<'_> {
    /// The `columns` of the `rows`, both counted in the whole picture.
    fn rows(&self, rows: Range<usize>, columns: Range<usize>) -> impl Iterator<Item = &[u8]> {
        let columns = 3 * (columns.start - self.left)..3 * (columns.end - self.left);
        let rows = rows.start - self.top..rows.end - self.top;
        rows.map(move |y| &self.samples[3 * self.width * y..][columns.clone()])
    }

    /// The horizontal pass over `rows`.
    fn narrow(&self, rows: Range<usize>, weights: &Weights) -> Vec<u8> {
        let mut result = vec![0; 3 * weights.sources.len() * rows.len()];
        let span = weights.span();
        let targets = result.chunks_exact_mut(3 * weights.sources.len().max(1));
        for (row, target) in self.rows(rows, span.clone()).zip(targets) {
            filter_row(row, span.start, weights, target);
        }
        result
    }

    /// The vertical pass over `columns`.
    fn shorten(&self, columns: Range<usize>, weights: &Weights) -> Vec<u8> {
        let stride = 3 * columns.len();
        let mut result = vec![0; stride * weights.sources.len()];
        let mut sums = vec![0; stride];
        for ((sources, weights), target) in weights.iter().zip(result.chunks_exact_mut(stride.max(1))) {
            sums.fill(ROUNDING);
            for (row, weight) in self.rows(sources, columns.clone()).zip(weights) {
                add(row, *weight, &mut sums);
            }
            target.iter_mut().zip(&sums).for_each(|(target, sum)| *target = to_sample(*sum));
        }
        result
    }
}

fn convolve(picture: &RgbImage, horizontal: &Axis, vertical: &Axis, filter: &Filter) -> Vec<u8> {
    let [columns, rows] = [horizontal, vertical].map(|axis| Weights::new(axis, filter));
    let picture = View { samples: picture.as_raw(), width: picture.width() as usize, left: 0, top: 0 };
    if vertical_first(horizontal, vertical) {
        let span = columns.span();
        let samples = picture.shorten(span.clone(), &rows);
        View { samples: &samples, width: span.len(), left: span.start, top: 0 }.narrow(0..rows.sources.len(), &columns)
    } else {
        let span = rows.span();
        let samples = picture.narrow(span.clone(), &columns);
        let width = columns.sources.len();
        View { samples: &samples, width, left: 0, top: span.start }.shorten(0..width, &rows)
    }
}

/// One row of RGB, whose first pixel is the source pixel `left`, to the columns that `weights` makes of it.
fn filter_row(row: &[u8], left: usize, weights: &Weights, target: &mut [u8]) {
    let pixels = row.as_chunks::<3>().0;
    for ((sources, weights), target) in weights.iter().zip(target.as_chunks_mut::<3>().0) {
        let mut sums = [ROUNDING; 3];
        for (pixel, weight) in pixels[sources.start - left..sources.end - left].iter().zip(weights) {
            for (sum, sample) in sums.iter_mut().zip(pixel) {
                *sum += i32::from(*sample) * weight;
            }
        }
        *target = sums.map(to_sample);
    }
}

fn add(row: &[u8], weight: i32, sums: &mut [i32]) {
    for (sum, sample) in sums.iter_mut().zip(row) {
        *sum += i32::from(*sample) * weight;
    }
}

const ROUNDING: i32 = 1 << (PRECISION_BITS - 1);

fn to_sample(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}
