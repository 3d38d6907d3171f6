//! A connected part of a network as one operator of a tract plan: a list of steps on maps that have their channels last.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

use super::helpers::Run;
use crate::kernels::maps::{
    Convolution, ConvolutionShape, Depthwise, Epilogue, Grid, Layout, Linear, Map, MapMut, Pages, Pool, WeightsMut, Window, WinogradConvolution,
    activate, add, connect, convolve, convolve_depthwise, convolve_winograd, copy, from_planar, mean_of_rows, pool, prelu, range, recalibrate,
    squeeze_map, sum_rows, to_planar,
};
use crate::kernels::{Functions, Layered, Simd};

/// Multiply-accumulates that are worth being handed to another thread: some three microseconds of work.
const SHARE: usize = 150_000;

/// A map in the memory of a run.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) layout: Layout,
    /// Where it lies; maps that are never alive together may share memory.
    pub(crate) place: Range<usize>,
}

/// What a step does; maps are numbers of slots.
#[derive(Debug)]
pub(crate) enum Step {
    /// Takes the `input`-th input of the operator, unless it is the map itself; like every first write to a slot, clears its border.
    Load {
        input: usize,
        to: usize,
    },
    Convolve {
        convolution: Convolution,
        from: usize,
        shortcut: Option<usize>,
        to: usize,
    },
    ConvolveWinograd {
        convolution: WinogradConvolution,
        from: usize,
        shortcut: Option<usize>,
        to: usize,
    },
    ConvolveDepthwise {
        convolution: Depthwise,
        from: usize,
        to: usize,
    },
    /// A fully connected layer, between maps of one pixel.
    Connect {
        layer: Linear,
        from: usize,
        to: usize,
    },
    Pool {
        pool: Pool,
        window: Window,
        from: usize,
        to: usize,
    },
    Copy {
        from: usize,
        to: usize,
    },
    /// To a map of one pixel, whose channels are those of all pixels, channel by channel.
    Flatten {
        from: usize,
        to: usize,
    },
    Recalibrate {
        excitation: Layered,
        map: usize,
        /// Of what was squeezed.
        rounding: Option<Grid>,
        shortcut: Option<usize>,
        epilogue: Epilogue,
        gates: usize,
    },
    Add {
        map: usize,
        shortcut: usize,
        epilogue: Epilogue,
    },
    Activate {
        map: usize,
        epilogue: Epilogue,
    },
    Prelu {
        map: usize,
        slopes: Vec<f32>,
    },
    /// To the numbers that span the range of the values, [`Grid::of_range`].
    RoundToOwnRange {
        map: usize,
    },
}

impl Step {
    /// Where its weights are, to be moved.
    pub(crate) fn weights_mut(&mut self) -> Vec<WeightsMut<'_>> {
        match self {
            Self::Convolve { convolution, .. } => vec![convolution.weights_mut()],
            Self::ConvolveWinograd { convolution, .. } => convolution.weights_mut().collect(),
            Self::Connect { layer, .. } => vec![layer.weights_mut()],
            Self::Recalibrate { excitation, .. } => excitation.layers.iter_mut().map(|(layer, _)| layer.weights_mut()).collect(),
            _ => vec![],
        }
    }
}

/// An output of the operator.
#[derive(Debug, Clone)]
pub(crate) enum Output {
    /// A map, handed out with its channels first, as a tensor of `shape`.
    Map { slot: usize, shape: TVec<usize> },
    /// The gates of a block, `[N, C]`.
    Gates { channels: usize },
}

/// Everything but the memory of a run.
#[derive(Debug)]
pub(crate) struct Steps {
    pub(crate) simd: Simd,
    /// N
    pub(crate) batch: usize,
    pub(crate) slots: Vec<Slot>,
    pub(crate) steps: Vec<Step>,
    pub(crate) outputs: Vec<Output>,
    /// The slot whose map the only input may be itself.
    pub(crate) feedable: Option<usize>,
    /// Whether it is: `[N, values of the map]`, its border, which is zero, included.
    pub(crate) is_fed: bool,
    /// Values of memory that one image takes.
    pub(crate) memory: usize,
    /// Values beyond, for each thread to work in.
    pub(crate) scratch: usize,
    /// The most threads that an image is spread over.
    pub(crate) threads: usize,
    /// The largest number of channels of any block, before or after it is reduced.
    pub(crate) channels: usize,
}

