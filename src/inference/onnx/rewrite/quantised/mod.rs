//! Quantised graphs as graphs of `f32`: tensors hold the numbers that their integers stand for, and where a graph rounds values to integers they are
//! rounded to such numbers.
//!
//! Weights are folded. `QuantizeLinear` becomes one [`FakeQuantize`](crate::kernels::maps::Grid), and the `DequantizeLinear` behind it nothing. Between
//! them operators that only move data, such as `MaxPool` and `Reshape`, do so with real numbers. An operator on quantised tensors is the one on real
//! tensors with a rounding behind it. What is rounded, and to which range, stays as the file says; sums are those of `f32`.

mod dynamic;
mod grid;
mod operators;
mod units;

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

use self::grid::{Grid, floats, integers, range, tensor};
use crate::inference::onnx::fault::described;
use crate::inference::onnx::operators::FAKE_QUANTIZE;
use crate::inference::shown;

/// Whether an operator reads or makes quantised tensors.
fn is_quantised(op_type: &str) -> bool {
    let exact = ["QuantizeLinear", "DequantizeLinear", "QGemm", "DynamicQuantizeLinear", "DynamicQuantizeMatMul"];
    exact.contains(&op_type) || ["QLinear", "ConvInteger", "MatMulInteger"].iter().any(|start| op_type.starts_with(start))
}

/// Rewrites the graph of `model`; see the module.
///
/// # Errors
/// What cannot be computed with real numbers.
pub(super) fn fold(model: &mut ModelProto) -> Result<Vec<String>, String> {
    let opset = model.opset_import.iter().find(|import| import.domain.is_empty() || import.domain == "ai.onnx").map_or(1, |import| import.version);
    let Some(graph) = &mut model.graph else { return Ok(vec![]) };
    let quantised = graph.node.iter().filter(|node| is_quantised(&node.op_type)).count();
    if quantised == 0 {
        return Ok(vec![]);
    }
    let nodes = take_constants(graph);
    let mut rewriter = Rewriter::new(graph, &nodes, opset);
    for node in &nodes {
        rewriter.rewrite(node).map_err(|why| format!("{}: {why}", described(node)))?;
    }
    let Rewriter { nodes, folded, made, .. } = rewriter;
    graph.node = nodes;
    graph.initializer.extend(made);
    forget(graph, &folded);
    Ok(vec![format!("{quantised} quantised operators compute with f32: their weights are folded, their values rounded as the file says")])
}

/// Makes parameters of the tensors in `Constant` nodes, and returns the other nodes.
fn take_constants(graph: &mut GraphProto) -> Vec<NodeProto> {
    let mut nodes = vec![];
    for mut node in std::mem::take(&mut graph.node) {
        let value = node.attribute.iter_mut().filter(|_| node.op_type == "Constant").find_map(|attribute| attribute.t.take());
        match (value, node.output.first()) {
            (Some(value), Some(name)) => graph.initializer.push(TensorProto { name: name.clone(), ..value }),
            _ => nodes.push(node),
        }
    }
    nodes
}

/// Removes nodes whose results nothing reads any more, and the parameters among `names` of which that is true.
fn forget(graph: &mut GraphProto, names: &HashSet<String>) {
    let has_graph = |node: &NodeProto| node.attribute.iter().any(|attribute| attribute.g.is_some() || !attribute.graphs.is_empty());
    if graph.node.iter().any(has_graph) {
        // A graph inside another may read what stands around it.
        return;
    }
    let mut read: HashSet<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    let mut nodes = vec![];
    for node in std::mem::take(&mut graph.node).into_iter().rev() {
        if node.output.iter().any(|output| read.contains(output)) {
            read.extend(node.input.iter().cloned());
            nodes.push(node);
        }
    }
    nodes.reverse();
    graph.node = nodes;
    let is_gone = |name: &String| names.contains(name) && !read.contains(name);
    graph.initializer.retain(|parameter| !is_gone(&parameter.name));
    graph.input.retain(|input| !is_gone(&input.name));
}

