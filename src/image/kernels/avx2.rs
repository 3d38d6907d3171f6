//! AVX2.
#![expect(unsafe_code, reason = "loads take pointers; calling a function that needs AVX2 needs a proof")]

use std::arch::x86_64::*;

use super::{Channels, Four, PRECISION_BITS, ROUNDING, ROWS, Taps, scalar};

/// Proof of AVX2: only [`Avx2::detect`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    pub(super) fn filter_rows(self, rows: [&[u8]; ROWS], taps: &Taps, target: &mut [u8]) {
        // SAFETY: `self` proves AVX2.
        unsafe { filter_rows(rows, taps, target) }
    }

    pub(super) fn sum_rows(self, samples: &[u8], stride: usize, weights: &[i32], target: &mut [u8]) {
        // SAFETY: `self` proves AVX2.
        unsafe { sum_rows(samples, stride, weights, target) }
    }

    pub(super) fn normalise(self, pixels: &[[u8; 3]], channels: &Channels, normalised: &mut [[f32; 3]]) {
        // SAFETY: `self` proves AVX2.
        unsafe { normalise(pixels, channels, normalised) }
    }
}

// These the compiler turns into vectors.

#[target_feature(enable = "avx2")]
fn sum_rows(samples: &[u8], stride: usize, weights: &[i32], target: &mut [u8]) {
    scalar::sum_rows(samples, stride, weights, target);
}

#[target_feature(enable = "avx2")]
fn normalise(pixels: &[[u8; 3]], channels: &Channels, normalised: &mut [[f32; 3]]) {
    scalar::normalise(pixels, channels, normalised);
}

/// Where the bytes of a pair of pixels go, each with a zero behind it: both reds, both greens, both blues, nothing.
const PAIRS: [[i8; 16]; 2] =
    [[0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1], [6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1]];

/// Where the lower halves of two weights go, to stand beside the colours of such a pair.
const LOWER_HALVES: [[i8; 16]; 2] = [[0, 1, 4, 5, 0, 1, 4, 5, 0, 1, 4, 5, 0, 1, 4, 5], [8, 9, 12, 13, 8, 9, 12, 13, 8, 9, 12, 13, 8, 9, 12, 13]];

const UPPER_HALVES: [[i8; 16]; 2] =
    [[2, 3, 6, 7, 2, 3, 6, 7, 2, 3, 6, 7, 2, 3, 6, 7], [10, 11, 14, 15, 10, 11, 14, 15, 10, 11, 14, 15, 10, 11, 14, 15]];

/// Multiplies in 16 bits, two pixels at a time in each half of a register: a weight is its upper half, times 2^16, and its lower half as a signed
/// number, for which the upper one is rounded. What that may overflow by cancels out.
#[target_feature(enable = "avx2")]
fn filter_rows(rows: [&[u8]; ROWS], taps: &Taps, target: &mut [u8]) {
    assert!(rows.iter().all(|row| row.len() >= taps.reach()), "a row is shorter than its taps reach");
    let (pairs, lower, upper) = (load_places(&PAIRS), load_places(&LOWER_HALVES), load_places(&UPPER_HALVES));
    let carry = _mm256_set1_epi32(1 << 15);
    let rounding = _mm256_zextsi128_si256(_mm_set1_epi32(ROUNDING));
    let pixels = &mut target.as_chunks_mut::<3>().0[..ROWS * taps.len()];
    for (x, (first, weights)) in taps.iter().enumerate() {
        let mut lower_sums = [rounding; ROWS];
        let mut upper_sums = [_mm256_setzero_si256(); ROWS];
        for (at, four) in weights.iter().enumerate() {
            let four = load_weights(four);
            let lower = _mm256_shuffle_epi8(four, lower);
            let upper = _mm256_shuffle_epi8(_mm256_add_epi32(four, carry), upper);
            for row in 0..ROWS {
                // SAFETY: the row has `reach` bytes, as asserted above in release too, which by its definition, that does not wrap, are at least these
                // sixteen and all before them.
                let bytes = unsafe { _mm_loadu_si128(rows[row].as_ptr().add(first + 12 * at).cast()) };
                let pair = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), pairs);
                lower_sums[row] = _mm256_add_epi32(lower_sums[row], _mm256_madd_epi16(pair, lower));
                upper_sums[row] = _mm256_add_epi32(upper_sums[row], _mm256_madd_epi16(pair, upper));
            }
        }
        for row in 0..ROWS {
            lower_sums[row] = _mm256_add_epi32(lower_sums[row], _mm256_slli_epi32::<16>(upper_sums[row]));
        }
        let [first, second, third, fourth] = lower_sums;
        let samples = _mm256_packs_epi32(to_samples(first, second), to_samples(third, fourth));
        let samples = _mm256_packus_epi16(samples, samples);
        let (even, odd) = (_mm256_extract_epi64::<0>(samples), _mm256_extract_epi64::<2>(samples));
        let words = [even, odd, even >> 32, odd >> 32];
        for (row, word) in words.into_iter().enumerate() {
            let [red, green, blue, ..] = word.to_le_bytes();
            pixels[row * taps.len() + x] = [red, green, blue];
        }
    }
}

/// The sums of both halves of `first`, and of `second`, without their fraction.
#[inline]
#[target_feature(enable = "avx2")]
fn to_samples(first: __m256i, second: __m256i) -> __m256i {
    let sums = _mm256_add_epi32(_mm256_permute2x128_si256::<0x20>(first, second), _mm256_permute2x128_si256::<0x31>(first, second));
    _mm256_srai_epi32::<{ PRECISION_BITS as i32 }>(sums)
}

/// For both halves of a register, which byte of theirs goes where; -1 stands for zero.
#[inline]
#[target_feature(enable = "avx2")]
fn load_places(places: &[[i8; 16]; 2]) -> __m256i {
    // SAFETY: the reference is to 32 bytes, and this load needs no alignment.
    unsafe { _mm256_loadu_si256(places.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_weights(four: &Four) -> __m256i {
    // SAFETY: the reference is to 16 bytes, and this load needs no alignment.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(four.as_ptr().cast()) })
}
