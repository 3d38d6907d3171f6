//! Quantised networks of every exporter, against ONNX Runtime.
//!
//! The networks and the answers are made by `fixtures/right-answers/quantised/make.py`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use senet::inference::{Engine, Gates, LoadOptions, Lowering, Network, Rewrite, TractEngine};
use senet::kernels::{Level, Simd};
use serde::Deserialize;

/// Values of one image.
const IMAGE: usize = 3 * 16 * 16;

#[derive(Deserialize)]
struct Expected {
    /// Of two images.
    logits: Vec<f32>,
    /// The largest difference of ONNX Runtime with and without its optimisations.
    spread: f32,
    parameters: u64,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/right-answers/quantised")
}

fn cases() -> BTreeMap<String, (Vec<u8>, Expected)> {
    let expected: BTreeMap<String, Expected> = serde_json::from_slice(&fs::read(fixtures().join("expected.json")).unwrap()).unwrap();
    let read = |name: String, expected| (name.clone(), (fs::read(fixtures().join(format!("{name}.onnx"))).unwrap(), expected));
    expected.into_iter().map(|(name, expected)| read(name, expected)).collect()
}

fn images() -> Vec<f32> {
    fs::read(fixtures().join("input.f32")).unwrap().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

#[test]
fn quantised_networks_answer_as_onnx_runtime_does() {
    let images = images();
    for (name, (onnx, expected)) in cases() {
        let range = expected.logits.iter().fold(0_f32, |most, logit| most.max(logit.abs()));
        for simd in Simd::available() {
            let network =
                Network::load(&onnx, &[1, 3, 16, 16], simd, Rewrite::All(Lowering::default())).unwrap_or_else(|error| panic!("{name}: {error}"));
            for (image, expected_logits) in images.chunks(IMAGE).zip(expected.logits.chunks(10)) {
                let logits = network.run(image, Gates::Drop).unwrap().logits;
                let off = logits.iter().zip(expected_logits).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                // A sum that is rounded otherwise may be rounded to the next of the 256 numbers, at the end too.
                assert!(off <= expected.spread.max(0.012 * range), "{name} at {}: off by {off} of {range}", simd.level());
            }
        }
    }
}

#[test]
fn the_parameters_of_quantised_networks_are_counted() {
    for (name, (onnx, expected)) in cases() {
        let engine = TractEngine::load(onnx, LoadOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(engine.summary().parameters, expected.parameters, "{name}");
        assert!(engine.summary().notes.iter().any(|note| note.contains("quantised operators")), "{name}: {:?}", engine.summary().notes);
    }
}

#[test]
fn the_blocks_of_quantised_networks_are_found_and_nothing_is_left_to_tract() {
    // The others have none, and operators without a kernel.
    for (name, (onnx, _)) in cases().into_iter().filter(|(name, _)| !name.starts_with("by_hand") && name != "integers") {
        let engine = TractEngine::load(onnx, LoadOptions::default()).unwrap();
        let summary = engine.summary();
        assert_eq!(summary.se_blocks.len(), 1, "{name}");
        assert!(summary.unlowered.is_empty() || Simd::detect().level() == Level::Scalar, "{name}: {:?}", summary.unlowered);
    }
}
