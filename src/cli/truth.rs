//! Which class each picture of a folder truly shows: from a TSV file, or from folders named by label.

use std::fs;
use std::path::{Path, PathBuf};

use crate::model::Model;
use crate::nearest::nearest;

/// A picture and its true class.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Example {
    pub path: PathBuf,
    pub class: usize,
}

/// Reads `file<TAB>index[<TAB>label]`, one picture a line, files relative to `images`; a first line of titles is skipped.
///
/// # Errors
/// A sentence that names file, line, value and expectation.
pub(super) fn from_tsv(tsv: &Path, images: &Path, classes: usize) -> Result<Vec<Example>, String> {
    let text = fs::read_to_string(tsv).map_err(|error| format!("cannot read {}: {error}", tsv.display()))?;
    let mut examples = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let mut cells = line.split('\t').map(str::trim);
        let (file, index) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
        match index.parse() {
            Ok(class) if class < classes => examples.push(Example { path: images.join(file), class }),
            Err(_) if at == 0 => {}
            _ => {
                let expected = format!("a class from 0 to {} after a tab", classes.saturating_sub(1));
                return Err(format!("{}, line {}: the index is {index:?}, expected {expected}", tsv.display(), at + 1));
            }
        }
    }
    if examples.is_empty() {
        return Err(format!("{}: it names no picture, expected lines of file<TAB>index", tsv.display()));
    }
    Ok(examples)
}

/// Reads `images/<label>/<picture>`: the pictures in order of class, then of name.
///
/// # Errors
/// A sentence that names a folder that is no label, and the nearest label.
pub(super) fn from_folders(images: &Path, model: &Model) -> Result<Vec<Example>, String> {
    let labels: Vec<&str> = (0..model.engine().summary().classes).map(|class| model.label(class)).collect();
    let mut examples = Vec::new();
    for folder in entries(images)?.into_iter().filter(|path| path.is_dir()) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let class = class_called(&name, &labels).ok_or_else(|| {
            let nearest = nearest(&name, labels.iter().copied()).unwrap_or_default();
            let (folder, model) = (folder.display(), model.name());
            format!("{folder}: without --truth a folder's name is a label, but {name:?} is no label of {model}, the nearest is {nearest:?}")
        })?;
        examples.extend(entries(&folder)?.into_iter().filter(|path| path.is_file()).map(|path| Example { path, class }));
    }
    if examples.is_empty() {
        return Err(format!("{}: it holds no <label>/<picture>, expected that or a file given as --truth", images.display()));
    }
    Ok(examples)
}

/// By the whole label, or by one of its names where it has several: `tabby, tabby cat`. Case and `_` for a space do not matter.
fn class_called(name: &str, labels: &[&str]) -> Option<usize> {
    let plain = |text: &str| text.trim().replace('_', " ").to_lowercase();
    let name = plain(name);
    let whole = labels.iter().position(|label| plain(label) == name);
    whole.or_else(|| labels.iter().position(|label| label.split(',').any(|one| plain(one) == name)))
}

/// Hidden ones left out, by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |error| format!("cannot read {}: {error}", folder.display());
    let entries = fs::read_dir(folder).map_err(unreadable)?.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    let mut paths: Vec<PathBuf> =
        entries.iter().filter(|entry| !entry.file_name().to_string_lossy().starts_with('.')).map(fs::DirEntry::path).collect();
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tsv(text: &str) -> Result<Vec<Example>, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("truth.tsv");
        fs::write(&file, text).unwrap();
        from_tsv(&file, Path::new("images"), 10).map_err(|error| error.replace(&file.display().to_string(), "truth.tsv"))
    }

    #[test]
    fn a_tsv_may_have_titles_and_labels() {
        let expected = [Example { path: "images/a.jpg".into(), class: 3 }, Example { path: "images/b.jpg".into(), class: 0 }];
        assert_eq!(tsv("file\tindex\tlabel\na.jpg\t3\tcat\r\n\nb.jpg\t0\n").unwrap(), expected);
    }

    #[test]
    fn an_index_that_is_no_class_is_named_with_its_line() {
        let message = "truth.tsv, line 2: the index is \"10\", expected a class from 0 to 9 after a tab";
        assert_eq!(tsv("a.jpg\t3\nb.jpg\t10\n").unwrap_err(), message);
        assert!(tsv("a.jpg\t3\nb.jpg\n").unwrap_err().contains("the index is \"\""));
    }

    #[test]
    fn a_folder_is_called_by_a_label_or_one_of_its_names() {
        let labels = ["cat", "tabby, tabby cat", "Tabby"];
        assert_eq!(class_called("tabby_cat", &labels), Some(1));
        assert_eq!(class_called("tabby", &labels), Some(2), "a whole label goes before one of several names");
        assert_eq!(class_called("dog", &labels), None);
    }
}
