//! Lowering a model to the kernels on maps: every part of it that they can run becomes one operator.

mod draft;
#[cfg(test)]
mod hostile;
mod operator;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use serde::Serialize;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::source::TypedSource;

use self::draft::Draft;
use self::operator::{Operator, Recognised, check_windows, has_kernel, map_size, recognise};
use crate::kernels::Simd;
use crate::kernels::maps::{Layout, Winograd};
use crate::ops::Region;

/// Operators of one kind that are left to tract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unlowered {
    /// Its name in tract.
    pub operator: String,
    /// Why.
    pub reason: Reason,
    /// How many.
    pub count: usize,
}

/// Why an operator is left to tract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// There is no kernel for it.
    NoKernel,
    /// There is one, but not for these shapes, constants or data types.
    Form,
    /// There is one, but no convolution to which it is connected: changing the layout would cost more than it saves.
    NoConvolutionNearby,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoKernel => "no kernel",
            Self::Form => "not in this form",
            Self::NoConvolutionNearby => "no convolution nearby",
        })
    }
}

/// What of lowering can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lowering {
    /// How far convolutions may be replaced by Winograd's, which are faster and round more.
    pub winograd: Winograd,
    /// The most threads that an image is spread over.
    pub threads: usize,
}

impl Default for Lowering {
    fn default() -> Self {
        Self { winograd: Winograd::default(), threads: usize::MAX }
    }
}

/// Replaces what the kernels on maps can run of the decluttered `model`, whose SE blocks have been fused, by regions.
///
/// A node belongs to the region that is numbered by the most changes, between nodes that are lowered and nodes that are not, of any way to it
/// from the input. No way leads out of a region and back, therefore, and the plan has no cycles.
///
/// Returns what is left to tract.
///
/// # Errors
/// When a window, or a map with its padding, is beyond the limits of the kernels, and when tract refuses the patched graph, which would be a defect.
pub fn lower(model: &mut TypedModel, batch: usize, simd: Simd, lowering: Lowering) -> TractResult<Vec<Unlowered>> {
    check_windows(model)?;
    let order = model.eval_order()?;
    let mut recognised: HashMap<usize, Recognised> = HashMap::new();
    let mut ranks: HashMap<usize, usize> = HashMap::new();
    for node in order.iter().copied() {
        let found = recognise(model, node, batch);
        let inputs = found.as_ref().map_or(&model.node(node).inputs, |found| &found.inputs);
        let rank = inputs.iter().map(|input| {
            let changes = recognised.contains_key(&input.node) != found.is_some() && !is_start(model, input.node);
            ranks.get(&input.node).copied().unwrap_or(0) + usize::from(changes)
        });
        ranks.insert(node, rank.max().unwrap_or(0));
        if let Some(found) = found {
            recognised.insert(node, found);
        }
    }
    let mut regions: Vec<Vec<usize>> = vec![vec![]; order.len() + 1];
    for node in order.iter().filter(|node| recognised.contains_key(node)) {
        regions[ranks[node]].push(*node);
    }
    for nodes in regions {
        let convolves = nodes.iter().any(|node| {
            let of_a_map = map_size(model, (*node).into(), batch).is_some_and(|[_, height, width]| height * width > 1);
            of_a_map
                && matches!(recognised[node].operator, Operator::Convolution { shape, .. } if shape.groups() < shape.inputs() || shape.inputs() == 1)
        });
        if convolves {
            replace(model, &nodes, &mut recognised, batch, simd, lowering)?;
        }
    }
    let left = unlowered(model, &recognised)?;
    model.compact()?;
    Ok(left)
}

/// Has the input of `model`, where nothing but a region reads it, be the map that the region would make of it: `[batch, values of the map]`, its border,
/// which is zero, included. Returns the map's layout; `None` where that cannot be.
///
/// # Errors
/// When tract refuses the new shape, which would be a defect.
pub fn feed_map(model: &mut TypedModel, batch: usize) -> TractResult<Option<Layout>> {
    let [source] = model.inputs[..] else { return Ok(None) };
    let [InletId { node, .. }] = model.outlet_successors(source)[..] else { return Ok(None) };
    if model.outputs.contains(&source) {
        return Ok(None);
    }
    let region = model.node_mut(node).op_as_mut::<Region>();
    let layout = region.and_then(Region::feed_map);
    if let Some(layout) = layout {
        let fact = f32::fact([batch, layout.len()]);
        model.node_mut(source.node).op = Box::new(TypedSource::new(fact.clone()));
        model.set_outlet_fact(source, fact)?;
    }
    Ok(layout)
}

