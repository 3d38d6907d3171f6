//! Integer products: convolutions and matrix products whose input is quantised while the network runs, to the range that its values have.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

use super::grid::{Grid, floats, integers};
use super::{Rewriter, input};
use crate::inference::onnx::operators::DYNAMIC_FAKE_QUANTIZE;

/// A product of integers, the conversion of its result and what multiplies this by the scales.
struct Product<'a> {
    /// The node that quantises the input.
    quantise: &'a NodeProto,
    /// Of the weights; one, or one for each column.
    scales: Vec<f32>,
    cast: &'a str,
    result: &'a str,
}

impl<'a> Rewriter<'a> {
    /// Rewrites `node` if it is an operator on integers.
    pub(super) fn on_integers(&mut self, node: &'a NodeProto) -> Result<bool, String> {
        match node.op_type.as_str() {
            // Whoever reads this reads the tensor that it is made from, or is left alone.
            "DynamicQuantizeLinear" => {
                self.keep(node)?;
                Ok(true)
            }
            "ConvInteger" | "MatMulInteger" => {
                let op_type = if node.op_type == "ConvInteger" { "Conv" } else { "MatMul" };
                match self.product(node) {
                    Some(product) => {
                        let weights = self.weights(node, 1, 3, product.scales)?;
                        let input = self.round_to_own_range(product.quantise)?;
                        self.push(op_type, &node.name, vec![input, weights], product.result, node.attribute.clone());
                        self.merged.extend([product.cast, product.result]);
                    }
                    None => self.plain_product(node, op_type)?,
                }
                Ok(true)
            }
            "DynamicQuantizeMatMul" | "MatMulIntegerToFloat" => {
                Err("this operator is made for one machine; export the network as it was before it was optimised".to_owned())
            }
            _ => Ok(false),
        }
    }

