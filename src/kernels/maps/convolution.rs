//! Convolutions as the kernels read them: checked, and with the weights packed for one instruction set.

use std::ops::Range;

use super::epilogue::Epilogue;
use super::layout::Layout;
use super::limits::{SizeError, check, check_values};
use super::pages::{Weights, WeightsMut};
use crate::kernels::Simd;

/// How a window moves over a map; sizes are `[vertical, horizontal]`, and within the [limits](super::limits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    padding: [usize; 2],
}

impl Window {
    /// One tap that moves by one pixel.
    pub const UNIT: Self = Self { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], padding: [0, 0] };

    /// A window of so many taps, `kernel`, that moves by `stride` pixels, with `dilation` pixels from one tap to the next, and `padding` pixels above
    /// and to the left; what is needed below and to the right follows from the sizes of the maps.
    ///
    /// # Errors
    /// [`SizeError`] when a padding is above [`MAX_SIZE`](super::MAX_SIZE), or another size is, or is 0.
    pub fn new(kernel: [usize; 2], stride: [usize; 2], dilation: [usize; 2], padding: [usize; 2]) -> Result<Self, SizeError> {
        for (name, sizes, least) in [("number of taps", kernel, 1), ("stride", stride, 1), ("dilation", dilation, 1), ("padding", padding, 0)] {
            sizes.into_iter().try_for_each(|size| check(name, size, least))?;
        }
        let dilation = [0, 1].map(|axis| if kernel[axis] == 1 { 1 } else { dilation[axis] });
        Ok(Self { kernel, stride, dilation, padding })
    }

    /// A window of so many taps that moves by one pixel, without padding.
    ///
    /// # Errors
    /// As [`Window::new`].
    pub fn of_taps(kernel: [usize; 2]) -> Result<Self, SizeError> {
        Self::new(kernel, [1, 1], [1, 1], [0, 0])
    }

    /// Taps.
    #[inline]
    pub fn kernel(&self) -> [usize; 2] {
        self.kernel
    }

    /// All taps.
    #[inline]
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Pixels of the input from one pixel of the output to the next.
    #[inline]
    pub fn stride(&self) -> [usize; 2] {
        self.stride
    }

    /// Pixels of the input from one tap to the next; 1 where there is only one tap.
    #[inline]
    pub fn dilation(&self) -> [usize; 2] {
        self.dilation
    }

    /// Pixels of padding above and to the left.
    #[inline]
    pub fn padding(&self) -> [usize; 2] {
        self.padding
    }

    /// The border that a map of `input` size needs so that an output of `output` size reads nothing outside; where it is larger than any number,
    /// `usize::MAX`.
    pub fn border(&self, input: [usize; 2], output: [usize; 2]) -> usize {
        let [vertical, horizontal] = [0, 1].map(|axis| self.needed(axis, input[axis], output[axis]).max(self.padding[axis]));
        vertical.max(horizontal)
    }

    /// Along one axis, how far the taps reach beyond the end of a map that is `input` long, for an output that is `output` long; `usize::MAX` where
    /// it is larger than any number.
    pub(crate) fn needed(&self, axis: usize, input: usize, output: usize) -> usize {
        // In 128 bits nothing wraps, whatever the sizes.
        let wide = |size: usize| size as u128;
        let moves = wide(output.saturating_sub(1)) * wide(self.stride[axis]);
        let end = moves + wide(self.kernel[axis] - 1) * wide(self.dilation[axis]) + 1;
        usize::try_from(end.saturating_sub(wide(input) + wide(self.padding[axis]))).unwrap_or(usize::MAX)
    }

    /// Whether all taps of every pixel of `output` lie within `input` and its border.
    pub(in crate::kernels) fn fits(&self, input: &Layout, output: &Layout) -> bool {
        self.border([input.height(), input.width()], [output.height(), output.width()]) <= input.border()
    }

    /// Of the pixel `at` of the output, along one axis: where the taps lie in a map that is `size` long, padding and border left out.
    #[inline]
    pub(in crate::kernels) fn inside(&self, axis: usize, at: usize, size: usize) -> impl Iterator<Item = usize> + Clone + use<> {
        // Where the first tap would lie, counted from the beginning of the padding.
        let (first, step, padding) = (at * self.stride[axis], self.dilation[axis], self.padding[axis]);
        let steps = |length: usize| if step == 1 { length } else { length.div_ceil(step) };
        let taps_before = |end: usize| steps(end.saturating_sub(first)).min(self.kernel[axis]);
        (taps_before(padding)..taps_before(padding + size)).map(move |tap| first + tap * step - padding)
    }
}

