//! What the decoder will allocate for a lossless stream beside its pixels (RFC 9649, section 3).
//!
//! A stream may have 65,536 groups of five prefix codes, in 60 bytes each, and the decoder makes tables of up to 100 kB for each of them, so that a picture
//! of one pixel can take gigabytes. How many groups there are is not in the header: it is the largest number in a picture of its own, the entropy
//! image, behind the transforms. So all of this is read here, up to the pixels, with no more memory than the transforms need.

use super::container::Fault;
use super::prefix_code::{Bits, Code, lengths};

/// Prefixes of the lengths of copies.
const LENGTHS: usize = 24;

/// What a group takes without its tables: five times 56 bytes, in a vector that grows by doubling.
const GROUP_BYTES: u64 = 2 * 5 * 56;

/// Bytes for transforms, entropy image and prefix codes of the `stream`; as soon as these are more than `limit`, the count up to there.
///
/// # Errors
/// When the stream ends early or is not one.
pub(super) fn table_bytes(stream: &[u8], limit: u64) -> Result<u64, Fault> {
    let mut bits = Bits::new(stream);
    bits.take(8)?;
    let [mut width, height] = [bits.take(14)? + 1, bits.take(14)? + 1];
    bits.take(4)?;
    let (mut bytes, mut seen) = (0, [false; 4]);
    while bits.flag()? {
        let kind = bits.take(2)?;
        if std::mem::replace(&mut seen[kind], true) {
            return Err("it has a transform twice");
        }
        match kind {
            // Predictor and colour: a pixel for each block.
            0 | 1 => bytes += 4 * read_blocks(&mut bits, [width, height])?.len() as u64,
            // Subtraction of green.
            2 => {}
            // A palette of at most 16 colours puts several pixels in one.
            _ => {
                let colors = bits.take(8)? + 1;
                read_picture(&mut bits, [colors, 1])?;
                width = match colors {
                    0..=2 => width.div_ceil(8),
                    3..=4 => width.div_ceil(4),
                    5..=16 => width.div_ceil(2),
                    _ => width,
                };
            }
        }
    }
    let cached = cached_colors(&mut bits)?;
    let mut groups = 1;
    if bits.flag()? {
        let numbers = read_blocks(&mut bits, [width, height])?;
        groups += numbers.iter().map(|pixel| pixel >> 8 & 0xffff).max().unwrap_or(0) as usize;
        // The decoder keeps numbers of 16 bits, beside the pixels for a while.
        bytes += 6 * numbers.len() as u64;
    }
    for _ in 0..groups {
        bytes += GROUP_BYTES;
        for alphabet in alphabets(cached) {
            bytes += code_bytes(&lengths(&mut bits, alphabet)?);
        }
        if bytes > limit {
            break;
        }
    }
    Ok(bytes)
}

/// What the decoder allocates for a code: a table of 4 bytes for every prefix of up to 10 bits, 2 nodes of 16 bytes for every longer code, and what the
/// allocator needs for both.
fn code_bytes(lengths: &[u8]) -> u64 {
    const TABLE_BITS: u8 = 10;
    let longest = lengths.iter().max().copied().unwrap_or(0);
    match lengths.iter().filter(|length| **length > 0).count() {
        0 | 1 => 0,
        _ => (4 << longest.min(TABLE_BITS)) + 32 * lengths.iter().filter(|length| **length > TABLE_BITS).count() as u64 + 96,
    }
}

/// Symbols of each code of a group: green with the lengths of copies and the remembered colours, red, blue, alpha, distances of copies.
fn alphabets(cached: usize) -> [usize; 5] {
    [256 + LENGTHS + cached, 256, 256, 256, 40]
}

/// How many colours are remembered, to be named again by their place.
fn cached_colors(bits: &mut Bits) -> Result<usize, Fault> {
    if !bits.flag()? {
        return Ok(0);
    }
    match bits.take(4)? {
        size @ 1..=11 => Ok(1 << size),
        _ => Err("its colour cache is of no known size"),
    }
}

/// A picture that has a pixel for each block of one of this width and height; the size of blocks comes first.
fn read_blocks(bits: &mut Bits, size: [usize; 2]) -> Result<Vec<u32>, Fault> {
    let block = 4 << bits.take(3)?;
    read_picture(bits, size.map(|side| side.div_ceil(block)))
}

