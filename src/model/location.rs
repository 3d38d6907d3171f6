//! Where a model lies: what people write for a model, turned into a folder, a file or the bundled one.

use std::path::{Path, PathBuf};
use std::{fmt, fs};

use super::bundled;
use super::error::ModelError;

/// Where a model lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// Inside this program.
    Bundled,
    /// A folder with `model.onnx`, `model.toml` and `labels.txt`, or with such folders named by version.
    Folder {
        /// The folder.
        path: PathBuf,
        /// Which of its versions; the highest where nothing was asked for.
        version: Option<u64>,
    },
    /// An ONNX file alone.
    Onnx(PathBuf),
}

impl Location {
    /// Finds what `reference` means: an `.onnx` file, a folder, the name of a folder in `models`, or the name of the bundled model.
    ///
    /// A reference with a `/`, or that ends in `.onnx`, is always a path; any other is looked up by name first. `@` and an integer after a
    /// folder or a name ask for that version, unless that is how a folder is called.
    ///
    /// # Errors
    /// [`ModelError::NotFound`], naming what there is.
    pub fn find(reference: &str, models: Option<&Path>) -> Result<Self, ModelError> {
        if reference.ends_with(".onnx") && Path::new(reference).is_file() {
            return Ok(Self::Onnx(PathBuf::from(reference)));
        }
        let (name, version) = split_version(reference);
        for (name, version) in [(reference, None), (name, version)] {
            let is_name = !name.contains('/') && !matches!(name, "" | "." | "..");
            if let Some(path) = models.map(|models| models.join(name)).filter(|path| is_name && path.is_dir()) {
                return Ok(Self::Folder { path, version });
            }
        }
        if name == bundled::NAME && version.is_none() {
            return Ok(Self::Bundled);
        }
        // A folder may have an `@` in its own name.
        for (path, version) in [(reference, None), (name, version)] {
            if Path::new(path).is_dir() {
                return Ok(Self::Folder { path: PathBuf::from(path), version });
            }
        }
        Err(ModelError::NotFound { reference: reference.to_owned(), known: known_names(models) })
    }

    /// Every folder in `models`, by name; hidden ones and `lost+found` are not models.
    ///
    /// # Errors
    /// [`ModelError::Read`] where `models` cannot be read, [`ModelError::Folder`] where it holds no folder.
    pub fn all_in(models: &Path) -> Result<Vec<Self>, ModelError> {
        let found: Vec<Self> = folders_in(models)?.into_iter().map(|path| Self::Folder { path, version: None }).collect();
        if found.is_empty() {
            let reason = "it holds no model folder, expected <name>/model.onnx".to_owned();
            return Err(ModelError::Folder { folder: models.to_owned(), reason });
        }
        Ok(found)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundled => f.write_str("the bundled model"),
            Self::Folder { path, version: Some(version) } => write!(f, "{}@{version}", path.display()),
            Self::Folder { path, version: None } | Self::Onnx(path) => path.display().fmt(f),
        }
    }
}

pub(super) fn split_version(reference: &str) -> (&str, Option<u64>) {
    match reference.rsplit_once('@').map(|(name, version)| (name, version.parse())) {
        Some((name, Ok(version))) => (name, Some(version)),
        _ => (reference, None),
    }
}

fn folders_in(models: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let unreadable = |source| ModelError::Read { path: models.to_owned(), source };
    let mut folders = Vec::new();
    for entry in fs::read_dir(models).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !name.starts_with('.') && name != "lost+found" {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

fn known_names(models: Option<&Path>) -> String {
    let folders = models.and_then(|models| folders_in(models).ok()).unwrap_or_default();
    let names = folders.iter().filter_map(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned());
    let mut names: Vec<String> = names.collect();
    if !names.iter().any(|name| name == bundled::NAME) {
        names.push(bundled::NAME.to_owned());
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models() -> tempfile::TempDir {
        let models = tempfile::tempdir().unwrap();
        for folder in ["b", "a", ".hidden", "lost+found"] {
            fs::create_dir(models.path().join(folder)).unwrap();
        }
        fs::write(models.path().join("c.onnx"), "").unwrap();
        models
    }

    #[test]
    fn a_name_is_a_folder_in_models_with_an_optional_version() {
        let models = models();
        let path = models.path().join("a");
        assert_eq!(Location::find("a", Some(models.path())).unwrap(), Location::Folder { path: path.clone(), version: None });
        assert_eq!(Location::find("a@3", Some(models.path())).unwrap(), Location::Folder { path, version: Some(3) });
    }

    #[test]
    fn paths_are_folders_or_onnx_files() {
        let models = models();
        let file = models.path().join("c.onnx");
        assert_eq!(Location::find(file.to_str().unwrap(), None).unwrap(), Location::Onnx(file));
        let folder = format!("{}@7", models.path().join("b").display());
        assert_eq!(Location::find(&folder, None).unwrap(), Location::Folder { path: models.path().join("b"), version: Some(7) });
    }

    #[test]
    fn the_bundled_model_is_known_by_its_name() {
        assert_eq!(Location::find("cifar10_se_resnet", Some(models().path())).unwrap(), Location::Bundled);
    }

    #[test]
    fn an_unknown_reference_is_answered_with_the_names_there_are() {
        let message = Location::find("z", Some(models().path())).unwrap_err().to_string();
        assert_eq!(message, r#"no model "z": it is neither a file, nor a folder, nor a known name (a, b, cifar10_se_resnet)"#);
        let message = Location::find("..", Some(&models().path().join("a"))).map(|found| format!("{found:?}"));
        assert!(message.is_ok_and(|found| found.contains(r#"path: "..""#)), "a name never climbs out of the models");
    }

    #[test]
    fn all_models_are_listed_by_name() {
        let models = models();
        let folder = |name| Location::Folder { path: models.path().join(name), version: None };
        assert_eq!(Location::all_in(models.path()).unwrap(), [folder("a"), folder("b")]);
        assert!(
            Location::all_in(&models.path().join("a")).unwrap_err().to_string().ends_with("it holds no model folder, expected <name>/model.onnx")
        );
    }
}
