//! What every kernel promises, checked at every level of the machine against the scalar reference, and there against the definition.

use std::io::Write;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// How far a mean may be from the exact one, relative to the mean of the absolute values.
const SQUEEZE_TOLERANCE: f64 = 5e-6;
/// How far a sum of products within an excitation may be from the exact one, relative to the sum of the absolute products.
const EXCITE_SUM_TOLERANCE: f64 = 2e-6;
/// How far a gate may be from the function of its sum; a sigmoid relative to it, since it comes close to zero without loss.
const HARD_GATE_TOLERANCE: f64 = 2.5e-7;
const GATE_TOLERANCE: f64 = 5e-7;

/// Stamps every property on every level of the target; on a machine that lacks the level it says that it was skipped.
macro_rules! at_every_level {
    ($($property:ident)*) => {
        at_every_level!(@level scalar Level::Scalar { $($property)* });
        #[cfg(target_arch = "aarch64")]
        at_every_level!(@level neon Level::Neon { $($property)* });
        #[cfg(target_arch = "x86_64")]
        at_every_level!(@level avx2 Level::Avx2 { $($property)* });
        #[cfg(target_arch = "x86_64")]
        at_every_level!(@level avx512 Level::Avx512 { $($property)* });
    };
    (@level $module:ident $level:path { $($property:ident)* }) => {
        mod $module {
            use super::*;
            $(
                #[test]
                fn $property() {
                    match Simd::request($level) {
                        Ok(simd) => super::$property(simd),
                        Err(error) => skipped(concat!(stringify!($module), "::", stringify!($property)), &error),
                    }
                }
            )*
        }
    };
}

/// Past the capture of the test harness, which would hide it; in one piece, since tests run side by side.
pub(super) fn skipped(property: &str, reason: &UnsupportedLevel) {
    let line = format!("skipped: {property}: {reason}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("standard error is open");
}

pub(super) use at_every_level;

at_every_level! {
    squeezes_within_the_stated_tolerance
    squeezes_a_large_map_as_exactly_as_a_small_one
    excites_within_the_stated_tolerance
    opens_sigmoid_gates_within_the_stated_tolerance
    closes_and_opens_gates_at_the_infinities
    scales_exactly
    scales_into_other_memory_as_in_place
    scales_and_adds_within_two_roundings
    lets_nan_and_infinities_through
    lets_nan_through_every_activation_and_gate
    accepts_maps_without_channels_or_positions
}

pub(super) fn scalar() -> Simd {
    Simd::request(Level::Scalar).expect("every machine runs plain Rust")
}

/// `[channels, positions]` from `skip` floats into its memory, so that no alignment is relied on.
#[derive(Debug, Clone)]
struct Map {
    memory: Vec<f32>,
    skip: usize,
    channels: usize,
    positions: usize,
}

impl Map {
    fn values(&self) -> &[f32] {
        &self.memory[self.skip..]
    }

    fn values_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.skip..]
    }
}

/// Lengths around every vector width and its multiples, odd ones, one with several blocks of a sum.
fn maps(value: impl Strategy<Value = f32> + Clone) -> impl Strategy<Value = Map> {
    let sizes = prop_oneof![3 => (0..6usize, 0..150usize), 1 => (0..40usize, 0..20usize), 1 => (0..3usize, 1000..3200usize)];
    (sizes, 0..4usize).prop_flat_map(move |((channels, positions), skip)| {
        vec(value.clone(), skip + channels * positions).prop_map(move |memory| Map { memory, skip, channels, positions })
    })
}

fn ordinary() -> impl Strategy<Value = f32> + Clone {
    prop_oneof![-10.0..10.0f32, -1e-3..1e-3f32, -1e6..1e6f32]
}

fn any_float() -> impl Strategy<Value = f32> + Clone {
    prop_oneof![4 => -10.0..10.0f32, 1 => prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1e-40, 1e30, -1e30])]
}

fn gates_for(map: &Map) -> Vec<f32> {
    (0..map.channels).map(|channel| (channel * 37 % 101) as f32 / 100.0).collect()
}

fn shortcut_for(map: &Map) -> Vec<f32> {
    map.values().iter().rev().map(|value| value * -0.75).collect()
}

