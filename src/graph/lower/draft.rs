//! From recognised operators to the steps of a region: what can be fused is, every map gets its border, and memory is shared out.

use std::collections::HashMap;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

use super::Lowering;
use super::operator::{Operator, Recognised, map_size};
use crate::graph::Refusal;
use crate::graph::pattern::{shape, values};
use crate::kernels::maps::{
    Convolution, ConvolutionShape, Depthwise, Epilogue, Layout, Linear, MAX_VALUES, Nonlinearity, WeightsMut, Window, Winograd, WinogradConvolution,
};
use crate::kernels::{Rectify, Simd};
use crate::ops::{Output, Run, Slot, Step, Steps, most_threads};

/// A convolution that may still take in what follows it.
struct Open {
    shape: ConvolutionShape,
    weights: Arc<Tensor>,
    bias: Vec<f32>,
    from: usize,
    shortcut: Option<usize>,
    to: usize,
    /// Of a PReLU before the nonlinearity; empty where there is none.
    slopes: Vec<f32>,
    epilogue: Epilogue,
}

enum Drafted {
    Convolution(Open),
    Ready(Step),
    /// Parts have become one map; nothing is done.
    Joined,
}

/// A region being put together.
pub(super) struct Draft<'a> {
    model: &'a TypedModel,
    batch: usize,
    /// How often each wire is still to be read; outputs once more.
    uses: HashMap<OutletId, usize>,
    inputs: Vec<OutletId>,
    sizes: Vec<[usize; 3]>,
    /// The slot that each slot is some channels of, and the first of them.
    parents: Vec<Option<(usize, usize)>>,
    /// The slot of every wire.
    slots: HashMap<OutletId, usize>,
    /// The step that wrote each slot last.
    writers: Vec<usize>,
    steps: Vec<Drafted>,
    outputs: &'a [OutletId],
    /// The number of channels of the gates that each wire has.
    gates: HashMap<OutletId, usize>,
}

/// A region whose weights are to be packed.
pub(super) struct Drawn {
    batch: usize,
    inputs: Vec<OutletId>,
    sizes: Vec<[usize; 3]>,
    parents: Vec<Option<(usize, usize)>>,
    steps: Vec<Drafted>,
    outs: Vec<Output>,
}

/// Values by which the borders of all maps may lengthen them beside as much again as the maps have: 256 MB. Paddings that are large by themselves would
/// ask for any memory.
const BORDER_VALUES: usize = 1 << 26;

/// Weights that are packed and moved into large pages together: enough to fill some of these, and few to be in memory twice.
const TOGETHER_BYTES: usize = 16 << 20;

impl<'a> Draft<'a> {
    pub(super) fn new(model: &'a TypedModel, nodes: &[(usize, Recognised)], outputs: &'a [OutletId], batch: usize) -> Self {
        let mut uses = HashMap::new();
        for wire in nodes.iter().flat_map(|(_, found)| &found.inputs).chain(outputs) {
            *uses.entry(*wire).or_insert(0) += 1;
        }
        let (inputs, sizes, parents, slots, writers, steps, gates) = Default::default();
        Self { model, batch, uses, inputs, sizes, parents, slots, writers, steps, outputs, gates }
    }

