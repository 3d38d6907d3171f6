//! Single operators that tract reads wrongly, or not at all, as others that it reads rightly.

use std::collections::HashSet;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};

use super::nodes::{Made, float, for_each_graph, input, int, is_onnx, of_int, of_text, opset, set, text};
use super::{convolution_transpose, pools};
use crate::inference::onnx::fault::described;
use crate::inference::onnx::operators::{RESIZE_10, RESIZE_13};

pub(super) fn rewrite(model: &mut ModelProto) -> Result<Vec<String>, String> {
    let opset = opset(model);
    let mut result = Ok(());
    if let Some(graph) = &mut model.graph {
        for_each_graph(graph, &mut |graph| {
            if result.is_ok() {
                result = rewrite_graph(graph, opset);
            }
        });
    }
    result.map(|()| vec![])
}

fn rewrite_graph(graph: &mut GraphProto, opset: i64) -> Result<(), String> {
    let mut nodes = Vec::with_capacity(graph.node.len());
    let varying = varying(graph);
    for mut node in std::mem::take(&mut graph.node) {
        forget_unread_outputs(&mut node);
        match replacement(&node, opset, &varying)? {
            Some(made) => nodes.extend(made.nodes),
            None => nodes.push(node),
        }
    }
    graph.node = nodes;
    Ok(())
}

/// What stands in the place of `node`; `None` where it stays. An error where it would be wrong and cannot be replaced.
fn replacement(node: &NodeProto, opset: i64, varying: &dyn Fn(&str) -> bool) -> Result<Option<Made>, String> {
    if !is_onnx(&node.domain) || node.output.is_empty() || node.input.is_empty() {
        return Ok(None);
    }
    Ok(match node.op_type.as_str() {
        "AveragePool" | "MaxPool" => pools::overhanging(node, opset)?,
        "LpPool" => pools::lp_pool(node, opset)?,
        "GlobalLpPool" => pools::global_lp_pool(node, opset),
        "Celu" => pools::celu(node, opset),
        "ConvTranspose" => convolution_transpose::of_output_shape(node, opset)?,
        "BatchNormalization" => of_the_batch(node, opset, varying)?,
        "Upsample" => upsample(node, opset),
        "Resize" if opset == 10 => resize_10(node, opset),
        "Resize" => aligned_corners(node, opset),
        _ => None,
    })
}

/// Which values may depend on the picture: all but those that are made of parameters and constants of `graph` alone.
fn varying(graph: &GraphProto) -> impl Fn(&str) -> bool + use<> {
    let mut fixed: HashSet<String> = graph.initializer.iter().map(|tensor| tensor.name.clone()).collect();
    for node in &graph.node {
        if !node.op_type.starts_with("Random") && node.input.iter().all(|name| name.is_empty() || fixed.contains(name)) {
            fixed.extend(node.output.iter().cloned());
        }
    }
    move |name| !fixed.contains(name)
}

/// Outputs without a name are those that nobody reads; some operators have optional ones behind their first.
fn forget_unread_outputs(node: &mut NodeProto) {
    while node.output.len() > 1 && node.output.last().is_some_and(String::is_empty) {
        node.output.pop();
    }
}

/// A batch normalisation in training mode normalises with what it is given. Of weights, as networks of standardised weights have it, that is an instance
/// normalisation; of pictures the answer would depend on who else is in the batch.
fn of_the_batch(node: &NodeProto, opset: i64, varying: &dyn Fn(&str) -> bool) -> Result<Option<Made>, String> {
    let trains = int(node, "training_mode").unwrap_or(0) != 0;
    if !trains && node.output.len() == 1 {
        return Ok(None);
    }
    let mut made = Made::of(node, opset);
    if !trains {
        made.keep(NodeProto { output: node.output[..1].to_vec(), ..node.clone() });
        return Ok(Some(made));
    }
    if node.input.len() < 3 || varying(&node.input[0]) {
        return Err(format!("{} is in training mode, expected statistics of its own; export the network in evaluation mode", described(node)));
    }
    let epsilon = super::nodes::of_float("epsilon", float(node, "epsilon").unwrap_or(1e-5));
    made.op_to("InstanceNormalization", &[&node.input[0], &node.input[1], &node.input[2]], vec![epsilon], &node.output[0]);
    Ok(Some(made))
}

/// `Upsample` of opset 7 has its scales as an attribute, that of opset 9 as an input; `Resize` took its place in opset 10.
fn upsample(node: &NodeProto, opset: i64) -> Option<Made> {
    let mut made = Made::of(node, opset);
    let scales = match super::nodes::attribute(node, "scales") {
        Some(scales) => made.tensor(super::nodes::floats_tensor(&[scales.floats.len() as i64], &scales.floats)),
        None => input(node, 1)?.to_owned(),
    };
    let mode = of_text("mode", text(node, "mode").unwrap_or("nearest"));
    made.op_to(RESIZE_10, &[&node.input[0], &scales], vec![mode, of_text("nearest_mode", "floor")], &node.output[0]);
    Some(made)
}

/// `Resize` of opset 10 takes the pixel whose number is the integer part of the place.
fn resize_10(node: &NodeProto, opset: i64) -> Option<Made> {
    let (mut made, mut resize) = (Made::of(node, opset), node.clone());
    set(&mut resize, of_text("nearest_mode", "floor"));
    made.keep(resize);
    Some(made)
}

/// tract takes the places of `align_corners` from the scales, ONNX Runtime from the sizes of both maps: with sizes both are the same.
fn aligned_corners(node: &NodeProto, opset: i64) -> Option<Made> {
    let scales = input(node, 2).filter(|_| text(node, "coordinate_transformation_mode") == Some("align_corners") && input(node, 3).is_none())?;
    let mut made = Made::of(node, opset);
    let shape = made.op("Shape", &[&node.input[0]], vec![]);
    let shape = made.op("Cast", &[&shape], vec![of_int("to", DataType::Float as i64)]);
    let sizes = made.op("Mul", &[&shape, scales], vec![]);
    let sizes = made.op("Floor", &[&sizes], vec![]);
    let sizes = made.op("Cast", &[&sizes], vec![of_int("to", DataType::Int64 as i64)]);
    let mut resize = node.clone();
    RESIZE_13.clone_into(&mut resize.op_type);
    resize.input = vec![node.input[0].clone(), String::new(), String::new(), sizes];
    made.keep(resize);
    Some(made)
}