/// Inputs and outputs are `f32`, `[N, C, H, W]` or `[N, C]`, where N is 1 also without it; the images of a batch run one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Region {
    steps: Arc<Steps>,
    /// Memory that no run uses at present.
    idle: Arc<Mutex<Vec<Pages>>>,
}

impl Region {
    pub(crate) fn new(steps: Steps) -> Self {
        Self { steps: Arc::new(steps), idle: Arc::default() }
    }

    /// Has the only input be a map, whose layout is returned, instead of channels first; `None`, and nothing changes, where that cannot be.
    pub(crate) fn feed_map(&mut self) -> Option<Layout> {
        let steps = Arc::get_mut(&mut self.steps)?;
        let slot = steps.feedable?;
        steps.is_fed = true;
        Some(steps.slots[slot].layout)
    }

    /// How many steps are SE blocks, and how many are other operators.
    pub(crate) fn count(&self) -> (usize, usize) {
        let steps = || self.steps.steps.iter();
        let blocks = steps().filter(|step| matches!(step, Step::Recalibrate { .. })).count();
        (blocks, steps().filter(|step| !matches!(step, Step::Load { .. } | Step::Copy { .. })).count() - blocks)
    }
}

impl Steps {
    fn run(&self, memory: &mut [f32], image: usize, inputs: &[&[f32]], outputs: &mut [&mut [f32]]) {
        let (mut means, mut hidden) = (vec![0.0; self.channels], vec![0.0; self.channels]);
        let (memory, scratch) = memory.split_at_mut(self.memory);
        let run = Run::start(self.threads);
        let fed = self.feedable.filter(|_| self.is_fed).map(|slot| (slot, &inputs[0][image * self.slots[slot].layout.len()..]));
        for step in &self.steps {
            match step {
                Step::Load { .. } if self.is_fed => {}
                Step::Load { input, to } => {
                    let slot = &self.slots[*to];
                    let values = slot.layout.pixels() * slot.layout.channels();
                    let map = &mut memory[slot.place.clone()];
                    let planes = &inputs[*input][image * values..][..values];
                    let parts = split(&run, MapMut::new(slot.layout, map), 4, 1);
                    fill(&run, parts, |part| from_planar(planes, part));
                }
                Step::Convolve { convolution, from, shortcut, to } => {
                    let (to, maps) = self.to_write(memory, fed, *to);
                    let (from, shortcut) = (maps.get(*from), shortcut.map(|s| maps.get(s)));
                    let shape = convolution.shape();
                    let deep = has_many_weights(shape.products(), to.layout().pixels(), &shape);
                    let parts = split_convolution(&run, to, shape.products(), 0, deep, |channel| convolution.nearest_cut(channel));
                    fill(&run, parts, |part| convolve(self.simd, convolution, from, shortcut, part));
                }
                Step::ConvolveWinograd { convolution, from, shortcut, to } => {
                    let (to, maps) = self.to_write(memory, fed, *to);
                    let (from, shortcut) = (maps.get(*from), shortcut.map(|s| maps.get(s)));
                    let (shape, rows) = (convolution.shape(), convolution.tile().outputs());
                    // Every place of a tile has a matrix of weights, and a map with a pixel for each tile.
                    let tiles = to.layout().height().div_ceil(rows) * to.layout().width().div_ceil(rows);
                    let deep = has_many_weights(shape.inputs() * shape.outputs(), tiles, &shape);
                    let parts = split_convolution(&run, to, shape.products() / 4, rows, deep, |channel| convolution.nearest_cut(channel));
                    let parts = parts.into_iter().zip(scratch.chunks_exact_mut(self.scratch)).collect();
                    run.share(parts, |(mut part, scratch)| {
                        part.clear_border();
                        convolve_winograd(self.simd, convolution, from, shortcut, &mut part, scratch);
                    });
                }
                Step::ConvolveDepthwise { convolution, from, to } => {
                    let (to, maps) = self.to_write(memory, fed, *to);
                    let from = maps.get(*from);
                    let cost = convolution.window().taps().saturating_mul(4 * from.channels());
                    let parts = split(&run, to, cost, 1);
                    fill(&run, parts, |part| convolve_depthwise(self.simd, convolution, from, part));
                }
                Step::Connect { layer, from, to } => {
                    let (mut to, maps) = self.to_write(memory, fed, *to);
                    to.clear_border();
                    self.connect(&run, layer, maps.get(*from).pixel(), to.into_pixel());
                }
                Step::Pool { pool: kind, window, from, to } => {
                    let (to, maps) = self.to_write(memory, fed, *to);
                    let from = maps.get(*from);
                    let parts = split(&run, to, window.taps().saturating_mul(4 * from.channels()), 1);
                    fill(&run, parts, |part| pool(self.simd, *kind, *window, from, part));
                }
                Step::Copy { from, to } => {
                    let (to, maps) = self.to_write(memory, fed, *to);
                    let from = maps.get(*from);
                    fill(&run, split(&run, to, 8 * from.channels(), 1), |part| copy(from, part));
                }
                Step::Flatten { from, to } => {
                    let (mut to, maps) = self.to_write(memory, fed, *to);
                    to.clear_border();
                    to_planar(maps.get(*from), to.into_pixel());
                }
                Step::Recalibrate { excitation, map, rounding, shortcut, epilogue, gates } => {
                    let slot = &self.slots[*map];
                    let channels = slot.layout.channels();
                    let gates = &mut outputs[*gates][image * channels..][..channels];
                    let means = &mut means[..channels];
                    self.squeeze(&run, Map::new(slot.layout, &memory[slot.place.clone()]), means);
                    self.excite(&run, excitation, means, &mut hidden, gates);
                    let (map, maps) = self.to_write(memory, fed, *map);
                    let shortcut = shortcut.map(|s| maps.get(s));
                    let parts = split(&run, map, 8 * channels, 1);
                    run.share(parts, |mut part| {
                        if let Some(grid) = rounding {
                            activate(self.simd, &mut part, *grid);
                        }
                        recalibrate(self.simd, &mut part, gates, shortcut, *epilogue);
                    });
                }
                Step::Add { map, shortcut, epilogue } => {
                    let (map, maps) = self.to_write(memory, fed, *map);
                    let shortcut = maps.get(*shortcut);
                    let parts = split(&run, map, 8 * shortcut.channels(), 1);
                    run.share(parts, |mut part| add(self.simd, &mut part, shortcut, *epilogue));
                }
                Step::Activate { map, epilogue } => {
                    let (map, _) = self.to_write(memory, fed, *map);
                    let cost = 8 * map.layout().channels();
                    run.share(split(&run, map, cost, 1), |mut part| activate(self.simd, &mut part, *epilogue));
                }
                Step::RoundToOwnRange { map } => {
                    let slot = &self.slots[*map];
                    let (least, largest) = range(self.simd, Map::new(slot.layout, &memory[slot.place.clone()]));
                    if let Some(grid) = Grid::of_range(least, largest) {
                        let (map, _) = self.to_write(memory, fed, *map);
                        let cost = 8 * map.layout().channels();
                        run.share(split(&run, map, cost, 1), |mut part| activate(self.simd, &mut part, grid));
                    }
                }
                Step::Prelu { map, slopes } => {
                    let parts = split(&run, self.to_write(memory, fed, *map).0, 8 * slopes.len(), 1);
                    run.share(parts, |mut part| prelu(self.simd, &mut part, slopes));
                }
            }
        }
        for (output, values) in self.outputs.iter().zip(outputs) {
            if let Output::Map { slot, .. } = output {
                let slot = &self.slots[*slot];
                let image_values = slot.layout.pixels() * slot.layout.channels();
                to_planar(Map::new(slot.layout, &memory[slot.place.clone()]), &mut values[image * image_values..][..image_values]);
            }
        }
    }

