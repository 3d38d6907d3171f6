//! Recognising the operators that the kernels on maps know.

use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::{AxisOp, DimLike, TractErrorContext};
use tract_onnx::tract_core::ops::array::{Slice, TypedConcat};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat, MaxPool, PaddingSpec, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::downsample::Downsample;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::logic::Iff;
use tract_onnx::tract_core::ops::math::{Add, Max, Min, Mul};
use tract_onnx::tract_core::ops::nn::{DataFormat, HardSwish, LeakyRelu, Reduce, Reducer, Sigmoid, Silu};

use crate::graph::linear::{linear, transpose};
use crate::graph::pattern::{
    binary, binary_with_constant, constant, element_wise, pool_spec, prelu, shape, stated_padding, through_unit_axes, uniform, values,
};
use crate::graph::squeeze::squeezed_map;
use crate::kernels::maps::{ConvolutionShape, Epilogue, Layout, MAX_SIZE, Nonlinearity, Pool, SizeError, Window};
use crate::ops::{Pointwise, RoundToOwnRange, SqueezeExcite};

/// An operator on maps.
#[derive(Debug)]
pub(super) enum Operator {
    /// Weights as [`crate::kernels::maps::Convolution::new`] takes them, shared with the model where it has them so.
    Convolution {
        shape: ConvolutionShape,
        weights: Arc<Tensor>,
        bias: Vec<f32>,
    },
    /// A number added for each channel.
    Shift(Vec<f32>),
    Pool(Pool, Window),
    Activation(Epilogue),
    RoundToOwnRange,
    /// With a slope for each channel.
    Prelu(Vec<f32>),
    /// Of two maps.
    Add,
    SqueezeExcite(SqueezeExcite),
    /// Of channels.
    Concatenate,
    /// Some channels, from the first one of these.
    Slice(usize),
    /// The same map with axes of length 1 added or dropped.
    View,
}

/// An operator and the wires that it reads, which need not be the node's inputs.
#[derive(Debug)]
pub(super) struct Recognised {
    pub(super) operator: Operator,
    pub(super) inputs: Vec<OutletId>,
}

/// C, H and W of `wire`, a map `[N, C, H, W]` or a vector `[N, C]`, a map of one pixel; tract may have dropped a batch of one. None of them is 0, and a
/// map of them is within the limits of the kernels.
pub(super) fn map_size(model: &TypedModel, wire: OutletId, batch: usize) -> Option<[usize; 3]> {
    let fact = model.outlet_fact(wire).ok()?;
    if fact.datum_type != f32::datum_type() || fact.konst.is_some() {
        return None;
    }
    let size = match *shape(model, wire)?.as_slice() {
        [n, c, h, w] if n == batch => [c, h, w],
        [c, h, w] if batch == 1 => [c, h, w],
        [n, c] if n == batch => [c, 1, 1],
        [c] if batch == 1 => [c, 1, 1],
        _ => return None,
    };
    let has_values = Layout::try_new(size[1], size[2], size[0], 0).is_ok_and(|layout| !layout.is_empty());
    has_values.then_some(size)
}

/// Checks that windows are within the limits of the kernels: others are an attack, to which tract's own operators are not equal either.
pub(super) fn check_windows(model: &TypedModel) -> TractResult<()> {
    for node in model.nodes() {
        if let Some(spec) = pool_spec(node) {
            check_window(spec).with_context(|| format!("{:?} cannot be run", node.name))?;
        }
    }
    Ok(())
}

fn check_window(spec: &PoolSpec) -> Result<(), SizeError> {
    let (strides, dilations) = (spec.strides(), spec.dilations());
    let [before, after] = stated_padding(spec);
    let of = |values: &[usize], axis: usize, default: usize| values.get(axis).copied().unwrap_or(default);
    for axis in 0..spec.kernel_shape.len() {
        for padding in [of(before, axis, 0), of(after, axis, 0)] {
            let [stride, dilation] = [of(&strides, axis, 1), of(&dilations, axis, 1)];
            Window::new([spec.kernel_shape[axis], 1], [stride, 1], [dilation, 1], [padding, 0])?;
        }
    }
    Ok(())
}

