//! Reading a picture's pixels: format by magic bytes, limits from the header, orientation; knows nothing of networks.

use std::io::Cursor;

use image::RgbImage;
use serde::Serialize;

/// What a picture may cost. All limits are checked before memory is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Width times height.
    pub max_pixels: u64,
    /// Width, and height.
    pub max_side: u32,
    /// What a decoder may allocate, the decoded pixels included.
    pub max_decoder_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_pixels: 50_000_000, max_side: 16_384, max_decoder_bytes: 512 << 20 }
    }
}

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Baseline and progressive; grey, YCbCr, CMYK, YCCK.
    Jpeg,
    /// All colour types, 1 to 16 bits, interlaced.
    Png,
    /// Lossy and lossless; the first frame.
    WebP,
    /// The first frame.
    Gif,
    /// Windows bitmaps.
    Bmp,
}

/// What the file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ImageInfo {
    /// By magic bytes.
    pub format: Format,
    /// Pixels, as stored, before orientation.
    pub width: u32,
    /// Pixels, as stored, before orientation.
    pub height: u32,
    /// EXIF orientation, 1..=8; it has been applied to the pixels.
    pub orientation: u8,
}

/// A decoded picture.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// From the header.
    pub info: ImageInfo,
    /// Upright, 8-bit RGB.
    pub pixels: RgbImage,
}

/// Why a picture was not decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No bytes at all.
    #[error("empty image")]
    Empty,
    /// No format that is read begins like this.
    #[error("not an image in a format that is read (JPEG, PNG, WebP, GIF, BMP)")]
    UnsupportedFormat,
    /// Corrupt, truncated, or of a kind that its decoder does not know.
    #[error("undecodable {format:?}: {reason}")]
    Undecodable {
        /// By magic bytes.
        format: Format,
        /// The decoder's words.
        reason: String,
    },
    /// Over a limit, as its header says.
    #[error("image of {width}×{height}: {what} is {actual}, the limit is {limit}")]
    TooLarge {
        /// From the header.
        width: u32,
        /// From the header.
        height: u32,
        /// Which limit.
        what: &'static str,
        /// What the picture would need.
        actual: u64,
        /// What it may have.
        limit: u64,
    },
}

/// Decodes `bytes` to upright 8-bit RGB.
///
/// # Errors
/// [`DecodeError`]; limits are checked before pixels are read.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded, DecodeError> {
    let _ = (bytes, limits, Cursor::new(bytes));
    unimplemented!()
}
