//! Where the values of a feature map lie: channels last, so that a pixel's channels are contiguous whatever their number.

#![expect(unsafe_code, reason = "parts of a map lie between each other, which slices cannot say")]

use std::marker::PhantomData;
use std::ops::Range;

use super::limits::{SizeError, check, check_values};

/// One image's feature map in memory: `[H + 2·border, W + 2·border, stride]`, row-major, of which each pixel's first `channels` values count.
///
/// The border is zero: it is the padding of the convolutions that read the map. A stride above the number of channels makes the map a part of a
/// wider one, as concatenations and slices need. All sizes are within the [limits](super::limits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Layout {
    height: usize,
    width: usize,
    channels: usize,
    border: usize,
    stride: usize,
}

impl Layout {
    /// A map of its own, as opposed to a part of a wider one.
    ///
    /// # Panics
    /// When [`Layout::try_new`] gives an error.
    pub fn new(height: usize, width: usize, channels: usize, border: usize) -> Self {
        Self::try_new(height, width, channels, border).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`Layout::new`], of sizes that may be anything.
    ///
    /// # Errors
    /// [`SizeError`] when a size is above [`MAX_SIZE`](super::MAX_SIZE), or the map with its border has more than
    /// [`MAX_VALUES`](super::MAX_VALUES).
    pub fn try_new(height: usize, width: usize, channels: usize, border: usize) -> Result<Self, SizeError> {
        Self { height, width, channels, border, stride: channels }.checked()
    }

    /// The same as a part of a map of `stride` channels.
    ///
    /// # Errors
    /// As [`Layout::try_new`], and when it has more channels than that.
    pub fn with_stride(self, stride: usize) -> Result<Self, SizeError> {
        Self { stride, ..self }.checked()
    }

    /// `self`, if its sizes are within the limits.
    fn checked(self) -> Result<Self, SizeError> {
        let Self { height, width, channels, border, stride } = self;
        for (name, size) in [("height", height), ("width", width), ("number of channels", channels), ("border", border)] {
            check(name, size, 0)?;
        }
        check("stride", stride, channels)?;
        check_values("a map", &[height + 2 * border, width + 2 * border, stride])?;
        Ok(self)
    }

    /// H, without the border.
    #[inline]
    pub fn height(&self) -> usize {
        self.height
    }

    /// W, without the border.
    #[inline]
    pub fn width(&self) -> usize {
        self.width
    }

    /// C
    #[inline]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Pixels of zeros on every side.
    #[inline]
    pub fn border(&self) -> usize {
        self.border
    }

    /// Values from one pixel to the next, at least C.
    #[inline]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Values from one row to the next.
    #[inline]
    pub fn row(&self) -> usize {
        (self.width + 2 * self.border) * self.stride
    }

    /// H·W
    #[inline]
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Where the pixel at (`y`, `x`) begins, which must be one of the map; the border is not counted in the coordinates.
    #[inline]
    pub(in crate::kernels) fn offset(&self, y: usize, x: usize) -> usize {
        (y + self.border) * self.row() + (x + self.border) * self.stride
    }

    /// The number of values, border included, that memory for the map must have.
    #[inline]
    pub fn len(&self) -> usize {
        ((self.height + 2 * self.border) * self.row()).saturating_sub(self.stride - self.channels)
    }

    /// Whether there are no values at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A map to read.
#[derive(Debug, Clone, Copy)]
pub struct Map<'a> {
    layout: Layout,
    /// At least as long as the layout says.
    data: &'a [f32],
}

