//! The options of a request, from its query, its JSON body and its form fields alike.

use axum::http::Uri;

use super::problem::{Kind, Problem};
use crate::attention::{AttentionRequest, Detail};
use crate::classifier::Options;
use crate::excerpt::excerpt;

/// The names that are known.
pub(super) const NAMES: [&str; 5] = ["model", "top_k", "attention", "attention_top", "blocks"];
/// More patterns than any network has blocks.
const MAX_BLOCK_PATTERNS: usize = 256;
/// Of one value: as many patterns, each as long as the names of blocks are.
const MAX_VALUE_BYTES: usize = 16 << 10;
/// What the numbers are expected to be.
pub(super) const WHOLE: &str = "a whole number of 1 or more";
/// How similar (Jaro-Winkler, 0 to 1) a name must be to be suggested.
const SIMILAR: f64 = 0.75;

/// What a request, or a part of it, asked for, each at most once.
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
        let mut parameters = Self::default();
        // One pair after the other: none is kept behind the first that is wrong.
        pairs(uri).try_for_each(|(name, value)| parameters.set(&name, &value))?;
        Ok(parameters)
    }

    /// These of the query, and those of the `body`; what both ask for must be the same.
    ///
    /// # Errors
    /// `invalid-parameter`.
    pub(super) fn and(self, body: Self) -> Result<Self, Problem> {
        Ok(Self {
            model: agreed("model", self.model, body.model)?,
            top_k: agreed("top_k", self.top_k, body.top_k)?,
            attention: agreed("attention", self.attention, body.attention)?,
            attention_top: agreed("attention_top", self.attention_top, body.attention_top)?,
            blocks: agreed("blocks", self.blocks, body.blocks)?,
        })
    }

    /// Takes one more parameter as text.
    ///
    /// # Errors
    /// `invalid-parameter` for a name that is not known or was given before, and for a value that is too long or out of range.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        if !is_parameter(name) {
            return Err(unknown(name, NAMES));
        }
        check_length(name, value.len())?;
        // Some editors and shells put a byte-order mark before every text.
        let value = value.strip_prefix('\u{feff}').unwrap_or(value);
        match name {
            "model" => once(name, &mut self.model, value.to_owned()),
            "top_k" => once(name, &mut self.top_k, positive(name, value)?),
            "attention" => once(name, &mut self.attention, detail(value)?),
            "attention_top" => once(name, &mut self.attention_top, positive(name, value)?),
            "blocks" => self.set_blocks(value.split(',').take(MAX_BLOCK_PATTERNS).map(str::to_owned).collect(), value.split(',').count()),
            _ => Err(unknown(name, NAMES)),
        }
    }

    /// Takes the `patterns` of blocks, or the first of `count` of them where those are too many.
    ///
    /// # Errors
    /// `invalid-parameter` when they were given before, when one is empty, or when there are too many or too long ones.
    pub(super) fn set_blocks(&mut self, patterns: Vec<String>, count: usize) -> Result<(), Problem> {
        if count > MAX_BLOCK_PATTERNS {
            let problem = invalid_parameter(format!("blocks has {count} names, the limit is {MAX_BLOCK_PATTERNS}"));
            return Err(problem.with_limit(MAX_BLOCK_PATTERNS as u64).with_actual(count as u64));
        }
        check_length("blocks", patterns.iter().map(String::len).sum())?;
        if patterns.iter().any(String::is_empty) {
            return Err(invalid_parameter("blocks has an empty name, expected names of SE blocks, in which * stands for any characters"));
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

/// The names and values in the query of `uri`.
pub(super) fn pairs(uri: &Uri) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
}

/// Whether there is a parameter called `name`.
pub(super) fn is_parameter(name: &str) -> bool {
    NAMES.contains(&name)
}

/// The problem of `name`, which is none of `known`.
pub(super) fn unknown(name: &str, known: impl IntoIterator<Item = &'static str> + Clone) -> Problem {
    let name = excerpt(name);
    let rest = match meant(&name, known.clone()) {
        Some(meant) => format!("; did you mean {meant}?"),
        None => format!(", expected {}", known.into_iter().collect::<Vec<_>>().join(", ")),
    };
    invalid_parameter(format!("there is no parameter {name:?}{rest}"))
}

/// What of `known` somebody who wrote `word`, a short text, may have meant.
pub(super) fn meant(word: &str, known: impl IntoIterator<Item = &'static str>) -> Option<&'static str> {
    let scored = known.into_iter().map(|known| (strsim::jaro_winkler(word, known), known)).max_by(|a, b| a.0.total_cmp(&b.0));
    scored.filter(|(score, _)| *score >= SIMILAR).map(|(_, nearest)| nearest)
}

/// A problem of that kind.
pub(super) fn invalid_parameter(detail: impl Into<String>) -> Problem {
    Problem::new(Kind::InvalidParameter, detail)
}

fn agreed<T: PartialEq>(name: &str, query: Option<T>, body: Option<T>) -> Result<Option<T>, Problem> {
    match (query, body) {
        (Some(query), Some(body)) if query != body => Err(invalid_parameter(format!("{name} is one thing in the query and another in the body"))),
        (query, body) => Ok(query.or(body)),
    }
}

fn check_length(name: &str, bytes: usize) -> Result<(), Problem> {
    if bytes <= MAX_VALUE_BYTES {
        return Ok(());
    }
    let problem = invalid_parameter(format!("{name} has {bytes} bytes, the limit is {MAX_VALUE_BYTES}"));
    Err(problem.with_limit(MAX_VALUE_BYTES as u64).with_actual(bytes as u64))
}

/// Puts `value` into `place`, which is that of the parameter called `name`.
pub(super) fn once<T>(name: &str, place: &mut Option<T>, value: T) -> Result<(), Problem> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(invalid_parameter(format!("{name} is given twice"))),
    }
}

