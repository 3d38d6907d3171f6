//! SE blocks as exporters write them: every form is found and computed rightly, look-alikes are left alone, whole networks keep their answers.
//!
//! The forms lie in `fixtures/se-variants` and `fixtures/se-functions` (made by `export.py` there). Real networks are found in `../shared/models`, and in the folder that
//! `SENET_TIMM_MODELS` names: `NAME.onnx` from the TorchScript exporter and `NAME.dynamo.onnx` from the other, each with the input `[1, 3, 224, 224]`.

#![expect(clippy::unwrap_used, reason = "what fails in a helper fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

use npyz::npz::NpzArchive;
use senet::inference::{ChannelGateInfo, ChannelGateKind, Gates, Inference, Lowering, Network, Rewrite, SeBlockInfo};
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

/// Form, beginning of the activation, gate, and layers, of `fixtures/se-functions`.
const OTHER_FORMS: [(&str, &str, &str, usize); 36] = [
    ("act_leaky_relu", "leaky_relu(0.1)", "sigmoid", 2),
    ("act_prelu", "prelu", "sigmoid", 2),
    ("act_prelu_shared", "leaky_relu(0.", "sigmoid", 2),
    ("act_gelu", "gelu", "sigmoid", 2),
    ("act_gelu_tanh", "gelu_tanh", "sigmoid", 2),
    ("act_silu", "silu", "sigmoid", 2),
    ("act_hard_swish", "hard_swish", "sigmoid", 2),
    ("act_hard_swish_spelled", "hard_swish", "sigmoid", 2),
    ("act_relu6", "relu6", "sigmoid", 2),
    ("act_elu", "elu", "sigmoid", 2),
    ("act_selu", "elu(1.67326", "sigmoid", 2),
    ("act_tanh", "tanh", "sigmoid", 2),
    ("act_mish", "mish", "sigmoid", 2),
    ("act_identity", "identity", "sigmoid", 2),
    ("gate_twice", "relu", "2 · sigmoid", 2),
    ("gate_one_more", "relu", "sigmoid + 1", 2),
    ("gate_tanh", "relu", "tanh", 2),
    ("gate_tanh_one_more", "relu", "tanh + 1", 2),
    ("gate_hard_tanh", "relu", "clamp(-1, 1)", 2),
    ("gate_hard_sigmoid_fifth", "relu", "hard_sigmoid(0.2, 0.5)", 2),
    ("gate_relu6_sixth", "relu", "hard_sigmoid", 2),
    ("norm_first", "relu", "sigmoid", 2),
    ("norm_mid", "relu", "sigmoid", 2),
    ("norm_last", "relu", "sigmoid", 2),
    ("average_pool", "relu", "sigmoid", 2),
    ("sum_over_area", "relu", "sigmoid", 2),
    ("one_layer", "identity", "sigmoid", 1),
    ("one_layer_hard", "identity", "hard_sigmoid", 1),
    ("before_split", "relu", "sigmoid", 2),
    ("before_slice", "relu", "sigmoid", 2),
    ("before_stride", "relu", "sigmoid", 2),
    ("before_strided_pixels", "relu", "sigmoid", 2),
    ("paddle", "relu", "hard_sigmoid(0.2, 0.5)", 2),
    ("keras", "silu", "sigmoid", 2),
    ("gluon", "relu", "sigmoid", 2),
    ("gelu_in_five_nodes", "gelu", "sigmoid", 2),
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
fn finds_blocks_whatever_functions_and_neighbours_they_have() {
    let wrong: Vec<String> = OTHER_FORMS.iter().flat_map(wrong_in).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What differs from the expected block, gates and outputs in any file of a form at any instruction set.
fn wrong_in((form, activation, gate, layers): &(&str, &str, &str, usize)) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/se-functions");
    let input: Vec<f32> = npyz::NpyFile::new(&fs::read(folder.join("x.npy")).unwrap()[..]).unwrap().into_vec().unwrap();
    let expected = |name: &str| -> Vec<f32> {
        NpzArchive::open(folder.join(format!("{form}.npz"))).unwrap().by_name(name).unwrap().unwrap().into_vec().unwrap()
    };
    let files = ["ts", "dynamo", "hand"].map(|kind| folder.join(format!("{form}.{kind}.onnx")));
    let files: Vec<_> = files.into_iter().filter(|file| file.exists()).collect();
    assert!(!files.is_empty(), "{form}");
    let mut wrong = vec![];
    for (file, simd) in files.iter().flat_map(|file| Simd::available().map(move |simd| (file, simd))) {
        let mut check = |right: bool, what: String| {
            if !right {
                wrong.push(format!("{file:?} at {simd:?}: {what}"))
            }
        };
        let network = Network::load(fs::read(file).unwrap(), &[2, 3, 8, 8], simd, Rewrite::All(Lowering::default())).unwrap();
        let inference = network.run(&input, Gates::Return).unwrap();
        let outputs = largest_difference(&inference.logits, &expected("y"));
        check(outputs < 1e-4, format!("outputs differ by {outputs}"));
        let [block] = network.se_blocks() else {
            check(false, format!("{} blocks", network.se_blocks().len()));
            continue;
        };
        let found = (block.channels, block.layers, block.squeezed, block.gate.to_string());
        check(found == (16, *layers, if *layers == 1 { 16 } else { 4 }, gate.to_string()), format!("{found:?}"));
        check(block.activation.to_string().starts_with(activation), block.activation.to_string());
        let gates = largest_difference(&inference.gates[0], &expected("gates"));
        check(gates < 1e-5, format!("gates differ by {gates}"));
        // Every second row and column has no kernel yet, however it is taken.
        let left: Vec<_> = network.unlowered().iter().filter(|left| !["Downsample", "Gather"].contains(&left.operator.as_str())).collect();
        check(left.is_empty(), format!("leaves {left:?}"));
    }
    wrong
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

#[test]
fn lists_gates_from_neighbouring_channels_as_what_they_are() {
    for (form, exporter) in LOOK_ALIKES.iter().flat_map(|form| EXPORTERS.map(|exporter| (form, exporter))) {
        let (network, _) = run(form, exporter);
        let gates = network.channel_gates();
        if *form == "not_eca" {
            let [ChannelGateInfo { kind: ChannelGateKind::Eca, channels: 64, kernel: 5, height: 14, width: 14, .. }] = gates else {
                panic!("{form}.{exporter}: {gates:?}")
            };
        } else {
            assert!(gates.is_empty(), "{form}.{exporter}: {gates:?}");
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
