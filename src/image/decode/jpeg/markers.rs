//! The marker segments of a JPEG file: frame, tables and scan headers (ITU-T T.81, annex B); knows nothing of coded data.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::rc::Rc;

use image::metadata::Orientation;

use super::super::orientation::Metadata;
use super::huffman::{Fault, Table};
use super::kernels::Block;
use super::standard_tables::STANDARD_TABLES;

/// Coefficients and quantisation steps lie row by row, where files have them in zigzag order; more than 63 stand for no coefficient.
pub(super) const NATURAL_ORDER: [u8; 128] = {
    let mut order = [63; 128];
    let (mut at, mut x, mut y) = (0, 0, 0);
    while at < 64 {
        order[at] = 8 * y + x;
        // Diagonals of even number go up, the others down.
        let up = (x + y) % 2 == 0;
        (x, y) = match (up, x, y) {
            (true, 7, _) => (x, y + 1),
            (true, _, 0) => (x + 1, y),
            (true, ..) => (x + 1, y - 1),
            (false, _, 7) => (x + 1, y),
            (false, 0, _) => (x, y + 1),
            (false, ..) => (x - 1, y + 1),
        };
        at += 1;
    }
    order
};

/// Samples along each side of a block.
pub(super) const BLOCK: usize = 8;

/// How the components encode colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Color {
    Grey,
    YCbCr,
    Rgb,
    /// Inverted, as Adobe's files have it.
    Cmyk,
    /// As TIFF has it.
    PlainCmyk,
    Ycck,
}

impl Color {
    pub(super) fn components(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::YCbCr | Self::Rgb => 3,
            Self::Cmyk | Self::PlainCmyk | Self::Ycck => 4,
        }
    }
}

/// The start-of-frame segment.
#[derive(Debug)]
pub(super) struct Frame {
    /// Pixels.
    pub(super) width: usize,
    /// Pixels.
    pub(super) height: usize,
    pub(super) progressive: bool,
    /// One, three or four.
    pub(super) components: Vec<Component>,
    /// The largest sampling factors of its components: an MCU has as many blocks of them.
    pub(super) sampling: Sampling,
}

/// Sampling factors, each in 1..=4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sampling {
    pub(super) horizontal: usize,
    pub(super) vertical: usize,
}

/// A colour component of the frame.
#[derive(Debug)]
pub(super) struct Component {
    id: u8,
    pub(super) sampling: Sampling,
    /// Quantisation table, 0..4.
    table: usize,
    /// Samples of the component that the picture needs.
    pub(super) width: usize,
    /// Samples of the component that the picture needs.
    pub(super) height: usize,
}

impl Frame {
    fn read(segment: &[u8], progressive: bool) -> Result<Self, String> {
        let [precision, h1, h0, w1, w0, count, rest @ ..] = segment else {
            return Err("its frame header is cut".to_owned());
        };
        let specifications = rest.as_chunks::<3>().0.get(..usize::from(*count)).ok_or("its frame header is cut")?;
        let [width, height] = [[*w1, *w0], [*h1, *h0]].map(|side| usize::from(u16::from_be_bytes(side)));
        if width == 0 || height == 0 {
            return Err("it has no pixels".to_owned());
        }
        if *precision != 8 {
            return Err(format!("samples of {precision} bits are not read"));
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(format!("{count} components are not read"));
        }
        let factors = |factors: u8| match (usize::from(factors >> 4), usize::from(factors & 15)) {
            // A single component has nothing to be sampled in relation to.
            _ if *count == 1 => Ok(Sampling { horizontal: 1, vertical: 1 }),
            (horizontal @ 1..=4, vertical @ 1..=4) => Ok(Sampling { horizontal, vertical }),
            _ => Err("its sampling factors are out of range"),
        };
        let samplings = specifications.iter().map(|[_, sampling, _]| factors(*sampling)).collect::<Result<Vec<_>, _>>()?;
        let largest = |side: fn(&Sampling) -> usize| samplings.iter().map(side).max().unwrap_or(1);
        let sampling = Sampling { horizontal: largest(|of| of.horizontal), vertical: largest(|of| of.vertical) };
        let is_whole = |of: &Sampling| sampling.horizontal.is_multiple_of(of.horizontal) && sampling.vertical.is_multiple_of(of.vertical);
        if !samplings.iter().all(is_whole) {
            return Err("sampling factors that are no multiples of each other are not read".to_owned());
        }
        let component = |([id, _, table], of): (&[u8; 3], Sampling)| Component {
            id: *id,
            sampling: of,
            table: usize::from(table & 3),
            width: (width * of.horizontal).div_ceil(sampling.horizontal),
            height: (height * of.vertical).div_ceil(sampling.vertical),
        };
        let components = specifications.iter().zip(samplings).map(component).collect();
        Ok(Self { width, height, progressive, components, sampling })
    }

