//! `senet serve`: answers over HTTP until told to stop.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;

use tracing::info;

use super::args::{Found, Models, PictureLimits};
use super::error::CliError;
#[cfg(feature = "object-store")]
use super::place::Place;
use super::values::{THREADS, address, seconds, some_time, whole};
use super::zoo::Listener;
use crate::config::{AdmissionConfig, DrainConfig, HttpConfig, HumanDuration};
use crate::inference::LoadOptions;
use crate::model::{Candidate, Files, Lifecycle, Location, Model, ModelError, Pins, Source};
use crate::server::{ServeError, Server, ServerConfig, Signals};

/// Answer over HTTP: POST a picture to /v1/classify, read /docs
///
/// Serves every model folder in --models, or the models that --model names, or else the model that ships with senet. The first one answers
/// requests that name no model. --models may be a prefix in an object store: s3://, gs://, az://, https://. With --pull, models of `senet zoo list` are fetched while the probes already answer.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    models: Models,
    /// Serve this model alone; may be given several times, the first is the default model
    #[arg(long, value_name = "REF")]
    model: Vec<String>,
    /// Print the settings in force as a file for --config, and where each comes from
    #[arg(long)]
    pub print_config: bool,
    #[command(flatten)]
    lifecycle: Life,
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    work: Work,
    #[command(flatten)]
    limits: PictureLimits,
}

const EXAMPLES: &str = "\
Examples:
  senet serve                                          the bundled model at 127.0.0.1:8080
  senet serve --models ./models --http-addr 0.0.0.0:80
  senet serve --model ./seresnet50.onnx --workers 4
  senet serve --model seresnet50 --pull                a model of the zoo, fetched first
  senet serve --models s3://bucket/models --watch 60   an object store; credentials as AWS_ACCESS_KEY_ID, AWS_REGION …
  SENET_HTTP_ADDR=0.0.0.0:8080 senet serve --config senet.toml
  senet serve --print-config > senet.toml";

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Addresses and requests")]
struct Http {
    /// Where requests are answered: an IP address and a port, :8080 for every interface, or 8080 for this machine alone
    #[arg(long, value_name = "ADDR", default_value_t = HttpConfig::default().http_addr, value_parser = address)]
    http_addr: SocketAddr,
    /// Where operators are answered, written as --http-addr: /metrics, which is then no longer there, and the probes
    #[arg(long, value_name = "ADDR", value_parser = address)]
    admin_addr: Option<SocketAddr>,
    /// Let operators load and unload models at --admin-addr: POST /v1/models/<name>/load, with ?version=<N> for one of its versions, or /unload
    #[arg(long)]
    model_control: bool,
    /// Largest request body
    #[arg(long, value_name = "BYTES", default_value_t = HttpConfig::default().max_body_bytes, value_parser = whole(1u64..))]
    max_body_bytes: u64,
    /// Most pictures in one request
    #[arg(long, value_name = "N", default_value_t = HttpConfig::default().max_images_per_request, value_parser = whole(1usize..))]
    max_images_per_request: usize,
    /// How long a client may take to send a request's head
    #[arg(long, value_name = "TIME", default_value_t = HttpConfig::default().header_timeout.into(), value_parser = some_time)]
    header_timeout: HumanDuration,
    /// How long a connection may be without a request; load balancers, which commonly take 60s, should close it first
    #[arg(long, value_name = "TIME", default_value_t = HttpConfig::default().idle_timeout.into(), value_parser = some_time)]
    idle_timeout: HumanDuration,
    /// How long a client may take to send a request's body
    #[arg(long, value_name = "TIME", default_value_t = HttpConfig::default().body_timeout.into(), value_parser = some_time)]
    body_timeout: HumanDuration,
    /// How long a client may take nothing of its answer
    #[arg(long, value_name = "TIME", default_value_t = HttpConfig::default().send_timeout.into(), value_parser = some_time)]
    send_timeout: HumanDuration,
    /// How long a request may take from its head to its answer
    #[arg(long, value_name = "TIME", default_value_t = HttpConfig::default().request_timeout.into(), value_parser = some_time)]
    request_timeout: HumanDuration,
    /// Most open connections; beyond them the probes are still answered
    #[arg(long, value_name = "N", default_value_t = HttpConfig::default().max_connections, value_parser = whole(1usize..=1_000_000))]
    max_connections: usize,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Life of the models")]
struct Life {
    /// A model that must be ready: the service is not ready, and does not start, without it; may be given several times [default: any model]
    #[arg(long, value_name = "NAME")]
    require: Vec<String>,
    /// How often to look for new and changed models; SIGHUP looks at once [default: never]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    watch: Option<HumanDuration>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Work and shutdown")]
struct Work {
    /// Threads that decode and run networks [default: one per core that the container may use]
    #[arg(long, value_name = "N", value_parser = whole(THREADS))]
    workers: Option<NonZeroUsize>,
    /// Pictures that may wait for a worker; further ones are answered 429
    #[arg(long, value_name = "N", default_value_t = AdmissionConfig::default().queue, value_parser = whole(0usize..=1_000_000))]
    queue: usize,
    /// How long requests are still accepted after SIGTERM, for load balancers to notice
    #[arg(long, value_name = "TIME", default_value_t = DrainConfig::default().grace.into())]
    drain_grace: HumanDuration,
    /// How long requests under way may then take
    #[arg(long, value_name = "TIME", default_value_t = DrainConfig::default().deadline.into())]
    drain_deadline: HumanDuration,
}

impl From<Http> for HttpConfig {
    fn from(args: Http) -> Self {
        Self {
            http_addr: args.http_addr,
            admin_addr: args.admin_addr,
            model_control: args.model_control,
            max_body_bytes: args.max_body_bytes,
            max_images_per_request: args.max_images_per_request,
            header_timeout: args.header_timeout.0,
            idle_timeout: args.idle_timeout.0,
            send_timeout: args.send_timeout.0,
            body_timeout: args.body_timeout.0,
            request_timeout: args.request_timeout.0,
            max_connections: args.max_connections,
        }
    }
}

/// Binds, loads the models while the probes already answer, and serves until SIGTERM or SIGINT.
pub(super) fn run(args: Args, options: LoadOptions) -> Result<(), CliError> {
    let models = models(&args, options)?;
    let default = AdmissionConfig::default();
    let admission = AdmissionConfig { workers: args.work.workers.unwrap_or(default.workers), queue: args.work.queue };
    let drain = DrainConfig { grace: args.work.drain_grace.0, deadline: args.work.drain_deadline.0 };
    let watch = args.lifecycle.watch.map(|interval| interval.0);
    let http: HttpConfig = args.http.into();
    if http.model_control && http.admin_addr.is_none() {
        return Err(CliError::Configuration("model_control is true, expected admin_addr to be set too, where models are then controlled".to_owned()));
    }
    let config = ServerConfig { http, admission, drain, limits: args.limits.into(), simd: options.simd, watch };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ServeError::Start)?;
    Ok(runtime.block_on(serve(config, models))?)
}

async fn serve(config: ServerConfig, models: Lifecycle) -> Result<(), ServeError> {
    let (simd, workers) = (config.simd, config.admission.workers);
    let server = Server::bind(config).await?;
    let addr = server.http_addr();
    info!(%addr, simd = %simd.level(), workers, "listening on http://{addr}, documentation at http://{addr}/docs");
    if let Some(addr) = server.admin_addr() {
        info!(%addr, "operators are answered at http://{addr}");
    }
    server.run(models, Signals::install()?).await
}

/// The log hears of the steps of a download.
struct Log;

impl Listener for Log {
    fn say(&mut self, line: &str) {
        info!("{line}");
    }
}

/// Models in files, some of which come from the zoo when they are looked for and not there.
struct Fetched {
    files: Files,
    from_zoo: Vec<Found>,
}

impl Source for Fetched {
    fn list(&self, pins: &Pins) -> Result<Vec<Candidate>, ModelError> {
        self.from_zoo.iter().try_for_each(|found| found.fetch(&mut Log)).map_err(|error| ModelError::Fetch(error.into()))?;
        self.files.list(pins)
    }

