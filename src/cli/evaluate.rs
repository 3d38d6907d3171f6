//! `senet evaluate`: how often a model is right on pictures whose class is known.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::args::{Models, PictureLimits};
use super::error::CliError;
use super::style::{Theme, paint};
use super::table::{Align, Table};
use super::truth::{self, Example};
use super::values::{THREADS, whole};
use crate::attention::{AttentionRequest, Detail};
use crate::classifier::{Classifier, Options, Ticket};
use crate::config::AdmissionConfig;
use crate::image::Limits;
use crate::inference::{LoadOptions, OutputActivation};
use crate::model::Model;
use crate::telemetry::say;

/// Classes in the table for people.
const SHOWN_CLASSES: usize = 20;

/// Say how often a model is right on pictures whose class is known
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Name in --models, model folder or .onnx file [default: the bundled model]
    #[arg(long, value_name = "REF")]
    model: Option<String>,
    #[command(flatten)]
    models: Models,
    /// Folder of pictures, in folders named by label unless --truth is given
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// File of lines file<TAB>index[<TAB>label], files relative to --images [default: <images>/truth.tsv where it exists]
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Pictures at the same time [default: one per core that may be used]
    #[arg(long, alias = "threads", value_name = "N", value_parser = whole(THREADS))]
    concurrency: Option<NonZeroUsize>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    limits: PictureLimits,
}

const EXAMPLES: &str = "\
Examples:
  senet evaluate --images cifar10/test                       cifar10/test/cat/0001.jpg and so on
  senet evaluate --model ./seresnet50 --images val --truth val.tsv --json

Pictures that cannot be read are listed and do not count.";

/// How often a model was right.
#[derive(Debug, Serialize)]
struct Evaluation {
    model: String,
    /// What makes the probabilities by which classes are ranked.
    output_activation: OutputActivation,
    /// Pictures that were classified.
    images: usize,
    /// Share of them whose most probable class was the true one.
    top1: f64,
    /// Share of them whose true class was among the five most probable.
    top5: f64,
    per_class: Vec<ClassResult>,
    unreadable: Vec<Unreadable>,
    images_per_second: f64,
}

#[derive(Debug, Serialize)]
struct ClassResult {
    index: usize,
    label: String,
    images: usize,
    top1: f64,
    top5: f64,
}

#[derive(Debug, Serialize)]
struct Unreadable {
    file: String,
    error: String,
}

/// Right answers of one class.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    images: usize,
    top1: usize,
    top5: usize,
}

/// Classifies every picture on every core.
pub(super) fn run(args: Args, options: LoadOptions, out: &mut impl Write) -> Result<(), CliError> {
    let images = args.images.ok_or_else(|| CliError::Usage("--images is not given, expected a folder of pictures".to_owned()))?;
    let model = args.models.load_and_warn(args.model.as_deref(), options)?;
    let tsv = args.truth.or_else(|| Some(images.join("truth.tsv")).filter(|tsv| tsv.is_file()));
    let examples = match tsv {
        Some(tsv) => truth::from_tsv(&tsv, &images, model.engine().summary().classes),
        None => truth::from_folders(&images, &model),
    };
    let examples = examples.map_err(CliError::Failed)?;
    let threads = args.concurrency.unwrap_or(AdmissionConfig::default().workers);
    let evaluation = evaluate(&model, &Classifier::new(Limits::from(args.limits)), &examples, threads);
    evaluation.unreadable.iter().for_each(|unreadable| say(&format!("senet: {}: {}", unreadable.file, unreadable.error)));
    if evaluation.images == 0 {
        let reason = format!("no picture of {} in {} was classified", examples.len(), images.display());
        return Err(CliError::Failed(reason));
    }
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &evaluation).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        print(&evaluation, Theme::of_stdout(), out)?;
    }
    Ok(())
}

/// What the threads fill in together.
struct Progress {
    tallies: Vec<Tally>,
    unreadable: Vec<Unreadable>,
}

fn evaluate(model: &Model, classifier: &Classifier, examples: &[Example], threads: NonZeroUsize) -> Evaluation {
    let classes = model.engine().summary().classes;
    let progress = Mutex::new(Progress { tallies: vec![Tally::default(); classes], unreadable: Vec::new() });
    let (next, bar) = (AtomicUsize::new(0), progress_bar(examples.len()));
    let start = Instant::now();
    let work = || {
        while let Some(example) = examples.get(next.fetch_add(1, Ordering::Relaxed)) {
            let ranked = rank(model, classifier, example);
            let mut progress = progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            progress.note(example, ranked);
            bar.set_message(format!("top-1 {:.1} %", progress.total().share(|tally| tally.top1) * 100.0));
            bar.inc(1);
        }
    };
    thread::scope(|scope| (0..threads.get()).for_each(|_| drop(scope.spawn(work))));
    bar.finish_and_clear();
    progress.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).finish(model, start.elapsed())
}

