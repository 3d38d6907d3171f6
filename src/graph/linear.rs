//! Recognising a fully connected layer with constant weights, whichever way round it was exported.
//!
//! 1×1 convolutions, `Gemm` and `MatMul` have all become `EinSum` after decluttering, with the bias as an `Add` behind it.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::math::{Add, Div, Mul, Sub};

use super::pattern::{binary, binary_with_constant, constant, shape, through_unit_axes, uniform, values};
use super::squeeze::{squeezed, squeezed_map};

/// `weights · x + bias` on `batch` vectors x.
#[derive(Debug)]
pub(super) struct Linear {
    /// x, `[batch, inputs]` apart from axes of length 1.
    pub(super) input: OutletId,
    /// `[outputs, inputs]`, row-major, apart from axes of length 1; the model's own where they lie so in it.
    pub(super) weights: Arc<Tensor>,
    /// `[outputs]`
    pub(super) bias: Vec<f32>,
    /// The node that yields the product.
    pub(super) node: usize,
    /// The map whose means x stands for, where `input` is their sums: the division is a part of the weights.
    pub(super) mean_of: Option<OutletId>,
}

/// A factor and a summand for each channel.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ChannelAffine {
    pub(super) scale: Vec<f32>,
    pub(super) shift: Vec<f32>,
}

impl ChannelAffine {
    /// The same for all channels.
    pub(super) fn uniform(scale: f32, shift: f32, channels: usize) -> Self {
        Self { scale: vec![scale; channels], shift: vec![shift; channels] }
    }

    fn is_scaling(&self) -> bool {
        self.scale.iter().any(|scale| *scale != 1.0)
    }
}

impl Linear {
    /// With `affine` done to every output.
    pub(super) fn then(mut self, affine: &ChannelAffine) -> Option<Self> {
        let inputs = self.weights.len().checked_div(self.bias.len())?.max(1);
        for ((bias, scale), shift) in self.bias.iter_mut().zip(&affine.scale).zip(&affine.shift) {
            *bias = *bias * scale + shift;
        }
        if affine.is_scaling() {
            let rows = values(&self.weights)?.chunks(inputs).zip(&affine.scale);
            let scaled: Vec<f32> = rows.flat_map(|(row, scale)| row.iter().map(move |weight| weight * scale)).collect();
            self.weights = tensor1(&scaled).into_arc_tensor();
        }
        Some(self)
    }

    /// With `affine` done to every input.
    pub(super) fn behind(mut self, affine: &ChannelAffine) -> Option<Self> {
        let rows = values(&self.weights)?.chunks(affine.scale.len().max(1));
        for (bias, row) in self.bias.iter_mut().zip(rows.clone()) {
            let shift: f64 = row.iter().zip(&affine.shift).map(|(weight, shift)| f64::from(*weight) * f64::from(*shift)).sum();
            *bias = (f64::from(*bias) + shift) as f32;
        }
        if affine.is_scaling() {
            let scaled: Vec<f32> = rows.flat_map(|row| row.iter().zip(&affine.scale).map(|(weight, scale)| weight * scale)).collect();
            self.weights = tensor1(&scaled).into_arc_tensor();
        }
        Some(self)
    }
}

/// The layer of `outputs` outputs that yields `wire`, with the batch norms and whatever else multiplies and adds beside it taken in.
pub(super) fn normalised_linear(model: &TypedModel, wire: OutletId, batch: usize, outputs: usize) -> Option<Linear> {
    let (after, product) = channel_affine(model, wire, outputs);
    let layer = linear(model, product, batch, outputs)?;
    let inputs = layer.weights.len().checked_div(outputs)?;
    let (mut before, input) = channel_affine(model, layer.input, inputs);
    // tract merges the division of a mean with a batch norm behind it.
    let sums = squeezed(model, input).filter(|_| before.is_scaling());
    if let Some((_, area)) = sums {
        before.scale.iter_mut().for_each(|scale| *scale *= area);
    }
    let layer = layer.behind(&before)?.then(&after)?;
    Some(Linear { input, mean_of: sums.map(|(map, _)| map), ..layer })
}

/// What is multiplied and added to every channel of a wire to yield `wire`, `[batch, channels]` apart from axes of length 1, and that wire.
fn channel_affine(model: &TypedModel, wire: OutletId, channels: usize) -> (ChannelAffine, OutletId) {
    let mut affine = ChannelAffine::uniform(1.0, 0.0, channels);
    let mut wire = through_unit_axes(model, wire);
    // The division of a mean is no part of what follows it.
    while let Some((input, step, is_product)) = channel_step(model, wire, channels).filter(|_| squeezed_map(model, wire).is_none()) {
        for ((scale, shift), step) in affine.scale.iter_mut().zip(&mut affine.shift).zip(step) {
            if is_product { *scale *= step } else { *shift += *scale * step }
        }
        wire = through_unit_axes(model, input);
    }
    (affine, wire)
}

/// The arithmetic with a number for each channel that yields `wire`: what it was done to, the factors or summands, and whether they are factors.
fn channel_step(model: &TypedModel, wire: OutletId, channels: usize) -> Option<(OutletId, Vec<f32>, bool)> {
    let shape = shape(model, wire)?;
    let numbers = |tensor: &Tensor| bias_values(tensor, &shape, channels).filter(|numbers| numbers.iter().all(|number| number.is_finite()));
    let behind = |inputs: Option<[OutletId; 2]>| {
        let [input, other] = inputs?;
        Some((input, numbers(constant(model, other)?.as_ref())?))
    };
    if let Some((input, tensor)) = binary_with_constant::<Add>(model, wire) {
        return Some((input, numbers(&tensor)?, false));
    }
    if let Some((input, tensor)) = binary_with_constant::<Mul>(model, wire) {
        return Some((input, numbers(&tensor)?, true));
    }
    let negative = behind(binary::<Sub>(model, wire)).map(|(input, numbers)| (input, numbers.iter().map(|n| -n).collect(), false));
    negative.or_else(|| {
        let (input, divisors) = behind(binary::<Div>(model, wire))?;
        let factors: Vec<f32> = divisors.iter().map(|divisor| divisor.recip()).collect();
        factors.iter().all(|factor| factor.is_finite()).then_some((input, factors, true))
    })
}

