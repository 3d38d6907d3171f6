//! Changes of layout: from and to the usual one, `[C, H, W]`, and between maps of other borders and strides.

use super::layout::{Map, MapMut};

/// Pixels that are moved together: what they take of both layouts stays in the first cache.
const TILE: usize = 16;

/// Fills `map`, which has all channels, from `planes`, `[C, H, W]`; the border is left alone.
///
/// # Panics
/// When `planes` does not hold C·H·W values, or `map` has not all channels.
pub fn from_planar(planes: &[f32], map: &mut MapMut<'_>) {
    let layout = map.layout();
    assert_eq!(planes.len(), layout.channels() * layout.pixels(), "planes");
    for (y, columns) in map.rows() {
        if (layout.channels(), layout.stride()) == (3, 3) {
            // A picture: its planes are read side by side.
            let row = y * layout.width() + columns.start..y * layout.width() + columns.end;
            let [red, green, blue] = [0, 1, 2].map(|channel| &planes[channel * layout.pixels()..][row.clone()]);
            let (pixels, _) = map.row(y, columns).as_chunks_mut();
            for (((pixel, red), green), blue) in pixels.iter_mut().zip(red).zip(green).zip(blue) {
                *pixel = [*red, *green, *blue];
            }
            continue;
        }
        for first in columns.clone().step_by(TILE) {
            let columns = first..columns.end.min(first + TILE);
            let pixels = map.row(y, columns.clone());
            for (channel, plane) in planes.chunks_exact(layout.pixels()).enumerate() {
                let row = &plane[y * layout.width()..][columns.clone()];
                for (value, to) in row.iter().zip(pixels[channel..].iter_mut().step_by(layout.stride())) {
                    *to = *value;
                }
            }
        }
    }
}

/// Fills `map`, which has all channels and nothing between its pixels, from `pixels`, `[H, W, C]`; the border is left alone.
///
/// # Panics
/// When `pixels` does not hold H·W·C values, or `map` is not such a map.
pub fn from_pixels(pixels: &[f32], map: &mut MapMut<'_>) {
    let (width, channels) = (map.layout().width(), map.layout().channels());
    assert_eq!(pixels.len(), channels * map.layout().pixels(), "pixels");
    for (y, columns) in map.rows() {
        let row = y * width + columns.start..y * width + columns.end;
        map.row(y, columns).copy_from_slice(&pixels[channels * row.start..channels * row.end]);
    }
}

/// Fills `to`, of the same size, from `from`.
///
/// # Panics
/// When the sizes differ.
pub fn copy(from: Map<'_>, to: &mut MapMut<'_>) {
    super::assert_alike(&from.layout(), &to.layout());
    let from = from.part(to.channels());
    for (y, columns) in to.rows() {
        for (x, pixel) in columns.clone().zip(to.pixels_of_row(y, columns)) {
            pixel.copy_from_slice(&from.data()[from.layout().offset(y, x)..][..from.channels()]);
        }
    }
}

/// Fills `planes`, `[C, H, W]`, from `map`.
///
/// # Panics
/// When `planes` does not hold C·H·W values.
pub fn to_planar(map: Map<'_>, planes: &mut [f32]) {
    let layout = map.layout();
    let (height, width, channels) = (layout.height(), layout.width(), layout.channels());
    assert_eq!(planes.len(), channels * layout.pixels(), "planes");
    if planes.is_empty() {
        return;
    }
    for y in 0..height {
        for first in (0..width).step_by(TILE) {
            let start = layout.offset(y, first);
            for (channel, plane) in planes.chunks_exact_mut(height * width).enumerate() {
                let row = &mut plane[y * width + first..y * width + width.min(first + TILE)];
                for (to, value) in row.iter_mut().zip(map.data()[start + channel..].iter().step_by(layout.stride())) {
                    *to = *value;
                }
            }
        }
    }
}
