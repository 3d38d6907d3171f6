//! Convolutions of 3×3 taps by Winograd's minimal filtering (Lavin and Gray, arXiv 1509.09308, section 4): fewer products, more roundings.
//!
//! An output tile of m×m pixels comes from an input tile of (m+2)×(m+2). Both are transformed so that the convolution becomes one product for each
//! of the (m+2)² places of a tile, and the products of a place, over all channels and tiles, are a 1×1 [`Convolution`] between two maps.

use std::str::FromStr;

use super::convolution::{Convolution, ConvolutionShape, Window};
use super::epilogue::Epilogue;
use super::layout::{Layout, Map, MapMut};
use super::limits::{MAX_SIZE, SizeError};
use super::nonlinearity::Nonlinearity;
use super::pages::WeightsMut;
use crate::kernels::Simd;

/// How many output pixels a tile has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WinogradTile {
    /// F(2×2, 3×3): 4 products for every output pixel instead of 9.
    Two,
    /// F(4×4, 3×3): 2.25 products for every output pixel instead of 9.
    Four,
}

impl WinogradTile {
    /// m: rows and columns of an output tile.
    pub fn outputs(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// m + 2: rows and columns of an input tile.
    pub fn inputs(self) -> usize {
        self.outputs() + 2
    }
}

/// How far convolutions of 3×3 taps may be replaced by Winograd's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Winograd {
    /// Not at all.
    Off,
    /// By F(2×2, 3×3), where it is faster.
    F2,
    /// By F(2×2, 3×3) or F(4×4, 3×3), where they are faster.
    #[default]
    F4,
}

/// The name is none of `off`, `f2` and `f4`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected off, f2 or f4")]
pub struct UnknownWinograd;

impl FromStr for Winograd {
    type Err = UnknownWinograd;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            "f2" => Ok(Self::F2),
            "f4" => Ok(Self::F4),
            _ => Err(UnknownWinograd),
        }
    }
}

impl Winograd {
    /// The tile with which a convolution of `shape` to maps of `output` (H, W) is fastest, where one beats plain multiplication.
    ///
    /// Estimates from what one thread of a Zen 3 takes (`cargo bench --bench convolution`), in multiply-accumulates: a value that is transformed
    /// costs as much as 14 with tiles of two and 22 with tiles of four, a weight that is read, from beyond the caches in a whole network, 11.
    pub fn choose(self, simd: Simd, shape: &ConvolutionShape, output: [usize; 2]) -> Option<WinogradTile> {
        // In 128 bits nothing wraps: each size is at most `MAX_SIZE`.
        let [inputs, outputs, height, width] =
            [shape.inputs(), shape.outputs(), output[0].min(MAX_SIZE), output[1].min(MAX_SIZE)].map(|size| size as u128);
        let weights = inputs * outputs;
        let cost = |tile: WinogradTile| {
            let (places, size) = ((tile.inputs() * tile.inputs()) as u128, tile.outputs() as u128);
            let tiles = height.div_ceil(size) * width.div_ceil(size);
            let transforms = if tile == WinogradTile::Two { 14 } else { 22 };
            places * (tiles * weights + tiles * (inputs + outputs) * transforms + weights * 11)
        };
        let plain = 9 * weights * (height * width + 11);
        let (two, four) = (cost(WinogradTile::Two), cost(WinogradTile::Four));
        match self {
            _ if !WinogradConvolution::fits(simd, shape) => None,
            // Its weights take twice the memory: it must be worth that.
            Self::F4 if four < two - two / 16 && four < plain => Some(WinogradTile::Four),
            Self::F2 | Self::F4 if two < plain => Some(WinogradTile::Two),
            _ => None,
        }
    }
}

/// A 3×3 convolution of stride 1 with bias and epilogue, its weights transformed and packed for one instruction set.
#[derive(Debug)]
pub struct WinogradConvolution {
    pub(in crate::kernels) tile: WinogradTile,
    pub(in crate::kernels) window: Window,
    pub(in crate::kernels) bias: Vec<f32>,
    /// `[outputs]`; empty where no PReLU follows.
    pub(in crate::kernels) slopes: Vec<f32>,
    pub(in crate::kernels) epilogue: Epilogue,
    /// The product of every place of an input tile, by rows.
    products: Vec<Convolution>,
    shape: ConvolutionShape,
    /// Tiles that are transformed together.
    block: usize,
}

/// What the transformed values of a block of tiles, and what comes of them, may take: about a second cache.
const BLOCK_BYTES: usize = 448 * 1024;