    /// Adds the steps of `node`; its inputs must have been added before, or come from outside.
    pub(super) fn push(&mut self, node: usize, Recognised { operator, inputs }: Recognised) -> TractResult<()> {
        let (output, inputs) = (OutletId::new(node, 0), &inputs);
        let maps = inputs.iter().map(|input| self.read(*input)).collect::<TractResult<TVec<usize>>>()?;
        let slot = match operator {
            Operator::Convolution { shape, weights, bias } => self.convolve(shape, weights, bias, maps[0], output)?,
            Operator::Shift(shift) => match self.open(inputs[0], maps[0]) {
                Some(open) => {
                    open.bias.iter_mut().zip(&shift).for_each(|(a, b)| *a += b);
                    maps[0]
                }
                None => {
                    let ones = tensor1(&vec![1f32; shift.len()]).into_arc_tensor();
                    self.convolve(ConvolutionShape::channel_wise(shift.len())?, ones, shift, maps[0], output)?
                }
            },
            Operator::Pool(pool, window) => {
                let to = self.new_slot(output)?;
                self.write(Drafted::Ready(Step::Pool { pool, window, from: maps[0], to }), to)
            }
            Operator::Activation(epilogue) => match self.epilogue(inputs[0], maps[0], epilogue) {
                Some((before, both)) => {
                    *before = both;
                    maps[0]
                }
                None => {
                    let map = self.own(inputs[0], maps[0], output)?;
                    self.write(Drafted::Ready(Step::Activate { map, epilogue }), map)
                }
            },
            Operator::RoundToOwnRange => {
                let map = self.own(inputs[0], maps[0], output)?;
                self.write(Drafted::Ready(Step::RoundToOwnRange { map }), map)
            }
            Operator::Prelu(slopes) => match self.open(inputs[0], maps[0]) {
                Some(open) => {
                    open.slopes = slopes;
                    maps[0]
                }
                None => {
                    let map = self.own(inputs[0], maps[0], output)?;
                    self.write(Drafted::Ready(Step::Prelu { map, slopes }), map)
                }
            },
            Operator::Add => self.add(inputs, &maps, output)?,
            Operator::Concatenate => self.concatenate(inputs, &maps, output)?,
            Operator::Slice(first) => {
                let to = self.new_slot(output)?;
                let from = self.add_slot(self.sizes[to], Some((maps[0], first)));
                self.write(Drafted::Ready(Step::Copy { from, to }), to)
            }
            Operator::View => self.own(inputs[0], maps[0], output)?,
            Operator::SqueezeExcite(op) => {
                let map = self.own(inputs[0], maps[0], output)?;
                let epilogue = if op.rectify() == Some(Rectify::Relu) { Nonlinearity::RELU.into() } else { Epilogue::IDENTITY };
                let wire = OutletId::new(node, 1);
                let gates = self.outputs.iter().position(|output| *output == wire).context("gates that nobody reads")?;
                self.gates.insert(wire, op.excitation().channels());
                let (shortcut, rounding) = (maps.get(1).copied(), op.rounding());
                let excitation = op.excitation().layers()?;
                self.write(Drafted::Ready(Step::Recalibrate { excitation, map, rounding, shortcut, epilogue, gates }), map)
            }
        };
        self.slots.insert(output, slot);
        for input in inputs {
            self.uses.entry(*input).and_modify(|uses| *uses -= 1);
        }
        Ok(())
    }

    fn convolve(
        &mut self,
        mut shape: ConvolutionShape,
        weights: Arc<Tensor>,
        bias: Vec<f32>,
        mut from: usize,
        output: OutletId,
    ) -> TractResult<usize> {
        let [channels, height, width] = self.sizes[from];
        if height * width > 1 && shape.groups() == 1 && Ok(shape.window()) == Window::of_taps([height, width]) {
            // A fully connected layer, whose outputs threads share out and whose weights lie as it reads them.
            let flat = self.add_slot([channels * height * width, 1, 1], None);
            from = self.write(Drafted::Ready(Step::Flatten { from, to: flat }), flat);
            shape = ConvolutionShape::new(channels * height * width, shape.outputs(), 1, Window::UNIT)?;
        }
        let to = self.new_slot(output)?;
        let (shortcut, slopes, epilogue) = (None, vec![], Epilogue::IDENTITY);
        Ok(self.write(Drafted::Convolution(Open { shape, weights, bias, from, shortcut, to, slopes, epilogue }), to))
    }

    fn add(&mut self, inputs: &[OutletId], maps: &[usize], output: OutletId) -> TractResult<usize> {
        for (this, other) in [(0, 1), (1, 0)] {
            let other_is_earlier = self.writers[maps[other]] < self.writers[maps[this]];
            if let Some(open) = self.open(inputs[this], maps[this]).filter(|open| open.shortcut.is_none() && other_is_earlier && !open.is_depthwise())
            {
                open.shortcut = Some(maps[other]);
                return Ok(maps[this]);
            }
        }
        let map = self.own(inputs[0], maps[0], output)?;
        Ok(self.write(Drafted::Ready(Step::Add { map, shortcut: maps[1], epilogue: Epilogue::IDENTITY }), map))
    }

