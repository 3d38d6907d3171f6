//! Plain Rust, the reference.

use super::{Block, EVEN, ODD, PASS_SHIFTS};

pub(super) fn inverse_transform(block: &Block, steps: &Block, samples: &mut [u8], stride: usize) {
    let dequantized: Block = std::array::from_fn(|at| block[at].wrapping_mul(steps[at]));
    let mut columns = [[0; 8]; 8];
    for (x, column) in columns.iter_mut().enumerate() {
        *column = transform(std::array::from_fn(|y| dequantized[8 * y + x]), PASS_SHIFTS[0]);
    }
    for (y, line) in samples.chunks_mut(stride).take(8).enumerate() {
        let row = transform(columns.map(|column| column[y]), PASS_SHIFTS[1]);
        line.iter_mut().zip(row).for_each(|(sample, value)| *sample = (value.clamp(-128, 127) + 128) as u8);
    }
}

/// The one-dimensional transform, less `shift` bits, rounded.
fn transform(input: [i16; 8], shift: u32) -> [i16; 8] {
    let sum = |places: [usize; 4], factors: [i16; 4]| {
        let products = places.into_iter().zip(factors).map(|(place, factor)| i32::from(input[place]) * i32::from(factor));
        products.fold(0_i32, i32::wrapping_add)
    };
    let even = EVEN.map(|factors| sum([0, 4, 2, 6], factors));
    let odd = ODD.map(|factors| sum([1, 5, 3, 7], factors));
    std::array::from_fn(|at| {
        let exact = if at < 4 { even[at].wrapping_add(odd[at]) } else { even[7 - at].wrapping_sub(odd[7 - at]) };
        (exact.wrapping_add(1 << (shift - 1)) >> shift).clamp(i16::MIN.into(), i16::MAX.into()) as i16
    })
}

#[inline(always)]
pub(super) fn weigh_rows(near: &[u8], far: &[u8], sums: &mut [u16]) {
    for ((sum, near), far) in sums.iter_mut().zip(near).zip(far) {
        *sum = 3 * u16::from(*near) + u16::from(*far);
    }
}

#[inline(always)]
pub(super) fn widen(sums: &[u16], [left, right]: [u16; 2], samples: &mut [u8]) {
    let neighbours = sums.iter().zip(sums.get(1..).unwrap_or_default()).zip(sums.get(2..).unwrap_or_default());
    for (pair, ((last, this), next)) in samples.as_chunks_mut::<2>().0.iter_mut().zip(neighbours) {
        // Both in one number, since the compiler does not pair bytes well.
        let low = (3 * this + last + left) >> 4;
        let high = (3 * this + next + right) >> 4;
        *pair = (low | high << 8).to_le_bytes();
    }
}

#[inline(always)]
pub(super) fn blend_rows(near: &[u8], far: &[u8], bias: u16, samples: &mut [u8]) {
    for ((sample, near), far) in samples.iter_mut().zip(near).zip(far) {
        *sample = ((3 * u16::from(*near) + u16::from(*far) + bias) >> 2) as u8;
    }
}

pub(super) fn ycc_to_rgb([luma, blue, red]: [&[u8]; 3], rgb: &mut [u8]) {
    for (((pixel, y), cb), cr) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(luma).zip(blue).zip(red) {
        *pixel = ycc_pixel_to_rgb(*y, *cb, *cr);
    }
}

/// libjpeg's `ycc_rgb_convert`: ITU-T T.871 with factors of 16 bits, of which it rounds each colour once.
pub(in super::super) fn ycc_pixel_to_rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((91_881 * cr + HALF) >> 16);
    let green = y + ((-22_554 * cb - 46_802 * cr + HALF) >> 16);
    let blue = y + ((116_130 * cb + HALF) >> 16);
    [red, green, blue].map(|light| light.clamp(0, 255) as u8)
}
