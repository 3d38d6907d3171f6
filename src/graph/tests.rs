//! Blocks built by hand, in spellings that no exporter at hand writes and with one thing wrong at a time, before and after the rewrite.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer, sigmoid};
use tract_onnx::tract_core::ops::{binary::TypedBinOp, math};

use super::{ParameterNames, SeBlockInfo, fuse_squeeze_excite};
use crate::kernels::{Function, Simd};

/// How a block is spelled; the default is an ordinary one.
#[derive(Clone)]
struct Form {
    batch: usize,
    squeezed: usize,
    /// Sums over these axes, one after the other.
    sums: Vec<TVec<usize>>,
    /// What the sums are multiplied by.
    mean: f32,
    /// Whether the weights lie `[inputs, outputs]`.
    inputs_first: bool,
    /// Of all outputs of the first layer; `None` for one that differs.
    uniform_bias: Option<f32>,
    activation: &'static [Op1],
    gate: &'static [Op1],
    /// Whether the gates multiply another tensor than the one squeezed.
    foreign: bool,
    /// Whether the gates multiply the rows, of which there are as many as channels.
    rows: bool,
    tail: Tail,
}

/// An operation with a number, or one that needs none.
#[derive(Clone, Copy)]
enum Op1 {
    Add(f32),
    Mul(f32),
    Max(f32),
    Min(f32),
    Sigmoid,
    /// Multiply by the value at the beginning of the list.
    TimesStart,
}

/// What follows the block.
#[derive(Clone, Copy, PartialEq)]
enum Tail {
    Nothing,
    /// `x + block`, then ReLU.
    ShortcutFirst,
    /// `block + x`, without a ReLU.
    ShortcutLast,
    /// A shortcut of one value a channel.
    BroadcastShortcut,
    /// `x + block`, and the block is an output too.
    UsedTwice,
}

const C: usize = 6;
const SIZE: usize = C;
const RELU: &[Op1] = &[Op1::Max(0.0)];
const SIGMOID: &[Op1] = &[Op1::Sigmoid];
const HARD_SIGMOID: &[Op1] = &[Op1::Mul(1.0 / 6.0), Op1::Add(0.5), Op1::Max(0.0), Op1::Min(1.0)];

impl Default for Form {
    fn default() -> Self {
        Self {
            batch: 2,
            squeezed: 3,
            sums: vec![tvec!(2, 3)],
            mean: 1.0 / (SIZE * SIZE) as f32,
            inputs_first: false,
            uniform_bias: None,
            activation: RELU,
            gate: SIGMOID,
            foreign: false,
            rows: false,
            tail: Tail::Nothing,
        }
    }
}

fn numbers(shape: &[usize], seed: usize) -> Tensor {
    let values: Vec<f32> = (0..shape.iter().product()).map(|i| ((i * 31 + seed * 17) % 23) as f32 / 11.0 - 1.0).collect();
    Tensor::from_shape(shape, &values).unwrap()
}

/// A model under construction; every wire has rank 4.
struct Builder(TypedModel);

impl Builder {
    fn wire(&mut self, op: impl Into<Box<dyn TypedOp>>, inputs: &[OutletId]) -> OutletId {
        let name = format!("node{}", self.0.nodes().len());
        self.0.wire_node(name, op, inputs).unwrap()[0]
    }

    fn constant(&mut self, tensor: Tensor) -> OutletId {
        let name = format!("constant{}", self.0.nodes().len());
        self.0.add_const(name, tensor).unwrap()
    }

    fn with_number(&mut self, op: TypedBinOp, x: OutletId, number: f32) -> OutletId {
        let number = self.constant(tensor0(number).broadcast_into_rank(4).unwrap());
        self.wire(op, &[x, number])
    }

    fn chain(&mut self, ops: &[Op1], start: OutletId) -> OutletId {
        ops.iter().fold(start, |x, op| match op {
            Op1::Add(k) => self.with_number(math::add(), x, *k),
            Op1::Mul(k) => self.with_number(math::mul(), x, *k),
            Op1::Max(k) => self.with_number(math::max(), x, *k),
            Op1::Min(k) => self.with_number(math::min(), x, *k),
            Op1::Sigmoid => self.wire(sigmoid(), &[x]),
            Op1::TimesStart => self.wire(math::mul(), &[start, x]),
        })
    }

    fn layer(&mut self, x: OutletId, inputs: usize, outputs: usize, inputs_first: bool, bias: Option<f32>) -> OutletId {
        let (expression, shape) = if inputs_first { ("nihw,io->nohw", [inputs, outputs]) } else { ("nihw,oi->nohw", [outputs, inputs]) };
        let weights = self.constant(numbers(&shape, outputs));
        let product = self.wire(EinSum::new(expression.parse().unwrap(), f32::datum_type()), &[x, weights]);
        let bias = bias.map_or_else(|| numbers(&[1, outputs, 1, 1], 3), |b| Tensor::from_shape(&[1, outputs, 1, 1], &vec![b; outputs]).unwrap());
        let bias = self.constant(bias);
        self.wire(math::add(), &[product, bias])
    }

