//! Every so many values along an axis, from the first one: the second half of a `Slice` with a step.
//!
//! tract has an operator of its own for that, and moves it in front of others where it does not belong.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::array::Gather;
use tract_onnx::tract_hir::internal::*;

pub(super) fn import(_context: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let (axis, step) = (node.get_attr::<i64>("axis")?, node.get_attr::<i64>("step")?);
    ensure!(step > 0, "a step of {step}");
    Ok((expand(EveryNth { axis, step }), vec![]))
}

#[derive(Debug, Clone)]
struct EveryNth {
    axis: i64,
    step: i64,
}

impl EveryNth {
    fn axis(&self, rank: usize) -> TractResult<usize> {
        let axis = if self.axis < 0 { self.axis + rank as i64 } else { self.axis };
        usize::try_from(axis).ok().filter(|axis| *axis < rank).with_context(|| format!("axis {} of {rank}", self.axis))
    }
}

impl Expansion for EveryNth {
    fn name(&self) -> StaticName {
        "Slice".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(&'s self, s: &mut Solver<'r>, inputs: &'p [TensorProxy], outputs: &'p [TensorProxy]) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        s.equals(&inputs[0].rank, &outputs[0].rank)?;
        s.given(&inputs[0].shape, move |s, mut shape| {
            let axis = self.axis(shape.len())?;
            shape[axis] = shape[axis].clone().divceil(self.step as usize);
            s.equals(&outputs[0].shape, shape)
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let fact = model.outlet_fact(inputs[0])?;
        let axis = self.axis(fact.rank())?;
        let size = fact.shape[axis].to_i64().context("an axis whose size depends on values")?;
        let indices: Vec<i64> = (0..size).step_by(self.step as usize).collect();
        let indices = model.add_const(format!("{prefix}.indices"), tensor1(&indices))?;
        model.wire_node(prefix, Gather::new(axis), &[inputs[0], indices])
    }
}
