//! Hugging Face's `preprocessor_config.json`, read as the image processors of transformers read it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::timm::PretrainedCfg;
use crate::image::{Color, Interpolation, Resize};
use crate::model::manifest::{InputSection, PerChannel, ResizeTo};
use crate::model::preprocessing::DEFAULT_SCALE;

/// `model.toml`'s keys in transformers' words.
pub(super) const KEYS: [(&str, &str); 8] = [
    ("input.size", "size or crop_size"),
    ("input.resize", "size"),
    ("input.resize_to", "size"),
    ("input.interpolation", "resample"),
    ("input.color", "do_flip_channel_order"),
    ("input.mean", "image_mean"),
    ("input.std", "image_std"),
    ("input.scale", "rescale_factor"),
];

/// Processors whose rules are carried out here; any other one is read as if it were the first, and named.
const KNOWN: [&str; 10] = ["ViT", "Beit", "Bit", "CLIP", "ConvNext", "DeiT", "EfficientNet", "MobileNetV1", "MobileNetV2", "MobileViT"];

/// Those to which `size = 224` means a square, not the shorter side.
const SQUARE: [&str; 4] = ["ViT", "Beit", "DeiT", "EfficientNet"];

/// Below this side ConvNext's processor crops, from here on it squashes, pixels.
const CONVNEXT_SQUASHES_FROM: u32 = 384;
const CONVNEXT_CROP_PCT: f64 = 224.0 / 256.0;

/// The entries of every processor for classifiers.
#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "an object")]
pub(super) struct Processor {
    image_processor_type: Option<String>,
    feature_extractor_type: Option<String>,
    do_resize: Option<bool>,
    size: Option<Size>,
    crop_pct: Option<f64>,
    resample: Option<u64>,
    do_center_crop: Option<bool>,
    crop_size: Option<Size>,
    do_rescale: Option<bool>,
    rescale_factor: Option<f64>,
    rescale_offset: Option<bool>,
    do_normalize: Option<bool>,
    image_mean: Option<PerChannel>,
    image_std: Option<PerChannel>,
    include_top: Option<bool>,
    do_flip_channel_order: Option<bool>,
    num_channels: Option<u64>,
    do_grayscale: Option<bool>,
    /// Of timm's wrapper, in which case it says everything.
    pub pretrained_cfg: Option<PretrainedCfg>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged, expecting = "expected a number of pixels, height and width, or shortest_edge")]
enum Size {
    Side(u32),
    Sides([u32; 2]),
    Named { height: u32, width: u32 },
    Shortest { shortest_edge: u32, longest_edge: Option<u32> },
}

/// What `size` resizes to.
#[derive(Clone, Copy)]
enum Target {
    Shortest(u32),
    Sides([u32; 2]),
}

impl Processor {
    /// The contract; `warnings` receives what cannot be carried out.
    pub(super) fn input(&self, warnings: &mut Vec<String>) -> InputSection {
        self.name_what_is_unknown(warnings);
        let scale = if self.do_rescale == Some(false) { 1.0 } else { self.rescale_factor.map_or(DEFAULT_SCALE, |factor| factor as f32) };
        let (mean, std) = self.normalisation(scale, warnings);
        let is_grey = self.num_channels == Some(1) || self.do_grayscale == Some(true);
        let flipped = self.do_flip_channel_order.unwrap_or(self.kind() == Some("MobileViT"));
        InputSection {
            interpolation: self.interpolation(warnings),
            color: Some(if is_grey {
                Color::Grey
            } else if flipped {
                Color::Bgr
            } else {
                Color::Rgb
            }),
            mean,
            std,
            scale: Some(scale),
            ..self.geometry(warnings).unwrap_or_default()
        }
    }

    fn name(&self) -> Option<&str> {
        self.image_processor_type.as_deref().or(self.feature_extractor_type.as_deref())
    }

    /// `ViT` of `ViTImageProcessorFast`; old files have `ViTFeatureExtractor`.
    fn kind(&self) -> Option<&str> {
        let name = self.name()?;
        let name = name.strip_suffix("Fast").or_else(|| name.strip_suffix("Pil")).unwrap_or(name);
        Some(name.strip_suffix("ImageProcessor").or_else(|| name.strip_suffix("FeatureExtractor")).unwrap_or(name))
    }

    fn name_what_is_unknown(&self, warnings: &mut Vec<String>) {
        if let (Some(name), Some(false)) = (self.name(), self.kind().map(|kind| KNOWN.contains(&kind))) {
            warnings.push(format!("image_processor_type is {name:?}, whose rules are not known, it is read as ViTImageProcessor's"));
        }
        // These change nothing that a network is fed with when it classifies pictures.
        let harmless = ["do_convert_rgb", "do_reduce_labels"];
        for (key, _) in self.others.iter().filter(|(key, value)| key.starts_with("do_") && !harmless.contains(&key.as_str()) && **value == true) {
            warnings.push(format!("{key} is true, which is not carried out, expected false"));
        }
        if self.crop_pct.is_some() && self.kind().is_some_and(|kind| kind != "ConvNext") {
            warnings.push("crop_pct is given, which only ConvNextImageProcessor is known to heed, expected size and crop_size".to_owned());
        }
    }

