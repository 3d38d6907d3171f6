//! The prefix codes of lossless WebP and the bits that they are read from (RFC 9649, section 3.7.2).

use super::container::Fault;

/// Reads a stream bit by bit, the lowest bit of a byte first.
pub(super) struct Bits<'a> {
    /// What is not in the reservoir yet.
    rest: &'a [u8],
    /// The next bits, the first one lowest.
    reservoir: u64,
    /// How many of the reservoir's bits are valid.
    available: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(stream: &'a [u8]) -> Self {
        Self { rest: stream, reservoir: 0, available: 0 }
    }

    /// The next `count` bits, at most 32, as a number.
    ///
    /// # Errors
    /// When the stream ends before.
    pub(super) fn take(&mut self, count: u32) -> Result<usize, Fault> {
        self.fill();
        let bits = self.reservoir & ((1 << count) - 1);
        self.skip(count)?;
        Ok(bits as usize)
    }

    /// The next bit.
    ///
    /// # Errors
    /// When the stream has ended.
    pub(super) fn flag(&mut self) -> Result<bool, Fault> {
        Ok(self.take(1)? == 1)
    }

    /// The next symbol of `code`.
    ///
    /// # Errors
    /// When the stream ends before.
    pub(super) fn symbol(&mut self, code: &Code) -> Result<usize, Fault> {
        self.fill();
        let (symbol, length) = code.table[self.reservoir as usize & (code.table.len() - 1)];
        self.skip(length.into())?;
        Ok(symbol.into())
    }

    fn skip(&mut self, count: u32) -> Result<(), Fault> {
        self.available = self.available.checked_sub(count).ok_or("its pixels end early")?;
        self.reservoir >>= count;
        Ok(())
    }

    /// Makes 32 bits available, where there are as many.
    fn fill(&mut self) {
        while self.available < 32 {
            let Some((byte, rest)) = self.rest.split_first() else { return };
            self.reservoir |= u64::from(*byte) << self.available;
            (self.rest, self.available) = (rest, self.available + 8);
        }
    }
}

/// A code that can be read: by the next bits, a symbol and the length of its code.
pub(super) struct Code {
    /// As many as a power of two.
    table: Vec<(u16, u8)>,
}

impl Code {
    /// By symbol, the `lengths` of the codes, at most 15, 0 for symbols without.
    ///
    /// # Errors
    /// When these are the lengths of no complete prefix code.
    pub(super) fn new(lengths: &[u8]) -> Result<Self, Fault> {
        let symbols = || lengths.iter().enumerate().filter(|(_, length)| **length > 0).map(|(symbol, length)| (symbol as u16, *length));
        if let (Some((symbol, _)), None) = (symbols().next(), symbols().nth(1)) {
            return Ok(Self { table: vec![(symbol, 0)] });
        }
        let longest = symbols().map(|(_, length)| length).max().unwrap_or(0);
        let mut table = vec![(0, 0); 1 << longest];
        // The next code, as a number of as many bits as the longest has.
        let mut next = 0;
        for length in 1..=longest {
            let width = 1 << (longest - length);
            for (symbol, _) in symbols().filter(|(_, of)| *of == length) {
                // The first bit that is read is the code's highest one, and the index's lowest.
                let first = reversed(next, longest);
                let entries = table.get_mut(first..).ok_or(NO_CODE)?.iter_mut().step_by(1 << length);
                entries.for_each(|entry| *entry = (symbol, length));
                next += width;
            }
        }
        if longest == 0 || next != 1 << longest { Err(NO_CODE) } else { Ok(Self { table }) }
    }

    /// Reads a code for an alphabet of so many symbols.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn read(bits: &mut Bits, alphabet: usize) -> Result<Self, Fault> {
        Self::new(&lengths(bits, alphabet)?)
    }
}

const NO_CODE: Fault = "a prefix code is incomplete or has codes too many";

/// The number of `length` bits in reverse order.
fn reversed(number: u32, length: u8) -> usize {
    if length == 0 { 0 } else { (number.reverse_bits() >> (32 - u32::from(length))) as usize }
}

/// By symbol, the lengths of the next prefix code of the stream, which is for an alphabet of so many symbols.
///
/// # Errors
/// When there are none. They may still be the lengths of no prefix code.
pub(super) fn lengths(bits: &mut Bits, alphabet: usize) -> Result<Vec<u8>, Fault> {
    let mut lengths = vec![0; alphabet];
    if !bits.flag()? {
        read_lengths(bits, &mut lengths)?;
        return Ok(lengths);
    }
    let two = bits.flag()?;
    let first = if bits.flag()? { bits.take(8)? } else { bits.take(1)? };
    let symbols = [Some(first), if two { Some(bits.take(8)?) } else { None }];
    for symbol in symbols.into_iter().flatten() {
        match lengths.get_mut(symbol) {
            Some(length @ 0) => *length = 1,
            // Decoders differ in how they read a code of the same symbol twice.
            _ => return Err("a prefix code has an unknown symbol, or one twice"),
        }
    }
    Ok(lengths)
}

/// The lengths are coded themselves, by a code whose lengths come first.
fn read_lengths(bits: &mut Bits, lengths: &mut [u8]) -> Result<(), Fault> {
    const ORDER: [usize; 19] = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    let mut of_lengths = [0; 19];
    let count = 4 + bits.take(4)?;
    for symbol in ORDER.iter().take(count) {
        of_lengths[*symbol] = bits.take(3)? as u8;
    }
    let code = Code::new(&of_lengths)?;
    let mut left = lengths.len();
    if bits.flag()? {
        let size = 2 + 2 * bits.take(3)? as u32;
        left = Some(2 + bits.take(size)?).filter(|count| *count <= lengths.len()).ok_or("a prefix code has too many lengths")?;
    }
    let (mut at, mut last) = (0, 8);
    while at < lengths.len() && left > 0 {
        left -= 1;
        let (length, count) = match bits.symbol(&code)? {
            16 => (last, 3 + bits.take(2)?),
            17 => (0, 3 + bits.take(3)?),
            18 => (0, 11 + bits.take(7)?),
            length => (length as u8, 1),
        };
        lengths.get_mut(at..at + count).ok_or("a prefix code has too many lengths")?.fill(length);
        at += count;
        if length > 0 {
            last = length;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_from_their_first_bit_on() {
        // Lengths 1, 2, 3, 3: the codes 0, 10, 110, 111.
        let code = Code::new(&[1, 0, 2, 3, 3]).unwrap();
        let mut bits = Bits::new(&[0b1101_1010, 0b0000_0001]);
        let symbols: Vec<_> = (0..4).map(|_| bits.symbol(&code)).collect();
        assert_eq!(symbols, [Ok(0), Ok(2), Ok(3), Ok(4)].map(|symbol: Result<usize, Fault>| symbol));
    }

    #[test]
    fn a_single_symbol_takes_no_bits() {
        let code = Code::new(&[0, 0, 7]).unwrap();
        assert_eq!(Bits::new(&[]).symbol(&code), Ok(2));
    }

    #[test]
    fn lengths_of_no_complete_prefix_code_are_refused() {
        for lengths in [[0_u8; 4].as_slice(), &[1, 1, 1], &[1, 2], &[2, 2, 2], &[1, 2, 3, 3, 15]] {
            assert!(Code::new(lengths).is_err(), "{lengths:?}");
        }
    }

    #[test]
    fn the_end_of_the_stream_is_noticed() {
        let mut bits = Bits::new(&[0xff]);
        assert_eq!(bits.take(7), Ok(127));
        assert!(bits.take(2).is_err());
    }
}
