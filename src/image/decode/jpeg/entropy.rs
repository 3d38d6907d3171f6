//! From coded data to coefficients, block by block (ITU-T T.81, F.2 for sequential scans, G.2 for progressive ones).

use super::huffman::{Bits, END_OF_BLOCK, Fault, Table, step};
use super::kernels::Block;
use super::markers::{NATURAL_ORDER, Scan};

/// The coded data of one scan, and what is remembered from block to block.
pub(super) struct Entropy<'a> {
    bits: Bits<'a>,
    /// By component of the scan, the mean of its last block.
    predictors: [i32; 4],
    /// Blocks to come whose bands have no more coefficients.
    ended_bands: u32,
    /// MCUs between two restart markers; 0 where there are none.
    interval: usize,
    /// MCUs up to the next restart marker.
    left: usize,
    restarts: usize,
    /// Bits were read that are not in the file, and the next restart marker has not been reached.
    starved: bool,
}

impl<'a> Entropy<'a> {
    pub(super) fn new(coded: &'a [u8], interval: usize) -> Self {
        Self { bits: Bits::new(coded), predictors: [0; 4], ended_bands: 0, interval, left: interval, restarts: 0, starved: false }
    }

    /// What follows the data that has been read, or a part of it.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bits.rest()
    }

    /// To be called now and then: from where the data ends, zeros are read.
    ///
    /// # Errors
    /// When more bits were read than there are, and no restart marker follows.
    pub(super) fn check(&self) -> Result<(), Fault> {
        if self.interval > 0 && self.bits.is_cut_by_restart() { Ok(()) } else { self.bits.check() }
    }

    /// To be called before every MCU; returns whether it has data. One that has none consists of zeros, as with libjpeg: its data was lost before a
    /// restart marker, or with one.
    ///
    /// # Errors
    /// When a restart marker is due and none comes, or the data ends early.
    #[inline(always)]
    pub(super) fn begin_mcu(&mut self) -> Result<bool, Fault> {
        if self.interval > 0 {
            if self.left == 0 {
                self.restart()?;
            }
            self.left -= 1;
            self.starved = self.starved || self.bits.is_cut_by_restart();
        }
        Ok(!self.starved)
    }

    fn restart(&mut self) -> Result<(), Fault> {
        self.check()?;
        let starved = self.starved || self.bits.is_cut_by_restart();
        self.starved = !self.bits.restart(self.restarts)? && starved;
        (self.predictors, self.ended_bands) = ([0; 4], 0);
        (self.left, self.restarts) = (self.interval, self.restarts + 1);
        Ok(())
    }

    /// The next block of the scan's component `of`; `block` is zero before. Returns whether there may be coefficients other than the mean.
    ///
    /// # Errors
    /// For codes of no symbol, and blocks of more than 64 coefficients.
    #[inline(always)]
    pub(super) fn whole_block(&mut self, of: usize, dc: &Table, ac: &Table, block: &mut Block) -> Result<bool, Fault> {
        // A copy stays in registers.
        let mut bits = self.bits;
        bits.refill();
        let (_, difference) = bits.symbol_and_value(dc)?;
        block[0] = self.predict(of, difference);
        let mut at = 1;
        while at < 64 {
            // Enough for one coefficient of any length and two short ones, so that nobody has to guess after which one bits run out.
            bits.fill();
            let (symbol, value) = bits.symbol_and_value(ac)?;
            let run = usize::from(symbol >> 4);
            if symbol & 15 != 0 {
                at += run;
                block[natural(at)] = value;
                at += 1;
                for _ in 0..2 {
                    if at >= 64 {
                        break;
                    }
                    let Some((symbol, value)) = bits.short_symbol_and_value(ac) else { break };
                    at += usize::from(symbol >> 4);
                    block[natural(at)] = value;
                    at += 1;
                }
            } else if run == 15 {
                at += 16;
            } else {
                break;
            }
        }
        self.bits = bits;
        if at > 64 { Err(TOO_MANY) } else { Ok(at > 1) }
    }

    /// Goes past the next block of the scan's component `of`.
    ///
    /// # Errors
    /// As [`Self::whole_block`].
    #[inline(always)]
    pub(super) fn skip_block(&mut self, of: usize, dc: &Table, ac: &Table) -> Result<(), Fault> {
        // A copy stays in registers.
        let mut bits = self.bits;
        bits.refill();
        let (_, difference) = bits.symbol_and_value(dc)?;
        self.predict(of, difference);
        let mut at = 1;
        while at < 64 {
            // Enough for two lookups.
            bits.fill();
            at = match bits.skip_some(ac, at) {
                Some(to) if to < 64 => bits.skip_some(ac, to).unwrap_or(to),
                Some(end) => end,
                None => at + step(bits.symbol_and_value(ac)?.0),
            };
        }
        self.bits = bits;
        if (65..END_OF_BLOCK).contains(&at) { Err(TOO_MANY) } else { Ok(()) }
    }

    /// The first bits of the next block's mean.
    ///
    /// # Errors
    /// For codes of no symbol.
    pub(super) fn mean(&mut self, of: usize, dc: &Table, scan: &Scan, block: Partial) -> Result<(), Fault> {
        self.bits.refill();
        let (_, difference) = self.bits.symbol_and_value(dc)?;
        let mean = self.predict(of, difference) << scan.low_bit;
        block.coefficients.into_iter().for_each(|coefficients| coefficients[0] = mean);
        Ok(())
    }

    /// One more bit of the next block's mean.
    pub(super) fn refine_mean(&mut self, scan: &Scan, block: Partial) {
        self.bits.refill();
        let bit = (self.bits.take(1) as i16) << scan.low_bit;
        block.coefficients.into_iter().for_each(|coefficients| coefficients[0] |= bit);
    }

    /// The first bits of a band of the next block.
    ///
    /// # Errors
    /// For codes of no symbol, and coefficients outside the band.
    pub(super) fn band(&mut self, ac: &Table, scan: &Scan, mut block: Partial) -> Result<(), Fault> {
        if self.ended_bands > 0 {
            self.ended_bands -= 1;
            return Ok(());
        }
        // A copy stays in registers.
        let mut bits = self.bits;
        let [mut at, end] = scan.band;
        while at <= end {
            bits.refill();
            let (symbol, value) = bits.symbol_and_value(ac)?;
            let run = symbol >> 4;
            if symbol & 15 != 0 {
                at += usize::from(run);
                if at > end {
                    return Err(TOO_MANY);
                }
                block.set(at, value << scan.low_bit);
                at += 1;
            } else if run == 15 {
                at += 16;
            } else {
                self.ended_bands = run_of_ended_bands(&mut bits, run) - 1;
                break;
            }
        }
        self.bits = bits;
        if at > end + 1 { Err(TOO_MANY) } else { Ok(()) }
    }

    /// One more bit of a band of the next block.
    ///
    /// # Errors
    /// For codes of no symbol, and coefficients outside the band.
    pub(super) fn refine_band(&mut self, ac: &Table, scan: &Scan, mut block: Partial) -> Result<(), Fault> {
        // A copy stays in registers.
        let mut bits = self.bits;
        let [mut at, end] = scan.band;
        let mut known = *block.nonzero & from(at) & !from(end + 1);
        while at <= end && self.ended_bands == 0 {
            bits.refill();
            let (symbol, sign) = bits.symbol_and_value(ac)?;
            let run = symbol >> 4;
            match symbol & 15 {
                0 if run < 15 => {
                    self.ended_bands = run_of_ended_bands(&mut bits, run);
                    break;
                }
                0 | 1 => {}
                _ => return Err("a refinement has more than one bit"),
            }
            at = block.refine(&mut known, at + usize::from(run), scan.low_bit, &mut bits);
            if sign != 0 {
                if at > end {
                    return Err(TOO_MANY);
                }
                block.set(at, sign << scan.low_bit);
            }
            at += 1;
        }
        if self.ended_bands > 0 {
            block.refine(&mut known, end, scan.low_bit, &mut bits);
            self.ended_bands -= 1;
        }
        self.bits = bits;
        Ok(())
    }

    fn predict(&mut self, of: usize, difference: i16) -> i16 {
        let predictor = &mut self.predictors[of];
        *predictor = predictor.wrapping_add(difference.into());
        *predictor as i16
    }
}

