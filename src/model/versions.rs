//! Versions of a model: folders named by integers, of which the highest is served unless another is asked for.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::ModelError;

/// Files that only a folder without versions has.
pub(super) const OWN_FILES: [&str; 2] = ["model.toml", "model.onnx"];

/// The folder in `root` with the files of `wanted`, or of the highest version, and which version that is; `root` itself where it has no versions.
///
/// # Errors
/// [`ModelError::Read`], and [`ModelError::Folder`] where the version is not there or `root` has files of its own beside its versions.
pub(super) fn choose(root: &Path, wanted: Option<u64>) -> Result<(PathBuf, Option<u64>), ModelError> {
    let versions = versions_in(root)?;
    let chosen = pick(&versions, own_file(root), wanted).map_err(|reason| ModelError::Folder { folder: root.to_owned(), reason })?;
    Ok(chosen.map_or_else(|| (root.to_owned(), None), |(number, path)| (path.clone(), Some(*number))))
}

/// The one of `versions`, which ascend, that is `wanted`, or the highest; none where there are none. `own_file` lies beside them.
///
/// # Errors
/// What the model's folder has and should have.
pub(super) fn pick<'a, F>(versions: &'a [(u64, F)], own_file: Option<&str>, wanted: Option<u64>) -> Result<Option<&'a (u64, F)>, String> {
    let listed = || versions.iter().map(|(number, _)| number.to_string()).collect::<Vec<_>>().join(", ");
    if let (Some(_), Some(file)) = (versions.first(), own_file) {
        return Err(format!("it holds {file} beside the versions {}, expected one or the other", listed()));
    }
    let Some(wanted) = wanted else { return Ok(versions.last()) };
    match versions.iter().find(|(number, _)| *number == wanted) {
        Some(version) => Ok(Some(version)),
        None if versions.is_empty() => Err(format!("it has no versions, expected a folder {wanted}")),
        None => Err(format!("it has no version {wanted}, expected one of {}", listed())),
    }
}

/// Ascending.
fn versions_in(root: &Path) -> Result<Vec<(u64, PathBuf)>, ModelError> {
    let unreadable = |source| ModelError::Read { path: root.to_owned(), source };
    let mut versions = Vec::new();
    for entry in fs::read_dir(root).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let number = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        if let Some(number) = number.filter(|_| path.is_dir()) {
            versions.push((number, path));
        }
    }
    versions.sort();
    Ok(versions)
}

fn own_file(root: &Path) -> Option<&'static str> {
    OWN_FILES.into_iter().find(|file| root.join(file).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(folders: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        folders.iter().for_each(|folder| fs::create_dir(root.path().join(folder)).unwrap());
        root
    }

    #[test]
    fn the_highest_version_is_chosen_by_number() {
        let root = root(&["9", "10", "draft"]);
        assert_eq!(choose(root.path(), None).unwrap(), (root.path().join("10"), Some(10)));
        assert_eq!(choose(root.path(), Some(9)).unwrap(), (root.path().join("9"), Some(9)));
    }

    #[test]
    fn a_missing_version_is_answered_with_those_there_are() {
        let message = choose(root(&["1", "2"]).path(), Some(3)).unwrap_err().to_string();
        assert!(message.ends_with("it has no version 3, expected one of 1, 2"), "{message}");
        let message = choose(root(&[]).path(), Some(3)).unwrap_err().to_string();
        assert!(message.ends_with("it has no versions, expected a folder 3"), "{message}");
    }

    #[test]
    fn files_beside_versions_are_ambiguous() {
        let root = root(&["1"]);
        fs::write(root.path().join("model.onnx"), "").unwrap();
        let message = choose(root.path(), None).unwrap_err().to_string();
        assert!(message.ends_with("it holds model.onnx beside the versions 1, expected one or the other"), "{message}");
    }
}
