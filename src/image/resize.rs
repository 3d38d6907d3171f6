//! Resampling of 8-bit RGB, bit for bit as Pillow's `Image.resize` does it (its `Resample.c`, and `Geometry.c` for nearest).
//!
//! `fast_image_resize` has weights of 16 bits and filters vertically first, where Pillow has 22 bits and mostly filters horizontally first; the
//! two differ by a level here and there. Only the window that a crop keeps is computed, with the weights of the whole resize.

use std::ops::Range;

use image::RgbImage;

use super::Interpolation;
use super::weights::{Axis, Filter, PRECISION_BITS, Weights};

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

/// The `window` of `picture` resized to `window.resized`: RGB, row by row.
///
/// Memory beside the result: at most `3 · picture height · window width` bytes, or `3 · picture width · window height`.
pub(super) fn resize(picture: &RgbImage, window: &Window, interpolation: Interpolation) -> Vec<u8> {
    let [horizontal, vertical] = [(0, picture.width()), (1, picture.height())].map(|(axis, source)| Axis {
        source,
        resized: window.resized[axis],
        window: window.origin[axis]..window.origin[axis] + window.size[axis],
    });
    match Filter::of(interpolation) {
        None => pick(picture, &horizontal.nearest(), &vertical.nearest()),
        Some(filter) => convolve(picture, &horizontal, &vertical, &filter),
    }
}

fn pick(picture: &RgbImage, columns: &[usize], rows: &[usize]) -> Vec<u8> {
    let stride = 3 * picture.width() as usize;
    let lines = rows.iter().map(|y| picture.as_raw()[y * stride..][..stride].as_chunks::<3>().0);
    lines.flat_map(|line| columns.iter().flat_map(|x| line[*x])).collect()
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
