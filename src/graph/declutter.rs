//! Bringing a graph to the form that the rewrites know, in a fraction of the time that tract takes for its own.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::MultiBroadcastTo;
use tract_onnx::tract_core::ops::math::Mul;
use tract_onnx::tract_core::optim::{Optimizer, TypedPass};

use super::by_index;
use super::pattern::{binary, keeps_order, shape};

/// Declutters `model` as far as the rewrites need it.
///
/// Of what tract does, the search for axes that can be moved or dropped takes longer than all else together: it tries every axis of length 1, so a
/// batch of one at every node. The rewrites see through these, and what they leave is decluttered once more when the plan is made. Only a graph
/// that moves longer axes about, as one does that has its channels last, gets the search too.
///
/// # Errors
/// When tract refuses the graph.
pub fn declutter(model: &mut TypedModel) -> TractResult<()> {
    hold_scalings(model)?;
    by_index::pick(model)?;
    by_index::repeat(model)?;
    let mut optimizer = Optimizer::declutter();
    optimizer.passes.retain(|pass| !searches_axes(pass.as_ref()));
    optimizer.optimize(model)?;
    let_go(model)?;
    if moves_axes(model) { model.declutter() } else { Ok(()) }
}

/// Stands behind a scaling, and lets nothing past: tract takes parts of a map, and every so many pixels, as early as it can, which tears a scaling of
/// the whole map into several of its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hold;

impl Op for Hold {
    fn name(&self) -> StaticName {
        "Hold".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Hold {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok(inputs)
    }
}

impl TypedOp for Hold {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].clone()))
    }

    as_op!();
}

/// Puts a [`Hold`] behind every product of a map and one value for each of its channels, which may have been spread over the map already.
fn hold_scalings(model: &mut TypedModel) -> TractResult<()> {
    let scalings: Vec<usize> = model.nodes().iter().filter(|node| is_scaling(model, node.id)).map(|node| node.id).collect();
    for node in scalings {
        let name = format!("{}.hold", model.node(node).name);
        let readers = model.outlet_successors(node.into()).to_vec();
        let held = model.wire_node(name, Hold, &[node.into()])?[0];
        for reader in readers {
            model.add_edge(held, reader)?;
        }
    }
    Ok(())
}

fn is_scaling(model: &TypedModel, node: usize) -> bool {
    let is_map = |wire| shape(model, wire).is_some_and(|shape| matches!(*shape, [_, .., height, width] if height * width > 1));
    let gates = |wire: OutletId| {
        let spread = model.node(wire.node).op_is::<MultiBroadcastTo>();
        spread || shape(model, wire).is_some_and(|shape| matches!(*shape, [_, .., 1, 1]))
    };
    let inputs =
        binary::<Mul>(model, node.into()).filter(|inputs| inputs.iter().all(|input| model.outlet_fact(*input).is_ok_and(|f| f.konst.is_none())));
    inputs.is_some_and(|[a, b]| is_map(node.into()) && (is_map(a) && gates(b) || is_map(b) && gates(a)))
}

/// Takes every [`Hold`] away again.
fn let_go(model: &mut TypedModel) -> TractResult<()> {
    let holds: Vec<usize> = model.nodes().iter().filter(|node| node.op_is::<Hold>()).map(|node| node.id).collect();
    for node in &holds {
        let from = model.node(*node).inputs[0];
        for reader in model.outlet_successors((*node).into()).to_vec() {
            model.add_edge(from, reader)?;
        }
    }
    if holds.is_empty() { Ok(()) } else { model.compact() }
}

/// Passes have no names but those that they are printed with.
fn searches_axes(pass: &dyn TypedPass) -> bool {
    format!("{pass:?}") == "ChangeAxes"
}

/// Whether values change their order anywhere.
fn moves_axes(model: &TypedModel) -> bool {
    let moves = |node: &TypedNode| {
        let input = node.op_as::<AxisOp>().zip(node.inputs.first());
        input.is_some_and(|(op, input)| !shape(model, *input).is_some_and(|shape| keeps_order(op, &shape)))
    };
    model.nodes().iter().any(moves)
}

#[cfg(test)]
mod tests {
    use tract_onnx::tract_core::ops::array::Slice;
    use tract_onnx::tract_core::ops::math;

    use super::*;

    #[test]
    fn one_of_the_passes_of_tract_searches_axes() {
        assert_eq!(Optimizer::declutter().passes.iter().filter(|pass| searches_axes(pass.as_ref())).count(), 1);
    }

    /// The changes of axes that are left of `change`, a hyperbolic tangent and the way back.
    fn changes_left(shape: [usize; 3], change: AxisOp) -> usize {
        let mut model = TypedModel::default();
        let input = model.add_source("input", f32::fact(shape)).unwrap();
        let there = model.wire_node("there", change.clone(), &[input]).unwrap();
        let between = model.wire_node("between", math::tanh(), &there).unwrap();
        let back = model.wire_node("back", change.recip(), &between).unwrap();
        model.select_output_outlets(&back).unwrap();
        declutter(&mut model).unwrap();
        model.nodes().iter().filter(|node| node.op_is::<AxisOp>()).count()
    }

    #[test]
    fn longer_axes_that_are_moved_there_and_back_are_not_moved() {
        assert_eq!(changes_left([2, 4, 6], AxisOp::Move(0, 2)), 0);
    }

    /// What the scaling of a map, of which the second half of the channels is an output, reads.
    fn inputs_of_a_scaling() -> Vec<TVec<usize>> {
        let mut model = TypedModel::default();
        let map = model.add_source("map", f32::fact([1, 4, 6, 6])).unwrap();
        let gates = model.add_source("gates", f32::fact([1, 4, 1, 1])).unwrap();
        let scaled = model.wire_node("scale", math::mul(), &[map, gates]).unwrap();
        let half = model.wire_node("half", Slice::new(1, 2, 4), &scaled).unwrap();
        let root = model.wire_node("root", math::tanh(), &half).unwrap();
        model.select_output_outlets(&root).unwrap();
        declutter(&mut model).unwrap();
        assert!(!model.nodes().iter().any(|node| node.op_is::<Hold>()));
        let scale = (0..model.nodes().len()).find(|node| binary::<Mul>(&model, (*node).into()).is_some()).unwrap();
        model.node(scale).inputs.iter().map(|input| shape(&model, *input).unwrap()).collect()
    }

    #[test]
    fn a_map_is_scaled_as_a_whole_before_a_part_of_it_is_taken() {
        assert_eq!(inputs_of_a_scaling(), [tvec!(1, 4, 6, 6), tvec!(1, 4, 1, 1)]);
    }

    #[test]
    fn axes_of_length_1_are_left_where_they_are() {
        assert_eq!(changes_left([1, 4, 6], AxisOp::Rm(0)), 2);
    }
}
