//! Operators that tract alone reads wrongly or not at all, functions of a file's own, and 16-bit files: their values, and what is refused.
//!
//! The networks and the answers are made by `fixtures/right-answers/operators/make.py`.

use std::fs;
use std::path::{Path, PathBuf};

use npyz::npz::NpzArchive;
use senet::inference::{Gates, Lowering, Network, Rewrite};
use senet::kernels::Simd;

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/right-answers/operators");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    files.sort();
    files
}

/// Shape and values of the array `name`.
fn array(archive: &mut NpzArchive<std::io::BufReader<fs::File>>, name: &str) -> (Vec<usize>, Vec<f32>) {
    let array = archive.by_name(name).unwrap().unwrap();
    let shape = array.shape().iter().map(|size| *size as usize).collect();
    (shape, array.into_vec().unwrap())
}

/// ONNX Runtime computes a 16-bit file in 16 bits.
fn tolerance(name: &str) -> f32 {
    if name.contains("fp16") { 3e-3 } else { 1e-4 }
}

#[test]
fn every_operator_yields_what_onnx_runtime_yields() {
    let files = fixtures();
    assert!(files.len() > 30, "{} fixtures", files.len());
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let mut archive = NpzArchive::open(file.with_extension("npz")).unwrap();
        let ((shape, x), (_, y)) = (array(&mut archive, "x"), array(&mut archive, "y"));
        let finite = y.iter().filter(|value| value.is_finite());
        let (low, high) = finite.fold((f32::MAX, f32::MIN), |(low, high), value| (low.min(*value), high.max(*value)));
        let limit = (tolerance(&name) * (high - low)).max(1e-5);
        for simd in Simd::available() {
            let network = Network::load(fs::read(&file).unwrap(), &shape, simd, Rewrite::All(Lowering::default()));
            let logits = network.and_then(|network| network.run(&x, Gates::Drop)).unwrap_or_else(|error| panic!("{name}: {error}")).logits;
            assert_eq!(logits.len(), y.len(), "{name}");
            for (ours, theirs) in logits.iter().zip(&y) {
                // What overflows 16 bits is a number in 32.
                let same = !theirs.is_finite() && ours.is_finite() || (ours - theirs).abs() <= limit;
                assert!(same, "{name}, {:?}: {ours} where ONNX Runtime has {theirs}", simd.level());
            }
        }
    }
}
