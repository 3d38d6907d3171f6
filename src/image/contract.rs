//! The input contract: how a picture becomes the numbers that a network was trained on.

use serde::{Deserialize, Serialize, Serializer};

use crate::sha256;

/// How a picture of any size becomes one of the network's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// The shorter side becomes [`InputContract::resize_to`], then the centre is cropped: torchvision's `Resize` of one number.
    ShorterSide,
    /// The picture just covers [`InputContract::resize_to`], then the centre is cropped: timm's `ResizeKeepRatio`, for inputs that are not square.
    Cover,
    /// Both sides become [`InputContract::resize_to`], whatever the proportions, then the centre is cropped.
    Squash,
    /// The picture is fitted inside the network's size and centred on black.
    Pad,
    /// The picture is fitted inside [`InputContract::resize_to`], centred on the mean colour, and the centre cropped: timm's `border`.
    Border,
}

/// Where the centre crop begins when what is left over is odd.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CropOffset {
    /// At the nearest pixel, half to even: `int(round((side - crop) / 2.0))`, as torchvision's `CenterCrop`.
    #[default]
    Nearest,
    /// At the pixel before: `(side - crop) // 2`, as NumPy code and the slow image processors of transformers.
    Down,
}

impl CropOffset {
    fn is_nearest(&self) -> bool {
        *self == Self::Nearest
    }
}

/// The resampling filter, in Pillow's meaning: antialiased, its support scaled with the reduction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// The nearest pixel.
    Nearest,
    /// Triangle filter, support 1.
    Bilinear,
    /// Cubic filter with a = -0.5, support 2.
    Bicubic,
    /// Lanczos filter, support 3.
    Lanczos,
}

/// The colour channels and their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Color {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// One channel, as Pillow's `convert("L")` makes it before anything is resized: `(19595 R + 38470 G + 7471 B + 32768) >> 16`.
    #[serde(alias = "gray")]
    Grey,
}

/// The order of the tensor's axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// `[1, 3, H, W]`, with 1 for 3 where the network is grey.
    Nchw,
    /// `[1, H, W, 3]`, with 1 for 3 where the network is grey.
    Nhwc,
}

/// Everything between a decoded picture and the network's input: `(pixel · scale − mean) / std`, pixel in 0..=255.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(into = "Shown")]
pub struct InputContract {
    /// Height and width of the network's input, pixels.
    pub size: [u32; 2],
    /// How the picture is brought to that size.
    pub resize: Resize,
    /// Height and width to resize to before the crop, pixels: equal for [`Resize::ShorterSide`], without meaning for [`Resize::Pad`].
    pub resize_to: [u32; 2],
    /// Where the crop begins; without meaning for [`Resize::Pad`].
    pub crop_offset: CropOffset,
    /// The resampling filter.
    pub interpolation: Interpolation,
    /// The order of the channels, as `mean` and `std` count them.
    pub color: Color,
    /// The order of the axes.
    pub layout: Layout,
    /// Subtracted after scaling; of [`Color::Grey`] the first counts.
    pub mean: [f32; 3],
    /// Divided by at the end; not zero; of [`Color::Grey`] the first counts.
    pub std: [f32; 3],
    /// Multiplies the 8-bit value first; usually 1/255.
    pub scale: f32,
}

/// A contract as it is told: a grey one has one mean and one std.
#[derive(Serialize)]
struct Shown {
    size: [u32; 2],
    resize: Resize,
    #[serde(serialize_with = "one_number_if_equal")]
    resize_to: [u32; 2],
    /// Left out where it is torchvision's.
    #[serde(skip_serializing_if = "CropOffset::is_nearest")]
    crop_offset: CropOffset,
    interpolation: Interpolation,
    color: Color,
    layout: Layout,
    mean: Vec<f32>,
    std: Vec<f32>,
    scale: f32,
}

impl From<InputContract> for Shown {
    fn from(contract: InputContract) -> Self {
        let (mean, std) = (contract.mean().to_vec(), contract.std().to_vec());
        let InputContract { size, resize, resize_to, crop_offset, interpolation, color, layout, scale, .. } = contract;
        Self { size, resize, resize_to, crop_offset, interpolation, color, layout, mean, std, scale }
    }
}