/// What `node` is, where its inputs and its output are maps.
pub(super) fn recognise(model: &TypedModel, node: usize, batch: usize) -> Option<Recognised> {
    let output = OutletId::new(node, 0);
    let size = map_size(model, output, batch)?;
    if model.node(node).op_is::<AxisOp>() {
        return view(model, output, batch, size);
    }
    let found = k_by_k(model, node, batch).or_else(|| one_by_one(model, node, batch)).or_else(|| fully_connected(model, node, batch, size));
    let found = found.or_else(|| on_all_pixels(model, node, batch, size)).or_else(|| global_pool(model, node, batch));
    let found = found.or_else(|| other(model, node, batch, size))?;
    found.inputs.iter().all(|input| map_size(model, *input, batch).is_some()).then_some(found)
}

/// Whether there are kernels for operators of the kind of `node`, though perhaps not for this one.
pub(super) fn has_kernel(model: &TypedModel, node: usize) -> bool {
    let op = &model.node(node).op;
    let binary = op.downcast_ref::<TypedBinOp>().is_some_and(|op| op.0.is::<Add>() || op.0.is::<Mul>() || op.0.is::<Max>() || op.0.is::<Min>());
    let pool = op.is::<MaxPool>() || op.is::<SumPool>() || op.is::<Reduce>();
    binary || pool || op.is::<Iff>() || op.is::<TypedConcat>() || op.is::<Slice>() || op.is::<Conv>() || op.is::<EinSum>() || op.is::<SqueezeExcite>()
}

fn other(model: &TypedModel, node: usize, batch: usize, size: [usize; 3]) -> Option<Recognised> {
    let output = OutletId::new(node, 0);
    let unary = |operator, input| Some(Recognised { operator, inputs: vec![input] });
    if let Some(op) = model.node(node).op_as::<SqueezeExcite>() {
        return Some(Recognised { operator: Operator::SqueezeExcite(op.clone()), inputs: model.node(node).inputs.clone() });
    }
    if let Some(op) = model.node(node).op_as::<TypedConcat>() {
        let inputs = model.node(node).inputs.to_vec();
        let sizes = inputs.iter().map(|input| map_size(model, *input, batch)).collect::<Option<Vec<_>>>()?;
        let alike = sizes.iter().all(|other| other[1..] == size[1..]) && sizes.iter().map(|other| other[0]).sum::<usize>() == size[0];
        return (alike && op.axis == channel_axis(shape(model, output)?.len())).then_some(Recognised { operator: Operator::Concatenate, inputs });
    }
    if let Some(op) = model.node(node).op_as::<Slice>() {
        let first = op.start.to_usize().ok().filter(|_| op.axis == channel_axis(model.outlet_fact(output).map_or(0, |fact| fact.rank())))?;
        let input = model.node(node).inputs[0];
        let [channels, height, width] = map_size(model, input, batch)?;
        let has_them = channels.checked_sub(first).is_some_and(|rest| size[0] <= rest) && [height, width] == size[1..];
        return has_them.then(|| Recognised { operator: Operator::Slice(first), inputs: vec![input] });
    }
    if let Some((input, slopes)) = prelu(model, node) {
        let slopes = channel_values(&slopes, size, shape(model, output)?.len())?;
        let one = slopes.first().filter(|first| slopes.iter().all(|slope| slope == *first));
        let function = one.map(|slope| Operator::Activation(Nonlinearity::LeakyRelu { slope: *slope }.into()));
        return unary(function.unwrap_or(Operator::Prelu(slopes)), input);
    }
    if let Some((input, scale)) = binary_with_constant::<Mul>(model, output) {
        let users = &model.node(node).outputs[0].successors;
        if !users.is_empty() && users.iter().all(|user| user.slot == 1 && prelu(model, user.node).is_some()) {
            return None;
        }
        let scale = channel_values(&scale, size, shape(model, output)?.len())?;
        return scaled(model, batch, size, input, &scale);
    }
    if let Some((input, shift)) = binary_with_constant::<Add>(model, output) {
        let shift = channel_values(&shift, size, shape(model, output)?.len())?;
        return (map_size(model, input, batch)? == size).then(|| Recognised { operator: Operator::Shift(shift), inputs: vec![input] });
    }
    if let Some(op) = model.node(node).op_as::<MaxPool>().filter(|op| op.with_index_outputs.is_none()) {
        let input = model.node(node).inputs[0];
        return unary(Operator::Pool(Pool::Max, window(&op.pool_spec, map_size(model, input, batch)?, size)?), input);
    }
    if let Some(op) = model.node(node).op_as::<SumPool>().filter(|op| op.normalize) {
        let input = model.node(node).inputs[0];
        let kind = if op.count_include_pad { Pool::AverageWithPadding } else { Pool::Average };
        return unary(Operator::Pool(kind, window(&op.pool_spec, map_size(model, input, batch)?, size)?), input);
    }
    if let Some((input, least)) = binary_with_constant::<Max>(model, output) {
        return unary(Operator::Activation(Nonlinearity::Clamp { min: uniform(&least)?, max: f32::INFINITY }.into()), input);
    }
    if let Some((input, most)) = binary_with_constant::<Min>(model, output) {
        return unary(Operator::Activation(Nonlinearity::Clamp { min: f32::NEG_INFINITY, max: uniform(&most)? }.into()), input);
    }
    if let Some([a, b]) = binary::<Add>(model, output) {
        let alike = map_size(model, a, batch)? == size && map_size(model, b, batch)? == size && a != b;
        return alike.then(|| Recognised { operator: Operator::Add, inputs: vec![a, b] });
    }
    if let Some(op) = model.node(node).op_as::<ElementWiseOp>().and_then(|op| op.0.downcast_ref::<LeakyRelu>()) {
        return unary(Operator::Activation(Nonlinearity::LeakyRelu { slope: op.alpha }.into()), model.node(node).inputs[0]);
    }
    // The range is that of all images, which run one after the other.
    if model.node(node).op_is::<RoundToOwnRange>() && batch == 1 {
        return unary(Operator::RoundToOwnRange, model.node(node).inputs[0]);
    }
    if let Some(op) = model.node(node).op_as::<ElementWiseOp>().and_then(|op| op.0.downcast_ref::<Pointwise>()) {
        return unary(Operator::Activation(op.0), model.node(node).inputs[0]);
    }
    let function = element_wise::<HardSwish>(model, output).map(|input| (Nonlinearity::HardSwish, input));
    let function = function.or_else(|| Some((Nonlinearity::Silu, element_wise::<Silu>(model, output)?)));
    let (function, input) = function.or_else(|| Some((Nonlinearity::Sigmoid, element_wise::<Sigmoid>(model, output)?)))?;
    unary(Operator::Activation(function.into()), input)
}

