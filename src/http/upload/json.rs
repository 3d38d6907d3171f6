//! `{"images": ["<base64>", …], …}`: read in one pass that takes no more memory than the body, whatever it holds.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Encoded, check_count, invalid, no_memory};
use crate::excerpt::excerpt;
use crate::http::budget::Budget;
use crate::http::parameters::{NAMES, Parameters, WHOLE, invalid_parameter, unknown};
use crate::http::problem::Problem;

/// Texts of a list that are kept; of further ones only the number is of interest.
const MAX_LIST: usize = 4096;

const EXPECTED: &str = r#"expected {"images": ["<base64>", …]}"#;

/// The pictures in `body`, and its other keys.
///
/// # Errors
/// `invalid-body`, `invalid-parameter`, and `overloaded` where `budget` has nothing left for pictures that had to be copied.
pub(super) fn read(body: &Bytes, max_images: usize, budget: &Budget) -> Result<(Vec<Encoded>, Parameters), Problem> {
    let document = parse(body)?;
    if let Some(odd) = document.odd {
        return Err(odd);
    }
    let mut parameters = Parameters::default();
    document.options.into_iter().try_for_each(|(name, value)| set(&mut parameters, name, value))?;
    let images = texts_of_images(document.images.unwrap_or(Value::Null), max_images)?;
    let images = images.into_iter().map(|text| match text {
        Cow::Borrowed(text) => Ok(body.slice_ref(text.as_bytes())),
        Cow::Owned(text) => budget.keep(text).map_err(|_| no_memory()),
    });
    Ok((images.map(|text| text.map(Encoded::Base64)).collect::<Result<_, _>>()?, parameters))
}

/// Whether `body` looks like a JSON object.
pub(super) fn begins(body: &[u8]) -> bool {
    text(body).trim_ascii_start().first() == Some(&b'{')
}

/// `body` without the byte-order mark that some editors and shells put before every text.
fn text(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

fn parse(body: &[u8]) -> Result<Document<'_>, Problem> {
    let text = text(body);
    if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, ..] | [_, 0, ..] = text {
        return Err(invalid("broken JSON: it is UTF-16, expected UTF-8"));
    }
    if !begins(text) {
        return Err(invalid(format!("the body is no JSON object, {EXPECTED}")));
    }
    serde_json::from_slice(text)
        .map_err(|error| invalid(format!("broken JSON: {} at line {} column {}", words(&error), error.line(), error.column())))
}

/// What is wrong, without the place, in words of JSON.
fn words(error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "it ends too early".to_owned();
    }
    let text = error.to_string();
    match text.split(" at line ").next().unwrap_or_default() {
        "key must be a string" => "a key must be a string in double quotes".to_owned(),
        "expected ident" | "expected value" => "expected a value".to_owned(),
        "trailing characters" => "there is more behind its end".to_owned(),
        control if control.starts_with("control character") => {
            r"a line break or another control character within a string, expected \n or the like".to_owned()
        }
        words => excerpt(words),
    }
}

fn set(parameters: &mut Parameters, name: &'static str, value: Value<'_>) -> Result<(), Problem> {
    let expected = match name {
        "top_k" | "attention_top" => WHOLE,
        "blocks" => "a string or a list of strings",
        _ => "a string",
    };
    match value {
        Value::Null => Ok(()),
        Value::Number(number) if expected == WHOLE => parameters.set(name, &number.to_string()),
        Value::Text(text) if expected != WHOLE => parameters.set(name, &text),
        Value::List(List { texts, length, odd: None }) if name == "blocks" => {
            parameters.set_blocks(texts.into_iter().map(Cow::into_owned).collect(), length)
        }
        Value::List(List { odd: Some((at, odd)), .. }) if name == "blocks" => {
            Err(invalid_parameter(format!("blocks[{at}] is {odd}, expected a string")))
        }
        other => Err(invalid_parameter(format!("{name} is {}, expected {expected}", other.describe()))),
    }
}

