//! Replacing every SE block of a model by one operator, and making its gates an output.

use std::collections::HashSet;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

use super::block::{SeBlockInfo, number};
use super::names::{ParameterNames, block_name, unique};
use super::squeeze_excite::{Block, Residual, find_block, find_residual};
use crate::kernels::{Excitation, Layers, Simd};
use crate::ops::SqueezeExcite;

/// Replaces every SE block of the decluttered `model` and appends its gates, `[N, C]`, to the model's outputs.
///
/// Returns the blocks in network order, which is the order of the new outputs.
///
/// # Errors
/// When tract refuses the patched graph, which would be a defect.
pub fn fuse_squeeze_excite(model: &mut TypedModel, simd: Simd, parameters: &ParameterNames) -> TractResult<Vec<SeBlockInfo>> {
    let (mut blocks, mut names, mut gates) = (vec![], vec![], vec![]);
    for node in model.eval_order()? {
        let Some(block) = find_block(model, node) else { continue };
        let residual = find_residual(model, node);
        names.push(name(model, &block, parameters));
        blocks.push(describe(&block, residual.is_some()));
        gates.push(replace(model, node, block, residual, simd)?);
    }
    let outputs: Vec<OutletId> = model.outputs.iter().copied().chain(gates).collect();
    model.select_output_outlets(&outputs)?;
    number(&mut blocks);
    give_names(&mut blocks, names);
    Ok(blocks)
}

/// Puts one operator in the place of `block`, whose scaling is the node `scale`; returns its gates.
fn replace(model: &mut TypedModel, scale: usize, block: Block, residual: Option<Residual>, simd: Simd) -> TractResult<OutletId> {
    let op = SqueezeExcite::new(Excitation::new(block.layers)?, simd, block.rounding, residual.as_ref().map(|r| r.rectify));
    let mut patch = TypedModelPatch::new("fuse squeeze and excitation");
    let mut inputs = tvec!(patch.tap_model(model, block.map)?);
    if let Some(residual) = &residual {
        inputs.push(patch.tap_model(model, residual.shortcut)?);
    }
    let last = residual.map_or(scale, |r| r.last);
    let name = format!("{}.squeeze_excite", model.node(scale).name);
    let outputs = patch.wire_node(name, op, &inputs)?;
    patch.shunt_outside(model, last.into(), outputs[0])?;
    patch.apply(model)?;
    let newest = model.nodes().iter().rfind(|node| node.op_is::<SqueezeExcite>()).context("the patch added no node")?;
    Ok(OutletId::new(newest.id, 1))
}

/// Everything but name, stage and block.
fn describe(block: &Block, fused_residual: bool) -> SeBlockInfo {
    let Layers { reduce, expand, .. } = &block.layers;
    let channels = expand.bias.len();
    let squeezed = reduce.as_ref().map_or(channels, |reduce| reduce.bias.len());
    SeBlockInfo {
        name: String::new(),
        stage: 0,
        block: 0,
        channels,
        squeezed,
        reduction_ratio: channels as f32 / squeezed as f32,
        layers: 1 + usize::from(reduce.is_some()),
        activation: reduce.as_ref().map(|reduce| reduce.functions.clone()).unwrap_or_default(),
        gate: expand.functions.clone(),
        height: block.height,
        width: block.width,
        fused_residual,
    }
}

fn name(model: &TypedModel, block: &Block, parameters: &ParameterNames) -> Option<String> {
    let names = block.nodes.map(|node| model.node(node).name.as_str());
    block_name(&names, &names[2..], parameters)
}

/// Names every block, those without a path by their place in the network.
fn give_names(blocks: &mut [SeBlockInfo], names: Vec<Option<String>>) {
    let mut taken = HashSet::new();
    for (block, name) in blocks.iter_mut().zip(names) {
        let name = name.unwrap_or_else(|| format!("stage{}.block{}", block.stage, block.block));
        block.name = unique(name, &mut taken);
    }
}
