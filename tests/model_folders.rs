//! Model folders: what is read from them, what is assumed, and what is refused with which sentence.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use senet::image::{Interpolation, Layout, Resize};
use senet::inference::{LoadOptions, OutputActivation};
use senet::model::{Location, Model, ModelError};

/// A model folder called `tiny` with the files given, `.onnx` ones being copies of a fixture.
struct Folder {
    parent: tempfile::TempDir,
}

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self { parent: tempfile::tempdir().unwrap() };
        fs::create_dir(folder.path()).unwrap();
        files.iter().for_each(|(name, content)| folder.add(name, content));
        folder
    }

    fn path(&self) -> PathBuf {
        self.parent.path().join("tiny")
    }

    fn add(&self, name: &str, content: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match name.ends_with(".onnx") {
            true => drop(fs::copy(fixture(content), path).unwrap()),
            false => fs::write(path, content).unwrap(),
        }
    }

    fn load(&self) -> Result<Model, ModelError> {
        self.load_version(None)
    }

    fn load_version(&self, version: Option<u64>) -> Result<Model, ModelError> {
        Model::load(&Location::Folder { path: self.path(), version }, LoadOptions::default())
    }

    /// The sentence that loading ends with, the folder's own path left out.
    fn refusal(&self) -> String {
        let error = self.load().err().expect("the folder is refused").to_string();
        let real = self.path().canonicalize().unwrap();
        error.replace(&self.path().display().to_string(), "tiny").replace(&real.display().to_string(), "tiny")
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(name)
}

const ONNX: (&str, &str) = ("model.onnx", "one_block.onnx");
const LABELS: (&str, &str) = ("labels.txt", "a\nb\nc\nd\n");

#[test]
fn a_complete_folder_gives_a_model_without_warnings() {
    let manifest = r#"
        [model]
        name = "my-model"
        version = 7
        [input]
        size = [16, 16]
        resize = "squash"
        interpolation = "bicubic"
        color = "rgb"
        mean = [0.5, 0.5, 0.5]
        std = [0.5, 0.5, 0.5]
        scale = 0.00392156862745098
        [output]
        activation = "sigmoid"
    "#;
    let model = Folder::new(&[ONNX, LABELS, ("model.toml", manifest)]).load().unwrap();
    assert_eq!((model.name(), model.version(), model.label(3)), ("my-model", "7", "d"));
    let contract = model.contract();
    assert_eq!((contract.size, contract.resize, contract.interpolation), ([16, 16], Resize::Squash, Interpolation::Bicubic));
    assert_eq!((contract.layout, model.output_activation()), (Layout::Nchw, OutputActivation::Sigmoid));
    assert_eq!(model.describe().network.warnings, [] as [String; 0]);
    assert_eq!(model.describe().network.se_blocks[0].name, "layer1.0.se");
}

#[test]
fn an_onnx_file_alone_is_a_model_of_assumptions_that_are_all_said() {
    let model = Model::load(&Location::Onnx(fixture("one_block.onnx")), LoadOptions::default()).unwrap();
    assert_eq!((model.name(), model.version(), model.label(0)), ("one_block", "1", "class_0"));
    assert_eq!((model.contract().size, model.contract().resize_to), ([16, 16], 18), "size from the file, crop_pct 0.875");
    for key in ["input.resize ", "input.resize_to", "input.interpolation", "input.mean", "input.std", "output.activation", "no labels"] {
        assert!(model.warnings().iter().any(|warning| warning.contains(key)), "{key} in {:?}", model.warnings());
    }
}