/// The layer of `outputs` outputs that yields `wire`.
pub(super) fn linear(model: &TypedModel, wire: OutletId, batch: usize, outputs: usize) -> Option<Linear> {
    let wire = through_unit_axes(model, wire);
    let (product, bias) = match binary_with_constant::<Add>(model, wire) {
        Some((input, bias)) => (through_unit_axes(model, input), bias_values(&bias, &shape(model, wire)?, outputs)?),
        None => (wire, vec![0.0; outputs]),
    };
    let node = model.node(product.node);
    let op = node.op_as::<EinSum>().filter(|op| op.q_params.is_none())?;
    let [a, b] = *node.inputs.as_slice() else { return None };
    let (data, weights) = if constant(model, b).is_some() { (0, 1) } else { (1, 0) };
    let (input, tensor) = if weights == 1 { (a, constant(model, b)?) } else { (b, constant(model, a)?) };
    let shapes = Shapes { data: shape(model, input)?, weights: TVec::from_slice(tensor.shape()), output: shape(model, product)? };
    let order = weights_order(&op.axes, data, weights, &shapes, batch, outputs)?;
    let weights = match order {
        Order::OutputsFirst => tensor,
        Order::InputsFirst => tensor1(&transpose(values(&tensor)?, outputs)).into_arc_tensor(),
    };
    Some(Linear { input, weights, bias, node: product.node, mean_of: None })
}

/// A bias, constant over everything but the outputs, which are the last axis of `shape` that is longer than 1.
pub(super) fn bias_values(bias: &Tensor, shape: &[usize], outputs: usize) -> Option<Vec<f32>> {
    if let Some(value) = uniform(bias) {
        return Some(vec![value; outputs]);
    }
    let axis = shape.iter().rposition(|size| *size > 1)?;
    let fits = bias.len() == outputs && bias.shape().get(axis) == Some(&outputs);
    if fits { values(bias).map(<[f32]>::to_vec) } else { None }
}

struct Shapes {
    data: TVec<usize>,
    weights: TVec<usize>,
    output: TVec<usize>,
}

enum Order {
    OutputsFirst,
    InputsFirst,
}

/// An axis longer than 1, and where it is.
struct LongAxis {
    data: Option<usize>,
    weights: Option<usize>,
    output: Option<usize>,
    size: usize,
}

/// How the weights lie, provided that the product is `[batch, inputs] × [inputs, outputs] → [batch, outputs]` apart from axes of length 1.
fn weights_order(axes: &AxesMapping, data: usize, weights: usize, shapes: &Shapes, batch: usize, outputs: usize) -> Option<Order> {
    let (mut contracted, mut produced, mut batches) = (None, None, None);
    for axis in axes.iter_all_axes() {
        let axis = shapes.locate(single(&axis.inputs[data])?, single(&axis.inputs[weights])?, single(&axis.outputs[0])?)?;
        let slot = match (axis.data, axis.weights, axis.output) {
            _ if axis.size == 1 => continue,
            (Some(_), Some(_), None) => &mut contracted,
            (None, Some(_), Some(_)) => &mut produced,
            (Some(_), None, Some(_)) => &mut batches,
            _ => return None,
        };
        if slot.replace(axis).is_some() {
            return None;
        }
    }
    let size = |axis: &Option<LongAxis>| axis.as_ref().map_or(1, |axis| axis.size);
    let inputs = shapes.data.iter().product::<usize>().checked_div(batch)?;
    let sizes_fit = size(&batches) == batch && size(&produced) == outputs && size(&contracted) == inputs;
    // The batch must come before the features, or later steps would take one for the other.
    let batch_first = batches
        .is_none_or(|batch| contracted.as_ref().is_none_or(|c| batch.data < c.data) && produced.as_ref().is_none_or(|p| batch.output < p.output));
    if !sizes_fit || !batch_first {
        return None;
    }
    match (contracted, produced) {
        (Some(inputs), Some(outputs)) if inputs.weights < outputs.weights => Some(Order::InputsFirst),
        _ => Some(Order::OutputsFirst),
    }
}

impl Shapes {
    /// The axis at the given positions; sizes differ where one of them is broadcast.
    fn locate(&self, data: Option<usize>, weights: Option<usize>, output: Option<usize>) -> Option<LongAxis> {
        let size = |shape: &[usize], position: Option<usize>| position.map_or(Some(1), |p| shape.get(p).copied());
        let size = size(&self.data, data)?.max(size(&self.weights, weights)?).max(size(&self.output, output)?);
        Some(LongAxis { data, weights, output, size })
    }
}

/// The only position of an axis, if it has any; `None` for an axis that occurs twice, as in a diagonal.
fn single(positions: &[usize]) -> Option<Option<usize>> {
    match positions {
        [] => Some(None),
        [position] => Some(Some(*position)),
        _ => None,
    }
}

/// `[inputs, outputs]` to `[outputs, inputs]`.
pub(super) fn transpose(weights: &[f32], outputs: usize) -> Vec<f32> {
    (0..outputs).flat_map(|o| weights.iter().skip(o).step_by(outputs).copied()).collect()
}
