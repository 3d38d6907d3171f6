//! Bounds the length of a log line, whatever its fields hold, so that it stays one line, and JSON where it was JSON.

use std::borrow::Cow;

use serde_json::Value;

/// Longest line, bytes.
pub(super) const LONGEST: usize = 8 << 10;
/// To these bytes the texts of a JSON line are cut, as far down as it takes.
const TEXTS: [usize; 4] = [2048, 512, 128, 32];

/// `line`, or a shorter one that says so; a line feed within it is written as `\n`.
pub(super) fn line(line: &[u8]) -> Cow<'_, [u8]> {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    if text.len() < LONGEST && memchr::memchr(b'\n', text).is_none() {
        return Cow::Borrowed(line);
    }
    let text = String::from_utf8_lossy(text);
    let mut short = json(&text).unwrap_or_else(|| cut(&text.replace('\n', "\\n"), LONGEST - 64));
    short.push('\n');
    Cow::Owned(short.into_bytes())
}

/// The JSON object `text` with its longest texts cut.
fn json(text: &str) -> Option<String> {
    let object: Value = serde_json::from_str(text).ok().filter(Value::is_object)?;
    let shorter = |longest: &usize| {
        let mut object = object.clone();
        object.as_object_mut()?.values_mut().for_each(|value| {
            if let Value::String(text) = value {
                *text = cut(text, *longest);
            }
        });
        Some(object.to_string()).filter(|text| text.len() < LONGEST)
    };
    TEXTS.iter().find_map(shorter)
}

/// The beginning of `text`, at most `longest` bytes, with a note of how long it was; all of it where it is no longer.
fn cut(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let end = (0..=longest).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{} … ({} bytes)", text.get(..end).unwrap_or_default(), text.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_short_line_is_left_alone() {
        for text in ["a\n", "{\"message\":\"a\\nb\"}\n", "no line feed"] {
            assert!(matches!(line(text.as_bytes()), Cow::Borrowed(kept) if kept == text.as_bytes()));
        }
    }

    #[test]
    fn a_long_json_line_stays_json_and_keeps_its_short_fields() {
        let cause = "é".repeat(1 << 20);
        let long = json!({"level": "ERROR", "status": 500, "cause": cause, "message": "\u{1}".repeat(5000)}).to_string() + "\n";
        let short = line(long.as_bytes());
        assert!(short.len() <= LONGEST && short.ends_with(b"\n"), "{}", short.len());
        let object: Value = serde_json::from_slice(&short).unwrap();
        assert_eq!((&object["level"], &object["status"]), (&json!("ERROR"), &json!(500)));
        assert!(object["cause"].as_str().unwrap().ends_with("é … (2097152 bytes)"));
    }

    #[test]
    fn a_long_text_line_is_cut_and_says_so() {
        let long = "é".repeat(LONGEST) + "\n";
        let short = String::from_utf8(line(long.as_bytes()).into_owned()).unwrap();
        assert!(short.len() <= LONGEST && short.ends_with(&format!("é … ({} bytes)\n", 2 * LONGEST)), "{short}");
    }

    #[test]
    fn a_text_of_two_lines_is_one_line() {
        assert_eq!(line(b"cannot load x: a\nb\n").as_ref(), b"cannot load x: a\\nb\n");
    }
}
