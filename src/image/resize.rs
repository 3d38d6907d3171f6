//! Resampling of 8-bit RGB, bit for bit as Pillow's `Image.resize` does it (its `Resample.c`, and `Geometry.c` for nearest).
//!
//! `fast_image_resize` has weights of 16 bits and filters vertically first, where Pillow has 22 bits and mostly filters horizontally first; the
//! two differ by a level here and there. Only the window that a crop keeps is computed, with the weights of the whole resize.

use std::ops::Range;

use super::kernels::{Kernels, ROWS, Taps};
use super::weights::{Axis, Filter, Weights};
use super::{Interpolation, Part, Region};

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
///
/// # Panics
/// When `picture` lacks pixels of [`sources`].
pub(super) fn resize(picture: &Part, window: &Window, interpolation: Interpolation) -> Vec<u8> {
    let [horizontal, vertical] = window.axes(picture.size);
    let [left, top] = picture.origin.map(|at| at as usize);
    let picture = View { samples: picture.pixels.as_raw(), width: picture.pixels.width() as usize, left, top };
    match Filter::of(interpolation) {
        None => pick(&picture, &horizontal.nearest(), &vertical.nearest()),
        Some(filter) => convolve(&picture, &horizontal, &vertical, &filter),
    }
}

/// The pixels that [`resize`] needs of a picture of `size`.
pub(super) fn sources(size: [u32; 2], window: &Window, interpolation: Interpolation) -> Region {
    let filter = Filter::of(interpolation);
    let [columns, rows] = window.axes(size).map(|axis| axis.span(filter.as_ref()));
    Region { columns, rows }
}

impl Window {
    /// Of a picture of `size`.
    fn axes(&self, size: [u32; 2]) -> [Axis; 2] {
        [0, 1].map(|axis| Axis { source: size[axis], resized: self.resized[axis], window: self.origin[axis]..self.origin[axis] + self.size[axis] })
    }
}

fn pick(picture: &View, columns: &[usize], rows: &[usize]) -> Vec<u8> {
    let lines = rows.iter().map(|y| picture.from(picture.left, *y).as_chunks::<3>().0);
    lines.flat_map(|line| columns.iter().flat_map(|x| line[x - picture.left])).collect()
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
    /// From the pixel `x`, `y` on, counted in the whole picture.
    fn from(&self, x: usize, y: usize) -> &[u8] {
        &self.samples[3 * (self.width * (y - self.top) + x - self.left)..]
    }

    /// The horizontal pass over `rows`.
    fn narrow(&self, rows: Range<usize>, weights: &Weights) -> Vec<u8> {
        let (kernels, left) = (Kernels::detect(), weights.span().start);
        let taps = Taps::new(weights.iter().map(|(sources, weights)| (sources.start - left..sources.end - left, weights)));
        let mut result = vec![0; 3 * taps.len() * rows.len().next_multiple_of(ROWS)];
        for (y, target) in rows.clone().step_by(ROWS).zip(result.chunks_exact_mut((3 * taps.len() * ROWS).max(1))) {
            let sources = std::array::from_fn(|row| self.from(left, (y + row).min(rows.end - 1)));
            if sources[ROWS - 1].len() < taps.reach() {
                let copies = sources.map(|row| row.iter().copied().chain(std::iter::repeat(0)).take(taps.reach()).collect::<Vec<_>>());
                kernels.filter_rows(copies.each_ref().map(Vec::as_slice), &taps, target);
            } else {
                kernels.filter_rows(sources, &taps, target);
            }
        }
        result.truncate(3 * taps.len() * rows.len());
        result
    }

    /// The vertical pass over `columns`.
    fn shorten(&self, columns: Range<usize>, weights: &Weights) -> Vec<u8> {
        let (kernels, stride) = (Kernels::detect(), 3 * columns.len());
        let mut result = vec![0; stride * weights.sources.len()];
        for ((sources, weights), target) in weights.iter().zip(result.chunks_exact_mut(stride.max(1))) {
            kernels.sum_rows(self.from(columns.start, sources.start), 3 * self.width, weights, target);
        }
        result
    }
}

