//! Functions that a model brings along (`ModelProto.functions`) are put in the place of the nodes that call them.
//!
//! Values inside a function have names of their own; attributes that refer to those of the caller (`ref_attr_name`) take these (ONNX's specification,
//! "Functions"). The parser does not know the defaults that a function may have for them, so that a call must give every one.

use std::collections::HashMap;

use prost::Message as _;
use tract_onnx::pb::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto};

use super::nodes::{is_onnx, opset};
use crate::excerpt::excerpt;

/// Nodes that calls may become: as many as a file may have at all.
const MOST_NODES: usize = 1 << 16;
/// Of a function that cannot be replaced.
const ADVICE: &str = "replace the functions of the file by onnx.inliner.inline_local_functions of the onnx package";
/// Bytes of the nodes that calls become.
const MOST_BYTES: usize = 1 << 28;
/// Functions that call each other.
const MOST_DEPTH: usize = 16;

pub(super) fn inline(model: &mut ModelProto) -> Result<Vec<String>, String> {
    if model.functions.is_empty() {
        return Ok(vec![]);
    }
    let functions = std::mem::take(&mut model.functions);
    let opset = opset(model);
    if let Some(other) =
        functions.iter().find(|function| function.opset_import.iter().any(|import| is_onnx(&import.domain) && import.version != opset))
    {
        return Err(format!("function {:?} is of another opset than the file, {opset}; {ADVICE}", excerpt(other.name())));
    }
    let functions = functions.iter().map(|function| ((function.domain(), function.name()), function)).collect();
    let mut inliner = Inliner { functions, calls: 0, nodes: 0, bytes: 0 };
    if let Some(graph) = &mut model.graph {
        inliner.graph(graph, 0)?;
    }
    Ok(if inliner.calls > 0 { vec![format!("{} calls of functions of the file are replaced by what they do", inliner.calls)] } else { vec![] })
}

struct Inliner<'a> {
    functions: HashMap<(&'a str, &'a str), &'a FunctionProto>,
    calls: usize,
    nodes: usize,
    /// Of the bodies that took the place of calls, whose constants are copied each time.
    bytes: usize,
}

impl Inliner<'_> {
    fn graph(&mut self, graph: &mut GraphProto, depth: usize) -> Result<(), String> {
        graph.node = self.nodes(std::mem::take(&mut graph.node), depth)?;
        Ok(())
    }

    fn nodes(&mut self, nodes: Vec<NodeProto>, depth: usize) -> Result<Vec<NodeProto>, String> {
        let mut inlined = vec![];
        for mut node in nodes {
            if let Some(function) = self.functions.get(&(node.domain.as_str(), node.op_type.as_str())).copied() {
                if depth == MOST_DEPTH {
                    return Err(format!("function {:?} is called {MOST_DEPTH} calls deep, expected less", excerpt(&node.op_type)));
                }
                self.calls += 1;
                self.bytes = self.bytes.saturating_add(function.encoded_len());
                if self.bytes > MOST_BYTES {
                    return Err(format!("the calls of the file's functions make more than {MOST_BYTES} bytes; {ADVICE}"));
                }
                let body = call(function, &node, self.calls)?;
                inlined.extend(self.nodes(body, depth + 1)?);
            } else {
                for attribute in &mut node.attribute {
                    attribute.g.iter_mut().chain(&mut attribute.graphs).try_for_each(|inner| self.graph(inner, depth))?;
                }
                inlined.push(node);
                self.nodes += 1;
            }
            if self.nodes > MOST_NODES || self.calls > MOST_NODES {
                return Err(format!("the calls of the file's functions make more than {MOST_NODES} nodes"));
            }
        }
        Ok(inlined)
    }
}

/// The nodes of `function` for the inputs, outputs and attributes of `node`, its call number `call`.
fn call(function: &FunctionProto, node: &NodeProto, call: usize) -> Result<Vec<NodeProto>, String> {
    let given = |formal: &[String], actual: &[String]| {
        formal.iter().enumerate().map(|(at, name)| (name.clone(), actual.get(at).cloned().unwrap_or_default())).collect::<HashMap<_, _>>()
    };
    let mut names = given(&function.input, &node.input);
    let outputs = given(&function.output, &node.output).into_iter().filter(|(_, actual)| !actual.is_empty());
    // What is an input and an output as well is handed on.
    let (handed_on, made): (Vec<_>, Vec<_>) = outputs.partition(|(name, _)| names.contains_key(name));
    let handed_on: Vec<NodeProto> = handed_on.into_iter().map(|(name, output)| identity(names[&name].clone(), output)).collect();
    names.extend(made);
    let attributes = node.attribute.iter().map(|attribute| (attribute.name.as_str(), attribute)).collect();
    let path = if node.name.is_empty() { node.output.first().map_or("", String::as_str) } else { &node.name };
    let mut body = Body { names, attributes, prefix: format!("{path}/{call}") };
    function.node.iter().map(|inner| body.node(inner)).chain(handed_on.into_iter().map(Ok)).collect()
}

