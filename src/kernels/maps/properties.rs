//! What the map kernels promise, checked at every level of the machine against the scalar reference.

use proptest::prelude::*;

use super::*;
use crate::kernels::properties::{at_every_level, scalar, skipped};
use crate::kernels::{Level, Simd};

at_every_level! {
    convolves_within_the_stated_tolerance
    convolves_depthwise_within_the_stated_tolerance
    convolves_by_winograd_within_the_stated_tolerance
    convolves_parts_by_winograd_as_it_does_the_whole
    connects_within_the_stated_tolerance
    pools_within_the_stated_tolerance
    fuses_a_prelu_as_it_computes_one
    squeezes_maps_within_the_stated_tolerance
    recalibrates_adds_and_activates_like_the_reference
    writes_parts_of_a_map_as_it_writes_the_whole
    writes_parts_of_grouped_convolutions_as_it_writes_the_whole
    changes_parts_of_a_map_as_it_changes_the_whole
    squeezes_row_by_row_as_it_does_the_whole
    writes_neither_border_nor_the_channels_of_others
}

/// Values that differ from their neighbours, of either sign, below 2 in size.
fn values(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919 + seed * 104_729) % 4001) as f32 / 1000.0 - 2.0).collect()
}

fn layout(height: usize, width: usize, channels: usize, border: usize, wider: usize) -> Layout {
    Layout::new(height, width, channels, border).with_stride(channels + wider).expect("it is small")
}

fn convolution_shape(inputs: usize, outputs: usize, groups: usize, window: Window) -> ConvolutionShape {
    ConvolutionShape::new(inputs, outputs, groups, window).expect("it is small")
}

/// A window of 3×3 or so taps that keeps the size of a map.
fn square_window(kernel: usize) -> Window {
    Window::new([kernel; 2], [1, 1], [1, 1], [kernel / 2; 2]).expect("it is small")
}

/// A map with a border of zeros, as a part of one that is `wider` channels wider.
fn map(height: usize, width: usize, channels: usize, border: usize, wider: usize, seed: usize) -> (Layout, Vec<f32>) {
    let layout = layout(height, width, channels, border, wider);
    let mut data = vec![0.0; (height + 2 * border) * layout.row()];
    let planes = values(height * width * channels, seed);
    from_planar(&planes, &mut MapMut::new(layout, &mut data));
    (layout, data)
}

fn planes(layout: Layout, data: &[f32]) -> Vec<f32> {
    let mut planes = vec![0.0; layout.pixels() * layout.channels()];
    to_planar(Map::new(layout, data), &mut planes);
    planes
}

fn window() -> impl Strategy<Value = Window> {
    (prop_oneof![Just([1, 1]), Just([3, 3]), Just([5, 5]), Just([1, 7]), Just([2, 3])], 1..3usize, 1..3usize, 0..3usize).prop_map(
        |(kernel, stride, dilation, padding)| Window::new(kernel, [stride, stride], [dilation, 1], [padding, padding.min(1)]).expect("it is small"),
    )
}

/// The size of an output whose windows reach `window.padding` beyond the input at the end too, as far as there is one.
fn output_size(window: &Window, input: [usize; 2]) -> [usize; 2] {
    let size = |axis: usize| {
        let reach = (window.kernel()[axis] - 1) * window.dilation()[axis] + 1;
        (input[axis] + 2 * window.padding()[axis]).checked_sub(reach).map_or(0, |room| room / window.stride()[axis] + 1)
    };
    [size(0), size(1)]
}

fn nonlinearity() -> impl Strategy<Value = Nonlinearity> {
    prop::sample::select(vec![
        Nonlinearity::Identity,
        Nonlinearity::RELU,
        Nonlinearity::Clamp { min: 0.0, max: 6.0 },
        Nonlinearity::LeakyRelu { slope: 0.125 },
        Nonlinearity::Sigmoid,
        Nonlinearity::HardSigmoid,
        Nonlinearity::Silu,
        Nonlinearity::HardSwish,
    ])
}