fn texts_of_images(images: Value<'_>, max_images: usize) -> Result<Vec<Cow<'_, str>>, Problem> {
    match images {
        Value::List(List { length: 0, .. }) => Err(invalid(format!("\"images\" is empty, {EXPECTED}"))),
        Value::List(List { odd: Some((at, odd)), .. }) => Err(invalid(format!("images[{at}] is {odd}, expected a string of base64"))),
        Value::List(List { texts, length, .. }) => check_count(length, max_images).map(|()| texts),
        Value::Null => Err(invalid(format!("the JSON object has no \"images\", {EXPECTED}"))),
        other => Err(invalid(format!("\"images\" is {}, {EXPECTED}", other.describe()))),
    }
}

/// The body as it stands, its strings still in it.
#[derive(Default)]
struct Document<'a> {
    images: Option<Value<'a>>,
    options: Vec<(&'static str, Value<'a>)>,
    /// What is wrong with the first key that is; what follows it is skipped.
    odd: Option<Problem>,
}

/// A value as far as it is of interest.
enum Value<'a> {
    Null,
    Bool(bool),
    Number(f64),
    Text(Cow<'a, str>),
    List(List<'a>),
    Object,
}

/// A list of strings, of which the first [`MAX_LIST`] are kept.
#[derive(Default)]
struct List<'a> {
    texts: Vec<Cow<'a, str>>,
    length: usize,
    /// The first element that is no string: its place, and what it is.
    odd: Option<(usize, String)>,
}

impl Value<'_> {
    fn describe(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(number) => excerpt(&number.to_string()),
            Self::Text(text) => format!("the string {:?}", excerpt(text)),
            Self::List(_) => "a list".to_owned(),
            Self::Object => "an object".to_owned(),
        }
    }
}

impl<'de> Deserialize<'de> for Document<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DocumentVisitor)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document<'de>, A::Error> {
        let mut document = Document::default();
        while let Some(Text(key)) = map.next_key()? {
            if document.odd.is_some() {
                map.next_value::<IgnoredAny>()?;
            } else if key == "images" && document.images.is_none() {
                document.images = Some(map.next_value()?);
            } else if let Some(name) = NAMES.into_iter().find(|name| *name == key && document.options.iter().all(|(given, _)| given != name)) {
                document.options.push((name, map.next_value()?));
            } else {
                document.odd = Some(odd_key(&key));
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(document)
    }
}