struct Rewriter<'a> {
    opset: i64,
    constants: HashMap<&'a str, &'a TensorProto>,
    /// The nodes that read each tensor.
    readers: HashMap<&'a str, Vec<&'a NodeProto>>,
    /// The node that makes each tensor.
    makers: HashMap<&'a str, &'a NodeProto>,
    /// Of the tensors that held integers, and now what these stand for.
    grids: HashMap<String, Grid>,
    /// Folded parameters, by other names of theirs: a node that reads one is named after it.
    parameters: HashMap<String, String>,
    /// Of tensors with a scale for each channel: the same ones divided by their scales, and these.
    units: HashMap<String, (String, Vec<f32>)>,
    /// Tensors that are rounded to their own range.
    rounded: HashSet<String>,
    /// First outputs of the nodes that a node before them was merged with.
    merged: HashSet<&'a str>,
    nodes: Vec<NodeProto>,
    made: Vec<TensorProto>,
    /// Parameters that may be read no more.
    folded: HashSet<String>,
    fresh: usize,
}

impl<'a> Rewriter<'a> {
    fn new(graph: &'a GraphProto, nodes: &'a [NodeProto], opset: i64) -> Self {
        let mut constants: HashMap<&str, &TensorProto> = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let (mut readers, mut makers) = (HashMap::<&str, Vec<&NodeProto>>::new(), HashMap::new());
        for node in nodes {
            node.input.iter().for_each(|input| readers.entry(input).or_default().push(node));
            makers.extend(node.output.iter().map(|output| (output.as_str(), node)));
            if let ("Identity", [input], [output]) = (node.op_type.as_str(), node.input.as_slice(), node.output.as_slice())
                && let Some(tensor) = constants.get(input.as_str()).copied()
            {
                constants.insert(output, tensor);
            }
        }
        let (grids, parameters, units, rounded, merged, nodes, made, folded, fresh) = Default::default();
        Self { opset, constants, readers, makers, grids, parameters, units, rounded, merged, nodes, made, folded, fresh }
    }

    fn rewrite(&mut self, node: &'a NodeProto) -> Result<(), String> {
        let output = node.output.first().map_or("", String::as_str);
        if self.merged.contains(output) {
            return Ok(());
        }
        match node.op_type.as_str() {
            "QuantizeLinear" => {
                let (grid, input) = (self.grid(node, 1, 2)?, input(node, 0)?);
                self.quantise(node, input.to_owned(), grid, output)
            }
            "DequantizeLinear" => {
                let (grid, input) = (self.grid(node, 1, 2)?, input(node, 0)?);
                let real = self.real(input, &grid)?;
                if let Some(units) = self.units.get(&real).cloned() {
                    self.units.insert(output.to_owned(), units);
                }
                self.name_too(real, node, output);
                Ok(())
            }
            _ if self.on_integers(node)? || self.on_quantised(node)? => Ok(()),
            _ => self.keep(node),
        }
    }

    /// Takes a node over as it is, which moves quantised data or knows nothing of them.
    fn keep(&mut self, node: &NodeProto) -> Result<(), String> {
        let mut node = node.clone();
        node.input.iter_mut().for_each(|input| *input = self.parameters.get(input).unwrap_or(input).clone());
        self.read_units(&mut node)?;
        let grids: Vec<Option<Grid>> = node.input.iter().map(|input| self.grids.get(input).cloned()).collect();
        if let Some(grid) = grids.iter().flatten().next().cloned() {
            if !moves_data(&node, &grid) {
                return Err("it reads integers that are quantised values; export it on values that are dequantised".to_owned());
            }
            // A value to be filled in is an integer too.
            if let (true, Some(fill)) = (node.op_type == "Pad", node.input.get(2).filter(|input| !input.is_empty())) {
                node.input[2] = self.real(&fill.clone(), &grid)?;
            } else if node.op_type == "Pad" {
                let zero = self.constant(vec![], &grid.dequantise(&[0], &[])?);
                node.input.resize(2, String::new());
                node.input.push(zero);
            }
            if node.op_type == "Concat" && grids.iter().any(|other| other.as_ref() != Some(&grid)) {
                return Err("it joins values of different scales".to_owned());
            }
            let outputs = node.output.iter().take(if node.op_type == "MaxPool" { 1 } else { usize::MAX });
            self.grids.extend(outputs.map(|output| (output.clone(), grid.clone())));
        }
        self.nodes.push(node);
        Ok(())
    }

