//! Class names as JSON files and ONNX metadata have them: a list, or an object from index to name.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

/// `["tench", …]`, `{"0": "tench", …}` or, as TorchServe has it, `{"0": ["n01440764", "tench"], …}`; as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ClassNames {
    /// In class order.
    List(Vec<String>),
    /// Index and name, in the file's order, repetitions included.
    Numbered(Vec<(String, String)>),
}

/// Names that do not fit the classes 0, 1, 2 and so on, one each.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misnumbered {
    /// As the file has it.
    pub index: String,
    pub value: &'static str,
    pub expected: String,
}

impl ClassNames {
    /// One name for each class, in class order.
    ///
    /// # Errors
    /// [`Misnumbered`] for an index that is no whole number, given twice or left out.
    pub(super) fn in_order(self) -> Result<Vec<String>, Misnumbered> {
        let entries = match self {
            Self::List(names) => return Ok(names),
            Self::Numbered(entries) => entries,
        };
        let count = entries.len();
        let mut names = BTreeMap::new();
        for (key, name) in entries {
            let Ok(index) = key.parse::<usize>() else {
                return Err(Misnumbered { index: key, value: "no class", expected: "whole numbers from 0".to_owned() });
            };
            if names.insert(index, name).is_some() {
                return Err(Misnumbered { index: key, value: "given twice", expected: "one name for each class".to_owned() });
            }
        }
        match names.keys().enumerate().find(|(at, index)| at != *index) {
            Some((missing, _)) => {
                let expected = format!("a name for each of the {count} classes, counted from 0");
                Err(Misnumbered { index: missing.to_string(), value: "missing", expected })
            }
            None => Ok(names.into_values().collect()),
        }
    }
}

/// A name, or several of one class, of which TorchServe shows the last.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a name or a list of names")]
enum Name {
    One(String),
    Several(Vec<String>),
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        match name {
            Name::One(name) => name,
            Name::Several(mut names) => names.pop().unwrap_or_default(),
        }
    }
}

impl<'de> Deserialize<'de> for ClassNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = ClassNames;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of names or an object from index to name")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<ClassNames, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = items.next_element::<Name>()? {
                    names.push(name.into());
                }
                Ok(ClassNames::List(names))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<ClassNames, A::Error> {
                let mut entries = Vec::new();
                while let Some((index, name)) = items.next_entry::<String, Name>()? {
                    entries.push((index, name.into()));
                }
                Ok(ClassNames::Numbered(entries))
            }
        }

        deserializer.deserialize_any(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<String>, Misnumbered> {
        serde_json::from_str::<ClassNames>(text).unwrap().in_order()
    }

    #[test]
    fn every_form_gives_names_in_class_order() {
        for text in [r#"["a", "b"]"#, r#"{"1": "b", "0": "a"}"#, r#"{"0": ["n01", "a"], "1": ["n02", "b"]}"#] {
            assert_eq!(parsed(text).unwrap(), ["a", "b"], "{text}");
        }
        let numbers: Vec<String> = (0..12).map(|index| format!(r#""{index}": "{index}""#)).collect();
        assert_eq!(parsed(&format!("{{{}}}", numbers.join(", "))).unwrap()[10], "10", "ordered by number");
    }

    #[test]
    fn gaps_repetitions_and_words_are_refused() {
        for (text, index, value) in [
            (r#"{"0": "a", "2": "c"}"#, "1", "missing"),
            (r#"{"1": "a", "2": "c"}"#, "0", "missing"),
            (r#"{"0": "a", "0": "c"}"#, "0", "given twice"),
            (r#"{"tench": "0"}"#, "tench", "no class"),
        ] {
            let refused = parsed(text).unwrap_err();
            assert_eq!((refused.index.as_str(), refused.value), (index, value), "{text}");
        }
    }
}
