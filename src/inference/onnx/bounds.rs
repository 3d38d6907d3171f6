//! Limits on what an ONNX file may state: every attribute, shape and count is compared with them before tract sees the graph.
//!
//! Importer and operators multiply these numbers and index with them, in release builds without a check of their own. Sizes that the graph
//! computes cannot be told here; [`Network`](crate::inference::Network) bounds the values that come of them.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

use super::external_data;
use super::fault::described;
use crate::inference::{EngineError, MAX_SIDE, shown};

/// Nodes of all graphs together; the largest classifiers have some 10,000.
const MAX_NODES: usize = 1 << 16;
/// Initialisers of all graphs together.
const MAX_PARAMETERS: usize = 1 << 16;
/// Graphs inside graphs, as the branches of an `If` are.
const MAX_DEPTH: usize = 4;
/// Inputs or outputs of one node.
const MAX_ENDS: usize = 1 << 12;
/// Bytes of a name.
const MAX_NAME: usize = 1 << 10;
/// Axes of a tensor; classifiers with windows of patches have six.
const MAX_RANK: usize = 8;
/// Values of one parameter.
const MAX_VALUES: u64 = 1 << 31;
/// Values of a tensor whose shape is a parameter, as that of `ConstantOfShape` is.
const MAX_MADE: u64 = 1 << 28;
/// One size of such a tensor.
const MAX_SIZE: i64 = 1 << 24;

const SIDE: i64 = MAX_SIDE as i64;
const AXIS: i64 = MAX_RANK as i64;
const ANY: RangeInclusive<i64> = i64::MIN..=i64::MAX;

/// Compares everything that `model` states with its limit.
///
/// # Errors
/// [`EngineError::Import`], naming the node, the attribute, its value and what was expected.
pub(super) fn check(model: &ModelProto) -> Result<(), EngineError> {
    let Some(graph) = &model.graph else { return Ok(()) };
    let mut graphs = Vec::new();
    collect(graph, 0, &mut graphs).map_err(EngineError::Import)?;
    let (nodes, parameters) = graphs.iter().fold((0, 0), |(nodes, parameters), g| (nodes + g.node.len(), parameters + g.initializer.len()));
    within("the file has", nodes, MAX_NODES, "nodes")
        .and_then(|()| within("the file has", parameters, MAX_PARAMETERS, "parameters"))
        .and_then(|()| graphs.iter().try_for_each(|graph| check_parameters(graph)))
        .and_then(|()| {
            let constants = Constants::of(&graphs);
            graphs.iter().flat_map(|graph| &graph.node).try_for_each(|node| check_node(node, &constants))
        })
        .map_err(EngineError::Import)
}

/// The bytes that the values of `parameter` take by its shape and type; `None` where a value has no fixed length.
///
/// # Errors
/// What is wrong with the shape.
pub(super) fn bytes(parameter: &TensorProto) -> Result<Option<u64>, String> {
    let count = count(parameter)?;
    Ok(width(parameter).map(|width| count * width))
}

fn collect<'a>(graph: &'a GraphProto, depth: usize, graphs: &mut Vec<&'a GraphProto>) -> Result<(), String> {
    within("graphs lie", depth, MAX_DEPTH, "deep in each other")?;
    graphs.push(graph);
    let inner = graph.node.iter().flat_map(|node| &node.attribute).flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs));
    inner.into_iter().try_for_each(|inner| collect(inner, depth + 1, graphs))
}

fn within(subject: &str, count: usize, limit: usize, what: &str) -> Result<(), String> {
    if count <= limit { Ok(()) } else { Err(format!("{subject} {count} {what}, expected at most {limit}")) }
}

