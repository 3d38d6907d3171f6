//! Makes a JPEG whose coded data ends early fail to decode, where decoders, this one and libjpeg, fill the rest with grey.
//!
//! A decoder that meets a marker while it still needs bits goes on with zeros and says nothing. So the last scan is lengthened with ones: no
//! Huffman code consists of ones alone (T.81, annex C), so that a decoder that reads past the data fails on the spot, while one that has all
//! it needs skips them on its way to the end-of-image marker, as it skips the ones that pad every scan to whole bytes.

use super::jpeg_header::{Header, Segments};

/// 128 ones, byte-stuffed: more than any code and its value take.
const ONES: [[u8; 2]; 16] = [[0xff, 0x00]; 16];
const END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];

/// The file up to its end-of-image marker, with ones before it.
///
/// # Errors
/// Says what is missing: the end-of-image marker, or scans before it.
pub(super) fn fence(bytes: &[u8], header: &Header) -> Result<Vec<u8>, String> {
    let mut rest = header.coded;
    let mut scans = 1;
    let mut scanned = header.scan_components;
    let end = loop {
        rest = skip_coded_data(rest).ok_or("it ends before its end-of-image marker")?;
        let end = bytes.len() - rest.len();
        match next_scan(&mut rest)? {
            Some(components) => (scans, scanned) = (scans + 1, scanned + components),
            None => break end,
        }
    };
    // A progressive file needs at least one scan for the mean of every block and one for the rest.
    if scanned < header.components || (header.progressive && scans < 2) {
        return Err(format!("it ends after {scans} of its scans"));
    }
    Ok([&bytes[..end], ONES.as_flattened(), &END_OF_IMAGE].concat())
}

/// From within a scan to the marker that ends it: one that is no restart marker and no stuffed byte.
fn skip_coded_data(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        rest = &rest[memchr::memchr(0xff, rest)?..];
        match rest.get(1)? {
            0x00 | 0xd0..=0xd7 => rest = &rest[2..],
            0xff => rest = &rest[1..],
            _ => return Some(rest),
        }
    }
}

/// Moves `rest` behind the header of the next scan, and tells how many components that scan has; `None` at the end of the image.
fn next_scan(rest: &mut &[u8]) -> Result<Option<usize>, String> {
    let mut segments = Segments { rest };
    loop {
        match segments.next()? {
            None => return Ok(None),
            Some((0xda, scan)) => {
                *rest = segments.rest;
                return Ok(Some(scan.first().map_or(0, |count| usize::from(*count))));
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coded_data_ends_at_a_marker_that_is_neither_restart_nor_stuffing() {
        let coded = [1, 0xff, 0x00, 2, 0xff, 0xd3, 3, 0xff, 0xff, 0xd9, 9];
        assert_eq!(skip_coded_data(&coded), Some([0xff, 0xd9, 9].as_slice()));
        assert_eq!(skip_coded_data(&coded[..8]), None);
        assert_eq!(skip_coded_data(&[]), None);
    }
}
