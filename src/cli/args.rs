//! Options that several subcommands share.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use super::error::CliError;
use super::place::Place;
use super::values::{some_time, whole};
use super::zoo::{self, DEFAULT_FOLDER, Listener};
use crate::config::{HumanDuration, LogFormat};
use crate::graph::Lowering;
use crate::image::Limits;
use crate::inference::LoadOptions;
use crate::kernels::maps::Winograd;
use crate::kernels::{Level, Simd, UnsupportedLevel};
#[cfg(feature = "object-store")]
use crate::model::Remote;
use crate::model::{LoadLimits, Location, Model, ModelError};
use crate::telemetry::say;
use crate::zoo::{Catalogue, Entry, Existing, ZooError};

/// Options of every subcommand.
#[derive(Debug, clap::Args)]
pub(super) struct Global {
    /// TOML file with a key for every option, such as http_addr for --http-addr
    #[arg(long, global = true, value_name = "FILE", help_heading = "Everywhere")]
    pub config: Option<PathBuf>,
    /// Instruction set of the kernels: auto, scalar, neon, avx2 or avx512
    #[arg(long, global = true, value_name = "LEVEL", default_value = "auto", help_heading = "Everywhere")]
    pub simd: SimdChoice,
    /// Winograd's convolutions, faster and less exact: off, f2 (tiles of 2 × 2) or f4 (also of 4 × 4)
    #[arg(long, global = true, value_name = "TILES", default_value = "f4", help_heading = "Everywhere")]
    pub winograd: Winograd,
    /// The most threads that one image is spread over, while cores are idle [default: one per usable core]
    #[arg(long, global = true, value_name = "N", value_parser = whole(1usize..=1024), help_heading = "Everywhere")]
    pub intra_op_threads: Option<usize>,
    /// Refuse models whose files leave a value of the input or the labels to guess, or contradict each other
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub strict: bool,
    /// Shape of log lines; auto is text on a terminal and JSON elsewhere
    #[arg(long, global = true, value_name = "FORMAT", default_value = "auto", help_heading = "Everywhere")]
    pub log_format: LogFormat,
    /// What is logged, such as debug or warn,senet=debug [default: info for serve, warn otherwise]
    #[arg(long, global = true, value_name = "FILTER", help_heading = "Everywhere")]
    pub log_filter: Option<String>,
}

impl Global {
    /// How every model is loaded.
    pub(super) fn load_options(&self) -> Result<LoadOptions, UnsupportedLevel> {
        let threads = self.intra_op_threads.unwrap_or(usize::MAX);
        let lowering = Lowering { winograd: self.winograd, threads };
        Ok(LoadOptions { simd: self.simd.resolve()?, lowering, strict: self.strict, ..LoadOptions::default() })
    }
}

/// What `--simd` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SimdChoice {
    /// The best this machine has.
    Auto,
    /// This one or none.
    Level(Level),
}

impl SimdChoice {
    fn resolve(self) -> Result<Simd, UnsupportedLevel> {
        match self {
            Self::Auto => Ok(Simd::detect()),
            Self::Level(level) => Simd::request(level),
        }
    }
}

impl FromStr for SimdChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => text.parse().map(Self::Level).map_err(|_| "expected auto, scalar, neon, avx2 or avx512".to_owned()),
        }
    }
}

/// Where models are looked up by name.
#[derive(Debug, clap::Args)]
pub(super) struct Models {
    /// Folder of model folders, <DIR>/<name>/model.onnx, where models are looked up by name; or s3://, gs://, az:// or https:// and a prefix
    #[arg(long, value_name = "DIR|URL")]
    pub models: Option<Place>,
    #[cfg(feature = "object-store")]
    #[command(flatten)]
    pub store: super::store::Settings,
    /// Fetch the model first, where it is one of `senet zoo list` and not there yet
    #[arg(long)]
    pub pull: bool,
    #[command(flatten)]
    load: Load,
}

/// What loading a model may cost.
#[derive(Debug, clap::Args)]
pub(super) struct Load {
    /// Have a process of its own, within the limits below, load and run every model once before this one does
    #[arg(long, value_name = "YES|NO", default_value_t = true, action = clap::ArgAction::Set)]
    check_models: bool,
    /// How long loading a model may take, and its check
    #[arg(long, value_name = "TIME", default_value_t = LoadLimits::default().timeout.into(), value_parser = some_time)]
    load_timeout: HumanDuration,
    /// Most memory of a model's check [default: 2 GiB and eight times the model's files]
    #[arg(long, value_name = "BYTES", value_parser = whole(1u64 << 26..))]
    load_memory: Option<u64>,
}

impl Load {
    fn limits(&self) -> LoadLimits {
        // Still this program when its file has been replaced.
        let own = Path::new("/proc/self/exe");
        let program = || if own.exists() { Some(own.to_owned()) } else { std::env::current_exe().ok() };
        LoadLimits { timeout: self.load_timeout.0, memory: self.load_memory, program: self.check_models.then(program).flatten() }
    }
}

/// What a reference means.
pub(super) struct Found {
    pub location: Location,
    /// To be fetched before the location is there: a model of the zoo, and the folder for it.
    pub missing: Option<(Entry, PathBuf)>,
}

