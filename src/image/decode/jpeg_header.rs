//! What a JPEG file's markers say before the coded data of its first scan (ITU-T T.81, annex B).

use image::metadata::Orientation;

use super::exif;

/// From the start-of-frame, start-of-scan and application segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header<'a> {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) color: Color,
    pub(super) orientation: Orientation,
    pub(super) progressive: bool,
    /// Of the picture.
    pub(super) components: usize,
    /// Of the first scan.
    pub(super) scan_components: usize,
    /// Everything from the first scan's coded data on.
    pub(super) coded: &'a [u8],
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

impl<'a> Header<'a> {
    /// Reads the segments up to the first scan.
    ///
    /// # Errors
    /// Says what is missing or not read.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut segments = Segments { rest: bytes.get(2..).unwrap_or_default() };
        let mut frame = None;
        let mut application = Application::default();
        let scan = loop {
            match segments.next()?.ok_or("it has no scan")? {
                (marker @ 0xc0..=0xc2, segment) => frame = Some(Frame::read(segment, marker == 0xc2)?),
                (0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf, _) => {
                    return Err("lossless, hierarchical or arithmetic coding is not read".to_owned());
                }
                (0xda, segment) => break segment,
                (marker, segment) => application.note(marker, segment),
            }
        };
        let frame = frame.ok_or("a scan comes before the frame")?;
        Ok(Self {
            width: frame.width.into(),
            height: frame.height.into(),
            color: application.color(frame.components)?,
            orientation: exif::orientation(application.exif),
            progressive: frame.progressive,
            components: frame.components.len(),
            scan_components: scan.first().map_or(0, |count| usize::from(*count)),
            coded: segments.rest,
        })
    }

    /// Bytes that decoding takes for a pixel beside the pixels: the coefficients of all components, unless one scan holds them all.
    pub(super) fn coefficient_bytes(&self) -> u64 {
        if self.progressive || self.scan_components < self.components { 2 * self.components as u64 } else { 0 }
    }
}

/// Walks the marker segments.
pub(super) struct Segments<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Segments<'a> {
    /// The next marker that has a segment, and the segment without its length; `None` at the end of the image.
    pub(super) fn next(&mut self) -> Result<Option<(u8, &'a [u8])>, String> {
        loop {
            // Fill bytes may stand before a marker; what else does is skipped here and judged by the decoder.
            let start = self.rest.iter().position(|byte| *byte == 0xff).ok_or("it ends within its header")?;
            let fill = self.rest[start..].iter().take_while(|byte| **byte == 0xff).count();
            let (marker, rest) = self.rest[start + fill..].split_first().ok_or("it ends within its header")?;
            self.rest = rest;
            match marker {
                0x00 | 0x01 | 0xd0..=0xd8 => {}
                0xd9 => return Ok(None),
                marker => return Ok(Some((*marker, self.segment()?))),
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
    components: &'a [[u8; 3]],
}

impl<'a> Frame<'a> {
    fn read(segment: &'a [u8], progressive: bool) -> Result<Self, String> {
        let [_precision, h1, h0, w1, w0, count, rest @ ..] = segment else {
            return Err("its frame header is cut".to_owned());
        };
        let components = rest.as_chunks::<3>().0.get(..usize::from(*count)).ok_or("its frame header is cut")?;
        let (width, height) = (u16::from_be_bytes([*w1, *w0]), u16::from_be_bytes([*h1, *h0]));
        if width == 0 || height == 0 {
            return Err("it has no pixels".to_owned());
        }
        Ok(Self { width, height, progressive, components })
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