/// No nonlinearity is steeper than 1.1.
fn assert_close(actual: &[f32], expected: &[f32], tolerance: f32) -> Result<(), TestCaseError> {
    prop_assert_eq!(actual.len(), expected.len());
    for (index, (a, e)) in actual.iter().zip(expected).enumerate() {
        prop_assert!((a - e).abs() <= tolerance * 1.1 + e.abs() * 1e-6, "{} instead of {} at {}", a, e, index);
    }
    Ok(())
}

/// Where a map is cut into parts: between pixels, and each of these parts between channels.
type Cuts = ([usize; 2], usize);

fn cuts() -> impl Strategy<Value = Cuts> {
    ((0..150usize, 0..150usize).prop_map(|(a, b)| [a.min(b), a.max(b)]), 0..70usize)
}

/// Has every part of `map` written, or the whole at once.
fn write_in_parts(map: MapMut<'_>, cuts: Option<Cuts>, mut write: impl FnMut(&mut MapMut<'_>)) {
    let mut rest = map;
    if let Some((pixels, channel)) = cuts {
        for pixel in pixels.into_iter().chain([usize::MAX]) {
            let (part, after) = rest.split_at(pixel);
            let (mut first, mut second) = part.split_at_channel(channel);
            for part in [&mut second, &mut first] {
                if !part.is_empty() {
                    write(part);
                }
            }
            rest = after;
        }
    }
    write(&mut rest);
}

/// (H, W), (group inputs, group outputs, groups), a window, a nonlinearity, channels beside the map, whether a shortcut is added.
type Case = ([usize; 2], (usize, usize, usize), Window, Nonlinearity, usize, bool);

fn cases() -> impl Strategy<Value = Case> {
    let channels = prop_oneof![
        3 => (1..40usize, 1..70usize, Just(1)),
        1 => (prop::sample::select(vec![1, 4, 8]), prop::sample::select(vec![1, 4, 8, 12]), prop::sample::select(vec![2, 4, 8])),
    ];
    let any_case = ([1..13usize, 1..13usize], channels, window(), nonlinearity(), 0..9usize, any::<bool>());
    // A network's first convolution, of every other pixel.
    let of_pictures = ([1..9usize, 1..90usize], (Just(3), 1..40usize, Just(1)), window(), nonlinearity(), Just(0), any::<bool>()).prop_map(
        |(size, channels, window, rest, wider, residual)| {
            let of_every_other = Window::new(window.kernel(), [2, 2], window.dilation(), window.padding()).expect("it is small");
            (size, channels, of_every_other, rest, wider, residual)
        },
    );
    prop_oneof![3 => any_case, 1 => of_pictures]
}

/// Groups of every kind: of four channels, that fill vectors together or not, that have panels of their own, and those whose neighbouring pixels lie
/// six values apart.
fn grouped_cases() -> impl Strategy<Value = Case> {
    let any_groups = (1..6usize, 1..40usize, 2..9usize);
    let of_four = (Just(4), Just(4), 2..12usize);
    let any_case = ([1..9usize, 1..16usize], prop_oneof![any_groups, of_four], window(), nonlinearity(), 0..5usize, any::<bool>());
    let apart = prop::sample::select(vec![(3, 2, 1), (2, 3, 1), (1, 6, 1), (1, 3, 2)]);
    let six_apart = ([1..5usize, 12..60usize], apart, 1..40usize, 1..4usize, nonlinearity()).prop_map(
        |(size, (inputs, groups, stride), outputs, rows, nonlinearity)| {
            let window = Window::new([rows, 1], [1, stride], [1, 1], [rows / 2, 0]).expect("it is small");
            (size, (inputs, outputs, groups), window, nonlinearity, 0, false)
        },
    );
    prop_oneof![any_case, six_apart]
}

