//! From what the files state and the shape of the network's input to a complete contract; what had to be guessed is said.

use super::error::ModelError;
use super::manifest::PerChannel;
use super::statement::{Choice, Origins, Statement, shown};
use crate::image::{Color, ContractError, InputContract, Interpolation, Layout, Resize};
use crate::inference::{Axes, TensorInfo};

/// Side of the network's input where nobody says it.
const DEFAULT_SIDE: u32 = 224;
const DEFAULT_CROP_PCT: f64 = 0.875;
pub(super) const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
pub(super) const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];
/// Averages of ImageNet's, as timm takes them for one channel.
const GREY_MEAN: f32 = 0.449;
const GREY_STD: f32 = 0.226;
pub(super) const DEFAULT_SCALE: f32 = 1.0 / 255.0;

/// What the values are said to come from that the network's own shape gives.
const SHAPE: &str = "the network's input";

/// The size asked for where the network leaves it open: that of the first source that has one, or the default.
///
/// # Errors
/// For a side of 0 or above 4,096.
pub(super) fn requested_size(sources: &[Statement]) -> Result<[u32; 2], ModelError> {
    let Some((source, size)) = sources.iter().find_map(|source| Some((source, source.input.size?))) else { return Ok([DEFAULT_SIDE; 2]) };
    if size.iter().all(|side| (1..=4096).contains(side)) {
        return Ok(size);
    }
    Err(source.refuse(ContractError { key: "size", value: format!("{size:?}"), expected: "two sides of 1 to 4096 pixels".to_owned() }))
}

/// Height and width of the network's input, where it fixes both.
pub(super) fn fixed_size(tensor: &TensorInfo) -> Option<[u32; 2]> {
    match fixed_sides(&Axes::of(&tensor.shape, None)?) {
        [Some(height), Some(width)] => Some([height, width]),
        _ => None,
    }
}

/// The channels asked for where the network leaves them open: those of the first source that has a colour.
pub(super) fn requested_channels(sources: &[Statement]) -> Option<usize> {
    sources.iter().find_map(|source| source.input.color).map(Color::channels)
}

/// The contract of a network whose input is `tensor`, and where its values come from; `warnings` receives a sentence for every value that was
/// assumed and for every two that contradict each other. The first of the `sources` is `model.toml`.
///
/// # Errors
/// For entries of `model.toml` that contradict the network, and for values that [`InputContract::validate`] refuses.
pub(super) fn complete(sources: &[Statement], tensor: &TensorInfo, warnings: &mut Vec<String>) -> Result<(InputContract, Origins), ModelError> {
    let mut choice = Choice { sources, origins: Origins::new(), warnings };
    let axes = axes(&mut choice, tensor)?;
    let size = size(&mut choice, &axes)?;
    let resize = choice.stated("input.resize", |source| source.input.resize);
    let resize = choice.or(resize, Resize::ShorterSide, "input.resize", "\"shorter_side\"");
    let resize_to = resize_to(&mut choice, resize, size)?;
    let crop_offset = choice.stated("input.crop_offset", |source| source.input.crop_offset);
    let interpolation = choice.stated("input.interpolation", |source| source.input.interpolation);
    let interpolation = choice.or(interpolation, Interpolation::Bilinear, "input.interpolation", "\"bilinear\"");
    let color = color(&mut choice, &axes)?;
    let (mean, std, scale) = values(&mut choice, tensor, color)?;
    let contract = InputContract {
        size,
        resize,
        resize_to,
        // Nearly everyone means torchvision's, so that this is not called a guess.
        crop_offset: crop_offset.unwrap_or_default(),
        interpolation,
        color,
        layout: axes.layout,
        mean,
        std,
        scale,
    };
    contract.validate().map_err(|error| choice.blame(error))?;
    Ok((contract, choice.origins))
}

fn wrong(key: &'static str, value: String, expected: impl Into<String>) -> ContractError {
    ContractError { key, value, expected: expected.into() }
}