fn check_parameters(graph: &GraphProto) -> Result<(), String> {
    for parameter in &graph.initializer {
        let name = || format!("parameter {}", shown(&parameter.name));
        check_name(&parameter.name).and_then(|()| check_tensor(parameter, true)).map_err(|error| format!("{}: {error}", name()))?;
    }
    for value in graph.input.iter().chain(&graph.output) {
        check_name(&value.name).map_err(|error| format!("value {}: {error}", shown(&value.name)))?;
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), String> {
    within("its name has", name.len(), MAX_NAME, "bytes")
}

/// Whether the shape of `tensor` is one, and its data what the shape asks for; that of other files is compared when it is read.
fn check_tensor(tensor: &TensorProto, may_be_external: bool) -> Result<(), String> {
    let count = count(tensor)?;
    if external_data::is_external(tensor) {
        return if may_be_external { Ok(()) } else { Err("its values lie in another file, expected them in this one".to_owned()) };
    }
    let listed = [
        tensor.float_data.len(),
        tensor.int32_data.len(),
        tensor.int64_data.len(),
        tensor.double_data.len(),
        tensor.uint64_data.len(),
        tensor.string_data.len(),
    ];
    let listed = listed.into_iter().max().unwrap_or(0) as u64;
    let (actual, expected, unit) = match width(tensor) {
        Some(width) if !tensor.raw_data.is_empty() => (tensor.raw_data.len() as u64, count * width, "bytes"),
        // The engine knows no packed types, and says so.
        None if tensor.data_type() != DataType::String => return Ok(()),
        _ => (listed, count, "values"),
    };
    if actual == expected { Ok(()) } else { Err(format!("it holds {actual} {unit}, expected {expected} for the shape {:?}", tensor.dims)) }
}

/// The number of values that the shape of `tensor` states.
fn count(tensor: &TensorProto) -> Result<u64, String> {
    within("its shape has", tensor.dims.len(), MAX_RANK, "sizes")?;
    let product = tensor.dims.iter().try_fold(1, |product: u64, size| product.checked_mul(u64::try_from(*size).ok()?));
    // A size of 0 hides whatever else is stated.
    let sizes = tensor.dims.iter().all(|size| u64::try_from(*size).is_ok_and(|size| size <= MAX_VALUES));
    product
        .filter(|count| sizes && *count <= MAX_VALUES)
        .ok_or_else(|| format!("its shape is {:?}, expected at most {MAX_VALUES} values", tensor.dims))
}

/// Bytes of one value.
fn width(tensor: &TensorProto) -> Option<u64> {
    Some(match DataType::try_from(tensor.data_type).ok()? {
        DataType::Bool | DataType::Int8 | DataType::Uint8 => 1,
        DataType::Int16 | DataType::Uint16 | DataType::Float16 | DataType::Bfloat16 => 2,
        DataType::Int32 | DataType::Uint32 | DataType::Float => 4,
        DataType::Int64 | DataType::Uint64 | DataType::Double => 8,
        _ => return None,
    })
}

fn check_node(node: &NodeProto, constants: &Constants) -> Result<(), String> {
    let name = if node.name.is_empty() { node.output.first().map_or("", String::as_str) } else { &node.name };
    let place = |error: String| format!("{}: {error}", described(node));
    check_name(name).and_then(|()| check_name(&node.op_type)).map_err(place)?;
    within("it has", node.input.len(), MAX_ENDS, "inputs").and_then(|()| within("it has", node.output.len(), MAX_ENDS, "outputs")).map_err(place)?;
    node.input.iter().chain(&node.output).try_for_each(|name| check_name(name)).map_err(place)?;
    node.attribute.iter().try_for_each(|attribute| check_attribute(&node.op_type, attribute)).map_err(place)?;
    check_window(node, constants).and_then(|()| check_inputs(node, constants)).map_err(place)
}

fn check_attribute(operator: &str, attribute: &AttributeProto) -> Result<(), String> {
    let name = shown(&attribute.name);
    let name = name.trim_matches('"');
    let range = range(operator, &attribute.name);
    for (at, value) in attribute.ints.iter().enumerate() {
        in_range(&format!("{name}[{at}]"), *value, &range)?;
    }
    if attribute.ints.is_empty() {
        // A missing integer is 0 too.
        let missing = attribute.i == 0 && attribute.r#type() != tract_onnx::pb::attribute_proto::AttributeType::Int;
        if !missing {
            in_range(name, attribute.i, &range)?;
        }
    }
    if operator == "Transpose" && attribute.name == "perm" {
        let missing = (0..attribute.ints.len() as i64).find(|axis| !attribute.ints.contains(axis));
        missing.map_or(Ok(()), |axis| Err(format!("{name} has no {axis}, expected every axis once")))?;
    }
    if attribute.name == "scales" {
        attribute.floats.iter().try_for_each(|scale| check_scale(name, *scale))?;
    }
    attribute.t.iter().chain(&attribute.tensors).try_for_each(|tensor| check_tensor(tensor, false)).map_err(|error| format!("{name}: {error}"))
}

fn in_range(name: &str, value: i64, range: &RangeInclusive<i64>) -> Result<(), String> {
    match range.contains(&value) {
        true => Ok(()),
        false => Err(format!("{name} is {value}, expected {} to {}", range.start(), range.end())),
    }
}

fn check_scale(name: &str, scale: f32) -> Result<(), String> {
    match scale > 0.0 && scale <= SIDE as f32 {
        true => Ok(()),
        false => Err(format!("{name} holds {scale}, expected more than 0 and at most {SIDE}")),
    }
}

/// What the integers of an attribute may be: ONNX means one thing by a name, whatever the operator.
fn range(operator: &str, attribute: &str) -> RangeInclusive<i64> {
    match attribute {
        "kernel_shape" | "strides" | "dilations" | "blocksize" | "output_height" | "output_width" | "size" => 1..=SIDE,
        // Negative ones of `Pad` cut values off.
        "pads" | "paddings" | "output_padding" if operator != "Pad" => 0..=SIDE,
        "pads" | "paddings" => -SIDE..=SIDE,
        "output_shape" => 0..=SIDE,
        "group" | "groups" | "num_groups" | "num_outputs" | "num_heads" | "q_num_heads" | "kv_num_heads" => 1..=1 << 16,
        "axis" | "axes" | "batch_axis" | "time_axis" | "batch_dims" | "normalized_axis" => -AXIS..=AXIS,
        "perm" => 0..=AXIS - 1,
        "split" | "hidden_size" | "block_size" | "K" | "N" | "k" | "tiles" => 0..=MAX_SIZE,
        "shape" => -1..=MAX_SIZE,
        // The type of a result.
        "to" | "dtype" | "output_dtype" => 0..=64,
        // What is cut off lies between them and the tensor's own sizes, and `Constant` may have any value; its users are looked at.
        "starts" | "ends" | "start" | "end" | "value_int" | "value_ints" | "seed" => ANY,
        _ => i64::from(i32::MIN)..=i64::from(i32::MAX),
    }
}

/// The attributes of a window must have one length, and those of a convolution agree with its weights.
fn check_window(node: &NodeProto, constants: &Constants) -> Result<(), String> {
    let ints = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name).map_or(&[][..], |attribute| &attribute.ints);
    let (kernel, pads) = (ints("kernel_shape"), ints("pads"));
    let is_convolution = matches!(node.op_type.as_str(), "Conv" | "ConvTranspose" | "ConvInteger" | "QLinearConv");
    let weights = if node.op_type == "QLinearConv" { 3 } else { 1 };
    let weights = node.input.get(weights).filter(|_| is_convolution).and_then(|name| constants.find(name).next());
    let mut lengths = vec![("kernel_shape", kernel.len()), ("strides", ints("strides").len()), ("dilations", ints("dilations").len())];
    if node.op_type != "Pad" {
        lengths.push(("pads", pads.len() / 2 + pads.len() % 2));
    }
    if let Some(weights) = weights {
        lengths.insert(0, ("weight", weights.dims.len().saturating_sub(2)));
        let window = weights.dims.get(2..).unwrap_or_default();
        if !kernel.is_empty() && kernel != window {
            return Err(format!("kernel_shape is {kernel:?}, expected {window:?} as its weights have"));
        }
        let group = node.attribute.iter().find(|attribute| attribute.name == "group").map_or(1, |attribute| attribute.i);
        // Of a transposed convolution the first size is that of the input.
        if weights.dims.first().is_some_and(|channels| group > 0 && channels % group != 0) {
            return Err(format!("group is {group}, expected a divisor of {}, the channels of its weights", weights.dims[0]));
        }
    }
    if pads.len() % 2 == 1 {
        return Err(format!("pads has {} values, expected a begin and an end for each axis", pads.len()));
    }
    lengths.retain(|(_, length)| *length > 0);
    match lengths.windows(2).find(|pair| pair[0].1 != pair[1].1) {
        Some([(first, expected), (second, actual)]) => Err(format!("{second} is of {actual} axes, expected {expected} as {first} has")),
        _ => Ok(()),
    }
}