/// A key that is not known, or was there before.
fn odd_key(key: &str) -> Problem {
    match key {
        "images" => invalid("\"images\" is given twice"),
        _ if NAMES.contains(&key) => invalid_parameter(format!("{key} is given twice")),
        _ => unknown(key, ["images"].into_iter().chain(NAMES)),
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value<'de>, E> {
        Ok(Value::Number(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value<'de>, A::Error> {
        let mut list = List::default();
        while list.odd.is_none() && list.texts.len() < MAX_LIST {
            match seq.next_element()? {
                Some(Value::Text(text)) => list.texts.push(text),
                Some(other) => list.odd = Some((list.length, other.describe())),
                None => return Ok(Value::List(list)),
            }
            list.length += 1;
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {
            list.length += 1;
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Object)
    }
}

/// A string, left where it is unless it holds escapes (`Cow` alone would copy it always).
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<(Vec<Encoded>, Parameters), String> {
        let detail = |problem: Problem| serde_json::to_value(problem.body("")).unwrap()["detail"].as_str().unwrap().to_owned();
        read(&Bytes::copy_from_slice(text.as_bytes()), 2, &Budget::new(100)).map_err(detail)
    }

    #[test]
    fn reads_images_and_options() {
        let (images, parameters) = read_text(r#"{"top_k": 2, "images": ["YQ==", "a\/=="], "blocks": ["a*", "b"], "model": "m"}"#).unwrap();
        let text = |text: &'static str| Encoded::Base64(Bytes::from_static(text.as_bytes()));
        assert_eq!(images, [text("YQ=="), text("a/==")]);
        assert_eq!(parameters.model(), Some("m"));
        let options = parameters.options(10);
        assert_eq!((options.top_k, options.attention.blocks), (2, vec!["a*".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn null_means_the_default_and_a_number_with_a_zero_fraction_is_whole() {
        let (_, parameters) = read_text(r#"{"images": [""], "model": null, "top_k": null, "attention": null, "blocks": null}"#).unwrap();
        assert_eq!(parameters, Parameters::default());
        assert_eq!(read_text(r#"{"images": [""], "top_k": 3.0}"#).unwrap().1.options(9).top_k, 3);
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        assert!(read_text("\u{feff}{\"images\": [\"\"], \"model\": \"\u{feff}m\"}").is_ok_and(|(_, parameters)| parameters.model() == Some("m")));
    }

    #[test]
    fn a_text_that_had_to_be_copied_holds_its_part_of_the_budget() {
        let text = |escape: &str| format!(r#"{{"images": ["{}{escape}"]}}"#, "a".repeat(100));
        assert!(read_text(&text("")).is_ok());
        assert!(read_text(&text(r"\n")).unwrap_err().contains("memory"));
    }

    #[test]
    fn says_what_is_wrong() {
        let long = format!(r#"{{"images": [{}"a"]}}"#, r#""","#.repeat(MAX_LIST));
        let name = "y".repeat(1000);
        let cut = format!("\"{}…\"", "y".repeat(64));
        for (text, expected) in [
            ("{", "broken JSON: it ends too early at line 1 column 1"),
            ("{'images': []}", "broken JSON: a key must be a string in double quotes at line 1 column 2"),
            (
                "{\"images\": [\"a\nb\"]}",
                r"broken JSON: a line break or another control character within a string, expected \n or the like at line 2 column 0",
            ),
            ("{\"images\": [\"\"]} {", "broken JSON: there is more behind its end at line 1 column 18"),
            ("{\0\"\0", "broken JSON: it is UTF-16, expected UTF-8"),
            ("[]", "the body is no JSON object, expected {\"images\": [\"<base64>\", …]}"),
            ("{}", "the JSON object has no \"images\", expected {\"images\": [\"<base64>\", …]}"),
            (r#"{"images": []}"#, "\"images\" is empty, expected {\"images\": [\"<base64>\", …]}"),
            (r#"{"images": "aGV5"}"#, "\"images\" is the string \"aGV5\", expected {\"images\": [\"<base64>\", …]}"),
            (r#"{"images": ["", 1]}"#, "images[1] is 1, expected a string of base64"),
            (r#"{"images": [null]}"#, "images[0] is null, expected a string of base64"),
            (r#"{"images": ["","",""]}"#, "the body holds more than 2 images"),
            (r#"{"images": [""], "images": [""]}"#, "\"images\" is given twice"),
            (r#"{"image": ""}"#, "there is no parameter \"image\"; did you mean images?"),
            (r#"{"images": [""], "topk": {"a": []}}"#, "there is no parameter \"topk\"; did you mean top_k?"),
            (
                &format!(r#"{{"{name}": 1}}"#),
                &format!("there is no parameter {cut}, expected images, model, top_k, attention, attention_top, blocks"),
            ),
            (r#"{"images": [""], "top_k": 0}"#, "top_k is \"0\", expected a whole number of 1 or more"),
            (r#"{"images": [""], "top_k": 1.5}"#, "top_k is \"1.5\", expected a whole number of 1 or more"),
            (r#"{"images": [""], "top_k": "1"}"#, "top_k is the string \"1\", expected a whole number of 1 or more"),
            (r#"{"images": [""], "attention_top": [1]}"#, "attention_top is a list, expected a whole number of 1 or more"),
            (r#"{"images": [""], "top_k": true}"#, "top_k is true, expected a whole number of 1 or more"),
            (r#"{"images": [""], "top_k": 1, "top_k": 1}"#, "top_k is given twice"),
            (r#"{"images": [""], "model": 5}"#, "model is 5, expected a string"),
            (r#"{"images": [""], "blocks": {}}"#, "blocks is an object, expected a string or a list of strings"),
            (r#"{"images": [""], "blocks": ["a", []]}"#, "blocks[1] is a list, expected a string"),
            (&format!(r#"{{"images": [""], "attention": "{name}"}}"#), &format!("attention is {cut}, expected none, summary, top or full")),
            (&format!(r#"{{"images": [""], "top_k": "{name}"}}"#), &format!("top_k is the string {cut}, expected a whole number of 1 or more")),
            (&long, "the body holds more than 2 images"),
        ] {
            assert_eq!(read_text(text).map(|_| ()).unwrap_err(), expected);
        }
    }
}
