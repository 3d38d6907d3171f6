//! Recognising what is done to every number of a wire: functions in a row, whatever operators exporters spell them with.
//!
//! A function that reads its argument more than once, as GELU and Mish do, has many spellings. Its operators are run on samples and the results
//! compared with the functions that the kernels know, so that the order of the operators does not matter and their constants are checked.

use std::collections::HashMap;
use std::sync::LazyLock;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::logic::Iff;
use tract_onnx::tract_core::ops::math::{Sub, Tanh};
use tract_onnx::tract_core::ops::nn::{HardSwish, LeakyRelu, Sigmoid, Silu};

use super::clamp::{Clamp, Step, clamp};
use super::linear::bias_values;
use super::pattern::{binary, constant, element_wise, prelu, shape, step, through_unit_axes, uniform};
use crate::kernels::maps::{Epilogue, Nonlinearity};
use crate::kernels::{Function, Functions};
use crate::ops::{Pointwise, RoundToOwnRange};

/// Functions applied to a wire.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) functions: Functions,
    pub(super) input: OutletId,
}

/// All functions in a row that yield `wire`, `[batch, channels]` apart from axes of length 1, and what the first is applied to.
pub(super) fn applied(model: &TypedModel, wire: OutletId, channels: usize) -> Applied {
    let mut wire = through_unit_axes(model, wire);
    let mut backwards = vec![];
    while let Some((functions, input)) = last_applied(model, wire, channels) {
        backwards.push(functions);
        wire = through_unit_axes(model, input);
    }
    Applied { functions: Functions::new(backwards.into_iter().rev().flatten()), input: wire }
}

/// The last functions that yield `wire`, in order of application, and what they are applied to.
pub(super) fn last_applied(model: &TypedModel, wire: OutletId, channels: usize) -> Option<(Vec<Function>, OutletId)> {
    clamped(model, wire)
        .or_else(|| turned(model, wire))
        .or_else(|| named(model, wire).map(|(function, input)| (vec![function], input)))
        .or_else(|| rounded(model, wire, channels))
        .or_else(|| with_slopes(model, wire, channels).map(|(function, input)| (vec![function], input)))
        .or_else(|| spelled_out(model, wire))
}

fn clamped(model: &TypedModel, wire: OutletId) -> Option<(Vec<Function>, OutletId)> {
    let (function, input) = clamp(model, wire);
    (function != Clamp::IDENTITY || input != through_unit_axes(model, wire)).then(|| (function.functions(), input))
}

/// Products with what is not positive, and differences from a number.
fn turned(model: &TypedModel, wire: OutletId) -> Option<(Vec<Function>, OutletId)> {
    if let Some((input, Step::Multiply(scale))) = step(model, wire).filter(|(_, step)| matches!(step, Step::Multiply(k) if k.is_finite())) {
        return Some((vec![Function::Affine { scale, shift: 0.0 }], input));
    }
    let [minuend, input] = binary::<Sub>(model, wire)?;
    let shift = uniform(constant(model, minuend)?.as_ref()).filter(|shift| shift.is_finite())?;
    Some((vec![Function::Affine { scale: -1.0, shift }], input))
}

/// What is one operator of tract.
fn named(model: &TypedModel, wire: OutletId) -> Option<(Function, OutletId)> {
    let leaky = || {
        let node = model.node(wire.node);
        let op = node.op_as::<ElementWiseOp>()?.0.downcast_ref::<LeakyRelu>()?;
        Some((Function::LeakyRelu { slope: op.alpha }, *node.inputs.first()?))
    };
    let plain = element_wise::<Sigmoid>(model, wire).map(|input| (Function::Sigmoid, input));
    plain
        .or_else(|| Some((Function::Tanh, element_wise::<Tanh>(model, wire)?)))
        .or_else(|| Some((Function::Silu, element_wise::<Silu>(model, wire)?)))
        .or_else(|| Some((Function::HardSwish, element_wise::<HardSwish>(model, wire)?)))
        .or_else(leaky)
}

/// What quantisation leaves.
fn rounded(model: &TypedModel, wire: OutletId, channels: usize) -> Option<(Vec<Function>, OutletId)> {
    let node = model.node(wire.node);
    if node.op_is::<RoundToOwnRange>() {
        // The range is that of all images, and functions see one.
        let is_one_image = shape(model, wire)?.iter().product::<usize>() == channels;
        return is_one_image.then_some((vec![Function::RoundToOwnRange], *node.inputs.first()?));
    }
    let Epilogue { before: None, nonlinearity, after } = node.op_as::<ElementWiseOp>()?.0.downcast_ref::<Pointwise>()?.0 else { return None };
    let function = match nonlinearity {
        Nonlinearity::RoundedSilu(grid) => Some(Function::RoundedSilu(grid)),
        Nonlinearity::RoundedHardSwish(grid) => Some(Function::RoundedHardSwish(grid)),
        Nonlinearity::Identity => None,
        _ => return None,
    };
    Some((function.into_iter().chain(after.map(Function::Round)).collect(), *node.inputs.first()?))
}

fn with_slopes(model: &TypedModel, wire: OutletId, channels: usize) -> Option<(Function, OutletId)> {
    let (input, slopes) = prelu(model, wire.node)?;
    if let Some(slope) = uniform(&slopes) {
        return Some((Function::LeakyRelu { slope }, input));
    }
    let slopes = bias_values(&slopes, &shape(model, wire)?, channels)?;
    Some((Function::Prelu { slopes }, input))
}

/// Operators of a function that is spelled out; the longest known, Selu, has seven.
const MAX_OPERATORS: usize = 16;

