//! The orientation that a file asks for: in EXIF, or in XMP where EXIF has none, as Pillow's `exif_transpose` looks for it.

use std::borrow::Cow;

use image::metadata::Orientation;

/// What a file says of its picture beside the pixels.
#[derive(Default)]
pub(super) struct Metadata<'a> {
    /// A TIFF structure, with or without the prefix `Exif\0\0`.
    pub(super) exif: Option<Cow<'a, [u8]>>,
    /// A packet of XML.
    pub(super) xmp: Option<Cow<'a, [u8]>>,
}

impl Metadata<'_> {
    /// Upright where it is absent, unreadable or out of 1..=8.
    pub(super) fn orientation(&self) -> Orientation {
        let asked = self.exif.as_deref().and_then(in_exif).or_else(|| self.xmp.as_deref().and_then(in_xmp));
        asked.and_then(|value| Orientation::from_exif(value.try_into().ok()?)).unwrap_or(Orientation::NoTransforms)
    }
}

/// The value of the tag in the first directory of `block`; 0 where it is none of a whole number.
fn in_exif(block: &[u8]) -> Option<u32> {
    const ORIENTATION: u16 = 0x0112;
    const PREFIX: &[u8] = b"Exif\0\0";
    // Some writers keep the prefix of JPEG where it has no business, beside that of their own format.
    let bytes = (0..2).fold(block, |block, _| block.strip_prefix(PREFIX).unwrap_or(block));
    let tiff = Tiff { bytes, big_endian: bytes.starts_with(b"MM") };
    if !tiff.big_endian && !tiff.bytes.starts_with(b"II") {
        return None;
    }
    let directory = tiff.long(4)? as usize;
    let entries = (0..usize::from(tiff.short(directory)?)).map(|entry| directory + 2 + 12 * entry);
    let mut found = None;
    for entry in entries.take_while(|entry| entry + 12 <= tiff.bytes.len()).filter(|entry| tiff.short(*entry) == Some(ORIENTATION)) {
        found = match (tiff.short(entry + 2)?, tiff.long(entry + 4)?) {
            // SHORT and SSHORT, LONG and SLONG.
            (3 | 8, 1) => tiff.short(entry + 8).map(u32::from),
            (4 | 9, 1) => tiff.long(entry + 8),
            _ => Some(0),
        };
    }
    found
}

/// Numbers at places of a TIFF structure.
struct Tiff<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl Tiff<'_> {
    fn short(&self, at: usize) -> Option<u16> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn long(&self, at: usize) -> Option<u32> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }
}

/// The digit behind the first `tiff:Orientation="` or `tiff:Orientation>` of `packet`.
fn in_xmp(packet: &[u8]) -> Option<u32> {
    const NAME: &[u8] = b"tiff:Orientation";
    let values = memchr::memmem::find_iter(packet, NAME).filter_map(|at| {
        let rest = &packet[at + NAME.len()..];
        let value = rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"))?;
        value.first().filter(|digit| digit.is_ascii_digit())
    });
    values.map(|digit| u32::from(digit - b'0')).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of one entry.
    fn tiff(entry: [u8; 12]) -> Vec<u8> {
        [b"II*\0\x08\0\0\0\x01\0".as_slice(), &entry, &[0; 4]].concat()
    }

    fn orientation(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> u8 {
        Metadata { exif: exif.map(Cow::from), xmp: xmp.map(Cow::from) }.orientation().to_exif()
    }

    #[test]
    fn the_tag_may_be_of_any_whole_number_and_no_other() {
        for (kind, value) in [(1, 1), (2, 1), (3, 6), (4, 6), (5, 1), (7, 1), (8, 6), (9, 6)] {
            let exif = tiff([0x12, 0x01, kind, 0, 1, 0, 0, 0, 6, 0, 0, 0]);
            assert_eq!(orientation(Some(&exif), None), value, "type {kind}");
            assert_eq!(orientation(Some(&[b"Exif\0\0Exif\0\0".as_slice(), &exif].concat()), None), value, "type {kind}");
        }
        assert_eq!(orientation(Some(&tiff([0x12, 0x01, 3, 0, 2, 0, 0, 0, 6, 0, 6, 0])), None), 1, "two values");
    }

    #[test]
    fn xmp_counts_where_exif_has_no_orientation() {
        let other = tiff([0x0f, 0x01, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0]);
        let wrong = tiff([0x12, 0x01, 3, 0, 1, 0, 0, 0, 9, 0, 0, 0]);
        for xmp in [b"<a tiff:Orientation=\"8\"/>".as_slice(), b"tiff:Orientation='3' <tiff:Orientation>8</tiff:Orientation>"] {
            assert_eq!(orientation(None, Some(xmp)), 8);
            assert_eq!(orientation(Some(&other), Some(xmp)), 8);
            assert_eq!(orientation(Some(b"Exif\0\0"), Some(xmp)), 8);
            assert_eq!(orientation(Some(&wrong), Some(xmp)), 1, "EXIF has one, if a wrong one");
        }
    }

    #[test]
    fn what_is_cut_is_upright() {
        let exif = tiff([0x12, 0x01, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0]);
        for end in 0..exif.len() - 4 {
            assert_eq!(orientation(Some(&exif[..end]), None), 1);
        }
    }
}