fn axes(choice: &mut Choice<'_>, tensor: &TensorInfo) -> Result<Axes, ModelError> {
    let stated = choice.stated("input.layout", |source| source.input.layout);
    // Of other shapes the engine takes none.
    let of = |layout| Axes::of(&tensor.shape, layout).or_else(|| Axes::of(&[-1; 4], layout));
    let (Some(told), Some(axes)) = (of(None), of(stated)) else { return Err(choice.blame(wrong("layout", shown(&tensor.shape), "[N, C, H, W]"))) };
    match stated {
        Some(given) if told.is_told && given != told.layout => {
            let expected = format!("{}, since the network's input is {:?}", shown(&told.layout), tensor.shape);
            return Err(choice.blame(wrong("layout", shown(&given), expected)));
        }
        Some(_) => {}
        None if axes.is_told => drop(choice.origins.insert("input.layout", SHAPE.to_owned())),
        None => drop(choice.or(None, Layout::Nchw, "input.layout", "\"nchw\"")),
    }
    Ok(axes)
}

/// The colour that is stated, if the network has as many channels; one channel is grey whatever the neighbours take for granted.
fn color(choice: &mut Choice<'_>, axes: &Axes) -> Result<Color, ModelError> {
    let fixed = axes.fixed_channels();
    let fits = |color: &Color| fixed.is_none_or(|channels| channels == color.channels() as i64);
    for (at, source) in choice.sources.iter().enumerate() {
        let (Some(color), Some(channels)) = (source.input.color.filter(|color| !fits(color)), fixed) else { continue };
        let right = if channels == 1 { "\"grey\"" } else { "\"rgb\" or \"bgr\"" };
        let many = if channels == 1 { "1 channel".to_owned() } else { format!("{channels} channels") };
        if at == 0 {
            return Err(source.refuse(wrong("color", shown(&color), format!("{right}, since the network's input has {many}"))));
        }
        if color == Color::Grey {
            let (word, name) = (source.word("input.color"), &source.name);
            choice.warnings.push(format!("{word} says grey in {name}, yet the network's input has {many}: the latter holds"));
        }
    }
    let stated = choice.stated("input.color", |source| source.input.color.filter(fits));
    if stated.is_none() && fixed == Some(1) {
        choice.origins.insert("input.color", SHAPE.to_owned());
        return Ok(Color::Grey);
    }
    Ok(choice.or(stated, Color::Rgb, "input.color", "\"rgb\""))
}

type Values = ([f32; 3], [f32; 3], f32);

/// Mean, standard deviation and scale.
fn values(choice: &mut Choice<'_>, tensor: &TensorInfo, color: Color) -> Result<Values, ModelError> {
    if !tensor.datatype.contains("FP") && !tensor.datatype.contains("BF") {
        return whole_values(choice, &tensor.datatype);
    }
    let mean = per_channel(choice, "input.mean", "mean", color, |source| source.input.mean)?;
    let std = per_channel(choice, "input.std", "std", color, |source| source.input.std)?;
    let scale = choice.stated("input.scale", |source| source.input.scale);
    let (mean, std) = if color == Color::Grey {
        let mean = choice.or(mean, vec![GREY_MEAN], "input.mean", "0.449, the average of ImageNet's,");
        (mean, choice.or(std, vec![GREY_STD], "input.std", "0.226, the average of ImageNet's,"))
    } else {
        let mean = choice.or(mean, IMAGENET_MEAN.to_vec(), "input.mean", "[0.485, 0.456, 0.406], ImageNet's,");
        (mean, choice.or(std, IMAGENET_STD.to_vec(), "input.std", "[0.229, 0.224, 0.225], ImageNet's,"))
    };
    let three = |values: Vec<f32>| [0, 1, 2].map(|channel| values.get(channel).or(values.first()).copied().unwrap_or_default());
    Ok((three(mean), three(std), choice.or(scale, DEFAULT_SCALE, "input.scale", "1/255")))
}

