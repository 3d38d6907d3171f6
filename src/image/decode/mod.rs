//! Reading a picture's pixels: format by magic bytes, limits from the header, orientation; knows nothing of networks.
//!
//! The pixels are those of Pillow's `Image.open(file).convert("RGB")` followed by `ImageOps.exif_transpose`: alpha is dropped, not composited;
//! a palette's transparency is ignored; colour profiles are ignored; 16-bit samples keep their high byte, except that 16-bit *grey* is cut
//! at 255, as Pillow does. Of animations the first frame is read. All of it is equal bit for bit. JPEGs of 12 bits, lossless or arithmetically
//! coded, and progressive ones whose last scans are missing, are not read. A file that is cut is read if all of the picture's pixels are there.
//!
//! JPEG has a decoder of our own, since no other in Rust rounds as libjpeg-turbo does, and BMP and TIFF have readers of Pillow's leniency. The others are driven directly
//! and not through `image`'s common interface, since that keeps 16-bit PNGs whole and has no memory limit for WebP. Each is given the part of its file
//! that the first picture needs, and nothing else.
//!
//! # Memory
//! Every decoder first reads the header and states what it is about to allocate, which is checked against [`Limits`]. For a picture of 50
//! megapixels that is 150 MB for PNG (rows are converted as they come) and baseline JPEG, 470 MB for progressive JPEG with full chroma (310 MB with 4:2:0), and
//! 200 MB for GIF. Of a JPEG that [`decode_part`] reads, only the pixels and coefficients of the wanted region are held, whatever has been checked.
//! Orientations that turn the picture by a quarter need a second copy of the pixels while they are applied.

mod bmp;
mod foreign;
mod gif;
mod jpeg;
mod orientation;
mod png;
mod tiff;
mod upright;
mod webp;

use std::panic::{AssertUnwindSafe, catch_unwind};

use image::RgbImage;
use image::metadata::Orientation;
use serde::{Serialize, Serializer};

use self::upright::{stored_region, upright, upright_size};
use super::{Part, Region};

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

impl Limits {
    /// Checks what a header says; `bytes` is what decoding takes at most, the decoded pixels included.
    fn check(&self, width: u32, height: u32, bytes: u64) -> Result<(), DecodeError> {
        let pixels = area([width, height]);
        let limits = [
            ("the longer side", u64::from(width.max(height)), u64::from(self.max_side)),
            ("the number of pixels", pixels, self.max_pixels),
            ("the memory to decode it", bytes, self.max_decoder_bytes),
        ];
        match limits.into_iter().find(|(_, actual, limit)| actual > limit) {
            Some((what, actual, limit)) => Err(DecodeError::TooLarge { width, height, what, actual, limit }),
            None => Ok(()),
        }
    }
}

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Baseline and progressive; grey, YCbCr, RGB, CMYK, YCCK.
    Jpeg,
    /// All colour types, 1 to 16 bits, interlaced.
    Png,
    /// Lossy and lossless; the first frame.
    WebP,
    /// The first frame.
    Gif,
    /// Windows and OS/2 bitmaps.
    Bmp,
    /// The first page; 1 to 32 bits, packed as LZW, Deflate, PackBits, JPEG or not at all.
    Tiff,
}

impl Format {
    /// In lower case, as answers, metrics and messages call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::WebP => "webp",
            Self::Gif => "gif",
            Self::Bmp => "bmp",
            Self::Tiff => "tiff",
        }
    }

    /// The format by its magic bytes.
    pub(crate) fn sniff(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::WebP),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [b'B', b'M', ..] => Some(Self::Bmp),
            [b'I', b'I', b'*' | b'+', 0, ..] | [b'M', b'M', 0, b'*' | b'+', ..] => Some(Self::Tiff),
            _ => None,
        }
    }

    fn undecodable(self, reason: impl ToString) -> DecodeError {
        DecodeError::Undecodable { format: self, reason: reason.to_string() }
    }
}

impl Serialize for Format {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
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
    /// No format that is read begins like this; what it is instead, where that is known.
    #[error("not an image in a format that is read (JPEG, PNG, WebP, GIF, BMP, TIFF){}", .0.map_or_else(String::new, |name| format!(": it looks like {name}")))]
    UnsupportedFormat(Option<&'static str>),
    /// Corrupt, truncated, or of a kind that its decoder does not know.
    #[error("undecodable {}: {reason}", format.name())]
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

/// The number of pixels.
fn area([width, height]: [u32; 2]) -> u64 {
    u64::from(width) * u64::from(height)
}

/// What a format's decoder hands over.
struct Stored {
    /// At least the region that is wanted.
    part: Part,
    orientation: Orientation,
}

/// Which region is wanted of a stored picture of this width and height.
type Wanted<'a> = dyn Fn([u32; 2], Orientation) -> Region + 'a;

/// Decodes `bytes` to upright 8-bit RGB.
///
/// # Errors
/// [`DecodeError`]; limits are checked before pixels are read, and a file that ends early is an error, never a partial picture.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded, DecodeError> {
    let (info, part) = decode_part(bytes, limits, Region::whole)?;
    Ok(Decoded { info, pixels: part.pixels })
}

/// As [`decode`], but at least the region that is `wanted` of an upright picture of that width and height.
///
/// A JPEG is transformed and held in memory no further than that region needs; other formats are decoded whole.
///
/// # Errors
/// As [`decode`], wherever in the file the fault lies.
pub fn decode_part(bytes: &[u8], limits: &Limits, wanted: impl Fn([u32; 2]) -> Region) -> Result<(ImageInfo, Part), DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    let format = Format::sniff(bytes).ok_or_else(|| DecodeError::UnsupportedFormat(foreign::name(bytes)))?;
    let Stored { part, orientation } = read(format, bytes, limits, &|size, orientation| {
        let upright_size = upright_size(size, orientation);
        stored_region(wanted(upright_size).within(upright_size), size, orientation)
    })?;
    let [width, height] = part.size;
    if orientation.to_exif() >= 5 {
        // A picture that is turned by a quarter is held twice.
        limits.check(width, height, 2 * part.pixels.len() as u64)?;
    }
    Ok((ImageInfo { format, width, height, orientation: orientation.to_exif() }, upright(part, orientation)))
}

/// Decoders meet hostile bytes here: a panic in one of them is the picture's fault and ends with the picture.
fn read(format: Format, bytes: &[u8], limits: &Limits, wanted: &Wanted) -> Result<Stored, DecodeError> {
    let decode = || match format {
        Format::Jpeg => jpeg::decode(bytes, limits, wanted),
        Format::Png => png::decode(bytes, limits),
        Format::WebP => webp::decode(bytes, limits),
        Format::Gif => gif::decode(bytes, limits),
        Format::Bmp => bmp::decode(bytes, limits),
        Format::Tiff => tiff::decode(bytes, limits),
    };
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err(format.undecodable("its decoder panicked")))
}

/// Drops every fourth byte of `rgba`, in place.
fn drop_alpha(width: u32, height: u32, mut rgba: Vec<u8>) -> Option<RgbImage> {
    let pixels = rgba.len() / 4;
    for pixel in 0..pixels {
        rgba.copy_within(4 * pixel..4 * pixel + 3, 3 * pixel);
    }
    rgba.truncate(3 * pixels);
    RgbImage::from_raw(width, height, rgba)
}
