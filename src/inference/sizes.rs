//! Bounds on the values inside a network: follows their shapes through the graph, and refuses one that no classifier needs.

use tract_onnx::prelude::tract_itertools::Itertools;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::{PaddingSpec, PoolSpec};
use tract_onnx::tract_hir::infer::{DimFact, Factoid};

use super::guard::caught;
use super::onnx::AtNode;
use crate::graph::{Refusal, pool_spec, stated_padding};

/// Bytes of one value inside a network.
const MAX_BYTES: u64 = 1 << 31;

/// Characters of a size that the values of a picture decide, as a formula.
const MAX_FORMULA: usize = 256;

/// Infers what every node yields, in the order of the graph, before tract's own analysis.
///
/// tract keeps sizes that do not agree as a formula and goes on; what follows makes a longer formula of it each time, so that the analysis of a
/// graph of ten nodes does not end.
///
/// # Errors
/// For sizes that do not agree or are below zero, and values of more than [`MAX_BYTES`], by the node's name.
pub(super) fn follow(model: &mut InferenceModel) -> TractResult<()> {
    for id in model.eval_order()? {
        caught(|| follow_node(model, id), "its attributes are not consistent").map_err(|error| {
            let inputs = model.node_input_facts(id).unwrap_or_default();
            error.context(AtNode::new(&model.node(id).name, &inputs))
        })?;
    }
    Ok(())
}

fn follow_node(model: &mut InferenceModel, id: usize) -> TractResult<()> {
    let observed = model.node(id).op.observe_outlets(model, model.node(id))?;
    let observed = observed.iter().map(|outlet| model.outlet_fact(*outlet).cloned()).collect::<TractResult<TVec<_>>>()?;
    let cloned = |facts: TVec<&InferenceFact>| facts.into_iter().cloned().collect::<TVec<_>>();
    let (inputs, outputs) = (cloned(model.node_input_facts(id)?), cloned(model.node_output_facts(id)?));
    let op = &mut model.node_mut(id).op;
    let (_, inferred, _) = op.infer(inputs.iter().collect(), outputs.iter().collect(), observed.iter().collect())?;
    for (slot, (old, new)) in outputs.iter().zip(&inferred).enumerate() {
        let fact = old.unify(new)?;
        let dims: TVec<TDim> = fact.shape.dims().filter_map(DimFact::concretize).collect();
        check(&dims, fact.datum_type.concretize())?;
        model.set_outlet_fact(OutletId::new(id, slot), fact)?;
    }
    Ok(())
}

/// As [`follow`], for a graph whose shapes are known; windows have at least one place.
///
/// # Errors
/// As [`follow`].
pub(super) fn check_all(model: &TypedModel) -> TractResult<()> {
    for node in model.nodes() {
        for output in &node.outputs {
            let fact = &output.fact;
            check(&fact.shape.to_tvec(), Some(fact.datum_type)).with_context(|| AtNode::new(&node.name, &[]))?;
        }
        if let Some(spec) = pool_spec(node) {
            check_window(spec, &model.node_input_facts(node.id)?[0].shape).with_context(|| AtNode::new(&node.name, &[]))?;
        }
    }
    Ok(())
}

/// A window larger than what it is given has no place at all, which tract takes for one.
fn check_window(spec: &PoolSpec, input: &ShapeFact) -> TractResult<()> {
    if matches!(spec.padding, PaddingSpec::SameUpper | PaddingSpec::SameLower) {
        return Ok(());
    }
    let (stated, rounds_up) = (stated_padding(spec), matches!(spec.padding, PaddingSpec::ExplicitOnnxPool(.., true)));
    let (input, strides, dilations) = (spec.data_format.shape(input.to_tvec())?, spec.strides(), spec.dilations());
    for (axis, size) in input.hw_dims().iter().enumerate().filter_map(|(axis, size)| Some((axis, size.to_usize().ok()?))) {
        let padding = stated.iter().filter_map(|pads| pads.get(axis));
        let size = padding.fold(size, |size, padding| size.saturating_add(*padding));
        let window = (spec.kernel_shape[axis] - 1).saturating_mul(dilations[axis]).saturating_add(1);
        // Rounded up, a window that overhangs by less than a stride is one.
        let overhang = if rounds_up { strides[axis].saturating_sub(1) } else { 0 };
        ensure!(
            window <= size.saturating_add(overhang),
            Refusal(format!(
                "its window covers {window} rows or columns of {size}, padding included, expected at most as many; larger pictures may fit"
            ))
        );
    }
    Ok(())
}

/// Sizes that values decide are passed over.
fn check(dims: &[TDim], datum_type: Option<DatumType>) -> Result<(), Refusal> {
    let refuse = |reason: String| Err(Refusal(reason));
    let mut bytes = datum_type.map_or(1, |datum_type| datum_type.size_of() as u64);
    for dim in dims {
        match dim {
            TDim::Broadcast(terms) if terms.iter().all(|term| term.to_i64().is_ok()) => {
                return refuse(format!("its inputs have sizes of {}, expected equal ones, or 1", terms.iter().join(" and ")));
            }
            _ => {}
        }
        let Ok(size) = dim.to_i64() else {
            let formula = dim.to_string().len();
            if formula > MAX_FORMULA {
                return refuse(format!("it yields a size that {formula} characters describe, expected at most {MAX_FORMULA}"));
            }
            continue;
        };
        let Ok(size) = u64::try_from(size) else { return refuse(format!("it yields a size of {size}, expected none below 0")) };
        bytes = bytes.saturating_mul(size);
    }
    if bytes > MAX_BYTES { refuse(format!("it yields {bytes} bytes, expected at most {MAX_BYTES}")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_do_not_agree_are_negative_or_long_formulas_are_refused() {
        let refused = |dim: TDim| check(&[dim], Some(f32::datum_type())).unwrap_err().to_string();
        assert_eq!(refused(TDim::Broadcast(vec![32.into(), 48.into()])), "its inputs have sizes of 32 and 48, expected equal ones, or 1");
        assert_eq!(refused(TDim::from(-1)), "it yields a size of -1, expected none below 0");
        assert_eq!(refused(TDim::from(1i64 << 30)), "it yields 4294967296 bytes, expected at most 2147483648");
        let symbols = SymbolScope::default();
        let open = TDim::from(symbols.sym("a"));
        assert!(check(std::slice::from_ref(&open), None).is_ok());
        let long = (0..64).fold(open, |sum, at| sum + TDim::from(symbols.sym(&format!("size_{at}"))));
        assert!(refused(long).ends_with("characters describe, expected at most 256"));
    }
}
