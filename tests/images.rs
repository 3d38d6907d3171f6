//! Pictures of every kind against Pillow's answers; see `fixtures/images/make.py`.

use std::fs;
use std::path::{Path, PathBuf};

use image::RgbImage;
use senet::image::{Color, DecodeError, InputContract, Interpolation, Layout, Limits, Resize, decode, preprocess};

/// What libjpeg-turbo and our decoder may differ by, in levels: they round the inverse transform and the chroma's interpolation differently.
const JPEG_MAX_DIFFERENCE: u8 = 3;
const JPEG_MEAN_DIFFERENCE: f64 = 0.4;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images")
}

/// Name, extension and bytes of every file to decode.
fn files() -> Vec<(String, String, Vec<u8>)> {
    let part = |part: Option<&std::ffi::OsStr>| part.unwrap().to_str().unwrap().to_owned();
    let mut files: Vec<_> = fs::read_dir(fixtures().join("decode/in"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (part(path.file_stem()), part(path.extension()), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    assert!(files.len() > 80, "only {} fixtures", files.len());
    files
}

fn pillow(name: &str) -> RgbImage {
    image::open(fixtures().join(name)).unwrap().into_rgb8()
}

/// The largest and the mean difference of two pictures' samples.
fn difference(left: &RgbImage, right: &RgbImage) -> (u8, f64) {
    assert_eq!(left.dimensions(), right.dimensions());
    let differences = left.iter().zip(right.iter()).map(|(a, b)| a.abs_diff(*b));
    let sum: u64 = differences.clone().map(u64::from).sum();
    (differences.max().unwrap(), sum as f64 / left.len() as f64)
}

#[test]
fn every_kind_of_file_decodes_as_pillow_does() {
    for (name, extension, bytes) in files() {
        let decoded = decode(&bytes, &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (max, mean) = difference(&decoded.pixels, &pillow(&format!("decode/pillow/{name}.png")));
        if extension == "jpg" {
            assert!(max <= JPEG_MAX_DIFFERENCE && mean <= JPEG_MEAN_DIFFERENCE, "{name}: max {max}, mean {mean}");
        } else {
            assert_eq!(max, 0, "{name}: mean {mean}");
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    for (name, extension, bytes) in files() {
        for part in [0.3, 0.6, 0.95, 0.999] {
            let end = (bytes.len() as f64 * part) as usize;
            let result = decode(&bytes[..end], &Limits::default());
            assert!(matches!(result, Err(DecodeError::Undecodable { .. })), "{name}.{extension} cut to {end} of {} bytes", bytes.len());
        }
    }
}

#[test]
fn resized_pictures_equal_pillows_bit_for_bit() {
    let cases = fs::read_to_string(fixtures().join("resize/cases.tsv")).unwrap();
    assert!(cases.lines().count() >= 80);
    for line in cases.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [case, source, resize, height, width, resize_to, interpolation] = fields.as_slice() else { panic!("{line}") };
        let contract = InputContract {
            size: [height.parse().unwrap(), width.parse().unwrap()],
            resize: serde_json::from_value((*resize).into()).unwrap(),
            resize_to: resize_to.parse().unwrap(),
            interpolation: serde_json::from_value((*interpolation).into()).unwrap(),
            ..identity()
        };
        let fed = preprocess(pillow(&format!("resize/source_{source}.png")), &contract);
        let wanted: Vec<f32> = pillow(&format!("resize/{case}.png")).iter().map(|value| f32::from(*value)).collect();
        assert_eq!(fed.len(), wanted.len(), "{case}");
        let wrong = fed.iter().zip(&wanted).filter(|(fed, wanted)| fed != wanted).count();
        assert_eq!(wrong, 0, "{case}: {wrong} of {} values differ", wanted.len());
    }
}

/// Feeds 8-bit values as they are, channels last.
fn identity() -> InputContract {
    InputContract {
        size: [1, 1],
        resize: Resize::Squash,
        resize_to: 0,
        interpolation: Interpolation::Bilinear,
        color: Color::Rgb,
        layout: Layout::Nhwc,
        mean: [0.0; 3],
        std: [1.0; 3],
        scale: 1.0,
    }
}