    /// What is read here for the last time becomes a part of the result, so that its writer writes there; the rest is copied. A part may not be
    /// read where another is written: their pixels lie between each other's.
    fn concatenate(&mut self, inputs: &[OutletId], maps: &[usize], output: OutletId) -> TractResult<usize> {
        let to = self.new_slot(output)?;
        let (mut first, mut parts) = (0, vec![]);
        for (wire, slot) in inputs.iter().zip(maps) {
            let is_free = self.parents[*slot].is_none() && !self.parents.iter().flatten().any(|(parent, _)| parent == slot);
            if self.uses.get(wire) == Some(&1) && is_free && !parts.iter().any(|part| self.meet(*part, *slot)) {
                self.parents[*slot] = Some((to, first));
                parts.push(*slot);
            } else {
                let part = self.add_slot(self.sizes[*slot], Some((to, first)));
                self.write(Drafted::Ready(Step::Copy { from: *slot, to: part }), part);
            }
            first += self.sizes[*slot][0];
        }
        // The writers that count are those of the parts: nothing may be fused into them any more.
        self.writers[to] = self.steps.len();
        self.steps.push(Drafted::Joined);
        Ok(to)
    }

    /// Whether a step has to do with both slots.
    fn meet(&self, a: usize, b: usize) -> bool {
        a == b || self.steps.iter().map(Drafted::slots).any(|slots| slots.contains(&Some(a)) && slots.contains(&Some(b)))
    }

    /// The slot of `wire`, which is loaded if it comes from outside.
    fn read(&mut self, wire: OutletId) -> TractResult<usize> {
        if let Some(slot) = self.slots.get(&wire) {
            return Ok(*slot);
        }
        let to = self.new_slot(wire)?;
        self.slots.insert(wire, to);
        self.inputs.push(wire);
        Ok(self.write(Drafted::Ready(Step::Load { input: self.inputs.len() - 1, to }), to))
    }

    fn new_slot(&mut self, wire: OutletId) -> TractResult<usize> {
        Ok(self.add_slot(map_size(self.model, wire, self.batch).context("not a map")?, None))
    }

    fn add_slot(&mut self, size: [usize; 3], parent: Option<(usize, usize)>) -> usize {
        self.sizes.push(size);
        self.parents.push(parent);
        self.writers.push(0);
        self.sizes.len() - 1
    }

    fn write(&mut self, step: Drafted, to: usize) -> usize {
        self.writers[to] = self.steps.len();
        self.steps.push(step);
        to
    }

    /// The convolution that yields `wire`, if no function follows it yet and nothing else reads it.
    fn open(&mut self, wire: OutletId, slot: usize) -> Option<&mut Open> {
        let only_user = self.uses.get(&wire) == Some(&1);
        match self.steps.get_mut(self.writers[slot]) {
            Some(Drafted::Convolution(open)) if only_user => (open.epilogue == Epilogue::IDENTITY && open.slopes.is_empty()).then_some(open),
            _ => None,
        }
    }

    /// The epilogue of the step that yields `wire`, if nothing else reads it, and that with `next` behind it, if that is one.
    fn epilogue(&mut self, wire: OutletId, slot: usize, next: Epilogue) -> Option<(&mut Epilogue, Epilogue)> {
        let only_user = self.uses.get(&wire) == Some(&1);
        let epilogue = match self.steps.get_mut(self.writers[slot]) {
            Some(Drafted::Convolution(Open { epilogue, .. })) => epilogue,
            Some(Drafted::Ready(Step::Add { epilogue, .. } | Step::Recalibrate { epilogue, .. } | Step::Activate { epilogue, .. })) => epilogue,
            _ => return None,
        };
        let both = epilogue.then(next).filter(|_| only_user)?;
        Some((epilogue, both))
    }

    /// The slot of `wire` to change in place, or of a copy where something else will read it.
    fn own(&mut self, wire: OutletId, slot: usize, output: OutletId) -> TractResult<usize> {
        if self.uses.get(&wire) == Some(&1) {
            return Ok(slot);
        }
        let to = self.new_slot(output)?;
        Ok(self.write(Drafted::Ready(Step::Copy { from: slot, to }), to))
    }

    /// The region, whose nodes the model need not have any more.
    pub(super) fn finish(self) -> TractResult<Drawn> {
        let mut outs = vec![];
        for wire in self.outputs {
            outs.push(match (self.slots.get(wire), self.gates.get(wire)) {
                (Some(slot), _) => Output::Map { slot: *slot, shape: shape(self.model, *wire).context("a map without a size")? },
                (_, Some(channels)) => Output::Gates { channels: *channels },
                _ => bail!("an output that no step yields"),
            });
        }
        let Self { batch, inputs, sizes, parents, steps, .. } = self;
        Ok(Drawn { batch, inputs, sizes, parents, steps, outs })
    }
}

