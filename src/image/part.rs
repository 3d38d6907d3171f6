//! A part of a picture, and where it lies in the whole.

use std::ops::Range;

use image::RgbImage;

/// A rectangle of a picture's pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Counted from the left.
    pub columns: Range<u32>,
    /// Counted from the top.
    pub rows: Range<u32>,
}

impl Region {
    /// All of a picture of this width and height.
    pub fn whole([width, height]: [u32; 2]) -> Self {
        Self { columns: 0..width, rows: 0..height }
    }

    /// What of it lies within a picture of this width and height.
    pub(super) fn within(&self, [width, height]: [u32; 2]) -> Self {
        let cut = |range: &Range<u32>, length: u32| range.start.min(length)..range.end.clamp(range.start.min(length), length);
        Self { columns: cut(&self.columns, width), rows: cut(&self.rows, height) }
    }
}

/// The pixels of one [`Region`].
#[derive(Debug, Clone)]
pub struct Part {
    pub(super) pixels: RgbImage,
    /// x and y of the upper left pixel in the whole.
    pub(super) origin: [u32; 2],
    /// Width and height of the whole.
    pub(super) size: [u32; 2],
}

impl Part {
    pub(super) fn region(&self) -> Region {
        let [columns, rows] =
            [(self.origin[0], self.pixels.width()), (self.origin[1], self.pixels.height())].map(|(start, length)| start..start + length);
        Region { columns, rows }
    }
}

/// A whole picture.
impl From<RgbImage> for Part {
    fn from(pixels: RgbImage) -> Self {
        let size = pixels.dimensions().into();
        Self { pixels, origin: [0, 0], size }
    }
}
