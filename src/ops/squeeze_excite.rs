//! A squeeze-and-excitation block as one operator of a tract plan, whose second output is the gates.

use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

use crate::kernels::maps::Grid;
use crate::kernels::{Excitation, Rectify, Simd, excite, scale, squeeze};

/// Values of a map that are scaled together, from its end on: what is squeezed last is still in the caches.
const BLOCK: usize = 64 * 1024;

/// `map · gates(map)`, or `rectify(map · gates(map) + shortcut)`; what the gates multiply may be rounded before.
///
/// Inputs: the map, `f32` `[…, C, H, W]`, and the shortcut of the same shape where one is fused. Outputs: the recalibrated map, of the same
/// shape, and the gates, `f32` `[N, C]` with N the product of the axes before C. A map that nobody else holds is overwritten in place; of any other
/// the result is written elsewhere in the same pass.
#[derive(Debug, Clone)]
pub(crate) struct SqueezeExcite {
    excitation: Arc<Excitation>,
    simd: Simd,
    /// Of what was squeezed, before it is multiplied.
    rounding: Option<Grid>,
    /// What follows the addition of the shortcut; `None` where there is no shortcut.
    shortcut: Option<Rectify>,
}

impl SqueezeExcite {
    /// A block that runs on `simd`; `shortcut` says whether there is a second input, and what follows its addition.
    pub(crate) fn new(excitation: Excitation, simd: Simd, rounding: Option<Grid>, shortcut: Option<Rectify>) -> Self {
        Self { excitation: Arc::new(excitation), simd, rounding, shortcut }
    }

    pub(crate) fn excitation(&self) -> &Excitation {
        &self.excitation
    }

    /// What the map is rounded to when it has been squeezed.
    pub(crate) fn rounding(&self) -> Option<Grid> {
        self.rounding
    }

    /// What follows the addition of the shortcut, where there is one.
    pub(crate) fn rectify(&self) -> Option<Rectify> {
        self.shortcut
    }

    /// Writes `map`, whose values are those of `from` where that is given, and the gates.
    fn recalibrate(&self, map: &mut [f32], from: Option<&[f32]>, shortcut: Option<&[f32]>, positions: usize, gates: &mut [f32]) {
        let channels = self.excitation.channels();
        let image = (channels * positions).max(1);
        let together = (BLOCK / positions.max(1)).max(1);
        let mut means = vec![0.0; channels];
        for (index, (map, gates)) in map.chunks_exact_mut(image).zip(gates.chunks_exact_mut(channels.max(1))).enumerate() {
            let (mut from, shortcut) = (part(from, image, index), part(shortcut, image, index));
            squeeze(self.simd, from.unwrap_or(map), positions, &mut means);
            excite(self.simd, &self.excitation, &means, gates);
            if let Some(grid) = self.rounding {
                if let Some(from) = from.take() {
                    map.copy_from_slice(from);
                }
                map.iter_mut().for_each(|value| *value = grid.round(*value));
            }
            let block = together * positions;
            for (index, (map, gates)) in map.chunks_mut(block).zip(gates.chunks(together)).enumerate().rev() {
                let shortcut = part(shortcut, block, index).zip(self.shortcut);
                scale(self.simd, map, part(from, block, index), positions, gates, shortcut);
            }
        }
    }

    /// The sizes N, C and H·W of a map.
    fn sizes<D: Clone + std::iter::Product + PartialEq + From<usize>>(&self, shape: &[D]) -> TractResult<(D, D, D)> {
        ensure!(shape.len() >= 3, "a map of rank {}, expected at least 3", shape.len());
        let (batch, map) = shape.split_at(shape.len() - 3);
        ensure!(map[0] == self.excitation.channels().into(), "a map of other channels than the block's {}", self.excitation.channels());
        Ok((batch.iter().cloned().product(), map[0].clone(), map[1..].iter().cloned().product()))
    }
}

/// The `index`-th part of `values`, where there are any, in parts of `size`.
fn part(values: Option<&[f32]>, size: usize, index: usize) -> Option<&[f32]> {
    values.map(|values| &values[index * size..values.len().min((index + 1) * size)])
}

