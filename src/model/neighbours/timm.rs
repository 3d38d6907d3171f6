//! timm's `pretrained_cfg`, read as `timm.data.resolve_data_config` and `create_transform` read it for evaluation.

use serde::Deserialize;

use crate::image::{Color, Interpolation, Resize};
use crate::model::class_names::ClassNames;
use crate::model::manifest::{InputSection, PerChannel};
use crate::model::preprocessing::{DEFAULT_SCALE, IMAGENET_MEAN, IMAGENET_STD};

/// `model.toml`'s keys in timm's words.
pub(super) const KEYS: [(&str, &str); 8] = [
    ("input.color", "input_size"),
    ("input.size", "input_size"),
    ("input.resize", "crop_mode"),
    ("input.resize_to", "crop_pct"),
    ("input.crop_pct", "crop_pct"),
    ("input.interpolation", "interpolation"),
    ("input.mean", "mean"),
    ("input.std", "std"),
];

const DEFAULT_SIZE: [u32; 2] = [224, 224];
const DEFAULT_CROP_PCT: f64 = 0.875;

/// The entries that matter here; timm's other ones do not change what the network is fed.
#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "an object")]
pub(super) struct PretrainedCfg {
    /// Channels, height and width.
    input_size: Option<[u32; 3]>,
    test_input_size: Option<[u32; 3]>,
    crop_pct: Option<f64>,
    test_crop_pct: Option<f64>,
    crop_mode: Option<CropMode>,
    interpolation: Option<String>,
    mean: Option<PerChannel>,
    std: Option<PerChannel>,
    pub label_names: Option<ClassNames>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum CropMode {
    Center,
    Squash,
    Border,
}

impl PretrainedCfg {
    /// The contract for a network whose input has the size `network`, where that is fixed: one that was exported at the size for tests is
    /// cropped as for tests.
    pub(super) fn input(&self, network: Option<[u32; 2]>, warnings: &mut Vec<String>) -> InputSection {
        let sides = |size: Option<[u32; 3]>| size.map(|[_, height, width]| [height, width]);
        let trained = sides(self.input_size).unwrap_or(DEFAULT_SIZE);
        let tested = network.filter(|network| *network != trained && sides(self.test_input_size) == Some(*network));
        let test_crop_pct = tested.and(self.test_crop_pct).filter(|crop_pct| *crop_pct != 0.0);
        // To timm 0 is as good as nothing.
        let crop_pct = test_crop_pct.or(self.crop_pct.filter(|crop_pct| *crop_pct != 0.0)).unwrap_or(DEFAULT_CROP_PCT);
        let size = tested.unwrap_or(trained);
        let [to_height, to_width] = network.unwrap_or(size).map(|side| (f64::from(side) / crop_pct).floor());
        InputSection {
            size: Some(size),
            resize: Some(match self.crop_mode {
                Some(CropMode::Squash) => Resize::Squash,
                Some(CropMode::Border) => Resize::Border,
                Some(CropMode::Center) | None if to_height == to_width => Resize::ShorterSide,
                Some(CropMode::Center) | None => Resize::Cover,
            }),
            crop_pct: Some(crop_pct),
            interpolation: self.interpolation(warnings),
            color: Some(if self.input_size.is_some_and(|[channels, ..]| channels == 1) { Color::Grey } else { Color::Rgb }),
            mean: Some(self.mean.unwrap_or(PerChannel::Each(IMAGENET_MEAN))),
            std: Some(self.std.unwrap_or(PerChannel::Each(IMAGENET_STD))),
            scale: Some(DEFAULT_SCALE),
            ..InputSection::default()
        }
    }

    fn interpolation(&self, warnings: &mut Vec<String>) -> Option<Interpolation> {
        match self.interpolation.as_deref() {
            None | Some("" | "bicubic") => Some(Interpolation::Bicubic),
            Some("bilinear") => Some(Interpolation::Bilinear),
            Some("lanczos") => Some(Interpolation::Lanczos),
            Some("nearest") => Some(Interpolation::Nearest),
            Some(other) => {
                warnings.push(format!("interpolation is {other:?}, which is not carried out, expected nearest, bilinear, bicubic or lanczos"));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, network: Option<[u32; 2]>) -> (InputSection, Vec<String>) {
        let mut warnings = Vec::new();
        let input = serde_json::from_str::<PretrainedCfg>(text).unwrap().input(network, &mut warnings);
        (input, warnings)
    }

    #[test]
    fn what_is_not_given_is_timms_default() {
        let (input, warnings) = read("{}", None);
        assert_eq!((input.size, input.resize, input.crop_pct), (Some([224, 224]), Some(Resize::ShorterSide), Some(0.875)));
        assert_eq!(
            (input.interpolation, input.mean, input.std),
            (Some(Interpolation::Bicubic), Some(PerChannel::Each(IMAGENET_MEAN)), Some(PerChannel::Each(IMAGENET_STD)))
        );
        assert!(warnings.is_empty());
    }

    #[test]
    fn the_size_for_tests_holds_where_the_network_was_exported_at_it() {
        let cfg = r#"{"input_size": [3, 224, 224], "crop_pct": 0.9, "test_input_size": [3, 288, 288], "test_crop_pct": 1.0}"#;
        let crop = |network| (read(cfg, network).0.size.unwrap(), read(cfg, network).0.crop_pct.unwrap());
        assert_eq!(crop(None), ([224, 224], 0.9));
        assert_eq!(crop(Some([288, 288])), ([288, 288], 1.0));
        assert_eq!(crop(Some([320, 320])), ([224, 224], 0.9), "left to be compared with the network");
    }

    #[test]
    fn every_crop_mode_has_its_way_of_resizing() {
        let resize = |text: &str| read(text, None).0.resize.unwrap();
        assert_eq!(resize(r#"{"crop_mode": "squash"}"#), Resize::Squash);
        assert_eq!(resize(r#"{"crop_mode": "border"}"#), Resize::Border);
        assert_eq!(resize(r#"{"crop_mode": "center", "input_size": [3, 128, 256]}"#), Resize::Cover);
        // Both sides are cut to 256 pixels, so that timm hands them to torchvision.
        assert_eq!(resize(r#"{"input_size": [3, 224, 224], "crop_pct": 0.875}"#), Resize::ShorterSide);
    }

    #[test]
    fn one_channel_is_grey() {
        let (input, _) = read(r#"{"input_size": [1, 28, 28], "mean": [0.1307], "std": 0.3081}"#, None);
        assert_eq!((input.color, input.mean, input.std), (Some(Color::Grey), Some(PerChannel::One([0.1307])), Some(PerChannel::All(0.3081))));
    }

    #[test]
    fn a_filter_that_is_not_there_is_named() {
        let (input, warnings) = read(r#"{"interpolation": "random"}"#, None);
        assert_eq!(input.interpolation, None);
        assert_eq!(warnings, [r#"interpolation is "random", which is not carried out, expected nearest, bilinear, bicubic or lanczos"#]);
    }
}
