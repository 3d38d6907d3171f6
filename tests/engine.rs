//! The engine on tiny ONNX files: what it loads, what it refuses and why, and that its answers do not depend on batch, layout or thread.
//!
//! The files are made by `fixtures/classifiers/export.py`.

#![expect(clippy::unwrap_used, reason = "what fails in a helper fails the test")]

use std::fs;
use std::path::Path;

use senet::image::Arrangement;
use senet::inference::{Engine, EngineError, Gates, Input, LoadOptions, TensorInfo, TractEngine};
use senet::kernels::{Level, Simd};

fn onnx(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/classifiers").join(format!("{name}.onnx"))).unwrap()
}

fn small(batch: usize) -> LoadOptions {
    LoadOptions { batch, input_size: Some([8, 8]), ..LoadOptions::default() }
}

fn load(name: &str, options: LoadOptions) -> Result<TractEngine, EngineError> {
    TractEngine::load(onnx(name), options)
}

fn refusal(name: &str, options: LoadOptions) -> String {
    match load(name, options) {
        Err(error @ EngineError::NotAClassifier(_)) => error.to_string(),
        other => panic!("{name} gives {other:?}"),
    }
}

/// `images` pictures of 3×8×8, all different.
fn pictures(images: usize) -> Vec<f32> {
    (0..images * 3 * 64).map(|i| ((i * 37 + i / 192) % 101) as f32 / 50.0 - 1.0).collect()
}

fn assert_close(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5), "{a:?} and {b:?}");
}

#[test]
fn describes_a_network_as_its_file_does() {
    let engine = load("se", small(1)).unwrap();
    let summary = engine.summary();
    let info = |name: &str, shape: &[i64]| TensorInfo { name: name.to_owned(), datatype: "FP32".to_owned(), shape: shape.to_vec() };
    assert_eq!(summary.inputs, [info("image", &[-1, 3, -1, -1])]);
    assert_eq!(summary.outputs, [info("logits", &[-1, 5])]);
    assert_eq!((summary.classes, summary.parameters), (5, 8 * 27 + 8 + 2 * 8 + 2 + 8 * 2 + 8 + 5 * 8 + 5));
    assert_eq!(summary.flops, 2 * (8 * 27 * 64 + 2 * 8 + 8 * 2 + 5 * 8));
    assert_eq!(summary.warnings, [] as [&str; 0]);
    assert_eq!(summary.operators.squeeze_excite, 1, "{:?}", summary.operators);
    assert_eq!(summary.operators.blocked > 0, Simd::detect().level() != Level::Scalar, "{:?}", summary.operators);
    let [block] = summary.se_blocks.as_slice() else { panic!("{summary:?}") };
    assert_eq!((block.name.as_str(), block.channels, block.squeezed, block.height, block.width), ("layer1.0.se", 8, 2, 8, 8));
}

#[test]
fn counts_the_flops_of_one_image_whatever_the_batch() {
    let [one, four] = [1, 4].map(|batch| load("se", small(batch)).unwrap().summary().flops);
    assert_eq!(one, four);
}

#[test]
fn assumes_a_size_where_nobody_says_one() {
    let engine = load("se", LoadOptions::default()).unwrap();
    assert_eq!(engine.summary().warnings, ["the model leaves its input size open: 224×224 is assumed"]);
    assert_eq!(engine.summary().se_blocks[0].height, 224);
}

#[test]
fn serves_a_network_without_se_blocks_with_a_warning() {
    let engine = load("plain", LoadOptions::default()).unwrap();
    assert_eq!(engine.summary().warnings, ["the model has no SE block: answers carry no attention"]);
    assert_eq!(engine.summary().classes, 5);
    let inference = engine.run(pictures(1).into(), Gates::Return).unwrap();
    assert_eq!((inference.logits.len(), inference.gates), (5, vec![]));
}

#[test]
fn a_batch_gives_the_answers_of_its_images() {
    let (single, batch) = (load("se", small(1)).unwrap(), load("se", small(3)).unwrap());
    let input = pictures(3);
    let together = batch.run(input[..].into(), Gates::Return).unwrap();
    for (n, image) in input.chunks(3 * 64).enumerate() {
        let alone = single.run(image.into(), Gates::Return).unwrap();
        assert_close(&alone.logits, &together.logits[n * 5..(n + 1) * 5]);
        assert_close(&alone.gates[0], &together.gates[0][n * 8..(n + 1) * 8]);
    }
}

#[test]
fn channels_may_come_last() {
    let input = pictures(1);
    let interleaved: Vec<f32> = (0..64).flat_map(|p| [input[p], input[64 + p], input[128 + p]]).collect();
    let planar = load("se", small(1)).unwrap().run(input[..].into(), Gates::Return).unwrap();
    let nhwc = load("nhwc", LoadOptions::default()).unwrap().run(interleaved.into(), Gates::Return).unwrap();
    assert_close(&planar.logits, &nhwc.logits);
    assert_close(&planar.gates[0], &nhwc.gates[0]);
}

#[test]
fn gates_are_handed_out_only_when_asked_for() {
    let engine = load("se", small(1)).unwrap();
    let (with, without) = (engine.run(pictures(1).into(), Gates::Return).unwrap(), engine.run(pictures(1).into(), Gates::Drop).unwrap());
    assert_eq!((with.gates.len(), without.gates.len()), (1, 0));
    assert_eq!(with.logits, without.logits);
}

