//! `senet classify`: labels and channel attention of pictures.

mod report;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use serde::Serialize;

use super::args::{Models, PictureLimits};
use super::error::CliError;
use super::style::Theme;
use super::values::whole;
use crate::attention::{AttentionRequest, Detail};
use crate::classifier::{Classification, Classifier, Options, Ticket};
use crate::image::Limits;
use crate::inference::LoadOptions;
use crate::model::Model;
use crate::telemetry::say;

/// The name that stands for standard input.
const STDIN: &str = "-";

/// Largest file that is read. Encoded pictures within the pixel limit are far smaller.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// Print the labels and the channel attention of pictures
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// JPEG, PNG, WebP, GIF or BMP files; - is standard input
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Name in --models, model folder or .onnx file [default: the bundled model]
    #[arg(long, value_name = "REF")]
    model: Option<String>,
    #[command(flatten)]
    models: Models,
    /// How many classes are named [default: 5, or all of a model that has fewer]
    #[arg(long, value_name = "K", value_parser = whole(1usize..))]
    top_k: Option<usize>,
    /// How much attention: a line a block, the channels with the largest and smallest gates, or every gate
    #[arg(long, value_name = "DETAIL", default_value = "summary")]
    attention: Detail,
    /// How many channels --attention top and full name
    #[arg(long, value_name = "N", default_value_t = AttentionRequest::default().top, value_parser = whole(1usize..))]
    attention_top: usize,
    /// Names of SE blocks, separated by commas; * stands for anything [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    blocks: Vec<String>,
    /// Print JSON instead of tables: what POST /v1/classify answers, and the file's name
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    limits: PictureLimits,
}

const EXAMPLES: &str = "\
Examples:
  senet classify cat.jpg dog.png
  senet classify --attention top --blocks 'layer3.*' cat.jpg
  curl -s https://example.org/cat.jpg | senet classify --json - | jq -r .predictions[0].label

One picture with --json gives one object, several give {\"results\": [...]} in order.
A picture that fails is reported, the others are answered, and the exit code is 1.";

impl ValueEnum for Detail {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

/// Classifies the pictures one after the other.
pub(super) fn run(args: Args, options: LoadOptions, out: &mut impl Write) -> Result<(), CliError> {
    let model = args.models.load_and_warn(args.model.as_deref(), options)?;
    let top_k = args.top_k.unwrap_or_else(|| Options::default().top_k.min(model.engine().summary().classes));
    let attention = AttentionRequest { detail: args.attention, top: args.attention_top, blocks: args.blocks };
    let options = Options { top_k, attention };
    let classifier = Classifier::new(Limits::from(args.limits));
    classifier.check(&model, &options)?;
    let run = Run { classifier, model, options };
    let failed = if args.json { run.print_json(&args.images, out)? } else { run.print_tables(&args.images, out)? };
    if failed == 0 { Ok(()) } else { Err(CliError::Partly { failed, total: args.images.len() }) }
}

/// What all pictures of one call have in common.
struct Run {
    classifier: Classifier,
    model: Model,
    options: Options,
}

/// A picture's element of the JSON answer.
#[derive(Serialize)]
struct Answer<'a> {
    file: &'a str,
    #[serde(flatten)]
    classification: Classification,
}

/// The element of a picture that failed.
#[derive(Serialize)]
struct Failure<'a> {
    file: &'a str,
    error: String,
}

impl Run {
    fn classify(&self, image: &str, options: &Options) -> Result<Classification, String> {
        let bytes = read(image).map_err(|error| error.to_string())?;
        self.classifier.classify(&self.model, &bytes, options, &Ticket::default()).map_err(|error| error.to_string())
    }

    /// Returns how many pictures failed.
    fn print_json(&self, images: &[String], out: &mut impl Write) -> io::Result<usize> {
        let mut failed = 0;
        let several = images.len() > 1;
        if several {
            write!(out, "{{\"results\":[")?;
        }
        for (at, file) in images.iter().enumerate() {
            write!(out, "{}", if at == 0 { "" } else { ",\n" })?;
            match self.classify(file, &self.options) {
                Ok(classification) => serde_json::to_writer(&mut *out, &Answer { file, classification })?,
                Err(error) => {
                    failed += 1;
                    complain(file, &error);
                    serde_json::to_writer(&mut *out, &Failure { file, error })?;
                }
            }
        }
        writeln!(out, "{}", if several { "]}" } else { "" })?;
        Ok(failed)
    }

    /// Returns how many pictures failed.
    fn print_tables(&self, images: &[String], out: &mut impl Write) -> io::Result<usize> {
        let theme = Theme::of_stdout();
        let options = report::needs(&self.options);
        let mut failed = 0;
        for (at, image) in images.iter().enumerate() {
            match self.classify(image, &options) {
                Ok(answer) => {
                    write!(out, "{}", if at == 0 { "" } else { "\n" })?;
                    report::print(image, &answer, self.options.attention.detail, theme, out)?;
                }
                Err(error) => {
                    failed += 1;
                    complain(image, &error);
                }
            }
        }
        Ok(failed)
    }
}

fn complain(image: &str, error: &str) {
    say(&format!("senet: {}: {error}", if image == STDIN { "standard input" } else { image }));
}

/// The bytes of the file `image`, or of standard input for `-`.
fn read(image: &str) -> io::Result<Vec<u8>> {
    let source: Box<dyn Read> = if image == STDIN { Box::new(io::stdin().lock()) } else { Box::new(File::open(Path::new(image))?) };
    let mut bytes = Vec::new();
    let read = source.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if read as u64 > MAX_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {MAX_FILE_BYTES} bytes, the limit")));
    }
    Ok(bytes)
}