/// The convolution of `case` at `simd`, written into a map of its own, in parts where there are `cuts`.
fn run_convolution(
    simd: Simd,
    (size, (inputs, outputs, groups), window, nonlinearity, wider, residual): Case,
    cuts: Option<Cuts>,
) -> (Layout, Vec<f32>) {
    let shape = convolution_shape(inputs * groups, outputs * groups, groups, window);
    let (weights, bias) = (values(shape.products(), 1), values(shape.outputs(), 2));
    let convolution = Convolution::new(simd, shape, &weights, &bias, nonlinearity).expect("the weights fit");
    let output = output_size(&window, size);
    let (input, input_data) = map(size[0], size[1], shape.inputs(), window.border(size, output), wider, 3);
    let (shortcut, shortcut_data) = map(output[0], output[1], shape.outputs(), 1, 0, 4);
    let layout = layout(output[0], output[1], shape.outputs(), 2, wider);
    let mut data = vec![7.0; (output[0] + 4) * layout.row()];
    let cuts = cuts.map(|(pixels, channel)| (pixels, convolution.nearest_cut(channel)));
    write_in_parts(MapMut::new(layout, &mut data), cuts, |part| {
        convolve(simd, &convolution, Map::new(input, &input_data), residual.then(|| Map::new(shortcut, &shortcut_data)), part);
    });
    (layout, data)
}

fn convolves_within_the_stated_tolerance(simd: Simd) {
    proptest!(|(case in cases())| {
        let ((layout, actual), (_, expected)) = (run_convolution(simd, case, None), run_convolution(scalar(), case, None));
        let products = case.1.0 * case.2.taps() + 2;
        let tolerance = products as f32 * 2f32.powi(-24) * (4 * products) as f32;
        assert_close(&planes(layout, &actual), &planes(layout, &expected), tolerance)?;
    });
}

/// A tile, (H, W), inputs, outputs, padding, a nonlinearity, whether a shortcut is added.
type WinogradCase = (WinogradTile, [usize; 2], usize, usize, [usize; 2], Nonlinearity, bool);

fn winograd_cases() -> impl Strategy<Value = WinogradCase> {
    let size = (3..20usize, 3..20usize).prop_map(|(height, width)| [height, width]);
    let padding = prop::sample::select(vec![[0, 0], [1, 1], [0, 1], [2, 2]]);
    (prop::sample::select(vec![WinogradTile::Two, WinogradTile::Four]), size, 16..40usize, 16..70usize, padding, nonlinearity(), any::<bool>())
}

/// The convolution of `case`, by Winograd or multiplied out, written into a map of its own, in parts where there are `cuts`.
fn run_winograd(simd: Simd, by_winograd: bool, case: WinogradCase, cuts: Option<Cuts>) -> (Layout, Vec<f32>) {
    let (tile, size, inputs, outputs, padding, nonlinearity, residual) = case;
    let window = Window::new([3, 3], [1, 1], [1, 1], padding).expect("it is small");
    let shape = convolution_shape(inputs, outputs, 1, window);
    let (weights, bias) = (values(outputs * inputs * 9, 1), values(outputs, 2));
    let plain = Convolution::new(simd, shape, &weights, &bias, nonlinearity).expect("the weights fit");
    let winograd = WinogradConvolution::new(simd, tile, shape, &weights, &bias, nonlinearity).expect("the weights fit");
    let output = output_size(&window, size);
    let (input, input_data) = map(size[0], size[1], inputs, window.border(size, output), 3, 3);
    let (shortcut, shortcut_data) = map(output[0], output[1], outputs, 1, 0, 4);
    let layout = layout(output[0], output[1], outputs, 2, 5);
    let mut data = vec![7.0; (output[0] + 4) * layout.row()];
    let mut scratch = vec![f32::NAN; winograd.scratch()];
    let cuts = cuts.map(|(pixels, channel)| (pixels, winograd.nearest_cut(channel)));
    write_in_parts(MapMut::new(layout, &mut data), cuts, |part| {
        let (input, shortcut) = (Map::new(input, &input_data), residual.then(|| Map::new(shortcut, &shortcut_data)));
        match by_winograd {
            true => convolve_winograd(simd, &winograd, input, shortcut, part, &mut scratch),
            false => convolve(simd, &plain, input, shortcut, part),
        }
    });
    (layout, data)
}

