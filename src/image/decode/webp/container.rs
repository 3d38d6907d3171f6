//! The container of a WebP file (RFC 9649, section 2): where its first picture and its metadata lie; knows nothing of coded pixels but their size.
//!
//! The alpha channel of a lossy picture, which is a chunk of its own, is left out: the pixels that are read have none.

use std::borrow::Cow;

use super::super::orientation::Metadata;

/// Why the container cannot be read.
pub(super) type Fault = &'static str;

/// What a file has, of an animation its first frame.
pub(super) struct Container<'a> {
    /// Width and height of the whole picture.
    pub(super) canvas: [u32; 2],
    /// Where the frame lies on it: x and y.
    pub(super) origin: [u32; 2],
    /// Its width and height.
    pub(super) size: [u32; 2],
    pub(super) coded: Coded<'a>,
    pub(super) metadata: Metadata<'a>,
}

/// Coded pixels.
#[derive(Debug, Clone, Copy)]
pub(super) enum Coded<'a> {
    Lossy(&'a [u8]),
    Lossless(&'a [u8]),
}

impl<'a> Container<'a> {
    /// Reads a whole file.
    ///
    /// # Errors
    /// Says what is missing.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Cow<'static, str>> {
        let mut chunks = Chunks(bytes_of_riff(bytes)?);
        match chunks.next().ok_or("it has no chunk")?? {
            (b"VP8X", header) => Ok(Self::extended(header, chunks)?),
            (kind, data) => {
                let coded = Coded::of(kind, data).ok_or("its first chunk is no picture")?;
                let size = coded.size()?;
                Ok(Self { canvas: size, origin: [0, 0], size, coded, metadata: Metadata::default() })
            }
        }
    }

    fn extended(header: &[u8], chunks: Chunks<'a>) -> Result<Self, Fault> {
        const ANIMATED: u8 = 0x02;
        let (flags, canvas) = match header {
            [flags, _, _, _, w0, w1, w2, h0, h1, h2, ..] => (flags, [[*w0, *w1, *w2], [*h0, *h1, *h2]].map(|side| number(side) + 1)),
            _ => return Err("its header is cut"),
        };
        let (mut frame, mut metadata) = (None, Metadata::default());
        for chunk in chunks {
            match chunk? {
                (b"EXIF", data) => metadata.exif = metadata.exif.or(Some(data.into())),
                (b"XMP ", data) => metadata.xmp = metadata.xmp.or(Some(data.into())),
                (b"ANMF", data) if flags & ANIMATED != 0 && frame.is_none() => frame = Some(animated(data)?),
                (kind, data) if flags & ANIMATED == 0 && frame.is_none() => frame = Coded::of(kind, data).map(|coded| ([0, 0], canvas, coded)),
                _ => {}
            }
        }
        let (origin, size, coded) = frame.ok_or("it has no picture")?;
        if coded.size()? != size {
            return Err("its picture is of another size than its header says");
        }
        if (0..2).any(|side| u64::from(origin[side]) + u64::from(size[side]) > u64::from(canvas[side])) {
            return Err("its first frame lies outside of the picture");
        }
        Ok(Self { canvas, origin, size, coded, metadata })
    }
}

/// Origin, size and picture of a frame.
fn animated(data: &[u8]) -> Result<([u32; 2], [u32; 2], Coded<'_>), Fault> {
    let (header, chunks) = data.split_first_chunk::<16>().ok_or("its first frame is cut")?;
    let [x, y, width, height] = [0, 3, 6, 9].map(|at| number([header[at], header[at + 1], header[at + 2]]));
    for chunk in Chunks(chunks) {
        let (kind, data) = chunk?;
        if let Some(coded) = Coded::of(kind, data) {
            return Ok(([2 * x, 2 * y], [width + 1, height + 1], coded));
        }
    }
    Err("its first frame has no picture")
}

impl<'a> Coded<'a> {
    fn of(kind: &[u8; 4], data: &'a [u8]) -> Option<Self> {
        match kind {
            b"VP8 " => Some(Self::Lossy(data)),
            b"VP8L" => Some(Self::Lossless(data)),
            _ => None,
        }
    }

    /// Width and height, as the coded pixels themselves say (RFC 6386, section 9.1; RFC 9649, section 3.4).
    fn size(self) -> Result<[u32; 2], Fault> {
        let size = match self {
            Self::Lossy([_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..]) => {
                [[*w0, *w1], [*h0, *h1]].map(|side| u32::from(u16::from_le_bytes(side) & 0x3fff))
            }
            Self::Lossless([0x2f, a, b, c, d, ..]) => {
                let sides = u32::from_le_bytes([*a, *b, *c, *d]);
                [sides, sides >> 14].map(|side| (side & 0x3fff) + 1)
            }
            _ => return Err("its picture has no header"),
        };
        if size.contains(&0) { Err("it has no pixels") } else { Ok(size) }
    }

    /// A file that has nothing but these pixels.
    pub(super) fn file(self) -> Vec<u8> {
        let (kind, data) = match self {
            Self::Lossy(data) => (b"VP8 ", data),
            Self::Lossless(data) => (b"VP8L", data),
        };
        // The pixels were cut out of a chunk, whose length has 32 bits.
        let length = data.len() as u32;
        let [riff, length] = [length.saturating_add(12), length].map(u32::to_le_bytes);
        [b"RIFF", riff.as_slice(), b"WEBP", kind, &length, data].concat()
    }
}

/// What the file's header says is in it, without that header.
fn bytes_of_riff(bytes: &[u8]) -> Result<&[u8], Cow<'static, str>> {
    let (header, rest) = bytes.split_first_chunk::<12>().ok_or("its header is cut")?;
    let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
    let rest = rest.get(..length.saturating_sub(4));
    rest.ok_or_else(|| format!("it ends after {} of {} bytes", bytes.len(), length.saturating_add(8)).into())
}

/// Kind and data of one chunk after the other.
struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<(&'a [u8; 4], &'a [u8]), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let (kind, rest) = self.0.split_first_chunk::<4>()?;
        let Some((data, rest)) = rest.split_first_chunk::<4>().and_then(|(length, rest)| rest.split_at_checked(u32::from_le_bytes(*length) as usize))
        else {
            self.0 = &[];
            return Some(Err("a chunk is cut"));
        };
        // A chunk of odd length is followed by a byte that is none of it.
        self.0 = rest.get(data.len() % 2..).unwrap_or_default();
        Some(Ok((kind, data)))
    }
}

fn number([a, b, c]: [u8; 3]) -> u32 {
    u32::from_le_bytes([a, b, c, 0])
}
