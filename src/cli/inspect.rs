//! `senet inspect`: what is known of a model.

use std::io::{self, Write};

use super::args::Models;
use super::error::CliError;
use super::style::{Theme, paint};
use super::table::{Align, Table};
use crate::image::{CropOffset, InputContract, Resize};
use crate::inference::{LoadOptions, SeBlockInfo, TensorInfo};
use crate::model::{Description, Origins};

/// Say what is known of a model: SE blocks, size, input contract, warnings
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  senet inspect cifar10_se_resnet\n  senet inspect ./seresnet50.onnx --json | jq .se_blocks")]
pub(super) struct Args {
    /// Name in --models, model folder or .onnx file [default: the bundled model]
    #[arg(value_name = "REF")]
    reference: Option<String>,
    #[command(flatten)]
    models: Models,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// Loads the model and describes it.
pub(super) fn run(args: Args, options: LoadOptions, out: &mut impl Write) -> Result<(), CliError> {
    let model = args.models.load(args.reference.as_deref(), options)?;
    let about = model.describe();
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &about).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        print(&about, Theme::of_stdout(), out)?;
    }
    Ok(())
}

fn print(about: &Description, theme: Theme, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{} version {}", paint(theme.strong, &about.name), about.version)?;
    for (title, text) in facts(about) {
        writeln!(out, "  {} {text}", paint(theme.faint, format!("{title:<14}")))?;
    }
    if !about.network.se_blocks.is_empty() {
        writeln!(out)?;
        blocks(&about.network.se_blocks, theme).print(out, theme.faint)?;
    }
    if !about.network.notes.is_empty() || !about.network.warnings.is_empty() {
        writeln!(out)?;
    }
    about.network.notes.iter().try_for_each(|note| writeln!(out, "  {} {note}", paint(theme.faint, "note:")))?;
    about.network.warnings.iter().try_for_each(|warning| writeln!(out, "  {} {warning}", paint(theme.alert, "warning:")))
}

fn facts(about: &Description) -> Vec<(&'static str, String)> {
    let operators = about.network.operators;
    let mut facts = vec![
        ("parameters", format!("{:.2} million", about.network.parameters as f64 / 1e6)),
        ("operations", format!("{:.3} GFLOP an image", about.network.flops as f64 / 1e9)),
        ("classes", about.network.classes.to_string()),
        ("input", tensors(&about.network.inputs)),
        ("output", tensors(&about.network.outputs)),
        ("picture", picture(&about.input)),
        ("values", values(&about.input)),
        ("activation", spelled(&about.output_activation)),
        ("preprocessing", about.preprocessing.clone()),
    ];
    facts.extend(origins(&about.origins).into_iter().map(|origin| ("from", origin)));
    facts.push(("operators", format!("{} squeeze-excite, {} blocked, {} tract", operators.squeeze_excite, operators.blocked, operators.tract)));
    if !about.network.unlowered.is_empty() {
        let left = about.network.unlowered.iter().map(|left| format!("{} {} ({})", left.count, left.operator, left.reason));
        facts.push(("left to tract", left.collect::<Vec<_>>().join(", ")));
    }
    facts.push(("SE blocks", about.network.se_blocks.len().to_string()));
    if !about.network.channel_gates.is_empty() {
        let gates = about.network.channel_gates.iter().map(|gate| format!("{} ({}, {} channels)", gate.name, spelled(&gate.kind), gate.channels));
        facts.push(("other gates", gates.collect::<Vec<_>>().join(", ")));
    }
    facts
}

