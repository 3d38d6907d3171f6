//! The input contract: how a picture becomes the numbers that a network was trained on.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How a picture of any size becomes one of the network's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// The shorter side becomes [`InputContract::resize_to`], then the centre is cropped.
    ShorterSide,
    /// Both sides become the network's, whatever the proportions.
    Squash,
    /// The picture is fitted inside the network's size and centred on black.
    Pad,
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

/// The order of the colour channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Color {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// The order of the tensor's axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// `[1, 3, H, W]`
    Nchw,
    /// `[1, H, W, 3]`
    Nhwc,
}

/// Everything between a decoded picture and the network's input: `(pixel · scale − mean) / std`, pixel in 0..=255.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InputContract {
    /// Height and width of the network's input, pixels.
    pub size: [u32; 2],
    /// How the picture is brought to that size.
    pub resize: Resize,
    /// Length of the shorter side before the crop, pixels; used by [`Resize::ShorterSide`] alone.
    pub resize_to: u32,
    /// The resampling filter.
    pub interpolation: Interpolation,
    /// The order of the channels, as `mean` and `std` count them.
    pub color: Color,
    /// The order of the axes.
    pub layout: Layout,
    /// Subtracted after scaling.
    pub mean: [f32; 3],
    /// Divided by at the end; not zero.
    pub std: [f32; 3],
    /// Multiplies the 8-bit value first; usually 1/255.
    pub scale: f32,
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

impl InputContract {
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
        if self.resize == Resize::ShorterSide && !(height.max(width)..=8192).contains(&self.resize_to) {
            let expected = format!("{} to 8192, since the crop is {height}×{width}", height.max(width));
            return fail("resize_to", self.resize_to.to_string(), &expected);
        }
        if self.mean.iter().any(|v| !v.is_finite()) {
            return fail("mean", format!("{:?}", self.mean), "three finite numbers");
        }
        if self.std.iter().any(|v| !v.is_finite() || *v == 0.0) {
            return fail("std", format!("{:?}", self.std), "three finite numbers other than zero");
        }
        if !self.scale.is_finite() || self.scale == 0.0 {
            return fail("scale", self.scale.to_string(), "a finite number other than zero");
        }
        Ok(())
    }

    /// `sha256:` and 64 hexadecimal digits over the contract's canonical JSON: equal fingerprints mean equal preprocessing.
    pub fn fingerprint(&self) -> String {
        let canonical = serde_json::to_vec(self).unwrap_or_default();
        let digest = Sha256::digest(canonical);
        digest.iter().fold(String::from("sha256:"), |text, byte| text + &format!("{byte:02x}"))
    }
}
