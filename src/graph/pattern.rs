//! Looking at a typed model: constants, binary operators, and wires seen through changes of axes that move no data.

use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_onnx::tract_core::ops::cnn::{Conv, MaxPool, PaddingSpec, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::element_wise::{ElementWiseMiniOp, ElementWiseOp};
use tract_onnx::tract_core::ops::logic::{CompGT, Iff};
use tract_onnx::tract_core::ops::math::{Add, Div, Max, Min, Mul, Sub};

use super::clamp::Step;

/// The windows of a convolution or pool.
pub(crate) fn pool_spec(node: &TypedNode) -> Option<&PoolSpec> {
    let conv = || node.op_as::<Conv>().map(|op| &op.pool_spec);
    let max = || node.op_as::<MaxPool>().map(|op| &op.pool_spec);
    conv().or_else(max).or_else(|| node.op_as::<SumPool>().map(|op| &op.pool_spec))
}

/// The padding in front of every axis and behind it, where it is stated; none else.
pub(crate) fn stated_padding(spec: &PoolSpec) -> [&[usize]; 2] {
    match &spec.padding {
        PaddingSpec::Explicit(before, after) | PaddingSpec::ExplicitOnnxPool(before, after, _) => [before.as_slice(), after.as_slice()],
        PaddingSpec::Valid | PaddingSpec::SameUpper | PaddingSpec::SameLower => [&[], &[]],
    }
}

/// The sizes of `wire`, where all are known.
pub(super) fn shape(model: &TypedModel, wire: OutletId) -> Option<TVec<usize>> {
    model.outlet_fact(wire).ok()?.shape.as_concrete().map(TVec::from_slice)
}

/// The wire that `wire` is apart from axes of length 1 that were added, dropped or moved.
pub(super) fn through_unit_axes(model: &TypedModel, mut wire: OutletId) -> OutletId {
    while let Some((op, input)) = unary::<AxisOp>(model, wire) {
        if !shape(model, input).is_some_and(|shape| keeps_order(op, &shape)) {
            break;
        }
        wire = input;
    }
    wire
}

/// Whether the values of a tensor of `shape` stay in the same order along the same axes, those of length 1 apart.
pub(super) fn keeps_order(op: &AxisOp, shape: &[usize]) -> bool {
    let long = |dims: &[TDim]| dims.iter().filter(|d| !d.is_one()).cloned().collect::<TVec<TDim>>();
    match op {
        AxisOp::Add(_) | AxisOp::Rm(_) => true,
        AxisOp::Move(from, to) => {
            let crossed = if from < to { from + 1..to + 1 } else { *to..*from };
            shape.get(*from) == Some(&1) || shape.get(crossed).is_some_and(|sizes| sizes.iter().all(|size| *size == 1))
        }
        AxisOp::Reshape(_, from, to) => long(from) == long(to),
    }
}

/// The operator `O` that yields `wire`, and its first input.
fn unary<O: Op>(model: &TypedModel, wire: OutletId) -> Option<(&O, OutletId)> {
    let node = model.node(wire.node);
    Some((node.op_as::<O>()?, *node.inputs.first()?))
}

/// The input of the element-wise operator `O` that yields `wire`.
pub(super) fn element_wise<O: ElementWiseMiniOp>(model: &TypedModel, wire: OutletId) -> Option<OutletId> {
    let (op, input) = unary::<ElementWiseOp>(model, wire)?;
    op.0.is::<O>().then_some(input)
}

/// The inputs of the binary operator `O` that yields `wire`.
pub(super) fn binary<O: BinMiniOp>(model: &TypedModel, wire: OutletId) -> Option<[OutletId; 2]> {
    let node = model.node(wire.node);
    let is_it = node.op_as::<TypedBinOp>().is_some_and(|op| op.0.is::<O>());
    if is_it { node.inputs.as_slice().try_into().ok() } else { None }
}

/// The other input and the constant of the binary operator `O` that yields `wire`, in whichever order they stand.
pub(super) fn binary_with_constant<O: BinMiniOp>(model: &TypedModel, wire: OutletId) -> Option<(OutletId, Arc<Tensor>)> {
    let [a, b] = binary::<O>(model, wire)?;
    constant(model, b).map(|k| (a, k)).or_else(|| constant(model, a).map(|k| (b, k)))
}

/// The value of `wire` when it is a constant of `f32`.
pub(super) fn constant(model: &TypedModel, wire: OutletId) -> Option<Arc<Tensor>> {
    let tensor = model.outlet_fact(wire).ok()?.konst.clone()?;
    (tensor.datum_type() == f32::datum_type()).then_some(tensor)
}

/// The values of a constant.
pub(super) fn values(tensor: &Tensor) -> Option<&[f32]> {
    tensor.as_plain_ram()?.as_slice().ok()
}

/// The one value that all elements of a constant have.
pub(super) fn uniform(tensor: &Tensor) -> Option<f32> {
    let (first, rest) = values(tensor)?.split_first()?;
    rest.iter().all(|v| v == first).then_some(*first)
}

/// What `node` is PReLU of, and the slopes: tract writes it as `if 0 > x { x · slopes } else { x }`.
pub(super) fn prelu(model: &TypedModel, node: usize) -> Option<(OutletId, Arc<Tensor>)> {
    let [test, product, input] = *model.node(node).inputs.as_slice() else { return None };
    let [zero, tested] = binary::<CompGT>(model, test)?;
    let (factor, slopes) = binary_with_constant::<Mul>(model, product)?;
    let is_it = model.node(node).op_is::<Iff>() && uniform(constant(model, zero)?.as_ref()) == Some(0.0) && tested == input && factor == input;
    is_it.then_some((input, slopes))
}

/// The arithmetic with one number that yields `wire`, and what it was done to.
pub(super) fn step(model: &TypedModel, wire: OutletId) -> Option<(OutletId, Step)> {
    let commutative = |found: Option<(OutletId, Arc<Tensor>)>, step: fn(f32) -> Step| {
        let (input, constant) = found?;
        Some((input, step(uniform(&constant)?)))
    };
    let ordered = |inputs: Option<[OutletId; 2]>, step: fn(f32) -> Step| {
        let [input, constant_wire] = inputs?;
        Some((input, step(uniform(constant(model, constant_wire)?.as_ref())?)))
    };
    commutative(binary_with_constant::<Add>(model, wire), Step::Add)
        .or_else(|| commutative(binary_with_constant::<Mul>(model, wire), Step::Multiply))
        .or_else(|| commutative(binary_with_constant::<Max>(model, wire), Step::Max))
        .or_else(|| commutative(binary_with_constant::<Min>(model, wire), Step::Min))
        .or_else(|| ordered(binary::<Sub>(model, wire), |k| Step::Add(-k)))
        .or_else(|| ordered(binary::<Div>(model, wire), |k| Step::Multiply(1.0 / k)))
}