impl Drawn {
    pub(super) fn inputs(&self) -> &[OutletId] {
        &self.inputs
    }

    /// Packs the weights, of which those are freed that nothing else holds.
    pub(super) fn pack(self, simd: Simd, lowering: Lowering) -> TractResult<Steps> {
        let (mut steps, mut together, mut bytes) = (vec![], vec![], 0);
        for step in self.steps.into_iter().filter(|step| !matches!(step, Drafted::Joined)) {
            bytes += step.bytes();
            together.push(step);
            if bytes > TOGETHER_BYTES {
                steps.extend(pack(std::mem::take(&mut together), simd, lowering, &self.sizes)?);
                bytes = 0;
            }
        }
        steps.extend(pack(together, simd, lowering, &self.sizes)?);
        let layouts = layouts(&self.sizes, &self.parents, &steps)?;
        let feedable = feedable(&self.parents, &steps, &self.outs);
        let (slots, memory) = share_memory(&layouts, &self.parents, &steps, &self.outs);
        let scratch = steps.iter().map(|step| if let Step::ConvolveWinograd { convolution, .. } = step { convolution.scratch() } else { 0 });
        let scratch = scratch.max().unwrap_or(0);
        let channels = steps.iter().map(|step| match step {
            Step::Recalibrate { excitation, .. } => excitation.layers.iter().map(|(layer, _)| layer.outputs()).max().unwrap_or(0),
            _ => 0,
        });
        let (channels, threads) = (channels.max().unwrap_or(0), lowering.threads.min(most_threads()));
        Ok(Steps { simd, batch: self.batch, slots, steps, outputs: self.outs, feedable, is_fed: false, memory, scratch, threads, channels })
    }
}

impl Open {
    fn is_depthwise(&self) -> bool {
        let shape = &self.shape;
        shape.groups() > 1 && (shape.inputs(), shape.outputs()) == (shape.groups(), shape.groups())
    }
}

impl Drafted {
    fn slots(&self) -> [Option<usize>; 3] {
        match self {
            Self::Convolution(open) => [Some(open.from), open.shortcut, Some(open.to)],
            Self::Ready(step) => slots_of(step),
            Self::Joined => [None; 3],
        }
    }

    /// Of the weights that are to be packed.
    fn bytes(&self) -> usize {
        match self {
            Self::Convolution(open) => open.weights.len() * size_of::<f32>(),
            _ => 0,
        }
    }

    /// The step, with its weights packed; `sizes` are those of the slots.
    fn pack(self, simd: Simd, winograd: Winograd, sizes: &[[usize; 3]]) -> TractResult<Step> {
        let open = match self {
            Self::Ready(step) => return Ok(step),
            Self::Convolution(open) => open,
            Self::Joined => bail!("nothing to pack"),
        };
        let weights = values(&open.weights).context("weights that are no floats")?;
        let Open { shape, ref bias, from, shortcut, to, ref slopes, epilogue, .. } = open;
        Ok(if open.is_depthwise() {
            let mut convolution = Depthwise::new(shape.window(), weights, bias, epilogue)?;
            convolution.set_slopes(slopes);
            Step::ConvolveDepthwise { convolution, from, to }
        } else if shortcut.is_none()
            && slopes.is_empty()
            && (shape.window(), shape.groups()) == (Window::UNIT, 1)
            && sizes[to] == [shape.outputs(), 1, 1]
        {
            Step::Connect { layer: Linear::new(weights.to_vec(), bias.clone(), epilogue)?, from, to }
        } else if let Some(tile) = winograd.choose(simd, &shape, [sizes[to][1], sizes[to][2]]) {
            let mut convolution = WinogradConvolution::new(simd, tile, shape, weights, bias, epilogue)?;
            convolution.set_slopes(slopes);
            Step::ConvolveWinograd { convolution, from, shortcut, to }
        } else {
            let mut convolution = Convolution::new(simd, shape, weights, bias, epilogue)?;
            convolution.set_slopes(slopes);
            Step::Convolve { convolution, from, shortcut, to }
        })
    }
}

