//! JPEG: baseline and progressive; grey, YCbCr, RGB, CMYK and YCCK.

use image::RgbImage;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::jpeg_header::{Color, Header};
use super::jpeg_scans::fence;
use super::{DecodeError, Format, Limits, Stored};

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Stored, DecodeError> {
    let header = Header::read(bytes).map_err(fail)?;
    let inks = if matches!(header.color, Color::Cmyk | Color::Ycck) { 4 } else { 0 };
    limits.check(header.width, header.height, 3 + inks + header.coefficient_bytes())?;
    let bytes = fence(bytes, &header).map_err(fail)?;
    let mut pixels = RgbImage::new(header.width, header.height);
    match header.color {
        Color::Grey | Color::YCbCr | Color::Rgb => run(&bytes, ColorSpace::RGB, &mut pixels)?,
        Color::Cmyk => decode_inks(&bytes, ColorSpace::CMYK, &mut pixels, |inks| inks)?,
        Color::Ycck => decode_inks(&bytes, ColorSpace::YCCK, &mut pixels, ycck_to_cmyk)?,
    }
    Ok(Stored { pixels, orientation: header.orientation })
}

fn fail(reason: impl ToString) -> DecodeError {
    Format::Jpeg.undecodable(reason)
}

/// Decodes into `output`, which is exactly as long as the picture is in `space`.
fn run(bytes: &[u8], space: ColorSpace, output: &mut [u8]) -> Result<(), DecodeError> {
    let options = DecoderOptions::default().set_strict_mode(true).set_max_width(usize::MAX).set_max_height(usize::MAX).jpeg_set_out_colorspace(space);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(fail)?;
    if decoder.output_buffer_size() != Some(output.len()) {
        return Err(fail("its headers contradict each other"));
    }
    decoder.decode_into(output).map_err(fail)
}

fn decode_inks(bytes: &[u8], space: ColorSpace, pixels: &mut RgbImage, to_cmyk: fn([u8; 4]) -> [u8; 4]) -> Result<(), DecodeError> {
    let mut inks = vec![0; pixels.len() / 3 * 4];
    run(bytes, space, &mut inks)?;
    for (rgb, stored) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(inks.as_chunks::<4>().0) {
        *rgb = inverted_cmyk_to_rgb(to_cmyk(*stored));
    }
    Ok(())
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
    const ONE: i32 = 1 << 16;
    const HALF: i32 = ONE / 2;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((91_881 * cr + HALF) >> 16);
    let green = y + ((-22_554 * cb - 46_802 * cr + HALF) >> 16);
    let blue = y + ((116_130 * cb + HALF) >> 16);
    let [c, m, yellow] = [red, green, blue].map(|light| (255 - light).clamp(0, 255) as u8);
    [c, m, yellow, k]
}
