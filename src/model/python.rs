//! Python's way of printing dictionaries and lists of strings, as some exporters write them into ONNX metadata, turned into JSON.

use std::iter::Peekable;
use std::str::Chars;

/// `text`, such as `{0: 'cat', 1: "jack-o'-lantern"}`, as JSON; what is no such literal becomes no JSON either.
pub(super) fn to_json(text: &str) -> String {
    let mut json = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\'' | '"' => json.push_str(&string(c, &mut rest)),
            '0'..='9' => json.push_str(&number(c, &mut rest)),
            _ => json.push(c),
        }
    }
    json
}

/// The string that `quote` opened, as JSON.
fn string(quote: char, rest: &mut Peekable<Chars<'_>>) -> String {
    let mut content = String::new();
    while let Some(c) = rest.next() {
        match c {
            '\\' => content.extend(rest.next().and_then(|escape| escaped(escape, rest))),
            _ if c == quote => break,
            _ => content.push(c),
        }
    }
    serde_json::Value::String(content).to_string()
}

/// What `escape` stands for after a backslash.
fn escaped(escape: char, rest: &mut Peekable<Chars<'_>>) -> Option<char> {
    let mut code = |digits: usize| {
        let code = (0..digits).try_fold(0, |code, _| Some(code * 16 + rest.next()?.to_digit(16)?));
        code.and_then(char::from_u32)
    };
    match escape {
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'x' => code(2),
        'u' => code(4),
        'U' => code(8),
        other => Some(other),
    }
}

/// A number that begins with `first`, as a JSON key where a colon follows.
fn number(first: char, rest: &mut Peekable<Chars<'_>>) -> String {
    let mut digits = String::from(first);
    while let Some(digit) = rest.next_if(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-')) {
        digits.push(digit);
    }
    if rest.peek() == Some(&':') { format!("\"{digits}\"") } else { digits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_become_json() {
        for (python, json) in [
            (r#"{0: 'cat', 1: "jack-o'-lantern", 10: 'a "b"'}"#, r#"{"0": "cat", "1": "jack-o'-lantern", "10": "a \"b\""}"#),
            (r"['a\'b', 'caf\xe9 \u2713', 'a\\b']", r#"["a'b", "café ✓", "a\\b"]"#),
            (r#"{"0": "3: x"}"#, r#"{"0": "3: x"}"#),
            ("[224, 1.5]", "[224, 1.5]"),
        ] {
            assert_eq!(to_json(python), json);
        }
    }
}
