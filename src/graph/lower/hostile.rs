//! What the lowering makes of attributes that may be anything: operators that it refuses or leaves alone, and never a panic.

use proptest::prelude::*;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::Slice;
use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat, MaxPool, PaddingSpec, PoolSpec};
use tract_onnx::tract_core::ops::nn::DataFormat;

use super::{Lowering, lower};
use crate::kernels::Simd;
use crate::ops::Region;

const CHANNELS: usize = 4;

/// A window of 3×3 taps that keeps the size of a map.
fn spec() -> PoolSpec {
    let padding = PaddingSpec::Explicit(tvec!(1, 1), tvec!(1, 1));
    PoolSpec::new(DataFormat::NCHW, tvec!(3, 3), padding, Some(tvec!(1, 1)), Some(tvec!(1, 1)), CHANNELS, CHANNELS)
}

/// A convolution of groups, a pool, and a half of its channels; the node of each.
fn model() -> TractResult<(TypedModel, [usize; 3])> {
    let mut model = TypedModel::default();
    let input = model.add_source("input", f32::fact([1, CHANNELS, 8, 8]))?;
    let kernel: Vec<f32> = (0..CHANNELS * 2 * 9).map(|at| (at % 5) as f32 - 2.0).collect();
    let kernel = model.add_const("kernel", Tensor::from_shape(&[CHANNELS, 2, 3, 3], &kernel)?)?;
    let bias = model.add_const("bias", tensor1(&[0.5f32; CHANNELS]))?;
    let conv = Conv { pool_spec: spec(), kernel_fmt: KernelFormat::OIHW, group: 2, q_params: None };
    let conv = model.wire_node("conv", conv, &[input, kernel, bias])?[0];
    let pool = model.wire_node("pool", MaxPool { pool_spec: spec(), with_index_outputs: None }, &[conv])?[0];
    let slice = model.wire_node("slice", Slice { axis: 1, start: 2.into(), end: 4.into() }, &[pool])?[0];
    model.select_output_outlets(&[slice])?;
    Ok((model, [conv.node, pool.node, slice.node]))
}

/// Lowers the model after `change` was made to the windows of its convolution and pool.
fn lower_with(change: impl Fn(&mut PoolSpec)) -> TractResult<TypedModel> {
    let (mut model, [conv, pool, _]) = model()?;
    change(&mut model.node_mut(conv).op_as_mut::<Conv>().context("the convolution")?.pool_spec);
    change(&mut model.node_mut(pool).op_as_mut::<MaxPool>().context("the pool")?.pool_spec);
    lower(&mut model, 1, Simd::detect(), Lowering::default())?;
    Ok(model)
}

fn refusal(change: impl Fn(&mut PoolSpec)) -> String {
    format!("{:#}", lower_with(change).expect_err("it should be refused"))
}

/// What a plan of `model` answers, where nothing but a region is left in it.
fn run(model: TypedModel) -> TractResult<Option<TVec<TValue>>> {
    let is_lowered = model.nodes().iter().filter(|node| !node.op_is::<Region>()).count() <= 1;
    let input = Tensor::zero::<f32>(&[1, CHANNELS, 8, 8])?.into_tvalue();
    is_lowered.then(|| model.into_runnable()?.run(tvec!(input))).transpose()
}

#[test]
fn windows_of_every_ordinary_size_are_lowered() {
    let model = lower_with(|_| {}).unwrap();
    assert!(model.nodes().iter().any(|node| node.op_is::<Region>()));
    let answers = run(model).unwrap().expect("all of it was lowered");
    assert_eq!(answers[0].shape(), [1, 2, 8, 8]);
}

#[test]
fn windows_beyond_the_limits_are_refused_in_a_sentence() {
    let minus_200 = 200usize.wrapping_neg();
    let message = refusal(|spec| spec.padding = PaddingSpec::Explicit(tvec!(minus_200, 0), tvec!(200, 0)));
    assert_eq!(message, "\"conv\" cannot be run: the padding is 18446744073709551416, expected 0 to 268435456");
    let message = refusal(|spec| spec.padding = PaddingSpec::ExplicitOnnxPool(tvec!(1, 1), tvec!(1, 1 << 40), false));
    assert_eq!(message, "\"conv\" cannot be run: the padding is 1099511627776, expected 0 to 268435456");
    let message = refusal(|spec| spec.strides = Some(tvec!(1, 0)));
    assert_eq!(message, "\"conv\" cannot be run: the stride is 0, expected 1 to 268435456");
    let message = refusal(|spec| spec.dilations = Some(tvec!(1 << 61, 1)));
    assert_eq!(message, "\"conv\" cannot be run: the dilation is 2305843009213693952, expected 1 to 268435456");
    let message = refusal(|spec| spec.kernel_shape = tvec!(1 << 32, 1 << 32));
    assert_eq!(message, "\"conv\" cannot be run: the number of taps is 4294967296, expected 1 to 268435456");
}

#[test]
fn a_padding_that_would_ask_for_any_memory_is_refused() {
    let message = refusal(|spec| spec.padding = PaddingSpec::Explicit(tvec!(100_000, 1), tvec!(1, 1)));
    assert_eq!(message, "maps of 1024 values take 160012801150 with the padding of their convolutions, expected at most 67110912");
    let message = refusal(|spec| spec.dilations = Some(tvec!(1 << 28, 1)));
    assert!(message.contains("the border is") || message.contains("more than"), "{message}");
}

#[test]
fn groups_and_slices_that_do_not_fit_are_left_alone() {
    for groups in [0, 3, usize::MAX] {
        let (mut model, [conv, ..]) = model().unwrap();
        model.node_mut(conv).op_as_mut::<Conv>().unwrap().group = groups;
        assert!(!lower(&mut model, 1, Simd::detect(), Lowering::default()).unwrap().is_empty(), "{groups} groups");
    }
    for start in [3, 4, 5, i64::MAX] {
        let (mut model, [.., slice]) = model().unwrap();
        model.node_mut(slice).op_as_mut::<Slice>().unwrap().start = start.into();
        let left = lower(&mut model, 1, Simd::detect(), Lowering::default()).unwrap();
        assert!(left.iter().any(|left| left.operator == "Slice"), "from {start} on: {left:?}");
    }
}

/// Small numbers and those up to the limits of `usize`.
fn any_size() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0..6usize, 1 => (0..usize::BITS, 0..3usize).prop_map(|(bit, less)| (1usize << bit).wrapping_sub(less)), 1 => any::<usize>()]
}

proptest! {
    #[test]
    fn no_attribute_of_a_window_is_a_panic(values in proptest::array::uniform10(any_size()), which in 0..5usize) {
        let [k, kk, s, ss, d, dd, p, pp, q, qq] = values;
        let lowered = lower_with(|spec| {
            // The kernel is mostly left as its weights have it, and else one or all of the others changed.
            if which == 0 { spec.kernel_shape = tvec!(k, kk) }
            if which <= 1 || which == 2 { spec.strides = Some(tvec!(s, ss)) }
            if which <= 1 || which == 3 { spec.dilations = Some(tvec!(d, dd)) }
            if which <= 1 || which == 4 { spec.padding = PaddingSpec::Explicit(tvec!(p, pp), tvec!(q, qq)) }
        });
        if let Ok(model) = lowered {
            let _answer_or_error = run(model);
        }
    }
}