/// The sizes of a convolution, within the [limits](super::limits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConvolutionShape {
    inputs: usize,
    outputs: usize,
    groups: usize,
    window: Window,
}

impl ConvolutionShape {
    /// A convolution from `inputs` to `outputs` channels, each of which sees `inputs / groups` channels.
    ///
    /// # Errors
    /// [`SizeError`] when a size is 0 or above [`MAX_SIZE`](super::MAX_SIZE), when the groups do not divide the channels, and when there were more
    /// weights than [`MAX_VALUES`](super::MAX_VALUES).
    pub fn new(inputs: usize, outputs: usize, groups: usize, window: Window) -> Result<Self, SizeError> {
        for (name, size) in [("number of inputs", inputs), ("number of outputs", outputs), ("number of groups", groups)] {
            check(name, size, 1)?;
        }
        if !inputs.is_multiple_of(groups) || !outputs.is_multiple_of(groups) {
            return Err(SizeError::Groups { groups, inputs, outputs });
        }
        check_values("a kernel", &[outputs, inputs / groups, window.kernel[0], window.kernel[1]])?;
        Ok(Self { inputs, outputs, groups, window })
    }

    /// One tap that sees its own channel alone: a number for each of `channels` to scale or shift by.
    ///
    /// # Errors
    /// As [`ConvolutionShape::new`].
    pub fn channel_wise(channels: usize) -> Result<Self, SizeError> {
        Self::new(channels, channels, channels, Window::UNIT)
    }

    /// Channels of the input.
    #[inline]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Channels of the output.
    #[inline]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Every output channel sees `inputs / groups` input channels.
    #[inline]
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// How it moves.
    #[inline]
    pub fn window(&self) -> Window {
        self.window
    }

    /// Multiply-accumulates of every pixel of the output, and weights.
    #[inline]
    pub fn products(&self) -> usize {
        self.outputs * (self.inputs / self.groups) * self.window.taps()
    }

    /// # Errors
    /// [`SizeError::Weights`] when there are more or fewer than it has.
    pub(super) fn check_weights(&self, weights: &[f32], bias: &[f32]) -> Result<(), SizeError> {
        match (weights.len(), bias.len()) == (self.products(), self.outputs) {
            true => Ok(()),
            false => Err(SizeError::Weights { shape: *self, weights: weights.len(), bias: bias.len() }),
        }
    }
}

/// A convolution with bias and epilogue, its weights packed for the kernels of one instruction set.
#[derive(Debug)]
pub struct Convolution {
    pub(in crate::kernels) shape: ConvolutionShape,
    pub(in crate::kernels) epilogue: Epilogue,
    /// Floats of the vectors that the weights are packed for.
    pub(in crate::kernels) lanes: usize,
    /// Input channels that each panel sees; 4 where it has `quads`.
    pub(in crate::kernels) depth: usize,
    /// Whether each panel is one vector of groups of four channels, of which every output sees the four that lie where it will.
    pub(in crate::kernels) quads: bool,
    pub(in crate::kernels) panels: Vec<Panel>,
    /// Of every panel, `[kernel height, kernel width, depth, vectors · lanes]`.
    pub(in crate::kernels) weights: Weights,
    /// Of every panel, `[vectors · lanes]`.
    pub(in crate::kernels) bias: Vec<f32>,
    /// Laid out like `bias`; empty where no PReLU follows.
    pub(in crate::kernels) slopes: Vec<f32>,
}

/// How many output channels a level computes together: as many sums as its registers hold.
#[derive(Debug, Clone, Copy)]
pub(in crate::kernels) struct PanelSize {
    /// Floats of a vector.
    pub(in crate::kernels) lanes: usize,
    /// Vectors of a panel where there are enough.
    pub(in crate::kernels) usual: usize,
    /// The most that there is a kernel for.
    pub(in crate::kernels) widest: usize,
}

