//! What exporters note in the ONNX file itself of its input: Ultralytics, and the keys for pictures of ONNX's own documentation.

use std::collections::BTreeMap;
use std::path::Path;

use super::manifest::{InputSection, PerChannel, ResizeTo};
use super::preprocessing::DEFAULT_SCALE;
use super::python;
use super::statement::Statement;
use crate::excerpt::excerpt;
use crate::image::{Color, Interpolation, Resize};

/// `model.toml`'s keys in Ultralytics' words.
const ULTRALYTICS: [(&str, &str); 4] =
    [("input.size", "imgsz"), ("input.resize", "imgsz"), ("input.resize_to", "imgsz"), ("input.color", "channels")];

/// `model.toml`'s keys in the words of ONNX's `MetadataProps.md`, which Azure Custom Vision writes.
const ONNX: [(&str, &str); 4] = [
    ("input.color", "Image.BitmapPixelFormat"),
    ("input.mean", "Image.NominalPixelRange"),
    ("input.std", "Image.NominalPixelRange"),
    ("input.scale", "Image.NominalPixelRange"),
];

type Metadata = BTreeMap<String, String>;

/// The task that Ultralytics exported a network for, where that is another one than to classify.
pub(super) fn another_task(metadata: &Metadata) -> Option<&str> {
    metadata.get("task").map(String::as_str).filter(|task| is_ultralytics(metadata) && *task != "classify")
}

fn is_ultralytics(metadata: &Metadata) -> bool {
    ["task", "imgsz", "names", "stride"].iter().all(|key| metadata.contains_key(*key))
}

