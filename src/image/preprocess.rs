//! From an upright picture to the network's input tensor, as the contract says.
//!
//! Sizes and offsets are rounded as the programs that trained the networks do: the longer side as torchvision's `Resize`
//! (`int(size * long / short)`), the crop as its `CenterCrop` (half to even) unless the contract says otherwise, [`Resize::Cover`] and
//! [`Resize::Border`] as timm's `ResizeKeepRatio` and `CenterCropOrPad`, [`Resize::Pad`] as Pillow's `ImageOps.pad`.
//!
//! # Memory
//! Only what the crop keeps is computed, so that no picture, however elongated, takes more than the tensor (`12 · H · W` bytes), its pixels
//! (`3 · H · W`) and half-filtered rows or columns (`3 · W · picture height` or `3 · H · picture width`): less than 8 MB for a picture of 50
//! megapixels (8000×6250) and a network of 224×224, beside the 150 MB of the decoded picture itself, or
//! the part of it that is [`needed`].

use super::kernels::{Channels, Kernels, Normalisation};
use super::resize::{Window, resize, sources};
use super::{Color, CropOffset, InputContract, Layout, Part, Region, Resize};

/// The pixels of a picture of `size`, width and height, that [`preprocess`] makes the tensor of.
pub fn needed(size: [u32; 2], contract: &InputContract) -> Region {
    sources(size, &window(size, contract), contract.interpolation)
}

/// Resizes, crops and normalises `picture`, which may be a whole `RgbImage`; the result is in `contract.layout`, row-major, `3 · H · W` values, or
/// `H · W` of a grey network: the picture is then made grey before it is resized, as with Pillow's `convert("L")` or torchvision's `Grayscale` in front.
///
/// Where the window is smaller than the network's input, it is centred on black or on the mean colour, which are normalised like any colour.
///
/// # Panics
/// When `picture` is a part that lacks pixels which are [`needed`].
pub fn preprocess(picture: impl Into<Part>, contract: &InputContract) -> Vec<f32> {
    let arrangement = Arrangement::from(contract.layout);
    let mut tensor = vec![0.0; arrangement.len(contract.size, contract.color.channels())];
    preprocess_into(picture, contract, arrangement, &mut tensor);
    tensor
}

/// How the values of a picture lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrangement {
    /// `[C, H, W]`, of three channels or one.
    Planes,
    /// `[H + 2 · border, W + 2 · border, C]`, of which the border is left alone.
    Pixels {
        /// Pixels on every side.
        border: usize,
    },
}

impl Arrangement {
    /// The number of values of a picture of `[height, width]` and so many `channels`, border included.
    ///
    /// # Panics
    /// When it is larger than any number.
    pub fn len(self, size: [u32; 2], channels: usize) -> usize {
        let border = if let Self::Pixels { border } = self { border } else { 0 };
        let sides = size.map(|side| border.checked_mul(2)?.checked_add(side as usize));
        let values = sides.into_iter().try_fold(channels, |values, side| values.checked_mul(side?));
        values.unwrap_or_else(|| panic!("a picture of {size:?} pixels has no such arrangement as {self:?}"))
    }
}

impl From<Layout> for Arrangement {
    fn from(layout: Layout) -> Self {
        match layout {
            Layout::Nchw => Self::Planes,
            Layout::Nhwc => Self::Pixels { border: 0 },
        }
    }
}

/// As [`preprocess`], to a `tensor` of some arrangement, whose values may be anything before.
///
/// # Panics
/// When `tensor` has not as many values, and as [`preprocess`].
pub fn preprocess_into(picture: impl Into<Part>, contract: &InputContract, arrangement: Arrangement, tensor: &mut [f32]) {
    let mut picture = picture.into();
    if contract.color == Color::Grey {
        make_grey(&mut picture);
    }
    let window = window(picture.size, contract);
    let kept = resize(&picture, &window, contract.interpolation);
    drop(picture);
    normalise(&kept, window.size, contract, arrangement, tensor);
}

/// All channels become the luma that Pillow's `convert("L")` makes of them; each is then resized as the one of a grey picture is.
fn make_grey(picture: &mut Part) {
    for [red, green, blue] in picture.pixels.as_chunks_mut::<3>().0 {
        let weighted = 19_595 * u32::from(*red) + 38_470 * u32::from(*green) + 7_471 * u32::from(*blue);
        let luma = ((weighted + (1 << 15)) >> 16) as u8;
        (*red, *green, *blue) = (luma, luma, luma);
    }
}

