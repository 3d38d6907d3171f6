//! What an EXIF orientation does to pixels, and to where they lie.

use image::DynamicImage;
use image::metadata::Orientation;

use super::super::{Part, Region};

/// The picture that `orientation` makes of a stored one.
pub(super) fn upright(stored: Part, orientation: Orientation) -> Part {
    if orientation == Orientation::NoTransforms {
        return stored;
    }
    let region = turned(stored.region(), stored.size, orientation);
    let mut pixels = DynamicImage::ImageRgb8(stored.pixels);
    pixels.apply_orientation(orientation);
    Part { pixels: pixels.into_rgb8(), origin: [region.columns.start, region.rows.start], size: upright_size(stored.size, orientation) }
}

/// Width and height of the picture that `orientation` makes of a stored one.
pub(super) fn upright_size([width, height]: [u32; 2], orientation: Orientation) -> [u32; 2] {
    if orientation.to_exif() < 5 { [width, height] } else { [height, width] }
}

/// Where the `region` of the upright picture lies in the stored one, which has `size`.
pub(super) fn stored_region(region: Region, size: [u32; 2], orientation: Orientation) -> Region {
    let back = match orientation {
        Orientation::Rotate90 => Orientation::Rotate270,
        Orientation::Rotate270 => Orientation::Rotate90,
        other => other,
    };
    turned(region, upright_size(size, orientation), back)
}

/// Where `orientation` moves a `region` of a picture of `width` and `height`.
fn turned(Region { columns, rows }: Region, [width, height]: [u32; 2], orientation: Orientation) -> Region {
    let from_right = width - columns.end..width - columns.start;
    let from_below = height - rows.end..height - rows.start;
    let (columns, rows) = match orientation {
        Orientation::NoTransforms => (columns, rows),
        Orientation::FlipHorizontal => (from_right, rows),
        Orientation::Rotate180 => (from_right, from_below),
        Orientation::FlipVertical => (columns, from_below),
        Orientation::Rotate90FlipH => (rows, columns),
        Orientation::Rotate90 => (from_below, columns),
        Orientation::Rotate270FlipH => (from_below, from_right),
        Orientation::Rotate270 => (rows, from_right),
    };
    Region { columns, rows }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

    fn cut(picture: &RgbImage, region: &Region) -> RgbImage {
        let (width, height) = (region.columns.len() as u32, region.rows.len() as u32);
        RgbImage::from_fn(width, height, |x, y| *picture.get_pixel(region.columns.start + x, region.rows.start + y))
    }

    #[test]
    fn a_region_of_the_upright_picture_is_found_in_the_stored_one_and_comes_back() {
        let stored = RgbImage::from_fn(9, 6, |x, y| Rgb([x as u8, y as u8, 0]));
        for orientation in (1..=8).filter_map(Orientation::from_exif) {
            let whole = upright(stored.clone().into(), orientation);
            let region = Region { columns: 1..3, rows: 2..5 };
            let there = stored_region(region.clone(), [9, 6], orientation);
            let part = Part { pixels: cut(&stored, &there), origin: [there.columns.start, there.rows.start], size: [9, 6] };
            let part = upright(part, orientation);
            assert_eq!((part.region(), part.size), (region.clone(), whole.size), "{orientation:?}");
            assert_eq!(part.pixels, cut(&whole.pixels, &region), "{orientation:?}");
        }
    }
}
