//! Every instruction set against the scalar reference, and that against what the numbers mean.

use std::f64::consts::PI;
use std::io::Write;
use std::sync::Once;

use proptest::array::uniform;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// The instruction set to be compared; where there is none, says so once, past the capture of the test harness.
fn other() -> Option<Kernels> {
    static SAY: Once = Once::new();
    let best = Kernels::detect();
    if best == Kernels::Scalar {
        SAY.call_once(|| std::io::stderr().write_all(b"skipped: avx2 of jpeg: this machine has none\n").expect("standard error is open"));
    }
    (best != Kernels::Scalar).then_some(best)
}

fn transformed(kernels: Kernels, block: &Block, steps: &Block, stride: usize) -> Vec<u8> {
    let mut samples = vec![9; 7 * stride + 8];
    kernels.inverse_transform(block, steps, &mut samples, stride);
    samples
}

/// Mostly zeros, as blocks are, and any values at all.
fn coefficients() -> impl Strategy<Value = Block> {
    uniform::<_, 64>(prop_oneof![5 => Just(0), 3 => -30..30_i16, 1 => any::<i16>()])
}

#[test]
fn a_block_of_nothing_but_its_mean_is_filled_as_it_would_be_transformed() {
    for mean in i16::MIN..=i16::MAX {
        let mut samples = [9; 64];
        fill(mean, &mut samples, 8);
        let block = std::array::from_fn(|at| if at == 0 { mean } else { 0 });
        for kernels in [Kernels::Scalar].into_iter().chain(other()) {
            assert_eq!(transformed(kernels, &block, &[1; 64], 8), samples, "{kernels:?}, {mean}");
        }
    }
}

proptest! {
    #[test]
    fn transforms_are_equal(block in coefficients(), steps in uniform::<_, 64>(prop_oneof![0..256_i16, any::<i16>()]), stride in 8..40_usize) {
        let Some(kernels) = other() else { return Ok(()) };
        prop_assert_eq!(transformed(kernels, &block, &steps, stride), transformed(Kernels::Scalar, &block, &steps, stride));
    }

    #[test]
    fn rows_are_equal(near in vec(any::<u8>(), 0..100), far in vec(any::<u8>(), 0..100), red in vec(any::<u8>(), 0..100)) {
        let Some(kernels) = other() else { return Ok(()) };
        let blended = |kernels: Kernels| {
            let mut samples = [7; 100];
            kernels.blend_rows(&near, &far, 2, &mut samples);
            samples
        };
        let widened = |kernels: Kernels| {
            let (mut sums, mut samples) = ([3; 100], [7; 201]);
            kernels.weigh_rows(&near, &far, &mut sums);
            kernels.widen(&sums, [8, 7], &mut samples);
            (sums, samples)
        };
        let colored = |kernels: Kernels| {
            let mut rgb = [7; 290];
            kernels.ycc_to_rgb([&near, &far, &red], &mut rgb);
            rgb
        };
        prop_assert_eq!(blended(kernels), blended(Kernels::Scalar));
        prop_assert_eq!(widened(kernels), widened(Kernels::Scalar));
        prop_assert_eq!(colored(kernels), colored(Kernels::Scalar));
    }

    /// ITU-T T.81, A.3.3, as libjpeg comes near it: within a level of the exact value.
    #[test]
    fn the_transform_is_the_inverse_cosine_transform(block in uniform::<_, 64>(-60..60_i16)) {
        let samples = transformed(Kernels::Scalar, &block, &[1; 64], 8);
        for (at, sample) in samples.iter().enumerate() {
            let (x, y) = ((at % 8) as f64, (at / 8) as f64);
            let wave = |place: f64, frequency: usize| {
                let scale = if frequency == 0 { 0.5_f64.sqrt() } else { 1.0 };
                scale * ((2.0 * place + 1.0) * frequency as f64 * PI / 16.0).cos()
            };
            let terms = block.iter().enumerate().map(|(at, value)| f64::from(*value) * wave(x, at % 8) * wave(y, at / 8));
            let exact = (terms.sum::<f64>() / 4.0 + 128.0).clamp(0.0, 255.0);
            prop_assert!((f64::from(*sample) - exact).abs() < 1.0, "{} at {}, exactly {}", sample, at, exact);
        }
    }
}

#[test]
fn every_colour_is_equal() {
    let Some(kernels) = other() else { return };
    let all: [u8; 256] = std::array::from_fn(|level| level as u8);
    for (cb, cr) in all.iter().flat_map(|cb| all.map(|cr| (*cb, cr))) {
        let (mut left, mut right) = ([0; 768], [0; 768]);
        for (kernels, rgb) in [(kernels, &mut left), (Kernels::Scalar, &mut right)] {
            kernels.ycc_to_rgb([&all, &[cb; 256], &[cr; 256]], rgb);
        }
        assert_eq!(left, right, "Cb {cb}, Cr {cr}");
    }
}
