//! Model folders: what is read from them, what is assumed, and what is refused with which sentence.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails by panicking")]

mod folder_support;

use std::fs;

use folder_support::{Folder, LABELS, ONNX, fixture};
use senet::image::{Interpolation, Layout, Resize};
use senet::inference::{Gates, LoadOptions, OutputActivation};
use senet::model::{Location, Model};

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
    assert_eq!((model.contract().size, model.contract().resize_to), ([16, 16], [18, 18]), "size from the file, crop_pct 0.875");
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
        ("[input]\nmean = [0, 0]", "tiny/model.toml, line 2: input.mean is [0, 0], expected a number, or a list of one or of three"),
        ("[input]\nmean = [nan, 0, 0]", "tiny/model.toml: input.mean is [NaN, 0.0, 0.0], expected three finite numbers"),
        ("[input]\nstd = [1, 0, 1]", "tiny/model.toml: input.std is [1.0, 0.0, 1.0], expected three finite numbers other than zero"),
        ("[input]\nresize_to = 8", "tiny/model.toml: input.resize_to is 8, expected 16 to 8192, since the crop is 16×16"),
        (
            "[input]\nresize = \"squash\"\nresize_to = [20, 8]",
            "tiny/model.toml: input.resize_to is [20, 8], expected sides of [16, 16], the crop, to 8192",
        ),
        ("[input]\nresize_to = \"x\"", "tiny/model.toml, line 2: input.resize_to is \"x\", expected a number of pixels, or height and width"),
        (
            "[output]\nlabels = \"../x.txt\"",
            "tiny/model.toml: output.labels is \"../x.txt\", expected a path inside the model's folder, without \"..\"",
        ),
        ("[input]\nsize = [0, 0]", "tiny/model.toml: input.size is [0, 0], expected two sides of 1 to 4096 pixels"),
        ("[input]\nsize = [8, 8]", "tiny/model.toml: input.size is [8, 8], expected [16, 16], the size of the network's input"),
        (
            "[model]\nname = \"../x\"",
            "tiny/model.toml: model.name is \"../x\", expected 1 to 255 bytes without \"/\" and control characters, with no \".\" in front",
        ),
        ("[model]\nfile = \"../x.onnx\"", "tiny/model.toml: model.file is \"../x.onnx\", expected a path inside the model's folder, without \"..\""),
        ("[model]\nfile = \"/x.onnx\"", "tiny/model.toml: model.file is \"/x.onnx\", expected a path inside the model's folder, without \"..\""),
        ("[output]\nlabels = \"x.txt\"", "tiny/model.toml: output.labels is \"x.txt\", expected the name of a file in the model's folder"),
        (
            "[output]\nactivation = \"relu\"",
            r#"tiny/model.toml, line 2: output.activation is "relu", expected one of "softmax", "sigmoid", "exp", "none""#,
        ),
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
fn weights_outside_the_file_are_read_and_give_the_same_logits() {
    let inside = Folder::new(&[ONNX]).load().unwrap();
    let folder = Folder::new(&[("model.onnx", "outside.onnx")]);
    fs::copy(fixture("outside.bin"), folder.path().join("outside.bin")).unwrap();
    let outside = folder.load().unwrap();
    let input: Vec<f32> = (0..3 * 16 * 16).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect();
    assert_eq!(outside.engine().run(input[..].into(), Gates::Return).unwrap(), inside.engine().run(input[..].into(), Gates::Return).unwrap());
    assert_eq!(outside.engine().summary(), inside.engine().summary(), "blocks, names and counts too");
    let alone = Model::load(&Location::Onnx(fixture("outside.onnx")), LoadOptions::default()).unwrap();
    assert_eq!(alone.engine().summary(), inside.engine().summary());
}

#[test]
fn weights_are_read_from_inside_the_folder_alone() {
    let folder = Folder::new(&[("model.onnx", "outside.onnx")]);
    let absent = r#"tiny/model.onnx: the location of "stem.conv.weight" is "outside.bin", expected the name of a file in the model's folder"#;
    assert_eq!(folder.refusal(), absent);
    fs::write(folder.path().join("outside.bin"), [0; 100]).unwrap();
    let short = "expected a file with these bytes: 864 bytes from 0 on, the file has 100";
    assert!(folder.refusal().ends_with(short), "{}", folder.refusal());
    // Locations of the same length, so that the file stays ONNX.
    let onnx = fs::read(fixture("outside.onnx")).unwrap();
    for location in ["../side.bin", "/tmp/de.bin"] {
        let moved = replace(&onnx, b"outside.bin", location.as_bytes());
        fs::write(folder.path().join("model.onnx"), moved).unwrap();
        let expected = format!("the location of \"stem.conv.weight\" is {location:?}, expected a path inside the model's folder, without \"..\"");
        assert!(folder.refusal().ends_with(&expected), "{}", folder.refusal());
    }
}

#[cfg(unix)]
#[test]
fn weights_behind_a_symbolic_link_out_of_the_folder_are_refused() {
    let folder = Folder::new(&[("model.onnx", "outside.onnx")]);
    std::os::unix::fs::symlink(fixture("outside.bin"), folder.path().join("outside.bin")).unwrap();
    let refusal = folder.refusal();
    assert!(refusal.contains("is \"outside.bin\", expected a file inside tiny, and it leads to /"), "{refusal}");
    let loose = Model::load(&Location::Onnx(folder.path().join("model.onnx")), LoadOptions::default());
    assert!(loose.is_err_and(|error| error.to_string().contains("expected a file inside ")), "also of a file alone");
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + from.len()].copy_from_slice(to);
        }
    }
    bytes
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
