//! The arithmetic of JPEG on whole blocks and rows, at every instruction set; bit for bit as libjpeg-turbo's. Knows nothing outside this folder.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(test)]
mod properties;
mod scalar;

pub(super) use scalar::ycc_pixel_to_rgb;

#[cfg(target_arch = "x86_64")]
use self::avx2::Avx2;

/// Coefficients, or quantisation steps, row by row.
pub(super) type Block = [i16; 64];

/// Bits that the transform drops after its columns and after its rows: 13 of the factors and 3 of the transform, but 2 are kept in between.
const PASS_SHIFTS: [u32; 2] = [11, 18];

/// Factors, times 2^13, of inputs 0, 4, 2 and 6 in the even parts of outputs 0, 1, 2 and 3.
///
/// These and [`ODD`] are the products of Loeffler's algorithm (ICASSP 1989) with libjpeg's rounded constants, multiplied out, which changes no
/// result, since nothing is rounded on the way.
const EVEN: [[i16; 4]; 4] = [[8192, 8192, 10_703, 4433], [8192, -8192, 4433, -10_704], [8192, -8192, -4433, 10_704], [8192, 8192, -10_703, -4433]];

/// Factors, times 2^13, of inputs 1, 5, 3 and 7 in the odd parts of outputs 0, 1, 2 and 3; those of outputs 7, 6, 5 and 4 are their negatives.
const ODD: [[i16; 4]; 4] = [[11_363, 6437, 9633, 2260], [9633, -11_362, -2259, -6436], [6437, 2261, -11_362, 9633], [2260, 9633, -6436, -11_363]];

/// What this machine runs best. All functions are total: of slices of different lengths the shortest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernels {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
}

/// The samples of a block of nothing but its mean: what [`Kernels::inverse_transform`] makes of it.
pub(super) fn fill(mean: i16, samples: &mut [u8], stride: usize) {
    let sample = (((i32::from(mean) + 4) >> 3) + 128).clamp(0, 255) as u8;
    samples.chunks_mut(stride).take(8).filter_map(<[u8]>::first_chunk_mut).for_each(|row| *row = [sample; 8]);
}

/// Calls the function of this name at the instruction set.
macro_rules! dispatch {
    ($kernels:expr, $function:ident($($argument:expr),*)) => {
        match $kernels {
            Kernels::Scalar => scalar::$function($($argument),*),
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx2(proof) => proof.$function($($argument),*),
        }
    };
}

impl Kernels {
    pub(super) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(proof) = Avx2::detect() {
            return Self::Avx2(proof);
        }
        Self::Scalar
    }

    /// The samples of a block of coefficients, `stride` apart from row to row (libjpeg's `jidctint.c`).
    ///
    /// Exact for coefficients that come of 8-bit samples; larger ones give some sample.
    pub(super) fn inverse_transform(self, block: &Block, steps: &Block, samples: &mut [u8], stride: usize) {
        dispatch!(self, inverse_transform(block, steps, samples, stride));
    }

    /// `3 · near + far`
    pub(super) fn weigh_rows(self, near: &[u8], far: &[u8], sums: &mut [u16]) {
        dispatch!(self, weigh_rows(near, far, sums));
    }

    /// Two samples for every sum but the first and the last: three quarters of it and a quarter of the one before, or after, a sixteenth of it all.
    ///
    /// Sums are at most 1020, `bias` is what is added before the bits are dropped.
    pub(super) fn widen(self, sums: &[u16], bias: [u16; 2], samples: &mut [u8]) {
        dispatch!(self, widen(sums, bias, samples));
    }

    /// `(3 · near + far + bias) / 4`
    pub(super) fn blend_rows(self, near: &[u8], far: &[u8], bias: u16, samples: &mut [u8]) {
        dispatch!(self, blend_rows(near, far, bias, samples));
    }

    /// Rows of Y, Cb and Cr to one of RGB (libjpeg's `jdcolor.c`).
    pub(super) fn ycc_to_rgb(self, rows: [&[u8]; 3], rgb: &mut [u8]) {
        dispatch!(self, ycc_to_rgb(rows, rgb));
    }
}
