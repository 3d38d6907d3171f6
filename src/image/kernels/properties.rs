//! Every instruction set against the scalar reference, and that against what the numbers mean.

use std::io::Write;
use std::sync::Once;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// The instruction sets to be compared; those that this machine lacks are named once, past the capture of the test harness.
fn others() -> Vec<Kernels> {
    static SAY: Once = Once::new();
    #[cfg(target_arch = "x86_64")]
    let all = [("avx2", Avx2::detect().map(Kernels::Avx2)), ("avx512", Avx512::detect().map(Kernels::Avx512))];
    #[cfg(not(target_arch = "x86_64"))]
    let all = [("avx2", None), ("avx512", None)];
    SAY.call_once(|| {
        for (name, _) in all.iter().filter(|(_, kernels)| kernels.is_none()) {
            writeln!(std::io::stderr(), "skipped: {name} of preprocessing: this machine has none").expect("standard error is open");
        }
    });
    all.into_iter().filter_map(|(_, kernels)| kernels).collect()
}

/// Where a pixel's sources begin, and their weights.
type Pixel = (usize, Vec<i32>);

fn pixels() -> impl Strategy<Value = Vec<Pixel>> {
    let weight = prop_oneof![any::<i32>(), -(1 << 22)..(1 << 22), -(1 << 16)..(1 << 16), Just(1 << 15), Just(-1 << 15)];
    // Anywhere, or so near to each other that one vector may have the sources of several.
    prop_oneof![vec((0..60_usize, vec(weight.clone(), 0..14)), 0..20), vec((0..18_usize, vec(weight, 0..7)), 0..20)]
}

fn taps(pixels: &[Pixel]) -> Taps {
    Taps::new(pixels.iter().map(|(start, weights)| (*start..start.saturating_add(weights.len()), weights.as_slice())))
}

fn filtered(kernels: Kernels, samples: &[u8], taps: &Taps) -> Vec<u8> {
    let mut target = vec![7; 3 * ROWS * taps.len() + 5];
    // Rows end where the last one must, so that reading on is noticed.
    let row = |row: usize| &samples[50 * row..][..taps.reach()];
    kernels.filter_rows(std::array::from_fn(row), taps, &mut target);
    target
}

proptest! {
    #[test]
    fn filtered_rows_are_equal(pixels in pixels(), samples in vec(any::<u8>(), 400)) {
        let taps = taps(&pixels);
        for kernels in others() {
            prop_assert_eq!(filtered(kernels, &samples, &taps), filtered(Kernels::Scalar, &samples, &taps), "{:?}", kernels);
        }
    }

    #[test]
    fn summed_rows_are_equal(samples in vec(any::<u8>(), 900), weights in vec(any::<i32>(), 0..8), width in 0..110_usize, gap in 0..10_usize) {
        let summed = |kernels: Kernels| {
            let mut target = vec![7; width];
            kernels.sum_rows(&samples, width + gap, &weights, &mut target);
            target
        };
        for kernels in others() {
            prop_assert_eq!(summed(kernels), summed(Kernels::Scalar), "{:?}", kernels);
        }
    }

    #[test]
    fn normalised_pixels_are_equal(
        pixels in vec(any::<[u8; 3]>(), 0..90),
        length in 0..90_usize,
        scale in -3.0..3.0_f32,
        constants in [(-300.0..300.0_f32, 0.001..300.0_f32), (-1.0..1.0_f32, 0.1..2.0_f32), (-1.0..1.0_f32, 0.1..2.0_f32)],
    ) {
        let channels = constants.map(|(mean, std)| Normalisation { scale, mean, std });
        let mut expected = vec![[7.0; 3]; length];
        for (pixel, values) in pixels.iter().zip(&mut expected) {
            *values = [0, 1, 2].map(|channel| channels[channel].of(pixel[channel]));
        }
        for kernels in [Kernels::Scalar].into_iter().chain(others()) {
            let mut normalised = vec![[7.0; 3]; length];
            kernels.normalise(&pixels, &Channels::new(channels), &mut normalised);
            prop_assert_eq!(&normalised, &expected, "{:?}", kernels);
        }
    }

    #[test]
    fn a_filtered_pixel_is_the_weighted_sum_of_its_sources(pixels in pixels(), samples in vec(any::<u8>(), 400)) {
        let taps = taps(&pixels);
        let made = filtered(Kernels::Scalar, &samples, &taps);
        for (at, sample) in made[..3 * ROWS * taps.len()].iter().enumerate() {
            let (row, (start, weights)) = (at / (3 * taps.len()), &pixels[at / 3 % taps.len()]);
            let source = |n: usize| samples[50 * row + 3 * (start + n) + at % 3];
            prop_assert_eq!(*sample, rounded(weights.iter().enumerate().map(|(n, weight)| (source(n), *weight))));
        }
        prop_assert!(made[3 * ROWS * taps.len()..].iter().all(|sample| *sample == 7));
    }

    #[test]
    fn a_summed_sample_is_the_weighted_sum_of_its_column(samples in vec(any::<u8>(), 500), weights in vec(-(1 << 21)..(1 << 21), 0..5), width in 0..100_usize) {
        let mut target = vec![7; width];
        Kernels::Scalar.sum_rows(&samples, width, &weights, &mut target);
        for (x, sample) in target.iter().enumerate() {
            prop_assert_eq!(*sample, rounded(weights.iter().enumerate().map(|(y, weight)| (samples[y * width + x], *weight))));
        }
    }
}