impl<'a> Map<'a> {
    /// The map that lies in `data`.
    ///
    /// # Panics
    /// When `data` is shorter than the layout says.
    pub fn new(layout: Layout, data: &'a [f32]) -> Self {
        assert!(data.len() >= layout.len(), "{} values for a map of {layout:?}", data.len());
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

    /// Where its values lie.
    #[inline]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The memory that it lies in.
    #[inline]
    pub(in crate::kernels) fn data(&self) -> &'a [f32] {
        self.data
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

/// A map to write, or the part of one that has some of the pixels, from one to another, and some of the channels.
#[derive(Debug)]
pub struct MapMut<'a> {
    /// Of the whole map.
    layout: Layout,
    /// Of the whole map's. Counted by rows, without the border.
    pixels: Range<usize>,
    /// Of the whole map's.
    channels: Range<usize>,
    /// The whole map's memory, as long as the layout says, of which other parts may be writing what is not in this one.
    data: *mut f32,
    of_the_whole_map: PhantomData<&'a mut [f32]>,
}

// SAFETY: no two parts have a value in common, so that each is like a mutable borrow of its own.
unsafe impl Send for MapMut<'_> {}

impl<'a> MapMut<'a> {
    /// The whole map that lies in `data`.
    ///
    /// # Panics
    /// When `data` is shorter than the layout says.
    pub fn new(layout: Layout, data: &'a mut [f32]) -> Self {
        assert!(data.len() >= layout.len(), "{} values for a map of {layout:?}", data.len());
        Self { layout, pixels: 0..layout.pixels(), channels: 0..layout.channels, data: data.as_mut_ptr(), of_the_whole_map: PhantomData }
    }

    /// The values of the only pixel of a map of one.
    ///
    /// # Panics
    /// When the map has more pixels, or none.
    pub fn into_pixel(self) -> &'a mut [f32] {
        assert_eq!((self.layout.pixels(), self.pixels.len()), (1, 1), "pixels of {:?}", self.layout);
        // SAFETY: it is this part's pixel, as asserted, and this part is given up for it.
        unsafe { self.slice(0, 0..1) }
    }

    /// Of the whole map.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Which channels of the whole map this part has.
    pub fn channels(&self) -> Range<usize> {
        self.channels.clone()
    }

    /// Whether there is no value to write.
    pub fn is_empty(&self) -> bool {
        self.pixels.is_empty() || self.channels.is_empty()
    }

    /// Which pixels of the whole map, counted by rows, this part has.
    pub(in crate::kernels) fn pixels(&self) -> Range<usize> {
        self.pixels.clone()
    }

    /// The part before the `pixel`-th pixel of the whole map, and the part from it on.
    pub fn split_at(self, pixel: usize) -> (Self, Self) {
        let pixel = pixel.clamp(self.pixels.start, self.pixels.end);
        let before = Self { pixels: self.pixels.start..pixel, channels: self.channels(), ..self };
        (before, Self { pixels: pixel..self.pixels.end, ..self })
    }

    /// The part of the channels before the `channel`-th of the whole map, and the part from it on.
    pub fn split_at_channel(self, channel: usize) -> (Self, Self) {
        let channel = channel.clamp(self.channels.start, self.channels.end);
        let before = Self { pixels: self.pixels(), channels: self.channels.start..channel, ..self };
        (before, Self { channels: channel..self.channels.end, ..self })
    }

    /// Whether the map has a pixel at (`y`, `x`), and this part of it does.
    pub(in crate::kernels) fn contains(&self, y: usize, x: usize) -> bool {
        x < self.layout.width && self.pixels.contains(&(y * self.layout.width + x))
    }

    /// Whether all of some pixels of a row are in this part; of none, they are.
    fn contains_all(&self, y: usize, columns: &Range<usize>) -> bool {
        columns.is_empty() || self.contains(y, columns.start) && self.contains(y, columns.end - 1)
    }

    /// The channels that this part has of the pixel at (`y`, `x`).
    ///
    /// # Panics
    /// When the pixel is not in this part.
    pub(in crate::kernels) fn pixel(&mut self, y: usize, x: usize) -> &mut [f32] {
        assert!(self.contains(y, x), "pixel ({y}, {x}) of {self:?}");
        // SAFETY: it is this part's pixel, as asserted, and lent as long as this part is.
        unsafe { self.slice(y, x..x + 1) }
    }

    /// The channels that this part has of each of some pixels of a row.
    ///
    /// # Panics
    /// When not all of the pixels are in this part.
    pub(in crate::kernels) fn pixels_of_row(&mut self, y: usize, columns: Range<usize>) -> impl Iterator<Item = &mut [f32]> {
        assert!(self.contains_all(y, &columns), "pixels {columns:?} of {self:?}");
        let first = self.data.wrapping_add(self.layout.offset(y, columns.start) + self.channels.start);
        let (stride, channels) = (self.layout.stride, self.channels.len());
        // SAFETY: they are this part's pixels, as asserted, so that by the limits of sizes they lie in the memory whose length `MapMut::new` asserted;
        // each is lent once, as long as this part is.
        (0..columns.len()).map(move |x| unsafe { std::slice::from_raw_parts_mut(first.add(x * stride), channels) })
    }

