//! TOML files of ours, read with errors that name file, line, key and value, and for an unknown key the nearest known one.

use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::excerpt::{MOST_WORDS, cut, excerpt};
use crate::nearest::nearest;
use crate::text_file::{self, TextFileError};

/// Reads `file` as a `T`, whose unknown keys `serde(deny_unknown_fields)` refuses.
///
/// # Errors
/// [`TextFileError`].
pub(crate) fn read<T: DeserializeOwned>(file: &Path) -> Result<T, TextFileError> {
    parse(file, &text_file::read(file)?)
}

/// Reads `text`, the content of `file`, as a `T`.
///
/// # Errors
/// Every [`TextFileError`] but `Read`.
pub(crate) fn parse<T: DeserializeOwned>(file: &Path, text: &str) -> Result<T, TextFileError> {
    let syntax = |error: toml::de::Error| {
        let reason = cut(&error.message().replace('\n', ", "), MOST_WORDS);
        TextFileError::Syntax { file: file.to_owned(), line: line_of(text, error.span()), reason }
    };
    let deserializer = toml::Deserializer::parse(text).map_err(syntax)?;
    serde_path_to_error::deserialize(deserializer).map_err(|error| explain(file, text, &error))
}

fn explain(file: &Path, text: &str, error: &serde_path_to_error::Error<toml::de::Error>) -> TextFileError {
    let (file, key) = (file.to_owned(), cut(&error.path().to_string(), MOST_WORDS));
    let message = error.inner().message();
    let span = error.inner().span();
    let line = line_of(text, span.clone());
    // serde's derive says: unknown field `a`, expected one of `b`, `c`
    let mut words = message.split('`').skip(1).step_by(2);
    match words.next() {
        Some(unknown) if message.starts_with("unknown field") => {
            let nearest = nearest(unknown, words).unwrap_or_default().to_owned();
            TextFileError::UnknownKey { file, line, key, nearest }
        }
        _ => {
            let value = excerpt(span.and_then(|span| text.get(span)).unwrap_or_default());
            let expected = message.split_once("expected ").map_or(message, |(_, expected)| expected).replace('`', "\"");
            let expected = cut(&expected, MOST_WORDS);
            TextFileError::Value { file, line, key, value, expected }
        }
    }
}

/// Counts from 1.
pub(crate) fn line_of(text: &str, span: Option<Range<usize>>) -> usize {
    let before = text.get(..span.map_or(0, |span| span.start)).unwrap_or(text);
    before.matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only read from the file")]
        input: Inner,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only read from the file")]
        mean: Option<[f32; 3]>,
        #[expect(dead_code, reason = "only read from the file")]
        resize: Option<crate::image::Resize>,
    }

    fn message(text: &str) -> String {
        parse::<Outer>(Path::new("model.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest_known_one() {
        assert_eq!(message("[input]\n\nmaen = [1]\n"), r#"model.toml, line 3: unknown key "input.maen", the nearest known one is "mean""#);
        assert_eq!(message("[inptu]\n"), r#"model.toml, line 1: unknown key "inptu", the nearest known one is "input""#);
    }

    #[test]
    fn a_wrong_value_is_named_with_its_key_and_what_is_expected() {
        assert_eq!(message("[input]\nmean = \"x\"\n"), r#"model.toml, line 2: input.mean is "x", expected an array of length 3"#);
        assert_eq!(
            message("[input]\nresize = \"shorter\"\n"),
            r#"model.toml, line 2: input.resize is "shorter", expected one of "shorter_side", "cover", "squash", "pad", "border""#
        );
    }

    #[test]
    fn of_what_the_file_holds_little_is_repeated() {
        let long = "x".repeat(1 << 20);
        for text in [format!("[input]\n{long} = 1\n"), format!("[input]\nmean = \"{long}\"\n"), format!("[input]\nresize = \"{long}\"\n")] {
            let message = message(&text);
            assert!(message.starts_with("model.toml, line 2: ") && message.len() < 2000, "{} bytes", message.len());
        }
    }

    #[test]
    fn a_syntax_error_is_named_with_its_line() {
        let message = message("[input]\nmean = [1,\n");
        assert!(message.starts_with("model.toml, line 2: ") || message.starts_with("model.toml, line 3: "), "{message}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let message = read::<Outer>(Path::new("/nowhere/model.toml")).unwrap_err().to_string();
        assert!(message.starts_with("cannot read /nowhere/model.toml: No such file"), "{message}");
    }
}
