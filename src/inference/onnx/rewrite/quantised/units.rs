//! Scales for each channel of a depthwise convolution's input, which are folded into its weights.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, NodeProto};

use super::grid::{Grid, floats};
use super::{Rewriter, integer};
use crate::inference::onnx::operators::FAKE_QUANTIZE;

impl Rewriter<'_> {
    /// Adds a node that rounds `real` to the integers of which `grid` has the scales, beside the one that yields `output`. Of both, that goes again
    /// which nothing reads.
    pub(super) fn push_units(&mut self, real: &str, output: &str, mut attributes: Vec<AttributeProto>, grid: &Grid) {
        attributes.push(AttributeProto { name: "units".to_owned(), r#type: AttributeType::Int as i32, i: 1, ..AttributeProto::default() });
        let units = self.fresh();
        self.push(FAKE_QUANTIZE, &units.clone(), vec![real.to_owned()], &units, attributes);
        self.units.insert(output.to_owned(), (units, grid.scales.clone()));
    }

    /// Has a depthwise convolution read integers, and gives their scales to its weights.
    pub(super) fn read_units(&mut self, node: &mut NodeProto) -> Result<(), String> {
        let ("Conv", [data, weights, ..]) = (node.op_type.as_str(), node.input.as_slice()) else { return Ok(()) };
        let Some((units, scales)) = self.units.get(data).cloned() else { return Ok(()) };
        let made = self.made.iter().rev().find(|made| made.name == *weights);
        let Some(tensor) = made.or(self.constants.get(weights.as_str()).copied()).cloned() else { return Ok(()) };
        let channels = i64::try_from(scales.len()).unwrap_or(0);
        if integer(node, "group") != Some(channels) || tensor.dims.get(..2) != Some(&[channels, 1]) {
            return Ok(());
        }
        let mut values = floats(&tensor)?;
        let taps = values.len() / scales.len();
        for (weights, scale) in values.chunks_mut(taps.max(1)).zip(&scales) {
            weights.iter_mut().for_each(|weight| *weight *= scale);
        }
        node.input[1] = self.folded(&tensor, &values);
        node.input[0] = units;
        Ok(())
    }
}
