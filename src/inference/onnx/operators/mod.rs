//! Importers of our own, in the place of tract's, for operators whose rewriting takes shapes that only the import infers.

mod crop;
mod einsum;
mod fake_quantize;
mod pad;
mod pool;
mod slice;
mod squeeze;

use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use crate::graph::Refusal;

/// What an importer makes of a node: its operator, and the values of outer graphs that it reads.
type Imported = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;
type Importer = fn(&ParsingContext<'_>, &NodeProto) -> Imported;

/// What the names of operators that rewrites make begin with: no file may have one.
pub(super) const PRIVATE: &str = "senet.";
/// A part of a map, of the sizes `sizes` along its last axes.
pub(super) const CROP: &str = "senet.Crop";
/// Rounding to a grid whose range is that of the values.
pub(super) const DYNAMIC_FAKE_QUANTIZE: &str = "senet.DynamicFakeQuantize";
/// Rounding to a grid.
pub(super) const FAKE_QUANTIZE: &str = "senet.FakeQuantize";
/// The sum of every channel.
pub(super) const GLOBAL_SUM: &str = "senet.GlobalSum";
/// `Resize` of opset 10, whatever the file's.
pub(super) const RESIZE_10: &str = "senet.Resize10";
/// `Resize` of opset 13, whatever the file's.
pub(super) const RESIZE_13: &str = "senet.Resize13";
/// `x · round(hard_sigmoid(x))`
pub(super) const ROUNDED_HARD_SWISH: &str = "senet.RoundedHardSwish";
/// `x · round(sigmoid(x))`
pub(super) const ROUNDED_SILU: &str = "senet.RoundedSilu";
/// The sum of every window, with the attributes of `AveragePool`.
pub(super) const SUM_POOL: &str = "senet.SumPool";

const OURS: [(&str, Importer); 13] = [
    ("Einsum", einsum::import),
    ("Pad", pad::import),
    ("Slice", slice::import),
    ("Squeeze", squeeze::import),
    (CROP, crop::import),
    (DYNAMIC_FAKE_QUANTIZE, fake_quantize::import_dynamic),
    (FAKE_QUANTIZE, fake_quantize::import),
    (GLOBAL_SUM, pool::import_global_sum),
    (RESIZE_10, |context, node| of_opset(10, "Resize", context, node)),
    (RESIZE_13, |context, node| of_opset(13, "Resize", context, node)),
    (ROUNDED_HARD_SWISH, fake_quantize::import_hard_swish),
    (ROUNDED_SILU, fake_quantize::import_silu),
    (SUM_POOL, pool::import_sum),
];

/// tract's importer with ours.
pub(super) fn importer() -> Onnx {
    let mut importer = tract_onnx::onnx().with_ignore_value_info(true);
    OURS.into_iter().for_each(|(name, import)| importer.op_register.insert(name, import));
    importer
}

fn of_opset(opset: i64, kind: &str, context: &ParsingContext<'_>, node: &NodeProto) -> Imported {
    theirs(kind, &ParsingContext { onnx_operator_set_version: opset, ..context.clone() }, node)
}

/// What tract makes of `node`, an operator called `kind`.
fn theirs(kind: &str, context: &ParsingContext<'_>, node: &NodeProto) -> Imported {
    let onnx = tract_onnx::onnx();
    let import = onnx.op_register.0.get(kind).with_context(|| format!("tract has no {kind}"))?;
    import(context, node)
}

/// Of an operator that yields one value of the type of its only input.
fn one_of_the_same_type<'r, 'p: 'r>(s: &mut Solver<'r>, inputs: &'p [TensorProxy], outputs: &'p [TensorProxy]) -> InferenceResult {
    check_input_arity(inputs, 1)?;
    check_output_arity(outputs, 1)?;
    s.equals(&inputs[0].datum_type, &outputs[0].datum_type)
}

/// The integers of `tensor`.
fn integers(tensor: &Tensor) -> TractResult<Vec<i64>> {
    let integers = tensor.cast_to::<i64>()?;
    Ok(integers.try_as_plain_ram()?.as_slice::<i64>()?.to_vec())
}

/// The integers of `input`, which say `what`.
fn constant(model: &TypedModel, input: OutletId, what: &str) -> TractResult<Vec<i64>> {
    let konst = model.outlet_fact(input)?.konst.clone();
    let konst = konst.ok_or_else(|| Refusal(format!("{what} depends on the picture, expected constants")))?;
    integers(&konst)
}

/// The axis of a value of `rank`, counted from the end below 0.
fn axis_of(axis: i64, rank: usize) -> TractResult<usize> {
    let from_front = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    let found = usize::try_from(from_front).ok().filter(|found| *found < rank);
    Ok(found.ok_or_else(|| Refusal(format!("its axis is {axis}, of a value of {rank} axes")))?)
}
