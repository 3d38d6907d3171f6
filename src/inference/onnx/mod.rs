//! Reading an ONNX file: what it declares, and its graph as a tract model with every size fixed.

mod bounds;
mod ending;
mod external_data;
mod fault;
mod operators;
mod parameters;
mod prune;
mod rewrite;
mod unrank;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use prost::{Message, bytes::Bytes};
use tract_onnx::pb::type_proto::Value;
use tract_onnx::pb::{ModelProto, ValueInfoProto, tensor_shape_proto};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

pub use self::ending::Ending;
use self::fault::described;
pub(super) use self::fault::{AtNode, name_of_type};
use super::form::Form;
use super::guard::{caught, guard};
use super::{EngineError, TensorInfo, shown, sizes};
use crate::graph::{ParameterNames, Refusal};

/// A parsed ONNX file.
#[derive(Clone)]
pub(crate) struct OnnxFile {
    proto: ModelProto,
}

impl OnnxFile {
    /// Parses `bytes`; values outside the file are read by [`OnnxFile::read_external_data`].
    ///
    /// # Errors
    /// [`EngineError::Import`] for bytes that are no ONNX model.
    pub(crate) fn parse(bytes: Cow<'_, [u8]>) -> Result<Self, EngineError> {
        let length = bytes.len();
        // Of bytes that it owns the parser copies every parameter once, of others twice; they are freed when they are parsed.
        let mut proto = guard(|| Ok(ModelProto::decode(Bytes::from(bytes.into_owned()))?))?;
        fault::forget_documentation(&mut proto);
        match &proto.graph {
            Some(graph) if !graph.node.is_empty() => Ok(Self { proto }),
            _ => Err(EngineError::Import(format!("{} bytes without a graph", length))),
        }
    }

    /// Takes in the values of the parameters that lie in other files, which `locate` finds, so that they are as if they lay in this one.
    ///
    /// # Errors
    /// [`EngineError::ExternalData`].
    pub(super) fn read_external_data(&mut self, locate: &dyn Fn(&str) -> Result<PathBuf, String>) -> Result<(), EngineError> {
        let parameters = self.proto.graph.iter_mut().flat_map(|graph| &mut graph.initializer);
        parameters.filter(|parameter| external_data::is_external(parameter)).try_for_each(|parameter| external_data::read(parameter, locate))
    }

    /// What the exporter noted, by key.
    pub(crate) fn metadata(&self) -> BTreeMap<String, String> {
        self.proto.metadata_props.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect()
    }

    /// What the network is to be given; older files list their parameters among the inputs.
    pub(super) fn inputs(&self) -> Vec<TensorInfo> {
        let Some(graph) = &self.proto.graph else { return vec![] };
        let is_parameter = |input: &ValueInfoProto| graph.initializer.iter().any(|p| p.name == input.name);
        graph.input.iter().filter(|input| !is_parameter(input)).map(describe).collect()
    }

    /// What the network yields.
    pub(super) fn outputs(&self) -> Vec<TensorInfo> {
        self.proto.graph.iter().flat_map(|graph| &graph.output).map(describe).collect()
    }

    /// What the values of the output called `output` are, as far as the graph tells.
    pub(super) fn ending(&self, output: &str) -> Ending {
        self.proto.graph.as_ref().map_or(Ending::Scores, |graph| ending::ending(graph, output))
    }

    /// Puts scores in the place of outputs that are chosen from them; returns what a person should know of that.
    pub(super) fn unrank_outputs(&mut self) -> Vec<String> {
        self.proto.graph.as_mut().map(unrank::unrank).unwrap_or_default()
    }

    /// Forgets every other output than that called `output`, and what only they need; returns the names of the inputs that nothing reads any more.
    pub(super) fn keep_output(&mut self, output: &str) -> Vec<String> {
        self.proto.graph.as_mut().map(|graph| prune::keep(graph, output)).unwrap_or_default()
    }

    /// The number of trained values, as integers or not.
    pub(super) fn parameters(&self) -> u64 {
        self.proto.graph.as_ref().map_or(0, parameters::count)
    }

