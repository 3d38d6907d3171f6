//! What the zoo holds: names, files, checksums and input contracts, embedded in the program.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::error::ZooError;
use crate::image::Interpolation;
use crate::model::TextFileError;
use crate::nearest::nearest;
use crate::toml_file;

/// Largest network that a catalogue may declare, bytes: an ONNX file is one Protocol Buffers message, which can be no larger.
pub const MAX_MODEL_BYTES: u64 = i32::MAX as u64;

const EMBEDDED: &str = include_str!("../../models/zoo/catalogue.toml");
const IMAGENET_LABELS: &str = include_str!("../../models/zoo/imagenet_labels.txt");

/// The models there are, by name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// Of every model, as an SPDX expression.
    license: String,
    models: BTreeMap<String, Entry>,
}

/// A model of the zoo.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What it is called here.
    #[serde(skip)]
    pub name: String,
    /// SPDX expression, as the zoo states it for its files.
    #[serde(skip)]
    pub license: String,
    /// What its repository and its file, less `.onnx`, are called there.
    #[serde(deserialize_with = "plain")]
    pub file: String,
    /// Length of the file.
    #[serde(deserialize_with = "possible_bytes")]
    pub bytes: u64,
    /// Of the file: 64 lower-case hexadecimal digits.
    #[serde(deserialize_with = "sha256_digits")]
    pub sha256: String,
    /// Length of its output.
    pub classes: usize,
    /// Height and width of its input, pixels.
    pub size: [u32; 2],
    /// Share of the resized picture's shorter side that the centre crop keeps.
    pub crop_pct: f64,
    /// How pictures are resized.
    pub interpolation: Interpolation,
    /// Of red, green and blue in 0..=1.
    pub mean: [f64; 3],
    /// Of red, green and blue in 0..=1.
    pub std: [f64; 3],
}

impl Catalogue {
    /// The catalogue that ships inside the program.
    ///
    /// # Errors
    /// [`ZooError::Catalogue`], if the program was built with a broken one.
    pub fn embedded() -> Result<Self, ZooError> {
        Ok(Self::parse(Path::new("the zoo's catalogue.toml"), EMBEDDED)?)
    }

    /// Reads `text`, the content of `file`.
    ///
    /// # Errors
    /// Naming file, key, value and expectation: names that are no file names, lengths of 0 or above [`MAX_MODEL_BYTES`], malformed checksums.
    pub fn parse(file: &Path, text: &str) -> Result<Self, TextFileError> {
        let mut catalogue: Self = toml_file::parse(file, text)?;
        if let Some(name) = catalogue.models.keys().find(|name| !is_plain(name)) {
            let line = toml_file::line_of(text, text.find(name.as_str()).map(|at| at..at));
            let (value, expected) = (format!("{name:?}"), format!("names of {PLAIN}"));
            return Err(TextFileError::Value { file: file.to_owned(), line, key: "models".to_owned(), value, expected });
        }
        for (name, entry) in &mut catalogue.models {
            entry.name.clone_from(name);
            entry.license.clone_from(&catalogue.license);
        }
        Ok(catalogue)
    }

    /// The model called `name`.
    ///
    /// # Errors
    /// [`ZooError::Unknown`], with the nearest name there is.
    pub fn find(&self, name: &str) -> Result<&Entry, ZooError> {
        self.models.get(name).ok_or_else(|| self.unknown(name))
    }

    /// The models with `part` in their names, by name.
    ///
    /// # Errors
    /// [`ZooError::Unknown`], where there are none.
    pub fn matching(&self, part: &str) -> Result<Vec<&Entry>, ZooError> {
        let found: Vec<&Entry> = self.models.values().filter(|entry| entry.name.contains(part)).collect();
        if found.is_empty() { Err(self.unknown(part)) } else { Ok(found) }
    }

    fn unknown(&self, name: &str) -> ZooError {
        let nearest = nearest(name, self.models.keys().map(String::as_str)).unwrap_or_default();
        ZooError::Unknown { name: name.to_owned(), nearest: nearest.to_owned(), models: self.models.len() }
    }
}

impl Entry {
    /// Roughly how many parameters the network has: a quarter of the file's bytes, since nearly all of it are f32 weights. The graph itself and
    /// stored shapes count in, which is some per cent for the smallest networks.
    pub fn approximate_parameters(&self) -> u64 {
        self.bytes / 4
    }

