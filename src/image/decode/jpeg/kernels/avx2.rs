//! AVX2.
#![expect(unsafe_code, reason = "loads and stores take pointers; calling a function that needs AVX2 needs a proof")]

use std::arch::x86_64::*;

use super::{Block, EVEN, ODD, PASS_SHIFTS, scalar};

/// Proof of AVX2: only [`Avx2::detect`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    pub(super) fn inverse_transform(self, block: &Block, steps: &Block, samples: &mut [u8], stride: usize) {
        // SAFETY: `self` proves AVX2.
        unsafe { inverse_transform(block, steps, samples, stride) }
    }

    pub(super) fn weigh_rows(self, near: &[u8], far: &[u8], sums: &mut [u16]) {
        // SAFETY: `self` proves AVX2.
        unsafe { weigh_rows(near, far, sums) }
    }

    pub(super) fn widen(self, sums: &[u16], bias: [u16; 2], samples: &mut [u8]) {
        // SAFETY: `self` proves AVX2.
        unsafe { widen(sums, bias, samples) }
    }

    pub(super) fn blend_rows(self, near: &[u8], far: &[u8], bias: u16, samples: &mut [u8]) {
        // SAFETY: `self` proves AVX2.
        unsafe { blend_rows(near, far, bias, samples) }
    }

    pub(super) fn ycc_to_rgb(self, rows: [&[u8]; 3], rgb: &mut [u8]) {
        // SAFETY: `self` proves AVX2.
        unsafe { ycc_to_rgb(rows, rgb) }
    }
}

// These the compiler turns into vectors.

#[target_feature(enable = "avx2")]
fn weigh_rows(near: &[u8], far: &[u8], sums: &mut [u16]) {
    scalar::weigh_rows(near, far, sums);
}

#[target_feature(enable = "avx2")]
fn widen(sums: &[u16], bias: [u16; 2], samples: &mut [u8]) {
    scalar::widen(sums, bias, samples);
}

#[target_feature(enable = "avx2")]
fn blend_rows(near: &[u8], far: &[u8], bias: u16, samples: &mut [u8]) {
    scalar::blend_rows(near, far, bias, samples);
}

// No closures in what follows: passed to `map` or `from_fn`, which lack AVX2, they would be called and not inlined.

/// Both passes work on all eight columns at once; a register holds two rows, 0 and 4, 1 and 5, 2 and 6, or 3 and 7.
#[target_feature(enable = "avx2")]
fn inverse_transform(block: &Block, steps: &Block, samples: &mut [u8], stride: usize) {
    let rows = [rows(block, steps, 0), rows(block, steps, 1), rows(block, steps, 2), rows(block, steps, 3)];
    let columns = transform::<{ PASS_SHIFTS[0] as i32 }>(rows);
    let [a, b, c, d] = transform::<{ PASS_SHIFTS[1] as i32 }>(columns);
    let center = _mm256_set1_epi8(-128);
    // Rows 0, 1, 4, 5 and 2, 3, 6, 7.
    let first = _mm256_xor_si256(_mm256_packs_epi16(a, b), center);
    let second = _mm256_xor_si256(_mm256_packs_epi16(c, d), center);
    let words = [
        _mm256_extract_epi64::<0>(first),
        _mm256_extract_epi64::<1>(first),
        _mm256_extract_epi64::<0>(second),
        _mm256_extract_epi64::<1>(second),
        _mm256_extract_epi64::<2>(first),
        _mm256_extract_epi64::<3>(first),
        _mm256_extract_epi64::<2>(second),
        _mm256_extract_epi64::<3>(second),
    ];
    for (row, word) in samples.chunks_mut(stride).zip(words) {
        if let Some(row) = row.first_chunk_mut() {
            *row = word.to_le_bytes();
        }
    }
}