/// A block of which scans have told a part.
pub(super) struct Partial<'a> {
    /// By place in zigzag order, a bit for each coefficient, the mean left out, that is not zero.
    pub(super) nonzero: &'a mut u64,
    /// `None` where nobody needs them.
    pub(super) coefficients: Option<&'a mut Block>,
}

impl Partial<'_> {
    fn set(&mut self, at: usize, value: i16) {
        *self.nonzero |= u64::from(value != 0) << at;
        if let Some(coefficients) = &mut self.coefficients {
            coefficients[natural(at)] = value;
        }
    }

    /// Reads one more bit of the coefficients at the `known` places up to `place`, and takes these out of `known`.
    ///
    /// A run counts zeros alone, so that each of them moves `place` on by one; where to is returned, which may be behind the block.
    #[inline(always)]
    fn refine(&mut self, known: &mut u64, mut place: usize, low_bit: u8, bits: &mut Bits) -> usize {
        while *known != 0 && known.trailing_zeros() as usize <= place {
            bits.refill();
            let bit = bits.take(1) as i16;
            if let Some(coefficients) = &mut self.coefficients {
                let coefficient = &mut coefficients[natural(known.trailing_zeros() as usize)];
                // Both are as likely, so that a branch would be guessed wrong half the time.
                let missing = i16::from(*coefficient >> low_bit & 1 == 0) & bit;
                *coefficient = coefficient.wrapping_add((missing << low_bit) * coefficient.signum());
            }
            *known &= *known - 1;
            place += 1;
        }
        place
    }
}

