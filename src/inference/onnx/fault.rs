//! What a person reads where tract cannot take a graph: the operator and the node of the file, what is wrong, and what would help.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;

use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::{DimFact, Factoid};

use super::datatype;
use crate::excerpt::{MAX_CHARS, cut, excerpt};
use crate::graph::Refusal;
use crate::inference::guard::in_one_line;
use crate::kernels::maps::SizeError;

/// What helps where only tract knows what is wrong.
const ADVICE: &str = "check the file with onnx.checker.check_model(path, full_check=True); if that finds nothing, export the network with opset 17, or \
                      simplify the file with onnxsim";
/// Inputs of a node that are described.
const MOST_INPUTS: usize = 4;
/// Sizes of an input that are described.
const MOST_SIZES: usize = 8;
/// Characters of a reason in tract's words; of longer ones nobody can make anything.
const MOST_WORDS: usize = 120;

/// The node that was looked at when something failed.
#[derive(Debug)]
pub(in crate::inference) struct AtNode {
    name: String,
    /// For people: types and shapes, as far as they are known.
    inputs: String,
}

impl AtNode {
    pub(in crate::inference) fn new(name: &str, inputs: &[&InferenceFact]) -> Self {
        let mut shown: Vec<String> = inputs.iter().take(MOST_INPUTS).map(|fact| describe(fact)).collect();
        if inputs.len() > MOST_INPUTS {
            shown.push(format!("{} more", inputs.len() - MOST_INPUTS));
        }
        let last = shown.pop();
        let inputs = if shown.is_empty() { last.unwrap_or_default() } else { format!("{} and {}", shown.join(", "), last.unwrap_or_default()) };
        Self { name: name.to_owned(), inputs }
    }
}

impl fmt::Display for AtNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {:?}", excerpt(&self.name))
    }
}

/// `FP32 [1, 3, ?, ?]`
fn describe(fact: &InferenceFact) -> String {
    let size =
        |dim: DimFact| dim.concretize().map_or_else(|| "?".to_owned(), |size| size.to_i64().map_or_else(|_| "?".to_owned(), |size| size.to_string()));
    let mut sizes: Vec<String> = fact.shape.dims().take(MOST_SIZES).cloned().map(size).collect();
    if fact.shape.is_open() || fact.shape.dims().count() > MOST_SIZES {
        sizes.push("…".to_owned());
    }
    let datum_type = fact.datum_type.concretize().map(name_of_type).filter(|name| !name.is_empty());
    format!("{}[{}]", datum_type.map(|name| format!("{name} ")).unwrap_or_default(), sizes.join(", "))
}

pub(in crate::inference) fn name_of_type(datum_type: DatumType) -> &'static str {
    let onnx = match datum_type {
        DatumType::F32 => 1,
        DatumType::U8 => 2,
        DatumType::I8 => 3,
        DatumType::U16 => 4,
        DatumType::I16 => 5,
        DatumType::I32 => 6,
        DatumType::I64 | DatumType::TDim => 7,
        DatumType::String => 8,
        DatumType::Bool => 9,
        DatumType::F16 => 10,
        DatumType::F64 => 11,
        _ => 0,
    };
    datatype(onnx)
}

/// What the documentation of a node begins with that stands in the place of another, which it describes.
const MADE_OF: &str = "senet: ";

/// The documentation of a node in the place of `node`.
pub(super) fn made_of(node: &NodeProto) -> String {
    format!("{MADE_OF}{}", described(node))
}

/// Forgets what a file itself says of its nodes, which nobody reads: what [`made_of`] puts there is believed.
pub(super) fn forget_documentation(model: &mut ModelProto) {
    model.graph.iter_mut().for_each(|graph| forget(&mut graph.node));
    model.functions.iter_mut().for_each(|function| forget(&mut function.node));
}

/// Of nodes, and of those in the graphs inside them.
fn forget(nodes: &mut [NodeProto]) {
    for node in nodes {
        node.doc_string.clear();
        let inner = node.attribute.iter_mut().flat_map(|attribute| attribute.g.iter_mut().chain(&mut attribute.graphs));
        inner.for_each(|graph| forget(&mut graph.node));
    }
}

/// `operator Conv (node "conv1")`
pub(super) fn described(node: &NodeProto) -> String {
    if let Some(origin) = node.doc_string.strip_prefix(MADE_OF) {
        return cut(origin, 2 * MAX_CHARS + 20);
    }
    let name = if node.name.is_empty() { node.output.first().map_or("", String::as_str) } else { &node.name };
    format!("operator {} (node {:?})", excerpt(&node.op_type), excerpt(name))
}

/// Why tract could not take `graph`, in a sentence.
pub(super) fn explain(graph: Option<&GraphProto>, error: &TractError) -> String {
    let mut nodes = HashMap::new();
    graph.iter().for_each(|graph| collect(graph, &mut nodes));
    let at = error.downcast_ref::<AtNode>();
    let is_ours = |cause: &&(dyn Error + 'static)| cause.is::<Refusal>() || cause.is::<SizeError>();
    let node = match at {
        Some(at) => find(&at.name, &nodes),
        None => error.chain().filter(|cause| !is_ours(cause)).find_map(|cause| names_in(&cause.to_string()).find_map(|name| find(name, &nodes))),
    };
    if let Some(words) = error.chain().find(is_ours).map(|cause| in_one_line(&cause.to_string())) {
        return node.map_or_else(|| words.clone(), |node| format!("{}: {words}", described(node)));
    }
    let place = node.map_or_else(|| "the graph".to_owned(), described);
    let words = plain(&error.root_cause().to_string()).map(|words| format!(" ({words})")).unwrap_or_default();
    match at.filter(|at| !at.inputs.is_empty()) {
        Some(AtNode { inputs, .. }) => format!("{place} does not fit its inputs, {inputs}{words}; {ADVICE}"),
        None => format!("{place} cannot be read{words}; {ADVICE}"),
    }
}

/// Nodes by their names, and by those of their outputs, which they have where they have no other.
fn collect<'a>(graph: &'a GraphProto, nodes: &mut HashMap<&'a str, &'a NodeProto>) {
    for node in &graph.node {
        node.output.iter().chain([&node.name]).filter(|name| !name.is_empty()).for_each(|name| _ = nodes.insert(name, node));
        node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs)).for_each(|inner| collect(inner, nodes));
    }
}

