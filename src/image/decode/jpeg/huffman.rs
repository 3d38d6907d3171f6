//! Huffman codes and the bits they are made of (ITU-T T.81, annexes C and F.2.2).

use std::cell::OnceCell;

/// Why coded data cannot be read.
pub(super) type Fault = &'static str;

/// Bits that a table looks up at once.
const LOOKUP_BITS: u32 = 10;

/// A Huffman code, which may be followed by the value that its symbol announces.
#[derive(Debug)]
pub(super) struct Table {
    /// What the next bits begin with.
    lookup: [Entry; 1 << LOOKUP_BITS],
    /// By length, the end of its codes and of all shorter ones, as numbers of 16 bits.
    ends: [u32; 17],
    /// By length, what to add to a code for its symbol's place.
    offsets: [u16; 17],
    symbols: [u8; 256],
    /// What the next bits amount to where values are not wanted.
    skips: OnceCell<Box<[Skip; 1 << LOOKUP_BITS]>>,
}

/// What to add to the place in a block for a code that ends it.
pub(super) const END_OF_BLOCK: usize = 128;

/// Coefficients of which the lookup has at least the codes, if not the last one's value. Bits 0..6: how many bits to skip. Bits 6..16: what to add to the
/// place in the block, [`END_OF_BLOCK`] included, or what leads to no place where not even one code is in the lookup.
#[derive(Debug, Clone, Copy)]
struct Skip(u16);

/// Bits 0..8: how many bits to skip, 0 for codes that are longer than the lookup. Bits 8..16: the symbol. Bits 16..32: the value that follows the
/// code, if it fits into the lookup as well and is then skipped with it; otherwise 0.
#[derive(Debug, Clone, Copy, Default)]
struct Entry(u32);

impl Table {
    /// `counts` of codes of 1..=16 bits, and their symbols in the order of the codes.
    ///
    /// # Errors
    /// When no prefix code has such lengths.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self, Fault> {
        let mut table = Self { lookup: [Entry(0); 1 << LOOKUP_BITS], ends: [0; 17], offsets: [0; 17], symbols: [0; 256], skips: OnceCell::new() };
        table.symbols.get_mut(..symbols.len()).ok_or("a Huffman table has more than 256 codes")?.copy_from_slice(symbols);
        let (mut code, mut at) = (0_u32, 0_usize);
        for (length, count) in (1..=16).zip(counts) {
            table.offsets[length as usize] = (at as u16).wrapping_sub(code as u16);
            for symbol in &symbols[at..at + usize::from(*count)] {
                if length <= LOOKUP_BITS {
                    let first = code << (LOOKUP_BITS - length);
                    let entries = table.lookup.iter_mut().enumerate().skip(first as usize).take(1 << (LOOKUP_BITS - length));
                    entries.for_each(|(bits, entry)| *entry = Entry::new(*symbol, length, bits as u32));
                }
                code += 1;
            }
            at += usize::from(*count);
            // No code consists of ones alone.
            if code >= 1 << length && *count > 0 {
                return Err("a Huffman table is no prefix code");
            }
            table.ends[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Ok(table)
    }

    /// For tables of coefficients other than means.
    fn skips(&self) -> &[Skip; 1 << LOOKUP_BITS] {
        self.skips.get_or_init(|| Box::new(std::array::from_fn(|bits| Skip::new(&self.lookup, bits))))
    }

    /// The symbol and the length of a code that is longer than the lookup; `next` are the next 16 bits.
    #[cold]
    fn long(&self, next: u32) -> Result<(u8, u32), Fault> {
        let length = (LOOKUP_BITS + 1..=16).find(|length| next < self.ends[*length as usize]).ok_or("a code is of no known symbol")?;
        let place = (next >> (16 - length)) as u16;
        Ok((self.symbols[usize::from(place.wrapping_add(self.offsets[length as usize])) & 255], length))
    }
}

impl Entry {
    /// For a code of `length` bits that `bits`, of the lookup's length, begin with.
    fn new(symbol: u8, length: u32, bits: u32) -> Self {
        let size = u32::from(symbol & 15);
        let Some(rest) = LOOKUP_BITS.checked_sub(length + size).filter(|_| size > 0) else {
            return Self(length | u32::from(symbol) << 8);
        };
        let value = extend((bits >> rest) & ((1 << size) - 1), size);
        Self((length + size) | u32::from(symbol) << 8 | (value as u32) << 16)
    }