    /// Sizes and the way of resizing, or nothing where they cannot be carried out.
    fn geometry(&self, warnings: &mut Vec<String>) -> Option<InputSection> {
        if self.do_resize == Some(false) {
            warnings.push("do_resize is false, which is not carried out, expected true".to_owned());
            return None;
        }
        let target = self.target(warnings)?;
        if let (Some("ConvNext"), Target::Shortest(side)) = (self.kind(), target) {
            return Some(self.convnext(side));
        }
        let (resize, resize_to) = match target {
            Target::Shortest(side) => (Resize::ShorterSide, ResizeTo::Side(side)),
            Target::Sides(sides) => (Resize::Squash, ResizeTo::Sides(sides)),
        };
        let crop = self.do_center_crop.unwrap_or_else(|| {
            if self.crop_size.is_some() {
                warnings.push("do_center_crop is not given, true is assumed, since crop_size is given".to_owned());
            }
            self.crop_size.is_some()
        });
        let size = match (crop, self.crop_size, target) {
            (true, Some(Size::Side(side)), _) => [side; 2],
            (true, Some(Size::Sides([height, width]) | Size::Named { height, width }), _) => [height, width],
            (false, _, Target::Sides(sides)) => sides,
            (true, ..) => {
                warnings.push("do_center_crop is true without a crop_size of height and width, which is not carried out".to_owned());
                return None;
            }
            (false, ..) => {
                warnings.push("size is a shortest_edge and do_center_crop is false, which gives no fixed size and is not carried out".to_owned());
                return None;
            }
        };
        Some(InputSection { size: Some(size), resize: Some(resize), resize_to: Some(resize_to), ..InputSection::default() })
    }

    fn target(&self, warnings: &mut Vec<String>) -> Option<Target> {
        match self.size? {
            Size::Side(side) if self.kind().is_none_or(|kind| SQUARE.contains(&kind)) => Some(Target::Sides([side; 2])),
            Size::Side(side) | Size::Shortest { shortest_edge: side, longest_edge: None } => Some(Target::Shortest(side)),
            Size::Sides([height, width]) | Size::Named { height, width } => Some(Target::Sides([height, width])),
            Size::Shortest { longest_edge: Some(longest), .. } => {
                warnings.push(format!("size.longest_edge is {longest}, which is not carried out, expected shortest_edge alone"));
                None
            }
        }
    }

    fn convnext(&self, side: u32) -> InputSection {
        let crop_pct = self.crop_pct.unwrap_or(CONVNEXT_CROP_PCT);
        let (resize, resize_to) =
            if side < CONVNEXT_SQUASHES_FROM { (Resize::ShorterSide, (f64::from(side) / crop_pct) as u32) } else { (Resize::Squash, side) };
        InputSection { size: Some([side; 2]), resize: Some(resize), resize_to: Some(ResizeTo::Side(resize_to)), ..InputSection::default() }
    }

    /// Numbers of Pillow's `Resampling`.
    fn interpolation(&self, warnings: &mut Vec<String>) -> Option<Interpolation> {
        match self.resample? {
            0 => Some(Interpolation::Nearest),
            1 => Some(Interpolation::Lanczos),
            2 => Some(Interpolation::Bilinear),
            3 => Some(Interpolation::Bicubic),
            other => {
                let expected = "expected 0 (nearest), 1 (lanczos), 2 (bilinear) or 3 (bicubic)";
                warnings.push(format!("resample is {other}, which is not carried out, {expected}"));
                None
            }
        }
    }

