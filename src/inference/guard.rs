//! Calls into tract: what it says of a failure becomes one sentence, and its panics are failures too.
//!
//! Its importer and its operators index and unwrap on graphs that are not as they should be.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::bail;

use super::EngineError;
use crate::excerpt::cut;

/// Characters of a reason, which may quote the file.
const MAX_REASON: usize = 400;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread becomes the error of a model, which says it: nobody else needs to.
#[cfg(feature = "server")]
pub(crate) fn panics_are_answered() -> bool {
    GUARDED.get()
}

/// Runs a part of the import.
///
/// # Errors
/// [`EngineError::Import`].
pub(super) fn guard<T>(import: impl FnOnce() -> TractResult<T>) -> Result<T, EngineError> {
    caught(import, "the graph is not consistent").map_err(|error| EngineError::Import(in_one_line(&format!("{error:#}"))))
}

/// Runs the network.
///
/// # Errors
/// [`EngineError::Run`].
pub(super) fn guard_run<T>(run: impl FnOnce() -> TractResult<T>) -> Result<T, EngineError> {
    caught(run, "an operator panicked").map_err(|error| EngineError::Run(in_one_line(&format!("{error:#}"))))
}

/// Does `work`, whose panic becomes an error that says `panicked` and why.
pub(super) fn caught<T>(work: impl FnOnce() -> TractResult<T>, panicked: &str) -> TractResult<T> {
    let before = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(before);
    result.unwrap_or_else(|panic| match words(panic.as_ref()) {
        "" => bail!("{panicked}"),
        words => bail!("{panicked}: {words}"),
    })
}

fn words(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default()
}

/// `text` in one line, cut where it is long.
pub(super) fn in_one_line(text: &str) -> String {
    cut(text, MAX_REASON).replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use tract_onnx::tract_core::internal::*;

    use super::*;

    #[test]
    fn panics_and_long_texts_are_short_sentences() {
        let panicked = guard::<()>(|| panic!("index\nout of {}", "bounds")).unwrap_err();
        assert_eq!(panicked.to_string(), "not a usable ONNX model: the graph is not consistent: index out of bounds");
        assert!(!GUARDED.get());
        let long = guard::<()>(|| bail!("x".repeat(1 << 20))).unwrap_err().to_string();
        assert!(long.ends_with("x…") && long.len() < 2 * MAX_REASON, "{} bytes", long.len());
    }
}
