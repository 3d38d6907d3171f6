//! From coefficients to pixels, a row of MCUs at a time: inverse transform, upsampling, colour.
//!
//! All of it is as libjpeg-turbo does by default: chroma of half the resolution is interpolated ("fancy upsampling", `jdsample.c`), other chroma
//! repeated. Interpolation reaches one sample to every side, so that pixels of one row of MCUs need samples of the next one; what is kept for it
//! is the last row of samples.
//!
//! Of a region of the picture, only MCUs that have its pixels, or the samples next to them, are transformed.

use std::ops::Range;

use super::super::super::Region;
use super::kernels::{self, Block, Kernels, ycc_pixel_to_rgb};
use super::markers::{BLOCK, Color, Component, Frame, Sampling};

/// How far beside a pixel the samples lie, at most, that it is made of, in pixels.
const REACH: usize = 1;

/// Turns rows of MCUs to rows of pixels.
pub(super) struct Renderer<'a> {
    frame: &'a Frame,
    color: Color,
    kernels: Kernels,
    /// Columns and rows of the pixels that are made.
    region: [Range<usize>; 2],
    /// Columns and rows of the MCUs that these need.
    mcus: [Range<usize>; 2],
    strips: Vec<Strip>,
    /// RGB of the region.
    pixels: &'a mut [u8],
}

/// The samples of one component in a row of MCUs.
struct Strip {
    upsampling: Upsampling,
    /// Blocks that a row of MCUs has of it, one above the other.
    blocks_high: usize,
    /// The last row of samples of the row of MCUs before, then those of this one.
    samples: Vec<u8>,
    /// The first block of a row.
    first: usize,
    /// Samples in a row, those included that only fill the last MCU.
    stride: usize,
    /// Samples in a row that the picture has.
    width: usize,
    /// Rows of samples that the picture needs, of the whole component.
    height: usize,
    /// A row at the picture's resolution.
    upsampled: Vec<u8>,
    sums: Vec<u16>,
}

/// How a component's samples become pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upsampling {
    /// As they are.
    None,
    /// Triangle filter along the rows.
    Horizontal,
    /// Triangle filter along the columns.
    Vertical,
    /// Triangle filter along both.
    Both,
    /// Repeated, this often in a row and in a column.
    Repeat { horizontal: usize, vertical: usize },
}

impl Upsampling {
    /// By libjpeg-turbo's rules (`jinit_upsampler` in `jdsample.c`).
    fn of(component: &Component, frame: &Frame) -> Self {
        let horizontal = frame.sampling.horizontal / component.sampling.horizontal;
        let vertical = frame.sampling.vertical / component.sampling.vertical;
        match (horizontal, vertical) {
            (1, 1) => Self::None,
            (2, 1) if component.width > 2 => Self::Horizontal,
            (1, 2) => Self::Vertical,
            (2, 2) if component.width > 2 => Self::Both,
            _ => Self::Repeat { horizontal, vertical },
        }
    }

    /// Rows of pixels to a row of samples.
    fn rows(self) -> usize {
        match self {
            Self::None | Self::Horizontal => 1,
            Self::Vertical | Self::Both => 2,
            Self::Repeat { vertical, .. } => vertical,
        }
    }
}

impl Strip {
    /// For these columns of MCUs.
    fn new(component: &Component, frame: &Frame, mcus: &Range<usize>) -> Self {
        let Sampling { horizontal, vertical: blocks_high } = component.sampling;
        let (first, stride) = (horizontal * mcus.start, BLOCK * horizontal * mcus.len());
        let width = component.width.saturating_sub(BLOCK * first).min(stride);
        Self {
            upsampling: Upsampling::of(component, frame),
            blocks_high,
            samples: vec![0; stride * (1 + BLOCK * blocks_high)],
            first,
            stride,
            width,
            height: component.height,
            upsampled: vec![0; BLOCK * mcus.len() * frame.sampling.horizontal],
            sums: vec![0; width + 2],
        }
    }

    /// Makes this the strip of the next row of MCUs.
    fn advance(&mut self) {
        let last = BLOCK * self.blocks_high * self.stride;
        self.samples.copy_within(last.., 0);
    }

    /// The samples for the row `y` of the picture, which is in row `mcu_y` of MCUs or the last one before, at the picture's resolution.
    fn row(&mut self, y: usize, mcu_y: usize, kernels: Kernels) -> &[u8] {
        let row = y / self.upsampling.rows();
        let sample_row = |row: usize| {
            let at = row.clamp(0, self.height - 1) + 1 - mcu_y * BLOCK * self.blocks_high;
            &self.samples[at * self.stride..][..self.width]
        };
        let near = sample_row(row);
        // The picture's edges are repeated beyond.
        let far = || sample_row(if y.is_multiple_of(2) { row.saturating_sub(1) } else { row + 1 });
        match self.upsampling {
            Upsampling::None => return near,
            Upsampling::Horizontal => {
                // With weights that add up to four, so that only the bias differs from what both directions take.
                kernels.weigh_rows(near, near, &mut self.sums[1..]);
                repeat_ends(&mut self.sums);
                kernels.widen(&self.sums, [4, 8], &mut self.upsampled);
            }
            Upsampling::Vertical => kernels.blend_rows(near, far(), 1 + (y % 2) as u16, &mut self.upsampled),
            Upsampling::Both => {
                kernels.weigh_rows(near, far(), &mut self.sums[1..]);
                repeat_ends(&mut self.sums);
                kernels.widen(&self.sums, [8, 7], &mut self.upsampled);
            }
            Upsampling::Repeat { horizontal, .. } => {
                let repeated = self.upsampled.chunks_mut(horizontal);
                repeated.zip(near).for_each(|(pixels, sample)| pixels.fill(*sample));
            }
        }
        &self.upsampled
    }
}

