//! GIF: the first frame.
//!
//! The decoder is given this frame alone: what follows it, and whether that is whole, does not matter to the pixels.

mod blocks;

use std::num::NonZeroU64;

use gif::{ColorOutput, DecodeOptions, MemoryLimit};
use image::RgbImage;
use image::metadata::Orientation;

use self::blocks::Frame;
use super::{DecodeError, Format, Limits, Stored, area};

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Stored, DecodeError> {
    let frame = Frame::first(bytes).map_err(fail)?;
    let [width, height] = frame.canvas;
    if area(frame.canvas) == 0 || area(frame.size) == 0 {
        return Err(fail("it has no pixels"));
    }
    let file = frame.file();
    limits.check(width, height, 3 * area(frame.canvas) + area(frame.size) + 2 * file.len() as u64 + DECODER_BYTES)?;
    let indices = decode_indices(&file, limits)?;
    let mut pixels = RgbImage::new(width, height);
    paint(&mut pixels, &indices, &frame);
    Ok(Stored { part: pixels.into(), orientation: Orientation::NoTransforms })
}

fn fail(reason: impl ToString) -> DecodeError {
    Format::Gif.undecodable(reason)
}

/// What the decoder takes for its tables.
const DECODER_BYTES: u64 = 1 << 20;

/// A byte for each pixel of the frame, row by row.
fn decode_indices(file: &[u8], limits: &Limits) -> Result<Vec<u8>, DecodeError> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.set_memory_limit(MemoryLimit::Bytes(NonZeroU64::new(limits.max_decoder_bytes).unwrap_or(NonZeroU64::MIN)));
    let mut decoder = options.read_info(file).map_err(fail)?;
    decoder.next_frame_info().map_err(fail)?.ok_or_else(|| fail("it has no frame"))?;
    let mut indices = vec![0; decoder.buffer_size()];
    decoder.read_into_buffer(&mut indices).map_err(fail)?;
    Ok(indices)
}

/// Paints the frame over the colour that Pillow fills the screen with: the transparent index, or index 0.
fn paint(pixels: &mut RgbImage, indices: &[u8], frame: &Frame) {
    let colors = colors(frame.palette);
    let color = |index: u8| colors[usize::from(index)];
    let background = color(frame.transparent.unwrap_or(0));
    pixels.as_chunks_mut::<3>().0.fill(background);
    let [[left, top], [width, _]] = [frame.origin, frame.size].map(|sides| sides.map(|side| side as usize));
    let stride = 3 * pixels.width() as usize;
    let rows = indices.chunks_exact(width).zip(pixels.chunks_exact_mut(stride).skip(top));
    for (frame_row, row) in rows {
        let (targets, _) = row.as_chunks_mut::<3>();
        for (target, index) in targets.iter_mut().skip(left).zip(frame_row) {
            *target = color(*index);
        }
    }
}

/// The colour of every index: black where a palette is shorter, and grey where there is none, as with Pillow.
fn colors(palette: Option<&[u8]>) -> [[u8; 3]; 256] {
    match palette {
        Some(palette) => std::array::from_fn(|index| palette.as_chunks::<3>().0.get(index).copied().unwrap_or_default()),
        None => std::array::from_fn(|index| [index as u8; 3]),
    }
}
