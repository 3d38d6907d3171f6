//! `Slice` with steps.
//!
//! tract clamps the ends of steps backwards otherwise than ONNX says, and moves its own operator for every so many values in front of others where it
//! does not belong: what is taken in steps is taken by index.

use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::array::{Gather, Slice};
use tract_onnx::tract_hir::internal::*;

use super::{Imported, axis_of, constant, integers};
use crate::graph::Refusal;

pub(super) fn import(context: &ParsingContext<'_>, node: &NodeProto) -> Imported {
    let mut places = optional_inputs(node).skip(3);
    let (axes, steps) = (places.next().flatten(), places.next().flatten());
    match steps.filter(|_| context.onnx_operator_set_version >= 10) {
        Some(steps) => Ok((expand(InSteps { axes, steps }), vec![])),
        None => super::theirs("Slice", context, node),
    }
}

/// The places of inputs behind the data, the starts and the ends.
#[derive(Debug, Clone)]
struct InSteps {
    axes: Option<usize>,
    steps: usize,
}

/// What is taken of one axis.
struct Taken {
    axis: usize,
    start: i64,
    end: i64,
    /// Not 0.
    step: i64,
}

impl Taken {
    /// The indices that are taken of `size` (Slice of opset 13, "starts" and "ends").
    fn indices(&self, size: i64) -> Indices {
        let from_front = |at: i64| if at < 0 { at.saturating_add(size) } else { at };
        let (start, end) = (from_front(self.start), from_front(self.end));
        let (start, distance) = if self.step > 0 {
            let start = start.clamp(0, size);
            (start, end.clamp(0, size) - start)
        } else {
            // Of no values, nothing is taken.
            let start = start.clamp(0, (size - 1).max(0)).min(size - 1);
            (start, start - end.clamp(-1, size - 1))
        };
        let step = self.step.unsigned_abs();
        Indices { first: start, count: u64::try_from(distance).unwrap_or(0).div_ceil(step), step: self.step }
    }
}

/// `count` indices from `first` on, each `step` from the one before.
#[derive(Debug, Clone, Copy)]
struct Indices {
    first: i64,
    count: u64,
    step: i64,
}

impl Indices {
    fn list(self) -> Vec<i64> {
        (0..self.count).scan(self.first, |next, _| Some(std::mem::replace(next, next.saturating_add(self.step)))).collect()
    }
}

impl InSteps {
    /// What is taken of a value of `rank`, by the values of all inputs but the data.
    fn taken(&self, rank: usize, inputs: &[Vec<i64>]) -> TractResult<Vec<Taken>> {
        let at = |place: usize| inputs.get(place - 1).map_or(&[][..], Vec::as_slice);
        let (starts, ends, steps) = (at(1), at(2), at(self.steps));
        let all: Vec<i64> = (0..starts.len() as i64).collect();
        let axes = self.axes.map_or(all.as_slice(), at);
        let fits = ends.len() == starts.len() && steps.len() == starts.len() && axes.len() == starts.len();
        ensure!(fits, Refusal(format!("it has {} starts, {} ends, {} axes and {} steps", starts.len(), ends.len(), axes.len(), steps.len())));
        let taken = axes.iter().zip(starts).zip(ends).zip(steps).map(|(((axis, start), end), step)| {
            ensure!(*step != 0, Refusal("it has a step of 0".to_owned()));
            Ok(Taken { axis: axis_of(*axis, rank)?, start: *start, end: *end, step: *step })
        });
        taken.collect()
    }
}

impl Expansion for InSteps {
    fn name(&self) -> StaticName {
        "Slice".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(&'s self, s: &mut Solver<'r>, inputs: &'p [TensorProxy], outputs: &'p [TensorProxy]) -> InferenceResult {
        check_input_arity(inputs, 4 + usize::from(self.axes.is_some()))?;
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        s.equals(&inputs[0].rank, &outputs[0].rank)?;
        s.given(&inputs[0].shape, move |s, shape| {
            s.given_all(inputs[1..].iter().map(|input| &input.value), move |s, values| {
                let values = values.iter().map(|value| integers(value)).collect::<TractResult<Vec<_>>>()?;
                let mut shape = shape.clone();
                for taken in self.taken(shape.len(), &values)? {
                    let Ok(size) = shape[taken.axis].to_i64() else { return Ok(()) };
                    shape[taken.axis] = taken.indices(size).count.to_dim();
                }
                s.equals(&outputs[0].shape, shape)
            })
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let values = inputs[1..].iter().map(|input| constant(model, *input, "which values it takes")).collect::<TractResult<Vec<_>>>()?;
        let shape = model.outlet_fact(inputs[0])?.shape.to_tvec();
        let mut wire = inputs[0];
        for taken in self.taken(shape.len(), &values)? {
            let (axis, indices) = (taken.axis, taken.indices(shape[taken.axis].to_i64()?));
            let name = format!("{prefix}.axis-{axis}");
            wire = if indices.step == 1 && indices.count > 0 {
                model.wire_node(name, Slice::new(axis, indices.first, indices.first + indices.count as i64), &[wire])?[0]
            } else {
                let indices = model.add_const(format!("{name}.indices"), tensor1(&indices.list()))?;
                model.wire_node(name, Gather::new(axis), &[wire, indices])?[0]
            };
        }
        Ok(tvec!(wire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_clamped_at_both_ends_forwards_and_backwards() {
        for (start, end, step, expected) in [
            (0, i64::MAX, 2, vec![0, 2, 4]),
            (-2, 9, 1, vec![3, 4]),
            (-9, -1, 3, vec![0, 3]),
            (4, 2, 1, vec![]),
            (-1, i64::MIN, -1, vec![4, 3, 2, 1, 0]),
            (9, 0, -2, vec![4, 2]),
            (-7, -9, -2, vec![0]),
            (1, 3, -1, vec![]),
        ] {
            assert_eq!(Taken { axis: 0, start, end, step }.indices(5).list(), expected, "{start}, {end}, {step}");
        }
        assert_eq!(Taken { axis: 0, start: -1, end: i64::MIN, step: -1 }.indices(0).list(), Vec::<i64>::new());
    }
}
