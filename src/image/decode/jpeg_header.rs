//! What a JPEG file's markers say before its first scan (ITU-T T.81, annex B), and that it has an end.

use image::metadata::Orientation;

use super::exif;

/// From the start-of-frame, start-of-scan and application segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) color: Color,
    pub(super) orientation: Orientation,
    /// Bytes that the coefficients of a pixel take where the decoder must keep them all, which it need not for a single scan.
    pub(super) coefficient_bytes: u64,
}

/// How the components encode colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Color {
    Grey,
    YCbCr,
    Rgb,
    Cmyk,
    Ycck,
}

const END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];

impl Header {
    /// Reads the segments up to the first scan, and checks that an end-of-image marker follows it.
    ///
    /// # Errors
    /// Says what is missing or not read.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut segments = Segments { rest: bytes.get(2..).unwrap_or_default() };
        let mut frame = None;
        let mut application = Application::default();
        let scan = loop {
            match segments.next()? {
                (marker @ 0xc0..=0xc2, segment) => frame = Some(Frame::read(segment, marker == 0xc2)?),
                (0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf, _) => {
                    return Err("lossless, hierarchical or arithmetic coding is not read".to_owned());
                }
                (0xda, segment) => break segment,
                (marker, segment) => application.note(marker, segment),
            }
        };
        if !segments.rest.windows(2).rev().any(|pair| pair == END_OF_IMAGE) {
            return Err("it ends before its end-of-image marker".to_owned());
        }
        let frame = frame.ok_or("a scan comes before the frame")?;
        let components = frame.ids.len();
        let scanned = scan.first().map_or(0, |count| usize::from(*count));
        let kept = frame.progressive || scanned < components;
        Ok(Self {
            width: frame.width.into(),
            height: frame.height.into(),
            color: application.color(frame.ids)?,
            orientation: exif::orientation(application.exif),
            coefficient_bytes: if kept { 2 * components as u64 } else { 0 },
        })
    }
}

/// Walks the marker segments.
struct Segments<'a> {
    rest: &'a [u8],
}

impl<'a> Segments<'a> {
    /// The next marker that has a segment, and the segment without its length.
    fn next(&mut self) -> Result<(u8, &'a [u8]), String> {
        loop {
            // Fill bytes may stand before a marker; what else does is skipped here and judged by the decoder.
            let start = self.rest.iter().position(|byte| *byte == 0xff).ok_or("it ends within its header")?;
            let fill = self.rest[start..].iter().take_while(|byte| **byte == 0xff).count();
            let (marker, rest) = self.rest[start + fill..].split_first().ok_or("it ends within its header")?;
            self.rest = rest;
            match marker {
                0x00 | 0x01 | 0xd0..=0xd8 => {}
                0xd9 => return Err("it has no scan".to_owned()),
                marker => return Ok((*marker, self.segment()?)),
            }
        }
    }

    fn segment(&mut self) -> Result<&'a [u8], String> {
        let (length, rest) = self.rest.split_first_chunk::<2>().ok_or("it ends within its header")?;
        let length = usize::from(u16::from_be_bytes(*length)).checked_sub(2).ok_or("a segment is shorter than its own length")?;
        let (segment, rest) = rest.split_at_checked(length).ok_or("it ends within its header")?;
        self.rest = rest;
        Ok(segment)
    }
}

/// The start-of-frame segment.
struct Frame<'a> {
    width: u16,
    height: u16,
    progressive: bool,
    /// Component identifier, sampling factors, quantisation table; one per component.
    ids: &'a [[u8; 3]],
}

impl<'a> Frame<'a> {
    fn read(segment: &'a [u8], progressive: bool) -> Result<Self, String> {
        let [_precision, h1, h0, w1, w0, components, rest @ ..] = segment else {
            return Err("its frame header is cut".to_owned());
        };
        let ids = rest.as_chunks::<3>().0.get(..usize::from(*components)).ok_or("its frame header is cut")?;
        let (width, height) = (u16::from_be_bytes([*w1, *w0]), u16::from_be_bytes([*h1, *h0]));
        if width == 0 || height == 0 {
            return Err("it has no pixels".to_owned());
        }
        Ok(Self { width, height, progressive, ids })
    }
}

/// What the application segments say.
#[derive(Default)]
struct Application<'a> {
    jfif: bool,
    /// How colours were transformed before compression: 0 not at all, 1 to YCbCr, 2 to YCCK.
    adobe: Option<u8>,
    exif: Option<&'a [u8]>,
}

impl<'a> Application<'a> {
    fn note(&mut self, marker: u8, segment: &'a [u8]) {
        match marker {
            0xe0 if segment.starts_with(b"JFIF\0") => self.jfif = true,
            0xe1 if segment.starts_with(b"Exif\0\0") => self.exif = self.exif.or(Some(segment)),
            0xee if segment.starts_with(b"Adobe") => self.adobe = segment.get(11).copied(),
            _ => {}
        }
    }

    /// By libjpeg's rules (`default_decompress_parms` in `jdapimin.c`).
    fn color(&self, components: &[[u8; 3]]) -> Result<Color, String> {
        let ids = components.iter().map(|[id, ..]| *id);
        match (components.len(), self.adobe) {
            (1, _) => Ok(Color::Grey),
            (3, _) if self.jfif => Ok(Color::YCbCr),
            (3, Some(0)) => Ok(Color::Rgb),
            (3, None) if ids.eq(*b"RGB") => Ok(Color::Rgb),
            (3, _) => Ok(Color::YCbCr),
            (4, None | Some(0)) => Ok(Color::Cmyk),
            (4, Some(_)) => Ok(Color::Ycck),
            (count, _) => Err(format!("{count} components are not read")),
        }
    }
}
