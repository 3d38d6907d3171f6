//! What the values of an output can be, told from the operators that it comes from: so that probabilities get no second softmax.
//!
//! A range is followed from the output back to operators whose results are bounded whatever they are given, through those that only move, average or
//! scale values. Sigmoids and normalisations that an exporter took apart are recognised the same way.

use std::collections::HashMap;

use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto, tensor_proto::DataType};

use super::operators::{DYNAMIC_FAKE_QUANTIZE, FAKE_QUANTIZE};

/// What the values of an output are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ending {
    /// Any numbers, as far as the graph tells.
    #[default]
    Scores,
    /// Within 0 to 1.
    Probabilities,
    /// Logarithms of such.
    LogProbabilities,
}

/// Operators followed from an output back.
const MOST_STEPS: usize = 64;
/// Values of a constant that are looked at.
const MOST_VALUES: usize = 1 << 20;
/// By which rounding, or a small number that keeps a logarithm finite, may exceed 1.
const TOLERANCE: f64 = 1e-3;

/// Inclusive.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Range {
    low: f64,
    high: f64,
}

const ANY: Range = Range { low: f64::NEG_INFINITY, high: f64::INFINITY };
const UNIT: Range = Range { low: 0.0, high: 1.0 };

/// What the values of `output`, an output of `graph`, are.
pub(super) fn ending(graph: &GraphProto, output: &str) -> Ending {
    let mut followed = Followed::new(graph);
    if followed.is_logarithm(output) {
        return Ending::LogProbabilities;
    }
    let range = followed.range(output, 0);
    if range.low >= -TOLERANCE && range.high <= 1.0 + TOLERANCE { Ending::Probabilities } else { Ending::Scores }
}

struct Followed<'a> {
    nodes: HashMap<&'a str, &'a NodeProto>,
    constants: HashMap<&'a str, &'a TensorProto>,
    known: HashMap<&'a str, Range>,
}

impl<'a> Followed<'a> {
    fn new(graph: &'a GraphProto) -> Self {
        let nodes = graph.node.iter().flat_map(|node| node.output.iter().map(move |output| (output.as_str(), node))).collect();
        let constants = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        Self { nodes, constants, known: HashMap::new() }
    }

    /// Whether `value` is the logarithm of probabilities.
    fn is_logarithm(&mut self, mut value: &'a str) -> bool {
        for _ in 0..MOST_STEPS {
            let Some(node) = self.node(value) else { return false };
            let Some(input) = node.input.first() else { return false };
            match node.op_type.as_str() {
                "LogSoftmax" => return true,
                "Log" => {
                    let range = self.range(input, 0);
                    return range.low >= -TOLERANCE && range.high <= 1.0 + TOLERANCE;
                }
                // The logarithm of a sigmoid.
                "Neg" => return self.node(input).is_some_and(|inner| inner.op_type == "Softplus"),
                operator if moves(operator) => value = input,
                _ => return false,
            }
        }
        false
    }

