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

impl Pages {
    /// Memory for `values` values.
    pub fn zeroed(values: usize) -> Self {
        match MmapMut::map_anon(values * size_of::<f32>()) {
            Ok(map) => {
                // Without large pages it works as well.
                #[cfg(target_os = "linux")]
                let _ = map.advise(memmap2::Advice::HugePage);
                Self(Memory::Mapped(map))
            }
            Err(_) => Self(Memory::Allocated(vec![0.0; values])),
        }
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

/// Weights, in memory of their own or in a part of some that is shared.
pub struct Weights(Storage);

enum Storage {
    Own(Vec<f32>),
    Shared(Arc<Pages>, Range<usize>),
}

impl Weights {
    /// Moves all weights into one memory.
    pub fn gather(mut all: Vec<&mut Self>) {
        // On a boundary of cache lines each.
        let length = |weights: &Self| weights.len().next_multiple_of(16);
        let mut pages = Pages::zeroed(all.iter().map(|weights| length(weights)).sum());
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
        Weights::gather(all.iter_mut().collect());
        for (index, weights) in all.iter().enumerate() {
            assert_eq!(weights[..], values(index));
        }
        Weights::gather(vec![]);
    }
}