/// Of a network that takes whole numbers: it is given the pixels as they are, and normalises them itself.
fn whole_values(choice: &mut Choice<'_>, datatype: &str) -> Result<Values, ModelError> {
    if let Some(manifest) = choice.sources.first() {
        let refuse = |key, value: String, expected| {
            let why = format!("{expected}, since the network's input is of {datatype}, the values of the pixels themselves");
            Err(manifest.refuse(wrong(key, value, why)))
        };
        let input = &manifest.input;
        match (input.mean.map(PerChannel::each), input.std.map(PerChannel::each), input.scale) {
            (Some(mean), ..) if mean != [0.0; 3] => return refuse("mean", shown(&mean), "0"),
            (_, Some(std), _) if std != [1.0; 3] => return refuse("std", shown(&std), "1"),
            (.., Some(scale)) if scale != 1.0 => return refuse("scale", scale.to_string(), "1"),
            _ => {}
        }
    }
    choice.origins.extend(["input.mean", "input.std", "input.scale"].map(|key| (key, SHAPE.to_owned())));
    Ok(([0.0; 3], [1.0; 3], 1.0))
}

/// The values of `key`: three, or of a grey network one, for which the neighbours' three are averaged, as timm does.
fn per_channel(
    choice: &mut Choice<'_>,
    key: &'static str,
    short: &'static str,
    color: Color,
    of: fn(&Statement) -> Option<PerChannel>,
) -> Result<Option<Vec<f32>>, ModelError> {
    if let (Color::Grey, Some(manifest)) = (color, choice.sources.first())
        && let Some(PerChannel::Each(values)) = of(manifest)
    {
        return Err(manifest.refuse(wrong(short, shown(&values), "one number, since the network's input has one channel")));
    }
    Ok(choice.stated(key, |source| {
        of(source).map(|values| match (color, values) {
            (Color::Grey, PerChannel::Each(values)) => vec![values.iter().sum::<f32>() / 3.0],
            (Color::Grey, PerChannel::All(value) | PerChannel::One([value])) => vec![value],
            _ => values.each().to_vec(),
        })
    }))
}

fn fixed_sides(axes: &Axes) -> [Option<u32>; 2] {
    axes.sides.map(|side| u32::try_from(side).ok().filter(|side| *side > 0))
}

/// Height and width: the network's where it fixes them, which `model.toml` must not contradict, else what is stated, else the default.
fn size(choice: &mut Choice<'_>, axes: &Axes) -> Result<[u32; 2], ModelError> {
    let fixed = fixed_sides(axes);
    if fixed.contains(&None) {
        let stated = choice.stated("input.size", |source| source.input.size);
        let given = stated.unwrap_or([DEFAULT_SIDE; 2]);
        let size = [fixed[0].unwrap_or(given[0]), fixed[1].unwrap_or(given[1])];
        return match stated {
            Some(given) if given != size => {
                Err(choice.blame(wrong("size", format!("{given:?}"), format!("{size:?}, the size of the network's input"))))
            }
            Some(_) => Ok(size),
            None => {
                let assumed = format!("{size:?}, as the network leaves it open,");
                Ok(choice.or(None, size, "input.size", &assumed))
            }
        };
    }
    let size = fixed.map(Option::unwrap_or_default);
    choice.origins.insert("input.size", SHAPE.to_owned());
    for (at, source) in choice.sources.iter().enumerate() {
        match source.input.size {
            Some(given) if given != size && at == 0 => {
                return Err(source.refuse(wrong("size", format!("{given:?}"), format!("{size:?}, the size of the network's input"))));
            }
            Some(given) if given != size => {
                choice.warnings.push(format!(
                    "{} is {given:?} in {}, yet the network's input is {size:?}: the latter holds",
                    source.word("input.size"),
                    source.name
                ));
            }
            Some(_) if choice.origins["input.size"] == SHAPE => drop(choice.origins.insert("input.size", source.name.clone())),
            _ => {}
        }
    }
    Ok(size)
}