    fn skip(self) -> u32 {
        self.0 & 0xff
    }

    fn symbol(self) -> u8 {
        (self.0 >> 8) as u8
    }

    fn value(self) -> i16 {
        (self.0 >> 16) as i16
    }
}

/// How much further in its block a symbol leads, [`END_OF_BLOCK`] if it is the last one.
pub(super) fn step(symbol: u8) -> usize {
    match (usize::from(symbol >> 4), symbol & 15) {
        (15, 0) => 16,
        (_, 0) => END_OF_BLOCK,
        (run, _) => run + 1,
    }
}

impl Skip {
    const NOWHERE: Self = Self((64 << 6) as u16);

    /// For the next `bits`, as many as the lookup has.
    fn new(lookup: &[Entry; 1 << LOOKUP_BITS], bits: usize) -> Self {
        let (mut skip, mut steps) = (0, 0);
        while skip < LOOKUP_BITS && steps < END_OF_BLOCK {
            let entry = lookup[(bits << skip) & (lookup.len() - 1)];
            let size = u32::from(entry.symbol() & 15);
            let code = entry.skip() - if entry.value() != 0 { size } else { 0 };
            if code == 0 || skip + code > LOOKUP_BITS {
                break;
            }
            skip += code + size;
            steps += step(entry.symbol());
        }
        if skip == 0 { Self::NOWHERE } else { Self((skip | (steps as u32) << 6) as u16) }
    }

    fn bits(self) -> u32 {
        u32::from(self.0 & 63)
    }

    fn steps(self) -> usize {
        usize::from(self.0 >> 6)
    }
}

/// The value that `bits`, `size` of them, stand for (T.81, F.2.2.1).
#[inline(always)]
fn extend(bits: u32, size: u32) -> i32 {
    let negative = i32::from(bits >> (size - 1) == 0);
    bits as i32 - negative * ((1 << size) - 1)
}

/// Reads coded data bit by bit up to the next marker, and zeros from there on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bits<'a> {
    /// What is not in the reservoir yet.
    rest: &'a [u8],
    /// The next bits, the first one highest.
    reservoir: u64,
    /// How many of the reservoir's bits are valid; what lies below is zero or what will be read there anyway.
    available: u32,
    /// How many zeros have been put into the reservoir that were not in the file.
    missing: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(coded: &'a [u8]) -> Self {
        Self { rest: coded, reservoir: 0, available: 0, missing: 0 }
    }

    /// What follows the data that has been read, or a part of it.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// # Errors
    /// When bits were read that are not in the file.
    pub(super) fn check(&self) -> Result<(), Fault> {
        if self.missing > self.available { Err("its coded data ends early") } else { Ok(()) }
    }

    /// Whether bits were read that are not in the file, since a restart marker comes before them.
    pub(super) fn is_cut_by_restart(&self) -> bool {
        self.missing > self.available && matches!(self.rest, [0xff, 0xd0..=0xd7, ..])
    }

