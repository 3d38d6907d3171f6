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
    names.extend(given(&function.output, &node.output).into_iter().filter(|(_, actual)| !actual.is_empty()));
    let attributes = node.attribute.iter().map(|attribute| (attribute.name.as_str(), attribute)).collect();
    let path = if node.name.is_empty() { node.output.first().map_or("", String::as_str) } else { &node.name };
    let mut body = Body { names, attributes, prefix: format!("{path}/{call}") };
    function.node.iter().map(|inner| body.node(inner)).collect()
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