/// A picture within the stream, which has one group of codes: alpha, red, green, blue from the highest byte on.
fn read_picture(bits: &mut Bits, [width, height]: [usize; 2]) -> Result<Vec<u32>, Fault> {
    let cached = cached_colors(bits)?;
    let mut cache = Cache(vec![0; cached]);
    let [green, red, blue, alpha, distance] = alphabets(cached).map(|alphabet| Code::read(bits, alphabet));
    let (green, red, blue, alpha, distance) = (&green?, &red?, &blue?, &alpha?, &distance?);
    let count = width * height;
    let mut pixels: Vec<u32> = Vec::with_capacity(count);
    while pixels.len() < count {
        match bits.symbol(green)? {
            value @ 0..256 => {
                let [red, blue, alpha] = [bits.symbol(red)?, bits.symbol(blue)?, bits.symbol(alpha)?];
                let pixel = (alpha << 24 | red << 16 | value << 8 | blue) as u32;
                cache.insert(pixel);
                pixels.push(pixel);
            }
            prefix if prefix < 256 + LENGTHS => {
                let length = number(bits, prefix - 256)?;
                let prefix = bits.symbol(distance)?;
                let back = distance_back(number(bits, prefix)?, width);
                let start = pixels.len().checked_sub(back).filter(|_| length <= count - pixels.len()).ok_or("a copy reaches beyond its pixels")?;
                for at in start..start + length {
                    let pixel = pixels[at];
                    // The decoder, whose tables are counted, leaves out what it takes to be there already; so does this, to see the same pixels.
                    if back > 1 {
                        cache.insert(pixel);
                    }
                    pixels.push(pixel);
                }
            }
            place => pixels.push(cache.0[place - 256 - LENGTHS]),
        }
    }
    Ok(pixels)
}

/// Colours by their hash; as many as a power of two, or none.
struct Cache(Vec<u32>);

impl Cache {
    fn insert(&mut self, pixel: u32) {
        if !self.0.is_empty() {
            let place = (u64::from(pixel.wrapping_mul(0x1e35_a7bd)) * self.0.len() as u64) >> 32;
            self.0[place as usize] = pixel;
        }
    }
}

/// The number that begins with `prefix`, of a length or a distance.
fn number(bits: &mut Bits, prefix: usize) -> Result<usize, Fault> {
    if prefix < 4 {
        return Ok(prefix + 1);
    }
    let extra = (prefix - 2) / 2;
    Ok(((2 + prefix % 2) << extra) + bits.take(extra as u32)? + 1)
}

/// How many pixels before lies what has this number: 1..=120 are places near by, in rows of `width` pixels.
fn distance_back(number: usize, width: usize) -> usize {
    /// Rows above in the upper four bits, columns to the left in the lower ones, which are 8 less.
    #[rustfmt::skip]
    const NEAR: [u8; 120] = [
        0x18, 0x07, 0x17, 0x19, 0x28, 0x06, 0x27, 0x29, 0x16, 0x1a, 0x26, 0x2a, 0x38, 0x05, 0x37, 0x39, 0x15, 0x1b, 0x36, 0x3a,
        0x25, 0x2b, 0x48, 0x04, 0x47, 0x49, 0x14, 0x1c, 0x35, 0x3b, 0x46, 0x4a, 0x24, 0x2c, 0x58, 0x45, 0x4b, 0x34, 0x3c, 0x03,
        0x57, 0x59, 0x13, 0x1d, 0x56, 0x5a, 0x23, 0x2d, 0x44, 0x4c, 0x55, 0x5b, 0x33, 0x3d, 0x68, 0x02, 0x67, 0x69, 0x12, 0x1e,
        0x66, 0x6a, 0x22, 0x2e, 0x54, 0x5c, 0x43, 0x4d, 0x65, 0x6b, 0x32, 0x3e, 0x78, 0x01, 0x77, 0x79, 0x53, 0x5d, 0x11, 0x1f,
        0x64, 0x6c, 0x42, 0x4e, 0x76, 0x7a, 0x21, 0x2f, 0x75, 0x7b, 0x31, 0x3f, 0x63, 0x6d, 0x52, 0x5e, 0x00, 0x74, 0x7c, 0x41,
        0x4f, 0x10, 0x20, 0x62, 0x6e, 0x30, 0x73, 0x7d, 0x51, 0x5f, 0x40, 0x72, 0x7e, 0x61, 0x6f, 0x50, 0x71, 0x7f, 0x60, 0x70,
    ];
    match NEAR.get(number - 1) {
        Some(near) => (usize::from(near >> 4) * width + 8).saturating_sub(usize::from(near & 15)).max(1),
        None => number - NEAR.len(),
    }
}