/// What is read lies before all changes of axes in a row: between two of them there may be what is no map.
fn view(model: &TypedModel, output: OutletId, batch: usize, size: [usize; 3]) -> Option<Recognised> {
    let input = through_unit_axes(model, output);
    (input != output && map_size(model, input, batch)? == size).then(|| Recognised { operator: Operator::View, inputs: vec![input] })
}

/// Every channel times a number: a depthwise convolution of one tap.
fn scaled(model: &TypedModel, batch: usize, size: [usize; 3], input: OutletId, scale: &[f32]) -> Option<Recognised> {
    let (shape, weights) = (ConvolutionShape::channel_wise(scale.len()).ok()?, tensor1(scale).into_arc_tensor());
    let operator = Operator::Convolution { shape, weights, bias: vec![0.0; scale.len()] };
    (map_size(model, input, batch)? == size).then(|| Recognised { operator, inputs: vec![input] })
}

fn k_by_k(model: &TypedModel, node: usize, batch: usize) -> Option<Recognised> {
    let op = model.node(node).op_as::<Conv>().filter(|op| op.q_params.is_none() && op.kernel_fmt == KernelFormat::OIHW)?;
    let [input, kernel, bias] = *model.node(node).inputs.as_slice() else { return None };
    let (size, output) = (map_size(model, input, batch)?, map_size(model, node.into(), batch)?);
    let (kernel, bias) = (constant(model, kernel)?, constant(model, bias)?);
    let shape = ConvolutionShape::new(size[0], output[0], op.group, window(&op.pool_spec, size, output)?).ok()?;
    let bias = if bias.len() == output[0] { values(&bias)?.to_vec() } else { vec![uniform(&bias)?; output[0]] };
    Some(Recognised { operator: Operator::Convolution { shape, weights: kernel, bias }, inputs: vec![input] })
}

