//! Plain Rust, the reference.

use super::{Channels, Normalisation, PRECISION_BITS, ROUNDING, ROWS, TOGETHER, Taps};

pub(super) fn filter_rows(rows: [&[u8]; ROWS], taps: &Taps, target: &mut [u8]) {
    assert!(rows.iter().all(|row| row.len() >= taps.reach()), "a row is shorter than its taps reach");
    let mut targets = target.as_chunks_mut::<3>().0;
    for row in rows {
        let (line, rest) = targets.split_at_mut(taps.len());
        for ((first, weights), pixel) in taps.iter().zip(line) {
            let sources = row[first..first + 12 * weights.len()].as_chunks::<3>().0;
            let products = sources.iter().zip(weights.as_flattened()).map(|(source, weight)| source.map(|sample| multiply(sample, *weight)));
            let sums =
                products.fold([ROUNDING; 3], |[red, green, blue], [r, g, b]| [red.wrapping_add(r), green.wrapping_add(g), blue.wrapping_add(b)]);
            *pixel = sums.map(to_sample);
        }
        targets = rest;
    }
}

/// Columns whose sums are made at once, so that they stay in registers.
const COLUMNS: usize = 32;

#[inline(always)]
pub(super) fn sum_rows(samples: &[u8], stride: usize, weights: &[i32], target: &mut [u8]) {
    let width = target.len();
    let (tiles, rest) = target.as_chunks_mut::<COLUMNS>();
    for (at, tile) in tiles.iter_mut().enumerate() {
        let mut sums = [ROUNDING; COLUMNS];
        for (y, weight) in weights.iter().enumerate() {
            let row = &samples[y * stride + at * COLUMNS..][..COLUMNS];
            sums.iter_mut().zip(row).for_each(|(sum, sample)| *sum = sum.wrapping_add(multiply(*sample, *weight)));
        }
        tile.iter_mut().zip(sums).for_each(|(target, sum)| *target = to_sample(sum));
    }
    for (x, target) in (width - rest.len()..width).zip(rest) {
        let products = weights.iter().enumerate().map(|(y, weight)| multiply(samples[y * stride + x], *weight));
        *target = to_sample(products.fold(ROUNDING, i32::wrapping_add));
    }
}

#[inline(always)]
pub(super) fn normalise(pixels: &[[u8; 3]], channels: &Channels, normalised: &mut [[f32; 3]]) {
    let of = |at: usize, level: u8| Normalisation { scale: channels.scale, mean: channels.mean[at], std: channels.std[at] }.of(level);
    let (levels, level_tail) = pixels.as_flattened().as_chunks::<TOGETHER>();
    let (values, value_tail) = normalised.as_flattened_mut().as_chunks_mut::<TOGETHER>();
    let whole = levels.len().min(values.len());
    for (levels, values) in levels.iter().zip(values.iter_mut()) {
        for at in 0..TOGETHER {
            values[at] = of(at, levels[at]);
        }
    }
    // What is left of the shorter one.
    let levels = levels[whole..].as_flattened().iter().chain(level_tail);
    let values = values[whole..].as_flattened_mut().iter_mut().chain(value_tail);
    levels.zip(values).enumerate().for_each(|(at, (level, value))| *value = of(at, *level));
}

#[inline(always)]
fn multiply(sample: u8, weight: i32) -> i32 {
    i32::from(sample).wrapping_mul(weight)
}

#[inline(always)]
fn to_sample(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}
