//! What lies beside a network already: timm's, Hugging Face's and TorchServe's files, ONNX metadata, and which of them is believed.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails by panicking")]

mod folder_support;

use std::fs;

use folder_support::{Folder, LABELS, ONNX, fixture};
use senet::image::{Interpolation, Resize};
use senet::inference::{LoadOptions, OutputActivation};
use senet::model::Model;

const TIMM: (&str, &str) = (
    "config.json",
    r#"{"architecture": "seresnet50", "num_classes": 4, "label_names": ["n0", "n1", "n2", "n3"],
        "label_descriptions": {"n0": "tench", "n1": "goldfish", "n2": "shark", "n3": "ray"},
        "pretrained_cfg": {"input_size": [3, 16, 16], "fixed_input_size": false, "interpolation": "bicubic", "crop_pct": 0.9, "crop_mode": "center",
            "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "num_classes": 4, "first_conv": "conv1"}}"#,
);

const PROCESSOR: (&str, &str) = (
    "preprocessor_config.json",
    r#"{"image_processor_type": "BitImageProcessor", "do_resize": true, "size": {"shortest_edge": 20}, "resample": 2, "do_center_crop": true,
        "crop_size": {"height": 16, "width": 16}, "do_rescale": true, "rescale_factor": 0.00392156862745098, "do_normalize": true,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "do_convert_rgb": true}"#,
);

const ID2LABEL: (&str, &str) =
    ("config.json", r#"{"architectures": ["ResNet"], "id2label": {"0": "a", "1": "b", "2": "c", "3": "d"}, "label2id": {"a": 0}}"#);

/// Leaves one thing to guess: what becomes of the output.
const ONE_GUESS: &str = "output.activation is not given, \"softmax\" is assumed";

fn warnings(model: &Model) -> Vec<&str> {
    model.warnings().iter().map(String::as_str).filter(|warning| *warning != ONE_GUESS).collect()
}

#[test]
fn a_timm_repository_needs_no_model_toml() {
    let model = Folder::new(&[ONNX, TIMM]).load().unwrap();
    let contract = model.contract();
    assert_eq!((contract.resize, contract.resize_to, contract.interpolation), (Resize::ShorterSide, [17, 17], Interpolation::Bicubic));
    assert_eq!((contract.mean, contract.std, contract.scale), ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225], 1.0 / 255.0));
    assert_eq!(model.label(3), "ray", "the description, since every name has one");
    assert_eq!(warnings(&model), [] as [&str; 0]);
    let origins = model.origins();
    for key in ["input.size", "input.resize", "input.resize_to", "input.interpolation", "input.color", "input.mean", "input.std", "input.scale"] {
        assert_eq!(origins[key], "config.json (pretrained_cfg)", "{key}");
    }
    assert_eq!((origins["output.labels"].as_str(), origins["output.activation"].as_str()), ("config.json (label_names)", "default"));
    assert_eq!(origins["input.layout"], "the network's input");
}

#[test]
fn timms_early_files_and_its_wrapper_in_transformers_are_read_alike() {
    let contract = |file: (&str, &str)| Folder::new(&[ONNX, file]).load().unwrap().fingerprint().to_owned();
    let early = r#"{"architecture": "seresnet50", "input_size": [3, 16, 16], "interpolation": "bicubic", "crop_pct": 0.9,
        "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}"#;
    let wrapper = r#"{"image_processor_type": "TimmWrapperImageProcessor", "pretrained_cfg": {"input_size": [3, 16, 16], "crop_pct": 0.9}}"#;
    assert_eq!(contract(("config.json", early)), contract(TIMM));
    assert_eq!(contract(("preprocessor_config.json", wrapper)), contract(TIMM));
}

#[test]
fn a_transformers_repository_needs_no_model_toml() {
    let model = Folder::new(&[ONNX, PROCESSOR, ID2LABEL]).load().unwrap();
    let contract = model.contract();
    assert_eq!((contract.resize, contract.resize_to, contract.interpolation), (Resize::ShorterSide, [20, 20], Interpolation::Bilinear));
    assert_eq!((contract.mean, contract.std, model.label(2)), ([0.5; 3], [0.5; 3], "c"));
    assert_eq!(warnings(&model), [] as [&str; 0]);
    assert_eq!(model.origins()["input.mean"], "preprocessor_config.json");
    assert_eq!(model.origins()["output.labels"], "config.json (id2label)");
}