/// tract makes matrix products of 1×1 convolutions, and takes what a stride leaves out away before.
fn one_by_one(model: &TypedModel, node: usize, batch: usize) -> Option<Recognised> {
    let op = model.node(node).op_as::<EinSum>().filter(|op| op.q_params.is_none())?;
    let [a, b] = *model.node(node).inputs.as_slice() else { return None };
    let (data, data_slot, weights, weights_slot) = if constant(model, b).is_some() { (a, 0, b, 1) } else { (b, 1, a, 0) };
    let weights = constant(model, weights).filter(|w| w.rank() == 2)?;
    let (size, output) = (map_size(model, data, batch)?, map_size(model, node.into(), batch)?);
    let (data_rank, output_rank) = (shape(model, data)?.len(), shape(model, node.into())?.len());
    let mut outputs_first = None;
    for axis in op.axes.iter_all_axes() {
        match (axis.inputs[data_slot].as_slice(), axis.inputs[weights_slot].as_slice(), axis.outputs[0].as_slice()) {
            ([from], [_], []) if *from + 3 == data_rank => {}
            ([], [at], [to]) if *to + 3 == output_rank => outputs_first = Some(*at == 0),
            ([from], [], [to]) if data_rank - from == output_rank - to && data_rank - from != 3 => {}
            // A batch of one that tract drops or brings back.
            ([0], [], []) if data_rank == 4 && batch == 1 => {}
            ([], [], [0]) if output_rank == 4 && batch == 1 => {}
            _ => return None,
        }
    }
    let [inputs, outputs] = [size[0], output[0]];
    let weights = match outputs_first? {
        true => weights,
        false => Tensor::from_shape(&[outputs, inputs], &transpose(values(&weights)?, outputs)).ok()?.into_arc_tensor(),
    };
    let (input, stride) = through_downsampling(model, data, batch);
    let window = Window::new([1, 1], stride, [1, 1], [0, 0]).ok()?;
    let shape = ConvolutionShape::new(inputs, outputs, 1, window).ok()?;
    Some(Recognised { operator: Operator::Convolution { shape, weights, bias: vec![0.0; outputs] }, inputs: vec![input] })
}

/// A layer whose input has no height and width, or a height and width of 1.
fn fully_connected(model: &TypedModel, node: usize, batch: usize, size: [usize; 3]) -> Option<Recognised> {
    let [outputs, 1, 1] = size else { return None };
    let layer = linear(model, node.into(), batch, outputs).filter(|layer| layer.node == node)?;
    let [inputs, 1, 1] = map_size(model, layer.input, batch)? else { return None };
    let shape = ConvolutionShape::new(inputs, outputs, 1, Window::UNIT).ok()?;
    Some(Recognised { operator: Operator::Convolution { shape, weights: layer.weights, bias: layer.bias }, inputs: vec![layer.input] })
}

/// A layer on all values of a map, which tract sees through the flattening in front of it: a convolution whose window is the whole map.
fn on_all_pixels(model: &TypedModel, node: usize, batch: usize, size: [usize; 3]) -> Option<Recognised> {
    let [outputs, 1, 1] = size else { return None };
    let op = model.node(node).op_as::<EinSum>().filter(|op| op.q_params.is_none())?;
    let [a, b] = *model.node(node).inputs.as_slice() else { return None };
    let (data, data_slot, weights, weights_slot) = if constant(model, b).is_some() { (a, 0, b, 1) } else { (b, 1, a, 0) };
    let weights = constant(model, weights)?;
    let (map, rank) = (map_size(model, data, batch)?, shape(model, data)?.len());
    let outputs_first = *weights.shape() == [outputs, map[0], map[1], map[2]];
    if rank < 3 || !outputs_first && *weights.shape() != [map[0], map[1], map[2], outputs] {
        return None;
    }
    let (first, output) = if outputs_first { (1, 0) } else { (0, 3) };
    for axis in op.axes.iter_all_axes() {
        match (axis.inputs[data_slot].as_slice(), axis.inputs[weights_slot].as_slice(), axis.outputs[0].as_slice()) {
            ([from], [at], []) if *from + 3 + first == *at + rank => {}
            ([], [at], [_]) if *at == output => {}
            ([0], [], [0]) if rank == 4 => {}
            // A batch of one that tract drops or brings back.
            ([0], [], []) if rank == 4 && batch == 1 => {}
            ([], [], [0]) if batch == 1 => {}
            _ => return None,
        }
    }
    let weights = if outputs_first { weights } else { tensor1(&transpose(values(&weights)?, outputs)).into_arc_tensor() };
    let shape = ConvolutionShape::new(map[0], outputs, 1, Window::of_taps([map[1], map[2]]).ok()?).ok()?;
    Some(Recognised { operator: Operator::Convolution { shape, weights, bias: vec![0.0; outputs] }, inputs: vec![data] })
}