    /// MCUs of an interleaved scan in a row.
    pub(super) fn mcus_wide(&self) -> usize {
        self.width.div_ceil(BLOCK * self.sampling.horizontal)
    }

    /// Rows of MCUs of an interleaved scan.
    pub(super) fn mcus_high(&self) -> usize {
        self.height.div_ceil(BLOCK * self.sampling.vertical)
    }

    /// Blocks of a component, those included that only fill the last MCUs: in a row, and rows.
    pub(super) fn blocks(&self, component: &Component) -> [usize; 2] {
        [self.mcus_wide() * component.sampling.horizontal, self.mcus_high() * component.sampling.vertical]
    }
}

/// The start-of-scan segment.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) components: Vec<ScanComponent>,
    /// The first and the last coefficient, in zigzag order; 0 and 63 where the frame is sequential.
    pub(super) band: [usize; 2],
    /// The bit above those that this scan has, 0 where it is the first that tells of its coefficients.
    pub(super) high_bit: u8,
    /// The lowest bit that this scan has, 0..=13.
    pub(super) low_bit: u8,
}

/// Which component of the frame a scan has, and its Huffman tables.
#[derive(Debug, Clone, Copy)]
pub(super) struct ScanComponent {
    pub(super) index: usize,
    dc: usize,
    ac: usize,
}

impl Scan {
    fn read(segment: &[u8], frame: &Frame) -> Result<Self, String> {
        let (count, rest) = segment.split_first().ok_or("a scan header is cut")?;
        let (specifications, rest) = rest.split_at_checked(2 * usize::from(*count)).ok_or("a scan header is cut")?;
        let [start, end, bits, ..] = rest else { return Err("a scan header is cut".to_owned()) };
        let mut components: Vec<ScanComponent> = Vec::new();
        for [id, tables] in specifications.as_chunks::<2>().0 {
            // Where components of a frame have the same identifier, the scan has them in the frame's order, as with libjpeg.
            let is_next = |(index, component): (usize, &Component)| component.id == *id && components.iter().all(|other| other.index != index);
            let index = frame.components.iter().enumerate().position(is_next).ok_or("a scan has an unknown component, or one twice")?;
            components.push(ScanComponent { index, dc: usize::from(tables >> 4 & 3), ac: usize::from(tables & 3) });
        }
        let blocks: usize = components.iter().map(|of| frame.components[of.index].sampling).map(|of| of.horizontal * of.vertical).sum();
        if components.is_empty() || (components.len() > 1 && blocks > 10) {
            return Err("a scan has no components, or more than ten blocks in an MCU".to_owned());
        }
        if !frame.progressive {
            return Ok(Self { components, band: [0, 63], high_bit: 0, low_bit: 0 });
        }
        let (band, high_bit, low_bit) = ([usize::from(*start), usize::from(*end)], bits >> 4, bits & 15);
        let band_is_right = if band[0] == 0 { band[1] == 0 } else { band[1] < 64 && band[0] <= band[1] && components.len() == 1 };
        if !band_is_right || low_bit > 13 || (high_bit != 0 && high_bit != low_bit + 1) {
            return Err("a scan's parameters are out of range".to_owned());
        }
        Ok(Self { components, band, high_bit, low_bit })
    }
}

