//! `model.toml`: what a model folder says of its network; knows nothing of files.

use std::fmt;

use serde::Deserialize;

use crate::image::{Color, CropOffset, Interpolation, Layout, Resize};
use crate::inference::OutputActivation;

/// The whole file; every entry may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Manifest {
    pub model: ModelSection,
    pub input: InputSection,
    pub output: OutputSection,
}

/// What the network is and where it comes from.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ModelSection {
    pub name: Option<String>,
    pub version: Option<VersionText>,
    pub file: Option<String>,
    pub sha256: Option<String>,
    /// For people alone, like `source`.
    #[serde(rename = "license")]
    pub _license: Option<String>,
    #[serde(rename = "source")]
    pub _source: Option<String>,
}

/// How pictures become the network's input.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct InputSection {
    pub size: Option<[u32; 2]>,
    pub resize: Option<Resize>,
    pub resize_to: Option<ResizeTo>,
    pub crop_pct: Option<f64>,
    pub crop_offset: Option<CropOffset>,
    pub interpolation: Option<Interpolation>,
    pub color: Option<Color>,
    pub layout: Option<Layout>,
    pub mean: Option<PerChannel>,
    pub std: Option<PerChannel>,
    pub scale: Option<f32>,
}

/// A number for all channels, or one for each.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(untagged, expecting = "expected a number, or a list of one or of three")]
pub(super) enum PerChannel {
    All(f32),
    One([f32; 1]),
    Each([f32; 3]),
}

impl PerChannel {
    /// The same of every channel with the one of `other`.
    pub(super) fn map_with(self, other: Self, map: impl Fn(f32, f32) -> f32) -> Self {
        match (self, other) {
            (Self::All(a) | Self::One([a]), Self::All(b) | Self::One([b])) => Self::All(map(a, b)),
            _ => {
                let (a, b) = (self.each(), other.each());
                Self::Each([0, 1, 2].map(|channel| map(a[channel], b[channel])))
            }
        }
    }

    /// Of three channels.
    pub(super) fn each(self) -> [f32; 3] {
        match self {
            Self::All(value) | Self::One([value]) => [value; 3],
            Self::Each(values) => values,
        }
    }
}

/// One side, or height and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "expected a number of pixels, or height and width")]
pub(super) enum ResizeTo {
    Side(u32),
    Sides([u32; 2]),
}

impl ResizeTo {
    /// Height and width.
    pub(super) fn sides(self) -> [u32; 2] {
        match self {
            Self::Side(side) => [side; 2],
            Self::Sides(sides) => sides,
        }
    }
}

/// What becomes of the network's output.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OutputSection {
    pub name: Option<String>,
    pub activation: Option<OutputActivation>,
    pub labels: Option<String>,
}

/// A version, which people write with and without quotes.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a string or an integer")]
pub(super) enum VersionText {
    Number(u64),
    Text(String),
}

impl fmt::Display for VersionText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::toml_file::parse;

    #[test]
    fn reads_every_documented_entry() {
        let text = r#"
            [model]
            name = "n"
            version = 2
            file = "model.onnx"
            sha256 = "00"
            license = "MIT"
            source = "here"
            [input]
            size = [224, 192]
            resize = "pad"
            resize_to = 256
            crop_pct = 0.875
            crop_offset = "down"
            interpolation = "lanczos"
            color = "bgr"
            layout = "nhwc"
            mean = [0, 0.5, 1]
            std = [1, 1, 1]
            scale = 1
            [output]
            name = "logits"
            activation = "sigmoid"
            labels = "labels.txt"
        "#;
        let manifest: Manifest = parse(Path::new("model.toml"), text).unwrap();
        assert_eq!(manifest.model.version.map(|v| v.to_string()).as_deref(), Some("2"));
        assert_eq!((manifest.input.size, manifest.input.mean), (Some([224, 192]), Some(PerChannel::Each([0.0, 0.5, 1.0]))));
        assert_eq!(manifest.output.activation, Some(OutputActivation::Sigmoid));
    }

    #[test]
    fn a_mean_is_a_number_or_a_list_and_grey_has_two_spellings() {
        let input = |text: &str| parse::<Manifest>(Path::new("model.toml"), text).unwrap().input;
        assert_eq!(input("[input]\nmean = 0.5\nstd = [0.25]").mean, Some(PerChannel::All(0.5)));
        assert_eq!(input("[input]\nmean = 0.5\nstd = [0.25]").std, Some(PerChannel::One([0.25])));
        assert_eq!((input("[input]\ncolor = \"grey\"").color, input("[input]\ncolor = \"gray\"").color), (Some(Color::Grey), Some(Color::Grey)));
    }

    #[test]
    fn a_version_is_a_string_or_an_integer() {
        let message = parse::<Manifest>(Path::new("model.toml"), "[model]\nversion = 1.5").unwrap_err().to_string();
        assert_eq!(message, "model.toml, line 2: model.version is 1.5, expected a string or an integer");
    }
}