    /// Goes on behind the restart marker of this `number`, modulo 8.
    ///
    /// Where another one comes first, what is done is what libjpeg does (`jpeg_resync_to_restart` in `jdmarker.c`): one that should have come before is
    /// skipped with its data; one of the next two is left to come, `false` is returned, and until then zeros are read; any other is taken for the right one.
    ///
    /// # Errors
    /// When no restart marker comes before the end of the scan.
    pub(super) fn restart(&mut self, number: usize) -> Result<bool, Fault> {
        const MISSING: Fault = "a restart marker is missing";
        loop {
            self.rest = &self.rest[memchr::memchr(0xff, self.rest).ok_or(MISSING)?..];
            let marker = *self.rest.get(1).ok_or(MISSING)?;
            match (marker, usize::from(marker).wrapping_sub(number) % 8) {
                (0xff, _) => self.rest = &self.rest[1..],
                (0xd0..=0xd7, 1 | 2) => {
                    *self = Self::new(self.rest);
                    return Ok(false);
                }
                // No markers, those that stand for nothing here, and earlier ones.
                (0x00..0xc0, _) | (0xd0..=0xd7, 6 | 7) => self.rest = &self.rest[2..],
                (0xd0..=0xd7, _) => {
                    *self = Self::new(&self.rest[2..]);
                    return Ok(true);
                }
                _ => return Err(MISSING),
            }
        }
    }

    /// Makes at least 32 bits available.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        if self.available < 32 {
            self.fill();
        }
    }

    /// Makes at least 56 bits available.
    #[inline(always)]
    pub(super) fn fill(&mut self) {
        match self.rest.first_chunk::<8>().map(|next| u64::from_be_bytes(*next)) {
            Some(next) if !has_marker_byte(next) => {
                self.reservoir |= next >> self.available;
                self.rest = &self.rest[((63 - self.available) / 8) as usize..];
                self.available |= 56;
            }
            _ => *self = self.refill_bytewise(),
        }
    }

    #[cold]
    fn refill_bytewise(mut self) -> Self {
        while self.available < 56 {
            let (byte, length) = match self.rest {
                [0xff, 0x00, ..] => (0xff, 2),
                [0xff, ..] | [] => {
                    self.missing += 8;
                    (0, 0)
                }
                [byte, ..] => (*byte, 1),
            };
            self.reservoir |= u64::from(byte) << (56 - self.available);
            self.rest = &self.rest[length..];
            self.available += 8;
        }
        self
    }

    #[inline(always)]
    fn peek(&self, count: u32) -> u32 {
        (self.reservoir >> (64 - count)) as u32
    }

    /// `count` is less than 64, and as many bits are available.
    #[inline(always)]
    fn skip(&mut self, count: u32) {
        self.reservoir <<= count & 63;
        self.available = self.available.wrapping_sub(count);
    }

    /// The next `count` bits, 1..=16 of those that are available.
    #[inline(always)]
    pub(super) fn take(&mut self, count: u32) -> u32 {
        let bits = self.peek(count);
        self.skip(count);
        bits
    }

    /// The next symbol and the value that follows it, where both are in the lookup and the value is not 0; takes at most 10 bits of those available.
    #[inline(always)]
    pub(super) fn short_symbol_and_value(&mut self, table: &Table) -> Option<(u8, i16)> {
        let entry = table.lookup[self.peek(LOOKUP_BITS) as usize];
        (entry.value() != 0).then(|| {
            self.skip(entry.skip());
            (entry.symbol(), entry.value())
        })
    }

    /// Skips some coefficients of a block, from the place `at` on, by a lookup; takes at most 25 bits of those available.
    ///
    /// Returns the place behind them, or [`END_OF_BLOCK`] behind it at the block's end. `None`, and nothing is skipped, where the lookup has no whole code,
    /// or more than belongs to the block.
    #[inline(always)]
    pub(super) fn skip_some(&mut self, table: &Table, at: usize) -> Option<usize> {
        let skip = table.skips()[self.peek(LOOKUP_BITS) as usize];
        let to = at + skip.steps();
        (to < 64 || (END_OF_BLOCK..END_OF_BLOCK + 64).contains(&to)).then(|| {
            self.skip(skip.bits());
            to
        })
    }

    /// The next symbol and the value that follows it; takes at most 31 bits of those available.
    ///
    /// The symbol's lower four bits are the value's size in bits, and the value is 0 where that is 0.
    ///
    /// # Errors
    /// When the bits are no code.
    #[inline(always)]
    pub(super) fn symbol_and_value(&mut self, table: &Table) -> Result<(u8, i16), Fault> {
        if let Some(short) = self.short_symbol_and_value(table) {
            return Ok(short);
        }
        let entry = table.lookup[self.peek(LOOKUP_BITS) as usize];
        let (symbol, length) = if entry.skip() == 0 { table.long(self.peek(16))? } else { (entry.symbol(), entry.skip()) };
        self.skip(length);
        let size = u32::from(symbol & 15);
        if size == 0 {
            return Ok((symbol, 0));
        }
        Ok((symbol, extend(self.take(size), size) as i16))
    }
}