/// Sets the first and the last to their neighbours.
fn repeat_ends(sums: &mut [u16]) {
    if let [before, first, .., last, after] = sums {
        (*before, *after) = (*first, *last);
    }
}

impl<'a> Renderer<'a> {
    /// Writes to `pixels`, RGB as large as the `region`, which lies within the picture.
    pub(super) fn new(frame: &'a Frame, color: Color, region: &Region, pixels: &'a mut [u8]) -> Self {
        let region = [&region.columns, &region.rows].map(|range| range.start as usize..range.end as usize);
        let mcus = [(&region[0], frame.sampling.horizontal, frame.mcus_wide()), (&region[1], frame.sampling.vertical, frame.mcus_high())];
        let mcus = mcus.map(|(pixels, blocks, all)| {
            let end = (pixels.end + REACH).div_ceil(BLOCK * blocks).min(all);
            (pixels.start.saturating_sub(REACH) / (BLOCK * blocks)).min(end)..end
        });
        let strips = frame.components.iter().map(|component| Strip::new(component, frame, &mcus[0])).collect();
        Self { frame, color, kernels: Kernels::detect(), region, mcus, strips, pixels }
    }

    /// Columns and rows of the MCUs whose blocks are to be taken.
    pub(super) fn needed(&self) -> [Range<usize>; 2] {
        self.mcus.clone()
    }

    pub(super) fn needs(&self, [mcu_x, mcu_y]: [usize; 2]) -> bool {
        self.mcus[0].contains(&mcu_x) && self.mcus[1].contains(&mcu_y)
    }

    /// Takes a block of component `of` in a needed MCU: number `x` in its row, in row `y` of the row of MCUs; one that does not vary has no
    /// coefficients but the mean.
    #[inline(always)]
    pub(super) fn transform(&mut self, of: usize, [x, y]: [usize; 2], block: &Block, steps: &Block, varies: bool) {
        let strip = &mut self.strips[of];
        let first = (1 + BLOCK * y) * strip.stride + BLOCK * (x - strip.first);
        let samples = &mut strip.samples[first..];
        if varies {
            self.kernels.inverse_transform(block, steps, samples, strip.stride);
        } else {
            kernels::fill(block[0].wrapping_mul(steps[0]), samples, strip.stride);
        }
    }

    /// Makes pixels of the row `mcu_y` of MCUs, all of whose needed blocks have been taken, except for the last row of pixels.
    pub(super) fn finish_row(&mut self, mcu_y: usize) {
        let height = BLOCK * self.frame.sampling.vertical;
        let end = if mcu_y + 1 == self.frame.mcus_high() { self.frame.height } else { height * (mcu_y + 1) - 1 };
        self.convert((height * mcu_y).saturating_sub(1)..end, mcu_y);
        self.strips.iter_mut().for_each(Strip::advance);
    }

    fn convert(&mut self, rows: Range<usize>, mcu_y: usize) {
        let [columns, lines] = &self.region;
        let skipped = columns.start - BLOCK * self.frame.sampling.horizontal * self.mcus[0].start;
        let lines = lines.clone().zip(self.pixels.chunks_exact_mut((3 * columns.len()).max(1)));
        for (y, line) in lines.skip_while(|(y, _)| *y < rows.start).take_while(|(y, _)| *y < rows.end) {
            let rows = self.strips.iter_mut().map(|strip| strip.row(y, mcu_y, self.kernels));
            let mut rows = rows.map(|row| &row[skipped..][..columns.len()]);
            let mut next = || rows.next().unwrap_or_default();
            match self.color {
                Color::Grey => line.as_chunks_mut::<3>().0.iter_mut().zip(next()).for_each(|(pixel, grey)| *pixel = [*grey; 3]),
                Color::YCbCr => self.kernels.ycc_to_rgb([next(), next(), next()], line),
                Color::Rgb => mix([next(), next(), next()], line, |rgb| rgb),
                Color::Cmyk => mix([next(), next(), next(), next()], line, inverted_cmyk_to_rgb),
                Color::PlainCmyk => mix([next(), next(), next(), next()], line, |cmyk| inverted_cmyk_to_rgb(cmyk.map(|ink| 255 - ink))),
                Color::Ycck => mix([next(), next(), next(), next()], line, |ycck| inverted_cmyk_to_rgb(ycck_to_cmyk(ycck))),
            }
        }
    }
}

/// Makes pixels of the samples at the same place in several rows.
fn mix<const COMPONENTS: usize>(rows: [&[u8]; COMPONENTS], line: &mut [u8], to_rgb: fn([u8; COMPONENTS]) -> [u8; 3]) {
    for (x, pixel) in line.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        *pixel = to_rgb(rows.map(|row| row[x]));
    }
}

/// Pillow takes every CMYK JPEG for Adobe's, which stores ink inverted; of that its `cmyk2rgb` makes the product with black.
fn inverted_cmyk_to_rgb([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    [c, m, y].map(|ink| multiply(ink, k))
}

/// `a · b / 255`, rounded: Pillow's `MULDIV255`.
fn multiply(a: u8, b: u8) -> u8 {
    let product = u32::from(a) * u32::from(b) + 128;
    (((product >> 8) + product) >> 8) as u8
}

/// libjpeg's `ycck_cmyk_convert`: YCbCr to RGB, inverted; K as it is.
fn ycck_to_cmyk([y, cb, cr, k]: [u8; 4]) -> [u8; 4] {
    let [red, green, blue] = ycc_pixel_to_rgb(y, cb, cr);
    [255 - red, 255 - green, 255 - blue, k]
}
