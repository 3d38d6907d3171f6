//! Transposed convolutions that state the size of their map instead of their padding.

use tract_onnx::pb::NodeProto;

use super::nodes::{Made, ints, of_int, of_ints, of_text, set, text};
use crate::inference::onnx::operators::SLICE_13;

/// `ConvTranspose` with `output_shape`: the whole map is computed and what is too much cut off, half of it at each end (ConvTranspose, "output_shape").
pub(super) fn of_output_shape(node: &NodeProto, opset: i64) -> Option<Made> {
    let shape = ints(node, "output_shape").filter(|shape| !shape.is_empty())?;
    let sizes = &shape[shape.len().checked_sub(2)?..];
    let mut made = Made::of(node, opset);
    let mut whole = node.clone();
    whole.attribute.retain(|attribute| !["output_shape", "auto_pad"].contains(&attribute.name.as_str()));
    set(&mut whole, of_text("auto_pad", "NOTSET"));
    set(&mut whole, of_ints("pads", &[0; 4]));
    whole.output = vec![format!("{}~whole", node.output[0])];
    let name = whole.output[0].clone();
    made.keep(whole);
    let (wanted, two, axes) = (made.ints(sizes), made.ints(&[2]), made.ints(&[2, 3]));
    let actual = made.op("Shape", &[&name], vec![]);
    let actual = made.op("Gather", &[&actual, &axes], vec![of_int("axis", 0)]);
    let surplus = made.op("Sub", &[&actual, &wanted], vec![]);
    let half = made.op("Div", &[&surplus, &two], vec![]);
    let start = if text(node, "auto_pad") == Some("SAME_UPPER") { half } else { made.op("Sub", &[&surplus, &half], vec![]) };
    let end = made.op("Add", &[&start, &wanted], vec![]);
    made.op_to(SLICE_13, &[&name, &start, &end, &axes], vec![], &node.output[0]);
    Some(made)
}
