//! Windows and OS/2 bitmaps, as Pillow reads them: 1, 4 and 8 bits with a palette, run-length coded or not, 16 and 32 bits with any bit fields, 24 bits.

mod header;
mod run_length;

use image::RgbImage;
use image::metadata::Orientation;

use self::header::Header;
use super::{DecodeError, Format, Limits, Stored, area};

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Stored, DecodeError> {
    let header = Header::read(bytes).map_err(fail)?;
    let [width, height] = header.size;
    if area(header.size) == 0 {
        return Err(fail("it has no pixels"));
    }
    limits.check(width, height, if header.run_length { 4 } else { 3 } * area(header.size))?;
    let mut pixels = RgbImage::new(width, height);
    let size = header.size.map(|side| side as usize);
    if header.run_length {
        let indices = run_length::indices(bytes, header.offset, size, header.bits == 4).map_err(fail)?;
        paint(&header, &mut pixels, indices.chunks_exact(size[0]), |row, line| pick(&header, row.iter().copied(), line));
    } else {
        let rows = stored_rows(bytes, &header).ok_or_else(|| fail("it ends before its last row"))?;
        paint(&header, &mut pixels, rows, |row, line| unpack(&header, row, line));
    }
    Ok(Stored { part: pixels.into(), orientation: Orientation::NoTransforms })
}

fn fail(reason: impl ToString) -> DecodeError {
    Format::Bmp.undecodable(reason)
}

/// The rows in the order in which they are stored, each padded to four bytes; `None` where they are cut.
fn stored_rows<'a>(bytes: &'a [u8], header: &Header) -> Option<impl Iterator<Item = &'a [u8]>> {
    let [width, height] = header.size.map(|side| side as usize);
    let row = (width * header.bits).div_ceil(8);
    let stride = row.next_multiple_of(4);
    let pixels = bytes.get(header.offset..)?;
    // The last row need not be padded.
    let needed = stride * (height - 1) + row;
    let pixels = pixels.get(..needed)?;
    Some(pixels.chunks(stride))
}

fn paint<'a>(header: &Header, pixels: &mut RgbImage, rows: impl Iterator<Item = &'a [u8]>, row_to_pixels: impl Fn(&[u8], &mut [[u8; 3]])) {
    let stride = 3 * pixels.width() as usize;
    let lines = pixels.chunks_exact_mut(stride);
    let paint = |(row, line): (&[u8], &mut [u8])| row_to_pixels(row, line.as_chunks_mut().0);
    if header.top_down { rows.zip(lines).for_each(paint) } else { rows.zip(lines.rev()).for_each(paint) }
}

/// The pixels of a row that is not compressed.
fn unpack(header: &Header, row: &[u8], line: &mut [[u8; 3]]) {
    match header.bits {
        1 => pick(header, row.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)), line),
        4 => pick(header, row.iter().flat_map(|byte| [byte >> 4, byte & 15]), line),
        8 => pick(header, row.iter().copied(), line),
        16 => split(header.masks, row.as_chunks().0.iter().map(|pixel| u16::from_le_bytes(*pixel).into()), line),
        24 => line.iter_mut().zip(row.as_chunks().0).for_each(|(pixel, [blue, green, red])| *pixel = [*red, *green, *blue]),
        _ => split(header.masks, row.as_chunks().0.iter().map(|pixel| u32::from_le_bytes(*pixel)), line),
    }
}

/// Looks the colours up.
fn pick(header: &Header, indices: impl Iterator<Item = u8>, line: &mut [[u8; 3]]) {
    line.iter_mut().zip(indices).for_each(|(pixel, index)| *pixel = header.palette[usize::from(index)]);
}

/// Takes the colours out of whole pixels.
fn split(masks: [u32; 3], stored: impl Iterator<Item = u32>, line: &mut [[u8; 3]]) {
    let fields = masks.map(Field::new);
    line.iter_mut().zip(stored).for_each(|(pixel, stored)| *pixel = fields.map(|field| field.of(stored)));
}

/// The bits of a colour.
#[derive(Clone, Copy)]
struct Field {
    mask: u32,
    shift: u32,
    /// The largest value.
    largest: u64,
}

impl Field {
    fn new(mask: u32) -> Self {
        let shift = mask.trailing_zeros() & 31;
        Self { mask, shift, largest: u64::from(mask >> shift).max(1) }
    }

    /// Stretched to 8 bits and cut, as Pillow does.
    fn of(self, pixel: u32) -> u8 {
        (u64::from((pixel & self.mask) >> self.shift) * 255 / self.largest) as u8
    }
}