/// A tensor to be written before it is read: filling it with zeros first takes as long as copying the map would.
#[expect(unsafe_code, reason = "tract gives out memory that is not filled by an unsafe function only")]
fn unfilled(shape: &[usize]) -> TractResult<Tensor> {
    // SAFETY: every pattern of bits is an `f32`, and `recalibrate` writes all values before any is read: the tensor has the input's shape, so that its
    // length, which is that of memory, is whole images of `channels · positions` values, which `scale` asserts that it writes.
    unsafe { Tensor::uninitialized::<f32>(shape) }
}

/// Two blocks are the same when they share their weights: comparing values would be slow, and two equal blocks may well run apart.
impl PartialEq for SqueezeExcite {
    fn eq(&self, other: &Self) -> bool {
        let alike = (self.simd, self.rounding, self.shortcut) == (other.simd, other.rounding, other.shortcut);
        Arc::ptr_eq(&self.excitation, &other.excitation) && alike
    }
}

impl Eq for SqueezeExcite {}

impl Op for SqueezeExcite {
    fn name(&self) -> StaticName {
        "SqueezeExcite".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        let (channels, squeezed) = (self.excitation.channels(), self.excitation.squeezed());
        Ok(vec![format!("channels: {channels} squeezed: {squeezed} shortcut: {:?}", self.shortcut)])
    }

    fn validation(&self) -> Validation {
        Validation::Rounding
    }

    op_as_typed_op!();
}

impl EvalOp for SqueezeExcite {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        ensure!(inputs.len() == 1 + usize::from(self.shortcut.is_some()), "{} inputs for {self:?}", inputs.len());
        let shortcut = if self.shortcut.is_some() { inputs.pop() } else { None };
        let input = inputs.remove(0);
        if let Some(shortcut) = &shortcut {
            ensure!(shortcut.shape() == input.shape(), "a shortcut of {:?} for a map of {:?}", shortcut.shape(), input.shape());
        }
        let (batch, channels, positions) = self.sizes(input.shape())?;
        let (mut map, from) = match input.is_exclusive() {
            true => (input.into_tensor(), None),
            false => (unfilled(input.shape())?, Some(input)),
        };
        let from = from.as_ref().map(|from| from.try_as_plain_ram()?.as_slice::<f32>()).transpose()?;
        let mut gates = Tensor::zero::<f32>(&[batch, channels])?;
        let shortcut = shortcut.as_ref().map(|s| s.try_as_plain_ram()?.as_slice::<f32>()).transpose()?;
        self.recalibrate(
            map.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?,
            from,
            shortcut,
            positions,
            gates.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?,
        );
        Ok(tvec!(map.into_tvalue(), gates.into_tvalue()))
    }
}