/// Height and width before the crop; those of `size` for the ways that need not crop, unless something else is stated.
fn resize_to(choice: &mut Choice<'_>, resize: Resize, size: [u32; 2]) -> Result<[u32; 2], ModelError> {
    // What a file says of a way that was not chosen says nothing of this one.
    let speak = |source: &&Statement| source.input.resize.is_none_or(|own| own == resize);
    for source in choice.sources.iter().filter(speak) {
        check_resize_to(source, resize).map_err(|error| source.refuse(error))?;
    }
    let stated = choice.stated("input.resize_to", |source| {
        let input = Some(source).filter(speak).map(|source| &source.input)?;
        input.resize_to.map(super::manifest::ResizeTo::sides).or_else(|| Some(cropped_from(size, resize, input.crop_pct?)))
    });
    if stated.is_none() && matches!(resize, Resize::Squash | Resize::Pad) {
        return Ok(size);
    }
    let default = cropped_from(size, resize, DEFAULT_CROP_PCT);
    let resize_to = choice.or(stated, default, "input.resize_to", "crop_pct = 0.875");
    Ok(resize_to)
}

fn check_resize_to(source: &Statement, resize: Resize) -> Result<(), ContractError> {
    let input = &source.input;
    match (input.resize_to, input.crop_pct) {
        (Some(resize_to), Some(crop_pct)) => {
            let expected = format!("to be absent, since resize_to is {} and says the same", shown(&resize_to.sides()));
            Err(wrong("crop_pct", crop_pct.to_string(), expected))
        }
        (_, Some(crop_pct)) if !(crop_pct > 0.0 && crop_pct <= 1.0) => Err(wrong("crop_pct", crop_pct.to_string(), "a number above 0 and at most 1")),
        (Some(resize_to), _) if resize == Resize::Pad => {
            Err(wrong("resize_to", shown(&resize_to.sides()), "to be absent, since resize is \"pad\", which crops nothing"))
        }
        _ => Ok(()),
    }
}

/// As timm has it: `floor(side / crop_pct)`, of the longer side where one number is wanted.
fn cropped_from(size: [u32; 2], resize: Resize, crop_pct: f64) -> [u32; 2] {
    let size = if resize == Resize::ShorterSide { [size[0].max(size[1]); 2] } else { size };
    size.map(|side| (f64::from(side) / crop_pct).floor() as u32)
}

#[cfg(test)]
mod tests {
    use super::super::manifest::{InputSection, ResizeTo};
    use super::*;
    use crate::image::CropOffset;

    fn tensor(shape: &[i64]) -> TensorInfo {
        TensorInfo { name: "input".to_owned(), datatype: "FP32".to_owned(), shape: shape.to_vec() }
    }

    fn manifest(section: &InputSection) -> Statement {
        Statement::manifest("model.toml".into(), section.clone())
    }

    fn completed(section: &InputSection, shape: &[i64]) -> (InputContract, Vec<String>) {
        let mut guesses = Vec::new();
        let (contract, _) = complete(&[manifest(section)], &tensor(shape), &mut guesses).unwrap();
        (contract, guesses)
    }

    fn refused(section: &InputSection, shape: &[i64]) -> String {
        let refusal = complete(&[manifest(section)], &tensor(shape), &mut Vec::new()).unwrap_err().to_string();
        refusal.strip_prefix("model.toml: input.").unwrap().to_owned()
    }

    #[test]
    fn the_crop_offset_is_the_stated_one_or_the_nearest_which_is_no_guess() {
        let stated = InputSection { crop_offset: Some(CropOffset::Down), ..InputSection::default() };
        let offset = |section| completed(section, &[-1, 3, -1, -1]);
        assert_eq!(offset(&stated).0.crop_offset, CropOffset::Down);
        let (contract, guesses) = offset(&InputSection::default());
        assert_eq!(contract.crop_offset, CropOffset::Nearest);
        assert!(!guesses.iter().any(|guess| guess.contains("crop_offset")), "{guesses:#?}");
    }