    /// What yields `value`, if it is an operator of ONNX or one of ONNX Runtime's quantised ones.
    fn node(&self, value: &str) -> Option<&'a NodeProto> {
        self.nodes.get(value).copied().filter(|node| matches!(node.domain.as_str(), "" | "ai.onnx" | "com.microsoft"))
    }

    fn range(&mut self, value: &'a str, steps: usize) -> Range {
        if let Some(range) = self.known.get(value) {
            return *range;
        }
        let range = match (self.constants.get(value), self.node(value)) {
            (Some(tensor), _) => range_of_tensor(tensor),
            (None, Some(node)) if steps < MOST_STEPS => self.range_of_node(node, steps + 1),
            _ => ANY,
        };
        self.known.insert(value, range);
        range
    }

    fn range_of_node(&mut self, node: &'a NodeProto, steps: usize) -> Range {
        let inputs =
            |range: &mut Self| -> Vec<Range> { node.input.iter().filter(|input| !input.is_empty()).map(|input| range.range(input, steps)).collect() };
        let first = |range: &mut Self| node.input.first().map_or(ANY, |input| range.range(input, steps));
        match node.op_type.as_str() {
            "Softmax" | "Sigmoid" | "HardSigmoid" | "Hardmax" | "QLinearSigmoid" | "QLinearSoftmax" => UNIT,
            "Tanh" | "Erf" | "Softsign" | "Sin" | "Cos" => Range { low: -1.0, high: 1.0 },
            "Constant" => attribute(node, "value").and_then(|value| value.t.as_ref()).map_or_else(|| constant(node), range_of_tensor),
            "Relu" => first(self).increasing(|x| x.max(0.0)),
            "Exp" => first(self).increasing(f64::exp),
            "Sqrt" => first(self).increasing(|x| x.max(0.0).sqrt()),
            "Neg" => first(self).negated(),
            "Reciprocal" => Range { low: 1.0, high: 1.0 }.divided_by(first(self)),
            "Clip" => self.clipped(node, steps),
            "Concat" | "Max" | "Min" => union(&inputs(self)),
            "Where" => union(inputs(self).get(1..).unwrap_or_default()),
            "Mean" => union(&inputs(self)),
            "Sum" => inputs(self).into_iter().reduce(Range::plus).unwrap_or(ANY),
            "Div" if self.is_share(node, steps) => UNIT,
            "Add" | "Sub" | "Mul" | "Div" => {
                let &[a, b] = inputs(self).as_slice() else { return ANY };
                match node.op_type.as_str() {
                    "Add" => a.plus(b),
                    "Sub" => a.plus(b.negated()),
                    "Mul" => a.times(b),
                    _ => a.divided_by(b),
                }
            }
            operator if moves(operator) => first(self),
            _ => ANY,
        }
    }

    /// Whether a division is by the sum of what is divided, of which nothing is negative.
    fn is_share(&mut self, node: &'a NodeProto, steps: usize) -> bool {
        let [part, whole] = node.input.as_slice() else { return false };
        let sums = self.node(whole).is_some_and(|sum| sum.op_type == "ReduceSum" && sum.input.first() == Some(part));
        sums && self.range(part, steps).low >= 0.0
    }

    /// Bounds are attributes up to opset 10, inputs from 11 on.
    fn clipped(&mut self, node: &'a NodeProto, steps: usize) -> Range {
        let bound = |followed: &mut Self, name: &str, input: usize| {
            let given = node.input.get(input).filter(|input| !input.is_empty()).map(|input| followed.range(input, steps));
            given.or_else(|| attribute(node, name).map(|bound| Range { low: bound.f.into(), high: bound.f.into() })).unwrap_or(ANY)
        };
        let (low, high) = (bound(self, "min", 1).low, bound(self, "max", 2).high);
        node.input.first().map_or(ANY, |input| self.range(input, steps)).increasing(|x| x.max(low).min(high))
    }
}

/// Whether the values that an operator yields are among those of its first input, averages of them, or these quantised.
fn moves(operator: &str) -> bool {
    matches!(
        operator,
        "Identity"
            | "Reshape"
            | "Flatten"
            | "Squeeze"
            | "Unsqueeze"
            | "Cast"
            | "CastLike"
            | "Transpose"
            | "Dropout"
            | "Slice"
            | "Split"
            | "Gather"
            | "Expand"
            | "Tile"
            | "QuantizeLinear"
            | "DequantizeLinear"
            | FAKE_QUANTIZE
            | DYNAMIC_FAKE_QUANTIZE
            | "ReduceMax"
            | "ReduceMin"
            | "ReduceMean"
            | "MaxPool"
            | "GlobalMaxPool"
            | "GlobalAveragePool"
    )
}

impl Range {
    fn increasing(self, map: impl Fn(f64) -> f64) -> Self {
        Self { low: map(self.low), high: map(self.high) }
    }

    fn negated(self) -> Self {
        Self { low: -self.high, high: -self.low }
    }

    fn plus(self, other: Self) -> Self {
        Self { low: self.low + other.low, high: self.high + other.high }.known()
    }

    fn times(self, other: Self) -> Self {
        let products = [self.low * other.low, self.low * other.high, self.high * other.low, self.high * other.high];
        if products.iter().any(|product| product.is_nan()) {
            return ANY;
        }
        Self { low: products.iter().copied().fold(f64::INFINITY, f64::min), high: products.iter().copied().fold(f64::NEG_INFINITY, f64::max) }
    }

    /// Of divisors that are not negative alone.
    fn divided_by(self, other: Self) -> Self {
        if other.low >= 0.0 { self.times(Self { low: 1.0 / other.high, high: 1.0 / other.low }) } else { ANY }
    }

    /// Infinities of both signs may have met.
    fn known(self) -> Self {
        if self.low.is_nan() || self.high.is_nan() { ANY } else { self }
    }
}

fn union(ranges: &[Range]) -> Range {
    ranges.iter().copied().reduce(|a, b| Range { low: a.low.min(b.low), high: a.high.max(b.high) }).unwrap_or(ANY)
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// Of a `Constant` whose value is a plain number.
fn constant(node: &NodeProto) -> Range {
    let values = attribute(node, "value_floats").map(|attribute| attribute.floats.clone());
    let values = values.or_else(|| attribute(node, "value_float").map(|attribute| vec![attribute.f]));
    values.map_or(ANY, |values| spread(values.into_iter().map(f64::from)))
}

fn range_of_tensor(tensor: &TensorProto) -> Range {
    let floats = |bytes: &[u8]| spread(bytes.as_chunks::<4>().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))));
    let doubles = |bytes: &[u8]| spread(bytes.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)));
    match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float) if tensor.raw_data.is_empty() => spread(tensor.float_data.iter().copied().map(f64::from)),
        Ok(DataType::Float) => floats(&tensor.raw_data),
        Ok(DataType::Double) if tensor.raw_data.is_empty() => spread(tensor.double_data.iter().copied()),
        Ok(DataType::Double) => doubles(&tensor.raw_data),
        _ => ANY,
    }
}

