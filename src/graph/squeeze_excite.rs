//! Recognising an SE block: `map · gate(expand(activation(reduce(mean(map)))))`, or with one layer, and what may be fused behind it.
//!
//! The block is matched from its last node backwards: functions, a layer, functions, and so on. What makes it one is checked, not assumed: the gates
//! multiply the very tensor that was squeezed, one gate for each channel; the mean is over the two spatial axes; and the weights are constants.
//! Between mean, layers and gate stands [any function of one number](super::functions) that the kernels compute.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::math::{Add, Max, Mul};

use super::functions::{Applied, applied, last_applied};
use super::linear::{ChannelAffine, Linear, normalised_linear};
use super::pattern::{binary, binary_with_constant, shape, through_unit_axes, uniform, values};
use super::squeeze::squeezed_map;
use crate::kernels::maps::{Epilogue, Grid};
use crate::kernels::{Function, Functions, Layer, Layers, Rectify};
use crate::ops::Pointwise;

/// An SE block in a model.
#[derive(Debug)]
pub(super) struct Block {
    /// What is squeezed and recalibrated, `[…, C, H, W]`.
    pub(super) map: OutletId,
    /// What its values are rounded to when they have been squeezed and are to be recalibrated.
    pub(super) rounding: Option<Grid>,
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

/// The gates multiply what was squeezed, or what that is rounded to, as networks of operators on quantised tensors have it.
fn gated(model: &TypedModel, map: OutletId, gates: OutletId) -> Option<Block> {
    gated_map(model, map, gates).or_else(|| {
        let (source, grid) = rounded(model, map)?;
        Some(Block { rounding: Some(grid), ..gated_map(model, source, gates)? })
    })
}

/// What `wire` is the rounding of, and to what.
fn rounded(model: &TypedModel, wire: OutletId) -> Option<(OutletId, Grid)> {
    let Pointwise(epilogue) = model.node(wire.node).op_as::<ElementWiseOp>()?.0.downcast_ref()?;
    let grid = epilogue.after.filter(|grid| *epilogue == Epilogue::from(*grid))?;
    Some((*model.node(wire.node).inputs.first()?, grid))
}

fn gated_map(model: &TypedModel, map: OutletId, gates: OutletId) -> Option<Block> {
    let shape = shape(model, map)?;
    let [batch @ .., channels, height, width] = shape.as_slice() else { return None };
    let (images, channels): (usize, _) = (batch.iter().product(), *channels);
    gates_each_channel(model, gates, &shape)?;
    let is_map = |wire: OutletId| through_unit_axes(model, wire) == through_unit_axes(model, map);
    let (gate, expand) = layer(model, gates, images, channels)?;
    // Without a function behind them, the layers scale the map by whatever they yield: nothing gates it.
    gate.list().iter().find(|function| !matches!(function, Function::Affine { .. } | Function::Round(_)))?;
    let (before, squeeze, reduce, expand) = match squeeze_before(model, &expand, channels, is_map) {
        Some((before, squeeze)) => (before, squeeze, None, expand),
        None => {
            let squeezed = expand.weights.len() / channels.max(1);
            let (activation, reduce) = layer(model, expand.input, images, squeezed)?;
            let (before, squeeze) = squeeze_before(model, &reduce, channels, is_map)?;
            let (activation, expand) = take_in(expand, activation)?;
            (before, squeeze, Some((activation, reduce)), expand)
        }
    };
    let first = reduce.as_ref().map_or(expand.node, |(_, reduce)| reduce.node);
    let nodes = [squeeze.node, through_unit_axes(model, gates).node, first, expand.node];
    let reduce = match reduce {
        Some((activation, reduce)) => Some(stored(reduce, activation)?),
        None => None,
    };
    let layers = Layers { before, reduce, expand: stored(expand, gate)? };
    Some(Block { map, rounding: None, height: *height, width: *width, layers, nodes })
}

/// The layer of `outputs` outputs that yields `wire`, and the functions that follow it.
fn layer(model: &TypedModel, wire: OutletId, images: usize, outputs: usize) -> Option<(Functions, Linear)> {
    let Applied { functions, input } = applied(model, wire, outputs);
    let layer = normalised_linear(model, input, images, outputs)?;
    // Arithmetic directly behind a layer is a part of the layer.
    match functions.list().split_first() {
        Some((Function::Affine { scale, shift }, rest)) => {
            let affine = ChannelAffine::uniform(*scale, *shift, outputs);
            Some((Functions::new(rest.iter().cloned()), layer.then(&affine)?))
        }
        _ => Some((functions, layer)),
    }
}

/// The layer `expand` with the arithmetic at the end of `activation`, if there is any, and the rest of `activation`.
fn take_in(expand: Linear, activation: Functions) -> Option<(Functions, Linear)> {
    match activation.list().split_last() {
        Some((Function::Affine { scale, shift }, rest)) => {
            let inputs = expand.weights.len().checked_div(expand.bias.len())?;
            let affine = ChannelAffine::uniform(*scale, *shift, inputs);
            Some((Functions::new(rest.iter().cloned()), expand.behind(&affine)?))
        }
        _ => Some((activation, expand)),
    }
}

/// The means of the map that `layer` works on, and the functions between the means and the layer.
fn squeeze_before(model: &TypedModel, layer: &Linear, channels: usize, is_map: impl Fn(OutletId) -> bool) -> Option<(Functions, OutletId)> {
    let (mut wire, mut backwards) = (through_unit_axes(model, layer.input), vec![]);
    if layer.mean_of.is_some_and(&is_map) {
        return Some((Functions::default(), wire));
    }
    while !squeezed_map(model, wire).is_some_and(&is_map) {
        let (functions, input) = last_applied(model, wire, channels)?;
        backwards.push(functions);
        wire = through_unit_axes(model, input);
    }
    Some((Functions::new(backwards.into_iter().rev().flatten()), wire))
}

fn stored(layer: Linear, functions: Functions) -> Option<Layer> {
    Some(Layer { weights: values(&layer.weights)?.to_vec(), bias: layer.bias, functions })
}

/// `Some` when `gates` is `[…, C, 1, 1]` beside a map of `map`: one value for each image and channel.
pub(super) fn gates_each_channel(model: &TypedModel, gates: OutletId, map: &[usize]) -> Option<()> {
    let expected = map.iter().enumerate().map(|(axis, size)| if axis + 2 < map.len() { *size } else { 1 });
    shape(model, gates)?.into_iter().eq(expected).then_some(())
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