/// As `model.toml` spells it.
fn one_number_if_equal<S: Serializer>([height, width]: &[u32; 2], serializer: S) -> Result<S::Ok, S::Error> {
    if height == width { height.serialize(serializer) } else { [height, width].serialize(serializer) }
}

/// A contract that cannot be carried out; names key, value and expectation.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{key} is {value}, expected {expected}")]
pub struct ContractError {
    /// The key in `model.toml`'s `[input]`.
    pub key: &'static str,
    /// The offending value.
    pub value: String,
    /// What would be right.
    pub expected: String,
}

impl Color {
    /// How many there are.
    pub fn channels(self) -> usize {
        if self == Self::Grey { 1 } else { 3 }
    }
}

impl InputContract {
    /// The mean of every channel.
    pub fn mean(&self) -> &[f32] {
        &self.mean[..self.color.channels()]
    }

    /// The standard deviation of every channel.
    pub fn std(&self) -> &[f32] {
        &self.std[..self.color.channels()]
    }

    /// Checks that the contract can be carried out.
    ///
    /// # Errors
    /// For the first value that is out of range: a side of 0 or above 4,096, a crop larger than the resized side, a mean or scale that is
    /// not finite, a std that is zero or not finite.
    pub fn validate(&self) -> Result<(), ContractError> {
        let fail = |key, value: String, expected: &str| Err(ContractError { key, value, expected: expected.to_owned() });
        let [height, width] = self.size;
        if !(1..=4096).contains(&height) || !(1..=4096).contains(&width) {
            return fail("size", format!("{:?}", self.size), "two sides of 1 to 4096 pixels");
        }
        self.validate_resize_to()?;
        let numbers = if self.color == Color::Grey { "a finite number" } else { "three finite numbers" };
        if self.mean().iter().any(|v| !v.is_finite()) {
            return fail("mean", format!("{:?}", self.mean()), numbers);
        }
        if self.std().iter().any(|v| !v.is_finite() || *v == 0.0) {
            return fail("std", format!("{:?}", self.std()), &format!("{numbers} other than zero"));
        }
        if !self.scale.is_finite() || self.scale == 0.0 {
            return fail("scale", self.scale.to_string(), "a finite number other than zero");
        }
        if self.resize == Resize::Border && self.scale != 1.0 / 255.0 {
            return fail("scale", self.scale.to_string(), "1/255, since \"border\" takes its colour from the mean");
        }
        Ok(())
    }

    fn validate_resize_to(&self) -> Result<(), ContractError> {
        let ([height, width], [to_height, to_width]) = (self.size, self.resize_to);
        let longer = height.max(width);
        let (valid, expected) = match self.resize {
            Resize::Pad => return Ok(()),
            Resize::ShorterSide => {
                (to_height == to_width && (longer..=8192).contains(&to_height), format!("{longer} to 8192, since the crop is {height}×{width}"))
            }
            Resize::Cover | Resize::Squash | Resize::Border => (
                (height..=8192).contains(&to_height) && (width..=8192).contains(&to_width),
                format!("sides of [{height}, {width}], the crop, to 8192"),
            ),
        };
        let value = if to_height == to_width { to_height.to_string() } else { format!("{:?}", self.resize_to) };
        if valid { Ok(()) } else { Err(ContractError { key: "resize_to", value, expected }) }
    }

    /// `sha256:` and 64 hexadecimal digits over the contract's canonical text: equal fingerprints mean equal preprocessing.
    ///
    /// The text has one line `key=value` per entry, in the order of this structure's fields, with `,` between the values of a list. Numbers
    /// with a fraction stand as the eight hexadecimal digits of their f32's bits, so that no way of printing them matters; `resize_to` is one
    /// number for `shorter_side`, 0 where nothing is cropped, else height and width; `crop_offset` has a line only where a crop begins at the
    /// pixel before; minus zero is zero. Anyone can compute it: `printf` and `sha256sum` suffice.
    pub fn fingerprint(&self) -> String {
        format!("sha256:{}", sha256::hex(self.canonical()))
    }

