//! `senet bench`: how fast a model runs on this machine.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};
use std::{fs, thread};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::args::Models;
use super::error::CliError;
use super::style::{Theme, paint};
use super::values::{THREADS, whole};
use crate::inference::{Engine, EngineError, Gates, LoadOptions};

/// Runs of each thread before the clock starts.
const WARM_UP_RUNS: usize = 3;

/// Measure how fast a model runs here: the network alone, on synthetic input
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  senet bench cifar10_se_resnet\n  senet bench ./seresnet50.onnx --concurrency 2 --batch 8 --seconds 10 --json")]
pub(super) struct Args {
    /// Name in --models, model folder or .onnx file [default: the bundled model]
    #[arg(value_name = "REF")]
    reference: Option<String>,
    #[command(flatten)]
    models: Models,
    /// Runs at the same time, like requests to a service; --intra-op-threads limits the threads of each run
    #[arg(long, alias = "threads", value_name = "N", default_value_t = NonZeroUsize::MIN, value_parser = whole(THREADS))]
    concurrency: NonZeroUsize,
    /// Images in one run
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole(1usize..=1024))]
    batch: usize,
    /// How long to measure
    #[arg(long, value_name = "S", default_value_t = 5.0, value_parser = seconds)]
    seconds: f64,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.01..=86_400.0).contains(seconds));
    seconds.ok_or_else(|| "expected a number from 0.01 to 86400".to_owned())
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Measurement {
    model: String,
    /// Runs at the same time, each on a thread of its own.
    threads: usize,
    batch: usize,
    simd: String,
    /// Runs of all threads.
    iterations: usize,
    latency_ms: Latency,
    images_per_second: f64,
    /// The largest resident memory that this process ever had; absent where the system does not say.
    peak_rss_bytes: Option<u64>,
    /// Reading, rewriting and the first run.
    load_ms: f64,
}

/// Of one run, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Latency {
    min: f64,
    median: f64,
    p90: f64,
    max: f64,
}

/// Loads the model and runs it for the time asked for.
pub(super) fn run(args: Args, options: LoadOptions, out: &mut impl Write) -> Result<(), CliError> {
    let (model, load) = args.models.load_timed(args.reference.as_deref(), LoadOptions { batch: args.batch, ..options })?;
    let values = args.batch * model.contract().color.channels() * model.contract().size.iter().map(|side| *side as usize).product::<usize>();
    let duration = Duration::from_secs_f64(args.seconds);
    let spinner = spinner(args.seconds);
    let (mut runs, elapsed) = measure(model.engine(), &synthetic(values), args.concurrency, duration)?;
    spinner.finish_and_clear();
    let measurement = Measurement {
        model: model.name().to_owned(),
        threads: args.concurrency.get(),
        batch: args.batch,
        simd: options.simd.level().to_string(),
        iterations: runs.len(),
        images_per_second: (runs.len() * args.batch) as f64 / elapsed.as_secs_f64(),
        latency_ms: Latency::of(&mut runs),
        peak_rss_bytes: peak_rss_bytes(),
        load_ms: load.as_secs_f64() * 1e3,
    };
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &measurement).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        print(&measurement, Theme::of_stdout(), out)?;
    }
    Ok(())
}

/// The time of every run of every thread, and how long all of them took together.
fn measure(engine: &dyn Engine, input: &[f32], threads: NonZeroUsize, duration: Duration) -> Result<(Vec<Duration>, Duration), EngineError> {
    let warm_up = || (0..WARM_UP_RUNS).try_for_each(|_| engine.run(input.into(), Gates::Drop).map(drop));
    on_threads(threads, || warm_up().map(|()| Vec::new()))?;
    let start = Instant::now();
    let runs = on_threads(threads, || {
        let mut runs = Vec::new();
        while runs.is_empty() || start.elapsed() < duration {
            let run = Instant::now();
            engine.run(input.into(), Gates::Drop)?;
            runs.push(run.elapsed());
        }
        Ok(runs)
    })?;
    Ok((runs, start.elapsed()))
}

