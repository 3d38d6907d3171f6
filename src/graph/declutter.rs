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
    use super::*;

    #[test]
    fn one_of_the_passes_of_tract_searches_axes() {
        assert_eq!(Optimizer::declutter().passes.iter().filter(|pass| searches_axes(pass.as_ref())).count(), 1);
    }
}