/// Inputs that are sizes, counts or axes, where they are constants.
fn check_inputs(node: &NodeProto, constants: &Constants) -> Result<(), String> {
    // Every node could have the same large parameter for a shape.
    let short = |at: usize, name: &str| -> Result<(), String> {
        let tensors = node.input.get(at).into_iter().flat_map(|input| constants.find(input));
        let longest = tensors.filter_map(|tensor| count(tensor).ok()).max().unwrap_or(0);
        within(&format!("{name} has"), usize::try_from(longest).unwrap_or(usize::MAX), MAX_ENDS, "values")
    };
    let integers = |at: usize, name: &str, range: RangeInclusive<i64>| -> Result<(), String> {
        short(at, name)?;
        let values = node.input.get(at).into_iter().flat_map(|input| constants.find(input)).flat_map(integers_of);
        values.enumerate().try_for_each(|(place, value)| in_range(&format!("{name}[{place}]"), value, &range))
    };
    let scales = |at: usize| -> Result<(), String> {
        short(at, "scales")?;
        let tensors = node.input.get(at).into_iter().flat_map(|input| constants.find(input));
        tensors.flat_map(floats_of).try_for_each(|scale| check_scale("scales", scale))
    };
    let made = |at: usize, name: &str| -> Result<(), String> {
        integers(at, name, -1..=MAX_SIZE)?;
        node.input.get(at).into_iter().flat_map(|input| constants.find(input)).try_for_each(|shape| {
            let sizes = integers_of(shape);
            let product = sizes.iter().filter(|size| **size > 0).try_fold(1u64, |product, size| product.checked_mul(size.unsigned_abs()));
            let fits = product.is_some_and(|count| count <= MAX_MADE);
            if fits { Ok(()) } else { Err(format!("{name} is {:?}, expected at most {MAX_MADE} values", head(&sizes))) }
        })
    };
    match node.op_type.as_str() {
        "Pad" => integers(1, "pads", -SIDE..=SIDE).and_then(|()| integers(3, "axes", -AXIS..=AXIS)),
        // A step back from the least number would wrap, as would its magnitude.
        "Slice" => integers(3, "axes", -AXIS..=AXIS).and_then(|()| integers(4, "steps", -i64::MAX..=i64::MAX)).and_then(|()| step(node, constants)),
        "Upsample" => scales(1),
        // Before version 11 the scales come second, and later the region of interest.
        "Resize" => scales(if node.input.len() > 2 { 2 } else { 1 }).and_then(|()| integers(3, "sizes", 0..=MAX_SIZE)),
        "Expand" | "Tile" | "Reshape" => made(1, if node.op_type == "Tile" { "repeats" } else { "shape" }),
        "ConstantOfShape" => made(0, "shape"),
        "OneHot" => integers(1, "depth", 1..=1 << 16),
        "TopK" => integers(1, "k", 0..=MAX_SIZE),
        "Split" => integers(1, "split", 0..=MAX_SIZE),
        "Range" => length_of_range(node, constants),
        "CumSum" => integers(1, "axis", -AXIS..=AXIS),
        "Squeeze" | "Unsqueeze" => integers(1, "axes", -AXIS..=AXIS),
        reduction if reduction.starts_with("Reduce") => integers(1, "axes", -AXIS..=AXIS),
        _ => Ok(()),
    }
}