    fn block(&mut self, form: &Form, x: OutletId, other: OutletId) -> OutletId {
        let sums = form.sums.iter().fold(x, |x, axes| self.wire(Reduce::new(axes.clone(), Reducer::Sum), &[x]));
        let means = self.with_number(math::mul(), sums, form.mean);
        let hidden = self.layer(means, C, form.squeezed, form.inputs_first, form.uniform_bias);
        let hidden = self.chain(form.activation, hidden);
        let gates = self.layer(hidden, form.squeezed, C, form.inputs_first, None);
        let mut gates = self.chain(form.gate, gates);
        if form.rows {
            gates = self.wire(AxisOp::Move(2, 1), &[gates]);
        }
        self.wire(math::mul(), &[if form.foreign { other } else { x }, gates])
    }
}

/// Two inputs, of which the second is the shortcut or what a foreign gate multiplies.
fn build(form: &Form) -> TypedModel {
    let mut b = Builder(TypedModel::default());
    let shape = [form.batch, C, SIZE, SIZE];
    let x = b.0.add_source("x", f32::fact(shape)).unwrap();
    let other_shape = if form.tail == Tail::BroadcastShortcut { [form.batch, C, 1, 1] } else { shape };
    let other = b.0.add_source("other", f32::fact(other_shape)).unwrap();
    let y = b.block(form, x, other);
    let end = match form.tail {
        Tail::Nothing => y,
        Tail::ShortcutFirst => {
            let sum = b.wire(math::add(), &[other, y]);
            b.with_number(math::max(), sum, 0.0)
        }
        Tail::ShortcutLast | Tail::BroadcastShortcut => b.wire(math::add(), &[y, other]),
        Tail::UsedTwice => b.wire(math::add(), &[other, y]),
    };
    let outputs = if form.tail == Tail::UsedTwice { vec![end, y] } else { vec![end] };
    b.0.select_output_outlets(&outputs).unwrap();
    b.0.into_decluttered().unwrap()
}

fn run(model: TypedModel) -> Vec<Tensor> {
    let inputs = (0..2).map(|i| numbers(model.input_fact(i).unwrap().shape.as_concrete().unwrap(), i).into_tvalue()).collect();
    let plan = model.into_optimized().unwrap().into_runnable().unwrap();
    plan.run(inputs).unwrap().into_iter().map(IntoTensor::into_tensor).collect()
}

/// The blocks found, after checking that the rewritten model gives the answers of the model as it was.
fn rewrite(form: &Form) -> Vec<SeBlockInfo> {
    let model = build(form);
    let expected = run(model.clone());
    let mut rewritten = model;
    let blocks = fuse_squeeze_excite(&mut rewritten, Simd::detect(), &ParameterNames::default()).unwrap();
    let actual = run(rewritten);
    assert_eq!(actual.len(), expected.len() + blocks.len());
    for (actual, expected) in actual.iter().zip(&expected) {
        actual.close_enough(expected, Approximation::Approximate).unwrap();
    }
    blocks
}

fn assert_found(form: &Form, activation: Function, gate: Function) {
    let blocks = rewrite(form);
    assert_eq!(blocks.len(), 1);
    assert_eq!((blocks[0].channels, blocks[0].squeezed), (C, form.squeezed));
    assert_eq!((&blocks[0].activation, &blocks[0].gate), (&activation.into(), &gate.into()));
}

#[test]
fn finds_an_ordinary_block_at_any_batch() {
    for batch in [1, 2, 6] {
        assert_found(&Form { batch, ..Form::default() }, Function::Relu, Function::Sigmoid);
    }
}

#[test]
fn finds_a_mean_taken_axis_by_axis() {
    assert_found(&Form { sums: vec![tvec!(3), tvec!(2)], ..Form::default() }, Function::Relu, Function::Sigmoid);
}

#[test]
fn finds_weights_that_lie_the_other_way_round() {
    for batch in [1, 2] {
        assert_found(&Form { batch, inputs_first: true, ..Form::default() }, Function::Relu, Function::Sigmoid);
    }
}

#[test]
fn finds_a_block_squeezed_to_one_channel_or_as_many_as_the_batch() {
    for squeezed in [1, 2] {
        for inputs_first in [false, true] {
            assert_found(&Form { squeezed, inputs_first, ..Form::default() }, Function::Relu, Function::Sigmoid);
        }
    }
}

#[test]
fn tells_a_uniform_bias_from_the_activation() {
    assert_found(&Form { uniform_bias: Some(0.25), ..Form::default() }, Function::Relu, Function::Sigmoid);
}