fn convolves_by_winograd_within_the_stated_tolerance(simd: Simd) {
    proptest!(|(case in winograd_cases())| {
        let (layout, expected) = run_winograd(scalar(), false, case, None);
        for simd in [simd, scalar()] {
            let actual = run_winograd(simd, true, case, None).1;
            // Sums of 9 · inputs products of values below 2.
            let tolerance = 2e-6 * 4.0 * (9.0 * case.2 as f32).sqrt() * if case.0 == WinogradTile::Two { 1.0 } else { 8.0 };
            assert_close(&planes(layout, &actual), &planes(layout, &expected), tolerance)?;
            let beside = |data: &[f32]| data.iter().enumerate().filter(|(at, _)| at % layout.stride() >= outputs_of(&case)).all(|(_, v)| *v == 7.0);
            prop_assert!(beside(&actual), "it wrote beside its channels");
        }
    });
}

fn outputs_of(case: &WinogradCase) -> usize {
    case.3
}

fn convolves_parts_by_winograd_as_it_does_the_whole(simd: Simd) {
    // Up to seven runs each: fewer cases, so that emulated processors are done in time.
    proptest!(ProptestConfig::with_cases(96), |(case in winograd_cases(), cuts in cuts())| {
        prop_assert_eq!(run_winograd(simd, true, case, Some(cuts)).1, run_winograd(simd, true, case, None).1);
    });
}

fn fuses_a_prelu_as_it_computes_one(simd: Simd) {
    let shapes = prop::sample::select(vec![(5, 5), (6, 1), (17, 1), (90, 1), (24, 6), (48, 48), (7, 7)]);
    // The same few shapes again and again: fewer cases do, also on emulated processors.
    proptest!(ProptestConfig::with_cases(64), |((channels, groups) in shapes, kernel in prop::sample::select(vec![1, 3]), width in 3..24usize, by_winograd in any::<bool>())| {
        let window = square_window(kernel);
        let shape = convolution_shape(channels, channels, groups, window);
        let (weights, bias, slopes) = (values(shape.products(), 1), values(channels, 2), values(channels, 3));
        let (layout, input) = map(5, width, channels, kernel / 2, 0, 4);
        let run = |fused: &[f32], after: &[f32]| {
            let mut data = vec![0.0; layout.len()];
            let (mut output, input) = (MapMut::new(layout, &mut data), Map::new(layout, &input));
            let identity = Nonlinearity::Identity;
            if groups == channels {
                let mut convolution = Depthwise::new(window, &weights, &bias, identity).expect("the weights fit");
                convolution.set_slopes(fused);
                convolve_depthwise(simd, &convolution, input, &mut output);
            } else if by_winograd && WinogradConvolution::fits(simd, &shape) {
                let mut convolution = WinogradConvolution::new(simd, WinogradTile::Four, shape, &weights, &bias, identity).expect("the weights fit");
                convolution.set_slopes(fused);
                convolve_winograd(simd, &convolution, input, None, &mut output, &mut vec![0.0; convolution.scratch()]);
            } else {
                let mut convolution = Convolution::new(simd, shape, &weights, &bias, identity).expect("the weights fit");
                convolution.set_slopes(fused);
                convolve(simd, &convolution, input, None, &mut output);
            }
            if !after.is_empty() {
                prelu(simd, &mut output, after);
            }
            data
        };
        prop_assert_eq!(run(&slopes, &[]), run(&[], &slopes));
    });
}

fn writes_parts_of_a_map_as_it_writes_the_whole(simd: Simd) {
    proptest!(|(case in cases(), cuts in cuts())| {
        prop_assert_eq!(run_convolution(simd, case, Some(cuts)).1, run_convolution(simd, case, None).1);
    });
}