    fn normalisation(&self, scale: f32, warnings: &mut Vec<String>) -> (Option<PerChannel>, Option<PerChannel>) {
        let all = |value| Some(PerChannel::All(value));
        // MobileViT's processor knows no normalisation, although its files have a mean.
        let normalised = self.do_normalize.unwrap_or(self.kind() != Some("MobileViT"));
        let (mut mean, mut std) = if normalised { (self.image_mean, self.image_std) } else { (all(0.0), all(1.0)) };
        // EfficientNet's networks of Keras end their own normalisation with a second division by the standard deviation.
        if self.include_top.unwrap_or(self.kind() == Some("EfficientNet")) {
            std = self.image_std.zip(std).map(|(twice, once)| once.map_with(twice, |once, twice| once * twice));
        }
        if self.rescale_offset == Some(true) {
            // The slow processor subtracts 127.5 before it scales, the fast one subtracts 1 after it: one and the same for 1/127.5 alone.
            if (127.5 * scale - 1.0).abs() < 1e-6 {
                mean = mean.map(|mean| mean.map_with(PerChannel::All(1.0), |value, one| value + one));
            } else {
                warnings.push(format!("rescale_offset is true and rescale_factor {scale}, which is not carried out, expected 1/127.5"));
            }
        }
        (mean, std)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (InputSection, Vec<String>) {
        let mut warnings = Vec::new();
        let input = serde_json::from_str::<Processor>(text).unwrap().input(&mut warnings);
        (input, warnings)
    }

    /// Size, way of resizing and what is resized to.
    fn geometry(text: &str) -> ([u32; 2], Resize, [u32; 2]) {
        let (input, warnings) = read(text);
        assert!(warnings.is_empty(), "{text}: {warnings:?}");
        (input.size.unwrap(), input.resize.unwrap(), input.resize_to.unwrap().sides())
    }

    #[test]
    fn every_known_processor_is_read_by_its_own_rules() {
        let vit = r#"{"feature_extractor_type": "ViTFeatureExtractor", "size": 224, "resample": 2}"#;
        assert_eq!(geometry(vit), ([224, 224], Resize::Squash, [224, 224]));
        let deit = r#"{"image_processor_type": "DeiTImageProcessor", "size": {"height": 256, "width": 250}, "do_center_crop": true,
            "crop_size": {"height": 224, "width": 220}}"#;
        assert_eq!(geometry(deit), ([224, 220], Resize::Squash, [256, 250]));
        let mobile = r#"{"image_processor_type": "MobileNetV2ImageProcessorFast", "size": {"shortest_edge": 256}, "do_center_crop": true,
            "crop_size": 224}"#;
        assert_eq!(geometry(mobile), ([224, 224], Resize::ShorterSide, [256, 256]));
        let convnext = |size| format!(r#"{{"image_processor_type": "ConvNextImageProcessor", "size": {size}, "crop_pct": null}}"#);
        assert_eq!(geometry(&convnext("224")), ([224, 224], Resize::ShorterSide, [256, 256]));
        assert_eq!(geometry(&convnext(r#"{"shortest_edge": 384}"#)), ([384, 384], Resize::Squash, [384, 384]));
    }

    #[test]
    fn values_are_scaled_and_normalised_as_the_switches_say() {
        let (input, _) = read(r#"{"image_mean": 0.5, "image_std": [0.1, 0.2, 0.3]}"#);
        assert_eq!((input.scale, input.mean, input.std), (Some(1.0 / 255.0), Some(PerChannel::All(0.5)), Some(PerChannel::Each([0.1, 0.2, 0.3]))));
        let (input, _) = read(r#"{"do_rescale": false, "do_normalize": false, "image_mean": [1, 2, 3]}"#);
        assert_eq!((input.scale, input.mean, input.std), (Some(1.0), Some(PerChannel::All(0.0)), Some(PerChannel::All(1.0))));
        let (input, _) = read(r#"{"image_processor_type": "MobileViTImageProcessor", "image_mean": 0.5}"#);
        assert_eq!((input.color, input.mean), (Some(Color::Bgr), Some(PerChannel::All(0.0))));
        let (input, _) = read(r#"{"image_processor_type": "EfficientNetImageProcessor", "image_mean": 0.5, "image_std": 0.5}"#);
        assert_eq!(input.std, Some(PerChannel::All(0.25)), "divided twice");
        let (input, _) = read(r#"{"rescale_offset": true, "rescale_factor": 0.00784313725490196, "do_normalize": false}"#);
        assert_eq!(input.mean, Some(PerChannel::All(1.0)));
        let (input, _) = read(r#"{"num_channels": 1, "image_mean": [0.1307]}"#);
        assert_eq!((input.color, input.mean), (Some(Color::Grey), Some(PerChannel::One([0.1307]))));
    }

    #[test]
    fn what_cannot_be_carried_out_is_named_with_key_and_value() {
        for (text, expected) in [
            (r#"{"resample": 4}"#, "resample is 4, which is not carried out"),
            (r#"{"do_pad": true}"#, "do_pad is true, which is not carried out"),
            (r#"{"do_resize": false}"#, "do_resize is false, which is not carried out"),
            (r#"{"size": {"shortest_edge": 9}}"#, "size is a shortest_edge and do_center_crop is false"),
            (r#"{"size": {"shortest_edge": 9, "longest_edge": 20}}"#, "size.longest_edge is 20"),
            (r#"{"size": 9, "do_center_crop": true}"#, "do_center_crop is true without a crop_size"),
            (r#"{"size": 9, "crop_size": 8}"#, "do_center_crop is not given, true is assumed"),
            (r#"{"rescale_offset": true}"#, "rescale_offset is true and rescale_factor 0.003921569"),
            (r#"{"image_processor_type": "LevitImageProcessor"}"#, "image_processor_type is \"LevitImageProcessor\", whose rules are not known"),
            (r#"{"image_processor_type": "ViTImageProcessor", "crop_pct": 0.9}"#, "crop_pct is given"),
        ] {
            let (_, warnings) = read(text);
            assert!(warnings.len() == 1 && warnings[0].starts_with(expected), "{text}: {warnings:?}");
        }
    }
}
