//! The first directory of a TIFF or BigTIFF file: numbers under tags (TIFF 6.0, section 2); knows nothing of what they mean.
//!
//! No other directory is looked for, so that a chain of them, or a circle, costs nothing.

/// Why the file cannot be read.
pub(super) type Fault = &'static str;

/// The entries of the first directory.
pub(super) struct Directory<'a> {
    bytes: &'a [u8],
    entries: &'a [u8],
    pub(super) big_endian: bool,
    /// BigTIFF: offsets and counts have 64 bits.
    big: bool,
}

impl<'a> Directory<'a> {
    /// Reads a whole file.
    ///
    /// # Errors
    /// Says what is missing.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let big_endian = bytes.starts_with(b"MM");
        let number = |at: u64, size: usize| part(bytes, at, size as u64).map(|part| number(part, big_endian));
        let big = number(2, 2) == Some(43);
        let (offset, count_size, entry_size) = if big { (number(8, 8), 8, 20) } else { (number(4, 4), 2, 12) };
        let offset = offset.ok_or("its header is cut")?;
        let count = number(offset, count_size).ok_or("its directory is not in the file")?;
        let entries = offset.checked_add(count_size as u64).zip(count.checked_mul(entry_size)).and_then(|(at, length)| part(bytes, at, length));
        Ok(Self { bytes, entries: entries.ok_or("its directory is cut")?, big_endian, big })
    }

    /// The whole numbers under `tag`; none where it is absent or of another type.
    ///
    /// # Errors
    /// When there are more than `most`, or they are not in the file.
    pub(super) fn numbers(&self, tag: u16, most: usize) -> Result<Vec<u64>, String> {
        let Some((kind, data)) = self.data(tag) else { return Ok(Vec::new()) };
        let Some(size) = size_of(kind).filter(|_| matches!(kind, 1 | 3 | 4 | 8 | 9 | 13 | 16 | 18)) else { return Ok(Vec::new()) };
        let data = data.ok_or_else(|| format!("the values of tag {tag} are not in the file"))?;
        if data.len() / size > most {
            return Err(format!("tag {tag} has {} values, of which at most {most} are read", data.len() / size));
        }
        Ok(data.chunks_exact(size).map(|value| number(value, self.big_endian)).collect())
    }

    /// The first number under `tag`.
    ///
    /// # Errors
    /// As [`Self::numbers`], for more than 256 values.
    pub(super) fn number(&self, tag: u16) -> Result<Option<u64>, String> {
        Ok(self.numbers(tag, 256)?.first().copied())
    }

    /// The bytes under `tag`, if they are there.
    pub(super) fn bytes(&self, tag: u16) -> Option<&'a [u8]> {
        self.data(tag)?.1
    }

    /// Type and values of an entry; no values where they are not in the file.
    fn data(&self, tag: u16) -> Option<(u64, Option<&'a [u8]>)> {
        let field = |entry: &'a [u8], at: usize, size: usize| entry.get(at..at + size).map_or(0, |field| number(field, self.big_endian));
        let (entry_size, inline) = if self.big { (20, 8) } else { (12, 4) };
        let entry = self.entries.chunks_exact(entry_size).find(|entry| field(entry, 0, 2) == u64::from(tag))?;
        let (kind, count) = (field(entry, 2, 2), field(entry, 4, inline));
        let length = count.checked_mul(size_of(kind)? as u64);
        let data = length.and_then(|length| {
            if length <= inline as u64 { part(entry, 4 + inline as u64, length) } else { part(self.bytes, field(entry, 4 + inline, inline), length) }
        });
        Some((kind, data))
    }
}

/// Bytes of a value of this type.
fn size_of(kind: u64) -> Option<usize> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 | 16..=18 => Some(8),
        _ => None,
    }
}

/// At most eight bytes as a number.
fn number(bytes: &[u8], big_endian: bool) -> u64 {
    let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
    if big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
}

/// So many bytes from there on.
pub(super) fn part(bytes: &[u8], at: u64, length: u64) -> Option<&[u8]> {
    bytes.get(usize::try_from(at).ok()?..)?.get(..usize::try_from(length).ok()?)
}