/// Output channels that are computed together.
#[derive(Debug, Clone, Copy)]
pub(in crate::kernels) struct Panel {
    /// Registers of output channels.
    pub(in crate::kernels) vectors: usize,
    /// Its output channels are `first..first + outputs`; lanes beyond are not stored.
    pub(in crate::kernels) first: usize,
    pub(in crate::kernels) outputs: usize,
    /// Its first input channel.
    pub(in crate::kernels) input: usize,
    /// Where its weights begin.
    pub(in crate::kernels) weights: usize,
    /// Where its biases begin.
    pub(in crate::kernels) bias: usize,
}

impl Convolution {
    /// Packs `weights`, `[outputs, inputs / groups, kernel height, kernel width]`, and `bias`, `[outputs]`, for `simd`.
    ///
    /// # Errors
    /// [`SizeError::Weights`] when there are more or fewer than the shape says.
    pub fn new(simd: Simd, shape: ConvolutionShape, weights: &[f32], bias: &[f32], epilogue: impl Into<Epilogue>) -> Result<Self, SizeError> {
        shape.check_weights(weights, bias)?;
        let ConvolutionShape { inputs, outputs, groups, .. } = shape;
        let PanelSize { lanes, usual, widest } = simd.kernels().panel_size();
        let (group_inputs, group_outputs) = (inputs / groups, outputs / groups);
        let together = groups_together(groups, group_outputs, lanes);
        let wide = group_outputs * together;
        let quads = (group_inputs, group_outputs, wide) == (4, 4, lanes);
        let depth = if quads { 4 } else { group_inputs * together };
        let mut packed =
            Self { shape, epilogue: epilogue.into(), lanes, depth, quads, panels: vec![], weights: vec![].into(), bias: vec![], slopes: vec![] };
        let mut of_all_panels = vec![];
        for part in 0..groups / together {
            let mut first = part * wide;
            let end = first + wide;
            for vectors in split(wide.div_ceil(lanes), usual, widest) {
                let panel = Panel {
                    vectors,
                    first,
                    outputs: (end - first).min(vectors * lanes),
                    input: part * group_inputs * together,
                    weights: of_all_panels.len(),
                    bias: packed.bias.len(),
                };
                packed.push(panel, vectors * lanes, weights, bias, &mut of_all_panels);
                first += panel.outputs;
            }
        }
        packed.weights = of_all_panels.into();
        Ok(packed)
    }

    /// Puts a PReLU (He et al., arXiv 1502.01852) before the epilogue; `slopes` is `[outputs]`, or empty for none.
    ///
    /// # Panics
    /// When there are more or fewer.
    pub fn set_slopes(&mut self, slopes: &[f32]) {
        assert!(slopes.is_empty() || slopes.len() == self.shape.outputs, "{} slopes for {} channels", slopes.len(), self.shape.outputs);
        let of_panel = |panel: &Panel| {
            let some = slopes[panel.first..][..panel.outputs].iter().copied();
            some.chain(std::iter::repeat(0.0)).take(panel.vectors * self.lanes).collect::<Vec<_>>()
        };
        self.slopes = if slopes.is_empty() { vec![] } else { self.panels.iter().flat_map(of_panel).collect() };
    }

    fn push(&mut self, panel: Panel, lanes: usize, weights: &[f32], bias: &[f32], of_all_panels: &mut Vec<f32>) {
        let taps = self.shape.window.taps();
        let group_inputs = self.shape.inputs / self.shape.groups;
        let group_outputs = self.shape.outputs / self.shape.groups;
        self.bias.extend((0..lanes).map(|lane| if lane < panel.outputs { bias[panel.first + lane] } else { 0.0 }));
        of_all_panels.reserve(taps * self.depth * lanes);
        for tap in 0..taps {
            for channel in panel.input..panel.input + self.depth {
                for output in panel.first..panel.first + lanes {
                    // Of quads, the channel stands for the one at its place in the output's own group.
                    let sees = self.quads || output < panel.first + panel.outputs && output / group_outputs == channel / group_inputs;
                    let weight = (output * group_inputs + channel % group_inputs) * taps + tap;
                    of_all_panels.push(if sees { weights[weight] } else { 0.0 });
                }
            }
        }
        self.panels.push(panel);
    }

    /// The panels of some channels.
    ///
    /// # Panics
    /// When these do not begin and end where panels do.
    pub(in crate::kernels) fn panels(&self, channels: Range<usize>) -> &[Panel] {
        let at =
            |channel| if channel == self.shape.outputs { Ok(self.panels.len()) } else { self.panels.binary_search_by_key(&channel, |p| p.first) };
        match (at(channels.start), at(channels.end)) {
            (Ok(first), Ok(end)) => &self.panels[first..end],
            _ => panic!("channels {channels:?} are no whole panels of {:?}", self.shape),
        }
    }