#[test]
fn the_processor_is_believed_before_timm_and_model_toml_before_both() {
    let manifest = ("model.toml", "[input]\nmean = [0.25, 0.25, 0.25]\n[output]\nactivation = \"softmax\"\n");
    let model = Folder::new(&[ONNX, LABELS, manifest, PROCESSOR, TIMM]).load().unwrap();
    assert_eq!((model.contract().mean, model.contract().std), ([0.25; 3], [0.5; 3]));
    assert_eq!(
        warnings(&model),
        [
            "size is [20,20] in preprocessor_config.json, yet crop_pct is [17,17] in config.json (pretrained_cfg): the former holds",
            "resample is \"bilinear\" in preprocessor_config.json, yet interpolation is \"bicubic\" in config.json (pretrained_cfg): the former holds",
            "input.mean is [0.25,0.25,0.25] in model.toml, yet image_mean is [0.5,0.5,0.5] in preprocessor_config.json: the former holds",
            "input.mean is [0.25,0.25,0.25] in model.toml, yet mean is [0.485,0.456,0.406] in config.json (pretrained_cfg): the former holds",
            "image_std is [0.5,0.5,0.5] in preprocessor_config.json, yet std is [0.229,0.224,0.225] in config.json (pretrained_cfg): the former holds",
            "class 0 is \"a\" in labels.txt, yet \"tench\" in config.json (label_names): the former holds",
        ]
    );
}

#[test]
fn files_that_agree_are_no_conflict() {
    let manifest = r#"
        [input]
        size = [16, 16]
        resize = "shorter_side"
        resize_to = 17
        interpolation = "bicubic"
        color = "rgb"
        mean = [0.485, 0.456, 0.406]
        std = [0.229, 0.224, 0.225]
        scale = 0.00392156862745098
        [output]
        activation = "softmax"
    "#;
    let labels = ("labels.txt", "tench\ngoldfish\nshark\nray\n");
    let model = Folder::new(&[ONNX, labels, ("model.toml", manifest), TIMM]).load().unwrap();
    assert_eq!(model.describe().network.warnings, [] as [String; 0]);
    assert_eq!((model.origins()["input.resize_to"].as_str(), model.origins()["output.labels"].as_str()), ("model.toml", "labels.txt"));
}

