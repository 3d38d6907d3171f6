//! A file that states something of the input contract, and which of several such files is believed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::error::ModelError;
use super::manifest::InputSection;
use crate::image::ContractError;

/// Where every value comes from: keys as in `model.toml` (`input.mean`), then the file, or `default`.
pub type Origins = BTreeMap<&'static str, String>;

/// What is called the origin of a value that nobody states.
pub(super) const DEFAULT: &str = "default";

/// What one file states, in the words of `model.toml`.
pub(super) struct Statement {
    /// For people, such as `config.json (pretrained_cfg)`.
    pub name: String,
    pub path: PathBuf,
    /// Our key and the file's own, where they differ.
    pub keys: &'static [(&'static str, &'static str)],
    pub input: InputSection,
}

impl Statement {
    /// `model.toml` at `path`, or what takes its place.
    pub(super) fn manifest(path: PathBuf, input: InputSection) -> Self {
        Self { name: "model.toml".to_owned(), path, keys: &[], input }
    }

    /// The file's own word for `key`, which is one of `model.toml`'s with its table.
    pub(super) fn word(&self, key: &'static str) -> &'static str {
        self.keys.iter().find(|(ours, _)| *ours == key).map_or(key, |(_, theirs)| theirs)
    }

    /// What is wrong with this file's value.
    pub(super) fn refuse(&self, error: ContractError) -> ModelError {
        let theirs = self.keys.iter().find(|(ours, _)| ours.strip_prefix("input.") == Some(error.key)).map(|(_, theirs)| (*theirs).to_owned());
        let key = theirs.unwrap_or_else(|| format!("input.{}", error.key));
        ModelError::Value { file: self.path.clone(), key, value: error.value, expected: error.expected }
    }
}

/// A choice under way: the sources, the most trusted first, and what was found while choosing.
pub(super) struct Choice<'a> {
    pub sources: &'a [Statement],
    pub origins: Origins,
    pub warnings: &'a mut Vec<String>,
}

impl Choice<'_> {
    /// The value of `key` that the first source gives; every other one that differs is a warning.
    pub(super) fn stated<T: PartialEq + Serialize>(&mut self, key: &'static str, of: impl Fn(&Statement) -> Option<T>) -> Option<T> {
        let mut stated = self.sources.iter().filter_map(|source| Some((source, of(source)?)));
        let (first, chosen) = stated.next()?;
        for (other, value) in stated.filter(|(_, value)| *value != chosen) {
            let [(ours, believed), (theirs, left)] = [(first, &chosen), (other, &value)].map(|(source, value)| (source.word(key), shown(value)));
            self.warnings.push(format!("{ours} is {believed} in {}, yet {theirs} is {left} in {}: the former holds", first.name, other.name));
        }
        self.origins.insert(key, first.name.clone());
        Some(chosen)
    }

    /// `stated`, or a guess, which is a warning.
    pub(super) fn or<T>(&mut self, stated: Option<T>, default: T, key: &'static str, shown: &str) -> T {
        stated.unwrap_or_else(|| {
            self.warnings.push(format!("{key} is not given, {shown} is assumed"));
            self.origins.insert(key, DEFAULT.to_owned());
            default
        })
    }

    /// Whoever gave the value of the error's key is to blame, else `model.toml`, which should have.
    pub(super) fn blame(&self, error: ContractError) -> ModelError {
        let of_key = |(key, _): &(&&'static str, &String)| key.strip_prefix("input.") == Some(error.key);
        let origin = self.origins.iter().find(of_key).map(|(_, origin)| origin);
        match self.sources.iter().find(|source| Some(&source.name) == origin).or(self.sources.first()) {
            Some(source) => source.refuse(error),
            None => Statement::manifest("model.toml".into(), InputSection::default()).refuse(error),
        }
    }
}

/// A value as JSON and TOML alike spell it.
pub(super) fn shown(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::manifest::PerChannel;
    use super::*;

    fn source(name: &str, mean: Option<[f32; 3]>) -> Statement {
        let input = InputSection { mean: mean.map(PerChannel::Each), ..InputSection::default() };
        Statement { name: name.to_owned(), path: name.into(), keys: &[("input.mean", "image_mean")], input }
    }

    #[test]
    fn the_first_source_is_believed_and_others_are_named_where_they_differ() {
        let sources = [source("none", None), source("a", Some([0.5; 3])), source("b", Some([0.5; 3])), source("c", Some([0.0; 3]))];
        let mut warnings = Vec::new();
        let mut choice = Choice { sources: &sources, origins: Origins::new(), warnings: &mut warnings };
        assert_eq!(choice.stated("input.mean", |source| source.input.mean.map(PerChannel::each)), Some([0.5; 3]));
        assert_eq!(choice.origins["input.mean"], "a");
        assert_eq!(warnings, ["image_mean is [0.5,0.5,0.5] in a, yet image_mean is [0.0,0.0,0.0] in c: the former holds"]);
    }

    #[test]
    fn an_error_names_the_file_and_the_word_that_it_comes_from() {
        let sources = [Statement::manifest("model.toml".into(), InputSection::default()), source("b", Some([0.0; 3]))];
        let mut choice = Choice { sources: &sources, origins: Origins::new(), warnings: &mut Vec::new() };
        choice.stated("input.mean", |source| source.input.mean.map(PerChannel::each));
        let error = |key| ContractError { key, value: "x".to_owned(), expected: "y".to_owned() };
        assert_eq!(choice.blame(error("mean")).to_string(), "b: image_mean is x, expected y");
        assert_eq!(choice.blame(error("std")).to_string(), "model.toml: input.std is x, expected y");
    }
}