impl TypedOp for SqueezeExcite {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let map = inputs[0];
        ensure!(inputs.iter().all(|i| i.datum_type == f32::datum_type() && i.shape == map.shape), "unlike inputs {inputs:?}");
        let (batch, channels, _) = self.sizes(&map.shape.to_tvec())?;
        Ok(tvec!(map.datum_type.fact(map.shape.clone()), map.datum_type.fact([batch, channels])))
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Function, Functions, Layer, Layers};

    const C: usize = 3;

    /// Gates of sigmoid(mean · [1, -2, 0]) of the first channel.
    fn block(shortcut: Option<Rectify>) -> SqueezeExcite {
        let layers = Layers {
            before: Functions::default(),
            reduce: Some(Layer { weights: vec![1.0, 0.0, 0.0], bias: vec![0.0], functions: Function::Relu.into() }),
            expand: Layer { weights: vec![1.0, -2.0, 0.0], bias: vec![0.0; C], functions: Function::Sigmoid.into() },
        };
        SqueezeExcite::new(Excitation::new(layers).unwrap(), Simd::detect(), None, shortcut)
    }

    fn map(shape: &[usize]) -> Tensor {
        let values: Vec<f32> = (0..shape.iter().product()).map(|i| (i % 7) as f32 - 2.0).collect();
        Tensor::from_shape(shape, &values).unwrap()
    }

    fn run(op: &SqueezeExcite, inputs: TVec<TValue>) -> (Tensor, Tensor) {
        let mut outputs = op.eval(&EvalContext::out_of_plan(), inputs).unwrap();
        let gates = outputs.remove(1).into_tensor();
        (outputs.remove(0).into_tensor(), gates)
    }

    fn values(tensor: &Tensor) -> &[f32] {
        tensor.try_as_plain_ram().unwrap().as_slice().unwrap()
    }

    /// The operator's definition, written out.
    fn expected(map: &Tensor, shortcut: Option<(&Tensor, Rectify)>) -> (Vec<f32>, Vec<f32>) {
        let positions: usize = map.shape().iter().rev().take(2).product();
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        let (mut out, mut gates) = (values(map).to_vec(), vec![]);
        for (n, image) in values(map).chunks(C * positions).enumerate() {
            let hidden = (image[..positions].iter().sum::<f32>() / positions as f32).max(0.0);
            for (c, weight) in [1.0, -2.0, 0.0].into_iter().enumerate() {
                gates.push(sigmoid(weight * hidden));
                for p in 0..positions {
                    let at = (n * C + c) * positions + p;
                    out[at] = image[c * positions + p] * sigmoid(weight * hidden);
                    if let Some((shortcut, rectify)) = shortcut {
                        out[at] += values(shortcut)[at];
                        out[at] = if rectify == Rectify::Relu { out[at].max(0.0) } else { out[at] };
                    }
                }
            }
        }
        (out, gates)
    }

    fn assert_close(actual: &Tensor, expected: &[f32]) {
        assert_eq!(actual.len(), expected.len());
        for (a, e) in values(actual).iter().zip(expected) {
            assert!((a - e).abs() < 1e-5, "{a} instead of {e}");
        }
    }

    /// On a map that nobody else holds, and on one that is held.
    fn assert_as_defined(map: &Tensor, shortcut: Option<(&Tensor, Rectify)>) {
        let (expected_out, expected_gates) = expected(map, shortcut);
        for held in [None, Some(map.clone().into_tvalue())] {
            let input = held.clone().unwrap_or_else(|| map.clone().into_tvalue());
            let inputs = [input].into_iter().chain(shortcut.map(|(shortcut, _)| shortcut.clone().into_tvalue())).collect();
            let (out, gates) = run(&block(shortcut.map(|(_, rectify)| rectify)), inputs);
            assert_close(&out, &expected_out);
            assert_close(&gates, &expected_gates);
            let batch = map.shape()[..map.rank() - 3].iter().product();
            assert_eq!((out.shape(), gates.shape()), (map.shape(), &[batch, C][..]));
        }
    }

    #[test]
    fn recalibrates_maps_of_any_rank_and_batch() {
        for shape in [&[C, 2, 2][..], &[1, C, 2, 2], &[2, C, 2, 2], &[2, 2, C, 2, 2]] {
            assert_as_defined(&map(shape), None);
        }
    }

    #[test]
    fn recalibrates_maps_of_several_blocks() {
        let (map, shortcut) = (map(&[2, C, 200, 190]), map(&[2, C, 200, 190]));
        assert_as_defined(&map, None);
        assert_as_defined(&map, Some((&shortcut, Rectify::Relu)));
    }

    #[test]
    fn adds_the_shortcut_and_rectifies() {
        let (map, shortcut) = (map(&[2, C, 2, 2]), Tensor::from_shape(&[2, C, 2, 2], &[-0.75f32; 24]).unwrap());
        for rectify in [Rectify::No, Rectify::Relu] {
            assert_as_defined(&map, Some((&shortcut, rectify)));
        }
    }

    #[test]
    fn overwrites_a_map_that_nobody_else_holds_and_spares_a_shared_one() {
        let address = |t: &Tensor| values(t).as_ptr();
        let own = map(&[C, 2, 2]);
        let before = address(&own);
        assert_eq!(address(&run(&block(None), tvec!(own.into_tvalue())).0), before);

        let shared = map(&[C, 2, 2]).into_tvalue();
        let (out, _) = run(&block(None), tvec!(shared.clone()));
        assert_ne!(address(&out), address(&shared));
        assert_eq!(*shared, map(&[C, 2, 2]));
    }

    #[test]
    fn refuses_other_channels_and_unlike_shortcuts() {
        let inputs = |shapes: &[&[usize]]| shapes.iter().map(|s| map(s).into_tvalue()).collect::<TVec<_>>();
        let context = EvalContext::out_of_plan();
        assert!(block(None).eval(&context, inputs(&[&[4, 2, 2]])).is_err());
        assert!(block(None).eval(&context, inputs(&[&[2, 2]])).is_err());
        assert!(block(Some(Rectify::No)).eval(&context, inputs(&[&[3, 2, 2], &[3, 2, 1]])).is_err());
        assert!(block(Some(Rectify::No)).eval(&context, inputs(&[&[3, 2, 2]])).is_err());
    }
}