    /// Some columns of a row: the channels of each pixel, followed by what lies before the next.
    ///
    /// # Panics
    /// When not all of the pixels are in this part, or not all of their channels.
    pub(in crate::kernels) fn row(&mut self, y: usize, columns: Range<usize>) -> &mut [f32] {
        assert!(self.channels == (0..self.layout.channels), "whole rows of {self:?}");
        assert!(self.contains_all(y, &columns), "pixels {columns:?} of {self:?}");
        if columns.is_empty() {
            return &mut [];
        }
        // SAFETY: they are this part's pixels, as asserted, with all that lies between them, and lent as long as this part is.
        unsafe { self.slice(y, columns) }
    }

    /// Fills what this part has of the border with zeros: the sides of the rows whose ends it has, and what lies above the first pixel's row or below the
    /// last one's.
    pub fn clear_border(&mut self) {
        let Layout { height, width, border, .. } = self.layout;
        if border == 0 || self.is_empty() {
            return;
        }
        let (pixels, columns) = (self.rows(), width + 2 * border);
        let (has_first, has_last) = (self.pixels.contains(&0), self.pixels.contains(&(height * width).wrapping_sub(1)));
        let mut clear = |row: usize, columns: Range<usize>| {
            // SAFETY: they are rows and columns of the border, and of all parts, the one that has the pixel next to them clears them.
            unsafe { self.clear(row, columns) }
        };
        if has_first {
            (0..border).for_each(|row| clear(row, 0..columns));
        }
        for (y, inside) in pixels {
            if inside.start == 0 {
                clear(y + border, 0..border);
            }
            if inside.end == width {
                clear(y + border, border + width..columns);
            }
        }
        if has_last {
            (border + height..border + height + border).for_each(|row| clear(row, 0..columns));
        }
    }

    /// Zeros for this part's channels of some columns of a row, border included.
    ///
    /// # Safety
    /// The map with its border has the row and the columns, and no other part clears them.
    unsafe fn clear(&mut self, row: usize, columns: Range<usize>) {
        let stride = self.layout.stride;
        // Where pixels touch, one piece.
        let (pieces, length) = if self.channels.len() == stride { (1, columns.len() * stride) } else { (columns.len(), self.channels.len()) };
        let first = self.layout.row() * row + columns.start * stride + self.channels.start;
        for piece in 0..pieces {
            // SAFETY: by the limits of sizes no place in the map or its border wraps, and `MapMut::new` asserted that they all lie in the memory
            // that was borrowed for 'a; the rest is the caller's.
            unsafe { std::slice::from_raw_parts_mut(self.data.add(first + piece * stride), length) }.fill(0.0);
        }
    }

    /// From this part's first channel of the first of the pixels to its last channel of the last.
    ///
    /// # Safety
    /// There is a pixel, and this part has them all; where there are more, it has all channels. Of what this returns, no value may be lent twice.
    unsafe fn slice<'b>(&self, y: usize, columns: Range<usize>) -> &'b mut [f32]
    where
        'a: 'b,
    {
        let start = self.layout.offset(y, columns.start) + self.channels.start;
        // SAFETY: by the limits of sizes no place in the map wraps, and `MapMut::new` asserted that they all lie in the memory that was borrowed for
        // 'a; the rest is the caller's.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(start), (columns.len() - 1) * self.layout.stride + self.channels.len()) }
    }

    /// The rows that this part has values of, each as its number and the columns.
    pub(in crate::kernels) fn rows(&self) -> impl Iterator<Item = (usize, Range<usize>)> + use<> {
        // A map without columns has no pixels either.
        let (width, pixels) = (self.layout.width.max(1), if self.is_empty() { 0..0 } else { self.pixels.clone() });
        (pixels.start / width..pixels.end.div_ceil(width))
            .map(move |y| (y, pixels.start.saturating_sub(y * width)..(pixels.end - y * width).min(width)))
    }
}