#[test]
fn a_size_that_is_not_the_networks_gives_way_and_is_named() {
    let config = ("config.json", r#"{"pretrained_cfg": {"input_size": [3, 224, 224]}}"#);
    let model = Folder::new(&[ONNX, config]).load().unwrap();
    assert_eq!(model.contract().size, [16, 16]);
    let expected = "input_size is [224, 224] in config.json (pretrained_cfg), yet the network's input is [16, 16]: the latter holds";
    assert!(warnings(&model).contains(&expected), "{:?}", warnings(&model));
}

#[test]
fn torchserves_names_come_before_those_of_config_json() {
    let names = ("index_to_name.json", r#"{"0": ["n0", "a"], "1": ["n1", "b"], "2": ["n2", "x"], "3": ["n3", "d"]}"#);
    let model = Folder::new(&[ONNX, names, ID2LABEL, PROCESSOR]).load().unwrap();
    assert_eq!((model.label(2), model.origins()["output.labels"].as_str()), ("x", "index_to_name.json"));
    assert_eq!(warnings(&model), [r#"class 2 is "x" in index_to_name.json, yet "c" in config.json (id2label): the former holds"#]);
    let flat = ("index_to_name.json", r#"{"0": "a", "1": "b", "2": "y", "3": "d"}"#);
    assert_eq!(Folder::new(&[ONNX, flat]).load().unwrap().label(2), "y");
}

#[test]
fn labels_that_transformers_made_up_are_none() {
    let made_up = ("config.json", r#"{"id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2", "3": "LABEL_3"}}"#);
    let model = Folder::new(&[ONNX, made_up]).load().unwrap();
    assert_eq!((model.label(2), model.origins()["output.labels"].as_str()), ("class_2", "default"));
}

#[test]
fn onnx_metadata_gives_labels_where_nothing_else_does() {
    let folder = Folder::new(&[ONNX]);
    let mut onnx = fs::read(fixture("one_block.onnx")).unwrap();
    onnx.extend(metadata("names", "{0: 'tench', 1: \"jack-o'-lantern\", 2: 'c', 3: 'd'}"));
    fs::write(folder.path().join("model.onnx"), onnx).unwrap();
    let model = folder.load().unwrap();
    assert_eq!((model.label(1), model.origins()["output.labels"].as_str()), ("jack-o'-lantern", "model.onnx (metadata)"));
    folder.add("labels.txt", LABELS.1);
    let model = folder.load().unwrap();
    assert_eq!(model.label(0), "a");
    let expected = r#"class 0 is "a" in labels.txt, yet "tench" in model.onnx (metadata): the former holds"#;
    assert!(warnings(&model).contains(&expected), "{:?}", warnings(&model));
}

/// An entry of `metadata_props`, field 14 of ONNX's `ModelProto`, to be appended to a file.
fn metadata(key: &str, value: &str) -> Vec<u8> {
    let field = |number: u8, content: &[u8]| [&[number << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat();
    field(14, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat())
}

#[test]
fn wrong_files_are_refused_with_file_key_value_and_expectation() {
    for (file, content, expected) in [
        ("config.json", "{", "tiny/config.json, line 1: EOF while parsing an object"),
        ("config.json", "7", "tiny/config.json, line 1: the file is 7, expected an object"),
        (
            "config.json",
            "{\"pretrained_cfg\": {\n\"mean\": [1, 2]}}",
            "tiny/config.json, line 2: pretrained_cfg.mean is [1,2], expected a number, or a list of one or of three",
        ),
        (
            "config.json",
            r#"{"pretrained_cfg": {"crop_mode": "middle"}}"#,
            r#"tiny/config.json, line 1: pretrained_cfg.crop_mode is "middle", expected one of "center", "squash", "border""#,
        ),
        (
            "config.json",
            r#"{"pretrained_cfg": {"std": [1, 0, 1]}}"#,
            "tiny/config.json: std is [1.0, 0.0, 1.0], expected three finite numbers other than zero",
        ),
        ("config.json", r#"{"pretrained_cfg": {"crop_pct": 1.5}}"#, "tiny/config.json: crop_pct is 1.5, expected a number above 0 and at most 1"),
        (
            "config.json",
            r#"{"id2label": {"0": "a", "2": "c"}}"#,
            "tiny/config.json: id2label.1 is missing, expected a name for each of the 2 classes, counted from 0",
        ),
        ("config.json", r#"{"id2label": {"0": "a", "0": "c"}}"#, "tiny/config.json: id2label.0 is given twice, expected one name for each class"),
        ("config.json", r#"{"id2label": {"0": "a", "1": "c"}}"#, "tiny/config.json: 2 labels, expected 4, the classes of the network"),
        ("index_to_name.json", r#"{"cat": "0"}"#, "tiny/index_to_name.json: class.cat is no class, expected whole numbers from 0"),
        ("index_to_name.json", "7", "tiny/index_to_name.json, line 1: the file is 7, expected a list of names or an object from index to name"),
        (
            "preprocessor_config.json",
            r#"{"size": "big"}"#,
            r#"tiny/preprocessor_config.json, line 1: size is "big", expected a number of pixels, height and width, or shortest_edge"#,
        ),
        (
            "preprocessor_config.json",
            r#"{"size": {"shortest_edge": 8}, "crop_size": 16, "do_center_crop": true}"#,
            "tiny/preprocessor_config.json: size is 8, expected 16 to 8192, since the crop is 16×16",
        ),
    ] {
        assert_eq!(Folder::new(&[ONNX, (file, content)]).refusal(), expected);
    }
}

#[test]
fn a_config_of_something_else_says_nothing() {
    let plain = Folder::new(&[ONNX]).load().unwrap();
    let model = Folder::new(&[ONNX, ("config.json", r#"{"model_type": "x", "image_size": 99}"#)]).load().unwrap();
    assert_eq!(model.warnings(), plain.warnings());
    assert_eq!(model.fingerprint(), plain.fingerprint());
}

#[cfg(unix)]
#[test]
fn a_neighbour_behind_a_symbolic_link_out_of_the_folder_is_refused() {
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("config.json"), "{}").unwrap();
    let folder = Folder::new(&[ONNX]);
    std::os::unix::fs::symlink(elsewhere.path().join("config.json"), folder.path().join("config.json")).unwrap();
    let refusal = folder.refusal();
    assert!(refusal.starts_with("tiny/config.json leads to ") && refusal.ends_with("expected a file inside tiny"), "{refusal}");
}

#[test]
fn strict_makes_an_error_of_every_guess_and_conflict_in_the_same_words() {
    let strict = LoadOptions { strict: true, ..LoadOptions::default() };
    let folder = Folder::new(&[ONNX, LABELS, TIMM]);
    let said = folder.load().unwrap().warnings().join("; ");
    let refusal = folder.load_with(None, strict).err().expect("guesses are refused").to_string();
    assert_eq!(refusal, format!("tiny: {said}, which is an error since strict is true"));
    assert!(refusal.contains(ONE_GUESS) && refusal.contains("class 0 is \"a\" in labels.txt"), "{refusal}");
    // No SE block is neither a guess nor a contradiction.
    assert!(Model::bundled(strict).is_ok());
    let manifest = ("model.toml", "[output]\nactivation = \"softmax\"\n");
    let folder = Folder::new(&[("model.onnx", "no_blocks.onnx"), manifest, TIMM]);
    assert_eq!(folder.load_with(None, strict).unwrap().describe().network.warnings.len(), 1);
}

#[test]
fn what_transformers_trained_for_says_what_becomes_of_the_scores() {
    for (problem_type, activation) in
        [("multi_label_classification", OutputActivation::Sigmoid), ("single_label_classification", OutputActivation::Softmax)]
    {
        let config = format!(r#"{{"problem_type": "{problem_type}", "id2label": {{"0": "a", "1": "b", "2": "c", "3": "d"}}}}"#);
        let model = Folder::new(&[ONNX, PROCESSOR, ("config.json", &config)]).load().unwrap();
        assert_eq!((model.output_activation(), model.warnings()), (activation, &[] as &[String]));
        assert_eq!(model.origins()["output.activation"], "config.json (problem_type)");
    }
    let unsaid = Folder::new(&[ONNX, PROCESSOR, ("config.json", r#"{"problem_type": "regression"}"#)]).load().unwrap();
    assert!(unsaid.warnings().iter().any(|warning| warning == ONE_GUESS), "{:?}", unsaid.warnings());
}
