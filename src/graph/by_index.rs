//! Values taken by index where tract, which would leave them out or spread them another way, fails at it.

use std::collections::HashSet;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Gather, MultiBroadcastTo};
use tract_onnx::tract_core::ops::cnn::Conv;
use tract_onnx::tract_core::ops::einsum::EinSum;

use super::declutter::Hold;
use super::pattern::{pool_spec, shape, stated_padding};

/// Has convolutions that leave rows or columns out, of which a window sees one, take the others by index, where the shape of what they read was changed
/// before: tract leaves them out as early as it can, and fails where rows and columns are no axes yet.
pub(super) fn pick(model: &mut TypedModel) -> TractResult<()> {
    let leaves_out =
        |conv: &Conv| conv.pool_spec.kernel_shape.iter().zip(conv.pool_spec.strides().iter()).any(|(size, stride)| *size == 1 && *stride > 1);
    let convolutions = model.nodes().iter().filter(|node| node.op_as::<Conv>().is_some_and(leaves_out)).map(|node| node.id);
    let found: Vec<usize> = convolutions.filter(|node| is_behind_reshape(model, *node)).collect();
    for node in found {
        let (name, mut wire) = (model.node(node).name.clone(), model.node(node).inputs[0]);
        let Some(spec) = model.node(node).op_as::<Conv>().map(|conv| conv.pool_spec.clone()) else { continue };
        let input = spec.data_format.shape(model.outlet_fact(wire)?.shape.to_tvec())?;
        let mut strides: TVec<usize> = spec.strides().iter().copied().collect();
        for (axis, (size, stride)) in input.hw_dims().iter().zip(&mut strides).enumerate() {
            let is_padded = stated_padding(&spec).iter().any(|pads| pads.get(axis).is_some_and(|padding| *padding > 0));
            if spec.kernel_shape[axis] > 1 || *stride == 1 || is_padded {
                continue;
            }
            let indices: Vec<i64> = (0..size.to_i64()?).step_by(std::mem::replace(stride, 1)).collect();
            let (axis, indices) = (input.h_axis() + axis, model.add_const(format!("{name}.indices-{axis}"), tensor1(&indices))?);
            wire = model.wire_node(format!("{name}.picked-{axis}"), Gather::new(axis), &[wire, indices])?[0];
        }
        if let Some(conv) = model.node_mut(node).op_as_mut::<Conv>() {
            conv.pool_spec.strides = Some(strides);
        }
        model.add_edge(wire, InletId::new(node, 0))?;
    }
    Ok(())
}

/// Has what is spread in front of a convolution or matrix product be repeated by index: tract takes the product of what is not spread yet for one of the
/// same shape.
pub(super) fn repeat(model: &mut TypedModel) -> TractResult<()> {
    let multiplies = |model: &TypedModel, reader: &InletId| model.node(reader.node).op_is::<Conv>() || model.node(reader.node).op_is::<EinSum>();
    let is_read = |node: &&TypedNode| node.outputs[0].successors.iter().any(|reader| multiplies(model, reader));
    let found = model.nodes().iter().filter(|node| node.op_is::<MultiBroadcastTo>() && node.inputs.len() == 1).filter(is_read);
    for node in found.map(|node| node.id).collect::<Vec<_>>() {
        let (name, mut wire) = (model.node(node).name.clone(), model.node(node).inputs[0]);
        let Some((from, to)) = shape(model, wire).zip(shape(model, node.into())).filter(|(from, to)| from.len() == to.len()) else { continue };
        for (axis, (from, to)) in from.iter().zip(&to).enumerate().filter(|(_, (from, to))| from != to) {
            debug_assert_eq!(*from, 1, "to {to}");
            let zeros = model.add_const(format!("{name}.zeros-{axis}"), tensor1(&vec![0_i64; *to]))?;
            wire = model.wire_node(format!("{name}.repeated-{axis}"), Gather::new(axis), &[wire, zeros])?[0];
        }
        for reader in model.outlet_successors(node.into()).to_vec() {
            model.add_edge(wire, reader)?;
        }
    }
    Ok(())
}

/// Whether there is a change of shape between `node` and what holds values back, the convolutions, matrix products and pools before it.
fn is_behind_reshape(model: &TypedModel, node: usize) -> bool {
    let (mut open, mut seen) = (vec![model.node(node).inputs[0].node], HashSet::new());
    while let Some(id) = open.pop() {
        let node = model.node(id);
        if node.op_as::<AxisOp>().is_some_and(|op| matches!(op, AxisOp::Reshape(..))) {
            return true;
        }
        let stops = node.op_is::<Hold>() || node.op_is::<EinSum>() || pool_spec(node).is_some();
        if !stops && seen.insert(id) {
            open.extend(node.inputs.iter().map(|input| input.node));
        }
    }
    false
}