fn identity(input: String, output: String) -> NodeProto {
    NodeProto { op_type: "Identity".to_owned(), input: vec![input], output: vec![output], ..NodeProto::default() }
}

struct Body<'a> {
    /// What the names of values inside the function are outside.
    names: HashMap<String, String>,
    attributes: HashMap<&'a str, &'a AttributeProto>,
    prefix: String,
}

impl Body<'_> {
    fn node(&mut self, node: &NodeProto) -> Result<NodeProto, String> {
        let mut node = node.clone();
        node.input.iter_mut().for_each(|name| self.rename(name));
        node.output.iter_mut().for_each(|name| self.rename(name));
        if !node.name.is_empty() {
            node.name = format!("{}/{}", self.prefix, node.name);
        }
        node.attribute = node.attribute.iter().map(|attribute| self.attribute(attribute)).collect::<Result<_, _>>()?;
        Ok(node)
    }

    /// An empty name is a value that is left out.
    fn rename(&mut self, name: &mut String) {
        if !name.is_empty() {
            let renamed = self.names.entry(name.clone()).or_insert_with(|| format!("{}/{name}", self.prefix));
            name.clone_from(renamed);
        }
    }

    fn attribute(&mut self, attribute: &AttributeProto) -> Result<AttributeProto, String> {
        if !attribute.ref_attr_name.is_empty() {
            let name = attribute.ref_attr_name.as_str();
            let missing = || format!("a call of a function at {:?} does not give its attribute {:?}; {ADVICE}", excerpt(&self.prefix), excerpt(name));
            let actual = self.attributes.get(name).ok_or_else(missing)?;
            return Ok(AttributeProto { name: attribute.name.clone(), ..(*actual).clone() });
        }
        let mut attribute = attribute.clone();
        attribute.g.iter_mut().chain(&mut attribute.graphs).try_for_each(|graph| self.graph(graph))?;
        Ok(attribute)
    }

    /// Renames everything in a graph inside the function, whose own names are as good as the function's.
    fn graph(&mut self, graph: &mut GraphProto) -> Result<(), String> {
        let values = graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info).map(|value| &mut value.name);
        values.chain(graph.initializer.iter_mut().map(|tensor| &mut tensor.name)).for_each(|name| self.rename(name));
        graph.node = graph.node.iter().map(|node| self.node(node)).collect::<Result<_, _>>()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::{OperatorSetIdProto, ValueInfoProto};

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn node(op_type: &str, domain: &str, input: &[&str], output: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
        let (op_type, domain) = (op_type.to_owned(), domain.to_owned());
        NodeProto { op_type, domain, input: names(input), output: names(output), attribute, ..NodeProto::default() }
    }

    fn function(name: &str, input: &[&str], output: &[&str], node: Vec<NodeProto>) -> FunctionProto {
        let (name, domain) = (Some(name.to_owned()), Some("own".to_owned()));
        FunctionProto { name, domain, input: names(input), output: names(output), node, ..FunctionProto::default() }
    }

    fn int(name: &str, i: i64) -> AttributeProto {
        AttributeProto { name: name.to_owned(), i, ..AttributeProto::default() }
    }

    fn handed_on(name: &str, from: &str) -> AttributeProto {
        AttributeProto { name: name.to_owned(), ref_attr_name: from.to_owned(), ..AttributeProto::default() }
    }

    /// What is left of `nodes`: operators with what they read and yield.
    fn inlined(functions: Vec<FunctionProto>, nodes: Vec<NodeProto>) -> Result<Vec<String>, String> {
        let opset_import = vec![OperatorSetIdProto { version: 17, ..OperatorSetIdProto::default() }];
        let graph = Some(GraphProto { node: nodes, ..GraphProto::default() });
        let mut model = ModelProto { functions, opset_import, graph, ..ModelProto::default() };
        inline(&mut model)?;
        let shown = |node: NodeProto| {
            let attributes: Vec<String> = node.attribute.iter().map(|attribute| format!(" {}={}", attribute.name, attribute.i)).collect();
            format!("{}({}) -> {}{}", node.op_type, node.input.join(", "), node.output.join(", "), attributes.concat())
        };
        Ok(model.graph.unwrap().node.into_iter().map(shown).collect())
    }

    #[test]
    fn calls_get_values_of_their_own_and_attributes_are_handed_through_nested_ones() {
        let inner = function("Inner", &["a"], &["b"], vec![node("Softmax", "", &["a"], &["b"], vec![handed_on("axis", "along")])]);
        let body = vec![node("Relu", "", &["x"], &["t"], vec![]), node("Inner", "own", &["t"], &["y"], vec![handed_on("along", "axis")])];
        let outer = function("Outer", &["x"], &["y"], body);
        let calls = vec![node("Outer", "own", &["in"], &["p"], vec![int("axis", 1)]), node("Outer", "own", &["p"], &["q"], vec![int("axis", 2)])];
        let expected = ["Relu(in) -> p/1/t", "Softmax(p/1/t) -> p axis=1", "Relu(p) -> q/3/t", "Softmax(q/3/t) -> q axis=2"];
        assert_eq!(inlined(vec![inner, outer], calls).unwrap(), expected);
    }

    #[test]
    fn inputs_that_are_outputs_too_are_handed_on_and_left_out_ones_stay_out() {
        let body = vec![node("Clip", "", &["x", "low", "high"], &["y"], vec![])];
        let clip = function("Clip", &["x", "low", "high"], &["y", "x"], body);
        let calls = vec![node("Clip", "own", &["in", "", "one"], &["p", "same"], vec![]), node("Clip", "own", &["in"], &["q"], vec![])];
        assert_eq!(inlined(vec![clip], calls).unwrap(), ["Clip(in, , one) -> p", "Identity(in) -> same", "Clip(in, , ) -> q"]);
    }

    #[test]
    fn calls_in_the_branches_of_a_function_read_its_values() {
        let twice = function("Twice", &["v"], &["w"], vec![node("Add", "", &["v", "v"], &["w"], vec![])]);
        let output = vec![ValueInfoProto { name: "r".to_owned(), ..ValueInfoProto::default() }];
        let branch = GraphProto { node: vec![node("Twice", "own", &["x"], &["r"], vec![])], output, ..GraphProto::default() };
        let then_branch = AttributeProto { name: "then_branch".to_owned(), g: Some(branch), ..AttributeProto::default() };
        let outer = function("Outer", &["c", "x"], &["y"], vec![node("If", "", &["c"], &["y"], vec![then_branch])]);
        let mut model = ModelProto { functions: vec![twice, outer], ..ModelProto::default() };
        model.graph = Some(GraphProto { node: vec![node("Outer", "own", &["yes", "in"], &["out"], vec![])], ..GraphProto::default() });
        inline(&mut model).unwrap();
        let [node] = <[NodeProto; 1]>::try_from(model.graph.unwrap().node).unwrap();
        let branch = node.attribute[0].g.as_ref().unwrap();
        assert_eq!((node.input, &branch.node[0].op_type, &branch.node[0].input), (names(&["yes"]), &"Add".to_owned(), &names(&["in", "in"])));
        assert_eq!(branch.node[0].output[0], branch.output[0].name);
    }

    #[test]
    fn functions_that_call_themselves_or_lack_an_attribute_are_refused() {
        let endless = function("Endless", &["x"], &["y"], vec![node("Endless", "own", &["x"], &["y"], vec![])]);
        let said = inlined(vec![endless], vec![node("Endless", "own", &["in"], &["p"], vec![])]).unwrap_err();
        assert_eq!(said, "function \"Endless\" is called 16 calls deep, expected less");
        let lacking = function("Lacking", &["x"], &["y"], vec![node("Softmax", "", &["x"], &["y"], vec![handed_on("axis", "axis")])]);
        let said = inlined(vec![lacking], vec![node("Lacking", "own", &["in"], &["p"], vec![])]).unwrap_err();
        assert!(said.starts_with("a call of a function at \"p/1\" does not give its attribute \"axis\"; replace"), "{said}");
    }
}