fn step(node: &NodeProto, constants: &Constants) -> Result<(), String> {
    let mut steps = node.input.get(4).into_iter().flat_map(|input| constants.find(input)).flat_map(integers_of);
    if steps.any(|step| step == 0) { Err("steps holds 0, expected another number".to_owned()) } else { Ok(()) }
}

/// `Range` makes `(limit - start) / delta` values.
fn length_of_range(node: &NodeProto, constants: &Constants) -> Result<(), String> {
    let number = |at: usize| {
        let tensor = node.input.get(at).and_then(|input| constants.find(input).next())?;
        integers_of(tensor).first().map(|value| *value as f64).or_else(|| floats_of(tensor).first().map(|value| f64::from(*value)))
    };
    let (Some(start), Some(limit), Some(delta)) = (number(0), number(1), number(2)) else { return Ok(()) };
    let length = (limit - start) / delta;
    // A delta of 0 makes no number of it.
    if length.is_finite() && length <= MAX_SIZE as f64 {
        Ok(())
    } else {
        Err(format!("it counts from {start} to {limit} by {delta}, expected at most {MAX_SIZE} values"))
    }
}

/// For a message.
fn head(sizes: &[i64]) -> &[i64] {
    sizes.get(..MAX_RANK).unwrap_or(sizes)
}

