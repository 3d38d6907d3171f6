//! What quantisation becomes when it is folded: rounding to the numbers that a quantised tensor can hold.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_hir::internal::*;

use super::{Imported, axis_of, one_of_the_same_type};
use crate::kernels::maps::{Epilogue, Grid, Nonlinearity};
use crate::ops::{Pointwise, RoundToOwnRange};

/// `scales`, `low` and `high` have one value, or one for each index along `axis`.
#[derive(Debug, Clone)]
struct Rounding {
    scales: Vec<f32>,
    low: Vec<f32>,
    high: Vec<f32>,
    axis: i64,
    /// Whether whole numbers are wanted, without the scales.
    units: bool,
    /// What is done with the numbers of the only grid.
    function: fn(Grid) -> Epilogue,
}

pub(super) fn import(_: &ParsingContext<'_>, node: &NodeProto) -> Imported {
    rounding(node, Epilogue::from)
}

pub(super) fn import_silu(_: &ParsingContext<'_>, node: &NodeProto) -> Imported {
    rounding(node, |grid| Nonlinearity::RoundedSilu(grid).into())
}

pub(super) fn import_hard_swish(_: &ParsingContext<'_>, node: &NodeProto) -> Imported {
    rounding(node, |grid| Nonlinearity::RoundedHardSwish(grid).into())
}

fn rounding(node: &NodeProto, function: fn(Grid) -> Epilogue) -> Imported {
    let list =
        |name: &str| node.attribute.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.floats.clone()).unwrap_or_default();
    let (scales, low, high) = (list("scales"), list("low"), list("high"));
    ensure!(!scales.is_empty() && scales.len() == low.len() && scales.len() == high.len(), "{} scales for {} ranges", scales.len(), low.len());
    ensure!(scales.iter().all(|scale| scale.is_finite() && *scale > 0.0), "a scale that is not above 0");
    ensure!(low.iter().zip(&high).all(|(low, high)| low <= high), "a range without values");
    let axis = node.attribute.iter().find(|attribute| attribute.name == "axis").map_or(1, |attribute| attribute.i);
    let units = node.attribute.iter().any(|attribute| attribute.name == "units" && attribute.i != 0);
    Ok((expand(Rounding { scales, low, high, axis, units, function }), vec![]))
}

impl Expansion for Rounding {
    fn name(&self) -> StaticName {
        "FakeQuantize".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(&'s self, s: &mut Solver<'r>, inputs: &'p [TensorProxy], outputs: &'p [TensorProxy]) -> InferenceResult {
        like_its_input(s, inputs, outputs)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        if let (false, [scale], [low], [high]) = (self.units, self.scales.as_slice(), self.low.as_slice(), self.high.as_slice()) {
            let op = Pointwise((self.function)(Grid { scale: *scale, low: *low, high: *high })).into_op();
            return model.wire_node(prefix, op, inputs);
        }
        let rank = model.outlet_fact(inputs[0])?.rank();
        let axis = axis_of(self.axis, rank)?;
        let mut constant = |name: &str, values: Vec<f32>| {
            let mut shape = vec![1; rank];
            shape[axis] = values.len();
            model.add_const(format!("{prefix}.{name}"), Tensor::from_shape(&shape, &values)?)
        };
        // Rounded to whole numbers between two multiplications for each channel, which are depthwise convolutions of one tap. A product with the
        // reciprocal is at most two units in the last place off the quotient: a value that is rounded otherwise lies between two numbers.
        let (least, largest) = (self.low.iter().copied().fold(f32::INFINITY, f32::min), self.high.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let same = self.low.iter().all(|low| *low == least) && self.high.iter().all(|high| *high == largest);
        let inverses = constant("inverses", self.scales.iter().map(|scale| scale.recip()).collect())?;
        let scales = constant("scales", self.scales.clone())?;
        let ends = if same { None } else { Some([constant("low", self.low.clone())?, constant("high", self.high.clone())?]) };
        let mut wire = model.wire_node(format!("{prefix}.divided"), math::mul(), &[inputs[0], inverses])?[0];
        let op = Pointwise(Grid { scale: 1.0, low: least, high: largest }.into()).into_op();
        wire = model.wire_node(format!("{prefix}.rounded"), op, &[wire])?[0];
        if let Some([low, high]) = ends {
            wire = model.wire_node(format!("{prefix}.at_least"), math::max(), &[wire, low])?[0];
            wire = model.wire_node(format!("{prefix}.at_most"), math::min(), &[wire, high])?[0];
        }
        if self.units { Ok(tvec!(wire)) } else { model.wire_node(prefix, math::mul(), &[wire, scales]) }
    }
}

#[derive(Debug, Clone)]
struct RoundingToOwnRange;

pub(super) fn import_dynamic(_: &ParsingContext<'_>, _: &NodeProto) -> Imported {
    Ok((expand(RoundingToOwnRange), vec![]))
}

impl Expansion for RoundingToOwnRange {
    fn name(&self) -> StaticName {
        "DynamicFakeQuantize".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(&'s self, s: &mut Solver<'r>, inputs: &'p [TensorProxy], outputs: &'p [TensorProxy]) -> InferenceResult {
        like_its_input(s, inputs, outputs)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, RoundToOwnRange, inputs)
    }
}

fn like_its_input<'r, 'p: 'r>(s: &mut Solver<'r>, inputs: &'p [TensorProxy], outputs: &'p [TensorProxy]) -> InferenceResult {
    one_of_the_same_type(s, inputs, outputs)?;
    s.equals(&inputs[0].datum_type, f32::datum_type())?;
    s.equals(&inputs[0].shape, &outputs[0].shape)
}