fn convolve(picture: &View, horizontal: &Axis, vertical: &Axis, filter: &Filter) -> Vec<u8> {
    let [columns, rows] = [horizontal, vertical].map(|axis| Weights::new(axis, filter));
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

#[cfg(test)]
mod tests {
    use image::RgbImage;
    use proptest::prelude::*;

    use super::*;

    /// One pass, straight from the definition: `rows` of pixels, each made along itself.
    fn along(rows: &[Vec<[u8; 3]>], weights: &Weights) -> Vec<Vec<[u8; 3]>> {
        let sample = |row: &[[u8; 3]], sources: Range<usize>, weights: &[i32], channel: usize| {
            let sum: i64 = row[sources].iter().zip(weights).map(|(pixel, weight)| i64::from(pixel[channel]) * i64::from(*weight)).sum();
            ((sum + (1 << 21)) >> 22).clamp(0, 255) as u8
        };
        let line =
            |row: &Vec<[u8; 3]>| weights.iter().map(|(sources, weights)| [0, 1, 2].map(|of| sample(row, sources.clone(), weights, of))).collect();
        rows.iter().map(line).collect()
    }

    fn turned(rows: &[Vec<[u8; 3]>]) -> Vec<Vec<[u8; 3]>> {
        (0..rows[0].len()).map(|x| rows.iter().map(|row| row[x]).collect()).collect()
    }

    fn resized_as_defined(picture: &RgbImage, window: &Window, filter: &Filter) -> Vec<u8> {
        let whole = |axis: usize, source| Axis { source, resized: window.resized[axis], window: 0..window.resized[axis] };
        let [horizontal, vertical] = [whole(0, picture.width()), whole(1, picture.height())];
        let [columns, rows] = [&horizontal, &vertical].map(|axis| Weights::new(axis, filter));
        let picture: Vec<Vec<[u8; 3]>> = picture.rows().map(|row| row.map(|pixel| pixel.0).collect()).collect();
        let resized = if vertical_first(&horizontal, &vertical) {
            along(&turned(&along(&turned(&picture), &rows)), &columns)
        } else {
            turned(&along(&turned(&along(&picture, &columns)), &rows))
        };
        let [(left, width), (top, height)] = [0, 1].map(|axis| (window.origin[axis] as usize, window.size[axis] as usize));
        resized[top..top + height].iter().flat_map(|row| row[left..left + width].as_flattened()).copied().collect()
    }

    fn cut(picture: &RgbImage, Region { columns, rows }: &Region) -> Part {
        let pixel = |x, y| *picture.get_pixel(columns.start + x, rows.start + y);
        let pixels = RgbImage::from_fn(columns.len() as u32, rows.len() as u32, pixel);
        Part { pixels, origin: [columns.start, rows.start], size: picture.dimensions().into() }
    }

    /// A side of the picture, of the resized one, and the window's start and size in that.
    fn axis() -> impl Strategy<Value = [u32; 4]> {
        (1..40_u32, 1..40_u32).prop_flat_map(|(source, resized)| {
            (0..resized).prop_flat_map(move |origin| (1..=resized - origin).prop_map(move |size| [source, resized, origin, size]))
        })
    }

    proptest! {
        #[test]
        fn nearest_pixels_are_found_in_the_part_that_is_needed([width, to_width, left, columns] in axis(), [height, to_height, top, rows] in axis()) {
            let picture = RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 0]));
            let window = Window { resized: [to_width, to_height], origin: [left, top], size: [columns, rows] };
            let needed = sources([width, height], &window, Interpolation::Nearest);
            let part = resize(&cut(&picture, &needed), &window, Interpolation::Nearest);
            prop_assert_eq!(part, resize(&picture.into(), &window, Interpolation::Nearest));
        }

        #[test]
        fn a_window_is_that_part_of_the_whole_resize(
            [width, to_width, left, columns] in axis(),
            [height, to_height, top, rows] in axis(),
            samples in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(255)], 3 * 40 * 40),
            interpolation in prop_oneof![Just(Interpolation::Bilinear), Just(Interpolation::Bicubic), Just(Interpolation::Lanczos)],
        ) {
            let (Some(picture), Some(filter)) = (RgbImage::from_raw(width, height, samples), Filter::of(interpolation)) else { return Ok(()) };
            // The picture ends where its memory does, so that reading on is noticed.
            let picture = RgbImage::from_fn(width, height, |x, y| *picture.get_pixel(x, y));
            let window = Window { resized: [to_width, to_height], origin: [left, top], size: [columns, rows] };
            let expected = resized_as_defined(&picture, &window, &filter);
            let needed = sources([width, height], &window, interpolation);
            prop_assert_eq!(&resize(&cut(&picture, &needed), &window, interpolation), &expected);
            prop_assert_eq!(resize(&picture.into(), &window, interpolation), expected);
        }
    }
}