/// Dequantised rows `at` and `at + 4`, `at` being less than 4.
#[inline]
#[target_feature(enable = "avx2")]
fn rows(block: &Block, steps: &Block, at: usize) -> __m256i {
    _mm256_mullo_epi16(load_rows(block, at), load_rows(steps, at))
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_rows(block: &Block, at: usize) -> __m256i {
    let rows = block.as_chunks::<8>().0;
    // SAFETY: each reference is to 16 bytes, and this load needs no alignment.
    unsafe { _mm256_loadu2_m128i(rows[at + 4].as_ptr().cast(), rows[at].as_ptr().cast()) }
}

/// The transform along the columns, less `SHIFT` bits, rounded; what were columns are rows in the result.
#[inline]
#[target_feature(enable = "avx2")]
fn transform<const SHIFT: i32>([row_04, row_15, row_26, row_37]: [__m256i; 4]) -> [__m256i; 4] {
    // Every 32 bits have the values of one column in two rows: columns 0 to 3, then 4 to 7.
    let (row_04, row_15, row_26, row_37) = (pair(row_04), pair(row_15), pair(row_26), pair(row_37));
    let half = _mm256_set1_epi32(1 << (SHIFT - 1));
    let even_0 = _mm256_add_epi32(sum(row_04, row_26, EVEN[0]), half);
    let even_1 = _mm256_add_epi32(sum(row_04, row_26, EVEN[1]), half);
    let even_2 = _mm256_add_epi32(sum(row_04, row_26, EVEN[2]), half);
    let even_3 = _mm256_add_epi32(sum(row_04, row_26, EVEN[3]), half);
    let odd_0 = sum(row_15, row_37, ODD[0]);
    let odd_1 = sum(row_15, row_37, ODD[1]);
    let odd_2 = sum(row_15, row_37, ODD[2]);
    let odd_3 = sum(row_15, row_37, ODD[3]);
    // Outputs `n` and `n + 4`; the latter is the difference of parts `3 - n`.
    let a = shifted::<SHIFT>(_mm256_add_epi32(even_0, odd_0), _mm256_sub_epi32(even_3, odd_3));
    let b = shifted::<SHIFT>(_mm256_add_epi32(even_1, odd_1), _mm256_sub_epi32(even_2, odd_2));
    let c = shifted::<SHIFT>(_mm256_add_epi32(even_2, odd_2), _mm256_sub_epi32(even_1, odd_1));
    let d = shifted::<SHIFT>(_mm256_add_epi32(even_3, odd_3), _mm256_sub_epi32(even_0, odd_0));
    let (ab_low, ab_high) = (_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b));
    let (cd_low, cd_high) = (_mm256_unpacklo_epi16(c, d), _mm256_unpackhi_epi16(c, d));
    // Outputs 0 to 3 of columns 0 and 1, and 4 and 5 in the upper half, and so on.
    let (columns_01, columns_23) = (_mm256_unpacklo_epi32(ab_low, cd_low), _mm256_unpackhi_epi32(ab_low, cd_low));
    let (high_01, high_23) = (_mm256_unpacklo_epi32(ab_high, cd_high), _mm256_unpackhi_epi32(ab_high, cd_high));
    [
        _mm256_unpacklo_epi64(columns_01, high_01),
        _mm256_unpackhi_epi64(columns_01, high_01),
        _mm256_unpacklo_epi64(columns_23, high_23),
        _mm256_unpackhi_epi64(columns_23, high_23),
    ]
}

/// Two rows, one above the other, as one row of pairs.
#[inline]
#[target_feature(enable = "avx2")]
fn pair(rows: __m256i) -> __m256i {
    let halves = _mm256_permute4x64_epi64::<0b11_01_10_00>(rows);
    _mm256_unpacklo_epi16(halves, _mm256_bsrli_epi128::<8>(halves))
}

#[inline]
#[target_feature(enable = "avx2")]
fn sum(first: __m256i, second: __m256i, factors: [i16; 4]) -> __m256i {
    let [a, b, c, d] = factors.map(i32::from);
    let (first_factors, second_factors) = (_mm256_set1_epi32(b << 16 | (a & 0xffff)), _mm256_set1_epi32(d << 16 | (c & 0xffff)));
    _mm256_add_epi32(_mm256_madd_epi16(first, first_factors), _mm256_madd_epi16(second, second_factors))
}

/// In 16 bits: four of `low`, four of `high`, four of `low`, four of `high`.
#[inline]
#[target_feature(enable = "avx2")]
fn shifted<const SHIFT: i32>(low: __m256i, high: __m256i) -> __m256i {
    _mm256_packs_epi32(_mm256_srai_epi32::<SHIFT>(low), _mm256_srai_epi32::<SHIFT>(high))
}

