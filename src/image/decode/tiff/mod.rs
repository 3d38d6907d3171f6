//! TIFF and BigTIFF: the first page, in strips or tiles, as Pillow reads it.
//!
//! This is a reader of our own because its pixels are Pillow's: strips of JPEG have to be those of libjpeg-turbo, for which senet has a decoder, and 16-bit
//! grey, CMYK and inverted greys have several readings. LZW and Deflate are those of the crates that GIF and PNG use.

mod compression;
mod directory;
mod samples;

use image::RgbImage;
use image::metadata::Orientation;

use self::compression::{Compression, Unpacker, add_up, in_order};
use self::directory::{Directory, part};
use self::samples::{Color, Samples};
use super::jpeg;
use super::orientation::Metadata;
use super::{DecodeError, Format, Limits, Stored, area};

mod tag {
    pub(super) const WIDTH: u16 = 256;
    pub(super) const HEIGHT: u16 = 257;
    pub(super) const COMPRESSION: u16 = 259;
    pub(super) const FILL_ORDER: u16 = 266;
    pub(super) const STRIP_OFFSETS: u16 = 273;
    pub(super) const ORIENTATION: u16 = 274;
    pub(super) const ROWS_PER_STRIP: u16 = 278;
    pub(super) const STRIP_BYTES: u16 = 279;
    pub(super) const PLANAR: u16 = 284;
    pub(super) const PREDICTOR: u16 = 317;
    pub(super) const TILE_WIDTH: u16 = 322;
    pub(super) const TILE_HEIGHT: u16 = 323;
    pub(super) const TILE_OFFSETS: u16 = 324;
    pub(super) const TILE_BYTES: u16 = 325;
    pub(super) const JPEG_TABLES: u16 = 347;
    pub(super) const XMP: u16 = 700;
}

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Stored, DecodeError> {
    let directory = Directory::read(bytes).map_err(fail)?;
    let size = page_size(&directory).map_err(fail)?;
    let [width, height] = size;
    if area(size) == 0 {
        return Err(fail("it has no pixels"));
    }
    limits.check(width, height, 3 * area(size))?;
    let page = Page::read(bytes, &directory, size, limits).map_err(fail)?;
    let held = 3 * area(size) + page.chunk_bytes();
    limits.check(width, height, held)?;
    let left = Limits { max_decoder_bytes: limits.max_decoder_bytes - held, ..*limits };
    let mut pixels = RgbImage::new(width, height);
    page.paint(&mut pixels, &left)?;
    Ok(Stored { part: pixels.into(), orientation: orientation(&directory).map_err(fail)? })
}

fn fail(reason: impl ToString) -> DecodeError {
    Format::Tiff.undecodable(reason)
}

fn page_size(directory: &Directory) -> Result<[u32; 2], String> {
    let side = |tag| directory.number(tag)?.and_then(|side| u32::try_from(side).ok()).ok_or_else(|| "it has no width or no height".to_owned());
    Ok([side(tag::WIDTH)?, side(tag::HEIGHT)?])
}

fn orientation(directory: &Directory) -> Result<Orientation, String> {
    let Some(value) = directory.number(tag::ORIENTATION)? else {
        return Ok(Metadata { exif: None, xmp: directory.bytes(tag::XMP).map(Into::into) }.orientation());
    };
    Ok(u8::try_from(value).ok().and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms))
}

/// How the pixels of a page are stored.
struct Page<'a> {
    /// Width and height.
    size: [usize; 2],
    samples: Samples,
    compression: Compression,
    predictor: bool,
    /// The lowest bit of a byte comes first.
    reversed: bool,
    /// Each sample in strips or tiles of its own, one after the other.
    planar: bool,
    /// Pixels of a strip or tile.
    chunk: [usize; 2],
    /// Strips or tiles of the page: in a row, and rows.
    chunks: [usize; 2],
    tiled: bool,
    /// The packed bytes of each.
    packed: Vec<&'a [u8]>,
    /// What precedes every strip of JPEG.
    tables: &'a [u8],
}

