//! What the gates of an image say: per block, which channels counted and how much.
//!
//! A gate is the factor that an SE block multiplies a channel by (Hu et al., section 3.2): a recalibration weight, not a causal attribution.

use serde::Serialize;

use crate::inference::{SeBlockInfo, top_k};

/// A gate at most this is counted as saturated at 0; of sigmoids, which other gate functions need not be.
pub const SATURATED_LOW: f32 = 0.02;
/// A gate at least this is counted as saturated at 1; of sigmoids, which other gate functions need not be.
pub const SATURATED_HIGH: f32 = 0.98;
/// Top channels that [`Detail::Summary`] names.
const SUMMARY_TOP: usize = 3;

/// How much of the attention an answer carries; more comes after less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Detail {
    /// Nothing; the gates are not even read.
    None,
    /// Statistics and the three largest gates.
    #[default]
    Summary,
    /// Statistics, and as many largest and smallest gates as asked for.
    Top,
    /// Everything of `Top`, and the gate of every channel.
    Full,
}

impl Detail {
    /// Every one, the least first.
    pub const ALL: [Self; 4] = [Self::None, Self::Summary, Self::Top, Self::Full];

    /// The word that asks for it, over HTTP and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Summary => "summary",
            Self::Top => "top",
            Self::Full => "full",
        }
    }
}

/// Which part of the attention a request wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttentionRequest {
    /// How much of each block.
    pub detail: Detail,
    /// Channels listed by [`Detail::Top`] and [`Detail::Full`].
    pub top: usize,
    /// Names of blocks, `*` standing for any characters; empty for all.
    pub blocks: Vec<String>,
}

impl Default for AttentionRequest {
    fn default() -> Self {
        Self { detail: Detail::Summary, top: 8, blocks: Vec::new() }
    }
}

/// One channel and its gate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ChannelWeight {
    /// Position in the block, from 0.
    pub channel: usize,
    /// The gate, 0..=1 where the block's gate function is a sigmoid.
    pub weight: f32,
}

/// The attention of one block on one image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BlockAttention {
    /// As in [`SeBlockInfo`].
    pub name: String,
    /// As in [`SeBlockInfo`].
    pub stage: usize,
    /// As in [`SeBlockInfo`].
    pub block: usize,
    /// Number of gates.
    pub channels: usize,
    /// Over the channels.
    pub mean: f32,
    /// Over the channels (population).
    pub std: f32,
    /// The smallest gate.
    pub min: f32,
    /// The largest gate.
    pub max: f32,
    /// Gates at most [`SATURATED_LOW`].
    pub saturated_low: usize,
    /// Gates at least [`SATURATED_HIGH`].
    pub saturated_high: usize,
    /// Largest first.
    pub top: Vec<ChannelWeight>,
    /// Smallest first; absent from a summary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bottom: Option<Vec<ChannelWeight>>,
    /// In channel order; only in [`Detail::Full`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<Vec<f32>>,
}

/// The attention of all requested blocks on one image, in network order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attention {
    /// In network order.
    pub blocks: Vec<BlockAttention>,
}

/// Describes `gates`, one vector per element of `blocks`, as `request` wants it.
pub fn summarise(blocks: &[SeBlockInfo], gates: &[Vec<f32>], request: &AttentionRequest) -> Attention {
    let wanted = |block: &SeBlockInfo| request.blocks.is_empty() || request.blocks.iter().any(|p| matches_pattern(p, &block.name));
    let described = blocks.iter().zip(gates).filter(|(block, _)| wanted(block));
    Attention { blocks: described.map(|(block, gates)| describe(block, gates, request)).collect() }
}

/// Whether any block of `blocks` has a name that `pattern` matches.
pub fn names_a_block(pattern: &str, blocks: &[SeBlockInfo]) -> bool {
    blocks.iter().any(|block| matches_pattern(pattern, &block.name))
}

