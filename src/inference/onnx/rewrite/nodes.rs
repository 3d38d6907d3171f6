//! Looking at ONNX nodes, and making new ones.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

use crate::inference::onnx::fault::made_of;

/// The opset of ONNX's own operators that `model` was exported with.
pub(super) fn opset(model: &ModelProto) -> i64 {
    model.opset_import.iter().filter(|import| is_onnx(&import.domain)).map(|import| import.version).max().unwrap_or(1)
}

/// Whether `domain` is that of ONNX's own operators.
pub(super) fn is_onnx(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

/// Does `work` to `graph` and to the graphs inside it.
pub(super) fn for_each_graph(graph: &mut GraphProto, work: &mut impl FnMut(&mut GraphProto)) {
    for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
        attribute.g.iter_mut().chain(&mut attribute.graphs).for_each(|inner| for_each_graph(inner, work));
    }
    work(graph);
}

pub(super) fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

pub(super) fn int(node: &NodeProto, name: &str) -> Option<i64> {
    attribute(node, name).map(|attribute| attribute.i)
}

pub(super) fn float(node: &NodeProto, name: &str) -> Option<f32> {
    attribute(node, name).map(|attribute| attribute.f)
}

pub(super) fn ints<'a>(node: &'a NodeProto, name: &str) -> Option<&'a [i64]> {
    attribute(node, name).map(|attribute| attribute.ints.as_slice())
}

pub(super) fn text<'a>(node: &'a NodeProto, name: &str) -> Option<&'a str> {
    attribute(node, name).and_then(|attribute| std::str::from_utf8(&attribute.s).ok())
}

/// The size, the stride and the dilation of the window of a convolution or pool along each axis; none where its size is not stated.
pub(super) fn windows(node: &NodeProto) -> impl Iterator<Item = [i64; 3]> {
    let at = |name, axis: usize| ints(node, name).and_then(|values| values.get(axis).copied()).unwrap_or(1);
    let sizes = ints(node, "kernel_shape").unwrap_or_default().iter().enumerate();
    sizes.map(move |(axis, size)| [*size, at("strides", axis), at("dilations", axis)])
}

/// Whether a convolution or pool is padded so that its map has a size that depends on its strides alone.
pub(super) fn is_padded_to_same(node: &NodeProto) -> bool {
    text(node, "auto_pad").is_some_and(|padding| padding.starts_with("SAME"))
}

/// The input at `at`, unless it is left out.
pub(super) fn input(node: &NodeProto, at: usize) -> Option<&str> {
    node.input.get(at).map(String::as_str).filter(|name| !name.is_empty())
}

pub(super) fn of_int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: AttributeType::Int as i32, i: value, ..AttributeProto::default() }
}

pub(super) fn of_ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: AttributeType::Ints as i32, ints: values.to_vec(), ..AttributeProto::default() }
}

pub(super) fn of_float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: AttributeType::Float as i32, f: value, ..AttributeProto::default() }
}

pub(super) fn of_text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: AttributeType::String as i32, s: value.as_bytes().to_vec(), ..AttributeProto::default() }
}

pub(super) fn of_tensor(name: &str, value: TensorProto) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: AttributeType::Tensor as i32, t: Some(value), ..AttributeProto::default() }
}

/// `node` with `attribute` in the place of one of the same name.
pub(super) fn set(node: &mut NodeProto, attribute: AttributeProto) {
    node.attribute.retain(|old| old.name != attribute.name);
    node.attribute.push(attribute);
}

pub(super) fn floats_tensor(dims: &[i64], values: &[f32]) -> TensorProto {
    let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    TensorProto { dims: dims.to_vec(), data_type: DataType::Float as i32, raw_data, ..TensorProto::default() }
}

pub(super) fn ints_tensor(values: &[i64]) -> TensorProto {
    let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    TensorProto { dims: vec![values.len() as i64], data_type: DataType::Int64 as i32, raw_data, ..TensorProto::default() }
}

/// Nodes that take the place of one.
pub(super) struct Made {
    name: String,
    /// For messages.
    origin: String,
    opset: i64,
    pub(super) nodes: Vec<NodeProto>,
}

impl Made {
    /// For a model of `opset`, in the place of `node`.
    pub(super) fn of(node: &NodeProto, opset: i64) -> Self {
        let name = node.output.first().cloned().unwrap_or_default();
        Self { name, origin: made_of(node), opset, nodes: vec![] }
    }

    fn fresh(&self) -> String {
        format!("{}~{}", self.name, self.nodes.len())
    }

    /// A node of one output; returns its name.
    pub(super) fn op(&mut self, kind: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let output = self.fresh();
        self.op_to(kind, inputs, attributes, &output);
        output
    }

    /// A node that yields `output`.
    pub(super) fn op_to(&mut self, kind: &str, inputs: &[&str], attribute: Vec<AttributeProto>, output: &str) {
        let input = inputs.iter().map(|name| (*name).to_owned()).collect();
        self.nodes.push(NodeProto {
            op_type: kind.to_owned(),
            name: self.fresh(),
            doc_string: self.origin.clone(),
            input,
            output: vec![output.to_owned()],
            attribute,
            ..NodeProto::default()
        });
    }

    /// The values of `node`, that is made another, go on to be called as before.
    pub(super) fn keep(&mut self, node: NodeProto) {
        self.nodes.push(node);
    }

    pub(super) fn tensor(&mut self, value: TensorProto) -> String {
        self.op("Constant", &[], vec![of_tensor("value", value)])
    }

    pub(super) fn float(&mut self, value: f32) -> String {
        self.tensor(floats_tensor(&[], &[value]))
    }

    pub(super) fn ints(&mut self, values: &[i64]) -> String {
        self.tensor(ints_tensor(values))
    }

    /// `value` with `pads` values of zero.
    pub(super) fn zeros_around(&mut self, value: &str, pads: &[i64]) -> String {
        if self.opset < 11 {
            return self.op("Pad", &[value], vec![of_ints("pads", pads)]);
        }
        let pads = self.ints(pads);
        self.op("Pad", &[value, &pads], vec![])
    }
}
