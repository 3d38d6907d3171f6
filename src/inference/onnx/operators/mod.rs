//! Importers of our own, in the place of tract's, for operators whose rewriting takes shapes that only the import infers.

mod einsum;
mod every_nth;
mod fake_quantize;
mod squeeze;

use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// The operator that [`every_nth`] imports.
pub(super) const EVERY_NTH: &str = "senet.EveryNth";
/// `Resize` of opset 10, whatever the file's.
pub(super) const RESIZE_10: &str = "senet.Resize10";
/// `Resize` of opset 13, whatever the file's.
pub(super) const RESIZE_13: &str = "senet.Resize13";
/// `Slice` of opset 13, whatever the file's.
pub(super) const SLICE_13: &str = "senet.Slice13";

/// tract's importer with ours.
pub(super) fn importer() -> Onnx {
    let mut importer = tract_onnx::onnx().with_ignore_value_info(true);
    let operators = &mut importer.op_register;
    operators.insert("Einsum", einsum::import);
    operators.insert("Squeeze", squeeze::import);
    operators.insert("FakeQuantize", fake_quantize::import);
    operators.insert("RoundedSilu", fake_quantize::import_silu);
    operators.insert("RoundedHardSwish", fake_quantize::import_hard_swish);
    operators.insert("DynamicFakeQuantize", fake_quantize::import_dynamic);
    operators.insert(EVERY_NTH, every_nth::import);
    operators.insert(RESIZE_10, |context, node| of_opset(10, "Resize", context, node));
    operators.insert(RESIZE_13, |context, node| of_opset(13, "Resize", context, node));
    operators.insert(SLICE_13, |context, node| of_opset(13, "Slice", context, node));
    importer
}

fn of_opset(opset: i64, kind: &str, context: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    theirs(kind, &ParsingContext { onnx_operator_set_version: opset, ..context.clone() }, node)
}

/// What tract makes of `node`, an operator called `kind`.
fn theirs(kind: &str, context: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let onnx = tract_onnx::onnx();
    let import = onnx.op_register.0.get(kind).with_context(|| format!("tract has no {kind}"))?;
    import(context, node)
}
