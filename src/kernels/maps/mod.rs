//! Operators on feature maps that have their channels last, one image at a time.
//!
//! Like the rest of `kernels`, safe and total: the layouts are checked before anything is read or written, and sizes when they become a [`Layout`],
//! [`Window`] or [`ConvolutionShape`] (see [`limits`]). An operator that writes a part of a
//! map ([`MapMut::split_at`], [`MapMut::split_at_channel`]) writes the same values as one that writes the whole, so that results do not depend on how work is shared out.

mod convolution;
mod epilogue;
#[cfg(test)]
mod hostile;
mod layout;
pub mod limits;
mod linear;
mod nonlinearity;
mod pages;
mod planar;
#[cfg(test)]
mod properties;
mod range;
pub(super) mod scalar;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) mod vector;
mod winograd;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(in crate::kernels) use convolution::Panel;
pub(in crate::kernels) use convolution::PanelSize;
pub use convolution::{Convolution, ConvolutionShape, Depthwise, Window};
pub use epilogue::{Epilogue, Grid};
pub use layout::{Layout, Map, MapMut};
pub use limits::{MAX_SIZE, MAX_VALUES, SizeError};
pub use linear::Linear;
pub use nonlinearity::Nonlinearity;
pub use pages::{NoMemory, Pages, WeightsMut};
pub use planar::{copy, from_pixels, from_planar, to_planar};
pub(super) use range::range_of;
pub use winograd::{UnknownWinograd, Winograd, WinogradConvolution, WinogradTile, convolve_winograd};

use std::ops::Range;

use super::Simd;

/// What a pool takes of its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pool {
    /// The largest value inside the map; padding does not count.
    Max,
    /// The mean of the values inside the map.
    Average,
    /// The mean over the whole window, padding counted as zeros.
    AverageWithPadding,
}