    /// The same means whoever computes them: channel by channel, or from sums of whole rows.
    fn squeeze(&self, run: &Run, map: Map<'_>, means: &mut [f32]) {
        let layout = map.layout();
        let threads = threads_for(run, 4 * layout.pixels() * layout.channels());
        if threads == 1 {
            return squeeze_map(self.simd, map, means);
        }
        let mut sums = vec![0.0; layout.height() * layout.channels()];
        let rows = layout.height().div_ceil(threads);
        let parts = sums.chunks_mut(rows * layout.channels()).enumerate().collect();
        run.share(parts, |(index, sums)| sum_rows(self.simd, map, index * rows, sums));
        mean_of_rows(&sums, layout.pixels(), means);
    }

    /// The gates of `means`, which are changed; `hidden` has room for any layer's outputs.
    fn excite(&self, run: &Run, excitation: &Layered, means: &mut [f32], hidden: &mut [f32], gates: &mut [f32]) {
        excitation.before.apply(means, 0);
        let connect = |(layer, after): &(Linear, Functions), inputs: &[f32], outputs: &mut [f32]| {
            self.connect(run, layer, inputs, outputs);
            after.apply(outputs, 0);
        };
        match &excitation.layers[..] {
            [reduce, expand] => {
                let hidden = &mut hidden[..reduce.0.outputs()];
                connect(reduce, means, hidden);
                connect(expand, hidden, gates);
            }
            layers => layers.iter().for_each(|only| connect(only, means, gates)),
        }
    }

