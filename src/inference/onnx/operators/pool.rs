//! Sums of windows and of whole maps, which pools of powers (`LpPool`, `GlobalLpPool`) are made of.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::nn::{DataFormat, Reduce, Reducer};
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::cnn::{HirSumPool, PaddingSpec, PoolSpec};

use super::{Imported, one_of_the_same_type};

/// With the attributes of `AveragePool`.
pub(super) fn import_sum(_: &ParsingContext<'_>, node: &NodeProto) -> Imported {
    let kernel = node.get_attr_tvec::<usize>("kernel_shape")?;
    let ceil = node.get_attr_opt::<i64>("ceil_mode")?.unwrap_or(0) != 0;
    let padding = match node.get_attr_opt("auto_pad")?.unwrap_or("NOTSET") {
        "SAME_UPPER" => PaddingSpec::SameUpper,
        "SAME_LOWER" => PaddingSpec::SameLower,
        "VALID" => PaddingSpec::ExplicitOnnxPool(tvec!(0; kernel.len()), tvec!(0; kernel.len()), ceil),
        _ => {
            let pads = node.get_attr_opt_tvec::<usize>("pads")?.unwrap_or_else(|| tvec!(0; 2 * kernel.len()));
            let (before, after) = pads.split_at(pads.len() / 2);
            PaddingSpec::ExplicitOnnxPool(before.into(), after.into(), ceil)
        }
    };
    let (dilations, strides) = (node.get_attr_opt_tvec("dilations")?, node.get_attr_opt_tvec("strides")?);
    let spec = PoolSpec::new(DataFormat::NCHW, kernel, padding, dilations, strides, 0, 0);
    Ok((expand(HirSumPool::new(spec, true, false)), vec![]))
}

#[derive(Debug, Clone)]
struct GlobalSum;

pub(super) fn import_global_sum(_: &ParsingContext<'_>, _: &NodeProto) -> Imported {
    Ok((expand(GlobalSum), vec![]))
}

impl Expansion for GlobalSum {
    fn name(&self) -> StaticName {
        "GlobalLpPool".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(&'s self, s: &mut Solver<'r>, inputs: &'p [TensorProxy], outputs: &'p [TensorProxy]) -> InferenceResult {
        one_of_the_same_type(s, inputs, outputs)?;
        s.given(&inputs[0].shape, move |s, mut shape| {
            shape.iter_mut().skip(2).for_each(|size| *size = 1.into());
            s.equals(&outputs[0].shape, shape)
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let axes = (2..model.outlet_fact(inputs[0])?.rank()).collect();
        model.wire_node(prefix, Reduce::new(axes, Reducer::Sum), inputs)
    }
}
