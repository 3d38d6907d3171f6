//! The one front door: an encoded picture in, ranked labels with attention out; knows neither HTTP nor tract.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

use crate::attention::{Attention, AttentionRequest, Detail, names_a_block, summarise};
use crate::excerpt::excerpt;
use crate::image::{DecodeError, ImageInfo, Limits, decode_part, needed, preprocess_into};
use crate::inference::{EngineError, Gates, Inference, NotFinite, OutputActivation, Prediction, top_k};
use crate::model::Model;
use crate::ops::Busy;

/// What a caller wants to know of one picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How many classes, 1 to the model's number of classes.
    pub top_k: usize,
    /// How much attention.
    pub attention: AttentionRequest,
}

impl Default for Options {
    fn default() -> Self {
        Self { top_k: 5, attention: AttentionRequest::default() }
    }
}

/// Says when work on a request is no longer wanted; asked before every stage.
#[derive(Debug, Clone, Default)]
pub struct Ticket {
    deadline: Option<Instant>,
    abandoned: Arc<AtomicBool>,
}

impl Ticket {
    /// A ticket that expires at `deadline`.
    pub fn until(deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..Self::default() }
    }

    /// Nobody waits for the answer any more; seen by every clone.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// [`ClassifyError::Abandoned`] or [`ClassifyError::DeadlineExceeded`].
    pub fn check(&self) -> Result<(), ClassifyError> {
        if self.abandoned.load(Ordering::Relaxed) {
            return Err(ClassifyError::Abandoned);
        }
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(ClassifyError::DeadlineExceeded),
            _ => Ok(()),
        }
    }
}

/// How long each stage took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Timing {
    /// Reading the file's pixels.
    #[serde(rename = "decode_ms", serialize_with = "milliseconds")]
    pub decode: Duration,
    /// Resize, crop, normalisation.
    #[serde(rename = "preprocess_ms", serialize_with = "milliseconds")]
    pub preprocess: Duration,
    /// Waiting for a worker; zero where nobody queued.
    #[serde(rename = "queue_ms", serialize_with = "milliseconds")]
    pub queue: Duration,
    /// The network.
    #[serde(rename = "inference_ms", serialize_with = "milliseconds")]
    pub inference: Duration,
    /// Probabilities, ranking, attention.
    #[serde(rename = "postprocess_ms", serialize_with = "milliseconds")]
    pub postprocess: Duration,
    /// Everything from admission to the answer.
    #[serde(rename = "total_ms", serialize_with = "milliseconds")]
    pub total: Duration,
}

fn milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1e6).round() / 1e3)
}

/// The model that answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answerer {
    /// The model's name.
    pub name: String,
    /// The model's version.
    pub version: String,
}

/// The answer for one picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Classification {
    /// Who answered.
    pub model: Answerer,
    /// What was read.
    pub image: ImageInfo,
    /// What made the probabilities of the network's output: those of a softmax sum to 1, those of a sigmoid are each class's own.
    pub output_activation: OutputActivation,
    /// Most probable first.
    pub predictions: Vec<Prediction>,
    /// Absent where the request wanted none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention: Option<Attention>,
    /// Fingerprint of the input contract.
    pub preprocessing: String,
    /// How long it took.
    pub timing: Timing,
}

/// Why a picture was not classified.
#[derive(Debug, thiserror::Error)]
pub enum ClassifyError {
    /// The model has fewer classes than were asked for.
    #[error("top_k is {actual}, expected 1 to {classes}, the classes of {model}")]
    TopK {
        /// What was asked for.
        actual: usize,
        /// What the model has.
        classes: usize,
        /// The model's name.
        model: String,
    },
    /// No block has such a name.
    #[error("no SE block of {model} matches {pattern:?}")]
    UnknownBlock {
        /// The beginning of what was asked for.
        pattern: String,
        /// The model's name.
        model: String,
    },
    /// The bytes are not a picture that may be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The network failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The network's answer holds what is no number.
    #[error("model {model}: {source}")]
    NotFinite {
        /// The model's name.
        model: String,
        /// Which value.
        source: NotFinite,
    },
    /// The caller has gone.
    #[error("nobody waits for the answer any more")]
    Abandoned,
    /// The ticket has expired.
    #[error("the deadline passed before the answer was ready")]
    DeadlineExceeded,
}

/// Classifies pictures; shared by all workers.
#[derive(Debug, Clone, Default)]
pub struct Classifier {
    limits: Limits,
}

impl Classifier {
    /// A classifier that decodes within `limits`.
    pub fn new(limits: Limits) -> Self {
        Self { limits }
    }