    /// The channel nearest to `channel` at which an output may be [cut](super::MapMut::split_at_channel).
    pub fn nearest_cut(&self, channel: usize) -> usize {
        let cuts = self.panels.iter().map(|panel| panel.first).chain([self.shape.outputs]);
        cuts.min_by_key(|cut| cut.abs_diff(channel)).unwrap_or(channel)
    }

    /// Where its weights are, to be moved.
    pub fn weights_mut(&mut self) -> WeightsMut<'_> {
        WeightsMut::new(&mut self.weights)
    }

    /// Its sizes.
    pub fn shape(&self) -> ConvolutionShape {
        self.shape
    }

    /// Bytes of the packed weights and biases.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.weights[..]) + size_of_val(self.bias.as_slice()) + size_of_val(self.slopes.as_slice())
    }
}

/// How many groups share a panel, with zeros where an output does not see an input: as few as fill the lanes, where any number does, and else as many
/// as there are, but never more than lanes, so that packed weights take at most that many times their memory.
fn groups_together(groups: usize, outputs: usize, lanes: usize) -> usize {
    if outputs >= lanes || groups == 1 {
        return 1;
    }
    let mut numbers = (1..=groups.min(lanes)).filter(|together| groups.is_multiple_of(*together));
    numbers.clone().find(|together| (together * outputs).is_multiple_of(lanes)).or(numbers.next_back()).unwrap_or(1)
}

/// `vectors` in parts of `usual`; where one vector would be left alone, with too few sums to hide the latency of a multiply-add, the part before
/// it takes it over if `widest` allows, or gives it a companion.
fn split(vectors: usize, usual: usize, widest: usize) -> Vec<usize> {
    let (mut parts, mut rest) = (vec![], vectors);
    while rest > 0 {
        let part = match rest {
            _ if rest == usual + 1 && widest > usual => usual + 1,
            _ if rest == usual + 1 && usual > 2 => usual - 1,
            _ => usual.min(rest),
        };
        parts.push(part);
        rest -= part;
    }
    parts
}

/// A convolution of every channel with its own kernel, with bias and epilogue.
#[derive(Debug)]
pub struct Depthwise {
    pub(in crate::kernels) channels: usize,
    pub(in crate::kernels) window: Window,
    pub(in crate::kernels) epilogue: Epilogue,
    /// `[kernel height, kernel width, channels]`
    pub(in crate::kernels) weights: Vec<f32>,
    pub(in crate::kernels) bias: Vec<f32>,
    /// `[channels]`; empty where no PReLU follows.
    pub(in crate::kernels) slopes: Vec<f32>,
}

impl Depthwise {
    /// Packs `weights`, `[channels, 1, kernel height, kernel width]`, and `bias`, `[channels]`.
    ///
    /// # Errors
    /// [`SizeError`] when there are more or fewer than the shape says, and as [`ConvolutionShape::new`].
    pub fn new(window: Window, weights: &[f32], bias: &[f32], epilogue: impl Into<Epilogue>) -> Result<Self, SizeError> {
        let (channels, taps) = (bias.len(), window.taps());
        ConvolutionShape::new(channels, channels, channels, window)?.check_weights(weights, bias)?;
        let weights = (0..taps).flat_map(|tap| weights.iter().skip(tap).step_by(taps).copied()).collect();
        Ok(Self { channels, window, epilogue: epilogue.into(), weights, bias: bias.to_vec(), slopes: vec![] })
    }

    /// Puts a PReLU (He et al., arXiv 1502.01852) before the epilogue; `slopes` is `[channels]`, or empty for none.
    ///
    /// # Panics
    /// When there are more or fewer.
    pub fn set_slopes(&mut self, slopes: &[f32]) {
        assert!(slopes.is_empty() || slopes.len() == self.channels, "{} slopes for {} channels", slopes.len(), self.channels);
        self.slopes = slopes.to_vec();
    }

    /// How it moves.
    pub fn window(&self) -> Window {
        self.window
    }

    /// Bytes of the packed weights and biases.
    pub fn bytes(&self) -> usize {
        size_of_val(self.weights.as_slice()) + size_of_val(self.bias.as_slice()) + size_of_val(self.slopes.as_slice())
    }
}
