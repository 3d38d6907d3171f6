//! The orientation in an EXIF block.

use image::metadata::Orientation;

/// The orientation that `block` asks for; upright where it is absent, unreadable or out of 1..=8.
///
/// `block` is a TIFF structure, with or without the prefix `Exif\0\0` that some writers keep in PNG and WebP.
pub(super) fn orientation(block: Option<&[u8]>) -> Orientation {
    let tiff = block.map(|block| block.strip_prefix(b"Exif\0\0").unwrap_or(block));
    tiff.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms)
}
