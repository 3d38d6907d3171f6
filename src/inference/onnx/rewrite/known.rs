//! Whether every operator of a file is one that the engine has.

use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};

use super::nodes::is_onnx;
use crate::excerpt::excerpt;
use crate::inference::onnx::fault::described;
use crate::inference::onnx::operators::{PRIVATE, importer};

/// Opsets of ONNX's own operators that the importer was written for; later ones may mean something else by the same names.
const LAST_OPSET: i64 = 26;

/// Operators of ONNX Runtime's own domain that are what ONNX has by the same name, or that the engine has.
const OF_ONNX_RUNTIME: [&str; 16] = [
    "BiasGelu",
    "DequantizeLinear",
    "DynamicQuantizeMatMul",
    "FastGelu",
    "GatherBlockQuantized",
    "GatherND",
    "Gelu",
    "GroupQueryAttention",
    "MatMulIntegerToFloat",
    "MatMulNBits",
    "MultiHeadAttention",
    "QGemm",
    "QuantizeLinear",
    "QuickGelu",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
];

/// Whether the name of every operator means what it does in ONNX; changes nothing. Behind this nobody has to look at domains.
pub(super) fn check_domains(model: &mut ModelProto) -> Result<Vec<String>, String> {
    let is_known = |node: &NodeProto| {
        let means_the_same = match node.domain.as_str() {
            "ai.onnx.ml" => true,
            "com.microsoft" => OF_ONNX_RUNTIME.contains(&node.op_type.as_str()) || node.op_type.starts_with("QLinear"),
            domain => is_onnx(domain),
        };
        means_the_same && !node.op_type.starts_with(PRIVATE)
    };
    model.graph.iter().try_for_each(|graph| check_graph(graph, &is_known))?;
    Ok(vec![])
}

/// Changes nothing.
pub(super) fn check(model: &mut ModelProto) -> Result<Vec<String>, String> {
    let opset = super::nodes::opset(model);
    if opset > LAST_OPSET {
        return Err(format!("the file is of opset {opset}, expected at most {LAST_OPSET}; export it with an earlier one, 17 for instance"));
    }
    let operators = importer().op_register.0;
    model.graph.iter().try_for_each(|graph| check_graph(graph, &|node| operators.contains_key(&node.op_type)))?;
    Ok(vec![])
}

fn check_graph(graph: &GraphProto, is_known: &impl Fn(&NodeProto) -> bool) -> Result<(), String> {
    for node in &graph.node {
        if !is_known(node) {
            return Err(unknown(node));
        }
        let inner = node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs));
        inner.into_iter().try_for_each(|graph| check_graph(graph, is_known))?;
    }
    Ok(())
}

fn unknown(node: &NodeProto) -> String {
    let node_of_file = described(node);
    match node.domain.as_str() {
        domain if is_onnx(domain) => format!("{node_of_file} is not known; export the network without it"),
        "com.microsoft" => format!(
            "{node_of_file} is one of ONNX Runtime's own and not known; take the file as it was before ONNX Runtime optimised it, or export it anew"
        ),
        domain => {
            format!("{node_of_file} is of domain {:?} and not known; export the network with ONNX's own operators", excerpt(domain))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_operator_is_named_with_its_domain_and_what_would_help() {
        let node = |op_type: &str, domain: &str| NodeProto {
            op_type: op_type.to_owned(),
            domain: domain.to_owned(),
            output: vec!["y".to_owned()],
            ..NodeProto::default()
        };
        let said = |op_type: &str, domain: &str| {
            let graph = GraphProto { node: vec![node(op_type, domain)], ..GraphProto::default() };
            check(&mut ModelProto { graph: Some(graph), ..ModelProto::default() })
        };
        assert!(said("Relu", "").is_ok());
        let by_domain = |op_type: &str, domain: &str| {
            let graph = GraphProto { node: vec![node(op_type, domain)], ..GraphProto::default() };
            check_domains(&mut ModelProto { graph: Some(graph), ..ModelProto::default() })
        };
        for (op_type, domain) in
            [("Relu", ""), ("Relu", "ai.onnx"), ("Gelu", "com.microsoft"), ("QLinearAdd", "com.microsoft"), ("ZipMap", "ai.onnx.ml")]
        {
            assert!(by_domain(op_type, domain).is_ok(), "{op_type} of {domain:?}");
        }
        for (op_type, domain) in [("Relu", "com.example"), ("Attention", "com.microsoft"), ("senet.FakeQuantize", ""), ("senet.Crop", "com.example")]
        {
            assert!(by_domain(op_type, domain).unwrap_err().contains("not known"), "{op_type} of {domain:?}");
        }
        assert_eq!(said("CenterCropPad", "").unwrap_err(), "operator CenterCropPad (node \"y\") is not known; export the network without it");
        let foreign = said("Fancy", "com.example").unwrap_err();
        assert_eq!(foreign, "operator Fancy (node \"y\") is of domain \"com.example\" and not known; export the network with ONNX's own operators");
        assert!(said("NhwcConv", "com.microsoft").unwrap_err().contains("as it was before ONNX Runtime optimised it"));
    }
}