/// What may change from scan to scan.
#[derive(Default)]
struct Tables<'a> {
    /// Steps in zigzag order of the file, row by row here.
    quantization: [Option<Block>; 4],
    dc: [Option<Code<'a>>; 4],
    ac: [Option<Code<'a>>; 4],
    restart_interval: usize,
}

/// A Huffman code as the file states it. Its table, which takes a thousand times longer to build than to skip, is built when a scan first uses it: a
/// file may state a million codes and use none.
struct Code<'a> {
    counts: &'a [u8; 16],
    symbols: &'a [u8],
    table: OnceCell<Result<Box<Table>, Fault>>,
}

impl Code<'_> {
    fn table(&self) -> Result<&Table, Fault> {
        let table = self.table.get_or_init(|| Ok(Box::new(Table::new(self.counts, self.symbols)?)));
        table.as_deref().map_err(|fault| *fault)
    }
}

impl<'a> Tables<'a> {
    fn read_quantization(&mut self, mut rest: &[u8]) -> Result<(), Fault> {
        while let Some((kind, steps)) = rest.split_first() {
            let bytes_per_step = if kind >> 4 == 0 { 1 } else { 2 };
            let (steps, after) = steps.split_at_checked(64 * bytes_per_step).ok_or("a quantisation table is cut")?;
            let table = self.quantization.get_mut(usize::from(kind & 15)).ok_or("it has more than four quantisation tables")?;
            let table = table.insert([0; 64]);
            for (step, at) in steps.chunks_exact(bytes_per_step).zip(NATURAL_ORDER) {
                table[usize::from(at)] = step.iter().fold(0, |step, byte| step << 8 | i16::from(*byte));
            }
            rest = after;
        }
        Ok(())
    }

    fn read_huffman(&mut self, mut rest: &'a [u8]) -> Result<(), Fault> {
        while let Some((kind, table)) = rest.split_first() {
            let (counts, symbols) = table.split_first_chunk::<16>().ok_or("a Huffman table is cut")?;
            let count = counts.iter().map(|count| usize::from(*count)).sum();
            let (symbols, after) = symbols.split_at_checked(count).ok_or("a Huffman table is cut")?;
            let class = match kind >> 4 {
                0 if symbols.iter().all(|size| *size < 16) => &mut self.dc,
                1 => &mut self.ac,
                _ => return Err("a Huffman table is of no known kind"),
            };
            let slot = class.get_mut(usize::from(kind & 15)).ok_or("it has more than four Huffman tables")?;
            *slot = Some(Code { counts, symbols, table: OnceCell::new() });
            rest = after;
        }
        Ok(())
    }
}

/// What the application segments say.
#[derive(Default)]
struct Application<'a> {
    jfif: bool,
    /// How colours were transformed before compression: 0 not at all, 1 to YCbCr, 2 to YCCK.
    adobe: Option<u8>,
    exif: Vec<&'a [u8]>,
    xmp: Option<&'a [u8]>,
}

impl<'a> Application<'a> {
    fn note(&mut self, marker: u8, segment: &'a [u8]) {
        match marker {
            0xe0 if segment.starts_with(b"JFIF\0") && segment.len() >= 14 => self.jfif = true,
            0xe1 if segment.starts_with(EXIF) => self.exif.push(segment),
            0xe1 => self.xmp = segment.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0").or(self.xmp),
            0xee if segment.starts_with(b"Adobe") => self.adobe = segment.get(11).copied().or(self.adobe),
            _ => {}
        }
    }

    /// EXIF that is longer than a segment goes on in further ones.
    fn metadata(&self) -> Metadata<'a> {
        let exif = match self.exif.as_slice() {
            [] => None,
            [whole] => Some(Cow::from(*whole)),
            parts => Some(parts.iter().flat_map(|part| part.strip_prefix(EXIF)).collect::<Vec<_>>().concat().into()),
        };
        Metadata { exif, xmp: self.xmp.map(Cow::from) }
    }
}

/// What a segment of EXIF begins with.
const EXIF: &[u8] = b"Exif\0\0";