/// A function spelled out by operators that lead to one wire.
fn spelled_out(model: &TypedModel, wire: OutletId) -> Option<(Vec<Function>, OutletId)> {
    let mut open = vec![wire];
    for _ in 0..MAX_OPERATORS {
        let latest =
            open.iter().position(|candidate| !open.iter().any(|other| other != candidate && reaches(model, *other, *candidate, MAX_OPERATORS)))?;
        let node = model.node(open.swap_remove(latest).node);
        if !is_pointwise(node) {
            return None;
        }
        for input in node.inputs.iter().map(|input| through_unit_axes(model, *input)) {
            if model.outlet_fact(input).ok()?.konst.is_none() && !open.contains(&input) {
                open.push(input);
            }
        }
        if let [input] = open[..] {
            let values = run(model, wire, input)?;
            if let Some(functions) = known(&values) {
                return Some((functions, input));
            }
        }
    }
    None
}

/// Whether `wire` depends on `earlier` through at most so many operators in a row.
fn reaches(model: &TypedModel, wire: OutletId, earlier: OutletId, operators: usize) -> bool {
    let node = model.node(wire.node);
    operators > 0
        && is_pointwise(node)
        && node
            .inputs
            .iter()
            .map(|input| through_unit_axes(model, *input))
            .any(|input| input == earlier || reaches(model, input, earlier, operators - 1))
}

fn is_pointwise(node: &TypedNode) -> bool {
    node.op_is::<ElementWiseOp>() || node.op_is::<TypedBinOp>() || node.op_is::<Iff>()
}

/// Arguments: dense where functions bend, and far out; the first two are the ends.
static SAMPLES: LazyLock<Vec<f32>> = LazyLock::new(|| {
    let dense = (-120..=120).map(|tenth| tenth as f32 / 10.0 + 0.01);
    [-30.0, 30.0].into_iter().chain(dense).chain([-1000.0, -100.0, -50.0, -15.0, 15.0, 50.0, 100.0, 1000.0]).collect()
});

/// `wire` where `input` is the samples.
fn run(model: &TypedModel, wire: OutletId, input: OutletId) -> Option<Vec<f32>> {
    let mut values = HashMap::from([(input, tensor1(&SAMPLES).into_tvalue())]);
    let result = evaluate(model, wire, &mut values)?;
    result.try_as_plain_ram().ok()?.as_slice::<f32>().ok().map(<[f32]>::to_vec)
}

fn evaluate(model: &TypedModel, wire: OutletId, values: &mut HashMap<OutletId, TValue>) -> Option<TValue> {
    let wire = through_unit_axes(model, wire);
    if let Some(value) = values.get(&wire) {
        return Some(value.clone());
    }
    if model.outlet_fact(wire).ok()?.konst.is_some() {
        let number = uniform(constant(model, wire)?.as_ref())?;
        return Some(tensor1(&vec![number; SAMPLES.len()]).into_tvalue());
    }
    let node = model.node(wire.node);
    let inputs = node.inputs.iter().map(|input| evaluate(model, *input, values)).collect::<Option<TVec<_>>>()?;
    let value = node.op.eval(&EvalContext::out_of_plan(), inputs).ok()?.into_iter().next()?;
    values.insert(wire, value.clone());
    Some(value)
}

/// Largest difference of two functions that are meant to be equal, relative to arguments beyond 1: tract's own are approximations.
const TOLERANCE: f32 = 1e-5;

/// The number itself, or `round` where they differ by no more than tract's approximations of a function at the ends of the samples.
fn nearest(round: f32, number: f32) -> f32 {
    if (number - round).abs() <= 30.0 * TOLERANCE { round } else { number }
}

/// The functions whose results on the samples are `values`.
fn known(values: &[f32]) -> Option<Vec<Function>> {
    let [at_low, at_high] = *values.first_chunk()?;
    let [low, high] = *SAMPLES.first_chunk()?;
    let affine = |scale, shift| Function::Affine { scale, shift };
    let scaled = |function: Function| {
        let mut ends = [low, high];
        Functions::from(function.clone()).apply(&mut ends, 0);
        let scale = nearest(1.0, (at_high - at_low) / (ends[1] - ends[0]));
        vec![function, affine(scale, nearest(0.0, at_high - scale * ends[1]))]
    };
    let same = [Function::Gelu, Function::GeluTanh, Function::Silu, Function::HardSwish, Function::Mish, Function::Sigmoid, Function::Tanh];
    let slope = nearest(1.0, at_high / high);
    let elu = vec![Function::Elu { alpha: nearest(1.0, -at_low / slope) }, affine(slope, 0.0)];
    let leaky = vec![Function::LeakyRelu { slope: at_low / low / slope }, affine(slope, 0.0)];
    // x · sigmoid(factor · x), with the factor from its value at 1.01.
    let at = SAMPLES.iter().zip(values).find(|(x, _)| (**x - 1.01).abs() < 1e-4).map(|(x, value)| value / x / slope)?;
    let factor = (at / (1.0 - at)).ln();
    let quick = vec![affine(factor, 0.0), Function::Silu, affine(slope / factor, 0.0)];
    same.into_iter().map(scaled).chain([elu, leaky, quick]).find(|functions| {
        let mut results = SAMPLES.clone();
        Functions::new(functions.iter().cloned()).apply(&mut results, 0);
        results.iter().zip(values).zip(&*SAMPLES).all(|((result, value), x)| (result - value).abs() <= TOLERANCE * x.abs().max(1.0))
    })
}
