//! Outputs that are made of the scores, such as the best class or the five best: the scores themselves take their place.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{GraphProto, NodeProto, ValueInfoProto};

use crate::inference::shown;

/// Operators followed from an output back.
const MOST_STEPS: usize = 64;

/// What yields each value.
type Makers<'a> = HashMap<&'a str, &'a NodeProto>;

/// Puts scores in the place of every output that is a choice of them; returns a sentence for each.
pub(super) fn unrank(graph: &mut GraphProto) -> Vec<String> {
    let mut notes = vec![];
    let makers: Makers = graph.node.iter().flat_map(|node| node.output.iter().map(move |output| (output.as_str(), node))).collect();
    let parameters: HashSet<&str> = graph.initializer.iter().map(|parameter| parameter.name.as_str()).collect();
    let (mut outputs, mut names) = (vec![], HashSet::new());
    for output in &graph.output {
        let output = match scores_of(&makers, &parameters, &output.name) {
            Some(scores) => {
                notes.push(format!("output {} is made of {}, which is taken instead", shown(&output.name), shown(scores)));
                ValueInfoProto { name: scores.to_owned(), ..ValueInfoProto::default() }
            }
            None => output.clone(),
        };
        if names.insert(output.name.clone()) {
            outputs.push(output);
        }
    }
    // An output that was there already says more of itself.
    let declared: HashMap<&str, &ValueInfoProto> = graph.output.iter().map(|output| (output.name.as_str(), output)).collect();
    graph.output = outputs.into_iter().map(|output| declared.get(output.name.as_str()).map_or(output, |known| (*known).clone())).collect();
    notes
}

/// The scores that `output` is chosen from, if it is the best of them, or their classes or names.
fn scores_of<'a>(makers: &Makers<'a>, parameters: &HashSet<&str>, output: &'a str) -> Option<&'a str> {
    let mut value = output;
    for _ in 0..MOST_STEPS {
        let node = makers.get(value)?;
        value = match node.op_type.as_str() {
            "TopK" | "ArgMax" | "Hardmax" | "ZipMap" => return node.input.first().map(String::as_str),
            _ => looked_through(parameters, node)?,
        };
    }
    None
}

/// The input whose values `node` moves, casts or takes for numbers of names.
fn looked_through<'a>(parameters: &HashSet<&str>, node: &'a NodeProto) -> Option<&'a str> {
    let at = match node.op_type.as_str() {
        "Identity" | "Cast" | "Squeeze" | "Unsqueeze" | "Reshape" | "Flatten" | "LabelEncoder" => 0,
        "Gather" | "ArrayFeatureExtractor" if node.input.first().is_some_and(|values| parameters.contains(values.as_str())) => 1,
        _ => return None,
    };
    node.input.get(at).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::TensorProto;

    use super::*;

    fn node(operator: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        NodeProto { op_type: operator.to_owned(), input: names(inputs), output: names(outputs), ..Default::default() }
    }

    #[test]
    fn what_is_chosen_from_scores_gives_way_to_them() {
        let mut graph = GraphProto {
            node: vec![
                node("Gemm", &["x", "w"], &["scores"]),
                node("TopK", &["scores", "k"], &["values", "indices"]),
                node("ArgMax", &["scores"], &["best"]),
                node("Squeeze", &["best"], &["one"]),
                node("Gather", &["names", "one"], &["name"]),
                node("Gather", &["scores", "w"], &["part"]),
            ],
            output: ["values", "name", "part", "scores"]
                .map(|name| ValueInfoProto { name: name.to_owned(), doc_string: "declared".to_owned(), ..Default::default() })
                .to_vec(),
            initializer: vec![TensorProto { name: "names".to_owned(), ..Default::default() }],
            ..Default::default()
        };
        let notes = unrank(&mut graph);
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert_eq!(notes[0], r#"output "values" is made of "scores", which is taken instead"#);
        let names: Vec<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
        assert_eq!(names, ["scores", "part"]);
        assert_eq!(graph.output[0].doc_string, "declared", "as the file declares it");
    }
}
