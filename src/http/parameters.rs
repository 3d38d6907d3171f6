//! The options of a request, from its query, its JSON body and its form fields alike.

use std::fmt::Display;

use axum::extract::Query;
use axum::http::Uri;

use super::problem::{Kind, Problem};
use crate::attention::{AttentionRequest, Detail};
use crate::classifier::Options;

/// The names that are known.
const NAMES: [&str; 5] = ["model", "top_k", "attention", "attention_top", "blocks"];
/// More patterns than any network has blocks.
pub(super) const MAX_BLOCK_PATTERNS: usize = 256;
/// How similar (Jaro-Winkler, 0 to 1) a name must be to be suggested.
const SIMILAR: f64 = 0.75;

/// What a request asked for, each at most once.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Parameters {
    model: Option<String>,
    top_k: Option<usize>,
    attention: Option<Detail>,
    attention_top: Option<usize>,
    blocks: Option<Vec<String>>,
}

impl Parameters {
    /// What the query of `uri` asks for.
    ///
    /// # Errors
    /// `invalid-parameter`.
    pub(super) fn from_query(uri: &Uri) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|e| invalid(e.body_text()))?;
        let mut parameters = Self::default();
        pairs.iter().try_for_each(|(name, value)| parameters.set(name, value))?;
        Ok(parameters)
    }

    /// Takes one more parameter as text.
    ///
    /// # Errors
    /// `invalid-parameter` for a name that is not known or was given before, and for a value out of range.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        match name {
            "model" => once(name, &mut self.model, value.to_owned()),
            "top_k" => once(name, &mut self.top_k, positive(name, value)?),
            "attention" => once(name, &mut self.attention, detail(value)?),
            "attention_top" => once(name, &mut self.attention_top, positive(name, value)?),
            "blocks" => self.set_blocks(value.split(',').map(str::to_owned).collect()),
            _ => Err(unknown(name)),
        }
    }

    /// Takes the patterns of blocks.
    ///
    /// # Errors
    /// `invalid-parameter` when they were given before, when one is empty, or when there are too many.
    pub(super) fn set_blocks(&mut self, patterns: Vec<String>) -> Result<(), Problem> {
        if patterns.len() > MAX_BLOCK_PATTERNS {
            let problem = invalid(format!("blocks has {} names, the limit is {MAX_BLOCK_PATTERNS}", patterns.len()));
            return Err(problem.with_limit(MAX_BLOCK_PATTERNS as u64).with_actual(patterns.len() as u64));
        }
        if patterns.iter().any(String::is_empty) {
            return Err(invalid("blocks has an empty name, expected names of SE blocks, in which * stands for any characters"));
        }
        once("blocks", &mut self.blocks, patterns)
    }

    /// The model asked for.
    pub(super) fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The rest, with defaults for what was not asked for; a model of few `classes` answers with all of them.
    pub(super) fn options(self, classes: usize) -> Options {
        let defaults = Options::default();
        let attention = AttentionRequest {
            detail: self.attention.unwrap_or(defaults.attention.detail),
            top: self.attention_top.unwrap_or(defaults.attention.top),
            blocks: self.blocks.unwrap_or(defaults.attention.blocks),
        };
        Options { top_k: self.top_k.unwrap_or(defaults.top_k.min(classes)), attention }
    }
}

fn once<T>(name: &str, place: &mut Option<T>, value: T) -> Result<(), Problem> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(invalid(format!("{name} is given twice"))),
    }
}

fn positive(name: &str, value: &str) -> Result<usize, Problem> {
    match value.parse() {
        Ok(0) | Err(_) => Err(invalid(format!("{name} is {:?}, expected a whole number of 1 or more", shortened(value)))),
        Ok(number) => Ok(number),
    }
}

fn detail(value: &str) -> Result<Detail, Problem> {
    let known = || Detail::ALL.into_iter().map(Detail::name);
    let found = Detail::ALL.into_iter().find(|detail| detail.name() == value);
    found.ok_or_else(|| invalid(format!("attention is {:?}, expected none, summary, top or full{}", shortened(value), suggestion(value, known()))))
}

/// The problem of a name that is not known.
pub(super) fn unknown(name: &str) -> Problem {
    let hint = suggestion(name, NAMES.into_iter());
    let rest = if hint.is_empty() { format!(", expected {}", NAMES.join(", ")) } else { hint };
    invalid(format!("there is no parameter {:?}{rest}", shortened(name)))
}

fn suggestion<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let scored = known.map(|known| (strsim::jaro_winkler(word, known), known)).max_by(|a, b| a.0.total_cmp(&b.0));
    scored.filter(|(score, _)| *score >= SIMILAR).map_or_else(String::new, |(_, nearest)| format!("; did you mean {nearest}?"))
}

/// Enough of a client's text to recognise it in an error.
fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

fn invalid(detail: impl Display) -> Problem {
    Problem::new(Kind::InvalidParameter, detail.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Parameters, String> {
        let uri = format!("/v1/classify?{query}").parse().unwrap();
        Parameters::from_query(&uri).map_err(|problem| serde_json::to_value(problem.body("")).unwrap()["detail"].as_str().unwrap().to_owned())
    }

    #[test]
    fn reads_every_parameter() {
        let parameters = parse("model=a%20b&top_k=3&attention=top&attention_top=4&blocks=layer1.*,layer2.0.se").unwrap();
        assert_eq!(parameters.model(), Some("a b"));
        let blocks = vec!["layer1.*".to_owned(), "layer2.0.se".to_owned()];
        let attention = AttentionRequest { detail: Detail::Top, top: 4, blocks };
        assert_eq!(parameters.options(1000), Options { top_k: 3, attention });
    }

    #[test]
    fn what_is_not_given_has_the_documented_default() {
        let options = parse("").unwrap().options(1000);
        assert_eq!((options.top_k, options.attention.detail, options.attention.top), (5, Detail::Summary, 8));
        assert_eq!(parse("").unwrap().options(2).top_k, 2);
    }

    #[test]
    fn names_what_is_wrong_and_what_would_be_right() {
        for (query, detail) in [
            ("topk=3", "there is no parameter \"topk\"; did you mean top_k?"),
            ("zzz=3", "there is no parameter \"zzz\", expected model, top_k, attention, attention_top, blocks"),
            ("top_k=0", "top_k is \"0\", expected a whole number of 1 or more"),
            ("top_k=-1", "top_k is \"-1\", expected a whole number of 1 or more"),
            ("top_k=five", "top_k is \"five\", expected a whole number of 1 or more"),
            ("top_k=1&top_k=2", "top_k is given twice"),
            ("attention=sumary", "attention is \"sumary\", expected none, summary, top or full; did you mean summary?"),
            ("blocks=", "blocks has an empty name, expected names of SE blocks, in which * stands for any characters"),
        ] {
            assert_eq!(parse(query).unwrap_err(), detail);
        }
    }

    #[test]
    fn a_long_value_is_shortened_in_the_answer() {
        assert!(parse(&format!("top_k={}", "9".repeat(5000))).unwrap_err().len() < 200);
    }
}
