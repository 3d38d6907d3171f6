//! WebP: lossy and lossless, with and without alpha; of animations the first frame.
//!
//! The decoder is given the coded pixels of the first picture alone. What else a file may have is either not needed (alpha, colour profiles, later
//! frames) or small, and cannot cost anything then.

mod container;
mod lossless;
mod prefix_code;

use std::io::Cursor;

use image::RgbImage;
use image_webp::WebPDecoder;

use self::container::{Coded, Container};
use super::{DecodeError, Format, Limits, Stored, area, drop_alpha};

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Stored, DecodeError> {
    let container = Container::read(bytes).map_err(fail)?;
    let Container { canvas: [width, height], origin, size, coded, ref metadata } = container;
    limits.check(width, height, 0)?;
    limits.check(width, height, decoder_bytes(&container, limits)?)?;
    let frame = decode_frame(coded, size)?;
    let pixels = if size == [width, height] { frame } else { on_canvas(&frame, [width, height], origin) };
    Ok(Stored { part: pixels.into(), orientation: metadata.orientation() })
}

fn fail(reason: impl ToString) -> DecodeError {
    Format::WebP.undecodable(reason)
}

/// What decoding allocates at most.
fn decoder_bytes(container: &Container, limits: &Limits) -> Result<u64, DecodeError> {
    let pixels = area(container.size);
    let canvas = if container.size == container.canvas { 0 } else { 3 * area(container.canvas) };
    let frame = match container.coded {
        // RGB, and luma and chroma of whole macroblocks.
        Coded::Lossy(stream) => 3 * pixels + 3 * area(container.size.map(|side| side.next_multiple_of(16))) / 2 + 4 * stream.len() as u64,
        // RGBA, and RGB made of it.
        Coded::Lossless(stream) => {
            let pixels = 7 * pixels + stream.len() as u64;
            pixels + lossless::table_bytes(stream, limits.max_decoder_bytes.saturating_sub(pixels)).map_err(fail)?
        }
    };
    Ok(frame + canvas)
}

fn decode_frame(coded: Coded, [width, height]: [u32; 2]) -> Result<RgbImage, DecodeError> {
    let mut decoder = WebPDecoder::new(Cursor::new(coded.file())).map_err(fail)?;
    if decoder.has_alpha() {
        let mut rgba = vec![0; width as usize * height as usize * 4];
        decoder.read_image(&mut rgba).map_err(fail)?;
        return drop_alpha(width, height, rgba).ok_or_else(|| fail("its pixels do not fill it"));
    }
    let mut pixels = RgbImage::new(width, height);
    decoder.read_image(&mut pixels).map_err(fail)?;
    Ok(pixels)
}

/// The first frame of an animation on its canvas, which is black around it: Pillow drops the alpha of what is transparent.
fn on_canvas(frame: &RgbImage, [width, height]: [u32; 2], [left, top]: [u32; 2]) -> RgbImage {
    let mut canvas = RgbImage::new(width, height);
    let (stride, start) = (3 * width as usize, 3 * left as usize);
    let rows = canvas.chunks_exact_mut(stride).skip(top as usize);
    for (row, frame_row) in rows.zip(frame.chunks_exact(3 * frame.width() as usize)) {
        row[start..start + frame_row.len()].copy_from_slice(frame_row);
    }
    canvas
}
