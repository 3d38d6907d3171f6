//! Class names: `labels.txt`, one name a line, in class order; and which of several files is believed.

use std::collections::BTreeMap;
use std::path::Path;

use super::class_names::ClassNames;
use super::error::ModelError;
use super::files::Labels;
use super::python;
use super::statement::DEFAULT;

/// Keys of ONNX metadata under which exporters write class names. Ultralytics' is `names`, a dictionary as Python prints it; RapidAI's is `character`,
/// one name a line.
const METADATA_KEYS: [&str; 9] = ["labels", "classes", "names", "class_names", "character", "label_names", "class_labels", "id2label", "label"];

/// The names in `text`; a final line break ends the last name and begins no further one.
pub(super) fn parse_lines(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.trim_end().lines().map(|line| line.trim().to_owned()).collect()
}

/// The names of classes that have none: `class_0`, `class_1` and so on.
pub(super) fn placeholders(classes: usize) -> Vec<String> {
    (0..classes).map(|index| format!("class_{index}")).collect()
}

/// The names in the `metadata` of the ONNX file at `path`; what cannot be read as names is a warning.
pub(super) fn of_metadata(metadata: &BTreeMap<String, String>, path: &Path, warnings: &mut Vec<String>) -> Option<Labels> {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let (key, value) = METADATA_KEYS.iter().find_map(|key| Some((key, metadata.get(*key)?)))?;
    let parse = |text: &str| serde_json::from_str::<ClassNames>(text);
    let names = match parse(value).or_else(|_| parse(&python::to_json(value))) {
        Ok(names) => names.in_order().map_err(|wrong| format!("{key}.{} is {}, expected {}", wrong.index, wrong.value, wrong.expected)),
        Err(_) if value.contains('\n') => Ok(parse_lines(value)),
        Err(_) => {
            let shown: String = value.chars().take(40).collect();
            Err(format!("{key} is {shown:?}, expected a list of class names or an object from index to name"))
        }
    };
    match names {
        Ok(names) => Some(Labels { path: path.to_owned(), origin: format!("{file} (metadata)"), names }),
        Err(reason) => {
            warnings.push(format!("{file} (metadata): {reason}"));
            None
        }
    }
}

/// The labels of the first of `found`, and where they come from; a later one that differs is a warning, and so are none at all.
///
/// # Errors
/// [`ModelError::Labels`] where the first has not one for each class.
pub(super) fn choose(found: &[Labels], classes: usize, warnings: &mut Vec<String>) -> Result<(Vec<String>, String), ModelError> {
    let Some((first, others)) = found.split_first() else {
        warnings.push(format!("there are no labels, classes are called class_0 to class_{}", classes.saturating_sub(1)));
        return Ok((placeholders(classes), DEFAULT.to_owned()));
    };
    if first.names.len() != classes {
        return Err(ModelError::Labels { file: first.path.clone(), labels: first.names.len(), classes });
    }
    warnings.extend(others.iter().filter_map(|other| difference(first, other)));
    Ok((first.names.clone(), first.origin.clone()))
}

fn difference(first: &Labels, other: &Labels) -> Option<String> {
    let (count, other_count) = (first.names.len(), other.names.len());
    if count != other_count {
        return Some(format!("{} has {count} labels, yet {} has {other_count}: the former holds", first.origin, other.origin));
    }
    let index = first.names.iter().zip(&other.names).position(|(name, other)| name != other)?;
    let [name, other_name] = [first, other].map(|labels| &labels.names[index]);
    Some(format!("class {index} is {name:?} in {}, yet {other_name:?} in {}: the former holds", first.origin, other.origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_one_name_a_line_whatever_the_line_ends() {
        assert_eq!(parse_lines("tench, Tinca tinca\r\ngoldfish\r\n"), ["tench, Tinca tinca", "goldfish"]);
        assert_eq!(parse_lines("\u{feff}cat\ndog"), ["cat", "dog"]);
        assert_eq!(parse_lines("cat\n\ndog\n\n"), ["cat", "", "dog"], "an empty name keeps its place, trailing lines do not count");
        assert!(parse_lines("\n").is_empty());
    }

    #[test]
    fn metadata_is_read_as_json_and_as_python_prints_it() {
        let read = |key: &str, value: &str| {
            let metadata = BTreeMap::from([(key.to_owned(), value.to_owned())]);
            let mut warnings = Vec::new();
            let labels = of_metadata(&metadata, Path::new("a/model.onnx"), &mut warnings);
            (labels.map(|labels| labels.names), warnings)
        };
        for (key, value) in [("labels", r#"["a", "b"]"#), ("names", "{0: 'a', 1: 'b'}"), ("classes", r#"{"0": "a", "1": "b"}"#)] {
            assert_eq!(read(key, value), (Some(vec!["a".to_owned(), "b".to_owned()]), vec![]), "{key}");
        }
        for value in ["a\nb", "a\r\nb\n"] {
            assert_eq!(read("character", value), (Some(vec!["a".to_owned(), "b".to_owned()]), vec![]), "{value:?}");
        }
        assert_eq!(read("producer", "[1]"), (None, vec![]));
        assert_eq!(
            read("names", "{0: 'a', 2: 'b'}").1,
            ["model.onnx (metadata): names.1 is missing, expected a name for each of the 2 classes, counted from 0"]
        );
        assert_eq!(
            read("classes", "2").1,
            ["model.onnx (metadata): classes is \"2\", expected a list of class names or an object from index to name"]
        );
    }

    #[test]
    fn the_first_labels_hold_and_others_are_named_where_they_differ() {
        let labels = |origin: &str, names: &[&str]| Labels {
            path: origin.into(),
            origin: origin.to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        let found = [labels("a", &["x", "y"]), labels("b", &["x", "y"]), labels("c", &["x", "z"]), labels("d", &["x"])];
        let mut warnings = Vec::new();
        let (names, origin) = choose(&found, 2, &mut warnings).unwrap();
        assert_eq!((names, origin.as_str()), (vec!["x".to_owned(), "y".to_owned()], "a"));
        assert_eq!(warnings, [r#"class 1 is "y" in a, yet "z" in c: the former holds"#, "a has 2 labels, yet d has 1: the former holds"]);
    }
}
