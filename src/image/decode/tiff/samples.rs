//! What the samples of a TIFF file mean, and the colours that Pillow makes of them.

use super::directory::Directory;

/// Most samples of a pixel, as with Pillow.
const MOST_SAMPLES: usize = 6;

/// How a pixel is stored.
pub(super) struct Samples {
    /// Samples of a pixel, 1..=6.
    pub(super) count: usize,
    /// Of each sample: 1, 2, 4, 8, 16 or 32.
    pub(super) bits: usize,
    number: Number,
    pub(super) big_endian: bool,
    pub(super) color: Color,
}

/// How bits are a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Unsigned,
    Signed,
    Float,
}

/// What the first samples of a pixel are; those that follow do not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Color {
    Grey,
    /// 0 is white.
    InvertedGrey,
    Rgb,
    /// Multiplied by the alpha that follows.
    PremultipliedRgb,
    Palette(Vec<[u8; 3]>),
    Cmyk,
    YCbCr,
}

impl Samples {
    /// # Errors
    /// Names what is not read.
    pub(super) fn read(directory: &Directory) -> Result<Self, String> {
        const BITS: u16 = 258;
        const PHOTOMETRIC: u16 = 262;
        const COUNT: u16 = 277;
        const COMPRESSION: u16 = 259;
        const PLANAR: u16 = 284;
        const EXTRA: u16 = 338;
        const FORMAT: u16 = 339;
        let count = directory.number(COUNT)?.unwrap_or(1);
        let count = usize::try_from(count)
            .ok()
            .filter(|count| (1..=MOST_SAMPLES).contains(count))
            .ok_or_else(|| format!("{count} samples of a pixel are not read"))?;
        let bits = same(&directory.numbers(BITS, 256)?, count, 1).ok_or("samples of different bits are not read")?;
        let number = match same(&directory.numbers(FORMAT, 256)?, count, 1) {
            Some(1) => Number::Unsigned,
            Some(2) => Number::Signed,
            Some(3) => Number::Float,
            _ => return Err("its sample format is not read".to_owned()),
        };
        let extra = directory.numbers(EXTRA, 256)?;
        let (photometric, first_extra) = (directory.number(PHOTOMETRIC)?.unwrap_or(0), extra.first().copied());
        let colors = match photometric {
            2 | 6 => 3,
            5 => 4,
            _ => 1,
        };
        let whole = number == Number::Unsigned;
        // Of these, Pillow takes the bytes in the wrong order.
        let swapped =
            directory.big_endian && number != Number::Unsigned && directory.number(COMPRESSION)?.is_some_and(|compression| compression != 1);
        let color = match (photometric, bits, number) {
            (0, 1 | 2 | 4 | 8, Number::Unsigned) if count == 1 => Color::InvertedGrey,
            // As Pillow, which does not invert them.
            (0, 16, Number::Unsigned) if count == 1 && !directory.big_endian => Color::Grey,
            (0 | 1, 32, Number::Float) if count == 1 && !swapped => Color::Grey,
            (1, 1 | 2 | 4, Number::Unsigned) | (1, 16 | 32, Number::Unsigned) if count == 1 => Color::Grey,
            (1, 16 | 32, Number::Signed) if count == 1 && !swapped => Color::Grey,
            (1, 8, Number::Unsigned | Number::Signed) if count == 1 || (whole && count == 2 && first_extra != Some(1)) => Color::Grey,
            (2, 8 | 16, Number::Unsigned) if count > 3 && first_extra == Some(1) => Color::PremultipliedRgb,
            (2, 8 | 16, Number::Unsigned) => Color::Rgb,
            (3, 1 | 2 | 4 | 8, Number::Unsigned) if count == 1 || (count == 2 && bits == 8) => Color::Palette(palette(directory, bits)?),
            (5, 8 | 16, Number::Unsigned) => Color::Cmyk,
            (6, 8, Number::Unsigned) if count == 3 => Color::YCbCr,
            _ => return Err(format!("photometric interpretation {photometric} with {count} samples of {bits} bits is not read")),
        };
        if count < colors || (count > colors && extra.is_empty() && directory.number(PLANAR)? == Some(2)) {
            return Err(format!("photometric interpretation {photometric} with {count} samples is not read"));
        }
        Ok(Self { count, bits: bits as usize, number, big_endian: directory.big_endian, color })
    }

