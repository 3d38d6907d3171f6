//! The part of a graph that one output needs: what nothing reads is neither imported nor run.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{GraphProto, NodeProto};

/// Leaves the output called `name`, which is one of several or the only one, and what it needs. Returns the names of the inputs that are left out.
pub(super) fn keep(graph: &mut GraphProto, name: &str) -> Vec<String> {
    graph.output.retain(|output| output.name == name);
    graph.output.truncate(1);
    let needed = needed(graph, name);
    graph.node.retain(|node| node.output.iter().any(|output| needed.contains(output)));
    let parameters: HashSet<String> = graph.initializer.iter().map(|parameter| parameter.name.clone()).collect();
    graph.initializer.retain(|parameter| needed.contains(&parameter.name));
    graph.sparse_initializer.retain(|parameter| parameter.values.as_ref().is_none_or(|values| needed.contains(&values.name)));
    let (kept, left): (Vec<_>, Vec<_>) = std::mem::take(&mut graph.input).into_iter().partition(|input| needed.contains(&input.name));
    graph.input = kept;
    left.into_iter().map(|input| input.name).filter(|input| !parameters.contains(input)).collect()
}

/// The names of all values that `output` comes from, itself included.
fn needed(graph: &GraphProto, output: &str) -> HashSet<String> {
    let mut makers: HashMap<&str, Vec<&NodeProto>> = HashMap::new();
    for node in &graph.node {
        node.output.iter().for_each(|output| makers.entry(output).or_default().push(node));
    }
    let (mut needed, mut open) = (HashSet::new(), vec![output]);
    while let Some(value) = open.pop() {
        if needed.insert(value.to_owned()) {
            makers.get(value).into_iter().flatten().for_each(|node| read_by(node, &mut open));
        }
    }
    needed
}

/// Values that a node reads, those of the graphs inside it included, which see the values around them.
fn read_by<'a>(node: &'a NodeProto, values: &mut Vec<&'a str>) {
    values.extend(node.input.iter().map(String::as_str).filter(|input| !input.is_empty()));
    let inner = node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs));
    for graph in inner {
        graph.node.iter().for_each(|node| read_by(node, values));
        values.extend(graph.output.iter().map(|output| output.name.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::{AttributeProto, TensorProto, ValueInfoProto};

    use super::*;

    fn node(output: &str, inputs: &[&str]) -> NodeProto {
        NodeProto { output: vec![output.to_owned()], input: inputs.iter().map(|input| (*input).to_owned()).collect(), ..Default::default() }
    }

    #[test]
    fn what_the_output_does_not_need_goes() {
        let value = |name: &str| ValueInfoProto { name: name.to_owned(), ..Default::default() };
        let parameter = |name: &str| TensorProto { name: name.to_owned(), ..Default::default() };
        let inner = GraphProto { node: vec![node("inner", &["c"])], output: vec![value("inner")], ..Default::default() };
        let branch = AttributeProto { g: Some(inner), ..Default::default() };
        let mut graph = GraphProto {
            input: ["x", "y", "w", "v"].map(value).to_vec(),
            output: ["logits", "other"].map(value).to_vec(),
            node: vec![
                node("a", &["x", "w"]),
                node("b", &["a", "v"]),
                node("c", &["x"]),
                NodeProto { attribute: vec![branch], ..node("logits", &["a", ""]) },
                node("other", &["b", "y"]),
            ],
            initializer: ["w", "v"].map(parameter).to_vec(),
            ..Default::default()
        };
        assert_eq!(keep(&mut graph, "logits"), ["y"]);
        let names: Vec<&str> = graph.node.iter().map(|node| node.output[0].as_str()).collect();
        assert_eq!(names, ["a", "c", "logits"]);
        assert_eq!((graph.input.len(), graph.output.len(), graph.initializer.len()), (2, 1, 1));
    }
}
