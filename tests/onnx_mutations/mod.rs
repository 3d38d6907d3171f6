//! Changes to ONNX files, of the structure: attributes, sizes, wiring, types, operators. The same number makes the same changes.

use std::error::Error;
use std::fs;
use std::path::Path;

use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::type_proto::{self, Value};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
};

/// Numbers at which something ends.
const NUMBERS: [i64; 24] =
    [0, 1, -1, 2, 3, -2, 4, 5, 7, 8, 9, -9, 64, 255, 4096, 4097, 65_536, -200, 1 << 24, 1 << 31, 1 << 32, 1 << 61, i64::MAX, i64::MIN];

const OPERATORS: [&str; 45] = [
    "Conv",
    "ConvTranspose",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Relu",
    "Sigmoid",
    "HardSigmoid",
    "HardSwish",
    "Mul",
    "Add",
    "Sub",
    "Div",
    "MatMul",
    "Gemm",
    "Flatten",
    "Reshape",
    "Transpose",
    "Concat",
    "Slice",
    "Pad",
    "Squeeze",
    "Unsqueeze",
    "Expand",
    "Tile",
    "Shape",
    "ReduceMean",
    "ReduceSum",
    "Softmax",
    "Clip",
    "BatchNormalization",
    "Resize",
    "Gather",
    "ConstantOfShape",
    "Range",
    "OneHot",
    "TopK",
    "Split",
    "Identity",
    "Cast",
    "Where",
    "DepthToSpace",
    "SpaceToDepth",
    "LRN",
];

const ATTRIBUTES: [&str; 22] = [
    "kernel_shape",
    "strides",
    "dilations",
    "pads",
    "group",
    "axis",
    "axes",
    "perm",
    "keepdims",
    "output_padding",
    "output_shape",
    "blocksize",
    "size",
    "ceil_mode",
    "count_include_pad",
    "to",
    "allowzero",
    "starts",
    "ends",
    "num_outputs",
    "transB",
    "noop_with_empty_axes",
];

/// Refused as they are, whatever is changed.
const REFUSED: [&str; 6] = ["bytes", "grey", "map_output", "outside", "two_inputs", "two_outputs"];

/// Small ONNX files of the tests, by name, in a fixed order.
pub(crate) fn originals() -> Result<Vec<(String, ModelProto)>, Box<dyn Error>> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut paths = Vec::new();
    for folder in ["classifiers", "models", "se-variants"] {
        for entry in fs::read_dir(fixtures.join(folder))? {
            let entry = entry?;
            let path = entry.path();
            let is_refused = path.file_stem().is_some_and(|name| REFUSED.iter().any(|refused| name == *refused));
            if path.extension().is_some_and(|extension| extension == "onnx") && entry.metadata()?.len() < 60_000 && !is_refused {
                paths.push(path);
            }
        }
    }
    paths.sort();
    let mut models = vec![("operators".to_owned(), operators())];
    for path in &paths {
        let mut model = ModelProto::decode(&*fs::read(path)?)?;
        if path.parent().is_some_and(|folder| folder.ends_with("se-variants")) {
            make_a_classifier(&mut model);
        }
        models.push((path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), model));
    }
    Ok(models)
}

/// Puts a convolution of three channels before a block, and an average over space behind it: otherwise nobody looks further than its input.
fn make_a_classifier(model: &mut ModelProto) {
    let Some(graph) = &mut model.graph else { return };
    let (Some(input), Some(output)) = (graph.input.first().map(|input| input.name.clone()), graph.output.first().map(|output| output.name.clone()))
    else {
        return;
    };
    let channels = match graph.input[0].r#type.as_ref().and_then(|r#type| r#type.value.as_ref()) {
        Some(Value::TensorType(tensor)) => tensor.shape.iter().flat_map(|shape| &shape.dim).nth(1).and_then(|size| size.value.clone()),
        None => None,
    };
    let Some(dimension::Value::DimValue(channels)) = channels else { return };
    graph.node.insert(0, node("Conv", &["picture", "front"], &input, vec![]));
    graph.node.extend([node("GlobalAveragePool", &[&output], "averages", vec![]), node("Flatten", &["averages"], "scores", vec![])]);
    graph.initializer.push(parameter("front", &[channels, 3, 1, 1]));
    graph.input = vec![value("picture", &[1, 3, 16, 16])];
    graph.output = vec![value("scores", &[1, channels])];
}

