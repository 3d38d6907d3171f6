//! SE blocks as exporters write them: every form is found and computed rightly, look-alikes are left alone, whole networks keep their answers.
//!
//! The forms lie in `fixtures/se-variants` (made by `export.py` there). Real networks are found in `../shared/models`, and in the folder that
//! `SENET_TIMM_MODELS` names: `NAME.onnx` from the TorchScript exporter and `NAME.dynamo.onnx` from the other, each with the input `[1, 3, 224, 224]`.

#![expect(clippy::unwrap_used, reason = "what fails in a helper fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

use npyz::npz::NpzArchive;
use senet::inference::{Gates, Inference, Lowering, Network, Rewrite, SeBlockInfo};
use senet::kernels::{Function, Simd};

const EXPORTERS: [&str; 4] = ["ts", "ts_dyn", "dynamo", "dynamo_dyn"];

/// Form, activation, gate, and whether a residual addition follows.
const FORMS: [(&str, Function, Function, bool); 15] = [
    ("conv_relu_sigmoid", Function::Relu, Function::Sigmoid, false),
    ("conv_pool_relu_sigmoid", Function::Relu, Function::Sigmoid, false),
    ("conv_nobias", Function::Relu, Function::Sigmoid, false),
    ("conv_silu_sigmoid", Function::Silu, Function::Sigmoid, false),
    ("conv_relu_hardsigmoid", Function::Relu, Function::HARD_SIGMOID, false),
    ("conv_relu_relu6", Function::Relu, Function::HARD_SIGMOID, false),
    ("conv_hardswish_hardsigmoid", Function::HardSwish, Function::HARD_SIGMOID, false),
    ("linear_view", Function::Relu, Function::Sigmoid, false),
    ("linear_view_nobias", Function::Relu, Function::Sigmoid, false),
    ("linear_expand", Function::Relu, Function::Sigmoid, false),
    ("linear_mean", Function::Relu, Function::Sigmoid, false),
    ("linear_unsqueeze_swapped", Function::Relu, Function::Sigmoid, false),
    ("linear_hardsigmoid", Function::Relu, Function::HARD_SIGMOID, false),
    ("residual_conv", Function::Relu, Function::Sigmoid, true),
    ("residual_linear", Function::Relu, Function::Sigmoid, true),
];

const LOOK_ALIKES: [&str; 3] = ["not_eca", "not_spatial", "not_foreign_gate"];

/// timm's network and its number of SE blocks; those of ResNets are followed by a residual addition, those of MobileNets are not.
const NETWORKS: [(&str, usize, bool); 6] = [
    ("seresnet18", 8, true),
    ("seresnet50", 16, true),
    ("seresnext50_32x4d", 16, true),
    ("legacy_senet154", 50, true),
    ("efficientnet_b0", 16, false),
    ("mobilenetv3_large_100", 8, false),
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/se-variants").join(name)
}

fn input() -> Vec<f32> {
    npyz::NpyFile::new(&fs::read(fixture("x.npy")).unwrap()[..]).unwrap().into_vec().unwrap()
}

fn expected(form: &str, array: &str) -> Vec<f32> {
    let mut archive = NpzArchive::open(fixture(&format!("{form}.npz"))).unwrap();
    archive.by_name(array).unwrap().unwrap().into_vec().unwrap()
}

