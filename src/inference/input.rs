//! What a run is fed with.

use std::ops::{Deref, DerefMut};

use tract_onnx::prelude::*;

/// The values of one batch, in the layout of the network's input, row-major.
///
/// An engine lends the memory of earlier runs ([`Engine::input`](super::Engine::input)), so that a picture is written to where the network reads it.
#[derive(Debug)]
pub struct Input(pub(super) Tensor);

impl<T: AsRef<[f32]>> From<T> for Input {
    fn from(values: T) -> Self {
        Self(tensor1(values.as_ref()))
    }
}

impl Deref for Input {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.0.try_as_plain_ram().and_then(|values| values.as_slice()).unwrap_or_default()
    }
}

impl DerefMut for Input {
    fn deref_mut(&mut self) -> &mut [f32] {
        self.0.to_plain_array_view_mut().ok().and_then(|values| values.into_slice()).unwrap_or_default()
    }
}