fn positive(name: &str, value: &str) -> Result<usize, Problem> {
    match value.trim().parse() {
        Ok(0) | Err(_) => Err(invalid_parameter(format!("{name} is {:?}, expected {WHOLE}", excerpt(value)))),
        Ok(number) => Ok(number),
    }
}

fn detail(value: &str) -> Result<Detail, Problem> {
    let found = Detail::ALL.into_iter().find(|detail| detail.name() == value.trim());
    let unknown = || {
        let word = excerpt(value);
        let hint = meant(&word, Detail::ALL.map(Detail::name)).map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
        invalid_parameter(format!("attention is {word:?}, expected none, summary, top or full{hint}"))
    };
    found.ok_or_else(unknown)
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
        for name in ["top_k", "attention", "nothing"] {
            let detail = parse(&format!("{name}={}", "9".repeat(5000))).unwrap_err();
            assert!(detail.len() < 200, "{detail}");
        }
        assert!(parse(&format!("{}=1", "9".repeat(5000))).unwrap_err().len() < 200);
    }

    #[test]
    fn values_have_a_length_and_lists_a_number() {
        let long = "x".repeat(MAX_VALUE_BYTES);
        assert!(parse(&format!("model={long}")).is_ok());
        assert_eq!(parse(&format!("model={long}x")).unwrap_err(), "model has 16385 bytes, the limit is 16384");
        assert!(parse(&format!("blocks=x{}", ",x".repeat(MAX_BLOCK_PATTERNS - 1))).is_ok());
        assert_eq!(parse(&format!("blocks=x{}", ",x".repeat(5000))).unwrap_err(), "blocks has 5001 names, the limit is 256");
        let listed = Parameters::default().set_blocks(vec![long; 2], 2).unwrap_err();
        assert_eq!(serde_json::to_value(listed.body("")).unwrap()["actual"], 2 * MAX_VALUE_BYTES);
    }

    #[test]
    fn the_query_and_the_body_may_say_the_same_but_not_two_things() {
        let parameters = |query: &str| Parameters::from_query(&format!("/?{query}").parse().unwrap()).unwrap();
        let both = parameters("model=a&top_k=3").and(parameters("top_k=3&attention=full&blocks=x")).unwrap();
        assert_eq!(both, parameters("model=a&top_k=3&attention=full&blocks=x"));
        for (query, body) in [("model=a", "model=b"), ("blocks=a", "blocks=a,b"), ("attention=top", "attention=full")] {
            assert!(parameters(query).and(parameters(body)).is_err(), "{query} {body}");
        }
    }
}
