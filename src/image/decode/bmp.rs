//! Windows bitmaps.

use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, RgbImage};

use super::{DecodeError, Format, Limits, Stored, area, drop_alpha};

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Stored, DecodeError> {
    let decoder = BmpDecoder::new(Cursor::new(bytes)).map_err(fail)?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(fail("it has no pixels"));
    }
    let mut pixels = match decoder.color_type() {
        ColorType::Rgb8 => {
            limits.check(width, height, 3 * area([width, height]))?;
            let mut pixels = RgbImage::new(width, height);
            decoder.read_image(&mut pixels).map_err(fail)?;
            pixels
        }
        ColorType::Rgba8 => {
            limits.check(width, height, 4 * area([width, height]))?;
            let mut rgba = vec![0; width as usize * height as usize * 4];
            decoder.read_image(&mut rgba).map_err(fail)?;
            drop_alpha(width, height, rgba).ok_or_else(|| fail("its pixels do not fill it"))?
        }
        other => return Err(fail(format!("colour type {other:?}"))),
    };
    if let Some(levels) = channel_levels(bytes) {
        stretch_as_pillow(&mut pixels, levels);
    }
    Ok(Stored { part: pixels.into(), orientation: Orientation::NoTransforms })
}

fn fail(reason: impl ToString) -> DecodeError {
    Format::Bmp.undecodable(reason)
}

/// The largest red, green and blue value of a 16-bit bitmap; `None` for other depths and for layouts that Pillow does not read.
fn channel_levels(bytes: &[u8]) -> Option<[u32; 3]> {
    const BIT_FIELDS: u32 = 3;
    let depth = u16::from_le_bytes(*bytes.get(28..)?.first_chunk()?);
    let word = |at: usize| bytes.get(at..).and_then(<[u8]>::first_chunk).map(|word| u32::from_le_bytes(*word));
    match (depth, word(30)?) {
        (16, BIT_FIELDS) if word(58)? == 0x07e0 => Some([31, 63, 31]),
        (16, _) => Some([31, 31, 31]),
        _ => None,
    }
}

/// Stretches 5 and 6 bits to 8 by cutting, as Pillow does; the decoder has rounded.
fn stretch_as_pillow(pixels: &mut RgbImage, levels: [u32; 3]) {
    let tables = levels.map(|level| {
        let stored = |sample: u32| (sample * level + 127) / 255;
        std::array::from_fn::<u8, 256, _>(|sample| (stored(sample as u32) * 255 / level) as u8)
    });
    for pixel in pixels.as_chunks_mut::<3>().0 {
        for (sample, table) in pixel.iter_mut().zip(&tables) {
            *sample = table[usize::from(*sample)];
        }
    }
}