/// NaN for NaN, the same infinity for an infinity, else no further than `tolerance`.
fn close(actual: f32, expected: f64, tolerance: f64) -> bool {
    if expected.is_nan() || expected.is_infinite() {
        return expected.is_nan() && actual.is_nan() || f64::from(actual) == expected;
    }
    (f64::from(actual) - expected).abs() <= tolerance
}

fn squeezes_within_the_stated_tolerance(simd: Simd) {
    proptest!(|(map in maps(ordinary()))| {
        let mut means = vec![f32::NAN; map.channels];
        squeeze(simd, map.values(), map.positions, &mut means);
        for (channel, mean) in means.iter().enumerate() {
            let values = || map.values()[channel * map.positions..][..map.positions].iter().copied().map(f64::from);
            let count = map.positions as f64;
            let (expected, magnitude) = (values().sum::<f64>() / count, values().map(f64::abs).sum::<f64>() / count);
            prop_assert!(close(*mean, expected, SQUEEZE_TOLERANCE * magnitude), "channel {channel}: {mean} for {expected}");
        }
        let mut reference = vec![f32::NAN; map.channels];
        squeeze(scalar(), map.values(), map.positions, &mut reference);
        for ((mean, reference), values) in means.iter().zip(&reference).zip(map.values().chunks(map.positions.max(1))) {
            let magnitude = values.iter().map(|value| f64::from(value.abs())).sum::<f64>() / map.positions as f64;
            prop_assert!(close(*mean, f64::from(*reference), 2.0 * SQUEEZE_TOLERANCE * magnitude), "{mean} for {reference}");
        }
    });
}

fn squeezes_a_large_map_as_exactly_as_a_small_one(simd: Simd) {
    let map = vec![0.1; 2_000_003];
    let mut mean = [0.0];
    squeeze(simd, &map, map.len(), &mut mean);
    assert!(close(mean[0], f64::from(0.1f32), SQUEEZE_TOLERANCE * 0.1), "{} for 0.1", mean[0]);
}

/// What stands between the layers of networks: functions of at most the slope 1.5.
fn activations() -> Vec<Functions> {
    let single = [Function::Relu, Function::Silu, Function::HardSwish, Function::Gelu, Function::GeluTanh, Function::Mish, Function::Tanh];
    let with_numbers = [
        Function::LeakyRelu { slope: 0.1 },
        Function::Clamp { min: 0.0, max: 6.0 },
        Function::Elu { alpha: 1.0 },
        Function::Affine { scale: 1.0, shift: -0.5 },
    ];
    let several = Functions::new([Function::Relu, Function::Tanh, Function::Affine { scale: 1.5, shift: 0.25 }]);
    single.into_iter().chain(with_numbers).map(Functions::from).chain([several, Functions::default()]).collect()
}

/// Functions of at most the slope 1 that end a block.
fn gate_functions() -> Vec<Functions> {
    let affine = |scale, shift| Function::Affine { scale, shift };
    vec![
        Function::Sigmoid.into(),
        Function::HARD_SIGMOID.into(),
        Function::HardSigmoid { slope: 0.2, offset: 0.5 }.into(),
        Functions::new([Function::Sigmoid, affine(2.0, 0.0)]),
        Functions::new([Function::Tanh, affine(1.0, 1.0)]),
        Function::Clamp { min: -1.0, max: 1.0 }.into(),
        Functions::default(),
    ]
}

/// Layers with weights as networks have them, and means to excite.
fn blocks() -> impl Strategy<Value = (Layers, Vec<f32>)> {
    let sizes = prop_oneof![4 => (0..70usize, 0..20usize), 1 => (200..600usize, 10..40usize)];
    let before = prop::sample::select(vec![Functions::default(), Functions::new([Function::Tanh, Function::Affine { scale: 2.0, shift: 0.5 }])]);
    let functions = (before, prop::option::weighted(0.8, prop::sample::select(activations())), prop::sample::select(gate_functions()));
    (sizes, functions).prop_flat_map(|((channels, squeezed), (before, activation, gate))| {
        // Half of all blocks of one layer are small enough to be as fast.
        let (channels, squeezed) = if activation.is_some() { (channels, squeezed) } else { (channels.min(150), channels.min(150)) };
        let layers = (
            vec(-0.5..0.5f32, channels * squeezed),
            vec(-1.0..1.0f32, squeezed),
            vec(-0.5..0.5f32, channels * squeezed),
            vec(-4.0..4.0f32, channels),
        )
            .prop_map(move |(reduce, reduce_bias, expand, expand_bias)| Layers {
                before: before.clone(),
                reduce: activation.clone().map(|functions| Layer { weights: reduce, bias: reduce_bias, functions }),
                expand: Layer { weights: expand, bias: expand_bias, functions: gate.clone() },
            });
        (layers, vec(-4.0..4.0f32, channels))
    })
}

