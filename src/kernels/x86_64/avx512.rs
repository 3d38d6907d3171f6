//! AVX-512F: 16 floats a register, tails by masks.
#![expect(unsafe_code, reason = "masked and unaligned loads and stores take pointers; calling a function that needs AVX-512F needs a proof")]

use std::arch::x86_64::*;
use std::ops::Range;

use crate::kernels::maps::vector::{CHUNK, DEPTHWISE_PIXELS, ROW_DISTANCE, Segment, Taps, map_kernels, segments};
use crate::kernels::maps::{
    Convolution, Depthwise, Epilogue, Grid, Layout, Linear, Map, MapMut, Nonlinearity, Panel, PanelSize, Pool, Window, WinogradConvolution,
    WinogradTile,
};
use crate::kernels::vector::{EXP_POLYNOMIAL, HALF_EXP_LIMIT, SUM_BLOCK, UNITS, vector_kernels};
use crate::kernels::{Excitation, Rectify};

/// Proof of AVX-512F: only [`Avx512::detect`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::kernels) struct Avx512(());

impl Avx512 {
    pub(in crate::kernels) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx512f").then_some(Self(()))
    }
}

vector_kernels!(Avx512, "avx512f");
map_kernels!(Avx512, "avx512f");

type Vector = __m512;
const LANES: usize = 16;
/// Fills the registers with sums, less what weights and a pixel take.
const PANEL_SIZE: PanelSize = PanelSize { lanes: LANES, usual: 4, widest: 4 };
const PIXELS: [usize; 4] = [8, 8, 8, 6];
const ROW_PIXELS: [usize; 2] = [16, 12];

#[inline]
#[target_feature(enable = "avx512f")]
fn prefetch(p: *const f32) {
    _mm_prefetch::<_MM_HINT_T1>(p.cast());
}

#[inline]
#[target_feature(enable = "avx512f")]
fn spread<const I: i32>(v: Vector) -> Vector {
    match I {
        0 => _mm512_permute_ps::<0x00>(v),
        1 => _mm512_permute_ps::<0x55>(v),
        2 => _mm512_permute_ps::<0xaa>(v),
        _ => _mm512_permute_ps::<0xff>(v),
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn splat(x: f32) -> Vector {
    _mm512_set1_ps(x)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(values: &[f32; LANES]) -> Vector {
    // SAFETY: the reference is to 16 floats, and this load needs no alignment.
    unsafe { _mm512_loadu_ps(values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(values: &mut [f32; LANES], v: Vector) {
    // SAFETY: the reference is to 16 floats, and this store needs no alignment.
    unsafe { _mm512_storeu_ps(values.as_mut_ptr(), v) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_tail(values: &[f32]) -> Vector {
    // SAFETY: the mask has no lane beyond the slice, and lanes outside it are not read.
    unsafe { _mm512_maskz_loadu_ps(first_lanes(values.len()), values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store_tail(values: &mut [f32], v: Vector) {
    // SAFETY: the mask has no lane beyond the slice, and lanes outside it are not written.
    unsafe { _mm512_mask_storeu_ps(values.as_mut_ptr(), first_lanes(values.len()), v) }
}

fn first_lanes(count: usize) -> __mmask16 {
    ((1u32 << count.min(LANES)) - 1) as __mmask16
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add(a: Vector, b: Vector) -> Vector {
    _mm512_add_ps(a, b)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn mul(a: Vector, b: Vector) -> Vector {
    _mm512_mul_ps(a, b)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn div(a: Vector, b: Vector) -> Vector {
    _mm512_div_ps(a, b)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn fma(a: Vector, b: Vector, c: Vector) -> Vector {
    _mm512_fmadd_ps(a, b, c)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn max(a: Vector, b: Vector) -> Vector {
    _mm512_max_ps(a, b)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn min(a: Vector, b: Vector) -> Vector {
    _mm512_min_ps(a, b)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn round(v: Vector) -> Vector {
    _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(v)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn scale_by_power(v: Vector, n: Vector) -> Vector {
    _mm512_scalef_ps(v, n)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn sum(v: Vector) -> f32 {
    _mm512_reduce_add_ps(v)
}

/// `v`, but NaN where `a` is.
#[inline]
#[target_feature(enable = "avx512f")]
fn or_nan(v: Vector, a: Vector) -> Vector {
    _mm512_mask_mov_ps(v, _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a), a)
}