/// What to compute of which resized picture, for a picture of `width` and `height`.
fn window(picture: [u32; 2], contract: &InputContract) -> Window {
    let [height, width] = contract.size;
    let wanted = [width, height];
    let [to_height, to_width] = contract.resize_to;
    let resized = match contract.resize {
        Resize::ShorterSide => shorter_side(picture, to_height),
        Resize::Cover => keep_ratio(picture, [to_width, to_height], f64::min),
        Resize::Squash => [to_width, to_height],
        Resize::Pad => inside(picture, wanted),
        Resize::Border => keep_ratio(picture, [to_width, to_height], f64::max),
    };
    let size = [resized[0].min(width), resized[1].min(height)];
    let offset = match contract.crop_offset {
        CropOffset::Nearest => half_to_even,
        CropOffset::Down => |length| length / 2,
    };
    let origin = [offset(resized[0] - size[0]), offset(resized[1] - size[1])];
    Window { resized, origin, size }
}

/// torchvision's `_compute_resized_output_size`.
fn shorter_side([width, height]: [u32; 2], to: u32) -> [u32; 2] {
    let longer = |long: u32, short: u32| u32::try_from(u64::from(to) * u64::from(long) / u64::from(short.max(1))).unwrap_or(u32::MAX);
    if width <= height { [to, longer(height, width)] } else { [longer(width, height), to] }
}

/// timm's `ResizeKeepRatio`, which divides by the smaller or the larger of the two reductions; except that no side becomes zero.
fn keep_ratio(picture: [u32; 2], to: [u32; 2], choose: fn(f64, f64) -> f64) -> [u32; 2] {
    let [width, height] = [0, 1].map(|axis| f64::from(picture[axis]) / f64::from(to[axis]));
    let ratio = choose(width, height);
    picture.map(|side| ((f64::from(side) / ratio).round_ties_even() as u32).max(1))
}

/// Pillow's `ImageOps.contain`, except that no side becomes zero.
fn inside([width, height]: [u32; 2], [wanted_width, wanted_height]: [u32; 2]) -> [u32; 2] {
    let [w, h, to_w, to_h] = [width, height, wanted_width, wanted_height].map(f64::from);
    let round = |side: f64| (side.round_ties_even() as u32).max(1);
    if w / h > to_w / to_h { [wanted_width, round(h / w * to_w)] } else { [round(w / h * to_h), wanted_height] }
}

/// Half of `length`, rounded as Python's `round` does.
fn half_to_even(length: u32) -> u32 {
    let floor = length / 2;
    floor + (length & floor & 1)
}

/// Where a picture of length `kept` begins in `length`: Pillow and timm round the half differently.
fn margin(length: u32, kept: u32, resize: Resize) -> usize {
    let gap = length - kept;
    (if resize == Resize::Border { gap / 2 } else { half_to_even(gap) }) as usize
}

/// The 8-bit value around a picture that does not fill one channel.
fn background(contract: &InputContract, channel: usize) -> u8 {
    let mean = (255.0 * f64::from(contract.mean[channel])).round_ties_even();
    if contract.resize == Resize::Border { mean.clamp(0.0, 255.0) as u8 } else { 0 }
}

/// `kept`, RGB of `kept_width` and `kept_height`, centred on the background, as a tensor of the contract's size.
fn normalise(kept: &[u8], [kept_width, kept_height]: [u32; 2], contract: &InputContract, arrangement: Arrangement, tensor: &mut [f32]) {
    let [height, width] = contract.size.map(|side| side as usize);
    assert_eq!(tensor.len(), arrangement.len(contract.size, contract.color.channels()), "values of {width}×{height} pixels, {arrangement:?}");
    let left = margin(contract.size[1], kept_width, contract.resize);
    let top = margin(contract.size[0], kept_height, contract.resize);
    let rows = kept.chunks_exact(3 * kept_width.max(1) as usize).map(|row| row.as_chunks::<3>().0);
    let rows = (top..).zip(rows);
    let channels = [0, 1, 2].map(|channel| Normalisation { scale: contract.scale, mean: contract.mean[channel], std: contract.std[channel] });
    let blank = (contract.size != [kept_height, kept_width]).then(|| [0, 1, 2].map(|channel| channels[channel].of(background(contract, channel))));
    if contract.color == Color::Grey {
        let border = if let Arrangement::Pixels { border } = arrangement { border } else { 0 };
        let lines = tensor.chunks_exact_mut((width + 2 * border).max(1)).skip(border).take(height);
        return write_grey(rows, left, channels[0], blank.map(|[blank, ..]| blank), lines.map(|line| &mut line[border..border + width]));
    }
    match arrangement {
        Arrangement::Planes => {
            let planes = rows.map(|(y, row)| (y * width + left, row));
            write_planes(planes, contract.color, channels, blank, tensor);
        }
        Arrangement::Pixels { border } => {
            let row_length = width + 2 * border;
            let lines = tensor.chunks_exact_mut(3 * row_length.max(1)).skip(border).take(height);
            let lines = lines.map(|line| &mut line.as_chunks_mut::<3>().0[border..border + width]);
            write_pixels(rows, left, contract.color, channels, blank, lines);
        }
    }
}