/// What every instruction set implements; layouts have been checked.
///
/// An output may be a part of a map. Where an operator has one channel of the input, of the shortcut, or one gate or slope for each of the output,
/// it is given those of that part.
pub(super) trait MapKernels {
    /// How [`Convolution`] packs its weights for this level.
    fn panel_size(&self) -> PanelSize;
    fn convolve(&self, convolution: &Convolution, input: Map<'_>, shortcut: Option<Map<'_>>, output: &mut MapMut<'_>);
    fn convolve_depthwise(&self, convolution: &Depthwise, input: Map<'_>, output: &mut MapMut<'_>);
    /// `Bᵀ · tile · B` of the input of every tile, given as the first pixel of its output; `transformed` is `[place, tile, inputs]`. What lies
    /// beyond the border counts as zero: no pixel of the output depends on it.
    fn transform_tiles(&self, convolution: &WinogradConvolution, tiles: &[[usize; 2]], input: Map<'_>, transformed: &mut [f32]);
    /// `epilogue(Aᵀ · products · A + bias + shortcut)` of every tile, so far as it has pixels in `output`; `products` is
    /// `[place, tile, outputs]`.
    fn finish_tiles(
        &self,
        convolution: &WinogradConvolution,
        tiles: &[[usize; 2]],
        products: &[f32],
        shortcut: Option<Map<'_>>,
        output: &mut MapMut<'_>,
    );
    /// The outputs from `first` on.
    fn connect(&self, layer: &Linear, inputs: &[f32], first: usize, outputs: &mut [f32]);
    fn pool(&self, pool: Pool, window: Window, input: Map<'_>, output: &mut MapMut<'_>);
    /// For every channel, each of the rows added up, then one to the other in their order, and their sum divided.
    fn sum_rows(&self, map: Map<'_>, rows: Range<usize>, divisor: f32, sums: &mut [f32]);
    fn recalibrate(&self, map: &mut MapMut<'_>, gates: &[f32], shortcut: Option<Map<'_>>, epilogue: Epilogue);
    fn add(&self, map: &mut MapMut<'_>, shortcut: Map<'_>, epilogue: Epilogue);
    fn activate(&self, map: &mut MapMut<'_>, epilogue: Epilogue);
    fn range(&self, map: Map<'_>) -> (f32, f32);
    fn prelu(&self, map: &mut MapMut<'_>, slopes: &[f32]);
}

/// `output = epilogue(prelu(convolution(input) + bias + shortcut))`, where the convolution [has slopes](Convolution::set_slopes).
///
/// A sum of products is within `(products + 2) · 2^-24` of the exact one, relative to the sum of the absolute products.
///
/// # Panics
/// When the channels differ, those of a part are not between [cuts](Convolution::nearest_cut), `input`'s border is narrower than the window needs,
/// `shortcut` is no map like `output`, or the weights were packed for another instruction set.
pub fn convolve(simd: Simd, convolution: &Convolution, input: Map<'_>, shortcut: Option<Map<'_>>, output: &mut MapMut<'_>) {
    let shape = convolution.shape;
    assert_eq!((input.channels(), output.layout().channels()), (shape.inputs(), shape.outputs()), "channels of {shape:?}");
    assert_eq!(convolution.lanes, simd.kernels().panel_size().lanes, "weights packed for another instruction set");
    assert_window(shape.window(), &input.layout(), &output.layout());
    simd.kernels().convolve(convolution, input, shortcut.map(|shortcut| like(output, shortcut)), output);
}

/// `output = epilogue(prelu(convolution(input) + bias))`, where the convolution [has slopes](Depthwise::set_slopes), each channel by itself; the
/// tolerance is that of [`convolve`].
///
/// # Panics
/// When the channels differ, or `input`'s border is narrower than the window needs.
pub fn convolve_depthwise(simd: Simd, convolution: &Depthwise, input: Map<'_>, output: &mut MapMut<'_>) {
    assert_eq!((input.channels(), output.layout().channels()), (convolution.channels, convolution.channels), "channels");
    assert_window(convolution.window, &input.layout(), &output.layout());
    simd.kernels().convolve_depthwise(convolution, input.part(output.channels()), output);
}

/// `outputs = epilogue(weights · inputs + bias)`, of the outputs from `first` on; the tolerance is that of [`convolve`].
///
/// # Panics
/// When there are more or fewer inputs than the layer has, or more outputs.
pub fn connect(simd: Simd, layer: &Linear, inputs: &[f32], first: usize, outputs: &mut [f32]) {
    assert_eq!(inputs.len(), layer.inputs(), "inputs");
    let has_them = layer.bias.len().checked_sub(first).is_some_and(|rest| outputs.len() <= rest);
    assert!(has_them, "{} outputs from {first} on of {}", outputs.len(), layer.bias.len());
    simd.kernels().connect(layer, inputs, first, outputs);
}

/// The largest value or the mean of every window; windows may reach beyond the map, whatever its border. A window wholly outside gives 0.
///
/// # Panics
/// When the channels differ.
pub fn pool(simd: Simd, pool: Pool, window: Window, input: Map<'_>, output: &mut MapMut<'_>) {
    assert_eq!(input.channels(), output.layout().channels(), "channels");
    simd.kernels().pool(pool, window, input.part(output.channels()), output);
}

/// The mean of every channel; `means` is `[C]`.
///
/// A mean is within `(H + W + 2) · 2^-24` of the exact one, relative to the mean of the absolute values. The mean of no pixels is NaN.
///
/// # Panics
/// When `means` does not have C values.
pub fn squeeze_map(simd: Simd, map: Map<'_>, means: &mut [f32]) {
    assert_eq!(means.len(), map.channels(), "means");
    simd.kernels().sum_rows(map, 0..map.layout().height(), map.layout().pixels() as f32, means);
}

/// The sums of every channel over the columns, of the rows from `first` on; `sums` is `[rows, C]`.
///
/// # Panics
/// When the map does not have that many rows.
pub fn sum_rows(simd: Simd, map: Map<'_>, first: usize, sums: &mut [f32]) {
    let (channels, height) = (map.channels(), map.layout().height());
    assert!(sums.len() <= height.saturating_sub(first) * channels, "{} sums of rows from {first} on of {height}, {channels} channels", sums.len());
    for (y, sums) in (first..).zip(sums.chunks_mut(channels.max(1))) {
        simd.kernels().sum_rows(map, y..y + 1, 1.0, sums);
    }
}

/// The mean of every channel, the very one of [`squeeze_map`], from the [sums of all rows](sum_rows) of a map of so many pixels; `sums` is `[H, C]`,
/// `means` is `[C]`.
pub fn mean_of_rows(sums: &[f32], pixels: usize, means: &mut [f32]) {
    means.fill(0.0);
    for row in sums.chunks_exact(means.len().max(1)) {
        means.iter_mut().zip(row).for_each(|(mean, sum)| *mean += sum);
    }
    means.iter_mut().for_each(|mean| *mean /= pixels as f32);
}

/// `map = epilogue(map · gates + shortcut)`; `gates` is `[C]`.
///
/// # Panics
/// When `gates` does not have C values, or `shortcut` is no map like `map`.
pub fn recalibrate(simd: Simd, map: &mut MapMut<'_>, gates: &[f32], shortcut: Option<Map<'_>>, epilogue: impl Into<Epilogue>) {
    assert_eq!(gates.len(), map.layout().channels(), "gates");
    let shortcut = shortcut.map(|shortcut| like(map, shortcut));
    simd.kernels().recalibrate(map, &gates[map.channels()], shortcut, epilogue.into());
}

/// `map = epilogue(map + shortcut)`.
///
/// # Panics
/// When `shortcut` is no map like `map`.
pub fn add(simd: Simd, map: &mut MapMut<'_>, shortcut: Map<'_>, epilogue: impl Into<Epilogue>) {
    simd.kernels().add(map, like(map, shortcut), epilogue.into());
}

/// `map = epilogue(map)`.
pub fn activate(simd: Simd, map: &mut MapMut<'_>, epilogue: impl Into<Epilogue>) {
    simd.kernels().activate(map, epilogue.into());
}

/// The least and the largest value, and at most and at least 0; NaN is passed over.
pub fn range(simd: Simd, map: Map<'_>) -> (f32, f32) {
    simd.kernels().range(map)
}

/// `map = map` where it is positive, else `slope · map`, with a slope for each channel (He et al., arXiv 1502.01852); `slopes` is `[C]`.
///
/// # Panics
/// When `slopes` does not have C values.
pub fn prelu(simd: Simd, map: &mut MapMut<'_>, slopes: &[f32]) {
    assert_eq!(slopes.len(), map.layout().channels(), "slopes");
    simd.kernels().prelu(map, &slopes[map.channels()]);
}

/// The channels of `shortcut`, a map of the same size as the whole of which `map` is a part, that `map` has.
fn like<'a>(map: &MapMut<'_>, shortcut: Map<'a>) -> Map<'a> {
    assert_alike(&shortcut.layout(), &map.layout());
    shortcut.part(map.channels())
}

fn assert_window(window: Window, input: &Layout, output: &Layout) {
    assert!(window.fits(input, output), "{window:?} from {output:?} reaches beyond {input:?}");
}

fn assert_alike(a: &Layout, b: &Layout) {
    assert_eq!((a.height(), a.width(), a.channels()), (b.height(), b.width(), b.channels()), "maps of unlike sizes");
}
