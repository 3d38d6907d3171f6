//! `Pad` with numbers that tract does not take: below zero, which cut values off, computed from the shape of another value, or around the other end.

use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::array::{Pad, PadMode, Slice, TypedConcat};
use tract_onnx::tract_hir::internal::*;

use super::{Imported, axis_of, constant, integers};
use crate::graph::Refusal;

#[derive(Debug, Clone)]
enum Mode {
    /// With a number, unless an input has it.
    Constant(f32),
    Reflect,
    Edge,
    Wrap,
}

/// What is added in front of one axis and behind it; below 0, what is cut off.
#[derive(Debug, Clone, Copy)]
struct Pads {
    axis: usize,
    before: i64,
    after: i64,
}

#[derive(Debug, Clone)]
struct AnyPad {
    mode: Mode,
    /// Of files before opset 11; else they are an input.
    pads: Option<Vec<i64>>,
    /// The place of the input that is filled in.
    fill: Option<usize>,
    /// The place of the input with the axes.
    axes: Option<usize>,
}

pub(super) fn import(context: &ParsingContext<'_>, node: &NodeProto) -> Imported {
    let mode = match node.get_attr_opt("mode")?.unwrap_or("constant") {
        "constant" => Mode::Constant(node.get_attr_opt("value")?.unwrap_or(0.0)),
        "reflect" => Mode::Reflect,
        "edge" => Mode::Edge,
        "wrap" => Mode::Wrap,
        other => bail!(Refusal(format!("its mode is {other:.20?}, expected constant, reflect, edge or wrap"))),
    };
    let mut places = optional_inputs(node).skip(2);
    let (pads, fill, axes) = match context.onnx_operator_set_version {
        11.. => (None, places.next().flatten(), places.next().flatten()),
        _ => (Some(node.get_attr_vec("pads")?), None, None),
    };
    Ok((expand(AnyPad { mode, pads, fill, axes }), vec![]))
}

impl AnyPad {
    /// By the numbers and the axes that are stated, of a value of `rank`.
    fn pads(&self, rank: usize, numbers: &[i64], axes: Option<&[i64]>) -> TractResult<Vec<Pads>> {
        let all: Vec<i64> = (0..rank as i64).collect();
        let axes = axes.unwrap_or(&all);
        ensure!(numbers.len() == 2 * axes.len(), Refusal(format!("it has {} pads for {} axes, expected two for each", numbers.len(), axes.len())));
        let (before, after) = numbers.split_at(axes.len());
        let pads = axes
            .iter()
            .zip(before)
            .zip(after)
            .map(|((axis, before), after)| Ok(Pads { axis: axis_of(*axis, rank)?, before: *before, after: *after }));
        pads.collect()
    }

    /// What an axis of `size` becomes.
    fn padded(&self, size: i64, pads: Pads) -> TractResult<i64> {
        let Pads { axis, before, after } = pads;
        let left = size.saturating_add(before.min(0)).saturating_add(after.min(0));
        ensure!(left >= 0, Refusal(format!("its pads of {before} and {after} cut more off axis {axis} than its {size} values")));
        let most = match self.mode {
            Mode::Reflect => left - 1,
            Mode::Wrap => left,
            Mode::Edge if left == 0 => 0,
            _ => i64::MAX,
        };
        let (before, after) = (before.max(0), after.max(0));
        let fits = before.max(after) <= most.max(0);
        ensure!(fits, Refusal(format!("it adds {before} and {after} values to axis {axis}, of {left}, expected at most {}", most.max(0))));
        Ok(left.saturating_add(before).saturating_add(after))
    }

    fn wrap(prefix: &str, model: &mut TypedModel, wire: OutletId, pads: Pads) -> TractResult<OutletId> {
        let (axis, size) = (pads.axis, model.outlet_fact(wire)?.shape[pads.axis].to_i64()?);
        let mut parts = tvec!(wire);
        if pads.before > 0 {
            parts.insert(0, model.wire_node(format!("{prefix}.front-{axis}"), Slice::new(axis, size - pads.before, size), &[wire])?[0]);
        }
        if pads.after > 0 {
            parts.push(model.wire_node(format!("{prefix}.back-{axis}"), Slice::new(axis, 0, pads.after), &[wire])?[0]);
        }
        if parts.len() == 1 { Ok(wire) } else { Ok(model.wire_node(format!("{prefix}.axis-{axis}"), TypedConcat::new(axis), &parts)?[0]) }
    }
}

impl Expansion for AnyPad {
    fn name(&self) -> StaticName {
        "Pad".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(&'s self, s: &mut Solver<'r>, inputs: &'p [TensorProxy], outputs: &'p [TensorProxy]) -> InferenceResult {
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        s.equals(&inputs[0].rank, &outputs[0].rank)?;
        s.given(&inputs[0].shape, move |s, shape| {
            let stated = inputs.iter().enumerate().filter(|(at, _)| *at == 1 || Some(*at) == self.axes);
            s.given_all(stated.map(|(_, input)| &input.value), move |s, values| {
                let mut values = values.iter().map(|value| integers(value)).collect::<TractResult<Vec<_>>>()?.into_iter();
                let numbers = self.pads.clone().or_else(|| values.next()).unwrap_or_default();
                let mut shape = shape.clone();
                for pads in self.pads(shape.len(), &numbers, values.next().as_deref())? {
                    let Ok(size) = shape[pads.axis].to_i64() else { return Ok(()) };
                    shape[pads.axis] = self.padded(size, pads)?.to_dim();
                }
                s.equals(&outputs[0].shape, shape)
            })
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let numbers = self.pads.clone().map_or_else(|| constant(model, inputs[1], "how many values it adds"), Ok)?;
        let axes = self.axes.map(|axes| constant(model, inputs[axes], "where it adds values")).transpose()?;
        let shape = model.outlet_fact(inputs[0])?.shape.to_tvec();
        let (mut wire, mut rest) = (inputs[0], vec![(0, 0); shape.len()]);
        for pads in self.pads(shape.len(), &numbers, axes.as_deref())? {
            let (axis, size) = (pads.axis, shape[pads.axis].to_i64()?);
            self.padded(size, pads)?;
            let (first, end) = (pads.before.min(0).abs(), size + pads.after.min(0));
            if end - first < size {
                wire = model.wire_node(format!("{prefix}.cut-{axis}"), Slice::new(axis, first, end), &[wire])?[0];
            }
            rest[axis] = (pads.before.max(0) as usize, pads.after.max(0) as usize);
        }
        let mode = match (&self.mode, self.fill) {
            (Mode::Wrap, _) => {
                for (axis, (before, after)) in rest.into_iter().enumerate() {
                    wire = Self::wrap(prefix, model, wire, Pads { axis, before: before as i64, after: after as i64 })?;
                }
                return Ok(tvec!(wire));
            }
            (Mode::Reflect, _) => PadMode::Reflect,
            (Mode::Edge, _) => PadMode::Edge,
            (Mode::Constant(value), None) => PadMode::Constant(Arc::new((*value).into())),
            (Mode::Constant(_), Some(fill)) => {
                let konst = model.outlet_fact(inputs[fill])?.konst.clone().filter(|fill| fill.len() == 1);
                let fill = konst.ok_or_else(|| Refusal("what it fills in is computed, expected a constant".to_owned()))?;
                PadMode::Constant(fill.into_tensor().into_shape(&[])?.into_arc_tensor())
            }
        };
        if rest.iter().all(|pads| *pads == (0, 0)) {
            return Ok(tvec!(wire));
        }
        model.wire_node(prefix, Pad::new(rest, mode), &[wire])
    }
}