/// A network of the operators that the other files lack.
fn operators() -> ModelProto {
    let nodes = vec![
        node("Conv", &["x", "w"], "a", vec![ints("pads", &[1, 1, 1, 1]), ints("strides", &[1, 1]), ints("dilations", &[1, 1])]),
        node("Pad", &["a", "pads"], "b", vec![]),
        node("Slice", &["b", "starts", "ends", "axes", "steps"], "c", vec![]),
        node("Resize", &["c", "", "scales"], "d", vec![]),
        node("MaxPool", &["d"], "e", vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2]), ints("pads", &[0, 0, 0, 0])]),
        node("Tile", &["e", "repeats"], "f", vec![]),
        NodeProto { output: vec!["g".to_owned(), "h".to_owned()], ..node("Split", &["f", "halves"], "g", vec![int("axis", 1)]) },
        node("Mul", &["g", "h"], "i", vec![]),
        node("Transpose", &["i"], "j", vec![ints("perm", &[0, 2, 3, 1])]),
        node("Transpose", &["j"], "k", vec![ints("perm", &[0, 3, 1, 2])]),
        node("Shape", &["k"], "l", vec![]),
        node("ConstantOfShape", &["l"], "m", vec![]),
        node("Expand", &["m", "whole"], "n", vec![]),
        node("Add", &["k", "n"], "o", vec![]),
        node("ConvTranspose", &["o", "v"], "p", vec![ints("strides", &[2, 2]), ints("pads", &[0, 0, 0, 0]), ints("output_padding", &[0, 0])]),
        node("AveragePool", &["p"], "q", vec![ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2]), ints("pads", &[1, 1, 1, 1])]),
        node("DepthToSpace", &["q"], "r", vec![int("blocksize", 2)]),
        node("LRN", &["r"], "s", vec![int("size", 3)]),
        node("ReduceMean", &["s"], "t", vec![ints("axes", &[2, 3]), int("keepdims", 1)]),
        node("Reshape", &["t", "rows"], "u", vec![]),
        node("Gather", &["u", "all"], "z", vec![int("axis", 1)]),
        node("Softmax", &["z"], "y", vec![int("axis", -1)]),
    ];
    let parameters = vec![
        parameter("w", &[8, 3, 3, 3]),
        parameter("v", &[8, 8, 2, 2]),
        TensorProto { float_data: vec![1.0, 1.0, 2.0, 2.0], ..parameter("scales", &[4]) },
        sizes("pads", &[0, 0, 1, 1, 0, 0, 1, 1]),
        sizes("starts", &[1, 1]),
        sizes("ends", &[i64::MAX, -1]),
        sizes("axes", &[2, 3]),
        sizes("steps", &[1, 1]),
        sizes("repeats", &[1, 2, 1, 1]),
        sizes("halves", &[8, 8]),
        sizes("whole", &[1, 8, 1, 1]),
        sizes("rows", &[0, -1]),
        sizes("all", &[0, 1]),
    ];
    let (input, output) = (vec![value("x", &[1, 3, 12, 12])], vec![value("y", &[1, 2])]);
    let graph = GraphProto { name: "operators".to_owned(), node: nodes, initializer: parameters, input, output, ..GraphProto::default() };
    let opset_import = vec![OperatorSetIdProto { version: 13, ..OperatorSetIdProto::default() }];
    ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..ModelProto::default() }
}

pub(crate) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: AttributeType::Ints as i32, ints: values.to_vec(), ..AttributeProto::default() }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: AttributeType::Int as i32, i: value, ..AttributeProto::default() }
}

pub(crate) fn node(op_type: &str, input: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    let input = input.iter().map(|name| (*name).to_owned()).collect();
    NodeProto { op_type: op_type.to_owned(), name: output.to_owned(), input, output: vec![output.to_owned()], attribute, ..NodeProto::default() }
}

pub(crate) fn parameter(name: &str, dims: &[i64]) -> TensorProto {
    let float_data = vec![0.01; dims.iter().product::<i64>() as usize];
    TensorProto { name: name.to_owned(), dims: dims.to_vec(), data_type: DataType::Float as i32, float_data, ..TensorProto::default() }
}

