//! From the entries of `[input]` and the shape of the network's input to a complete contract; what had to be guessed is said.

use crate::image::{Color, ContractError, InputContract, Interpolation, Layout, Resize};
use crate::inference::TensorInfo;

use super::manifest::InputSection;

/// Side of the network's input where neither `model.toml` nor the network says it.
const DEFAULT_SIDE: u32 = 224;
const DEFAULT_CROP_PCT: f64 = 0.875;
const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];
const DEFAULT_SCALE: f32 = 1.0 / 255.0;

/// The size asked for where the network leaves it open: the section's or the default.
///
/// # Errors
/// For a side of 0 or above 4,096.
pub(super) fn requested_size(section: &InputSection) -> Result<[u32; 2], ContractError> {
    let size = section.size.unwrap_or([DEFAULT_SIDE; 2]);
    if size.iter().all(|side| (1..=4096).contains(side)) { Ok(size) } else { refuse("size", format!("{size:?}"), "two sides of 1 to 4096 pixels") }
}

/// The contract of a network whose input is `tensor`; `guesses` receives a sentence for every entry that was assumed.
///
/// # Errors
/// For entries that contradict each other or the network, or that [`InputContract::validate`] refuses.
pub(super) fn complete(section: &InputSection, tensor: &TensorInfo, guesses: &mut Vec<String>) -> Result<InputContract, ContractError> {
    let layout = layout(section, tensor, guesses)?;
    let size = size(section, tensor, layout, guesses)?;
    let mut guess = Guesses(guesses);
    let resize = guess.or(section.resize, Resize::ShorterSide, "input.resize", "\"shorter_side\"");
    let contract = InputContract {
        size,
        resize,
        resize_to: resize_to(section, resize, size, &mut guess)?,
        interpolation: guess.or(section.interpolation, Interpolation::Bilinear, "input.interpolation", "\"bilinear\""),
        color: guess.or(section.color, Color::Rgb, "input.color", "\"rgb\""),
        layout,
        mean: guess.or(section.mean, IMAGENET_MEAN, "input.mean", "[0.485, 0.456, 0.406], ImageNet's,"),
        std: guess.or(section.std, IMAGENET_STD, "input.std", "[0.229, 0.224, 0.225], ImageNet's,"),
        scale: guess.or(section.scale, DEFAULT_SCALE, "input.scale", "1/255"),
    };
    contract.validate()?;
    Ok(contract)
}

/// The sentences about what was assumed.
struct Guesses<'a>(&'a mut Vec<String>);

impl Guesses<'_> {
    fn or<T>(&mut self, given: Option<T>, default: T, key: &str, shown: &str) -> T {
        given.unwrap_or_else(|| {
            self.0.push(format!("{key} is not given, {shown} is assumed"));
            default
        })
    }
}

fn refuse<T>(key: &'static str, value: String, expected: impl Into<String>) -> Result<T, ContractError> {
    Err(ContractError { key, value, expected: expected.into() })
}

/// The axis of three tells; where both or none could, the section or the default does.
fn layout(section: &InputSection, tensor: &TensorInfo, guesses: &mut Vec<String>) -> Result<Layout, ContractError> {
    let found = match tensor.shape[..] {
        [_, 3, _, last] if last != 3 => Some(Layout::Nchw),
        [_, first, _, 3] if first != 3 => Some(Layout::Nhwc),
        _ => None,
    };
    match (section.layout, found) {
        (Some(given), Some(found)) if given != found => {
            let spelled = |layout| if layout == Layout::Nchw { "\"nchw\"" } else { "\"nhwc\"" };
            refuse("layout", spelled(given).to_owned(), format!("{}, since the network's input is {:?}", spelled(found), tensor.shape))
        }
        (Some(layout), _) | (None, Some(layout)) => Ok(layout),
        (None, None) => Ok(Guesses(guesses).or(None, Layout::Nchw, "input.layout", "\"nchw\"")),
    }
}

/// Height and width: the network's where it fixes them, else the section's, else the default.
fn size(section: &InputSection, tensor: &TensorInfo, layout: Layout, guesses: &mut Vec<String>) -> Result<[u32; 2], ContractError> {
    let axes = if layout == Layout::Nchw { [2, 3] } else { [1, 2] };
    let fixed = axes.map(|axis| tensor.shape.get(axis).and_then(|side| u32::try_from(*side).ok()).filter(|side| *side > 0));
    let given = section.size.unwrap_or([DEFAULT_SIDE; 2]);
    let size = [fixed[0].unwrap_or(given[0]), fixed[1].unwrap_or(given[1])];
    match section.size {
        Some(given) if given != size => refuse("size", format!("{given:?}"), format!("{size:?}, the size of the network's input")),
        None if fixed.contains(&None) => {
            guesses.push(format!("input.size is not given and the network leaves it open, {size:?} is assumed"));
            Ok(size)
        }
        _ => Ok(size),
    }
}