impl Found {
    /// Makes the location be there, where it is not, and tells `listener` about every step.
    pub(super) fn fetch(&self, listener: &mut impl Listener) -> Result<(), ZooError> {
        let Some((entry, models)) = self.missing.as_ref().filter(|(entry, models)| !models.join(&entry.name).is_dir()) else { return Ok(()) };
        let said = zoo::fetch(entry, models, Existing::Keep, listener)?;
        listener.say(&said);
        Ok(())
    }
}

impl Models {
    /// What loading one of them may cost.
    pub(super) fn limits(&self) -> LoadLimits {
        self.load.limits()
    }

    /// The folder, if one was given; one to which models are pulled need not be there yet.
    pub(super) fn folder(&self) -> Result<Option<&Path>, CliError> {
        match self.models.as_ref().and_then(Place::folder) {
            Some(models) if !self.pull && !models.is_dir() => {
                Err(CliError::Configuration(format!("models is {models:?}, expected a folder that exists")))
            }
            models => Ok(models),
        }
    }

    /// What `reference` means where it is a model of the zoo, which is also looked up where `senet zoo pull` puts it when no folder is given.
    pub(super) fn find_in_zoo(&self, reference: &str) -> Result<Option<Found>, CliError> {
        let models = self.folder()?.unwrap_or(Path::new(DEFAULT_FOLDER));
        let catalogue = Catalogue::embedded()?;
        let Ok(entry) = catalogue.find(reference) else { return Ok(None) };
        match Location::find(reference, Some(models)) {
            Ok(location) => Ok(Some(Found { location, missing: None })),
            Err(ModelError::NotFound { .. }) if self.pull => {
                let location = Location::Folder { path: models.join(reference), version: None };
                Ok(Some(Found { location, missing: Some((entry.clone(), models.to_owned())) }))
            }
            Err(ModelError::NotFound { .. }) => {
                let models = models.display();
                let advice = format!("add --pull, or run `senet zoo pull {reference} --to {models}` first");
                Err(CliError::Failed(format!("no model {reference:?} in {models}, but the zoo has one: {advice}")))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The models called `named` in the store at `url`, or all.
    #[cfg(feature = "object-store")]
    pub(super) fn remote(&self, url: &url::Url, named: Vec<String>, options: LoadOptions) -> Result<Remote, CliError> {
        if self.pull {
            return Err(CliError::Configuration("pull is true, expected models to be a folder that models of the zoo can be put in".to_owned()));
        }
        self.store.open(url, named, options, self.limits())
    }

    /// The model that `reference` means, loaded; the bundled one where nothing was asked for.
    pub(super) fn load(&self, reference: Option<&str>, options: LoadOptions) -> Result<Model, CliError> {
        #[cfg(feature = "object-store")]
        if let (Some(url), Some(reference)) = (self.models.as_ref().and_then(Place::store), reference) {
            return super::store::load(self.remote(url, vec![reference.to_owned()], options)?, reference);
        }
        Ok(self.limits().load(&self.find(reference)?, options)?)
    }

    /// The model that `reference` means, loaded, and how long that took, its check aside.
    pub(super) fn load_timed(&self, reference: Option<&str>, options: LoadOptions) -> Result<(Model, Duration), CliError> {
        #[cfg(feature = "object-store")]
        if self.models.as_ref().and_then(Place::store).is_some() && reference.is_some() {
            let start = Instant::now();
            return Ok((self.load(reference, options)?, start.elapsed()));
        }
        let (limits, location) = (self.limits(), self.find(reference)?);
        limits.try_first(&location, options)?;
        let start = Instant::now();
        Ok((limits.load_here(&location, options)?, start.elapsed()))
    }

    /// Where the model that `reference` means lies, fetched where that is asked for.
    fn find(&self, reference: Option<&str>) -> Result<Location, CliError> {
        let Some(reference) = reference else {
            self.folder()?;
            return Ok(Location::Bundled);
        };
        let Some(found) = self.find_in_zoo(reference)? else {
            return Ok(Location::find(reference, self.folder()?)?);
        };
        found.fetch(&mut zoo::Bar::default())?;
        Ok(found.location)
    }

    /// As [`Models::load`], and says on standard error what a person should know of the model.
    pub(super) fn load_and_warn(&self, reference: Option<&str>, options: LoadOptions) -> Result<Model, CliError> {
        let model = self.load(reference, options)?;
        model.describe().network.warnings.iter().for_each(|warning| say(&format!("warning: {}: {warning}", model.name())));
        Ok(model)
    }
}

/// What a picture may cost.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits of a picture")]
pub(super) struct PictureLimits {
    /// Most pixels, width times height
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_pixels, value_parser = whole(1u64..))]
    pub max_pixels: u64,
    /// Largest width, and largest height
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_side, value_parser = whole(1u32..))]
    pub max_side: u32,
    /// Most memory of a decoder, the decoded pixels included
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().max_decoder_bytes, value_parser = whole(1u64..))]
    pub max_decoder_bytes: u64,
}

impl From<PictureLimits> for Limits {
    fn from(limits: PictureLimits) -> Self {
        let PictureLimits { max_pixels, max_side, max_decoder_bytes } = limits;
        Self { max_pixels, max_side, max_decoder_bytes }
    }
}
