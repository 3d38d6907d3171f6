//! Bringing a graph to the form that the rewrites know, in a fraction of the time that tract takes for its own.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::optim::{Optimizer, TypedPass};

use super::pattern::{keeps_order, shape};

/// Declutters `model` as far as the rewrites need it.
///
/// Of what tract does, the search for axes that can be moved or dropped takes longer than all else together: it tries every axis of length 1, so a
/// batch of one at every node. The rewrites see through these, and what they leave is decluttered once more when the plan is made. Only a graph
/// that moves longer axes about, as one does that has its channels last, gets the search too.
///
/// # Errors
/// When tract refuses the graph.
pub fn declutter(model: &mut TypedModel) -> TractResult<()> {
    let mut optimizer = Optimizer::declutter();
    optimizer.passes.retain(|pass| !searches_axes(pass.as_ref()));
    optimizer.optimize(model)?;
    if moves_axes(model) { model.declutter() } else { Ok(()) }
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

    #[test]
    fn axes_of_length_1_are_left_where_they_are() {
        assert_eq!(changes_left([1, 4, 6], AxisOp::Rm(0)), 2);
    }
}