fn on_threads<F>(threads: NonZeroUsize, work: F) -> Result<Vec<Duration>, EngineError>
where
    F: Fn() -> Result<Vec<Duration>, EngineError> + Sync,
{
    thread::scope(|scope| {
        let spawned: Vec<_> = (0..threads.get()).map(|_| scope.spawn(&work)).collect();
        let panicked = |_| Err(EngineError::Run("the network panicked".to_owned()));
        let runs: Result<Vec<_>, _> = spawned.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect();
        Ok(runs?.concat())
    })
}

/// Noise of a normalised picture's range: the same every time, and neither zeros nor denormal numbers, which would run faster or slower.
fn synthetic(values: usize) -> Vec<f32> {
    let mut state = 0x2545_f491_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 22) as f32 - 2.0
    };
    (0..values).map(|_| next()).collect()
}

impl Latency {
    /// Of at least one run; sorts `runs`.
    fn of(runs: &mut [Duration]) -> Self {
        runs.sort_unstable();
        let at = |quantile: f64| {
            let index = ((runs.len() as f64 * quantile).ceil() as usize).saturating_sub(1);
            runs.get(index).map_or(0.0, |run| run.as_secs_f64() * 1e3)
        };
        Self { min: at(0.0), median: at(0.5), p90: at(0.9), max: at(1.0) }
    }
}

/// `VmHWM` of Linux.
fn peak_rss_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Hidden where standard error is no terminal.
fn spinner(seconds: f64) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner:.cyan} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    let spinner = ProgressBar::new_spinner().with_style(style).with_message(format!("measuring for {seconds} s"));
    spinner.enable_steady_tick(Duration::from_millis(250));
    spinner
}

fn print(measured: &Measurement, theme: Theme, out: &mut impl Write) -> io::Result<()> {
    let Latency { min, median, p90, max } = measured.latency_ms;
    let rss = measured.peak_rss_bytes.map_or("unknown".to_owned(), |bytes| format!("{:.0} MB", bytes as f64 / 1e6));
    let title = format!("{}  {:.1} images per second", measured.model, measured.images_per_second);
    writeln!(out, "{}", paint(theme.strong, title))?;
    let rows = [
        ("latency", format!("{median:.2} ms median, {min:.2} min, {p90:.2} p90, {max:.2} max")),
        ("run", format!("{} at a time, batch {}, {}, {} runs", measured.threads, measured.batch, measured.simd, measured.iterations)),
        ("load", format!("{:.0} ms", measured.load_ms)),
        ("peak memory", rss),
    ];
    rows.iter().try_for_each(|(title, text)| writeln!(out, "  {} {text}", paint(theme.faint, format!("{title:<12}"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::{Inference, Input, NetworkSummary};

    struct Fake(NetworkSummary);

    impl Engine for Fake {
        fn input(&self) -> Result<Input<'static>, EngineError> {
            Ok(vec![0.0; 3].into())
        }

        fn run(&self, input: Input<'_>, _gates: Gates) -> Result<Inference, EngineError> {
            match input.len() {
                3 => Ok(Inference { logits: vec![0.0], gates: vec![] }),
                actual => Err(EngineError::InputLength { actual, expected: 3 }),
            }
        }

        fn summary(&self) -> &NetworkSummary {
            &self.0
        }
    }

    #[test]
    fn every_thread_runs_at_least_once() {
        let threads = NonZeroUsize::new(3).unwrap();
        let (runs, _) = measure(&Fake(NetworkSummary::default()), &synthetic(3), threads, Duration::ZERO).unwrap();
        assert_eq!(runs.len(), 3);
    }

    #[test]
    fn a_network_that_fails_is_an_error() {
        let measured = measure(&Fake(NetworkSummary::default()), &synthetic(4), NonZeroUsize::MIN, Duration::ZERO);
        assert!(matches!(measured, Err(EngineError::InputLength { actual: 4, expected: 3 })));
    }

    #[test]
    fn quantiles_are_of_the_sorted_runs() {
        let mut runs: Vec<Duration> = (1..=10).rev().map(Duration::from_millis).collect();
        assert_eq!(Latency::of(&mut runs), Latency { min: 1.0, median: 5.0, p90: 9.0, max: 10.0 });
    }

    #[test]
    fn synthetic_input_is_spread_over_the_range_of_a_picture() {
        let values = synthetic(10_000);
        assert!(values.iter().all(|value| (-2.0..2.0).contains(value)));
        assert!(values.iter().sum::<f32>().abs() < 200.0);
    }
}