/// Writes the one channel of rows of pixels, each with its number, to the lines from the pixel `left` on.
fn write_grey<'a>(
    rows: impl Iterator<Item = (usize, &'a [[u8; 3]])>,
    left: usize,
    of: Normalisation,
    blank: Option<f32>,
    lines: impl Iterator<Item = &'a mut [f32]>,
) {
    let mut rows = rows.peekable();
    for (y, line) in lines.enumerate() {
        blank.into_iter().for_each(|blank| line.fill(blank));
        let Some((_, row)) = rows.next_if(|(of, _)| *of == y) else { continue };
        line[left..].iter_mut().zip(row).for_each(|(value, [luma, ..])| *value = of.of(*luma));
    }
}

/// Writes rows of pixels, each with its place in a plane.
fn write_planes<'a>(
    rows: impl Iterator<Item = (usize, &'a [[u8; 3]])>,
    color: Color,
    mut channels: [Normalisation; 3],
    blank: Option<[f32; 3]>,
    tensor: &mut [f32],
) {
    let area = (tensor.len() / 3).max(1);
    let mut planes: Vec<&mut [f32]> = tensor.chunks_exact_mut(area).collect();
    planes.iter_mut().zip(blank.into_iter().flatten()).for_each(|(plane, blank)| plane.fill(blank));
    if color == Color::Bgr {
        planes.reverse();
        channels.reverse();
    }
    for (place, row) in rows {
        for (channel, (plane, of)) in planes.iter_mut().zip(&channels).enumerate() {
            plane[place..].iter_mut().zip(row).for_each(|(value, pixel)| *value = of.of(pixel[channel]));
        }
    }
}