fn writes_parts_of_grouped_convolutions_as_it_writes_the_whole(simd: Simd) {
    let cuts = (cuts(), 0..200usize).prop_map(|((pixels, _), channel)| (pixels, channel));
    proptest!(|(case in grouped_cases(), cuts in cuts)| {
        let (layout, whole) = run_convolution(simd, case, None);
        prop_assert_eq!(&run_convolution(simd, case, Some(cuts)).1, &whole);
        let products = case.1.0 * case.2.taps() + 2;
        let expected = run_convolution(scalar(), case, None).1;
        assert_close(&planes(layout, &whole), &planes(layout, &expected), products as f32 * 2f32.powi(-24) * (4 * products) as f32)?;
    });
}

/// Operators that have a channel of the input for each of the output.
fn changes_parts_of_a_map_as_it_changes_the_whole(simd: Simd) {
    proptest!(|(size in [1..9usize, 1..24usize], channels in 1..70usize, window in window(), nonlinearity in nonlinearity(), cuts in cuts())| {
        let output = output_size(&window, size);
        let taps = window.taps();
        let depthwise = Depthwise::new(window, &values(channels * taps, 1), &values(channels, 2), nonlinearity).expect("the weights fit");
        let (input, input_data) = map(size[0], size[1], channels, window.border(size, output), 3, 3);
        let (shortcut, shortcut_data) = map(output[0], output[1], channels, 1, 0, 4);
        let (input, shortcut) = (Map::new(input, &input_data), Map::new(shortcut, &shortcut_data));
        let gates = values(channels, 5);
        let (layout, start) = map(output[0], output[1], channels, 1, 2, 6);
        let run = |operator: usize, cuts: Option<Cuts>| {
            let mut data = start.clone();
            write_in_parts(MapMut::new(layout, &mut data), cuts, |part| match operator {
                0 => convolve_depthwise(simd, &depthwise, input, part),
                1 => pool(simd, Pool::Max, window, input, part),
                2 => pool(simd, Pool::Average, window, input, part),
                3 => copy(shortcut, part),
                4 => recalibrate(simd, part, &gates, Some(shortcut), nonlinearity),
                5 => add(simd, part, shortcut, nonlinearity),
                6 => activate(simd, part, nonlinearity),
                _ => prelu(simd, part, &gates),
            });
            data
        };
        for operator in 0..8 {
            prop_assert_eq!(run(operator, Some(cuts)), run(operator, None), "operator {}", operator);
        }
    });
}

fn squeezes_row_by_row_as_it_does_the_whole(simd: Simd) {
    proptest!(|(size in [1..40usize, 1..40usize], channels in 1..80usize, cut in 0..40usize)| {
        let (layout, data) = map(size[0], size[1], channels, 1, 2, 3);
        let (mut sums, mut means, mut whole) = (vec![0.0; size[0] * channels], vec![7.0; channels], vec![0.0; channels]);
        let (before, after) = sums.split_at_mut(cut.min(size[0]) * channels);
        sum_rows(simd, Map::new(layout, &data), 0, before);
        sum_rows(simd, Map::new(layout, &data), cut.min(size[0]), after);
        mean_of_rows(&sums, layout.pixels(), &mut means);
        squeeze_map(simd, Map::new(layout, &data), &mut whole);
        prop_assert_eq!(means, whole);
    });
}

fn writes_neither_border_nor_the_channels_of_others(simd: Simd) {
    proptest!(|(case in cases())| {
        let (layout, mut data) = run_convolution(simd, case, None);
        for y in 0..layout.height() {
            for x in 0..layout.width() {
                let at = layout.offset(y, x);
                data[at..at + layout.channels()].fill(7.0);
            }
        }
        prop_assert!(data.iter().all(|value| *value == 7.0));
    });
}

