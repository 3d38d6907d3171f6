//! Run-length codes of bitmaps: to an index for each pixel, as Pillow reads them.

use super::header::Fault;

/// A byte for each of `width` × `height` pixels, the first stored row first; those that are skipped, or come behind the code that ends the bitmap, are 0.
///
/// `start` is where the codes begin in the file: literal pixels are padded to an even place of it. `nibbles` says that a pixel has 4 bits instead of 8.
///
/// # Errors
/// When the file ends before the pixels do.
pub(super) fn indices(bytes: &[u8], start: usize, [width, height]: [usize; 2], nibbles: bool) -> Result<Vec<u8>, Fault> {
    const CUT: Fault = "it ends before its last row";
    let count = width * height;
    let mut pixels = Vec::with_capacity(count);
    let mut at = start;
    // The column, which literal pixels may drive beyond the row.
    let mut x = 0;
    while pixels.len() < count {
        let &[length, code] = bytes.get(at..).and_then(<[u8]>::first_chunk).ok_or(CUT)?;
        at += 2;
        match (usize::from(length), code) {
            (0, 0) => {
                pixels.resize(pixels.len().next_multiple_of(width), 0);
                x = 0;
            }
            (0, 1) => pixels.resize(count, 0),
            (0, 2) => {
                let &[right, up] = bytes.get(at..).and_then(<[u8]>::first_chunk).ok_or(CUT)?;
                at += 2;
                pixels.resize((pixels.len() + usize::from(right) + usize::from(up) * width).min(count), 0);
                x = pixels.len() % width;
            }
            (0, literal) => {
                let length = usize::from(literal).min(count - pixels.len());
                let stored = if nibbles { length.div_ceil(2) } else { length };
                let literals = bytes.get(at..).and_then(|rest| rest.get(..stored)).ok_or(CUT)?;
                extend(&mut pixels, literals.iter().copied(), length, nibbles);
                at = (at + stored).next_multiple_of(2);
                x += usize::from(literal);
            }
            (length, color) => {
                let length = length.min(width.saturating_sub(x)).min(count - pixels.len());
                extend(&mut pixels, std::iter::repeat(color), length, nibbles);
                x += length;
            }
        }
    }
    Ok(pixels)
}

/// Appends `length` pixels.
fn extend(pixels: &mut Vec<u8>, stored: impl Iterator<Item = u8>, length: usize, nibbles: bool) {
    if nibbles {
        pixels.extend(stored.flat_map(|pair| [pair >> 4, pair & 15]).take(length));
    } else {
        pixels.extend(stored.take(length));
    }
}
