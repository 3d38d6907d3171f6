//! Recognising an SE block: `map · gate(expand(activation(reduce(mean(map)))))`, and what may be fused behind it.
//!
//! The block is matched from its last node backwards. What makes it one is checked, not assumed: the gates multiply the very tensor that was
//! squeezed, one gate for each channel; the mean is over the two spatial axes; the weights are constants; and the constants inside activation
//! and gate are those of the functions that the kernels compute.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::math::{Add, Max, Mul};
use tract_onnx::tract_core::ops::nn::{HardSwish, Sigmoid, Silu};

use super::clamp::{Clamp, Step, clamp};
use super::linear::{Linear, linear};
use super::pattern::{binary, binary_with_constant, element_wise, shape, through_unit_axes, uniform, values};
use super::squeeze::squeezed_map;
use crate::kernels::{Activation, Gate, Layers, Rectify};

/// An SE block in a model.
#[derive(Debug)]
pub(super) struct Block {
    /// What is squeezed and recalibrated, `[…, C, H, W]`.
    pub(super) map: OutletId,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) layers: Layers,
    /// The nodes that belong to nothing but the block, for its name; the two layers are the last.
    pub(super) nodes: [usize; 4],
}

/// A residual addition that follows a block.
#[derive(Debug)]
pub(super) struct Residual {
    pub(super) shortcut: OutletId,
    pub(super) rectify: Rectify,
    /// The last node that is fused.
    pub(super) last: usize,
}

/// The block whose scaling is the node `scale`.
pub(super) fn find_block(model: &TypedModel, scale: usize) -> Option<Block> {
    let [a, b] = binary::<Mul>(model, scale.into())?;
    gated(model, a, b).or_else(|| gated(model, b, a))
}

fn gated(model: &TypedModel, map: OutletId, gates: OutletId) -> Option<Block> {
    let shape = shape(model, map)?;
    let [batch @ .., channels, height, width] = shape.as_slice() else { return None };
    let images: usize = batch.iter().product();
    gates_each_channel(model, gates, &shape)?;
    let (gate, bias, wire) = gate(model, gates)?;
    let expand = linear(model, wire, images, *channels)?.shifted(bias);
    let squeezed = expand.weights.len() / (*channels).max(1);
    let (activation, bias, wire) = activation(model, expand.input)?;
    let reduce = linear(model, wire, images, squeezed)?.shifted(bias);
    let squeezed_map = squeezed_map(model, reduce.input)?;
    let is_same = through_unit_axes(model, squeezed_map) == through_unit_axes(model, map);
    let nodes = [through_unit_axes(model, reduce.input).node, through_unit_axes(model, gates).node, reduce.node, expand.node];
    let layers = layers(reduce, expand, activation, gate)?;
    is_same.then_some(Block { map, height: *height, width: *width, layers, nodes })
}

/// `Some` when `gates` is `[…, C, 1, 1]` beside a map of `map`: one value for each image and channel.
fn gates_each_channel(model: &TypedModel, gates: OutletId, map: &[usize]) -> Option<()> {
    let expected = map.iter().enumerate().map(|(axis, size)| if axis + 2 < map.len() { *size } else { 1 });
    shape(model, gates)?.into_iter().eq(expected).then_some(())
}

fn layers(reduce: Linear, expand: Linear, activation: Activation, gate: Gate) -> Option<Layers> {
    let (reduce_weights, expand_weights) = (values(&reduce.weights)?.to_vec(), values(&expand.weights)?.to_vec());
    Some(Layers { reduce: reduce_weights, reduce_bias: reduce.bias, expand: expand_weights, expand_bias: expand.bias, activation, gate })
}

/// The function that yields `wire`, a bias to add to its argument, and the argument.
fn gate(model: &TypedModel, wire: OutletId) -> Option<(Gate, f32, OutletId)> {
    if let Some(input) = element_wise::<Sigmoid>(model, through_unit_axes(model, wire)) {
        return Some((Gate::Sigmoid, 0.0, input));
    }
    let (function, input) = clamp(model, wire);
    Some((Gate::HardSigmoid, function.bias_against(Clamp::HARD_SIGMOID)?, input))
}

/// The function that yields `wire`, a bias to add to its argument, and the argument.
fn activation(model: &TypedModel, wire: OutletId) -> Option<(Activation, f32, OutletId)> {
    let wire = through_unit_axes(model, wire);
    if let Some(input) = element_wise::<Silu>(model, wire) {
        return Some((Activation::Silu, 0.0, input));
    }
    if let Some(input) = element_wise::<HardSwish>(model, wire).or_else(|| hard_swish(model, wire)) {
        return Some((Activation::HardSwish, 0.0, input));
    }
    let (function, input) = clamp(model, wire);
    Some((Activation::Relu, function.bias_against(Clamp::RELU)?, input))
}

/// The argument of a hard swish that is spelled out as `x · clamp(x + 3, 0, 6) / 6` or `x · hard_sigmoid(x)`.
fn hard_swish(model: &TypedModel, wire: OutletId) -> Option<OutletId> {
    let (outer, product) = clamp(model, wire);
    let factor = outer.slope;
    let [a, b] = binary::<Mul>(model, product)?;
    if outer != (Clamp { slope: factor, ..Clamp::IDENTITY }) {
        return None;
    }
    [(a, b), (b, a)].into_iter().find_map(|(x, factor_of_x)| {
        let (inner, argument) = clamp(model, factor_of_x);
        let bias = inner.then(Step::Multiply(factor))?.bias_against(Clamp::HARD_SIGMOID)?;
        (bias == 0.0 && argument == through_unit_axes(model, x)).then_some(x)
    })
}

/// The residual addition behind the node `scale`, when nothing else uses the node, and the ReLU behind that.
pub(super) fn find_residual(model: &TypedModel, scale: usize) -> Option<Residual> {
    let add = only_successor(model, scale)?;
    let [a, b] = binary::<Add>(model, add.into())?;
    let shortcut = if a.node == scale { b } else { a };
    if shape(model, shortcut)? != shape(model, scale.into())? {
        return None;
    }
    let relu = only_successor(model, add).filter(|node| is_relu(model, *node));
    let rectify = if relu.is_some() { Rectify::Relu } else { Rectify::No };
    Some(Residual { shortcut, rectify, last: relu.unwrap_or(add) })
}

fn is_relu(model: &TypedModel, node: usize) -> bool {
    binary_with_constant::<Max>(model, node.into()).is_some_and(|(_, k)| uniform(&k) == Some(0.0))
}

fn only_successor(model: &TypedModel, node: usize) -> Option<usize> {
    let is_output = model.outputs.iter().any(|o| o.node == node);
    model.single_succ(node).ok()?.filter(|_| !is_output).map(|successor| successor.id)
}
