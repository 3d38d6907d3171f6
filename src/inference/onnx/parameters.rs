//! How many trained values a file has: numbers with a point, and integers that stand for such.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

/// Places among an operator's inputs.
struct Places {
    /// Of tensors that may be trained values as integers.
    values: &'static [usize],
    /// Of scales, which say what integers stand for.
    scales: &'static [usize],
}

fn places(op_type: &str) -> Places {
    let (values, scales): (&[usize], &[usize]) = match op_type {
        "QuantizeLinear" | "DequantizeLinear" => (&[0], &[1]),
        "QLinearConv" => (&[3, 8], &[1, 4, 6]),
        "QGemm" => (&[3, 6], &[1, 4, 7]),
        "QLinearMatMul" | "QLinearAdd" | "QLinearMul" => (&[0, 3], &[1, 4, 6]),
        "ConvInteger" | "MatMulInteger" | "DynamicQuantizeMatMul" | "MatMulIntegerToFloat" => (&[0, 1], &[]),
        "QLinearConcat" => (&[], &[0]),
        _ if op_type.starts_with("QLinear") => (&[0], &[1, 3]),
        _ => (&[], &[]),
    };
    Places { values, scales }
}

/// The number of trained values in `graph`, in parameters and in `Constant` nodes.
pub(super) fn count(graph: &GraphProto) -> u64 {
    let at = |node: &'_ NodeProto, places: &[usize]| places.iter().filter_map(|place| node.input.get(*place)).cloned().collect::<Vec<_>>();
    let sources: HashMap<&str, &str> = graph.node.iter().filter(|node| node.op_type == "Identity").filter_map(ends).collect();
    let source = |name: String| sources.get(name.as_str()).map_or(name.clone(), |source| (*source).to_owned());
    let named = |of: fn(Places) -> &'static [usize]| -> HashSet<String> {
        graph.node.iter().flat_map(|node| at(node, of(places(&node.op_type)))).map(source).collect()
    };
    let (integers, scales) = (named(|places| places.values), named(|places| places.scales));
    let constants = graph.node.iter().filter(|node| node.op_type == "Constant").filter_map(|node| {
        let value = node.attribute.iter().find_map(|attribute| attribute.t.as_ref())?;
        Some((node.output.first()?.as_str(), value))
    });
    let parameters = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).chain(constants);
    let trained = parameters.filter(|(name, tensor)| {
        let is_number = matches!(tensor.data_type, 1 | 10 | 11 | 16);
        is_number && !scales.contains(*name) || !is_number && integers.contains(*name)
    });
    trained.map(|(_, tensor)| size(tensor)).fold(0, u64::saturating_add)
}

fn ends(node: &NodeProto) -> Option<(&str, &str)> {
    Some((node.output.first()?.as_str(), node.input.first()?.as_str()))
}

fn size(tensor: &TensorProto) -> u64 {
    tensor.dims.iter().map(|size| u64::try_from(*size).unwrap_or(0)).fold(1, u64::saturating_mul)
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::AttributeProto;

    use super::*;

    fn tensor(name: &str, data_type: i32, dims: &[i64]) -> TensorProto {
        TensorProto { name: name.to_owned(), data_type, dims: dims.to_vec(), ..TensorProto::default() }
    }

    fn node(op_type: &str, input: &[&str], output: &str) -> NodeProto {
        let input = input.iter().map(|name| (*name).to_owned()).collect();
        NodeProto { op_type: op_type.to_owned(), input, output: vec![output.to_owned()], ..NodeProto::default() }
    }

    #[test]
    fn weights_of_eight_bits_count_and_their_scales_and_zero_points_do_not() {
        let graph = GraphProto {
            initializer: vec![tensor("w", 3, &[2, 3]), tensor("s", 1, &[2]), tensor("z", 3, &[2]), tensor("b", 1, &[2]), tensor("shape", 7, &[4])],
            node: vec![
                node("Identity", &["w"], "same"),
                node("DequantizeLinear", &["same", "s", "z"], "real"),
                node("Conv", &["x", "real", "b"], "y"),
                node("Reshape", &["y", "shape"], "flat"),
            ],
            ..GraphProto::default()
        };
        assert_eq!(count(&graph), 6 + 2);
    }

    #[test]
    fn parameters_in_constant_nodes_count() {
        let value = AttributeProto { name: "value".to_owned(), t: Some(tensor("", 1, &[5, 2])), ..AttributeProto::default() };
        let constant = NodeProto { attribute: vec![value], ..node("Constant", &[], "w") };
        let graph = GraphProto { node: vec![constant, node("MatMul", &["x", "w"], "y")], ..GraphProto::default() };
        assert_eq!(count(&graph), 10);
    }
}
