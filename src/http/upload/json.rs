//! `{"images": ["<base64>", …], …}`: read in one pass that takes no more memory than the body, whatever it holds.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Encoded, check_count, invalid};
use crate::http::parameters::{MAX_BLOCK_PATTERNS, Parameters, unknown};
use crate::http::problem::Problem;

/// Beyond it a list is refused while it is read.
const MAX_LIST: usize = 4096;

/// The pictures in `body`; its other keys are added to `parameters`.
///
/// # Errors
/// `invalid-body` and `invalid-parameter`.
pub(super) fn read(body: &Bytes, max_images: usize, parameters: &mut Parameters) -> Result<Vec<Encoded>, Problem> {
    let document: Document<'_> = serde_json::from_slice(body).map_err(|e| invalid(format!("broken JSON: {e}")))?;
    if let Some(name) = document.unknown {
        return Err(unknown(&name));
    }
    document.options.into_iter().try_for_each(|(name, value)| set(parameters, name, value))?;
    let Some(List(images)) = document.images else { return Err(invalid("the JSON object has no key \"images\", expected a list of base64")) };
    if images.is_empty() {
        return Err(invalid("\"images\" is empty, expected a list of base64"));
    }
    check_count(images.len(), max_images)?;
    let owned = |text| match text {
        Cow::Borrowed(text) => body.slice_ref(str::as_bytes(text)),
        Cow::Owned(text) => Bytes::from(text),
    };
    Ok(images.into_iter().map(|text| Encoded::Base64(owned(text))).collect())
}

fn set(parameters: &mut Parameters, name: &'static str, value: OptionValue<'_>) -> Result<(), Problem> {
    match value {
        OptionValue::Number(number) => parameters.set(name, &number.to_string()),
        OptionValue::Text(text) => parameters.set(name, &text),
        OptionValue::List(List(patterns)) => parameters.set_blocks(patterns.into_iter().map(Cow::into_owned).collect()),
    }
}

/// The body as it stands, its strings still in it.
#[derive(Default)]
struct Document<'a> {
    images: Option<List<'a>>,
    options: Vec<(&'static str, OptionValue<'a>)>,
    unknown: Option<String>,
}

/// A list of strings.
struct List<'a>(Vec<Cow<'a, str>>);

enum OptionValue<'a> {
    Number(i64),
    Text(Cow<'a, str>),
    List(List<'a>),
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
        f.write_str("an object with a list \"images\" of base64")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document<'de>, A::Error> {
        let mut document = Document::default();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match key.as_ref() {
                "images" if document.images.is_some() => return Err(A::Error::custom("\"images\" is given twice")),
                "images" => document.images = Some(map.next_value()?),
                "model" => document.options.push(("model", OptionValue::Text(map.next_value::<Text<'de>>()?.0))),
                "attention" => document.options.push(("attention", OptionValue::Text(map.next_value::<Text<'de>>()?.0))),
                "top_k" => document.options.push(("top_k", OptionValue::Number(map.next_value()?))),
                "attention_top" => document.options.push(("attention_top", OptionValue::Number(map.next_value()?))),
                "blocks" => document.options.push(("blocks", map.next_value::<Blocks<'de>>()?.0)),
                _ => {
                    document.unknown.get_or_insert_with(|| key.into_owned());
                    map.next_value::<IgnoredAny>()?;
                }
            }
            if document.options.len() > MAX_BLOCK_PATTERNS {
                return Err(A::Error::custom("the same keys are given again and again"));
            }
        }
        Ok(document)
    }
}

impl<'de> Deserialize<'de> for List<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor)
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = List<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of strings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(Text(text)) = seq.next_element()? {
            if list.len() == MAX_LIST {
                return Err(A::Error::custom(format_args!("a list of more than {MAX_LIST} strings")));
            }
            list.push(text);
        }
        Ok(List(list))
    }
}

/// A string, left where it is unless it holds escapes (`Cow` alone would copy it always).
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// `blocks`: a string with commas, as in the query, or a list of strings.
struct Blocks<'a>(OptionValue<'a>);

impl<'de> Deserialize<'de> for Blocks<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BlocksVisitor)
    }
}

struct BlocksVisitor;

impl<'de> Visitor<'de> for BlocksVisitor {
    type Value = Blocks<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of strings")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Blocks<'de>, E> {
        Ok(Blocks(OptionValue::Text(Cow::Owned(text.to_owned()))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Blocks<'de>, A::Error> {
        ListVisitor.visit_seq(seq).map(|list| Blocks(OptionValue::List(list)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<(Vec<Encoded>, Parameters), String> {
        let mut parameters = Parameters::default();
        let images = read(&Bytes::copy_from_slice(text.as_bytes()), 2, &mut parameters);
        let detail = |problem: Problem| serde_json::to_value(problem.body("")).unwrap()["detail"].as_str().unwrap().to_owned();
        images.map(|images| (images, parameters)).map_err(detail)
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
    fn says_what_is_wrong() {
        let long = format!(r#"{{"images": [{}"a"]}}"#, r#""","#.repeat(MAX_LIST));
        for (text, expected) in [
            ("{", "broken JSON: EOF while parsing an object at line 1 column 1"),
            ("[]", "broken JSON: invalid type: sequence, expected an object with a list \"images\" of base64 at line 1 column 0"),
            ("{}", "the JSON object has no key \"images\", expected a list of base64"),
            (r#"{"images": []}"#, "\"images\" is empty, expected a list of base64"),
            (r#"{"images": [1]}"#, "broken JSON: invalid type: integer `1`, expected a string at line 1 column 13"),
            (r#"{"images": ["","",""]}"#, "the body holds more than 2 images"),
            (r#"{"images": [""], "images": [""]}"#, "broken JSON: \"images\" is given twice at line 1 column 25"),
            (r#"{"images": [""], "topk": {"a": []}}"#, "there is no parameter \"topk\"; did you mean top_k?"),
            (r#"{"images": [""], "top_k": 0}"#, "top_k is \"0\", expected a whole number of 1 or more"),
            (r#"{"images": [""], "top_k": "1"}"#, "broken JSON: invalid type: string \"1\", expected i64 at line 1 column 29"),
            (r#"{"images": [""], "top_k": 1, "top_k": 1}"#, "top_k is given twice"),
            (&long, "broken JSON: a list of more than 4096 strings at line 1 column 12304"),
        ] {
            assert_eq!(read_text(text).map(|_| ()).unwrap_err(), expected);
        }
    }
}
