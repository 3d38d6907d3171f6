//! A connected part of a network as one operator of a tract plan: a list of steps on maps that have their channels last.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

use crate::kernels::maps::{
    Convolution, Depthwise, Layout, Map, MapMut, Nonlinearity, Pool, Window, WinogradConvolution, activate, add, convolve, convolve_depthwise,
    convolve_winograd, from_planar, pool, recalibrate, squeeze_map, to_planar,
};
use crate::kernels::{Excitation, Simd, excite};

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
    /// Takes the `input`-th input of the operator; like every first write to a slot, clears its border.
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
    Recalibrate {
        excitation: Arc<Excitation>,
        map: usize,
        shortcut: Option<usize>,
        nonlinearity: Nonlinearity,
        gates: usize,
    },
    Add {
        map: usize,
        shortcut: usize,
        nonlinearity: Nonlinearity,
    },
    Activate {
        map: usize,
        nonlinearity: Nonlinearity,
    },
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
    /// Values of memory that one image takes.
    pub(crate) memory: usize,
    /// Values beyond, for steps to work in.
    pub(crate) scratch: usize,
    /// The largest number of channels of any block.
    pub(crate) channels: usize,
}

/// Inputs and outputs are `f32`, `[N, C, H, W]` or, where N is 1, `[C, H, W]`; the images of a batch run one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Region {
    steps: Arc<Steps>,
    /// Memory that no run uses at present.
    idle: Arc<Mutex<Vec<Vec<f32>>>>,
}

impl Region {
    pub(crate) fn new(steps: Steps) -> Self {
        Self { steps: Arc::new(steps), idle: Arc::default() }
    }

    /// How many steps are SE blocks, and how many are other operators.
    pub(crate) fn count(&self) -> (usize, usize) {
        let steps = || self.steps.steps.iter();
        let blocks = steps().filter(|step| matches!(step, Step::Recalibrate { .. })).count();
        (blocks, steps().filter(|step| !matches!(step, Step::Load { .. } | Step::Copy { .. })).count() - blocks)
    }
}

impl Steps {
    fn run(&self, memory: &mut [f32], image: usize, inputs: &[&[f32]], outputs: &mut [&mut [f32]]) -> TractResult<()> {
        let mut means = vec![0.0; self.channels];
        let (memory, scratch) = memory.split_at_mut(self.memory);
        for step in &self.steps {
            match step {
                Step::Load { input, to } => {
                    let slot = &self.slots[*to];
                    let values = slot.layout.pixels() * slot.layout.channels;
                    let map = &mut memory[slot.place.clone()];
                    clear_border(&slot.layout, map);
                    from_planar(&inputs[*input][image * values..][..values], &mut MapMut::new(slot.layout, map));
                }
                Step::Convolve { convolution, from, shortcut, to } => {
                    let (mut to, maps) = self.write(memory, *to);
                    convolve(self.simd, convolution, maps.get(*from), shortcut.map(|s| maps.get(s)), &mut to);
                }
                Step::ConvolveWinograd { convolution, from, shortcut, to } => {
                    let (mut to, maps) = self.write(memory, *to);
                    convolve_winograd(self.simd, convolution, maps.get(*from), shortcut.map(|s| maps.get(s)), &mut to, scratch);
                }
                Step::ConvolveDepthwise { convolution, from, to } => {
                    let (mut to, maps) = self.write(memory, *to);
                    convolve_depthwise(self.simd, convolution, maps.get(*from), &mut to);
                }
                Step::Pool { pool: kind, window, from, to } => {
                    let (mut to, maps) = self.write(memory, *to);
                    pool(self.simd, *kind, *window, maps.get(*from), &mut to);
                }
                Step::Copy { from, to } => {
                    // A pool of one tap: the borders of the maps may differ.
                    let (mut to, maps) = self.write(memory, *to);
                    pool(self.simd, Pool::Max, Window::UNIT, maps.get(*from), &mut to);
                }
                Step::Recalibrate { excitation, map, shortcut, nonlinearity, gates } => {
                    let channels = excitation.channels();
                    let gates = &mut outputs[*gates][image * channels..][..channels];
                    let means = &mut means[..channels];
                    squeeze_map(self.simd, Map::new(self.slots[*map].layout, &memory[self.slots[*map].place.clone()]), means);
                    excite(self.simd, excitation, means, gates);
                    let (mut map, maps) = self.change(memory, *map);
                    recalibrate(self.simd, &mut map, gates, shortcut.map(|s| maps.get(s)), *nonlinearity);
                }
                Step::Add { map, shortcut, nonlinearity } => {
                    let (mut map, maps) = self.change(memory, *map);
                    add(self.simd, &mut map, maps.get(*shortcut), *nonlinearity);
                }
                Step::Activate { map, nonlinearity } => activate(self.simd, &mut self.change(memory, *map).0, *nonlinearity),
            }
        }
        for (output, values) in self.outputs.iter().zip(outputs) {
            if let Output::Map { slot, .. } = output {
                let slot = &self.slots[*slot];
                let image_values = slot.layout.pixels() * slot.layout.channels;
                to_planar(Map::new(slot.layout, &memory[slot.place.clone()]), &mut values[image * image_values..][..image_values]);
            }
        }
        Ok(())
    }

    /// The map of `slot`, to be written for the first time, and the others.
    fn write<'a>(&'a self, memory: &'a mut [f32], slot: usize) -> (MapMut<'a>, Maps<'a>) {
        clear_border(&self.slots[slot].layout, &mut memory[self.slots[slot].place.clone()]);
        self.change(memory, slot)
    }

    /// The map of `slot`, to be changed in place, and the others.
    fn change<'a>(&'a self, memory: &'a mut [f32], slot: usize) -> (MapMut<'a>, Maps<'a>) {
        let Slot { layout, place } = &self.slots[slot];
        let (before, rest) = memory.split_at_mut(place.start);
        let (map, after) = rest.split_at_mut(place.len());
        (MapMut::new(*layout, map), Maps { slots: &self.slots, before, after, after_start: place.end })
    }
}

/// All maps but the one that is being written.
struct Maps<'a> {
    slots: &'a [Slot],
    before: &'a [f32],
    after: &'a [f32],
    after_start: usize,
}

impl Maps<'_> {
    fn get(&self, slot: usize) -> Map<'_> {
        let Slot { layout, place } = &self.slots[slot];
        let data = match place.start.checked_sub(self.after_start) {
            Some(start) => &self.after[start..][..place.len()],
            None => &self.before[place.clone()],
        };
        Map::new(*layout, data)
    }
}

fn clear_border(layout: &Layout, data: &mut [f32]) {
    let (row, side) = (layout.row(), layout.border * layout.stride);
    if side == 0 {
        return;
    }
    for (y, row) in data.chunks_mut(row).enumerate() {
        if (layout.border..layout.border + layout.height).contains(&y) {
            let end = row.len() - side;
            row[..side].fill(0.0);
            row[end..].fill(0.0);
        } else {
            row.fill(0.0);
        }
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
        let mut memory = idle.unwrap_or_else(|| vec![0.0; self.steps.memory + self.steps.scratch]);
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
            self.steps.run(&mut memory, image, &inputs, &mut outputs)?;
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