    #[test]
    fn an_empty_section_is_filled_with_imagenets_values_and_says_so() {
        let (contract, guesses) = completed(&InputSection::default(), &[-1, 3, -1, -1]);
        assert_eq!((contract.size, contract.resize_to, contract.resize), ([224, 224], [256, 256], Resize::ShorterSide));
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
    fn one_channel_is_grey_with_one_mean() {
        let (contract, guesses) = completed(&InputSection::default(), &[1, 1, 28, 28]);
        assert_eq!((contract.color, contract.mean(), contract.std()), (Color::Grey, &[GREY_MEAN][..], &[GREY_STD][..]));
        assert!(guesses.contains(&"input.mean is not given, 0.449, the average of ImageNet's, is assumed".to_owned()), "{guesses:#?}");
        assert!(!guesses.iter().any(|guess| guess.contains("color")), "{guesses:#?}");
        let section = InputSection { mean: Some(PerChannel::One([0.5])), std: Some(PerChannel::All(0.25)), ..Default::default() };
        let (contract, _) = completed(&section, &[-1, 28, 28, 1]);
        assert_eq!((contract.layout, contract.mean(), contract.std()), (Layout::Nhwc, &[0.5][..], &[0.25][..]));
        let open = InputSection { color: Some(Color::Grey), ..Default::default() };
        assert_eq!(completed(&open, &[-1, -1, 28, 28]).0.color, Color::Grey);
        let color = |color| InputSection { color: Some(color), ..Default::default() };
        assert_eq!(refused(&color(Color::Bgr), &[1, 1, 8, 8]), r#"color is "bgr", expected "grey", since the network's input has 1 channel"#);
        assert_eq!(
            refused(&color(Color::Grey), &[1, 3, 8, 8]),
            r#"color is "grey", expected "rgb" or "bgr", since the network's input has 3 channels"#
        );
        let three = InputSection { mean: Some(PerChannel::Each([0.1, 0.2, 0.3])), ..Default::default() };
        assert_eq!(refused(&three, &[1, 1, 8, 8]), "mean is [0.1,0.2,0.3], expected one number, since the network's input has one channel");
    }

    #[test]
    fn neighbours_give_way_to_the_networks_channels_and_their_three_means_are_averaged() {
        let input = InputSection { color: Some(Color::Rgb), mean: Some(PerChannel::Each([0.2, 0.3, 0.7])), ..Default::default() };
        let neighbour = |input| Statement { name: "config.json".to_owned(), path: "config.json".into(), keys: &[], input };
        let mut warnings = Vec::new();
        let sources = [manifest(&InputSection::default()), neighbour(input)];
        let (contract, origins) = complete(&sources, &tensor(&[1, 1, 8, 8]), &mut warnings).unwrap();
        assert!((contract.mean()[0] - 0.4).abs() < 1e-6 && contract.color == Color::Grey, "{contract:?}");
        assert_eq!((origins["input.color"].as_str(), origins["input.mean"].as_str()), (SHAPE, "config.json"));
        let grey = neighbour(InputSection { color: Some(Color::Grey), ..Default::default() });
        complete(&[manifest(&InputSection::default()), grey], &tensor(&[1, 3, 8, 8]), &mut warnings).unwrap();
        let expected = "input.color says grey in config.json, yet the network's input has 3 channels: the latter holds";
        assert!(warnings.iter().any(|warning| warning == expected), "{warnings:#?}");
    }

    #[test]
    fn whole_numbers_are_the_pixels_themselves() {
        let bytes = |section: &InputSection| {
            let tensor = TensorInfo { datatype: "UINT8".to_owned(), ..tensor(&[1, 3, 8, 8]) };
            let mut warnings = Vec::new();
            complete(&[manifest(section)], &tensor, &mut warnings).map(|(contract, _)| (contract, warnings)).map_err(|error| error.to_string())
        };
        let (contract, warnings) = bytes(&InputSection::default()).unwrap();
        assert_eq!((contract.mean, contract.std, contract.scale), ([0.0; 3], [1.0; 3], 1.0));
        assert!(!warnings.iter().any(|warning| warning.contains("mean") || warning.contains("scale")), "{warnings:#?}");
        let refused = bytes(&InputSection { scale: Some(0.5), ..Default::default() }).unwrap_err();
        let expected = "input.scale is 0.5, expected 1, since the network's input is of UINT8, the values of the pixels themselves";
        assert!(refused.ends_with(expected), "{refused}");
    }

    #[test]
    fn impossible_values_are_refused() {
        let shape = [1, 3, 224, 224];
        let with = |change: fn(&mut InputSection)| {
            let mut section = InputSection::default();
            change(&mut section);
            refused(&section, &shape)
        };
        assert!(with(|s| s.mean = Some(PerChannel::Each([f32::NAN, 0.0, 0.0]))).starts_with("mean is [NaN"));
        assert!(with(|s| s.std = Some(PerChannel::Each([1.0, 0.0, 1.0]))).starts_with("std is [1.0, 0.0, 1.0], expected"));
        assert!(with(|s| s.resize_to = Some(ResizeTo::Side(200))).starts_with("resize_to is 200, expected 224 to"));
        assert_eq!(with(|s| s.crop_pct = Some(1.5)), "crop_pct is 1.5, expected a number above 0 and at most 1");
        assert!(with(|s| (s.resize_to, s.crop_pct) = (Some(ResizeTo::Side(256)), Some(0.9))).contains("says the same"));
    }

    #[test]
    fn crop_pct_is_rounded_down_as_timm_does() {
        for (crop_pct, resize_to) in [(0.9, 248), (0.8, 280), (1.0, 224)] {
            let section = InputSection { crop_pct: Some(crop_pct), ..Default::default() };
            assert_eq!(completed(&section, &[1, 3, 224, 224]).0.resize_to, [resize_to; 2]);
        }
    }

    #[test]
    fn ways_that_do_not_crop_need_no_resize_to() {
        let section = InputSection { resize: Some(Resize::Pad), ..Default::default() };
        let (contract, guesses) = completed(&section, &[1, 3, 224, 160]);
        assert_eq!(contract.resize_to, [224, 160]);
        assert!(!guesses.iter().any(|g| g.contains("resize_to")), "{guesses:#?}");
    }

    #[test]
    fn squashing_and_covering_take_two_sides_or_a_part() {
        let with = |resize, resize_to, crop_pct| InputSection { resize: Some(resize), resize_to, crop_pct, ..Default::default() };
        let to = |section: &InputSection| completed(section, &[1, 3, 224, 160]).0.resize_to;
        assert_eq!(to(&with(Resize::Squash, Some(ResizeTo::Sides([256, 200])), None)), [256, 200]);
        assert_eq!(to(&with(Resize::Cover, None, Some(0.9))), [248, 177]);
        let refusal = refused(&with(Resize::Pad, Some(ResizeTo::Side(256)), None), &[1, 3, 224, 160]);
        assert_eq!(refusal, "resize_to is [256,256], expected to be absent, since resize is \"pad\", which crops nothing");
    }

    #[test]
    fn a_neighbour_gives_way_to_the_networks_shape_and_is_named() {
        let input =
            InputSection { size: Some([8, 8]), mean: Some(PerChannel::All(0.5)), std: Some(PerChannel::Each([1.0, 0.0, 1.0])), ..Default::default() };
        let neighbour = Statement { name: "config.json".to_owned(), path: "config.json".into(), keys: &[("input.std", "image_std")], input };
        let mut warnings = Vec::new();
        let refusal = complete(&[manifest(&InputSection::default()), neighbour], &tensor(&[1, 3, 16, 16]), &mut warnings).unwrap_err();
        assert_eq!(refusal.to_string(), "config.json: image_std is [1.0, 0.0, 1.0], expected three finite numbers other than zero");
        assert_eq!(warnings[0], "input.size is [8, 8] in config.json, yet the network's input is [16, 16]: the latter holds");
    }
}
