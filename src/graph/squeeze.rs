//! Recognising a squeeze: the mean over the two spatial axes.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::cnn::{PaddingSpec, SumPool};
use tract_onnx::tract_core::ops::nn::{DataFormat, Reduce, Reducer};

use super::clamp::Step;
use super::pattern::{shape, step, through_unit_axes};

/// Largest difference of the divisor from H·W, relative.
const TOLERANCE: f32 = 1e-5;

/// The map, `[…, H, W]`, whose mean over H and W `wire` is: an average pool of the whole map, or sums over these axes, in one step or two, times
/// 1/(H·W) in all.
pub(super) fn squeezed_map(model: &TypedModel, wire: OutletId) -> Option<OutletId> {
    let (map, factor) = squeezed(model, wire)?;
    ((factor - 1.0).abs() <= TOLERANCE).then_some(map)
}

/// The map, `[…, H, W]`, of whose mean over H and W `wire` is a multiple, and the factor.
pub(super) fn squeezed(model: &TypedModel, wire: OutletId) -> Option<(OutletId, f32)> {
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
    if let Some(map) = pooled(model, wire).filter(|_| axes.is_empty()) {
        return Some((map, factor));
    }
    axes.sort_unstable();
    let [.., height, width] = *shape(model, wire)? else { return None };
    let rank = model.outlet_fact(wire).ok()?.rank();
    (axes == [rank - 2, rank - 1]).then_some((wire, factor * (height * width) as f32))
}

/// The map that `wire` is the only average of.
fn pooled(model: &TypedModel, wire: OutletId) -> Option<OutletId> {
    let node = model.node(wire.node);
    let spec = node.op_as::<SumPool>().filter(|pool| pool.normalize).map(|pool| &pool.pool_spec)?;
    let input = *node.inputs.first()?;
    let [.., height, width] = *shape(model, input)? else { return None };
    let unpadded = match &spec.padding {
        PaddingSpec::Explicit(before, after) | PaddingSpec::ExplicitOnnxPool(before, after, _) => before.iter().chain(after).all(|pad| *pad == 0),
        PaddingSpec::Valid | PaddingSpec::SameUpper | PaddingSpec::SameLower => true,
    };
    let is_whole = matches!(spec.data_format, DataFormat::NCHW | DataFormat::CHW) && *spec.kernel_shape == [height, width];
    let is_one = shape(model, wire)?.iter().rev().take(2).all(|size| *size == 1);
    (is_whole && is_one && unpadded && spec.dilations().iter().all(|dilation| *dilation == 1)).then_some(input)
}

fn sum(model: &TypedModel, wire: OutletId) -> Option<(&Reduce, OutletId)> {
    let node = model.node(wire.node);
    let reduce = node.op_as::<Reduce>().filter(|r| r.reducer == Reducer::Sum)?;
    Some((reduce, *node.inputs.first()?))
}