    /// The names of its classes, one a line; absent where the catalogue has none, which is so for all that are not ImageNet's 1,000.
    pub fn labels(&self) -> Option<&'static str> {
        (self.classes == 1000).then_some(IMAGENET_LABELS)
    }

    /// The address of its file below `endpoint`.
    pub fn url(&self, endpoint: &str) -> String {
        format!("{endpoint}/onnxmodelzoo/{file}/resolve/main/{file}.onnx", file = self.file)
    }
}

const PLAIN: &str = "letters, digits, \".\", \"_\" and \"-\", with no \".\" in front";

/// Whether `text` can be the name of a file, and part of an address, as it is.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('.') && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

fn plain<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if is_plain(&text) { Ok(text) } else { Err(D::Error::custom(format!("expected {PLAIN}"))) }
}

fn possible_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    const POSSIBLE: RangeInclusive<u64> = 1..=MAX_MODEL_BYTES;
    let bytes = u64::deserialize(deserializer)?;
    let expected = || D::Error::custom(format!("expected 1 to {MAX_MODEL_BYTES}, the most bytes that an ONNX file can have"));
    if POSSIBLE.contains(&bytes) { Ok(bytes) } else { Err(expected()) }
}

fn sha256_digits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let well_formed = text.len() == 64 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    if well_formed { Ok(text) } else { Err(D::Error::custom("expected 64 lower-case hexadecimal digits")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"n = { file = "n_1", bytes = 5, sha256 = "0000000000000000000000000000000000000000000000000000000000000000", classes = 2, size = [8, 8], crop_pct = 1.0, interpolation = "bicubic", mean = [0, 0, 0], std = [1, 1, 1] }"#;

    fn parse(change: (&str, &str)) -> Result<Catalogue, TextFileError> {
        let text = format!("license = \"MIT\"\n[models]\n{}\n", LINE.replacen(change.0, change.1, 1));
        Catalogue::parse(Path::new("zoo.toml"), &text)
    }

    #[test]
    fn the_embedded_catalogue_holds_132_models_and_their_labels() {
        let catalogue = Catalogue::embedded().unwrap();
        assert_eq!(catalogue.matching("").unwrap().len(), 132);
        let entry = catalogue.find("seresnet50").unwrap();
        assert_eq!(entry.url("https://h"), "https://h/onnxmodelzoo/seresnet50_Opset17/resolve/main/seresnet50_Opset17.onnx");
        assert_eq!(entry.labels().unwrap().lines().count(), 1000);
        assert_eq!(catalogue.find("tf_efficientnetv2_s_in21k").unwrap().labels(), None);
        assert!(catalogue.matching("senet154").unwrap().iter().any(|entry| entry.name == "senet154"));
        assert!(catalogue.find("lcnet_050").is_ok());
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest_one() {
        let message = Catalogue::embedded().unwrap().find("seresnet5").unwrap_err().to_string();
        assert_eq!(message, "the zoo has no \"seresnet5\", the nearest of its 132 models is \"seresnet50\"; `senet zoo list` names them all");
    }

    #[test]
    fn a_file_above_the_bound_is_refused_with_file_key_value_and_expectation() {
        let refused = |bytes: &str| parse(("bytes = 5", bytes)).unwrap_err().to_string();
        let expected = "expected 1 to 2147483647, the most bytes that an ONNX file can have";
        assert_eq!(refused("bytes = 3000000000"), format!("zoo.toml, line 3: models.n.bytes is 3000000000, {expected}"));
        assert_eq!(refused("bytes = 0"), format!("zoo.toml, line 3: models.n.bytes is 0, {expected}"));
    }

    #[test]
    fn names_and_checksums_are_checked() {
        assert!(parse(("", "")).is_ok());
        let message = parse(("n = {", "\"../n\" = {")).unwrap_err().to_string();
        assert_eq!(message, format!("zoo.toml, line 3: models is \"../n\", expected names of {PLAIN}"));
        let message = parse(("n_1", "a/b")).unwrap_err().to_string();
        assert_eq!(message, format!("zoo.toml, line 3: models.n.file is \"a/b\", expected {PLAIN}"));
        let message = parse(("\"00", "\"ZZ")).unwrap_err().to_string();
        assert!(message.ends_with("expected 64 lower-case hexadecimal digits"), "{message}");
    }
}