/// tract calls what it makes of a node by the node's name and more behind a point.
fn find<'a>(mut name: &str, nodes: &HashMap<&'a str, &'a NodeProto>) -> Option<&'a NodeProto> {
    loop {
        match nodes.get(name) {
            Some(node) => return Some(node),
            None => name = name.rsplit_once('.')?.0,
        }
    }
}

/// What may be the name of a node in words of tract: `#5 "name" Conv`, `Building node name (Conv)`.
fn names_in(text: &str) -> impl Iterator<Item = &str> {
    let before_operator = text.split_once("ode ").and_then(|(_, rest)| rest.rsplit_once(" (")).map(|(name, _)| name);
    text.split('"').skip(1).step_by(2).chain(before_operator)
}

/// tract's words, said to be such or translated; none where they show its own structures.
fn plain(words: &str) -> Option<String> {
    let words = words.trim_end_matches('.');
    let is_plain = words.chars().count() <= MOST_WORDS && !words.contains(|char: char| char == '{' || char.is_control());
    let values = words.strip_prefix("Impossible to unify ").and_then(|values| values.split_once(" with "));
    let number = |value: &str| value.strip_prefix("Val(").and_then(|value| value.strip_suffix(')')).unwrap_or(value).to_owned();
    is_plain.then(|| values.map_or_else(|| format!("tract: {words}"), |(a, b)| format!("{} is not {}", number(a), number(b))))
}

#[cfg(test)]
mod tests {
    use tract_onnx::tract_core::internal::*;
    use tract_onnx::tract_hir::infer::ShapeFactoid;

    use super::*;

    fn graph() -> GraphProto {
        let node = |op_type: &str, name: &str, output: &str| NodeProto {
            op_type: op_type.to_owned(),
            name: name.to_owned(),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        };
        GraphProto { node: vec![node("Conv", "stem.conv", "c"), node("Relu", "", "r.0")], ..GraphProto::default() }
    }

    #[test]
    fn the_node_of_the_file_is_named_and_what_would_help() {
        let said = |error: TractError| explain(Some(&graph()), &error);
        assert_eq!(
            said(anyhow!("odd").context("Failed analyse for node #5 \"stem.conv.bias.reshape\" Reshape")),
            format!("operator Conv (node \"stem.conv\") cannot be read (tract: odd); {ADVICE}")
        );
        assert_eq!(said(anyhow!("odd\nlines").context("#1 \"r.0\"")), format!("operator Relu (node \"r.0\") cannot be read; {ADVICE}"));
        assert_eq!(said(anyhow!("odd \u{1b}[31m")), format!("the graph cannot be read; {ADVICE}"));
        assert_eq!(said(anyhow!(Refusal("its mode is \t".to_owned()))), "its mode is  ");
        assert!(
            said(anyhow!("odd").context("Building node stem.conv (Conv)"))
                .starts_with("operator Conv (node \"stem.conv\") cannot be read (tract: odd); ")
        );
        assert_eq!(said(anyhow!("Wire {{ id: 3 }}")), format!("the graph cannot be read; {ADVICE}"));
    }

    #[test]
    fn a_node_that_takes_the_place_of_another_is_called_as_that_is() {
        let [conv, relu] = <[NodeProto; 2]>::try_from(graph().node).unwrap();
        assert_eq!(described(&NodeProto { doc_string: made_of(&relu), ..conv }), "operator Relu (node \"r.0\")");
    }

    #[test]
    fn inputs_that_do_not_fit_are_described_and_reasons_of_ours_are_whole() {
        let said = |error: TractError| explain(Some(&graph()), &error);
        let (map, weights) = (
            f32::fact([1, 3, 9, 10]).into(),
            InferenceFact::dt_shape(u8::datum_type(), ShapeFactoid::open(tvec!(TDim::from(8).into(), DimFact::default()))),
        );
        let at = || AtNode::new("stem.conv", &[&map, &weights]);
        assert_eq!(
            said(anyhow!("Impossible to unify Val(3) with Val(4)").context(at())),
            format!("operator Conv (node \"stem.conv\") does not fit its inputs, FP32 [1, 3, 9, 10] and UINT8 [8, ?, …] (3 is not 4); {ADVICE}")
        );
        assert_eq!(said(anyhow!(Refusal("it is too large".to_owned())).context(at())), "operator Conv (node \"stem.conv\"): it is too large");
        assert_eq!(AtNode::new("", &[&map; 6]).inputs.matches("FP32").count(), MOST_INPUTS);
        assert_eq!(describe(&f32::fact([1; 100]).into()), "FP32 [1, 1, 1, 1, 1, 1, 1, 1, …]");
    }
}
