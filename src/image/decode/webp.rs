//! WebP: lossy and lossless, with and without alpha; of animations the first frame.

use std::io::Cursor;

use image::RgbImage;
use image_webp::WebPDecoder;

use super::{DecodeError, Format, Limits, Stored, drop_alpha, exif};

/// What decoding takes at most for a pixel: the answer (4), a lossless frame (4), and an animation's canvas (4).
const BYTES_PER_PIXEL: u64 = 8;
const BYTES_PER_ANIMATED_PIXEL: u64 = 12;

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Stored, DecodeError> {
    check_length(bytes)?;
    let fail = |error| Format::WebP.undecodable(error);
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(fail)?;
    let (width, height) = decoder.dimensions();
    limits.check(width, height, if decoder.is_animated() { BYTES_PER_ANIMATED_PIXEL } else { BYTES_PER_PIXEL })?;
    decoder.set_memory_limit(usize::try_from(limits.max_decoder_bytes).unwrap_or(usize::MAX));
    let orientation = exif::orientation(decoder.exif_metadata().ok().flatten().as_deref());
    let pixels = if decoder.has_alpha() {
        let mut rgba = vec![0; width as usize * height as usize * 4];
        decoder.read_image(&mut rgba).map_err(fail)?;
        drop_alpha(width, height, rgba).ok_or_else(|| Format::WebP.undecodable("its pixels do not fill it"))?
    } else {
        let mut pixels = RgbImage::new(width, height);
        decoder.read_image(&mut pixels).map_err(fail)?;
        pixels
    };
    Ok(Stored { part: pixels.into(), orientation })
}

/// The RIFF header says how long the file is; the decoder itself does not notice missing chunks at the end.
fn check_length(bytes: &[u8]) -> Result<(), DecodeError> {
    let declared = match bytes {
        [_, _, _, _, a, b, c, d, ..] => u64::from(u32::from_le_bytes([*a, *b, *c, *d])) + 8,
        _ => u64::MAX,
    };
    if (bytes.len() as u64) < declared {
        return Err(Format::WebP.undecodable(format!("it ends after {} of {declared} bytes", bytes.len())));
    }
    Ok(())
}
