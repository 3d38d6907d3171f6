//! AVX-512 with VBMI, which picks any bytes out of 64.
#![expect(unsafe_code, reason = "loads and stores take pointers; calling a function that needs AVX-512 needs a proof")]

use std::arch::x86_64::*;
use std::ops::Range;

use super::{Avx2, Channels, PRECISION_BITS, ROUNDING, ROWS, Taps, scalar};

/// Samples that are made at once.
const SAMPLES: usize = 16;

/// Proof of AVX-512 with VBMI, and of AVX2: only [`Avx512::detect`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Avx512(Avx2);

impl Avx512 {
    pub(super) fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl") && is_x86_feature_detected!("avx512vbmi");
        Avx2::detect().filter(|_| has_all).map(Self)
    }

    pub(super) fn filter_rows(self, rows: [&[u8]; ROWS], taps: &Taps, target: &mut [u8]) {
        match &taps.lanes {
            // SAFETY: `self` proves AVX-512.
            Some(lanes) => unsafe { filter_rows(rows, taps, lanes, target) },
            None => self.0.filter_rows(rows, taps, target),
        }
    }

    pub(super) fn sum_rows(self, samples: &[u8], stride: usize, weights: &[i32], target: &mut [u8]) {
        // SAFETY: `self` proves AVX-512.
        unsafe { sum_rows(samples, stride, weights, target) }
    }

    pub(super) fn normalise(self, pixels: &[[u8; 3]], channels: &Channels, normalised: &mut [[f32; 3]]) {
        self.0.normalise(pixels, channels, normalised);
    }
}

/// The compiler turns it into vectors.
#[target_feature(enable = "avx512bw,avx512vl")]
fn sum_rows(samples: &[u8], stride: usize, weights: &[i32], target: &mut [u8]) {
    scalar::sum_rows(samples, stride, weights, target);
}

/// Taps as vectors of sixteen samples have them.
pub(super) struct Lanes {
    vectors: Vec<Vector>,
    /// Of all vectors, one after the other.
    pairs: Vec<Pair>,
}

/// What sixteen samples are made of, or as many as are left.
struct Vector {
    /// The first byte of their sources.
    first: usize,
    /// How many bytes there are up to the last one, at most 64.
    bytes: usize,
    /// Each sample's first two sources, then its next two, and so on.
    pairs: Range<usize>,
}

/// Two sources of each of sixteen samples.
#[repr(align(64))]
struct Pair {
    /// Every other byte says which of the vector's bytes.
    places: [u8; 64],
    /// Their weights' halves, as they are multiplied.
    lower: [i16; 2 * SAMPLES],
    upper: [i16; 2 * SAMPLES],
}

impl Lanes {
    /// `None` where the sources of sixteen samples lie further apart than 64 bytes.
    pub(super) fn new(taps: &Taps) -> Option<Self> {
        let pixels: Vec<_> = taps.iter().collect();
        let mut lanes = Self { vectors: Vec::new(), pairs: Vec::new() };
        for start in (0..3 * pixels.len()).step_by(SAMPLES) {
            let end = (start + SAMPLES).min(3 * pixels.len());
            // By sample, its sources and their weights.
            let sources = (start..end).map(|sample| {
                let (first, weights) = pixels[sample / 3];
                weights.as_flattened().iter().enumerate().map(move |(at, weight)| (first.saturating_add(3 * at + sample % 3), *weight))
            });
            let used = || sources.clone().flatten().filter(|(_, weight)| *weight != 0).map(|(byte, _)| byte);
            let (first, end) = (used().min().unwrap_or(0), used().max().map_or(0, |last| last.saturating_add(1)));
            if end - first > 64 {
                return None;
            }
            let most = sources.clone().map(|sources| sources.len()).max().unwrap_or(0);
            let before = lanes.pairs.len();
            lanes.pairs.extend((0..most).step_by(2).map(|_| Pair { places: [0; 64], lower: [0; 2 * SAMPLES], upper: [0; 2 * SAMPLES] }));
            for (lane, sources) in sources.enumerate() {
                for (at, (byte, weight)) in sources.enumerate().filter(|(_, (_, weight))| *weight != 0) {
                    let (pair, half) = (&mut lanes.pairs[before + at / 2], 2 * lane + at % 2);
                    pair.places[2 * half] = (byte - first) as u8;
                    pair.lower[half] = weight as i16;
                    pair.upper[half] = (weight.wrapping_add(1 << 15) >> 16) as i16;
                }
            }
            lanes.vectors.push(Vector { first, bytes: end - first, pairs: before..lanes.pairs.len() });
        }
        Some(lanes)
    }
}

/// Multiplies in 16 bits: a weight is its upper half, times 2^16, and its lower half as a signed number, for which the upper one is rounded. What that
/// may overflow by cancels out.
#[target_feature(enable = "avx512bw,avx512vl,avx512vbmi")]
fn filter_rows(rows: [&[u8]; ROWS], taps: &Taps, lanes: &Lanes, target: &mut [u8]) {
    assert!(rows.iter().all(|row| row.len() >= taps.reach()), "a row is shorter than its taps reach");
    let stride = 3 * taps.len();
    let target = &mut target[..ROWS * stride];
    for (start, vector) in (0..stride).step_by(SAMPLES).zip(&lanes.vectors) {
        let wanted = u64::MAX.checked_shr(64 - vector.bytes as u32).unwrap_or(0);
        let mut bytes = [_mm512_setzero_si512(); ROWS];
        for (bytes, row) in bytes.iter_mut().zip(rows) {
            // SAFETY: no byte is read that is not wanted, and those lie before the taps' reach, up to which the row has them, as asserted above in
            // release too; neither wraps.
            *bytes = unsafe { _mm512_maskz_loadu_epi8(wanted, row.as_ptr().add(vector.first).cast()) };
        }
        let mut lower_sums = [_mm512_set1_epi32(ROUNDING); ROWS];
        let mut upper_sums = [_mm512_setzero_si512(); ROWS];
        for pair in &lanes.pairs[vector.pairs.clone()] {
            let (places, lower, upper) = (load(&pair.places), load(&pair.lower), load(&pair.upper));
            for row in 0..ROWS {
                let sources = _mm512_maskz_permutexvar_epi8(0x5555_5555_5555_5555, places, bytes[row]);
                lower_sums[row] = _mm512_add_epi32(lower_sums[row], _mm512_madd_epi16(sources, lower));
                upper_sums[row] = _mm512_add_epi32(upper_sums[row], _mm512_madd_epi16(sources, upper));
            }
        }
        let samples = SAMPLES.min(stride - start);
        for row in 0..ROWS {
            let sums = _mm512_add_epi32(lower_sums[row], _mm512_slli_epi32::<16>(upper_sums[row]));
            let levels = _mm512_max_epi32(_mm512_srai_epi32::<PRECISION_BITS>(sums), _mm512_setzero_si512());
            let to = &mut target[row * stride + start..][..samples];
            // SAFETY: as many bytes are written as the slice has, which is at most sixteen.
            unsafe { _mm_mask_storeu_epi8(to.as_mut_ptr().cast(), u16::MAX >> (SAMPLES - samples), _mm512_cvtusepi32_epi8(levels)) };
        }
    }
}

#[inline]
#[target_feature(enable = "avx512bw")]
fn load<T, const N: usize>(values: &[T; N]) -> __m512i {
    const { assert!(size_of::<[T; N]>() == 64) };
    // SAFETY: the reference is to 64 bytes of numbers, and this load needs no alignment.
    unsafe { _mm512_loadu_si512(values.as_ptr().cast()) }
}
