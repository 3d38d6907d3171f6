//! The middle of a map, of a size that is stated: what `ConvTranspose` with an `output_shape` leaves of what its windows cover.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::array::Slice;
use tract_onnx::tract_hir::internal::*;

use super::{Imported, one_of_the_same_type};
use crate::graph::Refusal;

/// The last axes become `sizes`; of an odd surplus one more is cut off in front, or behind if `upper`.
#[derive(Debug, Clone)]
struct Crop {
    sizes: Vec<i64>,
    upper: bool,
}

pub(super) fn import(_: &ParsingContext<'_>, node: &NodeProto) -> Imported {
    Ok((expand(Crop { sizes: node.get_attr_vec("sizes")?, upper: node.get_attr_opt::<i64>("upper")?.unwrap_or(0) != 0 }), vec![]))
}

impl Crop {
    /// The first value that is left of `actual`, where `size` are.
    fn first(&self, actual: i64, size: i64) -> TractResult<i64> {
        let surplus = actual.saturating_sub(size);
        let why = || Refusal(format!("its output_shape has an axis of {size}, its windows cover {actual}; export it with pads and output_padding"));
        ensure!(surplus >= 0 && size > 0, why());
        Ok(if self.upper { surplus / 2 } else { surplus - surplus / 2 })
    }
}

impl Expansion for Crop {
    fn name(&self) -> StaticName {
        "Crop".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(&'s self, s: &mut Solver<'r>, inputs: &'p [TensorProxy], outputs: &'p [TensorProxy]) -> InferenceResult {
        one_of_the_same_type(s, inputs, outputs)?;
        s.given(&inputs[0].shape, move |s, mut shape| {
            let leading = shape.len().saturating_sub(self.sizes.len());
            for (actual, size) in shape.iter_mut().skip(leading).zip(&self.sizes) {
                if let Ok(actual) = actual.to_i64() {
                    self.first(actual, *size)?;
                }
                *actual = size.to_dim();
            }
            s.equals(&outputs[0].shape, shape)
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let shape = model.outlet_fact(inputs[0])?.shape.to_tvec();
        let leading = shape.len().saturating_sub(self.sizes.len());
        let mut wire = inputs[0];
        for ((axis, actual), size) in shape.iter().enumerate().skip(leading).zip(&self.sizes) {
            let first = self.first(actual.to_i64()?, *size)?;
            wire = model.wire_node(format!("{prefix}.axis-{axis}"), Slice::new(axis, first, first + size), &[wire])?[0];
        }
        Ok(tvec!(wire))
    }
}
