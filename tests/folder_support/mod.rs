//! Model folders that live as long as a test.

use std::fs;
use std::path::{Path, PathBuf};

use senet::inference::LoadOptions;
use senet::model::{Location, Model, ModelError};

/// A model folder called `tiny` with the files given, `.onnx` ones being copies of a fixture.
pub(crate) struct Folder {
    parent: tempfile::TempDir,
}

impl Folder {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self { parent: tempfile::tempdir().unwrap() };
        fs::create_dir(folder.path()).unwrap();
        files.iter().for_each(|(name, content)| folder.add(name, content));
        folder
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> PathBuf {
        self.parent.path().join("tiny")
    }

    pub(crate) fn add(&self, name: &str, content: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match name.ends_with(".onnx") {
            true => drop(fs::copy(fixture(content), path).unwrap()),
            false => fs::write(path, content).unwrap(),
        }
    }

    pub(crate) fn load(&self) -> Result<Model, ModelError> {
        self.load_version(None)
    }

    pub(crate) fn load_version(&self, version: Option<u64>) -> Result<Model, ModelError> {
        self.load_with(version, LoadOptions::default())
    }

    pub(crate) fn load_with(&self, version: Option<u64>, options: LoadOptions) -> Result<Model, ModelError> {
        Model::load(&Location::Folder { path: self.path(), version }, options)
    }

    /// The sentence that loading ends with, the folder's own path left out.
    pub(crate) fn refusal(&self) -> String {
        let error = self.load().err().expect("the folder is refused").to_string();
        let real = self.path().canonicalize().unwrap();
        error.replace(&self.path().display().to_string(), "tiny").replace(&real.display().to_string(), "tiny")
    }
}

/// A file of `fixtures/models`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(name)
}

pub(crate) const ONNX: (&str, &str) = ("model.onnx", "one_block.onnx");
pub(crate) const LABELS: (&str, &str) = ("labels.txt", "a\nb\nc\nd\n");
