//! Swishes that were taken apart: the product of a value with a hard sigmoid of it, or with a sigmoid of it that quantisation rounds.

use std::collections::HashMap;

use tract_onnx::pb::{AttributeProto, ModelProto, NodeProto};

use crate::inference::onnx::operators::{FAKE_QUANTIZE, ROUNDED_HARD_SWISH, ROUNDED_SILU};

/// Largest difference of the slope of a hard sigmoid from 1/6, and of its offset from 1/2.
const TOLERANCE: f32 = 1e-6;
/// Names of one tensor that are looked through.
const MOST_NAMES: usize = 8;

/// Makes one node of each `x · hard_sigmoid(x)`, `x · round(hard_sigmoid(x))` and `x · round(sigmoid(x))`; what nothing reads any more stays.
pub(super) fn merge(model: &mut ModelProto) -> Result<Vec<String>, String> {
    model.graph.iter_mut().for_each(|graph| merge_nodes(&mut graph.node));
    Ok(vec![])
}

fn merge_nodes(nodes: &mut [NodeProto]) {
    let makers: HashMap<&str, usize> =
        nodes.iter().enumerate().flat_map(|(number, node)| node.output.iter().map(move |output| (output.as_str(), number))).collect();
    let found: Vec<(usize, NodeProto)> = (0..nodes.len()).filter_map(|number| Some((number, swish(nodes, &makers, number)?))).collect();
    drop(makers);
    found.into_iter().for_each(|(number, node)| nodes[number] = node);
}

fn swish(nodes: &[NodeProto], makers: &HashMap<&str, usize>, number: usize) -> Option<NodeProto> {
    let node = nodes.get(number).filter(|node| node.op_type == "Mul")?;
    let [a, b] = node.input.as_slice() else { return None };
    [(a, b), (b, a)].into_iter().find_map(|(value, gate)| {
        let maker = |name: &str| makers.get(source(nodes, makers, name)).and_then(|number| nodes.get(*number));
        let rounding = maker(gate).filter(|rounding| rounding.op_type == FAKE_QUANTIZE);
        let sigmoid = maker(rounding.map_or(Some(gate), |rounding| rounding.input.first())?)?;
        let is_hard = match sigmoid.op_type.as_str() {
            "Sigmoid" => false,
            "HardSigmoid" if is_close(sigmoid, "alpha", 0.2, 1.0 / 6.0) && is_close(sigmoid, "beta", 0.5, 0.5) => true,
            _ => return None,
        };
        let argument = source(nodes, makers, sigmoid.input.first()?);
        let one = rounding.is_none_or(|rounding| rounding.attribute.iter().all(|attribute| attribute.floats.len() <= 1));
        let op_type = match (rounding, is_hard) {
            (None, true) => "HardSwish",
            (Some(_), true) => ROUNDED_HARD_SWISH,
            (Some(_), false) => ROUNDED_SILU,
            // tract finds these by itself.
            (None, false) => return None,
        };
        (one && argument == source(nodes, makers, value)).then(|| NodeProto {
            op_type: op_type.to_owned(),
            input: vec![value.clone()],
            output: node.output.clone(),
            name: node.name.clone(),
            attribute: rounding.map(|rounding| rounding.attribute.clone()).unwrap_or_default(),
            ..NodeProto::default()
        })
    })
}

/// The tensor that `name` is another name of.
fn source<'a>(nodes: &'a [NodeProto], makers: &HashMap<&str, usize>, mut name: &'a str) -> &'a str {
    for _ in 0..MOST_NAMES {
        match makers.get(name).and_then(|number| nodes.get(*number)).map(|node| (node.op_type.as_str(), node.input.as_slice())) {
            Some(("Identity", [input])) => name = input,
            _ => break,
        }
    }
    name
}

fn is_close(node: &NodeProto, name: &str, default: f32, expected: f32) -> bool {
    let stated = node.attribute.iter().find(|attribute: &&AttributeProto| attribute.name == name).map_or(default, |attribute| attribute.f);
    (stated - expected).abs() <= TOLERANCE
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::GraphProto;

    use super::*;

    fn node(op_type: &str, input: &[&str], output: &str, floats: &[(&str, f32)]) -> NodeProto {
        let attribute = floats.iter().map(|(name, f)| AttributeProto { name: (*name).to_owned(), f: *f, ..AttributeProto::default() }).collect();
        let input = input.iter().map(|name| (*name).to_owned()).collect();
        NodeProto { op_type: op_type.to_owned(), input, output: vec![output.to_owned()], attribute, ..NodeProto::default() }
    }

    /// What a product of `x` with a gate of `argument` becomes.
    fn merged(gate: &str, constants: &[(&str, f32)], is_rounded: bool, argument: &str) -> String {
        let rounding = if is_rounded { FAKE_QUANTIZE } else { "Identity" };
        let node = [
            node("Identity", &["x"], "same", &[]),
            node(gate, &[argument], "gate", constants),
            node(rounding, &["gate"], "rounded", &[]),
            node("Mul", &["rounded", "x"], "y", &[]),
        ];
        let graph = GraphProto { node: node.to_vec(), ..GraphProto::default() };
        let mut model = ModelProto { graph: Some(graph), ..ModelProto::default() };
        merge(&mut model).unwrap();
        model.graph.unwrap().node[3].op_type.clone()
    }

    #[test]
    fn a_value_times_a_sigmoid_of_it_is_a_swish() {
        let sixth = [("alpha", 1.0 / 6.0)];
        assert_eq!(merged("HardSigmoid", &sixth, false, "x"), "HardSwish");
        assert_eq!(merged("HardSigmoid", &sixth, true, "same"), ROUNDED_HARD_SWISH);
        assert_eq!(merged("Sigmoid", &[], true, "x"), ROUNDED_SILU);
        assert_eq!(merged("Sigmoid", &[], false, "x"), "Mul");
        assert_eq!(merged("HardSigmoid", &[], false, "x"), "Mul", "a slope of 0.2");
        assert_eq!(merged("HardSigmoid", &sixth, false, "other"), "Mul");
        assert_eq!(merged("Tanh", &[], true, "x"), "Mul");
    }
}