    /// The product that `node` is a part of, where its result is converted and multiplied by the scales of both factors, and by nothing else.
    fn product(&self, node: &'a NodeProto) -> Option<Product<'a>> {
        let quantise = self.makers.get(node.input.first()?.as_str()).copied().filter(|maker| maker.op_type == "DynamicQuantizeLinear")?;
        let [quantised, scale, zero_point] = quantise.output.as_slice() else { return None };
        if node.input.first()? != quantised || node.input.get(2)? != zero_point {
            return None;
        }
        let only_reader = |name: &str| match self.readers.get(name)?.as_slice() {
            [reader] => Some(*reader),
            _ => None,
        };
        let cast = only_reader(node.output.first()?).filter(|reader| reader.op_type == "Cast")?;
        let multiply = only_reader(cast.output.first()?).filter(|reader| reader.op_type == "Mul")?;
        let factor = multiply.input.iter().find(|input| Some(*input) != cast.output.first())?;
        let scales = self.makers.get(factor.as_str()).copied().filter(|maker| maker.op_type == "Mul" && maker.input.contains(scale))?;
        let of_weights = scales.input.iter().find(|input| *input != scale)?;
        let scales = floats(self.constants.get(of_weights.as_str())?).ok()?;
        let fits = scales.len() == 1 || node.op_type == "MatMulInteger";
        fits.then_some(Product { quantise, scales, cast: cast.output.first()?, result: multiply.output.first()? })
    }

    /// The name of the weights at a place of `node`, times `scales`, and without their zero point, whose place is the other.
    fn weights(&mut self, node: &NodeProto, place: usize, zero_point: usize, scales: Vec<f32>) -> Result<String, String> {
        let tensor = *self.constants.get(input(node, place)?).ok_or("its weights are computed, expected a constant")?;
        let zero_points = match node.input.get(zero_point).filter(|name| !name.is_empty()) {
            Some(name) => integers(self.constants.get(name.as_str()).ok_or("the zero point of its weights is computed, expected a constant")?)?,
            None => vec![0],
        };
        let count = scales.len().max(zero_points.len());
        let repeat = |length: usize| length == 1 || length == count;
        if count == 0 || !repeat(scales.len()) || !repeat(zero_points.len()) {
            return Err(format!("{} zero points for {} scales", zero_points.len(), scales.len()));
        }
        let axis = if node.op_type == "ConvInteger" { 0 } else { tensor.dims.len() as i64 - 1 };
        let (scales, zero_points) = (scales.into_iter().cycle().take(count).collect(), zero_points.into_iter().cycle().take(count).collect());
        let grid = Grid { scales, zero_points, axis, block: 0, range: (i32::MIN, i32::MAX) };
        let real = grid.dequantise(&integers(tensor)?, &tensor.dims)?;
        Ok(self.folded(tensor, &real))
    }

    /// The input of a `DynamicQuantizeLinear`, rounded to the 256 numbers that span the range of its values.
    fn round_to_own_range(&mut self, quantise: &NodeProto) -> Result<String, String> {
        let name = format!("{}.rounded", quantise.output.first().map_or("", String::as_str));
        if self.rounded.insert(name.clone()) {
            self.push(DYNAMIC_FAKE_QUANTIZE, &name, vec![input(quantise, 0)?.to_owned()], &name, vec![]);
        }
        Ok(name)
    }

    /// A product of integers by itself: exact with real numbers up to 2²⁴.
    fn plain_product(&mut self, node: &NodeProto, op_type: &str) -> Result<(), String> {
        let mut factors = vec![];
        for place in [0, 1] {
            let name = input(node, place)?.to_owned();
            if self.constants.contains_key(name.as_str()) {
                factors.push(self.weights(node, place, place + 2, vec![1.0])?);
                continue;
            }
            let factor = match self.grids.get(&name).cloned() {
                Some(grid) => self.as_integers(name, &grid)?,
                None => self.cast(&name, DataType::Float),
            };
            let zero_point = node.input.get(place + 2).filter(|name| !name.is_empty()).cloned();
            factors.push(match zero_point {
                Some(zero_point) => {
                    let zero_point = self.cast(&zero_point, DataType::Float);
                    self.add("Sub", vec![factor, zero_point])
                }
                None => factor,
            });
        }
        let real = self.fresh();
        self.push(op_type, &node.name, factors, &real, node.attribute.clone());
        let integers = self.cast(&real, DataType::Int32);
        self.push("Identity", &format!("{integers}_as_integers"), vec![integers.clone()], node.output.first().ok_or("it has no output")?, vec![]);
        Ok(())
    }

    /// The name of the integers that the numbers of `real` are on `grid`, as `f32`.
    fn as_integers(&mut self, real: String, grid: &Grid) -> Result<String, String> {
        let (scale, zero_point) = grid.only().ok_or("it computes with integers that have a scale for each channel")?;
        let (scale, zero_point) = (self.constant(vec![], &[scale]), self.constant(vec![], &[zero_point as f32]));
        let quotient = self.add("Div", vec![real, scale]);
        let centred = self.add("Round", vec![quotient]);
        Ok(self.add("Add", vec![centred, zero_point]))
    }

    /// The name of the tensor `name` with values of another type.
    pub(super) fn cast(&mut self, name: &str, to: DataType) -> String {
        let output = self.fresh();
        let to = AttributeProto { name: "to".to_owned(), r#type: AttributeType::Int as i32, i: to as i64, ..AttributeProto::default() };
        self.push("Cast", &output, vec![name.to_owned()], &output, vec![to]);
        output
    }

    /// The name of a new parameter of `INT64`.
    pub(super) fn integers(&mut self, values: &[i64]) -> String {
        let name = self.fresh();
        let (dims, int64_data) = (vec![values.len() as i64], values.to_vec());
        self.made.push(TensorProto { name: name.clone(), dims, data_type: DataType::Int64 as i32, int64_data, ..TensorProto::default() });
        name
    }
}
