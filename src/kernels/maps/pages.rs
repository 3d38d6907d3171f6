//! Memory in large pages, where the system has them.
//!
//! A network reads all its weights for every image. In pages of 4 KiB the processor spends some 3 to 7 % of the time on looking addresses up; in
//! large ones, which Linux gives to mappings that ask for them, next to none.

use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

use memmap2::MmapMut;

/// Zeros at first.
#[derive(Debug)]
pub struct Pages(Memory);

#[derive(Debug)]
enum Memory {
    Mapped(MmapMut),
    /// Where the system gives no mapping.
    Allocated(Vec<f32>),
}

/// The system does not give so much memory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the system has no memory for {values} values")]
pub struct NoMemory {
    values: usize,
}

impl Pages {
    /// Memory for `values` values.
    ///
    /// # Errors
    /// [`NoMemory`] when the system does not give it.
    pub fn zeroed(values: usize) -> Result<Self, NoMemory> {
        let bytes = values.checked_mul(size_of::<f32>()).ok_or(NoMemory { values })?;
        if let Ok(map) = MmapMut::map_anon(bytes) {
            // Without large pages it works as well.
            #[cfg(target_os = "linux")]
            let _ = map.advise(memmap2::Advice::HugePage);
            return Ok(Self(Memory::Mapped(map)));
        }
        let mut memory = vec![];
        memory.try_reserve_exact(values).map_err(|_| NoMemory { values })?;
        memory.resize(values, 0.0);
        Ok(Self(Memory::Allocated(memory)))
    }
}

impl Deref for Pages {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.0 {
            Memory::Mapped(map) => bytemuck::cast_slice(map),
            Memory::Allocated(values) => values,
        }
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [f32] {
        match &mut self.0 {
            Memory::Mapped(map) => bytemuck::cast_slice_mut(map),
            Memory::Allocated(values) => values,
        }
    }
}

/// Weights, in memory of their own or in a part of some that is shared. They are never exchanged for others: unsafe code relies on their number.
pub(in crate::kernels) struct Weights(Storage);

enum Storage {
    Own(Vec<f32>),
    Shared(Arc<Pages>, Range<usize>),
}

/// Weights that can be moved elsewhere, and neither read nor changed.
pub struct WeightsMut<'a>(&'a mut Weights);

impl<'a> WeightsMut<'a> {
    pub(super) fn new(weights: &'a mut Weights) -> Self {
        Self(weights)
    }

    /// Moves all weights into one memory.
    ///
    /// # Errors
    /// [`NoMemory`] when the system has none; then all stay where they are.
    pub fn gather(all: Vec<Self>) -> Result<(), NoMemory> {
        let mut all: Vec<&mut Weights> = all.into_iter().map(|weights| weights.0).collect();
        // On a boundary of cache lines each.
        let length = |weights: &Weights| weights.len().next_multiple_of(16);
        let mut pages = Pages::zeroed(all.iter().map(|weights| length(weights)).sum())?;
        let mut places = vec![];
        let mut start = 0;
        for weights in &mut all {
            let place = start..start + weights.len();
            pages[place.clone()].copy_from_slice(weights);
            start += length(weights);
            // Freed before the next are copied: they are never in memory twice.
            weights.0 = Storage::Own(vec![]);
            places.push(place);
        }
        let pages = Arc::new(pages);
        for (weights, place) in all.into_iter().zip(places) {
            weights.0 = Storage::Shared(Arc::clone(&pages), place);
        }
        Ok(())
    }
}

impl From<Vec<f32>> for Weights {
    fn from(values: Vec<f32>) -> Self {
        Self(Storage::Own(values))
    }
}

impl Deref for Weights {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.0 {
            Storage::Own(values) => values,
            Storage::Shared(pages, place) => &pages[place.clone()],
        }
    }
}

impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} weights", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gathered_weights_keep_their_values() {
        let lengths = [3, 0, 17, 16, 1];
        let values = |index: usize| (0..lengths[index]).map(|value| (100 * index + value) as f32).collect::<Vec<_>>();
        let mut all: Vec<Weights> = (0..lengths.len()).map(|index| values(index).into()).collect();
        WeightsMut::gather(all.iter_mut().map(WeightsMut).collect()).expect("it is little");
        for (index, weights) in all.iter().enumerate() {
            assert_eq!(weights[..], values(index));
        }
        WeightsMut::gather(vec![]).expect("it is nothing");
    }

    #[test]
    fn memory_that_the_system_does_not_have_is_an_error() {
        for values in [1 << 58, (1 << 62) + 1, usize::MAX] {
            assert_eq!(Pages::zeroed(values).err(), Some(NoMemory { values }));
        }
    }
}
