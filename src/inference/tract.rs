//! The engine: an image classifier in tract whose SE blocks are ours.

use std::borrow::Cow;
use std::path::PathBuf;

use super::network::{Network, Rewrite};
use super::onnx::{OnnxFile, channels_come_last};
use super::{Engine, EngineError, Gates, Inference, Input, MAX_SIDE, NetworkSummary, TensorInfo, shown};
use crate::excerpt::excerpt;
use crate::graph::Lowering;
use crate::kernels::Simd;

/// Height and width assumed where neither the file nor the options say.
const DEFAULT_SIZE: [u32; 2] = [224, 224];

/// Each of which has a label, and a probability in every run; the largest classifiers tell some 100,000 faces apart.
const MAX_CLASSES: usize = 1 << 20;

/// Of inputs or outputs, in a message.
const MOST_NAMES: usize = 8;

/// How a network is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadOptions {
    /// Images per run.
    pub batch: usize,
    /// Instruction set of the kernels.
    pub simd: Simd,
    /// How operators are lowered to the kernels.
    pub lowering: Lowering,
    /// Height and width, where the file leaves them open; 224×224 where this does too.
    pub input_size: Option<[u32; 2]>,
    /// Whether guesses and contradictions about a model's input and labels are errors; of [`crate::model::Model::load`] alone.
    pub strict: bool,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { batch: 1, simd: Simd::detect(), lowering: Lowering::default(), input_size: None, strict: false }
    }
}

/// A network in tract, shared by all workers.
#[derive(Debug)]
pub struct TractEngine {
    network: Network,
    summary: NetworkSummary,
}

impl TractEngine {
    /// Imports, rewrites and optimises the ONNX model in `onnx`, which is freed as soon as it is parsed, if it is handed over.
    ///
    /// # Errors
    /// [`EngineError::Import`], [`EngineError::NotAClassifier`], and [`EngineError::ExternalData`] for values outside the file.
    pub fn load<'a>(onnx: impl Into<Cow<'a, [u8]>>, options: LoadOptions) -> Result<Self, EngineError> {
        Self::load_with_data(onnx, options, &|_| Err("values inside the file".to_owned()))
    }

    /// As [`TractEngine::load`], with parameters whose values lie in other files: `locate` tells the file that the ONNX file calls by a
    /// location, or what was expected of the location.
    ///
    /// # Errors
    /// As [`TractEngine::load`].
    pub fn load_with_data<'a>(
        onnx: impl Into<Cow<'a, [u8]>>,
        options: LoadOptions,
        locate: &dyn Fn(&str) -> Result<PathBuf, String>,
    ) -> Result<Self, EngineError> {
        let mut file = OnnxFile::parse(onnx.into())?;
        file.read_external_data(locate)?;
        let (inputs, outputs, parameters) = (file.inputs(), file.outputs(), file.parameters());
        let mut warnings = vec![];
        let shape = input_shape(only("input", &inputs)?, &options, &mut warnings)?;
        only("output", &outputs)?;
        let notes = file.prepare()?;
        let ending = file.ending();
        let network = Network::build(&mut file, &shape, options.simd, Rewrite::All(options.lowering))?;
        let classes = classes(network.output_shape(), options.batch)?;
        if network.se_blocks().is_empty() {
            warnings.push("the model has no SE block: answers carry no attention".to_owned());
        }
        let summary = NetworkSummary {
            inputs,
            outputs,
            classes,
            ending,
            parameters,
            flops: network.flops() / options.batch as u64,
            se_blocks: network.se_blocks().to_vec(),
            operators: network.operators(),
            unlowered: network.unlowered().to_vec(),
            metadata: file.metadata(),
            notes,
            warnings,
        };
        Ok(Self { network, summary })
    }
}

