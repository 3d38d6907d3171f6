//! What the map kernels make of sizes that may be anything: an error, a panic, or the right values, and nothing beside them, in release builds too.

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;

use super::limits::{MAX_SIZE, MAX_VALUES};
use super::*;
use crate::kernels::properties::scalar;
use crate::kernels::{Excitation, Function, Functions, Layer, Layers, excite, scale, squeeze};

/// A size from somewhere up to the limits of `usize`, where wrapping products come from.
fn any_size() -> impl Strategy<Value = usize> {
    let near_a_power = (0..usize::BITS, 0..3usize).prop_map(|(bit, more)| (1usize << bit).wrapping_add(more).wrapping_sub(1));
    prop_oneof![3 => near_a_power, 1 => MAX_SIZE - 1..=MAX_SIZE + 1, 1 => usize::MAX - 3..=usize::MAX, 1 => any::<usize>()]
}

/// `N` small sizes, of which up to two are replaced by any.
fn sizes<const N: usize>() -> impl Strategy<Value = [usize; N]> {
    let replaced = proptest::collection::vec((0..N, any_size()), 0..3);
    let small = prop_oneof![1 => Just(0), 12 => 1..5usize];
    (proptest::array::uniform(small), replaced).prop_map(|(mut sizes, replaced): ([usize; N], _)| {
        replaced.into_iter().for_each(|(at, size)| sizes[at] = size);
        sizes
    })
}

fn product(sizes: &[usize]) -> Option<u128> {
    sizes.iter().try_fold(1u128, |product, size| product.checked_mul(*size as u128))
}

/// The memory of a map between two guards of NaN, which are seen when they are read, and when they are written.
struct Guarded(Vec<f32>);

impl Guarded {
    const GUARD: usize = 40;
    /// No map of a test has more values.
    const MOST: usize = 1 << 16;

    /// For `layout`, or shorter where that is larger than any memory of a test; small whole numbers, and zero in the border.
    fn new(layout: Layout) -> Self {
        let fits = layout.len() <= Self::MOST;
        let mut memory = vec![f32::NAN; 2 * Self::GUARD + if fits { layout.len() } else { 8 }];
        let end = memory.len() - Self::GUARD;
        memory[Self::GUARD..end].fill(0.0);
        if fits && !layout.is_empty() {
            for y in 0..layout.height() {
                for x in 0..layout.width() {
                    let at = Self::GUARD + layout.offset(y, x);
                    memory[at..at + layout.channels()].iter_mut().enumerate().for_each(|(c, value)| *value = value_of(y, x, c));
                }
            }
        }
        Self(memory)
    }

    fn values(&self) -> &[f32] {
        &self.0[Self::GUARD..self.0.len() - Self::GUARD]
    }

    fn values_mut(&mut self) -> &mut [f32] {
        let end = self.0.len() - Self::GUARD;
        &mut self.0[Self::GUARD..end]
    }

    fn is_guarded(&self) -> bool {
        let (first, last) = (&self.0[..Self::GUARD], &self.0[self.0.len() - Self::GUARD..]);
        first.iter().chain(last).all(|value| value.is_nan())
    }
}

fn value_of(y: usize, x: usize, channel: usize) -> f32 {
    ((3 * y + 5 * x + 7 * channel) % 11) as f32 - 5.0
}

/// Whether `run` ended without a panic.
fn survives(run: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(run)).is_ok()
}

/// The values that the window of an output pixel meets along one axis: tap and place in the map, where that is inside.
fn taps_of(window: &Window, axis: usize, at: usize, size: usize) -> Vec<(usize, usize)> {
    let place = |tap: usize| {
        let of = |value: usize| value as i128;
        of(at) * of(window.stride()[axis]) + of(tap) * of(window.dilation()[axis]) - of(window.padding()[axis])
    };
    let taps = (0..window.kernel()[axis].min(Guarded::MOST)).map(|tap| (tap, place(tap)));
    taps.filter(|(_, place)| (0..size as i128).contains(place)).map(|(tap, place)| (tap, place as usize)).collect()
}