fn spread(values: impl ExactSizeIterator<Item = f64>) -> Range {
    if !(1..=MOST_VALUES).contains(&values.len()) {
        return ANY;
    }
    values.fold(Range { low: f64::INFINITY, high: f64::NEG_INFINITY }, |range, value| {
        if value.is_nan() { ANY } else { Range { low: range.low.min(value), high: range.high.max(value) } }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A graph of nodes `output = operator(inputs)`, with constants that are called what they are.
    fn told(nodes: &[(&str, &str, &[&str])]) -> Ending {
        let mut graph = GraphProto::default();
        for (output, operator, inputs) in nodes {
            for input in inputs.iter().filter(|input| input.parse::<f32>().is_ok()) {
                let value = vec![input.parse().unwrap()];
                graph.initializer.push(TensorProto { name: (*input).to_owned(), data_type: 1, float_data: value, ..Default::default() });
            }
            graph.node.push(NodeProto {
                op_type: (*operator).to_owned(),
                input: inputs.iter().map(|input| (*input).to_owned()).collect(),
                output: vec![(*output).to_owned()],
                ..Default::default()
            });
        }
        ending(&graph, nodes.last().unwrap().0)
    }

    #[test]
    fn probabilities_are_told_however_they_are_written() {
        let sigmoid: &[(&str, &str, &[&str])] = &[("n", "Neg", &["x"]), ("e", "Exp", &["n"]), ("d", "Add", &["e", "1"]), ("p", "Div", &["1", "d"])];
        let graphs: &[&[(&str, &str, &[&str])]] = &[
            &[("p", "Softmax", &["x"])],
            &[("s", "Sigmoid", &["x"]), ("r", "Reshape", &["s", "shape"]), ("i", "Identity", &["r"]), ("p", "Squeeze", &["i"])],
            &[("s", "HardSigmoid", &["x"]), ("p", "Cast", &["s"])],
            &[("p", "Clip", &["x", "0", "1"])],
            &[("s", "Softmax", &["x"]), ("q", "QuantizeLinear", &["s", "0.004"]), ("p", "DequantizeLinear", &["q", "0.004"])],
            &[("s", "Sigmoid", &["x"]), ("o", "Sub", &["1", "s"]), ("p", "Concat", &["o", "s"])],
            &[("t", "Tanh", &["x"]), ("a", "Add", &["t", "1"]), ("p", "Mul", &["a", "0.5"])],
            &[("r", "Clip", &["x", "0", "6"]), ("p", "Div", &["r", "6"])],
            &[("e", "Exp", &["x"]), ("s", "ReduceSum", &["e"]), ("p", "Div", &["e", "s"])],
            &[("a", "Softmax", &["x"]), ("b", "Softmax", &["y"]), ("s", "Add", &["a", "b"]), ("p", "Mul", &["s", "0.5"])],
            sigmoid,
        ];
        for graph in graphs {
            assert_eq!(told(graph), Ending::Probabilities, "{graph:?}");
        }
    }

    #[test]
    fn logarithms_of_probabilities_are_told() {
        let graphs: &[&[(&str, &str, &[&str])]] = &[
            &[("l", "LogSoftmax", &["x"]), ("p", "Flatten", &["l"])],
            &[("s", "Sigmoid", &["x"]), ("p", "Log", &["s"])],
            &[("s", "Softmax", &["x"]), ("c", "Add", &["s", "0.0000001"]), ("p", "Log", &["c"])],
            &[("n", "Neg", &["x"]), ("s", "Softplus", &["n"]), ("p", "Neg", &["s"])],
        ];
        for graph in graphs {
            assert_eq!(told(graph), Ending::LogProbabilities, "{graph:?}");
        }
    }

    #[test]
    fn everything_else_is_scores() {
        let graphs: &[&[(&str, &str, &[&str])]] = &[
            &[("p", "Gemm", &["x", "w"])],
            &[("s", "Sigmoid", &["x"]), ("p", "Gemm", &["s", "w"])],
            &[("s", "Sigmoid", &["x"]), ("p", "Mul", &["s", "100"])],
            &[("p", "Clip", &["x", "0", "6"])],
            &[("s", "Sigmoid", &["x"]), ("p", "Concat", &["s", "x"])],
            &[("p", "Exp", &["x"])],
            &[("p", "Neg", &["x"])],
            &[("p", "Identity", &["p"])],
        ];
        for graph in graphs {
            assert_eq!(told(graph), Ending::Scores, "{graph:?}");
        }
    }
}