/// Length of the shorter side before the crop; without meaning, and the longer side of `size`, for the ways that do not crop.
fn resize_to(section: &InputSection, resize: Resize, size: [u32; 2], guess: &mut Guesses<'_>) -> Result<u32, ContractError> {
    let side = size[0].max(size[1]);
    match (section.resize_to, section.crop_pct) {
        (Some(resize_to), Some(crop_pct)) => {
            refuse("crop_pct", crop_pct.to_string(), format!("to be absent, since resize_to is {resize_to} and says the same"))
        }
        _ if resize != Resize::ShorterSide => Ok(side),
        (Some(resize_to), None) => Ok(resize_to),
        (None, Some(crop_pct)) => cropped_from(side, crop_pct),
        (None, None) => cropped_from(side, guess.or(None, DEFAULT_CROP_PCT, "input.resize_to or input.crop_pct", "crop_pct = 0.875")),
    }
}

/// As timm has it: `floor(side / crop_pct)`.
fn cropped_from(side: u32, crop_pct: f64) -> Result<u32, ContractError> {
    if crop_pct > 0.0 && crop_pct <= 1.0 {
        Ok((f64::from(side) / crop_pct).floor() as u32)
    } else {
        refuse("crop_pct", crop_pct.to_string(), "a number above 0 and at most 1")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[i64]) -> TensorInfo {
        TensorInfo { name: "input".to_owned(), datatype: "FP32".to_owned(), shape: shape.to_vec() }
    }

    fn completed(section: &InputSection, shape: &[i64]) -> (InputContract, Vec<String>) {
        let mut guesses = Vec::new();
        let contract = complete(section, &tensor(shape), &mut guesses).unwrap();
        (contract, guesses)
    }

    fn refused(section: &InputSection, shape: &[i64]) -> String {
        complete(section, &tensor(shape), &mut Vec::new()).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_section_is_filled_with_imagenets_values_and_says_so() {
        let (contract, guesses) = completed(&InputSection::default(), &[-1, 3, -1, -1]);
        assert_eq!((contract.size, contract.resize_to, contract.resize), ([224, 224], 256, Resize::ShorterSide));
        assert_eq!((contract.mean, contract.std, contract.scale), (IMAGENET_MEAN, IMAGENET_STD, 1.0 / 255.0));
        assert_eq!(guesses.len(), 8, "{guesses:#?}");
        assert!(guesses.contains(&"input.mean is not given, [0.485, 0.456, 0.406], ImageNet's, is assumed".to_owned()));
    }

    #[test]
    fn the_networks_shape_gives_size_and_layout_without_a_guess() {
        let (contract, guesses) = completed(&InputSection::default(), &[1, 192, 256, 3]);
        assert_eq!((contract.layout, contract.size), (Layout::Nhwc, [192, 256]));
        assert!(!guesses.iter().any(|g| g.contains("input.size") || g.contains("layout")), "{guesses:#?}");
    }

    #[test]
    fn entries_that_contradict_the_network_are_refused() {
        let section = InputSection { size: Some([224, 224]), ..Default::default() };
        assert_eq!(refused(&section, &[-1, 3, 32, 32]), "size is [224, 224], expected [32, 32], the size of the network's input");
        let section = InputSection { layout: Some(Layout::Nhwc), ..Default::default() };
        assert_eq!(refused(&section, &[1, 3, 8, 8]), r#"layout is "nhwc", expected "nchw", since the network's input is [1, 3, 8, 8]"#);
    }

    #[test]
    fn impossible_values_are_refused() {
        let shape = [1, 3, 224, 224];
        let with = |change: fn(&mut InputSection)| {
            let mut section = InputSection::default();
            change(&mut section);
            refused(&section, &shape)
        };
        assert!(with(|s| s.mean = Some([f32::NAN, 0.0, 0.0])).starts_with("mean is [NaN"));
        assert!(with(|s| s.std = Some([1.0, 0.0, 1.0])).starts_with("std is [1.0, 0.0, 1.0], expected"));
        assert!(with(|s| s.resize_to = Some(200)).starts_with("resize_to is 200, expected 224 to"));
        assert_eq!(with(|s| s.crop_pct = Some(1.5)), "crop_pct is 1.5, expected a number above 0 and at most 1");
        assert!(with(|s| (s.resize_to, s.crop_pct) = (Some(256), Some(0.9))).contains("says the same"));
    }

    #[test]
    fn crop_pct_is_rounded_down_as_timm_does() {
        for (crop_pct, resize_to) in [(0.9, 248), (0.8, 280), (1.0, 224)] {
            let section = InputSection { crop_pct: Some(crop_pct), ..Default::default() };
            assert_eq!(completed(&section, &[1, 3, 224, 224]).0.resize_to, resize_to);
        }
    }

    #[test]
    fn ways_that_do_not_crop_need_no_resize_to() {
        let section = InputSection { resize: Some(Resize::Pad), ..Default::default() };
        let (contract, guesses) = completed(&section, &[1, 3, 224, 160]);
        assert_eq!(contract.resize_to, 224);
        assert!(!guesses.iter().any(|g| g.contains("resize_to")), "{guesses:#?}");
    }
}
