//! The files of a model: finds and reads them, and lets none lie outside the model's folder.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::error::ModelError;
use super::labels;
use super::location::Location;
use super::manifest::Manifest;
use super::neighbours::Neighbours;
use super::{bundled, versions};
use crate::{bounded, toml_file};

/// What the files of one model say, read and not yet compared with the network.
pub(super) struct Files {
    /// Of the folder or the file.
    pub name: String,
    /// Of the version's folder, where there is one.
    pub version: Option<u64>,
    /// Where `model.toml` is or would be.
    pub manifest_path: PathBuf,
    /// Empty where there is no `model.toml`.
    pub manifest: Manifest,
    pub onnx_path: PathBuf,
    pub onnx: Cow<'static, [u8]>,
    /// What other programs have put beside the network.
    pub neighbours: Neighbours,
    /// What the ONNX file's exporter noted in it, by key; empty until it is parsed.
    pub metadata: BTreeMap<String, String>,
    /// Of the classes, the most trusted first.
    pub labels: Vec<Labels>,
    /// The folder that data outside the ONNX file must lie in; nothing where there is none.
    pub root: Option<PathBuf>,
}

/// Class names, and where they come from.
pub(super) struct Labels {
    pub path: PathBuf,
    /// For people, such as `config.json (id2label)`.
    pub origin: String,
    pub names: Vec<String>,
}

impl Files {
    /// Reads what lies at `location`.
    ///
    /// # Errors
    /// Every [`ModelError`] that can be told without loading the network.
    pub(super) fn read(location: &Location) -> Result<Self, ModelError> {
        match location {
            Location::Bundled => bundled::files(),
            Location::Folder { path, version } => read_folder(path, *version),
            Location::Onnx(path) => read_onnx(path),
        }
    }

    /// The file that the network calls `location` and keeps values in: a path from the folder of the network's own file.
    ///
    /// # Errors
    /// What was expected of `location`.
    pub(super) fn locate(&self, location: &str) -> Result<PathBuf, String> {
        let root = self.root.as_deref().ok_or("values inside the file")?;
        let folder = self.onnx_path.parent().unwrap_or(root);
        let is_plain = Path::new(location).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        let path = folder.join(location);
        if location.is_empty() || !is_plain {
            return Err("a path inside the model's folder, without \"..\"".to_owned());
        }
        if !path.is_file() {
            return Err("the name of a file in the model's folder".to_owned());
        }
        Inside { root, folder }.check(path).map_err(|error| match error {
            ModelError::Outside { target, folder, .. } => format!("a file inside {}, and it leads to {}", folder.display(), target.display()),
            other => other.to_string(),
        })
    }
}

fn read_onnx(path: &Path) -> Result<Files, ModelError> {
    Ok(Files {
        name: usable_name(path.file_stem().unwrap_or_default().to_string_lossy()),
        version: None,
        manifest_path: path.to_owned(),
        manifest: Manifest::default(),
        onnx: read_bytes(path)?.into(),
        onnx_path: path.to_owned(),
        neighbours: Neighbours::default(),
        metadata: BTreeMap::new(),
        labels: Vec::new(),
        root: Some(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()),
    })
}

fn read_folder(root: &Path, version: Option<u64>) -> Result<Files, ModelError> {
    let (folder, version) = versions::choose(root, version)?;
    let inside = Inside { root, folder: &folder };
    let manifest_path = folder.join("model.toml");
    let manifest: Manifest = inside.existing("model.toml")?.map(|path| toml_file::read(&path)).transpose()?.unwrap_or_default();
    let onnx_path = match &manifest.model.file {
        Some(file) => inside.named(&manifest_path, "model.file", file)?,
        None => inside.check(the_only_onnx(&folder)?)?,
    };
    let labels_path = match &manifest.output.labels {
        Some(file) => Some(inside.named(&manifest_path, "output.labels", file)?),
        None => inside.existing("labels.txt")?,
    };
    let mut neighbours = Neighbours::read(&inside)?;
    let mut labels: Vec<Labels> = labels_path.map(read_labels).transpose()?.into_iter().collect();
    labels.append(&mut neighbours.labels);
    Ok(Files {
        name: usable_name(absolute(root).file_name().unwrap_or_default().to_string_lossy()),
        version,
        onnx: read_bytes(&onnx_path)?.into(),
        onnx_path,
        manifest_path,
        manifest,
        neighbours,
        metadata: BTreeMap::new(),
        labels,
        root: Some(root.to_owned()),
    })
}

