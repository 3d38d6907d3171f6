//! Convolutions as the kernels read them: checked, and with the weights packed for one instruction set.

use std::ops::Range;

use super::layout::Layout;
use super::nonlinearity::Nonlinearity;
use super::pages::Weights;
use crate::kernels::Simd;

/// How a window moves over a map; sizes are `[vertical, horizontal]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// Taps.
    pub kernel: [usize; 2],
    /// Pixels of the input from one pixel of the output to the next.
    pub stride: [usize; 2],
    /// Pixels of the input from one tap to the next.
    pub dilation: [usize; 2],
    /// Pixels of padding above and to the left; what is needed below and to the right follows from the sizes of the maps.
    pub padding: [usize; 2],
}

impl Window {
    /// One tap that moves by one pixel.
    pub const UNIT: Self = Self { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], padding: [0, 0] };

    /// The border that a map of `input` size needs so that an output of `output` size reads nothing outside.
    pub fn border(&self, input: [usize; 2], output: [usize; 2]) -> usize {
        let needed = |axis: usize| {
            let end = output[axis].saturating_sub(1) * self.stride[axis] + self.kernel[axis].saturating_sub(1) * self.dilation[axis] + 1;
            self.padding[axis].max(end.saturating_sub(input[axis] + self.padding[axis]))
        };
        needed(0).max(needed(1))
    }

    /// Whether all taps of every pixel of `output` lie within `input` and its border.
    pub(in crate::kernels) fn fits(&self, input: &Layout, output: &Layout) -> bool {
        self.border([input.height, input.width], [output.height, output.width]) <= input.border
    }
}

/// The sizes of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConvolutionShape {
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// Every output channel sees `inputs / groups` input channels.
    pub groups: usize,
    /// How it moves.
    pub window: Window,
}

impl ConvolutionShape {
    /// One tap that sees its own channel alone: a number for each of `channels` to scale or shift by.
    pub fn channel_wise(channels: usize) -> Self {
        Self { inputs: channels, outputs: channels, groups: channels, window: Window::UNIT }
    }

    /// Multiply-accumulates of every pixel of the output.
    pub fn products(&self) -> usize {
        self.outputs * self.inputs / self.groups * self.window.kernel[0] * self.window.kernel[1]
    }
}

/// The weights do not belong to the shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{weights} weights and {bias} biases for a convolution of {shape:?}")]
pub struct ConvolutionMismatch {
    shape: ConvolutionShape,
    weights: usize,
    bias: usize,
}

impl ConvolutionMismatch {
    pub(super) fn new(shape: ConvolutionShape, weights: &[f32], bias: &[f32]) -> Self {
        Self { shape, weights: weights.len(), bias: bias.len() }
    }
}

/// A convolution with bias and nonlinearity, its weights packed for the kernels of one instruction set.
#[derive(Debug)]
pub struct Convolution {
    pub(in crate::kernels) shape: ConvolutionShape,
    pub(in crate::kernels) nonlinearity: Nonlinearity,
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
    /// [`ConvolutionMismatch`] when there are more or fewer than the shape says, or the groups do not divide the channels.
    pub fn new(simd: Simd, shape: ConvolutionShape, weights: &[f32], bias: &[f32], nonlinearity: Nonlinearity) -> Result<Self, ConvolutionMismatch> {
        let ConvolutionShape { inputs, outputs, groups, window } = shape;
        let taps = window.kernel[0] * window.kernel[1];
        let divides = groups > 0 && inputs.is_multiple_of(groups) && outputs.is_multiple_of(groups) && window.stride[0] > 0 && window.stride[1] > 0;
        if !divides || weights.len() != outputs * (inputs / groups) * taps || bias.len() != outputs {
            return Err(ConvolutionMismatch::new(shape, weights, bias));
        }
        let PanelSize { lanes, usual, widest } = simd.kernels().panel_size();
        let (group_inputs, group_outputs) = (inputs / groups, outputs / groups);
        let together = groups_together(groups, group_outputs, lanes);
        let wide = group_outputs * together;
        let quads = (group_inputs, group_outputs, wide) == (4, 4, lanes);
        let depth = if quads { 4 } else { group_inputs * together };
        let mut packed = Self { shape, nonlinearity, lanes, depth, quads, panels: vec![], weights: vec![].into(), bias: vec![], slopes: vec![] };
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

    /// Puts a PReLU (He et al., arXiv 1502.01852) before the nonlinearity; `slopes` is `[outputs]`, or empty for none.
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
        let taps = self.shape.window.kernel[0] * self.shape.window.kernel[1];
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
    pub fn weights_mut(&mut self) -> &mut Weights {
        &mut self.weights
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

/// How many groups share a panel, with zeros where an output does not see an input: as few as fill the lanes, where any number does.
fn groups_together(groups: usize, outputs: usize, lanes: usize) -> usize {
    if outputs >= lanes || groups == 1 {
        return 1;
    }
    (1..=groups).find(|together| groups.is_multiple_of(*together) && (together * outputs).is_multiple_of(lanes)).unwrap_or(groups)
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

/// A convolution of every channel with its own kernel, with bias and nonlinearity.
#[derive(Debug)]
pub struct Depthwise {
    pub(in crate::kernels) channels: usize,
    pub(in crate::kernels) window: Window,
    pub(in crate::kernels) nonlinearity: Nonlinearity,
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
    /// [`ConvolutionMismatch`] when there are more or fewer than the shape says.
    pub fn new(window: Window, weights: &[f32], bias: &[f32], nonlinearity: Nonlinearity) -> Result<Self, ConvolutionMismatch> {
        let (channels, taps) = (bias.len(), window.kernel[0] * window.kernel[1]);
        if weights.len() != channels * taps || window.stride[0] == 0 || window.stride[1] == 0 {
            let shape = ConvolutionShape { inputs: channels, outputs: channels, groups: channels, window };
            return Err(ConvolutionMismatch::new(shape, weights, bias));
        }
        let weights = (0..taps).flat_map(|tap| weights.iter().skip(tap).step_by(taps).copied()).collect();
        Ok(Self { channels, window, nonlinearity, weights, bias: bias.to_vec(), slopes: vec![] })
    }

    /// Puts a PReLU (He et al., arXiv 1502.01852) before the nonlinearity; `slopes` is `[channels]`, or empty for none.
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