fn describe(block: &SeBlockInfo, gates: &[f32], request: &AttentionRequest) -> BlockAttention {
    let n = gates.len().max(1) as f64;
    let mean = gates.iter().map(|g| f64::from(*g)).sum::<f64>() / n;
    let variance = gates.iter().map(|g| (f64::from(*g) - mean).powi(2)).sum::<f64>() / n;
    let listed = match request.detail {
        Detail::None | Detail::Summary => SUMMARY_TOP,
        Detail::Top | Detail::Full => request.top,
    };
    let weigh = |channels: Vec<usize>| channels.into_iter().map(|channel| ChannelWeight { channel, weight: gates[channel] }).collect();
    let inverted = || gates.iter().map(|g| -g).collect::<Vec<_>>();
    BlockAttention {
        name: block.name.clone(),
        stage: block.stage,
        block: block.block,
        channels: gates.len(),
        mean: mean as f32,
        std: variance.sqrt() as f32,
        min: gates.iter().copied().fold(f32::INFINITY, f32::min),
        max: gates.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        saturated_low: gates.iter().filter(|g| **g <= SATURATED_LOW).count(),
        saturated_high: gates.iter().filter(|g| **g >= SATURATED_HIGH).count(),
        top: weigh(top_k(gates, listed)),
        bottom: (request.detail >= Detail::Top).then(|| weigh(top_k(&inverted(), listed))),
        weights: (request.detail == Detail::Full).then(|| gates.to_vec()),
    }
}

/// `*` in `pattern` stands for any characters, none included.
fn matches_pattern(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let Some(last) = parts.pop() else { return false };
    for part in parts {
        let Some(at) = name.find(part) else { return false };
        name = &name[at + part.len()..];
    }
    name.len() >= last.len() && name.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Function;

    fn block(name: &str) -> SeBlockInfo {
        SeBlockInfo {
            name: name.to_owned(),
            stage: 1,
            block: 0,
            channels: 4,
            squeezed: 1,
            reduction_ratio: 4.0,
            layers: 2,
            activation: Function::Relu.into(),
            gate: Function::Sigmoid.into(),
            height: 8,
            width: 8,
            fused_residual: false,
        }
    }

    #[test]
    fn describes_one_block_in_full() {
        let request = AttentionRequest { detail: Detail::Full, top: 2, blocks: vec![] };
        let attention = summarise(&[block("a")], &[vec![0.5, 0.0, 1.0, 0.5]], &request);
        let a = &attention.blocks[0];
        assert_eq!((a.mean, a.min, a.max, a.saturated_low, a.saturated_high), (0.5, 0.0, 1.0, 1, 1));
        assert!((a.std - 0.125f32.sqrt()).abs() < 1e-7);
        let pairs = |list: &[ChannelWeight]| list.iter().map(|c| (c.channel, c.weight)).collect::<Vec<_>>();
        assert_eq!(pairs(&a.top), [(2, 1.0), (0, 0.5)]);
        assert_eq!(a.bottom.as_deref().map(pairs), Some(vec![(1, 0.0), (0, 0.5)]));
        assert_eq!(a.weights.as_deref(), Some(&[0.5, 0.0, 1.0, 0.5][..]));
    }

    #[test]
    fn a_summary_has_three_top_channels_and_no_weights() {
        let a = summarise(&[block("a")], &[vec![0.1, 0.2, 0.3, 0.4]], &AttentionRequest::default()).blocks.remove(0);
        assert_eq!((a.top.len(), a.bottom, a.weights), (3, None, None));
    }

    #[test]
    fn selects_blocks_by_pattern() {
        let blocks = [block("layer1.0.se"), block("layer2.0.se"), block("layer2.1.se")];
        let gates = vec![vec![0.5]; 3];
        let names = |patterns: &[&str]| {
            let request = AttentionRequest { blocks: patterns.iter().map(ToString::to_string).collect(), ..Default::default() };
            summarise(&blocks, &gates, &request).blocks.into_iter().map(|b| b.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&["layer2.*"]), ["layer2.0.se", "layer2.1.se"]);
        assert_eq!(names(&["*.0.se"]), ["layer1.0.se", "layer2.0.se"]);
        assert_eq!(names(&["layer1.0.se", "nothing"]), ["layer1.0.se"]);
        assert_eq!(names(&["l*2*s*e"]), ["layer2.0.se", "layer2.1.se"]);
        assert!(names(&["layer1.0.s"]).is_empty());
        assert!(names(&["layer1.0.se*e"]).is_empty(), "the parts of a pattern must not overlap");
        assert!(!names_a_block("*.3.*", &blocks));
    }
}