/// A function by its definition, in `f64`.
fn defined(function: &Function, x: f64, channel: usize) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let leaky_relu = |slope: f32| if x < 0.0 { f64::from(slope) * x } else { x };
    match function {
        Function::Relu => x.max(0.0),
        Function::LeakyRelu { slope } => leaky_relu(*slope),
        Function::Prelu { slopes } => leaky_relu(slopes[channel]),
        Function::Clamp { min, max } => x.clamp(f64::from(*min), f64::from(*max)),
        Function::Affine { scale, shift } => f64::from(*scale) * x + f64::from(*shift),
        Function::Sigmoid => sigmoid(x),
        Function::HardSigmoid { slope, offset } => (f64::from(*slope) * x + f64::from(*offset)).clamp(0.0, 1.0),
        Function::Tanh => x.tanh(),
        Function::Silu => x * sigmoid(x),
        Function::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        Function::Gelu => x * 0.5 * (1.0 + libm::erf(x / 2f64.sqrt())),
        Function::GeluTanh => x * 0.5 * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh()),
        Function::Mish => x * x.exp().ln_1p().tanh(),
        Function::Elu { alpha } => {
            if x < 0.0 {
                f64::from(*alpha) * x.exp_m1()
            } else {
                x
            }
        }
        Function::Round(_) | Function::RoundToOwnRange | Function::RoundedSilu(_) | Function::RoundedHardSwish(_) => {
            unreachable!("{function} is no continuous function, and not among those that are drawn")
        }
    }
}

/// Of every value `x` and how far rounding may move it: both behind `functions`, none of which is steeper than 2.
fn apply_defined(functions: &Functions, values: Vec<(f64, f64)>, own: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
    let of = |(channel, (x, doubt)): (usize, (f64, f64))| {
        let steepness = functions.list().iter().map(|function| {
            if *function == Function::Sigmoid {
                0.25
            } else if matches!(function, Function::Affine { .. }) {
                2.0
            } else {
                1.5
            }
        });
        let value = functions.list().iter().fold(x, |x, function| defined(function, x, channel));
        (value, steepness.product::<f64>() * doubt + own(value))
    };
    values.into_iter().enumerate().map(of).collect()
}

/// The gate of every channel by the definition, in `f64`, and how far rounding may move it.
fn defined_gates(layers: &Layers, means: &[f32]) -> Vec<(f64, f64)> {
    let connect = |layer: &Layer, inputs: &[(f64, f64)]| {
        let of = |(output, bias): (usize, &f32)| {
            let start = (f64::from(*bias), EXCITE_SUM_TOLERANCE * f64::from(bias.abs()));
            let weights = &layer.weights[output * inputs.len()..][..inputs.len()];
            weights.iter().zip(inputs).fold(start, |(sum, doubt), (weight, (input, input_doubt))| {
                let product = f64::from(*weight) * input;
                (sum + product, doubt + EXCITE_SUM_TOLERANCE * product.abs() + f64::from(weight.abs()) * input_doubt)
            })
        };
        layer.bias.iter().enumerate().map(of).collect::<Vec<_>>()
    };
    let means =
        apply_defined(
            &layers.before,
            means.iter().map(|mean| (f64::from(*mean), 0.0)).collect(),
            |_| if layers.before.is_empty() { 0.0 } else { 5e-7 },
        );
    let hidden = match &layers.reduce {
        None => means,
        Some(reduce) => apply_defined(&reduce.functions, connect(reduce, &means), |value| 1e-6 * value.abs().max(0.5)),
    };
    let own = |gate: f64| match layers.expand.functions.list() {
        [Function::Sigmoid] => GATE_TOLERANCE * gate,
        [function] if *function == Function::HARD_SIGMOID => HARD_GATE_TOLERANCE,
        _ => 1e-6 * gate.abs().max(1.0),
    };
    apply_defined(&layers.expand.functions, connect(&layers.expand, &hidden), own)
}