    fn load(&self, candidate: &Candidate) -> Result<Model, ModelError> {
        self.files.load(candidate)
    }
}

fn models(args: &Args, options: LoadOptions) -> Result<Lifecycle, CliError> {
    let required = args.lifecycle.require.clone();
    #[cfg(feature = "object-store")]
    if let Some(url) = args.models.models.as_ref().and_then(Place::store) {
        return Ok(Lifecycle::new(args.models.remote(url, args.model.clone(), options)?, required));
    }
    let source = source(&args.models, &args.model, options)?;
    let all_are_here = source.from_zoo.iter().all(|found| found.missing.is_none());
    let models = Lifecycle::new(source, required);
    // Before anybody is told that there is a service; what has to be fetched is looked for when the probes answer.
    if all_are_here {
        models.check()?;
    }
    Ok(models)
}

/// Models of the zoo are known by their folders from here on, which may be elsewhere than names are looked up.
fn source(models: &Models, named: &[String], options: LoadOptions) -> Result<Fetched, CliError> {
    let mut source =
        Fetched { files: Files { models: models.folder()?.map(Path::to_owned), named: vec![], options, limits: models.limits() }, from_zoo: vec![] };
    for reference in named {
        let found = models.find_in_zoo(reference)?;
        if found.is_none() {
            Location::find(reference, models.folder()?)?;
        }
        source.files.named.push(match found.as_ref().map(|found| &found.location) {
            Some(Location::Folder { path, .. }) => path.display().to_string(),
            _ => reference.clone(),
        });
        source.from_zoo.extend(found);
    }
    Ok(source)
}
