//! NEON, the Advanced SIMD of aarch64: 4 floats a register, tails through an array.
#![expect(unsafe_code, reason = "loads and stores take pointers; calling a function that needs NEON needs a proof")]

use std::arch::aarch64::*;
use std::ops::Range;

use crate::kernels::maps::vector::{CHUNK, DEPTHWISE_PIXELS, ROW_DISTANCE, Segment, Taps, map_kernels, segments};
use crate::kernels::maps::{
    Convolution, Depthwise, Epilogue, Grid, Layout, Linear, Map, MapMut, Nonlinearity, Panel, PanelSize, Pool, Window, WinogradConvolution,
    WinogradTile,
};
use crate::kernels::vector::{EXP_POLYNOMIAL, HALF_EXP_LIMIT, SUM_BLOCK, UNITS, vector_kernels};
use crate::kernels::{Excitation, Rectify};

/// Proof of NEON: only [`Neon::detect`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::kernels) struct Neon(());

impl Neon {
    pub(in crate::kernels) fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

vector_kernels!(Neon, "neon");
map_kernels!(Neon, "neon");

type Vector = float32x4_t;
const LANES: usize = 4;
/// Fills the registers with sums, less what weights and a pixel take.
const PANEL_SIZE: PanelSize = PanelSize { lanes: LANES, usual: 4, widest: 4 };
const PIXELS: [usize; 4] = [8, 8, 8, 6];
const ROW_PIXELS: [usize; 2] = [16, 12];

#[inline]
#[target_feature(enable = "neon")]
fn prefetch(_: *const f32) {}

#[inline]
#[target_feature(enable = "neon")]
fn spread<const I: i32>(v: Vector) -> Vector {
    vdupq_laneq_f32::<I>(v)
}

#[inline]
#[target_feature(enable = "neon")]
fn splat(x: f32) -> Vector {
    vdupq_n_f32(x)
}

#[inline]
#[target_feature(enable = "neon")]
fn load(values: &[f32; LANES]) -> Vector {
    // SAFETY: the reference is to 4 floats, and this load needs no more alignment than they have.
    unsafe { vld1q_f32(values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn store(values: &mut [f32; LANES], v: Vector) {
    // SAFETY: the reference is to 4 floats, and this store needs no more alignment than they have.
    unsafe { vst1q_f32(values.as_mut_ptr(), v) }
}

#[inline]
#[target_feature(enable = "neon")]
fn load_tail(values: &[f32]) -> Vector {
    let mut lanes = [0.0; LANES];
    for (lane, value) in lanes.iter_mut().zip(values) {
        *lane = *value;
    }
    load(&lanes)
}

#[inline]
#[target_feature(enable = "neon")]
fn store_tail(values: &mut [f32], v: Vector) {
    let mut lanes = [0.0; LANES];
    store(&mut lanes, v);
    for (value, lane) in values.iter_mut().zip(lanes) {
        *value = lane;
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn add(a: Vector, b: Vector) -> Vector {
    vaddq_f32(a, b)
}

#[inline]
#[target_feature(enable = "neon")]
fn mul(a: Vector, b: Vector) -> Vector {
    vmulq_f32(a, b)
}

#[inline]
#[target_feature(enable = "neon")]
fn div(a: Vector, b: Vector) -> Vector {
    vdivq_f32(a, b)
}

#[inline]
#[target_feature(enable = "neon")]
fn fma(a: Vector, b: Vector, c: Vector) -> Vector {
    vfmaq_f32(c, a, b)
}

#[inline]
#[target_feature(enable = "neon")]
fn max(a: Vector, b: Vector) -> Vector {
    vmaxq_f32(a, b)
}

#[inline]
#[target_feature(enable = "neon")]
fn min(a: Vector, b: Vector) -> Vector {
    vminq_f32(a, b)
}

#[inline]
#[target_feature(enable = "neon")]
fn round(v: Vector) -> Vector {
    vrndnq_f32(v)
}

/// Adds to the exponent.
#[inline]
#[target_feature(enable = "neon")]
fn scale_by_power(v: Vector, n: Vector) -> Vector {
    let power = vshlq_n_s32::<23>(vcvtnq_s32_f32(n));
    vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(v), power))
}

#[inline]
#[target_feature(enable = "neon")]
fn sum(v: Vector) -> f32 {
    vaddvq_f32(v)
}

/// `v`, but NaN where `a` is; NEON's maximum is so already.
#[inline]
#[target_feature(enable = "neon")]
fn or_nan(v: Vector, _a: Vector) -> Vector {
    v
}