fn excites_within_the_stated_tolerance(simd: Simd) {
    proptest!(|((layers, means) in blocks())| {
        let expected = defined_gates(&layers, &means);
        let excitation = Excitation::new(layers).expect("the lengths belong together");
        let (mut gates, mut reference) = (vec![f32::NAN; means.len()], vec![f32::NAN; means.len()]);
        excite(simd, &excitation, &means, &mut gates);
        excite(scalar(), &excitation, &means, &mut reference);
        for ((gate, reference), (exact, tolerance)) in gates.iter().zip(&reference).zip(expected) {
            prop_assert!(close(*gate, exact, tolerance), "{gate} for {exact}, allowed {tolerance}");
            prop_assert!(close(*gate, f64::from(*reference), 2.0 * tolerance), "{gate} for {reference}, allowed {tolerance} twice");
        }
    });
}

/// The gates of `inputs` alone: a block without hidden units.
fn open_gates(simd: Simd, gate: Functions, inputs: &[f32]) -> Vec<f32> {
    let excitation = without_hidden_units(gate, inputs);
    let mut gates = vec![f32::NAN; inputs.len()];
    excite(simd, &excitation, &vec![0.0; inputs.len()], &mut gates);
    gates
}

fn without_hidden_units(gate: Functions, inputs: &[f32]) -> Excitation {
    let reduce = Some(Layer { weights: vec![], bias: vec![], functions: Function::Relu.into() });
    let layers = Layers { before: Functions::default(), reduce, expand: Layer { weights: vec![], bias: inputs.to_vec(), functions: gate } };
    Excitation::new(layers).expect("the lengths belong together")
}

fn opens_sigmoid_gates_within_the_stated_tolerance(simd: Simd) {
    let inputs: Vec<f32> = (-87_000..=104_000).map(|thousandth| thousandth as f32 / 1000.0).collect();
    for (x, gate) in inputs.iter().zip(open_gates(simd, Function::Sigmoid.into(), &inputs)) {
        let expected = 1.0 / (1.0 + (-f64::from(*x)).exp());
        assert!(close(gate, expected, GATE_TOLERANCE * expected), "sigmoid({x}) is {gate} for {expected}");
    }
}

fn closes_and_opens_gates_at_the_infinities(simd: Simd) {
    let inputs = [f32::NEG_INFINITY, -1e30, -200.0, 200.0, 1e30, f32::INFINITY, 0.0, -0.0];
    for gate in [Function::Sigmoid, Function::HARD_SIGMOID] {
        assert_eq!(open_gates(simd, gate.clone().into(), &inputs), [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.5, 0.5], "{gate:?}");
    }
}

fn scales_exactly(simd: Simd) {
    proptest!(|(mut map in maps(ordinary()))| {
        let mut reference = map.clone();
        let gates = gates_for(&map);
        let positions = map.positions;
        scale(simd, map.values_mut(), None, positions, &gates, None);
        scale(scalar(), reference.values_mut(), None, positions, &gates, None);
        prop_assert_eq!(map.memory, reference.memory);
    });
}

fn scales_into_other_memory_as_in_place(simd: Simd) {
    proptest!(|(map in maps(any_float()), rectify in prop::option::of(prop::sample::select(vec![Rectify::No, Rectify::Relu])))| {
        let (gates, shortcut) = (gates_for(&map), shortcut_for(&map));
        let shortcut = rectify.map(|rectify| (&shortcut[..], rectify));
        let (mut in_place, mut elsewhere) = (map.clone(), map.clone());
        elsewhere.values_mut().fill(f32::NAN);
        scale(simd, in_place.values_mut(), None, map.positions, &gates, shortcut);
        scale(simd, elsewhere.values_mut(), Some(map.values()), map.positions, &gates, shortcut);
        let bits = |map: &Map| map.memory.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&elsewhere), bits(&in_place));
    });
}

fn scales_and_adds_within_two_roundings(simd: Simd) {
    proptest!(|(map in maps(ordinary()), rectify in prop::sample::select(vec![Rectify::No, Rectify::Relu]))| {
        let (gates, shortcut) = (gates_for(&map), shortcut_for(&map));
        let mut sums = map.clone();
        scale(simd, sums.values_mut(), None, map.positions, &gates, Some((&shortcut, rectify)));
        prop_assert_eq!(&sums.memory[..map.skip], &map.memory[..map.skip], "written in front of the map");
        for (index, ((sum, value), shortcut)) in sums.values().iter().zip(map.values()).zip(&shortcut).enumerate() {
            let product = f64::from(*value) * f64::from(gates[index / map.positions]);
            let exact = product + f64::from(*shortcut);
            let expected = if rectify == Rectify::Relu { exact.max(0.0) } else { exact };
            let tolerance = f64::from(f32::EPSILON) / 2.0 * (product.abs() * 1.000_001 + exact.abs());
            prop_assert!(close(*sum, expected, tolerance), "{value} · gate + {shortcut} is {sum} for {expected}");
        }
    });
}