    /// The grid that the inputs `scale` and `zero_point` of a node describe.
    fn grid(&mut self, node: &NodeProto, scale: usize, zero_point: usize) -> Result<Grid, String> {
        let computed = |name: &str| format!("its scale or zero point {} is computed, expected a constant", shown(name));
        let name = input(node, scale)?;
        let scales = floats(self.constants.get(name).ok_or_else(|| computed(name))?)?;
        self.folded.insert(name.to_owned());
        let stated = node.input.get(zero_point).filter(|name| !name.is_empty());
        let (data_type, mut zero_points) = match stated {
            Some(name) => {
                let tensor = *self.constants.get(name.as_str()).ok_or_else(|| computed(name))?;
                self.folded.insert(name.clone());
                (tensor.data_type, integers(tensor)?)
            }
            None => {
                let of_data = node.input.first().and_then(|input| self.constants.get(input.as_str())).map(|tensor| i64::from(tensor.data_type));
                let stated = integer(node, "output_dtype").filter(|stated| *stated != 0).or(of_data.filter(|_| node.op_type == "DequantizeLinear"));
                let before = node.input.first().and_then(|input| self.grids.get(input)).map(|grid| grid.range);
                if let (None, Some(range)) = (stated, before) {
                    let (zero_points, axis) = (vec![0; scales.len()], if scales.len() == 1 { 0 } else { axis(node) });
                    return Ok(Grid { scales, zero_points, axis, block: 0, range });
                }
                (stated.and_then(|stated| i32::try_from(stated).ok()).unwrap_or(DataType::Uint8 as i32), vec![0])
            }
        };
        // One scale has no axis: what is written of it does not count.
        let axis = if scales.len() == 1 { 0 } else { axis(node) };
        let range = range(data_type).ok_or_else(|| format!("values of type {data_type}, expected integers of 4 to 32 bits"))?;
        if zero_points.len() == 1 {
            zero_points = vec![zero_points[0]; scales.len()];
        }
        if scales.is_empty() || scales.len() != zero_points.len() || !scales.iter().all(|scale| scale.is_finite()) {
            return Err(format!("{} zero points for {} scales, each expected finite", zero_points.len(), scales.len()));
        }
        Ok(Grid { scales, zero_points, axis, block: integer(node, "block_size").unwrap_or(0), range })
    }

    /// The name of a tensor with the numbers that those of `name`, which are on `grid`, stand for.
    fn real(&mut self, name: &str, grid: &Grid) -> Result<String, String> {
        if let Some(tensor) = self.constants.get(name).copied() {
            let real = grid.dequantise(&integers(tensor)?, &tensor.dims)?;
            return Ok(self.folded(tensor, &real));
        }
        if self.grids.get(name) == Some(grid) {
            return Ok(name.to_owned());
        }
        let (scale, zero_point) = grid.only().ok_or("it has a scale for each channel of integers that were not made with these")?;
        let (integers, offset) = match self.grids.get(name) {
            Some(other) => {
                let (old, offset) = other.only().ok_or("it has one scale for integers that were made with one for each channel")?;
                let old = self.constant(vec![], &[old]);
                (self.add("Div", vec![name.to_owned(), old]), offset.saturating_sub(zero_point) as f32)
            }
            None => (self.cast(name, DataType::Float), -(zero_point as f32)),
        };
        let (offset, scale) = (self.constant(vec![], &[offset]), self.constant(vec![], &[scale]));
        let centred = self.add("Add", vec![integers, offset]);
        Ok(self.add("Mul", vec![centred, scale]))
    }