/// What is left of the model apart from regions, and why.
fn unlowered(model: &TypedModel, recognised: &HashMap<usize, Recognised>) -> TractResult<Vec<Unlowered>> {
    let mut counts: BTreeMap<(String, Reason), usize> = BTreeMap::new();
    for node in model.eval_order()? {
        let op = &model.node(node).op;
        if is_start(model, node) || op.is::<Region>() || op.is::<AxisOp>() {
            continue;
        }
        let reason = match recognised.contains_key(&node) {
            true => Reason::NoConvolutionNearby,
            false if has_kernel(model, node) => Reason::Form,
            false => Reason::NoKernel,
        };
        *counts.entry((op.name().to_string(), reason)).or_default() += 1;
    }
    Ok(counts.into_iter().map(|((operator, reason), count)| Unlowered { operator, reason, count }).collect())
}

fn is_start(model: &TypedModel, node: usize) -> bool {
    model.node(node).op_is::<TypedSource>() || model.node(node).op_is::<Const>()
}

fn replace(
    model: &mut TypedModel,
    nodes: &[usize],
    recognised: &mut HashMap<usize, Recognised>,
    batch: usize,
    simd: Simd,
    lowering: Lowering,
) -> TractResult<()> {
    // What tract reads of the region, nodes apart that nothing reads any more: a lowered node may read through its input.
    let live = live_nodes(model, recognised)?;
    let mut outputs: Vec<OutletId> = vec![];
    for node in nodes {
        for (slot, outlet) in model.node(*node).outputs.iter().enumerate() {
            let wire = OutletId::new(*node, slot);
            let elsewhere = |user: usize| !nodes.contains(&user) && live.contains(&user);
            if model.outputs.contains(&wire) || outlet.successors.iter().any(|user| elsewhere(user.node)) {
                outputs.push(wire);
            }
        }
    }
    // And what other regions read.
    for (_, found) in recognised.iter().filter(|(user, _)| !nodes.contains(user)) {
        outputs.extend(found.inputs.iter().filter(|input| nodes.contains(&input.node)));
    }
    outputs.sort_by_key(|o| (o.node, o.slot));
    outputs.dedup();
    let found: Vec<(usize, Recognised)> = nodes.iter().filter_map(|node| recognised.remove_entry(node)).collect();
    let mut draft = Draft::new(model, &found, &outputs, batch);
    for (node, found) in found {
        draft.push(node, found)?;
    }
    let drawn = draft.finish()?;
    let mut patch = TypedModelPatch::new("lower to maps");
    let taps = drawn.inputs().iter().map(|input| patch.tap_model(model, *input)).collect::<TractResult<TVec<_>>>()?;
    let facts = outputs.iter().map(|output| model.outlet_fact(*output).cloned()).collect::<TractResult<TVec<_>>>()?;
    // The operator comes when the patch has freed what nothing reads any more, above all the weights that it packs.
    let dummy = patch.create_dummy();
    let region = patch.add_node(format!("{}.region", model.node(nodes[0]).name), dummy, facts)?;
    for (slot, tap) in taps.into_iter().enumerate() {
        patch.add_edge(tap, InletId::new(region, slot))?;
    }
    for (slot, output) in outputs.iter().enumerate() {
        patch.shunt_outside(model, *output, OutletId::new(region, slot))?;
    }
    patch.apply(model)?;
    let newest = model.nodes().len() - 1;
    model.node_mut(newest).op = Box::new(Region::new(drawn.pack(simd, lowering)?));
    let moved: HashMap<OutletId, OutletId> = outputs.iter().enumerate().map(|(slot, output)| (*output, OutletId::new(newest, slot))).collect();
    for found in recognised.values_mut() {
        found.inputs.iter_mut().for_each(|input| *input = moved.get(input).copied().unwrap_or(*input));
    }
    Ok(())
}

/// Nodes that stay, because an output or something that is not lowered needs them.
fn live_nodes(model: &TypedModel, recognised: &HashMap<usize, Recognised>) -> TractResult<HashSet<usize>> {
    let mut live = HashSet::new();
    let mut open: Vec<usize> = model.outputs.iter().map(|o| o.node).collect();
    while let Some(node) = open.pop() {
        if live.insert(node) {
            let inputs = recognised.get(&node).map_or(&model.node(node).inputs, |found| &found.inputs);
            open.extend(inputs.iter().map(|input| input.node));
        }
    }
    Ok(live)
}
