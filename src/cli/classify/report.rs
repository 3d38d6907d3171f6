//! A classification as people read it: labels with bars, and the attention block by block.

use std::io::{self, Write};

use crate::attention::{Attention, AttentionRequest, BlockAttention, ChannelWeight, Detail};
use crate::classifier::{Classification, Options};
use crate::cli::chart::{bar, distribution, sparkline};
use crate::cli::style::{Theme, paint};
use crate::cli::table::{Align, Table};
use crate::inference::{OutputActivation, Prediction};

/// Characters of a full bar.
const BAR: usize = 24;
/// Ranges of a gate's distribution.
const BINS: usize = 16;
/// Channels named for a block in a summary.
const SUMMARY_TOP: usize = 3;
/// Gates in one line of the full picture.
const LINE: usize = 64;

/// What has to be asked for so that [`print`] can draw what `options` want: the distribution needs every gate.
pub(super) fn needs(options: &Options) -> Options {
    let AttentionRequest { detail, top, blocks } = options.attention.clone();
    let (detail, top) = match detail {
        Detail::None => (Detail::None, top),
        Detail::Summary => (Detail::Full, SUMMARY_TOP),
        Detail::Top | Detail::Full => (Detail::Full, top),
    };
    Options { top_k: options.top_k, attention: AttentionRequest { detail, top, blocks } }
}

/// Prints `answer` for the picture called `image`.
///
/// # Errors
/// When `out` cannot be written.
pub(super) fn print(image: &str, answer: &Classification, detail: Detail, theme: Theme, out: &mut impl Write) -> io::Result<()> {
    let title = if image == super::STDIN { "standard input" } else { image };
    writeln!(out, "{}  {}", paint(theme.strong, title), paint(theme.faint, about(answer)))?;
    if answer.output_activation == OutputActivation::Sigmoid && answer.predictions.len() > 1 {
        writeln!(out, "  {}", paint(theme.faint, "each class by itself: the probabilities need not sum to 100 %"))?;
    }
    labels(&answer.predictions, theme, out)?;
    let Some(attention) = answer.attention.as_ref().filter(|attention| !attention.blocks.is_empty()) else { return Ok(()) };
    writeln!(out)?;
    blocks(attention, theme).print(out, theme.faint)?;
    if detail > Detail::Summary {
        attention.blocks.iter().try_for_each(|block| channels(block, detail, theme, out))?;
    }
    Ok(())
}

fn about(answer: &Classification) -> String {
    let (image, model) = (answer.image, &answer.model);
    let turned = if image.orientation == 1 { String::new() } else { format!(", orientation {}", image.orientation) };
    let format = image.format.name();
    let milliseconds = answer.timing.total.as_secs_f64() * 1e3;
    format!("{format} {}×{}{turned}  {} version {}  {milliseconds:.1} ms", image.width, image.height, model.name, model.version)
}