/// The steps with their weights packed, on as many cores as there are to spare, and in large pages; `sizes` are those of the slots.
fn pack(steps: Vec<Drafted>, simd: Simd, lowering: Lowering, sizes: &[[usize; 3]]) -> TractResult<Vec<Step>> {
    let mut packed: Vec<_> = steps.iter().map(|_| None).collect();
    let run = Run::start(lowering.threads);
    let mut parts: Vec<Vec<_>> = (0..run.threads()).map(|_| vec![]).collect();
    let count = parts.len();
    steps.into_iter().zip(&mut packed).enumerate().for_each(|(index, step)| parts[index % count].push(step));
    run.share(parts, |part| part.into_iter().for_each(|(step, place)| *place = Some(step.pack(simd, lowering.winograd, sizes))));
    let mut packed = packed.into_iter().flatten().collect::<TractResult<Vec<_>>>()?;
    WeightsMut::gather(packed.iter_mut().flat_map(Step::weights_mut).collect())?;
    Ok(packed)
}

/// The slot of the only input, if its map is one of its own that is never changed.
fn feedable(parents: &[Option<(usize, usize)>], steps: &[Step], outputs: &[Output]) -> Option<usize> {
    let mut loads = steps.iter().filter_map(|step| if let Step::Load { to, .. } = step { Some(*to) } else { None });
    let fed = loads.next().filter(|_| loads.next().is_none())?;
    let is_apart = parents[fed].is_none() && !parents.iter().flatten().any(|(parent, _)| *parent == fed);
    let is_output = outputs.iter().any(|output| matches!(output, Output::Map { slot, .. } if *slot == fed));
    let changes = |step: &Step| !matches!(step, Step::Load { .. }) && written_by(step) == fed;
    (is_apart && !is_output && !steps.iter().any(changes)).then_some(fed)
}

fn written_by(step: &Step) -> usize {
    match step {
        Step::Load { to, .. }
        | Step::Convolve { to, .. }
        | Step::ConvolveWinograd { to, .. }
        | Step::ConvolveDepthwise { to, .. }
        | Step::Connect { to, .. }
        | Step::Pool { to, .. }
        | Step::Copy { to, .. }
        | Step::Flatten { to, .. } => *to,
        Step::Recalibrate { map, .. }
        | Step::Add { map, .. }
        | Step::Activate { map, .. }
        | Step::RoundToOwnRange { map }
        | Step::Prelu { map, .. } => *map,
    }
}

/// The map that `slot` is some channels of, or itself.
fn whole(parents: &[Option<(usize, usize)>], slot: usize) -> usize {
    parents[slot].map_or(slot, |(parent, _)| parent)
}

/// Where the values of every map lie: with the border that its readers need, and as parts of others where they are.
fn layouts(sizes: &[[usize; 3]], parents: &[Option<(usize, usize)>], steps: &[Step]) -> TractResult<Vec<Layout>> {
    let mut borders = vec![0; sizes.len()];
    for step in steps {
        let (window, from, to) = match step {
            Step::Convolve { convolution, from, to, .. } => (convolution.shape().window(), *from, *to),
            Step::ConvolveWinograd { convolution, from, to, .. } => (convolution.shape().window(), *from, *to),
            Step::ConvolveDepthwise { convolution, from, to } => (convolution.window(), *from, *to),
            _ => continue,
        };
        let ([_, height, width], [_, to_height, to_width]) = (sizes[from], sizes[to]);
        let whole = whole(parents, from);
        borders[whole] = window.border([height, width], [to_height, to_width]).max(borders[whole]);
    }
    let layout = |slot: usize| {
        let ([channels, height, width], whole) = (sizes[slot], whole(parents, slot));
        Layout::try_new(height, width, channels, borders[whole])?.with_stride(sizes[whole][0])
    };
    let layouts = (0..sizes.len()).map(layout).collect::<Result<Vec<_>, _>>()?;
    let (mut bare, mut all) = (0usize, 0usize);
    for layout in &layouts {
        bare = bare.saturating_add(layout.pixels() * layout.channels());
        all = all.saturating_add(layout.len());
    }
    let most = bare.saturating_mul(2).saturating_add(BORDER_VALUES).min(MAX_VALUES);
    let reason = || Refusal(format!("maps of {bare} values take {all} with the padding of their convolutions, expected at most {most}"));
    ensure!(all <= most, reason());
    Ok(layouts)
}

