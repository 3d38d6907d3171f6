//! The chunks of a PNG file (PNG specification, third edition, section 5): which of them the still picture needs, and what its metadata says.

use std::borrow::Cow;

use super::super::orientation::Metadata;

/// What is read of a file.
#[derive(Default)]
pub(super) struct Chunks<'a> {
    /// Whole chunks: header, palette, transparency, pixels.
    still: Vec<&'a [u8]>,
    exif: Option<&'a [u8]>,
    /// `Raw profile type exif`, which ImageMagick writes.
    raw_exif: Option<Text<'a>>,
    xmp: Option<Text<'a>>,
}

impl<'a> Chunks<'a> {
    /// Reads the chunks of a whole file, up to its end chunk or to where it is cut.
    pub(super) fn read(bytes: &'a [u8]) -> Self {
        let mut chunks = Self::default();
        let mut rest = bytes.get(SIGNATURE.len()..).unwrap_or_default();
        while let Some((length, _)) = rest.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            let end = length.saturating_add(12).min(rest.len());
            let (chunk, after) = rest.split_at(end);
            rest = after;
            match (chunk.get(4..8), chunk.get(8..length.saturating_add(8))) {
                (Some(b"IEND"), _) => break,
                // Pixels are good up to where they are cut.
                (Some(b"IHDR" | b"PLTE" | b"tRNS" | b"IDAT"), _) => chunks.still.push(chunk),
                (Some(kind), Some(data)) => chunks.note(kind, data),
                _ => break,
            }
        }
        chunks
    }

    /// Of several, the last one counts, as with Pillow.
    fn note(&mut self, kind: &[u8], data: &'a [u8]) {
        if kind == b"eXIf" {
            self.exif = Some(data);
        }
        match Text::of(kind, data) {
            Some((b"Raw profile type exif", text)) => self.raw_exif = Some(text),
            Some((b"XML:com.adobe.xmp", text)) => self.xmp = Some(text),
            _ => {}
        }
    }

    /// A file of the still picture alone.
    pub(super) fn file(&self) -> Vec<u8> {
        const END: [u8; 12] = [0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82];
        let parts = [SIGNATURE.as_slice()].into_iter().chain(self.still.iter().copied()).chain([END.as_slice()]);
        parts.collect::<Vec<_>>().concat()
    }

    pub(super) fn metadata(&self) -> Metadata<'a> {
        let raw_exif = || self.raw_exif.as_ref().and_then(Text::unpack).and_then(|text| raw_profile(&text)).map(Cow::from);
        Metadata { exif: self.exif.map(Cow::from).or_else(raw_exif), xmp: self.xmp.as_ref().and_then(Text::unpack) }
    }
}

const SIGNATURE: &[u8; 8] = b"\x89PNG\r\n\x1a\n";

/// Text, which may be compressed.
enum Text<'a> {
    Plain(&'a [u8]),
    Compressed(&'a [u8]),
}

impl<'a> Text<'a> {
    /// The keyword and the text of a chunk that has text.
    fn of(kind: &[u8], data: &'a [u8]) -> Option<(&'a [u8], Self)> {
        let (keyword, rest) = at_zero(data)?;
        let text = match (kind, rest) {
            (b"tEXt", _) => Self::Plain(rest),
            (b"zTXt", [0, packed @ ..]) => Self::Compressed(packed),
            // Behind the language and the translated keyword.
            (b"iTXt", [0, _, international @ ..]) => Self::Plain(at_zero(at_zero(international)?.1)?.1),
            (b"iTXt", [_, 0, international @ ..]) => Self::Compressed(at_zero(at_zero(international)?.1)?.1),
            _ => return None,
        };
        Some((keyword, text))
    }

    /// The text, if it is no longer than Pillow takes, 1 MiB.
    fn unpack(&self) -> Option<Cow<'a, [u8]>> {
        const MAX_TEXT_BYTES: usize = 1 << 20;
        match self {
            Self::Plain(text) => Some(Cow::from(*text)),
            Self::Compressed(packed) => miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(packed, MAX_TEXT_BYTES).ok().map(Cow::from),
        }
    }
}

/// What lies before and behind the first zero.
fn at_zero(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let zero = memchr::memchr(0, bytes)?;
    Some((&bytes[..zero], &bytes[zero + 1..]))
}

/// What a raw profile holds in hexadecimal digits, behind its third line break.
fn raw_profile(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.splitn(4, |byte| *byte == b'\n').nth(3)?.iter().filter(|byte| !byte.is_ascii_whitespace());
    let digits = digits.map(|digit| char::from(*digit).to_digit(16).map(|digit| digit as u8)).collect::<Option<Vec<_>>>()?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