#[test]
fn finds_activations_and_gates_that_are_spelled_out() {
    let silu: &[Op1] = &[Op1::Sigmoid, Op1::TimesStart];
    let hard_swish: &[Op1] = &[Op1::Add(3.0), Op1::Max(0.0), Op1::Min(6.0), Op1::TimesStart, Op1::Mul(1.0 / 6.0)];
    let hard_swish_by_gate: &[Op1] = &[Op1::Mul(1.0 / 6.0), Op1::Add(0.5), Op1::Min(1.0), Op1::Max(0.0), Op1::TimesStart];
    let hard_sigmoid_by_six: &[Op1] = &[Op1::Add(3.0), Op1::Min(6.0), Op1::Max(0.0), Op1::Mul(1.0 / 6.0)];
    for (spelling, activation) in [(silu, Function::Silu), (hard_swish, Function::HardSwish), (hard_swish_by_gate, Function::HardSwish)] {
        assert_found(&Form { activation: spelling, ..Form::default() }, activation, Function::Sigmoid);
    }
    for gate in [HARD_SIGMOID, hard_sigmoid_by_six] {
        assert_found(&Form { gate, ..Form::default() }, Function::Relu, Function::HARD_SIGMOID);
    }
}

/// The activation and the gate as they are written of the block that `form` has.
fn functions_of(form: &Form) -> [String; 2] {
    let blocks = rewrite(form);
    let [block] = &blocks[..] else { panic!("{} blocks", blocks.len()) };
    [block.activation.to_string(), block.gate.to_string()]
}

#[test]
fn finds_blocks_with_any_function_of_one_number_between_the_layers() {
    for (activation, text) in [
        (&[][..], "identity"),
        (&[Op1::Max(-0.1)], "clamp(-0.1, inf)"),
        (&[Op1::Max(0.0), Op1::Min(6.0)], "relu6"),
        (&[Op1::Add(3.0), Op1::Max(0.0), Op1::Min(6.0), Op1::TimesStart, Op1::Mul(0.2)], "hard_swish"),
        (&[Op1::Add(3.0), Op1::Max(0.0), Op1::Min(6.0), Op1::Mul(1.0 / 6.0), Op1::TimesStart], "hard_swish"),
        (&[Op1::Max(0.0), Op1::Sigmoid], "relu → sigmoid"),
        (&[Op1::Max(0.0), Op1::Mul(-2.0), Op1::Sigmoid, Op1::Add(1.0)], "-2 · relu → sigmoid"),
    ] {
        let form = Form { activation, ..Form::default() };
        assert_eq!(rewrite(&form).len(), 1, "{text}");
        assert_eq!(functions_of(&form), [text, "sigmoid"], "{text}");
    }
}

#[test]
fn finds_blocks_with_other_gates_than_sigmoids() {
    for (gate, text) in [
        (&[Op1::Mul(0.2), Op1::Add(0.5), Op1::Max(0.0), Op1::Min(1.0)][..], "hard_sigmoid(0.2, 0.5)"),
        (&[Op1::Sigmoid, Op1::Mul(2.0)], "2 · sigmoid"),
        (&[Op1::Sigmoid, Op1::Add(1.0)], "sigmoid + 1"),
        (&[Op1::Max(-1.0), Op1::Min(1.0)], "clamp(-1, 1)"),
        (&[Op1::Add(3.0), Op1::Max(0.0), Op1::Min(6.0)], "6 · hard_sigmoid"),
        (&[Op1::Max(0.0)], "relu"),
    ] {
        assert_eq!(functions_of(&Form { gate, ..Form::default() }), ["relu", text], "{text}");
    }
}

#[test]
fn leaves_alone_what_differs_in_one_thing() {
    let form = Form::default;
    let strangers = [
        ("a sum instead of a mean", Form { mean: 1.0, ..form() }),
        ("a mean over one axis", Form { sums: vec![tvec!(2)], mean: 1.0 / SIZE as f32, ..form() }),
        ("a mean over the batch too", Form { sums: vec![tvec!(0, 2, 3)], ..form() }),
        ("gates for another tensor", Form { foreign: true, ..form() }),
        ("gates for rows", Form { rows: true, ..form() }),
        ("no gate", Form { gate: &[], ..form() }),
        ("a product instead of a gate", Form { gate: &[Op1::Mul(2.0), Op1::Add(1.0)], ..form() }),
        ("an activation that is no function of one number", Form { activation: &[Op1::Sigmoid, Op1::TimesStart, Op1::TimesStart], ..form() }),
    ];
    for (what, form) in strangers {
        assert!(rewrite(&form).is_empty(), "{what}");
    }
}

#[test]
fn fuses_a_residual_addition_in_either_order() {
    for tail in [Tail::ShortcutFirst, Tail::ShortcutLast] {
        for batch in [1, 2] {
            assert!(rewrite(&Form { tail, batch, ..Form::default() })[0].fused_residual);
        }
    }
}

#[test]
fn fuses_no_addition_that_broadcasts_or_whose_block_is_used_elsewhere() {
    for tail in [Tail::BroadcastShortcut, Tail::UsedTwice] {
        assert!(!rewrite(&Form { tail, ..Form::default() })[0].fused_residual);
    }
}
