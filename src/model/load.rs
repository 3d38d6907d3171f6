//! From a model's files to a model that answers: verify, load, compare with the network, warm up.

use std::sync::Arc;

use image::{Rgb, RgbImage};

use super::error::ModelError;
use super::files::{Files, Labels, is_a_name};
use super::location::Location;
use super::manifest::ModelSection;
use super::statement::Statement;
use super::two_sided::TwoSided;
use super::{Model, Parts, activation, labels, metadata, preprocessing};
use crate::excerpt::excerpt;
use crate::image::{InputContract, preprocess};
use crate::inference::{Engine, EngineError, Gates, LoadOptions, OnnxFile, Stated, TractEngine};
use crate::sha256;

impl Model {
    /// Loads the model at `location` and runs it once, so that the first picture is answered as fast as any.
    ///
    /// What `model.toml` does not say is taken from the files beside it, from the network, or assumed; [`Model::warnings`] names every
    /// assumption and every contradiction, and with `options.strict` they are errors. `options.input_size` is ignored: the files say it.
    ///
    /// # Errors
    /// [`ModelError`].
    pub fn load(location: &Location, options: LoadOptions) -> Result<Self, ModelError> {
        let mut files = Files::read(location)?;
        verify(&files)?;
        let engine = load_engine(&mut files, options)?;
        let model = assemble(files, Arc::new(engine), options.batch)?;
        if options.strict && !model.warnings().is_empty() {
            return Err(ModelError::Strict { model: model.name().to_owned(), warnings: model.warnings().to_vec() });
        }
        Ok(model)
    }

    /// Loads the model that ships with the program.
    ///
    /// # Errors
    /// [`ModelError`], if the program was built with a broken one.
    pub fn bundled(options: LoadOptions) -> Result<Self, ModelError> {
        Self::load(&Location::Bundled, options)
    }
}

/// Loads the network as the other files say, and takes its metadata and its labels into `files`.
fn load_engine(files: &mut Files, options: LoadOptions) -> Result<TractEngine, ModelError> {
    let onnx = OnnxFile::parse(std::mem::take(&mut files.onnx)).map_err(|source| engine_error(files, source))?;
    files.metadata = onnx.metadata();
    if let Some(task) = metadata::another_task(&files.metadata) {
        let why = format!("it is exported for the task {:?}, expected \"classify\"", excerpt(task));
        return Err(engine_error(files, EngineError::NotAClassifier(why)));
    }
    let sources = sources(files, None, &mut Vec::new());
    let input_size = Some(preprocessing::requested_size(&sources)?);
    let metadata_labels = labels::of_metadata(&files.metadata, &files.onnx_path, &mut Vec::new());
    let stated = Stated {
        output: files.manifest.output.name.as_deref(),
        labels: files.labels.first().or(metadata_labels.as_ref()).map(|labels| labels.names.len()),
        layout: files.manifest.input.layout,
        channels: preprocessing::requested_channels(&sources),
    };
    TractEngine::load_file(onnx, LoadOptions { input_size, ..options }, stated, &|location| files.locate(location))
        .map_err(|source| engine_error(files, source))
}

/// An output that is not there is a fault of `model.toml`, everything else of the network.
fn engine_error(files: &Files, source: EngineError) -> ModelError {
    match source {
        EngineError::UnknownOutput { name, known } => value_error(files, "output.name", format!("{name:?}"), format!("one of {known}")),
        source => ModelError::Engine { file: files.onnx_path.clone(), source },
    }
}

/// Checks what can be checked before the network is loaded.
fn verify(files: &Files) -> Result<(), ModelError> {
    let model = &files.manifest.model;
    if let Some(name) = &model.name {
        verify_name(files, name)?;
    }
    let Some(expected) = &model.sha256 else { return Ok(()) };
    let actual = sha256::hex(&files.onnx);
    if actual.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(ModelError::Checksum { file: files.onnx_path.clone(), actual, expected: expected.clone() })
}

fn verify_name(files: &Files, name: &str) -> Result<(), ModelError> {
    if is_a_name(name) {
        return Ok(());
    }
    let expected = "1 to 255 bytes without \"/\" and control characters, with no \".\" in front";
    Err(value_error(files, "model.name", format!("{name:?}"), expected))
}

