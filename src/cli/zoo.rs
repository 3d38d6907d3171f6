//! `senet zoo`: ready-made models, listed and fetched by name.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::error::CliError;
use super::place::folder;
use super::style::Theme;
use super::table::{Align, Table};
use crate::telemetry::say;
use crate::zoo::{Catalogue, Client, Entry, Existing, Outcome, Progress, Pull, ZooError, is_installed};

/// Where the zoo's models are put, and looked up, where nothing else is said.
pub(super) const DEFAULT_FOLDER: &str = "models";

/// List and fetch ready-made models: the 132 SE-Nets of the ONNX Model Zoo
///
/// A model is fetched from Hugging Face, or from the mirror that HF_ENDPOINT names; HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE and HF_TOKEN are
/// heeded.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true, after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  senet zoo list seresnet                  every model with seresnet in its name
  senet zoo pull seresnet50                ./models/seresnet50, ready to be served
  senet serve --model seresnet50
  senet serve --model seresnet50 --pull    both at once
  HF_ENDPOINT=https://mirror.example senet zoo pull lcnet_050";

#[derive(Debug, Subcommand)]
enum Command {
    List(ListArgs),
    Pull(PullArgs),
}

/// Show the models there are, and which of them are installed
///
/// Parameters are a quarter of the file's bytes, which is nearly exact. Installed means that --to holds the model with the right length; pull
/// checks its SHA-256 too.
#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only models with this in their names
    #[arg(value_name = "PART", default_value = "", hide_default_value = true)]
    part: String,
    #[command(flatten)]
    to: To,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Fetch a model and make it a model folder
///
/// Its length and SHA-256 are checked before it becomes one. What has come when it breaks off is kept, and fetched no second time.
#[derive(Debug, clap::Args)]
struct PullArgs {
    /// As `senet zoo list` has it
    name: String,
    #[command(flatten)]
    to: To,
    /// Fetch it although a folder of its name is there, which it replaces
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Args)]
struct To {
    /// Folder of model folders: <DIR>/<name>/model.onnx
    #[arg(id = "models", long = "to", visible_alias = "models", value_name = "DIR", default_value = DEFAULT_FOLDER, value_parser = folder)]
    folder: PathBuf,
}

/// Lists or fetches.
pub(super) fn run(args: Args, out: &mut impl Write) -> Result<(), CliError> {
    let catalogue = Catalogue::embedded()?;
    match args.command {
        Command::List(args) => {
            let entries = catalogue.matching(&args.part)?;
            let models = entries.into_iter().map(|entry| Listed::new(entry, &args.to.folder));
            if args.json { print_json(models.collect(), out)? } else { print_table(models, Theme::of_stdout(), out)? }
        }
        Command::Pull(args) => {
            let existing = if args.force { Existing::Replace } else { Existing::Keep };
            let said = fetch(catalogue.find(&args.name)?, &args.to.folder, existing, &mut Bar::default())?;
            writeln!(out, "{said}")?;
        }
    }
    Ok(())
}

/// Who is told how a download goes.
pub(super) trait Listener {
    /// A step, in a line.
    fn say(&mut self, line: &str);

    /// So many of so many bytes are here.
    fn received(&mut self, _position: u64, _bytes: u64) {}
}

/// Lines on standard error, and where that is a terminal, a bar below them.
pub(super) struct Bar(ProgressBar);

impl Default for Bar {
    fn default() -> Self {
        let style = ProgressStyle::with_template("{bar:32.cyan} {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}  {eta} left");
        Self(ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }
}

impl Listener for Bar {
    fn say(&mut self, line: &str) {
        self.0.suspend(|| say(line));
    }

    fn received(&mut self, position: u64, bytes: u64) {
        self.0.set_length(bytes);
        self.0.set_position(position);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Fetches the model, tells `listener` on the way what happens, and returns what it came to.
pub(super) fn fetch(entry: &Entry, models: &Path, existing: Existing, listener: &mut impl Listener) -> Result<String, ZooError> {
    let client = Client::from_environment()?;
    let outcome = Pull { entry, models, client: &client, existing }.run(&mut |progress| tell(&progress, entry.bytes, listener));
    let (name, folder) = (&entry.name, models.join(&entry.name));
    Ok(match outcome? {
        Outcome::AlreadyThere => format!("{name} is in {} already, with the size and SHA-256 that it should have", folder.display()),
        Outcome::Installed => format!("{name} is now in {}, {}, SHA-256 checked", folder.display(), megabytes(entry.bytes)),
    })
}

fn tell(progress: &Progress<'_>, whole: u64, listener: &mut impl Listener) {
    match *progress {
        Progress::Waiting => listener.say("another pull of this model is under way, waiting for it"),
        Progress::Asking { url, position, bytes } => {
            listener.received(position, bytes);
            let from = if position > 0 { format!(", {} of them here already", megabytes(position)) } else { String::new() };
            listener.say(&format!("fetching {url}, {}{from}", megabytes(bytes)));
        }
        Progress::Received(position) => listener.received(position, whole),
        Progress::Retrying { reason, wait } => listener.say(&format!("{reason}; trying again in {:.0} s", wait.as_secs_f64().ceil())),
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// A model as `--json` has it.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    name: &'a str,
    /// A quarter of `bytes`.
    approximate_parameters: u64,
    /// Height and width, pixels.
    input: [u32; 2],
    bytes: u64,
    license: &'a str,
    classes: usize,
    installed: bool,
}

impl<'a> Listed<'a> {
    fn new(entry: &'a Entry, models: &Path) -> Self {
        Self {
            name: &entry.name,
            approximate_parameters: entry.approximate_parameters(),
            input: entry.size,
            bytes: entry.bytes,
            license: &entry.license,
            classes: entry.classes,
            installed: is_installed(entry, models),
        }
    }
}

fn print_json(models: Vec<Listed<'_>>, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &serde_json::json!({ "models": models })).map_err(io::Error::from)?;
    writeln!(out)
}

fn print_table<'a>(models: impl Iterator<Item = Listed<'a>>, theme: Theme, out: &mut impl Write) -> io::Result<()> {
    let right = |title| (title, Align::Right);
    let left = |title| (title, Align::Left);
    let columns = [left("name"), right("parameters"), right("input"), right("size"), left("licence"), left("installed")];
    let mut table = Table::new(&columns).styled(0, theme.strong);
    for model in models {
        let [height, width] = model.input;
        table.row(vec![
            model.name.to_owned(),
            format!("~{:.1} M", model.approximate_parameters as f64 / 1e6),
            format!("{height}×{width}"),
            megabytes(model.bytes),
            model.license.to_owned(),
            if model.installed { "yes" } else { "–" }.to_owned(),
        ]);
    }
    table.print(out, theme.faint)
}