fn run(form: &str, exporter: &str) -> (Network, Inference) {
    let onnx = fs::read(fixture(&format!("{form}.{exporter}.onnx"))).unwrap();
    let network = Network::load(&onnx, &[2, 64, 14, 14], Simd::detect(), Rewrite::All(Lowering::default())).unwrap();
    let inference = network.run(input(), Gates::Return).unwrap();
    (network, inference)
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn finds_every_form_of_a_block_from_every_exporter() {
    for (form, activation, gate, fused_residual) in FORMS {
        for exporter in EXPORTERS {
            let (network, inference) = run(form, exporter);
            let [block] = network.se_blocks() else { panic!("{form}.{exporter}: {:?}", network.se_blocks()) };
            let expected_block = SeBlockInfo {
                name: if fused_residual { "se" } else { "stage1.block0" }.to_owned(),
                stage: 1,
                block: 0,
                channels: 64,
                squeezed: 4,
                reduction_ratio: 16.0,
                layers: 2,
                activation: activation.clone().into(),
                gate: gate.clone().into(),
                height: 14,
                width: 14,
                fused_residual,
            };
            assert_eq!(*block, expected_block, "{form}.{exporter}");
            let convolutions = usize::from(fused_residual);
            assert_eq!(network.operators().squeeze_excite, 1, "{form}.{exporter}");
            assert!(network.operators().tract <= 5 * convolutions, "{form}.{exporter} leaves {:?}", network.operators());
            let outputs = largest_difference(&inference.logits, &expected(form, "y"));
            assert!(outputs < 1e-4, "{form}.{exporter}: outputs differ by {outputs}");
            let gates = largest_difference(&inference.gates[0], &expected(form, "gates"));
            assert!(gates < 1e-5, "{form}.{exporter}: gates differ by {gates}");
        }
    }
}

#[test]
fn leaves_look_alikes_alone() {
    for form in LOOK_ALIKES {
        for exporter in EXPORTERS {
            let (network, inference) = run(form, exporter);
            assert_eq!((network.se_blocks().len(), network.operators().squeeze_excite), (0, 0), "{form}.{exporter}");
            let outputs = largest_difference(&inference.logits, &expected(form, "y"));
            assert!(outputs < 1e-4, "{form}.{exporter}: outputs differ by {outputs}");
        }
    }
}

/// `length` values of about a normal distribution, always the same: sums of twelve uniform ones (SplitMix64).
///
/// The distribution matters. timm's untrained networks are calibrated on normal noise, and on anything else the deepest of them are chaotic:
/// a relative change of 1e-7 of the input moves ONNX Runtime's own logits of `legacy_senet154` by a quarter of their range.
fn noise(length: usize) -> Vec<f32> {
    let mut state = 0u64;
    let mut uniform = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32
    };
    (0..length).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect()
}

/// Runs the network with and without rewrites on the same noise and compares.
fn assert_same_answers(path: &Path, blocks: usize, fused_residuals: bool) {
    let onnx = fs::read(path).unwrap();
    let shape = [1, 3, 224, 224];
    let input = noise(3 * 224 * 224);
    let stock = Network::load(&onnx, &shape, Simd::detect(), Rewrite::Nothing).unwrap().run(&input, Gates::Drop).unwrap();
    let network = Network::load(&onnx, &shape, Simd::detect(), Rewrite::All(Lowering::default())).unwrap();
    let ours = network.run(&input, Gates::Return).unwrap();

    let found = network.se_blocks();
    assert_eq!(found.len(), blocks, "{path:?}");
    assert!(found.iter().all(|block| block.fused_residual == fused_residuals), "{path:?}: {found:?}");
    assert_eq!(network.operators().squeeze_excite, blocks, "{path:?}");
    for (block, gates) in found.iter().zip(&ours.gates) {
        assert_eq!(gates.len(), block.channels, "{path:?} {}", block.name);
        assert!(gates.iter().all(|g| (0.0..=1.0).contains(g)), "{path:?} {}", block.name);
    }
    let (low, high) = stock.logits.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(*v), high.max(*v)));
    let difference = largest_difference(&ours.logits, &stock.logits) / (high - low);
    assert!(difference <= 1e-4, "{path:?}: logits differ by {difference} of their range");
    let names: Vec<_> = found.iter().map(|block| block.name.as_str()).take(3).collect();
    eprintln!("{path:?}: {difference:.1e} of the logits' range, {:.2} GFLOP, {names:?} …", network.flops() as f64 / 1e9);
}

#[test]
fn mobilenet_v3_small_keeps_its_answers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/models/mobilenet_v3_small/model.onnx");
    if !path.exists() {
        eprintln!("skipped: there is no {path:?}");
        return;
    }
    assert_same_answers(&path, 9, false);
}

#[test]
fn networks_of_timm_keep_their_answers() {
    let Some(folder) = std::env::var_os("SENET_TIMM_MODELS").map(PathBuf::from) else {
        eprintln!("skipped: SENET_TIMM_MODELS names no folder");
        return;
    };
    for (name, blocks, fused_residuals) in NETWORKS {
        for exporter in ["", ".dynamo"] {
            assert_same_answers(&folder.join(format!("{name}{exporter}.onnx")), blocks, fused_residuals);
        }
    }
}