impl Engine for TractEngine {
    fn input(&self) -> Result<Input<'static>, EngineError> {
        self.network.input()
    }

    fn run(&self, input: Input<'_>, gates: Gates) -> Result<Inference, EngineError> {
        self.network.run(input, gates)
    }

    fn summary(&self) -> &NetworkSummary {
        &self.summary
    }
}

fn only<'a>(what: &str, tensors: &'a [TensorInfo]) -> Result<&'a TensorInfo, EngineError> {
    match tensors {
        [tensor] => Ok(tensor),
        _ => {
            let names: Vec<String> = tensors.iter().take(MOST_NAMES).map(|t| excerpt(&t.name)).collect();
            let more = if tensors.len() > MOST_NAMES { ", …" } else { "" };
            Err(EngineError::NotAClassifier(format!("{} {what}s ({}{more}), expected one", tensors.len(), names.join(", "))))
        }
    }
}

/// The input's shape with everything that the file leaves open filled in.
fn input_shape(input: &TensorInfo, options: &LoadOptions, warnings: &mut Vec<String>) -> Result<[usize; 4], EngineError> {
    let refuse = |why: String| Err(EngineError::NotAClassifier(format!("input {} {why}", shown(&input.name))));
    let &[batch, a, b, c] = input.shape.as_slice() else {
        return refuse(format!("has shape {:?}, expected a batch of colour images, [N, 3, H, W] or [N, H, W, 3]", input.shape));
    };
    if input.datatype != "FP32" {
        return refuse(format!("is of {}, expected FP32", input.datatype));
    }
    if options.batch == 0 || batch > 0 && usize::try_from(batch).ok() != Some(options.batch) {
        return refuse(format!("takes batches of {batch}, expected {}", options.batch));
    }
    let channels_last = channels_come_last(&[batch, a, b, c].map(|size| usize::try_from(size).unwrap_or(0)));
    let (channels, height, width) = if channels_last { (c, a, b) } else { (a, b, c) };
    if channels != 3 && channels > 0 {
        return refuse(format!("has {channels} channels, expected 3"));
    }
    let size = options.input_size.unwrap_or(DEFAULT_SIZE);
    if options.input_size.is_none() && (height < 0 || width < 0) {
        warnings.push(format!("the model leaves its input size open: {}×{} is assumed", size[0], size[1]));
    }
    let [height, width] = [(height, size[0]), (width, size[1])].map(|(fixed, open)| usize::try_from(fixed).unwrap_or(open as usize));
    if [height, width].iter().any(|side| !(1..=MAX_SIDE).contains(side)) {
        return refuse(format!("is of {height}×{width} pixels, expected sides of 1 to {MAX_SIDE}"));
    }
    Ok(if channels_last { [options.batch, height, width, 3] } else { [options.batch, 3, height, width] })
}

/// The number of classes that an output of `shape` scores.
fn classes(shape: &[usize], batch: usize) -> Result<usize, EngineError> {
    let long = |sizes: &[usize]| sizes.iter().filter(|size| **size != 1).count();
    match shape {
        [first, rest @ ..] if !rest.is_empty() && *first == batch && long(rest) <= 1 => match rest.iter().product() {
            classes @ 1..=MAX_CLASSES => Ok(classes),
            classes => Err(EngineError::NotAClassifier(format!("output of {classes} scores, expected 1 to {MAX_CLASSES}"))),
        },
        _ => Err(EngineError::NotAClassifier(format!("output of shape {shape:?}, expected one score per class, [{batch}, classes]"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_some_classes_and_not_millions() {
        let refused = |shape: &[usize]| classes(shape, 1).unwrap_err().to_string();
        assert_eq!(classes(&[1, 1000, 1, 1], 1).unwrap(), 1000);
        assert_eq!(refused(&[1, 12_582_912]), "not an image classifier: output of 12582912 scores, expected 1 to 1048576");
        assert_eq!(refused(&[1, 0]), "not an image classifier: output of 0 scores, expected 1 to 1048576");
    }
}