/// What the model at `location` will be called, as far as that can be told without reading it: by its `model.toml`, folder or file.
#[cfg(feature = "server")]
pub(super) fn name_of(location: &Location) -> String {
    match location {
        Location::Bundled => bundled::NAME.to_owned(),
        Location::Onnx(path) => usable_name(path.file_stem().unwrap_or_default().to_string_lossy()),
        Location::Folder { path, version } => {
            let manifest = versions::choose(path, *version).and_then(|(folder, _)| Ok(toml_file::read::<Manifest>(&folder.join("model.toml"))?));
            let given = manifest.ok().and_then(|manifest| manifest.model.name);
            given.unwrap_or_else(|| usable_name(absolute(path).file_name().unwrap_or_default().to_string_lossy()))
        }
    }
}

/// What lies in `folder`, all of which must lie in `root`, whatever symbolic links there are.
pub(super) struct Inside<'a> {
    root: &'a Path,
    folder: &'a Path,
}

impl Inside<'_> {
    /// The file that `key` of the manifest names.
    fn named(&self, manifest: &Path, key: &str, name: &str) -> Result<PathBuf, ModelError> {
        let plain = !name.is_empty() && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        let refuse = |expected: &str| {
            Err(ModelError::Value { file: manifest.to_owned(), key: key.to_owned(), value: format!("{name:?}"), expected: expected.to_owned() })
        };
        let path = self.folder.join(name);
        match plain {
            false => refuse("a path inside the model's folder, without \"..\""),
            true if !path.is_file() => refuse("the name of a file in the model's folder"),
            true => self.check(path),
        }
    }

    /// The file called `name`, if there is one.
    ///
    /// # Errors
    /// [`ModelError::Outside`].
    pub(super) fn existing(&self, name: &str) -> Result<Option<PathBuf>, ModelError> {
        Some(self.folder.join(name)).filter(|path| path.exists()).map(|path| self.check(path)).transpose()
    }

    fn check(&self, file: PathBuf) -> Result<PathBuf, ModelError> {
        let resolve = |path: &Path| path.canonicalize().map_err(|source| ModelError::Read { path: path.to_owned(), source });
        let (target, root) = (resolve(&file)?, resolve(self.root)?);
        if target.starts_with(&root) { Ok(file) } else { Err(ModelError::Outside { file, target, folder: root }) }
    }
}

fn the_only_onnx(folder: &Path) -> Result<PathBuf, ModelError> {
    let unreadable = |source| ModelError::Read { path: folder.to_owned(), source };
    let entries = fs::read_dir(folder).map_err(unreadable)?.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    let mut found: Vec<PathBuf> =
        entries.into_iter().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "onnx")).collect();
    found.sort();
    let refuse = |reason| Err(ModelError::Folder { folder: folder.to_owned(), reason });
    match &found[..] {
        [one] => Ok(one.clone()),
        [] => refuse("it holds no .onnx file, expected model.onnx".to_owned()),
        [first, second, ..] => {
            let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let (first, second) = (name(first), name(second));
            refuse(format!("it holds {first} and {second}, expected one .onnx file, or the one meant as model.file in model.toml"))
        }
    }
}

/// Protocol Buffers, which an ONNX file is made of, allow no larger message.
const MAX_ONNX_BYTES: u64 = i32::MAX as u64;

fn read_bytes(path: &Path) -> Result<Vec<u8>, ModelError> {
    bounded::read(path, MAX_ONNX_BYTES).map_err(|source| ModelError::Read { path: path.to_owned(), source })
}

fn read_labels(path: PathBuf) -> Result<Labels, ModelError> {
    let text = bounded::read_text(&path).map_err(|source| ModelError::Read { path: path.clone(), source })?;
    let origin = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Labels { path, origin, names: labels::parse_lines(&text) })
}

/// So that `.` has a name too.
fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// What a model in a folder or a file called `text` is called: that, unless there is nothing to call it by.
pub(super) fn usable_name(text: Cow<'_, str>) -> String {
    if text.is_empty() { "model".to_owned() } else { text.into_owned() }
}

/// Whether a `model.toml` may give a model this name: what a folder could be called, visible and without characters that nobody sees.
pub(super) fn is_a_name(name: &str) -> bool {
    (1..=255).contains(&name.len()) && !name.starts_with('.') && !name.contains(|c: char| c == '/' || c.is_control())
}