    /// Which parameters each node uses.
    pub(super) fn parameter_names(&self) -> ParameterNames {
        let Some(graph) = &self.proto.graph else { return ParameterNames::default() };
        let parameters: std::collections::HashSet<&str> = graph.initializer.iter().map(|p| p.name.as_str()).collect();
        let used = |inputs: &[String]| inputs.iter().filter(|i| parameters.contains(i.as_str())).cloned().collect();
        ParameterNames::new(graph.node.iter().map(|node| (node.name.clone(), used(&node.input))))
    }

    /// Frees the values of the parameters, which [`OnnxFile::to_typed`] has copied: it can be called no more.
    pub(super) fn forget_values(&mut self) {
        for tensor in self.proto.graph.iter_mut().flat_map(|graph| &mut graph.initializer) {
            tensor.raw_data = Default::default();
            tensor.float_data = vec![];
        }
    }

    /// Compares what the file states with its limits, and rewrites what tract does not read rightly; returns what a person should know of that.
    /// Inputs, outputs and parameters are the file's own before this, and those of what runs behind it.
    ///
    /// # Errors
    /// [`EngineError::Import`].
    pub(super) fn prepare(&mut self) -> Result<Vec<String>, EngineError> {
        bounds::check(&self.proto)?;
        rewrite::rewrite(&mut self.proto)
    }

    /// Does a part of the import, of which a failure becomes a sentence about a node of the file.
    ///
    /// # Errors
    /// [`EngineError::Import`].
    pub(super) fn guard<T>(&self, import: impl FnOnce() -> TractResult<T>) -> Result<T, EngineError> {
        caught(import, "its attributes are not consistent").map_err(|error| EngineError::Import(fault::explain(self.proto.graph.as_ref(), &error)))
    }

    /// The graph, not yet decluttered, for an input of this `form`; its own input is [the plain one](Form::make_plain).
    ///
    /// # Errors
    /// [`EngineError::Import`] for a graph that tract cannot bring to this shape.
    pub(super) fn to_typed(&self, form: &Form) -> Result<TypedModel, EngineError> {
        self.guard(|| {
            // The shapes that a file notes for its inner values may name an open batch or an old one; tract infers them anew.
            let parsed = operators::importer().parse(&self.proto, None)?;
            if let Some(name) = parsed.unresolved_inputs.first() {
                let reader = self.proto.graph.iter().flat_map(|graph| &graph.node).find(|node| node.input.contains(name));
                bail!(Refusal(format!("{} reads {}, which nothing yields", reader.map_or_else(|| "the graph".to_owned(), described), shown(name))));
            }
            let mut inferred = parsed.model.with_input_fact(0, form.datum_type.fact(&form.shape).into())?;
            sizes::follow(&mut inferred)?;
            let mut model = inferred.into_typed()?;
            sizes::check_all(&model)?;
            form.make_plain(&mut model)?;
            Ok(model)
        })
    }
}

fn describe(value: &ValueInfoProto) -> TensorInfo {
    use tensor_shape_proto::dimension::Value as Size;
    let tensor = value.r#type.as_ref().and_then(|t| t.value.as_ref()).map(|Value::TensorType(tensor)| tensor);
    let sizes = tensor.and_then(|t| t.shape.as_ref()).map_or(&[][..], |shape| &shape.dim);
    let size = |dimension: &tensor_shape_proto::Dimension| match dimension.value {
        Some(Size::DimValue(size)) if size > 0 => size,
        _ => -1,
    };
    TensorInfo {
        name: value.name.clone(),
        datatype: tensor.map_or("", |t| datatype(t.elem_type)).to_owned(),
        shape: sizes.iter().map(size).collect(),
    }
}

/// The Open Inference Protocol's name of ONNX's `TensorProto.DataType`.
fn datatype(onnx: i32) -> &'static str {
    match onnx {
        1 => "FP32",
        2 => "UINT8",
        3 => "INT8",
        4 => "UINT16",
        5 => "INT16",
        6 => "INT32",
        7 => "INT64",
        8 => "BYTES",
        9 => "BOOL",
        10 => "FP16",
        11 => "FP64",
        12 => "UINT32",
        13 => "UINT64",
        16 => "BF16",
        _ => "",
    }
}
