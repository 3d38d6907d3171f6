//! The headers of a Windows or OS/2 bitmap, in the forms that Pillow reads; knows nothing of pixels but where they lie.

/// Why the headers cannot be read.
pub(super) type Fault = &'static str;

/// What the headers say.
pub(super) struct Header<'a> {
    /// Columns and rows.
    pub(super) size: [u32; 2],
    /// Rows are stored from the top down; from the bottom up otherwise.
    pub(super) top_down: bool,
    /// Bits of a pixel: 1, 4, 8, 16, 24, or 32.
    pub(super) bits: usize,
    pub(super) run_length: bool,
    /// Which bits of a pixel are red, green, and blue, where a pixel has 16 or 32.
    pub(super) masks: [u32; 3],
    /// Colours by index, where a pixel has up to 8 bits; black where the file has none.
    pub(super) palette: [[u8; 3]; 256],
    /// Where the pixels begin.
    pub(super) offset: usize,
    bytes: &'a [u8],
}

/// Of the file's own header.
const FILE_HEADER: usize = 14;

impl<'a> Header<'a> {
    /// # Errors
    /// Says what is cut or not read.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        const CUT: Fault = "its header is cut";
        let header = Numbers(bytes.get(FILE_HEADER..).ok_or(CUT)?);
        let length = header.long(0).ok_or(CUT)? as usize;
        if bytes.len() < FILE_HEADER.saturating_add(length) {
            return Err(CUT);
        }
        match length {
            12 => Self::core(bytes, &header).ok_or(CUT)?,
            40 | 52 | 56 | 64 | 108 | 124 => Self::info(bytes, &header, length).ok_or(CUT)?,
            _ => Err("its header is of no known kind"),
        }
    }

    /// OS/2's first header: sides of 16 bits, colours of three bytes.
    fn core(bytes: &'a [u8], header: &Numbers) -> Option<Result<Self, Fault>> {
        let size = [header.short(4)?, header.short(6)?].map(u32::from);
        let coding = Coding { bits: header.short(10)?.into(), compression: 0, colors: 0 };
        Some(Self { size, top_down: false, ..Self::empty(bytes) }.with_pixels(&coding, FILE_HEADER + 12, 3))
    }

    fn info(bytes: &'a [u8], header: &Numbers, length: usize) -> Option<Result<Self, Fault>> {
        let [width, height] = [header.long(4)?, header.long(8)?];
        if width > i32::MAX as u32 {
            return Some(Err("its width is negative"));
        }
        let top_down = height > i32::MAX as u32;
        let size = [width, (height as i32).unsigned_abs()];
        let coding = Coding { bits: header.short(14)?.into(), compression: header.long(16)?, colors: header.long(32)? };
        Some(Self { size, top_down, ..Self::empty(bytes) }.with_pixels(&coding, FILE_HEADER + length, 4))
    }

    fn empty(bytes: &'a [u8]) -> Self {
        Self { size: [0; 2], top_down: false, bits: 0, run_length: false, masks: [0; 3], palette: [[0; 3]; 256], offset: 0, bytes }
    }

    /// `end` is where the header ends, and a colour has `color_bytes`.
    fn with_pixels(mut self, coding: &Coding, end: usize, color_bytes: usize) -> Result<Self, Fault> {
        let Coding { bits, compression, colors } = *coding;
        self.bits = bits;
        (self.run_length, self.masks) = match (bits, compression) {
            (1 | 4 | 8 | 24, PLAIN) | (24, BIT_FIELDS) => (false, [0; 3]),
            (16, PLAIN) => (false, [0x7c00, 0x03e0, 0x001f]),
            (32, PLAIN) => (false, BYTES),
            (16 | 32, BIT_FIELDS) => (false, self.bit_fields()?),
            (8, RUN_LENGTH_8) | (4, RUN_LENGTH_4) => (true, [0; 3]),
            _ => return Err("pixels of this depth and compression are not read"),
        };
        let colors = match (bits, colors) {
            (16.., _) => 0,
            (_, 0) => 1 << bits,
            (_, 1..=65_536) => colors as usize,
            _ => return Err("its palette has too many colours"),
        };
        let palette = self.bytes.get(end..).unwrap_or_default().chunks_exact(color_bytes).take(colors);
        for (color, stored) in self.palette.iter_mut().zip(palette) {
            *color = [stored[2], stored[1], stored[0]];
        }
        let behind = end + colors * color_bytes + if compression == BIT_FIELDS && end == FILE_HEADER + 40 { 12 } else { 0 };
        self.offset = match Numbers(self.bytes).long(10).ok_or("its header is cut")? as usize {
            0 => behind,
            // Where the palette is said to have pixels, they follow it.
            offset if offset == end && colors > 0 => behind,
            offset => offset,
        };
        Ok(self)
    }

    /// The masks follow the first 40 bytes of the header, whether they are counted as part of it or not.
    fn bit_fields(&self) -> Result<[u32; 3], Fault> {
        let numbers = Numbers(self.bytes);
        let at = FILE_HEADER + 40;
        match [numbers.long(at), numbers.long(at + 4), numbers.long(at + 8)] {
            [Some(0), Some(0), Some(0)] => Ok(BYTES),
            [Some(red), Some(green), Some(blue)] => Ok([red, green, blue]),
            _ => Err("its header is cut"),
        }
    }
}

/// Blue, green, red, and a byte that is none of them.
const BYTES: [u32; 3] = [0xff_0000, 0xff00, 0xff];

/// Kinds of compression.
const PLAIN: u32 = 0;
const RUN_LENGTH_8: u32 = 1;
const RUN_LENGTH_4: u32 = 2;
const BIT_FIELDS: u32 = 3;

/// How pixels are stored.
struct Coding {
    bits: usize,
    compression: u32,
    /// In the palette; 0 for as many as the bits can tell apart.
    colors: u32,
}

/// Little-endian numbers.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn short(&self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes(*self.0.get(at..)?.first_chunk()?))
    }

    fn long(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(*self.0.get(at..)?.first_chunk()?))
    }
}
