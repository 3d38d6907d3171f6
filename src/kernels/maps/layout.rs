//! Where the values of a feature map lie: channels last, so that a pixel's channels are contiguous whatever their number.

use std::ops::Range;

/// One image's feature map in memory: `[H + 2·border, W + 2·border, stride]`, row-major, of which each pixel's first `channels` values count.
///
/// The border is zero: it is the padding of the convolutions that read the map. A stride above the number of channels makes the map a part of a
/// wider one, as concatenations and slices need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Layout {
    /// H, without the border.
    pub height: usize,
    /// W, without the border.
    pub width: usize,
    /// C
    pub channels: usize,
    /// Pixels of zeros on every side.
    pub border: usize,
    /// Values from one pixel to the next.
    pub stride: usize,
}

impl Layout {
    /// A map of its own, as opposed to a part of a wider one.
    pub fn new(height: usize, width: usize, channels: usize, border: usize) -> Self {
        Self { height, width, channels, border, stride: channels }
    }

    /// Values from one row to the next.
    pub fn row(&self) -> usize {
        (self.width + 2 * self.border) * self.stride
    }

    /// H·W
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Where the pixel at (`y`, `x`) begins; the border is not counted in the coordinates.
    pub fn offset(&self, y: usize, x: usize) -> usize {
        (y + self.border) * self.row() + (x + self.border) * self.stride
    }

    /// The number of values, border included, that memory for the map must have.
    pub fn len(&self) -> usize {
        ((self.height + 2 * self.border) * self.row()).saturating_sub(self.stride - self.channels)
    }

    /// Whether there are no values at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the `pixel`-th pixel, counted by rows without the border, begins; the end of the memory for the first one beyond the map.
    fn start_of(&self, pixel: usize) -> usize {
        if pixel < self.pixels() { self.offset(pixel / self.width, pixel % self.width) } else { self.len() }
    }
}

/// A map to read.
#[derive(Debug, Clone, Copy)]
pub struct Map<'a> {
    pub(in crate::kernels) layout: Layout,
    pub(in crate::kernels) data: &'a [f32],
}

impl<'a> Map<'a> {
    /// The map that lies in `data`.
    ///
    /// # Panics
    /// When `data` is shorter than the layout says.
    pub fn new(layout: Layout, data: &'a [f32]) -> Self {
        assert!(data.len() >= layout.len() && layout.stride >= layout.channels, "{} values for a map of {layout:?}", data.len());
        Self { layout, data }
    }

    /// The values of the only pixel of a map of one.
    ///
    /// # Panics
    /// When the map has more pixels, or none.
    pub fn pixel(&self) -> &'a [f32] {
        assert_eq!(self.layout.pixels(), 1, "pixels of {:?}", self.layout);
        &self.data[self.layout.offset(0, 0)..][..self.layout.channels]
    }

    /// C
    pub fn channels(&self) -> usize {
        self.layout.channels
    }

    /// Some channels of the map.
    ///
    /// # Panics
    /// When the map does not have them.
    pub fn part(self, channels: Range<usize>) -> Self {
        assert!(channels.end <= self.layout.channels, "channels {channels:?} of {:?}", self.layout);
        let layout = Layout { channels: channels.len(), ..self.layout };
        Self::new(layout, self.data.get(channels.start..).unwrap_or_default())
    }
}

/// A map to write, or the part of one that begins and ends at some pixel.
#[derive(Debug)]
pub struct MapMut<'a> {
    pub(in crate::kernels) layout: Layout,
    /// Counted by rows, without the border.
    pub(in crate::kernels) pixels: Range<usize>,
    /// Where `data` begins within the whole map's memory.
    pub(in crate::kernels) start: usize,
    pub(in crate::kernels) data: &'a mut [f32],
}

impl<'a> MapMut<'a> {
    /// The whole map that lies in `data`.
    ///
    /// # Panics
    /// When `data` is shorter than the layout says.
    pub fn new(layout: Layout, data: &'a mut [f32]) -> Self {
        assert!(data.len() >= layout.len() && layout.stride >= layout.channels, "{} values for a map of {layout:?}", data.len());
        Self { layout, pixels: 0..layout.pixels(), start: 0, data }
    }

    /// The values of the only pixel of a map of one.
    ///
    /// # Panics
    /// When the map has more pixels, or none.
    pub fn into_pixel(self) -> &'a mut [f32] {
        assert_eq!((self.layout.pixels(), self.pixels.len()), (1, 1), "pixels of {:?}", self.layout);
        &mut self.data[self.layout.offset(0, 0) - self.start..][..self.layout.channels]
    }

    /// Of the whole map.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The part before the `pixel`-th pixel of the whole map, and the part from it on.
    pub fn split_at(self, pixel: usize) -> (Self, Self) {
        let pixel = pixel.clamp(self.pixels.start, self.pixels.end);
        let start = self.layout.start_of(pixel).clamp(self.start, self.start + self.data.len());
        let (before, after) = self.data.split_at_mut(start - self.start);
        let before = Self { layout: self.layout, pixels: self.pixels.start..pixel, start: self.start, data: before };
        (before, Self { layout: self.layout, pixels: pixel..self.pixels.end, start, data: after })
    }

    /// Whether the map has a pixel at (`y`, `x`), and this part of it does.
    pub(in crate::kernels) fn contains(&self, y: usize, x: usize) -> bool {
        x < self.layout.width && self.pixels.contains(&(y * self.layout.width + x))
    }

    /// Where the pixel at (`y`, `x`), which must be in this part, begins in `data`.
    pub(in crate::kernels) fn offset(&self, y: usize, x: usize) -> usize {
        self.layout.offset(y, x) - self.start
    }

    /// The rows that this part has pixels of, each as its number and the columns.
    pub(in crate::kernels) fn rows(&self) -> impl Iterator<Item = (usize, Range<usize>)> + use<> {
        // A map without columns has no pixels either.
        let (width, pixels) = (self.layout.width.max(1), self.pixels.clone());
        (pixels.start / width..pixels.end.div_ceil(width))
            .map(move |y| (y, pixels.start.saturating_sub(y * width)..(pixels.end - y * width).min(width)))
    }
}