fn sizes(name: &str, values: &[i64]) -> TensorProto {
    let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    TensorProto { name: name.to_owned(), dims: vec![values.len() as i64], data_type: DataType::Int64 as i32, raw_data, ..TensorProto::default() }
}

pub(crate) fn value(name: &str, shape: &[i64]) -> ValueInfoProto {
    let size = |size: &i64| Dimension { value: Some(dimension::Value::DimValue(*size)), ..Dimension::default() };
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape: Some(TensorShapeProto { dim: shape.iter().map(size).collect() }) };
    let r#type = Some(TypeProto { value: Some(Value::TensorType(tensor)), ..TypeProto::default() });
    ValueInfoProto { name: name.to_owned(), r#type, ..ValueInfoProto::default() }
}

/// The `number`-th change of one of `originals`: of which, what was changed, and what came of it.
pub(crate) fn mutated(originals: &[(String, ModelProto)], seed: u64, number: u64) -> (String, Vec<String>, ModelProto) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number.wrapping_mul(0xd1b5_4a32_d192_ed03) ^ 0x5851_f42d_4c95_7f2d);
    let (name, original) = random.of(originals).cloned().unwrap_or_default();
    let mut model = original;
    let changes = (0..random.below(3) + 1).map(|_| change(&mut model, &mut random)).collect();
    (name, changes, model)
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn of<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        choices.get(self.below(choices.len()))
    }

    fn of_mut<'a, T>(&mut self, choices: &'a mut [T]) -> Option<&'a mut T> {
        let at = self.below(choices.len());
        choices.get_mut(at)
    }

    fn number(&mut self) -> i64 {
        NUMBERS[self.below(NUMBERS.len())]
    }
}

/// Makes one change and says which.
fn change(model: &mut ModelProto, random: &mut Random) -> String {
    if random.below(40) == 0 {
        let version = [0, 1, 6, 8, 10, 11, 12, 18, 19, 22, 1 << 40][random.below(11)];
        model.opset_import.iter_mut().for_each(|opset| opset.version = version);
        return format!("operator set {version}");
    }
    let Some(graph) = &mut model.graph else { return "nothing".to_owned() };
    match random.below(9) {
        0..=2 => change_attribute(graph, random),
        3 => add_attribute(graph, random),
        4 => change_wiring(graph, random),
        5 => change_parameter(graph, random),
        6 => change_operator(graph, random),
        7 => change_input(graph, random),
        _ => change_nodes(graph, random),
    }
    .unwrap_or_else(|| "nothing".to_owned())
}

fn change_attribute(graph: &mut GraphProto, random: &mut Random) -> Option<String> {
    let mut with: Vec<&mut NodeProto> = graph.node.iter_mut().filter(|node| !node.attribute.is_empty()).collect();
    let node = random.of_mut(&mut with)?;
    let (op, attribute) = (node.op_type.clone(), random.of_mut(&mut node.attribute)?);
    let number = random.number();
    match random.below(6) {
        0 => {
            attribute.ints.push(number);
            attribute.floats.push(number as f32);
        }
        1 => {
            attribute.ints.pop();
            attribute.floats.pop();
        }
        2 if attribute.t.is_some() => change_tensor(attribute.t.as_mut()?, random),
        3 => attribute.f = [f32::NAN, f32::INFINITY, -1.0, 0.0, 1e30][random.below(5)],
        _ => {
            attribute.i = number;
            if let Some(value) = random.of_mut(&mut attribute.ints) {
                *value = number;
            }
        }
    }
    Some(format!("{op} {} with {number}", attribute.name))
}

