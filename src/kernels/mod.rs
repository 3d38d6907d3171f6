//! Squeeze, excitation and scale as safe functions on slices, at every instruction set; knows nothing of tract, images or HTTP.
//!
//! Every function takes a [`Simd`], whose possession proves that this machine runs its instructions. All are total: any length, any
//! alignment, empty slices, NaN and infinities. Feature maps are `[C, H·W]`, row-major, one image.
//!
//! NaN passes through every function, ReLU and the gates included, so that a network that diverged does not look healthy.

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod excitation;
mod function;
mod level;
pub mod maps;
#[cfg(test)]
mod properties;
mod scalar;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod vector;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub use excitation::{Excitation, Layer, Layered, Layers, ShapeMismatch};
pub use function::{Function, Functions};
pub use level::{Level, Simd, UnsupportedLevel};

/// What follows the residual addition in [`scale`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rectify {
    /// Nothing.
    No,
    /// `max(x, 0)`
    Relu,
}

/// What every instruction set implements; the lengths have been checked.
trait Kernels: maps::MapKernels {
    fn squeeze(&self, map: &[f32], positions: usize, means: &mut [f32]);
    /// Without what is done to the means before the first layer, and of the gate its first function only.
    fn excite(&self, excitation: &Excitation, means: &[f32], gates: &mut [f32]);
    fn scale(&self, map: &mut [f32], from: Option<&[f32]>, positions: usize, gates: &[f32], shortcut: Option<(&[f32], Rectify)>);
}

/// The mean of every channel: `map` is `[C, positions]`, `means` is `[C]`.
///
/// A mean is within 5e-6 of the exact one, relative to the mean of the absolute values, however large the map; a channel whose partial sums
/// leave the range of `f32` has an infinite mean. The mean of no positions is 0/0, NaN.
///
/// # Panics
/// When `map` does not hold `means.len() · positions` values.
pub fn squeeze(simd: Simd, map: &[f32], positions: usize, means: &mut [f32]) {
    assert_map(map.len(), means.len(), positions);
    simd.kernels().squeeze(map, positions, means);
}

/// The gate of every channel: `gate(expand · activation(reduce · before(means) + reduce_bias) + expand_bias)`, or, in a block of one layer,
/// `gate(expand · before(means) + expand_bias)`; `means` and `gates` are `[C]`.
///
/// Gates have the range of the block's gate function, 0..=1 for sigmoids, or are NaN. Every sum of products is within 2e-6 of the exact one, relative
/// to the sum of the absolute products; then every hard sigmoid is within 2.5e-7 of the exact one, and every sigmoid within 5e-7 relative to it.
/// Allocates nothing, unless something is done to the means before the first layer.
///
/// # Panics
/// When `means` or `gates` does not hold [`Excitation::channels`] values.
pub fn excite(simd: Simd, excitation: &Excitation, means: &[f32], gates: &mut [f32]) {
    let channels = excitation.channels();
    assert_eq!(means.len(), channels, "{} means for {channels} channels", means.len());
    assert_eq!(gates.len(), channels, "{} gates for {channels} channels", gates.len());
    if excitation.reduce.as_ref().is_some_and(|reduce| reduce.activation.rest.need_all_values()) {
        return excite_by_layers(simd, excitation, means, gates);
    }
    if excitation.before.is_empty() {
        simd.kernels().excite(excitation, means, gates);
    } else {
        let mut means = means.to_vec();
        excitation.before.apply(&mut means, 0);
        simd.kernels().excite(excitation, &means, gates);
    }
    excitation.gate.rest.apply(gates, 0);
}

/// As [`excite`], with all values of the layer in the middle at once.
fn excite_by_layers(simd: Simd, excitation: &Excitation, means: &[f32], gates: &mut [f32]) {
    let Ok(Layered { before, layers }) = excitation.layers() else { return };
    let mut values = means.to_vec();
    before.apply(&mut values, 0);
    for (layer, after) in &layers {
        let mut outputs = vec![0.0; layer.outputs()];
        maps::connect(simd, layer, &values, 0, &mut outputs);
        after.apply(&mut outputs, 0);
        values = outputs;
    }
    gates.copy_from_slice(&values);
}

/// `map = from · gate`, or `rectify(from · gate + shortcut)`, in one pass over memory; where `from` is `None`, it is `map` itself.
///
/// `map`, `from` and the shortcut are `[C, positions]`, `gates` is `[C]`. Without a shortcut the result is the same at every level; with one, the
/// product and the sum are rounded at most once each, and levels with a fused multiply-add round once.
///
/// # Panics
/// When `map`, `from` or the shortcut does not hold `gates.len() · positions` values.
pub fn scale(simd: Simd, map: &mut [f32], from: Option<&[f32]>, positions: usize, gates: &[f32], shortcut: Option<(&[f32], Rectify)>) {
    let others = [from, shortcut.map(|(values, _)| values)];
    for length in [map.len()].into_iter().chain(others.into_iter().flatten().map(<[f32]>::len)) {
        assert_map(length, gates.len(), positions);
    }
    simd.kernels().scale(map, from, positions, gates, shortcut);
}

fn assert_map(values: usize, channels: usize, positions: usize) {
    assert!(channels.checked_mul(positions) == Some(values), "a map of {values} values for {channels} channels of {positions} positions");
}
