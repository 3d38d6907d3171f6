//! AVX2 and FMA: 8 floats a register, tails by masks.
#![expect(unsafe_code, reason = "masked and unaligned loads and stores take pointers; calling a function that needs AVX2 needs a proof")]

use std::arch::x86_64::*;
use std::ops::Range;

use crate::kernels::maps::vector::{CHUNK, DEPTHWISE_PIXELS, ROW_DISTANCE, Segment, Taps, map_kernels, segments};
use crate::kernels::maps::{
    Convolution, Depthwise, Epilogue, Grid, Layout, Linear, Map, MapMut, Nonlinearity, Panel, PanelSize, Pool, Window, WinogradConvolution,
    WinogradTile,
};
use crate::kernels::vector::{EXP_POLYNOMIAL, HALF_EXP_LIMIT, SUM_BLOCK, UNITS, vector_kernels};
use crate::kernels::{Excitation, Rectify};

/// Proof of AVX2 and FMA: only [`Avx2::detect`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::kernels) struct Avx2(());

impl Avx2 {
    pub(in crate::kernels) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }
}

vector_kernels!(Avx2, "avx2,fma");
map_kernels!(Avx2, "avx2,fma");

type Vector = __m256;
const LANES: usize = 8;
/// Fills the registers with sums, less what weights and a pixel take.
const PANEL_SIZE: PanelSize = PanelSize { lanes: LANES, usual: 2, widest: 3 };
const PIXELS: [usize; 4] = [8, 6, 3, 2];
const ROW_PIXELS: [usize; 2] = [12, 6];

#[inline]
#[target_feature(enable = "avx2,fma")]
fn prefetch(p: *const f32) {
    _mm_prefetch::<_MM_HINT_T1>(p.cast());
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn spread<const I: i32>(v: Vector) -> Vector {
    match I {
        0 => _mm256_permute_ps::<0x00>(v),
        1 => _mm256_permute_ps::<0x55>(v),
        2 => _mm256_permute_ps::<0xaa>(v),
        _ => _mm256_permute_ps::<0xff>(v),
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn splat(x: f32) -> Vector {
    _mm256_set1_ps(x)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn load(values: &[f32; LANES]) -> Vector {
    // SAFETY: the reference is to 8 floats, and this load needs no alignment.
    unsafe { _mm256_loadu_ps(values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn store(values: &mut [f32; LANES], v: Vector) {
    // SAFETY: the reference is to 8 floats, and this store needs no alignment.
    unsafe { _mm256_storeu_ps(values.as_mut_ptr(), v) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn load_tail(values: &[f32]) -> Vector {
    // SAFETY: the mask has no lane beyond the slice, and lanes outside it are not read.
    unsafe { _mm256_maskload_ps(values.as_ptr(), first_lanes(values.len())) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn store_tail(values: &mut [f32], v: Vector) {
    // SAFETY: the mask has no lane beyond the slice, and lanes outside it are not written.
    unsafe { _mm256_maskstore_ps(values.as_mut_ptr(), first_lanes(values.len()), v) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn first_lanes(count: usize) -> __m256i {
    _mm256_cmpgt_epi32(_mm256_set1_epi32(count.min(LANES) as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn add(a: Vector, b: Vector) -> Vector {
    _mm256_add_ps(a, b)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn mul(a: Vector, b: Vector) -> Vector {
    _mm256_mul_ps(a, b)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn div(a: Vector, b: Vector) -> Vector {
    _mm256_div_ps(a, b)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn fma(a: Vector, b: Vector, c: Vector) -> Vector {
    _mm256_fmadd_ps(a, b, c)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn max(a: Vector, b: Vector) -> Vector {
    _mm256_max_ps(a, b)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn min(a: Vector, b: Vector) -> Vector {
    _mm256_min_ps(a, b)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn round(v: Vector) -> Vector {
    _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(v)
}

/// Adds to the exponent.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn scale_by_power(v: Vector, n: Vector) -> Vector {
    let power = _mm256_slli_epi32::<23>(_mm256_cvtps_epi32(n));
    _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(v), power))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn sum(v: Vector) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

/// `v`, but NaN where `a` is.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn or_nan(v: Vector, a: Vector) -> Vector {
    _mm256_blendv_ps(v, a, _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a))
}
