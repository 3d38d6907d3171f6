//! The engine: an image classifier in tract whose SE blocks are ours.

use std::borrow::Cow;
use std::path::PathBuf;

use super::form::{Axes, Form};
use super::network::{Network, Rewrite};
use super::onnx::OnnxFile;
use super::{Engine, EngineError, Gates, Inference, Input, NetworkSummary, outputs, shown};
use crate::graph::Lowering;
use crate::image::Layout;
use crate::kernels::Simd;

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

/// What the files beside a network say of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stated<'a> {
    /// The name of the output that has the scores.
    pub(crate) output: Option<&'a str>,
    /// How many classes have names.
    pub(crate) labels: Option<usize>,
    /// The order of the input's axes, where its sizes do not tell it.
    pub(crate) layout: Option<Layout>,
    /// The input's channels, where it leaves them open.
    pub(crate) channels: Option<usize>,
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
        let locate = |_: &str| Err("values inside the file".to_owned());
        Self::load_file(OnnxFile::parse(onnx.into())?, options, Stated::default(), &locate)
    }

    /// As [`TractEngine::load`], of a file that is parsed, with what other files state of it, and with parameters whose values lie in other files:
    /// `locate` tells the file that the ONNX file calls by a location, or what was expected of the location.
    ///
    /// # Errors
    /// As [`TractEngine::load`], and [`EngineError::UnknownOutput`].
    pub(crate) fn load_file(
        mut file: OnnxFile,
        options: LoadOptions,
        stated: Stated<'_>,
        locate: &dyn Fn(&str) -> Result<PathBuf, String>,
    ) -> Result<Self, EngineError> {
        let mut said = Said::default();
        let output = keep_one_output(&mut file, stated, &mut said)?;
        file.read_external_data(locate)?;
        let (inputs, mut outputs, parameters, metadata) = (file.inputs(), file.outputs(), file.parameters(), file.metadata());
        said.notes.extend(file.prepare()?);
        let ending = file.ending(&output);
        // Rewritten files may declare other types than they had.
        let declared = file.inputs();
        let input = outputs::only_input(&declared)?;
        let form = Form::of(input, &options, (stated.layout, stated.channels), &mut said.warnings)?;
        let fixed = Axes::of(&input.shape, stated.layout).and_then(|axes| usize::try_from(axes.batch?).ok());
        let (network, classes) = match fixed {
            Some(fixed) if fixed < options.batch => {
                let why = format!("input {} takes batches of {fixed}, expected {}", shown(&input.name), options.batch);
                return Err(EngineError::NotAClassifier(why));
            }
            Some(fixed) if fixed > options.batch => build_for_fewer(file, form, fixed, options, &mut said)?,
            _ => build(file, form, options)?,
        };
        // Values in the middle of a graph are not declared.
        for output in outputs.iter_mut().filter(|output| output.datatype.is_empty()) {
            output.datatype = "FP32".to_owned();
            output.shape = network.output_shape().iter().map(|size| i64::try_from(*size).unwrap_or(-1)).collect();
        }
        if network.se_blocks().is_empty() {
            said.warnings.push("the model has no SE block: answers carry no attention".to_owned());
        }
        let summary = NetworkSummary {
            inputs,
            outputs,
            classes,
            ending,
            parameters,
            flops: network.flops() / network.batch() as u64,
            se_blocks: network.se_blocks().to_vec(),
            channel_gates: network.channel_gates().to_vec(),
            operators: network.operators(),
            unlowered: network.unlowered().to_vec(),
            metadata,
            notes: said.notes,
            warnings: said.warnings,
        };
        Ok(Self { network, summary })
    }
}

/// What a person should know of the network.
#[derive(Default)]
struct Said {
    notes: Vec<String>,
    warnings: Vec<String>,
}

/// Leaves the output of scores alone in `file`, and what it needs; returns its name.
fn keep_one_output(file: &mut OnnxFile, stated: Stated<'_>, said: &mut Said) -> Result<String, EngineError> {
    said.notes.extend(file.unrank_outputs());
    let outputs = file.outputs();
    let chosen = outputs::choose(&outputs, stated.output, stated.labels, |output| file.ending(output), &mut said.warnings)?;
    let output = outputs.get(chosen).map(|output| output.name.clone()).unwrap_or_default();
    let unread = file.keep_output(&output);
    said.notes.extend(unread.iter().map(|input| format!("input {} is left out, which nothing reads", shown(input))));
    Ok(output)
}

/// The network for as many images as `form` has, and its number of classes.
fn build(mut file: OnnxFile, form: Form, options: LoadOptions) -> Result<(Network, usize), EngineError> {
    let batch = form.batch();
    let network = Network::build(&mut file, form, options.batch, options.simd, Rewrite::All(options.lowering))?;
    let classes = outputs::classes(network.output_shape(), batch)?;
    Ok((network, classes))
}

/// The network of a file whose batch is `fixed` at more images than a run has: made one of so many, as `form` has it, if the graph allows that.
fn build_for_fewer(file: OnnxFile, form: Form, fixed: usize, options: LoadOptions, said: &mut Said) -> Result<(Network, usize), EngineError> {
    let images = options.batch;
    if let Ok(built) = build(file.clone(), form.clone(), options) {
        said.notes.push(format!("the file's batch of {fixed} is made one of {images}"));
        return Ok(built);
    }
    // The graph has the number in its middle, too.
    let cost = format!("a run of {images} costs as much as one of {fixed}; export it with an open batch");
    said.warnings.push(format!("the model takes batches of {fixed} alone: {cost}"));
    build(file, form.with_batch(fixed), options)
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