/// Gives every map a place that no map has which is alive at the same time; parts of a map lie in its place and keep it alive.
fn share_memory(layouts: &[Layout], parents: &[Option<(usize, usize)>], steps: &[Step], outputs: &[Output]) -> (Vec<Slot>, usize) {
    let whole = |slot| whole(parents, slot);
    let mut lives: Vec<(usize, usize)> = vec![(usize::MAX, 0); layouts.len()];
    for (index, step) in steps.iter().enumerate() {
        for slot in slots_of(step).into_iter().flatten().map(whole) {
            lives[slot] = (lives[slot].0.min(index), lives[slot].1.max(index));
        }
    }
    for output in outputs {
        if let Output::Map { slot, .. } = output {
            lives[whole(*slot)].1 = usize::MAX;
        }
    }
    let mut slots: Vec<Slot> = layouts.iter().map(|layout| Slot { layout: *layout, place: 0..layout.len() }).collect();
    let mut order: Vec<usize> = (0..slots.len()).filter(|slot| parents[*slot].is_none()).collect();
    order.sort_by_key(|slot| std::cmp::Reverse(slots[*slot].place.len()));
    let (mut placed, mut memory): (Vec<usize>, usize) = (vec![], 0);
    for slot in order {
        let mut busy: Vec<_> = placed
            .iter()
            .filter(|other| lives[**other].0 <= lives[slot].1 && lives[slot].0 <= lives[**other].1)
            .map(|other| slots[*other].place.clone())
            .collect();
        busy.sort_by_key(|place| place.start);
        let (mut start, length) = (0, slots[slot].place.len());
        for place in busy {
            if place.start >= start + length {
                break;
            }
            start = start.max(place.end.next_multiple_of(16));
        }
        slots[slot].place = start..start + length;
        memory = memory.max(start + length);
        placed.push(slot);
    }
    for (slot, parent) in parents.iter().enumerate() {
        if let Some((parent, first)) = parent {
            let start = slots[*parent].place.start + first;
            slots[slot].place = start..start + layouts[slot].len();
        }
    }
    (slots, memory)
}

fn slots_of(step: &Step) -> [Option<usize>; 3] {
    match step {
        Step::Load { to, .. } => [Some(*to), None, None],
        Step::Convolve { from, shortcut, to, .. } | Step::ConvolveWinograd { from, shortcut, to, .. } => [Some(*from), *shortcut, Some(*to)],
        Step::ConvolveDepthwise { from, to, .. }
        | Step::Connect { from, to, .. }
        | Step::Pool { from, to, .. }
        | Step::Copy { from, to }
        | Step::Flatten { from, to } => [Some(*from), Some(*to), None],
        Step::Recalibrate { map, shortcut, .. } => [Some(*map), *shortcut, None],
        Step::Add { map, shortcut, .. } => [Some(*map), Some(*shortcut), None],
        Step::Activate { map, .. } | Step::RoundToOwnRange { map } | Step::Prelu { map, .. } => [Some(*map), None, None],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_can_be_a_map_where_nothing_but_its_reader_has_to_do_with_it() {
        let (load, copy) = (|input, to| Step::Load { input, to }, |from, to| Step::Copy { from, to });
        let activate = |map| Step::Activate { map, epilogue: Nonlinearity::RELU.into() };
        let output = |slot| [Output::Map { slot, shape: tvec!() }];
        let of = |parents: &[Option<(usize, usize)>], steps: &[Step], slot| feedable(parents, steps, &output(slot));
        let apart = [None; 3];
        assert_eq!(of(&apart, &[load(0, 1), copy(1, 2), activate(2)], 2), Some(1));
        assert_eq!(of(&apart, &[load(0, 1), activate(1), copy(1, 2)], 2), None, "it is changed");
        assert_eq!(of(&apart, &[load(0, 1), copy(1, 2)], 1), None, "it is an output");
        assert_eq!(of(&apart, &[load(0, 0), load(1, 1), copy(0, 2)], 2), None, "there is another");
        assert_eq!(of(&apart, &[copy(1, 2)], 2), None, "there is none");
        assert_eq!(of(&[Some((1, 0)), None, None], &[load(0, 1), copy(0, 2)], 2), None, "a part of it is read");
        assert_eq!(of(&[None, Some((0, 0)), None], &[load(0, 1), copy(0, 2)], 2), None, "it is a part of another");
    }
}
