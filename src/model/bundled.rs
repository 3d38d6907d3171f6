//! The model that ships inside the program, so that it works from any folder and in an empty container.

use std::path::Path;

use super::error::ModelError;
use super::files::{Files, Labels};
use super::labels;
use super::neighbours::Neighbours;
use crate::toml_file;

/// What it is called.
pub(super) const NAME: &str = "cifar10_se_resnet";

const ONNX: &[u8] = include_bytes!("../../models/cifar10_se_resnet/model.onnx");
const MANIFEST: &str = include_str!("../../models/cifar10_se_resnet/model.toml");
const LABELS: &str = include_str!("../../models/cifar10_se_resnet/labels.txt");

/// Its files.
///
/// # Errors
/// [`ModelError::File`], if the program was built with a broken `model.toml`.
pub(super) fn files() -> Result<Files, ModelError> {
    let manifest_path = Path::new("bundled/model.toml");
    Ok(Files {
        name: NAME.to_owned(),
        version: None,
        manifest_path: manifest_path.to_owned(),
        manifest: toml_file::parse(manifest_path, MANIFEST)?,
        onnx_path: "bundled/model.onnx".into(),
        onnx: ONNX.into(),
        neighbours: Neighbours::default(),
        metadata: Default::default(),
        labels: vec![Labels { path: "bundled/labels.txt".into(), origin: "labels.txt".to_owned(), names: labels::parse_lines(LABELS) }],
        root: None,
    })
}