#[target_feature(enable = "avx2")]
fn ycc_to_rgb([luma, blue, red]: [&[u8]; 3], rgb: &mut [u8]) {
    const LANES: usize = 16;
    let length = luma.len().min(blue.len()).min(red.len()).min(rgb.len() / 3);
    let whole = length - length % LANES;
    let [(y, y_tail), (cb, cb_tail), (cr, cr_tail)] = [luma, blue, red].map(|row| row[..length].split_at(whole));
    let (pixels, tail) = rgb.split_at_mut(3 * whole);
    let chunks = y.as_chunks::<LANES>().0.iter().zip(cb.as_chunks::<LANES>().0).zip(cr.as_chunks::<LANES>().0);
    for (pixels, ((y, cb), cr)) in pixels.as_chunks_mut::<{ 3 * LANES }>().0.iter_mut().zip(chunks) {
        let planes = ycc_to_rgb_planes(widened(y), widened(cb), widened(cr));
        interleave(planes, pixels);
    }
    scalar::ycc_to_rgb([y_tail, cb_tail, cr_tail], tail);
}

#[inline]
#[target_feature(enable = "avx2")]
fn widened(samples: &[u8; 16]) -> __m256i {
    // SAFETY: the reference is to 16 bytes, and this load needs no alignment.
    _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(samples.as_ptr().cast()) })
}

/// As [`scalar::ycc_pixel_to_rgb`]: of its factors whole parts are added, and the rest is multiplied in 16 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn ycc_to_rgb_planes(y: __m256i, cb: __m256i, cr: __m256i) -> [__m128i; 3] {
    let center = _mm256_set1_epi16(128);
    let (cb, cr) = (_mm256_sub_epi16(cb, center), _mm256_sub_epi16(cr, center));
    let (twice_cb, twice_cr) = (_mm256_add_epi16(cb, cb), _mm256_add_epi16(cr, cr));
    let red = _mm256_add_epi16(cr, half_product(twice_cr, (91_881 - 65_536) as i16));
    let blue = _mm256_add_epi16(twice_cb, half_product(twice_cb, (116_130 - 2 * 65_536) as i16));
    let low = green_part(_mm256_unpacklo_epi16(cb, cr));
    let high = green_part(_mm256_unpackhi_epi16(cb, cr));
    let green = _mm256_sub_epi16(_mm256_packs_epi32(low, high), cr);
    [light(y, red), light(y, green), light(y, blue)]
}

/// Half of `twice · factor / 2^16`, rounded.
#[inline]
#[target_feature(enable = "avx2")]
fn half_product(twice: __m256i, factor: i16) -> __m256i {
    let product = _mm256_mulhi_epi16(twice, _mm256_set1_epi16(factor));
    _mm256_srai_epi16::<1>(_mm256_add_epi16(product, _mm256_set1_epi16(1)))
}

/// Of pairs of Cb and Cr, what they add to green, but for a whole Cr.
#[inline]
#[target_feature(enable = "avx2")]
fn green_part(pairs: __m256i) -> __m256i {
    let factors = _mm256_set1_epi32((65_536 - 46_802) << 16 | (-22_554 & 0xffff));
    _mm256_srai_epi32::<16>(_mm256_add_epi32(_mm256_madd_epi16(pairs, factors), _mm256_set1_epi32(1 << 15)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn light(y: __m256i, offset: __m256i) -> __m128i {
    let sum = _mm256_add_epi16(y, offset);
    _mm_packus_epi16(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum))
}

/// Three planes to pixels: each plane's bytes are spread to every third place of 48.
#[inline]
#[target_feature(enable = "avx2")]
fn interleave([red, green, blue]: [__m128i; 3], pixels: &mut [u8; 48]) {
    for (bytes, [of_red, of_green, of_blue]) in pixels.as_chunks_mut::<16>().0.iter_mut().zip(&SPREAD) {
        let red_and_green = _mm_or_si128(spread(red, of_red), spread(green, of_green));
        let all = _mm_or_si128(red_and_green, spread(blue, of_blue));
        // SAFETY: the reference is to 16 bytes, and this store needs no alignment.
        unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), all) }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn spread(plane: __m128i, places: &[i8; 16]) -> __m128i {
    // SAFETY: the reference is to 16 bytes, and this load needs no alignment.
    _mm_shuffle_epi8(plane, unsafe { _mm_loadu_si128(places.as_ptr().cast()) })
}

/// By 16 bytes of 48 and by channel, which of the channel's bytes stands where; -1 leaves a zero.
const SPREAD: [[[i8; 16]; 3]; 3] = {
    let mut places = [[[-1; 16]; 3]; 3];
    let mut at = 0;
    while at < 48 {
        places[at / 16][at % 3][at % 16] = (at / 3) as i8;
        at += 1;
    }
    places
};
