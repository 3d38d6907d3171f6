//! The arithmetic of preprocessing on whole rows, at every instruction set; the results are the same at all. Knows nothing outside this folder.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(test)]
mod properties;
mod scalar;

use std::ops::Range;

#[cfg(target_arch = "x86_64")]
use self::avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use self::avx512::{Avx512, Lanes};

/// Bits behind the point of a weight: 32 less 8 for the sample and 2 for the overshoot of the filters.
pub(super) const PRECISION_BITS: u32 = 32 - 8 - 2;

/// What a sum begins with, so that cutting its bits off rounds it.
const ROUNDING: i32 = 1 << (PRECISION_BITS - 1);

/// Rows that are filtered at once, so that weights are read once for all of them.
pub(super) const ROWS: usize = 4;

/// Weights of successive pixels; those that are not needed are zero.
type Four = [i32; 4];

/// What the pixels of a row are made of.
pub(super) struct Taps {
    /// By pixel, the first byte of its sources and the number of fours that are their weights.
    places: Vec<(usize, usize)>,
    /// The weights of all pixels, one after the other.
    weights: Vec<Four>,
    /// The largest of all pixels' first byte, twelve bytes for each of its fours, and four more; `usize::MAX`, which no row has, where it would be larger.
    reach: usize,
    /// All of it as AVX-512 takes it, where there is AVX-512, and it can.
    #[cfg(target_arch = "x86_64")]
    lanes: Option<Lanes>,
}

impl Taps {
    /// Takes the source pixels of every pixel, and their weights.
    pub(super) fn new<'a>(pixels: impl Iterator<Item = (Range<usize>, &'a [i32])>) -> Self {
        let mut taps = Self {
            places: Vec::new(),
            weights: Vec::new(),
            reach: 0,
            #[cfg(target_arch = "x86_64")]
            lanes: None,
        };
        for (sources, weights) in pixels {
            let (first, before) = (sources.start.saturating_mul(3), taps.weights.len());
            taps.weights.extend(weights.chunks(4).map(|some| std::array::from_fn(|at| some.get(at).copied().unwrap_or(0))));
            let fours = taps.weights.len() - before;
            taps.places.push((first, fours));
            taps.reach = taps.reach.max(first.saturating_add(12 * fours + 4));
        }
        #[cfg(target_arch = "x86_64")]
        if matches!(Kernels::detect(), Kernels::Avx512(_)) {
            taps.lanes = Lanes::new(&taps);
        }
        taps
    }

    /// Pixels that are made.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Bytes that a row must have. Those behind the last source pixel may be anything, and are at most thirteen.
    pub(super) fn reach(&self) -> usize {
        self.reach
    }

    /// Of every pixel the first byte of its sources, and their weights.
    fn iter(&self) -> impl Iterator<Item = (usize, &[Four])> {
        self.places.iter().scan(self.weights.as_slice(), |rest, (first, fours)| {
            let (weights, tail) = rest.split_at_checked(*fours)?;
            *rest = tail;
            Some((*first, weights))
        })
    }
}

/// What the levels of one channel become: `(level · scale − mean) / std`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Normalisation {
    pub(super) scale: f32,
    pub(super) mean: f32,
    pub(super) std: f32,
}

impl Normalisation {
    #[inline(always)]
    pub(super) fn of(&self, level: u8) -> f32 {
        (f32::from(level) * self.scale - self.mean) / self.std
    }
}

/// Values that are computed together: whole pixels, and whole vectors.
const TOGETHER: usize = 48;

/// The same for successive values of pixels, channel by channel.
pub(super) struct Channels {
    scale: f32,
    mean: [f32; TOGETHER],
    std: [f32; TOGETHER],
}

impl Channels {
    /// All three scale alike.
    pub(super) fn new(channels: [Normalisation; 3]) -> Self {
        let spread = |of: fn(&Normalisation) -> f32| std::array::from_fn(|at| of(&channels[at % 3]));
        Self { scale: channels[0].scale, mean: spread(|channel| channel.mean), std: spread(|channel| channel.std) }
    }
}

/// What this machine runs best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernels {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Kernels {
    pub(super) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(proof) = Avx512::detect() {
            return Self::Avx512(proof);
        } else if let Some(proof) = Avx2::detect() {
            return Self::Avx2(proof);
        }
        Self::Scalar
    }

    /// From rows of RGB to rows of [`Taps::len`] pixels, which `target` is to hold one after the other.
    ///
    /// # Panics
    /// When a row has less than [`Taps::reach`] bytes, or `target` has no room for as many pixels.
    pub(super) fn filter_rows(self, rows: [&[u8]; ROWS], taps: &Taps, target: &mut [u8]) {
        match self {
            Self::Scalar => scalar::filter_rows(rows, taps, target),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(proof) => proof.filter_rows(rows, taps, target),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(proof) => proof.filter_rows(rows, taps, target),
        }
    }

    /// The weighted sum of as many rows as there are `weights`, each `stride` samples behind the one before and as long as `target`.
    ///
    /// # Panics
    /// When the `samples` end before the last row does.
    pub(super) fn sum_rows(self, samples: &[u8], stride: usize, weights: &[i32], target: &mut [u8]) {
        let end = stride.checked_mul(weights.len().saturating_sub(1)).and_then(|last| last.checked_add(target.len()));
        let has_all = weights.is_empty() || target.is_empty() || end.is_some_and(|end| end <= samples.len());
        assert!(has_all, "{} samples for {} rows of {}, {stride} apart", samples.len(), weights.len(), target.len());
        match self {
            Self::Scalar => scalar::sum_rows(samples, stride, weights, target),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(proof) => proof.sum_rows(samples, stride, weights, target),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(proof) => proof.sum_rows(samples, stride, weights, target),
        }
    }

    /// Normalises pixels; the shorter of both slices counts.
    pub(super) fn normalise(self, pixels: &[[u8; 3]], channels: &Channels, normalised: &mut [[f32; 3]]) {
        match self {
            Self::Scalar => scalar::normalise(pixels, channels, normalised),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(proof) => proof.normalise(pixels, channels, normalised),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(proof) => proof.normalise(pixels, channels, normalised),
        }
    }
}