fn lets_nan_and_infinities_through(simd: Simd) {
    proptest!(|(map in maps(any_float()), rectify in prop::sample::select(vec![Rectify::No, Rectify::Relu]))| {
        let (gates, shortcut) = (gates_for(&map), shortcut_for(&map));
        let results = |simd| {
            let (mut means, mut scaled, mut sums) = (vec![0.0; map.channels], map.clone(), map.clone());
            squeeze(simd, map.values(), map.positions, &mut means);
            scale(simd, scaled.values_mut(), None, map.positions, &gates, None);
            scale(simd, sums.values_mut(), None, map.positions, &gates, Some((&shortcut, rectify)));
            [means, scaled.memory, sums.memory].concat()
        };
        for (actual, expected) in results(simd).into_iter().zip(results(scalar())) {
            let same = actual.is_nan() == expected.is_nan() && (!expected.is_infinite() || actual == expected);
            prop_assert!(same, "{actual} for {expected}");
        }
    });
}

fn lets_nan_through_every_activation_and_gate(simd: Simd) {
    for activation in activations() {
        for gate in gate_functions() {
            for (channels, poisoned) in [(1, 0), (19, 3), (19, 18), (33, 16)] {
                let layer = |outputs: usize, functions: &Functions| Layer {
                    weights: vec![0.25; channels * 9],
                    bias: vec![0.0; outputs],
                    functions: functions.clone(),
                };
                let layers = Layers { before: Functions::default(), reduce: Some(layer(9, &activation)), expand: layer(channels, &gate) };
                let excitation = Excitation::new(layers).expect("the lengths belong together");
                let mut means = vec![0.5; channels];
                means[poisoned] = f32::NAN;
                let mut gates = vec![0.0; channels];
                excite(simd, &excitation, &means, &mut gates);
                assert!(gates.iter().all(|gate| gate.is_nan()), "{activation}, {gate}: {gates:?}");
            }
        }
    }
}

fn accepts_maps_without_channels_or_positions(simd: Simd) {
    let mut means = [0.0; 3];
    squeeze(simd, &[], 0, &mut means);
    assert!(means.iter().all(|mean| mean.is_nan()), "the mean of nothing is not a number: {means:?}");
    squeeze(simd, &[], 49, &mut []);
    scale(simd, &mut [], None, 0, &[0.5; 3], None);
    scale(simd, &mut [], Some(&[]), 49, &[], None);
    scale(simd, &mut [], None, 0, &[0.5; 3], Some((&[], Rectify::Relu)));
    scale(simd, &mut [], Some(&[]), 49, &[], Some((&[], Rectify::Relu)));
    assert!(open_gates(simd, Function::Sigmoid.into(), &[]).is_empty());
}

#[test]
#[should_panic(expected = "a map of 5 values for 2 channels of 3 positions")]
fn panics_when_the_map_is_shorter_than_its_channels_say() {
    squeeze(scalar(), &[0.0; 5], 3, &mut [0.0; 2]);
}

#[test]
#[should_panic(expected = "a map of 7 values for 2 channels of 3 positions")]
fn panics_when_the_shortcut_is_longer_than_the_map() {
    scale(scalar(), &mut [0.0; 6], None, 3, &[0.0; 2], Some((&[0.0; 7], Rectify::No)));
}

#[test]
#[should_panic(expected = "a map of 5 values for 2 channels of 3 positions")]
fn panics_when_the_map_to_read_is_shorter_than_the_one_to_write() {
    scale(scalar(), &mut [0.0; 6], Some(&[0.0; 5]), 3, &[0.0; 2], None);
}

#[test]
#[should_panic(expected = "2 means for 3 channels")]
fn panics_when_the_means_are_not_the_excitations() {
    let excitation = without_hidden_units(Function::Sigmoid.into(), &[0.0; 3]);
    excite(scalar(), &excitation, &[0.0; 2], &mut [0.0; 3]);
}