impl<'a> Page<'a> {
    fn read(bytes: &'a [u8], directory: &Directory<'a>, size: [u32; 2], limits: &Limits) -> Result<Self, String> {
        let samples = Samples::read(directory)?;
        let compression = Compression::of(directory.number(tag::COMPRESSION)?.unwrap_or(1))?;
        match (compression, &samples.color) {
            (Compression::Jpeg, Color::Grey | Color::InvertedGrey | Color::Rgb | Color::YCbCr | Color::Cmyk) if samples.bits == 8 => {}
            (Compression::Jpeg, _) => return Err("JPEG compression of anything but grey, RGB, YCbCr and CMYK is not read".to_owned()),
            (_, Color::YCbCr) => return Err("YCbCr that is not compressed as JPEG is not read".to_owned()),
            _ => {}
        }
        let predictor = match directory.number(tag::PREDICTOR)?.unwrap_or(1) {
            2 if matches!(compression, Compression::Lzw | Compression::Deflate) => true,
            3 if matches!(compression, Compression::Lzw | Compression::Deflate) => return Err("differences of floats are not read".to_owned()),
            _ => false,
        };
        if predictor && samples.bits < 8 {
            return Err(format!("differences of {} bits are not read", samples.bits));
        }
        let planar = directory.number(tag::PLANAR)? == Some(2) && samples.count > 1;
        if planar && (samples.bits % 8 != 0 || compression == Compression::Jpeg) {
            return Err("planes of less than 8 bits, or in JPEG, are not read".to_owned());
        }
        let reversed = directory.number(tag::FILL_ORDER)? == Some(2);
        let tiled = directory.bytes(tag::TILE_OFFSETS).is_some();
        let size = size.map(|side| side as usize);
        let chunk = chunk_size(directory, size, tiled)?;
        let chunks = [0, 1].map(|side| size[side].div_ceil(chunk[side]));
        // Tiles reach beyond the page, but those of a small page must not be what a large one costs.
        let stored_pixels = (0..2).map(|side| (chunk[side] * chunks[side]) as u64).try_fold(1, u64::checked_mul);
        if tiled && stored_pixels.is_none_or(|pixels| pixels / 2 > limits.max_pixels) {
            return Err(format!("tiles of {}×{} are too large for {}×{}", chunk[0], chunk[1], size[0], size[1]));
        }
        let mut page = Self { size, samples, compression, predictor, reversed, planar, chunk, chunks, tiled, packed: Vec::new(), tables: &[] };
        page.tables = directory.bytes(tag::JPEG_TABLES).unwrap_or_default();
        page.packed = page.find(bytes, directory)?;
        Ok(page)
    }

