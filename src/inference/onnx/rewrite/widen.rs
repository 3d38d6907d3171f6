//! 16-bit floating-point values (`FLOAT16`, `BFLOAT16`) are made 32-bit ones, wherever a file states them.
//!
//! The kernels compute in 32 bits: so do files whose exporter halved them then, with the same operators and SE blocks as the network that they were
//! made from. Every 16-bit value is a 32-bit one exactly, and intermediate values that would overflow 16 bits do not.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::type_proto::Value;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use tract_onnx::prelude::f16;

/// Attributes that state a type of values.
const TYPES: [&str; 4] = ["to", "dtype", "output_dtype", "softmax_precision"];

/// What was made wider.
#[derive(Debug, Default, PartialEq)]
struct Widened {
    parameters: usize,
    /// Operators that yield a type which they state.
    operators: usize,
}

pub(super) fn widen(model: &mut ModelProto) -> Result<Vec<String>, String> {
    let mut widened = Widened::default();
    if let Some(graph) = &mut model.graph {
        widen_graph(graph, &mut widened);
    }
    for function in &mut model.functions {
        function.node.iter_mut().for_each(|node| widen_node(node, &mut widened));
    }
    Ok(match widened {
        Widened { parameters: 0, operators: 0 } => vec![],
        Widened { parameters: 0, operators } => vec![format!("rounding to 16-bit floating point is left out, {operators} in all")],
        Widened { parameters, .. } => vec![format!("{parameters} parameters of 16-bit floating point are computed in 32 bits")],
    })
}

fn widen_graph(graph: &mut GraphProto, widened: &mut Widened) {
    graph.initializer.iter_mut().for_each(|tensor| widen_tensor(tensor, widened));
    graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info).for_each(widen_value);
    graph.node.iter_mut().for_each(|node| widen_node(node, widened));
}

fn widen_node(node: &mut NodeProto, widened: &mut Widened) {
    for attribute in &mut node.attribute {
        widen_attribute(attribute, widened);
    }
}

fn widen_attribute(attribute: &mut AttributeProto, widened: &mut Widened) {
    if TYPES.contains(&attribute.name.as_str()) && i32::try_from(attribute.i).is_ok_and(is_16_bit) {
        attribute.i = DataType::Float as i64;
        widened.operators += 1;
    }
    attribute.t.iter_mut().chain(&mut attribute.tensors).for_each(|tensor| widen_tensor(tensor, widened));
    attribute.g.iter_mut().chain(&mut attribute.graphs).for_each(|graph| widen_graph(graph, widened));
}

fn widen_value(value: &mut ValueInfoProto) {
    if let Some(Value::TensorType(tensor)) = value.r#type.as_mut().and_then(|t| t.value.as_mut())
        && is_16_bit(tensor.elem_type)
    {
        tensor.elem_type = DataType::Float as i32;
    }
}

fn is_16_bit(data_type: i32) -> bool {
    [DataType::Float16 as i32, DataType::Bfloat16 as i32].contains(&data_type)
}

/// Values lie in `raw_data`, or one to an `i32`.
fn widen_tensor(tensor: &mut TensorProto, widened: &mut Widened) {
    if !is_16_bit(tensor.data_type) {
        return;
    }
    let real: fn(u16) -> f32 = if tensor.data_type == DataType::Float16 as i32 {
        |bits| f16::from_bits(bits).to_f32()
    } else {
        |bits| f32::from_bits(u32::from(bits) << 16)
    };
    let raw = std::mem::take(&mut tensor.raw_data);
    let listed = std::mem::take(&mut tensor.int32_data);
    tensor.raw_data = if raw.is_empty() {
        listed.iter().flat_map(|bits| real(*bits as u16).to_le_bytes()).collect()
    } else {
        raw.as_chunks().0.iter().flat_map(|bits| real(u16::from_le_bytes(*bits)).to_le_bytes()).collect()
    };
    tensor.data_type = DataType::Float as i32;
    widened.parameters += tensor.raw_data.len() / size_of::<f32>();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_rounds_to_16_bits_is_said_too() {
        let to = AttributeProto { name: "to".to_owned(), i: DataType::Float16 as i64, ..AttributeProto::default() };
        let node = vec![NodeProto { op_type: "Cast".to_owned(), attribute: vec![to], ..NodeProto::default() }];
        let mut model = ModelProto { graph: Some(GraphProto { node, ..GraphProto::default() }), ..ModelProto::default() };
        assert_eq!(widen(&mut model).unwrap(), ["rounding to 16-bit floating point is left out, 1 in all"]);
        assert!(widen(&mut model).unwrap().is_empty());
    }

    #[test]
    fn every_16_bit_value_is_the_same_number_in_32_bits() {
        for (data_type, bits, expected) in [
            (DataType::Float16, 0x3555_u16, 0.333_251_95_f32),
            (DataType::Float16, 0xfbff, -65504.0),
            (DataType::Float16, 1, 5.960_464_5e-8),
            (DataType::Bfloat16, 0xc2f7, -123.5),
        ] {
            let raw = TensorProto { data_type: data_type as i32, raw_data: bits.to_le_bytes().to_vec(), ..TensorProto::default() };
            let listed = TensorProto { data_type: data_type as i32, int32_data: vec![i32::from(bits)], ..TensorProto::default() };
            for mut tensor in [raw, listed] {
                let mut count = Widened::default();
                widen_tensor(&mut tensor, &mut count);
                assert_eq!((tensor.data_type, tensor.raw_data, count.parameters), (DataType::Float as i32, expected.to_le_bytes().to_vec(), 1));
                assert!(tensor.int32_data.is_empty());
            }
        }
    }
}