    fn connect(&self, run: &Run, layer: &Linear, inputs: &[f32], outputs: &mut [f32]) {
        // Every weight is read from memory for one product.
        let size = outputs.len().div_ceil(threads_for(run, 4 * layer.products())).next_multiple_of(8);
        run.share(outputs.chunks_mut(size).enumerate().collect(), |(index, outputs)| {
            connect(self.simd, layer, inputs, index * size, outputs);
        });
    }

    /// The map of `slot`, to be written, and the others, of which one is `fed`.
    fn to_write<'a>(&'a self, memory: &'a mut [f32], fed: Option<(usize, &'a [f32])>, slot: usize) -> (MapMut<'a>, Maps<'a>) {
        let Slot { layout, place } = &self.slots[slot];
        let (before, rest) = memory.split_at_mut(place.start);
        let (map, after) = rest.split_at_mut(place.len());
        (MapMut::new(*layout, map), Maps { slots: &self.slots, fed, before, after, after_start: place.end })
    }
}

/// Writes every part of a map, its part of the border included, whose lines lie in the caches of whoever reads them next.
fn fill<'a>(run: &Run, parts: Vec<MapMut<'a>>, write: impl Fn(&mut MapMut<'a>) + Sync) {
    run.share(parts, |mut part| {
        part.clear_border();
        write(&mut part);
    });
}

/// How many threads of `run` are worth `work` multiply-accumulates.
fn threads_for(run: &Run, work: usize) -> usize {
    run.threads().min((work / SHARE).max(1))
}

/// `map` in parts for the threads that the run may use, each with a worthwhile share of the work, `cost` multiply-accumulates for every pixel,
/// and of so many whole `rows`, or of any pixels where that is 0.
fn split<'a>(run: &Run, map: MapMut<'a>, cost: usize, rows: usize) -> Vec<MapMut<'a>> {
    let (height, width) = (map.layout().height(), map.layout().width());
    let threads = threads_for(run, map.layout().pixels().saturating_mul(cost));
    let end = |thread: usize| match rows {
        0 => height * width * thread / threads,
        rows => (height * thread / threads).next_multiple_of(rows) * width,
    };
    cut(map, (1..threads).map(end), MapMut::split_at)
}

/// Whether threads should share a convolution by channels. By pixels, every thread reads all weights; by channels, it reads its own, but most of what
/// it reads of the map lies in the caches of others, which takes longer for as many bytes. Measured on the layers of SE-ResNet-50, channels win
/// where there are six times as many weights as values that are read and written.
fn has_many_weights(weights: usize, pixels: usize, shape: &ConvolutionShape) -> bool {
    weights >= pixels.saturating_mul(6 * (shape.inputs() + shape.outputs()))
}