fn value_error(files: &Files, key: &str, value: String, expected: impl Into<String>) -> ModelError {
    ModelError::Value { file: files.manifest_path.clone(), key: key.to_owned(), value, expected: expected.into() }
}

/// What the files say of the input of a network whose size is `network`, where that is fixed, `model.toml` first.
fn sources(files: &Files, network: Option<[u32; 2]>, warnings: &mut Vec<String>) -> Vec<Statement> {
    let manifest = Statement::manifest(files.manifest_path.clone(), files.manifest.input.clone());
    let neighbours = files.neighbours.sources(network, warnings);
    [manifest].into_iter().chain(neighbours).chain(metadata::sources(&files.metadata, &files.onnx_path, warnings)).collect()
}

/// Puts the model together once the network is known.
fn assemble(mut files: Files, mut engine: Arc<dyn Engine>, batch: usize) -> Result<Model, ModelError> {
    let fail = |source| ModelError::Engine { file: files.onnx_path.clone(), source };
    let summary = engine.summary();
    let [tensor] = &summary.inputs[..] else {
        return Err(fail(EngineError::NotAClassifier(format!("{} inputs, expected 1", summary.inputs.len()))));
    };
    let classes = summary.classes;
    let mut warnings = Vec::new();
    let sources = sources(&files, preprocessing::fixed_size(tensor), &mut warnings);
    let (contract, mut origins) = preprocessing::complete(&sources, tensor, &mut warnings)?;
    let first_run = engine.run(first_pictures(&contract, batch).into(), Gates::Return).map_err(fail)?;
    let output = activation::Output { ending: summary.ending, values: first_run.logits.get(..classes).unwrap_or_default() };
    let neighbour = files.neighbours.activation();
    let (mut output_activation, activation_origin) = activation::choose(files.manifest.output.activation, neighbour, &output, &mut warnings);
    first_run.probabilities(summary, output_activation).map_err(|source| ModelError::NotFinite { file: files.onnx_path.clone(), source })?;
    origins.insert("output.activation", activation_origin);
    if files.manifest.output.name.is_some() {
        origins.insert("output.name", "model.toml".to_owned());
    }
    let version = version(&files)?;
    let metadata = labels::of_metadata(&files.metadata, &files.onnx_path, &mut warnings);
    let all_labels: Vec<Labels> = std::mem::take(&mut files.labels).into_iter().chain(metadata).collect();
    if classes == 1 && all_labels.first().is_some_and(|labels| labels.names.len() == 2) {
        let (both, activation) = TwoSided::new(engine, output_activation);
        (engine, output_activation) = (Arc::new(both), activation);
    }
    let (labels, labels_origin) = labels::choose(&all_labels, engine.summary().classes, &mut warnings)?;
    origins.insert("output.labels", labels_origin);
    let name = files.manifest.model.name.unwrap_or(files.name);
    Ok(Model::from_parts(Parts { name, version, contract, output_activation, labels, engine, origins, warnings }))
}

/// The version's folder says it, else `model.toml`; they must not contradict each other.
fn version(files: &Files) -> Result<String, ModelError> {
    let ModelSection { version: given, .. } = &files.manifest.model;
    match (files.version, given.as_ref().map(ToString::to_string)) {
        (Some(folder), Some(given)) if given != folder.to_string() => {
            Err(value_error(files, "model.version", format!("{given:?}"), format!("{folder}, the name of its folder")))
        }
        (Some(folder), _) => Ok(folder.to_string()),
        (None, Some(given)) => Ok(given),
        (None, None) => Ok("1".to_owned()),
    }
}

/// As many pictures as a batch has, of noise, as the network is fed them: zeros would hide where values overflow.
fn first_pictures(contract: &InputContract, batch: usize) -> Vec<f32> {
    let [height, width] = contract.size;
    let sample = |at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8;
    let picture = RgbImage::from_fn(width, height, |x, y| Rgb([0, 1, 2].map(|channel| sample(3 * (y * width + x) + channel))));
    preprocess(picture, contract).repeat(batch)
}