/// The mean or the largest value of every channel.
fn global_pool(model: &TypedModel, node: usize, batch: usize) -> Option<Recognised> {
    let largest = || {
        let reduce = model.node(node).op_as::<Reduce>().filter(|reduce| reduce.reducer == Reducer::Max)?;
        let input = model.node(node).inputs[0];
        let rank = shape(model, input)?.len();
        (rank >= 3 && *reduce.axes == [rank - 2, rank - 1]).then_some((Pool::Max, input))
    };
    let mean = squeezed_map(model, node.into()).filter(|input| input.node != node).map(|input| (Pool::Average, input));
    let (pool, input) = mean.or_else(largest)?;
    let [_, height, width] = map_size(model, input, batch)?;
    let window = Window::of_taps([height, width]).ok()?;
    Some(Recognised { operator: Operator::Pool(pool, window), inputs: vec![input] })
}

/// The map that `wire` takes every so many rows and columns of, and how many.
fn through_downsampling(model: &TypedModel, mut wire: OutletId, batch: usize) -> (OutletId, [usize; 2]) {
    let mut stride = [1_usize, 1];
    while let Some(op) = model.node(wire.node).op_as::<Downsample>() {
        let input = model.node(wire.node).inputs[0];
        let axis = shape(model, input).and_then(|shape| (op.axis + 2).checked_sub(shape.len()));
        match (axis, usize::try_from(op.stride)) {
            (Some(axis @ 0..2), Ok(step)) if op.modulo == 0 && map_size(model, input, batch).is_some() => match stride[axis].checked_mul(step) {
                Some(product @ 1..=MAX_SIZE) => stride[axis] = product,
                _ => break,
            },
            _ => break,
        }
        wire = input;
    }
    (wire, stride)
}

/// The window of a convolution or pool from maps of `input` to maps of `output`.
fn window(spec: &PoolSpec, input: [usize; 3], output: [usize; 3]) -> Option<Window> {
    if !matches!(spec.data_format, DataFormat::NCHW | DataFormat::CHW) {
        return None;
    }
    let pair = |values: &[usize]| <[usize; 2]>::try_from(values).ok();
    let kernel = pair(&spec.kernel_shape)?;
    let (stride, dilation) = (pair(&spec.strides())?, pair(&spec.dilations())?);
    // Of a window without padding, what it needs beyond the end of the input is all the padding.
    let bare = Window::new(kernel, stride, dilation, [0, 0]).ok()?;
    let total = |axis: usize| bare.needed(axis, input[axis + 1], output[axis + 1]);
    let padding = match &spec.padding {
        PaddingSpec::Explicit(before, _) | PaddingSpec::ExplicitOnnxPool(before, _, _) => pair(before)?,
        PaddingSpec::Valid => [0, 0],
        PaddingSpec::SameUpper => [total(0) / 2, total(1) / 2],
        PaddingSpec::SameLower => [total(0).div_ceil(2), total(1).div_ceil(2)],
    };
    Window::new(kernel, stride, dilation, padding).ok()
}

/// Of maps and vectors of `rank`: the first but for the batch, which those of odd rank do not have.
fn channel_axis(rank: usize) -> usize {
    usize::from(rank.is_multiple_of(2))
}

/// A constant beside maps of `size`, of rank `rank`, that is one value for each channel.
fn channel_values(tensor: &Tensor, [channels, ..]: [usize; 3], rank: usize) -> Option<Vec<f32>> {
    if let Some(value) = uniform(tensor) {
        return Some(vec![value; channels]);
    }
    let fits = tensor.rank() == rank && tensor.len() == channels && tensor.shape()[channel_axis(rank)] == channels;
    fits.then(|| values(tensor).map(<[f32]>::to_vec)).flatten()
}