/// Initialisers and the values of `Constant` nodes, by name. A name that is given twice stands for both.
struct Constants<'a>(HashMap<&'a str, Vec<&'a TensorProto>>);

impl<'a> Constants<'a> {
    fn of(graphs: &[&'a GraphProto]) -> Self {
        let parameters = graphs.iter().flat_map(|graph| &graph.initializer).map(|parameter| (parameter.name.as_str(), parameter));
        let nodes = graphs.iter().flat_map(|graph| &graph.node).filter(|node| node.op_type == "Constant");
        let values = nodes.filter_map(|node| {
            let value = node.attribute.iter().find(|attribute| attribute.name == "value").and_then(|attribute| attribute.t.as_ref());
            node.output.first().map(String::as_str).zip(value)
        });
        let mut constants = HashMap::<_, Vec<_>>::new();
        parameters.chain(values).for_each(|(name, tensor)| constants.entry(name).or_default().push(tensor));
        Self(constants)
    }

    fn find(&self, name: &str) -> impl Iterator<Item = &'a TensorProto> {
        self.0.get(name).into_iter().flatten().copied()
    }
}

/// The values of an integer tensor, none of any other.
pub(super) fn integers_of(tensor: &TensorProto) -> Vec<i64> {
    let raw = &tensor.raw_data;
    match DataType::try_from(tensor.data_type) {
        Ok(DataType::Int64) if raw.is_empty() => tensor.int64_data.clone(),
        Ok(DataType::Int64) => raw.chunks_exact(8).filter_map(|bytes| Some(i64::from_le_bytes(bytes.try_into().ok()?))).collect(),
        Ok(DataType::Int32) if raw.is_empty() => tensor.int32_data.iter().map(|value| i64::from(*value)).collect(),
        Ok(DataType::Int32) => raw.chunks_exact(4).filter_map(|bytes| Some(i64::from(i32::from_le_bytes(bytes.try_into().ok()?)))).collect(),
        _ => vec![],
    }
}

