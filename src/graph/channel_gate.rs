//! Recognising channel gates of other kinds than SE blocks: they run as they are, and are named for whoever reads about the network.

use serde::Serialize;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::cnn::Conv;
use tract_onnx::tract_core::ops::math::Mul;

use super::functions::{Applied, applied};
use super::names::{ParameterNames, block_name};
use super::pattern::{binary, shape, through_unit_axes};
use super::squeeze::squeezed_map;
use super::squeeze_excite::gates_each_channel;

/// A kind of channel gate that is no SE block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelGateKind {
    /// Efficient channel attention (Wang et al., 2020): each gate comes from the means of a few channels beside one another.
    Eca,
}

/// A channel gate that is no SE block, whose gates no answer carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChannelGateInfo {
    /// The common part of its nodes' ONNX names; that of the multiplication where they have none.
    pub name: String,
    /// What makes the gates.
    pub kind: ChannelGateKind,
    /// C
    pub channels: usize,
    /// Channels whose means make one gate.
    pub kernel: usize,
    /// Of the map that is recalibrated.
    pub height: usize,
    /// Of the map that is recalibrated.
    pub width: usize,
}

/// The channel gates of the decluttered `model` in network order, once its SE blocks are fused.
///
/// # Errors
/// When the graph has a cycle.
pub fn channel_gates(model: &TypedModel, parameters: &ParameterNames) -> TractResult<Vec<ChannelGateInfo>> {
    Ok(model.eval_order()?.into_iter().filter_map(|node| channel_gate(model, node, parameters)).collect())
}

/// The gate whose scaling is the node `scale`.
fn channel_gate(model: &TypedModel, scale: usize, parameters: &ParameterNames) -> Option<ChannelGateInfo> {
    let [a, b] = binary::<Mul>(model, scale.into())?;
    gated_by_neighbours(model, scale, [a, b], parameters).or_else(|| gated_by_neighbours(model, scale, [b, a], parameters))
}

/// `map · gate(convolution along the channels(mean(map)))`.
fn gated_by_neighbours(model: &TypedModel, scale: usize, [map, gates]: [OutletId; 2], parameters: &ParameterNames) -> Option<ChannelGateInfo> {
    let shape = shape(model, map)?;
    let [.., channels, height, width] = *shape else { return None };
    gates_each_channel(model, gates, &shape)?;
    let Applied { functions, input } = applied(model, gates, channels);
    functions.list().first()?;
    let node = model.node(input.node);
    let convolution = node.op_as::<Conv>().filter(|op| op.input_channels() == 1 && op.output_channels() == 1)?;
    let squeeze = through_unit_axes(model, *node.inputs.first()?);
    let is_map = squeezed_map(model, squeeze).is_some_and(|squeezed| through_unit_axes(model, squeezed) == through_unit_axes(model, map));
    let names = [squeeze.node, through_unit_axes(model, gates).node, node.id, node.id].map(|node| model.node(node).name.as_str());
    is_map.then(|| ChannelGateInfo {
        name: block_name(&names, &names[2..], parameters).unwrap_or_else(|| model.node(scale).name.clone()),
        kind: ChannelGateKind::Eca,
        channels,
        kernel: convolution.pool_spec.kernel_shape.iter().product(),
        height,
        width,
    })
}
