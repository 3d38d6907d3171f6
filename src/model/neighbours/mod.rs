//! The JSON files that other programs put beside a network: what they say of its input and of its classes.

mod processor;
mod timm;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use self::processor::Processor;
use self::timm::PretrainedCfg;
use super::class_names::{ClassNames, Misnumbered};
use super::error::ModelError;
use super::files::{Inside, Labels};
use super::manifest::InputSection;
use super::statement::Statement;
use crate::image::Color;
use crate::inference::OutputActivation;
use crate::json_file;

/// What they say, the file of the image processor before timm's: transformers looks for them in this order.
#[derive(Default)]
pub(super) struct Neighbours {
    processor: Option<(PathBuf, Processor)>,
    timm: Option<(PathBuf, &'static str, PretrainedCfg)>,
    problem_type: Option<ProblemType>,
    /// `config.json`, where it says that there is one channel.
    grey: Option<PathBuf>,
    /// Of the classes, the most trusted first.
    pub labels: Vec<Labels>,
}

/// `config.json`: of a timm repository, of a transformers repository, or of neither.
#[derive(Default, Deserialize)]
#[serde(default, expecting = "an object")]
struct Config {
    pretrained_cfg: Option<PretrainedCfg>,
    /// Only files of timm have it; early ones have the entries of `pretrained_cfg` beside it.
    architecture: Option<String>,
    id2label: Option<ClassNames>,
    problem_type: Option<ProblemType>,
    num_channels: Option<u64>,
    label_names: Option<ClassNames>,
    label_descriptions: Option<BTreeMap<String, String>>,
}

/// What transformers trained for; of a value that it does not know it says so itself.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ProblemType {
    SingleLabelClassification,
    MultiLabelClassification,
    #[serde(other)]
    Another,
}

impl Neighbours {
    /// Reads those that lie in `folder`.
    ///
    /// # Errors
    /// [`ModelError`] for a file that leads out of the folder, is no JSON or has a value of the wrong type.
    pub(super) fn read(folder: &Inside<'_>) -> Result<Self, ModelError> {
        let mut found = Self::default();
        if let Some(path) = folder.existing("index_to_name.json")? {
            let names: ClassNames = json_file::read(&path)?;
            found.add_labels(&path, "index_to_name.json", "class", names)?;
        }
        if let Some(path) = folder.existing("preprocessor_config.json")? {
            let mut processor: Processor = json_file::read(&path)?;
            match processor.pretrained_cfg.take() {
                Some(cfg) => found.timm = Some((path, "preprocessor_config.json (pretrained_cfg)", cfg)),
                None => found.processor = Some((path, processor)),
            }
        }
        if let Some(path) = folder.existing("config.json")? {
            found.add_config(path)?;
        }
        Ok(found)
    }

    fn add_config(&mut self, path: PathBuf) -> Result<(), ModelError> {
        let Config { pretrained_cfg, architecture, id2label, problem_type, num_channels, label_names, label_descriptions } = json_file::read(&path)?;
        self.problem_type = problem_type;
        self.grey = (num_channels == Some(1)).then(|| path.clone());
        let (name, cfg) = match pretrained_cfg {
            None if architecture.is_some() => ("config.json", Some(json_file::read::<PretrainedCfg>(&path)?)),
            cfg => ("config.json (pretrained_cfg)", cfg),
        };
        if let Some(names) = id2label {
            self.add_labels(&path, "config.json (id2label)", "id2label", names)?;
        }
        // The outer names replace the inner ones, as in timm.
        let inner = cfg.as_ref().and_then(|cfg| cfg.label_names.clone());
        if let Some(names) = label_names.or(inner) {
            self.add_labels(&path, "config.json (label_names)", "label_names", names)?;
            self.describe_last(&label_descriptions.unwrap_or_default());
        }
        if let (None, Some(cfg)) = (&self.timm, cfg) {
            self.timm = Some((path, name, cfg));
        }
        Ok(())
    }

    fn add_labels(&mut self, path: &Path, origin: &str, key: &str, names: ClassNames) -> Result<(), ModelError> {
        let names = names.in_order().map_err(|Misnumbered { index, value, expected }| ModelError::Value {
            file: path.to_owned(),
            key: format!("{key}.{index}"),
            value: value.to_owned(),
            expected,
        })?;
        // What transformers writes for classes without names.
        let is_placeholder = |(index, name): (usize, &String)| *name == format!("LABEL_{index}");
        if !names.iter().enumerate().all(is_placeholder) {
            self.labels.push(Labels { path: path.to_owned(), origin: origin.to_owned(), names });
        }
        Ok(())
    }

    /// Puts descriptions in the place of the names of the labels added last, if every one of them has one.
    fn describe_last(&mut self, descriptions: &BTreeMap<String, String>) {
        let Some(labels) = self.labels.last_mut() else { return };
        let described = labels.names.iter().map(|name| descriptions.get(name).cloned()).collect::<Option<Vec<_>>>();
        labels.names = described.unwrap_or_else(|| std::mem::take(&mut labels.names));
    }

    /// What turns the network's scores into probabilities, and the file that says it.
    pub(super) fn activation(&self) -> Option<(OutputActivation, &'static str)> {
        let activation = match self.problem_type? {
            ProblemType::SingleLabelClassification => OutputActivation::Softmax,
            ProblemType::MultiLabelClassification => OutputActivation::Sigmoid,
            ProblemType::Another => return None,
        };
        Some((activation, "config.json (problem_type)"))
    }

    /// What they say of the input of a network whose size is `network`, where that is fixed; `warnings` receives what is not carried out.
    pub(super) fn sources(&self, network: Option<[u32; 2]>, warnings: &mut Vec<String>) -> Vec<Statement> {
        let mut sources = Vec::new();
        let mut add = |name: &str, path: &Path, keys, input: &dyn Fn(&mut Vec<String>) -> _| {
            let mut found = Vec::new();
            sources.push(Statement { name: name.to_owned(), path: path.to_owned(), keys, input: input(&mut found) });
            warnings.extend(found.into_iter().map(|warning| format!("{name}: {warning}")));
        };
        if let Some((path, processor)) = &self.processor {
            add("preprocessor_config.json", path, &processor::KEYS, &|found| processor.input(found));
        }
        if let Some((path, name, cfg)) = &self.timm {
            add(name, path, &timm::KEYS, &|found| cfg.input(network, found));
        }
        if let Some(path) = &self.grey {
            let input = InputSection { color: Some(Color::Grey), ..InputSection::default() };
            add("config.json (num_channels)", path, &[("input.color", "num_channels")], &|_| input.clone());
        }
        sources
    }
}