/// An enumeration's value as `model.toml` spells it.
fn spelled(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn tensors(tensors: &[TensorInfo]) -> String {
    let side = |side: &i64| if *side < 0 { "?".to_owned() } else { side.to_string() };
    let shape = |tensor: &TensorInfo| tensor.shape.iter().map(side).collect::<Vec<_>>().join("×");
    tensors.iter().map(|tensor| format!("{} {} {}", tensor.name, shape(tensor), tensor.datatype)).collect::<Vec<_>>().join(", ")
}

fn picture(contract: &InputContract) -> String {
    let [height, width] = contract.size;
    let interpolation = spelled(&contract.interpolation);
    let [to_height, to_width] = contract.resize_to;
    let offset = if contract.crop_offset == CropOffset::Down { ", its offset rounded down" } else { "" };
    let cut = format!(", centre crop of {height}×{width}{offset}");
    let crop = if contract.resize_to == contract.size { "" } else { &cut };
    match contract.resize {
        Resize::ShorterSide => format!("shorter side to {to_height} ({interpolation}){cut}"),
        Resize::Cover => format!("covering {to_height}×{to_width} ({interpolation}){cut}"),
        Resize::Squash => format!("squashed to {to_height}×{to_width} ({interpolation}){crop}"),
        Resize::Pad => format!("fitted into {height}×{width} ({interpolation}), centred on black"),
        Resize::Border => format!("fitted into {to_height}×{to_width} ({interpolation}), centred on the mean colour{crop}"),
    }
}

/// Every file or other origin with the values that come from it.
fn origins(origins: &Origins) -> Vec<String> {
    let mut files: Vec<&String> = origins.values().collect();
    files.sort();
    files.dedup();
    let keys = |file| origins.iter().filter(move |(_, origin)| *origin == file).filter_map(|(key, _)| key.split('.').next_back());
    files.into_iter().map(|file| format!("{file}: {}", keys(file).collect::<Vec<_>>().join(", "))).collect()
}

fn values(contract: &InputContract) -> String {
    let (color, layout) = (spelled(&contract.color), spelled(&contract.layout));
    format!("{color}, {layout}, (pixel × {} − {:?}) / {:?}", contract.scale, contract.mean(), contract.std())
}

fn blocks(blocks: &[SeBlockInfo], theme: Theme) -> Table {
    let titles = ["block", "stage", "C → C/r → C", "r", "H×W", "activation", "gate", "residual"];
    let aligned = titles.map(|title| (title, if matches!(title, "r" | "H×W") { Align::Right } else { Align::Left }));
    let mut table = Table::new(&aligned).styled(0, theme.strong);
    for block in blocks {
        table.row(vec![
            block.name.clone(),
            format!("{}.{}", block.stage, block.block),
            format!("{} → {} → {}", block.channels, block.squeezed, block.channels),
            format!("{:.1}", block.reduction_ratio).trim_end_matches(".0").to_owned(),
            format!("{}×{}", block.height, block.width),
            spelled(&block.activation),
            spelled(&block.gate),
            if block.fused_residual { "fused" } else { "–" }.to_owned(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Color, Interpolation, Layout};

    #[test]
    fn the_offset_is_told_where_something_is_cropped() {
        let cropped = InputContract {
            size: [224, 192],
            resize: Resize::ShorterSide,
            resize_to: [256, 256],
            crop_offset: CropOffset::Down,
            interpolation: Interpolation::Bilinear,
            color: Color::Rgb,
            layout: Layout::Nchw,
            mean: [0.0; 3],
            std: [1.0; 3],
            scale: 1.0,
        };
        assert_eq!(picture(&cropped), "shorter side to 256 (bilinear), centre crop of 224×192, its offset rounded down");
        let squashed = InputContract { resize: Resize::Squash, resize_to: [224, 192], ..cropped.clone() };
        assert_eq!(picture(&squashed), "squashed to 224×192 (bilinear)");
        let padded = InputContract { resize: Resize::Pad, ..cropped.clone() };
        assert_eq!(picture(&padded), "fitted into 224×192 (bilinear), centred on black");
        let nearest = InputContract { crop_offset: CropOffset::Nearest, ..cropped };
        assert_eq!(picture(&nearest), "shorter side to 256 (bilinear), centre crop of 224×192");
    }
}
