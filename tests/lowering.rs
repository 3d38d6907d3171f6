//! Networks whose operators are lowered to the kernels on maps answer as stock tract does, at every instruction set of the machine.

#![expect(clippy::unwrap_used, reason = "what fails in a helper fails the test")]

use std::path::Path;

use senet::inference::{Gates, Inference, Lowering, Network, Rewrite};
use senet::kernels::{Level, Simd};

fn onnx(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Noise in ±2 that differs from image to image.
fn noise(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919 + seed * 104_729) % 4001) as f32 / 1000.0 - 2.0).collect()
}

/// Levels that networks are lowered at.
fn levels() -> impl Iterator<Item = Simd> {
    Simd::available().filter(|simd| simd.level() != Level::Scalar)
}

fn run(network: &Network, shape: &[usize], seed: usize) -> Inference {
    network.run(noise(shape.iter().product(), seed), Gates::Return).unwrap()
}

fn assert_logits_agree(path: &str, shape: &[usize]) {
    let stock = Network::load(onnx(path), shape, Simd::detect(), Rewrite::Nothing).unwrap();
    for simd in levels() {
        let lowered = Network::load(onnx(path), shape, simd, Rewrite::All(Lowering::default())).unwrap();
        assert!(lowered.operators().blocked > 0, "nothing of {path} was lowered");
        // Twice, since the second run finds the memory of the first.
        for seed in [1, 2] {
            let (expected, actual) = (run(&stock, shape, seed).logits, run(&lowered, shape, seed).logits);
            let range = expected.iter().copied().fold(f32::MIN, f32::max) - expected.iter().copied().fold(f32::MAX, f32::min);
            for (actual, expected) in actual.iter().zip(&expected) {
                assert!((actual - expected).abs() <= 1e-4 * range, "{actual} instead of {expected} from {path} at {}", simd.level());
            }
        }
    }
}

#[test]
fn the_bundled_model_answers_as_stock_tract_does() {
    for batch in [1, 3] {
        assert_logits_agree("models/cifar10_se_resnet/model.onnx", &[batch, 3, 32, 32]);
    }
}

#[test]
fn every_operator_that_is_lowered_answers_as_stock_tract_does() {
    let path = "tests/fixtures/classifiers/lowered.onnx";
    for shape in [[1, 3, 16, 16], [1, 3, 13, 17], [2, 3, 9, 22]] {
        assert_logits_agree(path, &shape);
    }
    for simd in levels() {
        // Six convolutions, of which one takes in a residual addition; the sigmoid and two additions; two pools and the head.
        let operators = Network::load(onnx(path), &[1, 3, 16, 16], simd, Rewrite::All(Lowering::default())).unwrap().operators();
        assert_eq!((operators.blocked, operators.squeeze_excite, operators.tract), (13, 1, 3), "{operators:?}");
    }
}

#[test]
fn joined_and_cut_maps_answer_as_stock_tract_does() {
    let path = "tests/fixtures/classifiers/joined.onnx";
    for shape in [[1, 3, 16, 16], [1, 3, 13, 17], [2, 3, 14, 15]] {
        assert_logits_agree(path, &shape);
    }
    for simd in levels() {
        let operators = Network::load(onnx(path), &[1, 3, 16, 16], simd, Rewrite::All(Lowering::default())).unwrap().operators();
        // Eleven convolutions and layers, one of which scales and shifts; tract cuts two at the concatenations before them. Four pools. Whatever
        // follows a convolution is fused into it.
        assert_eq!((operators.blocked, operators.squeeze_excite, operators.tract), (17, 1, 0), "{operators:?}");
    }
}

#[test]
fn slopes_for_each_channel_answer_as_stock_tract_does() {
    let path = "tests/fixtures/classifiers/prelu.onnx";
    for shape in [[1, 3, 16, 16], [1, 3, 13, 17], [2, 3, 9, 22]] {
        assert_logits_agree(path, &shape);
    }
    for simd in levels() {
        let network = Network::load(onnx(path), &[1, 3, 16, 16], simd, Rewrite::All(Lowering::default())).unwrap();
        // Four convolutions, which take in a residual addition and PReLUs; the PReLU that is left; the pool and two layers.
        assert_eq!((network.operators().blocked, network.operators().tract), (8, 0), "{:?}", network.unlowered());
    }
}

#[test]
fn layers_on_all_pixels_of_a_map_answer_as_stock_tract_does() {
    let path = "tests/fixtures/classifiers/flattened.onnx";
    for shape in [[1, 3, 6, 8], [2, 3, 6, 8]] {
        assert_logits_agree(path, &shape);
        for simd in levels() {
            let network = Network::load(onnx(path), &shape, simd, Rewrite::All(Lowering::default())).unwrap();
            // The convolution, the pool, the change of layout and the two layers.
            assert_eq!((network.operators().blocked, network.operators().tract), (5, 0), "{:?}", network.unlowered());
        }
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let fixtures = ["joined", "prelu"].map(|name| (format!("tests/fixtures/classifiers/{name}.onnx"), [1, 3, 61, 67]));
    for (path, shape) in fixtures.into_iter().chain([("models/cifar10_se_resnet/model.onnx".to_owned(), [2, 3, 32, 32])]) {
        for simd in levels() {
            let with = |threads| {
                let lowering = Lowering { threads, ..Lowering::default() };
                run(&Network::load(onnx(&path), &shape, simd, Rewrite::All(lowering)).unwrap(), &shape, 1)
            };
            let (one, all) = (with(1), with(usize::MAX));
            assert_eq!((one.logits, one.gates), (all.logits, all.gates), "{path} at {}", simd.level());
        }
    }
}

#[test]
fn small_classifiers_answer_as_stock_tract_does() {
    for name in ["se", "plain"] {
        for shape in [[1, 3, 8, 8], [2, 3, 7, 9]] {
            assert_logits_agree(&format!("tests/fixtures/classifiers/{name}.onnx"), &shape);
        }
    }
    assert_logits_agree("tests/fixtures/classifiers/nhwc.onnx", &[1, 8, 8, 3]);
}

#[test]
fn lowered_blocks_yield_the_gates_that_fused_ones_do() {
    let (path, shape) = ("models/cifar10_se_resnet/model.onnx", [2, 3, 32, 32]);
    // At the plain level blocks are fused and nothing is lowered.
    let fused = Network::load(onnx(path), &shape, Simd::request(Level::Scalar).unwrap(), Rewrite::All(Lowering::default())).unwrap();
    assert_eq!(fused.operators().blocked, 0);
    let expected = run(&fused, &shape, 1).gates;
    for simd in levels() {
        let lowered = Network::load(onnx(path), &shape, simd, Rewrite::All(Lowering::default())).unwrap();
        assert_eq!(lowered.operators().squeeze_excite, expected.len());
        for (actual, expected) in run(&lowered, &shape, 1).gates.iter().zip(&expected) {
            assert_eq!(actual.len(), expected.len());
            assert!(actual.iter().zip(expected).all(|(a, e)| (a - e).abs() <= 1e-5), "{actual:?} instead of {expected:?}");
        }
    }
}