/// The five most probable classes, or all where there are fewer, best first.
fn rank(model: &Model, classifier: &Classifier, example: &Example) -> Result<Vec<usize>, String> {
    let bytes = fs::read(&example.path).map_err(|error| error.to_string())?;
    let attention = AttentionRequest { detail: Detail::None, ..AttentionRequest::default() };
    let options = Options { top_k: model.engine().summary().classes.min(5), attention };
    let answer = classifier.classify(model, &bytes, &options, &Ticket::default()).map_err(|error| error.to_string())?;
    Ok(answer.predictions.iter().map(|prediction| prediction.index).collect())
}

/// Hidden where standard error is no terminal.
fn progress_bar(length: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:32.cyan} {human_pos}/{human_len}  {msg}  {eta} left");
    ProgressBar::new(length as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

impl Progress {
    fn note(&mut self, example: &Example, ranked: Result<Vec<usize>, String>) {
        match (ranked, self.tallies.get_mut(example.class)) {
            (Ok(ranked), Some(tally)) => {
                tally.images += 1;
                tally.top1 += usize::from(ranked.first() == Some(&example.class));
                tally.top5 += usize::from(ranked.contains(&example.class));
            }
            (Err(error), _) => self.unreadable.push(Unreadable { file: example.path.display().to_string(), error }),
            (Ok(_), None) => {}
        }
    }

    fn total(&self) -> Tally {
        let add = |a: Tally, b: &Tally| Tally { images: a.images + b.images, top1: a.top1 + b.top1, top5: a.top5 + b.top5 };
        self.tallies.iter().fold(Tally::default(), add)
    }

    fn finish(mut self, model: &Model, elapsed: Duration) -> Evaluation {
        let total = self.total();
        self.unreadable.sort_by(|a, b| a.file.cmp(&b.file));
        let seen = self.tallies.iter().enumerate().filter(|(_, tally)| tally.images > 0);
        let per_class = seen.map(|(index, tally)| ClassResult {
            index,
            label: model.label(index).to_owned(),
            images: tally.images,
            top1: tally.share(|tally| tally.top1),
            top5: tally.share(|tally| tally.top5),
        });
        Evaluation {
            model: model.name().to_owned(),
            output_activation: model.output_activation(),
            images: total.images,
            top1: total.share(|tally| tally.top1),
            top5: total.share(|tally| tally.top5),
            per_class: per_class.collect(),
            unreadable: self.unreadable,
            images_per_second: total.images as f64 / elapsed.as_secs_f64(),
        }
    }
}

impl Tally {
    /// Of the images, 0..=1; 0 where there are none.
    fn share(&self, right: impl Fn(&Self) -> usize) -> f64 {
        right(self) as f64 / self.images.max(1) as f64
    }
}

/// Shows every class, or of many the worst.
fn print(evaluation: &Evaluation, theme: Theme, out: &mut impl Write) -> io::Result<()> {
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    let mut shown: Vec<&ClassResult> = evaluation.per_class.iter().collect();
    if shown.len() > SHOWN_CLASSES {
        shown.sort_by(|a, b| a.top1.total_cmp(&b.top1).then(b.images.cmp(&a.images)));
        shown.truncate(SHOWN_CLASSES);
        writeln!(out, "the {SHOWN_CLASSES} worst of {} classes; --json has all of them", evaluation.per_class.len())?;
    }
    let mut table = Table::new(&[("class", Align::Left), ("images", Align::Right), ("top-1", Align::Right), ("top-5", Align::Right)]);
    for class in shown {
        table.row(vec![class.label.clone(), class.images.to_string(), percent(class.top1), percent(class.top5)]);
    }
    table.print(out, theme.faint)?;
    let (top1, top5) = (percent(evaluation.top1), percent(evaluation.top5));
    let summary = format!("{}: top-1 {top1}, top-5 {top5} of {} images", evaluation.model, evaluation.images);
    writeln!(out, "\n{}  {:.0} images per second", paint(theme.strong, summary), evaluation.images_per_second)?;
    if evaluation.output_activation == OutputActivation::Sigmoid {
        writeln!(out, "{}", paint(theme.faint, "classes are ranked by probabilities of their own, and one true class a picture is counted"))?;
    }
    match evaluation.unreadable.len() {
        0 => Ok(()),
        unreadable => writeln!(out, "{}", paint(theme.alert, format!("{unreadable} unreadable images are not counted"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> Progress {
        let mut progress = Progress { tallies: vec![Tally::default(); 3], unreadable: Vec::new() };
        let example = |class| Example { path: "x.jpg".into(), class };
        progress.note(&example(0), Ok(vec![0, 1]));
        progress.note(&example(0), Ok(vec![1, 0]));
        progress.note(&example(2), Ok(vec![0, 1]));
        progress.note(&example(1), Err("empty image".to_owned()));
        progress
    }

    #[test]
    fn right_answers_are_counted_by_true_class() {
        let progress = progress();
        let total = progress.total();
        assert_eq!((total.images, total.top1, total.top5), (3, 1, 2));
        assert_eq!((progress.tallies[0].top1, progress.tallies[0].top5, progress.tallies[2].images), (1, 2, 1));
        assert_eq!(progress.tallies[0].share(|tally| tally.top1), 0.5);
    }

    #[test]
    fn unreadable_images_are_kept_apart() {
        let progress = progress();
        assert_eq!((progress.unreadable.len(), progress.tallies[1].images), (1, 0));
    }
}