#[test]
fn the_highest_version_is_loaded_unless_another_is_asked_for() {
    let folder = Folder::new(&[("2/model.onnx", "one_block.onnx"), ("10/model.onnx", "no_blocks.onnx")]);
    let highest = folder.load().unwrap();
    assert_eq!((highest.name(), highest.version(), highest.describe().network.se_blocks.len()), ("tiny", "10", 0));
    let asked = folder.load_version(Some(2)).unwrap();
    assert_eq!((asked.version(), asked.describe().network.se_blocks.len()), ("2", 1));
    folder.add("10/model.toml", "[model]\nversion = 9\n");
    assert_eq!(folder.refusal(), r#"tiny/10/model.toml: model.version is "9", expected 10, the name of its folder"#);
}

#[test]
fn labels_that_do_not_match_the_classes_are_refused_with_both_counts() {
    let folder = Folder::new(&[ONNX, ("labels.txt", "a\nb\nc\n")]);
    assert_eq!(folder.refusal(), "tiny/labels.txt: 3 labels, expected 4, the classes of the network");
}

#[test]
fn a_file_that_was_changed_is_refused_with_both_checksums() {
    let folder = Folder::new(&[ONNX, ("model.toml", "[model]\nsha256 = \"00ff\"\n")]);
    let refusal = folder.refusal();
    assert!(refusal.starts_with("tiny/model.onnx: its sha256 is ") && refusal.ends_with(", expected 00ff as model.toml says"), "{refusal}");
}

#[test]
fn wrong_entries_are_refused_with_file_key_value_and_expectation() {
    for (manifest, expected) in [
        ("[input]\nmaen = [0, 0, 0]", r#"tiny/model.toml, line 2: unknown key "input.maen", the nearest known one is "mean""#),
        ("[inputs]", r#"tiny/model.toml, line 1: unknown key "inputs", the nearest known one is "input""#),
        ("[input]\nmean = [0, 0]", "tiny/model.toml, line 2: input.mean is [0, 0], expected an array of length 3"),
        ("[input]\nmean = [nan, 0, 0]", "tiny/model.toml: input.mean is [NaN, 0.0, 0.0], expected three finite numbers"),
        ("[input]\nstd = [1, 0, 1]", "tiny/model.toml: input.std is [1.0, 0.0, 1.0], expected three finite numbers other than zero"),
        ("[input]\nresize_to = 8", "tiny/model.toml: input.resize_to is 8, expected 16 to 8192, since the crop is 16×16"),
        ("[input]\nsize = [0, 0]", "tiny/model.toml: input.size is [0, 0], expected two sides of 1 to 4096 pixels"),
        ("[input]\nsize = [8, 8]", "tiny/model.toml: input.size is [8, 8], expected [16, 16], the size of the network's input"),
        (
            "[model]\nname = \"../x\"",
            "tiny/model.toml: model.name is \"../x\", expected 1 to 128 letters, digits, \".\", \"_\" and \"-\", with no \".\" in front",
        ),
        ("[model]\nfile = \"../x.onnx\"", "tiny/model.toml: model.file is \"../x.onnx\", expected a path inside the model's folder, without \"..\""),
        ("[model]\nfile = \"/x.onnx\"", "tiny/model.toml: model.file is \"/x.onnx\", expected a path inside the model's folder, without \"..\""),
        ("[output]\nlabels = \"x.txt\"", "tiny/model.toml: output.labels is \"x.txt\", expected the name of a file in the model's folder"),
        ("[output]\nactivation = \"relu\"", r#"tiny/model.toml, line 2: output.activation is "relu", expected one of "softmax", "sigmoid", "none""#),
    ] {
        assert_eq!(Folder::new(&[ONNX, ("model.toml", manifest)]).refusal(), expected);
    }
}

#[test]
fn a_folder_needs_exactly_one_network() {
    assert_eq!(Folder::new(&[LABELS]).refusal(), "tiny: it holds no .onnx file, expected model.onnx");
    let folder = Folder::new(&[("a.onnx", "one_block.onnx"), ("b.onnx", "no_blocks.onnx")]);
    assert_eq!(folder.refusal(), "tiny: it holds a.onnx and b.onnx, expected one .onnx file, or the one meant as model.file in model.toml");
    folder.add("model.toml", "[model]\nfile = \"a.onnx\"\n");
    assert_eq!(folder.load().unwrap().describe().network.se_blocks.len(), 1);
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_out_of_the_folder_is_refused_and_one_inside_is_not() {
    use std::os::unix::fs::symlink;

    let folder = Folder::new(&[("data/weights.onnx", "one_block.onnx")]);
    symlink("data/weights.onnx", folder.path().join("model.onnx")).unwrap();
    assert!(folder.load().is_ok());
    fs::remove_file(folder.path().join("model.onnx")).unwrap();
    symlink(fixture("one_block.onnx"), folder.path().join("model.onnx")).unwrap();
    let refusal = folder.refusal();
    assert!(refusal.starts_with("tiny/model.onnx leads to ") && refusal.ends_with("expected a file inside tiny"), "{refusal}");
}

#[test]
fn a_network_with_two_inputs_is_refused_saying_why() {
    let refusal = Folder::new(&[("model.onnx", "two_inputs.onnx")]).refusal();
    assert!(refusal.starts_with("tiny/model.onnx: not an image classifier: "), "{refusal}");
}

#[test]
fn the_bundled_model_has_ten_labels_and_no_warnings() {
    let model = Model::bundled(LoadOptions::default()).unwrap();
    assert_eq!((model.name(), model.label(3)), ("cifar10_se_resnet", "cat"));
    assert_eq!(model.describe().network.warnings, [] as [String; 0]);
    assert_eq!(model.describe().network.se_blocks.len(), 4);
}