    /// Where the strips or tiles lie.
    fn find(&self, bytes: &'a [u8], directory: &Directory<'a>) -> Result<Vec<&'a [u8]>, String> {
        /// How often all of the file may be unpacked: strips may be the same, but not so often that they make a small file costly.
        const MOST_READS: usize = 4;
        /// Tables of JPEG are read with every strip; those of libtiff and of cameras are no larger.
        const ORDINARY_TABLES: usize = 1024;
        /// Strips or tiles, which cost more than their pixels do where these are few; the specification has tiles of 16×16 pixels at least (section 15).
        const MOST_SMALL: usize = 1 << 16;
        const SMALL_PIXELS: usize = 16 * 16;
        let (offsets, lengths) = if self.tiled { (tag::TILE_OFFSETS, tag::TILE_BYTES) } else { (tag::STRIP_OFFSETS, tag::STRIP_BYTES) };
        let count = self.chunks[0] * self.chunks[1] * if self.planar { self.samples.count } else { 1 };
        if count > MOST_SMALL && area(self.chunk.map(|side| side as u32)) < SMALL_PIXELS as u64 {
            return Err(format!(
                "it has {count} strips or tiles of {}×{} pixels, expected at most {MOST_SMALL} so small",
                self.chunk[0], self.chunk[1]
            ));
        }
        let tables = self.tables.len();
        if tables.saturating_sub(ORDINARY_TABLES).saturating_mul(count) > MOST_READS.saturating_mul(bytes.len()) {
            return Err(format!(
                "its JPEG tables of {tables} bytes are read for each of {count} strips or tiles, expected at most {ORDINARY_TABLES}"
            ));
        }
        let most = bytes.len();
        let (offsets, lengths) = (directory.numbers(offsets, most)?, directory.numbers(lengths, most)?);
        if offsets.len() < count {
            return Err(format!("it has {} of {count} strips or tiles", offsets.len()));
        }
        let mut total = 0_usize;
        let find = |(index, offset): (usize, &u64)| {
            let rest = part(bytes, *offset, 0).and_then(|_| bytes.get(*offset as usize..)).ok_or("a strip or tile is not in the file")?;
            let stated = lengths.get(index).and_then(|length| usize::try_from(*length).ok());
            let length = match stated {
                // What is not packed has its length, whatever is stated.
                _ if self.compression == Compression::None => self.unpacked_bytes(index),
                Some(length) => length,
                None if count == 1 => rest.len(),
                None => return Err("a strip or tile has no length".to_owned()),
            };
            total = total.saturating_add(length);
            if total > MOST_READS.saturating_mul(bytes.len()) {
                return Err(format!("its strips or tiles overlap {MOST_READS} times"));
            }
            rest.get(..length).ok_or_else(|| "it ends within a strip or tile".to_owned())
        };
        offsets.iter().take(count).enumerate().map(find).collect()
    }

    /// Rows of pixels in a strip or tile: those below the page are in tiles alone.
    fn rows(&self, index: usize) -> usize {
        let y = index / self.chunks[0] % self.chunks[1] * self.chunk[1];
        if self.tiled { self.chunk[1] } else { self.chunk[1].min(self.size[1] - y) }
    }

    /// Samples of a pixel in a strip or tile.
    fn stored_samples(&self) -> usize {
        if self.planar { 1 } else { self.samples.count }
    }

    fn row_bytes(&self) -> usize {
        self.samples.row_bytes(self.chunk[0], self.stored_samples())
    }

    fn unpacked_bytes(&self, index: usize) -> usize {
        self.row_bytes().saturating_mul(self.rows(index))
    }

    /// What unpacking a strip or tile takes at most, but for the pixels and coefficients of JPEG.
    fn chunk_bytes(&self) -> u64 {
        let packed = self.packed.iter().map(|packed| packed.len()).max().unwrap_or(0) as u64;
        let copies = u64::from(self.reversed) + u64::from(self.compression == Compression::Jpeg);
        let planes = if self.planar { 1 + self.samples.count as u64 } else { 1 };
        let unpacked = if self.compression == Compression::Jpeg { 0 } else { planes * self.row_bytes() as u64 * self.chunk[1] as u64 };
        unpacked + copies * (packed + self.tables.len() as u64)
    }

    fn paint(&self, pixels: &mut RgbImage, limits: &Limits) -> Result<(), DecodeError> {
        let mut unpacker = Unpacker::new(self.compression);
        for index in 0..self.chunks[0] * self.chunks[1] {
            if self.compression == Compression::Jpeg {
                let stored = self.decode_jpeg(index, limits)?;
                self.place(index, stored.chunks_exact(3 * self.chunk[0]), pixels, |row, line| {
                    line.iter_mut().zip(row.as_chunks().0).for_each(|(to, from)| *to = *from);
                });
            } else {
                let stored = self.unpack(index, &mut unpacker).ok_or_else(|| fail("a strip or tile ends early"))?;
                self.place(index, stored.chunks_exact(self.samples.row_bytes(self.chunk[0], self.samples.count)), pixels, |row, line| {
                    self.samples.paint(row, line);
                });
            }
        }
        Ok(())
    }

    /// Writes the rows of a strip or tile where they belong.
    fn place<'b>(&self, index: usize, rows: impl Iterator<Item = &'b [u8]>, pixels: &mut RgbImage, to_pixels: impl Fn(&[u8], &mut [[u8; 3]])) {
        let (x, y) = (index % self.chunks[0] * self.chunk[0], index / self.chunks[0] * self.chunk[1]);
        let lines = pixels.chunks_exact_mut(3 * self.size[0]).skip(y);
        for (row, line) in rows.zip(lines) {
            let line = line.as_chunks_mut().0;
            let end = line.len().min(x + self.chunk[0]);
            to_pixels(row, &mut line[x..end]);
        }
    }

    /// The strip or tile with all samples of a pixel side by side; `None` where it ends early.
    fn unpack(&self, index: usize, unpacker: &mut Unpacker) -> Option<Vec<u8>> {
        if !self.planar {
            return self.unpack_plane(index, unpacker);
        }
        let (count, chunks) = (self.samples.count, self.chunks[0] * self.chunks[1]);
        let planes = (0..count).map(|plane| self.unpack_plane(plane * chunks + index, unpacker)).collect::<Option<Vec<_>>>()?;
        let mut stored = vec![0; planes.iter().map(Vec::len).sum()];
        let bytes = self.samples.bits / 8;
        for (plane, samples) in planes.iter().enumerate() {
            let places = stored.chunks_exact_mut(bytes).skip(plane).step_by(count);
            places.zip(samples.chunks_exact(bytes)).for_each(|(to, from)| to.copy_from_slice(from));
        }
        Some(stored)
    }

    fn unpack_plane(&self, index: usize, unpacker: &mut Unpacker) -> Option<Vec<u8>> {
        let mut stored = vec![0; self.unpacked_bytes(index)];
        unpacker.unpack(&in_order(self.packed.get(index)?, self.reversed), &mut stored)?;
        if self.predictor {
            let rows = stored.chunks_exact_mut(self.row_bytes());
            rows.for_each(|row| add_up(row, self.samples.bits / 8, self.stored_samples(), self.samples.big_endian));
        }
        Some(stored)
    }

    /// The pixels of a strip or tile.
    fn decode_jpeg(&self, index: usize, limits: &Limits) -> Result<RgbImage, DecodeError> {
        let packed = self.packed.get(index).copied().unwrap_or_default();
        let color = match self.samples.color {
            Color::Grey | Color::InvertedGrey => jpeg::Color::Grey,
            Color::YCbCr => jpeg::Color::YCbCr,
            Color::Cmyk => jpeg::Color::PlainCmyk,
            _ => jpeg::Color::Rgb,
        };
        let mut pixels = jpeg::decode_strip(self.tables, &in_order(packed, self.reversed), color, limits).map_err(|error| match error {
            DecodeError::Undecodable { reason, .. } => fail(format!("a strip or tile of JPEG: {reason}")),
            other => other,
        })?;
        let needed = self.rows(index).min(self.size[1] - index / self.chunks[0] * self.chunk[1]);
        if pixels.width() as usize != self.chunk[0] || (pixels.height() as usize) < needed || pixels.height() as usize > self.chunk[1] {
            return Err(fail("a strip or tile of JPEG is of another size than the page says"));
        }
        if self.samples.color == Color::InvertedGrey {
            pixels.iter_mut().for_each(|sample| *sample = 255 - *sample);
        }
        Ok(pixels)
    }
}

/// Width and height of a strip or tile.
fn chunk_size(directory: &Directory, size: [usize; 2], tiled: bool) -> Result<[usize; 2], String> {
    const LARGEST_SIDE: u64 = 1 << 16;
    let number = |tag| directory.number(tag).map(Option::unwrap_or_default);
    if tiled {
        let sides = [number(tag::TILE_WIDTH)?, number(tag::TILE_HEIGHT)?];
        return if sides.iter().all(|side| (1..=LARGEST_SIDE).contains(side)) {
            Ok(sides.map(|side| side as usize))
        } else {
            Err(format!("tiles of {}×{} are not read", sides[0], sides[1]))
        };
    }
    let rows = match usize::try_from(number(tag::ROWS_PER_STRIP)?) {
        Ok(rows @ 1..) => rows.min(size[1]),
        _ => size[1],
    };
    Ok([size[0], rows])
}
