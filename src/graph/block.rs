//! What is known of one SE block of a network.

use std::cmp::Reverse;

use serde::Serialize;

use crate::kernels::Functions;

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
    /// Fully connected layers: two, or one in a block such as VoVNet's "effective" one.
    pub layers: usize,
    /// C/r, the width between the two layers; C where there is only one.
    pub squeezed: usize,
    /// r
    pub reduction_ratio: f32,
    /// Between the layers; the identity where there is only one.
    pub activation: Functions,
    /// After the layers; what is not a sigmoid may yield gates beyond 0..=1.
    pub gate: Functions,
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
    use crate::kernels::Function;

    #[test]
    fn numbers_stages_by_falling_resolution_and_blocks_in_network_order() {
        let block = |height, width| SeBlockInfo {
            name: String::new(),
            stage: 0,
            block: 0,
            channels: 64,
            squeezed: 4,
            reduction_ratio: 16.0,
            layers: 2,
            activation: Function::Relu.into(),
            gate: Function::Sigmoid.into(),
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
