//! `Pad` with negative numbers, which cut values off, and around the map's own other end (`wrap`).

use std::collections::HashMap;

use tract_onnx::pb::{NodeProto, TensorProto};

use super::nodes::{Made, input, ints, text};
use crate::inference::onnx::bounds::integers_of;

/// `pads` in front of and behind each of some axes.
struct Pads {
    axes: Vec<i64>,
    before: Vec<i64>,
    after: Vec<i64>,
}

/// A slice in front of a `Pad` of what is not negative, or the parts of the map behind each other for `wrap`.
pub(super) fn pad(node: &NodeProto, opset: i64, constants: &HashMap<String, TensorProto>) -> Option<Made> {
    let pads = stated(node, constants)?;
    let wraps = text(node, "mode") == Some("wrap");
    let cuts = pads.before.iter().chain(&pads.after).any(|pad| *pad < 0);
    if !wraps && !cuts {
        return None;
    }
    let mut made = Made::of(node, opset);
    let mut value = cut(&mut made, &node.input[0], &pads);
    let [before, after] = [&pads.before, &pads.after].map(|pads| pads.iter().map(|pad| (*pad).max(0)).collect::<Vec<_>>());
    if wraps {
        for ((axis, before), after) in pads.axes.iter().zip(&before).zip(&after) {
            value = wrap(&mut made, &value, *axis, *before, *after);
        }
        made.op_to("Identity", &[&value], vec![], &node.output[0]);
    } else {
        let mut rest = node.clone();
        rest.input[0] = value;
        if ints(node, "pads").is_some() {
            super::nodes::set(&mut rest, super::nodes::of_ints("pads", &[before, after].concat()));
        } else {
            rest.input[1] = made.ints(&[before, after].concat());
        }
        made.keep(rest);
    }
    Some(made)
}

fn stated(node: &NodeProto, constants: &HashMap<String, TensorProto>) -> Option<Pads> {
    let constant = |at| input(node, at).and_then(|name| constants.get(name)).map(integers_of);
    let pads = ints(node, "pads").map(<[i64]>::to_vec).or_else(|| constant(1))?;
    let (before, after) = pads.split_at(pads.len() / 2);
    let axes = if input(node, 3).is_some() { constant(3)? } else { (0..before.len() as i64).collect() };
    (axes.len() == before.len() && before.len() == after.len()).then(|| Pads { axes, before: before.to_vec(), after: after.to_vec() })
}

/// `value` without what negative numbers cut off.
fn cut(made: &mut Made, value: &str, pads: &Pads) -> String {
    let (mut starts, mut ends, mut axes) = (vec![], vec![], vec![]);
    for ((axis, before), after) in pads.axes.iter().zip(&pads.before).zip(&pads.after) {
        if *before < 0 || *after < 0 {
            starts.push(before.min(&0).saturating_neg());
            ends.push(if *after < 0 { *after } else { i64::MAX });
            axes.push(*axis);
        }
    }
    if axes.is_empty() { value.to_owned() } else { made.slice(value, &starts, &ends, &axes, None) }
}

fn wrap(made: &mut Made, value: &str, axis: i64, before: i64, after: i64) -> String {
    let mut parts = vec![];
    if before > 0 {
        parts.push(made.slice(value, &[-before], &[i64::MAX], &[axis], None));
    }
    parts.push(value.to_owned());
    if after > 0 {
        parts.push(made.slice(value, &[0], &[after], &[axis], None));
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    if parts.len() == 1 { value.to_owned() } else { made.op("Concat", &parts, vec![super::nodes::of_int("axis", axis)]) }
}
