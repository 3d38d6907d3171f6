//! Unpacks one strip or tile of a TIFF file into as many bytes as it should have: a strip that would yield more costs no more.

use std::borrow::Cow;

use miniz_oxide::inflate::core::inflate_flags::{TINFL_FLAG_PARSE_ZLIB_HEADER, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use weezl::BitOrder;
use weezl::decode::Decoder;

/// How strips and tiles are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Lzw,
    Deflate,
    PackBits,
    /// Of Technical Note 2: each strip is a JPEG file, but for its tables.
    Jpeg,
}

impl Compression {
    /// By the value of the tag.
    ///
    /// # Errors
    /// Names what is not read.
    pub(super) fn of(value: u64) -> Result<Self, String> {
        let name = match value {
            1 => return Ok(Self::None),
            5 => return Ok(Self::Lzw),
            7 => return Ok(Self::Jpeg),
            8 | 32_946 => return Ok(Self::Deflate),
            32_773 => return Ok(Self::PackBits),
            2..=4 | 32_771 => "CCITT fax",
            6 => "old-style JPEG",
            33_003 | 33_005 | 34_712 => "JPEG 2000",
            34_887 => "LERC",
            34_925 => "LZMA",
            50_000 | 34_926 => "Zstandard",
            50_001 | 34_927 => "WebP",
            _ => return Err(format!("compression {value} is not read")),
        };
        Err(format!("{name} compression is not read"))
    }
}

/// Unpacks one strip or tile after the other, with memory that is made once: there may be millions of them.
pub(super) struct Unpacker {
    compression: Compression,
    deflate: Box<DecompressorOxide>,
    lzw: Decoder,
}

impl Unpacker {
    pub(super) fn new(compression: Compression) -> Self {
        Self { compression, deflate: Box::default(), lzw: Decoder::with_tiff_size_switch(BitOrder::Msb, 8) }
    }

    /// Fills `out`; `None` where the packed bytes do not.
    pub(super) fn unpack(&mut self, packed: &[u8], out: &mut [u8]) -> Option<()> {
        match self.compression {
            Compression::None => out.copy_from_slice(packed.get(..out.len())?),
            Compression::Lzw => unpack_lzw(&mut self.lzw, packed, out)?,
            Compression::Deflate => unpack_deflate(&mut self.deflate, packed, out)?,
            Compression::PackBits => unpack_bits(packed, out)?,
            Compression::Jpeg => return None,
        }
        Some(())
    }
}

fn unpack_lzw(decoder: &mut Decoder, mut packed: &[u8], mut out: &mut [u8]) -> Option<()> {
    decoder.reset();
    while !out.is_empty() {
        let result = decoder.decode_bytes(packed, out);
        if result.status.is_err() || (result.consumed_in == 0 && result.consumed_out == 0) {
            return None;
        }
        packed = &packed[result.consumed_in..];
        out = &mut out[result.consumed_out..];
    }
    Some(())
}

fn unpack_deflate(decompressor: &mut DecompressorOxide, packed: &[u8], out: &mut [u8]) -> Option<()> {
    decompressor.init();
    let flags = TINFL_FLAG_PARSE_ZLIB_HEADER | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (_, _, written) = decompress(decompressor, packed, out, 0, flags);
    (written == out.len()).then_some(())
}

/// TIFF 6.0, section 9.
fn unpack_bits(mut packed: &[u8], mut out: &mut [u8]) -> Option<()> {
    while !out.is_empty() {
        let (head, rest) = packed.split_first()?;
        packed = rest;
        let length = match *head {
            128 => continue,
            literal @ 0..128 => {
                let (run, rest) = packed.split_at_checked(usize::from(literal) + 1)?;
                packed = rest;
                let length = run.len().min(out.len());
                out[..length].copy_from_slice(&run[..length]);
                length
            }
            repeat => {
                let (byte, rest) = packed.split_first()?;
                packed = rest;
                let length = (257 - usize::from(repeat)).min(out.len());
                out[..length].fill(*byte);
                length
            }
        };
        out = &mut out[length..];
    }
    Some(())
}

/// The bytes with the lowest bit first, where `reversed` (tag FillOrder) says so.
pub(super) fn in_order(packed: &[u8], reversed: bool) -> Cow<'_, [u8]> {
    if reversed { packed.iter().map(|byte| byte.reverse_bits()).collect() } else { packed.into() }
}

/// Undoes horizontal differencing (TIFF 6.0, section 14) in a row of values of so many bytes, each the difference to the one `samples` before.
pub(super) fn add_up(row: &mut [u8], bytes: usize, samples: usize, big_endian: bool) {
    for at in (bytes * samples..row.len()).step_by(bytes) {
        let mut carry = 0;
        for byte in 0..bytes {
            // From the lowest byte on.
            let byte = at + if big_endian { bytes - 1 - byte } else { byte };
            let Some(before) = row.get(byte - bytes * samples).copied() else { return };
            let Some(value) = row.get_mut(byte) else { return };
            let sum = u16::from(*value) + u16::from(before) + carry;
            (*value, carry) = (sum as u8, sum >> 8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_bits_are_runs_and_literals() {
        let packed = [0xfe, 0xaa, 0x02, 0x80, 0x00, 0x2a, 0x80, 0xfd, 0xaa];
        let mut out = [0; 8];
        let mut unpacker = Unpacker::new(Compression::PackBits);
        assert_eq!(unpacker.unpack(&packed, &mut out), Some(()));
        assert_eq!(out, [0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0xaa, 0xaa]);
        assert_eq!(unpacker.unpack(&packed[..5], &mut out), None, "it is cut");
    }

    #[test]
    fn what_a_strip_leaves_behind_does_not_reach_the_next_one() {
        // "abc", whole and cut, in stored blocks of zlib and in codes of 9 bits.
        let deflate = [0x78, 0x01, 0x01, 0x03, 0x00, 0xfc, 0xff, b'a', b'b', b'c', 0x02, 0x4d, 0x01, 0x27];
        let lzw = [0x80, 0x18, 0x4c, 0x46, 0x38, 0x08];
        for (compression, packed) in [(Compression::Deflate, &deflate[..]), (Compression::Lzw, &lzw)] {
            let (mut unpacker, mut out) = (Unpacker::new(compression), [0; 3]);
            for _ in 0..2 {
                assert_eq!(unpacker.unpack(&packed[..3], &mut out), None, "{compression:?} is cut");
                out.fill(0);
                assert_eq!((unpacker.unpack(packed, &mut out), &out), (Some(()), b"abc"), "{compression:?}");
            }
        }
    }

    #[test]
    fn differences_carry_over_within_a_value_and_not_beyond() {
        let mut row = [0xff, 0x00, 0x01, 0x00, 0xff, 0xff];
        add_up(&mut row, 2, 1, false);
        assert_eq!(row, [0xff, 0x00, 0x00, 0x01, 0xff, 0x00]);
        let mut row = [0x00, 0xff, 0x00, 0x01];
        add_up(&mut row, 2, 1, true);
        assert_eq!(row, [0x00, 0xff, 0x01, 0x00]);
        let mut row = [250, 1, 10, 1];
        add_up(&mut row, 1, 2, false);
        assert_eq!(row, [250, 1, 4, 2]);
    }
}
