//! Functions of each value that quantisation leaves: rounding to the numbers that a quantised tensor can hold, with constants of the file, or with the
//! range that the values have.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::element_wise::{ElementWiseMiniOp, ElementWiseOp};

use crate::kernels::maps::{Epilogue, Grid};

/// A function of each value by itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pointwise(pub(crate) Epilogue);

impl Eq for Pointwise {}

impl Pointwise {
    pub(crate) fn into_op(self) -> ElementWiseOp {
        ElementWiseOp(Box::new(self), None)
    }
}

impl ElementWiseMiniOp for Pointwise {
    fn name(&self) -> String {
        "FakeQuantize".to_owned()
    }

    fn eval_in_place(&self, tensor: &mut Tensor, _: Option<DatumType>) -> TractResult<()> {
        tensor.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?.iter_mut().for_each(|value| *value = self.0.apply(*value));
        Ok(())
    }
}

/// Rounds to the 256 numbers from the least to the largest value of the tensor, or 0: what `DynamicQuantizeLinear` does, and an operator behind it that
/// subtracts its zero point and multiplies by its scale.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
pub(crate) struct RoundToOwnRange;

impl Op for RoundToOwnRange {
    fn name(&self) -> StaticName {
        "DynamicFakeQuantize".into()
    }

    op_as_typed_op!();
}

impl EvalOp for RoundToOwnRange {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut tensor = args_1!(inputs).into_tensor();
        let (least, largest) = {
            let plain = tensor.try_as_plain_ram()?;
            plain.as_slice::<f32>()?.iter().fold((0_f32, 0_f32), |(least, largest), value| (least.min(*value), largest.max(*value)))
        };
        if let Some(grid) = Grid::of_range(least, largest) {
            Pointwise(grid.into()).eval_in_place(&mut tensor, None)?;
        }
        Ok(tvec!(tensor.into()))
    }
}

impl TypedOp for RoundToOwnRange {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].without_value()))
    }

    as_op!();
}
