//! Biases that an exporter of networks with the channels last (TensorFlow's) puts behind the way back from a convolution.
//!
//! `Conv`, `Transpose` to `[N, H, W, C]`, `Add` of `[C]` is a convolution with a bias: tract fuses the addition on its own, for a map of another layout than
//! the convolution has.

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};

use super::nodes::{for_each_graph, input, ints};

pub(super) fn fold_biases(model: &mut ModelProto) -> Result<Vec<String>, String> {
    if let Some(graph) = &mut model.graph {
        for_each_graph(graph, &mut fold);
    }
    Ok(vec![])
}

fn fold(graph: &mut GraphProto) {
    let parameters: HashMap<&str, &TensorProto> = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let producers: HashMap<&str, usize> =
        graph.node.iter().enumerate().flat_map(|(at, node)| node.output.iter().map(move |name| (name.as_str(), at))).collect();
    let mut readers: HashMap<&str, usize> = HashMap::new();
    let read = graph.node.iter().flat_map(|node| &node.input).chain(graph.output.iter().map(|output| &output.name));
    read.for_each(|name| *readers.entry(name).or_default() += 1);
    let only = |name: &str| readers.get(name) == Some(&1);
    let mut found: Vec<(usize, usize, String)> = vec![];
    for (add, node) in graph.node.iter().enumerate().filter(|(_, node)| node.op_type == "Add") {
        let behind = |value: usize, bias: usize| {
            let (value, bias) = (input(node, value)?, input(node, bias)?);
            let transpose =
                graph.node.get(*producers.get(value)?).filter(|node| node.op_type == "Transpose" && ints(node, "perm") == Some(&[0, 2, 3, 1]))?;
            let convolution = *producers.get(input(transpose, 0)?)?;
            let source = graph.node.get(convolution).filter(|node| node.op_type == "Conv" && input(node, 2).is_none())?;
            let [outputs, ..] = parameters.get(input(source, 1)?)?.dims[..] else { return None };
            let fits = parameters.get(bias)?.dims == [outputs] && only(value) && only(input(transpose, 0)?);
            fits.then(|| (add, convolution, bias.to_owned()))
        };
        found.extend(behind(0, 1).or_else(|| behind(1, 0)));
    }
    for (add, convolution, bias) in found {
        let node = &mut graph.node[add];
        let value = node.input.iter().find(|name| **name != bias).cloned().unwrap_or_default();
        *node = NodeProto { op_type: "Identity".to_owned(), input: vec![value], attribute: vec![], ..node.clone() };
        let convolution = &mut graph.node[convolution];
        convolution.input.truncate(2);
        convolution.input.push(bias);
    }
}