fn convolves_depthwise_within_the_stated_tolerance(simd: Simd) {
    proptest!(|(size in [1..9usize, 1..24usize], channels in 1..40usize, window in window(), nonlinearity in nonlinearity())| {
        let taps = window.taps();
        let convolution = Depthwise::new(window, &values(channels * taps, 1), &values(channels, 2), nonlinearity).expect("the weights fit");
        let output = output_size(&window, size);
        let (input, data) = map(size[0], size[1], channels, window.border(size, output), 3, 3);
        let layout = Layout::new(output[0], output[1], channels, 0);
        let run = |simd| {
            let mut data_out = vec![0.0; layout.len()];
            convolve_depthwise(simd, &convolution, Map::new(input, &data), &mut MapMut::new(layout, &mut data_out));
            data_out
        };
        let tolerance = (taps + 2) as f32 * 2f32.powi(-24) * (4 * taps + 2) as f32;
        assert_close(&run(simd), &run(scalar()), tolerance)?;
    });
}

fn connects_within_the_stated_tolerance(simd: Simd) {
    proptest!(|(inputs in 1..70usize, outputs in 1..40usize, cut in 0..40usize, nonlinearity in nonlinearity())| {
        let layer = Linear::new(values(outputs * inputs, 1), values(outputs, 2), nonlinearity).expect("whole rows");
        let x = values(inputs, 3);
        let run = |simd| {
            let mut y = vec![7.0; outputs];
            let cut = cut.min(outputs);
            let (before, after) = y.split_at_mut(cut);
            connect(simd, &layer, &x, 0, before);
            connect(simd, &layer, &x, cut, after);
            y
        };
        let tolerance = (inputs + 2) as f32 * 2f32.powi(-24) * (4 * inputs + 2) as f32;
        assert_close(&run(simd), &run(scalar()), tolerance)?;
    });
}

fn pools_within_the_stated_tolerance(simd: Simd) {
    let kinds = prop::sample::select(vec![Pool::Max, Pool::Average, Pool::AverageWithPadding]);
    proptest!(|(size in [1..13usize, 1..13usize], channels in 1..40usize, window in window(), kind in kinds, nan in 0..2000usize)| {
        let output = output_size(&window, size);
        let (input, mut data) = map(size[0], size[1], channels, 0, 3, 3);
        if let Some(value) = data.get_mut(nan) {
            *value = f32::NAN;
        }
        let layout = Layout::new(output[0], output[1], channels, 0);
        let run = |simd| {
            let mut data_out = vec![0.0; layout.len()];
            pool(simd, kind, window, Map::new(input, &data), &mut MapMut::new(layout, &mut data_out));
            data_out
        };
        for (a, e) in run(simd).iter().zip(run(scalar())) {
            prop_assert!(a.is_nan() && e.is_nan() || (a - e).abs() <= 1e-5, "{} instead of {}", a, e);
        }
    });
}

fn squeezes_maps_within_the_stated_tolerance(simd: Simd) {
    proptest!(|(size in [1..60usize, 1..60usize], channels in 1..80usize)| {
        let (layout, data) = map(size[0], size[1], channels, 1, 2, 3);
        let (mut actual, mut expected) = (vec![0.0; channels], vec![0.0; channels]);
        squeeze_map(simd, Map::new(layout, &data), &mut actual);
        squeeze_map(scalar(), Map::new(layout, &data), &mut expected);
        assert_close(&actual, &expected, (size[0] + size[1] + 2) as f32 * 2f32.powi(-24) * 2.0)?;
    });
}