    fn canonical(&self) -> String {
        let [to_height, to_width] = self.resize_to;
        let resize_to = match self.resize {
            Resize::ShorterSide => to_height.to_string(),
            Resize::Pad => "0".to_owned(),
            Resize::Squash if self.resize_to == self.size => "0".to_owned(),
            Resize::Cover | Resize::Squash | Resize::Border => format!("{to_height},{to_width}"),
        };
        let crop_offset = match self.crop_offset {
            CropOffset::Down if resize_to != "0" => "crop_offset=down",
            CropOffset::Down | CropOffset::Nearest => "",
        };
        let bits = |values: &[f32]| values.iter().map(|value| format!("{:08x}", (value + 0.0).to_bits())).collect::<Vec<_>>().join(",");
        let [height, width] = self.size;
        [
            format!("size={height},{width}"),
            format!("resize={}", name(&self.resize)),
            format!("resize_to={resize_to}"),
            crop_offset.to_owned(),
            format!("interpolation={}", name(&self.interpolation)),
            format!("color={}", name(&self.color)),
            format!("layout={}", name(&self.layout)),
            format!("mean={}", bits(self.mean())),
            format!("std={}", bits(self.std())),
            format!("scale={}", bits(&[self.scale])),
        ]
        .into_iter()
        .filter(|line| !line.is_empty())
        .map(|line| line + "\n")
        .collect()
    }
}

