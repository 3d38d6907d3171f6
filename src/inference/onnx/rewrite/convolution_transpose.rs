//! Transposed convolutions that state the size of their map instead of their padding.

use tract_onnx::pb::NodeProto;

use super::nodes::{Made, ints, is_padded_to_same, of_int, of_ints, of_text, set, text, windows};
use crate::inference::onnx::fault::described;
use crate::inference::onnx::operators::CROP;

/// `ConvTranspose` with `output_shape`: the whole map is computed and what is too much cut off, half of it at each end (ConvTranspose, "output_shape").
pub(super) fn of_output_shape(node: &NodeProto, opset: i64) -> Result<Option<Made>, String> {
    let Some(shape) = ints(node, "output_shape").filter(|shape| !shape.is_empty()) else { return check_automatic_padding(node).map(|()| None) };
    // Some files have the batch and the channels too.
    let axes = ints(node, "kernel_shape").or(ints(node, "strides")).map_or(shape.len(), <[i64]>::len).min(shape.len());
    let sizes = &shape[shape.len() - axes..];
    let mut made = Made::of(node, opset);
    let mut whole = node.clone();
    whole.attribute.retain(|attribute| !["output_shape", "auto_pad"].contains(&attribute.name.as_str()));
    set(&mut whole, of_text("auto_pad", "NOTSET"));
    set(&mut whole, of_ints("pads", &vec![0; 2 * axes]));
    whole.output = vec![format!("{}~whole", node.output[0])];
    let name = whole.output[0].clone();
    made.keep(whole);
    let upper = i64::from(text(node, "auto_pad") == Some("SAME_UPPER"));
    made.op_to(CROP, &[&name], vec![of_ints("sizes", sizes), of_int("upper", upper)], &node.output[0]);
    Ok(Some(made))
}

/// Refuses windows that leave gaps between them where the padding is chosen automatically: there would have to be less than none.
fn check_automatic_padding(node: &NodeProto) -> Result<(), String> {
    let leaves_gaps = |[size, stride, dilation]: [i64; 3]| size.saturating_sub(1).saturating_mul(dilation) < stride;
    let why = "is padded by auto_pad and has windows smaller than its strides, expected larger; export it with pads";
    if is_padded_to_same(node) && windows(node).any(leaves_gaps) { Err(format!("{} {why}", described(node))) } else { Ok(()) }
}
