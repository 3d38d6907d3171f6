//! Heads and inputs of every kind: the probabilities of a photograph, all the way from its file.
//!
//! The networks and the answers are made by `fixtures/right-answers/heads/make.py`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use senet::attention::{AttentionRequest, Detail};
use senet::classifier::{Classification, Classifier, Options, Ticket};
use senet::image::{Color, CropOffset, InputContract, Interpolation, Layout, Limits, Resize, decode, preprocess};
use senet::inference::{LoadOptions, OutputActivation};
use senet::kernels::{Level, Simd};
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
    for (case, expected) in expected() {
        let name = case.split_once('?').map_or(case.as_str(), |(name, _)| name);
        let manifest = if expected.manifest.is_empty() { INPUT } else { &expected.manifest };
        for simd in Simd::available() {
            let model = load(name, manifest, simd).unwrap_or_else(|error| panic!("{case}: {error}"));
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
    let expected = "model.onnx: the network yields NaN for class 2 of output \"p\", expected a finite number; look for such values in its weights, \
        or export it in float32 if it is in half precision";
    assert!(refusal.ends_with(expected), "{refusal}");
}

/// Everything that is said of a network.
fn said(name: &str, manifest: &str) -> Vec<String> {
    let network = load(name, manifest, Simd::detect()).unwrap_or_else(|error| panic!("{name}: {error}")).describe().network;
    network.notes.into_iter().chain(network.warnings).collect()
}

fn refusal(name: &str, manifest: &str) -> String {
    load(name, manifest, Simd::detect()).err().unwrap().to_string()
}

#[test]
fn what_was_chosen_left_out_or_changed_is_said() {
    for (name, expected) in [
        (
            "logits_and_probabilities",
            r#"the model has 2 outputs: "logits" is taken, and "probabilities" not computed; output.name in model.toml chooses"#,
        ),
        ("best_three", r#"output "indices" is made of "scores", which is taken instead"#),
        (
            "many_outputs",
            r#"the model has 5 outputs: "scores" is taken, and "strange", "relu", "features", "aux_logits" not computed; output.name in model.toml chooses"#,
        ),
        ("unread_input", r#"input "unread" is left out, which nothing reads"#),
        ("batch_of_four", "the file's batch of 4 is made one of 1"),
        ("batch_of_four_for_good", "the model takes batches of 4 alone: a run of 1 costs as much as one of 4; export it with an open batch"),
    ] {
        let said = said(name, INPUT);
        assert!(said.iter().any(|sentence| sentence == expected), "{name}: {said:#?}");
    }
    let said = said("logits_and_probabilities", &format!("[output]\nname = \"logits\"\n{INPUT}"));
    assert!(!said.iter().any(|sentence| sentence.contains("outputs")), "{said:#?}");
}

#[test]
fn what_cannot_be_served_is_refused_with_what_would_help() {
    let unknown = refusal("logits_and_probabilities", &format!("[output]\nname = \"scores\"\n{INPUT}"));
    let expected = r#"model.toml: output.name is "scores", expected one of "probabilities", "logits""#;
    assert!(unknown.ends_with(expected), "{unknown}");
    for (name, expected) in [
        ("scalar_input", r#"2 inputs (image, keep), expected one; export the network with a constant in place of "keep", of shape []"#),
        ("int8", r#"input "image" is of INT8, expected FP32, another kind of float, or whole numbers that hold 0 to 255, such as UINT8"#),
        ("ultralytics_detector", r#"it is exported for the task "detect", expected "classify""#),
    ] {
        let refusal = refusal(name, INPUT);
        assert!(refusal.ends_with(&format!("model.onnx: not an image classifier: {expected}")), "{refusal}");
    }
}

#[test]
fn what_exporters_note_in_the_file_needs_no_model_toml() {
    let model = load("ultralytics", "", Simd::detect()).unwrap();
    assert_eq!((model.warnings(), model.label(4)), (&[] as &[String], "name 4"));
    for key in ["input.size", "input.resize", "input.resize_to", "input.interpolation", "input.color", "input.mean", "input.std", "input.scale"] {
        assert_eq!(model.origins()[key], "model.onnx (metadata)", "{key}");
    }
    let rapid = load("rapid", INPUT, Simd::detect()).unwrap();
    assert_eq!((rapid.label(0), rapid.origins()["output.labels"].as_str()), ("name 0", "model.onnx (metadata)"));
}

#[test]
fn one_output_is_that_of_the_second_of_two_labels() {
    for (name, activation) in [("one_logit", OutputActivation::Softmax), ("one_sigmoid", OutputActivation::None)] {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(fixtures().join(format!("{name}.onnx")), folder.path().join("model.onnx")).unwrap();
        fs::write(folder.path().join("model.toml"), INPUT).unwrap();
        fs::write(folder.path().join("labels.txt"), "cat\ndog\n").unwrap();
        let location = Location::Folder { path: folder.path().to_owned(), version: None };
        let answer = classify(&Model::load(&location, LoadOptions::default()).unwrap());
        let dog = expected()[name].probabilities[0];
        assert_eq!((answer.predictions.len(), answer.output_activation), (2, activation), "{name}");
        for found in answer.predictions {
            let right = if found.label == "dog" { dog } else { 1.0 - dog };
            assert!((found.probability - right).abs() < 1e-5, "{name}: {found:?}, expected {right}");
        }
    }
}

#[test]
fn grey_pictures_are_pillows_to_the_bit() {
    let expected: BTreeMap<String, Vec<f32>> = serde_json::from_slice(&fs::read(fixtures().join("grey.json")).unwrap()).unwrap();
    let picture = decode(&fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chelsea.png")).unwrap(), &Limits::default()).unwrap();
    for (interpolation, name) in [
        (Interpolation::Bilinear, "bilinear"),
        (Interpolation::Bicubic, "bicubic"),
        (Interpolation::Lanczos, "lanczos"),
        (Interpolation::Nearest, "nearest"),
    ] {
        let contract = InputContract {
            size: [40, 40],
            resize: Resize::ShorterSide,
            resize_to: [48, 48],
            crop_offset: CropOffset::Nearest,
            interpolation,
            color: Color::Grey,
            layout: Layout::Nchw,
            mean: [0.0; 3],
            std: [1.0; 3],
            scale: 1.0,
        };
        assert_eq!(preprocess(picture.pixels.clone(), &contract), expected[name], "{name}");
    }
}

#[test]
fn whole_numbers_are_fed_without_a_detour() {
    for name in ["uint8", "int32", "uint8_channels_last", "uint8_moved_first", "uint8_grey"] {
        let network = load(name, "", Simd::detect()).unwrap().describe().network;
        let casts = network.unlowered.iter().filter(|left| left.operator.contains("Cast")).count();
        assert_eq!(casts, 0, "{name}: {:?}", network.unlowered);
    }
    let turned = load("uint8_turned", "[input]\ncolor = \"bgr\"", Simd::detect()).unwrap().describe().network;
    let has_casts = turned.unlowered.iter().any(|left| left.operator.contains("Cast"));
    assert!(has_casts || Simd::detect().level() == Level::Scalar, "what is chosen among whole numbers keeps them: {:?}", turned.unlowered);
}