/// How a choice is written in `model.toml`.
fn name(choice: &impl Serialize) -> String {
    serde_json::to_value(choice).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn contract() -> InputContract {
        InputContract {
            size: [224, 192],
            resize: Resize::ShorterSide,
            resize_to: [256, 256],
            crop_offset: CropOffset::Nearest,
            interpolation: Interpolation::Bicubic,
            color: Color::Rgb,
            layout: Layout::Nchw,
            mean: [0.5, 0.25, 0.0],
            std: [1.0, 2.0, 0.5],
            scale: 1.0 / 255.0,
        }
    }

    /// Every single change of a contract that changes what the network is fed.
    fn changes() -> Vec<InputContract> {
        let base = contract();
        vec![
            InputContract { size: [192, 224], ..base.clone() },
            InputContract { resize: Resize::Squash, ..base.clone() },
            InputContract { resize: Resize::Squash, resize_to: [224, 192], ..base.clone() },
            InputContract { resize: Resize::Pad, ..base.clone() },
            InputContract { resize: Resize::Border, ..base.clone() },
            InputContract { resize: Resize::Cover, ..base.clone() },
            InputContract { resize: Resize::Cover, resize_to: [256, 257], ..base.clone() },
            InputContract { resize_to: [255, 255], ..base.clone() },
            InputContract { crop_offset: CropOffset::Down, ..base.clone() },
            InputContract { interpolation: Interpolation::Bilinear, ..base.clone() },
            InputContract { color: Color::Bgr, ..base.clone() },
            InputContract { color: Color::Grey, ..base.clone() },
            InputContract { layout: Layout::Nhwc, ..base.clone() },
            InputContract { mean: [0.25, 0.5, 0.0], ..base.clone() },
            InputContract { std: [1.0, 2.0, 0.500_000_06], ..base.clone() },
            InputContract { scale: 1.0 / 256.0, ..base },
        ]
    }

    #[test]
    fn every_change_of_the_preprocessing_changes_the_fingerprint() {
        let mut fingerprints: Vec<_> = changes().iter().chain([&contract()]).map(InputContract::fingerprint).collect();
        fingerprints.sort();
        let all = fingerprints.len();
        fingerprints.dedup();
        assert_eq!(fingerprints.len(), all);
    }

    #[test]
    fn what_changes_nothing_leaves_the_fingerprint() {
        let pad = InputContract { resize: Resize::Pad, ..contract() };
        assert_eq!(pad.fingerprint(), InputContract { resize_to: [7, 7], crop_offset: CropOffset::Down, ..pad.clone() }.fingerprint());
        assert_eq!(contract().fingerprint(), InputContract { mean: [0.5, 0.25, -0.0], ..contract() }.fingerprint());
    }

    #[test]
    fn a_grey_contract_has_one_mean_and_one_std() {
        let grey = InputContract { color: Color::Grey, ..contract() };
        let shown = serde_json::to_value(&grey).unwrap();
        assert_eq!((&shown["mean"], &shown["std"], &shown["color"]), (&json!([0.5]), &json!([1.0]), &json!("grey")));
        assert!(grey.canonical().contains("color=grey\nlayout=nchw\nmean=3f000000\nstd=3f800000\n"), "{}", grey.canonical());
        assert_eq!(grey.fingerprint(), InputContract { mean: [0.5, 7.0, 7.0], ..grey.clone() }.fingerprint());
        assert_eq!(InputContract { std: [1.0, 0.0, 0.0], ..grey.clone() }.validate(), Ok(()));
        let wrong = InputContract { std: [0.0, 1.0, 1.0], ..grey }.validate().unwrap_err().to_string();
        assert_eq!(wrong, "std is [0.0], expected a finite number other than zero");
    }

    #[test]
    fn the_fingerprint_is_the_one_that_sha256sum_computes() {
        let text = "size=224,192\nresize=shorter_side\nresize_to=256\ninterpolation=bicubic\ncolor=rgb\nlayout=nchw\n\
            mean=3f000000,3e800000,00000000\nstd=3f800000,40000000,3f000000\nscale=3b808081\n";
        assert_eq!(contract().canonical(), text);
        let down = text.replace("interpolation=", "crop_offset=down\ninterpolation=");
        assert_eq!(InputContract { crop_offset: CropOffset::Down, ..contract() }.canonical(), down);
        assert_eq!(contract().fingerprint(), "sha256:f8adc9c7213feaec6f08ea3c57af6afb63462d07a7d0a87b2f4bd389d846fd5a");
    }

    #[test]
    fn contracts_that_can_be_carried_out_are_valid() {
        for contract in changes().iter().chain([&contract()]) {
            assert_eq!(contract.validate(), Ok(()));
        }
    }

    #[test]
    fn every_value_out_of_range_is_named_with_its_key() {
        let base = contract();
        let wrong = [
            ("size is [0, 192], expected two sides of 1 to 4096 pixels", InputContract { size: [0, 192], ..base.clone() }),
            ("size is [224, 4097], expected two sides of 1 to 4096 pixels", InputContract { size: [224, 4097], ..base.clone() }),
            ("resize_to is 223, expected 224 to 8192, since the crop is 224×192", InputContract { resize_to: [223, 223], ..base.clone() }),
            ("resize_to is 8193, expected 224 to 8192, since the crop is 224×192", InputContract { resize_to: [8193, 8193], ..base.clone() }),
            ("resize_to is [256, 257], expected 224 to 8192, since the crop is 224×192", InputContract { resize_to: [256, 257], ..base.clone() }),
            (
                "resize_to is [224, 191], expected sides of [224, 192], the crop, to 8192",
                InputContract { resize: Resize::Cover, resize_to: [224, 191], ..base.clone() },
            ),
            (
                "scale is 1, expected 1/255, since \"border\" takes its colour from the mean",
                InputContract { resize: Resize::Border, scale: 1.0, ..base.clone() },
            ),
            ("mean is [0.0, NaN, 0.0], expected three finite numbers", InputContract { mean: [0.0, f32::NAN, 0.0], ..base.clone() }),
            ("std is [1.0, 0.0, 1.0], expected three finite numbers other than zero", InputContract { std: [1.0, 0.0, 1.0], ..base.clone() }),
            (
                "std is [inf, 1.0, 1.0], expected three finite numbers other than zero",
                InputContract { std: [f32::INFINITY, 1.0, 1.0], ..base.clone() },
            ),
            ("scale is 0, expected a finite number other than zero", InputContract { scale: 0.0, ..base }),
        ];
        for (message, contract) in wrong {
            assert_eq!(contract.validate().unwrap_err().to_string(), message);
        }
    }
}
