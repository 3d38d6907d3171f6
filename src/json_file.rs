//! JSON files of others, read with errors that name file, line, key and value.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path as Keys, Segment};

use crate::excerpt::{MOST_WORDS, cut, excerpt};
use crate::text_file::{self, TextFileError};

/// Reads `file` as a `T`; `null` is read as a missing entry where `T` has an `Option` for it.
///
/// # Errors
/// [`TextFileError`].
pub(crate) fn read<T: DeserializeOwned>(file: &Path) -> Result<T, TextFileError> {
    parse(file, &text_file::read(file)?)
}

fn parse<T: DeserializeOwned>(file: &Path, text: &str) -> Result<T, TextFileError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| explain(file, text, error.path(), error.inner()))
}

fn explain(file: &Path, text: &str, keys: &Keys, error: &serde_json::Error) -> TextFileError {
    let (file, line) = (file.to_owned(), error.line());
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    match (error.is_data(), message.split_once("expected ")) {
        (true, Some((_, expected))) => {
            let value = serde_json::from_str::<Value>(text).ok().and_then(|root| find(&root, keys).map(Value::to_string));
            let key = keys.to_string();
            let key = if key == "." { "the file".to_owned() } else { key };
            let (key, value) = (cut(&key, MOST_WORDS), excerpt(&value.unwrap_or_default()));
            TextFileError::Value { file, line, key, value, expected: cut(&expected.replace('`', "\""), MOST_WORDS) }
        }
        _ => TextFileError::Syntax { file, line, reason: cut(message, MOST_WORDS) },
    }
}

fn find<'a>(root: &'a Value, keys: &Keys) -> Option<&'a Value> {
    keys.iter().try_fold(root, |value, key| match key {
        Segment::Seq { index } => value.get(index),
        Segment::Map { key } => value.get(key),
        Segment::Enum { .. } | Segment::Unknown => None,
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Outer {
        #[expect(dead_code, reason = "only read from the file")]
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    struct Inner {
        #[expect(dead_code, reason = "only read from the file")]
        mean: Option<[f32; 3]>,
    }

    fn message(text: &str) -> String {
        parse::<Outer>(Path::new("config.json"), text).unwrap_err().to_string()
    }

    #[test]
    fn a_wrong_value_is_named_with_its_key_and_what_is_expected() {
        assert_eq!(message("{\n\"inner\": {\"mean\": \"x\"}}"), r#"config.json, line 2: inner.mean is "x", expected an array of length 3"#);
        assert_eq!(message("{\"inner\": {\"mean\": [0, 1, \"x\"]}}"), r#"config.json, line 1: inner.mean[2] is "x", expected f32"#);
        assert_eq!(message("7"), "config.json, line 1: the file is 7, expected struct Outer");
    }

    #[test]
    fn of_what_the_file_holds_little_is_repeated() {
        let message = message(&format!("{{\"inner\": {{\"mean\": {:?}}}}}", "expected x".repeat(1 << 16)));
        assert!(message.starts_with("config.json, line 1: inner.mean is \"expected x") && message.len() < 2000, "{} bytes", message.len());
    }

    #[test]
    fn what_is_no_json_is_named_with_its_line() {
        assert_eq!(message("{\n\"inner\": NaN}"), "config.json, line 2: expected value");
    }

    #[test]
    fn unknown_keys_and_null_are_passed_over() {
        assert!(parse::<Outer>(Path::new("config.json"), r#"{"a": 1, "inner": null}"#).is_ok());
    }
}
