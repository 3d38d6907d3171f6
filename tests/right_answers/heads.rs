//! Heads and inputs of every kind: the probabilities of a photograph, all the way from its file.
//!
//! The networks and the answers are made by `fixtures/right-answers/heads/make.py`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use senet::attention::{AttentionRequest, Detail};
use senet::classifier::{Classification, Classifier, Options, Ticket};
use senet::inference::LoadOptions;
use senet::kernels::Simd;
use senet::model::{Location, Model, ModelError};
use serde::Deserialize;

/// Preprocessing of a network whose case states none of its own.
const INPUT: &str = "[input]\nresize_to = 12\ninterpolation = \"bilinear\"\nmean = [0, 0, 0]\nstd = [1, 1, 1]\n";

#[derive(Deserialize)]
struct Expected {
    manifest: String,
    activation: String,
    probabilities: Vec<f32>,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/right-answers/heads")
}

fn expected() -> BTreeMap<String, Expected> {
    serde_json::from_slice(&fs::read(fixtures().join("expected.json")).unwrap()).unwrap()
}

/// The model of a folder with the network `name` and this `model.toml`.
fn load(name: &str, manifest: &str, simd: Simd) -> Result<Model, ModelError> {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(fixtures().join(format!("{name}.onnx")), folder.path().join("model.onnx")).unwrap();
    fs::write(folder.path().join("model.toml"), manifest).unwrap();
    Model::load(&Location::Folder { path: folder.path().to_owned(), version: None }, LoadOptions { simd, ..LoadOptions::default() })
}

fn classify(model: &Model) -> Classification {
    let picture = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chelsea.png")).unwrap();
    let attention = AttentionRequest { detail: Detail::Full, ..AttentionRequest::default() };
    let options = Options { top_k: model.engine().summary().classes, attention };
    Classifier::default().classify(model, &picture, &options, &Ticket::default()).unwrap()
}

#[test]
fn every_head_gives_the_probabilities_that_onnx_runtime_gives() {
    for (name, expected) in expected() {
        let manifest = if expected.manifest.is_empty() { INPUT } else { &expected.manifest };
        for simd in Simd::available() {
            let model = load(&name, manifest, simd).unwrap_or_else(|error| panic!("{name}: {error}"));
            let answer = classify(&model);
            assert_eq!(serde_json::to_value(answer.output_activation).unwrap(), expected.activation, "{name}: {:?}", model.warnings());
            assert_eq!(answer.predictions.len(), expected.probabilities.len(), "{name}");
            assert!(answer.predictions.is_sorted_by(|a, b| a.probability >= b.probability), "{name}: {:?}", answer.predictions);
            for found in &answer.predictions {
                let right = expected.probabilities[found.index];
                assert!((found.probability - right).abs() < 1e-5, "{name} at {simd:?}: {found:?}, expected {right}");
            }
            assert!(!serde_json::to_string(&answer).unwrap().contains("null"), "{name}");
        }
    }
}

#[test]
fn a_network_whose_first_answer_holds_no_number_is_not_served() {
    let refusal = load("not_a_number", INPUT, Simd::detect()).err().unwrap().to_string();
    let expected = "model.onnx: the network yields NaN for class 2 of output \"p\", expected a finite number; is it made for half precision, or was its \
        training cut off? export it anew, in float32";
    assert!(refusal.ends_with(expected), "{refusal}");
}