/// Writes rows of pixels, each with its number, to the lines from the pixel `left` on.
fn write_pixels<'a>(
    rows: impl Iterator<Item = (usize, &'a [[u8; 3]])>,
    left: usize,
    color: Color,
    channels: [Normalisation; 3],
    blank: Option<[f32; 3]>,
    lines: impl Iterator<Item = &'a mut [[f32; 3]]>,
) {
    let (kernels, channels) = (Kernels::detect(), Channels::new(channels));
    let mut rows = rows.peekable();
    for (y, line) in lines.enumerate() {
        blank.into_iter().for_each(|blank| line.fill(blank));
        let Some((_, row)) = rows.next_if(|(of, _)| *of == y) else { continue };
        let line = &mut line[left..left + row.len()];
        match color {
            Color::Rgb | Color::Grey => kernels.normalise(row, &channels, line),
            Color::Bgr => {
                let turned: Vec<_> = row.iter().map(|[red, green, blue]| [*blue, *green, *red]).collect();
                kernels.normalise(&turned, &channels, line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::super::Interpolation;
    use super::*;

    fn contract(size: [u32; 2], resize: Resize, resize_to: u32) -> InputContract {
        InputContract {
            size,
            resize,
            resize_to: if resize == Resize::Squash { size } else { [resize_to; 2] },
            crop_offset: CropOffset::Nearest,
            interpolation: Interpolation::Nearest,
            color: Color::Rgb,
            layout: Layout::Nchw,
            mean: [0.0; 3],
            std: [1.0; 3],
            scale: 1.0,
        }
    }

    #[test]
    fn nothing_is_left_of_what_was_in_the_tensor_and_nothing_changes_in_its_border() {
        let picture = || RgbImage::from_fn(6, 3, |x, y| Rgb([x as u8, y as u8, 7]));
        for (resize, color) in [(Resize::ShorterSide, Color::Rgb), (Resize::Pad, Color::Bgr), (Resize::Border, Color::Rgb)] {
            let contract = InputContract { color, mean: [3.0, 1.0, 2.0], ..contract([4, 5], resize, 4) };
            let planes = preprocess(picture(), &contract);
            let mut tensor = vec![f32::NAN; 3 * 4 * 5];
            preprocess_into(picture(), &contract, Arrangement::Planes, &mut tensor);
            assert_eq!(tensor, planes, "{contract:?}");
            for border in 0..3 {
                let row = 5 + 2 * border;
                let mut tensor = vec![9.5; 3 * (4 + 2 * border) * row];
                let expected: Vec<f32> = (0..tensor.len())
                    .map(|at| match ((at / 3 / row).wrapping_sub(border), (at / 3 % row).wrapping_sub(border)) {
                        (y @ 0..4, x @ 0..5) => planes[at % 3 * 20 + 5 * y + x],
                        _ => 9.5,
                    })
                    .collect();
                preprocess_into(picture(), &contract, Arrangement::Pixels { border }, &mut tensor);
                assert_eq!(tensor, expected, "{contract:?}, {border}");
            }
        }
    }

    #[test]
    fn sizes_that_no_memory_has_are_a_panic() {
        assert_eq!(Arrangement::Pixels { border: 2 }.len([3, 5], 3), 3 * 7 * 9);
        assert_eq!(Arrangement::Planes.len([3, 5], 1), 3 * 5);
        // Three times the product would wrap to 2, and twice the border to nothing.
        let too_large = [(Arrangement::Planes, [0xaaaa_aaab, 0x8000_0002]), (Arrangement::Pixels { border: 1 << 63 }, [1, 1])];
        for (arrangement, size) in too_large {
            assert!(std::panic::catch_unwind(|| arrangement.len(size, 3)).is_err(), "{arrangement:?} of {size:?}");
        }
    }

    #[test]
    fn halves_round_to_even() {
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(half_to_even), [0, 0, 1, 2, 2, 2, 3, 4]);
    }

    #[test]
    fn the_longer_side_is_cut_and_the_crop_centred() {
        let window = window([500, 375], &contract([224, 224], Resize::ShorterSide, 256));
        assert_eq!(window, Window { resized: [341, 256], origin: [58, 16], size: [224, 224] });
    }

    #[test]
    fn the_crop_begins_at_the_even_pixel_or_the_one_before() {
        let nearest = contract([224, 224], Resize::ShorterSide, 256);
        let down = InputContract { crop_offset: CropOffset::Down, ..nearest.clone() };
        let left = |width, contract| window([width, 256], contract).origin[0];
        assert_eq!([339, 340, 341].map(|width| left(width, &nearest)), [58, 58, 58], "57.5, 58 and 58.5");
        assert_eq!([339, 340, 341].map(|width| left(width, &down)), [57, 58, 58]);
    }

    #[test]
    fn padding_keeps_the_proportions_and_rounds_half_to_even() {
        let pad = |picture, size| window(picture, &contract(size, Resize::Pad, 0)).resized;
        assert_eq!(pad([61, 47], [40, 40]), [40, 31]);
        assert_eq!(pad([47, 61], [40, 40]), [31, 40]);
        assert_eq!(pad([16, 8], [40, 80]), [80, 40]);
        assert_eq!(pad([8, 5], [20, 4]), [4, 2]);
        assert_eq!(pad([8, 7], [20, 4]), [4, 4]);
        assert_eq!(pad([16_384, 1], [224, 224]), [224, 1], "no side becomes zero");
    }

    #[test]
    fn covering_and_bordering_round_as_timm_does() {
        let resized = |picture, resize, resize_to| {
            let base = contract([8, 8], resize, 0);
            window(picture, &InputContract { resize_to, ..base }).resized
        };
        assert_eq!(resized([61, 47], Resize::Cover, [20, 33]), [33, 25], "25.43 is rounded, where torchvision cuts");
        assert_eq!(resized([47, 61], Resize::Cover, [20, 33]), [33, 43], "42.83 is rounded up");
        assert_eq!(resized([61, 47], Resize::Border, [20, 33]), [26, 20]);
        assert_eq!(resized([16_384, 1], Resize::Border, [20, 33]), [33, 1], "no side becomes zero");
    }

    #[test]
    fn a_border_has_the_mean_colour_and_its_odd_pixel_at_the_end() {
        let picture = RgbImage::from_pixel(2, 5, Rgb([200, 100, 50]));
        let base = contract([5, 5], Resize::Border, 5);
        let tensor = preprocess(picture, &InputContract { mean: [0.5, 0.0, 1.0], scale: 1.0 / 255.0, ..base });
        let row: Vec<u8> = tensor[..5].iter().map(|value| ((value + 0.5) * 255.0).round() as u8).collect();
        assert_eq!(row, [128, 200, 200, 128, 128]);
    }

    #[test]
    fn the_longest_picture_is_fed_without_being_resized_whole() {
        for (width, height) in [(16_384, 1), (1, 16_384)] {
            let picture = RgbImage::from_pixel(width, height, Rgb([9, 8, 7]));
            let tensor = preprocess(picture, &contract([4, 4], Resize::ShorterSide, 8192));
            assert_eq!(tensor, [[9.0; 16], [8.0; 16], [7.0; 16]].concat());
        }
    }

    #[test]
    fn channels_are_normalised_with_their_own_mean_and_std() {
        let picture = || RgbImage::from_fn(2, 1, |x, _| Rgb([10 + x as u8, 20 + x as u8, 30 + x as u8]));
        let base = InputContract { mean: [1.0, 2.0, 3.0], std: [1.0, 2.0, 4.0], scale: 0.5, ..contract([1, 2], Resize::Squash, 0) };
        assert_eq!(preprocess(picture(), &base), [4.0, 4.5, 4.0, 4.25, 3.0, 3.125]);
        let last = InputContract { layout: Layout::Nhwc, ..base.clone() };
        assert_eq!(preprocess(picture(), &last), [4.0, 4.0, 3.0, 4.5, 4.25, 3.125]);
        let bgr = InputContract { color: Color::Bgr, ..base };
        assert_eq!(preprocess(picture(), &bgr), [14.0, 14.5, 4.0, 4.25, 0.5, 0.625]);
    }

    #[test]
    fn a_grey_picture_has_pillows_luma_in_every_arrangement() {
        // Image.fromarray(…).convert("L") of Pillow.
        let colours =
            [([255, 0, 0], 76.0), ([0, 255, 0], 150.0), ([0, 0, 255], 29.0), ([200, 100, 50], 124.0), ([7, 7, 7], 7.0), ([1, 2, 255], 31.0)];
        let picture = || RgbImage::from_fn(3, 2, |x, y| Rgb(colours[(3 * y + x) as usize].0));
        let base = InputContract { color: Color::Grey, mean: [1.0, 8.0, 8.0], std: [2.0, 8.0, 8.0], ..contract([2, 3], Resize::Squash, 0) };
        let expected = colours.map(|(_, luma)| (luma - 1.0) / 2.0);
        assert_eq!(preprocess(picture(), &base), expected);
        assert_eq!(preprocess(picture(), &InputContract { layout: Layout::Nhwc, ..base.clone() }), expected);
        let mut tensor = vec![9.5; 4 * 5];
        preprocess_into(picture(), &base, Arrangement::Pixels { border: 1 }, &mut tensor);
        assert_eq!((&tensor[6..9], &tensor[11..14]), (&expected[..3], &expected[3..]));
        assert_eq!(tensor.iter().filter(|value| **value == 9.5).count(), 14, "the border");
        let padded = preprocess(picture(), &InputContract { size: [3, 3], resize: Resize::Pad, ..base });
        assert_eq!((&padded[..6], &padded[6..]), (&expected[..], &[-0.5; 3][..]));
    }

    #[test]
    fn padding_is_normalised_black_in_both_layouts() {
        let picture = || RgbImage::from_pixel(2, 1, Rgb([200, 100, 50]));
        let base = InputContract { mean: [1.0, 2.0, 3.0], ..contract([2, 2], Resize::Pad, 0) };
        assert_eq!(preprocess(picture(), &base), [199.0, 199.0, -1.0, -1.0, 98.0, 98.0, -2.0, -2.0, 47.0, 47.0, -3.0, -3.0]);
        let last = InputContract { layout: Layout::Nhwc, ..base };
        assert_eq!(preprocess(picture(), &last), [199.0, 98.0, 47.0, 199.0, 98.0, 47.0, -1.0, -2.0, -3.0, -1.0, -2.0, -3.0]);
    }
}
