//! JPEG: baseline and progressive; grey, YCbCr, RGB, CMYK and YCCK; bit for bit as libjpeg-turbo decodes it.
//!
//! A file that cannot be decoded as a whole is refused, where libjpeg fills the rest with grey and warns.

mod entropy;
mod huffman;
mod kernels;
mod markers;
mod render;
mod standard_tables;
mod store;

use image::RgbImage;

use self::entropy::Entropy;
use self::markers::{Frame, Markers, Scan};
use self::render::Renderer;
use self::store::Store;
use super::super::{Part, Region};
use super::{DecodeError, Format, Limits, Stored, Wanted, area};

pub(super) use self::markers::Color;

pub(super) fn decode(bytes: &[u8], limits: &Limits, wanted: &Wanted) -> Result<Stored, DecodeError> {
    decode_as(None, bytes, limits, wanted)
}

/// Decodes a strip or tile of a TIFF file, whose `tables` are a JPEG file without picture, and may be empty.
pub(super) fn decode_strip(tables: &[u8], strip: &[u8], color: Color, limits: &Limits) -> Result<RgbImage, DecodeError> {
    const START: &[u8] = &[0xff, 0xd8];
    const END: &[u8] = &[0xff, 0xd9];
    let tables = tables.strip_prefix(START).unwrap_or(tables);
    let tables = tables.strip_suffix(END).unwrap_or(tables);
    let file = [START, tables, strip.strip_prefix(START).unwrap_or(strip)].concat();
    Ok(decode_as(Some(color), &file, limits, &|size, _| Region::whole(size))?.part.pixels)
}

/// Decodes `bytes` whose components are of this color; where it is `None`, as the file says.
fn decode_as(color: Option<Color>, bytes: &[u8], limits: &Limits, wanted: &Wanted) -> Result<Stored, DecodeError> {
    let mut markers = Markers::new(bytes);
    let (scan, coded) = markers.next_scan().map_err(fail)?.ok_or_else(|| fail("it has no scan"))?;
    let frame = markers.frame().map_err(fail)?;
    let color = color.unwrap_or_else(|| markers.color(&frame));
    if color.components() != frame.components.len() {
        return Err(fail("it has another number of components than its colours"));
    }
    let (width, height) = (frame.width as u32, frame.height as u32);
    let one_scan = !frame.progressive && scan.components.len() == frame.components.len();
    let coefficient_bytes = if one_scan { 0 } else { Store::bytes(&frame) };
    limits.check(width, height, 3 * area([width, height]) + coefficient_bytes)?;
    let orientation = markers.orientation();
    let region = wanted([width, height], orientation);
    let mut pixels = RgbImage::new(region.columns.len() as u32, region.rows.len() as u32);
    let renderer = Renderer::new(&frame, color, &region, &mut pixels);
    if one_scan {
        decode_scan(&frame, &scan, coded, &markers, renderer).map_err(fail)?;
    } else {
        Store::read(&frame, &renderer.needed(), scan, coded, &mut markers).map_err(fail)?.render(&frame, renderer);
    }
    let part = Part { pixels, origin: [region.columns.start, region.rows.start], size: [width, height] };
    Ok(Stored { part, orientation })
}

fn fail(reason: impl ToString) -> DecodeError {
    Format::Jpeg.undecodable(reason)
}

/// Decodes a sequential scan of all components and renders what is needed. All pixels are in it: what follows, if anything, does not matter.
fn decode_scan(frame: &Frame, scan: &Scan, coded: &[u8], markers: &Markers, mut renderer: Renderer) -> Result<(), String> {
    let mut entropy = Entropy::new(coded, markers.restart_interval());
    let parts = scan.components.iter().map(|of| {
        let component = &frame.components[of.index];
        Ok((of.index, component.sampling, markers.dc_table(*of)?, markers.ac_table(*of)?, markers.quantization(component)?))
    });
    let parts = parts.collect::<Result<Vec<_>, String>>()?;
    for mcu_y in 0..frame.mcus_high() {
        for mcu_x in 0..frame.mcus_wide() {
            let has_data = entropy.begin_mcu()?;
            let needed = renderer.needs([mcu_x, mcu_y]);
            for (part, (of, sampling, dc, ac, steps)) in parts.iter().enumerate() {
                for y in 0..sampling.vertical {
                    for x in 0..sampling.horizontal {
                        if needed {
                            let mut block = [0; 64];
                            let varies = has_data && entropy.whole_block(part, dc, ac, &mut block)?;
                            renderer.transform(*of, [mcu_x * sampling.horizontal + x, y], &block, steps, varies);
                        } else if has_data {
                            entropy.skip_block(part, dc, ac)?;
                        }
                    }
                }
            }
        }
        entropy.check()?;
        renderer.finish_row(mcu_y);
    }
    Ok(())
}