/// The sum of products less its fraction, rounded, as far as 32 bits hold it.
fn rounded(products: impl Iterator<Item = (u8, i32)>) -> u8 {
    let exact: i64 = products.map(|(sample, weight)| i64::from(sample) * i64::from(weight)).sum();
    let wrapped = (exact + (1 << 21)) as i32;
    (wrapped >> 22).clamp(0, 255) as u8
}

/// Places up to the limits of `usize`.
fn any_place() -> impl Strategy<Value = usize> {
    let near_a_part = (1..20_usize, 0..9_usize).prop_map(|(parts, less)| (usize::MAX / parts).wrapping_sub(less));
    prop_oneof![near_a_part, any::<usize>(), 0..40_usize]
}

proptest! {
    #[test]
    fn taps_at_any_place_are_a_panic_or_right(start in any_place(), weights in vec(any::<i32>(), 0..9), stride in any_place()) {
        let (samples, pixel) = ([1; 60], (start, weights));
        let taps = taps(std::slice::from_ref(&pixel));
        for kernels in [Kernels::Scalar].into_iter().chain(others()) {
            let filtered = std::panic::catch_unwind(|| kernels.filter_rows([&samples; ROWS], &taps, &mut [0; 3 * ROWS]));
            prop_assert_eq!(filtered.is_ok(), taps.reach() <= samples.len(), "{:?}", kernels);
            prop_assert!(filtered.is_err() || start <= 20);
            let summed = std::panic::catch_unwind(|| kernels.sum_rows(&samples, stride, &pixel.1, &mut [0; 7]));
            let end = (pixel.1.len().max(1) as u128 - 1) * stride as u128 + 7;
            prop_assert_eq!(summed.is_ok(), pixel.1.is_empty() || end <= 60, "{:?}", kernels);
        }
    }
}

#[test]
fn no_byte_is_read_that_a_row_need_not_have() {
    let taps = taps(&[(3, vec![1 << 22; 4]), (0, vec![])]);
    assert_eq!(taps.reach(), 25, "three bytes for each of seven pixels, and four");
    for kernels in [Kernels::Scalar].into_iter().chain(others()) {
        let short = std::panic::catch_unwind(|| kernels.filter_rows([&[0; 24]; ROWS], &taps, &mut [0; 24]));
        assert!(short.is_err(), "{kernels:?}");
        let narrow = std::panic::catch_unwind(|| kernels.filter_rows([&[0; 25]; ROWS], &taps, &mut [0; 23]));
        assert!(narrow.is_err(), "{kernels:?}");
    }
}