fn labels(predictions: &[Prediction], theme: Theme, out: &mut impl Write) -> io::Result<()> {
    let width = predictions.iter().map(|p| p.label.chars().count()).max().unwrap_or(0);
    for (at, prediction) in predictions.iter().enumerate() {
        let label = format!("{:<width$}", prediction.label);
        let label = if at == 0 { paint(theme.strong, label) } else { label };
        let line = format!("  {label}  {:>6.2} %  {}", prediction.probability * 100.0, paint(theme.graph, bar(prediction.probability, BAR)));
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn blocks(attention: &Attention, theme: Theme) -> Table {
    let titles = ["attention", "channels", "mean", "std", "min", "max", "gates from 0 to 1", "at 0", "at 1", "largest gates"];
    let aligned =
        titles.map(|title| (title, if title.starts_with(['a', 'g', 'l']) && !title.starts_with("at ") { Align::Left } else { Align::Right }));
    let mut table = Table::new(&aligned).styled(0, theme.strong).styled(6, theme.graph);
    for block in &attention.blocks {
        table.row(vec![
            block.name.clone(),
            block.channels.to_string(),
            format!("{:.2}", block.mean),
            format!("{:.2}", block.std),
            format!("{:.2}", block.min),
            format!("{:.2}", block.max),
            distribution(block.weights.as_deref().unwrap_or_default(), BINS),
            block.saturated_low.to_string(),
            block.saturated_high.to_string(),
            listed(block.top.get(..SUMMARY_TOP).unwrap_or(&block.top)),
        ]);
    }
    table
}

fn listed(channels: &[ChannelWeight]) -> String {
    channels.iter().map(|c| format!("{:.2} #{}", c.weight, c.channel)).collect::<Vec<_>>().join("  ")
}

/// The channels of one block: the largest and smallest gates, and for [`Detail::Full`] all of them in channel order.
fn channels(block: &BlockAttention, detail: Detail, theme: Theme, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\n  {}", paint(theme.strong, &block.name))?;
    writeln!(out, "    {} {}", paint(theme.faint, "largest "), listed(&block.top))?;
    writeln!(out, "    {} {}", paint(theme.faint, "smallest"), listed(block.bottom.as_deref().unwrap_or_default()))?;
    let weights = block.weights.as_deref().filter(|_| detail == Detail::Full).unwrap_or_default();
    for (line, weights) in weights.chunks(LINE).enumerate() {
        let first = format!("{:>8}", format!("#{}", line * LINE));
        writeln!(out, "    {} {}", paint(theme.faint, first), paint(theme.graph, sparkline(weights)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classifier::{Answerer, Timing};
    use crate::image::{Format, ImageInfo};

    fn answer() -> Classification {
        let channel = |channel, weight| ChannelWeight { channel, weight };
        let block = BlockAttention {
            name: "layer1.0.se".to_owned(),
            stage: 1,
            block: 0,
            channels: 4,
            mean: 0.5,
            std: 0.25,
            min: 0.0,
            max: 1.0,
            saturated_low: 1,
            saturated_high: 1,
            top: vec![channel(2, 1.0), channel(0, 0.5)],
            bottom: Some(vec![channel(1, 0.0)]),
            weights: Some(vec![0.5, 0.0, 1.0, 0.5]),
        };
        let prediction = |label: &str, probability| Prediction { index: 0, label: label.to_owned(), probability, logit: 0.0 };
        Classification {
            model: Answerer { name: "m".to_owned(), version: "1".to_owned() },
            output_activation: OutputActivation::Softmax,
            image: ImageInfo { format: Format::Png, width: 4, height: 3, orientation: 6 },
            predictions: vec![prediction("cat", 0.75), prediction("dogs", 0.001)],
            attention: Some(Attention { blocks: vec![block] }),
            preprocessing: String::new(),
            timing: Timing::default(),
        }
    }

    fn printed(detail: Detail) -> String {
        let mut out = Vec::new();
        print("cat.png", &answer(), detail, Theme::default(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_summary_is_labels_with_bars_and_a_line_for_each_block() {
        let expected = "\
cat.png  png 4×3, orientation 6  m version 1  0.0 ms
  cat    75.00 %  ██████████████████
  dogs    0.10 %

  attention    channels  mean   std   min   max  gates from 0 to 1  at 0  at 1  largest gates
  layer1.0.se         4  0.50  0.25  0.00  1.00  ▄·······█······▄      1     1  1.00 #2  0.50 #0
";
        assert_eq!(printed(Detail::Summary), expected);
    }

    #[test]
    fn classes_that_do_not_exclude_each_other_are_said_to_be_so() {
        let mut out = Vec::new();
        let answer = Classification { output_activation: OutputActivation::Sigmoid, ..answer() };
        print("cat.png", &answer, Detail::None, Theme::default(), &mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("  each class by itself: the probabilities need not sum to 100 %\n  cat "));
    }

    #[test]
    fn more_detail_lists_channels_and_then_every_gate() {
        let top = printed(Detail::Top);
        assert!(top.contains("    smallest 0.00 #1\n") && !top.contains("#0 ▄"), "{top}");
        assert!(printed(Detail::Full).ends_with("          #0 ▄▁█▄\n"));
    }
}