fn add_attribute(graph: &mut GraphProto, random: &mut Random) -> Option<String> {
    let node = random.of_mut(&mut graph.node)?;
    let name = (*random.of(&ATTRIBUTES)?).to_owned();
    let ints: Vec<i64> = (0..random.below(5)).map(|_| random.number()).collect();
    let (i, r#type) = (random.number(), if ints.is_empty() { AttributeType::Int } else { AttributeType::Ints } as i32);
    node.attribute.retain(|attribute| attribute.name != name);
    let said = format!("{} gets {name} {i} {ints:?}", node.op_type);
    node.attribute.push(AttributeProto { name, i, ints, r#type, ..AttributeProto::default() });
    Some(said)
}

fn change_wiring(graph: &mut GraphProto, random: &mut Random) -> Option<String> {
    let mut names: Vec<String> = graph.node.iter().flat_map(|node| node.output.clone()).collect();
    names.extend(graph.initializer.iter().map(|parameter| parameter.name.clone()));
    names.extend(graph.input.iter().map(|input| input.name.clone()));
    names.extend([String::new(), "nothing".to_owned()]);
    let other = random.of(&names)?.clone();
    let node = random.of_mut(&mut graph.node)?;
    match random.below(4) {
        0 => node.input.push(other.clone()),
        1 => drop(node.input.pop()),
        2 => *random.of_mut(&mut node.output)? = other.clone(),
        _ => *random.of_mut(&mut node.input)? = other.clone(),
    }
    Some(format!("{} wired to {other:?}", node.op_type))
}

fn change_parameter(graph: &mut GraphProto, random: &mut Random) -> Option<String> {
    let parameter = random.of_mut(&mut graph.initializer)?;
    change_tensor(parameter, random);
    Some(format!("parameter {:?} of type {} is {:?}", parameter.name, parameter.data_type, parameter.dims))
}

fn change_tensor(tensor: &mut TensorProto, random: &mut Random) {
    let number = random.number();
    match random.below(8) {
        0 => tensor.dims.push(number),
        1 => drop(tensor.dims.pop()),
        2 => tensor.data_type = random.below(24) as i32,
        3 => tensor.raw_data.truncate(random.below(64)),
        4 if tensor.data_type == 7 && !tensor.raw_data.is_empty() => {
            let at = 8 * random.below(tensor.raw_data.len() / 8);
            tensor.raw_data.get_mut(at..at + 8).into_iter().for_each(|bytes| bytes.copy_from_slice(&number.to_le_bytes()));
        }
        5 => tensor.dims.reverse(),
        // Other sizes, and values for them.
        6 if tensor.data_type == 1 => {
            if let Some(size) = random.of_mut(&mut tensor.dims) {
                *size = number.rem_euclid(10);
            }
            let count: i64 = tensor.dims.iter().product();
            tensor.raw_data = vec![0x3c; 4 * usize::try_from(count).unwrap_or(0).min(1 << 20)];
            tensor.float_data.clear();
        }
        _ => random.of_mut(&mut tensor.dims).into_iter().for_each(|size| *size = number),
    }
}

fn change_operator(graph: &mut GraphProto, random: &mut Random) -> Option<String> {
    let other = *random.of(&OPERATORS)?;
    let node = random.of_mut(&mut graph.node)?;
    let said = format!("{} becomes {other}", node.op_type);
    node.op_type = other.to_owned();
    if random.below(2) == 0 {
        node.attribute.clear();
    }
    Some(said)
}

fn change_input(graph: &mut GraphProto, random: &mut Random) -> Option<String> {
    let input = random.of_mut(&mut graph.input)?;
    let Some(Value::TensorType(tensor)) = input.r#type.as_mut()?.value.as_mut() else { return None };
    let number = random.number();
    match random.below(4) {
        0 => tensor.elem_type = random.below(24) as i32,
        1 => drop(tensor.shape.as_mut()?.dim.pop()),
        2 => random.of_mut(&mut tensor.shape.as_mut()?.dim)?.value = Some(dimension::Value::DimParam("(a+b)*c/7".to_owned())),
        _ => random.of_mut(&mut tensor.shape.as_mut()?.dim)?.value = Some(dimension::Value::DimValue(number)),
    }
    Some(format!("input {:?} with {number}", input.name))
}

fn change_nodes(graph: &mut GraphProto, random: &mut Random) -> Option<String> {
    let at = random.below(graph.node.len());
    let node = graph.node.get(at)?.clone();
    let op = node.op_type.clone();
    match random.below(3) {
        0 => drop(graph.node.remove(at)),
        1 => graph.node.insert(at, node),
        _ => {
            let other = random.below(graph.node.len());
            graph.node.swap(at, other);
        }
    }
    Some(format!("{op} removed, doubled or moved"))
}
