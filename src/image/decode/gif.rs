//! GIF: the first frame.

use std::num::NonZeroU64;

use gif::{ColorOutput, DecodeOptions, MemoryLimit};
use image::RgbImage;
use image::metadata::Orientation;

use super::{DecodeError, Format, Limits, Stored, area};

/// The answer (3), and the frame's palette indices (1).
const BYTES_PER_PIXEL: u64 = 4;

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Stored, DecodeError> {
    if !has_end(bytes).unwrap_or(false) {
        return Err(Format::Gif.undecodable("it ends before its trailer"));
    }
    let fail = |error: gif::DecodingError| Format::Gif.undecodable(error);
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.check_frame_consistency(true);
    options.set_memory_limit(MemoryLimit::Bytes(NonZeroU64::new(limits.max_decoder_bytes).unwrap_or(NonZeroU64::MIN)));
    let mut decoder = options.read_info(bytes).map_err(fail)?;
    let (width, height) = (u32::from(decoder.width()), u32::from(decoder.height()));
    if width == 0 || height == 0 {
        return Err(Format::Gif.undecodable("it has no pixels"));
    }
    limits.check(width, height, BYTES_PER_PIXEL * area([width, height]))?;
    let frame = decoder.next_frame_info().map_err(fail)?.ok_or_else(|| Format::Gif.undecodable("it has no frame"))?;
    let place = Place { left: frame.left.into(), top: frame.top.into(), width: frame.width.into(), transparent: frame.transparent };
    let mut indices = vec![0; decoder.buffer_size()];
    decoder.read_into_buffer(&mut indices).map_err(fail)?;
    let palette = decoder.palette().map_err(fail)?;
    let mut pixels = RgbImage::new(width, height);
    paint(&mut pixels, &indices, palette, &place);
    Ok(Stored { part: pixels.into(), orientation: Orientation::NoTransforms })
}

/// Whether the blocks go on to the trailer, without decoding them (GIF89a specification, appendix B); `None` where they are cut.
fn has_end(bytes: &[u8]) -> Option<bool> {
    const TRAILER: u8 = 0x3b;
    let flags = *bytes.get(10)?;
    let mut rest = bytes.get(13 + color_table_bytes(flags)..)?;
    loop {
        let (kind, block) = rest.split_first()?;
        rest = match *kind {
            TRAILER => return Some(true),
            // Extension: its label, then data.
            0x21 => after_sub_blocks(block.get(1..)?)?,
            // Frame: nine bytes that end in flags, the colour table, the code size, then data.
            0x2c => after_sub_blocks(block.get(9 + color_table_bytes(*block.get(8)?) + 1..)?)?,
            // Padding, which some writers leave.
            0x00 => block,
            _ => return Some(false),
        };
    }
}

fn color_table_bytes(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

fn after_sub_blocks(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (length, data) = rest.split_first()?;
        rest = data.get(usize::from(*length)..)?;
        if *length == 0 {
            return Some(rest);
        }
    }
}

/// Where the frame lies on the screen.
struct Place {
    left: usize,
    top: usize,
    width: usize,
    transparent: Option<u8>,
}

/// Paints the frame over the colour that Pillow fills the screen with: the transparent index, or index 0.
fn paint(pixels: &mut RgbImage, indices: &[u8], palette: &[u8], place: &Place) {
    let (colors, _) = palette.as_chunks::<3>();
    let color = |index: u8| colors.get(usize::from(index)).copied().unwrap_or_default();
    let stride = 3 * pixels.width() as usize;
    let background = color(place.transparent.unwrap_or(0));
    pixels.as_chunks_mut::<3>().0.fill(background);
    let rows = indices.chunks_exact(place.width.max(1)).zip(pixels.chunks_exact_mut(stride).skip(place.top));
    for (frame_row, row) in rows {
        let (targets, _) = row.as_chunks_mut::<3>();
        for (target, index) in targets.iter_mut().skip(place.left).zip(frame_row) {
            *target = color(*index);
        }
    }
}