/// The output of a convolution in parts: as [`split`] does, or of a `deep` one by channels, where its panels can be told into parts of about one size.
fn split_convolution<'a>(run: &Run, map: MapMut<'a>, cost: usize, rows: usize, deep: bool, nearest_cut: impl Fn(usize) -> usize) -> Vec<MapMut<'a>> {
    let channels = map.layout().channels();
    let threads = threads_for(run, map.layout().pixels().saturating_mul(cost));
    let ends: Vec<usize> = (1..threads).map(|thread| nearest_cut(channels * thread / threads)).collect();
    let starts = [0].into_iter().chain(ends.iter().copied());
    let mut sizes = starts.zip(ends.iter().copied().chain([channels])).map(|(start, end)| end - start);
    // Whoever has the largest part has everybody wait.
    let alike = sizes.all(|size| 8 * threads * size <= 9 * channels);
    if deep && alike { cut(map, ends.into_iter(), MapMut::split_at_channel) } else { split(run, map, cost, rows) }
}

fn cut<'a>(map: MapMut<'a>, ends: impl Iterator<Item = usize>, split: impl Fn(MapMut<'a>, usize) -> (MapMut<'a>, MapMut<'a>)) -> Vec<MapMut<'a>> {
    let (mut parts, mut rest) = (vec![], map);
    for end in ends {
        let (part, after) = split(rest, end);
        parts.push(part);
        rest = after;
    }
    parts.push(rest);
    parts.retain(|part| !part.is_empty());
    parts
}

/// All maps but the one that is being written.
struct Maps<'a> {
    slots: &'a [Slot],
    fed: Option<(usize, &'a [f32])>,
    before: &'a [f32],
    after: &'a [f32],
    after_start: usize,
}

impl Maps<'_> {
    fn get(&self, slot: usize) -> Map<'_> {
        let Slot { layout, place } = &self.slots[slot];
        if let Some((_, data)) = self.fed.filter(|(fed, _)| *fed == slot) {
            return Map::new(*layout, data);
        }
        let data = match place.start.checked_sub(self.after_start) {
            Some(start) => &self.after[start..][..place.len()],
            None => &self.before[place.clone()],
        };
        Map::new(*layout, data)
    }
}

/// Two regions are the same when they share their steps.
impl PartialEq for Region {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.steps, &other.steps)
    }
}

impl Eq for Region {}

impl Op for Region {
    fn name(&self) -> StaticName {
        "Region".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{} steps, {} values of memory", self.steps.steps.len(), self.steps.memory)])
    }

    fn validation(&self) -> Validation {
        Validation::Rounding
    }

    op_as_typed_op!();
}

impl EvalOp for Region {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let values = self.steps.memory.saturating_add(self.steps.threads.saturating_mul(self.steps.scratch));
        let mut memory = idle.map_or_else(|| Pages::zeroed(values), Ok)?;
        let inputs = inputs.iter().map(|input| input.try_as_plain_ram()?.as_slice::<f32>()).collect::<TractResult<Vec<_>>>()?;
        let mut tensors = vec![];
        for output in &self.steps.outputs {
            tensors.push(match output {
                Output::Map { shape, .. } => Tensor::zero::<f32>(shape)?,
                Output::Gates { channels } => Tensor::zero::<f32>(&[self.steps.batch, *channels])?,
            });
        }
        let mut views = tensors.iter_mut().map(Tensor::try_as_plain_ram_mut).collect::<TractResult<Vec<_>>>()?;
        let mut outputs = views.iter_mut().map(|view| view.as_slice_mut::<f32>()).collect::<TractResult<Vec<_>>>()?;
        for image in 0..self.steps.batch {
            self.steps.run(&mut memory, image, &inputs, &mut outputs);
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        Ok(tensors.into_iter().map(IntoTValue::into_tvalue).collect())
    }
}

impl TypedOp for Region {
    fn output_facts(&self, _inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let fact = |output: &Output| match output {
            Output::Map { shape, .. } => f32::fact(shape),
            Output::Gates { channels } => f32::fact([self.steps.batch, *channels]),
        };
        Ok(self.steps.outputs.iter().map(fact).collect())
    }

    as_op!();
}