    /// Checks what can be checked of `options` before any work.
    ///
    /// # Errors
    /// [`ClassifyError::TopK`] and [`ClassifyError::UnknownBlock`].
    pub fn check(&self, model: &Model, options: &Options) -> Result<(), ClassifyError> {
        let summary = model.engine().summary();
        if !(1..=summary.classes).contains(&options.top_k) {
            return Err(ClassifyError::TopK { actual: options.top_k, classes: summary.classes, model: model.name().to_owned() });
        }
        match options.attention.blocks.iter().find(|pattern| !names_a_block(pattern, &summary.se_blocks)) {
            Some(pattern) => Err(ClassifyError::UnknownBlock { pattern: excerpt(pattern), model: model.name().to_owned() }),
            None => Ok(()),
        }
    }

    /// Classifies one encoded picture on the calling thread.
    ///
    /// # Errors
    /// For options that the model cannot meet, a picture that cannot be decoded within the limits, a network that fails, and a `ticket`
    /// that is no longer good, which is looked at before every stage.
    pub fn classify(&self, model: &Model, image: &[u8], options: &Options, ticket: &Ticket) -> Result<Classification, ClassifyError> {
        let start = Instant::now();
        let _busy = Busy::start();
        self.check(model, options)?;
        ticket.check()?;
        let contract = model.contract();
        let (info, picture) = decode_part(image, &self.limits, |size| needed(size, contract))?;
        let decode = start.elapsed();
        ticket.check()?;
        let mut input = model.engine().input()?;
        let arrangement = input.arrangement().unwrap_or(contract.layout.into());
        let (actual, expected) = (arrangement.len(contract.size, contract.color.channels()), input.len());
        if actual != expected {
            return Err(EngineError::InputLength { actual, expected }.into());
        }
        preprocess_into(picture, contract, arrangement, &mut input);
        let preprocess = start.elapsed() - decode;
        ticket.check()?;
        let gates = if options.attention.detail == Detail::None { Gates::Drop } else { Gates::Return };
        let inference = model.engine().run(input, gates)?;
        let ran = start.elapsed();
        let predictions =
            rank(model, &inference, options.top_k).map_err(|source| ClassifyError::NotFinite { model: model.name().to_owned(), source })?;
        let attention = (gates == Gates::Return).then(|| summarise(&model.engine().summary().se_blocks, &inference.gates, &options.attention));
        let total = start.elapsed();
        let timing = Timing { decode, preprocess, inference: ran - decode - preprocess, postprocess: total - ran, total, ..Timing::default() };
        Ok(Classification {
            model: Answerer { name: model.name().to_owned(), version: model.version().to_owned() },
            image: info,
            output_activation: model.output_activation(),
            predictions,
            attention,
            preprocessing: model.fingerprint().to_owned(),
            timing,
        })
    }
}

/// The `k` most probable classes: every activation keeps the order of its inputs, and tells apart more of them than its results.
fn rank(model: &Model, inference: &Inference, k: usize) -> Result<Vec<Prediction>, NotFinite> {
    let probabilities = inference.probabilities(model.engine().summary(), model.output_activation())?;
    let predict =
        // Minus infinity has no place in JSON.
        |index: usize| Prediction { index, label: model.label(index).to_owned(), probability: probabilities[index], logit: inference.logits[index].max(f32::MIN) };
    Ok(top_k(&inference.logits, k).into_iter().map(predict).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::inference::{Engine, Input, LoadOptions, NetworkSummary, OutputActivation};
    use crate::model::{Origins, Parts};

    /// Lends memory for 47 values.
    struct Fake(NetworkSummary);

    impl Engine for Fake {
        fn input(&self) -> Result<Input<'static>, EngineError> {
            Ok(vec![0.0; 47].into())
        }

        fn run(&self, _input: Input<'_>, _gates: Gates) -> Result<Inference, EngineError> {
            Err(EngineError::Run("it has run".to_owned()))
        }

        fn summary(&self) -> &NetworkSummary {
            &self.0
        }
    }

    #[test]
    fn a_contract_of_another_size_than_the_network_is_an_error() {
        let contract = Model::bundled(LoadOptions::default()).unwrap().contract().clone();
        let model = Model::from_parts(Parts {
            name: "odd".to_owned(),
            version: "1".to_owned(),
            contract,
            output_activation: OutputActivation::Softmax,
            labels: vec![],
            engine: Arc::new(Fake(NetworkSummary { classes: 1, ..NetworkSummary::default() })),
            origins: Origins::default(),
            warnings: vec![],
        });
        let picture = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/chelsea.png")).unwrap();
        let options = Options { top_k: 1, ..Options::default() };
        let classified = Classifier::default().classify(&model, &picture, &options, &Ticket::default());
        assert!(matches!(classified, Err(ClassifyError::Engine(EngineError::InputLength { actual: 3072, expected: 47 }))), "{classified:?}");
    }

    #[test]
    fn a_ticket_is_good_until_its_deadline_or_until_it_is_abandoned() {
        let now = Instant::now();
        assert!(matches!(Ticket::until(now).check(), Err(ClassifyError::DeadlineExceeded)));
        let ticket = Ticket::until(now + Duration::from_secs(3600));
        assert!(ticket.check().is_ok());
        ticket.clone().abandon();
        assert!(matches!(ticket.check(), Err(ClassifyError::Abandoned)));
    }
}
