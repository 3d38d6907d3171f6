//! What is said of networks that cannot be read: the operator, the node, what is wrong and what would help.
//!
//! The networks are made by `fixtures/right-answers/refused/make.py`; beside them lies what is said.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use senet::inference::{EngineError, LoadOptions, TractEngine};

#[test]
fn what_is_wrong_with_a_network_is_said_of_the_node_and_in_one_sentence() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/right-answers/refused");
    let expected: BTreeMap<String, String> = serde_json::from_slice(&fs::read(folder.join("refused.json")).unwrap()).unwrap();
    let said = |name: &String| {
        let file = fs::read(folder.join(format!("{name}.onnx"))).unwrap();
        match TractEngine::load(file, LoadOptions::default()) {
            Err(EngineError::Import(reason)) => reason,
            other => panic!("{name}: {other:?}"),
        }
    };
    let actual: BTreeMap<String, String> = expected.keys().map(|name| (name.clone(), said(name))).collect();
    assert!(actual.len() > 10, "{} networks", actual.len());
    assert_eq!(actual, expected);
}