    /// Bytes of a row of so many pixels, with these samples for each.
    pub(super) fn row_bytes(&self, width: usize, count: usize) -> usize {
        (width * self.bits * count).div_ceil(8)
    }

    /// Makes pixels of a row.
    pub(super) fn paint(&self, row: &[u8], line: &mut [[u8; 3]]) {
        if let (Color::Rgb, 8, 3) = (&self.color, self.bits, self.count) {
            line.iter_mut().zip(row.as_chunks().0).for_each(|(to, from)| *to = *from);
            return;
        }
        for (x, pixel) in line.iter_mut().enumerate() {
            *pixel = self.pixel(row, x * self.count);
        }
    }

    /// The pixel whose first sample is number `first` of the row.
    fn pixel(&self, row: &[u8], first: usize) -> [u8; 3] {
        let byte = |of: usize| (self.bits_at(row, first + of) >> (self.bits - 8)) as u8;
        match &self.color {
            Color::Grey => [self.grey(row, first); 3],
            Color::InvertedGrey => [255 - self.grey(row, first); 3],
            Color::Palette(colors) => colors.get(self.bits_at(row, first) as usize).copied().unwrap_or_default(),
            Color::Rgb | Color::YCbCr => [0, 1, 2].map(byte),
            Color::PremultipliedRgb => [0, 1, 2].map(|of| divided(byte(of), byte(3))),
            Color::Cmyk => [0, 1, 2].map(|of| inked(byte(of), byte(3))),
        }
    }

    /// The bits of a sample.
    fn bits_at(&self, row: &[u8], index: usize) -> u32 {
        if self.bits < 8 {
            let (byte, shift) = (index * self.bits / 8, 8 - self.bits - index * self.bits % 8);
            return u32::from(row.get(byte).copied().unwrap_or(0) >> shift) & ((1 << self.bits) - 1);
        }
        let bytes = row.get(index * self.bits / 8..).and_then(|row| row.get(..self.bits / 8)).unwrap_or_default();
        let add = |value: u32, byte: &u8| value << 8 | u32::from(*byte);
        if self.big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
    }

    /// Stretched where it has less than 8 bits, cut to 0..=255 where it has more, as Pillow does.
    fn grey(&self, row: &[u8], index: usize) -> u8 {
        let bits = self.bits_at(row, index);
        match (self.bits, self.number) {
            (..8, _) => (bits * 255 / ((1 << self.bits) - 1)) as u8,
            (8, _) => bits as u8,
            (16, Number::Signed) => (bits as i16).clamp(0, 255) as u8,
            (16, _) => bits.min(255) as u8,
            (_, Number::Float) => f32::from_bits(bits) as u8,
            // Pillow has no unsigned mode of 32 bits.
            _ => (bits as i32).clamp(0, 255) as u8,
        }
    }
}

/// The value that all have; `default` where there is none.
fn same(values: &[u64], count: usize, default: u64) -> Option<u64> {
    let values = values.get(..count).unwrap_or(values);
    let first = values.first().copied().unwrap_or(default);
    values.iter().all(|value| *value == first).then_some(first)
}

/// The colour map's high bytes: all reds, then all greens, then all blues.
fn palette(directory: &Directory, bits: u64) -> Result<Vec<[u8; 3]>, String> {
    const COLOR_MAP: u16 = 320;
    let size = 1 << bits;
    let values = directory.numbers(COLOR_MAP, 3 << 8)?;
    if values.len() != 3 * size {
        return Err(format!("its colour map has {} values for {size} colours", values.len()));
    }
    Ok((0..size).map(|index| [0, 1, 2].map(|of| (values[index + of * size] >> 8) as u8)).collect())
}

/// Pillow's mode `RGBa`.
fn divided(color: u8, alpha: u8) -> u8 {
    match alpha {
        0 => 0,
        alpha => (255 * u32::from(color) / u32::from(alpha)).min(255) as u8,
    }
}

/// Pillow's `cmyk2rgb`.
fn inked(ink: u8, black: u8) -> u8 {
    let white = 255 - black;
    let product = u32::from(ink) * u32::from(white) + 128;
    white - (((product >> 8) + product) >> 8) as u8
}