impl WinogradConvolution {
    /// Whether there is such a convolution for `shape` at `simd`.
    pub fn fits(simd: Simd, shape: &ConvolutionShape) -> bool {
        let (window, lanes) = (shape.window(), simd.kernels().panel_size().lanes);
        let moves_by_one = (window.kernel(), window.stride(), window.dilation()) == ([3, 3], [1, 1], [1, 1]);
        moves_by_one && shape.groups() == 1 && shape.inputs() >= lanes && shape.outputs() >= lanes
    }

    /// Transforms and packs `weights`, `[outputs, inputs, 3, 3]`, and `bias`, `[outputs]`, for `simd`.
    ///
    /// # Errors
    /// [`SizeError`] when the shape does not [fit](Self::fits), or there are more or fewer weights than it says.
    pub fn new(
        simd: Simd,
        tile: WinogradTile,
        shape: ConvolutionShape,
        weights: &[f32],
        bias: &[f32],
        epilogue: impl Into<Epilogue>,
    ) -> Result<Self, SizeError> {
        if !Self::fits(simd, &shape) {
            return Err(SizeError::NoWinograd { shape });
        }
        shape.check_weights(weights, bias)?;
        let (inputs, outputs) = (shape.inputs(), shape.outputs());
        let places = tile.inputs() * tile.inputs();
        let mut transformed: Vec<Vec<f32>> = (0..places).map(|_| Vec::with_capacity(outputs * inputs)).collect();
        for taps in weights.as_chunks().0 {
            for (place, value) in transformed.iter_mut().zip(transform_taps(tile, taps)) {
                place.push(value);
            }
        }
        let product = ConvolutionShape::new(inputs, outputs, 1, Window::UNIT)?;
        let zeros = vec![0.0; outputs];
        let products = transformed.into_iter().map(|weights| Convolution::new(simd, product, &weights, &zeros, Nonlinearity::Identity));
        let products = products.collect::<Result<_, _>>()?;
        let block = (BLOCK_BYTES / (places * (inputs + outputs) * size_of::<f32>())).clamp(24, 96);
        Ok(Self { tile, window: shape.window(), bias: bias.to_vec(), slopes: vec![], epilogue: epilogue.into(), products, shape, block })
    }

    /// Puts a PReLU (He et al., arXiv 1502.01852) before the epilogue; `slopes` is `[outputs]`, or empty for none.
    ///
    /// # Panics
    /// When there are more or fewer.
    pub fn set_slopes(&mut self, slopes: &[f32]) {
        assert!(slopes.is_empty() || slopes.len() == self.shape.outputs(), "{} slopes for {} channels", slopes.len(), self.shape.outputs());
        self.slopes = slopes.to_vec();
    }

    /// Where its weights are, to be moved.
    pub fn weights_mut(&mut self) -> impl Iterator<Item = WeightsMut<'_>> {
        self.products.iter_mut().map(Convolution::weights_mut)
    }

    /// The channel nearest to `channel` at which an output may be [cut](MapMut::split_at_channel).
    pub fn nearest_cut(&self, channel: usize) -> usize {
        self.products.first().map_or(channel, |product| product.nearest_cut(channel))
    }

    /// Its tile.
    pub fn tile(&self) -> WinogradTile {
        self.tile
    }

    /// Its sizes.
    pub fn shape(&self) -> ConvolutionShape {
        self.shape
    }

    /// Values of memory that a run needs.
    pub fn scratch(&self) -> usize {
        self.products.len() * self.block * (self.shape.inputs() + self.shape.outputs())
    }

    /// Bytes of the packed weights and biases.
    pub fn bytes(&self) -> usize {
        self.products.iter().map(Convolution::bytes).sum::<usize>() + size_of_val(self.bias.as_slice()) + size_of_val(self.slopes.as_slice())
    }
}