/// Walks the file from scan to scan and keeps what its segments say.
pub(super) struct Markers<'a> {
    rest: &'a [u8],
    frame: Option<Rc<Frame>>,
    tables: Tables<'a>,
    application: Application<'a>,
}

impl<'a> Markers<'a> {
    /// For a whole file.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes.get(2..).unwrap_or_default(), frame: None, tables: Tables::default(), application: Application::default() }
    }

    /// Reads the segments up to the next scan; `None` at the end of the image.
    ///
    /// # Errors
    /// Says what is missing or not read.
    pub(super) fn next_scan(&mut self) -> Result<Option<(Scan, &'a [u8])>, String> {
        while let Some((marker, segment)) = self.next_segment()? {
            match marker {
                0xc0..=0xc2 if self.frame.is_some() => return Err("it has two frames".to_owned()),
                0xc0..=0xc2 => self.frame = Some(Rc::new(Frame::read(segment, marker == 0xc2)?)),
                0xc4 => self.tables.read_huffman(segment)?,
                0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                    return Err("lossless, hierarchical or arithmetic coding is not read".to_owned());
                }
                0xda => {
                    if self.tables.ac.iter().chain(&self.tables.dc).all(Option::is_none) {
                        self.tables.read_huffman(&STANDARD_TABLES)?;
                    }
                    return Ok(Some((Scan::read(segment, &*self.frame()?)?, self.rest)));
                }
                0xdb => self.tables.read_quantization(segment)?,
                0xdd => {
                    let interval = segment.first_chunk().ok_or("its restart interval is cut")?;
                    self.tables.restart_interval = u16::from_be_bytes(*interval).into();
                }
                marker => self.application.note(marker, segment),
            }
        }
        Ok(None)
    }

    /// Goes on at `rest`, which begins within the coded data of the scan or right behind it.
    pub(super) fn resume(&mut self, rest: &'a [u8]) {
        self.rest = rest;
    }

    /// The frame.
    ///
    /// # Errors
    /// When none has been read.
    pub(super) fn frame(&self) -> Result<Rc<Frame>, Fault> {
        self.frame.clone().ok_or("a scan comes before the frame")
    }

    pub(super) fn orientation(&self) -> Orientation {
        self.application.metadata().orientation()
    }

    /// By libjpeg's rules (`default_decompress_parms` in `jdapimin.c`).
    pub(super) fn color(&self, frame: &Frame) -> Color {
        let ids = frame.components.iter().map(|component| component.id);
        match (frame.components.len(), self.application.adobe) {
            (1, _) => Color::Grey,
            (3, Some(0)) if !self.application.jfif => Color::Rgb,
            (3, None) if !self.application.jfif && ids.eq(*b"RGB") => Color::Rgb,
            (3, _) => Color::YCbCr,
            (_, None | Some(0)) => Color::Cmyk,
            (_, Some(_)) => Color::Ycck,
        }
    }

    /// MCUs between two restart markers; 0 where there are none.
    pub(super) fn restart_interval(&self) -> usize {
        self.tables.restart_interval
    }

    /// The quantisation steps of `component`, row by row.
    ///
    /// # Errors
    /// When the file has not told them yet.
    pub(super) fn quantization(&self, component: &Component) -> Result<Block, Fault> {
        self.tables.quantization[component.table].ok_or("a quantisation table is missing")
    }

    /// The Huffman table of the component's mean values.
    ///
    /// # Errors
    /// When the file has not told it yet, or it is no prefix code.
    pub(super) fn dc_table(&self, component: ScanComponent) -> Result<&Table, Fault> {
        self.tables.dc[component.dc].as_ref().ok_or("a Huffman table is missing")?.table()
    }

    /// The Huffman table of the component's other coefficients.
    ///
    /// # Errors
    /// When the file has not told it yet, or it is no prefix code.
    pub(super) fn ac_table(&self, component: ScanComponent) -> Result<&Table, Fault> {
        self.tables.ac[component.ac].as_ref().ok_or("a Huffman table is missing")?.table()
    }

    /// The next marker that has a segment, and the segment without its length; `None` at the end of the image.
    fn next_segment(&mut self) -> Result<Option<(u8, &'a [u8])>, String> {
        loop {
            // Fill bytes may stand before a marker; what else does is skipped, as libjpeg does.
            let start = memchr::memchr(0xff, self.rest).ok_or("it ends before its end-of-image marker")?;
            let fill = self.rest[start..].iter().take_while(|byte| **byte == 0xff).count();
            let (marker, rest) = self.rest[start + fill..].split_first().ok_or("it ends before its end-of-image marker")?;
            self.rest = rest;
            match marker {
                0x00 | 0x01 | 0xd0..=0xd8 => {}
                0xd9 => return Ok(None),
                marker => return Ok(Some((*marker, self.segment()?))),
            }
        }
    }

    fn segment(&mut self) -> Result<&'a [u8], Fault> {
        let (length, rest) = self.rest.split_first_chunk::<2>().ok_or("it ends within a segment")?;
        let length = usize::from(u16::from_be_bytes(*length)).checked_sub(2).ok_or("a segment is shorter than its own length")?;
        let (segment, rest) = rest.split_at_checked(length).ok_or("it ends within a segment")?;
        self.rest = rest;
        Ok(segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zigzag_order_runs_along_the_diagonals() {
        assert_eq!(NATURAL_ORDER[..12], [0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25]);
        assert_eq!(NATURAL_ORDER[56..66], [53, 60, 61, 54, 47, 55, 62, 63, 63, 63]);
        let mut all: Vec<u8> = NATURAL_ORDER[..64].to_vec();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..64));
    }

    /// A frame of 20×10 pixels with these component identifiers and sampling factors.
    fn frame(components: &[[u8; 2]]) -> Result<Frame, String> {
        let head = [8, 0, 10, 0, 20, components.len() as u8];
        let components: Vec<_> = components.iter().flat_map(|[id, factors]| [*id, *factors, 0]).collect();
        Frame::read(&[head.as_slice(), &components].concat(), false)
    }

    fn color(ids: [u8; 3], jfif: bool, adobe: Option<u8>) -> Color {
        let application = Application { jfif, adobe, ..Application::default() };
        let markers = Markers { rest: &[], frame: None, tables: Tables::default(), application };
        markers.color(&frame(&ids.map(|id| [id, 0x11])).unwrap())
    }

    #[test]
    fn three_components_are_rgb_where_nothing_says_otherwise_and_their_names_do() {
        assert_eq!(color(*b"RGB", false, None), Color::Rgb);
        assert_eq!(color(*b"RGB", true, None), Color::YCbCr);
        assert_eq!(color(*b"RGB", false, Some(1)), Color::YCbCr);
        assert_eq!(color([1, 2, 3], false, Some(0)), Color::Rgb);
        assert_eq!(color([1, 2, 3], true, Some(0)), Color::YCbCr, "JFIF knows no RGB");
        assert_eq!(color([1, 2, 3], false, None), Color::YCbCr);
    }

    #[test]
    fn a_component_is_as_large_as_the_picture_needs() {
        let frame = frame(&[[1, 0x22], [2, 0x11], [3, 0x21]]).unwrap();
        let sizes: Vec<_> = frame.components.iter().map(|component| [component.width, component.height]).collect();
        assert_eq!(sizes, [[20, 10], [10, 5], [20, 5]]);
        let blocks: Vec<_> = frame.components.iter().map(|component| frame.blocks(component)).collect();
        assert_eq!(blocks, [[4, 2], [2, 1], [4, 1]]);
    }

    #[test]
    fn sampling_factors_of_no_whole_ratio_are_refused() {
        assert!(frame(&[[1, 0x31], [2, 0x21], [3, 0x11]]).is_err());
        assert!(frame(&[[1, 0x01], [2, 0x11], [3, 0x11]]).is_err());
        assert!(frame(&[[1, 0x51], [2, 0x11], [3, 0x11]]).is_err());
        assert!(frame(&[[1, 0x41], [2, 0x21], [3, 0x11]]).is_ok());
    }
}