/// The values of an `f32` tensor, none of any other.
fn floats_of(tensor: &TensorProto) -> Vec<f32> {
    let raw = &tensor.raw_data;
    match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float) if raw.is_empty() => tensor.float_data.clone(),
        Ok(DataType::Float) => raw.chunks_exact(4).filter_map(|bytes| Some(f32::from_le_bytes(bytes.try_into().ok()?))).collect(),
        _ => vec![],
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::attribute_proto::AttributeType;

    use super::*;

    fn ints(name: &str, values: &[i64]) -> AttributeProto {
        AttributeProto { name: name.to_owned(), r#type: AttributeType::Ints as i32, ints: values.to_vec(), ..AttributeProto::default() }
    }

    fn int(name: &str, value: i64) -> AttributeProto {
        AttributeProto { name: name.to_owned(), r#type: AttributeType::Int as i32, i: value, ..AttributeProto::default() }
    }

    fn parameter(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
        let (dims, data_type) = (dims.to_vec(), DataType::Float as i32);
        TensorProto { name: name.to_owned(), dims, data_type, float_data: values.to_vec(), ..TensorProto::default() }
    }

    fn sizes(name: &str, values: &[i64]) -> TensorProto {
        let (dims, data_type) = (vec![values.len() as i64], DataType::Int64 as i32);
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        TensorProto { name: name.to_owned(), dims, data_type, raw_data, ..TensorProto::default() }
    }

    fn node(op_type: &str, attribute: Vec<AttributeProto>) -> NodeProto {
        let input = ["x", "a", "b", "c", "d"].map(str::to_owned).to_vec();
        NodeProto { op_type: op_type.to_owned(), name: "n".to_owned(), input, output: vec!["y".to_owned()], attribute, ..NodeProto::default() }
    }

    fn model(node: NodeProto, initializer: Vec<TensorProto>) -> ModelProto {
        ModelProto { graph: Some(GraphProto { node: vec![node], initializer, ..GraphProto::default() }), ..ModelProto::default() }
    }

    fn refusal(node: NodeProto, parameters: Vec<TensorProto>) -> String {
        let error = check(&model(node, parameters)).unwrap_err().to_string();
        error.strip_prefix("not a usable ONNX model: ").unwrap().to_owned()
    }

    #[test]
    fn what_networks_have_is_within_the_bounds() {
        let window = || vec![ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2]), ints("dilations", &[1, 1]), ints("pads", &[1, 1, 0, 0])];
        let weights = || parameter("a", &[8, 3, 3, 3], &[0.0; 216]);
        for (node, parameters) in [
            (node("Conv", [window(), vec![int("group", 4)]].concat()), vec![weights()]),
            (node("MaxPool", [window(), vec![int("ceil_mode", 1)]].concat()), vec![]),
            (node("Slice", vec![]), vec![sizes("a", &[i64::MIN]), sizes("b", &[i64::MAX]), sizes("c", &[-1]), sizes("d", &[-1])]),
            (node("Slice", vec![ints("starts", &[0]), ints("ends", &[i64::MAX]), ints("axes", &[1])]), vec![]),
            (node("Reshape", vec![]), vec![sizes("a", &[0, -1, 768])]),
            (node("Pad", vec![]), vec![sizes("a", &[0, 0, 1, 1, 0, 0, 1, 1])]),
            (node("Constant", vec![ints("value_ints", &[i64::MAX, i64::MIN])]), vec![]),
            (node("Transpose", vec![ints("perm", &[0, 2, 3, 1])]), vec![]),
        ] {
            let op = node.op_type.clone();
            assert!(check(&model(node, parameters)).is_ok(), "{op}");
        }
    }

    #[test]
    fn every_attribute_beyond_its_bounds_is_named_with_its_value_and_the_bounds() {
        let sides = ["kernel_shape", "strides", "dilations"];
        let operators = ["Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "MaxPool", "AveragePool", "LpPool", "MaxUnpool"];
        for op in operators {
            for name in sides {
                for value in [0, -1, 4097, 1 << 31, 1 << 61, i64::MIN, i64::MAX] {
                    assert_eq!(
                        refusal(node(op, vec![ints(name, &[1, value])]), vec![]),
                        format!("operator {op} (node \"n\"): {name}[1] is {value}, expected 1 to 4096")
                    );
                }
            }
            for value in [-1, -200, 4097, 1 << 31, 1 << 62, i64::MIN] {
                let said = refusal(node(op, vec![ints("pads", &[0, value, 0, 0])]), vec![]);
                assert_eq!(said, format!("operator {op} (node \"n\"): pads[1] is {value}, expected 0 to 4096"));
            }
            for value in [0, -1, 1 << 17, i64::MIN] {
                let said = refusal(node(op, vec![int("group", value)]), vec![]);
                assert_eq!(said, format!("operator {op} (node \"n\"): group is {value}, expected 1 to 65536"));
            }
        }
        for (op, name, value, expected) in [
            ("Softmax", "axis", 9, "-8 to 8"),
            ("Flatten", "axis", i64::MIN, "-8 to 8"),
            ("DepthToSpace", "blocksize", 0, "1 to 4096"),
            ("SpaceToDepth", "blocksize", 1 << 40, "1 to 4096"),
            ("LRN", "size", -3, "1 to 4096"),
            ("Split", "num_outputs", 1 << 20, "1 to 65536"),
            ("Cast", "to", -7, "0 to 64"),
            ("ConvTranspose", "output_padding", -1, "0 to 4096"),
            ("Anything", "anything", 1 << 40, "-2147483648 to 2147483647"),
        ] {
            assert_eq!(
                refusal(node(op, vec![int(name, value)]), vec![]),
                format!("operator {op} (node \"n\"): {name} is {value}, expected {expected}")
            );
        }
    }

    #[test]
    fn constant_inputs_that_are_sizes_are_bounded_too() {
        for (op, input, values, expected) in [
            ("Pad", "a", &[0, -5000, 0, 0][..], "pads[1] is -5000, expected -4096 to 4096"),
            ("Pad", "c", &[9], "axes[0] is 9, expected -8 to 8"),
            ("Slice", "d", &[1, 0], "steps holds 0, expected another number"),
            ("Reshape", "a", &[-2], "shape[0] is -2, expected -1 to 16777216"),
            ("Expand", "a", &[1 << 20, 1 << 20], "shape is [1048576, 1048576], expected at most 268435456 values"),
            ("Tile", "a", &[1 << 15, 1 << 15], "repeats is [32768, 32768], expected at most 268435456 values"),
            ("ConstantOfShape", "x", &[1 << 40], "shape[0] is 1099511627776, expected -1 to 16777216"),
            ("Resize", "c", &[1 << 30], "sizes[0] is 1073741824, expected 0 to 16777216"),
            ("OneHot", "a", &[0], "depth[0] is 0, expected 1 to 65536"),
            ("TopK", "a", &[-1], "k[0] is -1, expected 0 to 16777216"),
            ("Split", "a", &[-1], "split[0] is -1, expected 0 to 16777216"),
            ("Unsqueeze", "a", &[1 << 33], "axes[0] is 8589934592, expected -8 to 8"),
            ("ReduceMean", "a", &[-9], "axes[0] is -9, expected -8 to 8"),
        ] {
            assert_eq!(refusal(node(op, vec![]), vec![sizes(input, values)]), format!("operator {op} (node \"n\"): {expected}"));
        }
        let range = vec![sizes("x", &[0]), sizes("a", &[1 << 30]), sizes("b", &[1])];
        assert_eq!(
            refusal(node("Range", vec![]), range),
            "operator Range (node \"n\"): it counts from 0 to 1073741824 by 1, expected at most 16777216 values"
        );
        for scale in [0.0, -1.0, f32::NAN, f32::INFINITY, 5000.0] {
            let said = refusal(node("Resize", vec![]), vec![parameter("b", &[1], &[scale])]);
            assert_eq!(said, format!("operator Resize (node \"n\"): scales holds {scale}, expected more than 0 and at most 4096"));
        }
    }

    #[test]
    fn a_constant_node_is_a_constant_and_of_two_values_of_a_name_both_count() {
        let value = AttributeProto { name: "value".to_owned(), t: Some(sizes("", &[-2])), ..AttributeProto::default() };
        let constant = NodeProto { op_type: "Constant".to_owned(), output: vec!["a".to_owned()], attribute: vec![value], ..NodeProto::default() };
        let mut file = model(node("Reshape", vec![]), vec![sizes("a", &[1])]);
        file.graph.as_mut().unwrap().node.push(constant);
        assert!(check(&file).unwrap_err().to_string().ends_with("shape[1] is -2, expected -1 to 16777216"));
    }

    #[test]
    fn a_window_agrees_with_itself_and_with_its_weights() {
        let weights = || parameter("a", &[8, 3, 3, 3], &[0.0; 216]);
        for (attributes, expected) in [
            (vec![ints("kernel_shape", &[3, 1])], "kernel_shape is [3, 1], expected [3, 3] as its weights have"),
            (vec![ints("strides", &[1])], "strides is of 1 axes, expected 2 as weight has"),
            (vec![ints("pads", &[1, 1, 1])], "pads has 3 values, expected a begin and an end for each axis"),
            (vec![int("group", 3)], "group is 3, expected a divisor of 8, the channels of its weights"),
        ] {
            assert_eq!(refusal(node("Conv", attributes), vec![weights()]), format!("operator Conv (node \"n\"): {expected}"));
        }
        let uneven = vec![ints("kernel_shape", &[3, 3]), ints("dilations", &[1, 1, 1])];
        assert_eq!(refusal(node("MaxPool", uneven), vec![]), "operator MaxPool (node \"n\"): dilations is of 3 axes, expected 2 as kernel_shape has");
    }

    #[test]
    fn a_parameter_holds_what_its_shape_says() {
        let relu = || node("Relu", vec![]);
        for (dims, expected) in [
            (&[2, 2][..], "it holds 3 values, expected 4 for the shape [2, 2]"),
            (&[-3], "its shape is [-3], expected at most 2147483648 values"),
            (&[1 << 40, 0], "its shape is [1099511627776, 0], expected at most 2147483648 values"),
            (&[1 << 32, 1 << 32], "its shape is [4294967296, 4294967296], expected at most 2147483648 values"),
            (&[1, 1, 1, 1, 1, 1, 1, 1, 3], "its shape has 9 sizes, expected at most 8"),
        ] {
            assert_eq!(refusal(relu(), vec![parameter("p", dims, &[0.0; 3])]), format!("parameter \"p\": {expected}"));
        }
        let elsewhere = TensorProto { data_location: Some(1), ..TensorProto::default() };
        let value = AttributeProto { name: "value".to_owned(), t: Some(elsewhere), ..AttributeProto::default() };
        let said = refusal(node("Constant", vec![value]), vec![]);
        assert_eq!(said, "operator Constant (node \"n\"): value: its values lie in another file, expected them in this one");
    }

    #[test]
    fn names_and_numbers_of_nodes_are_bounded_and_no_message_is_long() {
        let long = NodeProto { name: "x".repeat(1 << 20), ..node(&"Conv".repeat(1000), vec![]) };
        let said = refusal(long, vec![]);
        assert!(said.len() < 300 && said.ends_with("its name has 1048576 bytes, expected at most 1024"), "{said}");
        let wide = NodeProto { input: vec![String::new(); 5000], ..node("Concat", vec![]) };
        assert_eq!(refusal(wide, vec![]), "operator Concat (node \"n\"): it has 5000 inputs, expected at most 4096");
        let mut many = model(node("Relu", vec![]), vec![]);
        many.graph.as_mut().unwrap().node = vec![NodeProto::default(); MAX_NODES + 1];
        assert!(check(&many).unwrap_err().to_string().ends_with("the file has 65537 nodes, expected at most 65536"));
        let mut nested = GraphProto::default();
        for _ in 0..=MAX_DEPTH {
            let attribute = AttributeProto { g: Some(nested), ..AttributeProto::default() };
            nested = GraphProto { node: vec![node("If", vec![attribute])], ..GraphProto::default() };
        }
        let said = check(&ModelProto { graph: Some(nested), ..ModelProto::default() }).unwrap_err().to_string();
        assert!(said.ends_with("graphs lie 5 deep in each other, expected at most 4"), "{said}");
    }
}