/// How many blocks, the one at hand included, have no more coefficients in their bands.
fn run_of_ended_bands(bits: &mut Bits, size: u8) -> u32 {
    if size == 0 { 1 } else { (1 << size) + bits.take(size.into()) }
}

/// Bits for all places from `at` on.
fn from(at: usize) -> u64 {
    u64::MAX.checked_shl(at as u32).unwrap_or(0)
}

const TOO_MANY: Fault = "a block has too many coefficients";

/// Where the coefficient that is number `at` in zigzag order lies in its block.
#[inline(always)]
fn natural(at: usize) -> usize {
    usize::from(NATURAL_ORDER[at & 127]) & 63
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::standard_tables::STANDARD_TABLES;
    use super::*;

    /// The standard tables of luminance.
    fn tables() -> [Table; 2] {
        let table = |at: usize| {
            let counts = STANDARD_TABLES[at + 1..].first_chunk().unwrap();
            Table::new(counts, &STANDARD_TABLES[at + 17..][..counts.iter().map(|count| usize::from(*count)).sum()]).unwrap()
        };
        [table(0), table(29)]
    }

    /// Codes of which most are of short runs, so that blocks may be full.
    fn dense() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(prop_oneof![Just(0x00), Just(0x24), Just(0x92), Just(0x49), any::<u8>()], 0..400)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn what_follows_a_skipped_block_is_what_follows_it_when_it_is_read(coded in prop_oneof![dense(), proptest::collection::vec(any::<u8>(), 0..400)]) {
            let [dc, ac] = tables();
            let (mut read, mut skipped) = (Entropy::new(&coded, 0), Entropy::new(&coded, 0));
            for index in 0..40 {
                let mut blocks = [[0; 64]; 2];
                let result = read.whole_block(0, &dc, &ac, &mut blocks[0]);
                prop_assert!(result != Ok(false) || blocks[0][1..] == [0; 63]);
                if index % 3 == 2 {
                    prop_assert_eq!(skipped.whole_block(0, &dc, &ac, &mut blocks[1]), result);
                    prop_assert_eq!(blocks[0], blocks[1]);
                } else {
                    prop_assert_eq!(skipped.skip_block(0, &dc, &ac), result.map(drop));
                }
                prop_assert_eq!(skipped.check(), read.check());
                prop_assert_eq!(skipped.predictors, read.predictors);
                if result.is_err() {
                    break;
                }
            }
        }
    }
}
