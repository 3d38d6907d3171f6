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
use super::super::Part;
use super::{DecodeError, Format, Limits, Stored, Wanted, area};

pub(super) fn decode(bytes: &[u8], limits: &Limits, wanted: &Wanted) -> Result<Stored, DecodeError> {
    let mut markers = Markers::new(bytes);
    let (scan, coded) = markers.next_scan().map_err(fail)?.ok_or_else(|| fail("it has no scan"))?;
    let frame = markers.frame().map_err(fail)?;
    let (width, height) = (frame.width as u32, frame.height as u32);
    let one_scan = !frame.progressive && scan.components.len() == frame.components.len();
    let coefficient_bytes = if one_scan { 0 } else { Store::bytes(&frame) };
    limits.check(width, height, 3 * area([width, height]) + coefficient_bytes)?;
    let orientation = markers.orientation();
    let region = wanted([width, height], orientation);
    let mut pixels = RgbImage::new(region.columns.len() as u32, region.rows.len() as u32);
    let renderer = Renderer::new(&frame, markers.color(&frame), &region, &mut pixels);
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
            entropy.begin_mcu()?;
            let needed = renderer.needs([mcu_x, mcu_y]);
            for (part, (of, sampling, dc, ac, steps)) in parts.iter().enumerate() {
                for y in 0..sampling.vertical {
                    for x in 0..sampling.horizontal {
                        if needed {
                            let mut block = [0; 64];
                            let varies = entropy.whole_block(part, dc, ac, &mut block)?;
                            renderer.transform(*of, [mcu_x * sampling.horizontal + x, y], &block, steps, varies);
                        } else {
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
