//! What a run is fed with.

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};

use tract_onnx::prelude::*;

use crate::image::Arrangement;
use crate::kernels::maps::Layout;

/// The values of one batch.
///
/// Values of one's own are in the layout of the network's input, row-major. An engine lends the memory of earlier runs
/// ([`Engine::input`](super::Engine::input)), so that a picture is written to where the network reads it; it says how values lie there.
#[derive(Debug)]
pub struct Input<'a>(pub(super) Values<'a>);

#[derive(Debug)]
pub(super) enum Values<'a> {
    /// In the layout of the network's input.
    Given(Cow<'a, [f32]>),
    /// Each image a `map`, or channels first where that is `None`.
    Lent {
        tensor: Tensor,
        map: Option<Layout>,
        /// Of the values, those of the images that are asked for; the rest is zero.
        used: usize,
    },
}

impl Input<'_> {
    /// How the values of each image lie, if not as the network's input has them. A border is zero and must stay so.
    pub fn arrangement(&self) -> Option<Arrangement> {
        match self.0 {
            Values::Lent { map: Some(layout), .. } => Some(Arrangement::Pixels { border: layout.border() }),
            Values::Lent { map: None, .. } => Some(Arrangement::Planes),
            Values::Given(_) => None,
        }
    }
}

impl<'a, T: AsRef<[f32]> + ?Sized> From<&'a T> for Input<'a> {
    fn from(values: &'a T) -> Self {
        Self(Values::Given(Cow::Borrowed(values.as_ref())))
    }
}

impl From<Vec<f32>> for Input<'_> {
    fn from(values: Vec<f32>) -> Self {
        Self(Values::Given(Cow::Owned(values)))
    }
}

impl Deref for Input<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.0 {
            Values::Given(values) => values,
            Values::Lent { tensor, used, .. } => {
                let values = tensor.try_as_plain_ram().and_then(|values| values.as_slice()).unwrap_or_default();
                values.get(..*used).unwrap_or_default()
            }
        }
    }
}

impl DerefMut for Input<'_> {
    fn deref_mut(&mut self) -> &mut [f32] {
        match &mut self.0 {
            Values::Given(values) => values.to_mut(),
            Values::Lent { tensor, used, .. } => {
                let values = tensor.to_plain_array_view_mut().ok().and_then(|values| values.into_slice()).unwrap_or_default();
                values.get_mut(..*used).unwrap_or_default()
            }
        }
    }
}