fn recalibrates_adds_and_activates_like_the_reference(simd: Simd) {
    proptest!(|(size in [1..9usize, 1..9usize], channels in 1..40usize, nonlinearity in nonlinearity(), nan in 0..300usize)| {
        let (layout, mut start) = map(size[0], size[1], channels, 1, 2, 3);
        if let Some(value) = start.get_mut(nan) {
            *value = f32::NAN;
        }
        let (shortcut, shortcut_data) = map(size[0], size[1], channels, 2, 0, 4);
        let gates = values(channels, 5);
        let run = |simd: Simd, operator: usize| {
            let mut data = start.clone();
            let (mut map, shortcut) = (MapMut::new(layout, &mut data), Map::new(shortcut, &shortcut_data));
            match operator {
                0 => recalibrate(simd, &mut map, &gates, Some(shortcut), nonlinearity),
                1 => recalibrate(simd, &mut map, &gates, None, nonlinearity),
                2 => add(simd, &mut map, shortcut, nonlinearity),
                3 => activate(simd, &mut map, nonlinearity),
                _ => prelu(simd, &mut map, &gates),
            }
            data
        };
        for operator in 0..5 {
            for (a, e) in run(simd, operator).iter().zip(run(scalar(), operator)) {
                prop_assert!(a.is_nan() && e.is_nan() || (a - e).abs() <= 2e-6 * (1.0 + e.abs()), "{} instead of {} by {}", a, e, operator);
            }
        }
    });
}

#[test]
fn rounding_is_the_same_at_every_instruction_set() {
    let halves = prop::collection::vec((-600..600_i32, -1..=1_i32), 1..50);
    proptest!(|(halves in halves, scale in 1e-5_f32..3.0, low in -40_000..=0_i32, high in 0..=65_535_i32)| {
        let grid = Grid { scale, low: low as f32, high: high as f32 };
        // Between two numbers of the grid, or next to that.
        let near = |(half, side): &(i32, i32)| f32::from_bits(((*half as f32 * 0.5 * scale).to_bits() as i32 + side).max(0) as u32);
        let values: Vec<f32> = halves.iter().map(near).chain([f32::INFINITY, f32::NEG_INFINITY, 0.0, 1e30]).collect();
        for simd in Simd::available() {
            let (layout, mut data) = (Layout::new(1, 1, values.len(), 0), values.clone());
            activate(simd, &mut MapMut::new(layout, &mut data), grid);
            for (value, x) in data.iter().zip(&values) {
                prop_assert_eq!(*value, grid.round(*x), "{} at {}", x, simd.level());
            }
            data.fill(f32::NAN);
            activate(simd, &mut MapMut::new(layout, &mut data), grid);
            prop_assert!(data.iter().all(|value| value.is_nan()));
        }
    });
}

#[test]
fn a_function_between_two_roundings_is_at_most_a_step_off() {
    let grid = |scale| Grid { scale, low: -100.0, high: 155.0 };
    let functions =
        [Nonlinearity::HardSwish, Nonlinearity::Sigmoid, Nonlinearity::RoundedSilu(grid(0.004)), Nonlinearity::RoundedHardSwish(grid(0.004))];
    for nonlinearity in functions {
        let epilogue = Epilogue { before: Some(grid(0.05)), nonlinearity, after: Some(grid(0.03)) };
        let values: Vec<f32> = (-700..700).map(|step| step as f32 * 0.013).collect();
        for simd in Simd::available() {
            let (layout, mut data) = (Layout::new(1, 1, values.len(), 0), values.clone());
            activate(simd, &mut MapMut::new(layout, &mut data), epilogue);
            let off = data.iter().zip(&values).filter(|(value, x)| (**value - epilogue.apply(**x)).abs() > 1e-6);
            let most = data.iter().zip(&values).map(|(value, x)| (value - epilogue.apply(*x)).abs()).fold(0.0, f32::max);
            assert!(most <= 0.034 && off.count() < 20, "{nonlinearity:?} at {}: off by {most}", simd.level());
        }
    }
}

#[test]
fn parts_clear_the_border_of_their_channels_and_nothing_else() {
    proptest!(|(size in [1..9usize, 1..9usize], channels in 1..9usize, border in 0..4usize, wider in 0..4usize, cuts in cuts(), in_parts in any::<bool>())| {
        let layout = layout(size[0], size[1], channels, border, wider);
        let mut data = vec![7.0; (size[0] + 2 * border) * layout.row()];
        let cuts = in_parts.then_some(([cuts.0[0] % 64, cuts.0[1] % 64], cuts.1 % 9));
        write_in_parts(MapMut::new(layout, &mut data), cuts, |part| part.clear_border());
        for (at, value) in data.iter().enumerate() {
            let (row, column, channel) = (at / layout.row(), at % layout.row() / layout.stride(), at % layout.stride());
            let inside = (border..border + size[0]).contains(&row) && (border..border + size[1]).contains(&column);
            prop_assert_eq!(*value, if inside || channel >= channels { 7.0 } else { 0.0 }, "channel {} of ({}, {})", channel, row, column);
        }
    });
}