    /// Has `output` be the values of `real`, rounded to `grid`; `node` is what asks for it.
    fn quantise(&mut self, node: &NodeProto, real: String, grid: Grid, output: &str) -> Result<(), String> {
        if let Some(scale) = grid.scales.iter().find(|scale| **scale <= 0.0) {
            return Err(format!("a scale of {scale}, expected above 0"));
        }
        if let Some(tensor) = self.constants.get(real.as_str()).copied() {
            let rounded = grid.round(&floats(tensor)?, &tensor.dims)?;
            let rounded = self.folded(tensor, &rounded);
            self.name_too(rounded, node, output);
        } else {
            if grid.block > 0 {
                return Err("it rounds values by blocks, expected parameters alone to be in blocks".to_owned());
            }
            let (low, high) = grid.bounds();
            let list = |name: &str, floats: Vec<f32>| AttributeProto {
                name: name.to_owned(),
                r#type: AttributeType::Floats as i32,
                floats,
                ..AttributeProto::default()
            };
            let axis = AttributeProto { name: "axis".to_owned(), r#type: AttributeType::Int as i32, i: grid.axis, ..AttributeProto::default() };
            let attributes = vec![list("scales", grid.scales.clone()), list("low", low), list("high", high), axis];
            if grid.scales.len() > 1 {
                self.push_units(&real, output, attributes.clone(), &grid);
            }
            self.push(FAKE_QUANTIZE, &node.name, vec![real], output, attributes);
        }
        self.grids.insert(output.to_owned(), grid);
        Ok(())
    }

    fn fresh(&mut self) -> String {
        self.fresh += 1;
        format!("dequantised_{}", self.fresh)
    }

    /// The name of a new parameter.
    fn constant(&mut self, dims: Vec<i64>, values: &[f32]) -> String {
        let name = self.fresh();
        self.made.push(tensor(name.clone(), dims, values));
        name
    }

    /// Has `output`, which `node` yielded, be another name of `tensor`.
    fn name_too(&mut self, tensor: String, node: &NodeProto, output: &str) {
        if self.made.last().is_some_and(|made| made.name == tensor) || self.parameters.contains_key(&tensor) {
            let parameter = self.parameters.get(&tensor).unwrap_or(&tensor).clone();
            self.parameters.insert(output.to_owned(), parameter);
        }
        self.push("Identity", &node.name, vec![tensor], output, vec![]);
    }

    /// The name of a new parameter in place of `before`, whose name it has with something behind: blocks are named after their parameters.
    fn folded(&mut self, before: &TensorProto, values: &[f32]) -> String {
        let name = format!("{}_{}", before.name, self.fresh());
        self.folded.insert(before.name.clone());
        self.made.push(tensor(name.clone(), before.dims.clone(), values));
        name
    }

    /// Adds a node without attributes; returns the name of its output.
    fn add(&mut self, op_type: &str, inputs: Vec<String>) -> String {
        let output = self.fresh();
        self.push(op_type, &output.clone(), inputs, &output, vec![]);
        output
    }

    fn push(&mut self, op_type: &str, name: &str, input: Vec<String>, output: &str, attribute: Vec<AttributeProto>) {
        let (op_type, name, output) = (op_type.to_owned(), name.to_owned(), vec![output.to_owned()]);
        self.nodes.push(NodeProto { op_type, name, input, output, attribute, ..NodeProto::default() });
    }
}

/// Whether an operator's results are its inputs' values, on the same grid.
fn moves_data(node: &NodeProto, grid: &Grid) -> bool {
    match node.op_type.as_str() {
        "Identity" | "Dropout" => true,
        "Relu" => grid.zero_points.iter().all(|zero_point| *zero_point == 0),
        "MaxPool" | "Reshape" | "Transpose" | "Concat" | "Slice" | "Split" | "Flatten" | "Squeeze" | "Unsqueeze" | "Gather" | "Expand" | "Tile"
        | "Pad" | "DepthToSpace" | "SpaceToDepth" => grid.only().is_some(),
        _ => false,
    }
}

fn input(node: &NodeProto, index: usize) -> Result<&str, String> {
    node.input.get(index).map(String::as_str).filter(|name| !name.is_empty()).ok_or_else(|| format!("it has no input {index}"))
}

fn integer(node: &NodeProto, name: &str) -> Option<i64> {
    node.attribute.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.i)
}

fn axis(node: &NodeProto) -> i64 {
    integer(node, "axis").unwrap_or(1)
}