#[test]
fn threads_share_one_engine() {
    let engine = load("se", small(1)).unwrap();
    let expected: Vec<_> = pictures(4).chunks(192).map(|image| engine.run(image.into(), Gates::Return).unwrap()).collect();
    std::thread::scope(|scope| {
        for (image, expected) in pictures(4).chunks(192).map(<[f32]>::to_vec).zip(&expected) {
            let engine = &engine;
            scope.spawn(move || (0..50).for_each(|_| assert_eq!(engine.run(image[..].into(), Gates::Return).unwrap(), *expected)));
        }
    });
}

/// Writes the pictures, `[N, 3, 8, 8]`, to where the engine reads them.
fn write(pictures: &[f32], input: &mut Input) {
    let arrangement = input.arrangement().unwrap();
    let images = pictures.len() / 192;
    let length = input.len() / images;
    for (picture, image) in pictures.chunks(192).zip(input.chunks_mut(length)) {
        for (at, value) in picture.iter().enumerate() {
            let (channel, y, x) = (at / 64, at / 8 % 8, at % 8);
            let place = match arrangement {
                Arrangement::Planes => at,
                Arrangement::Pixels { border } => 3 * ((y + border) * (8 + 2 * border) + x + border) + channel,
            };
            image[place] = *value;
        }
    }
}

#[test]
fn pictures_written_to_lent_memory_give_the_same_answers() {
    for (name, batch, simd) in
        ["se", "plain", "nhwc"].iter().flat_map(|name| Simd::available().flat_map(move |simd| [1, 3].map(|n| (*name, n, simd))))
    {
        let Ok(engine) = load(name, LoadOptions { simd, ..small(batch) }) else { continue };
        let planar = pictures(batch);
        let pixels = planar.chunks(192).flat_map(|image| (0..192).map(|at| image[at % 3 * 64 + at / 3]));
        let given: Vec<f32> = if *name == *"nhwc" { pixels.collect() } else { planar.clone() };
        let expected = engine.run(given.into(), Gates::Return).unwrap();
        for _ in 0..2 {
            let mut lent = engine.input().unwrap();
            write(&planar, &mut lent);
            assert_eq!(engine.run(lent, Gates::Return).unwrap(), expected, "{name}, {batch} images, {simd:?}");
        }
    }
}

#[test]
fn the_memory_of_a_run_is_lent_to_the_next() {
    let engine = load("se", small(1)).unwrap();
    let [mut first, second] = [(); 2].map(|()| engine.input().unwrap());
    assert_ne!(first.as_ptr(), second.as_ptr(), "both are in use");
    write(&pictures(1), &mut first);
    let lowered = Simd::detect().level() != Level::Scalar;
    assert_eq!(first.arrangement(), Some(if lowered { Arrangement::Pixels { border: 1 } } else { Arrangement::Planes }));
    let written = first.to_vec();
    engine.run(first, Gates::Return).unwrap();
    assert_eq!(*engine.input().unwrap(), *written, "it need not be zeroed");
}

#[test]
fn refuses_an_input_of_another_length_and_goes_on() {
    let engine = load("se", small(1)).unwrap();
    let error = engine.run(vec![0.0; 191].into(), Gates::Drop).unwrap_err();
    assert_eq!(error.to_string(), "input of 191 values, expected 192");
    assert!(engine.run(pictures(1).into(), Gates::Drop).is_ok());
}

#[test]
fn refuses_what_is_no_classifier_and_says_why() {
    let sized = LoadOptions::default();
    let is = |text: &str| format!("not an image classifier: {text}");
    assert_eq!(refusal("two_inputs", sized), is("2 inputs (image, other), expected one; a classifier takes one picture, export the part that does"));
    assert_eq!(refusal("map_output", sized), is("output of shape [1, 8, 8, 8], expected one score per class, [1, classes]"));
    assert_eq!(refusal("plain", small(2)), is(r#"input "image" takes batches of 1, expected 2"#));
    let huge = LoadOptions { input_size: Some([8, 5000]), ..sized };
    assert_eq!(refusal("se", huge), is(r#"input "image" is of 8×5000 pixels, expected sides of 1 to 4096"#));
}

#[test]
fn refuses_bytes_that_are_no_onnx_model() {
    for bytes in [&b""[..], b"not a model", &[0xff; 64], &onnx("se")[..700]] {
        let error = TractEngine::load(bytes, small(1)).unwrap_err();
        assert!(matches!(error, EngineError::Import(_)), "{error:?}");
        assert!(error.to_string().starts_with("not a usable ONNX model: "), "{error}");
    }
}

#[test]
fn no_corruption_of_a_model_is_a_panic() {
    let original = onnx("se");
    for at in (0..original.len()).step_by(3) {
        let mut corrupt = original.clone();
        corrupt[at] ^= 1 << (at % 8);
        if let Ok(engine) = TractEngine::load(&corrupt, small(1)) {
            // Weights and names may be hit without harm; a run is then an answer or an error.
            let _ = engine.run(pictures(1).into(), Gates::Return);
        }
        let _ = TractEngine::load(&original[..at], small(1));
    }
}
