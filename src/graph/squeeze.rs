//! Recognising a squeeze: the mean over the two spatial axes.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};

use super::clamp::Step;
use super::pattern::{shape, step, through_unit_axes};

/// Largest difference of the divisor from H·W, relative.
const TOLERANCE: f32 = 1e-5;

/// The map, `[…, H, W]`, whose mean over H and W `wire` is: sums over these axes, in one step or two, times 1/(H·W) in all.
pub(super) fn squeezed_map(model: &TypedModel, wire: OutletId) -> Option<OutletId> {
    let mut wire = through_unit_axes(model, wire);
    let (mut factor, mut axes) = (1.0, vec![]);
    loop {
        if let Some((input, Step::Multiply(k))) = step(model, wire) {
            factor *= k;
            wire = input;
        } else if let Some((reduce, input)) = sum(model, wire) {
            axes.extend_from_slice(&reduce.axes);
            wire = input;
        } else {
            break;
        }
        if axes.is_empty() {
            wire = through_unit_axes(model, wire);
        }
    }
    axes.sort_unstable();
    let [.., height, width] = *shape(model, wire)? else { return None };
    let rank = model.outlet_fact(wire).ok()?.rank();
    let is_mean = (factor * (height * width) as f32 - 1.0).abs() <= TOLERANCE;
    (is_mean && axes == [rank - 2, rank - 1]).then_some(wire)
}

fn sum(model: &TypedModel, wire: OutletId) -> Option<(&Reduce, OutletId)> {
    let node = model.node(wire.node);
    let reduce = node.op_as::<Reduce>().filter(|r| r.reducer == Reducer::Sum)?;
    Some((reduce, *node.inputs.first()?))
}