/// What the `metadata` of the ONNX file at `path` states of its input; `warnings` receives what cannot be read.
pub(super) fn sources(metadata: &Metadata, path: &Path, warnings: &mut Vec<String>) -> Vec<Statement> {
    let name = format!("{} (metadata)", path.file_name().unwrap_or_default().to_string_lossy());
    let (keys, input): (&'static [_], _) =
        if is_ultralytics(metadata) { (&ULTRALYTICS, ultralytics(metadata, &name, warnings)) } else { (&ONNX, of_onnx(metadata, &name, warnings)) };
    input.map(|input| Statement { name, path: path.to_owned(), keys, input }).into_iter().collect()
}

/// As `classify_transforms` of Ultralytics has it since 8.1: torchvision's `Resize` and `CenterCrop`, and no normalisation.
fn ultralytics(metadata: &Metadata, name: &str, warnings: &mut Vec<String>) -> Option<InputSection> {
    let text = metadata.get("imgsz")?;
    let size = sides(text);
    if size.is_none() {
        warnings.push(format!("{name}: imgsz is {:?}, expected a number of pixels, or height and width", excerpt(text)));
    }
    let is_grey = metadata.get("channels").is_some_and(|channels| channels.trim() == "1");
    Some(InputSection {
        size,
        resize: size.map(|[height, width]| if height == width { Resize::ShorterSide } else { Resize::Squash }),
        resize_to: size.map(ResizeTo::Sides),
        interpolation: Some(Interpolation::Bilinear),
        color: Some(if is_grey { Color::Grey } else { Color::Rgb }),
        mean: Some(PerChannel::All(0.0)),
        std: Some(PerChannel::All(1.0)),
        scale: Some(DEFAULT_SCALE),
        ..InputSection::default()
    })
}

/// `224`, `[224, 224]` or `(224, 224)`.
fn sides(text: &str) -> Option<[u32; 2]> {
    let json = python::to_json(text).replace('(', "[").replace(')', "]");
    serde_json::from_str::<ResizeTo>(&json).ok().map(ResizeTo::sides)
}

fn of_onnx(metadata: &Metadata, name: &str, warnings: &mut Vec<String>) -> Option<InputSection> {
    let read = |key: &str| metadata.get(key).map(String::as_str);
    let (format, range, gamma) = (read("Image.BitmapPixelFormat"), read("Image.NominalPixelRange"), read("Image.ColorSpaceGamma"));
    let mut unknown = |key: &str, value: &str, expected: &str| {
        warnings.push(format!("{name}: {key} is {:?}, which is not carried out, expected {expected}", excerpt(value)));
    };
    let color = format.and_then(|format| match format {
        "Rgb8" | "Rgba8" => Some(Color::Rgb),
        "Bgr8" | "Bgra8" => Some(Color::Bgr),
        "Gray8" => Some(Color::Grey),
        other => {
            unknown("Image.BitmapPixelFormat", other, "Rgb8, Bgr8 or Gray8");
            None
        }
    });
    let values = range.and_then(|range| match range {
        "NominalRange_0_255" => Some((1.0, 0.0, 1.0)),
        "Normalized_0_1" => Some((DEFAULT_SCALE, 0.0, 1.0)),
        "Normalized_1_1" => Some((DEFAULT_SCALE, 0.5, 0.5)),
        other => {
            unknown("Image.NominalPixelRange", other, "NominalRange_0_255, Normalized_0_1 or Normalized_1_1");
            None
        }
    });
    if let Some(gamma) = gamma.filter(|gamma| *gamma != "SRGB") {
        unknown("Image.ColorSpaceGamma", gamma, "SRGB");
    }
    (color.is_some() || values.is_some()).then(|| InputSection {
        color,
        scale: values.map(|(scale, ..)| scale),
        mean: values.map(|(_, mean, _)| PerChannel::All(mean)),
        std: values.map(|(.., std)| PerChannel::All(std)),
        ..InputSection::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[(&str, &str)]) -> (Option<InputSection>, Vec<String>) {
        let metadata: Metadata = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut warnings = Vec::new();
        let found = sources(&metadata, Path::new("a/model.onnx"), &mut warnings).pop();
        (found.map(|statement| statement.input), warnings)
    }

    const CLASSIFIER: [(&str, &str); 3] = [("task", "classify"), ("names", "{0: 'a'}"), ("stride", "1")];

    #[test]
    fn a_classifier_of_ultralytics_states_its_whole_input() {
        for (imgsz, size, resize) in
            [("[64, 64]", [64, 64], Resize::ShorterSide), ("224", [224, 224], Resize::ShorterSide), ("(64, 96)", [64, 96], Resize::Squash)]
        {
            let (input, warnings) = read(&[&CLASSIFIER[..], &[("imgsz", imgsz)]].concat());
            let input = input.unwrap();
            assert_eq!((input.size, input.resize, input.resize_to), (Some(size), Some(resize), Some(ResizeTo::Sides(size))), "{imgsz}");
            assert_eq!((input.mean, input.std), (Some(PerChannel::All(0.0)), Some(PerChannel::All(1.0))));
            assert!(warnings.is_empty());
        }
        let (grey, _) = read(&[&CLASSIFIER[..], &[("imgsz", "28"), ("channels", "1")]].concat());
        assert_eq!(grey.unwrap().color, Some(Color::Grey));
        let (_, warnings) = read(&[&CLASSIFIER[..], &[("imgsz", "large")]].concat());
        assert_eq!(warnings, [r#"model.onnx (metadata): imgsz is "large", expected a number of pixels, or height and width"#]);
    }

    #[test]
    fn networks_of_ultralytics_for_other_tasks_are_told() {
        let task = |task: &str| {
            let metadata: Metadata =
                [("task", task), ("imgsz", "64"), ("names", "{}"), ("stride", "32")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
            another_task(&metadata).map(str::to_owned)
        };
        assert_eq!((task("detect").as_deref(), task("classify")), (Some("detect"), None));
        assert_eq!(another_task(&Metadata::from([("task".to_owned(), "detect".to_owned())])), None, "somebody else's word");
    }

    #[test]
    fn the_documented_keys_for_pictures_are_read() {
        let (input, warnings) = read(&[("Image.BitmapPixelFormat", "Bgr8"), ("Image.NominalPixelRange", "NominalRange_0_255")]);
        let input = input.unwrap();
        assert_eq!((input.color, input.scale, input.mean), (Some(Color::Bgr), Some(1.0), Some(PerChannel::All(0.0))));
        assert!(warnings.is_empty());
        let (input, _) = read(&[("Image.NominalPixelRange", "Normalized_1_1")]);
        assert_eq!(input.unwrap().mean, Some(PerChannel::All(0.5)));
        assert!(read(&[("author", "x")]).0.is_none());
        let (_, warnings) = read(&[("Image.NominalPixelRange", "NominalRange_16_235"), ("Image.ColorSpaceGamma", "Linear")]);
        assert_eq!(warnings.len(), 2, "{warnings:?}");
    }
}
