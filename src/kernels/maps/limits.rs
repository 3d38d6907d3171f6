//! The limits of sizes, on which the arithmetic of the map kernels and their unsafe code rest.
//!
//! Sizes come from ONNX files and from callers, and a release build wraps silently. So they are checked once, with checked arithmetic, by the
//! constructors of three types with private fields, and a value of one of these that exists is within the limits:
//!
//! | type | holds |
//! | --- | --- |
//! | [`Layout`](super::Layout) | every size is at most [`MAX_SIZE`]; the stride is at least the channels; `(H + 2·border) · (W + 2·border) · stride`, each factor counted as at least 1, is at most [`MAX_VALUES`] |
//! | [`Window`](super::Window) | taps, strides and dilations are 1 to [`MAX_SIZE`], paddings at most that; the dilation of a single tap, which does not matter, is 1 |
//! | [`ConvolutionShape`](super::ConvolutionShape) | channels and groups are 1 to [`MAX_SIZE`], the groups divide the channels, all weights are at most [`MAX_VALUES`] |
//!
//! What follows: the place of every pixel of a map, border included, and the length of a row fit `isize`, also in bytes;
//! a map that was made by [`Map::new`](super::Map::new) or [`MapMut::new`](super::MapMut::new) has memory for all of them. Where
//! [`Window::fits`](super::Window) holds, which every convolution asserts, all taps of every output pixel are such pixels, and no sum or product on the
//! way to them is larger than the map. Inner loops therefore check nothing.

/// The largest height, width, border, number of channels, stride, padding, dilation, and number of taps or groups.
pub const MAX_SIZE: usize = 1 << 28;

/// The most values that a map or the weights of a convolution may have: 16 times as many are still `isize::MAX` bytes.
pub const MAX_VALUES: usize = isize::MAX as usize / (16 * size_of::<f32>());

/// Sizes that are beyond the limits, or do not belong together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SizeError {
    /// A size by itself is too small or too large.
    #[error("the {name} is {actual}, expected {least} to {most}")]
    OutOfRange {
        /// What it is the size of.
        name: &'static str,
        /// The size.
        actual: usize,
        /// The smallest that is allowed.
        least: usize,
        /// The largest that is allowed.
        most: usize,
    },
    /// Sizes are too large together.
    #[error("{name} of {sizes:?} has more than {MAX_VALUES} values")]
    TooManyValues {
        /// What has so many.
        name: &'static str,
        /// The factors of their number.
        sizes: Vec<usize>,
    },
    /// The groups of a convolution do not divide its channels.
    #[error("{groups} groups do not divide {inputs} inputs and {outputs} outputs")]
    Groups {
        /// Groups.
        groups: usize,
        /// Channels of the input.
        inputs: usize,
        /// Channels of the output.
        outputs: usize,
    },
    /// There are more or fewer weights or biases than the sizes say.
    #[error("{weights} weights and {bias} biases for a convolution of {shape:?}")]
    Weights {
        /// Of the convolution.
        shape: super::ConvolutionShape,
        /// Weights given.
        weights: usize,
        /// Biases given.
        bias: usize,
    },
    /// The weights of a fully connected layer are no whole rows.
    #[error("{weights} weights for a fully connected layer of {outputs} outputs")]
    Rows {
        /// Weights given.
        weights: usize,
        /// Biases given, one for each output.
        outputs: usize,
    },
    /// A Winograd convolution of a shape that it does not exist for.
    #[error("no convolution by Winograd for {shape:?}")]
    NoWinograd {
        /// Of the convolution.
        shape: super::ConvolutionShape,
    },
}

/// Checks that a size named `name` is from `least` to [`MAX_SIZE`].
pub(super) fn check(name: &'static str, actual: usize, least: usize) -> Result<(), SizeError> {
    match (least..=MAX_SIZE).contains(&actual) {
        true => Ok(()),
        false => Err(SizeError::OutOfRange { name, actual, least, most: MAX_SIZE }),
    }
}

/// Checks that something named `name`, of so many values, has at most [`MAX_VALUES`]; a size of 0 counts as 1, so that no product of some of the
/// sizes is larger.
pub(super) fn check_values(name: &'static str, sizes: &[usize]) -> Result<(), SizeError> {
    let values = sizes.iter().try_fold(1usize, |product, size| product.checked_mul((*size).max(1)));
    match values.is_some_and(|values| values <= MAX_VALUES) {
        true => Ok(()),
        false => Err(SizeError::TooManyValues { name, sizes: sizes.to_vec() }),
    }
}
