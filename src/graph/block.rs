//! What is known of one SE block of a network.

use std::cmp::Reverse;

use serde::Serialize;

use crate::kernels::{Activation, Gate};

/// One SE block, in network order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeBlockInfo {
    /// The common part of its nodes' ONNX names.
    pub name: String,
    /// Counts from 1 by falling resolution: all blocks on maps of one size are one stage.
    pub stage: usize,
    /// Counts from 0 within the stage.
    pub block: usize,
    /// C
    pub channels: usize,
    /// C/r, the width between the two layers.
    pub squeezed: usize,
    /// r
    pub reduction_ratio: f32,
    /// Between the layers.
    pub activation: Activation,
    /// After the layers.
    pub gate: Gate,
    /// Of the map that is recalibrated.
    pub height: usize,
    /// Of the map that is recalibrated.
    pub width: usize,
    /// Whether the residual addition after the block was fused into it.
    pub fused_residual: bool,
}

/// Fills in stage and block of every element, from the resolutions.
pub(super) fn number(blocks: &mut [SeBlockInfo]) {
    let mut sizes: Vec<_> = blocks.iter().map(|b| (b.height, b.width)).collect();
    sizes.sort_unstable_by_key(|(height, width)| Reverse((height * width, *height)));
    sizes.dedup();
    let mut counts = vec![0; sizes.len()];
    for block in blocks {
        let stage = sizes.iter().take_while(|size| **size != (block.height, block.width)).count();
        if let Some(count) = counts.get_mut(stage) {
            (block.stage, block.block) = (stage + 1, *count);
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stages_by_falling_resolution_and_blocks_in_network_order() {
        let block = |height, width| SeBlockInfo {
            name: String::new(),
            stage: 0,
            block: 0,
            channels: 64,
            squeezed: 4,
            reduction_ratio: 16.0,
            activation: Activation::Relu,
            gate: Gate::Sigmoid,
            height,
            width,
            fused_residual: false,
        };
        let mut blocks = [block(56, 56), block(14, 14), block(28, 28), block(28, 28), block(14, 14)];
        number(&mut blocks);
        let numbers = blocks.map(|b| (b.stage, b.block));
        assert_eq!(numbers, [(1, 0), (3, 0), (2, 0), (2, 1), (3, 1)]);
    }
}
