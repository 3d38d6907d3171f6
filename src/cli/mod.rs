//! The command line: one thin file a subcommand.
//!
//! Results go to standard output, everything else to standard error.

mod args;
mod bench;
mod chart;
mod classify;
mod error;
mod evaluate;
mod healthcheck;
mod inspect;
mod place;
mod serve;
mod settings;
#[cfg(feature = "object-store")]
mod store;
mod style;
mod table;
mod trial;
mod truth;
mod values;
mod variables;
mod zoo;

use std::ffi::OsString;
use std::io::{self, Write};

use clap::{Parser, Subcommand};
use tracing::warn;

pub use error::CliError;

use crate::config::LogConfig;
use crate::telemetry::{self, Delivery};

/// Classify images with Squeeze-and-Excitation networks on CPUs, and see which channels they attended to.
///
/// Every option has an environment variable, SENET_ and its name (SENET_HTTP_ADDR for --http-addr), and a key in the TOML file that --config
/// names (http_addr). A flag wins over the environment, the environment over the file.
#[derive(Debug, Parser)]
#[command(name = "senet", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    global: args::Global,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  senet serve                                      the bundled model at http://127.0.0.1:8080
  senet classify cat.jpg                           labels and channel attention of a picture
  senet serve --models ./models                    every model folder in ./models
  senet inspect ./models/seresnet50                what is known of a model
  senet zoo list                                   models that can be fetched
  senet serve --model seresnet50 --pull            one of them, fetched first
  curl --data-binary @cat.jpg localhost:8080/v1/classify

A model is written as a name in --models (seresnet50, or seresnet50@2 for its version 2),
as a model folder or as an .onnx file.
Exit codes: 0 done, 1 the work failed, 2 bad usage, 64 bad configuration.";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Classify(classify::Args),
    Inspect(inspect::Args),
    Evaluate(evaluate::Args),
    Bench(bench::Args),
    Zoo(zoo::Args),
    Healthcheck(healthcheck::Args),
    #[command(hide = true)]
    Trial(trial::Args),
}

/// A service does not wait for the reader of its log.
fn delivery(command: &Command) -> Delivery {
    match command {
        Command::Serve(args) if !args.print_config => Delivery::Drop,
        _ => Delivery::Wait,
    }
}

/// Runs the subcommand that `argv`, the environment and the configuration file ask for.
///
/// # Errors
/// [`CliError`], which knows its exit code.
pub fn run(argv: impl IntoIterator<Item = OsString>) -> Result<(), CliError> {
    let (cli, effective) = settings::parse::<Cli>(argv)?;
    let options = cli.global.load_options().map_err(CliError::configuration)?;
    let quiet = match cli.command {
        Command::Serve(_) => "info",
        // One sentence, for the process that started it.
        Command::Trial(_) => "off",
        _ => "warn",
    };
    let filter = cli.global.log_filter.unwrap_or_else(|| quiet.to_owned());
    telemetry::init(&LogConfig { format: cli.global.log_format, filter }, delivery(&cli.command))?;
    effective.unknown_variables.iter().for_each(|warning| warn!("{warning}"));
    let mut out = io::stdout().lock();
    match cli.command {
        Command::Serve(args) if args.print_config => effective.print(&mut out)?,
        Command::Serve(args) => serve::run(args, options)?,
        Command::Classify(args) => classify::run(args, options, &mut out)?,
        Command::Inspect(args) => inspect::run(args, options, &mut out)?,
        Command::Evaluate(args) => evaluate::run(args, options, &mut out)?,
        Command::Bench(args) => bench::run(args, options, &mut out)?,
        Command::Zoo(args) => zoo::run(args, &mut out)?,
        Command::Healthcheck(args) => healthcheck::run(args, &mut out)?,
        Command::Trial(args) => trial::run(args, options)?,
    }
    Ok(out.flush()?)
}