/// Whether one of the eight bytes is 0xff, which begins a marker or a stuffed byte.
#[inline(always)]
fn has_marker_byte(bytes: u64) -> bool {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; 8]);
    (!bytes).wrapping_sub(ONES) & bytes & HIGH_BITS != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two codes of two bits (00, 01), one of three (100), and one of twelve (1010 0000 0000).
    fn table() -> Table {
        Table::new(&[0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0], &[0x00, 0x12, 0xf0, 0x3f]).unwrap()
    }

    #[test]
    fn symbols_and_the_values_behind_them_are_read() {
        // 01 10, 01 01, 100, 1010 0000 0000 and fifteen bits, 00.
        let coded = [0b0110_0101, 0b1001_0100, 0b0000_0000, 0b0000_0000, 0b0001_0000];
        let mut bits = Bits::new(&coded);
        bits.refill();
        let read: Vec<_> = (0..3).map(|_| bits.symbol_and_value(&table())).collect();
        assert_eq!(read, [Ok((0x12, 2)), Ok((0x12, -2)), Ok((0xf0, 0))]);
        bits.refill();
        assert_eq!(bits.symbol_and_value(&table()), Ok((0x3f, 4 - 0x7fff)));
    }

    #[test]
    fn filling_twice_reads_nothing_twice() {
        let stuffed = [0x12, 0xff, 0x00, 0x34, 0x56];
        for coded in [&[&stuffed[..], &[0x78; 16]].concat()[..], &stuffed] {
            let mut bits = Bits::new(coded);
            let mut take = || {
                bits.fill();
                bits.fill();
                bits.take(11)
            };
            assert_eq!([take(), take(), take()], [0b000_1001_0111, 0b111_1100_1101, 0b000_1010_1100], "{coded:x?}");
        }
    }

    #[test]
    fn what_is_no_code_is_an_error() {
        let mut bits = Bits::new(&[0xf0, 0, 0, 0]);
        bits.refill();
        assert!(bits.symbol_and_value(&table()).is_err());
        assert!(Table::new(&[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[1, 2]).is_err(), "a code of ones alone");
        assert!(Table::new(&[3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[1, 2, 3]).is_err(), "too many codes");
    }

    #[test]
    fn stuffed_bytes_are_data_and_markers_end_it() {
        let coded = [1, 2, 0xff, 0x00, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 0xff, 0xd9, 14];
        let mut bits = Bits::new(&coded);
        let mut byte = || {
            bits.refill();
            (bits.take(8), bits.check().is_ok())
        };
        for expected in [1, 2, 0xff, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13] {
            assert_eq!(byte(), (expected, true));
        }
        assert_eq!(byte(), (0, false), "behind the end there are zeros, which are noticed");
        assert_eq!(bits.rest(), [0xff, 0xd9, 14]);
    }

    #[test]
    fn restart_markers_are_counted_modulo_eight() {
        let coded = [1, 0xff, 0x00, 0xff, 0xff, 0xd5, 7, 0xff, 0xd7];
        let mut bits = Bits::new(&coded);
        assert_eq!(bits.restart(13), Ok(true));
        bits.refill();
        assert_eq!(bits.take(8), 7);
        assert_eq!(bits.restart(14), Ok(false), "number 15 comes where 14 should");
        assert_eq!(bits.restart(15), Ok(true));
        assert!(bits.restart(16).is_err(), "none comes any more");
    }
}
