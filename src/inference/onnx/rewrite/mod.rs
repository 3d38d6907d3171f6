//! Rewrites of an ONNX graph before tract sees it: the one place for what tract reads wrongly, or not at all.
//!
//! A pass takes the whole file, leaves a graph that means the same, and says what a person should know of it. What a pass makes is compared with the
//! limits once more: it must not be a way around them. What needs shapes that only the import infers is in [`operators`](super::operators).

mod channels_last;
mod convolution_transpose;
mod functions;
mod known;
mod nodes;
mod operators;
mod pools;
mod quantised;
mod swish;
mod widen;

use tract_onnx::pb::ModelProto;

use super::bounds;
use crate::inference::EngineError;

/// Returns what changed, or a sentence that says which node cannot be rewritten and what would help.
type Pass = fn(&mut ModelProto) -> Result<Vec<String>, String>;

/// In the order in which they are made: each may rely on the ones before it.
const PASSES: [Pass; 8] = [
    functions::inline,
    known::check_domains,
    widen::widen,
    quantised::fold,
    swish::merge,
    operators::rewrite,
    channels_last::fold_biases,
    known::check,
];

/// Rewrites `model`, which is within the limits of [`bounds`]; returns a sentence for every change that a person should know of.
///
/// # Errors
/// [`EngineError::Import`].
pub(super) fn rewrite(model: &mut ModelProto) -> Result<Vec<String>, EngineError> {
    let mut notes = vec![];
    for pass in PASSES {
        notes.extend(pass(model).map_err(EngineError::Import)?);
    }
    bounds::check(model)?;
    Ok(notes)
}