proptest! {
    #[test]
    fn a_layout_exists_within_the_limits_only_and_its_sizes_are_exact([height, width, channels, border, wider] in sizes()) {
        let stride = channels.wrapping_add(wider);
        let rows = (height as u128 + 2 * border as u128, width as u128 + 2 * border as u128);
        let values = rows.0.max(1).saturating_mul(rows.1.max(1));
        let allowed = [height, width, channels, border, stride].iter().all(|size| *size <= MAX_SIZE)
            && stride >= channels
            && values.checked_mul(stride.max(1) as u128).is_some_and(|values| values <= MAX_VALUES as u128);
        match Layout::try_new(height, width, channels, border).and_then(|layout| layout.with_stride(stride)) {
            Ok(layout) => {
                prop_assert!(allowed, "{layout:?}");
                prop_assert_eq!(layout.row() as u128, rows.1 * stride as u128);
                prop_assert_eq!(layout.pixels() as u128, height as u128 * width as u128);
                prop_assert_eq!(layout.len() as u128, (rows.0 * rows.1 * stride as u128).saturating_sub((stride - channels) as u128));
            }
            Err(error) => prop_assert!(!allowed, "{error}"),
        }
        let panics = !survives(|| _ = Layout::new(height, width, channels, border));
        prop_assert_eq!(panics, Layout::try_new(height, width, channels, border).is_err());
    }

    #[test]
    fn the_border_that_a_window_needs_is_exact([k, kk, s, ss, d, dd, p, pp, h, w, hh, ww] in sizes()) {
        let (kernel, stride, dilation, padding) = ([k, kk], [s, ss], [d, dd], [p, pp]);
        let sizes = [k, kk, s, ss, d, dd];
        let allowed = sizes.iter().all(|size| (1..=MAX_SIZE).contains(size)) && p <= MAX_SIZE && pp <= MAX_SIZE;
        let window = Window::new(kernel, stride, dilation, padding);
        prop_assert_eq!(window.is_ok(), allowed);
        let Ok(window) = window else { return Ok(()) };
        let of = |value: usize| value as i128;
        let needed = [0, 1].map(|axis| {
            let last = of([hh, ww][axis].max(1) - 1) * of(stride[axis]) + of(kernel[axis] - 1) * of(dilation[axis]) - of(padding[axis]);
            of(padding[axis]).max(last - of([h, w][axis]) + 1)
        });
        let expected = usize::try_from(needed[0].max(needed[1])).unwrap_or(usize::MAX);
        prop_assert_eq!(window.border([h, w], [hh, ww]), expected);
    }

    #[test]
    fn the_taps_inside_a_map_are_those_of_the_definition([k, s, d, p, at, size] in sizes()) {
        let Ok(window) = Window::new([k, 1], [s, 1], [d, 1], [p, 0]) else { return Ok(()) };
        let (at, size) = (at.min(MAX_SIZE), size.min(MAX_SIZE));
        if k < Guarded::MOST {
            let places: Vec<_> = taps_of(&window, 0, at, size).into_iter().map(|(_, place)| place).collect();
            prop_assert_eq!(window.inside(0, at, size).collect::<Vec<_>>(), places);
        }
    }

    #[test]
    fn a_convolution_of_any_sizes_is_an_error_a_panic_or_right(
        [k, kk, s, ss, d, dd, p, pp, h, w, hh, ww, group_inputs, group_outputs, groups, border, wider] in sizes(),
        fitting in any::<bool>(),
    ) {
        let Ok(window) = Window::new([k, kk], [s, ss], [d, dd], [p, pp]) else { return Ok(()) };
        let (inputs, outputs) = (group_inputs.wrapping_mul(groups), group_outputs.wrapping_mul(groups));
        let border = if fitting { window.border([h, w], [hh, ww]) } else { border };
        let Ok(shape) = ConvolutionShape::new(inputs, outputs, groups, window) else { return Ok(()) };
        prop_assert_eq!(Some(shape.products() as u128), product(&[outputs, inputs / groups, k, kk]));
        let few = shape.products() <= Guarded::MOST;
        let weights: Vec<f32> = (0..if few { shape.products() } else { 4 }).map(|at| (at % 5) as f32 - 2.0).collect();
        let bias: Vec<f32> = (0..outputs.min(Guarded::MOST)).map(|at| at as f32).collect();
        let input = Layout::try_new(h, w, inputs, border).and_then(|layout| layout.with_stride(inputs.saturating_add(wider)));
        let (Ok(input), Ok(output)) = (input, Layout::try_new(hh, ww, outputs, 0)) else { return Ok(()) };
        for simd in Simd::available() {
            let convolution = Convolution::new(simd, shape, &weights, &bias, Nonlinearity::Identity);
            let depthwise = Depthwise::new(window, &weights, &bias, Nonlinearity::Identity);
            prop_assert_eq!(convolution.is_ok(), few && bias.len() == outputs, "{} weights for {:?}", weights.len(), shape);
            let fills = product(&[bias.len(), k, kk]) == Some(weights.len() as u128);
            prop_assert_eq!(depthwise.is_ok(), fills, "{} weights for {} channels of {:?}", weights.len(), bias.len(), window);
            let Ok(convolution) = convolution else { continue };
            let depthwise = depthwise.ok().filter(|_| (inputs, outputs) == (groups, groups));
            for by_channels in [false, true] {
                let (from, mut to) = (Guarded::new(input), Guarded::new(output));
                let finished = survives(|| match (&depthwise, by_channels) {
                    (Some(depthwise), true) => {
                        convolve_depthwise(simd, depthwise, Map::new(input, from.values()), &mut MapMut::new(output, to.values_mut()));
                    }
                    _ => convolve(simd, &convolution, Map::new(input, from.values()), None, &mut MapMut::new(output, to.values_mut())),
                });
                prop_assert!(from.is_guarded() && to.is_guarded());
                let fits = window.border([h, w], [hh, ww]) <= border && input.len() <= Guarded::MOST && output.len() <= Guarded::MOST;
                prop_assert_eq!(finished, fits, "{:?} from {:?} to {:?}", shape, input, output);
                if !fits {
                    continue;
                }
                for (y, x) in (0..hh).flat_map(|y| (0..ww).map(move |x| (y, x))).take(Guarded::MOST) {
                    let (rows, columns) = (taps_of(&window, 0, y, h), taps_of(&window, 1, x, w));
                    for o in 0..outputs {
                        let group = o / group_outputs;
                        let mut sum = bias[o];
                        for ((row, yy), (column, xx)) in rows.iter().flat_map(|row| columns.iter().map(move |column| (row, column))) {
                            for i in 0..group_inputs {
                                let weight = weights[((o * group_inputs + i) * k + row) * kk + column];
                                sum += weight * value_of(*yy, *xx, group * group_inputs + i);
                            }
                        }
                        prop_assert_eq!(to.values()[output.offset(y, x) + o], sum, "channel {} of ({}, {}) at {:?}", o, y, x, simd);
                    }
                }
            }
        }
    }

    #[test]
    fn a_pool_of_any_sizes_is_an_error_a_panic_or_right([k, kk, s, ss, d, dd, p, pp, h, w, hh, ww, channels, border, wider] in sizes()) {
        let Ok(window) = Window::new([k, kk], [s, ss], [d, dd], [p, pp]) else { return Ok(()) };
        let input = Layout::try_new(h, w, channels, border).and_then(|layout| layout.with_stride(channels.saturating_add(wider)));
        let (Ok(input), Ok(output)) = (input, Layout::try_new(hh, ww, channels, 0)) else { return Ok(()) };
        for simd in Simd::available() {
            for kind in [Pool::Max, Pool::AverageWithPadding] {
                let (from, mut to) = (Guarded::new(input), Guarded::new(output));
                let finished = survives(|| pool(simd, kind, window, Map::new(input, from.values()), &mut MapMut::new(output, to.values_mut())));
                prop_assert!(from.is_guarded() && to.is_guarded());
                prop_assert_eq!(finished, input.len() <= Guarded::MOST && output.len() <= Guarded::MOST);
                if !finished || output.is_empty() || k.max(kk) > Guarded::MOST {
                    continue;
                }
                for (y, x) in (0..hh).flat_map(|y| (0..ww).map(move |x| (y, x))) {
                    let (rows, columns) = (taps_of(&window, 0, y, h), taps_of(&window, 1, x, w));
                    for c in 0..channels {
                        let values = || rows.iter().flat_map(|(_, y)| columns.iter().map(move |(_, x)| value_of(*y, *x, c)));
                        let expected = match kind {
                            Pool::Max => values().reduce(f32::max).unwrap_or(0.0),
                            _ => values().sum::<f32>() / (k * kk) as f32,
                        };
                        let actual = to.values()[output.offset(y, x) + c];
                        prop_assert!((actual - expected).abs() <= 1e-5, "{actual} instead of {expected} at {simd:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_changes_a_map_of_any_sizes_changes_nothing_beside_it(
        [h, w, channels, border, wider, border_of_shortcut, pixel, channel, first, count] in sizes(),
    ) {
        let layout = Layout::try_new(h, w, channels, border).and_then(|layout| layout.with_stride(channels.saturating_add(wider)));
        let (Ok(layout), Ok(shortcut)) = (layout, Layout::try_new(h, w, channels, border_of_shortcut)) else { return Ok(()) };
        let fits = layout.len() <= Guarded::MOST && shortcut.len() <= Guarded::MOST;
        let gates = vec![2.0; channels.min(Guarded::MOST)];
        let mut values = vec![1.0; if fits { layout.pixels().min(Guarded::MOST) * gates.len() } else { 3 }];
        let has_gates = gates.len() == channels;
        let has_values = has_gates && values.len() == layout.pixels() * channels;
        for simd in Simd::available() {
            let shortcut_memory = Guarded::new(shortcut);
            let shortcut = || Map::new(shortcut, shortcut_memory.values());
            let run = |succeeds: bool, operator: &mut dyn FnMut(&mut MapMut<'_>)| {
                let mut memory = Guarded::new(layout);
                let finished = survives(|| {
                    let (before, after) = MapMut::new(layout, memory.values_mut()).split_at(pixel);
                    for part in [before, after] {
                        let (mut left, mut right) = part.split_at_channel(channel);
                        operator(&mut left);
                        operator(&mut right);
                    }
                });
                prop_assert!(memory.is_guarded());
                prop_assert!(finished || !(fits && succeeds), "of {layout:?}");
                Ok(())
            };
            run(true, &mut |part| activate(simd, part, Nonlinearity::HardSwish))?;
            run(true, &mut |part| part.clear_border())?;
            run(true, &mut |part| add(simd, part, shortcut(), Nonlinearity::RELU))?;
            run(true, &mut |part| copy(shortcut(), part))?;
            run(has_gates, &mut |part| recalibrate(simd, part, &gates, Some(shortcut()), Nonlinearity::RELU))?;
            run(has_gates, &mut |part| prelu(simd, part, &gates))?;
            run(false, &mut |part| from_planar(&values, part))?;
            run(false, &mut |part| from_pixels(&values, part))?;
            let (read, mut sums) = (Guarded::new(layout), vec![0.0; count.min(64)]);
            let map = || Map::new(layout, read.values());
            prop_assert!(survives(|| squeeze_map(simd, map(), &mut gates.clone())) || !(fits && has_gates) );
            prop_assert!(survives(|| to_planar(map(), &mut values)) || !(fits && has_values));
            let has_rows = layout.len() <= Guarded::MOST && sums.len() <= h.saturating_sub(first) * channels;
            prop_assert_eq!(survives(|| sum_rows(simd, map(), first, &mut sums)), has_rows);
            let has_part = fits && channel <= channels && pixel <= channel;
            prop_assert!(survives(|| _ = map().part(pixel..channel)) || !has_part);
        }
    }

    #[test]
    fn a_layer_refuses_outputs_that_it_does_not_have([first, count, outputs, inputs] in sizes()) {
        let (outputs, inputs, count) = (outputs.min(30), inputs.min(30), count.min(40));
        let Ok(layer) = Linear::new(vec![1.0; inputs * outputs], vec![1.0; outputs], Nonlinearity::Identity) else { return Ok(()) };
        for simd in Simd::available() {
            let mut memory = vec![f32::NAN; count];
            let finished = survives(|| connect(simd, &layer, &vec![1.0; inputs], first, &mut memory));
            prop_assert_eq!(finished, first <= outputs && count <= outputs - first);
            prop_assert!(!finished || memory.iter().all(|value| *value == 1.0 + inputs as f32));
        }
    }

    #[test]
    fn a_block_refuses_maps_of_another_size([positions, map, means, squeezed] in sizes()) {
        let (map, means, squeezed) = (map.min(200), means.min(40), squeezed.min(20));
        let layer = |outputs, functions| Layer { weights: vec![0.5; means * squeezed], bias: vec![0.0; outputs], functions };
        let layers = Layers {
            before: Functions::default(),
            reduce: Some(layer(squeezed, Function::Relu.into())),
            expand: layer(means, Function::HARD_SIGMOID.into()),
        };
        let excitation = Excitation::new(layers).expect("the lengths belong together");
        for simd in Simd::available() {
            let (mut values, mut all) = (vec![1.0; map], vec![0.0; means]);
            let fits = product(&[means, positions]) == Some(map as u128);
            prop_assert_eq!(survives(|| squeeze(simd, &values, positions, &mut all)), fits);
            prop_assert_eq!(survives(|| scale(simd, &mut values, None, positions, &all, None)), fits);
            prop_assert_eq!(survives(|| excite(simd, &excitation, &vec![0.0; map], &mut all)), map == means);
        }
    }

    #[test]
    fn the_choice_of_a_winograd_does_not_depend_on_wrapped_products([inputs, outputs, h, w] in sizes()) {
        let window = Window::new([3, 3], [1, 1], [1, 1], [1, 1]).expect("it is small");
        let Ok(shape) = ConvolutionShape::new(inputs, outputs, 1, window) else { return Ok(()) };
        let choice = Winograd::F4.choose(Simd::detect(), &shape, [h, w]);
        let many = inputs.min(outputs) >= 64 && h.min(w) >= 64;
        prop_assert!(!many || choice == Some(WinogradTile::Four), "{choice:?} for {shape:?} at {h}×{w}");
    }
}

#[test]
#[should_panic(expected = "the border is 4611686018427387904, expected 0 to 268435456")]
fn a_layout_whose_length_would_wrap_is_a_panic() {
    let _ = Layout::new(2, 2, 2, 1 << 62);
}

#[test]
fn sizes_whose_products_would_wrap_are_errors() {
    let error = |result: Result<Window, SizeError>| result.expect_err("it is too large").to_string();
    assert_eq!(
        Layout::new(1, 2, 4096, 0).with_stride(1 << 63).expect_err("it would take no memory at all").to_string(),
        "the stride is 9223372036854775808, expected 4096 to 268435456"
    );
    assert_eq!(error(Window::of_taps([1 << 32, 1 << 32])), "the number of taps is 4294967296, expected 1 to 268435456");
    assert_eq!(error(Window::new([1, 1], [1, 1], [0, 0], [0, 0])), "the dilation is 0, expected 1 to 268435456");
    assert_eq!(error(Window::new([9, 1], [1, 1], [1 << 61, 1], [0, 0])), "the dilation is 2305843009213693952, expected 1 to 268435456");
    assert_eq!(error(Window::new([1, 1], [(1 << 62) + 1000, 1], [1, 1], [1 << 62, 0])), "the stride is 4611686018427388904, expected 1 to 268435456");
    assert_eq!(error(Window::of_taps([1 << 60, 1])), "the number of taps is 1152921504606846976, expected 1 to 268435456");
    let window = Window::of_taps([MAX_SIZE, MAX_SIZE / 16]).expect("each is within the limits");
    let shape = ConvolutionShape::new(16, 16, 16, window).expect("all are within the limits");
    assert_eq!(shape.products(), 1 << 56, "more weights than anybody can give");
    assert!(Convolution::new(scalar(), shape, &[], &[0.0; 16], Nonlinearity::Identity).is_err());
    assert!(Depthwise::new(window, &[], &[0.0; 16], Nonlinearity::Identity).is_err());
    assert_eq!(
        ConvolutionShape::new(64, 64, 1, window).expect_err("they are too many").to_string(),
        format!("a kernel of [64, 64, {MAX_SIZE}, {}] has more than {MAX_VALUES} values", MAX_SIZE / 16)
    );
}

#[test]
fn taps_at_the_limits_of_a_window_are_refused_and_not_read() {
    for simd in Simd::available() {
        let window = Window::new([9, 1], [MAX_SIZE, 1], [MAX_SIZE, 1], [MAX_SIZE, 0]).expect("it is within the limits");
        let shape = ConvolutionShape::new(1, 1, 1, window).expect("it is small");
        let convolution = Convolution::new(simd, shape, &[1.0; 9], &[0.0], Nonlinearity::Identity).expect("the weights fit");
        let (layout, mut output) = (Layout::new(1, 1, 1, 0), [0.0]);
        let refused = !survives(|| convolve(simd, &convolution, Map::new(layout, &[1.0]), None, &mut MapMut::new(layout, &mut output)));
        assert!(refused, "{simd:?}");
    }
}

#[test]
fn groups_that_fill_no_vector_do_not_multiply_the_weights() {
    for simd in Simd::available() {
        // A prime number of groups of two channels each: together they would be packed as a square.
        let shape = ConvolutionShape::new(2 * 1009, 1009, 1009, Window::UNIT).expect("it is small");
        let weights = vec![1.0; shape.products()];
        let convolution = Convolution::new(simd, shape, &weights, &[0.0; 1009], Nonlinearity::Identity).expect("the weights fit");
        let most = (shape.products() + 2 * 1009) * simd.kernels().panel_size().lanes * size_of::<f32>();
        assert!(convolution.bytes() <= most, "{} bytes at {simd:?}, expected at most {most}", convolution.bytes());
    }
}
