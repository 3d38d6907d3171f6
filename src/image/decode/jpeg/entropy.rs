//! From coded data to coefficients, block by block (ITU-T T.81, F.2 for sequential scans, G.2 for progressive ones).

use super::huffman::{Bits, Fault, Table};
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
}

impl<'a> Entropy<'a> {
    pub(super) fn new(coded: &'a [u8], interval: usize) -> Self {
        Self { bits: Bits::new(coded), predictors: [0; 4], ended_bands: 0, interval, left: interval, restarts: 0 }
    }

    /// What follows the data that has been read, or a part of it.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bits.rest()
    }

    /// To be called now and then: from where the data ends, zeros are read.
    ///
    /// # Errors
    /// When more bits were read than there are.
    pub(super) fn check(&self) -> Result<(), Fault> {
        self.bits.check()
    }

    /// To be called before every MCU.
    ///
    /// # Errors
    /// When a restart marker is due and missing.
    #[inline(always)]
    pub(super) fn begin_mcu(&mut self) -> Result<(), Fault> {
        if self.interval > 0 {
            if self.left == 0 {
                self.bits.restart(self.restarts)?;
                (self.predictors, self.ended_bands) = ([0; 4], 0);
                (self.left, self.restarts) = (self.interval, self.restarts + 1);
            }
            self.left -= 1;
        }
        Ok(())
    }

    /// The next block of the scan's component `of`; `block` is zero before.
    ///
    /// # Errors
    /// For codes of no symbol, and blocks of more than 64 coefficients.
    #[inline(always)]
    pub(super) fn whole_block(&mut self, of: usize, dc: &Table, ac: &Table, block: &mut Block) -> Result<(), Fault> {
        // A copy stays in registers.
        let mut bits = self.bits;
        bits.refill();
        let (_, difference) = bits.symbol_and_value(dc)?;
        block[0] = self.predict(of, difference);
        let mut at = 1;
        while at < 64 {
            bits.refill();
            let (symbol, value) = bits.symbol_and_value(ac)?;
            let run = usize::from(symbol >> 4);
            if symbol & 15 != 0 {
                at += run;
                block[natural(at)] = value;
                at += 1;
            } else if run == 15 {
                at += 16;
            } else {
                break;
            }
        }
        self.bits = bits;
        if at > 64 { Err(TOO_MANY) } else { Ok(()) }
    }

    /// The first bits of the next block's mean.
    ///
    /// # Errors
    /// For codes of no symbol.
    pub(super) fn mean(&mut self, of: usize, dc: &Table, scan: &Scan, block: &mut Block) -> Result<(), Fault> {
        self.bits.refill();
        let (_, difference) = self.bits.symbol_and_value(dc)?;
        block[0] = self.predict(of, difference) << scan.low_bit;
        Ok(())
    }

    /// One more bit of the next block's mean.
    pub(super) fn refine_mean(&mut self, scan: &Scan, block: &mut Block) {
        self.bits.refill();
        block[0] |= (self.bits.take(1) as i16) << scan.low_bit;
    }

    /// The first bits of a band of the next block.
    ///
    /// # Errors
    /// For codes of no symbol, and coefficients outside the band.
    pub(super) fn band(&mut self, ac: &Table, scan: &Scan, block: &mut Block) -> Result<(), Fault> {
        if self.ended_bands > 0 {
            self.ended_bands -= 1;
            return Ok(());
        }
        let [mut at, end] = scan.band;
        while at <= end {
            self.bits.refill();
            let (symbol, value) = self.bits.symbol_and_value(ac)?;
            let run = symbol >> 4;
            if symbol & 15 != 0 {
                at += usize::from(run);
                block[natural(at)] = value << scan.low_bit;
                at += 1;
            } else if run == 15 {
                at += 16;
            } else {
                self.ended_bands = self.run_of_ended_bands(run) - 1;
                break;
            }
        }
        if at > end + 1 { Err(TOO_MANY) } else { Ok(()) }
    }

    /// One more bit of a band of the next block.
    ///
    /// # Errors
    /// For codes of no symbol, and coefficients outside the band.
    pub(super) fn refine_band(&mut self, ac: &Table, scan: &Scan, block: &mut Block) -> Result<(), Fault> {
        let [mut at, end] = scan.band;
        let (bit, known) = (1 << scan.low_bit, Known::of(block, scan.band));
        while at <= end && self.ended_bands == 0 {
            self.bits.refill();
            let symbol = self.bits.symbol(ac)?;
            let run = symbol >> 4;
            let value = match symbol & 15 {
                0 if run < 15 => {
                    self.ended_bands = self.run_of_ended_bands(run);
                    break;
                }
                0 => 0,
                1 if self.bits.take(1) == 1 => bit,
                1 => -bit,
                _ => return Err("a refinement has more than one bit"),
            };
            at = self.refine_up_to(at, Some(run), bit, known, block);
            if value != 0 {
                if at > end {
                    return Err(TOO_MANY);
                }
                block[natural(at)] = value;
            }
            at += 1;
        }
        if self.ended_bands > 0 {
            self.refine_up_to(at, None, bit, known, block);
            self.ended_bands -= 1;
        }
        Ok(())
    }

    /// Refines coefficients from `at` on up to the zero that `zeros` others precede, whose place is returned, or to the end of the band.
    fn refine_up_to(&mut self, at: usize, zeros: Option<u8>, bit: i16, known: Known, block: &mut Block) -> usize {
        let reached = known.zero(at, zeros);
        // A copy stays in registers.
        let mut bits = self.bits;
        let mut places = known.nonzero & from(at) & !from(reached);
        while places != 0 {
            let coefficient = &mut block[natural(places.trailing_zeros() as usize)];
            bits.refill();
            // Both are as likely, so that a branch would be guessed wrong half the time.
            let missing = i16::from(*coefficient & bit == 0) & bits.take(1) as i16;
            *coefficient = coefficient.wrapping_add(missing * bit * coefficient.signum());
            places &= places - 1;
        }
        self.bits = bits;
        reached
    }

    fn predict(&mut self, of: usize, difference: i16) -> i16 {
        let predictor = &mut self.predictors[of];
        *predictor = predictor.wrapping_add(difference.into());
        *predictor as i16
    }

    /// How many blocks, this one included, have no more coefficients in their bands.
    fn run_of_ended_bands(&mut self, size: u8) -> u32 {
        if size == 0 { 1 } else { (1 << size) + self.bits.take(size.into()) }
    }
}

/// What is known of a block's band before a refinement.
#[derive(Clone, Copy)]
struct Known {
    /// By place in zigzag order, a bit for each coefficient that is not zero.
    nonzero: u64,
    end: usize,
}

impl Known {
    fn of(block: &Block, [start, end]: [usize; 2]) -> Self {
        let nonzero = (start..=end).fold(0, |nonzero, place| nonzero | u64::from(block[natural(place)] != 0) << (place & 63));
        Self { nonzero, end }
    }

    /// The place of the zero from `at` on that `others` precede; the place behind the band where there is none.
    fn zero(self, at: usize, others: Option<u8>) -> usize {
        let Some(others) = others else { return self.end + 1 };
        let mut zeros = !self.nonzero & from(at);
        for _ in 0..others {
            zeros &= zeros.wrapping_sub(1);
        }
        (zeros.trailing_zeros() as usize).min(self.end + 1)
    }
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
