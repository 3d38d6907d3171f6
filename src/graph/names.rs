//! Names of SE blocks from the names that exporters give to nodes and parameters.

use std::collections::{HashMap, HashSet};

/// The parameters of every node of an ONNX file, by the node's name.
#[derive(Debug, Clone, Default)]
pub struct ParameterNames(HashMap<String, Vec<String>>);

impl ParameterNames {
    /// Of pairs of a node's name and the names of its parameters.
    pub fn new(nodes: impl IntoIterator<Item = (String, Vec<String>)>) -> Self {
        Self(nodes.into_iter().collect())
    }

    /// The parameters of the ONNX node that became a tract node called `node`: tract appends `.einsum` and the like.
    fn of(&self, node: &str) -> &[String] {
        let mut name = node;
        loop {
            match (self.0.get(name), name.rsplit_once('.')) {
                (Some(parameters), _) => return parameters,
                (None, Some((shorter, _))) => name = shorter,
                (None, None) => return &[],
            }
        }
    }
}

/// The name of a block: the module path that its `nodes` share or, where the exporter numbers the nodes, the path that the parameters of its
/// `layers` share. `None` where neither carries a path.
pub(super) fn block_name(nodes: &[&str], layers: &[&str], parameters: &ParameterNames) -> Option<String> {
    module_path(nodes).or_else(|| {
        let names: Vec<&str> = layers.iter().flat_map(|layer| parameters.of(layer)).map(String::as_str).collect();
        module_path(&names)
    })
}

/// `name`, or the first of `name_2`, `name_3` … that is not in `taken`.
pub(super) fn unique(name: String, taken: &mut HashSet<String>) -> String {
    let mut candidate = name.clone();
    for n in 2.. {
        if taken.insert(candidate.clone()) {
            break;
        }
        candidate = format!("{name}_{n}");
    }
    candidate
}

/// The components that all names begin with, the last component of every name apart, which is the node itself.
fn module_path(names: &[&str]) -> Option<String> {
    let mut paths = names.iter().map(|name| components(name));
    let first = paths.next().filter(|_| names.len() > 1)?;
    let common = paths.fold(first.len().saturating_sub(1), |common, path| {
        let shared = first.iter().zip(&path).take_while(|(a, b)| a == b).count();
        common.min(shared).min(path.len().saturating_sub(1))
    });
    (common > 0).then(|| join(&first[..common]))
}

/// TorchScript's names are paths, `/layer1/layer1.0/se/fc1/Conv`; others are dotted, `layer1.0.se.fc1.Conv`.
fn components(name: &str) -> Vec<&str> {
    let separator = if name.contains('/') { '/' } else { '.' };
    name.split(separator).filter(|part| !part.is_empty()).collect()
}

/// The dotted path; a component that repeats the one before it, as in `layer1/layer1.0`, stands for both.
fn join(components: &[&str]) -> String {
    let mut path: Vec<&str> = vec![];
    for component in components {
        let repeats = path.last().is_some_and(|last| component.strip_prefix(last).is_some_and(|rest| rest.starts_with('.')));
        if repeats {
            path.pop();
        }
        path.push(component);
    }
    path.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(nodes: [&str; 4]) -> Option<String> {
        block_name(&nodes, &nodes[2..], &ParameterNames::default())
    }

    #[test]
    fn takes_the_path_that_torchscript_names_share() {
        let of = |m: &str| ["ReduceMean.norm", "gate/Sigmoid", "fc1/Conv.einsum", "fc2/Conv.einsum"].map(|n| format!("{m}/{n}"));
        let named = |m: &str| name(of(m).each_ref().map(String::as_str));
        assert_eq!(named("/layer1/layer1.0/se").as_deref(), Some("layer1.0.se"));
        assert_eq!(named("/features/features.4/block/block.1").as_deref(), Some("features.4.block.1"));
        assert_eq!(named("/blocks/blocks.1/blocks.1.0/se").as_deref(), Some("blocks.1.0.se"));
    }

    #[test]
    fn takes_the_path_that_dotted_names_share() {
        let nodes = ["layer1.0.se.ReduceMean.norm", "layer1.0.se.Sigmoid", "layer1.0.se.fc1.Conv.einsum", "layer1.0.se.fc2.Conv.einsum"];
        assert_eq!(name(nodes).as_deref(), Some("layer1.0.se"));
    }

    #[test]
    fn falls_back_on_the_parameters_of_numbered_nodes() {
        let parameters = ParameterNames::new([
            ("node_conv2d_3".to_owned(), vec!["layer1.0.se.fc1.weight".to_owned(), "layer1.0.se.fc1.bias".to_owned()]),
            ("node_conv2d_4".to_owned(), vec!["layer1.0.se.fc2.weight".to_owned(), "layer1.0.se.fc2.bias".to_owned()]),
        ]);
        let nodes = ["node_mean.norm", "node_sigmoid", "node_conv2d_3.einsum", "node_conv2d_4"];
        assert_eq!(block_name(&nodes, &nodes[2..], &parameters).as_deref(), Some("layer1.0.se"));
    }

    #[test]
    fn finds_no_path_where_there_is_none() {
        assert_eq!(name(["n5_GlobalAveragePool.norm", "n9_HardSigmoid", "n6_Conv.einsum", "n8_Conv.einsum"]), None);
        assert_eq!(name(["/ReduceMean.norm", "/Sigmoid", "/fc1/Conv.einsum", "/fc2/Conv.einsum"]), None);
        assert_eq!(name(["Conv", "Conv", "Conv", "Conv"]), None);
    }

    #[test]
    fn keeps_names_apart() {
        let mut taken = HashSet::new();
        let names = ["se", "se", "se_2", "se"].map(|n| unique(n.to_owned(), &mut taken));
        assert_eq!(names, ["se", "se_2", "se_2_2", "se_3"]);
    }
}
