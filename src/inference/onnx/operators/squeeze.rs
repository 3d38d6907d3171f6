//! `Squeeze` without axes: every axis of length 1 is dropped.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::array::Squeeze;

pub(super) fn import(context: &ParsingContext<'_>, node: &NodeProto) -> super::Imported {
    let states_axes = node.input.len() > 1 || node.attribute.iter().any(|attribute| attribute.name == "axes");
    if states_axes { super::theirs("Squeeze", context, node) } else { Ok((expand(Squeeze::new(None)), vec![])) }
}
