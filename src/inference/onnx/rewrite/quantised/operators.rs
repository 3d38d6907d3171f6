//! Operators on quantised tensors: the operator on the numbers that these stand for, and what rounds its result.

use tract_onnx::pb::{AttributeProto, NodeProto};

use super::grid::integers;
use super::{Rewriter, input, integer};
use crate::inference::shown;

/// Where an operator's inputs stand: a tensor is followed by its scale and its zero point.
struct Form {
    /// The operator on real numbers.
    op_type: &'static str,
    /// The first places of its tensors.
    tensors: &'static [usize],
    /// The place of the result's scale.
    result: usize,
}

const UNARY: [usize; 1] = [0];
const BINARY: [usize; 2] = [0, 3];

fn form(op_type: &str) -> Option<Form> {
    let unary = |op_type| Some(Form { op_type, tensors: &UNARY, result: 3 });
    let binary = |op_type| Some(Form { op_type, tensors: &BINARY, result: 6 });
    match op_type {
        "QLinearConv" => binary("Conv"),
        "QLinearMatMul" => binary("MatMul"),
        "QLinearAdd" => binary("Add"),
        "QLinearMul" => binary("Mul"),
        "QLinearSigmoid" => unary("Sigmoid"),
        "QLinearLeakyRelu" => unary("LeakyRelu"),
        "QLinearSoftmax" => unary("Softmax"),
        "QLinearGlobalAveragePool" => unary("GlobalAveragePool"),
        "QLinearAveragePool" => unary("AveragePool"),
        "QLinearReduceMean" => unary("ReduceMean"),
        "QGemm" => Some(Form { op_type: "Gemm", tensors: &BINARY, result: 7 }),
        "QLinearConcat" => Some(Form { op_type: "Concat", tensors: &[], result: 0 }),
        _ => None,
    }
}

impl<'a> Rewriter<'a> {
    /// Rewrites `node` if it is an operator on quantised tensors.
    pub(super) fn on_quantised(&mut self, node: &'a NodeProto) -> Result<bool, String> {
        let Some(form) = form(&node.op_type) else {
            return if node.op_type.starts_with("QLinear") { Err("this quantised operator is not known".to_owned()) } else { Ok(false) };
        };
        if integer(node, "channels_last").is_some_and(|last| last != 0) {
            return Err("its channels are last, expected NCHW".to_owned());
        }
        let places: Vec<usize> = if form.op_type == "Concat" { (2..node.input.len()).step_by(3).collect() } else { form.tensors.to_vec() };
        let mut inputs = vec![];
        for place in places {
            let mut grid = self.grid(node, place + 1, place + 2)?;
            if grid.scales.len() > 1 {
                grid.axis = scale_axis(node, place, self.constants.get(input(node, place)?).map_or(0, |tensor| tensor.dims.len()));
            }
            inputs.push(self.real(input(node, place)?, &grid)?);
        }
        let mut attributes: Vec<AttributeProto> =
            node.attribute.iter().filter(|a| !matches!(a.name.as_str(), "channels_last" | "opset")).cloned().collect();
        match form.op_type {
            "Conv" | "Gemm" => inputs.extend(self.bias(node, if form.op_type == "Conv" { 8 } else { 6 })?),
            "ReduceMean" if self.opset >= 18 => {
                if let Some(axes) = attributes.iter().position(|attribute| attribute.name == "axes") {
                    inputs.push(self.integers(&attributes.remove(axes).ints));
                }
            }
            _ => {}
        }
        let output = node.output.first().ok_or("it has no output")?;
        if node.input.get(form.result).is_none_or(String::is_empty) {
            self.push(form.op_type, &node.name, inputs, output, attributes);
            return Ok(true);
        }
        let grid = self.grid(node, form.result, form.result + 1)?;
        let real = self.fresh();
        self.push(form.op_type, &node.name, inputs, &real, attributes);
        let rounding = NodeProto { name: self.fresh(), ..NodeProto::default() };
        self.quantise(&rounding, real, grid, output)?;
        Ok(true)
    }

    /// The bias of a convolution or fully connected layer, an integer of the product of both scales.
    fn bias(&mut self, node: &NodeProto, place: usize) -> Result<Option<String>, String> {
        let Some(name) = node.input.get(place).filter(|name| !name.is_empty()) else { return Ok(None) };
        let tensor = *self.constants.get(name.as_str()).ok_or_else(|| format!("its bias {} is computed, expected a constant", shown(name)))?;
        let (data, weights) = (self.grid(node, 1, 2)?, self.grid(node, 4, 5)?);
        let (scale, _) = data.only().ok_or("it has a scale for each channel of its input")?;
        let alpha = node.attribute.iter().find(|attribute| attribute.name == "alpha").map_or(1.0, |attribute| attribute.f);
        let scales = weights.scales.iter().cycle().map(|weight| alpha * scale * weight);
        let bias: Vec<f32> = integers(tensor)?.iter().zip(scales).map(|(value, scale)| *value as f32 * scale).collect();
        Ok(Some(self.folded(tensor, &bias)))
    }
}

/// The axis along which the tensor at `place`, of rank `rank`, has its scales.
fn scale_axis(node: &NodeProto, place: usize, rank: usize) -> i64 {
    match node.op_type.as_str() {
        "QLinearConv" => 0,
        "QGemm" if place == 3 => i64::from(integer(node, "transB").unwrap_or(0) == 0),
        "QLinearMatMul" if place == 0 => rank as i64 - 2,
        _ => rank as i64 - 1,
    }
}