#[test]
fn convolves_as_the_definition_says() {
    // One 2×2 kernel of stride 1 with a padding of 1 above and to the left, over [[1, 2], [3, 4]].
    let window = Window::new([2, 2], [1, 1], [1, 1], [1, 1]).expect("it is small");
    let shape = convolution_shape(1, 1, 1, window);
    for simd in Simd::available() {
        let convolution = Convolution::new(simd, shape, &[1.0, 10.0, 100.0, 1000.0], &[0.5], Nonlinearity::Identity).expect("the weights fit");
        let layout = Layout::new(2, 2, 1, 1);
        let (mut input, mut output) = (vec![0.0; layout.len()], vec![0.0; 4]);
        from_planar(&[1.0, 2.0, 3.0, 4.0], &mut MapMut::new(layout, &mut input));
        convolve(simd, &convolution, Map::new(layout, &input), None, &mut MapMut::new(Layout::new(2, 2, 1, 0), &mut output));
        assert_eq!(output, [1000.5, 2100.5, 3010.5, 4321.5]);
    }
}

#[test]
fn convolves_in_segments() {
    let window = |kernel, dilation| Window::new([kernel; 2], [1, 1], [dilation; 2], [2, 1]).expect("it is small");
    // Parts of a row of taps; several rows, the last time fewer; rows whose taps do not touch; one tap; the inputs of a group.
    let cases = [((1201, 82, 1), window(3, 1)), ((50, 33, 1), window(5, 1)), ((401, 33, 1), window(3, 2)), ((1030, 17, 1), Window::UNIT)];
    for (channels, window) in cases.into_iter().chain([((600, 16, 2), window(3, 1)), ((1030, 16, 2), Window::UNIT)]) {
        let case = ([6, 5], channels, window, Nonlinearity::RELU, 0, true);
        let (layout, expected) = run_convolution(scalar(), case, None);
        for simd in Simd::available() {
            // Much less than a product that is left out.
            assert_close(&planes(layout, &run_convolution(simd, case, None).1), &planes(layout, &expected), 0.02).unwrap();
        }
    }
}

#[test]
fn refuses_weights_that_do_not_belong_to_the_shape() {
    let error = ConvolutionShape::new(4, 6, 4, Window::UNIT).expect_err("4 groups do not divide 6 channels");
    assert_eq!(error.to_string(), "4 groups do not divide 4 inputs and 6 outputs");
    let error = Convolution::new(scalar(), convolution_shape(4, 6, 2, Window::UNIT), &[0.0; 6], &[0.0; 6], Nonlinearity::Identity);
    let error = error.expect_err("it needs 12 weights");
    assert!(error.to_string().starts_with("6 weights and 6 biases for a convolution of"), "{error}");
    assert!(Depthwise::new(Window::UNIT, &[0.0; 5], &[0.0; 4], Nonlinearity::Identity).is_err());
}

#[test]
#[should_panic(expected = "reaches beyond")]
fn panics_where_the_border_is_narrower_than_the_window_needs() {
    let shape = convolution_shape(1, 1, 1, square_window(3));
    let convolution = Convolution::new(scalar(), shape, &[0.0; 9], &[0.0], Nonlinearity::Identity).expect("the weights fit");
    let layout = Layout::new(4, 4, 1, 0);
    convolve(scalar(), &convolution, Map::new(layout, &[0.0; 16]), None, &mut MapMut::new(layout, &mut [0.0; 16]));
}