/// `output = epilogue(prelu(convolution(input) + bias + shortcut))`, where the convolution [has slopes](WinogradConvolution::set_slopes).
///
/// A NaN or an infinity of the input makes every output of the tiles that read it NaN. On uniform noise the root mean square of the
/// error is 0.6 of that of [`convolve`](super::convolve) with tiles of two, whose sums are shorter, and 3.5 to 4 times it with tiles of four (64 to 256
/// channels); its largest value 0.3 to 0.4 and 5 to 7.5 times.
///
/// # Panics
/// When the channels differ, `output` has less of them than a vector or does not begin and end at a [cut](WinogradConvolution::nearest_cut),
/// `input`'s border is narrower than the window needs, `shortcut` is no map like `output`, `scratch` is shorter than
/// [`WinogradConvolution::scratch`] says, or the weights were packed for another instruction set.
pub fn convolve_winograd(
    simd: Simd,
    c: &WinogradConvolution,
    input: Map<'_>,
    shortcut: Option<Map<'_>>,
    output: &mut MapMut<'_>,
    scratch: &mut [f32],
) {
    let (layout, channels, pixels) = (output.layout(), output.channels(), output.pixels());
    assert_eq!((input.channels(), layout.channels()), (c.shape.inputs(), c.shape.outputs()), "channels of {:?}", c.shape);
    assert!(channels.len() >= simd.kernels().panel_size().lanes, "channels {channels:?} are less than a vector");
    super::assert_window(c.window, &input.layout(), &layout);
    let shortcut = shortcut.map(|shortcut| super::like(output, shortcut));
    let size = c.tile.outputs();
    let width = layout.width().max(1);
    let rows = pixels.start / width / size..pixels.end.div_ceil(width).div_ceil(size);
    let tiles: Vec<[usize; 2]> = rows.flat_map(|y| (0..width.div_ceil(size)).map(move |x| [y * size, x * size])).collect();
    let blocks = tiles.len().div_ceil(c.block).max(1);
    for tiles in tiles.chunks(tiles.len().div_ceil(blocks).max(1)) {
        let (transformed, rest) = scratch.split_at_mut(c.products.len() * tiles.len() * c.shape.inputs());
        let products = &mut rest[..c.products.len() * tiles.len() * c.shape.outputs()];
        simd.kernels().transform_tiles(c, tiles, input, transformed);
        let (from, to) = (Layout::new(1, tiles.len(), c.shape.inputs(), 0), Layout::new(1, tiles.len(), c.shape.outputs(), 0));
        let places = transformed.chunks_exact(from.len()).zip(products.chunks_exact_mut(to.len()));
        for (product, (transformed, products)) in c.products.iter().zip(places) {
            let (_, products) = MapMut::new(to, products).split_at_channel(channels.start);
            let (mut products, _) = products.split_at_channel(channels.end);
            super::convolve(simd, product, Map::new(from, transformed), None, &mut products);
        }
        simd.kernels().finish_tiles(c, tiles, products, shortcut, output);
    }
}

/// `Bᵀ` of F(2, 3) and F(4, 3).
pub(in crate::kernels) fn input_matrix(tile: WinogradTile) -> &'static [&'static [f32]] {
    match tile {
        WinogradTile::Two => &[&[1.0, 0.0, -1.0, 0.0], &[0.0, 1.0, 1.0, 0.0], &[0.0, -1.0, 1.0, 0.0], &[0.0, 1.0, 0.0, -1.0]],
        WinogradTile::Four => &[
            &[4.0, 0.0, -5.0, 0.0, 1.0, 0.0],
            &[0.0, -4.0, -4.0, 1.0, 1.0, 0.0],
            &[0.0, 4.0, -4.0, -1.0, 1.0, 0.0],
            &[0.0, -2.0, -1.0, 2.0, 1.0, 0.0],
            &[0.0, 2.0, -1.0, -2.0, 1.0, 0.0],
            &[0.0, 4.0, 0.0, -5.0, 0.0, 1.0],
        ],
    }
}

/// `Aᵀ` of F(2, 3) and F(4, 3).
pub(in crate::kernels) fn output_matrix(tile: WinogradTile) -> &'static [&'static [f32]] {
    match tile {
        WinogradTile::Two => &[&[1.0, 1.0, 1.0, 0.0], &[0.0, 1.0, -1.0, -1.0]],
        WinogradTile::Four => {
            &[&[1.0, 1.0, 1.0, 1.0, 1.0, 0.0], &[0.0, 1.0, -1.0, 2.0, -2.0, 0.0], &[0.0, 1.0, 1.0, 4.0, 4.0, 0.0], &[0.0, 1.0, -1.0, 8.0, -8.0, 1.0]]
        }
    }
}

/// `G` of F(2, 3) and F(4, 3).
fn weights_matrix(tile: WinogradTile) -> &'static [[f64; 3]] {
    match tile {
        WinogradTile::Two => &[[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]],
        WinogradTile::Four => &[
            [1.0 / 4.0, 0.0, 0.0],
            [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
            [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
            [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
            [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
            [0.0, 0.0, 1.0],
        ],
    }
}

/// `G · taps · Gᵀ`, by rows; as many values as the tile has places.
fn transform_taps(tile: WinogradTile, taps: &[f32; 9]) -> [f32; 36] {
    let g = weights_matrix(tile);
    let mut transformed = [0.0; 36];
    for (i, left) in g.iter().enumerate() {
        for (j, right) in g.iter().enumerate() {
            let sum: f64 = (0..9).map(|tap| left[tap / 3] * f64::from(taps[tap]) * right[tap % 3]).sum();
            transformed[i * g.len() + j] = sum as f32;
        }
    }
    transformed
}
